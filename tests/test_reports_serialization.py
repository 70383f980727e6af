import dataclasses
import functools
import json
import math
import types
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_memsize.models import Report
from django_memsize.reports import serialization, storage
from django_memsize.reports.build import report_of
from django_memsize.values import (
    SQL_STORED,
    Amount,
    CallSite,
    Diff,
    Evaluation,
    FollowedRelation,
    Instances,
    NearPeak,
    OwnTuple,
    Summary,
    Survival,
    TypeTotal,
)
from django_memsize.workers.tally import Cause, Tally

TYPES = Diff.of([("bank.models.Account", TypeTotal(3, 432))], 2, TypeTotal(9, 900), False)
AMOUNT = Amount(12, 1332, TYPES)
SITE = CallSite("bank/views.py", 41, "accounts", "bank/list.html", 12, True, "bank.views.accounts")
EVALUATION = Evaluation(
    model="bank.Account",
    kind="instances",
    rows=3090,
    duration=0.25,
    times=9,
    site=SITE,
    sql="SELECT 1 WHERE id = %s",
    database="default",
    depth=1,
    streamed=True,
    over_budget=True,
    instances=Instances({"bank.Account": 9, "bank.Branch": 7}),
    diff=TYPES,
    allocated=AMOUNT,
    peak=AMOUNT,
    alive=AMOUNT,
    retained=AMOUNT,
    relations=OwnTuple([FollowedRelation("bank.Branch", "accounts", to_one=True)]),
)
SUMMARY = Summary(
    kind="request",
    name="/accounts/",
    method="GET",
    view="bank.views.accounts",
    status=200,
    started_at=1714564800.5,
    duration=0.5,
    host="web-1",
    pid=7,
    thread="MainThread",
    release="2024-05-01",
    engine="compiled",
    instrument="meter",
    reason="first",
    source="run",
    refused=4,
    first_request=True,
    incomplete=True,
    request_held=True,
    in_flight=2,
    collected_objects=5,
    rss_before=10**9,
    rss_after=10**9 + 1,
    rows=3090,
    statements=4,
    cursor_rows=6,
    overhead=0.125,
    overhead_bytes=2048,
    allocated=AMOUNT,
    peak=AMOUNT,
    alive=AMOUNT,
    retained=AMOUNT,
    garbage=AMOUNT,
    free_lists=AMOUNT,
    not_remembered=AMOUNT,
    not_analysed="size",
    survival=(Survival(3, 200, 100, 2, TYPES), Survival(1, 200, 200)),
    freed_older=12,
    query_log_bytes=4096,
    net=TYPES,
    near_peak=NearPeak(TYPES, "bank.Account", 3090, SITE),
    evaluations=OwnTuple([EVALUATION, Evaluation("bank.Branch", "raw")]),
    evaluations_omitted=3,
    omitted_instances=Instances({"bank.City": 5}),
    evaluations_without_types=1,
)


def through_json(value):
    return json.loads(json.dumps(serialization.to_document(value)))


def fields(cls):
    return [field.name for field in dataclasses.fields(cls)]


# There and back


@pytest.mark.django_db
@pytest.mark.parametrize("drops", [0, 2])
def test_a_dumped_document_is_stored_as_it_is(drops):
    document = serialization.to_document(SUMMARY)
    ours, theirs = Tally(), Tally()
    for tally in (ours, theirs):
        tally.made(Cause.FAULT, drops)
    for stored, tally in ((document, theirs), (serialization.Dumped(document), ours)):
        report = report_of(SUMMARY)
        report.document = stored
        storage._insert([report], "default", tally)

    first, second = Report.objects.order_by("pk").values_list("document", flat=True)
    assert first == second
    assert first.pop(storage.DROPPED, {}) == ({Cause.FAULT: drops} if drops else {})
    assert first == document
    assert Report.objects.filter(document=second).count() == 2


def test_the_example_has_no_field_at_its_default():
    default = Evaluation("", "")
    for name in fields(Summary):
        assert getattr(SUMMARY, name) != getattr(Summary(), name), name
    for name in fields(Evaluation):
        assert getattr(EVALUATION, name) != getattr(default, name), name


@pytest.mark.parametrize("summary", [SUMMARY, Summary()])
def test_a_summary_comes_back_as_it_was(summary):
    assert serialization.summary_of(through_json(summary)) == summary


def test_the_keys_of_a_document_are_the_fields_of_the_values():
    document = through_json(SUMMARY)

    assert list(document) == fields(Summary)
    assert list(document["evaluations"][0]) == fields(Evaluation)
    assert list(document["evaluations"][0]["site"]) == fields(CallSite)
    assert list(document["peak"]) == fields(Amount)
    assert document["net"] == {
        "rows": [["bank.models.Account", 3, 432]],
        "others": 2,
        "other": [9, 900],
        "comparable": False,
    }


def test_the_rows_of_a_stored_table_are_ranked():
    diff = Diff({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 300, "c": -20})

    rows = serialization.to_document(Amount(types=diff))["types"]["rows"]

    assert rows == [["b", 2, 300], ["c", 3, -20], ["a", 1, 1]]


names = st.text("abcdefghij._/", max_size=20)
numbers = st.integers(-(2**63) + 1, 2**63 - 1)
totals = st.builds(TypeTotal, numbers, numbers)
diffs = st.builds(
    Diff.of,
    st.dictionaries(names, totals, max_size=4).map(dict.items),
    st.integers(0, 9),
    totals,
    st.booleans(),
)
amounts = st.none() | st.builds(Amount, numbers, numbers, diffs)
sites = st.none() | st.builds(CallSite, names, numbers, names, names, numbers)
seconds = st.floats(0, 1e9)
evaluations = st.builds(
    Evaluation,
    names,
    names,
    numbers,
    seconds,
    numbers,
    sites,
    names,
    names,
    numbers,
    st.booleans(),
    st.booleans(),
    st.dictionaries(names, numbers, max_size=3).map(Instances),
    st.none() | diffs,
    *[amounts] * 4,
)


@settings(max_examples=40, deadline=None)
@given(
    names,
    seconds,
    st.none() | numbers,
    amounts,
    amounts,
    st.none() | diffs,
    st.none() | st.builds(NearPeak, diffs, names, numbers, sites),
    st.lists(evaluations, max_size=3).map(OwnTuple),
)
def test_any_summary_comes_back_as_it_was(
    name, duration, rss, peak, retained, net, near_peak, evaluated
):
    summary = dataclasses.replace(
        SUMMARY,
        name=name,
        duration=duration,
        rss_before=rss,
        peak=peak,
        retained=retained,
        net=net,
        near_peak=near_peak,
        evaluations=evaluated,
    )

    assert serialization.summary_of(through_json(summary)) == summary


# Other releases


@pytest.mark.parametrize("path", [[], ["peak"], ["near_peak"], ["evaluations", 0], ["net"]])
def test_unknown_keys_are_ignored(path):
    document = through_json(SUMMARY)
    inside = document
    for key in path:
        inside = inside[key]
    inside["of_a_newer_release"] = {"unknown": [1, 2]}

    assert serialization.summary_of(document) == SUMMARY


@pytest.mark.parametrize("name", fields(Summary))
def test_a_missing_key_becomes_the_default_of_its_field(name):
    document = through_json(SUMMARY)
    del document[name]

    expected = dataclasses.replace(SUMMARY, **{name: getattr(Summary(), name)})
    assert serialization.summary_of(document) == expected


@pytest.mark.parametrize("name", fields(Evaluation)[2:])
def test_a_missing_key_of_an_evaluation_becomes_the_default_of_its_field(name):
    document = through_json(SUMMARY)
    del document["evaluations"][0][name]

    (evaluation, _) = serialization.summary_of(document).evaluations
    assert evaluation == dataclasses.replace(
        EVALUATION, **{name: getattr(Evaluation("", ""), name)}
    )


@pytest.mark.parametrize("name", ["model", "kind"])
def test_an_evaluation_without_a_key_that_it_needs_is_left_out(name):
    document = through_json(SUMMARY)
    del document["evaluations"][0][name]

    assert serialization.summary_of(document) == dataclasses.replace(
        SUMMARY, evaluations=SUMMARY.evaluations[1:]
    )


# Unusable values

UNUSABLE = [
    *(None, True, 5, -1, 0.5, float("nan"), 10**400, "", "text", "\ud800"),
    *([], [None], [[]], [[1, 2, 3]], ["a", 1], {}, {"a": 1}, {"a": {"b": []}}),
    {"rows": 5},
    {"rows": [["a"]], "others": 0, "other": [0, 0]},
    {"rows": [["a", 1, "b"]], "others": 0, "other": [0, 0]},
    {"rows": [[["a"], 1, 2]], "others": [], "other": [0, 0]},
    {"rows": [], "others": 0, "other": 7},
    {"rows": [], "others": True, "other": [0, 0]},
    {"blocks": "many", "bytes": [], "types": 3},
    {"diff": None, "model": 3},
    [{"model": "a", "kind": []}],
    [{"model": "a", "kind": "b", "site": [], "instances": {"c": "d"}, "rows": None}],
]


hints_of = functools.cache(typing.get_type_hints)


def has_type(value, hint):
    """Return whether a value is what its field promises, down to the last item."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return any(has_type(value, argument) for argument in arguments)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(has_type(item, arguments[0]) for item in value)
    if dataclasses.is_dataclass(hint):
        hints = hints_of(hint)
        return isinstance(value, hint) and all(
            has_type(getattr(value, name), hints[name]) for name in fields(hint)
        )
    return type(value) is hint and (hint is not float or math.isfinite(value))


@pytest.mark.parametrize("name", fields(Summary))
def test_an_unusable_value_disturbs_no_other_field(name):
    document, default = through_json(SUMMARY), {name: getattr(Summary(), name)}
    expected = dataclasses.replace(SUMMARY, **default)
    for value in UNUSABLE:
        summary = serialization.summary_of(document | {name: value})

        assert has_type(summary, Summary), value
        assert dataclasses.replace(summary, **default) == expected, value


@pytest.mark.parametrize("name", fields(Evaluation))
def test_an_unusable_value_disturbs_no_other_field_of_an_evaluation(name):
    document, own = through_json(SUMMARY), {name: getattr(EVALUATION, name)}
    for value in UNUSABLE:
        document["evaluations"][0][name] = value

        summary = serialization.summary_of(document)

        assert has_type(summary, Summary), value
        *first, last = summary.evaluations
        assert last == SUMMARY.evaluations[-1], value
        assert all(dataclasses.replace(each, **own) == EVALUATION for each in first), value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duration", float("nan")),
        ("started_at", float("inf")),
        ("rows", True),
        ("rows", "3"),
        ("rows", 3.0),
        pytest.param("duration", 10**400, id="duration-huge"),
        ("incomplete", 1),
        ("name", 5),
        ("peak", [1, 2]),
        ("net", []),
        ("near_peak", {"model": "a.A"}),
        ("evaluations", {}),
        ("evaluations", "text"),
        ("status", "200"),
    ],
)
def test_a_value_of_another_type_becomes_the_default(name, value):
    document = through_json(SUMMARY) | {name: value}

    expected = dataclasses.replace(SUMMARY, **{name: getattr(Summary(), name)})
    assert serialization.summary_of(document) == expected


def test_a_whole_number_of_seconds_is_read_as_seconds():
    duration = serialization.summary_of({"duration": 2}).duration

    assert (duration, type(duration)) == (2.0, float)


@pytest.mark.parametrize("document", [None, 5, True, "text", [], [{}], {}])
def test_any_other_value_than_an_object_is_an_empty_summary(document):
    assert serialization.summary_of(document) == Summary()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*fields(Summary), "rows", "other"]), inner, max_size=6)
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(fields(Summary)), anything, max_size=12))
def test_no_document_raises(document):
    assert has_type(serialization.summary_of(document), Summary)


# What every database stores


@pytest.mark.parametrize(
    ("number", "stored"),
    [(2**80, 2**63 - 1), (-(2**80), 1 - 2**63), (-5, -5), (2**63 - 1, 2**63 - 1)],
)
def test_a_number_too_large_for_a_column_is_stored_as_the_largest(number, stored):
    assert serialization.stored_number(number) == stored
    assert serialization.to_document(Summary(rows=number))["rows"] == stored
    amount = Amount(number, number, Diff({"a": number}, {"a": number}))
    assert serialization.to_document(amount) == {
        "blocks": stored,
        "bytes": stored,
        "types": {
            "rows": [["a", stored, stored]],
            "others": 0,
            "other": [0, 0],
            "comparable": True,
        },
    }


def test_names_are_stored_without_what_a_database_or_a_terminal_chokes_on():
    bad, good = "bad\x00\ud800\u202ename", "bad\ufffd\ufffd\ufffdname"
    site = CallSite(bad, 1, bad, bad, 2)
    evaluation = Evaluation(bad, bad, site=site, sql=bad, instances=Instances({bad: 1}))
    summary = Summary(name=bad, net=Diff({bad: 1}, {bad: 2}), evaluations=(evaluation,))

    document = serialization.to_document(summary)

    assert document["name"] == good
    assert document["net"]["rows"] == [[good, 1, 2]]
    (stored,) = document["evaluations"]
    assert (stored["model"], stored["sql"], stored["instances"]) == (good, good, {good: 1})
    assert (stored["site"]["file"], stored["site"]["template"]) == (good, good)


@pytest.mark.parametrize(
    ("value", "name", "longest"),
    [
        (Summary(name="n" * 9999), "name", 255),
        (Summary(host="n" * 9999), "host", 255),
        (Summary(release="n" * 9999), "release", 100),
        (Summary(thread="n" * 9999), "thread", 100),
        (Summary(method="n" * 9999), "method", 200),
        (Evaluation("n" * 9999, "raw"), "model", 200),
        (Evaluation("a.A", "raw", sql="n" * 9999), "sql", SQL_STORED),
    ],
)
def test_a_text_is_cut_to_the_length_of_its_field(value, name, longest):
    assert serialization.to_document(value)[name] == "n" * (longest - 1) + "\N{HORIZONTAL ELLIPSIS}"
