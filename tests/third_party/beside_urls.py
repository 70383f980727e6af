"""The pages of the tests, and those of the tools that need some."""

from django.apps import apps
from django.urls import include, path

from tests.urls import urlpatterns as pages

urlpatterns = list(pages)
if apps.is_installed("silk"):
    urlpatterns.append(path("silk/", include("silk.urls", namespace="silk")))
if apps.is_installed("debug_toolbar"):
    urlpatterns.append(path("__debug__/", include("debug_toolbar.urls")))
