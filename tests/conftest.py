import functools
import gc
import tempfile
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.signals import request_finished
from django.db import close_old_connections
from django.utils import translation

from django_memsize import engine, process
from django_memsize.measuring import instruments, recording, spans
from tests import long, threads
from tests.visits import EVERY_REQUEST, others_under_way

# They read the documents and sources of a checkout, and run in "make test"; beside an installed
# package, as with tox, there are none.
IS_CHECKOUT = (Path(__file__).parent.parent / "docs" / "generate.py").exists()
collect_ignore = [] if IS_CHECKOUT else ["test_generate.py", "test_house.py"]


def pytest_report_header():
    """Say which engine is being tested."""
    return f"memsize: engine {engine.name}"


def pytest_collection_modifyitems(items):
    """Mark the tests that take long; skip them unless they are asked for."""
    for item in items:
        if long.is_long(item.nodeid):
            item.add_marker("long")
            if long.is_skipped(item.nodeid):
                item.add_marker(pytest.mark.skip("takes long: set MEMSIZE_LONG=some"))


@pytest.fixture(autouse=True, scope="module")
def _imported_objects(request):
    """Set aside what there is before the tests of a module: a collection of it takes 0.2 s.

    The tests of the engine, and those that ask the collector for functions, have it back; so have
    all where ``MEMSIZE_LONG`` is set.
    """
    if long.IS_ASKED_FOR or request.path.name.startswith(("test_engine_", "test_faults")):
        gc.unfreeze()
    else:
        gc.freeze()


@pytest.fixture(autouse=True)
def _marked_instrument(request, monkeypatch):
    """Have the census measure each test that is marked so, and the default any other."""
    if request.node.get_closest_marker("census"):
        monkeypatch.setattr(recording, "instrument_named", lambda *_: instruments.Census())


@pytest.fixture(params=["meter", "census"])
def instrument(request, monkeypatch):
    """Run a test with each instrument; return the name of the instrument."""
    if request.param == "census":
        monkeypatch.setattr(recording, "instrument_named", lambda *_: instruments.Census())
    elif engine.Window is None:
        pytest.skip("the engine in Python has no meter")
    return request.param


@pytest.fixture
def no_collections():
    """Have Python's collector free nothing in the middle of a test."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    yield
    if was_enabled:
        gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _files_of_processes(tmp_path_factory):
    """Have the files of processes in a folder of this test run."""
    folder = tempfile.tempdir
    tempfile.tempdir = str(tmp_path_factory.mktemp("temporary"))
    yield
    tempfile.tempdir = folder


@pytest.fixture(autouse=True)
def _nothing_left_over():
    """Have every test begin and end outside of any recording."""
    assert spans.open_span() is None
    yield
    assert spans.open_span() is None
    threads.end()
    translation.deactivate()  # a response in another language leaves it to its thread


@pytest.fixture
def as_under_a_test_client():
    """Keep the end of a request from closing connections, as Django's test client does."""
    assert others_under_way() == 0
    request_finished.disconnect(close_old_connections)
    yield
    request_finished.connect(close_old_connections)
    process.reset()


@pytest.fixture
def measured(settings):
    """Have every request measured, its evaluations only listed."""
    settings.MEMSIZE = EVERY_REQUEST


real_census = functools.cache(engine.census)


@pytest.fixture
def quick_census(monkeypatch):
    """Have a census answer at once, where its figures do not matter: with those of the first."""
    counted = real_census()
    monkeypatch.setattr(engine, "census", lambda exclude=(): counted)


@pytest.fixture
def memprofile(capsys):
    """Return a function that runs ``memprofile`` with these words and returns its stdout."""

    def run(*words):
        call_command("memprofile", *words)
        return capsys.readouterr().out

    return run
