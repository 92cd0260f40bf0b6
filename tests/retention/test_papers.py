"""Certificates on paper: readable, in two languages, with every value as it is."""

import json
import re
import zlib

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from access_control.ids import new_id
from access_control.models import LedgerEvent
from retention import papers
from retention.events import Event
from retention.models import Certificate, Verification
from retention.papers import certificate_pdf
from retention.services.planning import make_plan
from tests import factories
from tests.retention.conftest import approved, as_, ended, run, verify

ODD = "#let x = *1* & _2_ $3$ \\ [4] <5> @6 髙﨑𠮷 한글"


def streams(pdf):
    """Every stream of a PDF, inflated."""
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            # A last byte that looks like the end of a line may be missing; it belongs to the checksum.
            yield zlib.decompressobj().decompress(match[1])
        except zlib.error:
            continue


def maps(pdf):
    """For each font: glyph → text, as the PDF itself tells whoever copies from it."""
    for stream in streams(pdf):
        if b"begincmap" in stream:
            pairs = re.findall(rb"<([0-9A-Fa-f]{4})>\s*<([0-9A-Fa-f]+)>\s*$", stream, re.MULTILINE)
            yield {glyph.lower(): bytes.fromhex(code.decode()).decode("utf-16-be") for glyph, code in pairs}


def words(pdf):
    """The text of a PDF as it would be copied, without white space: one string for each of its fonts."""
    shown = [text for stream in streams(pdf) for text in glyphs(stream)]
    return ["".join(font.get(glyph, "\0") for glyph in shown) for font in maps(pdf)]


def glyphs(stream):
    """The glyphs (four hex digits each) that a page's content shows, in order."""
    if b" Tf" not in stream:
        return
    for raw in strings(stream):
        yield from (raw[at : at + 2].hex().encode() for at in range(0, len(raw), 2))


def strings(stream):
    """The strings of a page's content: <hex>, or (bytes), in which brackets that have a partner are not escaped."""
    at = 0
    while at < len(stream):
        if stream[at : at + 2] == b"<<":
            at += 2
        elif stream[at : at + 1] == b"<":
            end = stream.index(b">", at)
            yield bytes.fromhex(stream[at + 1 : end].decode())
            at = end
        elif stream[at : at + 1] == b"(":
            begin, depth = at + 1, 1
            while depth:
                at += 2 if stream[at : at + 1] == b"\\" else 1
                depth += {b"(": 1, b")": -1}.get(stream[at : at + 1], 0)
            yield unescaped(stream[begin:at])
        at += 1


ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def unescaped(text):
    def one(match):
        found = match[1]
        return bytes([int(found, 8)]) if found.isdigit() else ESCAPES.get(found, found)

    return re.sub(rb"\\([0-7]{1,3}|.)", one, text, flags=re.DOTALL)


def says(pdf, text):
    """Whether some font's text holds this, white space aside."""
    wanted = re.sub(r"\s", "", text)
    return any(wanted in re.sub(r"\s", "", found) for found in words(pdf))


@pytest.fixture
def certificate(committed):
    """The certificate of a run over one member."""
    ended(factories.member())
    plan = approved()
    run(plan)
    return Certificate.objects.select_related("plan").get()


def test_a_paper_says_in_both_languages_what_the_certificate_says(certificate):
    facts = json.loads(certificate.document)
    english, japanese = certificate_pdf(certificate, "en"), certificate_pdf(certificate, "ja")
    assert english != japanese
    for pdf in (english, japanese):
        assert pdf.startswith(b"%PDF-")
        assert says(pdf, facts["root"])
        assert says(pdf, facts["key"])
        assert says(pdf, facts["plan_hash"])
        assert says(pdf, certificate.plan.reference)
        assert says(pdf, f"{timezone.localtime(certificate.issued_at):%Y-%m-%d %H:%M:%S} JST")
        assert says(pdf, "check_certificate.py")
        # Tagged, as PDF/UA-1 asks: a title, a language, and the order in which it is read.
        everything = pdf + b"".join(streams(pdf))
        for sign in (b"/StructTreeRoot", b"pdfuaid", b"/MarkInfo"):
            assert sign in everything
    assert says(english, "Certificate of destruction")
    assert says(english, "They were about 1 person.")
    assert says(english, "Not verified")
    assert not says(english, "Not quite verified")
    for language, pdf in (("en", english), ("ja", japanese)):
        assert f"/Lang({language})".encode() in re.sub(rb"\s", b"", pdf + b"".join(streams(pdf)))
        with translation.override(language):
            for text in ("Certificate of destruction", "How to check it", "fingerprint of the key"):
                assert says(pdf, translation.gettext(text))


def test_a_paper_says_what_the_newest_verification_found(certificate):
    verify(certificate.plan)
    lines = json.loads(certificate.document)["lines"]
    paper = certificate_pdf(certificate, "en")
    assert says(paper, f"items verified {lines}")
    assert not says(paper, "Not verified")
    with as_("reader"):
        Verification.objects.create(
            plan=certificate.plan, verified_count=0, failed_count=1, findings=[f"key_lives {new_id()}"]
        )
    assert says(certificate_pdf(certificate, "en"), "The key is said to be destroyed, but it is still in the vault.")


def test_no_value_is_read_as_markup(certificate):
    facts = json.loads(certificate.document)
    certificate.document = json.dumps(facts | {"root": ODD, "journal": '")#panic("no")'}, ensure_ascii=False)
    for language in ("en", "ja"):
        paper = certificate_pdf(certificate, language)
        assert says(paper, '")#panic("no")')
        # The Hangul and the Han of this value stand in another font than its Latin letters.
        for piece in ("#let x = *1* & _2_ $3$ \\ [4] <5> @6", "髙﨑𠮷", "한글"):
            assert says(paper, piece), piece


def test_a_paper_of_nothing_can_be_read(committed):
    run(approved())
    paper = certificate_pdf(Certificate.objects.select_related("plan").get(), "en")
    assert says(paper, "Nothing was destroyed.")


def test_the_same_certificate_gives_the_same_paper(certificate):
    assert certificate_pdf(certificate, "en") == certificate_pdf(certificate, "en")


def test_both_papers_are_taken_from_the_page_whatever_its_language(certificate):
    auditor, agent = factories.staff("auditor"), factories.staff("agent")
    client = Client()
    client.force_login(auditor)
    taken = []
    for page in ("ja", "en"):
        client.cookies["django_language"] = page
        content = client.get(reverse("admin:retention_certificate_change", args=[certificate.pk])).content.decode()
        for language in ("ja", "en"):
            address = reverse("admin:retention_certificate_paper", args=[certificate.pk, language])
            assert address in content
            answer = client.get(address)
            assert answer["Content-Type"] == "application/pdf"
            name = f"certificate-{certificate.plan.reference}-{language}.pdf"
            assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
            taken.append(answer.content)
    assert taken[0] == taken[2] != taken[1] == taken[3]
    assert LedgerEvent.objects.filter(event=Event.CERTIFICATE_TAKEN, note=certificate.pk).count() == 4
    assert client.get(reverse("admin:retention_certificate_paper", args=[certificate.pk, "fr"])).status_code == 404
    assert client.post(address).status_code == 405
    client.force_login(agent)
    assert client.get(address).status_code == 403


def test_without_a_certificate_there_is_no_paper(client, officer):
    client.force_login(officer)
    plan = make_plan(timezone.localdate(), actor=None)
    assert client.get(reverse("admin:retention_certificate_paper", args=[plan.pk, "en"])).status_code == 404
    assert papers.stamp(None) == "—"
    assert not connection.needs_rollback
