"""Number 17: guessing passwords is slowed, locked and noticed, by account and by address."""

import datetime
import re
import threading

import pytest
from axes.models import AccessAttempt
from django.core.exceptions import PermissionDenied
from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access_control import sign_in
from access_control.accounts import StaffBackend
from access_control.checks import check_proxies
from access_control.controls import CONTROLS, measured
from access_control.models import LedgerEvent
from access_control.requests import JsonLines
from access_control.sign_in import ACCOUNT_TRIES, ADDRESS_TRIES, LOCK_LASTS
from tests import factories

LOGIN = "/login/"


def attempt(username, password="wrong", *, address="192.0.2.1", client=None):
    fields = {"username": username, "password": password, "next": "/"}
    headers = {"HTTP_USER_AGENT": "agent of secret", "HTTP_ACCEPT": "text/html"}
    return (client or Client()).post(LOGIN, fields, REMOTE_ADDR=address, **headers)


def lock(username, **where):
    for _n in range(ACCOUNT_TRIES - 1):
        assert attempt(username, **where).status_code == 200
    return attempt(username, **where)


def later(by=LOCK_LASTS):
    """As if the failures had happened so much earlier, on the database's clock."""
    for row in AccessAttempt.objects.all():
        AccessAttempt.objects.filter(pk=row.pk).update(attempt_time=row.attempt_time - by)


def count(event):
    return LedgerEvent.objects.filter(event=event).count()


def test_number_17_an_account_is_locked_for_the_right_password_too(officer):
    answer = lock(officer.username)
    assert answer.status_code == 429
    assert answer["Retry-After"] == "900"
    page = answer.content.decode()
    until = timezone.localtime(sign_in.locked_until(officer))
    assert until.strftime("%H:%M") in page
    for address in ("192.0.2.1", "198.51.100.9"):
        assert attempt(officer.username, factories.PASSWORD, address=address).status_code == 429
    assert not Client().login(username=officer.username, password=factories.PASSWORD)
    assert count("account:sign_in_failed") == ACCOUNT_TRIES
    locked = LedgerEvent.objects.get(event="account:locked")
    assert (locked.subject, locked.actor, locked.address) == (officer.person_id, None, "192.0.2.1")
    # Trying on does not make it longer.
    assert sign_in.locked_until(officer) == until
    later()
    assert attempt(officer.username, factories.PASSWORD).status_code == 302


def test_number_17_unknown_names_are_answered_alike(officer):
    known, unknown = lock(officer.username), lock("nobody.here", address="192.0.2.2")
    assert unknown.status_code == known.status_code == 429
    said = [one.content.decode().split("sign-in-sheet")[1].split("sign-in-foot")[0] for one in (known, unknown)]
    assert re.sub(r"\d", "", said[0]) == re.sub(r"\d", "", said[1])
    assert attempt("nobody.here", address="192.0.2.3").status_code == 429


def test_number_17_an_address_is_locked_whatever_names_it_tries(officer):
    for n in range(ADDRESS_TRIES - 1):
        assert attempt(f"name{n}").status_code == 200
    assert attempt("one more").status_code == 429
    assert attempt(officer.username, factories.PASSWORD).status_code == 429
    # From elsewhere the account works, and a command of the host has no address that could be locked.
    assert attempt(officer.username, factories.PASSWORD, address="192.0.2.7").status_code == 302
    # It is the address that is locked, and no account, not even the one that was tried last.
    assert count("account:locked") == 0
    event = LedgerEvent.objects.get(event="address:locked")
    assert (event.subject, event.address) == (None, "192.0.2.1")
    later()
    assert attempt(officer.username, factories.PASSWORD).status_code == 302


def lock_address(*names):
    for n in range(ADDRESS_TRIES - len(names)):
        attempt(f"name{n}")
    for name in names:
        attempt(name)
    assert list(sign_in.locked_addresses()) == ["192.0.2.1"]


def test_the_lock_of_an_address_names_no_account(officer):
    lock_address(officer.username)
    assert count("account:locked") == 0
    assert LedgerEvent.objects.get(event="address:locked").subject is None


@pytest.mark.parametrize("how", ["success", "unlock"])
def test_forgiving_an_account_gives_no_address_its_tries_back(administrator, officer, how):
    """A success elsewhere, or an administrator, does not open the way for whoever guesses through all accounts."""
    lock_address(officer.username)
    if how == "success":
        assert attempt(officer.username, factories.PASSWORD, address="192.0.2.7").status_code == 302
    else:
        sign_in.unlock(officer, actor=administrator)
    assert attempt("somebody").status_code == 429
    assert attempt(officer.username, address="192.0.2.7").status_code == 200


def test_an_account_is_unlocked_three_times_a_day(client, administrator, officer, agent):
    second = factories.staff("administrator")
    for actor in (administrator, second, administrator):
        assert lock(officer.username).status_code == 429
        sign_in.unlock(officer, actor=actor)
        later()
    lock(officer.username)
    with pytest.raises(sign_in.UnlockedTooOften):
        sign_in.unlock(officer, actor=second)
    client.force_login(second)
    page = client.post(reverse("admin:access_control_staff_unlock", args=[officer.pk]), follow=True)
    assert [str(message) for message in page.context["messages"]] == [str(sign_in.UnlockedTooOften())]
    assert attempt(officer.username, factories.PASSWORD).status_code == 429
    assert count("account:unlocked") == 3
    # Others' accounts have a budget of their own.
    sign_in.unlock(agent, actor=second)


@pytest.mark.parametrize("role", ["officer", "administrator"])
def test_an_address_is_unlocked_by_whoever_agrees_to_access(client, agent, auditor, role):
    """A company behind one address need not wait; what was tried on an account still counts."""
    for _n in range(ACCOUNT_TRIES - 1):
        attempt(agent.username)
    lock_address()
    unlocker, address = factories.staff(role), reverse("admin:access_control_staff_unlock_address")
    people = reverse("admin:access_control_staff_changelist")
    client.force_login(auditor)
    assert client.post(address, {"address": "192.0.2.1"}).status_code == 403
    assert "192.0.2.1" not in client.get(people).content.decode()
    client.force_login(unlocker)
    assert address in client.get(people).content.decode()
    assert client.post(address, {"address": "192.0.2.1"}).status_code == 302
    event = LedgerEvent.objects.get(event="address:unlocked")
    assert event.actor == unlocker.pk
    assert LedgerEvent.objects.get(id=event.note).address == "192.0.2.1"
    assert sign_in.locked_addresses() == {}
    assert attempt(unlocker.username, factories.PASSWORD).status_code == 302
    assert attempt(agent.username).status_code == 429
    # What is not locked, or is no address, is left as it is.
    client.post(address, {"address": "'"})
    assert count("address:unlocked") == 1


def test_an_address_is_unlocked_three_times_a_day(administrator, officer):
    for actor in (administrator, officer, administrator):
        lock_address()
        sign_in.unlock_address("192.0.2.1", actor=actor)
    lock_address()
    with pytest.raises(sign_in.UnlockedTooOften):
        sign_in.unlock_address("192.0.2.1", actor=officer)
    assert count("address:unlocked") == 3


def test_the_old_password_is_no_oracle_on_an_open_session(client, agent):
    """Guesses on the page of one's own password count as at sign-in, are in the ledger, and end at the fifth."""
    client.force_login(agent)
    address = reverse("admin:password_change")
    new = {"new_password1": "mado ni kaze 8", "new_password2": "mado ni kaze 8"}
    for n in range(ACCOUNT_TRIES):
        assert client.post(address, {"old_password": f"guess{n}", **new}).status_code == 200
    assert count("account:sign_in_failed") == ACCOUNT_TRIES
    assert LedgerEvent.objects.get(event="account:locked").subject == agent.person_id
    page = client.post(address, {"old_password": factories.PASSWORD, **new})
    until = timezone.localtime(sign_in.locked_until(agent)).strftime("%H:%M")
    assert until in str(page.context["form"].errors["old_password"])
    agent.refresh_from_db()
    assert agent.check_password(factories.PASSWORD)
    later()
    client.post(address, {"old_password": "guess", **new})
    assert client.post(address, {"old_password": factories.PASSWORD, **new}).status_code == 302
    assert sign_in.locked_until(agent) is None


def test_a_proxy_that_is_not_named_stops_a_deployment(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.TRUSTED_PROXIES = ()
    assert [error.id for error in check_proxies()] == ["access_control.E007"]
    settings.TRUSTED_PROXIES = ("10.0.0.5",)
    assert check_proxies() == []
    settings.SECURE_PROXY_SSL_HEADER, settings.TRUSTED_PROXIES = None, ()
    assert check_proxies() == []


def test_number_17_ones_own_success_gives_back_ones_own_tries_only(officer, agent):
    for _n in range(ACCOUNT_TRIES - 1):
        attempt(officer.username)
        attempt(agent.username)
    assert attempt(agent.username, factories.PASSWORD).status_code == 302
    assert attempt(agent.username).status_code == 200
    assert attempt(officer.username).status_code == 429


def test_number_17_nothing_that_was_typed_is_kept_but_the_name_of_an_account(officer, caplog):
    typed = "himitsu no pasuwaado 9"
    attempt(typed, "mado ni kaze 8")
    attempt(officer.username, "mado ni kaze 8")
    lock(f"{typed}0", address="192.0.2.5")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM axes_accessattempt")
        kept = str(cursor.fetchall())
    assert officer.username in kept
    for text in (typed, "mado ni kaze 8", "secret", "text/html", "himitsu"):
        assert text not in kept
        assert not any(text in JsonLines().format(record) for record in caplog.records)
    assert not LedgerEvent.objects.filter(actor_name__contains="himitsu").exists()
    with connection.cursor() as cursor:
        for table in ("axes_accesslog", "axes_accessfailurelog", "axes_accessattemptexpiration"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (0,)


def test_number_17_an_administrator_unlocks_with_an_event(client, administrator, officer, auditor):
    lock(officer.username)
    address = reverse("admin:access_control_staff_unlock", args=[officer.pk])
    client.force_login(auditor)
    assert client.post(address).status_code == 403
    client.force_login(administrator)
    page = reverse("admin:access_control_staff_change", args=[officer.pk])
    assert address in client.get(page).content.decode()
    assert client.get(address).status_code == 302
    assert attempt(officer.username, factories.PASSWORD).status_code == 429
    assert client.post(address).status_code == 302
    assert LedgerEvent.objects.get(event="account:unlocked").actor == administrator.pk
    assert attempt(officer.username, factories.PASSWORD).status_code == 302


def test_number_17_a_command_that_asks_for_a_password_counts_too(officer):
    backend = StaffBackend()
    for _n in range(ACCOUNT_TRIES):
        assert backend.authenticate(None, username=officer.username, password="wrong") is None
    with pytest.raises(PermissionDenied):
        backend.authenticate(None, username=officer.username, password=factories.PASSWORD)
    assert attempt(officer.username, factories.PASSWORD).status_code == 429


def test_number_17_the_board_counts_locks_and_failures_of_thirty_days(officer):
    lock(officer.username)
    lock("nobody.here", address="192.0.2.2")

    def rows(code, now):
        return list(measured(next(one for one in CONTROLS if one.code == code), now=now).rows)

    now = timezone.now()
    assert rows("sign_ins_locked", now) == [f"{officer.username}: 1", "—: 1"]
    assert rows("sign_ins_failed", now) == [f"{officer.username}: {ACCOUNT_TRIES}"]
    assert rows("sign_ins_locked", now + datetime.timedelta(days=31)) == []


def test_number_17_the_address_is_the_one_the_ledger_records(officer, monkeypatch):
    """Behind a proxy both follow ``access_control.requests``."""
    lock(officer.username, address="198.51.100.77")
    assert {row.ip_address for row in AccessAttempt.objects.all()} == {"198.51.100.77"}
    assert LedgerEvent.objects.filter(event="account:sign_in_failed").first().address == "198.51.100.77"


def test_number_17_many_guesses_at_once_are_no_more_than_many_in_a_row(committed, monkeypatch):
    officer = factories.staff("officer")
    judged, together = [], threading.Barrier(12)

    def judge(self, password):
        judged.append(password)
        return False

    monkeypatch.setattr("access_control.models.Staff.check_password", judge)

    def guess(n):
        together.wait()
        attempt(officer.username, f"guess{n}", address=f"192.0.2.{n}")
        connections.close_all()

    threads = [threading.Thread(target=guess, args=[n]) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(judged) == ACCOUNT_TRIES
    assert count("account:locked") == 1
