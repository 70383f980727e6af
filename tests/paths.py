"""The pages of the tests, each of which is to answer as without django-memsize."""

from tests.app.views import _RAISED

PATHS = [
    *("/nothing/", "/accounts/", "/accounts/template/", "/accounts/response/", "/accounts/1/"),
    *("/accounts/stream/", "/file/", "/accounts/999999/", "/no/such/page/", "/accounts/\x00/"),
    *("/nothing/async/", "/accounts/async/", "/admin/"),
    *(f"/raises/{what}/" for what in _RAISED),
    *(f"/raises/async/{what}/" for what in _RAISED),
]
