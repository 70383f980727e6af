"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class MemsizeConfig(AppConfig):
    """Checks the settings, follows queries, and hands the settings to recordings."""

    name = "django_memsize"
    label = "django_memsize"
    verbose_name = "Memory"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Set up; a second time changes nothing."""
        from . import orm, recording, storage
        from .checks import check_middleware, check_settings

        checks.register(check_settings)
        checks.register(check_middleware)
        orm.install()
        recording.configure(storage.defaults)
