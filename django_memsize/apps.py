"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class MemsizeConfig(AppConfig):
    """Registers the system checks. The first recording patches the ORM."""

    name = "django_memsize"
    label = "django_memsize"
    verbose_name = "Memory"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks; a second call changes nothing."""
        from .checks import (
            check_callables,
            check_database,
            check_instrument,
            check_middleware,
            check_python,
            check_settings,
        )

        checks.register(check_settings)
        checks.register(check_database)
        checks.register(check_instrument)
        checks.register(check_middleware)
        checks.register(check_python)
        checks.register(check_callables)
