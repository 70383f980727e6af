"""Which template, at which line, a frame renders: of Django's template engine, or of Jinja."""

from __future__ import annotations

from types import FrameType
from typing import Final, NamedTuple

from ..values import OwnTuple, ours

ENGINE_FILE: Final = "/django/template/base.py"
"""The end of the path of the file with ``Node.render_annotated()``."""

_MOST_LINES: Final = 10_000


@ours
class _Lines(dict[tuple[object, ...], int]):
    """The line of a Jinja template by file, line of the generated code, and hash of the table."""

    __slots__ = ()


_lines: Final = _Lines()


class TemplateLine(NamedTuple):
    """The name of a template as it was asked for, a line in it, and the path of its file."""

    name: str
    line: int
    path: str


def rendered_line(frame: FrameType) -> TemplateLine | None:
    """Return the line of the node that a frame of ``Node.render_annotated()`` renders.

    None for any other frame, and for a template without a name, such as one made from text.
    """
    if frame.f_code.co_name != "render_annotated":
        return None
    node = frame.f_locals.get("self")
    origin = getattr(node, "origin", None)
    name = getattr(origin, "template_name", None)
    line = getattr(getattr(node, "token", None), "lineno", None)
    if not name or not line:
        return None
    return TemplateLine(str(name), int(line), str(getattr(origin, "name", "")))


def generated_line(frame: FrameType) -> TemplateLine | None:
    """Return the line of the Jinja template whose generated code a frame runs.

    None for any other frame. The name is empty if the template was made from text. Its globals have
    the table of lines, as text (``CodeGenerator.visit_Template()`` in jinja2/compiler.py).
    """
    names, code = frame.f_globals, frame.f_code
    table = names.get("debug_info")
    if type(table) is not str or "__jinja_template__" not in names:
        return None
    key = (code.co_filename, frame.f_lineno, hash(table))
    line = _lines.get(key)
    if line is None:
        if len(_lines) >= _MOST_LINES:
            _lines.clear()
        line = _lines[OwnTuple(key)] = _line_in_template(table, frame.f_lineno)
    name = names.get("name")
    return TemplateLine(name if type(name) is str else "", line, code.co_filename)


def _line_in_template(table: str, generated: int) -> int:
    """Return the line of a template for one of its generated code: ``"3=14&5=20"`` has pairs."""
    line = 1
    for pair in table.split("&"):
        in_template, _, in_code = pair.partition("=")
        if not (in_template.isdecimal() and in_code.isdecimal()) or int(in_code) > generated:
            break
        line = int(in_template)
    return line
