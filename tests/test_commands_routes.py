import json

import pytest

from tests.commands import create_report

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def test_routes_are_listed_by_retained_bytes(memprofile):
    create_report(route="/small/", net_bytes=2048)
    create_report(route="/large/", net_bytes=4 * 1024**2)
    latest = create_report(route="/large/", net_bytes=2 * 1024**2, rows=3090)

    lines = memprofile().splitlines()

    assert [line.split(" | ")[0].strip() for line in lines[2:4]] == ["GET /large/", "GET /small/"]
    cells = [cell.strip() for cell in lines[2].split(" | ")]
    assert cells[1:] == ["2", "3.0 MB", "4.0 MB", "-", "3,090", str(latest.pk)]


def test_first_requests_are_left_out(memprofile):
    create_report(route="/first/", net_bytes=4 * 1024**2, first_request=True)

    assert "/first/" not in memprofile()


def test_top_limits_the_routes(memprofile):
    for number in range(5):
        create_report(route=f"/{number}/")

    lines = memprofile("--top", "3").split("\n\n")[0].splitlines()

    assert len(lines) == 2 + 3 + 1
    assert lines[-1] == "and 2 more: --top N"


def test_without_reports_the_output_says_how_to_get_one(memprofile):
    assert memprofile().startswith("No reports yet.")


def test_reports_that_could_not_be_stored_are_counted(memprofile):
    create_report(dropped=3)
    create_report(dropped=4)

    assert "7 reports could not be stored" in memprofile()


def test_routes_as_json(memprofile):
    create_report(route="/accounts/", net_bytes=2048)

    document = json.loads(memprofile("--format", "json"))

    assert document["dropped"] == 0
    assert [route["route"] for route in document["routes"]] == ["/accounts/"]
