"""Finding a caller: by what identifies exactly, however it is written, and recorded without it."""

import contextlib
import time
import uuid

import pytest
from django.core.exceptions import PermissionDenied
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_control.codes import Purpose
from access_control.models import LedgerEvent
from access_control.vault import store
from access_control.vault.lookups import NORMAL_FORM_VERSION, LookupField, mac
from members.events import Event
from members.normal_forms.characters import is_current
from members.services import finding
from members.services.finding import MOST_HITS, SecondFactNeeded, find
from tests import factories

KOREAN = {
    "entity": "kr",
    "name": "김 하나",
    "kana": "",
    "contacts": [{"kind": "mobile", "value": "010-2345-6789"}],
    "addressees": [{"name": "김 하나", "postcode": "04524", "address": "서울특별시 중구 세종대로 999"}],
}
SINGAPOREAN = {
    "entity": "sg",
    "name": "Tan Mei Ling",
    "kana": "",
    "contacts": [{"kind": "mobile", "value": "8123 4567"}],
    "addressees": [{"name": "Tan Mei Ling", "postcode": "238801", "address": "9 Made-up Road"}],
}


def found(identifier, second="", *, actor):
    return [hit.member for hit in find(identifier, second, actor=actor).hits]


@pytest.mark.parametrize(
    "identifier",
    [
        "03-5550-1234",
        "０３－５５５０－１２３４",
        "03(5550)1234",
        "+81 3 5550 1234",
        "0355501234",
        "電話 03 5550 1234",
        "090-1000-5678",
        "hanako.yamada@example.jp",
        "Hanako.Yamada＠EXAMPLE.JP",
        "F0000001",
        "ｆ０００００01",
        "find-me",
        "FIND-ME",
    ],
)
def test_a_member_is_found_by_each_identifier_however_it_is_written(agent, identifier):
    member = factories.member(member_number="F0000001", login_id="Find-Me")
    assert found(identifier, actor=agent) == [member.pk]


@pytest.mark.parametrize(
    "identifier",
    [
        "03-5550-123",
        "5550-1234",
        "hanako",
        "yamada@example.jp",
        "F000000",
        "hanako.yamada@example",
        "1234",
        "%",
        " ",
        "",
    ],
)
def test_a_part_of_an_identifier_finds_nobody(agent, hanako, identifier):
    try:
        assert found(identifier, actor=agent) == []
    except SecondFactNeeded:
        assert identifier == "hanako"


@pytest.mark.parametrize(
    ("fields", "identifier"),
    [
        (KOREAN, "010-2345-6789"),
        (KOREAN, "+82 10-2345-6789"),
        (KOREAN, "01023456789"),
        (SINGAPOREAN, "8123 4567"),
        (SINGAPOREAN, "+65 8123 4567"),
        (SINGAPOREAN, "８１２３４５６７"),
    ],
)
def test_a_member_of_another_site_is_found_by_the_number_as_dialled_there(agent, fields, identifier):
    member = factories.member(**fields)
    assert found(identifier, actor=agent) == [member.pk]


@pytest.mark.parametrize("name", ["山田 花子", "山田花子", "ヤマダハナコ", "やまだ はなこ", "ﾔﾏﾀﾞ ﾊﾅｺ"])
@pytest.mark.parametrize(
    "second", ["1980-02-03", "昭和55年2月3日", "S55.2.3", "100-0001", "〒１０００００１", "1234", "５６７８"]
)
def test_a_name_with_a_second_fact_finds_its_member(agent, hanako, name, second):
    assert found(name, second, actor=agent) == [hanako.pk]


@pytest.mark.parametrize(("fields", "second"), [(KOREAN, "04524"), (KOREAN, "6789"), (SINGAPOREAN, "238801")])
def test_a_foreign_name_with_a_second_fact_finds_its_member(agent, fields, second):
    member = factories.member(**fields)
    assert found(fields["name"], second, actor=agent) == [member.pk]


@pytest.mark.parametrize("second", ["1980-02-04", "530-0001", "9999", "花子", "x"])
def test_a_name_with_a_wrong_second_fact_finds_nobody(agent, hanako, second):
    try:
        assert found("山田花子", second, actor=agent) == []
    except SecondFactNeeded:
        # What is no second fact at all is as good as none.
        assert second in {"花子", "x"}


def test_a_second_fact_alone_finds_nobody(agent, hanako):
    for text in ("1980-02-03", "100-0001", "1234"):
        assert found(text, actor=agent) == []


def test_a_name_of_one_version_of_the_normal_form_is_searched_as_a_name(agent, hanako, monkeypatch):
    """Whichever version reads the text as a name, the search counts as one by name, and asks for a second fact."""

    def read(identifier):
        return [("name", "x")] if is_current() else []

    monkeypatch.setattr(finding, "_readings", read)
    with pytest.raises(SecondFactNeeded):
        find("x", actor=agent)
    find("x", "1980-02-03", actor=agent)
    assert LedgerEvent.objects.filter(event=Event.FOUND).order_by("-sequence").first().items == ["member.name"]


def test_a_name_alone_asks_for_a_second_fact_and_is_recorded(agent, hanako):
    with pytest.raises(SecondFactNeeded) as asked:
        find("山田花子", actor=agent)
    assert "山田" not in f"{asked.value!r}"
    assert LedgerEvent.objects.get(event=Event.FOUND).count == 0


def test_hits_are_masked_and_show_no_telephone(agent, hanako):
    hit = find("03-5550-1234", actor=agent).hits[0]
    assert (hit.member, hit.name, hit.contacts) == (hanako.pk, "山＊ 花＊", ("ha＊＊@＊＊.jp",))
    assert "1234" not in repr(hit)
    assert "5678" not in repr(hit)
    assert "花子" not in repr(hit)


def test_a_search_is_recorded_without_its_term_and_each_hit_as_seen(agent, hanako, events_of):
    find("03-5550-1234", actor=agent)
    event = LedgerEvent.objects.get(event=Event.FOUND)
    assert (event.actor, event.count, event.purpose, event.subject) == (agent.pk, 1, Purpose.IDENTITY, None)
    assert events_of(hanako)[-1] == Event.SHOWN_MASKED
    written = str(list(LedgerEvent.objects.values_list()))
    assert "5550" not in written
    assert "1234" not in written.replace(str(event.request_id), "")


def test_a_search_that_finds_nobody_is_recorded_too(agent):
    assert find("03-5550-0000", actor=agent).hits == []
    assert LedgerEvent.objects.get(event=Event.FOUND).count == 0


def test_a_family_that_shares_a_telephone_is_found_together(agent):
    family = [factories.member(contacts=[{"kind": "phone", "value": "06-6666-7777"}]) for _one in range(MOST_HITS)]
    result = find("06-6666-7777", actor=agent)
    assert {hit.member for hit in result.hits} == {member.pk for member in family}
    assert not result.more


def test_more_than_five_hits_say_so_and_show_five(agent):
    for _one in range(MOST_HITS + 1):
        factories.member(contacts=[{"kind": "phone", "value": "06-6666-7777"}])
    result = find("06-6666-7777", actor=agent)
    assert len(result.hits) == MOST_HITS
    assert result.more
    assert LedgerEvent.objects.filter(event=Event.SHOWN_MASKED).count() == MOST_HITS


def test_lookups_without_a_member_name_nobody(agent):
    orphan = store.Lookup(LookupField.TELEPHONE, mac(LookupField.TELEPHONE, "+81355509999"), uuid.uuid4(), 2)
    store.add_lookups([orphan], version=NORMAL_FORM_VERSION)
    assert find("03-5550-9999", actor=agent) == type(find("x@y.example", actor=agent))([], more=False)


def test_a_login_id_may_look_like_anything(agent):
    mail, phone, name = (
        factories.member(login_id=login, contacts=[]) for login in ("a@b.example", "0355507777", "yamada")
    )
    assert found("a@b.example", actor=agent) == [mail.pk]
    assert found("03-5550-7777".replace("-", ""), actor=agent) == [phone.pk]
    assert found("YAMADA", actor=agent) == [name.pk]


@pytest.mark.parametrize("role", ["officer", "auditor", "administrator"])
def test_who_does_not_answer_members_finds_nobody(role, hanako, request):
    with pytest.raises(PermissionDenied):
        find("03-5550-1234", actor=request.getfixturevalue(role))
    assert not LedgerEvent.objects.filter(event=Event.FOUND).exists()


def test_a_supervisor_finds_as_an_agent_does(supervisor, hanako):
    assert found("03-5550-1234", actor=supervisor) == [hanako.pk]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    identifier=st.text(st.characters(categories=("L", "M", "N", "P", "S", "Z", "C"))),
    second=st.text(st.characters(categories=("L", "M", "N", "P", "S", "Z", "C"))),
)
def test_23_no_text_breaks_the_search(agent, identifier, second):
    """Number 23: fuzzed, halves of pairs and controls included."""
    with contextlib.suppress(SecondFactNeeded):
        assert find(identifier, second, actor=agent).hits == []


@pytest.mark.parametrize(
    "text", ["1" * 1_000_000, "あ" * 1_000_000, "\ud800", "\x00", " " * 100_000 + "x", "-" * 200_000]
)
def test_23_a_huge_or_broken_text_finds_nobody_at_once(agent, text):
    """Number 23: nobody waits for a text that is no identifier."""
    started = time.process_time()
    for identifier, second in ((text, ""), ("山田", text)):
        with contextlib.suppress(SecondFactNeeded):
            assert find(identifier, second, actor=agent).hits == []
    assert time.process_time() - started < 3
