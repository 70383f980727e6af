import pytest
from django.core.management import call_command

from django_memsize.models import Report
from django_memsize.reports import recordings

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.usefixtures("quick_census"),
]


def test_run_repeats_without_the_warm_up(memprofile):
    memprofile("run", "/nothing/", "--repeat", "2")

    assert Report.objects.count() == 2


def test_run_reports_the_warm_up_where_asked_to(memprofile):
    memprofile("run", "/nothing/", "--no-warm-up")

    assert Report.objects.get().first_request


def test_what_is_collected_is_not_written():
    with recordings.collecting() as collected:
        call_command("check")

    assert list(collected) == []
    assert not Report.objects.exists()
