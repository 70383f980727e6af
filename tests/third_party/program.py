"""Load rows through libraries that change querysets, in a process of its own.

    python -m tests.third_party.program {without,first,last} {none,cachalot,cacheops}

The first argument is the place of django_memsize in INSTALLED_APPS, the second the library that
caches rows. Prints as JSON, for each way of loading: its statements, its result, and, if
django_memsize is installed, the number of rows recorded.
"""

# ruff: noqa: E402 - models can be imported only once there are settings

import json
import sys
import uuid

import django
from django.conf import settings
from django.core.management import call_command

PLACE, CACHE = sys.argv[1:]
LIBRARIES = ["polymorphic", "mptt", "treebeard", *([CACHE] if CACHE != "none" else [])]
PREFIX = uuid.uuid4().hex  # several runs may share one Redis
APPS = {
    "without": LIBRARIES,
    "first": ["django_memsize", *LIBRARIES],
    "last": [*LIBRARIES, "django_memsize"],
}

settings.configure(
    # The app of the tests first, because keys of content types, and so statements, depend on order.
    INSTALLED_APPS=["tests.third_party", "django.contrib.contenttypes", *APPS[PLACE]],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    CACHEOPS_REDIS="redis://127.0.0.1:6379/0",
    CACHEOPS={"third_party.*": {"ops": "all", "timeout": 60}},
    CACHEOPS_PREFIX=lambda _: PREFIX,
)
django.setup()

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Prefetch
from django.test.utils import CaptureQueriesContext

from tests.third_party.models import Animal, Boat, Cafe, Dog, Folder, Owner, Page, Place, Zoo

WAYS = {"none": [], "cachalot": [], "cacheops": []}


def way(*caches):
    """Register a way of loading, to be run with the cache libraries of these names."""

    def add(load):
        for cache in caches:
            WAYS[cache].append(load)
        return load

    return add


def named(instances):
    """Return the class and the name of each instance."""
    return [(type(one).__name__, str(one.name)) for one in instances]


@way("none")
def subclasses():
    return named(Place.objects.select_subclasses().order_by("pk"))


@way("none")
def subclasses_of_an_iterator():
    return named(Place.objects.select_subclasses().order_by("pk").iterator())


@way("none")
def subclass():
    return named([Place.objects.get_subclass(name="cafe")])


@way("none")
def polymorphic():
    return named(Animal.objects.order_by("pk"))


@way("none")
def polymorphic_iterator():
    return named(Animal.objects.order_by("pk").iterator())


@way("none")
def polymorphic_get():
    return named([Animal.objects.get(name="dog")])


@way("none")
def not_polymorphic():
    return named(Animal.objects.non_polymorphic().order_by("pk"))


@way("none")
def polymorphic_values():
    return list(Animal.objects.order_by("pk").values_list("name", flat=True))


@way("none")
def polymorphic_prefetch():
    animals = Prefetch("animals", Animal.objects.order_by("pk"))
    return [named(zoo.animals.all()) for zoo in Zoo.objects.prefetch_related(animals)]


@way("none")
def polymorphic_relation():
    return [dog.zoo.name for dog in Dog.objects.select_related("zoo")]


@way("none")
def tree():
    return named(Folder.objects.get(parent=None).get_descendants(include_self=True))


@way("none")
def ancestors():
    return named(Folder.objects.get(name="leaf").get_ancestors())


@way("none")
def cached_tree():
    (root,) = Folder.objects.all().get_cached_trees()
    return [named(child.get_children()) for child in root.get_children()]


@way("none")
def pages():
    return [(page.title, page.depth) for page in Page.get_tree()]


@way("none")
def children_of_a_page():
    return [page.title for page in Page.objects.get(title="home").get_children()]


@way("none")
def dump_of_pages():
    return [page["data"]["title"] for page in Page.dump_bulk()]


@way("none")
def relation_of_peers():
    return [boat.owner.name for boat in Boat.objects.order_by("pk")]


@way("none")
def relation_of_one():
    return Boat.objects.get(name="first").owner.name


@way("cachalot", "cacheops")
def asked_twice():
    return [named(Owner.objects.order_by("pk")) for _ in range(2)]


@way("cachalot", "cacheops")
def get_twice():
    return [Owner.objects.get(name="ann").name for _ in range(2)]


@way("cachalot", "cacheops")
def values_twice():
    return [list(Owner.objects.order_by("pk").values_list("name", flat=True)) for _ in range(2)]


@way("cachalot", "cacheops")
def iterated_twice():
    return [named(Owner.objects.order_by("pk").iterator()) for _ in range(2)]


@way("cachalot", "cacheops")
def relations_twice():
    return [[boat.owner.name for boat in Boat.objects.order_by("pk")] for _ in range(2)]


@way("cachalot", "cacheops")
def prefetched_twice():
    owners = Owner.objects.order_by("pk").prefetch_related("boats")
    return [[named(owner.boats.all()) for owner in owners.all()] for _ in range(2)]


@way("cachalot", "cacheops")
def counted_twice():
    return [Owner.objects.count() for _ in range(2)]


@way("cachalot", "cacheops")
def asked_again_after_a_change():
    before = named(Owner.objects.order_by("pk"))
    ann = Owner.objects.get(name="ann")
    ann.save()
    return before, named(Owner.objects.order_by("pk"))


def populate():
    call_command("migrate", run_syncdb=True, verbosity=0)
    Place.objects.create(name="place")
    Cafe.objects.create(name="cafe")
    zoo = Zoo.objects.create(name="zoo")
    Animal.objects.create(name="animal", zoo=zoo)
    Dog.objects.create(name="dog", zoo=zoo)
    root = Folder.objects.create(name="root")
    branch = Folder.objects.create(name="branch", parent=root)
    Folder.objects.create(name="leaf", parent=branch)
    home = Page.add_root(title="home")
    for title in ("news", "about"):
        home.add_child(title=title)
    for name, boats in (("ann", ["first", "second"]), ("ben", ["third"])):
        owner = Owner.objects.create(name=name)
        for boat in boats:
            Boat.objects.create(name=boat, owner=owner)


def tried(load):
    """Load with empty caches, and return the statements and the result."""
    clear_caches()
    with CaptureQueriesContext(connection) as captured:
        found = load()
    return {"statements": [query["sql"] for query in captured.captured_queries], "found": found}


def tried_twice(load):
    """Load once without a recording and once with one, and return both results."""
    import django_memsize as memsize

    unrecorded = tried(load)
    with memsize.measure(load.__name__) as recording:
        recorded = tried(load)
    return {"unrecorded": unrecorded, "recorded": recorded, "rows": recording.rows}


def clear_caches():
    ContentType.objects.clear_cache()
    if CACHE == "cachalot":
        from cachalot.api import invalidate

        invalidate()
    elif CACHE == "cacheops":
        from cacheops import invalidate_model

        for model in (Owner, Boat):
            invalidate_model(model)


populate()
loaded = tried if PLACE == "without" else tried_twice
sys.stdout.write(json.dumps({load.__name__: loaded(load) for load in WAYS[CACHE]}))
