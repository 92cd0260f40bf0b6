"""What was destroyed says when, and under which certificate, wherever it still stands."""

import datetime

import time_machine
from django.utils import timezone, translation

from access_control.ledger import acting
from members.models import ContactPoint, Member
from members.services.cases import close_case
from members.services.corrections import apply_correction, ask_correction
from members.showing import masked_member
from members.timeline import timeline
from retention.models import Start
from tests import factories
from tests.retention.conftest import approved, decided_long_ago, ended, run, verify


def shown(member):
    with acting(None, reason="daily_work") as act:
        entries = timeline(member, act=act)
    return [(change.label, change.before, change.after) for entry in entries for change in entry.changes]


def test_history_of_a_former_member_names_the_certificate_and_nothing_else(committed):
    member = ended(factories.member())
    plan = approved()
    run(plan)
    today = timezone.localdate().isoformat()
    with translation.override("en"):
        states = {str(state.label) for state in Member.State}
        texts = {text for _label, before, after in shown(member) for text in (before, after) if text}
    assert texts - states == {f"destroyed on {today} under certificate {plan.reference}"}
    member.refresh_from_db()
    with acting(None, reason="daily_work") as act:
        assert masked_member(member, act=act) == []


def test_a_superseded_address_becomes_unreadable_in_history_while_the_member_stays(committed):
    agent, member = factories.staff("agent"), factories.member()
    case = factories.identify(factories.case(member, agent))
    mail = ContactPoint.objects.get(member=member, kind="email")
    wish = ask_correction(case, item="contact.email", row=mail.pk, text="new@example.net", actor=agent)
    apply_correction(wish, actor=agent)
    close_case(case, outcome="done", actor=agent)
    decided_long_ago(wish)
    before = [row for row in shown(member) if "mail" in str(row[0]).lower() or "メール" in str(row[0])]
    assert not any(plan_word in row[1] for row in before for plan_word in ("under certificate", "証明書"))
    plan = approved()
    assert list(plan.lines.values_list("category", "generation", "start")) == [(2, 1, Start.VALUE_SUPERSEDED)]
    run(plan)
    assert verify(plan).findings == []
    after = shown(member)
    assert any(plan.reference in change[1] for change in after)
    with acting(None, reason="daily_work") as act:
        masked = {one.item.code: one.masked for one in masked_member(member, act=act)}
    assert not any(plan.reference in text for text in masked.values())
    assert {"contact.email", "contact.phone", "member.name"} <= set(masked)


def test_years_later_the_books_go_fiscal_year_by_fiscal_year(committed, settings):
    member = factories.member(member_number="YEARS1", login_id="years1")
    for day in ("2024-05-01", "2025-03-31", "2025-04-01"):
        factories.transaction("YEARS1", ordered_on=day)
    ended(member)
    first = approved()
    run(first)
    settings.DEMO = True
    # Fiscal year 2024 ends on 2025-03-31; two months and seven years later its books may go.
    assert approved(datetime.date(2032, 5, 31)).line_count == 0
    second = approved(datetime.date(2032, 6, 1))
    assert list(second.lines.values_list("category", "generation", "start")) == [(7, 2024, Start.TRANSACTION)]
    run(second)
    assert verify(second).findings == []
    assert member.transaction_set.count() == 1
    third = approved(datetime.date(2033, 6, 1))
    assert list(third.lines.values_list("category", "generation")) == [(7, 2025)]
    run(third)
    assert member.transaction_set.count() == 0
    assert verify(third).findings == verify(first).findings == []


def test_the_day_begins_in_tokyo(committed):
    """Ended at 23:30 of the 1st and at 00:30 of the 2nd in Tokyo: the first is due a day before the second.

    Thirty whole days are the 2nd to the 31st (number 8).
    """
    late, early = factories.member(), factories.member()
    now = timezone.now()
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    ended(late, ago=now - datetime.datetime(2026, 10, 1, 23, 30, tzinfo=tokyo))
    ended(early, ago=now - datetime.datetime(2026, 10, 2, 0, 30, tzinfo=tokyo))
    with time_machine.travel(datetime.datetime(2026, 11, 1, 0, 0, tzinfo=tokyo), tick=False):
        assert set(approved().lines.values_list("subject", flat=True)) == {late.pk}
    with time_machine.travel(datetime.datetime(2026, 10, 31, 23, 59, tzinfo=tokyo), tick=False):
        assert approved().line_count == 0
