"""Certificates: what a run destroyed, in a form that an outsider checks with the certificate and the public key alone.

A line names its subject by a pseudonym, made from 32 random bytes of this certificate and the subject's id: an id would
tell the minute of joining. Whoever is to find a person's line asks the console, which holds the bytes.
"""

import base64
import hashlib
import json
import secrets
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.db.models import Count, Max
from django.utils import timezone

from access_control import signing
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.seal import KeyRef
from consent.models import SubjectReference
from retention import merkle
from retention.journal import Journal
from retention.models import Certificate, CertificateLine, Parked, Plan, PlanEnd, Run

FORMAT = "certificate of destruction 1"

_CATEGORIES = " ".join(f"WHEN {category.value} THEN '{category.name.lower()}'" for category in Category)
# One text line for each destroyed key; docs/certificate.md says what stands where.
_LINES = f"""
SELECT concat_ws(' ', x.id, encode(substring(sha256(%s || uuid_send(x.subject)) FOR 16), 'hex'),
         CASE x.category {_CATEGORIES} END,
         CASE WHEN x.category = {Category.CORRESPONDENCE.value}
              THEN encode(substring(sha256(%s || int8send(x.generation)) FOR 8), 'hex') ELSE x.generation::text END,
         to_char(x.destroyed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
  FROM retention_certificateline x WHERE x.plan_id = %s ORDER BY x.id
"""


def lines_of(plan_id: uuid.UUID, salt: bytes) -> Iterator[str]:
    """The lines of a plan's certificate, in order of their ids. Flat memory."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_LINES, [salt, salt, plan_id])
        while rows := cursor.fetchmany(10_000):
            yield from (row[0] for row in rows)


def pseudonym(salt: bytes, subject: uuid.UUID) -> str:
    """How a certificate with this salt names a subject: the first 16 bytes of SHA-256(salt ‖ id), in hex."""
    return hashlib.sha256(salt + subject.bytes).hexdigest()[:32]


def issue(plan: Plan, *, key: Ed25519PrivateKey, journal: Journal | None) -> Certificate:
    """The certificate of a run in which nothing is left to do. The caller holds the transaction.

    Without a ``journal`` it says that there is none: two persons have given the run up.
    """
    salt = secrets.token_bytes(32)
    root = merkle.root(lines_of(plan.pk, salt))
    head = journal.finish(root=root) if journal is not None else None
    now = timezone.now()
    document = json.dumps(
        _facts(plan)
        | {"root": root.hex(), "journal": head, "issued": now.isoformat(), "key": signing.fingerprint(key)},
        ensure_ascii=False,
        sort_keys=True,
        indent=1,
    )
    return Certificate.objects.create(
        plan=plan,
        issued_at=now,
        document=document,
        signature=key.sign(document.encode()),
        public_key=signing.public_pem(key),
        salt=salt,
    )


def _facts(plan: Plan) -> dict[str, Any]:
    lines = CertificateLine.objects.filter(plan=plan)
    tally = lines.aggregate(lines=Count("pk"), persons=Count("subject", distinct=True), last=Max("destroyed_at"))
    by_category = dict(lines.values_list("category").annotate(n=Count("pk")).order_by("category"))
    left_out = Parked.objects.filter(plan=plan).exclude(reason=Parked.Reason.ENDED_ELSEWHERE)
    parked = dict(left_out.values_list("reason").annotate(n=Count("pk")).order_by("reason"))
    run = Run.objects.get(plan=plan)
    given_up = PlanEnd.objects.filter(plan=plan).values_list("at", flat=True).first()
    told = SubjectReference.objects.filter(member__in=lines.values("subject")).count()
    return {
        "format": FORMAT,
        "reference": plan.reference,
        "due_up_to": plan.as_of.isoformat(),
        "rules": plan.rules.number,
        "plan": plan.pk.hex,
        "plan_hash": bytes(plan.payload_hash).hex(),
        "planned": plan.made_at.isoformat(),
        "planned_by": "the system" if plan.made_by_id is None else "a person",
        "approved": plan.approval.approved_at and plan.approval.approved_at.isoformat(),
        "begun": run.started_at.isoformat(),
        "given_up": given_up and given_up.isoformat(),
        "lines": tally["lines"],
        "persons": tally["persons"],
        "by_category": {Category(category).name.lower(): count for category, count in by_category.items()},
        "left_out": parked,
        "ended_elsewhere": ended_elsewhere(plan),
        # The three dates. The second and the third come later, and are said by later papers.
        "unreadable_since": tally["last"] and tally["last"].isoformat(),
        # The model's own order would be part of what is distinct.
        "keyring_keys": list(lines.order_by("keyring").values_list("keyring", flat=True).distinct()),
        "keyring_keys_destroyed": None,
        "recipients_to_tell": told,
        "recipients_done": None,
    }


_ELSEWHERE = """
SELECT l.subject, l.category, l.generation, p.reference
  FROM retention_parked k JOIN retention_planline l ON l.id = k.line_id
  LEFT JOIN retention_certificateline x
    ON (x.subject, x.category, x.generation) = (l.subject, l.category, l.generation)
  LEFT JOIN retention_plan p ON p.id = x.plan_id
 WHERE k.plan_id = %s AND k.reason = 'ended_elsewhere' ORDER BY l.id
"""


def ended_elsewhere(plan: Plan) -> dict[str, int]:
    """Reference of another certificate → how many items of this plan it accounts for.

    Of a run that has not recorded them yet, the vault knows the plan; of a plan that is not here, its hash.
    """
    found: Counter[str] = Counter()
    with connection.chunked_cursor() as cursor:
        cursor.execute(_ELSEWHERE, [plan.pk])
        while rows := cursor.fetchmany(10_000):
            found.update(row[3] for row in rows if row[3] is not None)
            if unknown := {KeyRef(*row[:3]) for row in rows if row[3] is None}:
                fences = store.fences(sorted({ref.subject for ref in unknown}))
                found.update(_named(fence.plan_hash) for fence in fences if fence.ref in unknown)
    return dict(sorted(found.items()))


def _named(plan_hash: bytes) -> str:
    reference = Plan.objects.filter(payload_hash=plan_hash).values_list("reference", flat=True).first()
    return reference or plan_hash.hex()


def as_file(certificate: Certificate) -> Iterator[str]:
    """The certificate as an outsider gets it: one JSON object with document, signature (base64) and lines."""
    yield '{"document": ' + json.dumps(certificate.document, ensure_ascii=False)
    yield ',\n"signature": ' + json.dumps(base64.b64encode(bytes(certificate.signature)).decode())
    yield ',\n"lines": ['
    comma = "\n"
    for line in lines_of(certificate.plan_id, bytes(certificate.salt)):
        yield comma + json.dumps(line)
        comma = ",\n"
    yield "\n]}\n"
