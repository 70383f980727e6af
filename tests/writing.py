"""Processes that store reports: a project of their own, with the database of this test run."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from django.db import connection

from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parent.parent
SETTINGS = """
import json

from tests.settings import *

DATABASES = json.loads(os.environ["WRITING_DATABASES"])
MEMSIZE = {"SAMPLE_RATE": 1.0, "MAX_OVERHEAD": 1.0, "EVALUATIONS": False}
MEMSIZE |= json.loads(os.environ["WRITING_MEMSIZE"])
globals().update(json.loads(os.environ["WRITING_SETTINGS"]))
"""

PREAMBLE = """
import os, signal, sys, threading, time
import django

django.setup()
from django.db import connection, connections, transaction
from django.utils import timezone
from django_memsize import measure
from django_memsize.models import Report
from django_memsize.reports import database, queue, writer
from django_memsize.reports.build import report_of
from django_memsize.values import Summary
from django_memsize.workers.tally import State, tally


def report(name="work", **figures):
    made = report_of(Summary(name=name, kind="block", started_at=time.time()))
    for figure, value in figures.items():
        setattr(made, figure, value)
    return made


def submit(*names, **figures):
    for name in names:
        tally.made(State.WAITING)
        writer.submit(report(name, **figures))


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, dict(tally.numbers())
        time.sleep(0.01)


def say(word):
    print(word, flush=True)


def counts():
    return {name: number for name, number in tally.numbers().items() if number}
"""


class Project:
    """A project in a folder, whose processes store reports in one database."""

    def __init__(self, folder, memsize=None, **settings):
        self.folder = folder
        self.memsize = memsize or {}
        self.settings = settings
        self.files = folder / "temporary"
        self.files.mkdir()
        (folder / "writing_settings.py").write_text(SETTINGS)
        self.databases = {"default": self._default()}

    def _default(self):
        if connection.vendor == "sqlite":
            name = self.folder / "db.sqlite3"
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(name)}
        wanted = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
        return {name: str(connection.settings_dict[name]) for name in wanted}

    @property
    def environment(self):
        """The environment of the processes."""
        theirs = ("PATH", "HOME", "LANG", "MEMSIZE_ENGINE")
        return {name: os.environ[name] for name in theirs if name in os.environ} | {
            "DJANGO_SETTINGS_MODULE": "writing_settings",
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.files),
            "WRITING_DATABASES": json.dumps(self.databases),
            "WRITING_MEMSIZE": json.dumps(self.memsize),
            "WRITING_SETTINGS": json.dumps(self.settings),
        }

    def begin(self, program, *arguments):
        """Begin a process that runs the program, after the preamble."""
        return subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + program, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program, *arguments, code=0):
        """Run a program, and return what it prints."""
        process = self.begin(program, *arguments)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, (process.returncode, out, errors)
        return out

    def manage(self, *words, code=0):
        """Run a command of Django, and return what it prints; the error if it fails, as it must."""
        done = subprocess.run(
            [sys.executable, "-m", "django", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    def own_file(self):
        """Return the path of the reports' own SQLite file."""
        return self.folder / "db.memsize.sqlite3"

    def rows(self, columns="route, dropped"):
        """Return the stored reports, in their order."""
        sql = f"SELECT {columns} FROM django_memsize_report ORDER BY id"
        if connection.vendor == "sqlite":
            with contextlib.closing(sqlite3.connect(self.own_file())) as file:
                return file.execute(sql).fetchall()
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(map(tuple, cursor.fetchall()))

    def routes(self):
        """Return the names of the stored reports, in their order."""
        return [route for (route,) in self.rows("route")]

    def wait_for_rows(self, number):
        """Return the stored reports once there are so many."""
        return wait_until(lambda: len(self.rows()) >= number) and self.rows()
