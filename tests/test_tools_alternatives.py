import gc
import tracemalloc

import pytest
from django.db import connection
from django.db.models import Count, Prefetch, QuerySet
from django.test.utils import CaptureQueriesContext

import django_memsize as memsize
from django_memsize import engine
from django_memsize.reports import thresholds
from django_memsize.tools import alternatives
from django_memsize.tools.alternatives import IncomparableError, compare
from tests.app.models import Account, Author, Book, Novel, Reader, Tag
from tests.visits import create_accounts, create_library

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter"),
]

EVERY_WAY = {"instances", "only()", "values()", "values_list()", "iterator()"}


@pytest.fixture
def accounts():
    create_accounts(500)
    return Account.objects.all()


@pytest.fixture
def library():
    create_library()


def by_name(found):
    return {way.name: way for way in found.ways}


def omitted(found):
    return {way.name: way.reason for way in found.omitted}


def statements(queryset, *arguments):
    """Return the comparison, and the statements that load rows for it."""
    seen = []

    def listen(execute, sql, *rest):
        if sql.startswith("SELECT"):
            seen.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(listen):
        return compare(queryset, *arguments), seen


@pytest.mark.parametrize(
    ("way", "load"),
    [
        ("instances", lambda rows: rows.all()),
        ("only()", lambda rows: rows.only("id", "name")),
        ("values()", lambda rows: rows.values("id", "name")),
        ("values_list()", lambda rows: rows.values_list("id", "name")),
    ],
)
def test_the_retained_bytes_are_the_deep_size_of_the_rows(accounts, way, load):
    found = by_name(compare(accounts, ["id", "name"]))[way]

    # A driver that parses text makes ints of 28 bytes (MySQLdb), which count as 32.
    assert found.retained == pytest.approx(memsize.sizeof(list(load(accounts))), rel=0.03)


@pytest.mark.parametrize("way", ["values", "values_list"])
def test_the_retained_bytes_are_those_that_tracemalloc_sees(accounts, way):
    found = by_name(compare(accounts, ["name"]))
    rows = getattr(accounts, way)("name")
    window = engine.Window()
    window.open()  # no context is in it: it only has CPython's free lists followed
    tracemalloc.start()
    try:
        held = list(rows.all())
        gc.collect()  # empties the free lists: these are not retained
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        window.close()
        window.discard()

    assert len(held) == 500
    assert found[f"{way}()"].retained == pytest.approx(size, rel=0.05)


def test_every_way_loads_the_same_rows_and_the_one_that_retains_least_is_first(accounts):
    found = compare(accounts, ["id", "name"])

    assert by_name(found).keys() == EVERY_WAY
    assert {way.rows for way in found.ways} == {500}
    retained = [way.retained for way in found.ways]
    assert retained == sorted(retained)
    assert all(way.peak >= way.retained for way in found.ways)
    assert found.ways[-1].name == "instances"


def test_a_stream_retains_nothing_and_has_a_lower_peak():
    create_accounts(3 * alternatives.CHUNK)

    found = by_name(compare(Account.objects.all()))

    assert found["iterator()"].retained < thresholds.NOTHING_FOR_A_STREAM
    assert found["iterator()"].peak < 0.7 * found["instances"].peak


def test_the_rows_of_a_stream_are_counted():
    create_accounts(alternatives.CHUNK + 1)

    found = by_name(compare(Account.objects.all()))

    assert found["iterator()"].rows == alternatives.CHUNK + 1


def test_without_rows_nothing_goes_wrong():
    found = compare(Account.objects.none())

    assert {way.rows for way in found.ways} == {0}
    assert {way.retained_each for way in found.ways} == {None}


def test_nothing_is_evaluated_but_copies(accounts):
    compare(accounts)

    assert accounts._result_cache is None


def test_the_log_of_statements_is_not_retained_by_a_way(accounts):
    many = accounts.filter(pk__in=accounts.values_list("pk", flat=True)[:400][::1])
    quiet = by_name(compare(many))
    with CaptureQueriesContext(connection):
        logged = by_name(compare(many))

    for name, way in logged.items():
        assert way.retained == pytest.approx(quiet[name].retained, abs=1024)


def test_a_recording_around_the_comparison_is_not_credited_with_it(accounts):
    compare(accounts)

    with memsize.measure("block") as recording:
        found = compare(accounts)

    assert recording.evaluations == ()
    assert recording.peak.bytes < by_name(found)["values_list()"].peak


def test_only_needs_fields_and_says_how(accounts):
    found = compare(accounts)

    assert omitted(found) == {"only()": "it needs the fields to load, as in: --fields id,name"}


def test_only_the_named_fields_are_loaded(library):
    found, seen = statements(Book.objects.all(), ["title"])

    assert by_name(found)["only()"].retained < 1000 * 60 < by_name(found)["instances"].retained
    assert sum("blurb" in sql for sql in seen) == 2 * (alternatives.ROUNDS + 1)
    assert len(seen) == 5 * (alternatives.ROUNDS + 1)


def test_the_primary_key_and_the_name_of_a_column_are_fields(library):
    assert by_name(compare(Book.objects.all(), ["pk", "author_id"])).keys() == EVERY_WAY
    assert by_name(compare(Novel.objects.all(), ["pk", "title"])).keys() == EVERY_WAY


def test_an_annotation_is_a_field_of_values(library):
    authors = Author.objects.annotate(number=Count("books"))

    found = compare(authors, ["name", "number"])

    assert by_name(found).keys() == EVERY_WAY
    assert {way.rows for way in found.ways} == {20}


def test_an_unknown_field_is_an_error_that_names_the_known_ones():
    with pytest.raises(IncomparableError) as caught:
        compare(Author.objects.all(), ["name", "nmae\x1b"])

    assert str(caught.value) == "app.Author has no field 'nmae\ufffd'. Its fields: id, name, best."


def test_values_load_the_fields_of_the_instances(library):
    whole, deferred = compare(Book.objects.all()), compare(Book.objects.defer("blurb"))
    few = compare(Book.objects.only("author"))  # no titles, which are texts of their own

    assert by_name(whole)["values()"].retained > 1000 * 60
    assert by_name(deferred)["values()"].retained < 1000 * 60
    assert by_name(few)["values()"].retained < by_name(deferred)["values()"].retained - 40 * 60


def test_relations_are_loaded_where_rows_are_instances(library):
    books = Book.objects.select_related("author").prefetch_related("readers")

    found, seen = statements(books, ["title", "author"])

    without = {name: way.without for name, way in by_name(found).items()}
    dropped = ("select_related()", "prefetch_related()")
    assert without == {
        **dict.fromkeys(("instances", "iterator()", "only()"), ()),
        **dict.fromkeys(("values()", "values_list()"), dropped),
    }
    assert len(seen) == (3 * 2 + 2) * (alternatives.ROUNDS + 1)


@pytest.mark.parametrize(
    ("books", "dropped"),
    [
        (lambda: Book.objects.select_related("author"), "select_related()"),
        (lambda: Book.objects.prefetch_related("author"), "prefetch_related()"),
        (
            lambda: Book.objects.prefetch_related(Prefetch("author", Author.objects.all())),
            "prefetch_related()",
        ),
    ],
)
def test_only_does_not_follow_a_relation_that_it_does_not_load(library, books, dropped):
    found, seen = statements(books(), ["title"])

    assert by_name(found)["only()"].without == (dropped,)
    assert len(seen) < 10 * (alternatives.ROUNDS + 1)


def test_only_does_not_follow_a_generic_key(library):
    for author in Author.objects.all():
        Tag.objects.create(name="a tag", target=author)

    found, seen = statements(Tag.objects.prefetch_related("target"), ["name"])

    assert by_name(found)["only()"].without == ("prefetch_related()",)
    assert len(seen) < 10 * (alternatives.ROUNDS + 1)


def test_after_a_union_there_is_no_only(library):
    some = Author.objects.filter(name__contains="1")

    found = compare(some.union(Author.objects.filter(name__contains="2")), ["id", "name"])

    assert by_name(found).keys() == EVERY_WAY - {"only()"}
    assert omitted(found) == {"only()": "Django does not support it after union()"}


@pytest.mark.parametrize(
    "books",
    [
        lambda: Book.objects.distinct(),
        lambda: Book.objects.filter(pk__gt=0).union(Book.objects.all()),
    ],
)
def test_ways_that_would_drop_equal_rows_are_left_out(library, books):
    found = compare(books(), ["blurb"])

    assert {"values()", "values_list()"} <= omitted(found).keys()
    assert "primary key" in omitted(found)["values()"]
    assert {"values()", "values_list()"} <= by_name(compare(books(), ["pk", "blurb"])).keys()


def test_a_limit_takes_the_first_rows(accounts):
    found, seen = statements(accounts, None, 7)

    assert {way.rows for way in found.ways} == {7}
    assert all("ORDER BY" in sql for sql in seen)
    assert found.is_fixed


def test_a_limit_is_within_a_slice(accounts):
    assert {way.rows for way in compare(accounts.order_by("pk")[490:], limit=20).ways} == {10}
    assert {way.rows for way in compare(accounts.order_by("pk")[:5], limit=20).ways} == {5}
    assert {way.rows for way in compare(accounts[:30], ["id"], limit=20).ways} == {20}


def test_a_slice_without_an_order_may_have_other_rows_each_time(accounts):
    assert not compare(accounts[:30]).is_fixed
    assert compare(accounts.order_by("name")[:30]).is_fixed


def test_a_way_that_fails_is_left_out_and_the_others_go_on(library):
    class Failing(QuerySet):
        def values(self, *fields):
            return super().values(*fields).extra(where=["nowhere = 1"])

    found = compare(Failing(Author))

    assert by_name(found).keys() == {"instances", "values_list()", "iterator()"}
    assert "nowhere" in omitted(found)["values()"]


def test_a_way_that_a_queryset_refuses_is_left_out(library):
    class Refusing(QuerySet):
        def values_list(self, *fields):
            raise TypeError("not\x1b here")

    found = compare(Refusing(Author))

    assert by_name(found).keys() == {"instances", "values()", "iterator()"}
    assert omitted(found)["values_list()"] == "TypeError: not\ufffd here"


def test_a_way_with_other_rows_is_left_out(library):
    class Shorter(QuerySet):
        def values(self, *fields):
            return super().values(*fields)[:3]

    found = compare(Shorter(Author))

    assert omitted(found)["values()"] == "it loads 3 rows instead of 20"


def test_rows_that_change_meanwhile_are_not_compared(library):
    class Growing(QuerySet):
        def all(self):
            Author.objects.create(name="one more")
            return super().all()

    with pytest.raises(IncomparableError, match=r"^The rows changed meanwhile"):
        compare(Growing(Author))


def test_incomplete_figures_are_an_error(library):
    class Stopping(QuerySet):
        def all(self):
            tracemalloc.stop()
            return super().all()

    tracemalloc.start()
    try:
        with pytest.raises(IncomparableError, match=r"^Incomplete: "):
            compare(Stopping(Author))
    finally:
        tracemalloc.stop()


def test_the_rows_are_loaded_from_the_database_of_the_queryset():
    Reader.objects.using("other").create(name="the only one")

    found = compare(Reader.objects.using("other"))

    assert found.database == "other"
    assert {way.rows for way in found.ways} == {1}
