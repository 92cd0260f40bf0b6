"""Every opening goes through the door, which holds account, grant and row until it is over (number 12)."""

import contextlib
import contextvars
import sys
from collections import defaultdict

import psycopg
import pytest
from django.core.exceptions import PermissionDenied

from access_control import openings
from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import Staff
from access_control.services import leave
from access_control.vault.ring import KeyRing
from consent.models import Provision, Recipient
from consent.services.doors import provide, reveal, use
from consent.services.joining import join_many
from consent.services.records import reveal_record
from members.admin.cases import names_of_granted
from members.intake import parse_transaction
from members.models import Addressee, ContactPoint, MemberGrant
from members.services.cases import add_note, open_case, read_notes
from members.services.corrections import apply_correction, ask_correction
from members.services.finding import find
from members.services.grants import revoke_grants
from members.services.membership import end_membership
from members.services.transactions import register_transactions
from members.showing import masked_member, masked_records
from members.timeline import timeline
from tests import factories
from tests.test_architecture import OPENERS

LOCKED = "55P03"
NUMBER = "H0000001"


@pytest.fixture
def witness(committed, as_role, monkeypatch):
    """At each opening another session tries to end what it must hold; what it could end, by opener."""
    free, seen, whose = defaultdict(set), set(), []
    true_open = KeyRing.open_sealed

    def held(cursor, table, key):
        try:
            cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR UPDATE NOWAIT", [key])
        except psycopg.errors.LockNotAvailable:
            return True
        return False

    def witnessed(ring, instance, name):
        frame = sys._getframe(1)
        opener = f"{frame.f_globals['__name__']}:{frame.f_code.co_qualname.split('.')[0]}"
        seen.add(opener)
        actor, member = whose[-1]
        with as_role("app") as cursor:
            rows = []
            if actor is not None:
                rows += [("access_control_person", actor.person_id), ("access_control_staff", actor.pk)]
                grants = MemberGrant.objects.filter(user=actor, content_object=member, ended_at=None) if member else []
                if grants and not any(held(cursor, "members_membergrant", grant.pk) for grant in grants):
                    free[opener].add("members_membergrant")
            elif member is not None:
                rows.append(("members_member", member.pk))
            free[opener] |= {table for table, key in rows if not held(cursor, table, key)}
        return true_open(ring, instance, name)

    monkeypatch.setattr(KeyRing, "open_sealed", witnessed)

    @contextlib.contextmanager
    def by(actor, member=None):
        whose.append((actor, member))
        yield
        whose.pop()

    return by, free, seen


def test_at_every_opening_account_and_grant_are_held(witness):
    """Number 12: each function that opens is reached, and at each value the account and a grant cannot be ended."""
    by, free, seen = witness
    with by(None):
        agent, supervisor, keeper = (factories.staff(role) for role in ("agent", "supervisor", "records"))
        row = {"member_number": NUMBER, "login_id": "held1"}
        hanako = factories.member(**row)
        record = factories.transaction(NUMBER, order="A-1")
        mail = ContactPoint.objects.get(member=hanako, kind="email")
        addressee = Addressee.objects.get(member=hanako)
    with by(agent):
        assert find(NUMBER, actor=agent).hits
        case = factories.case(hanako, agent)
        factories.identify(case)
    with by(agent, hanako):
        add_note(case, text="ご本人から連絡", actor=agent)
        assert read_notes(case, actor=agent)
        with acting(agent, reason=Reason.DAILY_WORK, case=case.pk) as act:
            assert masked_member(hanako, act=act)
        assert names_of_granted([case], agent)
        reveal(hanako, row=mail.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=agent)
        wish = ask_correction(case, item="contact.email", row=mail.pk, text="held@example.net", actor=agent)
        apply_correction(wish, actor=agent)
        with acting(agent, reason=Reason.DAILY_WORK) as act:
            assert timeline(hanako, act=act)
    with by(agent):
        provide(
            hanako,
            what=[(addressee.pk, "name")],
            recipient=Recipient.objects.get(kind="carrier"),
            basis=Provision.Basis.C3,
            purpose=Purpose.DELIVERY,
            actor=agent,
            reason=Reason.ASKED,
        )
    with by(None, hanako):
        item = {"item": "contact.email", "row": mail.pk, "purpose": Purpose.NOTICE, "reason": Reason.SCHEDULED}
        use(hanako, ContactPoint.objects.get(pk=mail.pk), "value", **item)
    with by(supervisor):
        assert join_many([factories.new_member(**row)], actor=supervisor)[0].outcome == "kept"
        order = parse_transaction(factories.OrderFactory(member_number=NUMBER, order="A-1"), today=factories.TODAY)
        with acting(supervisor, reason=Reason.IMPORTED) as act:
            assert [one.outcome for one in register_transactions([order], act=act)] == ["unchanged"]
    with by(keeper):
        with acting(keeper, reason=Reason.DAILY_WORK) as act:
            assert masked_records([record], act=act)
        assert reveal_record(record, reason=Reason.TAX_AUDIT, actor=keeper)
    with by(agent):
        ending = open_case(hanako, kind="ending", channel="phone", actor=agent)
        said = factories.RIGHT_ANSWERS
        factories.check_identity(ending, said=said, actor=agent)
    with by(agent, hanako):
        end_membership(ending, actor=agent)
    assert {opener: tables for opener, tables in free.items() if tables} == {}
    assert seen == set(OPENERS)


def test_without_the_hold_the_witness_would_tell(witness, monkeypatch):
    """Number 12: the guard taken out, the walk above finds it."""
    by, free, _seen = witness
    with by(None):
        agent, hanako = factories.staff("agent"), factories.member()
        case = factories.identify(factories.case(hanako, agent))
        add_note(case, text="ご本人から連絡", actor=agent)
    free.clear()
    monkeypatch.setattr(openings.policies, "hold", lambda *_args, **_kwargs: None)
    with by(agent, hanako):
        read_notes(case, actor=agent)
    assert free["members.services.cases:_text_of"] >= {"members_membergrant", "access_control_staff"}


def ended_between(monkeypatch, end):
    """``end`` is called exactly between what an act records and what it opens."""
    true_keys = openings.policies.hold

    def hold(actor, action=None, **rest):
        if action == "members.view_member" and not done:
            done.append(action)
            # As another request would: it knows nothing of the one under way.
            contextvars.Context().run(end)
        return true_keys(actor, action, **rest)

    done = []
    monkeypatch.setattr(openings.policies, "hold", hold)
    return done


@pytest.mark.parametrize("what", ["leaves", "is revoked"])
def test_notes_are_not_opened_when_access_ended_since_they_were_asked_for(
    identified, agent, supervisor, monkeypatch, what
):
    """Number 12: a clear note arrived a second after the departure had returned."""
    add_note(identified, text="ご本人から連絡", actor=agent)
    end = {
        "leaves": lambda: leave(agent.person, on=factories.TODAY, actor=None),
        "is revoked": lambda: revoke_grants(identified, actor=supervisor),
    }[what]
    done = ended_between(monkeypatch, end)
    with pytest.raises(PermissionDenied):
        read_notes(identified, actor=agent)
    assert done


def test_notes_of_an_unidentified_case_end_with_the_account(call, agent):
    """Number 12: no grant is needed for them; the account in the page's hands may be an old one."""
    add_note(call, text="折り返しは午後", actor=agent)
    assert read_notes(call, actor=agent)
    old = Staff.objects.select_related("person").get(pk=agent.pk)
    leave(agent.person, on=factories.TODAY, actor=None)
    with pytest.raises(PermissionDenied):
        read_notes(call, actor=old)


def test_a_masked_list_leaves_out_whose_access_has_ended(identified, agent, supervisor, hanako):
    """Number 12."""
    other = factories.identify(factories.case(factories.member(), agent))
    assert set(names_of_granted([identified, other], agent)) == {identified.pk, other.pk}
    revoke_grants(identified, actor=supervisor)
    assert set(names_of_granted([identified, other], agent)) == {other.pk}


@pytest.mark.parametrize("what", ["page", "history"])
def test_who_has_no_grant_sees_no_masks_either(second_agent, identified, hanako, what):
    """Number 12: the function asks, whatever page calls it."""
    shown = {"page": masked_member, "history": timeline}[what]
    with pytest.raises(PermissionDenied), acting(second_agent, reason=Reason.DAILY_WORK) as act:
        shown(hanako, act=act)
