"""The settings of the shop that `benchmarks/shop.py` serves."""

import json
import os

SECRET_KEY = "shop-" * 10
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = json.loads(os.environ["SERVED_DATABASES"])
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_memsize",
    "shop",
]
MIDDLEWARE = [
    "django_memsize.middleware.MemsizeMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
# MEMSIZE has its defaults: what is to be found is found with these.
