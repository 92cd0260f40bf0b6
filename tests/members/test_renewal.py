"""Number 28: who was found is found before, during and after lookups are made anew, and nobody becomes two."""

import json

import pytest
from django.core.management import CommandError, call_command

from access_control import openings
from access_control.models import LedgerEvent
from access_control.vault import store
from access_control.vault.lookups import hashing
from consent.services.joining import join_many
from members.lookups import every_lookup
from members.models import ContactPoint, Member
from members.normal_forms.characters import normal_forms_of
from members.services import renewal
from members.services.corrections import apply_correction, ask_correction
from members.services.finding import SecondFactNeeded, find
from tests import factories

# Each finds the member in both versions.
ALWAYS = [
    ("F0000028", ""),
    ("renew-me", ""),
    ("hanako.yamada@example.jp", ""),
    ("03-5550-1234", ""),
    ("髙橋花子", "1980-02-03"),
]


def found(identifier, second="", *, actor):
    try:
        return [hit.member for hit in find(identifier, second, actor=actor).hits]
    except SecondFactNeeded:
        return []


def older(member, new):
    """The member's lookups become those that version 1 made."""
    now = [(one.field, one.mac) for one in every_lookup(new, member.pk)]
    store.remove_lookups(member.pk, now)
    with normal_forms_of(1):
        lookups = every_lookup(new, member.pk, mac=hashing(1))
    store.add_lookups(lookups, version=1)


@pytest.fixture
def old_member():
    fields = {"member_number": "F0000028", "login_id": "renew-me", "name": "高橋 花子"}
    member = factories.member(**fields)
    older(member, factories.new_member(**fields))
    return member


def command(*arguments, capsys):
    capsys.readouterr()
    try:
        call_command("renew_lookups", "--json", *arguments)
        status = 0
    except SystemExit as ended:
        status = ended.code
    return json.loads(capsys.readouterr().out), status


@pytest.mark.parametrize(("identifier", "second"), ALWAYS)
def test_who_was_found_is_found_before_and_after(agent, old_member, identifier, second):
    assert found(identifier, second, actor=agent) == [old_member.pk]
    renewal.renew_lookups()
    assert found(identifier, second, actor=agent) == [old_member.pk]
    assert renewal.remaining() == 0


def test_the_command_counts_renews_and_may_be_repeated(agent, old_member, hanako, capsys):
    assert command("--check", capsys=capsys) == ({"renewed": 0, "remaining": 1}, 0)
    assert command(capsys=capsys) == ({"renewed": 1, "remaining": 0}, 0)
    assert command(capsys=capsys) == ({"renewed": 0, "remaining": 0}, 0)
    assert command("--check", capsys=capsys) == ({"renewed": 0, "remaining": 0}, 0)
    (event,) = LedgerEvent.objects.filter(event="member:lookups_renewed")
    assert (event.count, event.actor) == (1, None)


def test_after_a_crash_nobody_is_found_by_a_value_that_was_corrected(agent, hanako, capsys):
    """The lookups of an old value go after the commit: what ends in between leaves them, and a renewal takes them."""
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    case = factories.identify(factories.case(hanako, agent))
    wish = ask_correction(case, item="contact.email", row=mail.pk, text="new@example.jp", actor=agent)
    # Nothing is done on commit here, as after a crash.
    apply_correction(wish, actor=agent)
    old = "hanako.yamada@example.jp"
    assert found(old, actor=agent) == [hanako.pk]
    assert command(capsys=capsys) == ({"renewed": 0, "remaining": 0}, 0)
    assert found(old, actor=agent) == [hanako.pk]
    assert command("--corrected", "2", capsys=capsys) == ({"renewed": 1, "remaining": 0}, 0)
    assert found(old, actor=agent) == []
    for identifier in ("new@example.jp", "03-5550-1234"):
        assert found(identifier, actor=agent) == [hanako.pk]
    with pytest.raises(CommandError):
        command("--corrected", "-1", capsys=capsys)


def test_an_interrupted_renewal_finds_everybody_and_goes_on(agent, monkeypatch):
    monkeypatch.setattr(renewal, "CHUNK", 2)
    members = []
    for number in range(5):
        fields = {"member_number": f"R000000{number}", "login_id": f"r-{number}"}
        members.append(factories.member(**fields))
        older(members[-1], factories.new_member(**fields))
    true_renew, calls = renewal._renew, []

    def dying(chunk):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(chunk)
        return true_renew(chunk)

    monkeypatch.setattr(renewal, "_renew", dying)
    with pytest.raises(KeyboardInterrupt):
        renewal.renew_lookups()
    monkeypatch.setattr(renewal, "_renew", true_renew)
    assert renewal.remaining() == 3
    for number, member in enumerate(members):
        assert found(f"R000000{number}", actor=agent) == [member.pk]
    assert renewal.renew_lookups() == renewal.Renewal(renewed=3, remaining=0)


def test_whose_seal_is_broken_remains_and_stops_nobody(agent, old_member):
    fields = {"member_number": "R0000009", "login_id": "r-9"}
    other = factories.member(**fields)
    older(other, factories.new_member(**fields))
    row = ContactPoint.objects.filter(member=other).first()
    another = ContactPoint.objects.filter(member=old_member, kind=row.kind).first()
    with factories.acting(None, reason="imported"):
        ContactPoint.objects.filter(pk=row.pk).update(value=another.value)
    result = renewal.renew_lookups()
    assert (result.renewed, result.remaining) == (1, 1)
    assert found("R0000009", actor=agent) == [other.pk]


def test_the_ceiling_of_the_hour_ends_the_run_and_loses_nothing(agent, old_member, monkeypatch):
    from access_control.vault.errors import CeilingReached

    def refused(*_, **__):
        raise CeilingReached("the hourly ceiling of 1 subjects is reached")

    with monkeypatch.context() as patch:
        patch.setattr(openings, "keys_for", refused)
        result = renewal.renew_lookups()
    assert (result.renewed, result.remaining, result.ceiling_reached) == (0, 1, True)
    assert found("F0000028", actor=agent) == [old_member.pk]


def test_an_import_before_the_renewal_makes_no_second_member(old_member):
    fields = {"member_number": "F0000028", "login_id": "renew-me", "name": "高橋 花子"}
    (again,) = join_many([factories.new_member(**fields)], actor=None)
    assert (again.outcome, again.member) == ("unchanged", old_member.pk)
    other = factories.new_member(member_number="F0000029", login_id="RENEW-ME")
    (taken,) = join_many([other], actor=None)
    assert (taken.outcome, taken.fields) == ("conflict", ("login_id",))
    assert Member.objects.count() == 1


def test_an_order_before_the_renewal_finds_its_member(old_member):
    assert factories.transaction("F0000028").member_id == old_member.pk


def test_a_correction_before_the_renewal_leaves_no_old_lookup(agent, old_member, django_capture_on_commit_callbacks):
    case = factories.identify(factories.case(old_member, agent))
    row = ContactPoint.objects.get(member=old_member, kind="email")
    asked = ask_correction(case, item="contact.email", row=row.pk, text="neu@example.net", actor=agent)
    with django_capture_on_commit_callbacks(execute=True):
        apply_correction(asked, actor=agent)
    assert found("neu@example.net", actor=agent) == [old_member.pk]
    assert found("hanako.yamada@example.jp", actor=agent) == []
    renewal.renew_lookups()
    assert found("neu@example.net", actor=agent) == [old_member.pk]
    assert found("hanako.yamada@example.jp", actor=agent) == []


def test_two_numbers_that_become_one_form_keep_both_members(agent):
    members = []
    for number in ("⻑0000001", "長0000001"):
        fields = {"member_number": f"K{len(members)}", "login_id": f"k-{len(members)}"}
        member = factories.member(**fields)
        new = factories.new_member(**(fields | {"member_number": number}))
        older(member, factories.new_member(**fields))
        with normal_forms_of(1):
            (first, *_rest) = every_lookup(new, member.pk, mac=hashing(1))
        store.add_lookups([first], version=1)
        members.append(member)
    renewal.renew_lookups()
    assert [found(f"K{place}", actor=agent) for place in range(2)] == [[member.pk] for member in members]
