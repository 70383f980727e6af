"""Keeping the statements of the writer's thread out of the traces that other tools make.

Each statement would be a trace of its own there, because it belongs to no request.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Have OpenTelemetry and ddtrace leave out what the block does, where the program uses them."""
    with contextlib.ExitStack() as stack:
        for leave_out in (_leave_out_of_opentelemetry, _leave_out_of_ddtrace):
            with contextlib.suppress(Exception):  # whatever their releases are like
                leave_out(stack)
        yield


def _leave_out_of_opentelemetry(stack: contextlib.ExitStack) -> None:
    utils = sys.modules.get("opentelemetry.instrumentation.utils")
    if utils is not None:
        stack.enter_context(utils.suppress_instrumentation())


def _leave_out_of_ddtrace(stack: contextlib.ExitStack) -> None:
    trace = sys.modules.get("ddtrace.trace")
    if trace is not None:
        # https://ddtrace.readthedocs.io/en/stable/advanced_usage.html: the agent drops the trace.
        stack.enter_context(trace.tracer.trace("django_memsize")).set_tag("manual.drop")
