import pytest

from django_memsize.values import Survival


@pytest.mark.parametrize(("alive", "freed"), [(0, 100), (30, 70), (100, 0), (120, 0)])
def test_what_is_not_alive_was_freed(alive, freed):
    """More may be alive than was retained, where a buffer grew: it counts twice for a moment."""
    assert Survival(1, 100, alive).freed == freed
