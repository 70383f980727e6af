"""The command that compares ways of loading rows: sentence, table, notes, JSON, errors."""

import functools
import json

import pytest
from django.core.management import CommandError, call_command

from django_memsize import engine
from tests.app.models import Account, Author
from tests.commands import ended, exit_code
from tests.visits import create_accounts, create_library

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter"),
]

EVERY_WAY = {"instances", "only()", "values()", "values_list()", "iterator()"}


@pytest.fixture
def accounts():
    create_accounts(500)
    return Account.objects.all()


@pytest.fixture
def library():
    create_library()


@pytest.fixture
def say(memprofile):
    """Return a function that compares the ways of loading a queryset and returns the output."""
    return functools.partial(memprofile, "alternatives")


def test_the_command_prints_a_sentence_a_table_and_notes(say, library):
    sentence, table, notes = say("Book.objects.select_related('author')").split("\n\n")

    assert sentence.startswith("values_list() without select_related() retains ")
    assert " where instances retain " in sentence
    header, _, *rows = ([cell.strip() for cell in line.split(" | ")] for line in table.split("\n"))
    assert header == ["way", "rows", "retained", "bytes a row", "peak", "time"]
    assert [row[0] for row in rows] == ["iterator()", "values_list()", "values()", "instances"]
    assert {row[1] for row in rows} == {"60"}
    assert notes.splitlines()[:3] == [
        "Notes:",
        "  only() is omitted: it needs the fields to load, as in: --fields id,title",
        "  values_list() is without select_related().",
    ]


def test_the_command_as_json(say, accounts):
    document = json.loads(
        say("Account.objects.all()", "--fields", "id, name", "--limit", "9", "--format", "json")
    )

    assert (document["model"], document["database"]) == ("app.Account", "default")
    assert {way["name"] for way in document["ways"]} == EVERY_WAY
    for way in document["ways"]:
        assert way["rows"] == 9
        assert way["retained_bytes_each"] == way["retained_bytes"] / 9
        assert way["peak_bytes"] >= way["retained_bytes"]
    assert document["omitted"] == []


@pytest.mark.parametrize(
    "expression",
    [
        "app.Author.objects.all()",
        "auth.User.objects.all()",
        "Author.objects.filter(Q(name='a') | Q(name=F('name'))).annotate(n=Count('books'))",
        "Author.objects.prefetch_related(Prefetch('books', Book.objects.only('title')))",
    ],
)
def test_models_and_names_of_django_need_no_import(say, library, expression):
    assert json.loads(say(expression, "--format", "json"))["ways"]


def test_rows_that_the_expression_writes_are_rolled_back(say, library):
    say("Author.objects.filter(pk__gte=Author.objects.create(name='written').pk)")

    assert Author.objects.count() == 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1 +"], r"^The queryset is not Python: .*"),
        (
            ["Author.objects"],
            r"^The code returns an object of the class Manager, and not a queryset",
        ),
        (
            ["Author.objects.count()"],
            r"^The code returns an object of the class int, and not a queryset",
        ),
        (["type('a\\x1b', (), {})()"], "class a\ufffd, and not"),
        (["Author.objects.values()"], r"^The rows of this queryset are no instances\. "),
        (
            ["Account.objects.dates('born_on', 'day')"],
            r"^The rows of this queryset are no instances\. ",
        ),
        (
            ["Author.objects.all()", "--fields", "nmae"],
            r"^app\.Author has no field 'nmae'\. Its fields: ",
        ),
    ],
)
def test_an_expression_that_cannot_be_compared_is_an_error_of_one_line(say, words, message):
    with pytest.raises(CommandError, match=message) as caught:
        say(*words)

    assert "\n" not in str(caught.value)


def test_an_expression_that_raises_is_shown_with_its_own_lines_only(say):
    with pytest.raises(CommandError) as caught:
        say("Nobody.objects.all()")

    assert str(caught.value) == (
        "The queryset raised NameError: name 'Nobody' is not defined\n\n"
        '  File "<code>", line 1, in <module>'
    )


def test_rows_that_cannot_be_loaded_are_an_error(say):
    with pytest.raises(CommandError, match=r"^Loading the rows raised .*nowhere"):
        say("Author.objects.extra(where=['nowhere = 1'])")


@pytest.mark.parametrize(
    "words", [["x", "--limit", "0"], ["x", "--fields", "id,,name"], ["x", "--fields", ""], []]
)
def test_unusable_arguments_end_with_exit_code_two(words, capsys):
    assert exit_code("alternatives", *words) == 2
    assert "error: " in capsys.readouterr().err


def test_a_failure_ends_with_exit_code_one_and_success_with_none():
    failed, done = ended("alternatives", "1"), ended("alternatives", "Author.objects.none()")

    assert (failed.returncode, len(failed.stderr.splitlines())) == (1, 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("There are no rows: nothing to compare.\n\n")


def test_without_a_meter_the_command_names_the_fix(memprofile, monkeypatch):
    monkeypatch.setattr(engine, "Window", None)

    with pytest.raises(CommandError, match=r"pip install --force-reinstall") as caught:
        memprofile("alternatives", "Author.objects.all()")

    assert "\n" not in str(caught.value)


def test_output_of_the_code_is_not_mixed_with_json(capfd):
    call_command(
        "memprofile", "alternatives", "print('x') or Author.objects.all()", "--format", "json"
    )

    printed = capfd.readouterr()
    assert json.loads(printed.out)["model"] == "app.Author"
    assert "x\n" in printed.err


def test_code_that_is_empty_is_one_line(say):
    with pytest.raises(CommandError, match=r"^The queryset is empty: there is nothing to run\.$"):
        say("")
