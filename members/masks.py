"""Masks: as much of a personal value as lets two hits be told apart, and no more.

No mask tells how long the value is: what is hidden is drawn by a fixed number of ＊. An empty value stays empty.
"""

import re
import unicodedata
from enum import StrEnum

from members.normal_forms.characters import plain
from members.normal_forms.phones import phone_digits

HIDDEN = "＊"
SHOWN_WORDS = 2
SHOWN_MAIL_LETTERS = 2
SHOWN_PHONE_DIGITS = 4
FEWEST_PHONE_DIGITS = 8  # Below that, four digits would be half of the number or more.
MOST_MARKS = 2  # of one letter; a name has no more, and a pile of them would tell its length

PREFECTURES = (
    "北海道 青森県 岩手県 宮城県 秋田県 山形県 福島県 茨城県 栃木県 群馬県 埼玉県 千葉県 東京都 神奈川県 新潟県 富山県 "
    "石川県 福井県 山梨県 長野県 岐阜県 静岡県 愛知県 三重県 滋賀県 京都府 大阪府 兵庫県 奈良県 和歌山県 鳥取県 島根県 "
    "岡山県 広島県 山口県 徳島県 香川県 愛媛県 高知県 福岡県 佐賀県 長崎県 熊本県 大分県 宮崎県 鹿児島県 沖縄県"
)
KOREAN_PROVINCES = (
    "서울특별시 부산광역시 대구광역시 인천광역시 광주광역시 대전광역시 울산광역시 세종특별자치시 경기도 강원특별자치도 "
    "강원도 충청북도 충청남도 전북특별자치도 전라북도 전라남도 경상북도 경상남도 제주특별자치도"
)
FIRST_PARTS = tuple(f"{PREFECTURES} {KOREAN_PROVINCES}".split())

_POSTCODE_BEFORE = re.compile(r"[\s〒0-9-]*")
_BETWEEN_WORDS = re.compile(r"[\s・･·,，、=＝]+")
_TOP_LEVEL = re.compile(r"\.([A-Za-z]{2,})$")


class Mask(StrEnum):
    """How an item is masked; the inventory names one for each."""

    NAME = "name"  # 山＊ 太＊
    MAIL = "mail"  # ta＊＊@＊＊.jp
    PHONE = "phone"  # ＊＊＊-＊＊＊＊-1234
    POSTCODE = "postcode"  # ＊＊＊-＊＊＊＊
    ADDRESS = "address"  # 東京都＊＊
    DATE = "date"  # ＊＊＊＊-＊＊-＊＊
    LAST_FOUR = "last_four"  # ＊＊＊＊
    ALL = "all"  # ＊＊＊＊


# A caller proves who he is by facts such as these, so not one digit is shown to the person who asks him.
_WHOLLY_HIDDEN = {
    Mask.POSTCODE: "＊＊＊-＊＊＊＊",
    Mask.DATE: "＊＊＊＊-＊＊-＊＊",
    Mask.LAST_FOUR: "＊＊＊＊",
    Mask.ALL: "＊＊＊＊",
}


def mask(style: Mask, plaintext: str) -> str:
    """``plaintext`` as it may be shown to someone who was not granted it. No text raises; an empty one gives ''."""
    text = plain(plaintext)
    if not text:
        return ""
    match style:
        case Mask.NAME:
            return _masked_name(plaintext)
        case Mask.MAIL:
            return _masked_mail(text)
        case Mask.PHONE:
            return _masked_phone(text)
        case Mask.ADDRESS:
            return _masked_address(text)
        case _:
            return _WHOLLY_HIDDEN[style]


def _masked_name(text: str) -> str:
    """The first letter of at most two words, drawn as the name is written; a word of one letter shows none."""
    words = (_letters(word) for word in _BETWEEN_WORDS.split(text))
    masked = [first + HIDDEN if rest else HIDDEN for first, rest in words if first]
    return " ".join(masked[:SHOWN_WORDS]) or HIDDEN


def _letters(word: str) -> tuple[str, str]:
    """The first letter of a word with its marks, and what comes after it."""
    word = "".join(letter for letter in word if unicodedata.category(letter) not in ("Cc", "Cf", "Cs"))
    end = next((index for index in range(1, len(word)) if not _is_mark(word[index])), len(word))
    return word[: min(end, 1 + MOST_MARKS)], word[end:]


def _is_mark(letter: str) -> bool:
    """Whether it is drawn as a part of the letter before: accents, half-width sound marks, variation selectors, and the
    vowels and finals of Hangul that is written in parts.
    """
    return unicodedata.category(letter)[0] == "M" or "ﾞ" <= letter <= "ﾟ" or "\u1160" <= letter <= "\u11ff"


def _masked_mail(text: str) -> str:
    """At most two letters of the local part, none when it has no more than these, and the top-level domain."""
    local, _, domain = "".join(text.split()).rpartition("@")
    local = local.strip('"')
    shown = local[:SHOWN_MAIL_LETTERS] if len(local) > SHOWN_MAIL_LETTERS else ""
    top_level = _TOP_LEVEL.search(domain) if local else None
    return f"{shown}{HIDDEN * 2}@{HIDDEN * 2}{top_level.group() if top_level else ''}"


def _masked_phone(text: str) -> str:
    """The last four digits of a number that has eight or more."""
    digits = phone_digits(text)
    shown = digits[-SHOWN_PHONE_DIGITS:] if len(digits) >= FEWEST_PHONE_DIGITS else HIDDEN * SHOWN_PHONE_DIGITS
    return f"{HIDDEN * 3}-{HIDDEN * 4}-{shown}"


def _masked_address(text: str) -> str:
    """The prefecture or province, where the address begins with one."""
    start = _POSTCODE_BEFORE.sub("", text, count=1)
    return next((part for part in FIRST_PARTS if start.startswith(part)), "") + HIDDEN * 2
