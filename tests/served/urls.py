import asyncio
import os
import time

from django.db import connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import include, path
from django.utils import timezone

from tests.app.models import Account

PARTS = 30_000
"""Each of 10 ms: more than a client ever waits for."""


def up(request):
    """Answer without being measured: tests wait for the server."""
    return HttpResponse("up")


def pid(request):
    return HttpResponse(str(os.getpid()))


def stream(request):
    return StreamingHttpResponse(parts())


def parts():
    for _ in range(PARTS):
        yield b"." * 1000
        time.sleep(0.01)


async def stream_async(request):
    return StreamingHttpResponse(parts_async())


async def parts_async():
    for _ in range(PARTS):
        yield b"." * 1000
        await asyncio.sleep(0.01)


def read(request):
    return HttpResponse(str(Account.objects.filter(pk__lte=10).count()))


@transaction.atomic
def read_and_write(request):
    account = Account.objects.order_by("pk").last()
    time.sleep(0.002)  # another thread or process may write meanwhile
    Account.objects.filter(pk=account.pk).update(updated_at=timezone.now())
    return HttpResponse("written")


def broken(request):
    """Leave a transaction that the database will not commit, as a view with ATOMIC_REQUESTS may."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


def stuck(request):
    time.sleep(600)


urlpatterns = [
    path("up/", up),
    path("pid/", pid),
    path("stream/", stream),
    path("stream/async/", stream_async),
    path("read/", read),
    path("read-and-write/", read_and_write),
    path("broken/", broken),
    path("stuck/", stuck),
    path("", include("tests.urls")),
]
