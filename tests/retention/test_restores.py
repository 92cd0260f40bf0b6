"""Number 1: a console that was restored from a backup destroys nothing that is held, and says so to everybody.

A restore is a clone of the database as it was, used beside today's vault; ``unnoticed`` gives it the identity of the
database that the vault noted, as a restore into the same database has it: then only what the vault was told tells.
"""

import contextlib
import io
import json
import subprocess
import sys
import uuid

import pytest
from django.conf import settings
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.urls import reverse
from django.utils import timezone

from access_control import restore
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import AcceptedRestore, Approval, LedgerEvent
from access_control.restore import DatabaseRestored, Sign
from access_control.services import leave
from access_control.vault import consoles, store
from access_control.vault.categories import Category
from access_control.vault.errors import AnotherConsole
from access_control.vault.ring import keys_for
from config.cluster import binary
from consent.jobs import send_queued_notices
from consent.services.notices import send_notices
from members.models import Member, Notice
from members.services.cases import add_note
from retention import points
from retention.events import Event
from retention.journal import path_of
from retention.models import LegalHold
from retention.points import Point
from retention.services import items
from retention.services.holds import lift_legal_hold, place_legal_hold
from retention.services.memberships import end_membership
from retention.services.planning import make_plan
from tests import factories
from tests.databases import become, clone, clones_are_meant, credentials, drop, point_at
from tests.databases import leave as leave_database
from tests.retention.conftest import approved, as_, ended, run, verify

PASSWORD = factories.PASSWORD


def name_of(alias):
    return settings.DATABASES[alias]["NAME"]


@contextlib.contextmanager
def backup(alias="default"):
    """A copy of the database as it is now; ``with`` what it gives, the copy is used instead."""
    now, earlier = name_of(alias), f"earlier_{uuid.uuid4().hex[:10]}"
    clone(now, earlier)

    @contextlib.contextmanager
    def restored():
        point_at({alias: earlier})
        try:
            yield earlier
        finally:
            connections.close_all()
            point_at({alias: now})

    try:
        yield restored
    finally:
        connections.close_all()
        drop(earlier)


def postgres(program, *arguments):
    """Run a program of PostgreSQL as the owner."""
    database = settings.DATABASES["default"]
    user, password = credentials("default", "owner")
    environment = {"PGHOST": database["HOST"], "PGUSER": user, "PGPASSWORD": password, "LC_ALL": "C"}
    if database["PORT"]:
        environment["PGPORT"] = str(database["PORT"])
    subprocess.run([binary(program), *arguments], env=environment, check=True, capture_output=True)


def unnoticed(as_role, earlier):
    """The database identities agree, as after a restore into the same database."""
    with as_role("owner", "default") as cursor:
        cursor.execute("SELECT oid::bigint FROM pg_database WHERE datname = %s", [earlier])
        oid = cursor.fetchone()[0]
    with as_role("owner", "vault") as cursor:
        cursor.execute("ALTER TABLE vault_consoleidentity DISABLE TRIGGER vault_consoleidentity_append")
        cursor.execute(
            "UPDATE vault_consoleidentity SET database = %s WHERE id = (SELECT max(id) FROM vault_consoleidentity)",
            [oid],
        )


def command(name, *arguments, role="app", account=None, password=PASSWORD, **options):
    """(exit status, what it printed or refused with)."""
    out, typed = io.StringIO(), sys.stdin
    if account is not None:
        options["username"] = account.username
        sys.stdin = io.StringIO(f"{password}\n")
    try:
        with as_(role):
            call_command(name, *arguments, stdout=out, stderr=out, **options)
    except CommandError as error:
        return error.returncode, str(error)
    except SystemExit as ended_with:
        return ended_with.code, out.getvalue()
    finally:
        sys.stdin = typed
    return 0, out.getvalue()


def accept(*accounts, password=PASSWORD):
    """What ``accept_restore`` says to each account, as JSON."""
    said = []
    for account in accounts:
        status, text = command("accept_restore", account=account, password=password, json=True)
        assert status == 0, text
        said.append(json.loads(text))
    return said


def destroyed_again():
    """What ``destroy_again`` says, as JSON."""
    status, text = command("destroy_again", role="purger", json=True)
    assert status == 0, text
    return json.loads(text)


def frozen_keys(member):
    return [key.frozen for key in store.left([member.pk])]


@pytest.mark.parametrize("noticed", [True, False], ids=["another database", "the same database"])
def test_number_1_a_restored_console_destroys_nothing_that_is_held(committed, officer, as_role, noticed):
    held, free = ended(factories.member()), ended(factories.member(member_number="X0000002", login_id="free2"))
    plan = approved()
    with backup() as restored:
        place_legal_hold(held, ground=LegalHold.Ground.LITIGATION, actor=officer)
        assert run(plan).destroyed > 0
        assert all(frozen_keys(held))
        assert store.left([free.pk]) == []
        with restored() as earlier:
            if not noticed:
                unnoticed(as_role, earlier)
            assert not LegalHold.objects.exists()
            for name, role, arguments in (
                ("plan_purge", "app", ()),
                ("run_purge", "purger", (plan.reference,)),
                ("run_purge", "purger", ()),
            ):
                status, said = command(name, *arguments, role=role)
                assert status == 1
                assert "accept_restore" in said
            assert all(frozen_keys(held))
            assert len(frozen_keys(held)) == 5


def test_number_1_a_dump_restored_with_pg_restore_destroys_nothing_that_is_held(committed, officer, tmp_path):
    """As operations.md says it, with PostgreSQL's own programs; once beside, once over the database itself."""
    held = ended(factories.member())
    ended(factories.member(member_number="X0000002", login_id="free2"))
    plan = approved()
    now, beside = name_of("default"), f"earlier_{uuid.uuid4().hex[:10]}"
    dump = tmp_path / "console.dump"
    postgres("pg_dump", "--format=custom", f"--file={dump}", now)
    place_legal_hold(held, ground=LegalHold.Ground.LITIGATION, actor=officer)
    assert run(plan).destroyed == 5
    told = {Sign.LEDGER_SHORT, Sign.APPROVAL_UNSPENT, Sign.JOURNAL_AHEAD}
    postgres("createdb", "--template=template0", beside)
    postgres("pg_restore", "--exit-on-error", f"--dbname={beside}", dump)
    try:
        point_at({"default": beside})
        assert set(restore.look()) == told | {Sign.CONSOLE_MOVED}
        assert command("plan_purge")[0] == command("run_purge", plan.reference, role="purger")[0] == 1
    finally:
        connections.close_all()
        point_at({"default": now})
        drop(beside)
    leave_database(now)
    postgres("pg_restore", "--exit-on-error", "--clean", f"--dbname={now}", dump)
    assert not LegalHold.objects.exists()
    assert set(restore.look()) == told
    assert command("plan_purge")[0] == command("run_purge", plan.reference, role="purger")[0] == 1
    assert len(frozen_keys(held)) == 5
    assert all(frozen_keys(held))


def test_number_1_after_acceptance_the_lost_hold_still_holds(committed, officer, supervisor, as_role):
    """The keys stay frozen, the spent approval stays spent, and a new plan leaves the held member out."""
    held, _free = ended(factories.member()), ended(factories.member(member_number="X0000002", login_id="free2"))
    plan = approved()
    with backup() as restored:
        place_legal_hold(held, ground=LegalHold.Ground.LITIGATION, actor=officer)
        run(plan)
        with restored():
            first, second = accept(officer, supervisor)
            assert (first["accepted"], second["accepted"]) == (False, True)
            assert second["lost"]["holds"] == 1
            assert second["lost"]["plans"] == 1
            assert second["lost"]["destroyed_keys"] == store.destroyed_by_plan()[bytes(plan.payload_hash)]
            assert restore.look() == []
            status, said = command("run_purge", plan.reference, role="purger")
            assert status == 1
            assert "no approval that stands" in said
            status, said = command("plan_purge", json=True)
            assert (status, json.loads(said)["due"]) == (0, 0)
            assert all(frozen_keys(held))
            assert len(frozen_keys(held)) == 5
            # The way out is on record: the hold is placed again, takes the lost one over, and is lifted.
            officer.refresh_from_db()
            again = place_legal_hold(held, ground=LegalHold.Ground.LITIGATION, actor=officer)
            assert all(frozen_keys(held))
            lift_legal_hold(again, actor=officer)
            assert not any(frozen_keys(held))


def test_number_1_leavers_grants_and_approvals_come_back_to_a_closed_house(
    committed, client, agent, officer, supervisor, as_role
):
    case = factories.identify(factories.case(factories.member(), agent))
    client.force_login(agent)
    page = reverse("admin:members_case_change", args=[case.pk])
    waiting = make_plan(timezone.localdate(), actor=None)
    with backup() as restored:
        leave(agent.person, on=timezone.localdate(), actor=officer)
        restore.refuse_restored()
        with restored() as earlier:
            unnoticed(as_role, earlier)
            agent.refresh_from_db()
            assert agent.is_active
            answer = client.get(page, headers={"accept-language": "en"})
            assert answer.status_code == 503
            assert "accept_restore" in answer.content.decode()
            for account in (officer, supervisor):
                client.force_login(account)
                for view in ("index", "policy_board", "retention_plan_changelist", "access_control_staff_changelist"):
                    assert client.get(reverse(f"admin:{view}")).status_code == 503
            client.logout()
            assert client.get(reverse("admin:login")).status_code == 200
            status, said = command("approve_purge", waiting.reference, account=officer)
            assert status == 1
            assert "accept_restore" in said
            client.force_login(agent)
            accept(officer, supervisor)
            # The session of the person who left is dead, and so are grants and approvals from before.
            assert client.get(page).status_code == 302
            agent.refresh_from_db()
            client.force_login(agent)
            assert "山＊" not in client.get(page).content.decode()
            officer.refresh_from_db()
            status, said = command("approve_purge", waiting.reference, account=officer)
            assert status == 1
            assert "cannot be approved" in said


def test_number_1_every_command_that_changes_anything_refuses(committed, officer, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("")
    with backup() as restored, restored():
        for name, arguments in (
            ("import_members", (str(rows),)),
            ("import_transactions", (str(rows),)),
            ("publish_rules", ()),
        ):
            status, said = command(name, *arguments, account=officer)
            assert status == 1
            assert "accept_restore" in said
        for name in ("send_notices", "load_demo"):
            status, said = command(name)
            assert status == 1
            assert "accept_restore" in said
        with pytest.raises(DatabaseRestored):
            send_queued_notices.func(0)
        for name, role in (("leftovers", "app"), ("policy_board", "reader")):
            assert "accept_restore" not in command(name, role=role)[1]


def test_number_1_the_vault_itself_opens_freezes_and_destroys_nothing_for_another_console(committed, hanako):
    with backup() as restored, restored():
        with (
            pytest.raises(AnotherConsole),
            keys_for([hanako.pk], [Category.IDENTITY], event=uuid.uuid4()),
        ):
            pass
        with pytest.raises(AnotherConsole):
            store.freeze([hanako.pk], list(Category), hold=False)
        become("purger")
        try:
            with pytest.raises(AnotherConsole):
                store.destroy([(store.left([hanako.pk])[0].ref, uuid.uuid4())], plan_hash=b"\x01" * 32)
        finally:
            become("app")


def test_number_1_one_act_that_is_rolled_back_closes_nothing(committed, client, officer, hanako):
    """The vault keeps the fetch and the freeze; the console keeps neither event nor row."""
    client.force_login(officer)
    event = uuid.uuid4()
    with acting(officer, reason=Reason.DAILY_WORK) as act:
        act.record(Event.PLAN_READ, event_id=event)
        with keys_for([hanako.pk], [Category.IDENTITY], event=event):
            transaction.set_rollback(True)
    with acting(officer, reason=Reason.LEGAL_HOLD):
        place_legal_hold(hanako, ground=LegalHold.Ground.MISUSE, actor=officer)
        transaction.set_rollback(True)
    assert not LedgerEvent.objects.filter(pk=event).exists()
    assert all(frozen_keys(hanako))
    assert consoles.remembered().sequence <= LedgerEvent.objects.first().sequence
    assert restore.look() == []
    assert client.get(reverse("admin:index")).status_code == 200
    assert command("plan_purge")[0] == 0


def test_number_1_a_freeze_without_a_hold_on_record_stays_and_a_control_shows_it(committed, officer):
    """What a crash between the freeze and the console's row leaves, and how it is ended: by two acts on record."""
    from retention.controls import CONTROLS

    [control] = [one for one in CONTROLS if one.code == "frozen_without_hold"]
    member = ended(factories.member())
    store.freeze([member.pk], list(Category), hold=True)
    plan = make_plan(timezone.localdate(), actor=None)
    assert (plan.line_count, plan.exclusions.get().reason) == (0, "legal_hold")
    assert all(frozen_keys(member))
    assert control.measure(timezone.now()).rows == [str(member.pk)]
    lift_legal_hold(place_legal_hold(member, ground="misuse", actor=officer), actor=officer)
    assert not any(frozen_keys(member))
    assert control.measure(timezone.now()).figure == 0
    thawed = LedgerEvent.objects.filter(event=Event.KEYS_THAWED, subject=member.pk)
    assert thawed.get().count == 5
    assert make_plan(timezone.localdate(), actor=None).line_count > 0


def test_number_1_a_lifted_hold_of_long_ago_does_not_thaw_for_a_lost_one(committed, officer, supervisor):
    member = ended(factories.member())
    lift_legal_hold(place_legal_hold(member, ground="misuse", actor=officer), actor=officer)
    with backup() as restored:
        place_legal_hold(member, ground="litigation", actor=officer)
        with restored():
            accept(officer, supervisor)
            assert make_plan(timezone.localdate(), actor=None).line_count == 0
            assert all(frozen_keys(member))


def test_number_1_a_hold_over_keys_that_are_not_frozen_shows(committed, officer, hanako, as_role):
    from retention.controls import CONTROLS

    [control] = [one for one in CONTROLS if one.code == "hold_not_frozen"]
    place_legal_hold(hanako, ground="misuse", actor=officer)
    assert control.measure(timezone.now()).figure == 0
    # One key alone is enough, and the vault leaves none that is made under the hold.
    store.freeze([hanako.pk], [Category.PAYMENT], hold=False)
    assert control.measure(timezone.now()).rows == [str(hanako.pk)]
    store.freeze([hanako.pk], list(Category), hold=False)
    assert control.measure(timezone.now()).rows == [str(hanako.pk)]


def test_number_1_what_is_noted_on_a_new_case_of_a_held_member_is_held(committed, agent, officer, hanako):
    """Also before the caller is identified, under a key of the case itself; lifting the hold thaws it."""
    from retention.controls import CONTROLS

    [control] = [one for one in CONTROLS if one.code == "hold_not_frozen"]
    hold = place_legal_hold(hanako, ground="misuse", actor=officer)
    case = factories.case(hanako, agent)
    add_note(case, text="折り返しは午後", actor=agent)
    assert [key.frozen for key in store.left([case.pk])] == [True]
    assert control.measure(timezone.now()).figure == 0
    store.freeze([case.pk], list(Category), hold=False)
    assert control.measure(timezone.now()).rows == [str(hanako.pk)]
    lift_legal_hold(hold, actor=officer)
    assert [key.frozen for key in store.left([case.pk])] == [False]
    add_note(factories.case(hanako, agent), text="折り返しは午後", actor=agent)
    assert control.measure(timezone.now()).figure == 0


def test_number_1_a_plan_the_console_never_carried_out_is_a_sign(committed, as_role, hanako):
    """Also without any mark: the vault counts what it destroyed by the hash of the plan."""
    with as_("purger"):
        store.destroy([(store.left([hanako.pk])[0].ref, uuid.uuid4())], plan_hash=b"\x07" * 32)
    assert restore.look() == [Sign.APPROVAL_UNSPENT]


def test_number_1_another_event_under_a_told_sequence_is_a_sign(committed, officer, hanako, as_role):
    """The restored console went on for a while, past what the vault was told."""
    with backup() as restored:
        with acting(officer, reason=Reason.DAILY_WORK) as act:
            act.record(Event.PLAN_READ)
        consoles.tell()
        with restored() as earlier:
            unnoticed(as_role, earlier)
            assert restore.look() == [Sign.LEDGER_SHORT]
            for _once in range(3):
                with acting(officer, reason=Reason.DAILY_WORK) as act:
                    act.record(Event.PLAN_READ)
            assert restore.look() == [Sign.ANOTHER_EVENT]


def test_number_1_the_journal_alone_tells_when_both_databases_were_restored(committed, as_role):
    ended(factories.member())
    plan = approved()
    with backup() as console, backup("vault") as vault:
        run(plan)
        with console() as earlier, vault() as earlier_vault:
            clones_are_meant(earlier, earlier_vault)
            assert restore.look() == [Sign.JOURNAL_AHEAD]
            assert command("run_purge", plan.reference, role="purger")[0] == 1


def test_number_1_a_restored_vault_is_named_apart_and_nothing_opens_before_it_destroyed_again(
    committed, client, officer, supervisor, as_role
):
    member = ended(factories.member())
    plan = approved()
    with backup("vault") as restored:
        run(plan)
        with restored():
            assert len(store.left([member.pk])) == 5
            assert restore.look() == [Sign.VAULT_MOVED, Sign.VAULT_FORGOT]
            client.force_login(officer)
            page = client.get(reverse("admin:index"), headers={"accept-language": "en"})
            assert page.status_code == 503
            assert "The vault was restored" in page.content.decode()
            status, said = command("accept_restore", account=officer)
            assert status == 1
            assert "5 keys that were destroyed live again" in said
            assert destroyed_again() == {"destroyed_again": 5, "held": 0}
            assert verify(plan).findings == []
            assert restore.look() == [Sign.VAULT_MOVED]
            accept(officer, supervisor)
            assert restore.look() == []
            assert store.installation()[1] == 2
            assert command("plan_purge")[0] == 0


def test_number_1_one_person_alone_accepts_nothing(committed, officer, supervisor, agent, auditor):
    with backup() as restored, restored():
        for account in (agent, auditor):
            status, said = command("accept_restore", account=account)
            assert status == 1
            assert "may not do that" in said
        assert accept(officer)[0]["accepted"] is False
        status, said = command("accept_restore", account=officer)
        assert status == 1
        assert "Another person" in said
        assert restore.look() == [Sign.CONSOLE_MOVED]
        assert accept(supervisor)[0]["restore_epoch"] == 2
        [accepted] = AcceptedRestore.objects.all()
        assert accepted.approval.requester == officer.person
        assert accepted.approval.approver == supervisor.person
        assert LedgerEvent.objects.filter(event="restore:accepted", restore_epoch=2).count() == 1
        assert Approval.objects.filter(used_at=None, expires_at__gt=timezone.now()).count() == 0
        assert accept(officer)[0] == {"accepted": False, "signs": [], "lost": {}, "restore_epoch": None}


def test_number_1_both_persons_agree_to_one_list_of_losses(committed, officer, supervisor):
    """Whoever sees another list than the first person did asks anew, and accepts nothing with it."""
    ended(factories.member())
    plan = approved()
    with backup() as restored:
        run(plan)
        with restored():
            [first] = accept(officer)
            path = path_of(plan.pk)
            path.rename(path.with_suffix(".away"))
            [second] = accept(supervisor)
            assert (first["lost"]["journals"], second["lost"]["journals"]) == (1, 0)
            assert not AcceptedRestore.objects.exists()
            path.with_suffix(".away").rename(path)
            assert accept(supervisor)[0]["accepted"] is True


@pytest.mark.parametrize("meanwhile", ["sent", "nothing"])
def test_number_1_no_notice_is_sent_twice_by_a_restored_console(
    committed, agent, officer, supervisor, settings, meanwhile
):
    """What waited is a loss that both persons see, unless nothing has happened since: then it still waits."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    end_membership(factories.identify(factories.case(factories.member(), agent, kind="ending")), actor=agent)
    waiting = Notice.objects.count()
    assert waiting > 0
    restore.refuse_restored()
    with backup() as restored:
        if meanwhile == "sent":
            assert send_notices().sent == waiting
        with restored():
            first, second = accept(officer, supervisor)
            closed = waiting if meanwhile == "sent" else 0
            assert (first["lost"]["notices"], second["lost"]["notices"]) == (closed, closed)
            assert Notice.objects.filter(state="failed", failure="restored").count() == closed
            assert LedgerEvent.objects.filter(event="notice:failed").count() == closed
            assert command("send_notices")[0] == 0
            assert len(mail.outbox) == waiting


def test_number_1_a_vault_that_turns_to_another_console_stops_a_run_with_a_sentence(committed, as_role, monkeypatch):
    """Nothing is half done, and with the console noted again the run goes on."""
    for _once in range(2):
        ended(factories.member())
    monkeypatch.setattr(items, "CHUNK", 1)
    plan, passed = approved(), []
    noted = consoles.remembered().console

    def watch(at):
        passed.append(at)
        if at == Point.INTENDED and passed.count(at) == 2:
            note(noted._replace(timeline=noted.timeline + 1))

    def note(identity):
        with as_role("app", "vault") as cursor:
            cursor.execute("SELECT vault_note_console(%s::bigint[], false)", [[*identity]])

    monkeypatch.setattr(points, "watch", watch)
    status, said = command("run_purge", plan.reference, role="purger")
    assert status == 1
    assert "serves another console" in said
    monkeypatch.setattr(points, "watch", None)
    clones_are_meant(name_of("default"), name_of("vault"))
    assert command("run_purge", plan.reference, role="purger")[0] == 0
    assert verify(plan).findings == []


def test_number_1_a_backup_from_before_an_accepted_restore_is_noticed_too(committed, officer, supervisor, as_role):
    with backup() as oldest:
        with backup() as restored, restored():
            accept(officer, supervisor)
        with oldest() as earlier:
            unnoticed(as_role, earlier)
            assert restore.look() == [Sign.EPOCH_BEHIND]


def test_number_1_check_names_a_restore(committed, capsys):
    assert command("check")[0] == 0
    with backup() as restored, restored():
        status, said = command("check")
        assert status == 1
        assert "accept_restore" in said
        assert "another database, server or timeline" in said


def test_number_1_the_board_names_a_restore_and_what_was_accepted(committed, client, officer, supervisor):
    from retention.controls import CONTROLS

    control = {one.code: one for one in CONTROLS}
    now = timezone.now()
    assert control["restored"].measure(now).figure == 0
    with backup() as restored, restored():
        assert control["restored"].measure(now).rows == ["console_moved"]
        accept(officer, supervisor)
        assert control["restored"].measure(now).figure == 0
        officer.refresh_from_db()
        client.force_login(officer)
        start = client.get(reverse("admin:index"), headers={"accept-language": "en"}).content.decode()
        assert "A database was restored from a backup" in start


def test_number_1_the_vault_is_told_while_the_console_is_used(committed, client, officer):
    """So little is forgotten unnoticed: what is told is at most some seconds old."""
    client.force_login(officer)
    before = consoles.remembered().sequence or 0
    client.get(reverse("admin:index"))
    told = consoles.remembered()
    assert told.sequence > before
    assert told.event == LedgerEvent.objects.get(sequence=told.sequence).id


def test_number_1_the_guard_asks_each_database_once_a_request(committed, client, officer):
    from django.test.utils import CaptureQueriesContext

    client.force_login(officer)
    client.get(reverse("admin:index"))
    with CaptureQueriesContext(connections["vault"]) as vault, CaptureQueriesContext(connections["default"]) as console:
        assert restore.look_briefly() == []
    assert (len(vault), len(console)) == (1, 1)


def test_number_1_without_the_guard_the_lost_hold_would_be_destroyed_in_the_middle(committed, officer, monkeypatch):
    """Only the thaw is left to hold: with the guard out, the plan still thaws nothing."""
    held = ended(factories.member())
    with backup() as restored:
        place_legal_hold(held, ground="litigation", actor=officer)
        with restored():
            monkeypatch.setattr(consoles, "testimony", lambda _mark: None)
            assert make_plan(timezone.localdate(), actor=None).line_count == 0
            assert all(frozen_keys(held))
    assert Member.objects.get(pk=held.pk).state == "ended"
