"""What this app records in the ledger."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Event(models.TextChoices):
    """Events about members and their cases."""

    REGISTERED = "member:registered", _("member registered")
    ENDED = "member:ended", _("membership ended")
    RETURNED = "member:returned", _("membership stands again")
    COMPARED = "member:compared", _("compared at import")
    LOOKUPS_RENEWED = "member:lookups_renewed", _("lookups made anew")
    FOUND = "member:found", _("searched for a member")
    FIND_REFUSED = "member:find_refused", _("search refused: too many within an hour")
    SHOWN_MASKED = "member:shown_masked", _("masked data shown")
    HISTORY_SHOWN = "member:history_shown", _("history shown masked")
    CASE_OPENED = "case:opened", _("case opened")
    CASE_CONTESTED = "case:contested", _("case marked contested")
    CASE_REASSIGNED = "case:reassigned", _("case handed to another agent")
    CASE_CLOSED = "case:closed", _("case closed")
    NOTE_ADDED = "case:note_added", _("note added")
    NUMBER_KEPT = "case:number_kept", _("a number was kept that looks like a card's or an Individual Number")
    NOTES_READ = "case:notes_read", _("notes read")
    IDENTITY_CHECKED = "identity:checked", _("identity check")
    IDENTITY_CONFIRMED = "identity:confirmed", _("identity confirmed")
    DOCUMENT_CONFIRMED = "identity:document_confirmed", _("identity document confirmed")
    CORRECTION_ASKED = "correction:asked", _("correction asked for")
    CORRECTION_APPLIED = "correction:applied", _("correction applied")
    CORRECTION_REFUSED = "correction:refused", _("correction refused")
    NOTICE_QUEUED = "notice:queued", _("notice queued")
    NOTICE_SENT = "notice:sent", _("notice sent")
    NOTICE_FAILED = "notice:failed", _("notice could not be sent")
    TRANSACTIONS_REGISTERED = "transaction:registered", _("transactions registered")
    TRANSACTIONS_COMPARED = "transaction:compared", _("transactions compared at import")
    RECORDS_SHOWN_MASKED = "transaction:shown_masked", _("statutory records shown masked")
