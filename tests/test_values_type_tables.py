import pytest

from django_memsize.values import Amount, Diff, Snapshot, TypeTotal


def snapshot(rows, **circumstances):
    return Snapshot(*_columns(rows), **circumstances)


def diff_of(rows):
    return Diff(*_columns(rows))


def _columns(rows):
    counts = {name: count for name, (count, _) in rows.items()}
    return counts, {name: size for name, (_, size) in rows.items()}


# Totals and amounts


def test_totals_are_added_and_subtracted_number_by_number():
    assert TypeTotal(3, 300) + TypeTotal(1, 50) == TypeTotal(4, 350)
    assert TypeTotal(3, 300) - TypeTotal(4, 50) == TypeTotal(-1, 250)


@pytest.mark.parametrize(
    ("total", "expected"),
    [(TypeTotal(), False), (TypeTotal(1, 0), True), (TypeTotal(0, -8), True)],
)
def test_a_total_is_true_if_anything_changed(total, expected):
    assert bool(total) is expected


def test_a_sum_of_amounts_has_their_blocks_and_bytes_and_no_types():
    types = diff_of({"dict": (1, 64)})

    assert Amount(2, 100, types) + Amount(1, 30, types) == Amount(3, 130)


# Snapshots


def test_a_diff_leaves_out_types_that_did_not_change():
    before = snapshot({"str": (2, 98)})
    after = snapshot({"str": (2, 98), "bank.models.Account": (3, 432)})

    assert after - before == diff_of({"bank.models.Account": (3, 432)})


def test_a_type_whose_bytes_alone_changed_is_in_the_diff():
    assert snapshot({"list": (1, 120)}) - snapshot({"list": (1, 56)}) == diff_of({"list": (0, 64)})


def test_a_type_that_vanished_is_negative_in_the_diff():
    assert snapshot({}) - snapshot({"str": (2, 98)}) == diff_of({"str": (-2, -98)})


def test_a_diff_across_a_freeze_is_not_comparable():
    frozen, thawed = snapshot({}, frozen=10), snapshot({})

    assert not (frozen - thawed).comparable
    assert (thawed - thawed).comparable


def test_only_a_snapshot_can_be_subtracted_from_a_snapshot():
    with pytest.raises(TypeError):
        snapshot({}) - {}


def test_a_snapshot_is_a_mapping_of_totals():
    heap = snapshot({"str": (2, 98), "int": (1, 28)})

    assert heap["str"].count == 2
    assert heap["str"].size == 98
    assert dict(heap) == {"str": TypeTotal(2, 98), "int": TypeTotal(1, 28)}
    assert heap.total == TypeTotal(3, 126)
    assert "float" not in heap
    assert repr(heap) == "<Snapshot: 2 types, 3 objects, 126 bytes>"


@pytest.mark.parametrize("table", [snapshot({"str": (1, 50)}), diff_of({"str": (1, 50)})])
def test_a_table_cannot_be_hashed_because_it_is_compared_by_its_rows(table):
    with pytest.raises(TypeError, match="unhashable"):
        hash(table)


# Diffs


def test_equal_rows_make_equal_diffs_but_no_snapshot():
    assert diff_of({"str": (1, 50)}) == diff_of({"str": (1, 50)})
    assert diff_of({"str": (1, 50)}) != diff_of({"str": (1, 51)})
    assert diff_of({"str": (1, 50)}) != snapshot({"str": (1, 50)})


def test_diffs_with_other_sums_of_smaller_types_differ():
    rows = [("str", TypeTotal(1, 50))]

    assert Diff.of(rows, 2, TypeTotal(3, 30)) == Diff.of(rows, 2, TypeTotal(3, 30))
    assert Diff.of(rows, 2, TypeTotal(3, 30)) != Diff.of(rows, 3, TypeTotal(3, 30))
    assert Diff.of(rows, 2, TypeTotal(3, 30)) != Diff.of(rows, 2, TypeTotal(3, 31))


NOTE = """\
                                    types |   # objects |   total size
========================================= | =========== | ============
                        datetime.datetime |        6180 |    289.69 KB
         django.db.models.base.ModelState |        3090 |    144.84 KB
  octoenergy.data.accounts.models.Account |        3090 |    144.84 KB
                            datetime.date |        3084 |     96.38 KB"""


def test_a_diff_prints_as_the_table_of_types_largest_first():
    diff = diff_of(
        {
            "datetime.date": (3084, 3084 * 32),
            "octoenergy.data.accounts.models.Account": (3090, 3090 * 48),
            "django.db.models.base.ModelState": (3090, 3090 * 48),
            "datetime.datetime": (6180, 6180 * 48),
        }
    )

    assert str(diff) == NOTE


def test_types_are_ranked_by_bytes_without_their_sign_then_objects_then_name():
    diff = diff_of({"a": (1, 10), "b": (-2, -10), "c": (1, 90), "d": (1, 10), "e": (-1, -95)})

    assert [name for name, _ in diff.ranked()] == ["e", "c", "b", "a", "d"]


def test_a_table_prints_fifteen_rows_and_largest_as_many_as_asked_for():
    diff = diff_of({f"type{number}": (1, number) for number in range(1, 31)})

    assert len(str(diff).splitlines()) == 2 + 15
    assert len(str(diff.largest(20)).splitlines()) == 2 + 20
    assert list(diff.largest(2)) == ["type30", "type29"]


def test_the_type_that_shrank_most_is_among_the_largest():
    diff = diff_of({"grew": (1, 50), "shrank": (-9, -900), "little": (1, 1)})

    assert list(diff.largest(2)) == ["shrank", "grew"]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5])
def test_top_keeps_the_largest_types_by_name_and_the_sum_of_the_others(number):
    diff = diff_of({"a": (1, 300), "b": (2, 200), "c": (3, 100)})

    top = diff.top(number)

    assert list(top) == ["a", "b", "c"][:number]
    assert top.others == max(3 - number, 0)
    assert top.other == sum((total for _, total in diff.ranked()[number:]), TypeTotal())
    assert top.total == diff.total == TypeTotal(6, 600)


def test_top_of_a_top_adds_to_the_sum_of_the_others():
    diff = diff_of({f"t{number}": (1, number) for number in range(1, 6)})

    twice, once = diff.top(3).top(2), diff.top(2)

    assert twice == once
    assert (twice.others, twice.other) == (3, TypeTotal(3, 1 + 2 + 3))


def test_a_diff_with_others_may_have_no_type_by_name():
    only_others = Diff.of([], 4, TypeTotal(9, 900))

    assert len(only_others) == 0
    assert only_others.total == TypeTotal(9, 900)
    assert only_others.rows(5) == [("(4 other types)", TypeTotal(9, 900))]


def test_whether_snapshots_were_comparable_outlives_top_and_largest():
    across = snapshot({"str": (1, 50)}, frozen=10) - snapshot({})

    assert not across.top(1).comparable
    assert not across.largest(1).comparable


def test_rows_end_with_all_others_as_one_row():
    diff = diff_of({f"t{number}": (1, number) for number in range(1, 6)})

    assert diff.rows(3) == [
        ("t5", TypeTotal(1, 5)),
        ("t4", TypeTotal(1, 4)),
        ("t3", TypeTotal(1, 3)),
        ("(2 other types)", TypeTotal(2, 3)),
    ]
    assert diff.rows(4)[-1] == ("(1 other type)", TypeTotal(1, 1))
    assert diff.rows(5) == diff.ranked()
