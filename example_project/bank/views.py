"""One view for each way of loading accounts; some are wasteful, and one leaks, on purpose."""

import asyncio

from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.generic import ListView

from bank.forms import AccountForm
from bank.models import Account

# The leak: nothing ever takes an account out again, so each request to leak() makes the process
# larger for as long as it lives.
kept_accounts = []


def index(request):
    """Say what each page shows."""
    return render(request, "bank/index.html")


def all_accounts(request):
    """Load every account to show ten."""
    accounts = list(Account.objects.all())
    return render(request, "bank/all.html", {"accounts": accounts})


def ten_accounts(request):
    """Show the same ten and the same count, leaving both to the database."""
    accounts = list(Account.objects.all()[:10])
    return render(
        request, "bank/ten.html", {"accounts": accounts, "count": Account.objects.count()}
    )


def iterator(request):
    """Add up all balances without keeping the accounts."""
    total = sum(account.balance for account in Account.objects.all().iterator())
    return render(request, "bank/iterator.html", {"total": total})


def values(request):
    """Load the rows as dicts, without model instances."""
    return JsonResponse({"accounts": list(Account.objects.values())})


class AccountList(ListView):
    """Django's generic list, without pagination: every account is loaded and shown."""

    model = Account
    context_object_name = "accounts"


def leak(request):
    """Keep every account that was ever loaded here."""
    kept_accounts.extend(Account.objects.all())
    return render(request, "bank/leak.html", {"kept": len(kept_accounts)})


async def async_accounts(request):
    """Load every account while other tasks of the event loop get their turn."""
    accounts = [account async for account in Account.objects.all()]
    await asyncio.sleep(0)
    return render(request, "bank/async.html", {"accounts": accounts})


def stream(request):
    """Send a line for each account while the rows are still being read."""
    return StreamingHttpResponse(account_lines(), content_type="text/plain; charset=utf-8")


def account_lines():
    """Yield a header, then id, holder and balance of each account."""
    yield "id,holder,balance\n"
    for account in Account.objects.all().iterator():
        yield f"{account.id},{account.holder},{account.balance}\n"


def form(request):
    """Offer every account in one drop-down, for which Django loads them all."""
    account_form = AccountForm(request.GET or None)
    chosen = account_form.cleaned_data["account"] if account_form.is_valid() else None
    return render(request, "bank/form.html", {"form": account_form, "chosen": chosen})


def branches(request):
    """Show fifty accounts with their branch, which the template loads one by one."""
    accounts = Account.objects.all()[:50]
    return render(request, "bank/branches.html", {"accounts": accounts})
