"""The certificate lines of a month as CSV, for a spreadsheet or an auditor's own program.

A line is told by its own id, its plan, its category and its dates. No id of a subject leaves (it would tell the minute
of joining), and of correspondence no generation (it would tell the case). Memory stays flat whatever the month held:
PostgreSQL writes the rows, plan by plan.
"""

import csv
import io
import re
from collections.abc import Iterator

from django.db import connection
from django.utils import translation
from django.utils.translation import gettext as _

from access_control.vault.categories import Category
from retention.models import Start
from retention.reports.destructions import Destructions

# Labels come by position: as tables to join they would be read anew for each line.
_LINES = """
COPY (
  SELECT x.id, %(plan)s, (%(categories)s::text[])[x.category],
         CASE WHEN x.category <> %(correspondence)s THEN x.generation END,
         (%(sites)s::text[])[array_position(%(rules)s::uuid[], l.rule_id)],
         (%(start_labels)s::text[])[array_position(%(starts)s::text[], l.start::text)], l.started_on, l.due_on,
         (%(grounds)s::text[])[array_position(%(rules)s::uuid[], l.rule_id)],
         to_char(x.destroyed_at AT TIME ZONE 'Asia/Tokyo', 'YYYY-MM-DD HH24:MI:SS'),
         greatest((x.destroyed_at AT TIME ZONE 'Asia/Tokyo')::date - l.due_on, 0)
    FROM retention_certificateline x LEFT JOIN retention_planline l ON l.plan_id = x.plan_id AND l.id = x.id
   WHERE x.plan_id = %(plan_id)s AND x.destroyed_at >= %(begins)s AND x.destroyed_at < %(ends)s
   ORDER BY x.id
) TO STDOUT (FORMAT csv, ENCODING 'UTF8')
"""
LINES_AT_A_TIME = 1_000
# What a spreadsheet takes for a formula, in either width.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def inert(text: object) -> str:
    """``text`` as a cell that no spreadsheet computes: on one line, and quoted where it would begin a formula."""
    cell = str(text)
    return ("'" if cell.startswith(_FORMULA) else "") + re.sub(r"[\x00-\x1f\x7f]+", " ", cell)


def as_csv(found: Destructions, *, language: str) -> Iterator[bytes]:
    """A heading and a row for each certificate line (UTF-8 with a byte order mark, CRLF), under the same snapshot."""
    with translation.override(language):
        headings = [
            *(_("certificate line"), _("certificate"), _("category"), _("generation or fiscal year"), _("site")),
            *(_("counted from"), _("counted from the day"), _("due on"), _("why kept until then")),
            *(_("destroyed (Tokyo)"), _("days after the due date")),
        ]
        rules = list(found.rules.values())
        labels = {
            # PostgreSQL counts from one, as the categories do.
            "categories": [inert(category.label) for category in Category],
            "correspondence": Category.CORRESPONDENCE.value,
            "rules": [rule.pk for rule in rules],
            "sites": [inert(rule.entity.name) for rule in rules],
            "grounds": [inert(rule.get_ground_display()) for rule in rules],
            "starts": Start.values,
            "start_labels": [inert(label) for label in Start.labels],
        }
    span = {"begins": found.month.begins, "ends": found.month.ends}
    first = io.StringIO(newline="")
    csv.writer(first).writerow([inert(heading) for heading in headings])
    yield first.getvalue().encode("utf-8-sig")
    for one in found.outcomes:
        if not one.lines_in_month:
            continue
        named = {"plan": one.plan.reference, "plan_id": one.plan.pk}
        with connection.cursor() as cursor, cursor.copy(cursor.mogrify(_LINES, {**labels, **span, **named})) as copy:
            block: list[bytes] = []
            for row in copy:
                block.append(bytes(row))
                if len(block) == LINES_AT_A_TIME:
                    yield b"".join(block).replace(b"\n", b"\r\n")
                    block.clear()
            yield b"".join(block).replace(b"\n", b"\r\n")
