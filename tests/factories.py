"""The smallest valid objects, made through the project's own doors where there is one."""

import datetime
import itertools
from unittest import mock

import factory

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Entity, Person
from access_control.services import hire, open_account
from consent.demo.loading import load_company
from consent.policy_text import REVISED
from consent.services.joining import join
from members.intake import parse, parse_transaction
from members.models import Member, Transaction
from members.services.cases import open_case
from members.services.identity import check_identity
from members.services.transactions import register_transactions
from retention.models import RuleVersion
from retention.services.rules import built_in, publish_rules

PASSWORD = "correct horse battery"
TODAY = datetime.date(2026, 11, 1)
_numbers = itertools.count(1)


def company():
    """Entities, the published policy and recipients; committed once for all tests."""
    load_company()
    if not RuleVersion.objects.exists():
        publish_rules(built_in(), effective_on=REVISED, actor=None)


class RowFactory(factory.DictFactory):
    """A row as ``import_members`` reads it: a member with every kind of item."""

    member_number = factory.Sequence(lambda n: f"T{n:07d}")
    login_id = factory.Sequence(lambda n: f"hanako{n}")
    entity = "jp"
    joined_on = "2018-05-02"
    last_used_on = "2026-10-01"
    name = "山田 花子"
    kana = "ヤマダ ハナコ"
    birth_date = "1980-02-03"
    sex = "female"
    occupation = "会社員"
    contacts = factory.LazyFunction(
        lambda: [
            {"kind": "email", "value": "hanako.yamada@example.jp"},
            {"kind": "phone", "value": "03-5550-1234"},
            {"kind": "mobile", "value": "090-1000-5678"},
        ]
    )
    addressees = factory.LazyFunction(
        lambda: [
            {
                "name": "山田 一郎",
                "kana": "ヤマダ イチロウ",
                "postcode": "100-0001",
                "address": "東京都千代田区千代田9-9-9",
                "phone": "03-5550-1234",
            }
        ]
    )
    payment_means = factory.LazyFunction(
        lambda: [
            {"kind": "card", "token": "tok_made_up", "brand": "VISA", "last_four": "4242", "expiry": "2028-05"},
            {"kind": "bank", "bank": "みどり銀行", "branch": "本店", "last_four": "7001", "holder": "ヤマダ ハナコ"},
        ]
    )


class OrderFactory(factory.DictFactory):
    """A row as ``import_transactions`` reads it."""

    member_number = "T0000000"
    order = factory.Sequence(lambda n: f"A-{n:06d}")
    ordered_on = "2025-05-02"
    goods = "手織りの麻ふきん 3枚"
    amount = "12800"
    currency = "JPY"
    name = "山田 花子"
    address = "東京都千代田区千代田9-9-9"


def transaction(number, **fields):
    """An order on file of the member with this number."""
    new = parse_transaction(OrderFactory(member_number=number, **fields), today=TODAY)
    before = set(Transaction.objects.values_list("pk", flat=True))
    with acting(None, reason=Reason.IMPORTED) as act:
        assert [one.outcome for one in register_transactions([new], act=act)] == ["created"]
    return Transaction.objects.exclude(pk__in=before).get()


def person(**fields):
    """An employee who may have access."""
    values = {
        "display_name": "Test Person",
        "entity": Entity.objects.get(code="jp"),
        "access_class": Person.AccessClass.DIRECT,
        "joined_on": datetime.date(2020, 4, 1),
        "actor": None,
        "reason": Reason.SET_UP,
    }
    return hire(f"T{next(_numbers):05d}", **(values | fields))


def staff(role, **fields):
    """An account of a new employee, whose password is not judged once more."""
    number = next(_numbers)
    name = f"{role}{number}"
    with mock.patch("access_control.services.validate_password"):
        return open_account(
            person(**fields), username=name, role=role, password=PASSWORD, actor=None, reason=Reason.SET_UP
        )


def new_member(**fields):
    """A parsed row."""
    return parse(RowFactory(**fields), entities=frozenset({"jp", "kr", "sg"}), today=TODAY)


def member(**fields):
    """A registered member."""
    registered = join(new_member(**fields), screen_hash=b"\x07" * 32, actor=None)
    return Member.objects.get(pk=registered.member)


def case(about, agent, kind="correction", channel="phone"):
    """An open case."""
    return open_case(about, kind=kind, channel=channel, actor=agent)


RIGHT_ANSWERS = {"birth_date": "昭和55年2月3日", "last_four": "１２３４"}


def identify(case, said=RIGHT_ANSWERS):
    """The caller says what is on file."""
    checked = check_identity(case, said=said, actor=case.owner)
    assert checked.identified
    case.refresh_from_db()
    return case


def reopen_grants(case):
    """Grants of an identified case, as if the agent were given access again."""
    from django.utils import timezone

    from members.services.grants import open_grants

    with acting(None, reason=Reason.DAILY_WORK, case=case.pk) as act:
        return open_grants(case, act=act, now=timezone.now())
