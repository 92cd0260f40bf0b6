"""The call of the README, at the level of services: from hello to a corrected record."""

import pytest
from django.core import mail

from access_control.codes import Purpose
from consent.gate import Code, Refused, decide
from consent.services.doors import reveal
from consent.services.notices import send_notices
from members.models import Case, ContactPoint
from members.services.cases import close_case
from members.services.corrections import apply_correction, ask_correction
from members.services.finding import find
from tests import factories


def mail_of(member):
    return ContactPoint.objects.get(member=member, kind="email")


def test_a_call_from_hello_to_a_corrected_record(agent, second_agent, hanako, events_of):
    found = find("０３－５５５０－１２３４", actor=agent)
    assert [hit.member for hit in found.hits] == [hanako.pk]
    assert found.hits[0].name == "山＊ 花＊"
    # The telephone has found the member, so it proves nothing.
    said = {"birth_date": "昭和55年2月3日", "postcode": "100-0001"}
    case = factories.identify(factories.case(hanako, agent), said)
    row = mail_of(hanako)
    shown = reveal(hanako, row=row.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=agent)
    assert shown.text == "hanako.yamada@example.jp"
    with pytest.raises(Refused) as refused:
        reveal(hanako, row=row.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=second_agent)
    assert refused.value.decision.code == Code.NO_GRANT

    correction = ask_correction(case, item="contact.email", row=row.pk, text="hanako@example.net", actor=agent)
    decision = decide(hanako, item="contact.email", row=row.pk, purpose=Purpose.NOTICE)
    assert decision.code == Code.SUSPENDED
    apply_correction(correction, actor=agent)
    assert decide(hanako, item="contact.email", row=row.pk, purpose=Purpose.NOTICE).allowed
    row.refresh_from_db()
    shown = reveal(hanako, row=row.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=agent)
    assert shown.text == "hanako@example.net"
    assert [hit.member for hit in find("hanako@example.net", actor=agent).hits] == [hanako.pk]

    assert send_notices().sent == 2
    assert sorted(message.to[0] for message in mail.outbox) == ["hanako.yamada@example.jp", "hanako@example.net"]
    assert not any("hanako" in message.body for message in mail.outbox)
    close_case(case, outcome=Case.Outcome.DONE, actor=agent)
    case.refresh_from_db()
    with pytest.raises(Refused) as refused:
        reveal(hanako, row=row.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=agent)
    assert refused.value.decision.code == Code.CASE_CLOSED
