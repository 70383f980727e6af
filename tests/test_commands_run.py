import json
import re
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from django_memsize import engine
from django_memsize.models import Report
from tests.app import views
from tests.app.models import Author
from tests.commands import exit_code, migrated
from tests.visits import create_accounts

pytestmark = pytest.mark.django_db(databases=["default", "other"])

ACCOUNT = "tests.app.models.Account"
AUTHOR = "tests.app.models.Author"

metered = pytest.mark.skipif(engine.Window is None, reason="there is no meter")


@pytest.fixture
def authors():
    Author.objects.bulk_create(Author(name=f"author {number}") for number in range(30))


@pytest.mark.census
def test_run_of_code_counts_what_its_value_refers_to(memprofile, authors):
    text = memprofile("run", "--code", "list(Author.objects.all())")

    stored = Report.objects.get()
    summary = stored.summary()
    (evaluation,) = summary.evaluations
    assert (stored.kind, stored.route) == ("code", "list(Author.objects.all())")
    assert (evaluation.model, evaluation.rows) == ("app.Author", 30)
    assert str(evaluation.site) == "<code>:1"
    assert evaluation.diff[AUTHOR].count == summary.net[AUTHOR].count == 30
    assert " 30 app.Author at <code>:1" in text


@metered
def test_run_of_code_retains_its_value(memprofile, authors):
    text = memprofile("run", "--code", "list(Author.objects.all())")

    summary = Report.objects.get().summary()
    (evaluation,) = summary.evaluations
    assert summary.retained.types[AUTHOR].count == summary.near_peak.diff[AUTHOR].count == 30
    assert evaluation.alive.bytes >= evaluation.retained.bytes > 30 * 48
    sentence = r"Peak [\d.]+ KB loading 30 app.Author at <code>:1; [\d.]+ KB retained\."
    assert re.search(sentence, text)
    assert "The value of the last expression is still referenced" in text


@metered
def test_run_distinguishes_garbage_from_what_is_retained(memprofile):
    create_accounts(200)

    text = memprofile("run", "/accounts/template/")

    summary = Report.objects.get().summary()
    assert summary.garbage.types[ACCOUNT].count == 200
    assert ACCOUNT not in summary.retained.types
    assert re.search(r" garbage.*; nothing retained\.$", text, re.MULTILINE)


@metered
def test_run_prints_bloat_below_its_evaluation_and_show_prints_it_again(memprofile):
    create_accounts(3090)

    text = memprofile("run", "/accounts/")

    found = re.findall(r" ms\n    bloat\? [\d.]+ MB alive at its end .*\n\n", text)
    assert len(found) == 1
    assert found[0] in memprofile("show", str(Report.objects.get().pk))


@metered
def test_several_runs_distinguish_a_leak_from_a_cache(memprofile, monkeypatch):
    create_accounts(200)
    monkeypatch.setattr(views, "kept", [])

    once = memprofile("run", "/accounts/kept/")
    often = memprofile("run", "/accounts/kept/", "--repeat", "2")

    assert "    leak or cache? " in once
    assert re.search(r" ms\n    leak\? [\d.]+ KB .* in all 3 ", often)


@metered
def test_runs_are_compared_in_the_database_of_the_reports_that_returns_no_keys(
    memprofile, monkeypatch, settings
):
    settings.MEMSIZE = {"DATABASE": "other"}
    features = type(connections["other"].features)
    monkeypatch.setattr(features, "can_return_rows_from_bulk_insert", False)
    create_accounts(200)
    monkeypatch.setattr(views, "kept", [])

    text = memprofile("run", "/accounts/kept/", "--repeat", "3")

    assert re.search(r"    leak\? .* in all 3 ", text)


@metered
@pytest.mark.parametrize("url", ["/accounts/", "/accounts/response/", "/accounts/stream/"])
def test_the_response_of_a_run_is_gone_before_the_run_is_analysed(memprofile, url):
    create_accounts(200)

    text = memprofile("run", url)

    summary = Report.objects.get().summary()
    assert summary.peak.bytes > 50_000
    assert ACCOUNT not in summary.retained.types
    assert "; nothing retained.\n" in text


@metered
def test_several_runs_are_a_table_of_peaks_and_retained_bytes(memprofile):
    header = memprofile("run", "/nothing/", "--repeat", "2").splitlines()[0]

    assert [cell.strip() for cell in header.split(" | ")] == [
        *("run", "peak", "retained", "garbage", "rows", "duration")
    ]


@pytest.mark.census
def test_several_runs_that_a_census_counted_are_a_table_of_net_figures(memprofile):
    header = memprofile("run", "/nothing/", "--repeat", "2").splitlines()[0]

    assert [cell.strip() for cell in header.split(" | ")] == [
        *("run", "net", "largest evaluation", "rows", "duration")
    ]


@metered
def test_run_of_code_measures_allocations_outside_evaluations(memprofile):
    memprofile("run", "--code", "[str(i) * 9 for i in range(5000)]")

    summary = Report.objects.get().summary()
    assert summary.retained.types["str"].count == 5000
    assert summary.peak.bytes > sum(sys.getsizeof(str(i) * 9) for i in range(5000))


@pytest.mark.usefixtures("quick_census")
def test_run_of_code_takes_several_lines(memprofile):
    memprofile("run", "--code", "first = [1]\nfirst.append(2)\nfirst")

    assert Report.objects.count() == 1


@pytest.mark.usefixtures("quick_census")
def test_run_as_json(memprofile):
    (document,) = json.loads(memprofile("run", "/nothing/", "--format", "json"))

    assert (document["method"], document["name"]) == ("GET", "/nothing/")
    assert document["sentence"].endswith(".")
    assert document["source"] == Report.objects.get().source == "run"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Nothing to run: give a path, or --code."),
        (
            ("/nothing/", "--code", "1"),
            "A path and --code exclude each other: give only one of them.",
        ),
        (("--code", ""), "--code is empty: there is nothing to run."),
        (("--code", " \n"), "--code is empty: there is nothing to run."),
        (("--code", "# nothing"), "--code is empty: there is nothing to run."),
        (
            ("--code", "1", "--user", "nobody"),
            "--user belongs to a request: give a path instead of --code.",
        ),
        (
            ("--code", "1", "--method", "post"),
            "--method belongs to a request: give a path instead of --code.",
        ),
        (("/nowhere/",), "There is no page at /nowhere/."),
        (("nothing",), "There is no page at nothing. Did you mean /nothing/?"),
        (("/nothing/", "--user", "nobody"), "There is no user 'nobody'."),
    ],
)
@pytest.mark.usefixtures("quick_census")
def test_arguments_that_cannot_be_run_are_an_error_of_one_line(memprofile, words, message):
    with pytest.raises(CommandError) as caught:
        memprofile("run", *words)

    assert str(caught.value) == message
    assert not Report.objects.exists()


@pytest.mark.parametrize(
    ("words", "times", "said"),
    [
        ((), 2, "The code runs twice: the first run fills caches and is not reported"),
        (("--repeat", "3"), 4, "The code runs 4 times: the first run fills caches"),
        (("--no-warm-up",), 1, ""),
        (("-v", "0"), 2, ""),
    ],
)
@pytest.mark.usefixtures("quick_census")
def test_code_runs_as_often_as_the_command_says(capsys, words, times, said):
    call_command("memprofile", "run", "--code", "print('ran')", *words)

    printed = capsys.readouterr()
    assert printed.out.splitlines().count("ran") == times
    assert printed.err.startswith(said)
    assert len(printed.err.splitlines()) == bool(said)


@pytest.mark.usefixtures("quick_census")
def test_requests_are_made_as_often_as_the_command_says(capsys):
    call_command("memprofile", "run", "/nothing/")

    assert capsys.readouterr().err == (
        "The request is made twice: the first run fills caches and is not reported (--no-warm-up "
        "leaves it out).\n"
    )


PRINTS = """
import logging, os, sys
print("printed")
os.system("echo from a child")
logging.StreamHandler(sys.__stdout__).emit(logging.makeLogRecord({"msg": "logged"}))
"""


def test_with_json_output_of_the_program_goes_to_stderr():
    done = migrated("run", "--code", PRINTS, "--format", "json", PATH="/usr/bin:/bin")

    (document,) = json.loads(done.stdout)
    assert document["kind"] == "code"
    lines = done.stderr.splitlines()
    assert [lines.count(line) for line in ("printed", "from a child", "logged")] == [2, 2, 2]


def test_without_json_output_of_the_program_stays_on_stdout():
    done = migrated("run", "--code", "print('printed')")

    assert done.stdout.splitlines().count("printed") == 2
    assert "printed" not in done.stderr


def test_code_that_raises_system_exit_is_an_error(memprofile):
    with pytest.raises(CommandError, match=r"^The code raised SystemExit: 3"):
        memprofile("run", "--code", "raise SystemExit(3)")

    assert not Report.objects.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/", "--repeat", "-1"], "argument --repeat: '-1' is not a whole number of at least 1"),
        (["/", "--method", ""], "argument --method: '' is not an HTTP method"),
        ([""], "argument path: the path is empty"),
    ],
)
def test_an_unusable_argument_is_one_line_and_exit_code_two(capsys, words, said):
    assert exit_code("run", *words) == 2

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"manage.py memprofile run: error: {said}")
