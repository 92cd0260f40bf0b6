"""A restored vault brings destroyed keys back; from the refusal to the open console there is one way, by command."""

import json
import uuid

import pytest
from django.db import DatabaseError
from django.utils import timezone

from access_control import restore
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Approval, LedgerEvent
from access_control.restore import Sign
from access_control.services import leave
from access_control.vault import consoles, store
from access_control.vault.errors import AnotherConsole
from members.models import Member
from retention import points
from retention.events import Event
from retention.journal import path_of
from retention.models import LegalHold
from retention.points import Point
from retention.services import items
from retention.services.holds import lift_legal_hold, place_legal_hold
from tests import factories
from tests.retention.conftest import approved, as_, ended, run
from tests.retention.test_restores import accept, backup, command, destroyed_again
from tests.retention.test_resuming import chained, said_by

NOTHING_LIVES = {"destroyed_again": 0, "held": 0}


def is_refused_by_accept_restore(account, keys):
    """``accept_restore`` names the keys that are back and orders that they be destroyed again."""
    status, said = command("accept_restore", account=account)
    assert status == 1
    assert f"{keys} keys that were destroyed live again" in said
    assert "destroy_again" in said


def left_of(*members):
    return store.left(sorted(member.pk for member in members))


def living(*members):
    return len(left_of(*members))


def test_both_databases_restored_on_new_hosts_come_to_an_open_console(committed, officer, supervisor):
    """The vault remembers another console and refuses it everything; yet what was destroyed is destroyed again."""
    early = ended(factories.member())
    run(approved())
    late = ended(factories.member())
    plan = approved()
    with backup() as console, backup("vault") as vault:
        run(plan)
        with console(), vault():
            assert living(early, late) == 5
            assert {Sign.CONSOLE_MOVED, Sign.VAULT_MOVED, Sign.JOURNAL_AHEAD} <= set(restore.look())
            is_refused_by_accept_restore(officer, 5)
            with as_("purger"), pytest.raises(AnotherConsole):
                consoles.tell()
            assert destroyed_again() == {"destroyed_again": 5, "held": 0}
            assert destroyed_again() == NOTHING_LIVES
            assert living(early, late) == 0
            [event] = LedgerEvent.objects.filter(event=Event.DESTROYED_AGAIN)
            assert event.count == 5
            order = Approval.objects.get(pk=event.note)
            assert (order.requester, order.approver) == (None, officer.person)
            first, second = accept(officer, supervisor)
            assert (first["accepted"], second["accepted"]) == (False, True)
            assert second["lost"]["destroyed_keys"] == 5
            assert restore.look() == []
            assert command("plan_purge")[0] == 0


def test_a_vault_from_before_an_accepted_restore_comes_to_an_open_console(committed, officer, supervisor):
    """It knows an earlier restore epoch of the console, and would hear nothing that this one says."""
    member = ended(factories.member())
    plan = approved()
    with backup("vault") as vault:
        run(plan)
        with backup() as console, console():
            accept(officer, supervisor)
            with vault():
                assert {Sign.VAULT_MOVED, Sign.VAULT_FORGOT} <= set(restore.look())
                officer.refresh_from_db()
                is_refused_by_accept_restore(officer, 5)
                assert destroyed_again() == {"destroyed_again": 5, "held": 0}
                assert living(member) == 0
                accept(officer, supervisor)
                assert restore.look() == []


def test_an_intent_without_its_completion_is_never_destroyed_again(committed, officer, monkeypatch):
    """What a run had announced when both databases were backed up may be held, or back, since."""
    first, second = ended(factories.member()), ended(factories.member())
    monkeypatch.setattr(items, "CHUNK", 1)
    plan, passed = approved(), []

    def watch(at):
        passed.append(at)
        if at == Point.INTENDED and passed.count(at) == 2:
            raise KeyboardInterrupt

    with backup() as console, backup("vault") as vault:
        monkeypatch.setattr(points, "watch", watch)
        with pytest.raises(KeyboardInterrupt):
            run(plan)
        monkeypatch.setattr(points, "watch", None)
        with console(), vault():
            is_refused_by_accept_restore(officer, 5)
            assert destroyed_again()["destroyed_again"] == 5
            assert sorted([living(first), living(second)]) == [0, 5]


def test_nothing_is_destroyed_again_that_nobody_ordered(committed, officer, agent):
    """Neither where nothing was restored, nor by an account that may not accept a restore."""
    member = ended(factories.member())
    plan = approved()
    with backup("vault") as vault:
        run(plan)
        assert command("accept_restore", account=officer)[1].startswith("No database was restored")
        assert "nobody has ordered" in command("destroy_again", role="purger")[1]
        with vault():
            assert command("accept_restore", account=agent)[0] == 1
            status, said = command("destroy_again", role="purger")
            assert (status, living(member)) == (1, 5)
            assert "accept_restore" in said


def test_an_order_is_for_these_keys_alone(committed, officer):
    """A journal that was put in or changed since is another list, which somebody has to look at first."""
    member, standing = ended(factories.member()), factories.member()
    plan = approved()
    with backup() as console, backup("vault") as vault:
        run(plan)
        with console(), vault():
            is_refused_by_accept_restore(officer, 5)
            path = path_of(plan.pk)
            whole, said = path.read_text(), said_by(path)
            path.rename(path.with_suffix(".kept"))
            assert "nobody has ordered" in command("destroy_again", role="purger")[1]
            said_anew = json.loads(json.dumps(said).replace(str(member.pk), str(standing.pk)))
            for forged, why in (
                (whole.replace(str(member.pk), str(standing.pk)), "this line was changed"),
                (chained(said_anew), f"its plan {plan.reference} does not list"),
            ):
                path.write_text(forged)
                status, said = command("destroy_again", role="purger")
                assert (status, why in said) == (1, True)
                status, said = command("accept_restore", account=officer)
                assert (status, why in said) == (1, True)
            assert (living(member), living(standing)) == (5, 5)
            path.write_text(whole)
            assert destroyed_again()["destroyed_again"] == 5


def write(path, *lines):
    """A journal whose chain is whole, as whoever knows the format would write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(chained(lines))


def put_among_the_journals(member, *, ledger=None):
    """A journal of a plan that nobody made: whole, and every key of the member in it is destroyed. Returns its plan."""
    plan = uuid.uuid4()
    rows = [[str(uuid.uuid4()), str(key.ref.subject), key.ref.category, key.ref.generation] for key in left_of(member)]
    says = (
        {"kind": "journal", "format": 1, "plan": str(plan)},
        {"kind": "intent", "chunk": 1, "plan_hash": "07" * 32, "keys": rows},
        {"kind": "done", "chunk": 1, "destroyed": len(rows), "spared": []},
    )
    write(path_of(plan), *({"ledger": ledger} | line for line in says))
    return plan


def test_one_person_and_a_file_destroy_nobody(committed, officer, supervisor, hanako):
    """Where nothing was restored, a journal is no sign of it; nobody can order what it alone calls destroyed."""
    plan = put_among_the_journals(hanako)
    assert restore.look() == []
    for account in (officer, supervisor):
        status, said = command("accept_restore", account=account)
        assert status == 1
        assert said.startswith("Nothing was ordered. ")
        assert f"5 of plan {plan} (not on record here). 1 of the members concerned are members here still." in said
    assert not Approval.objects.filter(kind="destroy_again").exists()
    assert "nobody has ordered" in command("destroy_again", role="purger")[1]
    assert living(hanako) == 5


def test_a_journal_that_is_its_own_witness_convinces_no_single_person(committed, officer, supervisor, hanako):
    """It may name an event that the console does not hold, as the journals of a restored console do."""
    plan = put_among_the_journals(hanako, ledger=[1, 2**40, str(uuid.uuid4())])
    assert restore.look() == [Sign.JOURNAL_AHEAD]
    status, said = command("accept_restore", account=officer)
    assert (status, "Another person looks" in said) == (1, True)
    assert f"5 of plan {plan} (not on record here). 1 of the members" in said
    assert "Another person must" in command("accept_restore", account=officer)[1]
    assert "nobody has ordered" in command("destroy_again", role="purger")[1]
    assert living(hanako) == 5


def test_keys_of_a_plan_that_is_not_on_record_take_two_persons(committed, officer, supervisor, administrator):
    """Both databases were backed up before the plan was made: only its journal tells, and two look at it."""
    member = ended(factories.member())
    with backup() as console, backup("vault") as vault:
        plan = approved()
        run(plan)
        with console(), vault():
            assert "Another person looks" in command("accept_restore", account=officer)[1]
            assert "nobody has ordered" in command("destroy_again", role="purger")[1]
            # Whoever asked has gone: that request is nobody's any more, and blocks nothing.
            leave(officer.person, on=timezone.localdate(), actor=None)
            assert "Another person looks" in command("accept_restore", account=supervisor)[1]
            _status, said = command("accept_restore", account=administrator)
            assert f"5 of plan {plan.pk} (not on record here)." in said
            assert "You have ordered" in said
            # So is an order whose giver has gone before it was begun with.
            leave(supervisor.person, on=timezone.localdate(), actor=None)
            assert "nobody has ordered" in command("destroy_again", role="purger")[1]
            other = factories.staff("supervisor")
            assert "You have asked" in command("accept_restore", account=administrator)[1]
            assert "You have ordered" in command("accept_restore", account=other)[1]
            assert destroyed_again() == {"destroyed_again": 5, "held": 0}
            assert living(member) == 0
            assert accept(administrator, other)[1]["accepted"] is True
            assert restore.look() == []


def test_keys_of_a_member_who_is_a_member_here_take_two_persons(committed, officer, supervisor):
    """Also under an approved plan: the run may have spared somebody who came back."""
    member = ended(factories.member())
    plan = approved()
    with backup() as console, backup("vault") as vault:
        run(plan)
        with console(), vault():
            with acting(None, reason=Reason.ASKED):
                Member.objects.filter(pk=member.pk).update(state=Member.State.ACTIVE, ended_at=None)
            _status, said = command("accept_restore", account=officer)
            assert f"5 of plan {plan.reference}. 1 of the members concerned are members here still." in said
            assert "Another person looks" in said
            assert "nobody has ordered" in command("destroy_again", role="purger")[1]
            assert "You have ordered" in command("accept_restore", account=supervisor)[1]
            assert destroyed_again()["destroyed_again"] == 5


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "journal", "plan": str(uuid.UUID(int=1))},
        {"kind": "intent", "chunk": 1, "plan_hash": "07" * 32, "keys": []},
    ],
    ids=["another plan", "no beginning"],
)
def test_a_file_that_no_run_has_written_is_a_sentence(committed, officer, line):
    """Also when its chain is whole."""
    path = path_of(uuid.UUID(int=2))
    write(path, line)
    status, said = command("accept_restore", account=officer)
    assert (status, f"{path}, line 1: no run has written this line" in said) == (1, True)


def test_keys_of_a_hold_that_was_lifted_come_back_frozen_and_are_destroyed_again(committed, officer, supervisor):
    """The console knows that the hold is over; the vault, restored, does not."""
    member = ended(factories.member())
    hold = place_legal_hold(member, ground="litigation", actor=officer)
    with backup("vault") as vault:
        lift_legal_hold(hold, actor=officer)
        run(approved())
        with vault():
            assert [key.frozen for key in store.left([member.pk])] == [True] * 5
            is_refused_by_accept_restore(officer, 5)
            assert destroyed_again() == {"destroyed_again": 5, "held": 0}
            assert living(member) == 0
            accept(officer, supervisor)


def test_keys_that_come_back_under_an_open_hold_stay_and_are_named(committed, officer, supervisor):
    """They are a loss that both persons accept, red on the board, and destroyed again once the hold is lifted."""
    from retention.controls import CONTROLS

    [control] = [one for one in CONTROLS if one.code == "revived"]
    member = ended(factories.member())
    hold = place_legal_hold(member, ground="litigation", actor=officer)
    with backup("vault") as vault:
        lift_legal_hold(hold, actor=officer)
        free = ended(factories.member())
        run(approved())
        with acting(officer, reason=Reason.LEGAL_HOLD):
            # Placed anew over what is left of the member.
            anew = LegalHold.objects.create(
                member=member, ground="litigation", placed_at=timezone.now(), placed_by=officer
            )
        with vault():
            assert [living(member), living(free)] == [5, 0]
            # Nothing can be destroyed again, so nothing is in the way of accepting.
            first, second = accept(officer, supervisor)
            assert (first["lost"]["held_and_back"], second["accepted"]) == (5, True)
            assert command("destroy_again", role="purger")[0] == 1
            assert living(member) == 5
            assert control.measure(timezone.now()).figure == 5
            officer.refresh_from_db()
            lift_legal_hold(anew, actor=officer)
            is_refused_by_accept_restore(officer, 5)
            assert destroyed_again() == {"destroyed_again": 5, "held": 0}
            assert control.measure(timezone.now()).figure == 0


def test_over_a_broken_journal_nothing_is_accepted_until_two_persons_call_it_lost(committed, officer, supervisor):
    """Then what the certificate calls destroyed is destroyed again."""
    ended(factories.member())
    with backup("vault") as vault:
        plan = approved()
        run(plan)
        with backup() as console, vault(), console():
            path = path_of(plan.pk)
            whole = path.read_text()
            path.write_text(whole.replace('"kind":"finished"', '"kind":"Finished"'))
            status, said = command("accept_restore", account=officer)
            assert (status, "this line was changed" in said) == (1, True)
            for account in (officer, supervisor):
                assert command("declare_journal_lost", plan.reference, account=account)[0] == 0
            is_refused_by_accept_restore(officer, 5)
            assert destroyed_again()["destroyed_again"] == 5


@pytest.mark.parametrize("missing", ["directory", "file"])
def test_a_restored_vault_is_not_accepted_without_every_journal(committed, officer, supervisor, missing):
    """A disk that is not mounted would tell of no destroyed key; what is lost for good, two persons say so."""
    ended(factories.member())
    first, second = approved(), None
    run(first)
    member = ended(factories.member())
    second = approved()
    with backup() as console, backup("vault") as vault:
        run(second)
        with console(), vault():
            path = path_of(first.pk)
            away = path.parent.with_name("away") if missing == "directory" else path.with_suffix(".away")
            there = path.parent if missing == "directory" else path
            there.rename(away)
            status, said = command("accept_restore", account=officer)
            assert (status, living(member)) == (1, 5)
            assert ("Mount its disk" if missing == "directory" else "1 journals of runs on record are missing") in said
            assert not Approval.objects.filter(kind="destroy_again").exists()
            if missing == "file":
                assert f"declare_journal_lost {first.reference}" in said
                for account in (officer, supervisor):
                    assert command("declare_journal_lost", first.reference, account=account)[0] == 0
            else:
                away.rename(there)
            is_refused_by_accept_restore(officer, 5)
            destroyed_again()
            accept(officer, supervisor)
            assert restore.look() == []


def test_a_key_that_only_a_journal_calls_destroyed_is_red_on_the_board(committed, officer):
    """Every night, also without a sign of a restore; and so is a journal that cannot be read."""
    from retention.controls import CONTROLS

    [control] = [one for one in CONTROLS if one.code == "revived"]
    ended(factories.member())
    plan = approved()
    with backup() as console, backup("vault") as vault:
        run(plan)
        assert control.measure(timezone.now()).figure == 0
        with console(), vault():
            lines = {str(line) for line in plan.lines.values_list("pk", flat=True)}
            measured = control.measure(timezone.now())
            assert (measured.figure, set(measured.rows)) == (5, lines)
            path = path_of(plan.pk)
            path.write_text(path.read_text().replace('"kind":"done"', '"kind":"gone"'))
            assert control.measure(timezone.now()).rows == [path.name]
            path.unlink()
            assert control.measure(timezone.now()).figure == 0


def test_the_vault_hears_of_no_destruction_without_its_console(committed, hanako, as_role):
    """Only what is destroyed again is destroyed without a word about the console, and only by the purger."""
    with as_role("purger", "vault") as cursor, pytest.raises(Exception, match="for which console"):
        cursor.execute(
            "SELECT vault_destroy(ARRAY[%s]::uuid[], '{1}', '{1}', ARRAY[gen_random_uuid()], %s)",
            [hanako.pk, b"\x01" * 32],
        )
    [ref, *_rest] = [key.ref for key in store.left([hanako.pk])]
    with pytest.raises(DatabaseError, match="permission denied"):
        store.destroy_again([(ref, hanako.pk)], plan_hash=b"\x01" * 32)
    assert living(hanako) == 5
