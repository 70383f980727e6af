import pytest

from django_memsize.values import Way


@pytest.mark.parametrize(("rows", "each"), [(0, None), (4, 25.0)])
def test_the_bytes_of_a_row_are_known_only_with_rows(rows, each):
    assert Way("values()", rows, retained=100, peak=200, duration=0.1).retained_each == each
