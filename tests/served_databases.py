"""Databases of the tests' project, each made for a test and dropped after it."""

import contextlib
import itertools
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from tests.serving import missing, require, run
from tests.waiting import PATIENCE, wait_until

_numbers = itertools.count(1)

PREPARE = """
import django

django.setup()
from django.core.management import call_command
from django.utils import timezone
from tests.app.models import Account

call_command("migrate", verbosity=0, run_syncdb=True)
now = timezone.now()
Account.objects.bulk_create(
    Account(name=f"account {n}", created_at=now, updated_at=now) for n in range(50)
)
"""


def prepare(folder, database):
    """Make the tables of the tests' project, and fifty accounts."""
    run(PREPARE, folder, database, timeout=3 * PATIENCE)


class Database:
    """A database of the tests' project, and the folder for the files of its processes."""

    vendor = ""

    def __init__(self, folder):
        self.folder = folder
        self.name = f"memsize_served_{os.getpid()}_{next(_numbers)}"
        self.files = folder / self.name
        self.files.mkdir()
        self.memsize = {}
        try:
            self.settings = {"default": self.make()}
        except BaseException:
            self.close()
            raise

    def make(self):
        """Make the database; return its settings, as in ``DATABASES``."""
        raise NotImplementedError

    def execute(self, sql):
        """Return the rows of a statement in a session of its own."""
        raise NotImplementedError

    def reports(self, *columns):
        """Return a tuple of these columns for each report, in their order."""
        return self.execute(f"SELECT {', '.join(columns)} FROM django_memsize_report ORDER BY id")

    def told(self):
        """Return how many reports are stored, and how many drops these tell."""
        dropped = [number for (number,) in self.reports("dropped")]
        return len(dropped), sum(dropped)

    def begin_anew(self):
        """Delete all reports and files of processes, and have the reports in this database."""
        self.execute("DELETE FROM django_memsize_report")
        self.settings, self.memsize = {"default": self.settings["default"]}, {}
        shutil.rmtree(self.files)
        self.files.mkdir()

    def store_through(self, **settings):
        """Have the reports stored through an alias of their own, with these settings changed."""
        self.settings["reports"] = self.settings["default"] | settings
        self.memsize = {"DATABASE": "reports"}

    def close(self):
        """Drop the database."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class SQLite(Database):
    """A file. The reports have one of their own beside it."""

    vendor = "sqlite"

    def make(self):
        prepared = self.folder / "prepared.sqlite3"
        self.file = self.folder / f"{self.name}.sqlite3"
        self.settings = {"default": _sqlite(prepared)}
        if not prepared.exists():
            prepare(self.folder, self)
        shutil.copyfile(prepared, self.file)
        return _sqlite(self.file)

    @property
    def own(self):
        """The file of the reports."""
        return self.file.with_suffix(".memsize.sqlite3")

    def execute(self, sql):
        if not self.own.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.own, timeout=PATIENCE)) as own, own:
            if not own.execute("PRAGMA table_info(django_memsize_report)").fetchall():
                return []  # the writer has yet to make it
            return own.execute(sql).fetchall()

    @contextlib.contextmanager
    def locked(self):
        """Lock the file of the reports against writing."""
        with contextlib.closing(sqlite3.connect(self.own, timeout=PATIENCE)) as own:
            own.isolation_level = None
            own.execute("BEGIN IMMEDIATE")
            yield
            own.execute("ROLLBACK")


def _sqlite(file):
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}


class ServedDatabase(Database):
    """A database of a server on this machine."""

    port = 0
    driver = ""
    administrator = ""
    options = ""
    """What the statement that makes the database ends with."""

    def make(self):
        require(self.driver)
        self._administer(f"CREATE DATABASE {self.name} {self.options}")
        own = {
            "ENGINE": f"django.db.backends.{self.vendor}",
            "NAME": self.name,
            "USER": self.administrator,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
        }
        self.settings = {"default": own}
        prepare(self.folder, self)
        return own

    def exhausted(self, user):
        """Leave the user no session, within a block."""
        return contextlib.closing(self.session(user=user))

    def session(self, name=None, user=None):
        """Return a session in this database, or in another one."""
        raise NotImplementedError

    def _administer(self, sql):
        """Run a statement outside of this database."""
        raise NotImplementedError


class PostgreSQL(ServedDatabase):
    """A database of PostgreSQL on this machine."""

    vendor = "postgresql"
    port = 5432
    driver = "psycopg"
    administrator = "postgres"

    def _administer(self, sql):
        with contextlib.closing(self.session("postgres")) as session:
            session.execute(sql)

    def session(self, name=None, user=None):
        """Return a session in this database, or in another one."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=user or self.administrator,
            dbname=name or self.name,
            autocommit=True,
        )

    def execute(self, sql):
        with contextlib.closing(self.session()) as session:
            cursor = session.execute(sql)
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def locked(self):
        """Lock the table of reports."""
        with contextlib.closing(self.session()) as session, session.transaction():
            session.execute("LOCK TABLE django_memsize_report IN ACCESS EXCLUSIVE MODE")
            yield

    def sessions(self):
        """Return the number of sessions of memsize in this database."""
        return self.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'django-memsize'"
        )

    def waiting(self):
        """Return the name of the program of each session that waits for a lock."""
        return [
            name
            for (name,) in self.execute(
                "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock'"
            )
        ]

    @contextlib.contextmanager
    def user(self):
        """Make a user who may read and write the reports, in one session at a time."""
        name = f"{self.name}_user"
        self.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1")
        try:
            self.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
            self.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}")
            yield name
        finally:
            self.terminate()
            self.execute(f"DROP OWNED BY {name}")
            self.execute(f"DROP ROLE {name}")

    @contextlib.contextmanager
    def read_only(self, user):
        """Have the user's sessions read only."""
        self.execute(f"ALTER ROLE {user} SET default_transaction_read_only = on")
        yield
        self.execute(f"ALTER ROLE {user} RESET default_transaction_read_only")

    def terminate(self):
        """End the sessions of other programs."""
        return self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def close(self):
        self._administer(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class MariaDB(ServedDatabase):
    """A database of MariaDB on this machine."""

    vendor = "mysql"
    port = 3306
    driver = "MySQLdb"
    administrator = "root"
    options = "CHARACTER SET utf8mb4"

    def _administer(self, sql):
        with contextlib.closing(self.session("")) as session, session.cursor() as cursor:
            cursor.execute(sql)

    def session(self, name=None, user=None):
        """Return a session in this database, or in another one."""
        import MySQLdb

        return MySQLdb.connect(
            host="127.0.0.1",
            port=self.port,
            user=user or self.administrator,
            db=self.name if name is None else name,
            autocommit=True,
        )

    def execute(self, sql):
        with contextlib.closing(self.session()) as session, session.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    @contextlib.contextmanager
    def locked(self):
        """Lock the table of reports."""
        with contextlib.closing(self.session()) as session, session.cursor() as cursor:
            cursor.execute("LOCK TABLES django_memsize_report WRITE")
            yield
            cursor.execute("UNLOCK TABLES")

    def waiting(self):
        """Return the statement of each session that waits for a lock of a table."""
        return [
            statement
            for (statement,) in self.execute(
                "SELECT info FROM information_schema.processlist "
                "WHERE db = DATABASE() AND state LIKE 'Waiting for table%'"
            )
        ]

    @contextlib.contextmanager
    def user(self):
        """Make a user who may read and write the reports, in one session at a time."""
        name = f"{self.name}_user"
        self.execute(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '' WITH MAX_USER_CONNECTIONS 1")
        try:
            self.execute(f"GRANT ALL ON {self.name}.* TO {name}@'127.0.0.1'")
            yield name
        finally:
            self.execute(f"DROP USER {name}@'127.0.0.1'")

    @contextlib.contextmanager
    def read_only(self, user):
        """Have the user's sessions read only."""
        self.execute(f"REVOKE ALL ON {self.name}.* FROM {user}@'127.0.0.1'")
        self.execute(f"GRANT SELECT ON {self.name}.* TO {user}@'127.0.0.1'")
        yield
        self.execute(f"GRANT ALL ON {self.name}.* TO {user}@'127.0.0.1'")

    def terminate(self):
        """End the sessions of other programs."""
        found = self.execute(
            "SELECT id FROM information_schema.processlist "
            "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in found:
            with contextlib.suppress(Exception):  # it may have ended by itself
                self.execute(f"KILL {number}")
        return found

    def close(self):
        self._administer(f"DROP DATABASE IF EXISTS {self.name}")


class Pooled(PostgreSQL):
    """A database of PostgreSQL behind a pooler that changes the session at each transaction."""

    SESSIONS = 4
    CONFIGURATION = """
[databases]
* = host=127.0.0.1 port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
logfile = {folder}/pooler.log
pidfile = {folder}/pooler.pid
"""

    def make(self):
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            missing("pgbouncer")
        direct = super().make()
        # It runs as another user than root, who may not look into the folders of tests.
        self.pooler_folder = Path(tempfile.mkdtemp(prefix="memsize-pooler-", dir="/tmp"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        configuration = self.pooler_folder / "pooler.ini"
        text = self.CONFIGURATION.format(
            port=port, folder=self.pooler_folder, sessions=self.SESSIONS
        )
        configuration.write_text(text)
        shutil.chown(self.pooler_folder, "postgres")
        shutil.chown(configuration, "postgres")
        command = [program, "-q", str(configuration)]
        self.pooler = subprocess.Popen(command, user="postgres", group="postgres")
        _wait_for_port(port)
        return direct | {"PORT": str(port), "DISABLE_SERVER_SIDE_CURSORS": True}

    def limits(self):
        """Return the limits that are set in the sessions that the pooler has for all."""
        import psycopg

        port = int(self.settings["default"]["PORT"])
        with contextlib.ExitStack() as stack:
            sessions = [
                stack.enter_context(
                    psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname=self.name)
                )
                for _ in range(self.SESSIONS)
            ]
            # In transactions that are open at once, so that no two of them share a session.
            return [
                session.execute(f"SHOW {name}").fetchone()[0]
                for session in sessions
                for name in ("lock_timeout", "statement_timeout")
            ]

    def terminate(self):
        """End the sessions of the pooler, and wait until it has others."""
        found = super().terminate()
        assert wait_until(self._answers)
        return found

    def _answers(self):
        import psycopg

        try:
            return self.limits()
        except (psycopg.OperationalError, psycopg.InternalError):  # cut off, even in an answer
            return None

    def close(self):
        if hasattr(self, "pooler"):
            self.pooler.terminate()
            self.pooler.wait(PATIENCE)
            shutil.rmtree(self.pooler_folder)
        super().close()


def _wait_for_port(port):
    def answers():
        with socket.socket() as to:
            return to.connect_ex(("127.0.0.1", port)) == 0

    assert wait_until(answers)


DATABASES = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "mariadb": MariaDB,
    "pooled": Pooled,
}
