"""The gate: each refusal by the rule it names; and publishing, by which there is something to decide by."""

import datetime

import pytest
from django.utils import timezone

from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import LedgerEvent
from consent.events import Event
from consent.gate import ALLOWED, OUR_OWN, Code, Decision, Refused, decide, version_in_force
from consent.models import AcceptedVersion, ConsentEvent, MatrixCell, OurRule, PolicySentence, PolicyVersion
from consent.policy_text import CLAUSES, REVISED
from consent.services.publishing import AlreadyPublished, publish_revision_2016
from members.inventory import POLICY_ITEMS
from members.models import ContactPoint, Member, Suspension
from tests import factories

MAIL = "contact.email"


@pytest.fixture
def mail(hanako):
    return ContactPoint.objects.get(member=hanako, kind="email")


def ask(member, item=MAIL, row=None, purpose=Purpose.NOTICE, **rest):
    return decide(member, item=item, row=row, purpose=purpose, **rest)


def publish(number, effective_on, *, without=()):
    """A later version whose matrix lacks some (item, purpose)."""
    version = PolicyVersion.objects.create(
        number=number, established_on="2010-06-10", revised_on=effective_on, effective_on=effective_on
    )
    MatrixCell.objects.bulk_create(
        MatrixCell(version=version, item=item, purpose=purpose)
        for item in POLICY_ITEMS
        for purpose in Purpose
        if (item, purpose) not in without
    )
    return version


def suspend(member, row, case, item=MAIL):
    with acting(None, reason="asked"):
        return Suspension.objects.create(member=member, item=item, row=row, case=case, started_at=timezone.now())


def end(member):
    with acting(None, reason="asked"):
        Member.objects.filter(pk=member.pk).update(state="ended", ended_at=timezone.now())
    member.refresh_from_db()


@pytest.mark.parametrize("purpose", Purpose)
def test_what_every_version_allows_is_allowed(hanako, mail, purpose):
    assert ask(hanako, row=mail.pk, purpose=purpose) == ALLOWED
    assert ask(hanako, row=mail.pk, purpose=int(purpose)).allowed


def test_asking_writes_nothing_and_opens_nothing(hanako, django_assert_max_num_queries):
    before = LedgerEvent.objects.count()
    with django_assert_max_num_queries(5):
        ask(hanako)
    assert LedgerEvent.objects.count() == before


@pytest.mark.parametrize("item", ["contact.pager", "", "CONTACT.EMAIL"])
def test_an_item_that_the_inventory_does_not_know_is_refused(hanako, item):
    assert ask(hanako, item=item).code == Code.NO_SUCH_ITEM


@pytest.mark.parametrize("item", ["case.note", "correction.proposed", "notice.to"])
def test_what_arises_in_a_case_is_no_item_of_the_policy(hanako, item):
    assert ask(hanako, item=item).code == Code.NOT_IN_POLICY


def test_a_purpose_that_there_is_not_is_refused(hanako):
    assert ask(hanako, purpose=11).code == Code.NOT_IN_POLICY


def test_before_the_first_known_version_nothing_is_allowed(hanako):
    midnight = datetime.datetime(2016, 2, 21, 15, tzinfo=datetime.UTC)
    assert ask(hanako, now=midnight - datetime.timedelta(seconds=1)).code == Code.NO_POLICY
    # The day begins in Tokyo.
    assert ask(hanako, now=midnight).allowed


def test_the_newest_version_that_has_begun_is_in_force():
    held, newer = PolicyVersion.objects.get(), publish(3, "2026-06-01")
    assert version_in_force(datetime.date(2016, 2, 21)) is None
    assert version_in_force(REVISED) == held
    assert version_in_force(datetime.date(2026, 5, 31)) == held
    assert version_in_force(datetime.date(2026, 6, 1)) == newer


def test_what_the_version_in_force_does_not_couple_is_refused(hanako):
    publish(3, "2020-01-01", without={(MAIL, Purpose.NEW_SERVICE)})
    assert ask(hanako, purpose=Purpose.NEW_SERVICE).code == Code.NOT_IN_POLICY
    assert ask(hanako).allowed
    assert ask(hanako, item="contact.phone", purpose=Purpose.NEW_SERVICE).allowed


def test_what_the_accepted_version_does_not_couple_is_refused_though_the_newest_does():
    publish(3, "2020-01-01", without={(MAIL, Purpose.NEW_SERVICE)})
    member = factories.member(joined_on="2021-01-01", last_used_on=None)
    publish(4, "2022-01-01")
    assert AcceptedVersion.objects.get(member=member).version.number == 3
    assert ask(member, purpose=Purpose.NEW_SERVICE).code == Code.NOT_ACCEPTED
    assert ask(member).allowed


def test_a_member_who_accepted_no_held_version_is_not_used(agent):
    member = factories.member(joined_on="2012-01-01", last_used_on="2015-12-31")
    assert ask(member).code == Code.NO_ACCEPTED_VERSION
    # Their own request in an identified case stands in for it.
    case = factories.identify(factories.case(member, agent))
    assert ask(member, case=case.pk).allowed


def test_our_own_rule_refuses_what_the_text_allows_and_says_so(hanako):
    decision = ask(hanako, item="member.sex", purpose=Purpose.FITTED_SERVICE)
    assert (decision.code, decision.ours) == (Code.OUR_RULE, True)
    assert ask(hanako, item="member.sex", purpose=Purpose.COMPLAINT).allowed
    OurRule.objects.create(item=MAIL, purpose=Purpose.NEW_SERVICE, why="probe")
    assert ask(hanako, purpose=Purpose.NEW_SERVICE).code == Code.OUR_RULE


def test_our_rule_holds_in_a_case_too(identified, hanako):
    decision = ask(hanako, item="member.sex", purpose=Purpose.FITTED_SERVICE, case=identified.pk)
    assert decision.code == Code.OUR_RULE


def test_an_ended_membership_ends_use_but_not_the_members_own_case(identified, hanako):
    end(hanako)
    assert ask(hanako).code == Code.ENDED
    assert ask(hanako, case=identified.pk).allowed


def test_a_destroyed_member_is_not_used_either(hanako):
    """Number 31: every state but *active* ends use."""
    hanako.state = Member.State.DESTROYED
    assert ask(hanako).code == Code.ENDED


def test_a_suspension_stops_its_row_everywhere_but_in_its_case(agent, identified, hanako, mail):
    suspend(hanako, mail.pk, identified)
    assert ask(hanako, row=mail.pk).code == Code.SUSPENDED
    assert ask(hanako, row=mail.pk, case=identified.pk).allowed
    other = factories.identify(factories.case(hanako, agent))
    assert ask(hanako, row=mail.pk, case=other.pk).code == Code.SUSPENDED
    # Who asks for no row in particular asks for all of them.
    assert ask(hanako, row=None).code == Code.SUSPENDED


def test_a_suspension_stops_no_other_row_item_or_member(identified, hanako, mail):
    suspend(hanako, mail.pk, identified)
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    assert ask(hanako, item="contact.phone", row=phone.pk).allowed
    assert ask(hanako, row=phone.pk).allowed
    other = factories.member()
    assert ask(other, row=ContactPoint.objects.get(member=other, kind="email").pk).allowed


def test_a_suspension_that_is_over_stops_nothing(identified, hanako, mail):
    suspension = suspend(hanako, mail.pk, identified)
    with acting(None, reason="asked"):
        Suspension.objects.filter(pk=suspension.pk).update(ended_at=timezone.now())
    assert ask(hanako, row=mail.pk).allowed


def test_the_stronger_reason_is_given_first(identified, hanako, mail):
    suspend(hanako, mail.pk, identified)
    end(hanako)
    publish(3, "2020-01-01", without={(MAIL, Purpose.NOTICE)})
    assert ask(hanako, row=mail.pk).code == Code.NOT_IN_POLICY
    assert ask(hanako, row=mail.pk, purpose=Purpose.COMPLAINT).code == Code.ENDED


@pytest.mark.parametrize("code", Code)
def test_every_refusal_is_one_sentence_and_names_no_value(code):
    decision = Decision(code)
    assert not decision.allowed
    assert str(decision.sentence).strip()
    assert decision.ours == (code in OUR_OWN)
    assert str(Refused(decision)) == code.value


def test_what_is_allowed_has_no_sentence():
    assert (ALLOWED.allowed, ALLOWED.sentence, ALLOWED.ours) == (True, "", False)


# Publishing


def test_the_published_version_holds_every_sentence_and_the_whole_matrix():
    version = PolicyVersion.objects.get()
    assert (version.number, version.effective_on) == (2, REVISED)
    sentences = [sentence for clause in CLAUSES for sentence in clause.sentences]
    assert list(PolicySentence.objects.order_by("position").values_list("sentence", "text_ja", "text_en")) == [
        (sentence.id, sentence.ja, sentence.en) for sentence in sentences
    ]
    assert set(MatrixCell.objects.values_list("item", "purpose")) == {
        (item, purpose) for item in POLICY_ITEMS for purpose in Purpose
    }


def test_publishing_was_recorded():
    event = LedgerEvent.objects.get(event=Event.POLICY_PUBLISHED)
    assert (event.actor, event.reason, event.count) == (None, Reason.SET_UP, PolicySentence.objects.count())


def test_publishing_twice_is_refused(officer):
    with pytest.raises(AlreadyPublished):
        publish_revision_2016(actor=officer)
    assert PolicyVersion.objects.count() == 1
    assert LedgerEvent.objects.filter(event=Event.POLICY_PUBLISHED).count() == 1


def test_an_accepted_version_is_folded_from_an_event_of_its_member(hanako):
    accepted = AcceptedVersion.objects.get(member=hanako)
    assert accepted.event in ConsentEvent.objects.filter(member=hanako, version=accepted.version)
