import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from members.masks import FIRST_PARTS, PREFECTURES, Mask, mask

unhurried = settings(deadline=None)

# The drawing of a mask itself is left out, so that what is found in a mask comes from the value.
texts = st.text(alphabet=st.characters(exclude_characters="＊")) | st.text(
    alphabet="山田太郎髙葛辻\U000e0100\ufe00가김각ﾀﾞが\u3099e\u0301ab@.-0123 　・"
)
words = st.text(alphabet="山田太郎髙﨑𠮷々ヤマダabcé김민수", min_size=2)
digits = st.text(alphabet="0123456789")


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("山田 太郎", "山＊ 太＊"),
        ("山田　太郎", "山＊ 太＊"),
        ("山田太郎", "山＊"),
        ("勅使河原 小百合", "勅＊ 小＊"),
        ("林 太郎", "＊ 太＊"),
        ("林 一", "＊ ＊"),
        ("林", "＊"),
        ("John Smith", "J＊ S＊"),
        ("Anna Maria Rossi Bianchi", "A＊ M＊"),
        ("マイケル・ジャクソン", "マ＊ ジ＊"),
        ("김민수", "김＊"),
        ("김 민수", "＊ 민＊"),
        ("𠮷田 花", "𠮷＊ ＊"),
        ("𠮷", "＊"),
        ("葛\U000e0100城 薫", "葛\U000e0100＊ ＊"),
        ("葛\U000e0100", "＊"),
        ("ﾀﾞﾃ ﾏｻﾑﾈ", "ﾀﾞ＊ ﾏ＊"),
        ("ﾀﾞ", "＊"),
        ("김민", "김＊"),
        ("e\u0301ric", "e\u0301＊"),
        ("a" + "\u0301" * 9 + "b", "a\u0301\u0301＊"),
        ("\u202e山田\u200b", "山＊"),
        ("・", "＊"),
        ("\ud800", "＊"),
        ("", ""),
        ("　", ""),
    ],
)
def test_a_name_shows_the_first_letter_of_two_words(name, masked):
    assert mask(Mask.NAME, name) == masked


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("taro@example.jp", "ta＊＊@＊＊.jp"),
        ("tar@mail.shop.example.com", "ta＊＊@＊＊.com"),
        ("ta@example.jp", "＊＊@＊＊.jp"),
        ("t@example.jp", "＊＊@＊＊.jp"),
        ("ta..ro.@mobile.example", "ta＊＊@＊＊.example"),
        ('"ta..ro"@example.jp', "ta＊＊@＊＊.jp"),
        ("ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ", "ta＊＊@＊＊.jp"),
        ("taro@localhost", "ta＊＊@＊＊"),
        ("taro@192.0.2.1", "ta＊＊@＊＊"),
        ("taro@example.日本", "ta＊＊@＊＊"),
        ("taro", "＊＊@＊＊"),
        ("@example.jp", "＊＊@＊＊"),
        ("@", "＊＊@＊＊"),
        ("", ""),
    ],
)
def test_a_mail_address_shows_two_letters_and_the_last_label(address, masked):
    assert mask(Mask.MAIL, address) == masked


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+81312345678", "＊＊＊-＊＊＊＊-5678"),
        ("03-1234-5678", "＊＊＊-＊＊＊＊-5678"),
        ("０９０－１２３４－５６７８", "＊＊＊-＊＊＊＊-5678"),
        ("03-1234-5678 内線12", "＊＊＊-＊＊＊＊-5678"),
        ("+6561234567", "＊＊＊-＊＊＊＊-4567"),
        ("12345678", "＊＊＊-＊＊＊＊-5678"),
        ("1234567", "＊＊＊-＊＊＊＊-＊＊＊＊"),
        ("なし", "＊＊＊-＊＊＊＊-＊＊＊＊"),
        ("", ""),
    ],
)
def test_a_telephone_number_shows_its_last_four(number, masked):
    assert mask(Mask.PHONE, number) == masked


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("東京都千代田区千代田1-1", "東京都＊＊"),
        ("京都府京都市中京区", "京都府＊＊"),
        ("〒100-0001 東京都千代田区", "東京都＊＊"),
        ("北海道札幌市", "北海道＊＊"),
        ("神奈川県", "神奈川県＊＊"),
        ("서울특별시 중구 세종대로 1", "서울특별시＊＊"),
        ("千代田区千代田1-1 東京都マンション", "＊＊"),
        ("1 Orchard Road, Singapore", "＊＊"),
        ("", ""),
    ],
)
def test_an_address_shows_its_first_part(address, masked):
    assert mask(Mask.ADDRESS, address) == masked


@pytest.mark.parametrize(
    ("style", "text", "masked"),
    [
        (Mask.POSTCODE, "1000001", "＊＊＊-＊＊＊＊"),
        (Mask.DATE, "1980-02-03", "＊＊＊＊-＊＊-＊＊"),
        (Mask.LAST_FOUR, "1234", "＊＊＊＊"),
        (Mask.ALL, "anything", "＊＊＊＊"),
    ],
)
def test_what_a_caller_is_asked_for_is_wholly_hidden(style, text, masked):
    assert mask(style, text) == masked
    assert mask(style, text * 9) == masked
    assert mask(style, "") == ""


def test_there_are_47_prefectures():
    assert len(set(PREFECTURES.split())) == 47


@unhurried
@given(words, words, st.text(alphabet="山a김"), st.text(alphabet="山a김"))
def test_a_longer_name_has_the_same_mask(family, given_name, more, still_more):
    masked = mask(Mask.NAME, f"{family} {given_name}")
    assert mask(Mask.NAME, f"{family}{more} {given_name}{still_more}") == masked
    assert mask(Mask.NAME, f"{family} {given_name} 花子 {more}") == masked


@unhurried
@given(st.text(alphabet="abc._", min_size=3), st.text(alphabet="abc._"), st.text(alphabet="ab.-"))
def test_a_longer_mail_address_has_the_same_mask(local, more, host):
    masked = mask(Mask.MAIL, f"{local}@example.jp")
    assert mask(Mask.MAIL, f"{local}{more}@{host}.example.jp") == masked


@unhurried
@given(digits, st.from_regex(r"\A[0-9]{8}\Z"))
def test_a_longer_telephone_number_has_the_same_mask(more, number):
    assert mask(Mask.PHONE, more + number) == mask(Mask.PHONE, number)
    assert len({mask(Mask.PHONE, number[:length]) for length in range(1, 8)}) == 1


@unhurried
@given(st.sampled_from(FIRST_PARTS), texts, texts)
def test_a_longer_address_has_the_same_mask(part, rest, more):
    assert mask(Mask.ADDRESS, f"{part} {rest}") == mask(Mask.ADDRESS, f"{part} {rest}{more}") == f"{part}＊＊"


@unhurried
@given(texts)
@example("山田@太郎 ・＝・ ab")
def test_masks_have_a_fixed_drawing_and_show_no_three_letters(text):
    """Outside the declared parts there is nothing but the drawing, so no run of the value can show through."""
    mark = "[^＊]"
    assert re.fullmatch(rf"(?:{mark}{{0,3}}＊(?: {mark}{{0,3}}＊)?)?", mask(Mask.NAME, text), re.DOTALL)
    assert re.fullmatch(rf"(?:{mark}{{0,2}}＊＊@＊＊(?:\.[A-Za-z]+)?)?", mask(Mask.MAIL, text), re.DOTALL)
    assert re.fullmatch(r"(?:＊＊＊-＊＊＊＊-(?:[0-9]{4}|＊＊＊＊))?", mask(Mask.PHONE, text))
    assert re.fullmatch(rf"(?:(?:{'|'.join(FIRST_PARTS)})?＊＊)?", mask(Mask.ADDRESS, text))


@unhurried
@given(st.sampled_from(Mask), st.text())
def test_every_text_has_a_mask_of_its_style(style, text):
    masked = mask(style, text)
    assert masked == "" or "＊" in masked
    assert mask(style.value, text) == masked
