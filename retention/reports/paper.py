"""The report of a month as a paper: one HTML file that needs no network, to be read, printed and filed."""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator

from django.template.loader import render_to_string
from django.utils import translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from access_control.vault.categories import Category
from retention.due import TOKYO
from retention.models import Parked, PlanExclusion, Start
from retention.reports.destructions import Destructions, Outcome

NONE = "–"
# Width of the longest bar of the days, in units of its drawing.
LONGEST_BAR = 240


class Figure(str):
    """A cell that is a number, or the heading of such cells."""

    __slots__ = ()
    is_figure = True


Cell = Figure | str


@dataclasses.dataclass(frozen=True)
class Table:
    """Headings, and rows of cells; figures stand on the right. ``code``: the name of its place in the paper."""

    code: str
    title: str
    headings: list[Cell]
    rows: list[list[Cell]]


def figure(number: int | None) -> Figure:
    """12,345 in every language."""
    return Figure(NONE if number is None else f"{number:,}")


def stamp(at: datetime.datetime | None) -> str:
    """Day and time of Tokyo, to the minute."""
    return f"{at.astimezone(TOKYO):%Y-%m-%d %H:%M}" if at else NONE


def as_html(found: Destructions, *, language: str) -> Iterator[bytes]:
    """The paper (UTF-8)."""
    with translation.override(language):
        context = {
            "found": found,
            "language": language,
            "month": date_format(found.month.first, "YEAR_MONTH_FORMAT"),
            "made_at": stamp(found.made_at),
            "key_figures": _key_figures(found),
            "attention": _attention(found),
            "certificates": _certificates(found),
            "totals": [_by_category(found), _by_start(found), _by_ground(found), _by_site(found)],
            "days": _days(found),
            "waiting": _waiting(found),
            "longest": _longest(found),
            "left_out": _left_out(found),
        }
        yield render_to_string("papers/destructions.html", context).encode()


def _key_figures(found: Destructions) -> list[tuple[str, str]]:
    late = max((group.days_late for group in found.groups), default=None)
    return [
        (_("Items destroyed"), figure(found.lines)),
        (_("Persons"), figure(found.persons)),
        (_("Certificates issued"), figure(len(found.outcomes) - len(found.unfinished))),
        (_("Longest wait after a due date"), NONE if late is None else _days_long(max(late, 0))),
        (_("Parked, not destroyed yet"), figure(sum(one.items for one in found.waiting))),
    ]


def _days_long(days: int) -> str:
    return ngettext("%(n)s day", "%(n)s days", days) % {"n": f"{days:,}"}


def _attention(found: Destructions) -> list[str]:
    """What somebody must do, in sentences."""
    said = [
        (found.unfinished, _("The run is not finished, so no certificate is issued yet: %(plans)s.")),
        (found.unverified, _("Certified, and not verified yet: %(plans)s.")),
        (found.failed, _("The newest verification found something that does not hold: %(plans)s.")),
    ]
    sentences = [
        sentence % {"plans": ", ".join(one.plan.reference for one in outcomes)}
        for outcomes, sentence in said
        if outcomes
    ]
    if found.waiting:
        oldest = min(one.due_since for one in found.waiting)
        count = sum(one.items for one in found.waiting)
        text = ngettext(
            "%(n)s parked item is not destroyed yet. It was due on %(day)s.",
            "%(n)s parked items are not destroyed yet. The oldest was due on %(day)s.",
            count,
        )
        sentences.append(text % {"n": f"{count:,}", "day": oldest.isoformat()})
    return sentences


def _certificates(found: Destructions) -> Table:
    headings: list[Cell] = [
        *(_("certificate"), _("issued"), _("due up to"), _("planned"), _("approved")),
        *(Figure(_("lines")), Figure(_("of these in this month")), Figure(_("persons"))),
        *(_("parked"), _("newest verification")),
    ]
    rows: list[list[Cell]] = [
        [
            one.plan.reference,
            stamp(one.certificate.issued_at) if one.certificate else _("not issued"),
            one.plan.as_of.isoformat(),
            stamp(one.plan.made_at),
            stamp(one.plan.approval.approved_at),
            figure(one.facts.get("lines")),
            figure(one.lines_in_month),
            figure(one.facts.get("persons")),
            "; ".join(f"{Parked.Reason(why).label}: {n:,}" for why, n in one.parked.items()) or NONE,
            _verified(one),
        ]
        for one in found.outcomes
    ]
    return Table("certificates", _("Certificates"), headings, rows)


def _verified(one: Outcome) -> str:
    if one.verification is None:
        return _("not verified")
    if one.verification.failed_count:
        text = _("%(at)s: %(n)s findings (%(codes)s)")
    else:
        text = _("%(at)s: all %(verified)s items verified")
    # A finding is a code and an id; the ids are in the console.
    codes = sorted({finding.partition(" ")[0] for finding in one.verification.findings})
    return text % {
        "at": stamp(one.verification.at),
        "n": f"{one.verification.failed_count:,}",
        "codes": ", ".join(codes),
        "verified": f"{one.verification.verified_count:,}",
    }


def _total(code: str, title: str, heading: str, counted: Iterable[tuple[str, int]]) -> Table:
    rows: list[list[Cell]] = [[label, figure(n)] for label, n in counted]
    return Table(code, title, [heading, Figure(_("lines"))], rows)


def _by_category(found: Destructions) -> Table:
    counted = found.by(lambda group: group.category)
    rows: list[list[Cell]] = [
        [str(Category(code).label), figure(n), figure(found.persons_by_category.get(code, 0))]
        for code, n in sorted(counted.items())
    ]
    return Table("category", _("By category"), [_("category"), Figure(_("lines")), Figure(_("persons"))], rows)


def _by_start(found: Destructions) -> Table:
    counted = found.by(lambda group: str(Start(group.start).label) if group.start else NONE)
    return _total("start", _("By the event counted from"), _("counted from"), counted.most_common())


def _by_ground(found: Destructions) -> Table:
    counted = found.by(lambda group: rule.get_ground_display() if (rule := found.rule_of(group)) else NONE)
    return _total("ground", _("By why it was kept until then"), _("why"), counted.most_common())


def _by_site(found: Destructions) -> Table:
    counted = found.by(lambda group: rule.entity.name if (rule := found.rule_of(group)) else NONE)
    return _total("site", _("By the site joined"), _("site"), counted.most_common())


def _days(found: Destructions) -> list[tuple[str, str, int]]:
    """(day, items, width of the bar) for each day on which something was destroyed."""
    counted = found.by(lambda group: group.day)
    most = max(counted.values(), default=0)
    return [(day.isoformat(), figure(n), max(1, n * LONGEST_BAR // most)) for day, n in sorted(counted.items())]


def _waiting(found: Destructions) -> Table:
    today = found.made_at.astimezone(TOKYO).date()
    headings: list[Cell] = [
        *(_("why"), Figure(_("lines")), Figure(_("persons"))),
        *(_("due since"), Figure(_("longest past the due date")), _("parked since")),
    ]
    rows: list[list[Cell]] = [
        [
            str(Parked.Reason(one.reason).label),
            figure(one.items),
            figure(one.persons),
            one.due_since.isoformat(),
            _days_long(max((today - one.due_since).days, 0)),
            stamp(one.parked_since),
        ]
        for one in found.waiting
    ]
    return Table("waiting", _("Parked and not destroyed yet"), headings, rows)


def _longest(found: Destructions) -> Table:
    today = found.made_at.astimezone(TOKYO).date()
    headings: list[Cell] = [
        *(_("item"), _("plan"), _("category"), _("why"), _("due on")),
        *(Figure(_("past the due date")), _("parked since")),
    ]
    rows: list[list[Cell]] = [
        [
            str(one.line),
            one.plan,
            str(Category(one.category).label),
            str(Parked.Reason(one.reason).label),
            one.due_on.isoformat(),
            _days_long(max((today - one.due_on).days, 0)),
            stamp(one.parked_since),
        ]
        for one in found.oldest_waiting
    ]
    return Table("longest", _("Waiting longest"), headings, rows)


def _left_out(found: Destructions) -> Table:
    rows: list[list[Cell]] = [
        [str(PlanExclusion.Reason(reason).label), figure(n)] for reason, n in found.left_out.items()
    ]
    headings: list[Cell] = [_("why"), Figure(_("persons"))]
    return Table("left_out", _("Due, and left out by the last plan of the month"), headings, rows)
