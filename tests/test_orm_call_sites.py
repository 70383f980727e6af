"""The line of the program that made the ORM load rows."""

import code
import dataclasses
import functools
import os
import subprocess
import sys

import pytest

from django_memsize.measuring import source_files
from django_memsize.measuring.spans import in_span
from django_memsize.orm import roles
from tests.app.models import Book
from tests.books import ROOT, line_of

pytest_plugins = ["tests.orm_fixtures"]


def author_of(book):
    return book.author


def test_the_call_site_is_the_line_of_a_plain_call(books, recording):
    with in_span(recording):
        list(Book.objects.all())

    (evaluation,) = recording.evaluations
    assert line_of(evaluation) == "list(Book.objects.all())"
    assert evaluation.site.file == "tests/test_orm_call_sites.py"
    assert evaluation.site.function == "test_the_call_site_is_the_line_of_a_plain_call"


def test_code_with_a_new_name_each_time_does_not_pile_up(books, recording, monkeypatch):
    monkeypatch.setattr(roles, "_MAX_ROLES", 20)
    with in_span(recording):
        for number in range(100):
            exec(compile("list(Book.objects.all())", f"/rule-{number}.py", "exec"))

    assert len(roles.roles) <= 20
    assert {one.site.file for one in recording.evaluations} == {
        f"rule-{number}.py" for number in range(100)
    }


def test_the_call_site_is_the_line_of_a_comprehension(books, recording):
    with in_span(recording):
        titles = [book.title for book in Book.objects.all()]

    (evaluation,) = recording.evaluations
    assert titles
    assert line_of(evaluation) == "titles = [book.title for book in Book.objects.all()]"


def test_the_call_site_of_an_iterator_is_the_line_that_makes_it(books, recording):
    with in_span(recording):
        rows = Book.objects.iterator()
        list(rows)

    (evaluation,) = recording.evaluations
    assert line_of(evaluation) == "rows = Book.objects.iterator()"


def test_the_call_site_of_a_lazy_foreign_key_is_the_helper_that_follows_it(books, recording):
    book = Book.objects.get(title="Book 1")
    with in_span(recording):
        author_of(book)

    (evaluation,) = recording.evaluations
    assert (evaluation.site.function, line_of(evaluation)) == ("author_of", "return book.author")


def test_the_call_site_of_a_prefetch_is_that_of_the_queryset(books, recording):
    with in_span(recording):
        list(Book.objects.prefetch_related("author"))

    outer, inner = recording.evaluations
    assert inner.site == outer.site
    assert line_of(outer) == 'list(Book.objects.prefetch_related("author"))'


# Code that the user gives as text

QUERY = """
import django_memsize as memsize
from tests.app.models import Author

def load():
    return list(Author.objects.raw("SELECT 1 AS id, 'Ann' AS name"))

with memsize.measure("text", save=False) as recording:
    load()
    list(Author.objects.raw("SELECT 1 AS id, 'Ann' AS name"))
print([(str(one.site), one.site.function) for one in recording.evaluations])
"""
"""A program that needs no table: two evaluations, in a function and in the text itself."""

MANAGE = """
import os
from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
execute_from_command_line(["manage.py", "shell", *COMMAND])
"""
SET_UP = "import django; django.setup()\n"


def python(*arguments, stdin=""):
    """Return the last line that Python prints when it runs at the root of the project."""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def call_sites_in(name, lines_before=0):
    """Return what QUERY prints if it is compiled under a name, after ``lines_before`` lines."""
    sites = [(f"{name}:{lines_before + 6}", "load"), (f"{name}:{lines_before + 10}", "<module>")]
    return str(sites)


def test_the_call_site_in_a_command_for_the_shell_is_a_line_of_the_command(tmp_path):
    manage = tmp_path / "manage.py"
    manage.write_text(MANAGE.replace("*COMMAND", f'"-c", {QUERY!r}'))

    assert python(manage) == call_sites_in("<string>")


def test_the_call_site_in_the_input_of_the_shell_is_a_line_of_the_input(tmp_path):
    manage = tmp_path / "manage.py"
    manage.write_text(MANAGE.replace("*COMMAND", ""))

    assert python(manage, stdin=QUERY) == call_sites_in("<string>")


def test_the_call_site_in_a_thread_of_a_command_for_the_shell_is_a_line_of_the_command(tmp_path):
    """The text is not on the stack of the thread: only the globals show that it is the shell's."""
    threaded = QUERY.replace(
        "    load()\n",
        "    import contextvars, threading\n"
        "    run = contextvars.copy_context().run\n"
        "    thread = threading.Thread(target=run, args=[load]); thread.start(); thread.join()\n",
    )
    manage = tmp_path / "manage.py"
    manage.write_text(MANAGE.replace("*COMMAND", f'"-c", {threaded!r}'))

    assert "('<string>:6', 'load')" in python(manage)


def test_the_call_site_in_a_command_for_python_is_a_line_of_the_command():
    assert python("-c", SET_UP + QUERY) == call_sites_in("<string>", lines_before=1)


def test_the_call_site_in_the_input_of_python_is_a_line_of_the_input():
    assert python("-", stdin=SET_UP + QUERY) == call_sites_in("<stdin>", lines_before=1)


@pytest.mark.parametrize("name", ["<string>", "<console>", "<ipython-input-1-0a1b2c>"])
def test_the_call_site_in_text_that_the_program_runs_is_a_line_of_the_text(books, recording, name):
    names = {"Book": Book}
    with in_span(recording):
        exec(compile("\nlist(Book.objects.all())", name, "exec"), names)

    (evaluation,) = recording.evaluations
    assert str(evaluation.site) == f"{name}:2"


def test_the_call_site_in_a_console_is_a_line_of_the_console(books, recording):
    console = code.InteractiveConsole({"Book": Book})
    with in_span(recording):
        console.push("rows = list(Book.objects.all())")

    (evaluation,) = recording.evaluations
    assert str(evaluation.site) == "<console>:1"


def test_the_call_site_in_a_generated_method_is_the_line_that_calls_the_method(books, recording):
    @dataclasses.dataclass
    class Shelf:
        books: list = dataclasses.field(default_factory=functools.partial(list, Book.objects.all()))

    with in_span(recording):
        Shelf()

    (evaluation,) = recording.evaluations
    assert line_of(evaluation) == "Shelf()"


@pytest.mark.parametrize(
    "file",
    [
        *("middleware.py", "measuring/streams.py"),
        *("commands/run.py", "management/commands/memprofile.py"),
    ],
)
def test_the_search_ends_where_a_measured_request_or_command_begins(books, recording, file):
    with in_span(recording):
        exec(compile("list(Book.objects.all())", source_files.PACKAGE + file, "exec"))

    (evaluation,) = recording.evaluations
    assert evaluation.site is None
