"""What this app records in the ledger, as ``subject:act``. A check keeps the apps' events disjoint."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Event(models.TextChoices):
    """Events of access control."""

    PERSON_HIRED = "person:hired", _("person entered")
    PERSON_MOVED = "person:moved", _("person moved")
    PERSON_LEFT = "person:left", _("person left")
    ACCOUNT_OPENED = "account:opened", _("account opened")
    PASSWORD_CHANGED = "account:password_changed", _("password changed")
    SIGNED_IN = "account:signed_in", _("signed in")
    SIGN_IN_FAILED = "account:sign_in_failed", _("sign-in failed")
    SIGN_IN_LOCKED = "account:locked", _("sign-in locked")
    ADDRESS_LOCKED = "address:locked", _("sign-in from an address locked")
    ADDRESS_UNLOCKED = "address:unlocked", _("sign-in from an address unlocked")
    SIGN_IN_UNLOCKED = "account:unlocked", _("sign-in unlocked")
    ACCESS_ASKED = "access:asked", _("access asked for")
    SET_UP_AGAIN = "access:set_up_again", _("first accounts made again")
    ACCESS_REFUSED = "access:refused", _("access refused")
    LINK_MADE = "account:link_made", _("one-time link made")
    LINK_USED = "account:link_used", _("password set by one-time link")
    GRANT_OPENED = "grant:opened", _("access granted")
    GRANT_ENDED = "grant:ended", _("access ended")
    SEAL_BROKEN = "seal:broken", _("a seal did not open (incident)")
    APPROVAL_ASKED = "approval:asked", _("approval asked for")
    APPROVAL_GIVEN = "approval:given", _("approval given")
    APPROVAL_USED = "approval:used", _("approval used")
    RESTORE_ACCEPTED = "restore:accepted", _("restore of a database accepted")
