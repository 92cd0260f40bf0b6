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
from access_control.ledger import acting
from access_control.models import Person, Staff
from consent.events import Event
from consent.services.doors import reveal
from members.models import Case, ContactPoint, Suspension
from members.services.corrections import ask_correction
from retention.board import board
from tests import factories


def violated(now=None):
    """Codes of the controls that do not stand well."""
    bad = {controls.State.NOT_KEPT, controls.State.CANNOT_COMPUTE}
    return {row.result.control.code for row in board(now=now or timezone.now()) if row.result.state in bad}


def test_every_sentence_of_the_three_clauses_is_listed_and_a_clean_house_keeps_them(identified):
    rows = board(now=timezone.now())
    assert {row.sentence for row in rows} == {
        *("P2_1", "P2_2", "P2_3"),
        *("P5_A1", "P5_A2", "P5_B1", "P5_B2", "P5_B3"),
        *("P8_A1", "P8_A2", "P8_A3", "P8_A4", "P8_B1", "P8_B2", "P8_B3", "P8_B4"),
    }
    assert violated() == set()
    assert {row.result.state for row in rows if row.sentence == "P8_A4"} == {controls.State.TEXT_OUTDATED}


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
    from access_control.ids import new_id
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
    assert {"sentence", "control", "figure", "state"} <= set(rows[0])
    with acting(None, reason=Reason.DAILY_WORK):
        Case.objects.update(due_on=datetime.date(2020, 1, 1))
    with pytest.raises(SystemExit) as exit:
        call_command("policy_board", stdout=io.StringIO())
    assert exit.value.code == 1
