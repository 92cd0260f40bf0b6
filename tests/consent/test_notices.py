"""Notices: through the gate, by a real SMTP server, to the old and the new address, never with a value inside."""

import asyncio
import datetime
import email
import email.policy
import io
import json
import re
import threading

import pytest
import time_machine
from aiosmtpd.smtp import SMTP
from django.core.management import call_command
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone, translation

from access_control.codes import Reason
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.vault.categories import Category, generation_of_case
from access_control.vault.errors import AnotherConsole, CeilingReached, KeyringError, SealBroken
from access_control.vault.ring import keys_for
from consent import gate
from consent.gate import Code, decide
from consent.jobs import send_queued_notices
from consent.models import OurRule
from consent.services import notices
from consent.services.notices import LONGEST_SENDING, MOST_ATTEMPTS, Sent, rendered, send_notices, sender_of
from members.models import ContactPoint, Notice
from members.services.corrections import apply_correction, ask_correction, refuse_correction
from retention.explaining import listed, what_happens
from retention.models import Rule
from retention.services.memberships import end_membership, return_to_membership
from tests import factories

OLD, NEW = "hanako.yamada@example.jp", "hanako@example.net"


class Inbox:
    """A mail server that keeps what it is given, or refuses everything."""

    def __init__(self):
        self.messages = []
        self.envelopes = []
        # What the server answers at each step; nothing: it takes the message.
        self.says = {}

    async def handle_MAIL(self, server, session, envelope, address, options):
        envelope.mail_from = address
        return self.says.get("MAIL", "250 OK")

    async def handle_RCPT(self, server, session, envelope, address, options):
        envelope.rcpt_tos.append(address)
        answer = self.says.get("RCPT") or self.says.get(address) or "250 OK"
        return answer + " " + address

    async def handle_DATA(self, server, session, envelope):
        answer = self.says.get("DATA", "250 OK")
        if answer[0] not in "45":
            self.messages.append((envelope.rcpt_tos, envelope.content.decode()))
        if answer == "silence":
            server.transport.abort()
        return answer if answer == "250 OK" else f"{answer} {envelope.rcpt_tos[0]} is unknown here"

    async def handle_QUIT(self, server, session, envelope):
        return self.says.get("QUIT", "221 Bye")


class Server(SMTP):
    """Writes down the recipient as it came over the line."""

    async def smtp_RCPT(self, arg):
        self.event_handler.envelopes.append(arg)
        await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg):
        """Before any of the message was sent."""
        ready = self.event_handler.says.get("READY")
        if ready == "silence":
            self.transport.abort()
        elif ready:
            await self.push(f"{ready} not this one")
        else:
            await super().smtp_DATA(arg)


@pytest.fixture
def inbox(settings):
    handler = Inbox()
    loop = asyncio.new_event_loop()
    made = loop.create_server(lambda: Server(handler, hostname="localhost", loop=loop), "127.0.0.1", 0)
    server = loop.run_until_complete(made)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = server.sockets[0].getsockname()
    yield handler
    server.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def corrected(identified):
    row = ContactPoint.objects.get(member=identified.member, kind="email")
    wish = ask_correction(identified, item="contact.email", row=row.pk, text=NEW, actor=identified.owner)
    return apply_correction(wish, actor=identified.owner)


def test_the_old_and_the_new_address_are_told_and_no_value_is_in_the_text(corrected, inbox, events_of):
    assert send_notices().sent == 2
    assert sorted(to for (to,), _text in inbox.messages) == [OLD, NEW]
    for _to, text in inbox.messages:
        body = email.message_from_string(text).get_payload(decode=True).decode()
        assert corrected.case.reference in body
        assert OLD not in body
        assert NEW not in body
    states = Notice.objects.values_list("state", flat=True)
    assert set(states) == {"sent"}
    assert events_of(corrected.member_id).count("notice:sent") == 2
    assert events_of(corrected.member_id).count("item:used") == 2
    assert send_notices().sent == 0


def received(inbox):
    """(address, subject, body) of every message, as the server got it."""
    found = []
    for (to,), raw in inbox.messages:
        message = email.message_from_bytes(raw.encode(), policy=email.policy.default)
        found.append((to, message["subject"], message.get_content().replace("\r\n", "\n")))
    return found


@pytest.mark.parametrize(("entity", "language", "law"), [("jp", "ja", "TAX_JP"), ("sg", "en", "COMPANIES_SG")])
def test_an_ending_and_a_return_are_told_item_by_item(agent, inbox, entity, language, law):
    member = factories.member(member_number="T0777777", entity=entity, addressees=[])
    factories.transaction("T0777777", ordered_on="2025-05-02")
    ending = factories.identify(factories.case(member, agent, kind="ending"))
    end_membership(ending, actor=agent)
    fates = what_happens(member, on=timezone.localdate())
    assert send_notices().sent == 1
    back = factories.identify(factories.case(member, agent, kind="return"))
    return_to_membership(back, actor=agent)
    assert send_notices().sent == 1
    (to, subject, text), (to_again, subject_again, text_again) = received(inbox)
    assert to == to_again == OLD
    with translation.override(language):
        for fate in fates:
            assert fate.items_said in text
            assert listed(fate.stops) in text
            assert str(fate.category.label) in text
            assert str(fate.ground) in text
            assert fate.kept_until.isoformat() in text
            assert fate.items_said in text_again
        assert str(Rule.Ground[law].label) in text_again
    last_day = timezone.localdate() + datetime.timedelta(days=30)
    assert last_day.isoformat() in text
    assert ending.reference in subject
    assert ending.reference in text
    assert back.reference in subject_again
    assert back.reference in text_again
    for body in (text, text_again):
        assert "\n\n\n" not in body
        for value in (OLD, "山田", "5550", "4242", "12800", "T0777777"):
            assert value not in body


def test_a_notice_of_an_ending_goes_out_though_everything_else_is_refused(agent, hanako, inbox):
    """Sent after the member has come back, it still says what was so when it was written."""
    ending = factories.identify(factories.case(hanako, agent, kind="ending"))
    end_membership(ending, actor=agent)
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    hanako.refresh_from_db()
    assert decide(hanako, item="contact.email", row=mail.pk, purpose=4).code == Code.ENDED
    return_to_membership(factories.identify(factories.case(hanako, agent, kind="return")), actor=agent)
    assert send_notices() == Sent(sent=2, refused=0, failed=0, waiting=0)
    assert len({subject for _to, subject, _text in received(inbox)}) == 2


def test_the_gate_may_refuse_and_the_notice_says_so(corrected, inbox):
    with acting(None, reason=Reason.SET_UP):
        OurRule.objects.create(item="contact.email", purpose=4, why="a test")
    done = send_notices()
    assert (done.sent, done.refused) == (0, 2)
    assert inbox.messages == []
    assert {(notice.state, notice.failure) for notice in Notice.objects.all()} == {("refused", "our_rule")}


@pytest.mark.parametrize(
    "says", [{"DATA": "451"}, {"RCPT": "450"}, {"MAIL": "421"}, {"MAIL": "530"}, {"DATA": "421"}, {"RCPT": "452"}]
)
def test_what_may_pass_is_tried_again_and_the_servers_reply_is_kept_nowhere(corrected, inbox, says):
    """Number 30: 4xx with longer and longer pauses; and what the server has against us, not against the message."""
    inbox.says = says
    paused = None
    for attempt in range(1, MOST_ATTEMPTS):
        assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=2)
        assert set(Notice.objects.values_list("attempts", flat=True)) == {attempt}
        # Not again before the pause is over, and each pause is longer than the last.
        assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=0)
        pause = Notice.objects.first().next_try_at - timezone.now()
        assert paused is None or pause > paused
        paused = pause
        Notice.objects.update(next_try_at=timezone.now())
    assert send_notices().failed == 2
    (code,) = says.values()
    assert {(notice.state, notice.failure) for notice in Notice.objects.all()} == {("failed", f"smtp_{code}")}


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("code", ["550", "553", "552", "554"])
def test_a_refusal_for_good_is_final_at_once_and_shown(client, corrected, inbox, step, code):
    """Number 30: on the case, and on the start page of its owner."""
    inbox.says = {step: code}
    assert send_notices() == Sent(sent=0, refused=0, failed=2, waiting=0)
    assert set(Notice.objects.values_list("state", "failure")) == {("failed", f"smtp_{code}")}
    assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=0)
    client.force_login(corrected.case.owner)
    page = client.get(reverse("admin:members_case_change", args=[corrected.case_id])).content.decode()
    assert re.search(rf"[(（]{code}[)）]", page)
    assert "message-warning" in client.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("answer", ["silence", "garbled", "999", "354"])
def test_what_a_server_took_without_an_answer_is_not_sent_again(client, corrected, inbox, answer):
    """Nobody knows whether it arrived; the case says so."""
    inbox.says = {"DATA": answer}
    assert send_notices() == Sent(sent=0, refused=0, failed=2, waiting=0)
    assert len(inbox.messages) == 2
    assert set(Notice.objects.values_list("state", "failure")) == {("failed", "no_answer")}
    client.force_login(corrected.case.owner)
    client.cookies["django_language"] = "en"
    page = client.get(reverse("admin:members_case_change", args=[corrected.case_id])).content.decode()
    assert "Nobody knows whether it arrived" in page


@pytest.mark.parametrize(
    ("ready", "sent"),
    [
        ("silence", Sent(sent=0, refused=0, failed=0, waiting=2)),
        ("451", Sent(sent=0, refused=0, failed=0, waiting=2)),
        ("554", Sent(sent=0, refused=0, failed=2, waiting=0)),
    ],
)
def test_what_breaks_off_before_the_message_was_sent_has_not_arrived(corrected, inbox, ready, sent):
    inbox.says = {"READY": ready}
    assert send_notices() == sent
    assert inbox.messages == []
    assert Notice.objects.filter(failure="no_answer").count() == 0


def test_what_a_server_says_to_a_goodbye_sends_nothing_twice(corrected, inbox):
    """It has taken the message before."""
    inbox.says = {"QUIT": "221 " + "x" * 9000}
    assert send_notices() == Sent(sent=2, refused=0, failed=0, waiting=0)


def send_to(notice, address):
    """A notice like this one goes to this address, as if it had been on file; this one is done with."""
    Notice.objects.filter(pk=notice.pk).update(state="sent", sent_at=timezone.now())
    notice.pk, notice._state.adding = new_id(), True
    with acting(None, reason=Reason.DAILY_WORK) as act:
        event = act.record("item:used", subject=notice.member_id)
        with keys_for([notice.member_id], [Category.CORRESPONDENCE], event=event) as ring:
            ring.seal(notice, generation=generation_of_case(notice.case_id), to=address)
        notice.save(force_insert=True)


ODD = [
    ("ta..ro@docomo.example", '"ta..ro"@docomo.example'),
    ("taro.@docomo.example", '"taro."@docomo.example'),
    (".taro@docomo.example", '".taro"@docomo.example'),
    ('"ta..ro"@docomo.example', '"ta..ro"@docomo.example'),
    ('"a b"@docomo.example', '"a b"@docomo.example'),
    ("a[b]@docomo.example", '"a[b]"@docomo.example'),
    ("taro@例え.example", "taro@xn--r8jz45g.example"),
    ("o'hara+x@docomo.example", "o'hara+x@docomo.example"),
]


@pytest.mark.parametrize(("address", "leaves_as"), ODD)
def test_an_odd_address_leaves_as_servers_take_it(corrected, inbox, address, leaves_as):
    """Number 30: a local part in quotes stays in quotes, one that needs them gets them."""
    send_to(Notice.objects.first(), address)
    assert send_notices() == Sent(sent=2, refused=0, failed=0, waiting=0)
    assert f"TO:<{leaves_as}>" in inbox.envelopes
    assert any(f"To: {leaves_as}\r\n" in text for _to, text in inbox.messages)


@pytest.mark.parametrize(
    "address",
    [
        "山田@docomo.example",
        "taro",
        "@docomo.example",
        "taro@",
        "taro@doc omo.example",
        "ta ro@docomo.example",
        "taro@-x-.example",
        "a@example.jp\nBcc: b@example.jp",
        "taro@" + "a" * 64 + ".example",
        '"taro@docomo.example',
        "a\x00b@docomo.example",
        "a@b@\r\n",
    ],
)
def test_an_address_that_no_server_takes_fails_alone(corrected, inbox, address):
    """Number 30: at once, and the queue goes on. A line break adds no header."""
    send_to(Notice.objects.first(), address)
    done = send_notices()
    if address.startswith('"taro@'):
        # A lone quotation mark is a letter like others, once it is in quotes itself.
        assert done.sent == 2
        return
    assert done == Sent(sent=1, refused=0, failed=1, waiting=0)
    assert set(Notice.objects.values_list("state", "failure")) == {("failed", "not_mailable"), ("sent", "")}
    assert all("Bcc" not in text for _to, text in inbox.messages)


def test_one_refused_address_does_not_stop_the_others(corrected, inbox):
    """Number 30."""
    inbox.says = {OLD: "550"}
    assert send_notices() == Sent(sent=1, refused=0, failed=1, waiting=0)


@pytest.mark.parametrize("entity", ["jp", "kr", "sg"])
def test_every_notice_says_who_writes_and_is_known_as_a_machines(agent, inbox, settings, entity):
    """Number 30: company, site, telephone, window; and headers that keep holiday answers away."""
    settings.DEFAULT_FROM_EMAIL = "Privacy <privacy@marketplace.example>"
    member = factories.member(entity=entity, addressees=[])
    ending = factories.identify(factories.case(member, agent, kind="ending"))
    end_membership(ending, actor=agent)
    return_to_membership(factories.identify(factories.case(member, agent, kind="return")), actor=agent)
    assert send_notices().sent == 2
    sender = settings.NOTICE_SENDERS[entity]
    for _to, raw in inbox.messages:
        message = email.message_from_string(raw, policy=email.policy.default)
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Reply-To"] == sender["mail"]
        assert re.fullmatch(r"<[0-9a-f]{32}@marketplace\.example>", message["Message-ID"])
        body = message.get_content()
        for said in (member.entity.name, *sender.values()):
            assert said in body


@pytest.mark.parametrize("kind", Notice.Kind.values)
def test_no_kind_of_notice_leaves_out_who_writes(corrected, kind, settings):
    """Number 30."""
    notice = Notice.objects.first()
    notice.kind = kind
    _subject, body = rendered(notice, sender_of(notice))
    assert body.rstrip().endswith(settings.NOTICE_SENDERS["jp"]["mail"])


def test_a_notice_that_nobody_signs_is_neither_claimed_nor_opened(corrected, inbox, settings, monkeypatch):
    """It waits for the setting; the others go out."""
    opened = []
    monkeypatch.setattr(notices, "use", lambda *args, **kwargs: opened.append(args))
    settings.NOTICE_SENDERS = {}
    assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=2)
    assert opened == []
    assert set(Notice.objects.values_list("state", "claimed_at")) == {("queued", None)}


# What is refused for now


def ask_elsewhere(member, agent):
    """Another identified case about the member, in which a correction of the mail address is asked for."""
    other = factories.identify(factories.case(member, agent))
    row = ContactPoint.objects.get(member=member, kind="email")
    return ask_correction(other, item="contact.email", row=row.pk, text="third@example.net", actor=agent)


def correct_telephone(member, agent):
    """A case in which a telephone of the member is corrected: a notice goes to the mail address on file."""
    case = factories.identify(factories.case(member, agent))
    row = ContactPoint.objects.get(member=member, kind="phone")
    wish = ask_correction(case, item="contact.phone", row=row.pk, text="03-5550-9999", actor=agent)
    return apply_correction(wish, actor=agent).case


def test_no_later_correction_keeps_a_member_from_being_told_of_a_changed_address(corrected, inbox):
    """One agent with two cases: what the first decided is told to old and new address, whatever the second asks."""
    ask_elsewhere(corrected.member, corrected.case.owner)
    assert send_notices() == Sent(sent=2, refused=0, failed=0, waiting=0)
    assert sorted(to for (to,), _text in inbox.messages) == [OLD, NEW]


@pytest.mark.parametrize("decide_it", [apply_correction, refuse_correction])
def test_a_notice_to_a_suspended_address_waits_and_goes_out_once_the_correction_is_decided(
    client, agent, hanako, inbox, decide_it
):
    """However often it was judged meanwhile; the case says what it waits for, and the start page warns of nothing."""
    pending = ask_elsewhere(hanako, agent)
    case = correct_telephone(hanako, agent)
    for _again in range(MOST_ATTEMPTS + 1):
        assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=1)
        assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=0)
        Notice.objects.update(next_try_at=timezone.now())
    client.force_login(agent)
    client.cookies["django_language"] = "en"
    page = client.get(reverse("admin:members_case_change", args=[case.pk])).content.decode()
    assert "A correction of this address is pending." in page
    assert "message-warning" not in client.get(reverse("admin:index")).content.decode()
    decide_it(pending, actor=agent, reason="asked")
    assert send_notices().failed == 0
    assert OLD in [to for (to,), _text in inbox.messages]
    assert Notice.objects.get(case=case).state == "sent"


def test_a_notice_that_waits_is_judged_again_after_as_long_as_it_has_waited(agent, hanako, inbox):
    """At least a minute, at most a day."""
    ask_elsewhere(hanako, agent)
    correct_telephone(hanako, agent)
    queued_at = Notice.objects.get().queued_at
    pauses = []
    for minutes in (0, 10, 60 * 24 * 9):
        now = queued_at + datetime.timedelta(minutes=minutes)
        Notice.objects.update(next_try_at=now)
        with time_machine.travel(now, tick=False):
            send_notices()
        pauses.append((Notice.objects.get().next_try_at - now) / datetime.timedelta(minutes=1))
    assert pauses == [1, 10, 60 * 24]


def test_a_notice_waits_for_a_policy_in_force(corrected, inbox, monkeypatch):
    """Nothing may be used while there is none; once there is, the notice goes out."""
    with monkeypatch.context() as patch:
        patch.setattr(gate, "version_in_force", lambda on: None)
        assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=2)
    Notice.objects.update(next_try_at=timezone.now())
    assert send_notices().sent == 2


@pytest.mark.parametrize("error", [CeilingReached, KeyringError, AnotherConsole, OperationalError])
def test_a_notice_waits_for_a_vault_that_opens_nothing_now(corrected, inbox, monkeypatch, error):
    """The hourly ceiling is used up, the keyring is away, the vault does not answer: each passes."""

    def refuses(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(notices, "use", refuses)
        assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=2)
    assert set(Notice.objects.values_list("failure", "attempts")) == {(error.__name__, 0)}
    Notice.objects.update(next_try_at=timezone.now())
    assert send_notices().sent == 2


def test_an_address_that_never_opens_again_is_not_waited_for(corrected, inbox, monkeypatch):
    """A broken seal is an incident, not a pause."""

    def refuses(*args, **kwargs):
        raise SealBroken

    monkeypatch.setattr(notices, "use", refuses)
    assert send_notices() == Sent(sent=0, refused=0, failed=2, waiting=0)


# Claims


def test_what_another_sender_has_taken_up_is_not_sent(corrected, inbox, monkeypatch):
    """Number 31: listed as queued, and claimed by another before its turn came."""
    real = notices._send

    def slow(notice, sender):
        Notice.objects.filter(state="queued").update(state="sending", claimed_at=timezone.now())
        return real(notice, sender)

    monkeypatch.setattr(notices, "_send", slow)
    assert send_notices() == Sent(sent=1, refused=0, failed=0, waiting=0)
    assert len(inbox.messages) == 1


@pytest.mark.parametrize("end", [lambda n: notices._wait(n, "x"), lambda n: notices._close(n, "failed", "x")])
def test_a_claim_that_another_sender_closed_is_left_as_it_is(corrected, events_of, end):
    """Number 31: neither put back into the queue nor closed a second time."""
    notice = Notice.objects.first()
    notice.state, notice.claimed_at = "sending", timezone.now() - LONGEST_SENDING
    Notice.objects.filter(pk=notice.pk).update(state="sending", claimed_at=timezone.now())
    before = Notice.objects.filter(pk=notice.pk).values().get()
    end(notice)
    assert Notice.objects.filter(pk=notice.pk).values().get() == before
    assert "notice:failed" not in events_of(corrected.member_id)


def test_without_a_mail_server_notices_stay_queued(corrected, settings):
    settings.EMAIL_BACKEND = "members.mail.NoServerBackend"
    assert send_notices().waiting == 2
    assert set(Notice.objects.values_list("state", "attempts")) == {("queued", 0)}
    assert not LedgerEvent.objects.filter(event="item:used").exists()


def test_a_sender_that_dies_sends_nothing_twice(corrected, inbox, monkeypatch):
    """Killed after the server took the message: the claim stands, and is closed as interrupted."""

    class Killed(BaseException):
        pass

    def killed(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("consent.services.notices._close", killed)
        with pytest.raises(Killed):
            send_notices()
    assert len(inbox.messages) == 1
    assert send_notices().sent == 1
    assert len(inbox.messages) == 2
    Notice.objects.filter(state="sending").update(claimed_at=timezone.now() - LONGEST_SENDING * 2)
    assert send_notices().failed == 1
    assert len(inbox.messages) == 2
    assert sorted(Notice.objects.values_list("state", "failure")) == [("failed", "Interrupted"), ("sent", "")]


def test_the_job_and_the_command_do_the_same(corrected, inbox):
    assert send_queued_notices(timestamp=0) == {"sent": 2, "refused": 0, "failed": 0, "waiting": 0}
    out = io.StringIO()
    call_command("send_notices", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"sent": 0, "refused": 0, "failed": 0, "waiting": 0}
