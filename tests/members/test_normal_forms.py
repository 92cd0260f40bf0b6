import datetime
import random
import re
import time
import unicodedata

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from members import normal_forms
from members.normal_forms import NotNormal, phones
from members.normal_forms.dates import ERAS
from members.normal_forms.kanji_variants import VARIANTS

unhurried = settings(deadline=None)

DASHES = "-‐‑–—―−ー－ｰ─"
SPACES = " \u3000\u00a0\u2009"
JAPANESE = "ヤマダ太郎髙﨑邉がぎっょゞー々・ 　-−゛゜ﾀﾞﾛｳabcéßøİ\u3099\u0301\u200b\ufe00\U000e0100김민수가"
texts = st.text() | st.text(alphabet=JAPANESE)


def full_width(text):
    return text.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})


def refusal(form, *arguments):
    with pytest.raises(NotNormal) as refused:
        form(*arguments)
    return refused.value.code


def check_digit(eleven):
    """The check digit of an individual number, worked out from the lowest place upwards as the ordinance words it."""
    total = sum(int(digit) * (n + 1 if n <= 6 else n - 5) for n, digit in enumerate(reversed(eleven), 1))
    return "0" if total % 11 <= 1 else str(11 - total % 11)


# Telephone


@pytest.mark.parametrize(
    "text",
    [
        "03-1234-5678",
        "０３－１２３４－５６７８",
        "03(1234)5678",
        "（03）1234ー5678",
        "03 1234 5678",
        "03・1234・5678",
        "03.1234.5678",
        "03–1234—5678",
        "03ｰ1234ｰ5678",
        "+81 3 1234 5678",
        "＋８１　３　１２３４　５６７８",
        "+81 (0)3 1234 5678",
        "0081-3-1234-5678",
        "010-81-3-1234-5678",
        "tel:+81-3-1234-5678;ext=12",
        "TEL 03-1234-5678",
        "℡03-1234-5678",
        "電話：03-1234-5678",
        "03-1234-5678 内線12",
        "03-1234-5678（内12）",
        "03-1234-5678(代)",
        "03-1234-5678 ext. 12",
        "03-1234-5678x12",
        "03-1234-5678 #12",
        "\u200b03-\u200b1234-5678\ufeff",
        " 03-1234-5678\n",
    ],
)
def test_one_telephone_number_in_every_notation(text):
    assert normal_forms.phone(text) == "+81312345678"


@pytest.mark.parametrize(
    ("text", "country", "number"),
    [
        ("090-1234-5678", "JP", "+819012345678"),
        ("0120-123-456", "JP", "+81120123456"),
        ("010-1234-5678", "KR", "+821012345678"),
        ("02-123-4567", "kr", "+8221234567"),
        ("02-123-4567 내선 12", "KR", "+8221234567"),
        ("+82 10 1234 5678", "JP", "+821012345678"),
        ("001-81-3-1234-5678", "KR", "+81312345678"),
        ("0081-90-1234-5678", "KR", "+819012345678"),
        ("6123 4567", "SG", "+6561234567"),
        ("0065 6123 4567", "JP", "+6561234567"),
        ("001 81 3 1234 5678", "SG", "+81312345678"),
    ],
)
def test_a_telephone_number_belongs_to_its_country(text, country, number):
    assert normal_forms.phone(text, country) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "110",
        "12345",
        "1234-5678",
        "03-1234-56789",
        "070-0000-0000",
        "090-CALL-NOW",
        "山田太郎",
        "+",
        "03+12345678",
    ]
    + ["03-1234-5678 / 090-1234-5678", "٠٣١٢٣٤٥٦٧٨", "9" * 300],
)
def test_what_is_no_valid_telephone_number_is_refused(text):
    assert refusal(normal_forms.phone, text) == "phone_unreadable"


def test_an_unknown_country_is_refused_unless_the_number_names_its_own():
    assert refusal(normal_forms.phone, "03-1234-5678", "XX") == "phone_unreadable"
    assert normal_forms.phone("+81 3 1234 5678", "XX") == "+81312345678"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("03-1234-5678", ("+81312345678", True)),
        ("自宅 03-1234-5678", ("+81312345678", True)),
        ("+81-3-1234-5678（夜間）", ("+81312345678", True)),
        ("12-3456", ("123456", False)),
        ("０７０－００００－００００", ("07000000000", False)),
        ("070-0000-0000 内線3", ("07000000000", False)),
        ("03-1234-5678 / 090-1234-5678", ("031234567809012345678", False)),
    ],
)
def test_a_number_on_file_is_kept_findable_even_when_it_is_not_valid(text, form):
    assert normal_forms.phone_on_file(text) == form


@pytest.mark.parametrize("text", ["", "なし", "12345", "ext 123456"])
def test_a_number_on_file_needs_six_digits(text):
    assert refusal(normal_forms.phone_on_file, text) == "phone_unreadable"


@st.composite
def spelled_phones(draw):
    """A mobile number, and one of the ways to write it."""
    middle = draw(st.integers(1000, 9999))
    last = draw(st.integers(0, 9999))
    separators = st.sampled_from([*DASHES, *SPACES, ".", "・", "", " - "])
    start = draw(st.sampled_from(["090", "+81 90", "+81-(0)90", "0081 90", "010-81-90", "Tel. 090"]))
    text = f"{start}{draw(separators)}{middle:04}{draw(separators)}{last:04}"
    text += draw(st.sampled_from(["", " 内線5", "(代)", " ext.77"]))
    return f"+8190{middle:04}{last:04}", full_width(text) if draw(st.booleans()) else text


@unhurried
@given(spelled_phones())
def test_every_spelling_of_a_telephone_number_is_one_number(spelled):
    number, text = spelled
    assert normal_forms.phone(text) == number
    assert normal_forms.phone_on_file(text) == (number, True)
    assert normal_forms.phone(number) == number


@unhurried
@given(
    st.sampled_from(["JP", "KR"]),
    st.sampled_from(["0", "03", "06", "060", "090", "0120", "010", "02", "070", "08", "01"]),
    st.text(alphabet="0123456789", min_size=6, max_size=9),
)
def test_a_number_dialled_at_home_is_what_the_library_reads(country, start, rest):
    """Such numbers are read without the library's parser; they must be valid for it too, and the same number."""
    number = start + rest
    try:
        parsed = phonenumbers.parse(number, country)
        valid = phonenumbers.is_valid_number(parsed)
    except phonenumbers.NumberParseException:
        valid = False
    if valid:
        form = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        assert normal_forms.phone(number, country) == form
    elif not number.startswith("00") and not number.startswith("010"):
        assert refusal(normal_forms.phone, number, country) == "phone_unreadable"


@unhurried
@given(st.from_regex(r"\A[+]?0?[0-9]{5,13}([-x内][0-9]{1,4})?\Z") | texts)
def test_a_telephone_number_is_its_own_normal_form(text):
    try:
        number = normal_forms.phone(text)
    except NotNormal:
        return
    assert normal_forms.phone(number) == number
    assert normal_forms.phone(number, "KR") == number


# Mail


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Taro@Example.JP", "taro@example.jp"),
        ("ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ", "taro@example.jp"),
        ("taro@example。jp", "taro@example.jp"),
        ("  taro@example.jp\n", "taro@example.jp"),
        ("taro\u200b@example.jp", "taro@example.jp"),
        ("ta..ro@mobile.example", "ta..ro@mobile.example"),
        ("taro.@mobile.example", "taro.@mobile.example"),
        ('"ta..ro."@mobile.example', "ta..ro.@mobile.example"),
        ("taro+shop@例え.example", "taro+shop@例え.example"),
    ],
)
def test_a_mail_address_has_one_spelling(text, address):
    assert normal_forms.mail(text) == address


@pytest.mark.parametrize("text", ["", "taro", "@example.jp", "taro@", "a@b@example.jp", "ta ro@example.jp", "＠"])
def test_what_is_no_mail_address_is_refused(text):
    assert refusal(normal_forms.mail, text) == "mail_unreadable"
    assert refusal(normal_forms.new_mail, text) == "mail_unreadable"


@pytest.mark.parametrize("text", ["ta..ro@mobile.example", "taro.@mobile.example", "taro@localhost.", "taro@example"])
def test_a_new_mail_address_must_be_valid_everywhere(text):
    assert normal_forms.mail(text) == text
    assert refusal(normal_forms.new_mail, text) == "mail_unreadable"


def test_a_new_mail_address_is_normal():
    assert normal_forms.new_mail("Ｔａｒｏ＠Example.jp") == "taro@example.jp"


# Login ID and member number


@pytest.mark.parametrize(
    ("form", "text", "normal"),
    [
        (normal_forms.login_id, " Taro－Yamada ", "taro-yamada"),
        (normal_forms.login_id, "ｔａｒｏ＿１", "taro_1"),
        (normal_forms.login_id, "STRASSE", "strasse"),
        (normal_forms.login_id, "straße", "strasse"),
        (normal_forms.member_number, "m－０００１２３４", "M-0001234"),
        (normal_forms.member_number, "mー0001234", "M-0001234"),
    ],
)
def test_an_identifier_has_one_spelling(form, text, normal):
    assert form(text) == normal


@pytest.mark.parametrize("text", ["", " ", "\u200b", "taro yamada", "taro　yamada", "a\tb"])
def test_an_identifier_is_one_word(text):
    assert refusal(normal_forms.login_id, text) == "login_id_unreadable"
    assert refusal(normal_forms.member_number, text) == "member_number_unreadable"


# Names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("山田 太郎", "山田　太郎"),
        ("髙橋", "高橋"),
        ("山﨑", "山崎"),
        ("山嵜", "山崎"),
        ("渡邉", "渡辺"),
        ("渡邊", "渡辺"),
        ("渡邉\U000e0101", "渡辺"),
        ("葛\U000e0100城", "葛城"),
        ("辻\ufe00", "辻"),
        ("𠮷田", "吉田"),
        ("齋藤", "斎藤"),
        ("齊藤", "斉藤"),
        ("斉藤", "斎藤"),
        ("小澤 廣國", "小沢広国"),
        ("濵田 櫻", "浜田桜"),
        ("嶋﨑 眞惠", "島崎真恵"),
        ("瀨戸 龍", "瀬戸竜"),
        ("冨樫", "富樫"),
        ("德川", "徳川"),
        ("\ufa19田", "神田"),
        ("茅ヶ崎", "茅ケ崎"),
        ("マイケル・ジャクソン", "ﾏｲｹﾙ･ｼﾞｬｸｿﾝ"),
        ("さくら", "サクラ"),
        ("ジョ−ジ", "ジョージ"),
        ("ジョ-ジ", "ジョージ"),
        ("Anne-Marie O’Brien", "ANNE MARIE O'BRIEN"),
        ("José Müller", "jose muller"),
        ("Søren Łukasz", "soren lukasz"),
        ("Ｊｏｈｎ　Ｓｍｉｔｈ", "john smith"),
        ("J. R. Smith", "j r smith"),
        ("김 민수", "김민수"),
        (unicodedata.normalize("NFD", "김민수"), "김민수"),
    ],
)
def test_a_name_is_found_however_it_is_written(one, other):
    assert normal_forms.name(one) == normal_forms.name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("佐々木", "佐木"),
        ("大阪", "大坂"),
        ("河田", "川田"),
        ("金田", "今田"),
        ("健一", "健"),
        ("はら", "ばら"),
        ("김", "이"),
    ],
)
def test_different_names_stay_apart(one, other):
    assert normal_forms.name(one) != normal_forms.name(other)


def test_the_iteration_mark_is_kept():
    assert normal_forms.name("佐々木 太郎") == "佐々木太郎"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("やまだ たろう", "ヤマダタロウ"),
        ("ﾔﾏﾀﾞ ﾀﾛｳ", "ヤマダタロウ"),
        ("ﾊﾟﾊﾟ", "パパ"),
        ("か゛っこう", "ガツコウ"),
        ("ジュンイチ", "ジユンイチ"),
        ("しょうこ", "シヨウコ"),
        ("ローラ", "ローラ"),
        ("ロｰラ", "ローラ"),
        ("ロ―ラ", "ローラ"),
        ("ﾛ-ﾗ", "ローラ"),
        ("スズキ - タロウ", "スズキタロウ"),
        ("いすゞ", "イスヾ"),
        ("KIM Minsu", "kimminsu"),
        ("김민수", "김민수"),
    ],
)
def test_a_reading_has_one_spelling(text, key):
    assert normal_forms.kana(text) == key


@pytest.mark.parametrize("text", ["", "　", "・", "---", "\ufe0f", "\U000e0100"])
def test_a_name_needs_a_letter(text):
    assert refusal(normal_forms.name, text) == "name_empty"
    assert refusal(normal_forms.kana, text) == "kana_empty"


def test_no_kanji_stands_in_two_groups_of_variants():
    letters = "".join(VARIANTS.split())
    assert len(letters) == len(set(letters))
    assert all(len(group) > 1 for group in VARIANTS.split())
    assert unicodedata.normalize("NFKC", letters) == letters


@pytest.mark.parametrize(
    "group", ["高髙", "崎﨑嵜", "辺邊邉", "吉𠮷", "斎齋斉齊", "沢澤", "浜濱濵", "広廣", "国國", "桜櫻"]
)
def test_variants_of_one_kanji_count_as_one(group):
    assert {normal_forms.name(kanji) for kanji in group} == {group[0]}


# Dates


@pytest.mark.parametrize(
    "text",
    [
        "1980-02-03",
        "1980/2/3",
        "1980.2.3",
        "1980. 2. 3.",
        "1980 2 3",
        "19800203",
        "1980年2月3日",
        "1980年 2月 3日生",
        "西暦1980年2月3日",
        "１９８０年０２月０３日",
        "1980−02−03",
        "一九八〇年二月三日",
        "千九百八十年二月三日",
        "昭和55年2月3日",
        "昭和 55 年 2 月 3 日",
        "昭和５５年２月３日生まれ",
        "昭和五十五年二月三日",
        "昭和五五年二月三日",
        "㍼55年2月3日",
        "昭55.2.3",
        "S55.2.3",
        "Ｓ５５．２．３",
        "s.55.2.3",
        "S55-02-03",
        "S55/2/3",
        "s550203",
        "昭和550203",
        "Showa 55.2.3",
        "1980년 2월 3일",
        "1980년2월3일생",
        "3 Feb 1980",
        "Feb 3, 1980",
        "February 3rd, 1980",
        "3rd of February 1980",
        "03-FEB-1980",
    ],
)
def test_one_date_in_every_notation(text):
    assert normal_forms.date(text) == datetime.date(1980, 2, 3)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("昭和64年1月7日", "1989-01-07"),
        ("平成元年1月8日", "1989-01-08"),
        ("平成1年1月8日", "1989-01-08"),
        ("H元.1.8", "1989-01-08"),
        ("平成31年4月30日", "2019-04-30"),
        ("令和元年五月一日", "2019-05-01"),
        ("R6.2.29", "2024-02-29"),
        ("大正元年7月30日", "1912-07-30"),
        ("明治45年7月30日", "1912-07-30"),
        ("大正15年12月25日", "1926-12-25"),
        ("昭和元年12月25日", "1926-12-25"),
        ("明治三十三年十二月三十一日", "1900-12-31"),
        ("明治6年1月1日", "1873-01-01"),
        ("1868-01-01", "1868-01-01"),
        ("二〇〇〇年二月二十九日", "2000-02-29"),
    ],
)
def test_eras_reach_to_their_last_day(text, day):
    assert normal_forms.date(text).isoformat() == day


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("昭和64年1月8日", "date_outside_era"),
        ("平成元年1月7日", "date_outside_era"),
        ("平成31年5月1日", "date_outside_era"),
        ("令和元年4月30日", "date_outside_era"),
        ("大正元年7月29日", "date_outside_era"),
        ("明治45年7月31日", "date_outside_era"),
        ("昭和元年12月24日", "date_outside_era"),
        ("明治5年12月2日", "date_outside_era"),
        ("S99.1.1", "date_outside_era"),
        ("平成0年1月8日", "date_outside_era"),
        ("1980-02-30", "date_impossible"),
        ("昭和55年2月30日", "date_impossible"),
        ("1981-02-29", "date_impossible"),
        ("1980-13-01", "date_impossible"),
        ("1980-00-10", "date_impossible"),
        ("3 Foo 1980", "date_impossible"),
        ("0000-01-01", "date_impossible"),
        ("1867-12-31", "date_too_early"),
        ("0980-02-03", "date_too_early"),
        ("", "date_unreadable"),
        ("80-02-03", "date_unreadable"),
        ("80.2.3", "date_unreadable"),
        ("800203", "date_unreadable"),
        ("55年2月3日", "date_unreadable"),
        ("03/02/1980", "date_unreadable"),
        ("1980", "date_unreadable"),
        ("1980元年2月3日", "date_unreadable"),
        ("昭和55年", "date_unreadable"),
        ("慶応3年1月1日", "date_unreadable"),
        ("1980-02-03T00:00", "date_unreadable"),
        ("1980-02-03" + " " * 50 + "x", "date_unreadable"),
        ("一" * 100_000, "date_unreadable"),
    ],
)
def test_what_is_no_date_is_refused(text, code):
    assert refusal(normal_forms.date, text) == code


def in_kanji(number):
    tens, ones = divmod(number, 10)
    digits = " 一二三四五六七八九"
    return ("" if tens == 0 else "十" if tens == 1 else digits[tens] + "十") + digits[ones].strip()


@st.composite
def spelled_dates(draw):
    """A day, and one of the ways to write it."""
    day = draw(st.dates(datetime.date(1873, 1, 1), datetime.date(2099, 12, 31)))
    year, month, number = day.year, day.month, day.day
    ways = [
        f"{year}-{month:02}-{number:02}",
        f"{year}/{month}/{number}",
        f"{year}{month:02}{number:02}",
        f"{year}年{month}月{number}日",
        f"{year}년 {month}월 {number}일",
        f"{number} {day:%b} {year}",
        f"{day:%B} {number}, {year}",
    ]
    for era in ERAS:
        if era.first <= day <= era.last:
            count = year - era.before
            long, short, letter = era.names[0], era.names[2], era.names[3]
            ways += [
                f"{long}{'元' if count == 1 else count}年{month}月{number}日",
                f"{long}{in_kanji(count)}年{in_kanji(month)}月{in_kanji(number)}日",
                f"{short}{count}.{month}.{number}",
                f"{letter.upper()}{count:02}{month:02}{number:02}",
                f"{letter}{count}/{month}/{number}",
            ]
    text = draw(st.sampled_from(ways))
    return day, full_width(text) if draw(st.booleans()) else text


@unhurried
@given(spelled_dates())
def test_every_spelling_of_a_date_is_one_date(spelled):
    day, text = spelled
    assert normal_forms.date(text) == day
    assert normal_forms.date(day.isoformat()) == day


# Postcodes and last four


@pytest.mark.parametrize(
    ("text", "country", "postcode"),
    [
        ("100-0001", "JP", "1000001"),
        ("〒１００－０００１", "JP", "1000001"),
        ("〒 100 0001", "JP", "1000001"),
        ("100ー0001", "jp", "1000001"),
        ("06236", "KR", "06236"),
        ("(우)06236", "KR", "06236"),
        ("018956", "SG", "018956"),
        ("S(018956)", "SG", "018956"),
        ("Singapore 018956", "SG", "018956"),
        ("sw1a 1aa", "GB", "SW1A1AA"),
    ],
)
def test_a_postcode_has_one_spelling(text, country, postcode):
    assert normal_forms.postcode(text, country) == postcode


@pytest.mark.parametrize(
    ("text", "country"),
    [("", "JP"), ("100-001", "JP"), ("10000012", "JP"), ("abc", "JP"), ("135-080", "KR"), ("12345", "SG"), ("", "US")],
)
def test_what_is_no_postcode_is_refused(text, country):
    assert refusal(normal_forms.postcode, text, country) == "postcode_unreadable"


def test_last_four_are_exactly_four_digits():
    assert normal_forms.last_four(" ００１２ ") == "0012"
    for text in ("", "123", "12345", "12a4", "1 234", "一二三四"):
        assert refusal(normal_forms.last_four, text) == "last_four_unreadable"


# Numbers that must not be written down


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "４１１１－１１１１－１１１１－１１１１",
        "4111ー1111−1111–1111",
        "4111.1111.1111.1111",
        "4111・1111･1111・1111",
        "4111\u200b1111\u200b1111\u200b1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4111 - 1111 - 1111 - 1111",
        "カード4111-1111-1111-1111期限12/27",
        "4111 1111 1111 1111 1227 123",
        "03-1234-5678 4111 1111 1111 1111",
        "クレジットカード 4222222222222",
        "5555555555554444",
        "2223003122003222",
        "3782 822463 10005",
        "3056 930902 5904",
        "3530111333300000",
        "6011111111111117",
        "6200000000000005",
        "6304000000000000",
        "٤١١١١١١١١١١١١١١١",
    ],
)
def test_a_card_number_is_seen(text):
    assert normal_forms.holds_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111 1111 1111 1112",
        "411111111111",
        "03-1234-5678",
        "090-1234-5678 090-8765-4321 03-1234-5678",
        "+819012345678",
        "1980-02-03 12:34",
        "0000 0000 0000 0000",
        "1111111111111117",
        "7000000000000005",
        "99994111111111111111",
    ],
)
def test_other_numbers_are_no_card(text):
    assert not normal_forms.holds_card_number(text)


@unhurried
@given(
    st.sampled_from(["51", "4", "353"]),
    st.text(alphabet="0123456789", min_size=14, max_size=14),
    st.sampled_from(["", " ", "-", "－", "・", "\u200b", " - "]),
)
def test_exactly_one_check_digit_makes_a_card(prefix, body, between):
    digits = (prefix + body)[:15]
    groups = [digits[:4], digits[4:8], digits[8:12], digits[12:]]
    found = [normal_forms.holds_card_number(f"カード{between.join(groups)}{check}です") for check in range(10)]
    assert found.count(True) == 1


@pytest.mark.parametrize(
    "text",
    [
        "マイナンバー 123456789018",
        "1234 5678 9018",
        "１２３４－５６７８－９０１８",
        "マイナンバー1234・5678・9018です",
        "1 2 3 4 5 6 7 8 9 0 1 8",
        "03-1234-5678 1234 5678 9018",
        "個人番号は123456789018 電話は03-1234-5678",
        "1234 5678 9018 / 03-1234-5678",
    ],
)
def test_an_individual_number_is_seen(text):
    assert check_digit("12345678901") == "8"
    assert normal_forms.holds_my_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "123456789018",
        "マイナンバー 123456789017",
        "12345678901",
        "1234567890188",
        "+123456789018",
        "12345678,9018",
        "03-1234-5678 03-1234-5678",
    ],
)
def test_other_numbers_are_no_individual_number(text):
    assert not normal_forms.holds_my_number(text)


@unhurried
@given(st.text(alphabet="0123456789", min_size=11, max_size=11))
def test_exactly_one_check_digit_makes_an_individual_number(eleven):
    assert [str(n) for n in range(10) if normal_forms.holds_my_number(f"個人番号{eleven}{n}")] == [check_digit(eleven)]


@unhurried
@given(texts | st.text(alphabet="0123456789 -・+٣"))
def test_looking_for_forbidden_numbers_never_fails(text):
    assert normal_forms.holds_card_number(text) in (True, False)
    assert normal_forms.holds_my_number(text) in (True, False)


@unhurried
@given(texts | st.text(alphabet="0123456789 -・+٣⑫"))
def test_what_a_forbidden_number_is_called_agrees_with_what_is_seen(text):
    seen = normal_forms.forbidden_number(text)
    kinds = {"card_number": normal_forms.holds_card_number(text), "my_number": normal_forms.holds_my_number(text)}
    assert kinds[seen] if seen else not any(kinds.values())


@pytest.mark.parametrize("text", ["マイナンバー①②③④⑤⑥⑦⑧⑨⓪①⑧です", "⑫34 5678 9018", "個人番号1234\u200b56789018"])
def test_letters_that_fold_to_digits_hide_no_number(text):
    assert normal_forms.forbidden_number(text) == "my_number"


@pytest.mark.parametrize("unit", ["5", "5 ", "5555 ", " ", "-", "5-   -", "+5"])
def test_looking_for_forbidden_numbers_takes_time_in_proportion(unit):
    def seconds(length):
        text = unit * (length // len(unit))
        start = time.perf_counter()
        normal_forms.holds_card_number(text)
        normal_forms.holds_my_number(text)
        return time.perf_counter() - start

    # Sixteen times the text would take 256 times as long if the work were quadratic.
    assert seconds(16_000) < 0.05 + 64 * seconds(1_000)


# The search box


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Taro@Example.jp", [("email", "taro@example.jp")]),
        ("ｔａｒｏ＠example.jp", [("email", "taro@example.jp")]),
        ("taro@", []),
        (
            "０３－１２３４－５６７８",
            [("telephone", "+81312345678"), ("member_number", "03-1234-5678"), ("login_id", "03-1234-5678")],
        ),
        (
            "03(1234)5678",
            [("telephone", "+81312345678"), ("login_id", "03(1234)5678"), ("member_number", "03(1234)5678")],
        ),
        ("+81 3 1234 5678", [("telephone", "+81312345678")]),
        ("1234567", [("member_number", "1234567"), ("login_id", "1234567"), ("telephone", "1234567")]),
        ("12345", [("member_number", "12345"), ("login_id", "12345")]),
        ("m－0001234", [("member_number", "M-0001234"), ("login_id", "m-0001234")]),
        ("taro123", [("login_id", "taro123"), ("member_number", "TARO123")]),
        ("yamada", [("login_id", "yamada"), ("member_number", "YAMADA"), ("name", "yamada"), ("kana", "yamada")]),
        ("John Smith", [("name", "johnsmith"), ("kana", "johnsmith")]),
        ("やまだ　たろう", [("kana", "ヤマダタロウ"), ("name", "ヤマダタロウ")]),
        ("ﾔﾏﾀﾞ", [("kana", "ヤマダ"), ("name", "ヤマダ")]),
        ("髙橋 花子", [("name", "高橋花子")]),
        ("김민수", [("name", "김민수"), ("kana", "김민수")]),
        ("", []),
        ("　", []),
        ("・", []),
    ],
)
def test_one_search_box_reads_every_identifier(text, found):
    assert normal_forms.reading(text) == found


def test_a_telephone_number_is_read_for_its_country():
    assert normal_forms.reading("010-1234-5678", "KR")[0] == ("telephone", "+821012345678")


@unhurried
@given(st.text(alphabet="0123456789+-() "))
def test_a_number_on_file_is_found_as_it_is_written(text):
    try:
        on_file, _valid = normal_forms.phone_on_file(text)
    except NotNormal:
        return
    readings = normal_forms.reading(text)
    # A plus inside the digits is no way to write a number.
    assert ("telephone", on_file) in readings or "+" in text.strip(" ()-")[1:]


@unhurried
@given(texts)
def test_the_search_box_takes_any_text_and_gives_each_reading_once(text):
    readings = normal_forms.reading(text)
    assert len(readings) == len(set(readings))
    assert all(normal for _field, normal in readings)


# All of them


@unhurried
@pytest.mark.parametrize(
    "form",
    [normal_forms.mail, normal_forms.login_id, normal_forms.member_number, normal_forms.name, normal_forms.kana]
    + [normal_forms.postcode, normal_forms.last_four],
)
@given(text=texts, tail=st.sampled_from(["", "@example.jp", "＠Ｅxample。JP"]))
def test_a_normal_form_is_its_own_normal_form(form, text, tail):
    try:
        normal = form(text + tail)
    except NotNormal:
        return
    assert form(normal) == normal


@unhurried
@pytest.mark.parametrize(
    "form",
    [normal_forms.phone, normal_forms.phone_on_file, normal_forms.mail, normal_forms.new_mail, normal_forms.login_id]
    + [normal_forms.member_number, normal_forms.name, normal_forms.kana, normal_forms.date, normal_forms.postcode]
    + [normal_forms.last_four],
)
@given(text=texts | st.text(alphabet="0123456789-年月日昭和元SＳ./一十 janfeb"))
def test_no_text_fails_otherwise_than_by_refusal_and_a_refusal_holds_no_value(form, text):
    refused = None
    try:
        form(text)
    except NotNormal as refusal:
        refused = refusal
    if refused:
        assert str(refused) == refused.code
        assert refused.code.isidentifier()
        assert set(vars(refused)) == {"code", "message"}
        assert refused.__cause__ is None


def test_what_is_known_at_once_of_a_telephone_is_what_the_library_says(monkeypatch):
    """The quick look at a country's plan may spare the library the question, never give another answer."""
    seeded = random.Random(20_261_101)
    dialled = ["0" + "".join(seeded.choices("0123456789", k=seeded.choice((8, 9, 10)))) for _each in range(4_000)]
    quick = [phones._valid(number, country) for number in dialled for country in ("JP", "KR")]
    monkeypatch.setattr(phones, "_SURE", {"JP": re.compile("(?!)"), "KR": re.compile("(?!)")})
    assert quick == [phones._valid(number, country) for number in dialled for country in ("JP", "KR")]
    assert any(quick)
