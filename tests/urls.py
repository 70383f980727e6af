from django.contrib import admin
from django.urls import path

from tests.app import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", views.accounts),
    path("accounts/kept/", views.accounts_kept),
    path("accounts/template/", views.accounts_in_template),
    path("accounts/response/", views.accounts_in_template_response),
    path("accounts/async/", views.accounts_async),
    path("accounts/stream/", views.accounts_stream),
    path("accounts/stream/async/", views.accounts_stream_async),
    path("accounts/<int:pk>/", views.account),
    path("file/", views.file),
    path("nothing/", views.nothing),
    path("nothing/async/", views.nothing_async),
    path("raises/<str:what>/", views.raises),
    path("raises/async/<str:what>/", views.raises_async),
    path("echo/", views.echo),
]
