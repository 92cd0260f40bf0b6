"""``accept_restore``: two persons accept what a restored database has lost, and the console opens again."""

from typing import Any

from django.core.management.base import CommandError

from access_control.management.console import REFUSED, ConsoleCommand
from access_control.services import NotApprovable, SamePerson
from retention.journal import JournalError
from retention.models import Plan
from retention.services.destroying_again import JournalsAlone, Revived
from retention.services.restores import Acceptance, KeysAreBack, NothingRestored, accept_restore


class Command(ConsoleCommand):
    """The first call lists what is lost and asks; the call of another person accepts. Exit status 1 when refused."""

    help = "Accept that a database was restored from a backup or moved: two persons, one after the other."
    by_person = True
    while_restored = True

    def handle(self, *args: Any, username: str, json: bool, **options: Any) -> None:
        """Ask or accept, print one summary."""
        actor = self.actor(username, "access_control.accept_restore")
        try:
            done = accept_restore(actor=actor)
        except NothingRestored:
            nothing = {"accepted": False, "signs": [], "lost": {}, "restore_epoch": None}
            self.answer(nothing, "No database was restored. There is nothing to accept.", as_json=json)
            return
        except SamePerson:
            said = "You have asked already. Another person must run accept_restore."
        except NotApprovable:
            said = "Nothing was accepted: somebody else answered the request at this moment. Run accept_restore again."
        except KeysAreBack as error:
            said = f"{error.found.back:,} keys that were destroyed live again. {_by_journals(error.found)}"
            if error.ordered:
                said += (
                    "You have ordered that they be destroyed again: on the purger's host run destroy_again, with the"
                    " same journals at hand; then accept_restore again."
                )
            else:
                said += (
                    "You have asked that they be destroyed again. Another person looks whether these plans were carried"
                    " out, and runs accept_restore; only then destroy_again takes these keys."
                )
        except JournalsAlone as error:
            said = (
                f"Nothing was ordered. {_by_journals(error.found)}Nothing else says that a database was restored. Find"
                " out who put these journals there, and keep elsewhere what no run has written."
            )
        except JournalError as error:
            said = f"Nothing was accepted. {error}"
        else:
            self._say(done, as_json=json)
            return
        raise CommandError(said, returncode=REFUSED)

    def _say(self, done: Acceptance, *, as_json: bool) -> None:
        summary = {
            "accepted": done.accepted is not None,
            "signs": [sign.value for sign in done.signs],
            "lost": {loss.value: count for loss, count in done.lost.items()},
            "restore_epoch": done.accepted and done.accepted.restore_epoch,
        }
        lines = ["Found:", *(f"  {sign.label}" for sign in done.signs), "Lost:"]
        lines += [f"  {count:,} {loss.label}" for loss, count in done.lost.items() if count] or ["  nothing known"]
        lines.append(
            "Not known to the vault: people who left, memberships that ended or came back, cases and corrections since."
        )
        if done.accepted:
            lines.append(
                f"Accepted; restore epoch {done.accepted.restore_epoch}. Everybody signs in again; approvals given"
                " before are void. Next: end the access of people who left, then the list in docs/operations.md."
            )
        else:
            lines.append("Asked. The console opens when another person runs accept_restore and agrees to this list.")
        self.answer(summary, "\n".join(lines), as_json=as_json)


def _by_journals(found: Revived) -> str:
    """Which of the keys only journals call destroyed: by plan, and whether their members are members still."""
    if not found.journaled:
        return ""
    known = dict(Plan.objects.filter(pk__in=list(found.journaled)).values_list("pk", "reference"))
    plans = ", ".join(
        f"{keys:,} of plan {known.get(plan, f'{plan} (not on record here)')}"
        for plan, keys in sorted(found.journaled.items())
    )
    active = f" {found.active:,} of the members concerned are members here still." if found.active else ""
    return f"Only journals call destroyed: {plans}.{active} "
