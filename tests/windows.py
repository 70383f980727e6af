"""Windows of the meter, for tests."""

import gc
import sys
from contextlib import contextmanager

from django_memsize.engine import compiled


@contextmanager
def inside(window):
    """Credit the allocations of the block to a window, which the caller opens and closes."""
    before = compiled.switch_window(window)
    try:
        yield window
    finally:
        compiled.switch_window(before)


class metered:  # noqa: N801 - a statement, to read
    """Open a window for the block, and close it afterwards, without an analysis.

    A class and not a generator, which would put objects on free lists between the opening and the
    block; the block would take them from there unseen.
    """

    def __enter__(self):
        self.window = compiled.Window()
        self.window.open()  # inside the innermost window of this context
        self.before = compiled.switch_window(self.window)
        return self.window

    def __exit__(self, *error):
        compiled.switch_window(self.before)
        self.window.close()


@contextmanager
def no_collector():
    """Disable the collector for the block, which may call it."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def names(table):
    """Return type name -> objects of a table."""
    return table[0]


def total(*tables):
    """Return the bytes of all tables together."""
    return sum(sum(sizes.values()) for _, sizes in tables)


def forget_names():
    """Clear CPython's cache of attributes.

    It refers to names, and so retains them; asked for other names, it drops some.
    """
    getattr(sys, "_clear_internal_caches", sys._clear_type_cache)()
