"""A Django process to measure: the bank of the example project, in memory."""

import datetime
import decimal
import gc
import io
import platform
import sys
import tempfile
from pathlib import Path

# The package itself is the one that is installed: a checkout need not have a compiled engine.
sys.path.insert(0, str(Path(__file__).parent.parent / "example_project"))

import django
from django.conf import settings

FOLDER = tempfile.TemporaryDirectory()

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "bank",
        "django_memsize",
    ],
    ALLOWED_HOSTS=["testserver"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "reports": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER.name}/reports"},
    },
    MEMSIZE={"DATABASE": "reports", "SAMPLE_RATE": 0},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    ROOT_URLCONF=__name__,
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True},
    ],
)
django.setup()

from bank.models import Account  # noqa: E402
from django.contrib import admin  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.urls import include, path  # noqa: E402


def some_accounts(request):
    """Show 300 accounts."""
    return render(request, "bank/account_list.html", {"accounts": Account.objects.all()[:300]})


def nothing(request):
    """Answer at once."""
    return HttpResponse()


urlpatterns = [
    path("", include("bank.urls")),
    path("admin/", admin.site.urls),
    path("some/", some_accounts),
    path("nothing/", nothing),
]


def served():
    """Fill the database, and return what answers a request to a path."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("load_bank", stdout=io.StringIO())
    handler, requests = WSGIHandler(), RequestFactory()

    def answer(path):
        response = handler.get_response(requests.get(path))
        response.close()
        if response.status_code != 200:
            raise RuntimeError(f"{path} answered {response.status_code}")

    return answer


def loaded(number):
    """Return an account as the ORM makes it from a row."""
    day = 1 + number % 28
    values = {
        "id": number + 1000,
        "holder": f"holder {number}",
        "branch_id": None,
        "balance": decimal.Decimal(number),
        "birth_date": datetime.date(1980, 1, day),
        "opened_at": datetime.datetime(2024, 1, day, 9),
        "last_seen_at": datetime.datetime(2024, 1, day, 17),
        "notes": f"notes on {number}",
    }
    return Account.from_db("default", list(values), list(values.values()))


def compare(contestants, rounds, *arguments):
    """Return the seconds of each round by name; each round begins with another contestant."""
    seconds = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            seconds[name].append(contestants[name](*arguments))
    return seconds


def origin():
    """Return whose build of Python this is: distributions optimise theirs by a profile."""
    if sys.base_prefix != "/usr":
        return "built from source"
    return f"{platform.freedesktop_os_release()['NAME'].split()[0]}'s build"
