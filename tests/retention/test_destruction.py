"""From the end of a membership to the certificate."""

from django.utils import timezone

from access_control.vault import store
from members.models import Addressee, ContactPoint, Member, PaymentMeans
from retention.models import CertificateLine
from retention.services.planning import make_plan
from tests import factories
from tests.retention.conftest import approved, ended, run, verify


def test_a_whole_run(committed):
    gone, stays = ended(factories.member()), factories.member()
    plan = approved()
    assert plan.subject_count == 1
    outcome = run(plan)
    assert (outcome.destroyed, outcome.parked) == (plan.line_count, 0)
    assert store.left([gone.pk]) == []
    assert len(store.left([stays.pk])) == 5
    gone.refresh_from_db()
    assert gone.state == Member.State.DESTROYED
    assert gone.name is None
    for model in (ContactPoint, Addressee, PaymentMeans):
        assert not model.objects.filter(member=gone).exists()
        assert model.objects.filter(member=stays).exists()
    assert CertificateLine.objects.filter(plan=plan).count() == plan.line_count
    found = verify(plan)
    assert (found.verified_count, found.failed_count, found.findings) == (plan.line_count, 0, [])
    again = run(plan)
    assert again.destroyed == plan.line_count
    assert make_plan(timezone.localdate(), actor=None).line_count == 0
