"""The step of a case in which the agent looks: masked by default, one item at a time in clear."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.codes import Purpose
from access_control.vault.errors import CeilingReached, Destroyed, VaultError
from consent.gate import Code, Refused
from consent.services.doors import PURPOSES_UNDER, NothingThere, reveal
from members.steps import CasePage, Step

# Cases give their grants for answering; the rest of the purposes are the system's.
LOOKING = PURPOSES_UNDER[Purpose.COMPLAINT]
_CLAUSES = {Code.SUSPENDED: "P5.B", Code.NOT_IN_POLICY: "P2", Code.NOT_ACCEPTED: "P0", Code.OTHER_CATEGORY: "P8.B"}


class LookStep(Step):
    """See the least possible."""

    name = "look"
    title = _("Look")
    template = "admin/members/case/look.html"

    def done(self, page: CasePage) -> bool:
        """Looking is never left open; the next step decides what is now."""
        return page.case.identified_at is not None

    def context(self, page: CasePage) -> dict[str, Any]:
        """Masked items by group, what was revealed just now, and what is suspended."""
        suspended = set(
            page.case.member.suspension_set.filter(ended_at=None).values_list("item", "row") if page.case.member else ()
        )
        revealed = page.left.get("revealed")
        return {
            "facts": [
                {
                    "shown": one,
                    "suspended": (one.item.code, one.row) in suspended,
                    "revealed": revealed
                    if revealed and (revealed.row, revealed.field) == (one.row, one.field)
                    else None,
                }
                for one in page.shown
            ],
            "purposes": [(purpose.value, purpose.label) for purpose in LOOKING],
            "purpose": page.left.get("purpose", Purpose.COMPLAINT.value),
            "refusal": page.left.get("refusal"),
        }

    def actions(self) -> Mapping[str, Callable[[CasePage], bool]]:
        """``reveal``."""
        return {"reveal": self.reveal}

    def reveal(self, page: CasePage) -> bool:
        """One item in clear, on this page only."""
        post = page.request.POST
        try:
            purpose = next(one for one in LOOKING if str(one.value) == post.get("purpose"))
            row_id, _colon, field = post.get("target", "").partition(":")
            row = uuid.UUID(row_id)
        except (ValueError, StopIteration):
            page.left["refusal"] = {"sentence": _("Choose an item and a purpose.")}
            return False
        page.left["purpose"] = purpose.value
        if page.case.member is None:
            page.left["refusal"] = {"sentence": _("This case names no member.")}
            return False
        try:
            page.left["revealed"] = reveal(
                page.case.member,
                row=row,
                field=field,
                purpose=purpose,
                case=page.case,
                actor=page.actor,
            )
        except Refused as refused:
            decision = refused.decision
            page.left["refusal"] = {
                "sentence": decision.sentence,
                "code": decision.code,
                "clause": _("our rule") if decision.ours else _CLAUSES.get(Code(decision.code), ""),
            }
        except PermissionDenied:
            page.left["refusal"] = {"sentence": Code.NO_GRANT.label, "code": Code.NO_GRANT.value}
        except NothingThere:
            page.left["refusal"] = {"sentence": _("The member has no such value any more.")}
        except Destroyed as destroyed:
            said = _("This value was destroyed on %(date)s.") % {"date": timezone.localdate(destroyed.at).isoformat()}
            page.left["refusal"] = {"sentence": said, "clause": "P7"}
        except CeilingReached:
            page.left["refusal"] = {
                "sentence": _("Too many values were opened in the last hour. Tell the privacy officer.")
            }
        except VaultError:
            page.left["refusal"] = {
                "sentence": _("This value cannot be opened. Tell the privacy officer; nothing was shown.")
            }
        return False
