"""Apache's mod_wsgi, which runs a program in a sub-interpreter unless it is told otherwise."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests import served_databases
from tests.serving import PATIENCE, ROOT, environment, made, missing, only_if_long, wait_until
from tests.serving import Server as Process

pytestmark = only_if_long

CONFIGURATION = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
LogLevel warn
User www-data
Group www-data
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {folder}/wsgi
WSGIDaemonProcess served processes=1 threads=2 python-path={path}
WSGIProcessGroup served
{group}
WSGIScriptAlias / {folder}/served.wsgi
<Directory {folder}>
Require all granted
</Directory>
"""

SCRIPT = """
import os

os.environ.update({variables!r})
from tests.served.applications import wsgi as application
"""

GROUPS = {
    "a sub-interpreter": "",
    "the first interpreter": "WSGIApplicationGroup %{GLOBAL}",
}
ASKED = ["/nothing/", "/accounts/1/", "/file/", "/accounts/stream/", "/no/such/page/"]


class Apache(Process):
    """Apache with the tests' project in a process of mod_wsgi."""

    def __init__(self, folder, database, group, *, measured):
        program = shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin")
        modules = Path(program or "/").parents[1] / "lib/apache2/modules"
        if program is None or not list(modules.glob("mod_wsgi.so*")):
            missing("mod_wsgi")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        if not (modules / f"mod_wsgi.so-{version}").exists():
            pytest.skip(f"this mod_wsgi is for another Python than {version}")
        self.database = database
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = free.getsockname()
        path = os.pathsep.join([sysconfig.get_path("purelib"), str(ROOT)])
        (folder / "apache.conf").write_text(
            CONFIGURATION.format(
                folder=folder, modules=modules, port=self.address[1], path=path, group=group
            )
        )
        variables = environment(folder, database, measured=measured)
        del variables["PATH"]
        (folder / "served.wsgi").write_text(SCRIPT.format(variables=variables))
        self.log = folder / "error.log"
        self.process = subprocess.Popen(
            [program, "-f", str(folder / "apache.conf"), "-D", "FOREGROUND"],
            stdin=subprocess.DEVNULL,
        )

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)


@pytest.fixture
def open_folder(tmp_path):
    """Return a folder that the user of Apache may write into."""
    folder = Path(tempfile.mkdtemp(prefix="memsize-apache-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("group", GROUPS)
def test_a_program_is_answered_as_without_memsize_and_ends_well(group, open_folder):
    answers = []
    for measured in (False, True):
        folder = open_folder / str(measured)
        folder.mkdir()
        database = served_databases.SQLite(folder)
        for path in (folder, database.file, database.files):
            path.chmod(0o777)
        with Apache(folder, database, GROUPS[group], measured=measured) as server:
            answers.append([server.get(url) for url in ASKED])
            if measured and group == "the first interpreter":
                assert len(server.wait_for(len(ASKED))) == len(ASKED)
            assert server.stop() == 0
        log = server.log.read_text()
        assert "Fatal" not in log
        assert "exit signal" not in log
        assert "Exception" not in log
    without, with_memsize = answers
    assert with_memsize == without


@pytest.mark.parametrize(("instrument", "number"), [("auto", 0), ("census", len(ASKED))])
def test_a_sub_interpreter_counts_the_heap_only_if_the_settings_say_so(
    instrument, number, open_folder
):
    database = served_databases.SQLite(open_folder)
    database.memsize = {"INSTRUMENT": instrument}
    for path in (database.file, database.files):
        path.chmod(0o777)
    with Apache(open_folder, database, GROUPS["a sub-interpreter"], measured=True) as server:
        for url in ASKED:
            server.get(url)
        assert wait_until(lambda: made(database) >= number)
        assert made(database) == number
        assert server.stop() == 0
