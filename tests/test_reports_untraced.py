"""What the writer's thread does is left out of the traces of other tools."""

import contextlib
import sys
from types import SimpleNamespace

import pytest

from django_memsize.reports.untraced import untraced


class Tracer:
    """Stands for ddtrace's: notes the spans that are open, and their tags."""

    def __init__(self):
        self.open, self.tags = [], {}

    @contextlib.contextmanager
    def trace(self, name):
        self.open.append(name)
        yield self
        self.open.remove(name)

    def set_tag(self, name):
        self.tags[name] = list(self.open)


def test_nothing_is_imported_for_a_program_without_tools(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] in ("opentelemetry", "ddtrace"):
            monkeypatch.delitem(sys.modules, name)

    with untraced():
        pass

    assert not {"opentelemetry", "ddtrace"} & set(sys.modules)


def test_opentelemetry_is_suppressed_in_the_block(monkeypatch):
    open_blocks = []

    @contextlib.contextmanager
    def suppress_instrumentation():
        open_blocks.append(True)
        yield
        open_blocks.pop()

    utils = SimpleNamespace(suppress_instrumentation=suppress_instrumentation)
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.utils", utils)

    with untraced():
        assert open_blocks == [True]
    assert open_blocks == []


def test_ddtrace_drops_the_trace_of_the_block(monkeypatch):
    tracer = Tracer()
    monkeypatch.setitem(sys.modules, "ddtrace.trace", SimpleNamespace(tracer=tracer))

    with untraced():
        assert tracer.open == ["django_memsize"]
    assert tracer.tags == {"manual.drop": ["django_memsize"]}
    assert tracer.open == []


@pytest.mark.parametrize("name", ["opentelemetry.instrumentation.utils", "ddtrace.trace"])
def test_a_release_that_is_different_hinders_nothing(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    done = []

    with untraced():
        done.append(True)

    assert done == [True]


def test_an_error_of_the_block_passes():
    with pytest.raises(ZeroDivisionError), untraced():
        raise ZeroDivisionError
