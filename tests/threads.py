"""The threads of django-memsize in the process of the tests."""

import threading

from django_memsize import process
from django_memsize.measuring import deferred
from django_memsize.reports import writer
from tests.waiting import PATIENCE


def end():
    """Reset the state of the process, and end its threads, which would change the heap later."""
    wakes = deferred._deferred.wake, writer._writer.wake
    process.reset()
    for wake in wakes:
        wake.put(None)
    for thread in threading.enumerate():
        if thread.name in ("memsize", "memsize-writer"):
            thread.join(PATIENCE)
