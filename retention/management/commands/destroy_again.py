"""``destroy_again``: destroys again what a restored vault has brought back. Runs as the *purger*."""

from typing import Any

from django.core.management.base import CommandError

from access_control.management.console import REFUSED, ConsoleCommand
from access_control.vault.errors import CeilingReached
from retention.journal import JournalError
from retention.management.progress import progress_bar
from retention.services.destroying_again import DestroyedAgain, NotOrdered, destroy_again
from retention.services.purging import AlreadyRunning


class Command(ConsoleCommand):
    """Destroys again, prints how many keys. Exit status 1 when it was refused or has to be run again."""

    help = "Destroy again what was destroyed and a restored vault holds. Running accept_restore orders it."
    while_restored = True

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Destroy again, print one summary."""
        try:
            with progress_bar("destroy again", None) as advance:
                done = destroy_again(progress=advance)
        except NotOrdered:
            said = (
                "Nothing was destroyed: nobody has ordered that these keys be destroyed again. Whoever may accept a"
                " restore runs accept_restore --as USERNAME, with the same journals at hand; if destroyed keys live"
                " again, that orders it, or says that another person must."
            )
        except AlreadyRunning:
            said = "A destruction run is under way; two never destroy at once. Stop its timer and try again."
        except CeilingReached:
            said = (
                "The vault's ceiling of destructions for this hour is reached. Run destroy_again again in an hour; it"
                " goes on. Another ceiling: docs/operations.md."
            )
        except JournalError as error:
            said = f"Nothing was destroyed. {error}"
        else:
            summary = {"destroyed_again": done.destroyed, "held": done.held}
            self.answer(summary, _text(done), as_json=json)
            return
        raise CommandError(said, returncode=REFUSED)


def _text(done: DestroyedAgain) -> str:
    held = ""
    if done.held:
        held = f" {done.held:,} live on, frozen by legal holds; accept_restore lists them among the losses."
    return f"{done.destroyed:,} keys were destroyed again.{held} Next: accept_restore --as USERNAME."
