"""A run that is killed anywhere, and begun again, has destroyed everything once and left nothing half done."""

from access_control.vault import store
from members.models import ContactPoint, Correction, Member, Transaction
from members.services.cases import add_note, close_case
from members.services.corrections import apply_correction, ask_correction
from retention.journal import entries, path_of
from retention.models import CertificateLine, Parked, Run
from retention.points import Point
from tests import factories
from tests.faults.killing import run_and_kill
from tests.retention.conftest import approved, ended, verify


def a_life(agent, number):
    """A member with a superseded address, words in a case, and an order that the law keeps; membership ended."""
    member = factories.member(member_number=f"K{number:07d}", login_id=f"killed{number}")
    case = factories.identify(factories.case(member, agent))
    add_note(case, text="折り返しは午後", actor=agent)
    mail = ContactPoint.objects.get(member=member, kind="email")
    apply_correction(
        ask_correction(case, item="contact.email", row=mail.pk, text="new@example.net", actor=agent), actor=agent
    )
    close_case(case, outcome="done", actor=agent)
    factories.transaction(f"K{number:07d}", ordered_on="2026-05-01")
    return ended(member)


def is_whole(plan, member):
    """Exactly one line for each item, nothing half done, a clean verification, a whole journal."""
    lines = CertificateLine.objects.filter(plan=plan)
    assert lines.count() == plan.line_count == Run.objects.get(plan=plan).destroyed_count
    assert set(lines.values_list("subject", "category", "generation")) == set(
        plan.lines.values_list("subject", "category", "generation")
    )
    assert not Parked.objects.filter(plan=plan).exists()
    assert {key.ref.category for key in store.left([member.pk])} == {7}
    member.refresh_from_db()
    assert (member.state, member.name, member.birth_date) == (Member.State.DESTROYED, None, None)
    assert not ContactPoint.objects.filter(member=member).exists()
    assert Transaction.objects.filter(member=member).count() == 1
    assert not Correction.objects.filter(member=member).filter(proposed__isnull=False).exists()
    found = verify(plan)
    assert (found.failed_count, found.findings, found.verified_count) == (0, [], plan.line_count)
    kinds = [entry.kind for entry in entries(path_of(plan.pk))]
    assert kinds.count("intent") == kinds.count("done")
    assert kinds[0] == "journal"
    assert kinds[-1] == "finished"


def test_a_run_killed_anywhere_is_whole_when_it_was_begun_again(committed):
    agent = factories.staff("agent")
    undisturbed = approved_plan_of(a_life(agent, 0))
    acts, status = run_and_kill(undisturbed[0])
    assert status == 0, acts[-20:]
    is_whole(*undisturbed)
    # Every named point was passed: what the code enumerates is what is killed below.
    assert {f"point {point}" for point in Point} <= set(acts)
    assert len(acts) > 40
    for at in range(1, len(acts) + 1):
        plan, member = approved_plan_of(a_life(agent, at))
        done, status = run_and_kill(plan, at=at)
        assert (status, len(done)) == (-9, at), done[-20:]
        again, status = run_and_kill(plan)
        assert status == 0, (done[-1], again[-20:])
        is_whole(plan, member)


def test_a_run_killed_again_while_it_finishes_is_whole_all_the_same(committed):
    """Killed when the keys are gone and nothing is on record, then killed anywhere on the way back."""
    agent = factories.staff("agent")
    plan, member = approved_plan_of(a_life(agent, 1))
    gone, status = run_and_kill(plan, at=Point.DESTROYED)
    assert (status, gone[-1]) == (-9, "point destroyed")
    acts, status = run_and_kill(plan)
    assert status == 0, acts[-20:]
    assert {"point erased", "point recorded", "point committed"} <= set(acts)
    assert "point destroyed" not in acts
    is_whole(plan, member)
    for at in range(1, len(acts) + 1):
        plan, member = approved_plan_of(a_life(agent, 1 + at))
        run_and_kill(plan, at=Point.DESTROYED)
        done, status = run_and_kill(plan, at=at)
        assert (status, len(done)) == (-9, at), done[-20:]
        again, status = run_and_kill(plan)
        assert status == 0, (done[-1], again[-20:])
        is_whole(plan, member)
        assert Run.objects.get(plan=plan).times_begun >= 2


def approved_plan_of(member):
    plan = approved()
    assert set(plan.lines.values_list("subject", flat=True)) == {member.pk}
    return plan, member
