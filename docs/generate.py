"""Write the generated sections of the documents, each made from the one place that has its facts.

    python docs/generate.py           # write them
    python docs/generate.py --check   # exit with 1 if one is not up to date

A section stands in any document of ``DOCUMENTS``, between two lines:

    <!-- begin: NAME -->
    <!-- end: NAME -->

``SECTIONS`` has a function for each name; it returns the lines in between.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from django_memsize import conf  # noqa: E402 (the package of this checkout, not an installed one)

DOCUMENTS: Final = ("README.md", "CONTRIBUTING.md", "docs/*.md")
"""Patterns of paths below the root."""

_SECTION: Final = re.compile(
    r"^<!-- begin: (?P<name>\S+) -->\n.*?^<!-- end: (?P=name) -->$", re.MULTILINE | re.DOTALL
)
_MARKER: Final = re.compile(r"^<!-- (?:begin|end): (\S+) -->$", re.MULTILINE)


def settings() -> Iterator[str]:
    """Yield the table of settings."""
    yield "| key | default | |"
    yield "|---|---|---|"
    for key, setting in conf.declared().items():
        default = f"`{_quoted(setting.default)}`"
        if setting.debug_default is not None:
            default = f"`{_quoted(setting.debug_default)}` with `DEBUG`, else {default}"
        yield f"| `{key}` | {default} | {setting.help} |"


def _quoted(value: object) -> str:
    """Return a value as Python, texts in the double quotes of the project's style."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


SECTIONS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "settings": settings,
}


def generated(text: str) -> str:
    """Return a document with its sections made anew.

    Raises ValueError if a marker has no partner, or a name that is not in ``SECTIONS``.
    """
    result = _SECTION.sub(_section, text)
    marked = _MARKER.findall(result)
    whole = [match["name"] for match in _SECTION.finditer(result)]
    if sorted(marked) != sorted(whole * 2):
        raise ValueError(f"a marker without its partner, among: {', '.join(marked)}")
    return result


def _section(match: re.Match[str]) -> str:
    name = match["name"]
    if name not in SECTIONS:
        raise ValueError(f"no section is called {name!r}, but: {', '.join(SECTIONS)}")
    body = "".join(f"{line}\n" for line in SECTIONS[name]())
    return f"<!-- begin: {name} -->\n{body}<!-- end: {name} -->"


def main(words: list[str]) -> int:
    """Write or check every document. Returns the exit code."""
    stale = []
    for path in sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern)):
        old = path.read_text(encoding="utf-8")
        new = generated(old)
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
