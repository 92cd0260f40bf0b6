"""Addresses: the console, the language switch, and the page of a one-time link."""

from django.contrib import admin
from django.urls import include, path

from access_control.access_admin import first_password_view

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("first-password/<str:token>/", first_password_view, name="first_password"),
    path("", admin.site.urls),
]
