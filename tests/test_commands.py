"""The subcommands as a whole: found, named, and with the options of Django."""

import sys

import pytest

from django_memsize import commands
from tests.commands import exit_code


def test_every_subcommand_is_found():
    found = commands.find_subcommands()

    assert {"alternatives", "routes", "run", "show"} <= found.keys()
    assert all(name == subcommand.name for name, subcommand in found.items())


COUNT = """
from django_memsize.commands import Subcommand


class Count(Subcommand):
    name = "count"
    help = "the number of arguments"

    def add_arguments(self, parser):
        parser.add_argument("words", nargs="*")

    def run(self, options, output):
        output.write(str(len(options["words"])))
"""


def test_a_module_in_the_package_adds_a_subcommand(monkeypatch, tmp_path, memprofile):
    (tmp_path / "count.py").write_text(COUNT)
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])

    assert memprofile("count", "a", "b") == "2\n"

    sys.modules.pop("django_memsize.commands.count")
    del commands.count


def test_the_help_lists_every_subcommand(capsys):
    assert exit_code("--help") == 0

    text = capsys.readouterr().out
    for name, subcommand in commands.find_subcommands().items():
        assert f"    {name} " in text
        assert subcommand.help[:30] in text


@pytest.mark.parametrize("name", list(commands.find_subcommands()))
def test_the_help_of_a_subcommand_describes_it(capsys, name):
    assert exit_code(name, "--help") == 0

    text = capsys.readouterr().out
    assert commands.find_subcommands()[name].help[:30] in text
    assert "--settings" in text
