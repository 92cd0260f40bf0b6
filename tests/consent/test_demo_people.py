import datetime
import itertools
import json
import os
import re
import subprocess
import sys

import phonenumbers
import pytest

from consent.demo.names import FOREIGN_NAMES, RARE_FEMALE, RARE_MALE, RARE_NAMES, RARE_SURNAMES, SURNAMES, TRADITIONS
from consent.demo.people import FIRST_DAY, RARE_EVERY, WELL_KNOWN, people
from consent.demo.towns import TOWNS

TODAY = datetime.date(2026, 11, 2)
KEYS = [
    "member_number", "login_id", "entity", "joined_on", "last_used_on", "name", "kana", "birth_date", "sex",
    "occupation", "contacts", "addressees", "payment_means",
]  # fmt: skip
PAYMENT_KEYS = {
    "card": {"kind", "token", "brand", "last_four", "expiry"},
    "bank": {"kind", "bank", "branch", "last_four", "holder"},
    "mobile": {"kind", "phone"},
}
RESERVED_DOMAINS = {"example.jp", "example.com", "example.net"}


@pytest.fixture(scope="module")
def rows():
    return list(people(10_000, seed=7, today=TODAY))


def in_json(rows):
    return [json.dumps(row, ensure_ascii=False) for row in rows]


def phones(row):
    yield from (contact["value"] for contact in row["contacts"] if "email" not in contact["kind"])
    yield from (addressee["phone"] for addressee in row["addressees"])
    yield from (means["phone"] for means in row["payment_means"] if means["kind"] == "mobile")


def mails(row):
    return [contact["value"] for contact in row["contacts"] if "email" in contact["kind"]]


def e164(text, entity):
    number = phonenumbers.parse(text, entity.upper())
    assert phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def readings(words):
    found = {}
    for word in words:
        found.setdefault(word.written, set()).add(word.kana)
    return found


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    program = (
        "import datetime, json; from consent.demo.people import people\n"
        f"for row in people(300, seed=3, today=datetime.date.fromisoformat('{TODAY}')):\n"
        "    print(json.dumps(row))"
    )
    here = [json.dumps(row) for row in people(300, seed=3, today=TODAY)]
    for hash_seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        assert run.stdout.decode().splitlines() == here


def test_a_longer_run_begins_with_the_rows_of_a_shorter_one(rows):
    for count in (0, 1, 49, 50, 51, 777):
        assert list(people(count, seed=7, today=TODAY)) == rows[:count]


def test_rows_are_made_one_by_one():
    assert len(list(itertools.islice(people(10**12, seed=1, today=TODAY), 3))) == 3


def test_other_seeds_give_other_people():
    runs = {tuple(in_json(people(60, seed=seed, today=TODAY))[1:]) for seed in (-1, 0, 1, 2)}
    assert len(runs) == 4


def test_numbers_login_ids_and_mail_addresses_are_unique(rows):
    for values in (
        [row["member_number"] for row in rows],
        [row["login_id"].casefold() for row in rows],
        [mail.casefold() for row in rows for mail in mails(row)],
    ):
        assert len(set(values)) == len(values)


def test_every_row_has_every_key_of_the_format(rows):
    for row in rows:
        assert list(row) == KEYS
        assert re.fullmatch(r"M\d{8}", row["member_number"])
        assert re.fullmatch(r"[a-z][a-z._-]*[0-9]+", row["login_id"])
        assert row["sex"] in {"female", "male", "other", None}
        assert all(contact.keys() == {"kind", "value"} and contact["value"] for contact in row["contacts"])
        assert {contact["kind"] for contact in row["contacts"]} <= {"email", "mobile_email", "phone", "mobile", "fax"}
        assert all(means.keys() == PAYMENT_KEYS[means["kind"]] for means in row["payment_means"])
        for addressee in row["addressees"]:
            assert addressee.keys() == {"name", "kana", "postcode", "address", "phone"}


def test_every_kind_of_contact_and_payment_occurs(rows):
    assert {contact["kind"] for row in rows for contact in row["contacts"]} == {
        "email", "mobile_email", "phone", "mobile", "fax",
    }  # fmt: skip
    assert {means["kind"] for row in rows for means in row["payment_means"]} == {"card", "bank", "mobile"}
    assert {row["sex"] for row in rows} == {"female", "male", "other", None}
    assert any(row["occupation"] is None for row in rows)
    assert any(not row["addressees"] for row in rows)
    assert any(not row["payment_means"] for row in rows)


def test_dates_follow_one_another_and_members_are_grown_up(rows):
    for row in rows:
        joined = datetime.date.fromisoformat(row["joined_on"])
        born = datetime.date.fromisoformat(row["birth_date"])
        assert FIRST_DAY <= joined <= TODAY
        assert 18 * 365 <= (joined - born).days <= 90 * 366
        if row["last_used_on"]:
            assert joined <= datetime.date.fromisoformat(row["last_used_on"]) <= TODAY
    assert 0.67 < sum(row["last_used_on"] is not None for row in rows) / len(rows) < 0.73


def test_nine_in_ten_members_joined_in_japan(rows):
    shares = {entity: sum(row["entity"] == entity for row in rows) / len(rows) for entity in ("jp", "kr", "sg")}
    assert shares["jp"] == pytest.approx(0.90, abs=0.015)
    assert shares["kr"] == pytest.approx(0.06, abs=0.015)
    assert shares["sg"] == pytest.approx(0.04, abs=0.015)


def test_there_are_enough_names():
    assert len({word.written for word, _ in SURNAMES}) >= 250
    for sex in ("female", "male"):
        assert len({word.written for era in TRADITIONS["japanese"].given[sex] for word in era}) >= 150


def test_a_japanese_name_always_stands_beside_one_of_its_readings(rows):
    surnames = readings([*(word for word, _ in SURNAMES), *RARE_SURNAMES])
    japanese = TRADITIONS["japanese"]
    given = readings([*RARE_FEMALE, *RARE_MALE, *(w for eras in japanese.given.values() for era in eras for w in era)])
    checked = 0
    for row in rows:
        for named in (row, *row["addressees"]):
            surname, _, name = named["name"].partition(" ")
            if surname in surnames and name in given:
                surname_kana, name_kana = named["kana"].split(" ")
                assert surname_kana in surnames[surname]
                assert name_kana in given[name]
                checked += 1
    assert checked > 0.8 * len(rows)


def test_readings_are_katakana_and_only_in_japan(rows):
    for row in rows:
        if row["kana"] is not None:
            assert row["entity"] == "jp"
            assert re.fullmatch("[ァ-ヴー]+ [ァ-ヴー]+", row["kana"])
        elif row["entity"] == "jp":
            assert re.match("[A-ZØ]", row["name"].removeprefix("van "))


def test_given_names_suit_the_year_of_birth(rows):
    born = {name: [] for name in ("和子", "陽菜", "茂", "蓮")}
    for row in rows:
        born.get(row["name"].split(" ")[-1], []).append(int(row["birth_date"][:4]))
    assert max(born["和子"] + born["茂"]) < 1955
    assert min(born["陽菜"] + born["蓮"]) >= 1995


@pytest.mark.parametrize("seed", [0, 1, 20261102])
def test_hard_names_are_among_the_first_two_thousand(seed):
    first = list(people(2_000, seed=seed, today=TODAY))
    surnames = {row["name"].split(" ")[0] for row in first}
    given = {row["name"].split(" ")[-1] for row in first}
    assert {"髙橋", "山﨑", "渡邉", "渡邊", "𠮷田", "斎藤", "齋藤", "齊藤", "濵田", "林", "森", "東"} <= surnames
    assert {"勘解由小路", "長宗我部", "葛\U000e0100城"} <= surnames
    assert "喜左衛門" in given
    names = {row["name"] for row in first}
    assert {"Maria Fernandez-Lopez", "Sean O'Neil", "김 민준", "金 民俊"} <= names
    assert {word.written for word in (*RARE_FEMALE, *RARE_MALE)} <= given
    assert {word.written for word in RARE_SURNAMES} <= surnames
    assert any("&" in addressee["name"] for row in first for addressee in row["addressees"])
    assert any(" binti " in name for name in names)
    assert any(" s/o " in name or " d/o " in name for name in names)


def test_all_rare_names_fit_into_two_thousand_rows():
    assert len(RARE_NAMES) * RARE_EVERY <= 2_000
    assert len(FOREIGN_NAMES) == 4


def test_a_korean_in_japan_has_a_katakana_reading(rows):
    kana = {row["kana"] for row in rows if row["entity"] == "jp" and row["name"] in {"김 민준", "金 民俊"}}
    assert kana == {"キム ミンジュン"}


def test_there_are_enough_towns_in_all_parts_of_the_country():
    towns = TOWNS["jp"]
    assert len({town.postcode for town in towns}) == len(towns) >= 120
    assert len({re.match(".{2,3}?[都道府県]", town.place).group() for town in towns}) == 47


def test_a_postcode_stands_for_the_town_of_its_address(rows):
    places = {entity: {town.postcode: town.place for town in towns} for entity, towns in TOWNS.items()}
    forms = {"jp": r"\d{3}-\d{4}", "kr": r"\d{5}", "sg": r"\d{6}"}
    for row in rows:
        for addressee in row["addressees"]:
            assert re.fullmatch(forms[row["entity"]], addressee["postcode"])
            place = places[row["entity"]][addressee["postcode"]]
            assert addressee["address"].startswith(place)
            assert re.search(r"\d", addressee["address"].removeprefix(place))


def test_phone_numbers_are_valid_and_belong_to_nobody(rows):
    free = re.compile(r"\+81(6093|6094|6095|6096|6097|6098|6099)\d{6}|\+82100[3-9]\d{6}|\+658123[3-9]\d{3}")
    exchanges = {f"+81{town.area[1:]}{town.lead}" for town in TOWNS["jp"] if town.area}
    for row in rows[1:]:
        for text in phones(row):
            number = e164(text, row["entity"])
            assert free.fullmatch(number) or any(number.startswith(exchange) for exchange in exchanges)


def test_phone_numbers_are_typed_in_every_old_way(rows):
    typed = {phone for row in rows if row["entity"] == "jp" for phone in phones(row)}
    for notation in (
        r"03-1\d{3}-\d{4}", r"031\d{7}", r"03\(1\d{3}\)\d{4}", r"０３－１[０-９]{3}－[０-９]{4}", r"\(03\)1\d{3}-\d{4}",
        r"03 1\d{3} \d{4}", r"03ー1\d{3}ー\d{4}", r"\+81 3-1\d{3}-\d{4}", r"0\d{3}-1\d-\d{4}", r"060-9\d{3}-\d{4}",
    ):  # fmt: skip
        assert any(re.fullmatch(notation, phone) for phone in typed), notation


def test_mail_domains_are_reserved(rows):
    for row in rows:
        for contact in row["contacts"]:
            if contact["kind"] == "email":
                assert contact["value"].split("@")[1] in RESERVED_DOMAINS
            if contact["kind"] == "mobile_email":
                assert contact["value"].endswith(".example")


def test_some_carrier_addresses_have_two_dots_or_a_dot_before_the_at(rows):
    mobile = [c["value"] for row in rows for c in row["contacts"] if c["kind"] == "mobile_email"]
    assert 0.015 < sum(".." in mail or ".@" in mail for mail in mobile) / len(mobile) < 0.05
    assert any(".." in mail for mail in mobile)
    assert any(".@" in mail for mail in mobile)


def test_one_member_in_twelve_shares_surname_address_and_phone_with_an_earlier_one(rows):
    seen = set()
    relatives = 0
    for row in rows:
        homes = {addressee["address"] for addressee in row["addressees"][:1]}
        numbers = {e164(c["value"], row["entity"]) for c in row["contacts"] if c["kind"] in {"phone", "mobile"}}
        parts = row["name"].split(" ")
        facts = set(itertools.product({parts[0], parts[-1]}, homes, numbers))
        relatives += bool(facts & seen)
        seen |= facts
    assert 0.06 < relatives / len(rows) < 0.1


def test_means_of_payment_hold_no_number_that_could_be_a_cards(rows):
    for row in rows:
        assert not re.search(r"\d{12}", json.dumps(row))
        for means in row["payment_means"]:
            assert re.fullmatch(r"\d{4}", means.get("last_four", "0000"))
            if means["kind"] == "card":
                assert re.fullmatch("tok_[0-9a-f]{6}_[0-9a-f]{6}", means["token"])
                assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", means["expiry"])
            if means["kind"] == "bank":
                assert means["bank"].endswith("銀行")
                assert means["branch"].endswith("支店")
                assert not re.search("[ァィゥェォッャュョ]", means["holder"])


def test_the_first_row_is_the_well_known_person(rows):
    row = rows[0]
    assert row["name"] == WELL_KNOWN.name == "山田 花子"
    assert row["kana"] == WELL_KNOWN.kana == "ヤマダ ハナコ"
    assert row["birth_date"] == WELL_KNOWN.birth_date == "1980-02-03"
    assert row["member_number"] == WELL_KNOWN.member_number
    assert row["login_id"] == WELL_KNOWN.login_id
    assert {contact["kind"]: contact["value"] for contact in row["contacts"]} == {
        "email": WELL_KNOWN.email, "phone": WELL_KNOWN.phone, "mobile": WELL_KNOWN.mobile,
    }  # fmt: skip
    assert [addressee["postcode"] for addressee in row["addressees"]] == [WELL_KNOWN.postcode]
    assert row["addressees"][0]["address"] == WELL_KNOWN.address
    assert [means["last_four"] for means in row["payment_means"]] == [WELL_KNOWN.card_last_four]
    assert e164(WELL_KNOWN.phone, "jp") == "+81312345678"
    assert e164(WELL_KNOWN.mobile, "jp") == "+816090123456"


def test_nobody_else_has_her_number_login_id_mail_or_phones(rows):
    hers = {e164(WELL_KNOWN.phone, "jp"), e164(WELL_KNOWN.mobile, "jp")}
    for row in rows[1:]:
        assert row["member_number"] != WELL_KNOWN.member_number
        assert row["login_id"] != WELL_KNOWN.login_id
        assert WELL_KNOWN.email not in mails(row)
        assert hers.isdisjoint(e164(phone, row["entity"]) for phone in phones(row))


def test_a_day_before_she_joined_is_refused():
    with pytest.raises(ValueError, match="first person joined"):
        next(people(1, seed=1, today=datetime.date(2018, 4, 1)))
    assert next(people(1, seed=1, today=datetime.date(2018, 4, 2)))["last_used_on"] == "2018-04-02"
