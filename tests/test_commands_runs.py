import pytest
from django.core.management import call_command

from django_memsize.models import Report
from django_memsize.reports import recordings

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.usefixtures("quick_census"),
]


def test_repeat_is_the_number_of_reports(memprofile):
    memprofile("run", "/nothing/", "--repeat", "2")

    assert Report.objects.count() == 2


def test_without_a_warm_up_the_first_request_is_reported(memprofile):
    memprofile("run", "/nothing/", "--no-warm-up")

    assert Report.objects.get().first_request


def test_collected_reports_are_not_stored():
    with recordings.collecting() as collected:
        call_command("check")

    assert list(collected) == []
    assert not Report.objects.exists()
