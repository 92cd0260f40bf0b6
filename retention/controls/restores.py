"""Whether a database was restored from a backup, and what that has lost."""

import datetime

from django.utils.translation import gettext_lazy as _

from access_control import restore
from access_control.controls import Control, Measured, tallied
from retention.controls.due import WINDOW


def _restored(now: datetime.datetime) -> Measured:
    signs = restore.look()
    return Measured(len(signs), [sign.value for sign in signs])


def _restores_accepted(now: datetime.datetime) -> Measured:
    return tallied(
        "SELECT r.restore_epoch || ' ' || l.key, l.value::bigint FROM access_control_acceptedrestore r"
        "  CROSS JOIN jsonb_each_text(r.lost) AS l WHERE r.accepted_at > %s AND l.value <> '0' ORDER BY 1",
        [now - WINDOW],
    )


CONTROLS: tuple[Control, ...] = (
    Control(
        "P7_B2",
        "restored",
        _("signs that a database was restored from a backup"),
        _restored,
        why=_(
            "Vault and journals remember what a restore forgets; until two persons accept it, the console is closed."
        ),
        rows_are=_("signs"),
    ),
    Control(
        "P7_B2",
        "restores_accepted",
        _("what accepted restores have lost, 30 days"),
        _restores_accepted,
        tally=True,
        why=_(
            "Each figure is what vault and journals remembered and the console did not, when two persons accepted it."
        ),
        rows_are=_("restore epoch, and what was lost"),
    ),
)
