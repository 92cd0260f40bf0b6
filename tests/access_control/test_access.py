"""Number 16: nobody gives access alone, and nobody but its owner knows a password."""

import datetime
import io
import json
import re
import threading
import uuid

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access_control import access_services, policies, services
from access_control.access_models import AccessRequest, SignInLink
from access_control.access_services import LinkEnded, OwnRequest, agree, ask_account, ask_hire, ask_link, ask_move
from access_control.codes import Reason
from access_control.controls import CONTROLS, measured
from access_control.ledger import acting
from access_control.models import Approval, Entity, LedgerEvent, Person, Staff
from access_control.requests import JsonLines
from access_control.roles import AGREEING_ROLES, PERMISSIONS
from access_control.services import (
    NotApprovable,
    SecondPersonNeeded,
    change_password,
    hire,
    leave,
    move,
    open_account,
)
from tests import factories

NEW = "mado ni kaze 7 hikaru"


@pytest.fixture
def second_administrator():
    return factories.staff("administrator")


def wanted(**fields):
    values = {
        "employee_number": "E9001",
        "display_name": "新人 一郎",
        "entity": Entity.objects.get(code="jp"),
        "access_class": "direct",
        "joined_on": datetime.date(2026, 11, 1),
        "username": "newcomer",
        "role": "records",
    }
    return values | fields


def ask(actor, **fields):
    values = wanted(**fields)
    return ask_hire(values.pop("employee_number"), **values, actor=actor)


def refused(code, act):
    """PostgreSQL refuses with this SQLSTATE, and the transaction goes on."""
    with pytest.raises(DatabaseError) as failure, transaction.atomic():
        act()
    assert failure.value.__cause__.sqlstate == code


def page_of(request):
    return reverse("admin:access_control_accessrequest_change", args=[request.pk])


def events(person):
    return list(LedgerEvent.objects.filter(subject=person).order_by("sequence").values_list("event", flat=True))


# Alone


def test_number_16_an_administrator_alone_makes_no_second_identity(administrator):
    person = factories.person(access_class="")
    ours = wanted()
    with pytest.raises(SecondPersonNeeded):
        hire(
            "E9001",
            **{n: ours[n] for n in ("display_name", "entity", "access_class", "joined_on")},
            actor=administrator,
        )
    with pytest.raises(SecondPersonNeeded):
        open_account(person, username="mine", role="records", password=NEW, actor=administrator)
    for more in ({"access_class": "direct"}, {"access_class": "", "role": "officer"}):
        with pytest.raises(SecondPersonNeeded):
            move(administrator.person, **more, actor=administrator)
    assert not Staff.objects.filter(username="mine").exists()


def test_number_16_the_pages_of_an_administrator_alone_give_nothing(client, administrator):
    client.force_login(administrator)
    ours = {**wanted(), "entity": "jp", "joined_on": "2026-11-01", "password": NEW}
    answer = client.post(reverse("admin:access_control_person_add"), ours)
    assert answer.status_code == 302
    assert not Person.objects.filter(employee_number="E9001").exists()
    request = AccessRequest.objects.get()
    assert answer["Location"] == page_of(request)
    page = client.get(page_of(request)).content.decode()
    assert "新人 一郎" in page
    assert 'value="agree"' not in page
    assert client.post(page_of(request), {"decision": "agree", "shown": request.digest().hex()}).status_code == 200
    person = factories.person(access_class="")
    client.post(
        reverse("admin:access_control_staff_add"),
        {"person": person.pk, "username": "mine", "role": "officer", "password": NEW, "usable_password": "true"},
    )
    client.post(
        reverse("admin:access_control_person_move", args=[administrator.person_id]),
        {"access_class": "privacy", "role": "officer"},
    )
    assert not Staff.objects.filter(username__in=["mine", "newcomer"]).exists()
    assert Staff.objects.get(pk=administrator.pk).role == "administrator"
    assert not client.login(username="mine", password=NEW)


@pytest.mark.parametrize("page", ["password/", "change/password/", "../staff/password/"])
def test_number_16_no_stock_page_sets_somebody_elses_password(client, administrator, officer, page):
    client.force_login(administrator)
    address = reverse("admin:access_control_staff_change", args=[officer.pk])
    passwords = {"password1": NEW, "password2": NEW, "new_password1": NEW, "new_password2": NEW, "role": "agent"}
    # The stock "change" page refuses, every other address is none.
    assert client.post(address, passwords).status_code == 403
    assert client.post(f"{address.removesuffix('change/')}{page}", passwords).status_code in {302, 403, 404}
    assert Staff.objects.get(pk=officer.pk).check_password(factories.PASSWORD)


def test_number_16_the_database_refuses_what_one_person_gives(administrator, second_administrator, officer):
    person = factories.person(access_class="")
    with acting(administrator, reason=Reason.HIRED):
        people, accounts = Person.objects.filter(pk=person.pk), Staff.objects.filter(pk=officer.pk)
        new = Staff(username="mine", person=person, role="records", password="!")
        refused("CA016", lambda: people.update(access_class="direct"))
        refused("CA016", lambda: Person(**{**_row(person), "access_class": "needed"}).save(force_insert=True))
        refused("CA016", lambda: new.save(force_insert=True))
        for change in ({"role": "agent"}, {"username": "other"}, {"person": person}):
            refused("CA016", lambda change=change: accounts.update(**change))
        refused("CA017", lambda: accounts.update(password=administrator.password))
        refused("CA016", lambda: _link(officer))
        # Ending access is one person's business.
        accounts.update(is_active=False)
        refused("CA016", lambda: accounts.update(is_active=True))
        Person.objects.filter(pk=officer.person_id).update(left_on=timezone.localdate())
        refused("CA016", lambda: Person.objects.filter(pk=officer.person_id).update(left_on=None))


def _row(person):
    return {
        "employee_number": "E9002",
        "display_name": "x",
        "entity_id": person.entity_id,
        "joined_on": person.joined_on,
    }


def _link(account, **fields):
    now = timezone.now()
    values = {"staff_epoch": account.epoch, "made_at": now, "expires_at": now + datetime.timedelta(hours=1)}
    return SignInLink.objects.create(account=account, token_hash=b"\x05" * 32, **(values | fields))


@pytest.mark.parametrize(
    ("table", "trigger"),
    [
        ("access_control_person", "access_class_needs_two"),
        ("access_control_person", "access_class_needs_two_again"),
        ("access_control_staff", "account_needs_two"),
        ("access_control_staff", "account_needs_two_again"),
        ("access_control_staff", "password_is_ones_own"),
        ("access_control_signinlink", "sign_in_link_needs_two"),
        ("access_control_signinlink", "sign_in_link_is_kept"),
    ],
)
def test_number_16_the_guards_are_installed(table, trigger):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgenabled FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s", [table, trigger]
        )
        assert cursor.fetchone() == ("O",)


# Two persons


def test_number_16_what_two_persons_agree_on_is_done_once(administrator, officer):
    request = ask(administrator)
    assert not Person.objects.filter(employee_number="E9001").exists()
    given = agree(request, actor=officer)
    account = Staff.objects.get(username="newcomer")
    assert given.account == account
    assert account.person_id == request.person
    assert account.role == "records"
    assert not account.has_usable_password()
    assert account.history.count() == 1
    assert events(request.person) == ["access:asked", "person:hired", "account:opened", "account:link_made"]
    with pytest.raises(NotApprovable):
        agree(request, actor=officer)
    assert bytes(SignInLink.objects.get().token_hash) not in given.token.encode()


@pytest.mark.parametrize("who", ["requester", "subject", "agent", "auditor", "records"])
def test_number_16_some_persons_do_not_agree(administrator, second_administrator, who):
    request = ask_move(second_administrator.person, access_class="privacy", role="officer", actor=administrator)
    known = {"requester": administrator, "subject": second_administrator}
    with pytest.raises((OwnRequest, PermissionDenied)):
        agree(request, actor=known.get(who) or factories.staff(who))
    assert Staff.objects.get(pk=second_administrator.pk).role == "administrator"
    assert Approval.objects.get().approved_at is None


def test_number_16_two_accounts_of_one_person_are_one_person(administrator, officer):
    request = ask(administrator)
    with pytest.raises(IntegrityError), transaction.atomic(), acting(None, reason=Reason.HIRED):
        Staff.objects.create(person=administrator.person, username="again", role="officer", password="!")
    # Past the service: the constraint is on persons.
    with pytest.raises(IntegrityError), transaction.atomic(), acting(officer, reason=Reason.HIRED):
        Approval.objects.filter(pk=request.approval_id).update(
            approver=administrator.person, approver_epoch=1, approved_at=timezone.now()
        )


def test_number_16_another_administrator_agrees_too(administrator, second_administrator, agent):
    agree(
        ask_move(agent.person, access_class="direct", role="supervisor", actor=administrator),
        actor=second_administrator,
    )
    assert Staff.objects.get(pk=agent.pk).role == "supervisor"


@pytest.mark.parametrize("who", ["administrator", "officer"])
def test_number_16_an_approval_of_somebody_who_left_is_none(administrator, officer, who):
    request = ask(administrator)
    actor = {"administrator": administrator, "officer": officer}[who]
    leave(actor.person, on=timezone.localdate(), actor=None)
    with pytest.raises((NotApprovable, PermissionDenied)):
        agree(request, actor=officer)
    assert not Staff.objects.filter(username="newcomer").exists()
    assert not AccessRequest.objects.waiting().exists() or who == "officer"


def test_number_16_an_approval_agrees_to_exactly_what_was_asked(administrator, officer):
    request = ask(administrator)
    for column, value in (
        ("role", "officer"),
        ("username", "other"),
        ("access_class", "needed"),
        ("person", uuid.UUID(int=7)),
    ):
        changed = AccessRequest.objects.select_related("approval").get(pk=request.pk)
        setattr(changed, column, value)
        with pytest.raises(NotApprovable):
            agree(changed, actor=officer)
    with pytest.raises(DatabaseError), transaction.atomic():
        AccessRequest.objects.filter(pk=request.pk).update(role="officer")
    assert not Staff.objects.filter(username="newcomer").exists()


def test_number_16_a_request_refused_or_out_of_time_gives_nothing(administrator, officer):
    first, second = ask(administrator), ask(administrator, employee_number="E9002", username="another")
    access_services.refuse(first, actor=officer)
    Approval.objects.filter(pk=second.approval_id).update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    for request in (first, second):
        with pytest.raises(NotApprovable):
            agree(AccessRequest.objects.get(pk=request.pk), actor=officer)
        with pytest.raises(NotApprovable):
            access_services.refuse(request, actor=officer)
    assert not AccessRequest.objects.waiting().exists()


def test_nobody_refuses_what_is_asked_about_themselves(client, administrator, second_administrator, officer, auditor):
    """Whoever is to lose a role cannot keep it by refusing; whoever asked takes it back; whoever reads it cannot."""
    request = ask_move(officer.person, access_class="direct", role="auditor", actor=administrator)
    client.force_login(officer)
    page = client.get(page_of(request)).content.decode()
    assert 'value="refuse"' not in page
    assert client.post(page_of(request), {"decision": "refuse"}).status_code == 200
    for actor, refusal in ((officer, OwnRequest), (auditor, PermissionDenied)):
        with pytest.raises(refusal):
            access_services.refuse(request, actor=actor)
    assert AccessRequest.objects.waiting().get() == request
    agree(request, actor=second_administrator)
    own = ask_move(administrator.person, access_class="needed", role="auditor", actor=administrator)
    access_services.refuse(own, actor=administrator)
    assert not AccessRequest.objects.waiting().exists()


def test_number_16_what_cannot_be_done_any_more_is_refused_whole(administrator, officer):
    request = ask(administrator)
    with pytest.raises(ValidationError):
        ask(administrator)
    open_account(factories.person(), username="newcomer", role="agent", password=factories.PASSWORD, actor=None)
    with pytest.raises(ValidationError), transaction.atomic():
        agree(request, actor=officer)
    assert not Person.objects.filter(employee_number="E9001").exists()
    assert Approval.objects.get(pk=request.approval_id).approved_at is None


def test_number_16_no_old_agreement_and_no_stock_command_gives_anything(committed, monkeypatch):
    administrator, officer, agent = (factories.staff(role) for role in ("administrator", "officer", "agent"))
    agree(ask_move(agent.person, access_class="direct", role="supervisor", actor=administrator), actor=officer)
    with acting(None, reason=Reason.MOVED):
        Staff.objects.filter(pk=agent.pk).update(role="agent")
    with acting(officer, reason=Reason.MOVED):
        refused("CA016", lambda: Staff.objects.filter(pk=agent.pk).update(role="supervisor"))
    monkeypatch.setattr("getpass.getpass", lambda prompt="": NEW)
    with pytest.raises(DatabaseError):
        call_command("changepassword", officer.username)
    assert Staff.objects.get(pk=officer.pk).check_password(factories.PASSWORD)


# Two persons stay who can give access


def ended(account, actor):
    leave(account.person, on=timezone.localdate(), actor=actor)


def test_access_is_taken_away_alone_as_long_as_two_stay_who_can_give_it(administrator, second_administrator, officer):
    """One administrator alone ends others' access at once, and their own, but for that of the last two."""
    ended(second_administrator, administrator)
    for act in (
        lambda: ended(officer, administrator),
        lambda: ended(administrator, administrator),
        lambda: move(officer.person, access_class="", actor=administrator),
        lambda: move(administrator.person, access_class="", actor=administrator),
    ):
        with pytest.raises(services.TooFewStay, match="end_access"):
            act()
    for account in (administrator, officer):
        account = Staff.objects.select_related("person").get(pk=account.pk)
        assert policies.may(account, "access_control.approve_accessrequest")
        assert account.epoch == 1


def test_somebody_who_cannot_agree_to_access_leaves_whoever_is_left(administrator, agent):
    ended(agent, administrator)
    assert not Staff.objects.get(pk=agent.pk).is_active


def test_two_officers_are_too_few_because_neither_can_ask(administrator, officer):
    factories.staff("officer")
    with pytest.raises(services.TooFewStay):
        ended(administrator, officer)


def test_whoever_is_kept_to_give_access_can_also_open_a_closed_console():
    """Two who can agree to access stay always (CA019); so two stay who can accept a restore."""
    assert AGREEING_ROLES == ["administrator", "officer"]
    for role in AGREEING_ROLES:
        assert "access_control.accept_restore" in PERMISSIONS[role]


def test_two_persons_do_not_agree_to_a_move_after_which_nobody_can(administrator, officer):
    request = ask_move(administrator.person, access_class="direct", role="agent", actor=administrator)
    with pytest.raises(services.TooFewStay):
        agree(request, actor=officer)
    assert AccessRequest.objects.waiting().filter(pk=request.pk).exists()


def test_whoever_has_never_set_a_password_does_not_count(administrator, officer):
    newcomer = agree(ask(administrator, role="administrator", access_class="needed"), actor=officer).account
    with pytest.raises(services.TooFewStay):
        ended(officer, administrator)
    with acting(None, reason=Reason.OWN_ACCOUNT):
        newcomer.set_password(NEW)
        newcomer.save(update_fields=["password"])
    ended(officer, administrator)


def test_the_database_itself_keeps_two_who_can_give_access(administrator, officer):
    with acting(administrator, reason=Reason.LEFT):
        account, person = Staff.objects.filter(pk=officer.pk), Person.objects.filter(pk=officer.person_id)
        refused("CA019", lambda: account.update(is_active=False))
        refused("CA019", lambda: Staff.objects.update(is_active=False))
        refused("CA019", lambda: person.update(access_class=""))
        refused("CA019", lambda: person.update(left_on=timezone.localdate()))


def test_two_administrators_at_once_do_not_end_each_other(committed):
    """Of two departures at once, after both of which too few would be left, one is refused."""
    first, second, _officer = (factories.staff(role) for role in ("administrator", "administrator", "officer"))
    together, outcomes = threading.Barrier(2), []

    def end(whose, actor):
        together.wait()
        try:
            ended(whose, actor)
            outcomes.append("ended")
        except services.TooFewStay:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=end, args=pair) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["ended", "refused"]


def test_the_page_ends_whom_it_can_and_says_why_not_the_others(client, administrator, officer, agent):
    client.force_login(administrator)
    people = [one.person_id for one in (administrator, officer, agent)]
    clicked = {"action": "left_today", "confirmed": "1", "_selected_action": people}
    page = client.post(reverse("admin:access_control_person_changelist"), clicked, follow=True)
    said = [str(message) for message in page.context["messages"]]
    assert sorted(Staff.objects.filter(is_active=True).values_list("pk", flat=True)) == sorted(
        [administrator.pk, officer.pk]
    )
    assert sum("end_access" in one for one in said) == 2
    assert len(said) == 3


def test_the_host_ends_the_last_access_and_then_begins_anew(administrator, officer):
    """Whoever is dismissed has no access a minute later, also where nobody in the console could replace them."""
    with pytest.raises(CommandError):
        first()
    call_command("end_access", officer.person.employee_number, stdout=io.StringIO())
    assert not Staff.objects.get(pk=officer.pk).is_active
    event = LedgerEvent.objects.get(event="person:left", subject=officer.person_id)
    assert event.actor is None
    assert event.os_user
    links = first()
    assert set(links) == {"admin1", "officer1"}
    assert LedgerEvent.objects.get(event="access:set_up_again").count == 2
    # The links are open: nobody makes others meanwhile.
    with pytest.raises(CommandError) as refusal:
        first(administrator=["E3", "x", "jp", "admin2"], officer=["E4", "y", "jp", "officer2"])
    assert refusal.value.returncode == 1


@pytest.mark.parametrize(("number", "status"), [("nobody", 2), ("left", 1)])
def test_ending_the_access_of_nobody_is_refused(number, status):
    person = factories.person()
    leave(person, on=timezone.localdate(), actor=None)
    number = person.employee_number if number == "left" else number
    with pytest.raises(CommandError) as refusal:
        call_command("end_access", number, stdout=io.StringIO())
    assert refusal.value.returncode == status


def test_two_requests_for_one_employee_number_the_second_is_answered_in_a_sentence(client, administrator, officer):
    """Both may be asked for; of the two one is done, and the page of the other says why not."""
    first_asked, second_asked = ask(administrator), ask(administrator, username="another", display_name="新人 二郎")
    agree(first_asked, actor=officer)
    client.force_login(officer)
    page = client.post(page_of(second_asked), {"decision": "agree", "shown": second_asked.digest().hex()})
    assert page.status_code == 200
    assert page.context["refusal"]
    assert not Staff.objects.filter(username="another").exists()
    assert Approval.objects.get(pk=second_asked.approval_id).approved_at is None


def test_two_persons_agree_at_once_to_two_requests_for_one_employee_number(committed):
    """The slower of the two learns in words that the number is given."""
    administrator = factories.staff("administrator")
    officers = [factories.staff("officer"), factories.staff("officer")]
    asked = [ask(administrator, username=name) for name in ("one", "two")]
    together, outcomes = threading.Barrier(2), []

    def agreeing(request, officer):
        together.wait()
        try:
            agree(request, actor=officer)
            outcomes.append("done")
        except ValidationError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=agreeing, args=pair) for pair in zip(asked, officers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "refused"]


def test_the_first_two_do_not_have_the_number_of_somebody_who_is_there():
    person = factories.person()
    with pytest.raises(CommandError) as refusal:
        first(officer=[person.employee_number, "x", "jp", "officer1"])
    assert refusal.value.returncode == 2
    assert not Staff.objects.exists()


# Pages


def test_number_16_an_approver_sees_everything_before_agreeing(client, administrator, officer):
    request = ask(administrator)
    client.force_login(officer)
    assert page_of(request) in client.get(reverse("admin:access_control_accessrequest_changelist")).content.decode()
    assert (
        reverse("admin:access_control_accessrequest_changelist") in client.get(reverse("admin:index")).content.decode()
    )
    page = client.get(page_of(request)).content.decode()
    for fact in ("E9001", "新人 一郎", "newcomer", "2026-11-01", administrator.person.display_name):
        assert fact in page
    # A form that was made without reading agrees to nothing.
    assert client.post(page_of(request), {"decision": "agree"}).status_code == 200
    assert not Staff.objects.filter(username="newcomer").exists()
    answer = client.post(page_of(request), {"decision": "agree", "shown": request.digest().hex()})
    link = re.search(r'value="(http://testserver/first-password/[^"]+)"', answer.content.decode())[1]
    assert "no-store" in answer["Cache-Control"]
    assert link.rsplit("/", 2)[1] not in client.get(page_of(request)).content.decode()
    # Nothing waits any more.
    assert "message-warning" not in client.get(reverse("admin:index")).content.decode()


def test_number_16_the_first_sign_in_sets_the_password(administrator, officer, caplog):
    given = agree(ask(administrator), actor=officer)
    address = reverse("first_password", args=[given.token])
    visitor = Client()
    page = visitor.get(address)
    assert page.status_code == 200
    assert page["Referrer-Policy"] == "strict-origin"
    assert given.token not in re.search(r"<title>(.*?)</title>", page.content.decode(), re.DOTALL)[1]
    assert SignInLink.objects.get().ended_at is None
    for weak in ("short", "1234567890123"):
        assert visitor.post(address, {"password": weak, "again": weak}).status_code == 200
    assert visitor.post(address, {"password": NEW, "again": NEW + "x"}).status_code == 200
    assert SignInLink.objects.get().ended_at is None
    assert visitor.post(address, {"password": NEW, "again": NEW}).status_code == 302
    assert visitor.login(username="newcomer", password=NEW)
    assert events(given.account.person_id)[-2:] == ["account:link_used", "account:signed_in"]
    assert visitor.get(address).status_code == 410
    assert visitor.post(address, {"password": NEW + "2", "again": NEW + "2"}).status_code == 410
    assert not Client().login(username="newcomer", password=NEW + "2")
    assert caplog.records
    assert not any(given.token in JsonLines().format(record) for record in caplog.records)


def test_number_16_a_link_dies_with_time_a_newer_one_and_the_accounts_epoch(administrator, officer):
    given = agree(ask(administrator), actor=officer)
    newer = agree(ask_link(given.account, actor=administrator), actor=officer)
    with pytest.raises(LinkEnded):
        access_services.use_link(given.token, password=NEW)
    SignInLink.objects.filter(ended_at=None).update(expires_at=timezone.now() - datetime.timedelta(days=1))
    with pytest.raises(LinkEnded):
        access_services.use_link(newer.token, password=NEW)
    newest = agree(ask_link(given.account, actor=administrator), actor=officer)
    leave(given.account.person, on=timezone.localdate(), actor=None)
    with pytest.raises(LinkEnded):
        access_services.use_link(newest.token, password=NEW)
    with pytest.raises(LinkEnded):
        access_services.use_link("", password=NEW)


def test_number_16_a_link_ends_once_and_lives_no_longer(administrator, officer):
    given = agree(ask(administrator), actor=officer)
    links = SignInLink.objects.filter(account=given.account)
    refused("CA018", lambda: links.update(expires_at=timezone.now() + datetime.timedelta(days=9)))
    for change in ({"token_hash": b"\x09" * 32}, {"staff_epoch": 9}):
        # Not even the trigger is asked: no role may write these columns again.
        refused("42501", lambda change=change: links.update(**change))
    with pytest.raises(IntegrityError), transaction.atomic(), acting(None, reason=Reason.HIRED):
        _link(given.account)
    access_services.use_link(given.token, password=NEW)
    refused("CA018", lambda: links.update(ended_at=None, used=False))


def test_a_link_ends_when_its_owner_has_another_password(administrator, officer, agent):
    """Whoever remembers the password meanwhile leaves no open link behind."""
    given = agree(ask_link(agent, actor=administrator), actor=officer)
    change_password(Staff.objects.get(pk=agent.pk), password=NEW, actor=agent)
    assert access_services.account_of_link(given.token) is None
    with pytest.raises(LinkEnded):
        access_services.use_link(given.token, password=NEW + "2")


@pytest.mark.parametrize("end", ["leave", "move", "newer link"])
def test_a_link_that_ends_while_the_password_is_hashed_sets_none(administrator, officer, agent, monkeypatch, end):
    """Hashing is slow: account and link are looked at once more before the password is kept."""
    given = agree(ask_link(agent, actor=administrator), actor=officer)

    def meanwhile(*_args):
        if end == "leave":
            leave(agent.person, on=timezone.localdate(), actor=None)
        elif end == "move":
            move(agent.person, access_class="direct", actor=None)
        else:
            agree(ask_link(agent, actor=administrator), actor=officer)

    monkeypatch.setattr(access_services, "validate_password", meanwhile)
    with pytest.raises(LinkEnded):
        access_services.use_link(given.token, password=NEW)
    assert not Staff.objects.get(pk=agent.pk).check_password(NEW)


def test_what_ended_with_an_epoch_stays_ended(agent):
    """PostgreSQL: an epoch only goes up, whoever asks."""
    with acting(None, reason=Reason.MOVED):
        Staff.objects.filter(pk=agent.pk).update(epoch=3)
        refused("CA021", lambda: Staff.objects.filter(pk=agent.pk).update(epoch=2))
    assert Staff.objects.get(pk=agent.pk).epoch == 3


def test_number_16_somebody_locked_out_needs_two_persons_for_a_new_link(administrator, officer, agent):
    request = ask_link(agent, actor=administrator)
    with pytest.raises(OwnRequest):
        agree(request, actor=administrator)
    with pytest.raises(PermissionDenied):
        ask_link(agent, actor=officer)
    given = agree(request, actor=officer)
    visitor = Client()
    visitor.force_login(agent)
    access_services.use_link(given.token, password=NEW)
    assert visitor.get(reverse("admin:index")).status_code == 302
    assert visitor.login(username=agent.username, password=NEW)


def test_number_16_an_account_waits_for_a_second_person_too(administrator, officer):
    person = factories.person(access_class="")
    given = agree(ask_account(person, username="later", role="agent", actor=administrator), actor=officer)
    assert given.account.person == person
    assert access_services.account_of_link(given.token) == given.account
    leave(person, on=timezone.localdate(), actor=None)
    with pytest.raises(services.AlreadyLeft):
        ask_link(Staff.objects.get(person=person), actor=administrator)


# The first two


def first(**more):
    out = io.StringIO()
    persons = {"administrator": ["E1", "管理 花", "kr", "admin1"], "officer": ["E2", "保護 守", "sg", "officer1"]}
    call_command("create_first_accounts", json=True, stdout=out, url="https://console.example.jp", **persons | more)
    return json.loads(out.getvalue())["links"]


def test_number_16_an_installation_begins_with_two_persons_and_no_known_password():
    links = first()
    assert set(links) == {"admin1", "officer1"}
    for username, link in links.items():
        assert link.startswith("https://console.example.jp/first-password/")
        assert Client().post(link, {"password": NEW, "again": NEW}).status_code == 302
        assert Client().login(username=username, password=NEW)
    administrator, officer = (Staff.objects.get(username=name) for name in ("admin1", "officer1"))
    agree(ask(administrator), actor=officer)
    # Never again.
    with pytest.raises(CommandError) as refusal:
        first(administrator=["E3", "x", "jp", "admin2"], officer=["E4", "y", "jp", "officer2"])
    assert refusal.value.returncode == 1


def test_number_16_a_first_person_who_cannot_be_entered_is_bad_usage_and_nobody_is():
    for wrong in (["E2", "x", "xx", "officer1"], ["E2", "x", "jp", "Not A Name"], ["E2", "x", "jp", "admin1"]):
        with pytest.raises(CommandError) as refusal:
            first(officer=wrong)
        assert refusal.value.returncode == 2
    assert not Staff.objects.exists()


def test_number_16_the_board_names_accounts_whose_role_one_person_gave(administrator, officer, agent):
    control = next(one for one in CONTROLS if one.code == "given_alone")

    def named():
        return set(measured(control, now=timezone.now()).rows)

    agree(ask(administrator), actor=officer)
    assert named() == set()
    with acting(None, reason=Reason.MOVED):
        Staff.objects.filter(pk=agent.pk).update(role="officer")
    assert named() == {agent.username}
