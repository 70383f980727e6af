"""The heap as tests like to look at it."""

from django_memsize import engine


def totals(exclude=()):
    """Return type name -> (objects, bytes) of the whole heap."""
    counts, sizes, _, _ = engine.census(exclude)
    return {name: (counts[name], sizes[name]) for name in counts}
