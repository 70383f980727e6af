"""Requests to Django's ASGI application, as a server makes them."""

import asyncio

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler


def scope_of(url, root_path=""):
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": url,
        "raw_path": url.encode(),
        "root_path": root_path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }


async def speak(scope, disconnect_after=None, root_path="", application=None, on_send=None):
    """Return the messages that the application sends; the client may leave after a few.

    ``scope`` may be a path instead.
    """
    sent = []
    left = asyncio.Event()
    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive():
        for message in received:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if on_send is not None:
            on_send()
        if len(sent) == disconnect_after:
            left.set()
            await asyncio.sleep(0.01)

    if isinstance(scope, str):
        scope = scope_of(scope, root_path)
    await asyncio.wait_for((application or ASGIHandler())(scope, receive, send), 20)
    await let_go()
    return sent


async def let_go():
    """Wait until the thread that ran a view has dropped it.

    The view's result is there a moment before that. The thread is the same for the next call.
    """
    await sync_to_async(int)()
