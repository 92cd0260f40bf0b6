"""The policy board as a page: every published sentence, how it stands, and the rows behind. Reading only."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from access_control import policies
from access_control.controls import Result, State
from consent.policy_text import CLAUSES, Sentence
from retention.board import WORST_FIRST, Row, board, standing

# Whoever may read the published versions may see whether they are kept.
SEES_BOARD = "consent.view_policyversion"

# The badge of a state, and how its figure in the summary stands out when it is not zero.
_BADGES = {
    State.NOT_KEPT: "badge--stop",
    State.CANNOT_COMPUTE: "badge--stop",
    State.TEXT_OUTDATED: "badge--outdated",
    State.NOT_YET: "",
    State.NOT_MEASURABLE: "badge--info",
    State.KEPT: "badge--ok",
}
_TONES = {State.NOT_KEPT: "is-stop", State.CANNOT_COMPUTE: "is-stop"}


@require_safe
def board_view(request: HttpRequest) -> HttpResponse:
    """The board, computed for this page; ``?state=`` narrows it to the sentences that stand so."""
    if not policies.can(request.user, SEES_BOARD):
        raise PermissionDenied
    now = timezone.now()
    context = {
        **admin.site.each_context(request),
        **board_context(board(now=now), chosen=request.GET.get("state", ""), viewer=request.user),
        "title": _("Policy board"),
        "now": now,
    }
    return TemplateResponse(request, "admin/retention/board.html", context)


def board_context(rows: Sequence[Row], *, chosen: str, viewer: Any) -> dict[str, Any]:
    """What the page shows of the board's rows. An unknown state chooses all sentences."""
    results: dict[str, list[Result]] = {}
    for row in rows:
        results.setdefault(row.sentence, []).append(row.result)
    states = {sentence: standing(found) for sentence, found in results.items()}
    only = State(chosen) if chosen in State.values else None
    clauses = [
        {
            "id": clause.id,
            "title": _in_page_language(clause.title_ja, clause.title_en),
            "sentences": [
                _shown(sentence, states[sentence.id], results[sentence.id], viewer)
                for sentence in clause.sentences
                if only in (None, states[sentence.id])
            ],
        }
        for clause in CLAUSES
    ]
    return {
        "summary": _summary(states.values(), only),
        "only": only,
        "clauses": [clause for clause in clauses if clause["sentences"]],
    }


def _summary(states: Iterable[State], only: State | None) -> list[dict[str, Any]]:
    """How many sentences stand how; each figure leads to its sentences."""
    counted = Counter(states)
    tiles = [
        {
            "label": state.label,
            "figure": counted[state],
            "query": f"?{urlencode({'state': state.value})}",
            "tone": _TONES.get(state, "") if counted[state] else "",
            "current": state is only,
        }
        for state in WORST_FIRST
    ]
    every = {"label": _("all sentences"), "figure": counted.total(), "query": "?", "tone": "", "current": only is None}
    return [*tiles, every]


def _in_page_language(ja: str, en: str) -> str:
    return ja if (get_language() or "").startswith("ja") else en


def _shown(sentence: Sentence, state: State, results: Sequence[Result], viewer: Any) -> dict[str, Any]:
    return {
        "id": sentence.id,
        "text": _in_page_language(sentence.ja, sentence.en),
        "state": state,
        "badge": _BADGES[state],
        "controls": [
            {
                "result": result,
                "badge": "" if result.counts_only else _BADGES[result.state],
                "rows": _rows(result, viewer),
                # A tally's figure is the sum of its codes, all of which are there.
                "more": 0 if result.control.tally else (result.figure or 0) - len(result.rows),
            }
            for result in results
        ],
    }


def _rows(result: Result, viewer: Any) -> list[dict[str, str]]:
    """The rows behind a figure, each with the address at which the viewer finds it, when there is one."""
    search = ""
    if result.control.found_in:
        app_label, model = result.control.found_in.split(".")
        if policies.may(viewer, f"{app_label}.view_{model}"):
            search = reverse(f"admin:{app_label}_{model}_changelist")
    return [{"text": row, "url": f"{search}?{urlencode({'q': row})}" if search else ""} for row in result.rows]
