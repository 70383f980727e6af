"""The bank at the root, the admin beside it."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("bank.urls")),
    path("admin/", admin.site.urls),
]
