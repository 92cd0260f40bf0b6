"""Writes docs/codes.md, the list of every stored code, from the code itself: ``python -m config.codes``.

A test keeps the page equal to what this module makes.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import django

PAGE = Path(__file__).resolve().parent.parent / "docs" / "codes.md"


def page() -> str:
    """The page, in English."""
    from django.utils import translation

    with translation.override("en"):
        return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    from access_control.checks import all_events
    from access_control.codes import Purpose, Reason, SubjectKind
    from access_control.roles import NEEDS_GRANT, PERMISSIONS, Role
    from access_control.vault.categories import Category
    from access_control.vault.lookups import LookupField
    from consent.gate import Code
    from consent.models import ConsentEvent, Provision, Recipient
    from members.inventory import ITEMS
    from members.models import Case, Member, Notice
    from retention.leftovers import Standing
    from retention.models import LegalHold, Parked, PlanExclusion, Rule, Start

    yield "# Codes"
    yield ""
    yield "Stored values; none ever changes its meaning. Written by `python -m config.codes`; a test keeps it true."
    yield from _table(
        "Items (the inventory)",
        ("code", "item", "group", "category", "can be corrected"),
        (
            (
                item.code,
                item.label,
                item.group or "case",
                item.category.label,
                "no" if item.immutable else "yes" if item.group else "—",
            )
            for item in ITEMS.values()
        ),
    )
    for title, choices in (
        ("Purposes", Purpose.choices),
        ("Categories", Category.choices),
        ("Refusals of the gate", Code.choices),
        ("Reasons", Reason.choices),
        ("Events of the ledger", sorted(all_events().items())),
        ("Kinds of subject", SubjectKind.choices),
        ("Lookups", [(field.value, field.name.lower().replace("_", " ")) for field in LookupField]),
        ("Kinds of case", Case.Kind.choices),
        ("Channels", Case.Channel.choices),
        ("Outcomes of a case", Case.Outcome.choices),
        ("Kinds of notice", Notice.Kind.choices),
        ("Kinds of consent event", ConsentEvent.Kind.choices),
        ("States of a membership", Member.State.choices),
        ("Bases of a provision", Provision.Basis.choices),
        ("Kinds of recipient", Recipient.Kind.choices),
        ("Events from which a retention period is counted", Start.choices),
        ("Grounds of a retention rule", Rule.Ground.choices),
        ("Grounds of a legal hold", LegalHold.Ground.choices),
        ("Why a plan leaves somebody out", PlanExclusion.Reason.choices),
        ("Why a run parks an item", Parked.Reason.choices),
        ("Where something past its date stands", Standing.choices),
    ):
        yield from _table(title, ("code", "meaning"), choices)
    names = sorted({name for granted in PERMISSIONS.values() for name in granted})
    yield from _table(
        "Roles",
        ("permission", *(role.value for role in Role)),
        (
            (
                f"{name}{' (needs a grant)' if name in NEEDS_GRANT else ''}",
                *("yes" if name in PERMISSIONS[role] else "" for role in Role),
            )
            for name in names
        ),
    )


def _table(title: str, head: tuple[str, ...], rows: object) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:  # type: ignore[attr-defined]
        yield f"| {' | '.join(str(cell) for cell in row)} |"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    PAGE.write_text(page(), encoding="utf-8")
