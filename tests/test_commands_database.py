import pytest
from django.core.management import CommandError
from django.db import connection

from django_memsize.commands.database import reading
from django_memsize.models import Report
from tests.app.models import Author

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.usefixtures("quick_census"),
]


def test_run_rolls_its_writes_back(memprofile):
    memprofile("run", "--code", "Author.objects.create(name='written')")

    assert not Author.objects.filter(name="written").exists()
    assert Report.objects.count() == 1


def test_run_keeps_its_writes_with_commit(memprofile):
    memprofile("run", "--code", "Author.objects.create(name='written')", "--commit")

    assert Author.objects.filter(name="written").count() == 2


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize("words", [(), ("show", "1"), ("run", "/nothing/")])
def test_without_the_table_the_error_names_migrate(memprofile, words):
    with connection.schema_editor() as editor:
        editor.delete_model(Report)
    try:
        with pytest.raises(CommandError, match=r"manage\.py migrate django_memsize") as caught:
            memprofile(*words)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Report)

    assert "\n" not in str(caught.value)


_LOCK_TIMEOUT = {
    "postgresql": ("SHOW lock_timeout", "2s"),
    "mysql": ("SELECT @@lock_wait_timeout", 2),
}
"""A question for the time that a statement waits for a lock, and the answer, by vendor."""


def test_reports_are_read_without_waiting_for_a_lock_for_long():
    with reading("default"), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            assert len(connection.savepoint_ids) == 0
        else:
            question, expected = _LOCK_TIMEOUT[connection.vendor]
            cursor.execute(question)
            assert cursor.fetchone()[0] == expected
