"""What a key covers. A subject has one living key per category and generation."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _


class Category(models.IntegerChoices):
    """Categories of personal data. Values are part of every sealed value and never change meaning."""

    IDENTITY = 1, _("identity")
    CONTACT = 2, _("contact")
    DELIVERY = 3, _("delivery")
    PAYMENT = 4, _("payment")
    PROFILE = 5, _("profile")
    CORRESPONDENCE = 6, _("correspondence")
    STATUTORY = 7, _("statutory records")


FIRST_GENERATION = 1


def generation_of_case(case_id: uuid.UUID) -> int:
    """The generation of correspondence sealed in one case: the first 64 bits of its UUIDv7 (48 of them time).

    A number from a sequence would repeat after a restore and meet the fence of a destroyed case.
    """
    return case_id.int >> 64
