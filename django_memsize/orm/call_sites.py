"""Call sites: which line of the program made the ORM load rows."""

from __future__ import annotations

from types import FrameType
from typing import Final

from ..measuring.source_files import imported_path, is_program_text
from ..values import CallSite, OwnTuple, ours
from .coroutines import THREAD_HANDLER, awaiting_frames
from .roles import (
    APP,
    APP_MARKUP,
    BOUNDARY,
    DJANGO,
    EVALUATION,
    HANDLER,
    INTERNAL,
    LIBRARY,
    MARKUP,
    PROGRAM,
    TEMPLATE,
    TEXT_OF_PROGRAM,
    THREAD,
    VIEW,
    begins_view,
    is_of_the_orm,
    roles,
)
from .templates import generated_line, rendered_line

_MAX_CALL_SITES: Final = 10_000

_PROGRAM_TEMPLATE: Final = 3
_APP_TEMPLATE: Final = 2
_OTHER_TEMPLATE: Final = 1
_TEMPLATE_RANKS: Final = {
    PROGRAM: _PROGRAM_TEMPLATE,
    MARKUP: _PROGRAM_TEMPLATE,
    APP_MARKUP: _APP_TEMPLATE,
}
"""Of templates inside each other the innermost of the highest rank is named."""


@ours
class _CallSites(dict[tuple[object, ...], CallSite]):
    __slots__ = ()


_call_sites: Final = _CallSites()


def find_call_site(frame: FrameType | None) -> tuple[CallSite | None, str]:
    """Return the call site, and the kind of evaluation if the stack tells it, else "".

    The call site is the nearest frame, from ``frame`` outwards, that belongs to the program. The
    walk ends where Django's handler calls the view or a middleware: frames further out are those of
    middleware that wait for the response. A function of the program around a class-based view of a
    library only passes the request on, too. If a template was being rendered in between, the call
    site has the line of its innermost node; nodes of the program's templates come before those of
    libraries.

    Where no line of the program was at work, the call site has that of its template; else the
    innermost line of an installed app, of another library, or of one of Django's contributed apps
    and views. It is None if there is none of these either.
    """
    kind, template, line, rank = "", "", 0, 0
    is_inside = True  # until a frame of another evaluation around this one
    is_in_view = True  # until the frame with which a class-based view begins
    app = app_template = library = django = passing = awaited = None
    while frame is not None:
        code = frame.f_code
        role = roles[code.co_filename]
        if role is INTERNAL:
            pass
        elif type(role) is dict:
            if is_inside and code.co_name in role:
                kind = role[code.co_name]
        elif role is PROGRAM or (role is TEXT_OF_PROGRAM and is_program_text(frame)):
            if is_in_view:
                return _call_site(frame, template, line), kind
            passing = passing or frame
        elif role is TEMPLATE:
            rendered = rendered_line(frame) if rank < _PROGRAM_TEMPLATE else None
            if rendered is not None:
                its_rank = _TEMPLATE_RANKS.get(roles[rendered.path], _OTHER_TEMPLATE)
                if its_rank > rank:
                    template, line, rank = rendered.name, rendered.line, its_rank
        elif role is DJANGO:
            django = django or frame
        elif role is HANDLER:
            passing = None
            break
        elif role is APP:
            if is_in_view:
                if app is None and not is_of_the_orm(code):
                    app, app_template = frame, (template, line)
                is_in_view = not begins_view(code)
        elif role is VIEW:
            django = django or frame
            is_in_view = is_in_view and code.co_name != "view"
        elif role is MARKUP:
            rendered = generated_line(frame)
            if rendered is None:  # a source of Python with another suffix
                if is_in_view:
                    return _call_site(frame, template, line), kind
                passing = passing or frame
            elif rendered.name and rank < _PROGRAM_TEMPLATE:
                template, line, rank = rendered.name, rendered.line, _PROGRAM_TEMPLATE
        elif role is LIBRARY:
            if is_in_view:
                if library is None and not is_of_the_orm(code):
                    library = frame
                is_in_view = not begins_view(code)
        elif role is APP_MARKUP:
            rendered = generated_line(frame) if rank < _APP_TEMPLATE else None
            if rendered is not None and rendered.name:
                template, line, rank = rendered.name, rendered.line, _APP_TEMPLATE
        elif role is EVALUATION:
            is_inside = False
        elif role is BOUNDARY:
            break
        elif role is THREAD and code is THREAD_HANDLER:
            awaited = [frame.f_back, *awaiting_frames(frame)]
        frame = awaited.pop() if awaited else frame.f_back
    if passing is not None:
        return _call_site(passing, template, line), kind
    if app is not None and app_template is not None and rank < _PROGRAM_TEMPLATE:
        return _call_site(app, *app_template, is_library=True), kind
    if template:
        return _call_site(None, template, line, is_library=True), kind
    place = library or django
    return (None if place is None else _call_site(place, is_library=True)), kind


def _call_site(
    frame: FrameType | None, template: str = "", template_line: int = 0, is_library: bool = False
) -> CallSite:
    """Return the call site of a frame, or of a template alone.

    It is the same object each time, up to ``_MAX_CALL_SITES``.
    """
    if frame is None:
        file, line, function = "", 0, ""
    else:
        code, line = frame.f_code, frame.f_lineno
        file, function = code.co_filename, code.co_qualname
    # A plain tuple finds the stored key, which is an OwnTuple, and is made in less time.
    key = (file, line, function, template, template_line)
    call_site = _call_sites.get(key)
    if call_site is None or call_site.is_library is not is_library:  # else of other settings
        if len(_call_sites) >= _MAX_CALL_SITES:
            _call_sites.clear()
        path = imported_path(file) if file else ""
        call_site = CallSite(path, line, function, template, template_line, is_library)
        _call_sites[OwnTuple(key)] = call_site
    return call_site
