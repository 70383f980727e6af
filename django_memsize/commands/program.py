"""The user's own Python code: compiling it, the names it may use, and its errors."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from django.apps import apps
from django.core.management.base import CommandError
from django.db import models

from ..measuring import source_files

FILE: Final = "<code>"
"""The name of the source file in tracebacks and call sites."""

Program = Callable[[dict[str, Any]], Any]
"""Runs the statements with these names and returns the value of the last expression, or None."""


def compile_program(source: str, title: str) -> Program:
    """Return a function that runs the source.

    Raises CommandError, beginning with the title, where the source is not Python or is empty.
    """
    try:
        tree = ast.parse(source, FILE)
        if not tree.body:
            raise CommandError(f"{title} is empty: there is nothing to run.")
        return _compile(tree)
    # ast.parse() raises ValueError for a text that UTF-8 cannot encode.
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CommandError(f"{title} is not Python: {error}") from error


class _Masking(ast.NodeTransformer):
    """Puts ``?`` in place of each literal that may be data: texts, bytes and numbers."""

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the node, or a name in its place."""
        if isinstance(node, ast.Constant):
            known = node.value is None or node.value is ... or isinstance(node.value, bool)
            return node if known else ast.Name("?")
        # By name, because Python 3.14 is the first with templates.
        if type(node).__name__ in ("JoinedStr", "TemplateStr"):
            return ast.Name("?")
        return self.generic_visit(node)


def without_literals(source: str) -> str:
    """Return source code on one line, without comments, and with ``?`` for each literal."""
    return " ".join(ast.unparse(_Masking().visit(ast.parse(source))).split())


def _compile(tree: ast.Module) -> Program:
    last = tree.body[-1]
    value: ast.expr = ast.Constant(None)
    if isinstance(last, ast.Expr):
        value = last.value
        del tree.body[-1]
    statements = compile(tree, FILE, "exec")
    expression = compile(ast.fix_missing_locations(ast.Expression(value)), FILE, "eval")

    def run(names: dict[str, Any]) -> Any:
        exec(statements, names)  # noqa: S102 (the user's own code, as in a shell)
        return eval(expression, names)  # noqa: S307

    return run


def names_at_hand() -> dict[str, Any]:
    """Return what a program may name: ``Model``, ``app_label.Model``, and all of django.db.models.

    Where several models have one name, it is that of the app installed first.
    """
    labels = {
        app.label: SimpleNamespace(**{model.__name__: model for model in app.get_models()})
        for app in apps.get_app_configs()
    }
    by_name = {model.__name__: model for model in reversed(apps.get_models())}
    return {name: getattr(models, name) for name in models.__all__} | labels | by_name


def describe(error: BaseException, title: str) -> str:
    """Return the title and the error, with a traceback from the first line of the user's own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        index for index, frame in enumerate(frames) if not source_files.is_library(frame.filename)
    ]
    shown = frames[own[0] :] if own else frames[-3:]
    message = "".join(traceback.format_exception_only(error)).strip()
    return f"{title} {message}\n\n{''.join(traceback.format_list(shown)).rstrip()}"
