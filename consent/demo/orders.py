"""Made-up orders of the made-up people, as rows of ``import_transactions``. The same seed gives the same orders.

About one member in two has ordered, one to six times, within the last nine years: so some records of closed fiscal
years are due at once, and most are not. Each member's orders come from a stream of chance of their own.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from random import Random
from typing import Any

from consent.demo.people import WELL_KNOWN

YEARS = 9
ORDERING_SHARE = 0.5
MOST_ORDERS = 6
ELSEWHERE_SHARE = 0.3  # Of the orders of those who have other addressees.
CURRENCIES = {"jp": ("JPY", 0), "kr": ("KRW", 0), "sg": ("SGD", 2)}
# (goods, price in the smallest unit of the currency)
GOODS: dict[str, tuple[tuple[str, int], ...]] = {
    "jp": (
        ("手織りの麻ふきん", 880),
        ("深煎りコーヒー豆 200g", 1_480),
        ("文庫本カバー 帆布", 1_980),
        ("南部鉄器 急須", 12_800),
        ("有機ほうじ茶 100g", 1_080),
        ("子ども用レインコート", 4_290),
        ("だし昆布 詰合せ", 3_240),
        ("充電式LEDランタン", 5_980),
        ("今治タオル バスタオル", 2_750),
        ("ひのきのまな板", 6_600),
        ("猫用つめとぎ", 1_650),
        ("津軽りんご 5kg", 4_980),
        ("折りたたみ傘 晴雨兼用", 3_850),
        ("万年筆用インク 青", 1_320),
    ),
    "kr": (
        ("보성 녹차 선물세트", 28_000),
        ("양모 담요", 49_000),
        ("도자기 머그잔", 18_500),
        ("무선 이어폰 케이스", 12_900),
        ("제주 감귤 5kg", 32_000),
        ("수제 비누", 8_900),
    ),
    "sg": (
        ("Kaya jam, set of three", 1_890),
        ("Batik table runner", 4_250),
        ("Desk lamp, white", 3_990),
        ("Pandan candle", 1_650),
        ("Travel adapter", 2_290),
        ("Rattan basket", 5_800),
    ),
}


def orders(rows: Iterable[Mapping[str, Any]], *, seed: int, today: date) -> Iterator[dict[str, str | None]]:
    """The orders of the people in ``rows``, member by member, oldest first; those of ``WELL_KNOWN`` among them."""
    draw = Random()
    for row in rows:
        number = str(row["member_number"])
        # A text seeds the same stream on every version and machine.
        draw.seed(f"{seed}:orders:{number}")
        if draw.random() < ORDERING_SHARE or number == WELL_KNOWN.member_number:
            days = sorted(_drawn_days(date.fromisoformat(str(row["joined_on"])), today, draw))
            for count, day in enumerate(days, 1):
                yield _drawn_order(row, day, count, draw)


def _drawn_days(joined: date, today: date, draw: Random) -> list[date]:
    """On which days somebody ordered: since they joined, and within ``YEARS``."""
    first = max(joined.toordinal(), today.toordinal() - YEARS * 365)
    count = 1 + int(draw.random() * MOST_ORDERS)
    return [date.fromordinal(first + int(draw.random() * (today.toordinal() - first + 1))) for _ in range(count)]


def _drawn_order(row: Mapping[str, Any], day: date, count: int, draw: Random) -> dict[str, str | None]:
    """One order: to the member's home, or to somebody else of their addressees."""
    site = str(row["entity"])
    goods, price = GOODS[site][int(draw.random() * len(GOODS[site]))]
    pieces = 1 + int(draw.random() * draw.random() * 5)
    currency, decimals = CURRENCIES[site]
    total = price * pieces
    home, *others = row["addressees"] or [None]
    to = others[int(draw.random() * len(others))] if others and draw.random() < ELSEWHERE_SHARE else home
    return {
        "member_number": str(row["member_number"]),
        # In two short groups, so that none is ever taken for a card number; no two of a member are equal.
        "order": f"{site.upper()}-{day:%y%m%d}-{count}{int(draw.random() * 10_000):04d}",
        "ordered_on": day.isoformat(),
        "goods": f"{goods} × {pieces}",
        "amount": str(total) if not decimals else f"{total // 100}.{total % 100:02d}",
        "currency": currency,
        "name": str(to["name"] if to else row["name"]),
        "address": str(to["address"]) if to else None,
    }
