"""``accept_restore``: two persons accept what a restored database has lost, and the console opens again."""

from typing import Any

from django.core.management.base import CommandError
from django.utils import translation

from access_control.management.console import REFUSED, ConsoleCommand
from retention.journal import JournalError
from retention.services.restores import Acceptance, KeysAreBack, NothingRestored, SamePersonAgain, accept_restore


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
        except SamePersonAgain:
            said = "You have asked already. Another person must run accept_restore."
        except KeysAreBack as error:
            said = (
                f"{error.count:,} keys that were destroyed live again. You have ordered that they be destroyed again:"
                " on the purger's host run destroy_again, with the same journals at hand; then accept_restore again."
            )
        except JournalError as error:
            said = f"Nothing was accepted. {error}"
        else:
            with translation.override("en"):
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
