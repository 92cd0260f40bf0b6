"""What somebody with the owner's rights could do to a destruction afterwards is refused, or noticed."""

import datetime
import json
import uuid

import psycopg
import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from access_control.ids import new_id
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.errors import Destroyed
from access_control.vault.ring import keys_for
from access_control.vault.seal import KeyRef
from members.models import ContactPoint, Member
from retention.journal import Journal, path_of
from retention.models import CertificateLine, PlanExclusion, PlanLine
from retention.services import purging
from retention.services.planning import approve_plan, make_plan
from tests import factories
from tests.retention.conftest import approved, as_, ended, run, verify
from tests.retention.test_restores import command


@pytest.fixture
def destroyed(committed):
    """(member, plan) after a clean run, with the wrapped key and the lookups that there were."""
    member = ended(factories.member())
    plan = approved()
    before = _vault("SELECT category, generation, wrapped FROM vault_key WHERE subject = %s", member.pk)
    lookups = _vault(
        "SELECT field, version, mac, subject, category, joined FROM vault_lookup WHERE subject = %s", member.pk
    )
    run(plan)
    assert verify(plan).findings == []
    return member, plan, before, lookups


def _vault(statement, *parameters):
    from django.db import connections

    from tests.retention.conftest import as_

    with as_("owner"), connections["vault"].cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def codes(found):
    return {finding.split()[0] for finding in found.findings}


def test_an_old_wrapped_key_put_back_is_refused(destroyed, as_role):
    member, _plan, before, _lookups = destroyed
    category, generation, wrapped = before[0]
    with as_role("owner", "vault") as cursor, pytest.raises(psycopg.Error) as refused:
        cursor.execute(
            "UPDATE vault_key SET wrapped = %s, destroyed_at = NULL, certificate_line = NULL, plan_hash = NULL"
            " WHERE subject = %s AND category = %s AND generation = %s",
            [bytes(wrapped), member.pk, category, generation],
        )
    assert refused.value.sqlstate == "CV001"
    with as_role("owner", "vault") as cursor, pytest.raises(psycopg.Error) as refused:
        cursor.execute("DELETE FROM vault_key WHERE subject = %s", [member.pk])
    assert refused.value.sqlstate == "CV001"


def test_an_old_wrapped_key_put_back_past_the_triggers_is_noticed(destroyed, as_role):
    member, plan, before, _lookups = destroyed
    category, generation, wrapped = before[0]
    with as_role("owner", "vault") as cursor:
        cursor.execute("ALTER TABLE vault_key DISABLE TRIGGER ALL")
        cursor.execute(
            "UPDATE vault_key SET wrapped = %s, destroyed_at = NULL, certificate_line = NULL, plan_hash = NULL"
            " WHERE subject = %s AND category = %s AND generation = %s",
            [bytes(wrapped), member.pk, category, generation],
        )
        cursor.execute("ALTER TABLE vault_key ENABLE TRIGGER ALL")
    found = verify(plan)
    assert codes(found) == {"key_lives", "no_fence"}
    assert found.verified_count == plan.line_count - 1


def test_an_old_lookup_put_back_is_noticed(destroyed, as_role):
    _member, plan, _before, lookups = destroyed
    with as_role("owner", "vault") as cursor:
        cursor.execute(
            "INSERT INTO vault_lookup (field, version, mac, subject, category, joined) VALUES (%s, %s, %s, %s, %s, %s)",
            lookups[0],
        )
    assert codes(verify(plan)) == {"lookup_left"}


def test_a_row_put_back_from_history_is_noticed(destroyed, as_role):
    member, plan, _before, _lookups = destroyed
    with as_role("owner") as cursor:
        cursor.execute("SELECT set_config('console.actor', 'system', false)")
        cursor.execute(
            "INSERT INTO members_contactpoint (id, member_id, removed_at, kind, well_formed, changed_at, value)"
            " SELECT id, member_id, removed_at, kind, well_formed, changed_at, value"
            "   FROM members_historicalcontactpoint WHERE member_id = %s AND history_type = '+' LIMIT 1",
            [member.pk],
        )
    assert codes(verify(plan)) == {"row_left"}


def test_a_plan_changed_after_its_approval_is_noticed(destroyed, as_role):
    _member, plan, _before, _lookups = destroyed
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE retention_planline DISABLE TRIGGER append_only")
        cursor.execute("UPDATE retention_planline SET due_on = due_on - 1 WHERE plan_id = %s", [plan.pk])
    assert codes(verify(plan)) == {"plan_changed"}


def test_nothing_is_added_to_a_plan_that_is_made(committed):
    """Neither by the app, which may add rows; nor does a run carry out what was added past the trigger."""
    member = ended(factories.member())
    plan = approved()
    for model in (PlanLine, PlanExclusion):
        added = {"plan_id": plan.pk, "subject": new_id(), "reason": "legal_hold", "line_count": 1}
        if model is PlanLine:
            added = PlanLine.objects.filter(plan=plan).values().first() | {"id": new_id(), "subject": new_id()}
        with pytest.raises(DatabaseError, match="nothing is added to a plan that is made"), transaction.atomic():
            model.objects.create(**added)
    assert run(plan).destroyed == 5
    assert store.left([member.pk]) == []


def test_a_plan_changed_after_its_approval_is_not_carried_out(committed, as_role):
    member, other = ended(factories.member()), ended(factories.member())
    plan = approved()
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE retention_planline DISABLE TRIGGER append_only")
        cursor.execute("UPDATE retention_planline SET due_on = due_on - 1 WHERE subject = %s", [member.pk])
    status, said = command("run_purge", plan.reference, role="purger")
    assert status == 1
    assert f"Plan {plan.reference} lists something else than what was approved." in said
    # The timer passes it over, and says so every day.
    second = approved()
    status, said = command("run_purge", role="purger")
    assert (status, f"Passed over: plan {plan.reference}, which lists something else" in said) == (1, True)
    assert verify(second).findings == []
    assert store.left([member.pk, other.pk]) == []


def test_a_certificate_line_added_or_taken_away_is_noticed(destroyed, as_role):
    _member, plan, _before, _lookups = destroyed
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE retention_certificateline DISABLE TRIGGER append_only")
        cursor.execute(
            "DELETE FROM retention_certificateline WHERE id = (SELECT min(id::text)::uuid"
            " FROM retention_certificateline WHERE plan_id = %s)",
            [plan.pk],
        )
    assert codes(verify(plan)) >= {"not_certified", "neither", "certificate_lines_changed"}


def test_a_certificate_line_that_no_plan_lists_is_refused(destroyed, as_role):
    _member, plan, _before, _lookups = destroyed
    with as_role("purger") as cursor, pytest.raises(psycopg.Error) as refused:
        cursor.execute(
            "INSERT INTO retention_certificateline"
            " (id, plan_id, subject, subject_kind, category, generation, destroyed_at, keyring)"
            " VALUES (%s, %s, %s, 'member', 1, 1, now(), 1)",
            [uuid.uuid4(), plan.pk, uuid.uuid4()],
        )
    assert refused.value.sqlstate == "CA005"


def test_a_journal_line_changed_or_cut_is_noticed(destroyed):
    _member, plan, _before, _lookups = destroyed
    path = path_of(plan.pk)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"kind":"done"', b'"kind":"dine"'))
    assert codes(verify(plan)) == {"journal_broken"}
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert codes(verify(plan)) == {"journal_broken"}
    path.write_bytes(b"".join(lines[:2]))
    assert codes(verify(plan)) == {"journal_open", "journal_counts_otherwise", "journal_not_the_signed_one"}
    path.unlink()
    assert codes(verify(plan)) == {"journal_broken"}
    path.write_bytes(whole)
    assert verify(plan).findings == []


def test_a_certificate_signed_by_nobody_is_noticed(destroyed, as_role):
    _member, plan, _before, _lookups = destroyed
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE retention_certificate DISABLE TRIGGER append_only")
        cursor.execute(
            "UPDATE retention_certificate SET document = replace(document, '\"persons\": 1', '\"persons\": 2')"
        )
    assert codes(verify(plan)) == {"signature_broken"}


def test_a_journal_written_anew_is_noticed(destroyed):
    """A chain of hashes can be made by anybody; its last hash is in the signed certificate."""
    _member, plan, _before, _lookups = destroyed
    lines = list(plan.lines.values_list("id", "subject", "category", "generation"))
    path_of(plan.pk).unlink()
    journal = Journal(plan.pk)
    chunk = journal.intend([(line, KeyRef(*ref)) for line, *ref in lines], plan_hash=bytes(plan.payload_hash))
    journal.complete(chunk, [line for line, *_ref in lines])
    journal.finish(root=b"\x00" * 32)
    journal.close()
    assert codes(verify(plan)) == {"journal_not_the_signed_one"}


def test_the_purger_can_spend_an_approval_and_not_give_one(committed, as_role):
    ended(factories.member())
    plan = make_plan(timezone.localdate(), actor=None)
    officer = factories.staff("officer")
    for change in (
        f"approver_id = '{officer.person_id}', approver_epoch = 1, approved_at = now()",
        "expires_at = now() + interval '1 year'",
        "payload_hash = '\\x00'",
    ):
        with as_role("purger") as cursor, pytest.raises(psycopg.Error) as refused:
            cursor.execute(f"UPDATE access_control_approval SET {change} WHERE id = %s", [plan.approval_id])
        assert refused.value.sqlstate == "42501"
    approve_plan(plan, actor=officer)
    for change in ("approved_at = now()", "payload_hash = '\\x00'", "expires_at = now() + interval '1 year'"):
        with as_role("app") as cursor, pytest.raises(psycopg.Error) as refused:
            cursor.execute(f"UPDATE access_control_approval SET {change} WHERE id = %s", [plan.approval_id])
        assert refused.value.sqlstate == "CA008"
    run(plan)
    with as_role("purger") as cursor, pytest.raises(psycopg.Error) as refused:
        cursor.execute("UPDATE access_control_approval SET used_at = NULL WHERE id = %s", [plan.approval_id])
    assert refused.value.sqlstate == "CA008"


def test_a_run_that_nobody_approved_is_noticed(committed, monkeypatch):
    ended(factories.member())
    plan = make_plan(timezone.localdate(), actor=None)
    monkeypatch.setattr(purging, "use_approval", lambda *args, **options: None)
    monkeypatch.setattr(purging, "approval_stands", lambda *args, **options: True)
    run(plan)
    assert codes(verify(plan)) == {"not_approved"}


def test_a_key_destroyed_in_the_name_of_no_plan_shows_on_the_board(committed):
    from retention.board import board

    member = factories.member()
    with as_("purger"):
        store.destroy([(KeyRef(member.pk, 4, 1), uuid.uuid4())], plan_hash=b"\x01" * 32)
    rows = {row.result.control.code: row.result for row in board(now=timezone.now())}
    assert (rows["without_certificate"].figure, rows["without_certificate"].rows) == (1, ["01" * 32])


def test_an_earlier_copy_of_the_console_opens_nothing_that_was_destroyed(committed):
    """The console's database as it was before the run, with the vault as it is now: what every data backup is."""
    from django.conf import settings
    from django.db import connections

    from tests.databases import clone, clones_are_meant, drop, point_at

    gone, stays = ended(factories.member()), factories.member()
    plan = approved()
    now = {alias: settings.DATABASES[alias]["NAME"] for alias in ("default", "vault")}
    earlier = f"earlier_{uuid.uuid4().hex[:10]}"
    clone(now["default"], earlier)
    try:
        run(plan)
        clones_are_meant(earlier, now["vault"])
        point_at({"default": earlier})
        assert CertificateLine.objects.count() == 0
        old = Member.objects.get(pk=gone.pk)
        assert old.name is not None
        with keys_for([gone.pk, stays.pk], [Category.IDENTITY, Category.CONTACT], event=uuid.uuid4()) as ring:
            for row, name in [(old, "name"), *((one, "value") for one in ContactPoint.objects.filter(member=gone))]:
                with pytest.raises(Destroyed):
                    ring.open_sealed(row, name)
            for past in Member.history.filter(id=gone.pk):
                with pytest.raises(Destroyed):
                    ring.open_sealed(past, "name")
            assert ring.open_sealed(Member.objects.get(pk=stays.pk), "name") == "山田 花子"
            assert all(ring.open_sealed(one, "value") for one in ContactPoint.objects.filter(member=stays))
    finally:
        connections.close_all()
        point_at({"default": now["default"]})
        drop(earlier)


def test_a_run_over_a_restored_console_finishes_what_the_vault_has_done(committed):
    from django.conf import settings
    from django.db import connections

    from tests.databases import clone, clones_are_meant, drop, point_at

    member = ended(factories.member())
    plan = approved()
    now = settings.DATABASES["default"]["NAME"]
    earlier = f"earlier_{uuid.uuid4().hex[:10]}"
    clone(now, earlier)
    try:
        run(plan)
        clones_are_meant(earlier, settings.DATABASES["vault"]["NAME"])
        point_at({"default": earlier})
        outcome = run(plan)
        assert (outcome.destroyed, outcome.parked) == (plan.line_count, 0)
        assert (verify(plan).findings, Member.objects.get(pk=member.pk).state) == ([], "destroyed")
    finally:
        connections.close_all()
        point_at({"default": now})
        drop(earlier)


def test_a_bad_item_is_parked_alone(committed, as_role):
    """One row that the database will not change stops nobody else."""
    people = sorted((ended(factories.member()) for _once in range(5)), key=lambda one: one.pk)
    plan = approved()
    with as_role("owner") as cursor:
        cursor.execute(
            "CREATE FUNCTION stubborn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f"  IF OLD.member_id = '{people[2].pk}' THEN RAISE EXCEPTION 'no' USING ERRCODE = 'P0099'; END IF;"
            "  RETURN OLD; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER stubborn BEFORE DELETE ON members_addressee FOR EACH ROW EXECUTE FUNCTION stubborn()"
        )
    outcome = run(plan)
    parked = list(plan.parked.values_list("line__subject", "line__category", "reason", "error"))
    assert parked == [(people[2].pk, Category.DELIVERY, "failed", "InternalError P0099")] or (
        [row[:3] for row in parked] == [(people[2].pk, Category.DELIVERY, "failed")] and "P0099" in parked[0][3]
    )
    assert (outcome.destroyed, outcome.parked) == (plan.line_count - 1, 1)
    assert {(key.ref.subject, key.ref.category) for person in people for key in store.left([person.pk])} == {
        (people[2].pk, Category.DELIVERY)
    }
    assert verify(plan).findings == []
    people[2].refresh_from_db()
    assert people[2].state == "ended"
    assert datetime.date.fromisoformat(json.loads(plan.certificate.document)["due_up_to"]) == plan.as_of
