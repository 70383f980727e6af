"""Roles of source files: what the walk for a call site does at a frame of the file.

Files below ``site-packages`` are told apart by their top-level package. It is the program's if it
has the URLconf, the settings, the WSGI or ASGI application or the model of users, or if ``PROGRAM``
of the settings names it: a program may itself be installed, as pretalx and NetBox are. It is that
of an *app* if something in it is installed in ``INSTALLED_APPS``. Django is never the program.
"""

from __future__ import annotations

import os
import re
import sys
from fnmatch import fnmatchcase
from types import CodeType
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed

from .. import conf
from ..measuring.source_files import PACKAGE, TEXT, installed_name, is_library
from ..values import ours
from . import methods
from .coroutines import THREAD_HANDLER
from .templates import ENGINE_FILE

# A file in the table of methods has a dict as its role: the kind of evaluation by the name of the
# function.
PROGRAM: Final = "program"
TEXT_OF_PROGRAM: Final = "text"
"""Code named ``<string>``, which is the program's or a library's."""
APP: Final = "app"
"""An installed package with an app: named where no line of the program was at work."""
LIBRARY: Final = "library"
"""Another installed package: named where there is no app either."""
DJANGO: Final = "django"
"""A part of Django that does something for a view: named where there is nothing else."""
INTERNAL: Final = "internal"
"""Never named: Django's ORM, what only watches requests, Python itself."""
BOUNDARY: Final = "boundary"
"""Where a measured request or command begins: frames further out belong to the server."""
HANDLER: Final = "handler"
"""Django's handler: frames further out are those of middleware that only passed the request on."""
VIEW: Final = "view"
"""Where a class-based view begins, in the function that ``as_view()`` returns."""
TEMPLATE: Final = "template"
"""Django's template engine."""
MARKUP: Final = "markup"
"""A file of the program that is no source of Python: a template, whose code Jinja generates."""
APP_MARKUP: Final = "markup of an app"
"""The same of an installed app. That of any other library, and of Django, is never named."""
THREAD: Final = "thread"
EVALUATION: Final = "evaluation"

_BOUNDARIES: Final = (
    PACKAGE + "middleware.py",
    os.path.join(PACKAGE, "measuring", "streams.py"),
    os.path.join(PACKAGE, "commands", ""),
    os.path.join(PACKAGE, "management", ""),
)

_USEFUL: Final = ("contrib/", "forms/", "middleware/", "template/", "views/")
"""Folders of Django whose lines say something about a view."""

_OF_THE_ORM: Final = (
    *("contrib/contenttypes/", "contrib/gis/db/", "contrib/postgres/", "contrib/sites/"),
    *("contrib/auth/base_user.py", "contrib/auth/models.py"),
)
"""Parts of them that are fields and managers: these load rows for their caller."""

_WATCHERS: Final = frozenset(
    {
        *("asgiref", "django_memsize", "psutil"),
        *("ddtrace", "debug_toolbar", "django_prometheus", "elasticapm", "kolo", "newrelic"),
        *("opentelemetry", "pyinstrument", "scout_apm", "sentry_sdk", "silk", "wrapt"),
    }
)
"""Packages that are between a view and its caller because they wrap either."""

_ORM_CLASS: Final = re.compile(r"(?:QuerySet|Manager|Iterable|Descriptor)(?:Mixin|Base)?\.")
"""A method of such a class loads rows for its caller, which is the place to be named."""

_SOURCES: Final = (".py", ".pyw", ".pyx")
_JINJA_TEXT: Final = "<template>"
"""The file name of the code of a Jinja template made from text."""

_MAX_ROLES: Final = 10_000
"""A program that compiles text under a new file name each time must not fill the memory."""

_CALLERS: Final = methods.callers_by_file()


@ours
class Roles(dict[str, Any]):
    """The role of each source file seen, by the file name of the code."""

    __slots__ = ()

    def __missing__(self, file: str) -> Any:
        role = _role_of(file)
        if apps.ready:  # before, it is not known whose an installed package is
            if len(self) >= _MAX_ROLES:
                self.clear()
            self[file] = role
        return role


roles: Final = Roles()


def is_of_the_orm(code: CodeType) -> bool:
    """Return whether code of another library extends the ORM: a manager's, a descriptor's."""
    return _ORM_CLASS.search(code.co_qualname) is not None


def begins_view(code: CodeType) -> bool:
    """Return whether code of a library is the function that an ``as_view()`` of its own returns."""
    return code.co_name == "view" and code.co_qualname.endswith(".as_view.<locals>.view")


def _role_of(file: str) -> Any:
    """Return the role of a source file: a text from above, or kinds by function name."""
    if file == TEXT:
        return TEXT_OF_PROGRAM
    if file.startswith(_BOUNDARIES):
        return BOUNDARY
    if file == os.path.join(PACKAGE, "orm", "evaluations.py"):
        return EVALUATION
    if file == THREAD_HANDLER.co_filename:
        return THREAD
    if not is_library(file):
        is_markup = file == _JINJA_TEXT or not (file.startswith("<") or file.endswith(_SOURCES))
        return MARKUP if is_markup else PROGRAM
    path = file.replace(os.sep, "/")
    name = _name_in_django(file)
    return _role_of_installed(file, path) if name is None else _role_in_django(path, name)


def _name_in_django(file: str) -> str | None:
    """Return the path of a file below Django's folder; None if it is elsewhere."""
    for folder in getattr(sys.modules.get("django"), "__path__", ()):
        if file.startswith(os.path.join(folder, "")):
            return file[len(folder) + 1 :].replace(os.sep, "/")
    return None


def _role_in_django(path: str, name: str) -> Any:
    if path.endswith(ENGINE_FILE):
        return TEMPLATE
    if name.startswith("core/handlers/"):
        return HANDLER
    if name == "views/generic/base.py":
        return VIEW
    is_useful = (
        name.startswith(_USEFUL) and not name.startswith(_OF_THE_ORM) and name.endswith(_SOURCES)
    )
    role = DJANGO if is_useful else INTERNAL
    return next((kinds for end, kinds in _CALLERS.items() if path.endswith(end)), role)


def _role_of_installed(file: str, path: str) -> Any:
    module, is_source = installed_name(file), file.endswith(_SOURCES)
    package = module.partition(".")[0]
    if not package or package in _WATCHERS:
        return INTERNAL
    if package in _packages_of_program() or _is_named_in_settings(module):
        return PROGRAM if is_source else MARKUP
    if path.endswith("/rest_framework/viewsets.py"):
        return VIEW
    is_app = any(app.name.partition(".")[0] == package for app in _apps())
    if not is_source:
        return APP_MARKUP if is_app else INTERNAL
    return APP if is_app else LIBRARY


def _packages_of_program() -> set[str]:
    """Return the top-level names of the modules that only a program has."""
    names = ("ROOT_URLCONF", "WSGI_APPLICATION", "ASGI_APPLICATION", "SETTINGS_MODULE")
    paths = [getattr(settings, name, None) for name in names]
    label = str(getattr(settings, "AUTH_USER_MODEL", "")).partition(".")[0]
    paths += [app.name for app in _apps() if app.label == label]
    return {path.partition(".")[0] for path in paths if isinstance(path, str)} - {"django"}


def _is_named_in_settings(module: str) -> bool:
    config = conf.active()
    patterns = config.program if config else ()
    return any(
        fnmatchcase(module, pattern) or module.startswith(f"{pattern}.") for pattern in patterns
    )


def _apps() -> list[Any]:
    # Not get_app_configs(): it raises where the apps are not ready yet.
    return list(apps.app_configs.values())


def _on_setting_changed(**_: Any) -> None:
    roles.clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="django_memsize.roles")
