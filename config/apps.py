"""Makes the console's own AdminSite the default site, and wires what apps add to each other's pages."""

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """``django.contrib.admin`` with :class:`config.console.ConsoleSite`."""

    default_site = "config.console.ConsoleSite"

    def ready(self) -> None:
        """Autodiscover, then wire."""
        super().ready()
        from config.console import wire

        wire()
