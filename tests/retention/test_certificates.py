"""Certificates as an outsider meets them: a file, a key, and a script that knows nothing of the console."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from django.conf import settings
from django.utils import timezone

from access_control.models import Staff
from members.models import Case
from members.services.cases import add_note, close_case
from retention import merkle
from retention.models import Certificate, CertificateLine, PlanLine
from retention.services.certificates import as_file, lines_of, pseudonym
from retention.services.planning import PlanHash, approve_plan, make_plan
from tests import factories
from tests.retention.conftest import approved, ended, run

DOCS = Path(settings.BASE_DIR) / "docs"
GENUINE, NOT_GENUINE, UNREADABLE = 0, 1, 2


class Outsider:
    """Somebody with an empty directory, into which they were given a certificate, a key and the script."""

    def __init__(self, directory, certificate):
        self.directory = directory
        shutil.copy(DOCS / "check_certificate.py", directory)
        (directory / "key.pem").write_text(certificate.public_key)
        self.text = "".join(as_file(certificate))
        self.file = json.loads(self.text)

    def check(self, text=None, key="key.pem"):
        """The exit status of the script, for a certificate of this text."""
        (self.directory / "certificate.json").write_text(self.text if text is None else text)
        # No environment: neither the settings nor the path of the console.
        found = subprocess.run(
            [sys.executable, "-I", "check_certificate.py", "certificate.json", key],
            cwd=self.directory,
            env={},
            capture_output=True,
            text=True,
        )
        assert found.stderr == ""
        self.said = found.stdout
        return found.returncode

    def changed(self, **members):
        """The status after members of the file were exchanged."""
        return self.check(json.dumps(self.file | members))

    def own(self, name, content):
        """A file of the outsider's."""
        (self.directory / name).write_bytes(content)
        return name


@pytest.fixture
def outsider(committed, tmp_path):
    """The certificate of a run over two members, one of whom had written."""
    agent, member = factories.staff("agent"), factories.member()
    case = factories.identify(factories.case(member, agent))
    add_note(case, text="折り返しは午後に", actor=agent)
    close_case(case, outcome=Case.Outcome.DONE, actor=agent)
    ended(member)
    ended(factories.member())
    plan = approved()
    run(plan)
    given = tmp_path / "outside"
    given.mkdir()
    return Outsider(given, Certificate.objects.get(plan=plan))


def pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_an_outsider_tells_a_genuine_certificate_from_every_other(outsider):
    lines, document = outsider.file["lines"], outsider.file["document"]
    assert outsider.check() == GENUINE
    assert f"{len(lines)} lines" in outsider.said
    # However a JSON writer spells it, the text is the same.
    assert outsider.changed() == GENUINE

    assert outsider.changed(lines=lines[:-1]) == NOT_GENUINE
    assert outsider.changed(lines=[*lines, lines[-1]]) == NOT_GENUINE
    assert outsider.changed(lines=lines[::-1]) == NOT_GENUINE
    assert outsider.changed(lines=[lines[0].replace(" identity ", " profile "), *lines[1:]]) == NOT_GENUINE
    assert outsider.changed(lines=[]) == NOT_GENUINE
    facts = json.loads(document)
    fewer = json.dumps(facts | {"lines": facts["lines"] - 1}, sort_keys=True, indent=1)
    for text in (fewer, document + " ", document.replace("{", "[", 1), ""):
        assert outsider.changed(document=text) == NOT_GENUINE
    signature = bytearray(base64.b64decode(outsider.file["signature"]))
    signature[5] ^= 1
    assert outsider.changed(signature=base64.b64encode(signature).decode()) == NOT_GENUINE
    other = outsider.own("other.pem", pem(ed25519.Ed25519PrivateKey.generate()))
    assert outsider.check(key=other) == NOT_GENUINE

    for text in ("", "{", "[]", "{}", '"x"', "null"):
        assert outsider.check(text) == UNREADABLE
    for members in ({"lines": [1]}, {"lines": None}, {"document": 1}, {"signature": "?"}, {"document": "\ud800"}):
        assert outsider.changed(**members) == UNREADABLE
    stranger = outsider.own("rsa.pem", pem(rsa.generate_private_key(public_exponent=65_537, key_size=2048)))
    for key in (stranger, outsider.own("nonsense.pem", b"no key"), "missing.pem"):
        assert outsider.check(key=key) == UNREADABLE
    usage = subprocess.run(
        [sys.executable, "-I", "check_certificate.py"], cwd=outsider.directory, env={}, capture_output=True, text=True
    )
    assert usage.returncode == UNREADABLE
    assert "PUBLIC_KEY.pem" in usage.stdout


def test_openssl_alone_checks_the_signature_as_the_page_says(outsider):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on PATH")
    outsider.own("document", outsider.file["document"].encode())
    outsider.own("signature", base64.b64decode(outsider.file["signature"]))
    command = "openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in document -sigfile signature"
    assert command in (DOCS / "certificate.md").read_text()
    shutil.copy(outsider.directory / "key.pem", outsider.directory / "public-key.pem")
    found = subprocess.run(command.split(), cwd=outsider.directory, capture_output=True, text=True)
    if "rawin" in found.stderr:
        pytest.skip("this openssl is older than 3")
    assert (found.returncode, found.stdout.strip()) == (0, "Signature Verified Successfully")
    outsider.own("document", outsider.file["document"].encode() + b"\n")
    assert subprocess.run(command.split(), cwd=outsider.directory, capture_output=True).returncode != 0


def test_lines_and_document_are_as_the_page_says(outsider):
    certificate = Certificate.objects.get()
    plan, salt = certificate.plan, bytes(certificate.salt)
    facts = json.loads(certificate.document)
    assert certificate.document == json.dumps(facts, sort_keys=True, indent=1, ensure_ascii=False)
    page = (DOCS / "certificate.md").read_text()
    described = page.split("## The document")[1].split("## A line")[0]
    rows = [line.split("|")[1] for line in described.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(facts)
    rows = list(CertificateLine.objects.filter(plan=plan).order_by("id"))
    assert {CATEGORY[row.category] for row in rows} >= {"identity", "correspondence"}

    def generation(row):
        if CATEGORY[row.category] == "correspondence":
            return hashlib.sha256(salt + row.generation.to_bytes(8, "big")).hexdigest()[:16]
        return row.generation

    assert outsider.file["lines"] == [
        f"{row.pk} {hashlib.sha256(salt + row.subject.bytes).hexdigest()[:32]} {CATEGORY[row.category]}"
        f" {generation(row)}"
        f" {row.destroyed_at:%Y-%m-%dT%H:%M:%S.%f}Z"
        for row in rows
    ]
    assert facts["lines"] == len(outsider.file["lines"])
    assert facts["persons"] == len({line.split()[1] for line in outsider.file["lines"]}) == 2
    text = f"plan {plan.pk} {plan.as_of}\n" + "".join(
        f"{row.pk} {row.subject} {row.category} {row.generation} {row.due_on}\n"
        for row in PlanLine.objects.filter(plan=plan).order_by("id")
    )
    assert facts["plan_hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert PlanHash(plan.pk, plan.as_of).digest() == hashlib.sha256(f"plan {plan.pk} {plan.as_of}\n".encode()).digest()


CATEGORY = {1: "identity", 2: "contact", 3: "delivery", 4: "payment", 5: "profile", 6: "correspondence", 7: "statutory"}


def test_nothing_in_a_certificate_leads_to_a_person_or_to_another_certificate(outsider):
    certificate = Certificate.objects.get()
    subjects = set(CertificateLine.objects.values_list("subject", flat=True))
    whole = outsider.text.replace("-", "")
    assert not [subject for subject in subjects if subject.hex in whole or subject.hex[-8:] in whole]
    assert bytes(certificate.salt).hex() not in whole
    assert base64.b64encode(bytes(certificate.salt)).decode() not in outsider.text
    names = {staff.username for staff in Staff.objects.all()} | {
        staff.get_full_name() for staff in Staff.objects.select_related("person")
    }
    assert not [name for name in names if name in outsider.text]
    subject = subjects.pop()
    assert pseudonym(b"\x01" * 32, subject) != pseudonym(b"\x02" * 32, subject)


def test_a_certificate_of_nothing_is_genuine_too(committed, tmp_path):
    plan = approve_plan(make_plan(timezone.localdate(), actor=None), actor=factories.staff("officer"))
    run(plan)
    outsider = Outsider(tmp_path, Certificate.objects.get(plan=plan))
    assert outsider.file["lines"] == []
    assert outsider.check() == GENUINE
    assert "0 lines" in outsider.said
    assert outsider.changed(lines=["x"]) == NOT_GENUINE
    assert list(lines_of(plan.pk, b"")) == []


def tree(leaves):
    """RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0].encode()).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + tree(leaves[:k]) + tree(leaves[k:])).digest()


@pytest.mark.parametrize("n", [*range(71), 127, 128, 129, 1000])
def test_the_root_computed_in_passing_is_the_root_by_definition(n):
    leaves = [f"line {number} 山" for number in range(n)]
    assert merkle.root(iter(leaves)) == tree(leaves)


def test_known_roots_of_rfc_6962():
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root([""]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
