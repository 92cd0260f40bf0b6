"""The restore guard: whether a database was restored from a backup, and what is refused as long as it was.

What can go wrong, and why here it cannot: a console that was restored from a backup has forgotten holds, departures and
spent approvals, and would destroy what is held. So the vault remembers what a restore of the console cannot take back:
which database it serves, the newest ledger event that was committed there (told with every fetch, freeze and
destruction, after every change by page or command, and every few seconds while the console is used), and the plans in
whose name it destroyed. The journal of runs remembers the same. While the console holds less than they do, every page
answers 503 and every command that changes anything refuses, until two persons accept the loss (``accept_restore``).

One act that is rolled back is no sign: only events that were committed before are ever told. The other case is a vault
that was restored, so that keys are back that were destroyed: it knows less than certificates and journals, or less than
the console noted that it told.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.apps import AppConfig
from django.db import connection, connections, models, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from access_control.vault import consoles
from access_control.vault.calls import ALIAS as VAULT
from access_control.vault.consoles import DatabaseIdentity, Remembered, Testimony

# How old the vault's newest mark may grow while the console is used.
TOLD_EVERY = datetime.timedelta(seconds=10)


class Sign(models.TextChoices):
    """What tells that a database was restored or moved. Those in ``OF_THE_VAULT`` are about the vault."""

    LEDGER_SHORT = "ledger_short", _("the vault was told of ledger events that the console does not hold")
    ANOTHER_EVENT = "another_event", _("the console holds another event under a sequence that the vault was told")
    APPROVAL_UNSPENT = (
        "approval_unspent",
        _("the vault destroyed in the name of an approval that the console does not know, or holds as not used"),
    )
    JOURNAL_AHEAD = "journal_ahead", _("the journal of a run names ledger events that the console does not hold")
    CONSOLE_MOVED = "console_moved", _("the console is another database, server or timeline than the vault noted")
    EPOCH_BEHIND = "epoch_behind", _("the vault noted a later restore of the console than the console itself")
    VAULT_MOVED = "vault_moved", _("the vault is another database, server or timeline than the console noted")
    VAULT_FORGOT = (
        "vault_forgot",
        _("the vault knows less than it was told, or destroyed fewer keys than certificates and journals say"),
    )


OF_THE_VAULT = frozenset({Sign.VAULT_MOVED, Sign.VAULT_FORGOT})
# The journal also tells alone, when both databases were restored where they were: so the vault may be behind as well.
VAULT_MAY_BE_BEHIND = OF_THE_VAULT | {Sign.JOURNAL_AHEAD}


class DatabaseRestored(Exception):
    """A database was restored from a backup, or moved, and nobody has accepted that yet. Carries the signs."""

    def __init__(self, signs: Sequence[Sign]) -> None:
        super().__init__(sentence(signs))
        self.signs = tuple(signs)


@dataclasses.dataclass(frozen=True)
class Console:
    """What the console is and holds, as far as the guard asks."""

    identity: DatabaseIdentity
    newest: int
    # The event under the sequence that the vault was told last, and whether the plan it destroyed last was approved
    # here and the approval spent.
    told_event: uuid.UUID | None
    plan_known: bool
    # The newest event that is certainly committed: what the vault may be told.
    committed: int
    vault: DatabaseIdentity | None
    # Which row notes that vault, how far it was told (0: nothing was noted), and when that was noted.
    vault_row: int | None
    told: int
    told_at: datetime.datetime | None


# Further witnesses, slower to ask: higher apps hand them in (config.console).
WITNESSES: tuple[Callable[[Console], list[Sign]], ...] = ()

_IDENTITY = """
  (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
  (SELECT system_identifier FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),
  (SELECT restore_epoch FROM access_control_installation)"""

# Visible, and not of the transaction under way: so it is committed, and no rollback takes it back.
_TESTIMONY = f"""
SELECT {_IDENTITY}, e.sequence, e.id, (SELECT id FROM access_control_ledgerevent WHERE sequence = %(mark)s),
  (SELECT sequence FROM access_control_toldmark WHERE vault_id = (SELECT max(id) FROM access_control_vaultidentity))
  FROM (SELECT 1) AS once LEFT JOIN LATERAL (
       SELECT sequence, id FROM access_control_ledgerevent
        WHERE xid IS DISTINCT FROM pg_current_xact_id_if_assigned() ORDER BY sequence DESC LIMIT 1) e ON true
"""

_CONSOLE = f"""
SELECT {_IDENTITY},
  coalesce((SELECT max(sequence) FROM access_control_ledgerevent), 0),
  (SELECT id FROM access_control_ledgerevent WHERE sequence = %(sequence)s),
  %(plan)s::bytea IS NULL OR EXISTS (
    SELECT FROM access_control_approval WHERE payload_hash = %(plan)s AND used_at IS NOT NULL),
  coalesce((SELECT sequence FROM access_control_ledgerevent
             WHERE xid IS DISTINCT FROM pg_current_xact_id_if_assigned() ORDER BY sequence DESC LIMIT 1), 0),
  v.database, v.system, v.timeline, v.restore_epoch, v.id, coalesce(t.sequence, 0), t.noted_at
  FROM (SELECT 1) AS once LEFT JOIN LATERAL (
       SELECT * FROM access_control_vaultidentity ORDER BY id DESC LIMIT 1) v ON true
       LEFT JOIN access_control_toldmark t ON t.vault_id = v.id
"""


def testimony(mark: int | None) -> Testimony:
    """Which database the console is, and the newest event of its ledger that is certainly committed.

    And what it holds under ``mark``, the sequence that the vault was told last.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TESTIMONY, {"mark": mark})
        row = cursor.fetchone()
    return Testimony(DatabaseIdentity(*row[:4]), *row[4:])


def console_beside(vault: Remembered) -> Console:
    """What the console is and holds, asked with what the vault remembers: one short query."""
    with connection.cursor() as cursor:
        cursor.execute(_CONSOLE, {"sequence": vault.sequence, "plan": vault.destroyed_plan})
        row = cursor.fetchone()
    noted = None if row[8] is None else DatabaseIdentity(*row[8:12])
    return Console(
        identity=DatabaseIdentity(*row[:4]),
        newest=row[4],
        told_event=row[5],
        plan_known=row[6],
        committed=row[7],
        vault=noted,
        vault_row=row[12],
        told=row[13],
        told_at=row[14],
    )


def both() -> tuple[Remembered, Console]:
    """What the vault remembers, and the console beside it.

    The vault is asked first, so that the console holds what it was told. Between the two questions somebody may have
    told it more and noted that: then both are asked again, and must know what was noted before.
    """
    vault = consoles.remembered()
    console = console_beside(vault)
    if console.told > (vault.sequence or 0):
        vault = consoles.remembered()
        console = dataclasses.replace(console_beside(vault), told=console.told)
    return vault, console


def compare(vault: Remembered, console: Console) -> list[Sign]:
    """The signs that the two databases themselves give."""
    signs = []
    if console.told > (vault.sequence or 0):
        signs.append(Sign.VAULT_FORGOT)
    if vault.console is not None:
        if vault.console[:3] != console.identity[:3]:
            signs.append(Sign.CONSOLE_MOVED)
        if vault.console.restore_epoch > console.identity.restore_epoch:
            signs.append(Sign.EPOCH_BEHIND)
        elif vault.console.restore_epoch < console.identity.restore_epoch:
            signs.append(Sign.VAULT_FORGOT)
    if vault.sequence is not None:
        if vault.sequence > console.newest:
            signs.append(Sign.LEDGER_SHORT)
        elif vault.event != console.told_event:
            signs.append(Sign.ANOTHER_EVENT)
    if not console.plan_known:
        signs.append(Sign.APPROVAL_UNSPENT)
    if console.vault is not None and console.vault != vault.itself:
        signs.append(Sign.VAULT_MOVED)
    return signs


def look() -> list[Sign]:
    """Every sign, from both databases and from the witnesses; none: nothing was restored."""
    return _look()[0]


def _look() -> tuple[list[Sign], Console]:
    vault, console = both()
    found = compare(vault, console)
    for witness in WITNESSES:
        found += witness(console)
    return _each_once(found), console


def _each_once(signs: Sequence[Sign]) -> list[Sign]:
    return [sign for sign in Sign if sign in set(signs)]


# Pairs of databases of which every witness has said to this process that nothing was restored.
_cleared: set[tuple[str, str]] = set()


def look_briefly() -> list[Sign]:
    """The signs, for every request: one short query on each database; the witnesses until they have cleared the pair.

    They are asked again by every command, by the worker every minute and by the board. The vault is told how far the
    ledger has come when it was not told for a while.
    """
    vault, console = both()
    found = compare(vault, console)
    pair = (str(connection.settings_dict["NAME"]), str(connections[VAULT].settings_dict["NAME"]))
    if not found and pair not in _cleared:
        for witness in WITNESSES:
            found += witness(console)
        if not found:
            _cleared.add(pair)
    if not found:
        _tell_now_and_then(vault, console)
    return _each_once(found)


def _tell_now_and_then(vault: Remembered, console: Console) -> None:
    if vault.console is None:
        return
    told = vault.sequence or 0
    if told < console.committed and _is_long_ago(vault.told_at):
        told = consoles.tell() or told
    if told > console.told and _is_long_ago(console.told_at):
        note_told(console, told)


def _is_long_ago(moment: datetime.datetime | None) -> bool:
    return moment is None or timezone.now() - moment >= TOLD_EVERY


def refuse_restored() -> None:
    """Raises DatabaseRestored while a restore is not accepted. Else the vault is told how far the ledger has come."""
    signs, console = _look()
    if signs:
        raise DatabaseRestored(signs)
    if told := consoles.tell():
        note_told(console, told)


# Into the row of the vault that was looked at: one that was noted meanwhile is another, and was told nothing of this.
_NOTE_TOLD = """
INSERT INTO access_control_toldmark AS t (vault_id, sequence, noted_at)
VALUES (%s, %s, clock_timestamp())
ON CONFLICT (vault_id) DO UPDATE SET sequence = EXCLUDED.sequence, noted_at = EXCLUDED.noted_at
 WHERE t.sequence < EXCLUDED.sequence
"""


def note_told(console: Console, sequence: int) -> None:
    """The console notes how far its vault was told, once the vault has committed it: what is rolled back is no sign."""
    if console.vault_row is not None:
        transaction.on_commit(partial(_write_told, console.vault_row, sequence), using=VAULT)


def _write_told(vault_row: int, sequence: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_TOLD, [vault_row, sequence])


def sentence(signs: Sequence[Sign]) -> str:
    """What was found and what to do, for whoever runs a command."""
    with translation.override("en"):
        named = "; ".join(str(sign.label) for sign in signs)
    if set(signs) <= OF_THE_VAULT:
        what = "The vault was restored from a backup, or moved: keys that were destroyed may be back."
        then = "Running accept_restore orders that they be destroyed again (docs/operations.md, The vault alone)."
    else:
        what = "The console was restored from a backup, or moved: it has forgotten what happened since."
        then = "Holds, departures and spent approvals may be missing (docs/operations.md, Restoring)."
    return f"{what} Signs: {named}. {then} Until two persons have run accept_restore, this is refused."


def note_at_set_up(sender: AppConfig, *, using: str, **_options: Any) -> None:
    """After migrate of the vault, as its owner: console and vault note each other, unless they have before.

    A restore changes nothing here, whoever migrates: only ``accept_restore`` notes another database.
    """
    if using != VAULT or sender.name != "access_control":
        return
    with connections[VAULT].cursor() as cursor:
        cursor.execute("SELECT pg_get_userbyid(relowner) = current_user FROM pg_class WHERE relname = 'vault_key'")
        row = cursor.fetchone()
        cursor.execute("SELECT to_regclass('vault_consoleidentity') IS NOT NULL")
        if not row or not row[0] or not cursor.fetchone()[0]:
            return
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('access_control_vaultidentity') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return
    vault = consoles.remembered()
    if vault.console is None:
        consoles.note_console(testimony(None).identity)
    note_vault(vault.itself, only_the_first=True)


def note_vault(vault: DatabaseIdentity, *, only_the_first: bool = False) -> None:
    """The console remembers which database its vault is."""
    from access_control.models import VaultIdentity

    if not (only_the_first and VaultIdentity.objects.exists()):
        VaultIdentity.objects.create(noted_at=timezone.now(), **vault._asdict())
