import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import override_settings

from django_memsize import engine
from django_memsize.models import Report
from django_memsize.reports import recordings, serialization
from django_memsize.screens import terminal
from tests.app import views
from tests.app.models import Account, Author
from tests.visits import create_accounts

PROJECT = Path(__file__).parent.parent

pytestmark = pytest.mark.django_db(databases=["default", "other"])
metered = pytest.mark.skipif(engine.Window is None, reason="there is no meter")


@pytest.fixture
def memprofile(capsys):
    def run(*words):
        call_command("memprofile", *words)
        return capsys.readouterr().out

    return run


@pytest.fixture
def authors():
    Author.objects.bulk_create(Author(name=f"author {number}") for number in range(30))


def report(**values):
    known = {
        "kind": "request",
        "route": "/accounts/",
        "method": "GET",
        "status": 200,
        "started_at": "2026-01-01T00:00:00Z",
        "duration": 0.1,
        "engine": "python",
        "instrument": "census",
        "net_bytes": 0,
    }
    return Report.objects.create(**known | values)


def test_without_a_word_it_lists_the_routes_that_grew_most(memprofile):
    report(route="/small/", net_bytes=2048)
    report(route="/large/", net_bytes=4 * 1024**2)
    latest = report(route="/large/", net_bytes=2 * 1024**2, rows=3090)

    lines = memprofile().splitlines()

    assert [line.split(" | ")[0].strip() for line in lines[2:4]] == ["GET /large/", "GET /small/"]
    cells = [cell.strip() for cell in lines[2].split(" | ")]
    assert cells[1:] == ["2", "3.0 MB", "4.0 MB", "-", "3,090", str(latest.pk)]


def test_the_first_of_its_route_in_a_process_does_not_count(memprofile):
    report(route="/cold/", net_bytes=4 * 1024**2, first_request=True)

    assert "/cold/" not in memprofile()


def test_top_limits_the_routes(memprofile):
    for number in range(5):
        report(route=f"/{number}/")

    lines = memprofile("--top", "3").split("\n\n")[0].splitlines()

    assert len(lines) == 2 + 3 + 1
    assert lines[-1] == "and 2 more: --top N"


def test_without_reports_it_says_how_to_get_one(memprofile):
    assert memprofile().startswith("No reports yet.")


def test_reports_that_could_not_be_stored_are_counted(memprofile):
    report(dropped=3)
    report(dropped=4)

    assert "7 reports could not be stored" in memprofile()


def test_routes_as_json(memprofile):
    report(route="/accounts/", net_bytes=2048)

    document = json.loads(memprofile("--format", "json"))

    assert document["dropped"] == 0
    assert [route["route"] for route in document["routes"]] == ["/accounts/"]


def test_show_prints_one_report(memprofile):
    number = report().pk

    text = memprofile("show", str(number))

    assert text.startswith(f"Report {number}: GET /accounts/ -> 200\n\nNo rows were loaded;")


def test_show_prints_json_wherever_the_option_stands(memprofile):
    number = report().pk

    after = json.loads(memprofile("show", str(number), "--format", "json"))
    before = json.loads(memprofile("--format", "json", "show", str(number)))

    assert after == before
    assert after[0]["route"] == "/accounts/"
    assert after[0]["sentence"].startswith("No rows were loaded;")


def test_show_of_a_report_that_is_not_there_is_one_line(memprofile):
    with pytest.raises(CommandError, match=r"^There is no report 12345\.$"):
        memprofile("show", "12345")


def test_run_measures_a_request_through_the_middleware(memprofile):
    text = memprofile("run", "/accounts/")

    stored = Report.objects.get()
    assert text.startswith(f"Report {stored.pk}: GET /accounts/ -> 200\n\n")
    assert (stored.kind, stored.route, stored.status) == ("request", "/accounts/", 200)
    assert not stored.first_request


def test_run_keeps_the_query_string(memprofile):
    memprofile("run", "/accounts/?a=b")

    assert Report.objects.get().route == "/accounts/"


def test_run_repeats_without_the_warm_up(memprofile):
    memprofile("run", "/nothing/", "--repeat", "2")

    assert Report.objects.count() == 2


def test_run_reports_the_warm_up_where_asked_to(memprofile):
    memprofile("run", "/nothing/", "--no-warm-up")

    assert Report.objects.get().first_request


def test_run_uses_the_method_asked_for(memprofile):
    memprofile("run", "/echo/", "--method", "post")

    assert Report.objects.get().method == "POST"


@pytest.mark.census
def test_run_of_code_shows_what_its_value_holds(memprofile, authors):
    text = memprofile("run", "--code", "list(Author.objects.all())")

    stored = Report.objects.get()
    (loading,) = stored.summary().loadings
    assert (stored.kind, stored.route) == ("code", "list(Author.objects.all())")
    assert (loading.model, loading.rows, str(loading.site)) == ("app.Author", 30, "<code>:1")
    assert dict(loading.types.rows)["tests.app.models.Author"].count == 30
    assert dict(stored.summary().types.rows)["tests.app.models.Author"].count == 30
    assert "Loading 30 app.Author at <code>:1 put " in text


@metered
def test_run_of_code_shows_what_its_value_keeps(memprofile, authors):
    text = memprofile("run", "--code", "list(Author.objects.all())")

    summary = Report.objects.get().summary()
    (loading,) = summary.loadings
    assert dict(summary.types.rows)["tests.app.models.Author"].count == 30
    assert dict(summary.moment.types.rows)["tests.app.models.Author"].count == 30
    assert loading.alive >= loading.retained > 30 * 48
    assert re.search(r"Peak [\d.]+ KB loading 30 app.Author at <code>:1; [\d.]+ KB kept\.", text)
    assert "The value of the last expression is still held" in text


@metered
def test_run_tells_what_is_dead_from_what_is_kept(memprofile):
    create_accounts(200)

    memprofile("run", "/accounts/template/")

    summary = Report.objects.get().summary()
    assert dict(summary.garbage_types.rows)["tests.app.models.Account"].count == 200
    assert "tests.app.models.Account" not in dict(summary.types.rows)
    assert terminal.sentence(summary).endswith(
        " dead, waiting for Python's collector; nothing kept."
    )


@metered
def test_run_says_under_an_evaluation_whether_it_is_bloat_and_show_says_it_again(memprofile):
    create_accounts(3090)

    text = memprofile("run", "/accounts/")

    said = re.findall(r" ms\n    bloat\? [\d.]+ MB at its end, not kept: bloat, if .*\n\n", text)
    assert len(said) == 1
    assert said[0] in memprofile("show", str(Report.objects.get().pk))


@metered
def test_several_runs_tell_a_leak_from_what_one_cannot_tell(memprofile, monkeypatch):
    create_accounts(200)
    monkeypatch.setattr(views, "kept", [])

    once = memprofile("run", "/accounts/kept/")
    often = memprofile("run", "/accounts/kept/", "--repeat", "2")

    assert "    leak or cache? " in once
    assert re.search(
        r" ms\n    leak\? [\d.]+ KB kept, as in all 3 reports compared \(same route and process\): "
        r"a leak, unless a cache still fills, or the new takes the place of the old\.\n",
        often,
    )


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

    assert "as in all 3 reports compared" in text


@metered
@pytest.mark.parametrize("url", ["/accounts/", "/accounts/response/", "/accounts/stream/"])
def test_the_response_of_a_run_is_gone_before_what_is_left_is_told(memprofile, url):
    create_accounts(200)

    memprofile("run", url)

    summary = Report.objects.get().summary()
    assert summary.peak.bytes > 50_000
    assert "tests.app.models.Account" not in dict(summary.types.rows)
    assert terminal.sentence(summary).endswith("; nothing kept.")


@metered
def test_several_runs_are_a_table_of_peaks_and_of_what_is_left(memprofile):
    header = memprofile("run", "/nothing/", "--repeat", "2").splitlines()[0]

    assert [cell.strip() for cell in header.split(" | ")] == [
        *("run", "peak", "retained", "garbage", "rows", "duration")
    ]


@pytest.mark.census
def test_several_runs_that_a_census_counted_are_a_table_of_net_figures(memprofile):
    header = memprofile("run", "/nothing/", "--repeat", "2").splitlines()[0]

    assert [cell.strip() for cell in header.split(" | ")] == [
        *("run", "net", "largest load", "rows", "duration")
    ]


@metered
def test_run_of_code_measures_what_it_does_outside_of_evaluations_too(memprofile):
    memprofile("run", "--code", "[str(i) * 9 for i in range(5000)]")

    summary = Report.objects.get().summary()
    assert dict(summary.types.rows)["str"].count == 5000
    assert summary.peak.bytes > sum(sys.getsizeof(str(i) * 9) for i in range(5000))


def test_run_of_code_takes_several_lines(memprofile):
    memprofile("run", "--code", "first = [1]\nfirst.append(2)\nfirst")

    assert Report.objects.count() == 1


def test_run_rolls_back_what_it_writes(memprofile):
    memprofile("run", "--code", "Author.objects.create(name='written')")

    assert not Author.objects.filter(name="written").exists()
    assert Report.objects.count() == 1


def test_run_keeps_what_it_writes_where_asked_to(memprofile):
    memprofile("run", "--code", "Author.objects.create(name='written')", "--commit")

    assert Author.objects.filter(name="written").count() == 2


def test_run_logs_a_user_in(memprofile):
    User.objects.create_superuser("root", password="secret")

    memprofile("run", "/admin/", "--user", "root")
    memprofile("run", "/admin/")

    assert list(Report.objects.order_by("pk").values_list("status", flat=True)) == [200, 302]


def test_run_as_json(memprofile):
    (document,) = json.loads(memprofile("run", "/nothing/", "--format", "json"))

    assert (document["route"], document["status"]) == ("/nothing/", 200)
    assert document["types"]["version"] == serialization.VERSION


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run",), "Say what to run: a path, or --code."),
        (("run", "/nothing/", "--code", "1"), "Say what to run: a path, or --code."),
        (("run", "/nowhere/"), "No page answers to /nowhere/."),
        (("run", "nothing"), "No page answers to nothing. Did you mean /nothing/?"),
        (("run", "/nothing/", "--user", "nobody"), "There is no user 'nobody'."),
    ],
)
def test_what_cannot_be_run_is_one_line(memprofile, words, message):
    with pytest.raises(CommandError) as caught:
        memprofile(*words)

    assert str(caught.value) == message
    assert not Report.objects.exists()


def test_code_that_is_no_python_is_one_line(memprofile):
    with pytest.raises(CommandError, match=r"^--code is not Python: .*") as caught:
        memprofile("run", "--code", "1 +")

    assert "\n" not in str(caught.value)


def test_code_that_raises_is_shown_with_its_own_lines_only(memprofile):
    with pytest.raises(CommandError) as caught:
        memprofile("run", "--code", "def f():\n    return 1 / 0\nf()")

    assert str(caught.value) == (
        "The code raised ZeroDivisionError: division by zero\n\n"
        '  File "<code>", line 3, in <module>\n'
        '  File "<code>", line 2, in f'
    )
    assert not Report.objects.exists()


def test_a_view_that_raises_is_shown_with_its_own_lines_only(memprofile):
    with pytest.raises(CommandError) as caught:
        memprofile("run", "/raises/value/")

    first, _, frames = str(caught.value).partition("\n\n")
    assert first == "/raises/value/ raised ValueError: on purpose"
    assert frames.splitlines()[0].endswith("in raises")
    assert "django_memsize" not in frames


def test_a_project_without_the_middleware_is_told_what_to_add(memprofile):
    with override_settings(MIDDLEWARE=[]), pytest.raises(CommandError, match="MemsizeMiddleware"):
        memprofile("run", "/nothing/")


def test_a_host_that_is_allowed_is_taken_from_the_settings(memprofile):
    with override_settings(ALLOWED_HOSTS=["*", ".example.org"]):
        memprofile("run", "/nothing/")

    assert Report.objects.get().status == 200


def test_wrong_settings_are_one_line(memprofile):
    with (
        override_settings(MEMSIZE={"TOP_TYPES": 0}),
        pytest.raises(CommandError, match="TOP_TYPES"),
    ):
        memprofile()


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize("words", [(), ("show", "1"), ("run", "/nothing/")])
def test_a_database_without_the_table_is_one_line_that_names_migrate(memprofile, words):
    with connection.schema_editor() as editor:
        editor.delete_model(Report)
    try:
        with pytest.raises(CommandError, match=r"manage\.py migrate django_memsize") as caught:
            memprofile(*words)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Report)

    assert "\n" not in str(caught.value)


def ended(*words):
    """Run the command in a process of its own, and return it when it has ended."""
    return subprocess.run(
        [sys.executable, "-m", "django", "memprofile", *words],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(PROJECT), "PATH": ""},
        timeout=60,
    )


@pytest.mark.parametrize("words", [["show", "0"], ["show", "x"], ["run", "/", "--repeat", "-1"]])
def test_words_that_make_no_sense_end_with_a_line_and_an_exit_code(words):
    done = ended(*words)

    assert done.returncode == 2
    assert "error: argument" in done.stderr


def test_a_failure_ends_with_exit_code_one():
    done = ended("show", "1")

    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: ")
    assert len(done.stderr.splitlines()) == 1


def test_ways_of_loading_need_the_meter_and_without_one_it_names_the_fix(memprofile, monkeypatch):
    monkeypatch.setattr(engine, "Window", None)

    with pytest.raises(CommandError, match=r"pip install --force-reinstall") as caught:
        memprofile("alternatives", "Author.objects.all()")

    assert "\n" not in str(caught.value)


def test_what_is_collected_is_not_written(authors):
    with recordings.collecting() as collected:
        call_command("check")

    assert list(collected) == []
    assert not Report.objects.exists()
    assert Account.objects.count() == 0
