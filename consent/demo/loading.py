"""Demo data by the same doors as real data: company, policy, members and orders by import, cases in every state."""

import dataclasses
import datetime
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.utils import timezone

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Entity, Person, Staff
from access_control.roles import Role
from access_control.services import hire, open_account
from consent.demo.orders import orders
from consent.demo.people import people
from consent.importing import import_members
from consent.models import OurRule, PolicyVersion, Recipient
from consent.services.publishing import publish_revision_2016
from members.importing import import_transactions
from members.lines import Rejects
from members.models import Case, ContactPoint, Member
from members.services.cases import add_note, close_case, open_case
from members.services.corrections import apply_correction, ask_correction, refuse_correction
from members.services.finding import find
from members.services.identity import check_identity

# (code, name, what it handles, first month of the fiscal year)
ENTITIES = (
    ("sg", "シンガポール本社", "会員情報の管理", 1),
    ("jp", "日本オフィス", "日本サイトの会員対応", 4),
    ("kr", "韓国オフィス", "韓国サイトの会員対応", 1),
)
# (employee number, name, entity, access class, username, role)
STAFF = (
    ("E0101", "佐藤 恵", "jp", Person.AccessClass.DIRECT, "agent", Role.AGENT),
    ("E0102", "鈴木 大輔", "jp", Person.AccessClass.DIRECT, "agent2", Role.AGENT),
    ("E0103", "高橋 由美", "jp", Person.AccessClass.DIRECT, "supervisor", Role.SUPERVISOR),
    ("E0201", "Tan Wei Ling", "sg", Person.AccessClass.PRIVACY, "officer", Role.OFFICER),
    ("E0202", "Lim Hui Min", "sg", Person.AccessClass.PRIVACY, "auditor", Role.AUDITOR),
    ("E0301", "김 지훈", "kr", Person.AccessClass.NEEDED, "administrator", Role.ADMINISTRATOR),
    ("E0401", "伊藤 直子", "jp", Person.AccessClass.NEEDED, "records", Role.RECORDS),
)


@dataclasses.dataclass(frozen=True)
class Account:
    """A demo account with its published password."""

    role: str
    username: str
    password: str


@dataclasses.dataclass(frozen=True)
class Demo:
    """What is there after loading."""

    members: int
    accounts: list[Account]


def password_of(username: str) -> str:
    """The published password of a demo account."""
    return f"demo-{username}-2026"


def accounts() -> list[Account]:
    """The demo accounts, in the order of STAFF."""
    return [Account(str(role), username, password_of(username)) for *_rest, username, role in STAFF]


def is_loaded() -> bool:
    """Whether the demo was loaded to its end: cases come last."""
    return Case.objects.exists()


def load(count: int, *, seed: int, now: datetime.datetime, progress: Callable[[int], Any]) -> Demo:
    """The company, ``count`` members, their orders and cases. The caller has checked that nothing is there."""
    load_company()
    _load_staff()
    today = timezone.localdate(now)
    rows = list(people(min(count, 400), seed=seed, today=today))
    lines = _lines(people(count, seed=seed, today=today))
    import_members(lines, actor=None, rejects=_NoRejects(), progress=progress)
    ordered = orders(people(count, seed=seed, today=today), seed=seed, today=today)
    import_transactions(_lines(ordered), actor=None, rejects=_NoRejects())
    _load_cases(rows, random.Random(seed), now)
    return Demo(Member.objects.count(), accounts())


class _NoRejects(Rejects):
    """Demo rows are valid; one that is not is a mistake in the generator."""

    def __init__(self) -> None:
        """Opens no file."""

    def add(self, line: int, faults: Any) -> None:
        """Raises ValueError with the faults' codes."""
        raise ValueError(f"demo row {line}: {[(fault.field, fault.code) for fault in faults]}")


def _lines(rows: Iterator[Mapping[str, object]]) -> Iterator[tuple[int, bytes]]:
    for number, row in enumerate(rows, 1):
        yield number, json.dumps(row, ensure_ascii=False).encode()


def load_company() -> None:
    """Entities, the published policy, one rule of our own and recipients; twice changes nothing."""
    with acting(None, reason=Reason.SET_UP):
        for code, name, handles, month in ENTITIES:
            defaults = {"name": name, "handles": handles, "fiscal_year_starts": month}
            Entity.objects.get_or_create(code=code, defaults=defaults)
        if not PolicyVersion.objects.exists():
            publish_revision_2016(actor=None)
        OurRule.objects.get_or_create(item="member.sex", purpose=8, defaults={"why": "性別による勧誘はしない"})
        for name, kind in (
            ("あおぞら便", "carrier"),
            ("みずほし決済", "settlement"),
            ("北風コールセンター", "contractor"),
        ):
            Recipient.objects.get_or_create(name=name, defaults={"kind": kind})


def _load_staff() -> None:
    with acting(None, reason=Reason.SET_UP):
        for number, name, entity, access_class, username, role in STAFF:
            # A load that was interrupted is taken up where it stopped.
            if Staff.objects.filter(username=username).exists():
                continue
            person = hire(
                number,
                display_name=name,
                entity=Entity.objects.get(code=entity),
                access_class=access_class,
                joined_on=datetime.date(2020, 4, 1),
                actor=None,
                reason=Reason.SET_UP,
            )
            open_account(
                person, username=username, role=role, password=password_of(username), actor=None, reason=Reason.SET_UP
            )


def _said(row: Mapping[str, Any]) -> dict[str, str]:
    """What the right caller says: birth date and the last four digits of a telephone."""
    phones = [contact["value"] for contact in row["contacts"] if "email" not in contact["kind"]]
    digits = [letter for letter in phones[0] if letter.isdigit()] if phones else []
    return {"birth_date": row["birth_date"] or "", "last_four": "".join(digits[-4:])}


def _load_cases(rows: list[Any], chance: random.Random, now: datetime.datetime) -> None:
    """About forty cases: fresh, contested, identified, pending, corrected, refused, closed, overdue."""
    agents = list(Staff.objects.filter(username__in=["agent", "agent2"]).select_related("person").order_by("username"))
    # The first row is the caller of the README's walk; she has no case yet.
    candidates = [
        row
        for row in rows[1:]
        if row["birth_date"]
        and any("email" not in contact["kind"] for contact in row["contacts"])
        and any(contact["kind"] == "email" for contact in row["contacts"])
    ]
    for position, row in enumerate(candidates[:40]):
        agent = agents[position % len(agents)]
        hits = find(str(row["member_number"]), actor=agent).hits
        member = Member.objects.get(pk=hits[0].member)
        arrived = now - datetime.timedelta(days=chance.randrange(0, 13), hours=chance.randrange(0, 9))
        if position % 10 == 9:
            arrived = now - datetime.timedelta(days=16)
        kind = Case.Kind.INQUIRY if position % 5 == 4 else Case.Kind.CORRECTION
        channel = chance.choice(list(Case.Channel))
        case = open_case(member, kind=kind, channel=channel, actor=agent, arrived_at=arrived)
        _bring_along(case, row, agent, stage=position % 8)


def _bring_along(case: Case, row: Mapping[str, Any], agent: Staff, *, stage: int) -> None:
    """Stages: 0–1 fresh, 2 contested, 3 identified with a note, 4 pending, 5 corrected, 6 refused, 7 closed."""
    if stage <= 1:
        return
    if stage == 2:
        for year in (1901, 1902, 1903):
            check_identity(case, said={"birth_date": f"{year}-01-01", "last_four": "0000"}, actor=agent)
        return
    check_identity(case, said=_said(row), actor=agent)
    case.refresh_from_db()
    add_note(case, text="ご本人から連絡。折り返しは平日の午後を希望。", actor=agent)
    if stage == 3 or case.kind != Case.Kind.CORRECTION:
        if stage == 7:
            close_case(case, outcome=Case.Outcome.DONE, actor=agent)
        return
    mail = ContactPoint.objects.filter(member=case.member, kind="email").order_by("pk").first()
    assert mail is not None
    correction = ask_correction(
        case, item="contact.email", row=mail.pk, text=f"new.address.{case.pk.hex[-6:]}@example.net", actor=agent
    )
    if stage == 4:
        return
    if stage == 6:
        refuse_correction(correction, actor=agent, reason=Reason.NOT_PROVEN)
        close_case(case, outcome=Case.Outcome.REFUSED, actor=agent)
        return
    apply_correction(correction, actor=agent)
    if stage == 7:
        close_case(case, outcome=Case.Outcome.DONE, actor=agent)
