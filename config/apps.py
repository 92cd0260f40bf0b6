"""Makes the console's own AdminSite the default site, so that every app registers with it."""

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """``django.contrib.admin`` with :class:`config.console.ConsoleSite`."""

    default_site = "config.console.ConsoleSite"
