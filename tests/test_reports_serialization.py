import json

import pytest

from django_memsize.reports import serialization
from django_memsize.values import CallSite, Diff, Evaluation, Instances, NearPeak, TypeTotal

TYPES = Diff.of((("bank.models.Account", TypeTotal(3, 432)),), 2, TypeTotal(9, 900), False)
LOADING = Evaluation(
    model="bank.Account",
    kind="instances",
    rows=3090,
    duration=0.25,
    site=CallSite("bank/views.py", 41, "accounts"),
    sql="SELECT 1 WHERE id = %s",
    database="default",
    depth=1,
    streamed=True,
    over_budget=True,
    types=TYPES,
)
IN_TEMPLATE = CallSite("bank/views.py", 41, "accounts", "bank/list.html", 12)
INSTANCES = Instances({"bank.Account": 9, "bank.Branch": 7})


def through_json(document):
    return json.loads(json.dumps(document))


def test_a_table_of_types_comes_back_as_it_was():
    assert serialization.types_of(through_json(serialization.types_document(TYPES))) == TYPES


@pytest.mark.parametrize("site", [None, CallSite("bank/views.py", 41, "accounts")])
def test_the_tables_of_a_meter_come_back_as_they_were(site):
    garbage, free_lists = (
        Diff.of((("dict", TypeTotal(1, 64)),)),
        Diff.of((("list", TypeTotal(2, 112)),)),
    )
    moment = NearPeak("bank.Account", 3090, site, TYPES)
    document = through_json(serialization.tables_document(Diff.of(), garbage, free_lists, moment))

    assert serialization.types_of(document) == Diff.of()
    assert serialization.table_of(document, "garbage") == garbage
    assert serialization.table_of(document, "free_lists") == free_lists
    assert serialization.moment_of(document) == moment


@pytest.mark.parametrize("document", [None, {}, serialization.types_document(TYPES)])
def test_a_document_without_the_tables_of_a_meter_has_none(document):
    assert serialization.table_of(document, "garbage") == Diff.of()
    assert serialization.moment_of(document) is None


def test_loadings_come_back_as_they_were():
    bare = Evaluation("bank.Account", "raw", 0, 0.0)
    metered = Evaluation("bank.Account", "raw", 0, 0.0, allocated=4, peak=3, alive=2, retained=0)
    looped = Evaluation("bank.Account", "lazy", 9, 0.0, IN_TEMPLATE, times=9, instances=INSTANCES)
    loadings = [LOADING, bare, metered, looped]
    document = through_json(serialization.loadings_document(loadings, omitted=4, unmeasured=5))

    assert serialization.loadings_of(document) == tuple(loadings)
    assert (document["omitted"], document["unmeasured"]) == (4, 5)
    assert document["version"] == serialization.VERSION


@pytest.mark.parametrize(
    ("sql", "stored"),
    [
        ("SELECT a FROM t WHERE b = %s", "SELECT a FROM t WHERE b = %s"),
        ("SELECT 'it''s secret', b", "SELECT ?, b"),
        (r"SELECT 'a\'secret', b", "SELECT ?, b"),
        ("SELECT 'secret without an end", "SELECT ?"),
    ],
)
def test_what_is_quoted_in_a_statement_is_not_stored(sql, stored):
    document = serialization.loadings_document([Evaluation("m", "raw", 0, 0.0, sql=sql)], 0, 0)

    assert document["loadings"][0]["sql"] == stored


def test_a_loading_stored_before_there_was_a_meter_is_read():
    document = through_json(serialization.loadings_document([LOADING], omitted=0, unmeasured=0))
    for name in ("allocated", "peak", "alive", "retained"):
        del document["loadings"][0][name]

    assert serialization.loadings_of(document) == (LOADING,)


def test_a_loading_stored_before_loops_were_one_is_read():
    document = through_json(serialization.loadings_document([LOADING], omitted=0, unmeasured=0))
    for name in ("times", "instances"):
        del document["loadings"][0][name]

    assert serialization.loadings_of(document) == (LOADING,)


def test_an_empty_document_is_an_empty_table():
    assert serialization.types_of({}) == serialization.types_of(None) == Diff.of()
    assert serialization.loadings_of({}) == ()


def test_names_that_no_database_takes_are_made_safe():
    types = Diff.of((("bad\x00\ud800\u202ename", TypeTotal(1, 2**70)),))

    ((name, count, size),) = serialization.types_document(types)["rows"]

    assert name == "bad\ufffd\ufffd\ufffdname"
    assert (count, size) == (1, 2**63 - 1)


def test_numbers_too_large_for_a_column_are_the_largest_that_fit():
    assert serialization.stored_number(2**80) == 2**63 - 1
    assert serialization.stored_number(-(2**80)) == -(2**63 - 1)
    assert serialization.stored_number(-5) == -5
