import pytest

from django_memsize.values import validation


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("is_bool", [True, False], [0, 1, None]),
        ("is_share", [0, 1, 0.5], [-0.1, 1.1, True, "0.5", float("nan")]),
        ("is_count", [1, 7], [0, -1, True, 1.0]),
        ("is_number", [0, 5], [-1, True, 5.0, None]),
        ("is_limit", [0, 5, None], [-1, True, 0.5]),
        ("is_str", ["", "a"], [None, b"a"]),
        ("is_list_of_str", [[], ["a"], ("a",)], ["a", [1], None]),
        ("is_dict_of_shares", [{}, {"/a/*": 0, "/b": 1.0}], [[], {1: 0.5}, {"/a": 2}, None]),
        ("is_dotted_path", ["", "a.b", "a.b_c.D"], ["a", "a.", "a b.c", ".a", 7, None]),
    ],
)
def test_a_check_tells_usable_values_from_others(check, good, bad):
    is_usable = getattr(validation, check)

    assert [value for value in good if not is_usable(value)] == []
    assert [value for value in bad if is_usable(value)] == []
