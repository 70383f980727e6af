import asyncio
import io

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.views.decorators.csrf import csrf_exempt

from tests.app.models import Account


def nothing(request):
    return HttpResponse("nothing", headers={"X-Test": "yes"})


async def nothing_async(request):
    return HttpResponse("nothing", headers={"X-Test": "yes"})


def accounts(request):
    accounts = list(Account.objects.all())
    return HttpResponse(str(len(accounts)))


kept = []


def accounts_kept(request):
    kept.extend(Account.objects.all())
    return HttpResponse(str(len(kept)))


def accounts_in_template(request):
    return render(request, "app/accounts.html", {"accounts": Account.objects.all()})


def accounts_in_template_response(request):
    return TemplateResponse(request, "app/accounts.html", {"accounts": Account.objects.all()})


async def accounts_async(request):
    accounts = [account async for account in Account.objects.all()]
    await asyncio.sleep(0)
    return HttpResponse(str(len(accounts)))


def accounts_stream(request):
    rows = (f"{account.pk}\n" for account in Account.objects.iterator())
    return StreamingHttpResponse(rows)


async def accounts_stream_async(request):
    async def rows():
        async for account in Account.objects.aiterator():
            yield f"{account.pk}\n"

    return StreamingHttpResponse(rows())


def account(request, pk):
    return JsonResponse({"name": get_object_or_404(Account, pk=pk).name})


def file(request):
    return FileResponse(io.BytesIO(b"content of a file"), filename="file.txt")


_RAISED = {
    "value": ValueError,
    "404": Http404,
    "denied": PermissionDenied,
    "suspicious": SuspiciousOperation,
    "interrupt": KeyboardInterrupt,
    "exit": SystemExit,
    "cancelled": asyncio.CancelledError,
}


def raises(request, what):
    raise _RAISED[what]("on purpose")


async def raises_async(request, what):
    raise _RAISED[what]("on purpose")


@csrf_exempt
def echo(request):
    return HttpResponse(request.body, content_type="application/octet-stream")
