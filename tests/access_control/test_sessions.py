"""Number 13: the database does not know the keys of sessions, so a dump of it signs nobody in."""

import datetime

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access_control.services import change_password
from access_control.sessions import SessionStore, stored_key
from tests import factories

HOME = "/"


def signed_in(account):
    client = Client()
    client.force_login(account)
    assert client.get(HOME).status_code == 200
    return client


def with_cookie(value):
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = value
    return client


def test_number_13_nothing_in_the_sessions_table_signs_anybody_in(officer):
    client = signed_in(officer)
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM django_session")
        rows = [str(value) for row in cursor.fetchall() for value in row]
    assert rows
    for value in rows:
        assert key not in value
        assert with_cookie(value).get(HOME).status_code == 302
    # The twin: the key itself does.
    assert with_cookie(key).get(HOME).status_code == 200


def test_number_13_signing_in_changes_the_key_and_signing_out_ends_it(officer):
    client = signed_in(officer)
    before = client.cookies[settings.SESSION_COOKIE_NAME].value
    client.force_login(officer)
    after = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert Session.objects.get().session_key == stored_key(after)
    assert before == after or with_cookie(before).get(HOME).status_code == 302
    client.post(reverse("admin:logout"))
    assert not Session.objects.exists()
    assert with_cookie(after).get(HOME).status_code == 302


def test_number_13_sessions_are_kept_changed_renamed_and_ended_by_their_key():
    session = SessionStore()
    session["n"] = 1
    session.save()
    key = session.session_key
    assert session.exists(key)
    assert not session.exists(stored_key(key))
    again = SessionStore(key)
    assert again["n"] == 1
    again["n"] = 2
    again.save()
    assert SessionStore(key)["n"] == 2
    again.cycle_key()
    assert again.session_key != key
    assert "n" not in SessionStore(key)
    assert SessionStore(again.session_key)["n"] == 2
    again.flush()
    assert not Session.objects.exists()
    again.delete("nothing-of-this-name")
    assert SessionStore("nothing-of-this-name").load() == {}


def test_number_13_a_session_ends_with_its_time_and_is_cleared():
    session = SessionStore()
    session["n"] = 1
    session.save()
    Session.objects.update(expire_date=timezone.now() - datetime.timedelta(seconds=1))
    assert SessionStore(session.session_key).load() == {}
    call_command("clearsessions")
    assert not Session.objects.exists()


def test_number_13_a_new_password_ends_every_other_session(officer):
    """GUARDS: the session's hash is over the password too."""
    mine, stolen = signed_in(officer), signed_in(officer)
    new = "mado ni kaze 7 hikaru"
    fields = {"old_password": factories.PASSWORD, "new_password1": new, "new_password2": new}
    assert mine.post(reverse("admin:password_change"), fields).status_code == 302
    assert mine.get(HOME).status_code == 200
    assert stolen.get(HOME).status_code == 302
    change_password(officer, password="kaze no nai 9 asa da", actor=officer)
    assert mine.get(HOME).status_code == 302
