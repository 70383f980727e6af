"""Windows of the meter as tests like to use them."""

import gc
from contextlib import contextmanager

from django_memsize.engine import compiled


@contextmanager
def inside(window):
    """Credit the block to a window that somebody else opens and closes."""
    before = compiled.switch_window(window)
    try:
        yield window
    finally:
        compiled.switch_window(before)


class metered:  # noqa: N801 - a statement, to read
    """Open a window around the block; afterwards it is closed, and not settled.

    A class, and not a generator: between the opening and the block nothing goes to a free list,
    from where the block would take it unseen.
    """

    def __enter__(self):
        self.window = compiled.Window()
        self.window.open()  # in the one that this context is in now
        self.before = compiled.switch_window(self.window)
        return self.window

    def __exit__(self, *error):
        compiled.switch_window(self.before)
        self.window.close()


@contextmanager
def no_collector():
    """Have the collector come only when it is called."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def names(table):
    """Return the objects of each type of a table."""
    return table[0]


def total(*tables):
    """Return the bytes of tables together."""
    return sum(sum(sizes.values()) for _, sizes in tables)
