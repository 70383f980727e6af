import pytest

from django_memsize import engine, gauges, recording, storage


def pytest_report_header():
    """Say which engine is being tested."""
    return f"memsize: engine {engine.name}"


@pytest.fixture(autouse=True)
def _instrument(request, monkeypatch):
    """Have the census measure what is marked so, and otherwise what is the default."""
    if request.node.get_closest_marker("census"):
        monkeypatch.setattr(recording, "gauge_for", lambda instrument: gauges.Census())


@pytest.fixture(autouse=True)
def _nothing_left_over():
    """Have every test begin and end outside of any recording."""
    assert recording.current() is None
    yield
    assert recording.current() is None
    storage.forget()
