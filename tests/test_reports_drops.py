"""Drops: counted by cause, and logged once a minute and cause."""

import pytest
from django.db import IntegrityError, OperationalError
from django.test import override_settings

from django_memsize import process
from django_memsize.reports import drops
from django_memsize.workers.tally import Cause, State, tally


@pytest.fixture(autouse=True)
def _new_process():
    process.reset()


def test_a_cause_is_logged_once_and_counted_each_time(caplog):
    tally.made(State.QUEUED, 5)
    for cause in (Cause.QUEUE_FULL, Cause.REFUSED, Cause.QUEUE_FULL):
        drops.drop(State.QUEUED, cause, reason="why")

    assert [record.getMessage() for record in caplog.records] == [
        "django-memsize: reports are dropped: queue full: why",
        "django-memsize: reports are dropped: refused by the database: why",
    ]
    assert tally.untold() == {"queue full": 2, "refused by the database": 1}
    assert tally.numbers()[State.QUEUED] == 2


@pytest.mark.parametrize(("alias", "option"), [("", ""), ("other", " --database other")])
def test_a_missing_table_is_logged_with_the_command_that_makes_it(caplog, alias, option):
    with override_settings(MEMSIZE={"DATABASE": alias}):
        drops.drop(State.QUEUED, Cause.TABLE_MISSING)

    (record,) = caplog.records
    assert f"'manage.py migrate django_memsize{option}'" in record.getMessage()


class Unreadable(Exception):
    def __str__(self):
        raise LookupError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("Key (name)='secret' exists"), "ValueError: Key (name)=? exists"),
        (OperationalError("a\x1b[31m"), "OperationalError: a\ufffd[31m"),
        (
            IntegrityError("\nnull value\nDETAIL:  Failing row contains (1, secret)."),
            "IntegrityError: null value",
        ),
        (
            OperationalError(1205, "Lock wait timeout exceeded; try 'secret'"),
            "OperationalError: 1205: Lock wait timeout exceeded; try ?",
        ),
        (OperationalError(), "OperationalError: (no message)"),
        (Unreadable(), "Unreadable: (its message cannot be read)"),
    ],
)
def test_an_error_is_told_without_literals_and_control_characters(error, expected):
    assert drops.describe(error) == expected
