import contextlib
import signal

import pytest

from tests import served_databases


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c():
    """Have the servers obey Ctrl-C, also if a shell began the tests in the background."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return the folder of the servers and their databases."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def _databases(folder):
    """Return a function that returns the database of a name, made when it is first needed."""
    made = {}
    with contextlib.ExitStack() as stack:

        def database(name):
            if name not in made:
                made[name] = stack.enter_context(served_databases.DATABASES[name](folder))
            return made[name]

        yield database


@pytest.fixture
def database(request, folder, _databases):
    """Return the database that the test is parametrised with: no reports, no files of processes."""
    name = getattr(request, "param", "sqlite")
    if name == "sqlite":
        return served_databases.SQLite(folder)  # a copy, that other tests know nothing of
    found = _databases(name)
    found.begin_anew()
    return found
