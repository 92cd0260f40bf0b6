"""The policy board: every published sentence with its controls. The highest app gathers them all."""

import dataclasses
import datetime
from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _

from access_control.controls import CONTROLS as ACCESS_CONTROLS
from access_control.controls import Control, Result, State, measured
from consent.controls import CONTROLS as CONSENT_CONTROLS
from consent.policy_text import CLAUSES
from members.controls import CONTROLS as MEMBER_CONTROLS
from retention.controls import CONTROLS as RETENTION_CONTROLS

CONTROLS: tuple[Control, ...] = (*ACCESS_CONTROLS, *MEMBER_CONTROLS, *CONSENT_CONTROLS, *RETENTION_CONTROLS)

# A sentence stands as its worst control does.
WORST_FIRST = (
    State.NOT_KEPT,
    State.CANNOT_COMPUTE,
    State.TEXT_OUTDATED,
    State.NOT_YET,
    State.NOT_MEASURABLE,
    State.KEPT,
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One sentence and one of its controls as it stands."""

    sentence: str
    result: Result


def controls_of(sentence: str) -> list[Control]:
    """The controls of a sentence; a sentence without any has one that says so."""
    found = [one for one in CONTROLS if one.sentence == sentence]
    return found or [
        Control(
            sentence,
            "none",
            _("no control measures this sentence yet"),
            why=_("Whether it is kept cannot be told from this console yet."),
        )
    ]


def board(*, now: datetime.datetime) -> list[Row]:
    """Every control of every sentence, in the policy's order, computed now."""
    return [
        Row(sentence.id, measured(control, now=now))
        for clause in CLAUSES
        for sentence in clause.sentences
        for control in controls_of(sentence.id)
    ]


def standing(results: Iterable[Result]) -> State:
    """How a sentence stands. A tally judges nothing, unless it cannot be computed."""
    judged = [one.state for one in results if not one.counts_only]
    return min(judged, key=WORST_FIRST.index, default=State.NOT_YET)
