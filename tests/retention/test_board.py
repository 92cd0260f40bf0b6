"""The policy board: every figure is live, and a planted violation turns exactly its control."""

import datetime
import io
import json

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from access_control import controls
from access_control.codes import Reason
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.models import Entity, Person, Staff
from access_control.vault import store
from consent.events import Event
from consent.models import (
    ConsentEvent,
    Engagement,
    MatrixCell,
    PolicySentence,
    PolicyVersion,
    Provision,
    Recipient,
    SubjectReference,
)
from consent.policy_text import CLAUSES
from consent.services.doors import provide, reveal
from members.models import Case, ContactPoint, Suspension
from members.services.cases import close_case
from members.services.corrections import apply_correction, ask_correction
from retention.board import CONTROLS, board, standing
from retention.services import holds
from retention.services.holds import lift_legal_hold, place_legal_hold
from retention.services.rules import built_in, publish_rules
from tests import factories
from tests.retention.conftest import approved, as_, ended, run, verify


def violated(now=None):
    """Codes of the controls that do not stand well."""
    bad = {controls.State.NOT_KEPT, controls.State.CANNOT_COMPUTE}
    return {row.result.control.code for row in board(now=now or timezone.now()) if row.result.state in bad}


def test_every_sentence_of_all_thirteen_clauses_is_listed_and_a_clean_house_keeps_them(identified):
    rows = board(now=timezone.now())
    assert len({row.sentence.split("_")[0] for row in rows}) == 13
    assert list(dict.fromkeys(row.sentence for row in rows)) == [
        sentence.id for clause in CLAUSES for sentence in clause.sentences
    ]
    assert violated() == set()
    assert {row.result.state for row in rows if row.sentence == "P8_A4"} == {controls.State.TEXT_OUTDATED}


def test_every_control_stands_under_a_sentence_once_and_says_why():
    sentences = {sentence.id for clause in CLAUSES for sentence in clause.sentences}
    assert {control.sentence for control in CONTROLS} <= sentences
    codes = [control.code for control in CONTROLS]
    assert len(codes) == len(set(codes))
    assert [control.code for control in CONTROLS if not (control.label and control.why)] == []
    assert [control.code for control in CONTROLS if control.measure and not control.rows_are] == []


def test_a_sentence_without_a_control_says_that_it_is_not_yet_measured(monkeypatch):
    monkeypatch.setattr("retention.board.CONTROLS", ())
    rows = board(now=timezone.now())
    assert {row.result.state for row in rows} == {controls.State.NOT_YET}
    assert all(row.result.control.label and row.result.figure is None for row in rows)


def test_a_sentence_stands_as_its_worst_control():
    def result(state, *, tally=False):
        return controls.Result(controls.Control("P2_1", "any", "", tally=tally), state, None)

    state = controls.State
    assert standing([result(state.KEPT), result(state.NOT_KEPT), result(state.CANNOT_COMPUTE)]) == state.NOT_KEPT
    assert standing([result(state.NOT_MEASURABLE), result(state.KEPT)]) == state.NOT_MEASURABLE
    # A tally judges nothing, unless it cannot be computed.
    assert standing([result(state.KEPT, tally=True), result(state.NOT_YET)]) == state.NOT_YET
    assert standing([result(state.KEPT, tally=True)]) == state.NOT_YET
    assert standing([result(state.CANNOT_COMPUTE, tally=True), result(state.KEPT)]) == state.CANNOT_COMPUTE


def test_what_a_control_finds_is_counted_whole_and_named_in_part():
    found = controls.queried("SELECT generate_series(1, 250)")
    assert (found.figure, len(found.rows), found.rows[0]) == (250, controls.MOST_ROWS, "1")
    nothing = controls.queried("SELECT 1 WHERE false")
    assert (nothing.figure, nothing.rows) == (0, [])


def test_a_case_past_its_deadline(identified):
    assert violated(timezone.now() + datetime.timedelta(days=15)) == {"past_deadline"}


def test_a_suspension_nobody_works_on(identified):
    row = ContactPoint.objects.get(member=identified.member, kind="email")
    ask_correction(identified, item="contact.email", row=row.pk, text="x@example.net", actor=identified.owner)
    with acting(None, reason=Reason.DAILY_WORK):
        Suspension.objects.update(started_at=timezone.now() - datetime.timedelta(days=15))
    assert violated() == {"old_suspensions"}


def test_a_use_of_a_suspended_item(identified):
    row = ContactPoint.objects.get(member=identified.member, kind="email")
    ask_correction(identified, item="contact.email", row=row.pk, text="x@example.net", actor=identified.owner)
    with acting(None, reason=Reason.SCHEDULED) as act:
        act.record(Event.USED, subject=identified.member_id, items=["contact.email"], purpose=4)
    assert violated() == {"used_while_suspended"}


def test_a_use_for_a_purpose_outside_the_policy(hanako):
    with acting(None, reason=Reason.SCHEDULED) as act:
        act.record(Event.USED, subject=hanako.pk, items=["member.shoe_size"], purpose=4)
    assert violated() == {"outside_matrix"}


def test_a_fetch_without_an_event(hanako):
    from access_control.vault.ring import keys_for

    with keys_for([hanako.pk], [1], event=new_id()):
        pass
    # Looked at a minute later, when the event has had its time to commit.
    assert violated(timezone.now() + datetime.timedelta(minutes=2)) == {"without_event"}


def test_an_account_of_somebody_who_left_or_stands_outside_the_classes(agent, second_agent):
    with acting(None, reason=Reason.DAILY_WORK):
        Person.objects.filter(pk=agent.person_id).update(left_on=timezone.localdate())
    assert violated() == {"departed"}
    with acting(None, reason=Reason.DAILY_WORK):
        Staff.objects.filter(pk=agent.pk).update(is_active=False)
        Person.objects.filter(pk=second_agent.person_id).update(access_class="")
    assert violated() == {"outside_classes"}


def test_a_case_left_behind(identified):
    from access_control.services import leave

    leave(identified.owner.person, on=timezone.localdate(), actor=None)
    assert violated() == {"left_behind"}


def test_a_column_that_nobody_declared(committed, as_role):
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE members_member ADD COLUMN nickname text")
    rows = {row.result.control.code: row.result for row in board(now=timezone.now())}
    assert rows["outside_inventory"].rows == ["members_member.nickname"]
    assert violated() == {"outside_inventory"}


def test_a_record_the_application_could_alter(committed, as_role):
    from access_control.vault.roles import role_names

    with as_role("owner") as cursor:
        cursor.execute(f"GRANT UPDATE ON access_control_ledgerevent TO {role_names()['app']}")
    assert violated() == {"records_writable"}


def test_a_name_changed_behind_the_triggers_back(committed, as_role):
    member = factories.member()
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE members_member DISABLE TRIGGER immutable")
        cursor.execute("SELECT set_config('console.actor', 'system', false)")
        cursor.execute("UPDATE members_member SET name = kana WHERE id = %s", [member.pk])
    assert violated() == {"immutables_changed"}


def test_a_correction_called_applied_that_left_the_old_value(identified):
    from members.services.corrections import apply_correction

    row = ContactPoint.objects.get(member=identified.member, kind="email")
    old = row.value
    wish = ask_correction(identified, item="contact.email", row=row.pk, text="x@example.net", actor=identified.owner)
    apply_correction(wish, actor=identified.owner)
    assert violated() == set()
    with acting(None, reason=Reason.DAILY_WORK):
        ContactPoint.objects.filter(pk=row.pk).update(value=old)
    assert violated() == {"not_applied"}


def another_version(*, effective_on, change_reason="法令の改正による"):
    """A version that follows the published one."""
    return PolicyVersion.objects.create(
        number=3,
        established_on=datetime.date(2010, 6, 10),
        revised_on=effective_on,
        effective_on=effective_on,
        change_reason=change_reason,
    )


def tomorrow():
    return timezone.localdate() + datetime.timedelta(days=1)


def test_a_later_version_without_a_reason():
    another_version(effective_on=tomorrow(), change_reason="")
    assert violated() == {"versions_unexplained"}


def test_a_version_in_force_that_lacks_a_sentence_or_says_it_otherwise():
    version = another_version(effective_on=timezone.localdate())
    known = [sentence for clause in CLAUSES for sentence in clause.sentences]
    PolicySentence.objects.bulk_create(
        PolicySentence(
            version=version,
            position=position,
            clause=sentence.clause,
            sentence=sentence.id,
            text_ja=sentence.ja,
            text_en="We may change this at will." if sentence.id == "P0_4" else sentence.en,
        )
        for position, sentence in enumerate(known)
        if sentence.id != "P0_1"
    )
    assert violated() == {"text_differs"}
    assert results()["text_differs"].rows == ["P0_1", "P0_4"]


def results():
    """Code → control as it stands."""
    return {row.result.control.code: row.result for row in board(now=timezone.now())}


def test_a_use_that_only_a_version_not_accepted_allows(hanako):
    MatrixCell.objects.create(version=another_version(effective_on=tomorrow()), item="member.shoe_size", purpose=4)
    with acting(None, reason=Reason.SCHEDULED) as act:
        act.record(Event.USED, subject=hanako.pk, items=["member.name", "member.shoe_size"], purpose=4)
    assert violated() == {"beyond_accepted"}


def test_what_is_looked_at_in_the_members_own_case_needs_no_accepted_version(identified):
    MatrixCell.objects.create(version=another_version(effective_on=tomorrow()), item="member.shoe_size", purpose=4)
    with acting(None, reason=Reason.SCHEDULED, case=identified.pk) as act:
        act.record(Event.USED, subject=identified.member_id, items=["member.shoe_size"], purpose=4)
        act.record(Event.REVEALED, subject=identified.member_id, items=["member.shoe_size"], purpose=4)
    assert violated() == set()


def test_a_member_who_came_in_without_consent(hanako):
    from members.services.registration import register

    with acting(None, reason=Reason.IMPORTED) as act:
        (registered,) = register([factories.new_member()], act=act)
    assert violated() == {"without_consent"}
    assert results()["without_consent"].rows == [str(registered.member)]


def test_consent_is_counted_by_its_evidence_and_judges_nothing(hanako):
    found = results()["evidence"]
    assert (found.figure, list(found.rows)) == (2, ["screen: 2"])
    assert ConsentEvent.objects.count() == 2


def test_an_item_handed_out_without_a_provision(hanako):
    with acting(None, reason=Reason.SCHEDULED) as act:
        act.record(Event.PROVIDED, subject=hanako.pk, items=["contact.phone"], purpose=2)
    assert violated() == {"unrecorded"}


@pytest.fixture
def engaged(committed, hanako, as_role):
    """A provision to a contractor by the door, under an engagement announced in time; changed as only the owner can."""
    today = timezone.localdate()
    contractor = Recipient.objects.get(kind="contractor")
    engagement = Engagement.objects.create(
        recipient=contractor,
        items=["contact.phone"],
        purposes=[2],
        announced_on=today - datetime.timedelta(days=30),
        starts_on=today - datetime.timedelta(days=20),
        ends_on=today + datetime.timedelta(days=20),
    )
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    what = [(phone.pk, "value")]
    provide(hanako, what=what, recipient=contractor, basis="B1", purpose=2, actor=None, reason=Reason.SCHEDULED)
    assert violated() == set()

    def changed(**columns):
        with as_role("owner") as cursor:
            names = ", ".join(f"{name} = %s" for name in columns)
            cursor.execute(f"UPDATE consent_engagement SET {names} WHERE id = %s", [*columns.values(), engagement.pk])

    return changed


def test_a_provision_before_its_announcement(engaged):
    engaged(announced_on=tomorrow(), starts_on=tomorrow())
    assert violated() == {"unannounced"}


def test_a_provision_of_what_was_not_announced(engaged):
    engaged(items=["contact.fax"])
    assert violated() == {"unannounced"}
    engaged(items=["contact.phone"], purposes=[3])
    assert violated() == {"unannounced"}


def test_a_provision_after_the_announced_period(engaged):
    engaged(ends_on=timezone.localdate() - datetime.timedelta(days=1))
    assert violated() == {"overrun"}


@pytest.mark.parametrize(
    ("basis", "kind", "item", "purpose", "code"),
    [
        ("C2", "settlement", "member.birth_date", 6, "beyond_settling"),
        ("C2", "carrier", "payment.holder", 6, "beyond_settling"),
        ("C3", "carrier", "member.birth_date", 2, "beyond_delivery"),
        ("C3", "contractor", "addressee.address", 2, "beyond_delivery"),
    ],
)
def test_a_provision_beyond_what_its_basis_covers(hanako, basis, kind, item, purpose, code):
    reference = SubjectReference.objects.create(member=hanako, recipient=Recipient.objects.get(kind=kind))
    given = {"items": [item], "purpose": purpose}
    with acting(None, reason=Reason.SCHEDULED) as act:
        act.record(Event.PROVIDED, subject=hanako.pk, **given)
        Provision.objects.create(reference=reference, basis=basis, at=timezone.now(), batch=new_id(), **given)
    assert violated() == {code}


def test_what_the_basis_covers_is_no_violation(hanako):
    addressee = hanako.addressee_set.get()
    provide(
        hanako,
        what=[(addressee.pk, "name"), (addressee.pk, "address")],
        recipient=Recipient.objects.get(kind="carrier"),
        basis="C3",
        purpose=2,
        actor=None,
        reason=Reason.SCHEDULED,
    )
    assert violated() == set()


def test_an_account_at_a_company_that_the_text_does_not_name(agent):
    elsewhere = Entity.objects.create(code="vn", name="Another office")
    # Its members' data would have no period either; that is another sentence.
    publish_rules({"vn": built_in()["sg"], **built_in()}, effective_on=timezone.localdate(), actor=None)
    factories.staff("agent", entity=elsewhere)
    assert violated() == {"other_entities"}


def test_an_inquiry_past_its_deadline(hanako, agent):
    factories.case(hanako, agent, kind="inquiry")
    assert violated(timezone.now() + datetime.timedelta(days=15)) == {"inquiries_past_deadline"}


def test_a_control_that_cannot_be_computed_is_as_bad_as_one_not_kept(monkeypatch):
    def broken(now):
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")

    result = controls.measured(controls.Control("P2_1", "broken", "", broken), now=timezone.now())
    assert (result.state, result.figure) == (controls.State.CANNOT_COMPUTE, None)


def test_refusals_are_counted_by_code_and_judge_nothing(identified, second_agent):
    from consent.gate import Refused

    row = ContactPoint.objects.get(member=identified.member, kind="email")
    with pytest.raises(Refused):
        reveal(identified.member, row=row.pk, field="value", purpose=3, case=identified, actor=second_agent)
    found = {r.result.control.code: r.result for r in board(now=timezone.now())}["refusals"]
    assert (found.figure, found.state, list(found.rows)) == (1, controls.State.KEPT, ["no_grant: 1"])


def test_the_command_prints_the_board_and_its_exit_status_tells(identified):
    out = io.StringIO()
    call_command("policy_board", "--json", stdout=out)
    rows = json.loads(out.getvalue())["sentences"]
    assert {frozenset(row) for row in rows} == {frozenset({"sentence", "control", "figure", "state", "label", "rows"})}
    assert len({row["sentence"] for row in rows}) == sum(len(clause.sentences) for clause in CLAUSES)
    with acting(None, reason=Reason.DAILY_WORK):
        Case.objects.update(due_on=datetime.date(2020, 1, 1))
    with pytest.raises(SystemExit) as exit:
        call_command("policy_board", stdout=io.StringIO())
    assert exit.value.code == 1


# Retention and destruction (P7)


def test_data_past_its_date(hanako):
    ended(hanako, ago=datetime.timedelta(days=36))
    assert violated() == set()
    assert violated(timezone.now() + datetime.timedelta(days=3)) == {"past_due"}


def test_a_superseded_value_past_its_date(identified):
    row = ContactPoint.objects.get(member=identified.member, kind="email")
    wish = ask_correction(identified, item="contact.email", row=row.pk, text="x@example.net", actor=identified.owner)
    apply_correction(wish, actor=identified.owner)
    close_case(identified, outcome="done", actor=identified.owner)
    assert violated() == set()
    assert violated(timezone.now() + datetime.timedelta(days=39)) == {"past_due"}


def test_a_hold_or_an_open_case_explains_why_it_is_still_there(
    hanako, officer, agent, django_capture_on_commit_callbacks
):
    ended(hanako)
    hold = place_legal_hold(hanako, ground="litigation", actor=officer)
    assert violated() == set()
    with django_capture_on_commit_callbacks(execute=True):
        lift_legal_hold(hold, actor=officer)
    assert violated() == {"past_due"}
    factories.case(hanako, agent)
    assert violated() == set()


def test_books_kept_longer_than_the_law_demands():
    factories.member(member_number="BOARD1", login_id="board1")
    factories.transaction("BOARD1", ordered_on="2015-05-01")
    assert violated() == {"kept_too_long"}


def test_a_site_whose_data_has_no_period():
    Entity.objects.create(code="vn", name="Another office")
    assert violated() == {"without_rule"}


def test_a_run_that_stopped_and_one_that_nobody_verified(committed, as_role):
    ended(factories.member())
    run(approved())
    assert violated() == set()
    assert violated(timezone.now() + datetime.timedelta(days=8)) == {"unverified"}
    with as_role("owner") as cursor:
        cursor.execute("UPDATE retention_run SET finished_at = NULL, seen_at = now() - interval '2 hours'")
    assert violated() == {"stalled_runs"}


def test_a_verification_that_failed_and_a_key_put_back(committed, as_role):
    member = ended(factories.member())
    plan = approved()
    run(plan)
    assert (verify(plan).failed_count, violated()) == (0, set())
    with as_role("owner", "vault") as cursor:
        cursor.execute("ALTER TABLE vault_key DISABLE TRIGGER ALL")
        cursor.execute(
            "UPDATE vault_key SET wrapped = decode(repeat('00', 61), 'hex'), destroyed_at = NULL,"
            " certificate_line = NULL, plan_hash = NULL WHERE subject = %s AND category = 1",
            [member.pk],
        )
    assert violated() == {"revived"}
    assert verify(plan).failed_count == 2
    assert violated() == {"revived", "failed_verification"}


def destroyed_behind_everybodys_back(member):
    """Every key of a member, as by a purger whom nobody stopped."""
    keys = [(key.ref, new_id()) for key in store.left([member.pk])]
    with as_("purger"):
        store.destroy(keys, plan_hash=b"\x07" * 32)


def test_members_whose_membership_stands_over_destroyed_keys(committed):
    """Number 2: the vault is asked, whatever the console has on record; who has left is no finding."""
    stays, gone = factories.member(), ended(factories.member(), ago=datetime.timedelta(days=1))
    assert violated() == set()
    destroyed_behind_everybodys_back(gone)
    # A destruction of which the console knows nothing is a sign of a restored console as well.
    assert violated() == {"without_certificate", "restored"}
    destroyed_behind_everybodys_back(stays)
    assert violated() == {"without_certificate", "restored", "members_without_keys"}
    rows = next(row.result for row in board(now=timezone.now()) if row.result.control.code == "members_without_keys")
    assert (rows.figure, list(rows.rows)) == (1, [str(stays.pk)])


def test_holds_over_nothing(committed, officer, monkeypatch):
    """Number 2: a hold whose keys are gone, as by a purger that it came too late for."""
    held, gone = factories.member(), ended(factories.member(), ago=datetime.timedelta(days=1))
    place_legal_hold(held, ground="litigation", actor=officer)
    assert violated() == set()
    monkeypatch.setattr(holds.store, "freeze", lambda *args, **options: 0)
    late = place_legal_hold(gone, ground="litigation", actor=officer)
    destroyed_behind_everybodys_back(gone)
    assert violated() == {"without_certificate", "restored", "holds_over_nothing"}
    rows = next(row.result for row in board(now=timezone.now()) if row.result.control.code == "holds_over_nothing")
    assert (rows.figure, list(rows.rows)) == (1, [str(late.pk)])
    lift_legal_hold(late, actor=officer)
    assert violated() == {"without_certificate", "restored"}


def test_what_was_destroyed_before_its_date(committed, as_role):
    ended(factories.member())
    run(approved())
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE retention_planline DISABLE TRIGGER append_only")
        cursor.execute("UPDATE retention_planline SET due_on = due_on + 90 WHERE category = 1")
    assert violated() == {"destroyed_early"}


def test_what_a_plan_for_a_later_day_destroyed_is_early_outside_a_demo(committed, settings):
    """The day that a plan names proves nothing: the certificate's own time is compared with the due date."""
    ended(factories.member(), ago=datetime.timedelta(days=5))
    later = timezone.localdate() + datetime.timedelta(days=400)
    run(approved(later))
    assert "destroyed_early" not in violated()
    settings.DEMO = False
    assert "destroyed_early" in violated()
