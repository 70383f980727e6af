"""The template view of `example.py` at two paths, and the pages of the tests' project."""

from bank.models import Account
from django.shortcuts import render
from django.urls import include, path

from tests.third_party import beside_urls


def some_accounts(request):
    """Show 300 accounts."""
    return render(request, "bank/account_list.html", {"accounts": Account.objects.all()[:300]})


urlpatterns = [
    path("some/", some_accounts),
    path("beside/", some_accounts),
    path("bank/", include("bank.urls")),
    path("", include("tests.served.urls")),
    *beside_urls.urlpatterns,
]
