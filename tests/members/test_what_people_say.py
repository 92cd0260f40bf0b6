"""Number 28: found by what people say, and by every spelling of a reference."""

import pytest
from django.core.management import CommandError
from django.urls import reverse

from access_control.references import CASE, PLAN, beginning, reference
from members import normal_forms
from members.normal_forms.radicals import TO_IDEOGRAPH
from members.normal_forms.unicode_variants import UNICODE_VARIANTS
from members.services.finding import find
from retention.management.progress import find_plan
from tests import factories

BORN = "1980-02-03"


def found(name, second=BORN, *, actor):
    return [hit.member for hit in find(name, second, actor=actor).hits]


@pytest.mark.parametrize(
    ("on_file", "said"),
    [
        ("山田 花子", "花子 山田"),
        ("山田 花子", "山田花子様"),
        ("山田 花子", "山田　花子　様"),
        ("山田 花子", "花子　山田　殿"),
        ("山田 花子", "山田花子さん"),
        ("山田 花子 様", "山田花子"),
        ("Yamada Hanako", "Hanako Yamada"),
        ("Maria Clara Santos", "Santos Maria Clara"),
        ("Maria Clara Santos", "Santos, Maria Clara"),
        ("Kim Minsu", "Minsu, Kim"),
        ("佐藤（旧姓山田）花子", "佐藤花子"),
        ("佐藤（旧姓山田）花子", "山田花子"),
        ("佐藤（旧姓：山田） 花子", "山田 花子"),
        ("佐藤 花子（旧姓 山田）", "山田花子"),
        ("佐藤花子(旧姓山田)", "山田花子"),
        ("佐藤 花子", "佐藤（旧姓山田）花子"),
        ("山田 花子", "佐藤（旧姓山田）花子"),
        ("山田 花子", "佐藤 花子【旧姓山田】"),
        ("Hanako Sato (née Yamada)", "Hanako Sato"),
        ("長田 花子", "⻑田花子"),
        ("青木 花子", "⻘⽊花子"),
        ("⻑⾕川 花子", "長谷川花子"),
        ("山口 花子", "山ロ花子"),
        ("工藤 花子", "エ藤花子"),
        ("力石 花子", "カ石花子"),
        ("二宮 花子", "ニ宮花子"),
        ("八木 花子", "ハ木花子"),
        ("卜部 花子", "ト部花子"),
        ("才谷 花子", "オ谷花子"),
        ("夕子", "タ子"),
        ("ローラ", "口一ラ"),
        ("エミ ニシ", "工ミ二シ"),
        ("渡邉󠄂 花子", "渡辺花子"),
        ("齋藤 花子", "斉藤花子"),
        ("𠮷野 花子", "吉野花子"),
        ("張 花子", "张花子"),
        ("陳 花子", "陈花子"),
        ("盃 花子", "杯花子"),
    ],
)
def test_a_member_is_found_by_what_people_say(agent, on_file, said):
    member = factories.member(name=on_file, kana="", birth_date=BORN)
    assert found(said, actor=agent) == [member.pk]


def test_a_reading_is_found_among_kanji_that_look_like_it(agent):
    member = factories.member(name="西 恵美", kana="ニシ エミ", birth_date=BORN)
    for said in ("二シ工ミ", "ニシ エミ", "エミ ニシ", "にし えみ", "ﾆｼ ｴﾐ 様"):
        assert found(said, actor=agent) == [member.pk]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("河田", "川田"),
        ("大坂", "大阪"),
        ("荘司", "庄司"),
        ("叶", "葉"),
        ("土田", "士田"),
        ("末田", "未田"),
        ("一郎", "二郎"),
        ("健一", "健"),
        ("丘", "岡"),
    ],
)
def test_names_that_a_keyboard_tells_apart_stay_apart(one, other):
    assert normal_forms.name(one) != normal_forms.name(other)


@pytest.mark.parametrize("name", ["様", "殿様", "サン", "A様", "一", "ー", "口", "さん"])
def test_what_is_left_of_a_name_is_never_nothing(name):
    assert normal_forms.name(name)


def test_every_radical_becomes_a_kanji():
    assert len(TO_IDEOGRAPH) == 114
    for radical, kanji in TO_IDEOGRAPH.items():
        assert 0x2E81 <= radical <= 0x2EF3
        assert normal_forms.name(chr(radical)) == normal_forms.name(kanji)


def in_jis(letter):
    try:
        letter.encode("iso2022_jp")
    except UnicodeEncodeError:
        return False
    return True


def test_the_tables_make_one_of_a_rare_kanji_and_no_two_of_a_keyboard():
    groups = UNICODE_VARIANTS.split()
    letters = "".join(groups)
    assert len(groups) > 2_000
    assert len(letters) == len(set(letters))
    of_a_keyboard = [group for group in groups if sum(map(in_jis, group[1:]))]
    # The national tables' own.
    assert {group[0] for group in of_a_keyboard} <= set("亘剥填渇痩杯盗祷禅虚錬")


# References


@pytest.mark.parametrize(
    "typed",
    [
        "K7Q0-1M1A",
        "k7q0-1m1a",
        "K7Q01M1A",
        "Ｋ７Ｑ０－１Ｍ１Ａ",
        "k7qo-lmia",
        "K7QO‐IM1A",
        "K7Q0ー1M1A",
        " K7Q0 – 1M1A ",
        "K7Q0—1M1A",
        "K7Q0−1M1A",
        "k7 q0 1m 1a",
    ],
)
def test_every_spelling_of_a_reference_is_one(typed):
    assert reference(typed, CASE) == "K7Q0-1M1A"


@pytest.mark.parametrize("typed", ["", "K7Q0-1M1", "K7Q0-1M1AA", "山田花子山田花子", "@@@@-@@@@", "-"])
def test_what_is_no_reference_is_none(typed):
    assert reference(typed, CASE) == ""


def test_a_plans_reference_is_found_however_it_is_typed():
    assert reference("２０２６l２２４ーk7qm", PLAN) == "20261224-K7QM"
    assert beginning("2026 12", PLAN) == "202612"
    assert beginning("20261224k", PLAN) == "20261224-K"
    with pytest.raises(CommandError):
        find_plan("20261224-K7QM")


def test_the_list_of_cases_finds_every_spelling(client, call):
    client.force_login(call.owner)
    page = reverse("admin:members_case_changelist")
    plain = call.reference.replace("-", "")
    for typed in (call.reference, plain.lower(), plain.replace("0", "o").replace("1", "l"), plain[:6]):
        assert call.reference in client.get(page, {"q": typed}).content.decode()
    assert call.reference not in client.get(page, {"q": "ZZZZ-ZZZZ"}).content.decode()
