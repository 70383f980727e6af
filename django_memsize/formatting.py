"""Sizes, durations, numbers and tables as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def aligned_size(size: float) -> str:
    """Return bytes, right-aligned in ten characters: ``"  48     B"``, ``" 289.69 KB"``.

    1 KB is 1,024 bytes. A number that does not fit makes the text longer.
    """
    number, unit = _scaled(size)
    return f"{number:4.0f}     B" if unit == "B" else f"{number:7.2f} {unit}"


def human_size(size: float) -> str:
    """Return bytes for use in a sentence: ``"48 B"``, ``"289.7 KB"``, ``"-4.1 MB"``."""
    number, unit = _scaled(size)
    return f"{number:.0f} B" if unit == "B" else f"{number:,.1f} {unit}"


def signed_size(size: float) -> str:
    """Return a change in bytes: ``"+289.7 KB"``, ``"-4.1 MB"``, ``"0 B"``."""
    return ("+" if size > 0 else "") + human_size(size)


def human_duration(seconds: float) -> str:
    """Return seconds as ``"0.04 ms"``, ``"12.3 ms"`` from 0.1 ms, ``"1.23 s"`` from one second."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.2f} ms" if 0 < seconds < 0.0001 else f"{seconds * 1000:.1f} ms"


def lower_bound(text: str) -> str:
    """Return the text of a figure that may have been higher: ``"at least 4.1 MB"``."""
    return f"at least {text}"


def percentage(share: float) -> str:
    """Return a share with three significant digits: ``"1%"``, ``"0.25%"``, ``"12.3%"``."""
    return f"{share * 100:.3g}%"


def counted(number: int, noun: str) -> str:
    """Return ``"1 row"`` or ``"3,090 rows"``. The plural of the noun must end in ``s``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def migrate_command(alias: str) -> str:
    """Return the command that makes the table of reports in a database."""
    option = "" if alias == "default" else f" --database {alias}"
    return f"manage.py migrate django_memsize{option}"


def named_database(alias: str, file: object = None) -> str:
    """Return what a user knows a database by: its alias, or the path of the reports' own file."""
    return f"file {file}" if file else f"database {alias!r}"


def capitalized(text: str) -> str:
    """Return the text with its first letter as a capital, and all others as they are."""
    return text[:1].upper() + text[1:]


def plain(text: str, longest: int) -> str:
    """Return the text safe to store and to print, cut to ``longest`` characters.

    A control character, a mark that changes the direction of text, or a lone surrogate becomes
    ``\N{REPLACEMENT CHARACTER}``.
    """
    cut = text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return cut if cut.isascii() and cut.isprintable() else "".join(map(_printable, cut))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], prose: bool = False) -> str:
    """Return the rows below their header, right-aligned, without a newline at the end.

    ``|`` separates columns, a line of ``=`` the header from the rows. A column is two characters
    wider than its widest cell. The last column is of sentences, and left-aligned, if ``prose``.
    """
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) + 2 for column in zip(*lines, strict=True)]
    rule = tuple("=" * width for width in widths)
    if prose:
        widths[-1] = 0
        rule = (*rule[:-1], "=" * len(header[-1]))
    return "\n".join(
        " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in (lines[0], rule, *lines[1:])
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, without a newline at the end. A cell must not contain ``|``."""
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def type_table(rows: Iterable[tuple[str, int, int]]) -> str:
    """Return rows of (type name, number of objects, bytes) as a table, as pympler prints it."""
    cells = ((name, str(count), aligned_size(size)) for name, count, size in rows)
    return table(("types", "# objects", "total size"), cells)


def _printable(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return "\N{REPLACEMENT CHARACTER}"
    return character


def _scaled(size: float) -> tuple[float, str]:
    number, degree = float(size), 0
    while abs(number) > 1024 and degree < len(_UNITS) - 1:
        number, degree = number / 1024, degree + 1
    return number, _UNITS[degree]
