"""Tables for spreadsheets: CSV in UTF-8 with a byte order mark, streamed, with nothing in them that is computed."""

import csv
import io
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from access_control.codes import SubjectKind
from access_control.vault.categories import Category
from retention.models import Plan, PlanLine, Rule, Start
from retention.periods import ONE_DAY
from retention.showing import short
from retention.words import generation_in_words

BATCH = 5_000
# A cell that starts so is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def inert(value: object) -> str:
    """Text that no spreadsheet computes: what would start a formula gets an apostrophe before it."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_csv(header: Iterable[object], rows: Iterable[Iterable[object]]) -> Iterator[bytes]:
    """The table in pieces of ``BATCH`` rows, each cell inert."""
    yield b"\xef\xbb\xbf"
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(map(inert, header))
    for number, row in enumerate(rows, 1):
        writer.writerow(map(inert, row))
        if number % BATCH == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def lines_as_csv(plan: Plan) -> Iterator[bytes]:
    """Every line of a plan, in the order of its hash and in the words of the page. Flat memory; no personal value."""
    # The language is the request's, which is over before the last piece goes out.
    header = [
        *(_("item"), _("subject"), _("kind of subject"), _("category"), _("generation")),
        *(_("counted from"), _("counted from the day"), _("kept until"), _("site"), _("why")),
    ]
    kinds = {value: str(label) for value, label in SubjectKind.choices}
    categories = {value: str(label) for value, label in Category.choices}
    starts = {value: str(label) for value, label in Start.choices}
    rules: dict[uuid.UUID, tuple[str, str]] = {
        rule.pk: (rule.entity.name, str(Rule.Ground(rule.ground).label))
        for rule in Rule.objects.filter(version=plan.rules_id).select_related("entity")
    }
    language = get_language()

    def rows() -> Iterator[list[Any]]:
        lines = (
            PlanLine.objects.filter(plan=plan)
            .order_by("id")
            .values_list(
                "id", "subject", "subject_kind", "category", "generation", "start", "started_on", "due_on", "rule"
            )
        )
        for pk, subject, kind, category, generation, start, started_on, due_on, rule in lines.iterator(BATCH):
            with override(language):
                said = generation_in_words(category, generation)
            yield [
                *(pk, short(subject), kinds[kind], categories[category], said, starts[start], started_on),
                due_on - ONE_DAY,
                *rules[rule],
            ]

    return as_csv(header, rows())
