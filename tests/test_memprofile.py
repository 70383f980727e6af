import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.commands import create_report, ended, exit_code

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.usefixtures("quick_census"),
]


def test_invalid_settings_are_an_error(memprofile):
    with (
        override_settings(MEMSIZE={"TOP_TYPES": 0}),
        pytest.raises(CommandError, match="TOP_TYPES"),
    ):
        memprofile()


@pytest.mark.parametrize(
    "words", [["show", "0"], ["show", "x"], ["--top", "0"], ["--format", "xml"], ["2"]]
)
def test_unusable_arguments_are_one_line_and_exit_code_two(capsys, words):
    assert exit_code(*words) == 2

    error = capsys.readouterr().err
    assert ": error: argument " in error.splitlines()[-1]
    assert "positive_number" not in error


def test_a_failure_ends_with_exit_code_one():
    done = ended("show", "1")

    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_error_quotes_an_argument_that_is_not_a_number(capsys):
    exit_code("show", "abc")

    assert capsys.readouterr().err.splitlines()[-1] == (
        "manage.py memprofile show: error: argument id: 'abc' is not a whole number of at least 1"
    )


def test_without_a_subcommand_and_with_its_name_the_routes_are_printed(memprofile):
    create_report()

    assert memprofile() == memprofile("routes")


OPTIONS = [
    ["--verbosity", "0"],
    ["-v", "3"],
    ["--settings", "tests.settings"],
    ["--pythonpath", "."],
    ["--traceback"],
    ["--no-color"],
    ["--force-color"],
    ["--skip-checks"],
]


@pytest.mark.parametrize("option", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("words", [["show", "1"], ["run", "/nothing/"], ["routes"]], ids=" ".join)
def test_options_of_django_may_stand_after_the_subcommand(memprofile, words, option):
    create_report(pk=1)

    assert memprofile(*words, *option)


def test_settings_named_after_the_subcommand_are_used():
    done = ended("show", "2", "--settings", "tests.settings", DJANGO_SETTINGS_MODULE="nowhere")

    assert done.stderr.startswith("CommandError: The database 'default' has no table of reports")


def test_a_traceback_is_printed_where_asked_for_after_the_subcommand():
    assert ended("show", "2", "--traceback").stderr.startswith("Traceback ")


def test_verbosity_after_the_subcommand_replaces_the_one_before_it(capsys):
    call_command("memprofile", "-v", "3", "run", "/nothing/", "-v", "0")

    assert capsys.readouterr().err == ""
