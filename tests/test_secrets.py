"""What is secret is in no table and in no log: a dump of the whole database is searched for it."""

import logging

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection, models
from django.db.models import Count, F, FilteredRelation, Q, Value
from django.db.models.expressions import RawSQL
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from django_memsize import measure
from django_memsize.models import Report
from django_memsize.reports import recordings
from tests.app.models import Author, Book
from tests.visits import WITH_EVALUATIONS

CANARY = "canary5ec4e7"
NUMBER = 4815162342

pytestmark = [pytest.mark.django_db(databases=["default", "other"])]


class Held:
    """An object of the program with a secret value."""

    def __init__(self):
        self.secret = f"{CANARY} in an object"
        self.secrets = {CANARY: [CANARY + str(number) for number in range(100)]}

    def __repr__(self):
        return f"<Held {CANARY}>"


held = []
LITERALS = {
    "sqlite": [f"'{CANARY}'", f"'it''s {CANARY}\\'", f'"{CANARY}"', f"x'{CANARY.encode().hex()}'",
               f"/* {CANARY} ' */ '{CANARY}'", f"-- it's {CANARY}\n '{CANARY}'", str(NUMBER)],
    "postgresql": [f"'{CANARY}'", f"E'it\\'s {CANARY}'", f"$${CANARY}'$$", f"$a${CANARY}$a$",
                   f"U&'{CANARY}'", f"/* {CANARY} ' */ '{CANARY}'", f"N'{CANARY}'", str(NUMBER),
                   f"-- it's {CANARY}\n '{CANARY}'", f"'C:\\' || '{CANARY}'"],
    "mysql": [f"'{CANARY}'", f'"it\'s {CANARY}"', f"'it\\'s {CANARY}'", f"_utf8mb4'{CANARY}'",
              f"0x{CANARY.encode().hex()}", f"/* {CANARY} ' */ '{CANARY}'", str(NUMBER),
              f"-- it's {CANARY}\n '{CANARY}'", f"# it's {CANARY}\n '{CANARY}'", f"N'{CANARY}'"],
}[connection.vendor]  # fmt: skip
LOADINGS = [
    lambda: Author.objects.filter(name=CANARY),
    lambda: Author.objects.annotate(**{CANARY: Count("books")}).order_by(CANARY),
    lambda: Author.objects.values(**{CANARY: F("name")}),
    lambda: Author.objects.annotate(value=Value(CANARY)),
    lambda: Author.objects.annotate(
        **{CANARY: FilteredRelation("books", condition=Q(books__title=CANARY))}
    ).filter(**{f"{CANARY}__title": "a"}),
    lambda: Author.objects.extra(select={"a": f"'{CANARY}'"}, where=[f"name <> '{CANARY}'"]),
    lambda: Report.objects.values(f"document__{CANARY}"),
    lambda: Report.objects.values_list(f"document__a__{CANARY}__0", flat=True),
    lambda: Report.objects.filter(**{f"document__{CANARY}__icontains": CANARY}),
    lambda: Report.objects.filter(document__has_key=CANARY).order_by(f"document__{CANARY}"),
    lambda: Author.objects.raw(f"SELECT id, name AS {CANARY} FROM app_author {CANARY}2"),
    *(
        lambda literal=literal: Author.objects.raw(f"SELECT id, {literal} AS b FROM app_author")
        for literal in LITERALS
    ),
    *(
        lambda literal=literal: Author.objects.annotate(b=RawSQL(literal, ()))
        for literal in LITERALS
    ),
]


def page(request, token):
    held.append(Held())
    request.secret = request.body.decode(), request.COOKIES, request.headers["X-Secret"]
    for load in LOADINGS:
        assert list(load()) is not None
    assert list(Author.objects.iterator())
    with measure("block", save=True):
        list(Author.objects.filter(name__contains=CANARY))
    return HttpResponse(CANARY)


def failing(request, token):
    with pytest.raises(DatabaseError):
        list(Author.objects.raw(f"SELECT {CANARY}_is_no_column FROM app_author, {CANARY}"))
    raise DatabaseError(f"{CANARY} is in the message")


urlpatterns = [path("secret/<str:token>/", page), path("failing/<str:token>/", failing)]


@pytest.fixture
def reported(db, settings, caplog, transactional_db):
    """Have every request reported; afterwards search all tables, and the log, for the canary."""
    settings.MEMSIZE = WITH_EVALUATIONS
    settings.ROOT_URLCONF = __name__
    caplog.set_level(logging.DEBUG, "django_memsize")
    author = Author.objects.create(name="author")
    Book.objects.create(title="a", author=author)
    held.clear()
    yield
    held.clear()
    dump = dumped()
    assert "/secret/<str:token>/" in dump or "author" in dump
    assert find(dump) == []
    assert find(caplog.text) == []


def dumped():
    """Return all text in all tables of all models."""
    return "\n".join(
        f"{field.column}: {value}"
        for model in apps.get_models(include_auto_created=True)
        for row in model._base_manager.values()
        for field, value in ((model._meta.get_field(key), value) for key, value in row.items())
        if not isinstance(field, models.ForeignKey)
    )


def find(text):
    """Return the surroundings of each canary in a text, in whatever form."""
    forms = [CANARY, str(NUMBER), CANARY.encode().hex()]
    lower = text.lower()
    places = [lower.find(form) for form in forms]
    return [text[max(place - 100, 0) : place + 100] for place in places if place >= 0]


def visit(url):
    client = Client(raise_request_exception=False)
    client.cookies["secret"] = CANARY
    response = client.post(
        f"{url}?secret={CANARY}&{CANARY}=1", {CANARY: CANARY}, headers={"X-Secret": CANARY}
    )
    status = response.status_code
    del response
    recordings.analyse_now()
    return status


def test_no_secret_of_a_request_is_stored(reported, instrument):
    assert visit(f"/secret/{CANARY}/") == 200

    block, request = Report.objects.order_by("kind")
    assert (block.route, request.route) == ("block", "/secret/<str:token>/")
    assert len(request.summary().evaluations) >= len(LOADINGS)
    stored = [one.sql for one in request.summary().evaluations]
    refused = [sql for sql in stored if sql.startswith("(statement not stored")]
    assert len(refused) <= 2 * sum("\\" in literal for literal in LITERALS)


def test_no_secret_of_a_request_that_fails_is_stored(reported):
    assert visit(f"/failing/{CANARY}/") == 500

    assert Report.objects.get().route == "/failing/<str:token>/"


def test_no_secret_of_a_path_that_leads_nowhere_is_stored(reported):
    assert visit(f"/{CANARY}/") == 404

    assert Report.objects.get().route == "(unresolved)"


def test_no_secret_of_code_that_is_run_is_stored(reported, capsys):
    code = f"list(Author.objects.exclude(name='{CANARY}', pk={NUMBER}))  # {CANARY}"
    call_command("memprofile", "run", "--code", code)

    assert Report.objects.get().route == "list(Author.objects.exclude(name=?, pk=?))"
    assert find(capsys.readouterr().out) == []


def test_a_secret_that_is_stored_would_be_found():
    Author.objects.create(name=f"x{CANARY}x")

    assert find(dumped())
