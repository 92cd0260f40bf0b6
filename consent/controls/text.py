"""The text itself (P0), consent to it (P1), and what it says of cookies, linked sites and advertising (P3, P9, P11)."""

import datetime

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.controls import MOST_ROWS, Control, Measured, State, queried, tallied
from consent.gate import version_in_force
from consent.models import PolicySentence
from consent.policy_text import CLAUSES


def _text_differs(now: datetime.datetime) -> Measured:
    """Sentences of the known wording that the version in force lacks or says otherwise, or that it says besides."""
    version = version_in_force(timezone.localdate(now))
    published = PolicySentence.objects.filter(version=version).values_list("sentence", "text_ja", "text_en")
    known = {(each.id, each.ja, each.en) for clause in CLAUSES for each in clause.sentences}
    rows = sorted({sentence for sentence, *_texts in known ^ set(published)})
    return Measured(len(rows), rows[:MOST_ROWS])


def _unexplained_versions(now: datetime.datetime) -> Measured:
    """The oldest version held is what was found; why it replaced its forerunner is not known, and not invented."""
    return queried(
        "SELECT number FROM consent_policyversion WHERE change_reason = ''"
        " AND number > (SELECT min(number) FROM consent_policyversion) ORDER BY number"
    )


def _without_consent(now: datetime.datetime) -> Measured:
    return queried(
        "SELECT m.id FROM members_member m WHERE NOT EXISTS"
        " (SELECT FROM consent_consentevent c WHERE c.member_id = m.id)"
    )


def _by_evidence(now: datetime.datetime) -> Measured:
    return tallied("SELECT evidence, count(*) FROM consent_consentevent GROUP BY 1 ORDER BY 2 DESC")


CONTROLS = (
    Control(
        "P0_1",
        "member_terms",
        _("the member terms, of which the policy is a part"),
        fixed=State.NOT_MEASURABLE,
        why=_("The terms and their definitions stand on the site; this console holds the policy only."),
    ),
    Control(
        "P0_2",
        "versions_unexplained",
        _("later versions published without a reason"),
        _unexplained_versions,
        why=_("A version that replaces another says whether the law or the company's policy has changed."),
        rows_are=_("policy versions"),
    ),
    Control(
        "P0_2",
        "amendment_steps",
        _("the steps of Article 18 of the member terms"),
        fixed=State.NOT_MEASURABLE,
        why=_("They are taken on the site and by the company's bodies, outside this console."),
    ),
    Control(
        "P0_3",
        "text_differs",
        _("sentences of the version in force that differ from the known wording"),
        _text_differs,
        why=_("The published rows are compared, in both languages, with the text that this console was built on."),
        rows_are=_("sentences"),
    ),
    Control(
        "P0_3",
        "public_page",
        _("times at which the newest text could not be reached"),
        why=_("There is no public page with the text yet."),
    ),
    Control(
        "P0_4",
        "loosenings",
        _("loosenings in force without a consent campaign"),
        why=_("Versions are not compared sentence by sentence yet; the gate asks both of them meanwhile."),
    ),
    Control(
        "P1_1",
        "without_consent",
        _("members without a consent event"),
        _without_consent,
        why=_("Joining writes a consent event in the same transaction; a member without one came in by another way."),
        rows_are=_("members"),
    ),
    Control(
        "P1_1",
        "evidence",
        _("consent events, by evidence"),
        _by_evidence,
        tally=True,
        why=_("Members imported from the site come without the hash of the screen, and none is invented."),
        rows_are=_("codes"),
    ),
    Control(
        "P3_1",
        "public_cookies",
        _("cookies set by the public pages"),
        why=_("There are no public pages yet."),
    ),
    Control(
        "P3_2",
        "browser_settings",
        _("users whose browser did not follow their choice"),
        fixed=State.NOT_MEASURABLE,
        why=_("The choice is made and kept in the user's own browser."),
    ),
    Control(
        "P3_3",
        "without_cookies",
        _("services that need cookies"),
        fixed=State.NOT_MEASURABLE,
        why=_("Which services need them is decided on the site, outside this console."),
    ),
    Control(
        "P9_1",
        "linked_sites",
        _("linked sites unreviewed for a year"),
        why=_("No register of linked sites is kept here yet."),
    ),
    Control(
        "P9_2",
        "linked_liability",
        _("liability for linked sites"),
        fixed=State.NOT_MEASURABLE,
        why=_("The sentence limits liability; it promises no act that could be kept or not."),
    ),
    Control(
        "P11_1",
        "advertised_to_refusers",
        _("deliveries of advertising after a refusal"),
        why=_("The mailing system's deliveries are not imported yet."),
    ),
    Control(
        "P11_2",
        "refusals_received",
        _("refusals of advertising that are not in effect"),
        why=_("Refusals of advertising are not taken in here yet."),
    ),
    Control(
        "P11_3",
        "refusals_unconfirmed",
        _("refusals of advertising that were not confirmed to the member"),
        why=_("Refusals of advertising are not taken in here yet."),
    ),
    Control(
        "P11_4",
        "advertising_meaning",
        _("what counts as advertising"),
        fixed=State.NOT_MEASURABLE,
        why=_("The sentence defines a word; the sentences above are measured by it."),
    ),
)
