import json

import pytest
from django.core.management import CommandError

from tests.commands import create_report

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def test_show_prints_one_report(memprofile):
    number = create_report().pk

    text = memprofile("show", str(number))

    assert text.startswith(f"Report {number}: GET /accounts/ -> 200\n\nNo rows were loaded;")


def test_show_prints_json_with_the_option_before_or_after_it(memprofile):
    number = create_report().pk

    after = json.loads(memprofile("show", str(number), "--format", "json"))
    before = json.loads(memprofile("--format", "json", "show", str(number)))

    assert after == before
    assert after[0]["name"] == "/accounts/"
    assert after[0]["sentence"].startswith("No rows were loaded;")


def test_show_of_a_missing_report_is_an_error_of_one_line(memprofile):
    with pytest.raises(CommandError, match=r"^There is no report 12345\.$"):
        memprofile("show", "12345")


def test_an_id_too_large_for_the_database_is_an_error_of_one_line(memprofile):
    with pytest.raises(CommandError, match=r"^There is no report 9{30}\.$"):
        memprofile("show", "9" * 30)
