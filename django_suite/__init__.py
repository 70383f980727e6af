"""Django's own tests, with and without a recording around each: ``make django-suite``."""
