"""SQL statements as stored: without literals, comments, and aliases that are made of data.

The ORM passes most values as parameters, but a statement written by hand, the name of an annotation
or a key of JSON may hold anything. Where a literal begins and ends differs by database, and one
quote that is read wrongly turns the rest of the statement inside out. So a lexer for the database
where the statement ran reads it, and what the lexer cannot be sure of is not stored at all.

sqlparse, which Django installs, has one lexer for all databases: it reads a backslash before a
quote, ``q'[it's]'``, ``$$`` and comments inside comments as none of them does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from django.db import connections
from django.db.utils import load_backend

from ..values import SQL_KEPT, ours
from . import sql_names

NOT_STORED: Final = "(statement not stored: {})"
"""Stands for a statement that the lexer cannot read, with the reason."""

_MASK: Final = "?"

# In all of them a character beyond ASCII is one that a word may have.
_START: Final = r"[A-Za-z_\x80-\U0010ffff]"
_INSIDE: Final = r"[A-Za-z0-9_\x80-\U0010ffff]"

_TEXT: Final = r"'(?:[^']|'')*+'"
_NAME: Final = r'"(?:[^"]|"")*+"'
_BACKTICKS: Final = r"`(?:[^`]|``)*+`"
_BRACKETS: Final = r"\[[^\]]*+\]"
_ESCAPED: Final = {
    quote: re.compile(rf"{quote}(?:[^{quote}\\]|{quote}{quote}|\\.)*+{quote}", re.DOTALL)
    for quote in "'\""
}
"""By quote, a literal in which a backslash escapes the character after it."""

_OPENING: Final = "'\"`[$/eEnNqQ"
"""How a token begins that may lack its end because the statement was cut."""


@ours
@dataclass(frozen=True, slots=True, repr=False)
class _Dialect:
    """How one database reads statements.

    ``tokens`` matches one token of a kind, whatever the text. ``may_escape`` is whether a backslash
    may escape a quote: on MySQL and PostgreSQL a setting of the session decides.
    """

    tokens: re.Pattern[str]
    may_escape: bool


def _dialect(
    *,
    literal: str = r"(?!)",
    quoted: str = _TEXT,
    name: str = _NAME,
    comment: str = r"--[^\n]*+",
    parameter: str = r"(?!)",
    signs: str = ":@",
    minus: str = "-(?!-)",
    inside: str = r"\$",
    no_word: str = r"(?!)",
    may_escape: bool = True,
) -> _Dialect:
    r"""Return a dialect from the patterns in which it differs; ``(?!)`` matches nothing.

    ``quoted`` are literals where a backslash may escape, ``literal`` are all others but numbers.
    ``no_word`` begins a literal and not a word; ``inside`` are signs that a word may have.
    """
    tokens = rf"""
        (?P<name>{name})
        |(?P<space>[ \t\n\r\f\v]++)
        |(?P<comment>{comment}|/\*.*?\*/)
        |(?P<sign>(?:[()+*<>=~!^&|?,;{signs}]|%(?!\({_INSIDE}*+\)s)|\.(?![0-9])|{minus}|/(?!\*))++)
        |(?P<literal>{literal})
        |(?P<quoted>[nNbBxX]?(?:{quoted}))
        |(?P<parameter>%\({_INSIDE}*+\)s|{parameter})
        |(?P<number>\.?+[0-9][A-Za-z0-9_.]*+(?:(?<=[eE])[+-][0-9]+)?)
        |(?P<word>(?!{no_word}){_START}(?:{_INSIDE}|{inside})*+)
        |(?P<unknown>.)
    """
    return _Dialect(re.compile(tokens, re.DOTALL | re.VERBOSE), may_escape)


_DIALECTS: Final = {
    # sqlite.org/src/file/src/tokenize.c. A parameter may have a suffix in parentheses, quotes
    # included; then it is an unknown token. Text in double quotes is a name, or else a literal.
    "sqlite": _dialect(
        name=f"{_NAME}|{_BACKTICKS}|{_BRACKETS}",
        parameter=rf"[:@$](?:{_INSIDE}|\$|::)++(?!\()",
        signs="",
        may_escape=False,
    ),
    # PostgreSQL: src/backend/parser/scan.l
    "postgresql": _dialect(
        literal=(
            r"[eE]'(?:[^'\\]|''|\\.)*+'"
            rf"|\$(?P<tag>(?:{_START}{_INSIDE}*+)?)\$.*?\$(?P=tag)\$"
        ),
        no_word="[eE]'",
        parameter=r"\$[0-9]++",
        signs=r":@\#\[\]",
    ),
    # MySQL and MariaDB: sql/sql_lex.cc. "--" begins a comment only before a blank.
    "mysql": _dialect(
        quoted=f"{_TEXT}|{_NAME}",
        name=_BACKTICKS,
        comment=r"--(?=[\x00-\ \x7f]|\Z)[^\n]*+|\#[^\n]*+",
        signs=":@{}",
        minus=r"-(?!-(?:[\x00-\ \x7f]|\Z))",
    ),
    # Oracle Database SQL Language Reference, "Text Literals"
    "oracle": _dialect(
        literal=(
            r"[nN]?[qQ]'(?:\[.*?\]'|\{.*?\}'|<.*?>'|\(.*?\)'"
            r"|(?P<delimiter>[^\[{<(\s']).*?(?P=delimiter)')"
        ),
        no_word="[nN]?[qQ]'",
        inside=r"[$\#]",
        may_escape=False,
    ),
}

_ANY: Final = _dialect(comment=r"--(?=[ \t\n])[^\n]*+", signs="", no_word="[nN]?[qQ]'")
"""What all databases read alike, for one that is not known."""


class _UnreadableError(Exception):
    """A statement cannot be read for certain; the message is the reason."""


def vendor_of(database: str) -> str:
    """Return the vendor of the database with an alias; empty if there is none any more."""
    settings = connections.settings.get(database)
    if settings is None:
        return ""
    return str(load_backend(settings["ENGINE"]).DatabaseWrapper.vendor)


def without_literals(sql: str, vendor: str) -> str:
    """Return the beginning of a statement with ``?`` in place of whatever may be data.

    That are texts, numbers, and names within quotes that are neither those of a table or a column
    of a model nor Django's own. Comments are left out.
    """
    dialect = _DIALECTS.get(vendor, _ANY)
    try:
        return _mask(sql[:SQL_KEPT], dialect, is_cut=len(sql) > SQL_KEPT)
    except _UnreadableError as error:
        return NOT_STORED.format(error)


def _mask(sql: str, dialect: _Dialect, is_cut: bool) -> str:
    names = sql_names.of_models()
    masked: list[str] = []
    words: list[int] = []
    aliases: set[str] = set()
    is_alias_next = False
    for match in dialect.tokens.finditer(sql):
        kind, text = match.lastgroup, match[0]
        if kind == "sign":
            is_alias_next = text[-1] == ")"
        elif kind == "name":
            if text[1:-1].lower() not in names:
                text = _masked_name(match, dialect)
            is_alias_next = True
        elif kind == "word":
            words.append(len(masked))
            lower = text.lower()
            if is_alias_next and lower not in names and sql_names.is_alias(text):
                aliases.add(lower)
            is_alias_next = lower in names or sql_names.may_precede_alias(lower)
        elif kind == "comment":
            _check_comment(text)
            text = " "
        elif kind == "unknown":
            if not (is_cut and text in _OPENING):
                raise _UnreadableError(f"it has {_described(text)}")
            masked.append(_MASK)
            break
        elif kind != "space":
            if kind == "quoted":
                _check_escapes(match, dialect)
            text = "%s" if text[0] == "%" else _MASK
            is_alias_next = True
        masked.append(text)
    for index in words if aliases else ():
        if masked[index].lower() in aliases:
            masked[index] = _MASK
    return "".join(masked)


def _masked_name(match: re.Match[str], dialect: _Dialect) -> str:
    """Return a name within quotes that is not one of the models', masked unless it is Django's."""
    _check_escapes(match, dialect)
    text = match[0]
    return text if sql_names.is_harmless(text[1:-1]) else f"{text[0]}{_MASK}{text[-1]}"


def _check_comment(comment: str) -> None:
    """Raise _UnreadableError for a comment that databases do not end, or read, alike."""
    if comment.startswith(("/*!", "/*M!")):
        raise _UnreadableError("it has a comment that is run")
    if "/*" in comment[2:] and comment.startswith("/*"):
        raise _UnreadableError("it has a comment inside a comment")
    if "\r" in comment.rstrip("\r") and not comment.startswith("/*"):
        raise _UnreadableError("a line of it has no certain end")


def _check_escapes(match: re.Match[str], dialect: _Dialect) -> None:
    """Raise _UnreadableError if the end of a quoted text depends on what a backslash means."""
    text = match.group()
    if dialect.may_escape and "\\" in text:
        quoted = text.lstrip("nNbBxX")
        escaped = _ESCAPED.get(quoted[0])
        start = match.end() - len(quoted)
        other = None if escaped is None else escaped.match(match.string, start)
        if escaped is not None and (other is None or other.end() != match.end()):
            raise _UnreadableError("a backslash before a quote may escape it or not")


def _described(token: str) -> str:
    if token in _OPENING:
        return "a literal, a name or a comment without its end"
    return f"the character U+{ord(token):04X} outside of quotes"
