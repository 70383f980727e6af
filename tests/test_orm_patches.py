"""Installing the replacements of Django's methods, and taking them off again."""

import functools
import inspect
import threading
import time

import pytest
from django.db.models.query import QuerySet, RawQuerySet

from django_memsize.measuring.recording import Recording
from django_memsize.measuring.spans import in_span
from django_memsize.orm import patches
from tests.app.models import Book
from tests.books import PATCHED, in_place, in_threads
from tests.programs import ended_well

pytest_plugins = ["tests.orm_fixtures"]


def test_installing_replaces_methods_of_querysets_updates_and_cursors(originals):
    patches.install()

    assert all(in_place()[place] is not original for place, original in originals.items())


def test_installing_twice_patches_once(originals):
    patches.install()
    once = in_place()

    patches.install()

    assert in_place() == once
    assert {place: original_of(patch) for place, patch in once.items()} == originals


def original_of(patch):
    return getattr(patch, "__wrapped__", None)


def test_uninstalling_restores_the_identical_functions(originals):
    patches.install()

    patches.uninstall()

    assert all(in_place()[place] is original for place, original in originals.items())


def test_uninstalling_what_is_not_installed_changes_nothing(originals):
    patches.uninstall()

    assert in_place() == originals


PATCHED_BY_A_LIBRARY = """
import sys, types
import django
from django.apps import AppConfig
from django.conf import settings
from django.core.management import call_command
from django.db.models.query import QuerySet

class Library(AppConfig):
    name = "library"
    path = "."

    def ready(self):
        below = QuerySet._fetch_all
        def _fetch_all(self):
            if self._result_cache is None:
                self._result_cache = list(self._iterable_class(self))
            below(self)
        QuerySet._fetch_all = _fetch_all

sys.modules["library"] = library = types.ModuleType("library")
library.Library = Library
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", *sys.argv[1:]],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
call_command("migrate", verbosity=0)

import django_memsize as memsize
from django.contrib.contenttypes.models import ContentType

with memsize.measure("all") as recording:
    number = len(ContentType.objects.all())
print(recording.rows == number > 0)
"""


@pytest.mark.parametrize(
    "apps",
    [
        ("django_memsize",),
        ("django_memsize", "library.Library"),
        ("library.Library", "django_memsize"),
    ],
)
def test_no_library_hides_rows_by_loading_them_itself(apps):
    assert ended_well(PATCHED_BY_A_LIBRARY, *apps) == "True\n"


@pytest.mark.parametrize("kept", ["ours", "original"])
def test_uninstalling_leaves_a_later_patch_of_someone_else_in_place(
    monkeypatch, books, originals, kept
):
    patches.install()
    ours, calls = QuerySet._fetch_all, []
    below = ours if kept == "ours" else originals[QuerySet, "_fetch_all"]

    @functools.wraps(below)
    def theirs(self):
        calls.append(self.model)
        below(self)

    with monkeypatch.context() as patching:
        patching.setattr(QuerySet, "_fetch_all", theirs)
        patches.uninstall()

        assert QuerySet._fetch_all is theirs
        assert list(Book.objects.order_by("pk")) == books
        assert set(calls) == {Book}
        assert RawQuerySet._fetch_all is originals[RawQuerySet, "_fetch_all"]

    assert QuerySet._fetch_all is ours
    patches.uninstall()
    assert in_place() == originals


def test_installing_again_under_someone_elses_patch_does_not_patch_twice(
    monkeypatch, books, originals, recording
):
    patches.install()
    ours = QuerySet._fetch_all

    with monkeypatch.context() as patching:
        patching.setattr(QuerySet, "_fetch_all", lambda self: ours(self))
        patches.uninstall()
        patches.install()
        with in_span(recording):
            list(Book.objects.all())

    assert [one.rows for one in recording.evaluations] == [6]


@pytest.mark.django_db(transaction=True)
def test_eight_threads_that_begin_together_patch_once(monkeypatch, books, originals):
    barrier, recordings = threading.Barrier(8), [Recording(str(number)) for number in range(8)]
    wrapped = []

    def slowly(wrap):
        def wrapping(original):
            wrapped.append(original)
            time.sleep(0.01)
            return wrap(original)

        return wrapping

    for place, wrap in patches._WRAPPERS.items():
        monkeypatch.setitem(patches._WRAPPERS, place, slowly(wrap))

    def begin(recording):
        barrier.wait(10)
        patches.install()
        with in_span(recording):
            assert len(list(Book.objects.prefetch_related("author"))) == 6

    in_threads(*(functools.partial(begin, recording) for recording in recordings))

    assert wrapped == [original_of(patch) for patch in in_place().values()]
    assert wrapped == list(originals.values())
    rows = [[one.rows for one in recording.evaluations] for recording in recordings]
    assert rows == [[6, 2]] * 8


@pytest.mark.parametrize(("cls", "name"), PATCHED)
def test_patched_functions_keep_name_and_signature(originals, cls, name):
    original = originals[cls, name]
    patches.install()
    patch = cls.__dict__[name]

    if original is None:
        assert (patch.__name__, patch.__qualname__) == (name, f"{cls.__qualname__}.{name}")
        return
    assert (patch.__name__, patch.__qualname__) == (original.__name__, original.__qualname__)
    assert patch.__doc__ == original.__doc__
    assert inspect.signature(patch) == inspect.signature(original)
