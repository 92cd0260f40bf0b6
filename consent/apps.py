"""What a member agreed to, and what may therefore be done."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConsentConfig(AppConfig):
    """Policy versions, consent, recipients, provisions, the gate and the three doors."""

    name = "consent"
    verbose_name = _("consent")
