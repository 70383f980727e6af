"""Load rows through libraries that change querysets, in a process of its own.

Prints as JSON, for each way of loading: the statements it runs unrecorded, those it runs recorded,
and the rows recorded. The argument says which apps come first, ``memsize`` or ``others``.
"""

# ruff: noqa: E402 - models can be imported only once there are settings

import json
import sys
from contextlib import nullcontext

import django
from django.conf import settings
from django.core.management import call_command

MEMSIZE = ["django_memsize"]
OTHERS = ["polymorphic", "mptt", "cachalot"]

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        *(MEMSIZE + OTHERS if sys.argv[1] == "memsize" else OTHERS + MEMSIZE),
        "tests.third_party",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from cachalot.api import cachalot_disabled, invalidate
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_memsize.context import within
from django_memsize.recording import Recording
from tests.third_party.models import Animal, Cafe, Dog, Folder, Place


def inheritance():
    assert {type(place) for place in Place.objects.select_subclasses()} == {Place, Cafe}


def polymorphic():
    assert {type(animal) for animal in Animal.objects.all()} == {Animal, Dog}
    assert {type(animal) for animal in Animal.objects.iterator()} == {Animal, Dog}


def tree():
    root = Folder.objects.get(parent=None)
    assert len(root.get_descendants(include_self=True)) == 3


def cache():
    invalidate()
    assert len(Place.objects.all()) == len(Place.objects.all()) == 2


def statements(load):
    with CaptureQueriesContext(connection) as captured:
        load()
    return [query["sql"] for query in captured.captured_queries]


call_command("migrate", run_syncdb=True, verbosity=0)
for model in (Place, Cafe, Animal, Dog):
    model.objects.create()
root = Folder.objects.create()
for _ in range(2):
    Folder.objects.create(parent=root)

found = {}
for load in (inheritance, polymorphic, tree, cache):
    recording = Recording(load.__name__)
    with nullcontext() if load is cache else cachalot_disabled():
        unrecorded = statements(load)
        with within(recording):
            recorded = statements(load)
    found[load.__name__] = [unrecorded, recorded, recording.rows]
sys.stdout.write(json.dumps(found))
