"""Codes that rows store for ever: a value never changes its meaning. docs/codes.md lists them."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Purpose(models.IntegerChoices):
    """The ten purposes of the published policy (P2). Every reveal, use and provision names one."""

    IDENTITY = 1, _("confirming identity")
    TRANSACTION = 2, _("carrying out transactions")
    COMPLAINT = 3, _("answering complaints")
    NOTICE = 4, _("necessary notices")
    DELIVERY = 5, _("confirming where goods, services or prizes go")
    SETTLEMENT = 6, _("payment settlement")
    AGENCY_CONTRACT = 7, _("keeping the contracts with settlement agencies")
    FITTED_SERVICE = 8, _("services fitted to the member's traits")
    CUSTOMER_SERVICE = 9, _("customer service about transactions")
    NEW_SERVICE = 10, _("new goods and services")


class SubjectKind(models.TextChoices):
    """Whose key it is."""

    MEMBER = "member", _("member")
    CASE = "case", _("case")
    STAFF = "staff", _("staff")
    ORGANISATION = "organisation", _("organisation")


class Reason(models.TextChoices):
    """Why something was done. History and ledger store the code; free words are sealed notes."""

    ASKED = "asked", _("the member asked")
    JOINED = "joined", _("joined the site")
    IMPORTED = "imported", _("imported from the marketplace")
    MY_PAGE = "my_page", _("changed by the member on My Page")
    DAILY_WORK = "daily_work", _("daily work")
    IDENTIFIED = "identified", _("the caller was identified")
    CASE_CLOSED = "case_closed", _("the case was closed")
    REVOKED = "revoked", _("access was revoked")
    NEITHER_NUMBER = "neither_number", _("the agent says: neither a card number nor an Individual Number")
    NOT_TRUE = "not_true", _("the data on file is correct")
    NOT_PROVEN = "not_proven", _("the change could not be confirmed")
    WITHDRAWN_BY_MEMBER = "withdrawn_by_member", _("the member took the request back")
    HIRED = "hired", _("joined the company")
    MOVED = "moved", _("moved to other work")
    LEFT = "left", _("left the company")
    SET_UP = "set_up", _("setting up the installation")
    SCHEDULED = "scheduled", _("scheduled run")
    SIGNED_IN = "signed_in", _("signed in")
    SIGN_IN_FAILED = "sign_in_failed", _("sign-in failed")
    OWN_ACCOUNT = "own_account", _("own account")
    RETENTION_ENDED = "retention_ended", _("the retention period is over")
    LEGAL_HOLD = "legal_hold", _("the data is evidence")
    HOLD_LIFTED = "hold_lifted", _("the data is evidence no longer")
    CHANGED_MIND = "changed_mind", _("the former member changed their mind")
    TAX_AUDIT = "tax_audit", _("a tax audit asks for it")
    AUTHORITY = "authority", _("a court or an authority asks for it")
    PLAN_WRONG = "plan_wrong", _("the list is not what should be destroyed")
    CANNOT_GO_ON = "cannot_go_on", _("the run cannot be carried to its end")
    BOOKKEEPING = "bookkeeping", _("the books are checked")
