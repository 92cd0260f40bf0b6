"""What a run looks at again when an item's turn comes: guards that no other test missed (Number 31)."""

import pytest
from django.db import transaction

from access_control.codes import Reason, SubjectKind
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.seal import KeyRef
from members.models import ContactPoint, Correction
from members.services.corrections import apply_correction, ask_correction
from retention.models import Parked
from retention.services.items import Item, lock
from tests import factories
from tests.retention.conftest import approved, as_, decided_long_ago, run


def test_a_key_that_is_called_superseded_and_seals_a_live_value_stays(committed, agent, hanako):
    """Number 31: whatever a correction says of the old generation, the rows are asked."""
    case = factories.identify(factories.case(hanako, agent))
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    wish = ask_correction(case, item="contact.email", row=mail.pk, text="new@example.net", actor=agent)
    apply_correction(wish, actor=agent)
    decided_long_ago(wish)
    with acting(None, reason=Reason.ASKED):
        Correction.objects.filter(pk=wish.pk).update(superseded_generation=2)
    plan = approved()
    assert plan.lines.filter(category=Category.CONTACT, generation=2).count() == 1
    run(plan)
    assert set(Parked.objects.filter(plan=plan).values_list("reason", flat=True)) == {"still_in_use"}
    assert KeyRef(hanako.pk, Category.CONTACT, 2) in {key.ref for key in store.left([hanako.pk])}


@pytest.mark.parametrize("patient", [False, True])
def test_a_case_is_locked_only_with_its_member(committed, agent, hanako, as_role, patient):
    """Number 31: whoever works on the member has the words noted before the identification as well."""
    about, nobodys = factories.case(hanako, agent), factories.case(None, agent, kind="inquiry")
    items = [
        Item(new_id(), KeyRef(case.pk, Category.CORRESPONDENCE, 1), SubjectKind.CASE, "case_closed")
        for case in (about, nobodys)
    ]
    with as_role("app") as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT FROM members_member WHERE id = %s FOR NO KEY UPDATE", [hanako.pk])
        with as_("purger"), transaction.atomic():
            assert lock(items, patient=patient) == {nobodys.pk}
        cursor.execute("ROLLBACK")
    with as_("purger"), transaction.atomic():
        assert lock(items, patient=patient) == {about.pk, nobodys.pk}
