"""Verification: what a certificate claims, looked at by code that shares nothing with the code that destroyed.

It starts from the approved payload (the plan's lines), not from what the run says of itself; asks the vault by itself;
finds sealed columns in PostgreSQL's own catalogue, not in the models; reads journal and certificate as an outsider
would. Runs as the reader, which can change nothing, and adds one row: what it found.
"""

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from django.db import connection

from access_control import signing
from access_control.vault import store
from access_control.vault.seal import KeyRef
from retention import merkle
from retention.journal import JournalError, entries, path_of
from retention.models import Certificate, CertificateLine, Plan, Recheck, Verification
from retention.services.certificates import lines_of

BATCH = 5_000
MOST_FINDINGS = 100


@dataclasses.dataclass
class Findings:
    """What was found: lines that hold, lines that do not, and what is wrong with them or with the whole."""

    verified: int = 0
    failed: int = 0
    said: list[str] = dataclasses.field(default_factory=list)

    def add(self, code: str, about: object = "") -> None:
        """One more finding (a code, and an id)."""
        self.failed += 1
        if len(self.said) < MOST_FINDINGS:
            self.said.append(f"{code} {about}".strip())


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    id: uuid.UUID
    ref: KeyRef
    due_on: Any
    certified: bool
    parked: bool


_PLANNED = """
SELECT l.id, l.subject, l.category, l.generation, l.due_on,
       EXISTS (SELECT FROM retention_certificateline x
                WHERE (x.id, x.subject, x.category, x.generation) = (l.id, l.subject, l.category, l.generation)),
       EXISTS (SELECT FROM retention_parked p WHERE p.line_id = l.id)
  FROM retention_planline l WHERE l.plan_id = %s ORDER BY l.id
"""


def _planned(plan: Plan) -> Iterator[list[_Line]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(_PLANNED, [plan.pk])
        while rows := cursor.fetchmany(BATCH):
            yield [_Line(row[0], KeyRef(*row[1:4]), *row[4:]) for row in rows]


def verify_plan(plan: Plan, *, progress: Callable[[int], Any] = lambda lines: None) -> Verification:
    """Every line of the plan is looked at; what was found is on record.

    Of a run that has not begun there is nothing to look at: that is the one finding.
    """
    found = Findings()
    with connection.cursor() as cursor:
        cursor.execute("SELECT finished_at FROM retention_run WHERE plan_id = %s", [plan.pk])
        run = cursor.fetchone()
    if run is None:
        found.add("not_begun")
        return _recorded(plan, found)
    finished = run[0] is not None
    if not finished:
        found.add("not_finished")
    digest = hashlib.sha256(f"plan {plan.pk} {plan.as_of}\n".encode())
    approved = bytes(plan.approval.payload_hash)
    columns = _sealed_columns()
    certified = 0
    for lines in _planned(plan):
        for line in lines:
            ref = line.ref
            digest.update(f"{line.id} {ref.subject} {ref.category} {ref.generation} {line.due_on}\n".encode())
        certified += sum(line.certified for line in lines)
        _look(lines, approved, columns, found, finished=finished)
        progress(len(lines))
    if not digest.digest() == bytes(plan.payload_hash) == approved:
        found.add("plan_changed")
    _look_at_strange_lines(plan, found)
    _look_at_the_approval(plan, found)
    facts = _look_at_the_certificate(plan, certified, found, finished=finished)
    _look_at_the_journal(plan, facts, found)
    return _recorded(plan, found)


def _recorded(plan: Plan, found: Findings) -> Verification:
    return Verification.objects.create(
        plan=plan, verified_count=found.verified, failed_count=found.failed, findings=found.said
    )


def _look(
    lines: list[_Line], plan_hash: bytes, columns: list[tuple[str, str, str]], found: Findings, *, finished: bool
) -> None:
    """Each line is either a fence, certified, with nothing left beside it; or parked, with its key as it was."""
    subjects = sorted({line.ref.subject for line in lines})
    fences = {fence.line: fence for fence in store.fences(subjects)}
    living = {key.ref for key in store.left(subjects)}
    strays = set(store.stray_lookups(subjects))
    standing = _standing_under([line.ref for line in lines if line.certified], columns)
    for line in lines:
        fence, ref = fences.get(line.id), line.ref
        faults = [
            code
            for code, wrong in (
                ("key_lives", line.certified and ref in living),
                ("no_fence", line.certified and (fence is None or fence.ref != ref)),
                ("other_plan", fence is not None and fence.plan_hash != plan_hash),
                ("not_certified", fence is not None and not line.certified),
                ("certified_and_parked", line.certified and line.parked),
                ("lookup_left", line.certified and ref not in living and (ref.subject, ref.category) in strays),
                ("row_left", ref in standing),
                ("neither", finished and not line.certified and not line.parked),
            )
            if wrong
        ]
        for code in faults:
            found.add(code, line.id)
        found.verified += line.certified and not faults


def _sealed_columns() -> list[tuple[str, str, str]]:
    """(table, column, column of the subject) of every sealed live column, by the CHECK that keeps it sealed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.conrelid::regclass::text, a.attname, coalesce((SELECT s.attname FROM pg_attribute s"
            "   WHERE s.attrelid = c.conrelid AND s.attname = ANY (ARRAY['subject_id', 'member_id'])"
            "   ORDER BY s.attname DESC LIMIT 1), 'id')"
            "  FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
            " WHERE c.contype = 'c' AND c.conname = 'sealed_' || a.attname"
            "   AND NOT EXISTS (SELECT FROM pg_attribute h WHERE h.attrelid = c.conrelid AND h.attname = 'history_id')"
            " ORDER BY 1, 2"
        )
        return list(cursor.fetchall())


def _standing_under(refs: list[KeyRef], columns: list[tuple[str, str, str]]) -> set[KeyRef]:
    """The keys under which some live value still stands, whichever table it is in."""
    if not refs:
        return set()
    tables: dict[tuple[str, str], list[str]] = {}
    for table, column, subject in columns:
        tables.setdefault((table, subject), []).append(column)
    key = "set_byte('\\x00'::bytea, 0, g.category) || int8send(g.generation)"
    parts = [
        f"SELECT g.subject, g.category, g.generation FROM g JOIN {table} t ON t.{subject} = g.subject WHERE "
        + " OR ".join(f'substring(t."{column}" FROM 2 FOR 9) = {key}' for column in names)
        for (table, subject), names in tables.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH g (subject, category, generation) AS (SELECT * FROM unnest(%s::uuid[], %s::int[], %s::bigint[])) "
            + " UNION ".join(parts),
            [[ref.subject for ref in refs], [ref.category for ref in refs], [ref.generation for ref in refs]],
        )
        return {KeyRef(*row) for row in cursor.fetchall()}


def _look_at_strange_lines(plan: Plan, found: Findings) -> None:
    """Certificate lines that no line of the plan is behind."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT x.id FROM retention_certificateline x LEFT JOIN retention_planline l"
            " ON (l.id, l.plan_id, l.subject, l.category, l.generation)"
            "  = (x.id, x.plan_id, x.subject, x.category, x.generation)"
            " WHERE x.plan_id = %s AND l.id IS NULL LIMIT %s",
            [plan.pk, MOST_FINDINGS],
        )
        for row in cursor.fetchall():
            found.add("not_planned", row[0])


def _look_at_the_approval(plan: Plan, found: Findings) -> None:
    """Somebody else agreed to exactly this, in time, before the run began."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.kind = 'purge' AND a.approver_id IS NOT NULL AND a.approver_id IS DISTINCT FROM a.requester_id"
            "   AND a.used_at IS NOT NULL AND a.approved_at <= a.used_at,"
            "   a.used_at <= a.expires_at AND a.approved_at <= r.started_at"
            "  FROM access_control_approval a JOIN retention_plan p ON p.approval_id = a.id"
            "  LEFT JOIN retention_run r ON r.plan_id = p.id WHERE p.id = %s",
            [plan.pk],
        )
        agreed, in_time = cursor.fetchone()
    if not agreed:
        found.add("not_approved")
    elif in_time is False:
        found.add("approved_late")


def _look_at_the_journal(plan: Plan, facts: dict[str, Any] | None, found: Findings) -> None:
    """The chain is whole and is the one that was signed; every intent names this plan and is answered; the answers are
    what is certified.
    """
    if facts is not None and facts["journal"] is None and _is_called_lost(plan):
        # The certificate says so itself: two persons have given the run up, and two have called its journal lost.
        return
    intents: dict[int, list[str]] = {}
    # By line: a run that was begun again over a restored console names some of them twice. 16 bytes a line.
    destroyed: set[bytes] = set()
    signed = last = None
    mine = True
    try:
        for last in entries(path_of(plan.pk)):
            says = last.says
            if last.kind == "journal":
                mine = mine and says["plan"] == str(plan.pk)
            elif last.kind == "intent":
                mine = mine and says["plan_hash"] == bytes(plan.payload_hash).hex()
                intents[says["chunk"]] = [row[0] for row in says["keys"]]
            elif last.kind == "done":
                spared = set(says["spared"])
                destroyed |= {uuid.UUID(line).bytes for line in intents.pop(says["chunk"], []) if line not in spared}
            elif last.kind == "finished":
                signed = last
    except JournalError:
        found.add("journal_broken")
        return
    if not mine:
        found.add("journal_of_another_plan")
    if intents:
        found.add("journal_open")
    if facts is not None and (signed is None or signed is not last or signed.hash != facts["journal"]):
        found.add("journal_not_the_signed_one")
    if not _are_certified(plan, destroyed):
        found.add("journal_counts_otherwise")


def _is_called_lost(plan: Plan) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM retention_planend e, access_control_approval a WHERE e.plan_id = %s"
            "   AND e.kind = 'given_up' AND a.kind = 'journal_lost' AND a.used_at IS NOT NULL"
            "   AND a.payload_hash = sha256('journal_lost '::bytea || %s))",
            [plan.pk, bytes(plan.payload_hash)],
        )
        return bool(cursor.fetchone()[0])


def _are_certified(plan: Plan, lines: set[bytes]) -> bool:
    """Whether the plan's certificate lines are exactly these."""
    count = 0
    with connection.chunked_cursor() as cursor:
        cursor.execute("SELECT id FROM retention_certificateline WHERE plan_id = %s", [plan.pk])
        while rows := cursor.fetchmany(BATCH):
            count += len(rows)
            if any(row[0].bytes not in lines for row in rows):
                return False
    return count == len(lines)


def _look_at_the_certificate(plan: Plan, certified: int, found: Findings, *, finished: bool) -> dict[str, Any] | None:
    """As an outsider reads it: the signature holds, the lines are those signed, the facts are those on record.

    Returns what was signed; None when there is no certificate.
    """
    certificate = Certificate.objects.filter(plan=plan).first()
    if certificate is None:
        if finished:
            found.add("no_certificate")
        return None
    document = certificate.document.encode()
    facts: dict[str, Any] = json.loads(document)
    if not signing.is_signed(document, bytes(certificate.signature), certificate.public_key):
        found.add("signature_broken")
    if facts["key"] != signing.fingerprint_of(certificate.public_key):
        found.add("signed_by_another_key")
    root = merkle.root(lines_of(plan.pk, bytes(certificate.salt)))
    if root != bytes.fromhex(facts["root"]) or facts["lines"] != certified:
        found.add("certificate_lines_changed")
    if facts["plan_hash"] != bytes(plan.payload_hash).hex():
        found.add("certificate_of_another_plan")
    return facts


# Everything that was ever destroyed, looked at again.

_CERTIFIED = """
SELECT x.id, x.subject, x.category, x.generation, p.payload_hash
  FROM retention_certificateline x JOIN retention_plan p ON p.id = x.plan_id
 WHERE x.id > %s ORDER BY x.id LIMIT %s
"""
_FIRST = uuid.UUID(int=0)


def verify_again(*, most: int | None = None, progress: Callable[[int], Any] = lambda lines: None) -> Recheck:
    """Certificate lines of all runs are looked at again: key, fence, lookups and rows. What was found is on record.

    With ``most`` it goes on behind the line where the look before it stopped, and stops after so many; behind the last
    line it begins anew, so that all of them have their turn. Without, all of them now. Flat memory.
    """
    newest = Recheck.objects.order_by("-id").first()
    behind = newest.last if most is not None and newest is not None and not newest.reached_end else _FIRST
    found, columns, last, count = Findings(), _sealed_columns(), behind, 0
    while most is None or count < most:
        size = BATCH if most is None else min(BATCH, most - count)
        with connection.cursor() as cursor:
            cursor.execute(_CERTIFIED, [last, size])
            rows = cursor.fetchall()
        if not rows:
            break
        last, count = rows[-1][0], count + len(rows)
        _look_again([(row[0], KeyRef(*row[1:4]), bytes(row[4])) for row in rows], columns, found)
        progress(len(rows))
    return Recheck.objects.create(
        behind=behind,
        last=last,
        reached_end=not CertificateLine.objects.filter(pk__gt=last).exists(),
        line_count=count,
        failed_count=found.failed,
        findings=found.said,
    )


def _look_again(
    lines: list[tuple[uuid.UUID, KeyRef, bytes]], columns: list[tuple[str, str, str]], found: Findings
) -> None:
    """What is certified is a fence under its own line and plan, with no key, no lookup and no row beside it."""
    subjects = sorted({ref.subject for _line, ref, _hash in lines})
    fences = {fence.line: fence for fence in store.fences(subjects)}
    living = {key.ref for key in store.left(subjects)}
    strays = set(store.stray_lookups(subjects))
    standing = _standing_under([ref for _line, ref, _hash in lines], columns)
    for line, ref, plan_hash in lines:
        fence = fences.get(line)
        faults = [
            code
            for code, wrong in (
                ("key_lives", ref in living),
                ("no_fence", fence is None or fence.ref != ref),
                ("other_plan", fence is not None and fence.plan_hash != plan_hash),
                ("lookup_left", ref not in living and (ref.subject, ref.category) in strays),
                ("row_left", ref in standing),
            )
            if wrong
        ]
        for code in faults:
            found.add(code, line)
        found.verified += not faults


def nightly_share(nights: int) -> int:
    """How many lines a night takes so that all of them are looked at within so many nights."""
    return max(1, -(-CertificateLine.objects.count() // nights))


def newest_verification(plan: Plan) -> Verification | None:
    """What was found last, or None when nobody has looked."""
    return next(islice(plan.verifications.order_by("-id"), 1), None)
