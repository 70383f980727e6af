"""Which template, at which line, a frame of Django's template engine renders."""

from __future__ import annotations

from types import FrameType
from typing import Final, NamedTuple

ENGINE_FILE: Final = "/django/template/base.py"
"""The end of the path of the file with ``Node.render_annotated()``."""


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
