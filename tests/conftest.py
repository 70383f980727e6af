import pytest

from django_memsize import engine, recording, storage


def pytest_report_header():
    """Say which engine is being tested."""
    return f"memsize: engine {engine.name}"


@pytest.fixture(autouse=True)
def _nothing_left_over():
    """Have every test begin and end outside of any recording."""
    assert recording.current() is None
    yield
    assert recording.current() is None
    storage.forget()
