"""Processes of Celery, which are forked and end without Python's exit functions."""

import contextlib
import signal
import subprocess
import sys
import uuid

import psutil
import pytest

from tests.servers.successors import accounted
from tests.serving import PATIENCE, environment, only_if_long, require, wait_until

pytestmark = only_if_long

BROKER = "redis://127.0.0.1:6379/0"
TASKS = 12


@pytest.fixture
def begin(folder, database):
    """Return a function that begins a worker, and one that has it run tasks."""
    require("celery")
    from celery import Celery

    prefix = uuid.uuid4().hex
    client = Celery(broker=BROKER)
    client.conf.broker_transport_options = {"global_keyprefix": prefix}
    marks = folder / f"{prefix}.marks"
    marks.touch()
    log = folder / f"{prefix}.log"
    command = ["-m", "celery", "--app=tests.served.tasks", "worker", "--concurrency=2"]
    quick = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    variables = {"SERVED_BROKER": BROKER, "SERVED_PREFIX": prefix}
    with contextlib.ExitStack() as stack:

        def worker(*options):
            file = stack.enter_context(log.open("wb"))
            process = subprocess.Popen(
                [sys.executable, *command, *quick, *options],
                cwd=folder,
                env=environment(folder, database) | variables,
                stdout=file,
                stderr=file,
            )
            stack.callback(_kill, process)
            return process

        def run(number):
            for _ in range(number):
                client.send_task("work", [str(marks)])
            assert wait_until(lambda: marks.stat().st_size == number), log.read_text()

        yield worker, run
        client.control.purge()
        client.close()


def _kill(process):
    if process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait(PATIENCE)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_reports_of_tasks_are_stored_by_the_processes_that_ran_them(begin, database, folder):
    worker, run = begin
    process = worker()
    run(TASKS)
    assert wait_until(lambda: len(database.reports("id")) == TASKS)
    pids = {pid for (pid,) in database.reports("pid")}
    assert process.pid not in pids
    assert len(pids) <= 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0

    assert accounted(folder, database) == (TASKS, 0)


def test_a_process_for_each_task_loses_no_report_silently(begin, database, folder):
    worker, run = begin
    process = worker("--max-tasks-per-child=1")
    run(TASKS)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0

    assert sum(accounted(folder, database)) == TASKS
