"""A process after another one: its report tells what the other one lost."""

from tests.serving import run, workers_of

SUCCESSOR = """
import django

django.setup()
import django_memsize
from django_memsize.reports import writer

with django_memsize.measure("successor", save=True):
    pass
assert writer.flush(30), writer.last_error()
"""


def accounted(folder, database):
    """Return how many reports are stored, and how many are told as dropped, after all ended."""
    run(SUCCESSOR, folder, database)
    assert workers_of(database) == []
    stored, told = database.told()
    return stored - 1, told
