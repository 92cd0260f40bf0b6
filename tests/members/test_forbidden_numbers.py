"""Number 25: the numbers that are never stored are told apart from everyday ones, named by place, and answered for."""

import itertools
import random
import unicodedata

import pytest
from django.urls import reverse
from hypothesis import example, given, settings
from hypothesis import strategies as st

from access_control.models import LedgerEvent
from members.intake import parse_transaction
from members.models import Addressee, CaseNote, Correction, PaymentMeans
from members.normal_forms import forbidden_number, forbidden_numbers
from members.normal_forms.characters import plain
from members.services.cases import ForbiddenNumber, add_note
from members.services.corrections import ask_correction
from tests import factories

# The schemes' own test numbers.
_TEST_NUMBERS = (
    "4111111111111111 4012888888881881 5555555555554444 5105105105105100 2223003122003222 2720990000000007"
    " 378282246310005 371449635398431 30569309025904 38520000023237 36227206271667 3530111333300000 3566002020360505"
    " 6011111111111117 6011000990139424 6445644564456445 6200000000000005 6205500000000000004"
)
CARDS = _TEST_NUMBERS.split()
CARD = "4111 1111 1111 1111"


def my_number_check_digit(eleven):
    weights = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    remainder = sum(weight * int(digit) for weight, digit in zip(weights, eleven, strict=True)) % 11
    return str(0 if remainder <= 1 else 11 - remainder)


def groupings(card):
    if len(card) == 15:
        return [card, (4, 6, 5)]
    if len(card) == 14:
        return [card, (4, 6, 4)]
    return [card, (4, 4, 4, 4) if len(card) == 16 else (4, 4, 4, 4, 3)]


def written(card, sizes, between):
    if isinstance(sizes, str):
        return card
    groups, start = [], 0
    for size in sizes:
        groups.append(card[start : start + size])
        start += size
    return between.join(groups)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("around", ["{}", "お客様より{}と伺った。", "カード番号は{}、期限12/27", "Card: {} exp 12/27"])
def test_every_grouping_of_a_test_card_is_seen(card, around):
    betweens = (" ", "-", "－", "−", "ー", "‐", ".", "・", "　", " - ")
    for sizes, between in itertools.product(groupings(card), betweens):
        text = around.format(written(card, sizes, between))
        wide = text.translate({ord("0") + digit: ord("０") + digit for digit in range(10)})
        assert forbidden_number(text) == "card_number"
        assert forbidden_number(wide) == "card_number"


def _separates(text):
    return not any(letter.isalnum() for letter in plain(text))


# Whatever is neither a letter nor a digit, by its Unicode category: punctuation, symbols, spaces.
separators = st.text(st.characters(categories=["P", "S", "Z"]), min_size=1, max_size=3).filter(_separates)
unhurried = settings(deadline=None, max_examples=300)


@unhurried
@example("4111111111111111", "/")
@example("4111111111111111", ",")
@example("4111111111111111", "_")
@example("4111111111111111", "、")
@example("4111111111111111", "／")
@example("4111111111111111", "+")
@example("4111111111111111", "………")
@example("378282246310005", "、 ")
@given(st.sampled_from(CARDS), separators)
def test_no_separator_hides_a_card(card, between):
    """Whatever stands between its groups, a card is seen: in the groups of a card, and in any beside the word."""
    sizes = groupings(card)[1]
    assert forbidden_number(f"番号は{written(card, sizes, between)}です") == "card_number"
    assert forbidden_number(f"カードは{written(card, (5, len(card) - 5), between)}です") == "card_number"
    assert forbidden_number(f"カードは{written(card, (1,) * len(card), between)}です") == "card_number"


@unhurried
@example("12345678901", "/")
@example("12345678901", "、")
@example("12345678901", "+")
@given(st.text("0123456789", min_size=11, max_size=11), separators)
def test_no_separator_hides_an_individual_number_beside_the_word(eleven, between):
    """Beside the word that gives it away, an Individual Number is seen whatever stands between its digits."""
    number = eleven + my_number_check_digit(eleven)
    for sizes in ((4, 4, 4), (6, 6), (1,) * 12):
        assert forbidden_number(f"マイナンバーは{written(number, sizes, between)}です") == "my_number"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("+4111111111111111", "card_number"),
        ("+4111 1111 1111 1111", "card_number"),
        ("カード +378282246310005", "card_number"),
        ("マイナンバー +123456789018", "my_number"),
        ("マイナンバー +1234 5678 9018", "my_number"),
        ("マイナンバー 1234-5678 9018", "my_number"),
        ("4111(1111)1111(1111)", "card_number"),
        # What a telephone may be is one, where no word says otherwise.
        ("+123456789018", ""),
        ("+378282246310005", ""),
        ("マイナンバーの件で +81 90 1234 5673 へ", ""),
        # A list of three amounts or years is no Individual Number.
        ("1234、5678、9018", ""),
        ("1234/5678/9018", ""),
    ],
)
def test_a_plus_or_a_list_decides_no_more_than_it_should(text, kind):
    assert forbidden_number(text) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("4111    1111    1111    1111", "card_number"),
        ("カード 4111    1111    1111    1111", "card_number"),
        ("4111 \t \u3000 \t1111     1111     1111", "card_number"),
        ("4111 1111-1111 1111", "card_number"),
        ("4111-1111 1111-1111", "card_number"),
        ("4111-1111-1111 1111", "card_number"),
        ("(4111) 1111 1111 1111", "card_number"),
        ("[4111]-[1111]-[1111]-[1111]", "card_number"),
        ("4111 --- 1111 --- 1111 --- 1111", "card_number"),
        ("4111ーーーーー1111ーーーーー1111ーーーーー1111", "card_number"),
        ("4111 1111-1111 1111 12/27", "card_number"),
        ("03-5550-1234 4111 1111-1111 1111", "card_number"),
        ("3782-822463 10005", "card_number"),
        ("マイナンバー 1234    5678    9018", "my_number"),
        ("1234    5678    9018", "my_number"),
        ("マイナンバー 1234.....5678.....9018", "my_number"),
        # Two parcels beside one another, of which neither is cut; an order's number, called so.
        ("4242-4242-4242 4242-5678-9012", ""),
        ("伝票番号 4111-1111-1111 1111", ""),
        # What divides a list stays no part of a number.
        ("4111/1111-1111/1111", ""),
    ],
)
def test_how_wide_and_in_how_many_ways_the_groups_are_divided_hides_nothing(text, kind):
    """People type as they please: several spaces, a row of dashes, a hyphen here and a space there."""
    assert forbidden_number(text) == kind
    wide = text.translate({ord("0") + digit: ord("０") + digit for digit in range(10)})
    assert forbidden_number(wide) == kind


def test_a_number_with_wide_gaps_is_named_by_its_whole_place():
    text = "番号は4111    1111  ----  1111    1111と伺った"
    (seen,) = forbidden_numbers(text)
    assert text[seen.start : seen.end] == "4111    1111  ----  1111    1111"


@pytest.mark.parametrize("text", ["5 " * 2_000, "+5" * 2_000, "0 " * 2_000, "4111 " * 800, "5  -  " * 700])
def test_no_window_of_a_long_row_of_digits_is_read_twice(text, monkeypatch):
    """The digits of a row are read once, however many windows they have."""
    read = []
    monkeypatch.setattr(unicodedata, "decimal", lambda digit: read.append(digit) or int(digit))
    forbidden_numbers(text)
    assert len(read) == sum(map(str.isdigit, text))


def everyday(rng, count):
    """Numbers as they stand in notes of a customer centre, none of them a card's or a person's."""

    def digits(length):
        return "".join(rng.choice("0123456789") for _ in range(length))

    def slip():
        eleven = digits(11)
        return eleven + str(int(eleven) % 7)

    def jan():
        twelve = rng.choice(["45", "49"]) + digits(10)
        total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(twelve))
        return twelve + str(-total % 10)

    def day(between):
        return between.join((f"20{rng.randint(10, 30)}", f"{rng.randint(1, 12):02}", f"{rng.randint(1, 28):02}"))

    def time():
        return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"

    def fours(number):
        return "-".join(number[start : start + 4] for start in range(0, len(number), 4))

    shapes = [
        lambda: slip(),
        lambda: fours(slip()),
        lambda: f"お荷物伝票番号 {fours(digits(12))}",
        lambda: f"送り状No.{digits(12)} の件",
        lambda: digits(12),
        lambda: digits(11),
        lambda: jan(),
        lambda: f"商品コード{jan()}を2点",
        lambda: f"{digits(3)}-{digits(7)}-{digits(7)}",
        lambda: f"{digits(6)}-2026{rng.randint(10, 12)}{rng.randint(10, 28)}-{digits(10)}",
        lambda: f"2026{rng.randint(10, 12)}{rng.randint(10, 28)}{digits(6)}",
        lambda: f"M{digits(8)}",
        lambda: f"注文番号{digits(16)}",
        lambda: f"order no. {digits(14)}",
        lambda: f"受付番号：{digits(15)}",
        lambda: f"0{digits(1)}-{digits(4)}-{digits(4)} 090-{digits(4)}-{digits(4)}",
        lambda: f"〒{digits(3)}-{digits(4)} {digits(2)}-{digits(2)}-{digits(3)}",
        lambda: f"{fours(slip())} {fours(slip())}",
        lambda: f"{day('/')} {time()}",
        lambda: f"カード利用日時 {day('/')} {time()}",
        lambda: f"{day('/')}～{day('/')}",
        lambda: f"合計{int(digits(9)):,}円、送料{int(digits(6)):,}円",
        lambda: "、".join(f"{int(digits(4))}" for _ in range(3)),
        lambda: "/".join(f"{int(digits(7)):,}" for _ in range(4)),
        lambda: f"0{digits(1)}-{digits(4)}-{digits(4)}/090-{digits(4)}-{digits(4)}",
        lambda: f"0{digits(9)}、090{digits(8)}",
        lambda: f"カード会社 +81-{digits(1)}-{digits(4)}-{digits(4)}",
        lambda: f"+81 90 {digits(4)} {digits(4)}, +81 3 {digits(4)} {digits(4)}",
        lambda: f"{jan()}/{jan()}、{jan()}",
        lambda: f"{digits(3)}_{digits(7)}_{digits(7)}",
    ]
    return [rng.choice(shapes)() for _ in range(count)]


def test_fewer_than_one_everyday_number_in_a_thousand_is_taken_for_another():
    numbers = everyday(random.Random(25), 20_000)
    taken = [number for number in numbers if forbidden_numbers(number)]
    assert len(taken) < len(numbers) / 1_000, taken[:20]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("マイナンバーは123456789018です", "my_number"),
        ("個人番号 1234-5678-9018", "my_number"),
        ("1234 5678 9018", "my_number"),
        ("１２３４　５６７８　９０１８", "my_number"),
        ("1234-5678-9018", "my_number"),
        ("伝票番号 1234 5678 9018", ""),
        ("123456789018", ""),
        ("4901234567894", ""),
        ("クレジットカードの番号 4222222222222", "card_number"),
        ("4222222222222", ""),
        ("注文番号 4111111111111111", ""),
        ("注文番号 4111-1111-1111-1111", "card_number"),
        ("カードで支払い。注文番号 4111111111111111", "card_number"),
        ("411-1111111-111111", ""),
    ],
)
def test_grouping_and_words_beside_a_number_decide(text, kind):
    assert forbidden_number(text) == kind


def test_a_number_is_named_by_its_place_and_never_repeated():
    text = "折り返し希望。番号は４１１１−１１１１−１１１１−１１１１、マイナンバー123456789018です"
    card, mine = forbidden_numbers(text)
    assert text[card.start : card.end] == "４１１１−１１１１−１１１１−１１１１"
    assert text[mine.start : mine.end] == "123456789018"
    assert (card.digits, mine.digits) == (16, 12)
    assert "4111" not in repr(card)


def test_what_the_marketplace_numbers_is_not_asked():
    new = factories.new_member(member_number="4111-1111-1111-1111")
    assert new.number == "4111-1111-1111-1111"
    assert parse_transaction(factories.OrderFactory(order="4111111111111111")).order == "4111111111111111"


# The page


def test_a_member_number_that_looks_like_a_cards_is_found_when_asked_for_as_one(client, agent):
    """Refused at first, and not echoed; with the answer that it is a member number, it is searched."""
    member = factories.member(member_number="4111111111111111")
    client.force_login(agent)
    client.cookies["django_language"] = "en"
    page = reverse("admin:members_member_find")
    assert 'name="neither_number"' not in client.get(page).content.decode()
    refused = client.post(page, {"identifier": "4111111111111111"})
    assert "4111" not in refused.content.decode()
    assert "It is a member number, not a card number" in refused.content.decode()
    answered = client.post(page, {"identifier": "4111111111111111", "neither_number": "on"})
    assert [hit.member for hit in answered.context["found"].hits] == [member.pk]


def note_of(case):
    return reverse("admin:members_case_act", args=[case.pk, "case", "note"])


def test_the_rest_of_a_note_is_kept_and_the_number_is_named_by_place(client, call):
    client.force_login(call.owner)
    client.cookies["django_language"] = "en"
    words = "あ" * 300
    page = client.post(note_of(call), {"text": f"{words}{CARD}{words}"}).content.decode()
    assert "16 digits from character 301" in page
    assert f"{words}＊＊＊＊ ＊＊＊＊ ＊＊＊＊ ＊＊＊＊{words}" in page
    assert "4111" not in page
    assert 'name="neither_number"' in page
    assert not CaseNote.objects.exists()


def test_the_box_appears_beside_a_refusal_only(client, call):
    client.force_login(call.owner)
    page = reverse("admin:members_case_change", args=[call.pk])
    assert "neither_number" not in client.get(page).content.decode()
    assert "neither_number" not in client.post(note_of(call), {"text": "\x07"}).content.decode()


def test_an_agent_answers_on_record_that_it_is_neither(client, call):
    client.force_login(call.owner)
    number = "管理番号 4111111111111111"
    assert client.post(note_of(call), {"text": "4111111111111111", "neither_number": ""}).status_code == 200
    assert client.post(note_of(call), {"text": number, "neither_number": "on"}).status_code == 302
    assert CaseNote.objects.count() == 1
    assert not LedgerEvent.objects.filter(event="case:number_kept").exists()  # the words beside it were enough
    assert client.post(note_of(call), {"text": "4111111111111111", "neither_number": "on"}).status_code == 302
    event = LedgerEvent.objects.get(event="case:number_kept")
    assert (event.reason, event.actor, event.case) == ("neither_number", call.owner_id, call.pk)
    assert event.note == CaseNote.objects.order_by("-at", "-id").first().pk


def test_without_the_answer_no_service_takes_it(identified, agent, hanako):
    row = Addressee.objects.filter(member=hanako).first()
    with pytest.raises(ForbiddenNumber):
        add_note(identified, text=CARD, actor=agent)
    with pytest.raises(ForbiddenNumber):
        ask_correction(identified, item="addressee.address", row=row.pk, text=f"東京都 {CARD}", actor=agent)
    ask_correction(
        identified, item="addressee.address", row=row.pk, text=f"東京都 {CARD}", actor=agent, neither_number=True
    )
    assert Correction.objects.get().item == "addressee.address"
    assert LedgerEvent.objects.get(event="case:number_kept").items == ["addressee.address"]


def test_beside_a_means_of_payment_no_answer_counts(client, identified, agent, hanako):
    means = PaymentMeans.objects.filter(member=hanako, kind="card").first()
    with pytest.raises(ForbiddenNumber):
        ask_correction(identified, item="payment.card_token", row=means.pk, text=CARD, actor=agent, neither_number=True)
    client.force_login(identified.owner)
    ask = reverse("admin:members_case_act", args=[identified.pk, "correction", "ask"])
    answer = client.post(ask, {"target": f"payment.card_token:{means.pk}", "value": CARD, "neither_number": "on"})
    assert answer.status_code == 200
    assert "4111" not in answer.content.decode()
    assert not Correction.objects.exists()
