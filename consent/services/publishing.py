"""Publishing the policy: from the moment it is published, the database freezes it."""

from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import Staff
from consent.events import Event
from consent.models import MatrixCell, PolicySentence, PolicyVersion
from consent.policy_text import CLAUSES, ESTABLISHED, REVISED
from members.inventory import POLICY_ITEMS


class AlreadyPublished(Exception):
    """This version is published already."""


def publish_revision_2016(*, actor: Staff | None, reason: str = Reason.SET_UP) -> PolicyVersion:
    """Publish the text revised on 2016-02-22, the only one known. Its matrix couples every item with every purpose.

    It is version 2: the first text (2010-06-10) is not held and never invented. Raises AlreadyPublished.
    """
    with acting(actor, reason=reason) as act:
        if PolicyVersion.objects.filter(effective_on=REVISED).exists():
            raise AlreadyPublished
        version = PolicyVersion.objects.create(
            number=2, established_on=ESTABLISHED, revised_on=REVISED, effective_on=REVISED
        )
        sentences = [sentence for clause in CLAUSES for sentence in clause.sentences]
        PolicySentence.objects.bulk_create(
            PolicySentence(
                version=version,
                position=position,
                clause=sentence.clause,
                sentence=sentence.id,
                text_ja=sentence.ja,
                text_en=sentence.en,
            )
            for position, sentence in enumerate(sentences)
        )
        MatrixCell.objects.bulk_create(
            MatrixCell(version=version, item=item, purpose=purpose) for item in POLICY_ITEMS for purpose in Purpose
        )
        act.record(Event.POLICY_PUBLISHED, count=len(sentences))
        return version
