"""After a working day nothing of a member can be read at rest: not in a dump, nor in sessions, logs or admin clicks."""

import datetime
import json
import logging
import os
import random
import subprocess

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access_control.requests import JsonLines
from config.cluster import binary
from consent.demo import loading
from consent.demo.orders import orders
from consent.demo.people import people
from consent.services.notices import send_notices
from members.models import Case, ContactPoint, Correction, Member, Transaction
from members.services.finding import find
from tests.databases import credentials

SEED, COUNT = 7, 60
NOW = datetime.datetime(2026, 11, 20, 3, 0, tzinfo=datetime.UTC)
# Words that say nothing about a person.
COMMON = {"jp", "kr", "sg", "VISA", "JCB"}


def texts(value):
    """Every text in a row, at any depth, but for kinds and brands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in {
                "kind",
                "entity",
                "joined_on",
                "last_used_on",
                "brand",
                "sex",
                "last_four",
                "expiry",
                "ordered_on",
                "amount",
                "currency",
            }:
                yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    # A few digits (a Korean postcode) stand by chance in any timestamp.
    elif (
        isinstance(value, str) and len(value) >= 3 and value not in COMMON and not (value.isdigit() and len(value) < 8)
    ):
        yield value


@pytest.fixture
def day(committed, tmp_path):
    """A demo database after a call from find to close, with everything logged to a file."""
    log = tmp_path / "console.log"
    handler = logging.FileHandler(log)
    handler.setFormatter(JsonLines())
    handler.setLevel(logging.DEBUG)
    root = logging.getLogger()
    root.addHandler(handler)
    before = root.level
    root.setLevel(logging.DEBUG)
    try:
        loading.load(COUNT, seed=SEED, now=NOW, progress=lambda rows: None)
        rows = list(people(COUNT, seed=SEED, today=timezone.localdate(NOW)))
        call(rows[0])
        send_notices()
        yield rows, log
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


def call(row):
    """A call of the first member through the pages, with mistakes on the way."""
    client = Client(raise_request_exception=False)
    assert client.login(username="agent", password=loading.password_of("agent"))
    for identifier in (row["member_number"], row["login_id"], row["name"], row["contacts"][0]["value"]):
        assert client.post(reverse("admin:members_member_find"), {"identifier": identifier}).status_code == 200
    client.get(reverse("admin:members_case_changelist"), {"q": row["name"]})
    member = Member.objects.get(pk=member_of(row))
    client.post(reverse("admin:members_member_open", args=[member.pk]), {"kind": "correction", "channel": "phone"})
    case = Case.objects.get(member=member)

    def act(step, action, **data):
        return client.post(reverse("admin:members_case_act", args=[case.pk, step, action]), data)

    act("identity", "check", birth_date=row["birth_date"], postcode="no such thing")
    act("identity", "check", birth_date=row["birth_date"], postcode=row["addressees"][0]["postcode"])
    case.refresh_from_db()
    assert case.identified_at
    mail = ContactPoint.objects.filter(member=member, kind="email").first()
    assert row["contacts"][0]["value"] in act("look", "reveal", target=f"{mail.pk}:value", purpose=3).content.decode()
    act("case", "note", text=f"{row['name']} {row['contacts'][0]['value']}")
    act("correction", "ask", target=f"contact.email:{mail.pk}", value="not an address " + row["name"])
    act("correction", "ask", target=f"contact.email:{mail.pk}", value="quite.new@example.org")
    act("correction", "apply", correction=Correction.objects.get(case=case).pk)
    client.get(reverse("admin:members_member_history", args=[member.pk]))
    act("close", "close", outcome="done")
    case.refresh_from_db()
    assert case.state == Case.State.CLOSED


def member_of(row):
    from access_control.models import Staff

    agent = Staff.objects.select_related("person").get(username="agent")
    return find(row["member_number"], actor=agent).hits[0].member


def dump():
    """The console database as pg_dump writes it, by its owner."""
    database = settings.DATABASES["default"]
    user, password = credentials("default", "owner")
    done = subprocess.run(
        [binary("pg_dump"), "-h", database["HOST"], "-U", user, "-p", str(database["PORT"] or 5432), database["NAME"]],
        env={**os.environ, "PGPASSWORD": password},
        capture_output=True,
        check=True,
    )
    return done.stdout


def found_in(haystack, values):
    """How many of the values stand in the bytes, as text, as JSON escapes, or as the hex of bytea."""
    lower = haystack.lower()
    return [
        position
        for position, value in enumerate(values)
        if value.encode() in haystack
        or json.dumps(value)[1:-1].encode() in haystack
        or value.encode().hex().encode() in lower
    ]


def found_under(directory, values, scratch):
    """Files below a directory, the embedded cluster's included, that hold a value."""
    words = scratch / "words"
    words.write_text("\n".join(values) + "\n")
    done = subprocess.run(["grep", "-rlaF", "-f", str(words), str(directory)], capture_output=True, text=True)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout.splitlines()


def test_a_day_leaves_nothing_readable(day, tmp_path):
    rows, log = day
    staff_names = {name for _number, name, *_rest in loading.STAFF}
    ordered = list(orders(rows, seed=SEED, today=timezone.localdate(NOW)))
    assert Transaction.objects.count() == len(ordered) > 30
    values = sorted({text for row in rows + ordered for text in texts(row)} - staff_names) + ["quite.new@example.org"]
    assert len(values) > 500
    dumped = dump()
    assert b"members_member" in dumped
    assert found_in(dumped, values) == []
    logged = log.read_bytes()
    assert b"admin:members_case_act" in logged
    assert found_in(logged, values) == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_data FROM django_session")
        sessions = [row[0] for row in cursor.fetchall()]
        assert sessions
        cursor.execute("SELECT count(*) FROM django_admin_log")
        assert cursor.fetchone() == (0,)
    assert found_under(settings.VAR_DIR, values, tmp_path) == []
    from django.contrib.sessions.backends.db import SessionStore

    decoded = json.dumps([SessionStore().decode(data) for data in sessions], ensure_ascii=False).encode()
    assert found_in(decoded, values) == []
    the_search_itself_would_find_a_value(rows, tmp_path)


def the_search_itself_would_find_a_value(rows, tmp_path):
    """What was looked for can be found: a value put in clear, or as bytes."""
    planted = tmp_path / "files" / "planted"
    planted.parent.mkdir()
    planted.write_text(f"so {rows[0]['name']} said")
    assert found_under(planted.parent, [rows[0]["name"]], tmp_path) == [str(planted)]
    value = random.Random(1).choice(rows)["name"]
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_session VALUES ('x', %s, now())", [value])
    assert found_in(dump(), [value]) == [0]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_session SET session_data = encode(%s::bytea, 'hex')", [value.encode()])
    assert found_in(dump(), [value]) == [0]
