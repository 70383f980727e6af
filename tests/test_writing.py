"""Processes that store reports: which never wait for it, and what becomes of each report."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import threading

import pytest
from django.db import connection, connections

from tests.writing import PATIENCE, Project

pytestmark = pytest.mark.django_db(transaction=True)

only_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite")
only_servers = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server")
only_mysql = pytest.mark.skipif(connection.vendor != "mysql", reason="is about MariaDB")


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def locked(project):
    """Lock the table of reports in another session; return a function that unlocks it."""
    with contextlib.ExitStack() as stack:
        if connection.vendor == "sqlite":
            project.run("submit('first'); assert writer.flush(10)")
            holder = stack.enter_context(contextlib.closing(sqlite3.connect(project.own_file())))
            holder.isolation_level = None
            holder.execute("BEGIN IMMEDIATE")
            stack.callback(lambda: holder.in_transaction and holder.execute("ROLLBACK"))
            yield lambda: holder.execute("ROLLBACK")
            return
        other = stack.enter_context(contextlib.closing(connections.create_connection("default")))
        with other.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute("LOCK TABLES django_memsize_report WRITE")
                yield lambda: other.cursor().execute("UNLOCK TABLES")
            else:
                cursor.execute("BEGIN; LOCK TABLE django_memsize_report IN ACCESS EXCLUSIVE MODE")
                yield lambda: other.cursor().execute("ROLLBACK")


def said(process, word):
    """Wait until a process says a word; return the rest of the line."""
    line = process.stdout.readline()
    assert line.startswith(word), (line, process.stderr.read() if not line else "")
    return line.removeprefix(word).strip()


# The thread and its connection


def test_reports_are_stored_by_one_thread_through_one_connection_of_its_own(project):
    project.run(
        """
used = set()
from django.db.backends.signals import connection_created
connection_created.connect(lambda connection, **_: used.add(threading.get_ident()), weak=False)
with measure("block", save=True):
    pass
assert writer.flush(10)
assert Report.objects.count() == 1
mine = connections[database.alias()]
for number in range(20):
    submit(f"{number}")
assert writer.flush(10)
assert [thread.name for thread in threading.enumerate()].count("memsize-writer") == 1
(writing,) = [t for t in threading.enumerate() if t.name == "memsize-writer"]
assert writing.daemon
assert used == {threading.get_ident(), writing.ident}
assert connections[database.alias()] is mine
assert mine.queries == []
"""
    )
    assert project.routes() == ["block", *map(str, range(20))]


def test_requests_in_an_event_loop_take_two_threads_and_one_connection(project):
    project.run(
        """
import asyncio
from django.db.backends.signals import connection_created
from django.test import AsyncClient
opened = []
connection_created.connect(lambda connection, **_: opened.append(connection.alias), weak=False)
async def visit():
    client = AsyncClient()
    for _ in range(3):
        await asyncio.gather(*(client.get("/nothing/") for _ in range(20)))
        names = [thread.name for thread in threading.enumerate()]
        assert sum(name.startswith("memsize") for name in names) <= 2, names
asyncio.run(visit())
assert writer.flush(20)
assert opened == [database.alias()], opened
assert counts() == {"made": 60, "stored": 60}, counts()
"""
    )
    assert project.rows() == [("/nothing/", 0)] * 60


def test_no_statement_about_reports_is_in_the_log_of_queries_with_debug(project):
    project.settings["DEBUG"] = True
    project.run(
        """
import logging
from django.test.utils import CaptureQueriesContext
heard = []
class Handler(logging.Handler):
    def emit(self, record):
        heard.append(record.getMessage())
logging.getLogger("django.db.backends").addHandler(Handler())
with CaptureQueriesContext(connection) as captured:
    submit("a", "b")
    assert writer.flush(10)
logged = [*heard, *(query["sql"] for query in [*captured, *connection.queries])]
assert not [line for line in logged if "django_memsize" in line or "INSERT" in line], logged
"""
    )
    assert project.routes() == ["a", "b"]


def test_a_block_saved_inside_a_transaction_neither_shares_its_fate_nor_its_locks(project):
    project.manage(
        "migrate", "--verbosity=0", "--run-syncdb"
    ) if connection.vendor == "sqlite" else None
    project.run(
        """
from tests.app.models import Author
with transaction.atomic():
    Author.objects.create(name="rolled back")
    with measure("block", save=True):
        pass
    assert writer.flush(10)
    transaction.set_rollback(True)
assert not Author.objects.exists()
"""
    )
    assert project.routes() == ["block"]


# Tests of a program

PROBES = """
from django.db import connection
from django.test import TestCase, TransactionTestCase, override_settings

from django_memsize.measuring import deferred
from django_memsize.models import Report
from tests.app.models import Author

EVERY_REQUEST = {"SAMPLE_RATE": 1.0, "MAX_OVERHEAD": 1.0}
held = []


@override_settings(MEMSIZE=EVERY_REQUEST)
class AsksAsAClass(TestCase):
    def test_1_leaves_a_report_waiting(self):
        held.append(self.client.get("/nothing/"))
        self.assertEqual(len(deferred._deferred.waiting), 1)

    def test_2_has_its_own_reports_alone(self):
        with self.assertNumQueries(1):
            Author.objects.count()
            deferred.analyse_now()
        self.assertEqual(Report.objects.count(), 0)
        with self.assertNumQueries(0):
            self.client.get("/nothing/")
            deferred.analyse_now()
        self.assertEqual(Report.objects.count(), 1)


class AsksByItself(TestCase):
    def test_3_leaves_a_report_waiting(self):
        with self.settings(MEMSIZE=EVERY_REQUEST):
            held.append(self.client.get("/nothing/"))
            self.assertEqual(len(deferred._deferred.waiting), 1)
        self.assertEqual(len(deferred._deferred.waiting), 0)

    def test_4_does_not_ask(self):
        with self.assertNumQueries(0):
            self.client.get("/nothing/")
            deferred.analyse_now()
        self.assertEqual(Report.objects.count(), 0)


class DoesNotAsk(TestCase):
    databases = ["default"]  # and so no other

    def test_6_counts_its_queries(self):
        for _ in range(300):
            with self.assertNumQueries(1):
                Author.objects.count()
                self.client.get("/nothing/")


@override_settings(MEMSIZE=EVERY_REQUEST | {"DATABASE": "other"})
class MayNotUseThatDatabase(TestCase):
    databases = ["default"]

    def test_7_has_its_answer(self):
        self.assertEqual(self.client.get("/nothing/").status_code, 200)
        with self.assertLogs("django_memsize") as logged:
            deferred.analyse_now()
        self.assertIn("reports are dropped", logged.output[0])


class BesideIt(TransactionTestCase):
    def test_5_asks(self):
        with self.settings(MEMSIZE=EVERY_REQUEST):
            self.client.get("/nothing/")
            deferred.analyse_now()
            self.assertEqual(Report.objects.count(), 1)
"""


@pytest.mark.parametrize("order", [[], ["--reverse"], ["--parallel=2"], ["--keepdb"]], ids=" ".join)
def test_tests_that_ask_for_reports_leave_the_others_alone(project, order):
    (project.folder / "probes.py").write_text(PROBES)
    project.databases["default"]["TEST"] = {"NAME": f"memsize_writing_{os.getpid()}"}
    if connection.vendor == "sqlite":
        project.databases["default"]["TEST"] = {"NAME": None}

    project.databases["other"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}

    project.manage("test", "--noinput", *order, "probes")

    assert not project.own_file().exists()
    assert not list(project.files.iterdir())


# Databases that fail


def test_nobody_waits_for_a_locked_table_and_nothing_is_lost(project, locked):
    process = project.begin(
        """
with transaction.atomic(), measure("block", save=True):
    pass
submit("a", "b")
say("submitted")
wait_for(lambda: writer._writer.is_failing)
submit("c")
say("failing " + writer.last_error())
sys.stdin.readline()
assert writer.flush(30) or not wait_for(lambda: not writer._unfinished())
say("stored")
print(counts())
"""
    )
    with process:
        said(process, "submitted")
        assert said(process, "failing")
        locked()
        process.stdin.write("\n")
        process.stdin.flush()
        said(process, "stored")
        assert process.wait(PATIENCE) == 0, process.stderr.read()
    routes = project.routes()
    assert routes[-4:] == ["block", "a", "b", "c"]
    assert {dropped for _, dropped in project.rows()} == {0}


def test_a_process_ends_in_time_though_the_table_is_locked(project, locked):
    out = project.run(
        """
submit("a", "b")
wait_for(lambda: writer._writer.is_failing)
began = time.monotonic()
writer._end()
print(time.monotonic() - began < 1, counts()["lost at exit"])
"""
    )
    assert out.split() == ["True", "2"]
    locked()
    project.run("submit('next'); assert writer.flush(20)")
    assert project.rows()[-1] == ("next", 2)


@only_servers
def test_a_database_that_accepts_and_never_answers_hinders_nobody(project):
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(
            target=lambda: [accepted.append(server.accept()) for _ in range(3)], daemon=True
        ).start()
        settings = project.databases["default"]
        settings["HOST"], settings["PORT"] = "127.0.0.1", str(server.getsockname()[1])
        out = project.run(
            """
for number in range(300):
    submit(str(number))
numbers = tally.numbers()
print(numbers["queued"], numbers["queue full"])
wait_for(lambda: writer._writer.is_failing)
submit("more")
print(tally.numbers()["database failed"], len(threading.enumerate()))
"""
        )
    assert out.split() == ["200", "100", "1", "2"]
    assert 1 <= len(accepted) <= 2
    for sock, _ in accepted:
        sock.close()


@only_servers
def test_a_terminated_session_is_opened_again_and_nothing_is_stored_twice(project):
    process = project.begin(
        """
submit("before")
assert writer.flush(20)
say("stored")
sys.stdin.readline()
submit("after")
wait_for(lambda: not writer._unfinished())
"""
    )
    with process:
        said(process, "stored")
        end_sessions()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(PATIENCE) == 0, process.stderr.read()
    assert project.rows() == [("before", 0), ("after", 0)]


@only_servers
def test_a_session_that_ended_while_nothing_was_written_is_no_failure(project):
    process = project.begin(
        """
from django_memsize.reports import writer_thread
writer_thread.LONGEST_IDLE = 0.0
submit("before")
assert writer.flush(20)
say("stored")
sys.stdin.readline()
submit("after")
wait_for(lambda: not writer._unfinished())
assert writer.last_error() == "", writer.last_error()
"""
    )
    with process:
        said(process, "stored")
        end_sessions()
        _, errors = process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "cannot be stored" not in errors  # an old report that is looked for just then may fail
    assert project.rows() == [("before", 0), ("after", 0)]


def end_sessions():
    """Terminate every session of other processes in the database of the tests."""
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(
                "SELECT id FROM information_schema.processlist "
                "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
            for (number,) in cursor.fetchall():
                cursor.execute(f"KILL {number}")
        else:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'django-memsize' AND datname = current_database()"
            )
            assert cursor.fetchall()


CUT = """
cuts = []
def cut(commit):
    def cutting(self):
        commit(self)
        if not cuts:
            cuts.append(True)
            from django.db import OperationalError
            raise OperationalError("server closed the connection unexpectedly")
    return cutting
from django.db.backends.base.base import BaseDatabaseWrapper
BaseDatabaseWrapper._commit = cut(BaseDatabaseWrapper._commit)
"""


def test_a_connection_cut_after_the_commit_stores_and_counts_each_report_once(project):
    project.run("submit('first'); assert writer.flush(20)")
    out = project.run(
        CUT
        + """
tally.inherit("refused by the database", 3)
submit("a", "b")
wait_for(lambda: cuts)
submit("c")
wait_for(lambda: not writer._unfinished())
numbers = tally.numbers()
print(numbers["made"], numbers["stored"], dict(tally.untold()))
"""
    )
    assert out == "3 3 {}\n"
    assert project.rows() == [("first", 0), ("a", 3), ("b", 0), ("c", 0)]


def test_one_bad_report_of_a_batch_alone_is_refused(project):
    out = project.run(
        """
from django_memsize.reports.writer_thread import WriterThread
WriterThread.begin, begin = lambda self: None, WriterThread.begin
submit("a")
submit("bad", rows="no number")
submit("b")
WriterThread.begin = begin
writer.begin()
assert writer.flush(20)
submit("c")
assert writer.flush(20)
print(counts()["refused by the database"], counts()["stored"])
"""
    )
    assert out == "1 3\n"
    assert project.rows() == [("a", 0), ("b", 1), ("c", 0)]


@only_mysql
@pytest.mark.parametrize("charset", ["latin1", "utf8mb3"])
def test_what_the_charset_of_the_table_lacks_is_escaped(project, charset):
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE django_memsize_report MODIFY route varchar(255) "
            f"CHARACTER SET {charset} NOT NULL"
        )
    try:
        project.run("submit('plain', '\\U0001f40d'); assert writer.flush(20)")
        assert project.rows() == [("plain", 0), ("\\U0001f40d", 0)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE django_memsize_report MODIFY route varchar(255) "
                "CHARACTER SET utf8mb4 NOT NULL"
            )


def test_reports_are_stored_without_time_zones(project):
    project.settings |= {"USE_TZ": False, "TIME_ZONE": "Asia/Kathmandu"}
    project.run(
        """
import datetime
submit("a")
assert writer.flush(20), writer.last_error()
age = datetime.datetime.now() - Report.objects.get().started_at
assert abs(age.total_seconds()) < 60, age
"""
    )
    assert project.routes() == ["a"]


@only_servers
def test_reports_are_stored_once_their_table_is_made(project):
    project.run(
        """
name = Report._meta.db_table
def rename(old, new):
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")
rename(name, "hidden")
try:
    submit("a", "b")
    wait_for(lambda: not writer._unfinished())
finally:
    rename("hidden", name)
assert counts()["table missing"] == 2, counts()
submit("c")
wait_for(lambda: not writer._unfinished())
"""
    )
    assert project.rows() == [("c", 2)]


# Whatever hangs

HANGING = """
import json, shutil, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from django.test import Client

DRIVERS = ("psycopg/connection.py", "psycopg/cursor.py", "MySQLdb/connections.py")
MODULES = {"_io", "_thread", "fcntl", "mmap", "posix", "sqlite3", "MySQLdb._mysql"}
OF_THEIR_OWN = ("threading.py", "logging/__init__.py")
writer._TO_EXIT = 0.05
seen, reached = set(), threading.Event()


def name_of(frame, event, called):
    file = frame.f_code.co_filename
    if event == "call" and file.endswith(DRIVERS):
        return frame.f_code.co_qualname
    if event == "c_call" and not file.endswith(OF_THEIR_OWN):
        module = called.__module__ or type(called.__self__).__module__
        name = called.__qualname__
        return name if module in MODULES and name != "lock.release" else None  # never waits


def survey(frame, event, called):
    seen.add(name_of(frame, event, called))


def hang(frame, event, called):
    if name_of(frame, event, called) == name:
        reached.set()
        threading.Event().wait()


def serve(requests=3):
    for _ in range(requests):
        assert Client().get("/nothing/").content == b"nothing"
    with measure("block", save=True):
        pass


def in_a_child(function):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer and json.loads(answer)


def names():
    threading.setprofile(survey)
    serve()
    assert writer.flush(20), writer.last_error()
    return sorted(seen - {None})


def outcome():
    threading.setprofile(hang)
    serve()
    for number in range(20):  # some calls are made for one report, some for several at once
        if reached.wait(1):
            break
        serve(3 * (number % 2))
    assert reached.is_set()
    serve()
    writer._at_exit()
    numbers = tally.numbers()
    return [numbers["made"], numbers["stored"] + numbers["lost at exit"]]


in_a_child(names)  # makes the table where there is none, and leaves the file of a process
files, saved = os.environ["TMPDIR"], os.environ["TMPDIR"] + ".saved"
shutil.copytree(files, saved)
outcomes = dict.fromkeys(in_a_child(names))
for name in outcomes:
    shutil.rmtree(files)
    shutil.copytree(saved, files)
    outcomes[name] = in_a_child(outcome)
print(json.dumps(outcomes))
"""


def test_whatever_call_of_a_thread_of_ours_hangs_nobody_waits_and_nothing_is_lost_silently(project):
    process = project.begin(HANGING)
    out, errors = process.communicate(timeout=5 * PATIENCE)
    assert process.returncode == 0, errors
    outcomes = json.loads(out)

    assert {name: found for name, found in outcomes.items() if not found} == {}, errors
    assert {name: found for name, found in outcomes.items() if found[0] != found[1]} == {}
    assert len(outcomes) > 15, sorted(outcomes)


# The end of a process


def test_what_waits_and_what_is_queued_is_stored_when_a_process_ends(project):
    project.run(
        """
submit("a", "b", "c")
sys.exit(3)
""",
        code=3,
    )
    assert project.routes() == ["a", "b", "c"]


def test_the_blocks_of_an_event_loop_are_stored_when_it_ends(project):
    project.run(
        """
import asyncio
async def work(number):
    with measure(f"block {number}", save=True):
        await asyncio.sleep(0)
async def main():
    await asyncio.gather(*map(work, range(20)))
asyncio.run(main())
"""
    )
    assert sorted(project.rows()) == sorted((f"block {number}", 0) for number in range(20))


def test_the_blocks_of_a_command_are_stored_when_it_ends(project):
    blocks = (
        "from django_memsize import measure\n"
        "for number in range(20):\n"
        "    with measure(f'block {number}', save=True):\n"
        "        pass\n"
    )
    project.manage("shell", "--command", blocks)

    assert project.rows() == [(f"block {number}", 0) for number in range(20)]


def test_a_request_that_is_not_over_is_stored_when_its_process_ends(project):
    project.run(
        """
from django.test import Client
from django_memsize.measuring import deferred
deferred._LONGEST_WAIT = 600
held = Client().get("/nothing/")
"""
    )
    assert project.rows() == [("/nothing/", 0)]


def test_a_process_ends_although_storing_never_does(project):
    project.run(
        """
from django_memsize.reports import storage
submit("first")
assert writer.flush(20)
storage.write = lambda *arguments, **options: threading.Event().wait()
submit("a", "b")
"""
    )
    project.run("submit('next'); assert writer.flush(20)")

    assert project.rows() == [("first", 0), ("next", 2)]


def test_a_process_that_ends_in_the_middle_of_another_attempt_waits_for_it(project):
    project.run(
        """
from django.db import OperationalError
from django_memsize.reports import storage
attempts, second, write = [], threading.Event(), storage.write


def slow_after_a_failure(*arguments, **options):
    attempts.append(None)
    if len(attempts) == 1:
        raise OperationalError("gone")
    second.set()
    time.sleep(0.3)
    write(*arguments, **options)


storage.write = slow_after_a_failure
submit("a")
assert second.wait(30)
"""
    )

    assert project.rows() == [("a", 0)]


def test_ctrl_c_loses_no_report(project):
    # A shell has what it runs in the background ignore Ctrl-C.
    handled = "signal.signal(signal.SIGINT, signal.default_int_handler); "
    process = project.begin(handled + "submit('a', 'b'); say('ready'); time.sleep(60)")
    with process:
        said(process, "ready")
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)

    assert process.returncode == -signal.SIGINT
    assert project.rows() == [("a", 0), ("b", 0)]


KILLED = """
submit("first")
assert writer.flush(20)
from django_memsize.reports import storage
storage.write = lambda *args, **options: time.sleep(60)
submit("a", "b")
writer.drop(State.QUEUED, "queue full", 0)
say("ready")
"""


@pytest.mark.parametrize("end", ["kill", "term", "_exit"])
def test_what_a_process_loses_at_its_end_is_told_exactly_once(project, end):
    process = project.begin(KILLED + ("os._exit(0)" if end == "_exit" else "time.sleep(60)"))
    with process:
        said(process, "ready")
        if end != "_exit":
            process.send_signal(signal.SIGKILL if end == "kill" else signal.SIGTERM)
        process.wait(PATIENCE)
    both = [project.begin("submit('next'); assert writer.flush(20)") for _ in range(2)]
    for process in both:
        with process:
            assert process.wait(PATIENCE) == 0, process.stderr.read()

    assert sorted(project.rows()) == [("first", 0), ("next", 0), ("next", 2)]
    assert not [path for path in project.files.rglob("*") if path.is_file()]


def test_nothing_of_a_process_that_runs_is_taken_for_lost(project):
    process = project.begin(KILLED + "sys.stdin.readline(); os._exit(0)")
    with process:
        said(process, "ready")
        project.run("submit('other'); assert writer.flush(20)")
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait(PATIENCE)

    assert project.rows() == [("first", 0), ("other", 0)]
    assert len([path for path in project.files.rglob("*") if path.is_file()]) == 1


# Forks


FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
from django_memsize.reports import storage
submit("parent")
assert writer.flush(20)
write, gate, inside = storage.write, threading.Event(), threading.Event()
def waiting(*args, **options):
    inside.set()
    gate.wait(60)
    write(*args, **options)
storage.write = waiting
submit("queued in the parent")
inside.wait(60)
with tally._lock:
    child = os.fork()
if not child:
    storage.write = write
    assert not writer._writer.queue
    submit("child")
    sys.exit(0 if writer.flush(20) else 4)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
gate.set()
assert writer.flush(20), writer.last_error()
submit("parent again")
assert writer.flush(20), writer.last_error()
assert not writer._writer.error, writer._writer.error
"""


def test_a_child_writes_its_own_reports_and_leaves_its_parents_alone(project):
    project.run(FORK)

    assert sorted(project.rows()) == [
        ("child", 0),
        ("parent", 0),
        ("parent again", 0),
        ("queued in the parent", 0),
    ]
    assert len(set(project.rows("pid"))) <= 2


# SQLite


@only_sqlite
def test_reports_are_in_a_file_of_their_own_that_is_made_when_it_is_needed(project):
    project.run("assert not Report.objects.using('memsize') is None")
    assert not project.own_file().exists()
    both = [
        project.begin("submit('a'); assert writer.flush(20), writer.last_error()") for _ in "12"
    ]
    for process in both:
        with process:
            assert process.wait(PATIENCE) == 0, process.stderr.read()

    assert project.routes() == ["a", "a"]
    names = {path.name for path in project.folder.iterdir()}
    assert not any(name.startswith("db.sqlite3") for name in names), names


@only_sqlite
def test_an_own_file_that_cannot_be_made_is_named(project):
    project.own_file().mkdir()
    process = project.begin("submit('a'); wait_for(lambda: writer._writer.is_failing)")
    _, errors = process.communicate(timeout=PATIENCE)
    name = str(project.own_file())

    assert process.returncode == 0
    assert f"cannot be stored in the file {name}, and wait" in errors
    assert f"The file {name} does not answer: " in project.manage("memprofile", "status")
    assert f"The file {name} does not answer: " in project.manage("memprofile", code=1)


@only_sqlite
@pytest.mark.skipif(os.name != "posix", reason="elsewhere no open file can be removed")
def test_an_own_file_that_somebody_removes_is_made_anew(project):
    project.run(
        """
from pathlib import Path
submit("a")
assert writer.flush(20)
for path in Path.cwd().glob("db.memsize.sqlite3*"):
    path.unlink()
submit("b")
assert writer.flush(20), writer.last_error()
Path("db.memsize.sqlite3").rename("moved")
submit("c", "d")
assert writer.flush(20), writer.last_error()
"""
    )
    assert project.routes() == ["c", "d"]


@only_sqlite
@pytest.mark.skipif(os.name != "posix", reason="is about users of POSIX")
def test_who_may_use_the_programs_file_may_use_the_own_file(project):
    file = project.folder / "db.sqlite3"
    file.touch()
    file.chmod(0o664)
    if os.geteuid() == 0:  # as a command run by root, where another user serves
        os.chown(file, 12345, 12346)

    program = "os.umask(0o077); submit('a'); assert writer.flush(20), writer.last_error()"
    process = project.begin(f"{program}; say('stored'); sys.stdin.readline()")
    with process:
        said(process, "stored")
        found = {path.name: path.stat() for path in project.folder.glob("db.memsize.sqlite3*")}
        process.communicate("\n", timeout=PATIENCE)

    theirs = file.stat()
    assert "db.memsize.sqlite3-wal" in found
    for name, own in found.items():
        assert own.st_mode == theirs.st_mode, name
        assert (own.st_uid, own.st_gid) == (theirs.st_uid, theirs.st_gid), name


@only_sqlite
def test_the_table_in_the_own_file_is_made_once_by_whoever_comes_first(project):
    project.run(
        """
alias = database.alias()
faults = []
def prepare():
    try:
        database.prepare(alias)
        assert database.has_table(alias)
    except Exception as error:
        faults.append(error)
    finally:
        connections[alias].close()
threads = [threading.Thread(target=prepare) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
assert not faults, faults
assert not [name for name in sys.modules if name.startswith("django.contrib.auth.migrations.")]
"""
    )
    with contextlib.closing(sqlite3.connect(project.own_file())) as own:
        applied = own.execute("SELECT app, name FROM django_migrations").fetchall()
        tables = {name for (name,) in own.execute("SELECT name FROM sqlite_master")}
        assert own.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert applied == [("django_memsize", "0001_initial")]
    assert not {name for name in tables if name.startswith(("app_", "auth_"))}


@only_sqlite
def test_the_own_file_is_made_once_another_process_no_longer_locks_it(project):
    project.run(
        """
import sqlite3

alias = database.alias()
other = sqlite3.connect(database.own_file(alias), isolation_level=None, check_same_thread=False)
other.execute("BEGIN IMMEDIATE")  # as another process does when it makes the tables
release = threading.Timer(0.5, other.execute, ["COMMIT"])
release.start()
database.prepare(alias)
assert database.has_table(alias)
release.join()
"""
    )


@only_sqlite
def test_a_router_of_the_program_does_not_keep_the_table_from_being_made(project):
    (project.folder / "routing.py").write_text(
        "class Router:\n"
        "    def allow_migrate(self, database, app_label, **hints):\n"
        "        return False\n"
        "    def db_for_read(self, model, **hints):\n"
        "        return 'default'\n"
        "    db_for_write = db_for_read\n"
    )
    project.settings["DATABASE_ROUTERS"] = ["routing.Router"]
    project.run("submit('a'); assert writer.flush(20), writer.last_error()")

    assert project.routes() == ["a"]
    assert "Report 2: " in project.manage("memprofile", "run", "--code", "1 + 1")


@only_sqlite
def test_a_transaction_that_reads_before_it_writes_never_fails_because_of_reports(project):
    project.manage("migrate", "--verbosity=0", "--run-syncdb")
    project.run(
        """
from tests.app.models import Author
for number in range(50):
    with transaction.atomic():
        Author.objects.count()
        submit(str(number))
        assert writer.flush(20)
        Author.objects.create(name="written")
assert Author.objects.count() == 50
"""
    )
    assert len(project.routes()) == 50


@only_sqlite
def test_the_commands_read_the_file_that_has_the_reports(project):
    project.manage("migrate", "--verbosity=0", "--run-syncdb")
    assert "No requests yet" in project.manage("memprofile")
    assert "Report 1: " in project.manage("memprofile", "run", "--code", "1 + 1")
    assert "Report 1: " in project.manage("memprofile", "show", "1")
