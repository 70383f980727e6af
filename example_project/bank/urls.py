"""One page for each way of loading accounts."""

from django.urls import path

from bank import views

app_name = "bank"

urlpatterns = [
    path("", views.index, name="index"),
    path("accounts/all/", views.all_accounts, name="all"),
    path("accounts/ten/", views.ten_accounts, name="ten"),
    path("accounts/iterator/", views.iterator, name="iterator"),
    path("accounts/values/", views.values, name="values"),
    path("accounts/list/", views.AccountList.as_view(), name="list"),
    path("accounts/leak/", views.leak, name="leak"),
    path("accounts/async/", views.async_accounts, name="async"),
    path("accounts/stream/", views.stream, name="stream"),
    path("accounts/form/", views.form, name="form"),
    path("accounts/branches/", views.branches, name="branches"),
]
