"""Number 26: the nightly file. Later use, what was changed on My Page, what wins over the file, and the exit status."""

import datetime
import json
import logging
import os
import stat
from pathlib import Path

import pytest
import time_machine
from django.utils import timezone

from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.errors import CeilingReached
from access_control.vault.ring import keys_for
from consent import importing
from consent.importing import import_members
from consent.models import AcceptedVersion, ConsentEvent, PolicyVersion
from consent.services import joining
from members.events import Event
from members.intake import Fault
from members.lines import Rejects
from members.models import Addressee, ContactPoint, Correction, Member, PaymentMeans, Suspension
from members.services import registration
from members.services.corrections import apply_correction, ask_correction
from members.services.differences import KEPT
from members.services.finding import find
from members.services.identity import check_identity
from members.services.on_file import stored_people
from tests import factories

TOKYO = datetime.timezone(datetime.timedelta(hours=9))


@pytest.fixture
def bring(tmp_path):
    """Imports rows; returns (result, rejects, warnings)."""

    def imported(*rows, exported_at=None, dry_run=False):
        lines = [(number, json.dumps(row).encode()) for number, row in enumerate(rows, 1)]
        files = Rejects(tmp_path / "rejects"), Rejects(tmp_path / "warnings")
        result = import_members(
            lines, actor=None, rejects=files[0], warnings=files[1], exported_at=exported_at, dry_run=dry_run
        )
        told = [
            path and [json.loads(line) for line in path.read_text().splitlines()] for path in map(Rejects.close, files)
        ]
        return result, told[0] or [], told[1] or []

    return imported


def counted(result):
    return {name: count for name, count in vars(result).items() if count and name != "read"}


def clear(member):
    with acting(None, reason="asked") as act:
        event = act.record(Event.COMPARED)
    with keys_for([member.pk], list(Category), event=event) as ring:
        return stored_people([member.pk], ring)[member.pk]


def contacts(*pairs):
    return {"contacts": [{"kind": kind, "value": value} for kind, value in pairs]}


def corrected(member, item, row, text, agent):
    case = factories.case(member, agent)
    assert check_identity(case, said=factories.RIGHT_ANSWERS, actor=agent).identified
    case.refresh_from_db()
    return apply_correction(ask_correction(case, item=item, row=row, text=text, actor=agent), actor=agent)


# Later use


def test_26_a_later_use_is_taken_and_is_consent_to_the_version_of_that_day(bring):
    row = factories.RowFactory(joined_on="2012-01-01", last_used_on="2016-01-01")
    bring(row)
    member = Member.objects.get()
    assert not AcceptedVersion.objects.exists()
    result, rejects, warnings = bring(row | {"last_used_on": "2026-10-02"})
    assert (counted(result), rejects, warnings) == ({"used": 1}, [], [])
    member.refresh_from_db()
    assert member.last_used_on == datetime.date(2026, 10, 2)
    event = ConsentEvent.objects.order_by("-on").first()
    assert (event.kind, event.on, event.version, event.evidence, event.channel) == (
        "deemed_using",
        member.last_used_on,
        PolicyVersion.objects.get(),
        "not_held",
        "import",
    )
    assert AcceptedVersion.objects.get().event == event
    assert LedgerEvent.objects.filter(subject=member.pk, event="consent:deemed").count() == 2
    assert Member.history.latest("history_id").history_change_reason == "imported"
    # The same file again, and one of the day before, change nothing.
    for day in ("2026-10-02", "2026-10-01", None):
        result, _rejects, _warnings = bring(row | {"last_used_on": day})
        assert counted(result) == {"unchanged": 1}
    assert ConsentEvent.objects.count() == 3
    member.refresh_from_db()
    assert member.last_used_on == datetime.date(2026, 10, 2)


def test_26_an_accepted_version_is_never_replaced_by_an_older_one(bring):
    row = factories.RowFactory(last_used_on=None)
    bring(row)
    accepted = AcceptedVersion.objects.get()
    bring(row | {"last_used_on": "2026-10-02"})
    assert AcceptedVersion.objects.get().event == accepted.event


# Changed on My Page


@pytest.mark.parametrize(
    ("change", "item"),
    [
        ({"occupation": "教員"}, "member.occupation"),
        ({"occupation": ""}, "member.occupation"),
        ({"birth_date": "1980-02-04"}, "member.birth_date"),
        ({"sex": "other"}, "member.sex"),
        (
            contacts(("email", "neu@example.jp"), ("phone", "03-5550-1234"), ("mobile", "090-1000-5678")),
            "contact.email",
        ),
        (contacts(("phone", "03-5550-1234"), ("mobile", "090-1000-5678")), "contact.email"),
        ({"contacts": []}, "contact.phone"),
        ({"addressees": []}, "addressee.name"),
        ({"payment_means": [{"kind": "mobile", "phone": "090-1000-5678"}]}, "payment.mobile"),
    ],
)
def test_26_what_was_changed_on_my_page_is_applied_as_a_correction(bring, agent, change, item, events_of):
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    result, rejects, warnings = bring(row | change)
    assert (counted(result), rejects, warnings) == ({"changed": 1}, [], [])
    new = factories.parse(row | change, entities=frozenset({"jp"}), today=factories.TODAY)
    assert clear(member) == new
    event = LedgerEvent.objects.get(subject=member.pk, event=Event.CORRECTION_APPLIED)
    assert (item in event.items, event.reason, event.actor) == (True, "my_page", None)
    applied = Correction.objects.filter(member=member)
    assert {(one.channel, one.state, one.reason, one.case) for one in applied} <= {
        ("my_page", "applied", "my_page", None)
    }
    # The same file again changes nothing.
    result, _rejects, _warnings = bring(row | change)
    assert counted(result) == {"unchanged": 1}
    # And back again.
    result, _rejects, _warnings = bring(row)
    assert counted(result) == {"changed": 1}
    assert clear(member) == factories.parse(row, entities=frozenset({"jp"}), today=factories.TODAY)


def test_26_the_old_value_is_superseded_and_the_member_is_found_by_the_new_one(
    bring, agent, django_capture_on_commit_callbacks
):
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    mail = ContactPoint.objects.get(kind="email")
    with django_capture_on_commit_callbacks(execute=True):
        bring(row | contacts(("email", "neu@example.jp"), ("phone", "03-5550-1234"), ("mobile", "090-1000-5678")))
    mail.refresh_from_db()
    assert (mail.removed_at, mail.well_formed) == (None, True)
    assert mail.changed_at
    (correction,) = Correction.objects.all()
    assert (correction.row, correction.item, correction.field) == (mail.pk, "contact.email", "value")
    assert (correction.superseded_category, correction.superseded_generation) == (Category.CONTACT, 1)
    living = {key.ref.generation for key in store.status([member.pk]) if key.ref.category == Category.CONTACT}
    assert living == {1, 2}
    from access_control.vault.seal import header

    assert {header(one.value.blob) for one in ContactPoint.objects.all()} == {(Category.CONTACT, 2)}
    assert mail.history.latest("history_id").history_change_reason == "my_page"
    assert [hit.member for hit in find("neu@example.jp", actor=agent).hits] == [member.pk]
    assert find("hanako.yamada@example.jp", actor=agent).hits == []
    assert [hit.member for hit in find("03-5550-1234", actor=agent).hits] == [member.pk]


def test_26_a_removed_row_keeps_its_history_and_its_values_go(bring):
    row = factories.RowFactory()
    bring(row)
    bring(row | {"addressees": []})
    gone = Addressee.objects.get()
    assert gone.removed_at
    assert (gone.name, gone.address, gone.phone, gone.kana, gone.postcode) == (None,) * 5
    assert {one.item for one in Correction.objects.all()} == {
        f"addressee.{name}" for name in ("name", "kana", "postcode", "address", "phone")
    }
    assert gone.history.count() == 2


def test_26_an_addressee_that_moved_is_the_same_row_and_a_replaced_card_is_another(bring):
    row = factories.RowFactory()
    bring(row)
    home, card = Addressee.objects.get(), PaymentMeans.objects.get(kind="card")
    moved = row["addressees"][0] | {"address": "東京都港区芝1-1", "postcode": "105-0014"}
    other = [
        {"kind": "card", "token": "tok_2", "brand": "VISA", "last_four": "1111", "expiry": "2030-01"},
        row["payment_means"][1],
    ]
    result, _rejects, _warnings = bring(row | {"addressees": [moved], "payment_means": other})
    assert counted(result) == {"changed": 1}
    assert Addressee.objects.get().pk == home.pk
    card.refresh_from_db()
    assert card.removed_at
    assert PaymentMeans.objects.filter(kind="card", removed_at=None).count() == 1


def test_26_first_data_of_a_category_gets_its_first_key(bring):
    bare = factories.RowFactory(contacts=[], addressees=[], payment_means=[], birth_date="", sex="", occupation="")
    bring(bare)
    result, _rejects, _warnings = bring(bare | contacts(("phone", "03-5550-1234")) | {"sex": "female"})
    assert counted(result) == {"changed": 1}
    assert clear(Member.objects.get()).sex == "female"
    assert {(one.superseded_category, one.superseded_generation) for one in Correction.objects.all()} == {(None, None)}


@pytest.mark.parametrize(
    "spelt",
    [
        {"name": "山田　花子"},
        {"kana": "やまだ はなこ"},
        {"login_id": "ＨＡＮＡＫＯ２６"},
        contacts(("email", "Hanako.Yamada@Example.jp"), ("phone", "0355501234"), ("mobile", "+81 90 1000 5678")),
    ],
)
def test_26_another_spelling_is_no_change(bring, spelt):
    row = factories.RowFactory(login_id="hanako26")
    bring(row)
    result, rejects, _warnings = bring(row | spelt)
    assert (counted(result), rejects) == ({"unchanged": 1}, [])
    assert not Correction.objects.exists()


# What wins over the file


def test_26_the_consoles_newer_correction_wins_and_is_reported(bring, agent):
    row = factories.RowFactory()
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    corrected(member, "contact.email", mail.pk, "console@example.jp", agent)
    hour = datetime.timedelta(hours=1)
    for exported_at in (None, timezone.now() - hour):
        result, rejects, warnings = bring(row | {"occupation": "教員"}, exported_at=exported_at)
        assert result.kept == 1
        assert rejects == []
        assert [(one["line"], one["field"], one["code"]) for one in warnings] == [(1, "contact.email", "console_newer")]
        assert "@" not in str(warnings)
    now = clear(member)
    # The rest of the row is taken.
    assert (now.contacts[0].value, now.occupation) == ("console@example.jp", "教員")
    with time_machine.travel(timezone.now() + 2 * hour, tick=False):
        result, _rejects, _warnings = bring(row | {"occupation": "教員"}, exported_at=timezone.now() - hour)
    assert counted(result) == {"changed": 1}
    assert clear(member).contacts[0].value == "hanako.yamada@example.jp"


def test_26_a_row_may_say_itself_when_it_was_written(bring, agent):
    row = factories.RowFactory()
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    corrected(member, "contact.email", mail.pk, "console@example.jp", agent)
    with time_machine.travel(timezone.now() + datetime.timedelta(hours=2), tick=False):
        at = (timezone.now() - datetime.timedelta(hours=1)).isoformat()
        result, _rejects, _warnings = bring(row | {"exported_at": at})
    assert counted(result) == {"changed": 1}


@pytest.mark.parametrize(
    "at", ["2026-01-01", "2026-01-01T00:00:00", "2199-01-01T00:00:00Z", "soon", 5, "0001-01-01T00:00:00+14:00"]
)
def test_26_a_time_without_its_zone_or_to_come_is_a_reject(bring, at):
    result, rejects, _warnings = bring(factories.RowFactory(exported_at=at))
    assert (counted(result), rejects[0]["field"]) == ({"rejected": 1}, "exported_at")


def test_26_a_value_under_suspension_is_reported_and_not_overwritten(bring, agent):
    row = factories.RowFactory()
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    case = factories.identify(factories.case(member, agent))
    ask_correction(case, item="contact.email", row=mail.pk, text="asked@example.jp", actor=agent)
    result, _rejects, warnings = bring(row | contacts(("email", "neu@example.jp"), ("phone", "03-5550-1234")))
    assert result.kept == 1
    assert ("contact.email", "suspended") in {(one["field"], one["code"]) for one in warnings}
    assert clear(member).contacts[0].value == "hanako.yamada@example.jp"
    assert [contact.kind for contact in clear(member).contacts] == ["email", "phone"]
    assert Suspension.objects.filter(ended_at=None).count() == 1


def test_26_a_stale_file_does_not_undo_a_newer_one(bring):
    row = factories.RowFactory()
    bring(row)
    now = timezone.now()
    bring(row | {"occupation": "教員"}, exported_at=now - datetime.timedelta(hours=1))
    result, _rejects, warnings = bring(row, exported_at=now - datetime.timedelta(hours=9))
    assert (counted(result), warnings[0]["code"]) == ({"kept": 1, "warned": 1}, "file_older")
    assert clear(Member.objects.get()).occupation == "教員"


def test_26_of_two_corrected_mails_none_is_mixed_up_with_the_other(bring, agent):
    mails = [("email", "a@example.jp"), ("email", "b@example.jp")]
    row = factories.RowFactory() | contacts(*mails, ("phone", "03-5550-1234"))
    bring(row)
    member = Member.objects.get()
    first = ContactPoint.objects.filter(kind="email").order_by("pk").first()
    corrected(member, "contact.email", first.pk, "console@example.jp", agent)
    result, _rejects, _warnings = bring(row | contacts(mails[0], ("email", "aa@example.jp"), ("phone", "03-5550-1234")))
    assert result.kept == 1
    assert "console@example.jp" in [contact.value for contact in clear(member).contacts]


def test_26_whose_membership_has_ended_is_not_changed(bring):
    row = factories.RowFactory()
    bring(row)
    with acting(None, reason="asked"):
        Member.objects.update(state="ended", ended_at=timezone.now())
    result, _rejects, warnings = bring(row | {"occupation": "教員", "last_used_on": "2026-10-09"})
    assert (counted(result), warnings[0]["code"]) == ({"kept": 1, "warned": 1}, "membership_ended")
    member = Member.objects.get()
    assert (clear(member).occupation, str(member.last_used_on)) == ("会社員", "2026-10-01")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "別人 花子"}, "name"),
        ({"name": "山田 華子"}, "name"),
        ({"kana": "ヤマダ ハルコ"}, "kana"),
        ({"login_id": "other26"}, "login_id"),
        ({"joined_on": "2018-05-03"}, "joined_on"),
        ({"entity": "kr"}, "entity"),
    ],
)
def test_26_an_immutable_item_is_a_reject_and_nothing_of_the_row_is_taken(bring, change, field):
    row = factories.RowFactory()
    bring(row)
    result, rejects, _warnings = bring(row | change | {"occupation": "教員", "last_used_on": "2026-10-20"})
    assert counted(result) == {"rejected": 1}
    assert (field, "conflict") in {(one["field"], one["code"]) for one in rejects}
    member = Member.objects.get()
    assert (clear(member).occupation, str(member.last_used_on)) == ("会社員", "2026-10-01")


def test_26_rows_of_one_member_follow_one_another(bring):
    row = factories.RowFactory()
    result, _rejects, _warnings = bring(row, row | {"occupation": "教員"}, row | {"occupation": "医師"}, row)
    assert counted(result) == {"created": 1, "changed": 2, "unchanged": 1}
    assert clear(Member.objects.get()).occupation == "医師"


def test_26_a_chunk_of_changes_costs_as_many_queries_as_one(bring, django_assert_max_num_queries):
    """No row has a query of its own, but for taking its old lookups out after the commit."""
    rows = factories.RowFactory.build_batch(20)
    bring(*rows)
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counts = []
    for some in (rows[:2], rows[2:]):
        with CaptureQueriesContext(connection) as queries:
            result, _rejects, _warnings = bring(
                *(row | {"occupation": "教員", "last_used_on": "2026-10-20"} for row in some)
            )
        assert result.changed == len(some)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# Exit status


def test_26_only_rejects_make_the_exit_status_one(run_members, agent):
    row = factories.RowFactory()
    summary, status = run_members(row)
    assert (summary["created"], status) == (1, 0)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    corrected(member, "contact.email", mail.pk, "console@example.jp", agent)
    summary, status = run_members(
        row | {"last_used_on": "2026-10-30"}, factories.RowFactory() | contacts(("fax", "なし"))
    )
    counts = {name: summary[name] for name in ("read", "created", "unchanged", "used", "changed", "kept", "rejected")}
    assert counts == {"read": 2, "created": 1, "unchanged": 0, "used": 0, "changed": 0, "kept": 1, "rejected": 0}
    assert (summary["warned"], summary["rejects_file"], status) == (2, None, 0)
    warnings = [json.loads(line) for line in Path(summary["warnings_file"]).read_text().splitlines()]
    assert {(one["line"], one["field"]) for one in warnings} == {(1, "contact.email"), (2, "contacts[0].value")}
    assert "なし" not in str(warnings)
    summary, status = run_members(row | {"name": "別人"})
    assert (summary["rejected"], status) == (1, 1)


@pytest.fixture
def run_members(supervisor, tmp_path, monkeypatch):
    import io

    from django.core.management import call_command

    def command(*rows, options=()):
        file = tmp_path / "members.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        monkeypatch.setattr("sys.stdin", io.StringIO(factories.PASSWORD + "\n"))
        out, status = io.StringIO(), 0
        try:
            call_command("import_members", str(file), "--as", supervisor.username, "--json", *options, stdout=out)
        except SystemExit as exit:
            status = exit.code
        return json.loads(out.getvalue()), status

    return command


# Number 23: no row takes another with it


@pytest.mark.parametrize(
    "odd",
    [{"kana": odd} for odd in ("-", "・", "？", "＊", "\u3164", "〓")]
    + [{"name": odd} for odd in ("〓", "★", "-", "\u200b")]
    + [{"addressees": [{"name": "★", "address": "東京都"}]}],
)
def test_23_no_row_takes_another_with_it_and_the_dry_run_says_the_same(bring, odd):
    """Number 23."""
    good = factories.RowFactory.build_batch(3)
    rows = [good[0], factories.RowFactory() | odd, *good[1:]]
    dry, dry_rejects, _warnings = bring(*rows, dry_run=True)
    result, rejects, _warnings = bring(*rows)
    assert (result.created, result.rejected, dry.rejected) == (3, 1, 1)
    assert rejects == dry_rejects
    assert rejects[0]["line"] == 2


def test_23_a_row_that_breaks_where_nobody_thought_of_is_refused_alone(bring, monkeypatch, caplog):
    """Number 23: whatever a row holds, the chunk is halved down to it."""
    rows = factories.RowFactory.build_batch(9)
    real, bad = joining.registration.shared_lookups, rows[4]["login_id"]

    def breaks(new, subject, **options):
        if new.login_id == bad:
            raise ValueError("a rule nobody wrote")
        return real(new, subject, **options)

    monkeypatch.setattr(registration, "shared_lookups", breaks)
    with caplog.at_level(logging.ERROR):
        result, rejects, _warnings = bring(*rows)
    assert counted(result) == {"created": 8, "rejected": 1}
    assert [(one["line"], one["code"]) for one in rejects] == [(5, "cannot_be_taken")]
    assert bad not in caplog.text
    monkeypatch.undo()
    result, _rejects, _warnings = bring(*rows)
    assert counted(result) == {"created": 1, "unchanged": 8}


def test_23_a_seal_that_is_broken_refuses_its_own_row_only(bring):
    """Number 23: also what is on file takes no other row with it."""
    rows = factories.RowFactory.build_batch(3)
    bring(*rows)
    first, second, _third = Member.objects.order_by("pk")
    with acting(None, reason="asked"):
        Member.objects.filter(pk=first.pk).update(occupation=second.occupation)
    result, rejects, _warnings = bring(*rows)
    assert counted(result) == {"unchanged": 2, "rejected": 1}
    assert [(one["field"], one["code"]) for one in rejects] == [("member_number", "broken")]


def test_23_what_is_no_rows_fault_stops_the_import(bring, monkeypatch):
    """Number 23: a ceiling is not taken for a thousand bad rows."""

    def reached(*_args, **_kwargs):
        raise CeilingReached

    monkeypatch.setattr(importing, "join_many", reached)
    with pytest.raises(CeilingReached):
        bring(*factories.RowFactory.build_batch(4))


def test_a_list_that_goes_to_a_pipe_or_a_device_leaves_its_mode_alone(tmp_path):
    """Whoever runs an import as root and wants no list must not take /dev/null from everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    rejects = Rejects(pipe)
    rejects.add(1, [Fault("name", "missing", "This field is missing.")])
    rejects.close()
    os.close(reading)
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o644


def test_every_code_of_what_is_kept_has_a_sentence():
    assert all(str(sentence) for sentence in KEPT.values())


def test_26_what_a_row_does_not_say_stays_on_file(bring):
    """A field that is absent or null says nothing; an empty list says that there is none any more."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    before = clear(member)
    least = {name: row[name] for name in ("member_number", "login_id", "entity", "joined_on", "name", "kana")}
    for said in (least, least | dict.fromkeys(("birth_date", "contacts", "addressees", "payment_means", "sex"))):
        result, rejects, _warnings = bring(said)
        assert (counted(result), rejects) == ({"unchanged": 1}, [])
        assert clear(member) == before
    bring(least | {"contacts": []})
    assert clear(member).contacts == ()
    assert clear(member).addressees == before.addressees


def test_27_what_was_left_out_of_a_row_takes_nothing_off_file(bring):
    """One contact that cannot be read: the others are taken, and none that is on file goes."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    before = clear(member)
    known = [(contact["kind"], contact["value"]) for contact in row["contacts"]]
    result, rejects, warnings = bring(row | contacts(*known[:1], ("phone", "119"), ("mobile", "なし")))
    assert (rejects, len(warnings)) == ([], 2)
    assert counted(result) == {"unchanged": 1, "warned": 1}
    assert clear(member) == before
    bring(row | contacts(*known[:1], ("phone", "119"), ("email", "second@example.jp")))
    assert {contact.value for contact in clear(member).contacts} - {contact.value for contact in before.contacts} == {
        "second@example.jp"
    }
    assert len(clear(member).contacts) == len(before.contacts) + 1
