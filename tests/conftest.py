import pytest

from django_memsize import recording, storage


@pytest.fixture(autouse=True)
def _nothing_left_over():
    """Have every test begin and end outside of any recording."""
    assert recording.current() is None
    yield
    assert recording.current() is None
    storage.forget()
