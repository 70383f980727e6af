"""Write the generated sections of the documents, each made from the one place that has its facts.

    python docs/generate.py            # write the sections of SECTIONS
    python docs/generate.py --record   # and run the example project for those of RECORDED
    python docs/generate.py --check    # exit with 1 if a section of SECTIONS is not up to date

A section stands in any document of ``DOCUMENTS``, between two lines:

    <!-- begin: NAME -->
    <!-- end: NAME -->

A new section is a function in ``SECTIONS`` that returns the text in between, and the two markers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# The package of this checkout, not an installed one.
from django_memsize import conf  # noqa: E402
from django_memsize.formatting import markdown_table  # noqa: E402
from django_memsize.screens import documents, figures  # noqa: E402
from tests import house  # noqa: E402

DOCUMENTS: Final = ("README.md", "CONTRIBUTING.md", "docs/*.md")
"""Patterns of paths below the root."""

_SECTION: Final = re.compile(
    r"^<!-- begin: (?P<name>\S+) -->\n(?P<body>.*?)^<!-- end: (?P=name) -->$",
    re.MULTILINE | re.DOTALL,
)
_MARKER: Final = re.compile(r"^<!-- (?:begin|end): (\S+) -->$", re.MULTILINE)


def settings() -> str:
    """Return the table of settings."""
    return markdown_table(
        ("key", "default", "meaning"),
        ((f"`{key}`", _default(setting), setting.help) for key, setting in conf.declared().items()),
    )


def private() -> str:
    """Return the private names of Django that the package uses, from ``orm/__init__.py``."""
    lines = (ROOT / "django_memsize/orm/__init__.py").read_text(encoding="utf-8").splitlines()
    first, header, last = (at for at, line in enumerate(lines) if line.startswith("===="))
    starts = [at.start() for at in re.finditer(r"=+", lines[first])]
    rows = [
        tuple(
            line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)
        )
        for line in (lines[first + 1], *lines[header + 1 : last])
    ]
    return markdown_table(rows[0], rows[1:])


def _default(setting: conf.Setting) -> str:
    default = f"`{_quoted(setting.default)}`"
    if setting.debug_default is None:
        return default
    return f"`{_quoted(setting.debug_default)}` with `DEBUG`, else {default}"


def _quoted(value: object) -> str:
    """Return a value as Python, texts in the double quotes of the project's style."""
    if isinstance(value, Mapping):
        value = dict(value)
    return f'"{value}"' if isinstance(value, str) else repr(value)


SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "figures": figures.readme_table,
    "house": house.draw,
    "json": documents.readme_table,
    "private": private,
    "rooms": house.draw_rooms,
    "settings": settings,
}
"""The sections that are checked: the same facts give the same text."""

Outputs = dict[tuple[str, ...], str]
"""The output of each recorded command."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Output of ``manage.py memprofile`` in the example project, as it was when it was recorded.

    Not checked: durations differ from run to run, and sizes from one Python to another.
    """

    words: tuple[str, ...]
    paragraphs: tuple[int, ...]
    """The paragraphs of the output that are shown."""
    options: tuple[str, ...] = ("--verbosity", "0")
    """Options that are not shown, because they do not change the paragraphs that are."""

    def text(self, outputs: Outputs) -> str:
        """Return the command and its output."""
        paragraphs = outputs[self.words].rstrip("\n").split("\n\n")
        shown = "\n\n".join(paragraphs[index] for index in self.paragraphs)
        typed = " ".join(f'"{word}"' if "(" in word else word for word in self.words)
        return f"```\n$ python manage.py memprofile {typed}\n{shown}\n```"


RECORDED: Final = {
    "example": Recorded(("run", "/accounts/all/", "--top", "8"), tuple(range(6))),
    "leak": Recorded(("run", "/accounts/leak/", "--repeat", "3"), (2, 4)),
    "alternatives": Recorded(
        ("alternatives", "Account.objects.all()", "--fields", "id,holder"), (0, 1)
    ),
}


def record() -> Outputs:
    """Return the output of each recorded command, run with a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "EXAMPLE_SQLITE": str(Path(folder) / "db.sqlite3"),
            "PYTHONPATH": str(ROOT),
        }

        def run(*words: str) -> str:
            return subprocess.run(  # noqa: S603 (words of this file)
                [sys.executable, "manage.py", *words],
                cwd=ROOT / "example_project",
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout

        run("migrate", "--verbosity", "0")
        run("load_bank")
        return {
            recorded.words: run("memprofile", *recorded.words, *recorded.options)
            for recorded in RECORDED.values()
        }


def generated(text: str, outputs: Outputs | None = None) -> str:
    """Return a document with its sections made anew, the recorded ones from these outputs if given.

    Raises ValueError if a marker has no partner, or a section no source.
    """
    whole = [match["name"] for match in _SECTION.finditer(text)]
    marked = _MARKER.findall(text)
    if sorted(marked) != sorted(whole * 2):
        raise ValueError(f"a marker without its partner, among: {', '.join(marked)}")
    unknown = set(whole) - SECTIONS.keys() - RECORDED.keys()
    if unknown:
        raise ValueError(f"no source for: {', '.join(sorted(unknown))}")
    return _SECTION.sub(lambda match: _section(match["name"], match["body"], outputs), text)


def _section(name: str, body: str, outputs: Outputs | None) -> str:
    if name in SECTIONS:
        body = SECTIONS[name]() + "\n"
    elif name in RECORDED and outputs is not None:
        body = RECORDED[name].text(outputs) + "\n"
    return f"<!-- begin: {name} -->\n{body}<!-- end: {name} -->"


def main(words: list[str]) -> int:
    """Write or check every document. Returns the exit code."""
    outputs = record() if "--record" in words else None
    stale = []
    for path in sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern)):
        old = path.read_text(encoding="utf-8")
        new = generated(old, outputs)
        if new == old:
            continue
        stale.append(path)
        if "--check" not in words:
            path.write_text(new, encoding="utf-8")
    if "--check" not in words:
        return 0
    for path in stale:
        sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date: python docs/generate.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
