"""Certificates: what a run destroyed, in a form that an outsider checks with the certificate and the public key alone.

A line names its subject by a pseudonym, made from 32 random bytes of this certificate and the subject's id: an id would
tell the minute of joining. Whoever is to find a person's line asks the console, which holds the bytes.
"""

import base64
import hashlib
import json
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.db.models import Count, Max
from django.utils import timezone

from access_control import signing
from access_control.vault.categories import Category
from consent.models import SubjectReference
from retention import merkle
from retention.journal import Journal
from retention.models import Certificate, CertificateLine, Parked, Plan, Run

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


def issue(plan: Plan, *, key: Ed25519PrivateKey, journal: Journal) -> Certificate:
    """The certificate of a run in which nothing is left to do. The caller holds the transaction."""
    salt = secrets.token_bytes(32)
    root = merkle.root(lines_of(plan.pk, salt))
    head = journal.finish(root=root)
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
    parked = dict(Parked.objects.filter(plan=plan).values_list("reason").annotate(n=Count("pk")).order_by("reason"))
    run = Run.objects.get(plan=plan)
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
        "lines": tally["lines"],
        "persons": tally["persons"],
        "by_category": {Category(category).name.lower(): count for category, count in by_category.items()},
        "left_out": parked,
        # The three dates. The second and the third come later, and are said by later papers.
        "unreadable_since": tally["last"] and tally["last"].isoformat(),
        "keyring_keys": sorted(lines.values_list("keyring", flat=True).distinct()),
        "keyring_keys_destroyed": None,
        "recipients_to_tell": told,
        "recipients_done": None,
    }


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
