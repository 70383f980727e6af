"""Documents of other versions, and garbage: every screen shows them as far as they go.

A real document is changed in every way that is listed here, at every place: each of its nodes is
replaced, removed or renamed. Whatever comes out, no screen raises, and none prints what was not
made safe.
"""

import copy
import json
import os
import unicodedata

import pytest

from django_memsize import models
from django_memsize.models import Report
from django_memsize.reports.build import report_of
from django_memsize.screens import terminal
from django_memsize.screens.documents import document_of
from django_memsize.screens.pages import ReportPage
from tests.summaries import CENSUS, COUNTED, METERED

EACH = 1 if os.environ.get("MEMSIZE_LONG") == "1" else 11
"""Of all changes at each place, every one is made with MEMSIZE_LONG=1, and else one in eleven."""

CONTROLS = "a\x00b\x1b[31mc\nd\u202ee\ud800f\x9bg"

WRONG = {
    "null": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "huge": 10**400,
    "a little too large": 2**63,
    "negative and huge": -(10**400),
    "fraction": 0.5,
    "nan": float("nan"),
    "infinite": float("inf"),
    "largest float": 1.7e308,
    "negative float": -1.7e308,
    "no text": "",
    "text": "text",
    "controls": CONTROLS,
    "long": "long " * 20_000,
    "number as text": "5",
    "list": [],
    "list of null": [None],
    "list of lists": [[]],
    "pair": ["a", 1],
    "triple": [CONTROLS, 1, 2],
    "triples": [[CONTROLS, 10**400, 2]],
    "object": {},
    "unknown key": {"unknown": [1, 2]},
    "control key": {CONTROLS: 3},
    "table": {"rows": [["a", 1, 2]], "others": -5, "other": [10**400, -(10**400)]},
    "amount": {"blocks": 10**400, "bytes": -(10**400), "types": None},
    "evaluation": [{"model": CONTROLS, "kind": CONTROLS, "depth": 10**9, "times": -3}],
}


def places(document, path=()):
    """Yield the path of every node below the root."""
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    else:
        return
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def parent_of(document, path):
    for key in path[:-1]:
        document = document[key]
    return document


def changed(document):
    """Yield (name of the change, document) for the changes at every place."""
    for number, path in enumerate(places(document)):
        for name, value in list(WRONG.items())[number % EACH :: EACH]:
            other = copy.deepcopy(document)
            parent_of(other, path)[path[-1]] = value
            yield f"{name} at {path}", other
        other = copy.deepcopy(document)
        removed = parent_of(other, path).pop(path[-1])
        yield f"removed {path}", other
        if isinstance(path[-1], str):
            parent_of(other, path)[CONTROLS] = removed
            yield f"renamed {path}", other


def is_safe(text):
    """Return whether a terminal prints every character as it is."""
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return not any(unicodedata.category(each) in unsafe for each in text.replace("\n", ""))


def shown(document):
    """Show a document on every screen; return the texts."""
    report = Report(kind="request", route="/", method="GET", document=document)
    summary = report.summary()
    page = ReportPage.of(report)
    return {
        "terminal": terminal.report(summary, 15, "heading"),
        "runs": terminal.runs_table([("1", summary)]),
        "JSON": json.dumps(document_of(report), allow_nan=False),
        "page": str(page).encode("unicode_escape").decode(),
        "compared": str(models._compared(1, document)),
    }


REPORTS = {"meter": METERED, "census": CENSUS, "counted": COUNTED}


@pytest.mark.parametrize("instrument", REPORTS)
def test_every_screen_shows_a_document_with_any_change_at_any_place(instrument):
    document = json.loads(json.dumps(report_of(REPORTS[instrument]).document))
    wrong, number = [], 0

    for change, other in changed(document):
        number += 1
        try:
            texts = shown(other)
        except Exception as error:
            wrong.append(f"{change}: {error!r}"[:300])
            continue
        if not is_safe(texts["terminal"] + texts["runs"]):
            wrong.append(f"{change}: not safe")
        if sum(map(len, texts.values())) > 500_000:
            wrong.append(f"{change}: {sum(map(len, texts.values())):,} characters")

    assert wrong[:20] == []
    assert number > 4 * len(list(places(document)))


@pytest.mark.parametrize("wrong", WRONG)
def test_every_screen_shows_what_is_no_document_at_all(wrong):
    assert all(shown(WRONG[wrong]).values())


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", WRONG)
def test_the_page_and_the_command_show_a_stored_document_of_such_values(
    client, django_user_model, memprofile, wrong
):
    # No database stores these in JSON.
    value = json.loads(json.dumps(WRONG[wrong]).replace("NaN", "5").replace("Infinity", "5"))
    value = json.loads(json.dumps(value).replace("\\u0000", "\\u0001").replace("\\ud800", ""))
    client.force_login(django_user_model.objects.create_superuser("admin"))
    report = report_of(METERED)
    report.document = dict.fromkeys(report.document, value) | {
        "evaluations": [dict.fromkeys(report.document["evaluations"][0], value)],
        "peak": value,
    }
    report.save(force_insert=True)

    page = client.get(f"/admin/django_memsize/report/{report.pk}/change/")
    assert page.status_code == 200
    assert "\x1b" not in page.content.decode()
    assert is_safe(memprofile("show", str(report.pk)))
    assert json.loads(memprofile("show", str(report.pk), "--format", "json"))[0]["id"] == report.pk
