"""``manage.py memprofile`` as tests run it: in this process, and in one of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from django_memsize.management.commands.memprofile import Command
from django_memsize.reports.build import report_of
from django_memsize.values import Diff, Summary

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-m", "django", "memprofile"]


def create_report(route="/accounts/", net_bytes=0, pk=None, dropped=0, **figures):
    """Store a report of a request that a census measured."""
    summary = Summary(
        **{
            "kind": "request",
            "name": route,
            "method": "GET",
            "status": 200,
            "started_at": time.time(),
            "duration": 0.1,
            "engine": "python",
            "instrument": "census",
            "net": Diff({"str": 1}, {"str": net_bytes}),
        }
        | figures
    )
    report = report_of(summary)
    report.pk, report.dropped = pk, dropped
    report.save(force_insert=True)
    return report


def create_first_counted(route, rows):
    """Store a report of a first request that was only counted."""
    return create_report(route, net=None, instrument="counted", rows=rows, first_request=True)


def exit_code(*words):
    """Parse the words as those of a command line, and return the code that this exits with."""
    command = Command()
    command._called_from_command_line = True
    with pytest.raises(SystemExit) as caught:
        command.create_parser("manage.py", "memprofile").parse_args(words)
    return caught.value.code


def environment(**more):
    """Return the environment of a process of the command."""
    known = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT), "PATH": ""}
    engine = {key: os.environ[key] for key in ("MEMSIZE_ENGINE",) if key in os.environ}
    return known | engine | more


def ended(*words, **more):
    """Run the command in a process of its own, and return it when it has ended."""
    return subprocess.run(
        [*PROGRAM, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**more),
        timeout=60,
        check=False,
    )


MIGRATED = """
import sys
import django
from django.core.management import call_command, execute_from_command_line

django.setup()
call_command("migrate", verbosity=0)
execute_from_command_line(["manage.py", "memprofile", *sys.argv[1:]])
"""


def migrated(*words, **more):
    """Run the command in a process of its own, in which the tables are made before."""
    return subprocess.run(
        [sys.executable, "-c", MIGRATED, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**more),
        timeout=60,
        check=False,
    )
