"""Roles as data: one table from role to the permissions it carries. A system check keeps every name real.

A permission in ``NEEDS_GRANT`` is worth nothing by role alone: it also needs a live grant on the object.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """What an account is for."""

    AGENT = "agent", _("agent")
    SUPERVISOR = "supervisor", _("supervisor")
    OFFICER = "officer", _("privacy officer")
    AUDITOR = "auditor", _("auditor")
    ADMINISTRATOR = "administrator", _("administrator")
    RECORDS = "records", _("keeper of statutory records")


_AGENT = frozenset(
    {
        "members.find_member",
        "members.view_member",
        "members.reveal_member",
        "members.correct_member",
        "members.view_case",
        "members.open_case",
        "members.work_case",
    }
)
_OVERSEES = frozenset(
    {"members.oversee_case", "members.revoke_grant", "members.import_member", "members.import_transaction"}
)
ACCEPTS = "access_control.accept_restore"
_SEES_DESTRUCTIONS = frozenset(
    {
        "retention.view_plan",
        "retention.view_certificate",
        "retention.view_legalhold",
        "retention.view_ruleversion",
    }
)
_ANSWERS_FOR_DESTRUCTIONS = _SEES_DESTRUCTIONS | {
    "retention.make_plan",
    "retention.approve_plan",
    "retention.place_legalhold",
    ACCEPTS,
}
_READS_THE_LEDGER = frozenset(
    {
        "access_control.view_ledgerevent",
        "access_control.view_person",
        "access_control.view_staff",
        "access_control.view_entity",
        "access_control.view_accessrequest",
        "consent.view_policyversion",
    }
)
# Access is given by two persons. Administrators ask; another administrator agrees, so that work goes on in the privacy
# officer's absence, or the officer, who answers for who sees personal data and can ask for none.
AGREES = "access_control.approve_accessrequest"
# They accept a restore too: the two that PostgreSQL keeps here (CA019) must be able to open a closed console.
_AGREES_TO_ACCESS = frozenset({"access_control.view_accessrequest", AGREES, ACCEPTS})
_ASKS_FOR_ACCESS = frozenset(
    {
        "access_control.add_person",
        "access_control.change_person",
        "access_control.add_staff",
        "access_control.change_staff",
    }
)

PERMISSIONS: dict[str, frozenset[str]] = {
    Role.AGENT: _AGENT,
    Role.SUPERVISOR: _AGENT | _OVERSEES | _ANSWERS_FOR_DESTRUCTIONS | {"members.confirm_document"},
    Role.OFFICER: _READS_THE_LEDGER | _OVERSEES | _ANSWERS_FOR_DESTRUCTIONS | _AGREES_TO_ACCESS | {"members.view_case"},
    Role.AUDITOR: _READS_THE_LEDGER | _SEES_DESTRUCTIONS,
    Role.ADMINISTRATOR: _AGREES_TO_ACCESS
    | _ASKS_FOR_ACCESS
    | frozenset({"access_control.view_person", "access_control.view_staff", "access_control.view_entity"}),
    # What the law keeps, and nothing else: not even the members whose records they are.
    Role.RECORDS: frozenset({"members.view_transaction", "members.reveal_transaction"}),
}

NEEDS_GRANT = frozenset({"members.view_member", "members.reveal_member", "members.correct_member"})

# Who can agree to requests for access, and who among them can ask too: PostgreSQL counts them before access ends.
AGREEING_ROLES = sorted(str(role) for role, names in PERMISSIONS.items() if AGREES in names)
ASKING_ROLES = sorted(str(role) for role, names in PERMISSIONS.items() if names >= _ASKS_FOR_ACCESS | {AGREES})
