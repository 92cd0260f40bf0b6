"""Numbers 23 and 27: one rule book for the text of each item, whoever writes it. No text raises anything else."""

import datetime
import json
import time

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from access_control.ids import new_id
from members import intake, rule_books
from members.intake import Rejected, parse, parse_transaction
from members.inventory import CONTACT, ITEMS
from members.lines import read_line
from members.lookups import login_lookup, number_lookup, shared_lookups
from members.normal_forms import NotNormal
from tests import factories

ENTITIES = frozenset({"jp", "kr", "sg"})
COUNTRIES = ("JP", "KR", "SG")
# Text as files have it: any code point, halves of pairs too, and what tends to break readers.
TEXTS = st.one_of(
    st.text(st.characters(categories=("L", "M", "N", "P", "S", "Z", "C")), max_size=40),
    st.sampled_from(
        [
            "-",
            "・",
            "？",
            "＊",
            "〓",
            "★",
            "ー",
            "゛",
            "\u3164",
            "\u200b",
            "\ud800",
            "\x00",
            "なし",
            "119",
            "１１９",
            "0" * 5_000,
        ]
        + ["1e999", "〇", "㍻", "ﾞ", "'; DROP", "\u202e", "２０２６-01-01", "2026-02-30", "9999-12-31", "٣", "①" * 30]
    ),
)
ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, country=st.sampled_from(COUNTRIES))
def test_23_no_text_raises_anything_but_that_it_is_no_such_item(text, country):
    """Number 23: reading, typing and comparing any text as any item is safe, and a read text reads as itself."""
    for item in ITEMS.values():
        for way in (item.book.read, item.book.clean):
            try:
                read = way(text, country)
            except NotNormal:
                continue
            read.text.encode()
            assert len(read.text) <= item.book.longest
            assert item.book.read(read.text, country).text == read.text
            assert item.book.same(read.text, read.text, country)
        item.book.same(text, "山田", country)


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    fields=st.sets(st.sampled_from(sorted(intake._ROW_FIELDS)), min_size=1, max_size=4),
)
def test_23_what_intake_lets_in_can_be_sealed_and_found(data, fields):
    """Number 23: a row is refused by intake or has its bytes and its lookups; no third way."""
    row = factories.RowFactory() | {name: data.draw(ANY_JSON | TEXTS) for name in fields}
    try:
        new = parse(row, entities=ENTITIES, today=factories.TODAY)
    except Rejected:
        return
    _is_safe(new)


@settings(max_examples=150, deadline=None)
@given(
    entries=st.fixed_dictionaries(
        {
            "contacts": st.lists(st.fixed_dictionaries({"kind": st.sampled_from(sorted(CONTACT)), "value": TEXTS})),
            "addressees": st.lists(
                st.fixed_dictionaries(
                    {"name": TEXTS, "address": TEXTS, "kana": TEXTS, "postcode": TEXTS, "phone": TEXTS}
                )
            ),
        }
    )
)
def test_23_what_stands_in_lists_is_read_as_strictly(entries):
    """Number 23: the same of contacts and addressees, which have lookups of their own."""
    try:
        new = parse(factories.RowFactory() | entries, entities=ENTITIES, today=factories.TODAY)
    except Rejected:
        return
    _is_safe(new)


def _is_safe(new):
    subject = new_id()
    assert number_lookup(new, subject).mac
    assert login_lookup(new, subject).mac
    shared_lookups(new, subject)
    for texts in (new.name, new.kana, new.occupation, *(entry.value for entry in new.contacts)):
        texts.encode()
    for entry in (*new.addressees, *new.payment_means):
        for value in vars(entry).values():
            assert not isinstance(value, str) or value.encode() is not None


@settings(max_examples=100, deadline=None)
@given(value=ANY_JSON)
def test_23_any_json_as_a_row_is_refused_or_read(value):
    """Number 23: whatever JSON a line holds, NaN and halves of pairs included, the answer is a fault or a row."""
    line = json.dumps(value).encode()
    for reader in (lambda row: parse(row, entities=ENTITIES), parse_transaction):
        with pytest.raises(Rejected):
            reader(read_line(line))


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"a":' * 50_000, b"1" * 900_000, b'"' + b"\\ud800" * 9, b"NaN"])
def test_23_no_line_is_too_odd_to_be_named(line):
    """Number 23: depth, huge numbers and broken escapes are faults of their line."""
    with pytest.raises(Rejected):
        parse(read_line(line), entities=ENTITIES)


@pytest.mark.parametrize("item", sorted(ITEMS))
def test_23_a_huge_text_is_refused_at_once(item):
    """Number 23: a million characters cost no time."""
    started = time.process_time()
    for text in ("1" * 1_000_000, " \n" * 500_000 + "x", "あ／" * 300_000, "\t" * 1_000_000, "-" * 1_000_000):
        with pytest.raises(NotNormal):
            ITEMS[item].book.read(text)
    assert time.process_time() - started < 2


NOT_SUCH_ITEMS = [
    ("member.birth_date", "2099-01-01"),
    ("member.birth_date", "1867-12-31"),
    ("member.birth_date", "令和99年1月1日"),
    ("member.sex", "xyz"),
    ("addressee.name", "★"),
    ("addressee.name", "〓"),
    ("addressee.kana", "-"),
    ("payment.holder", "＊"),
    ("addressee.phone", "なし"),
    ("contact.email", "なし"),
    ("contact.phone", "119"),
    ("addressee.postcode", "なし"),
    ("member.occupation", "会社員\x00"),
    ("addressee.address", "\ud800"),
]
ROW_WITH = {
    "member.birth_date": lambda text: {"birth_date": text},
    "member.sex": lambda text: {"sex": text},
    "member.occupation": lambda text: {"occupation": text},
    "addressee.name": lambda text: {"addressees": [{"name": text, "address": "東京都"}]},
    "addressee.address": lambda text: {"addressees": [{"name": "山田", "address": text}]},
    "payment.holder": lambda text: {
        "payment_means": [{"kind": "bank", "bank": "A", "branch": "B", "last_four": "1234", "holder": text}]
    },
}


@pytest.mark.parametrize(("item", "text"), NOT_SUCH_ITEMS)
def test_23_correction_is_as_strict_as_import(item, text):
    """Number 23: what a file may not say, nobody may type."""
    with pytest.raises(NotNormal):
        ITEMS[item].book.clean(text)
    if item in ROW_WITH:
        with pytest.raises(Rejected):
            factories.new_member(**ROW_WITH[item](text))


@pytest.mark.parametrize(
    ("item", "text", "stored", "well_formed"),
    [
        ("contact.phone", "03-1234-567", "03-1234-567", False),
        ("contact.mobile", "０９０－１０００－５６７８", "０９０－１０００－５６７８", True),
        ("contact.mobile_email", "ta..ro.@docomo.ne.jp", "ta..ro.@docomo.ne.jp", True),
        ("addressee.postcode", "〒1000001", "100-0001", True),
        ("addressee.postcode", "03187", "03187", False),
        ("addressee.postcode", "SW1A 1AA", "SW1A 1AA", False),
        ("addressee.address", "東京都\r\n千代田区\t1", "東京都 千代田区 1", True),
        ("member.sex", "女性", "female", True),
        ("member.birth_date", "S55.2.3", "1980-02-03", True),
        ("addressee.name", "山田\n一郎", "山田 一郎", True),
    ],
)
def test_27_what_is_odd_but_real_is_kept_alike_from_a_file_and_by_hand(item, text, stored, well_formed):
    """Numbers 23 and 27: correction is as lenient as import."""
    for read in (ITEMS[item].book.read(text), ITEMS[item].book.clean(text)):
        assert (read.text, read.well_formed) == (stored, well_formed)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("03-5550-1234／090-1000-5678", ["03-5550-1234", "090-1000-5678"]),
        ("03-5550-1234 / 090-1000-5678", ["03-5550-1234", "090-1000-5678"]),
        ("03-5550-1234、090-1000-5678", ["03-5550-1234", "090-1000-5678"]),
        ("03-5550-1234,09010005678", ["03-5550-1234", "09010005678"]),
        ("03-5550-1234;090-1000-5678", ["03-5550-1234", "090-1000-5678"]),
        ("03-5550-1234または090-1000-5678", ["03-5550-1234", "090-1000-5678"]),
        ("03-5550-1234\n090-1000-5678", ["03-5550-1234", "090-1000-5678"]),
        (
            "０３－５５５０－１２３４　０９０－１０００－５６７８",
            ["０３－５５５０－１２３４", "０９０－１０００－５６７８"],
        ),
        ("自宅 03-5550-1234／携帯 090-1000-5678", ["自宅 03-5550-1234", "携帯 090-1000-5678"]),
        ("03 5550 1234", ["03 5550 1234"]),
        ("03/5550/1234", ["03/5550/1234"]),
        ("03-5550-1234 内線 22", ["03-5550-1234 内線 22"]),
        ("+81 3 5550 1234", ["+81 3 5550 1234"]),
    ],
)
def test_27_two_telephones_in_one_field_are_two_contacts(value, found):
    """Number 27: each is found; one number in several groups stays one."""
    new = factories.new_member(contacts=[{"kind": "phone", "value": value}])
    assert [contact.value for contact in new.contacts] == sorted(found)
    assert {contact.form for contact in new.contacts} <= {"+81355501234", "+819010005678"}
    assert all(contact.well_formed for contact in new.contacts)
    assert new.left_out == ()


def test_27_two_mail_addresses_in_one_field_are_two_contacts():
    """Number 27: the same kind, in the other items."""
    new = factories.new_member(contacts=[{"kind": "email", "value": "a@example.jp, b@example.jp"}])
    assert [contact.form for contact in new.contacts] == ["a@example.jp", "b@example.jp"]


@pytest.mark.parametrize("value", ["なし", "-", "119", "―", "ナシ", "不明", "", "  ", None, "110番", "\n", "長" * 500])
@pytest.mark.parametrize("kind", sorted(CONTACT))
def test_27_what_is_no_contact_is_left_out_and_named_and_the_member_comes_in(kind, value):
    """Number 27: never the whole member for one contact."""
    good = {"kind": "email", "value": "hanako@example.jp"}
    new = factories.new_member(contacts=[{"kind": kind, "value": value}, good])
    assert [contact.value for contact in new.contacts] == ["hanako@example.jp"]
    assert [fault.field for fault in new.left_out] == ["contacts[0].value"]


def test_27_parts_of_an_addressee_are_left_out_and_named():
    """Number 27: so are its reading, postcode and telephone; the addressee stays."""
    home = {"name": "山田", "kana": "-", "postcode": "不明", "address": "東京都\n港区", "phone": "なし"}
    new = factories.new_member(addressees=[home])
    (addressee,) = new.addressees
    assert (addressee.kana, addressee.postcode, addressee.phone, addressee.address) == ("", "", "", "東京都 港区")
    assert {fault.field.rpartition(".")[2] for fault in new.left_out} == {"kana", "postcode", "phone"}


def test_27_goods_on_two_lines_stay_on_one():
    """Number 27: line breaks and tabs of a cell are spaces."""
    new = parse_transaction(
        factories.OrderFactory(goods="ふきん\r\n\t3枚", address="東京都\u2028港区"), today=factories.TODAY
    )
    assert (new.goods, new.address) == ("ふきん 3枚", "東京都 港区")


def test_23_a_birth_date_is_not_in_the_future(time_machine):
    """Number 23: the day itself is the last that passes."""
    time_machine.move_to(datetime.datetime(2026, 11, 1, 12, tzinfo=timezone.get_current_timezone()), tick=False)
    book = rule_books.BIRTH_DATE
    assert book.clean("2026-11-01").text == "2026-11-01"
    with pytest.raises(NotNormal):
        book.clean("2026-11-02")
