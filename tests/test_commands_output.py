import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper

from django_memsize.commands import output
from tests.commands import MIGRATED, PROGRAM, ROOT, create_report, environment, migrated

OPTIONS = {"verbosity": 1, "top": 15, "format": "table"}

needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")


def read_one_line(command, *words):
    """Return what ``command WORDS | head -1`` leaves: the exit code, and stderr."""
    process = subprocess.Popen(
        [*command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    process.stdout.close()  # before anything is written: later it might be too late
    error = process.stderr.read()
    process.stderr.close()
    return process.wait(timeout=60), error.decode()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--format", "json"],
        ["--help"],
        ["run", "--help"],
        ["run", "--code", "print('x' * 100_000)", "-v", "0"],
        ["run", "--code", "1", "--format", "json", "-v", "0"],
    ],
)
def test_a_closed_pipe_ends_the_command_silently(words):
    code, error = read_one_line([sys.executable, "-c", MIGRATED], *words)

    assert (code, error) == (output.READER_IS_GONE, "")


@needs_full
@pytest.mark.parametrize("words", [[], ["--help"]])
def test_a_full_disk_is_one_line(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
            timeout=60,
            check=False,
        )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


class Ascii(io.TextIOWrapper):
    def __init__(self):
        super().__init__(io.BytesIO(), encoding="ascii")

    def text(self):
        self.flush()
        return self.buffer.getvalue().decode()


@pytest.mark.django_db
def test_characters_that_stdout_cannot_encode_are_replaced():
    create_report(route="/\xfcber/", pk=1)
    stdout = Ascii()

    call_command("memprofile", stdout=stdout)
    call_command("memprofile", "show", "1", stdout=stdout)

    assert "GET /?ber/" in stdout.text().splitlines()[2]
    assert "Report 1: GET /?ber/ -> 200" in stdout.text().splitlines()


def test_a_run_succeeds_where_stdout_is_ascii():
    done = migrated("run", "--code", "\xfcber = 9; \xfcber", PYTHONIOENCODING="ascii")

    assert done.returncode == 0
    assert "Report 1: ?ber = ? ?ber" in done.stdout.splitlines()[0]


def test_on_a_terminal_the_console_prints():
    printed = []
    console = SimpleNamespace(is_terminal=True, print=lambda text, **_: printed.append(text))
    stdout = io.StringIO()

    output.Output(OutputWrapper(stdout), OutputWrapper(io.StringIO()), OPTIONS, console).write("x")

    assert (printed, stdout.getvalue()) == (["x"], "")


def test_a_warning_to_a_closed_pipe_is_dropped():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    said = output.Output(OutputWrapper(io.StringIO()), OutputWrapper(Gone()), OPTIONS)

    said.warn("x")


def test_output_that_cannot_be_written_is_an_error():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    said = output.Output(OutputWrapper(Full()), OutputWrapper(io.StringIO()), OPTIONS)

    with pytest.raises(CommandError, match=r"^The output cannot be written: .*No space left"):
        said.write_json({})


@pytest.mark.django_db
def test_several_reports_as_json_are_a_list(capsys):
    reports = [create_report(route=f"/{number}/") for number in range(2)]

    options = OPTIONS | {"format": "json"}
    stdout = io.StringIO()
    output.Output(OutputWrapper(stdout), OutputWrapper(io.StringIO()), options).write_reports(
        reports
    )

    assert [item["name"] for item in json.loads(stdout.getvalue())] == ["/0/", "/1/"]
