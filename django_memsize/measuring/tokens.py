"""A token asks for one request to be metered: signed by the program, and valid for a time.

The token has the time of its end, and nothing else. It is looked for in a header, or else in a
cookie, and checked only if there is one. A token that is unsigned, forged, too old or of another
program is ignored. It is neither stored nor logged: no exception that quotes it leaves this module.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from django.core.signing import BadSignature, Signer

HEADER: Final = "X-Memsize-Token"
COOKIE: Final = "memsize_token"

LONGEST: Final = 24 * 3600
"""Seconds that a token is valid at most, whatever end it has."""

_SALT: Final = "django_memsize.token"
_LONGEST_TEXT: Final = 200
_IN_EVERY_SCOPE: Final = "type"
_IN_EVERY_ENVIRON: Final = "REQUEST_METHOD"
"""No scope has this key. An environ may have the keys of a scope, because some servers put the
variables of the process in it."""

_IN_ENVIRON: Final = f"HTTP_{HEADER.upper().replace('-', '_')}"
_HEADER_OF_SCOPE: Final = HEADER.lower().encode()
_COOKIE_BEGINS: Final = f"{COOKIE}="
_COOKIE_OF_SCOPE: Final = _COOKIE_BEGINS.encode()
_IN_COOKIES: Final = re.compile(rf"(?:^|;)\s*{COOKIE}=\"?([^;\"\s]+)")


def new(seconds: int) -> str:
    """Return a token that is valid from now on for some seconds. Raises ImproperlyConfigured."""
    return _signer().sign(str(int(time.time()) + min(seconds, LONGEST)))


def is_valid(token: str) -> bool:
    """Return whether a token was signed by this program, and is not over."""
    if len(token) > _LONGEST_TEXT:
        return False
    try:
        left = int(_signer().unsign(token)) - time.time()
    except (BadSignature, ValueError):  # a ValueError where it cannot be encoded
        return False
    return 0 < left <= LONGEST


def asks(source: Mapping[str, Any]) -> bool:
    """Return whether a request has a valid token. ``source`` is a WSGI environ or an ASGI scope."""
    if _is_scope(source):
        token = _of_scope(source)
    else:
        token = source.get(_IN_ENVIRON)
        cookies = source.get("HTTP_COOKIE")
        if token is None and cookies is not None and _COOKIE_BEGINS in cookies:
            token = _of_cookies(cookies)
    return token is not None and is_valid(token)


def header_of(source: Mapping[str, Any], name: str) -> str | None:
    """Return a header of the request of a WSGI environ or an ASGI scope; None if it has none."""
    if _is_scope(source):
        wanted = name.lower().encode("latin1", "replace")
        found = [value for key, value in source.get("headers", ()) if key == wanted]
        return str(b",".join(found), "latin1") if found else None
    name = name.upper().replace("-", "_")
    key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
    value: str | None = source.get(key)
    return value


def _is_scope(source: Mapping[str, Any]) -> bool:
    return _IN_EVERY_SCOPE in source and _IN_EVERY_ENVIRON not in source


def _of_scope(scope: Mapping[str, Any]) -> str | None:
    in_cookie = None
    for name, value in scope.get("headers", ()):
        if name == _HEADER_OF_SCOPE:
            return str(value, "latin1")
        if name == b"cookie" and _COOKIE_OF_SCOPE in value and in_cookie is None:
            in_cookie = _of_cookies(str(value, "latin1"))
    return in_cookie


def _of_cookies(cookies: str) -> str | None:
    found = _IN_COOKIES.search(cookies)
    return None if found is None else found[1]


def _signer() -> Signer:
    return Signer(sep=".", salt=_SALT)
