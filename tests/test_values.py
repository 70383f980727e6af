import pytest

from django_memsize.values import CallSite, Diff, Evaluation, Sized, Snapshot, TypeTotal


def snapshot(rows, **circumstances):
    return Snapshot(*_columns(rows), **circumstances)


def diff_of(rows):
    return Diff(*_columns(rows))


def _columns(rows):
    counts = {name: count for name, (count, _) in rows.items()}
    return counts, {name: size for name, (_, size) in rows.items()}


def test_a_diff_leaves_out_types_that_did_not_change():
    before = snapshot({"str": (2, 98)})
    after = snapshot({"str": (2, 98), "bank.models.Account": (3, 432)})

    assert after - before == diff_of({"bank.models.Account": (3, 432)})


def test_a_type_that_vanished_is_negative_in_the_diff():
    assert snapshot({}) - snapshot({"str": (2, 98)}) == diff_of({"str": (-2, -98)})


def test_a_diff_across_a_freeze_is_not_comparable():
    frozen, thawed = snapshot({}, frozen=10), snapshot({})

    assert not (frozen - thawed).comparable
    assert (thawed - thawed).comparable


def test_only_snapshots_can_be_taken_from_snapshots():
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


def test_equal_rows_make_equal_diffs_but_no_snapshot():
    assert diff_of({"str": (1, 50)}) == diff_of({"str": (1, 50)})
    assert diff_of({"str": (1, 50)}) != diff_of({"str": (1, 51)})
    assert diff_of({"str": (1, 50)}) != snapshot({"str": (1, 50)})


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


def test_a_table_shows_fifteen_rows_and_largest_as_many_as_asked_for():
    diff = diff_of({f"type{number}": (1, number) for number in range(1, 31)})

    assert len(str(diff).splitlines()) == 2 + 15
    assert len(str(diff.largest(20)).splitlines()) == 2 + 20
    assert list(diff.largest(2)) == ["type30", "type29"]


def test_what_shrank_most_is_among_the_largest():
    diff = diff_of({"grew": (1, 50), "shrank": (-9, -900), "little": (1, 1)})

    assert list(diff.largest(2)) == ["shrank", "grew"]


def test_top_types_keep_the_sum_of_the_others():
    diff = diff_of({"a": (1, 300), "b": (2, 200), "c": (3, 100)})

    top = Diff.top(diff, 1)

    assert top.rows == (("a", TypeTotal(1, 300)),)
    assert (top.others, top.other) == (2, TypeTotal(5, 300))
    assert top.total == diff.total


def test_a_table_of_top_types_ends_with_the_others_in_one_row():
    top = Diff.top(diff_of({f"t{n}": (1, n) for n in range(1, 6)}), 3)

    assert top.table(2).splitlines()[-1].split() == "(3 other types) | 3 | 6 B".split()


def test_a_tree_is_indented_by_four_blanks():
    tree = Sized("[1, 'a']", 122, 72, (Sized("'a'", 50, 50), Sized("1", 0, 0)))

    assert (
        tree.format() == "[1, 'a'] size=122 flat=72\n    'a' size=50 flat=50\n    1 size=0 flat=0"
    )


def test_the_size_of_a_loading_is_unknown_without_a_table():
    site = CallSite("bank/views.py", 41, "accounts")

    assert Evaluation("bank.Account", "instances", 3, 0.1, site).size is None
    assert Evaluation("bank.Account", "instances", 3, 0.1, site, types=Diff.of()).size == 0
    assert str(site) == "bank/views.py:41"
