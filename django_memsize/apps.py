"""The Django app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.core import checks

if TYPE_CHECKING:
    from .measuring.recording import Options


class MemsizeConfig(AppConfig):
    """Checks the settings, and hands them to recordings; the first has queries followed."""

    name = "django_memsize"
    label = "django_memsize"
    verbose_name = "Memory"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Set up; a second time changes nothing."""
        from .checks import check_middleware, check_settings
        from .measuring import recording

        checks.register(check_settings)
        checks.register(check_middleware)
        recording.configure(_defaults_of_the_first)


def _defaults_of_the_first() -> Options:
    """Follow queries from the first recording on, and return its defaults.

    Not from ``ready()`` on: a library that patches querysets in its own, after ours, would load
    rows outside of what we see.
    """
    from .measuring import recording
    from .orm import patches
    from .reports import storage

    patches.install()
    recording.configure(storage.defaults)
    return storage.defaults()
