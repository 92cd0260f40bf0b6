"""Number 4: two approved plans over the same keys. Number 5: the size of what is signed."""

import io
import json
import subprocess

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from access_control.ids import new_id
from access_control.vault import store
from retention import points
from retention.models import Certificate, CertificateLine, Parked, Plan, Run
from retention.papers import certificate_pdf
from retention.points import Point
from retention.services.planning import approve_plan, make_plan
from retention.waiting import overlaps_of
from tests import factories
from tests.retention.conftest import approved, as_, ended, run, verify


def facts_of(plan):
    return json.loads(Certificate.objects.get(plan=plan).document)


def two_plans(people):
    """Members whose membership ended, and two plans of all that is theirs, both approved."""
    for _once in range(people):
        ended(factories.member())
    return approved(), approved()


def run_purge(plan):
    """(exit status, what the command said as JSON)."""
    said, status = io.StringIO(), 0
    with as_("purger"):
        try:
            call_command("run_purge", plan.reference, json=True, stdout=said)
        except SystemExit as end:
            status = end.code
    return status, json.loads(said.getvalue())


def test_what_another_plan_has_destroyed_is_ended_elsewhere_and_no_fault(committed):
    """Number 4: also beside items that are the plan's own."""
    ended(factories.member())
    first = approved()
    own = ended(factories.member())
    second = approved()
    run(first)
    status, said = run_purge(second)
    assert (status, said["destroyed"], said["parked"], said["ended_elsewhere"]) == (0, 5, 0, 5)
    assert set(Parked.objects.filter(plan=second).values_list("reason", flat=True)) == {"ended_elsewhere"}
    assert set(CertificateLine.objects.filter(plan=second).values_list("subject", flat=True)) == {own.pk}
    facts = facts_of(second)
    assert (facts["lines"], facts["left_out"], facts["ended_elsewhere"]) == (5, {}, {first.reference: 5})
    assert facts_of(first)["ended_elsewhere"] == {}
    for plan in (first, second):
        found = verify(plan)
        assert (found.failed_count, found.findings) == (0, [])
    day = timezone.localdate(Run.objects.get(plan=second).finished_at)
    finished = {"finished": day.isoformat(), "certificate": second.reference}
    assert run_purge(second) == (status, said | {"seconds": 0.0} | finished)


def test_what_is_parked_still_ends_the_command_with_one(committed, officer):
    """Number 4: what was ended elsewhere hides nothing."""
    from retention.services.holds import place_legal_hold

    first, second = two_plans(1)
    held = ended(factories.member())
    second = approved()
    run(first)
    place_legal_hold(held, ground="litigation", actor=officer)
    status, said = run_purge(second)
    assert (status, said["destroyed"], said["parked"], said["ended_elsewhere"]) == (1, 0, 5, 5)
    assert facts_of(second)["left_out"] == {"legal_hold": 5}


def test_a_lapsed_approval_hides_nothing_either(committed, monkeypatch):
    """Number 4: the fences are asked first, whoever has left."""
    from retention.services import purging

    first, second = two_plans(1)
    run(first)
    monkeypatch.setattr(purging, "_stands", lambda plan: False)
    assert run_purge(second)[0] == 0
    assert facts_of(second)["ended_elsewhere"] == {first.reference: 5}


def test_a_run_that_stopped_before_it_recorded_anything_is_named_too(committed, monkeypatch):
    """Number 4: the vault knows whose plan it was; and of a plan that is not here, the hash."""
    first, second = two_plans(1)
    stranger = ended(factories.member())
    third = approved()
    with as_("purger"):
        store.destroy([(key.ref, new_id()) for key in store.left([stranger.pk])], plan_hash=b"\x09" * 32)

    def stop(point):
        if point == Point.DESTROYED:
            raise KeyboardInterrupt

    monkeypatch.setattr(points, "watch", stop)
    with pytest.raises(KeyboardInterrupt):
        run(first)
    monkeypatch.setattr(points, "watch", None)
    assert run_purge(second)[0] == 0
    assert facts_of(second)["ended_elsewhere"] == {first.reference: 5}
    assert run_purge(third)[0] == 0
    assert facts_of(third)["ended_elsewhere"] == {first.reference: 5, "09" * 32: 5}
    assert run(first).destroyed == 5
    assert verify(first).findings == []


def test_who_approves_is_warned_of_other_approved_plans(committed, officer, monkeypatch):
    """Number 4: on the page and by the command, with counts; not of plans that wait, are over or have expired."""
    ended(factories.member())
    first = make_plan(timezone.localdate(), actor=None)
    ended(factories.member())
    second = make_plan(timezone.localdate(), actor=None)
    client = Client()
    client.force_login(officer)
    address = f"/retention/plan/{second.pk}/approve/"
    assert overlaps_of(second, timezone.now()) == []
    assert first.reference not in client.get(address, secure=True).content.decode()
    approve_plan(first, actor=factories.staff("supervisor"))
    assert [(one.reference, one.items) for one in overlaps_of(second, timezone.now())] == [(first.reference, 5)]
    shown = client.get(address, secure=True).content.decode()
    assert first.reference in shown
    said = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{factories.PASSWORD}\n"))
    call_command("approve_purge", second.reference, username=officer.username, json=True, stdout=said)
    assert json.loads(said.getvalue())["listed_twice"] == {first.reference: 5}
    assert [one.reference for one in overlaps_of(first, timezone.now())] == [second.reference]
    run(second)
    assert overlaps_of(first, timezone.now()) == []
    later = Plan.objects.get(pk=second.pk).approval.expires_at
    assert overlaps_of(second, later) == []


@pytest.mark.parametrize("language", ["ja", "en"])
def test_paper_and_page_name_the_other_certificate(committed, officer, language, tmp_path):
    """Number 4."""
    import shutil

    first, second = two_plans(1)
    run(first)
    run(second)
    client = Client()
    client.force_login(officer)
    client.cookies.load({"django_language": language})
    shown = client.get(f"/retention/certificate/{second.pk}/", secure=True).content.decode()
    assert first.reference in shown
    if shutil.which("pdftotext") is None:
        assert certificate_pdf(Certificate.objects.get(plan=second), language)
        return
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(certificate_pdf(Certificate.objects.get(plan=second), language))
    text = subprocess.run(["pdftotext", str(paper), "-"], capture_output=True, text=True, check=True).stdout
    assert first.reference in text


def test_what_is_signed_is_as_short_for_a_thousand_lines_as_for_a_few(committed):
    """Number 5: no list in the document repeats itself line by line."""
    first, second = two_plans(1)
    run(first)
    run(second)
    small = [len(Certificate.objects.get(plan=plan).document) for plan in (first, second)]
    many, again = two_plans(200)
    assert many.line_count == 1000
    run(many)
    run(again)
    for plan, size in zip((many, again), small, strict=True):
        assert len(Certificate.objects.get(plan=plan).document) < size + 40
        facts = facts_of(plan)
        for name, value in facts.items():
            if isinstance(value, list | dict):
                assert len(value) <= 7, name
        assert len(facts["keyring_keys"]) == len(set(facts["keyring_keys"])) <= 1
    assert facts_of(many)["keyring_keys"] == facts_of(first)["keyring_keys"] == [1]
    assert facts_of(again)["ended_elsewhere"] == {many.reference: 1000}
