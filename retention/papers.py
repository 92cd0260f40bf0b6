"""Papers for people, as PDF (typst): A4, tagged (PDF/UA-1), in the language asked for whatever the page's is.

What a paper says goes to typst as one JSON text and is never read as markup. The font comes in a wheel; nothing of the
system is used.
"""

import datetime
import importlib.util
import json
from pathlib import Path
from typing import Any

import typst
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from retention.due import TOKYO
from retention.models import Certificate, Verification
from retention.services.verifying import newest_verification
from retention.showing import certificate_facts, findings_of

_FONTS = "cvttf_NotoSansCJK_Regular"
_FINGERPRINT = "openssl pkey -pubin -in public-key.pem -outform DER | tail -c 32 | openssl dgst -sha256"


def certificate_pdf(certificate: Certificate, language: str) -> bytes:
    """The certificate as a paper. It names nobody, and says itself that it is not the proof."""
    with translation.override(language):
        said = _certificate(certificate)
    # The same certificate and verification give the same bytes.
    return _compiled("certificate.typ", said | {"lang": language}, at=certificate.issued_at)


def _compiled(template: str, said: dict[str, Any], *, at: datetime.datetime) -> bytes:
    package = importlib.util.find_spec(_FONTS)
    assert package is not None
    assert package.submodule_search_locations is not None
    return typst.compile(
        str(Path(settings.BASE_DIR) / "templates" / "papers" / template),
        format="pdf",
        font_paths=list(package.submodule_search_locations),
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(said, ensure_ascii=False)},
        pdf_standards=["ua-1"],
        timestamp=int(at.timestamp()),
    )


def stamp(at: datetime.datetime | None) -> str:
    """Day and time of Tokyo, with the zone."""
    return f"{at.astimezone(TOKYO):%Y-%m-%d %H:%M:%S} JST" if at else "—"


def _row(label: Any, value: Any, *, code: bool = False) -> dict[str, Any]:
    return {"label": str(label), "value": str(value), "code": code}


def _part(title: str, head: tuple[str, str] = ("", ""), **what: Any) -> dict[str, Any]:
    return {"title": title, "head": head, "rows": [], "said": [], "steps": [], "figures": False, **what}


def _certificate(certificate: Certificate) -> dict[str, Any]:
    facts = certificate_facts(certificate)
    reference = facts["reference"]
    return {
        "title": _("Certificate of destruction"),
        "console": _("Personal Information Console"),
        "reference": reference,
        "footer": _("Certificate of destruction %(reference)s, issued %(when)s")
        % {"reference": reference, "when": stamp(facts["issued"])},
        "summary": _summary(facts),
        "parts": [
            _part(
                _("Three dates"),
                (_("what"), _("when")),
                rows=[
                    _row(_("unreadable since"), stamp(facts["unreadable_since"])),
                    _row(_("keyring key destroyed"), _("not yet") if facts["lines"] else "—"),
                    _row(_("recipients done"), _("not yet") if facts["recipients_to_tell"] else _("nobody to tell")),
                ],
                said=[
                    _(
                        "From the first date on nobody reads the data with the console. The second ends copies of the"
                        " keys in forgotten backups, the third copies at recipients. Later papers say when they came."
                    )
                ],
            ),
            *_counts(facts),
            _part(
                _("How it came about"),
                (_("what"), _("when")),
                rows=[
                    _row(_("due up to"), facts["due_up_to"].isoformat()),
                    _row(_("retention rules"), _("version %(n)s") % {"n": facts["rules"]}),
                    _row(_("planned"), f"{stamp(facts['planned'])} ({_by(facts)})"),
                    _row(_("approved by another person"), stamp(facts["approved"])),
                    _row(_("begun"), stamp(facts["begun"])),
                    *([_row(_("run given up"), stamp(facts["given_up"]))] if facts["given_up"] else []),
                    _row(_("issued"), stamp(facts["issued"])),
                ],
            ),
            _verified(newest_verification(certificate.plan)),
            _part(
                _("What was signed"),
                (_("what"), "SHA-256"),
                rows=[
                    _row(_("fingerprint of the key"), facts["key"], code=True),
                    _row(_("root of the lines"), facts["root"], code=True),
                    _row(_("hash of the plan"), facts["plan_hash"], code=True),
                    _row(
                        _("head of the journal"),
                        facts["journal"] or _("lost: two persons have given the run up"),
                        code=True,
                    ),
                ],
            ),
            _part(
                _("How to check it"),
                said=[_("This paper is for reading. The proof is the signed file that belongs to it.")],
                steps=[
                    {
                        "said": _("Get the file and the public key, the key by another way than the file."),
                        "command": f"certificate-{reference}.json   public-key.pem",
                    },
                    {
                        "said": _("Compare the fingerprint of the key above, on the telephone for instance."),
                        "command": _FINGERPRINT,
                    },
                    {
                        "said": _(
                            "Run docs/check_certificate.py. It needs nothing of the console; docs/certificate.md says"
                            " what it computes, and what the certificate proves and does not prove."
                        ),
                        "command": f"python check_certificate.py certificate-{reference}.json public-key.pem",
                    },
                ],
            ),
        ],
    }


def _by(facts: dict[str, Any]) -> str:
    return _("the system") if facts["planned_by"] == "the system" else _("a person")


def _summary(facts: dict[str, Any]) -> str:
    if not facts["lines"]:
        return _("Nothing was destroyed.")
    items = ngettext("%(items)s item was destroyed.", "%(items)s items were destroyed.", facts["lines"])
    persons = ngettext("They were about %(persons)s person.", "They were about %(persons)s persons.", facts["persons"])
    space = "" if (translation.get_language() or "").startswith("ja") else " "
    return space.join([items % {"items": f"{facts['lines']:,}"}, persons % {"persons": f"{facts['persons']:,}"}])


def _counts(facts: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for title, what, name in (
        (_("Destroyed, by category"), _("category"), "by_category"),
        (_("Planned and not destroyed"), _("why"), "left_out"),
        (_("Destroyed before, under another certificate"), _("certificate of destruction"), "ended_elsewhere"),
    ):
        rows = [_row(label, f"{count:,}") for label, count in facts[name]]
        if rows:
            found.append(_part(title, (what, _("items")), rows=rows, figures=True))
    return found


def _verified(verification: Verification | None) -> dict[str, Any]:
    """The newest verification, or that there was none."""
    if verification is None:
        return _part(_("Verification"), said=[_("Not verified: nobody has compared key store and tables with it yet.")])
    rows = [
        _row(_("verified at"), stamp(verification.at)),
        _row(_("items verified"), f"{verification.verified_count:,}"),
        _row(_("findings"), f"{verification.failed_count:,}"),
    ]
    return _part(
        _("Verification"),
        (_("what"), _("result")),
        rows=rows,
        said=[f"{one.said} ×{one.count:,}" for one in findings_of(verification)],
    )
