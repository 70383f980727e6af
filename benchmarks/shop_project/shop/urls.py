"""The ten routes of the shop."""

from django.urls import path

from . import views

urlpatterns = [
    path("recommended/", views.recommended),
    path("export/", views.export),
    path("orders/", views.orders),
    path("compared/", views.compared),
    path("category/", views.category),
    path("statistics/", views.statistics),
    path("catalogue/", views.catalogue),
    path("account/", views.account),
    path("", views.home),
    path("products/<int:pk>/", views.product),
]
