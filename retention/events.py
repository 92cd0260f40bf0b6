"""What this app records in the ledger."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Event(models.TextChoices):
    """Events of retention and destruction."""

    RULES_PUBLISHED = "rules:published", _("retention rules published")
    HOLD_PLACED = "hold:placed", _("legal hold placed")
    HOLD_LIFTED = "hold:lifted", _("legal hold lifted")
    KEYS_THAWED = "hold:thawed", _("keys can be destroyed again after a legal hold")
    PLAN_MADE = "plan:made", _("destruction plan made")
    PLAN_WITHDRAWN = "plan:withdrawn", _("destruction plan withdrawn")
    PLAN_READ = "plan:read", _("destruction plan read")
    RUN_BEGUN = "run:begun", _("destruction run begun")
    RUN_GIVEN_UP = "run:given_up", _("destruction run given up")
    JOURNAL_LOST = "run:journal_lost", _("journal of a destruction run declared lost")
    DATA_DESTROYED = "data:destroyed", _("data destroyed")
    CERTIFICATE_TAKEN = "certificate:taken", _("certificate taken out")
    CERTIFICATE_SEARCHED = "certificate:searched", _("lines of a person looked up in a certificate")
    RUN_FINISHED = "run:finished", _("destruction run finished")
    DESTROYED_AGAIN = "restore:destroyed_again", _("keys destroyed again after a restore of the vault")
