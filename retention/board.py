"""The policy board: every published sentence measured so far, with its controls. The highest app gathers them all."""

import dataclasses
import datetime

from access_control.controls import CONTROLS as ACCESS_CONTROLS
from access_control.controls import Control, Result, measured
from consent.controls import CONTROLS as CONSENT_CONTROLS
from consent.policy_text import CLAUSES
from members.controls import CONTROLS as MEMBER_CONTROLS

# Clauses whose sentences are on the board so far.
CLAUSES_MEASURED = ("P2", "P5", "P8")


@dataclasses.dataclass(frozen=True)
class Row:
    """One sentence and one of its controls as it stands."""

    sentence: str
    result: Result


def controls_of(sentence: str) -> list[Control]:
    """The controls of a sentence; a sentence without any has one that says so."""
    found = [one for one in (*ACCESS_CONTROLS, *MEMBER_CONTROLS, *CONSENT_CONTROLS) if one.sentence == sentence]
    return found or [Control(sentence, "none", "")]


def board(*, now: datetime.datetime) -> list[Row]:
    """Every control of every sentence of the clauses measured, in the policy's order, computed now."""
    return [
        Row(sentence.id, measured(control, now=now))
        for clause in CLAUSES
        if clause.id in CLAUSES_MEASURED
        for sentence in clause.sentences
        for control in controls_of(sentence.id)
    ]
