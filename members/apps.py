"""Whom it is about."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MembersConfig(AppConfig):
    """Members, their data, their cases and corrections."""

    name = "members"
    verbose_name = _("members")
