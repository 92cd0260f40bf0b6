"""What this app records in the ledger."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Event(models.TextChoices):
    """Events of consent, use and provision."""

    POLICY_PUBLISHED = "policy:published", _("policy version published")
    CONSENT_DEEMED = "consent:deemed", _("consent deemed given")
    REVEALED = "item:revealed", _("item revealed")
    USED = "item:used", _("item used")
    PROVIDED = "item:provided", _("item provided")
    REVEAL_REFUSED = "item:reveal_refused", _("reveal refused")
    USE_REFUSED = "item:use_refused", _("use refused")
    PROVISION_REFUSED = "item:provision_refused", _("provision refused")
    RECORD_REVEALED = "transaction:revealed", _("statutory record revealed")
    RECORD_REFUSED = "transaction:reveal_refused", _("reveal of a statutory record refused")
