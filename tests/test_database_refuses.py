"""What the database refuses by itself, whoever asks and whatever was SET before. One committed world, raw SQL."""

import datetime
import io
import uuid
from contextlib import contextmanager
from types import SimpleNamespace

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.utils import timezone
from psycopg import sql

from access_control.access_services import ask_move
from access_control.codes import Purpose
from access_control.history import copied_columns, history_of
from access_control.models import AcceptedRestore
from access_control.privileges import OWN_APPS
from access_control.services import approve, ask_approval, use_approval
from access_control.sql import immutable_columns
from access_control.vault import store
from access_control.vault.roles import role_names
from access_control.vault.seal import KeyRef
from access_control.vault.sql import MAY_CALL
from consent.models import Engagement, Provision, Recipient, SubjectReference
from consent.services.doors import provide
from members.models import Addressee, ContactPoint, Member
from members.services.cases import add_note
from members.services.corrections import apply_correction, ask_correction
from members.services.documents import confirm_document
from retention.models import Recheck, Verification
from retention.services.holds import place_legal_hold
from retention.services.purging import run_plan
from retention.services.stopping import withdraw_plan
from retention.services.verifying import verify_again, verify_plan
from tests import factories
from tests.conftest import ALIASES
from tests.databases import TOLD, become, clone, clones_are_meant, credentials, drop, point_at
from tests.retention.conftest import approved, ended

# SQLSTATEs: PostgreSQL's own, then the console's and the vault's.
PRIVILEGE, CHECK, UNIQUE, ALWAYS, NO_UUID, NOT_NULL = "42501", "23514", "23505", "428C9", "22P02", "23502"
NO_ACTOR, APPENDED, IMMUTABLE, UNANNOUNCED = "CA001", "CA002", "CA003", "CA004"
# Shaped like a sealed value and like a wrapped key, so that only the guard in question refuses them.
BLOB, WRAPPED = "\\x0101" + "00" * 68, "\\x" + "00" * 61
FENCE, VAULT_APPENDED, FROZEN = "CV001", "CV003", "CV004"

OWN = [model for model in apps.get_models() if model._meta.app_label in OWN_APPS]
TRACKED = [model for model in OWN if history_of(model)]
HISTORIES = [history_of(model)._meta.db_table for model in TRACKED]
APPENDED_TABLES = [model._meta.db_table for model in OWN if getattr(model, "append_only", False)]
UNTOUCHABLE = sorted({*HISTORIES, *APPENDED_TABLES})
VAULT_TABLES = [model._meta.db_table for model in apps.get_app_config("vault").get_models()]
OTHERS = ("app", "purger", "reader")
LINE = datetime.date(2026, 10, 1)

# Everything a session may set that might make a guard look away.
SETTINGS = (
    "SET LOCAL console.actor = 'system'",
    "SET LOCAL console.reason = 'asked'",
    "SET LOCAL search_path = pg_temp, public",
    "SET LOCAL row_security = off",
    "SET LOCAL check_function_bodies = off",
    "SET LOCAL transform_null_equals = on",
    "SET LOCAL lock_timeout = '5s'",
)


def _populate():
    """A member with corrections pending and applied, note, order, provision, approval; and a destroyed key."""
    agent = factories.staff("agent")
    hanako = factories.member(member_number="R0000001", login_id="refuses1")
    case = factories.identify(factories.case(hanako, agent))
    add_note(case, text="折り返しは午後", actor=agent)
    factories.transaction("R0000001")
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    applied = ask_correction(case, item="contact.email", row=mail.pk, text="new@example.net", actor=agent)
    apply_correction(applied, actor=agent)
    ask_correction(case, item="contact.phone", row=phone.pk, text="03-5550-9876", actor=agent)
    addressee = Addressee.objects.get(member=hanako)
    provide(
        hanako,
        what=[(addressee.pk, "name")],
        recipient=Recipient.objects.get(kind="carrier"),
        basis=Provision.Basis.C3,
        purpose=Purpose.DELIVERY,
        actor=agent,
        reason="asked",
    )
    ask_move(agent.person, access_class="direct", role="supervisor", actor=factories.staff("administrator"))
    unknown = factories.case(factories.member(birth_date=None, addressees=[]), agent)
    confirm_document(unknown, kind="passport", issued_on=LINE, actor=factories.staff("supervisor"))
    approval = ask_approval("purge", payload_hash=b"\x01" * 32, actor=agent, reason="asked")
    engagement = Engagement.objects.create(
        recipient=Recipient.objects.get(kind="contractor"),
        items=["contact.phone"],
        purposes=[Purpose.CUSTOMER_SERVICE],
        announced_on=LINE,
        starts_on=LINE + datetime.timedelta(days=1),
        ends_on=LINE + datetime.timedelta(days=9),
    )
    return SimpleNamespace(
        agent=agent,
        hanako=hanako.pk,
        case=case.pk,
        mail=mail.pk,
        approval=approval.pk,
        engagement=engagement.pk,
        reference=SubjectReference.objects.get(member=hanako).pk,
        alive=KeyRef(hanako.pk, 1, 1),
        plan=_plan(factories.staff("officer")),
        frozen=KeyRef(hanako.pk, 3, 1),
        fence=KeyRef(hanako.pk, 4, 1),
    )


def _accept_a_restore():
    """A row of what two persons have accepted; the restore epoch is 2 from now on."""
    asked = ask_approval("restore", payload_hash=b"\x03" * 32, actor=factories.staff("officer"), reason="set_up")
    agreeing = factories.staff("supervisor")
    approve(asked, actor=agreeing, reason="set_up")
    use_approval(asked.pk, kind="restore", payload_hash=b"\x03" * 32, actor=agreeing, reason="set_up")
    AcceptedRestore.objects.create(approval=asked, accepted_at=timezone.now(), restore_epoch=2, signs=[], lost={})


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """Clones of both databases with privileges as on a real installation and committed rows."""
    with django_db_blocker.unblock():
        names = {alias: f"clone_{uuid.uuid4().hex[:12]}" for alias in ALIASES}
        originals = {alias: settings.DATABASES[alias]["NAME"] for alias in ALIASES}
        for alias in ALIASES:
            clone(originals[alias], names[alias])
        clones_are_meant(names["default"], names["vault"])
        point_at(names)
        try:
            become("owner")
            # A clone has the database privileges of a new database; an installation has those of setup_roles.
            call_command("setup_roles", verbosity=0, json=True, stdout=io.StringIO())
            become("app")
            made = _populate()
            _accept_a_restore()
            clones_are_meant(names["default"], names["vault"])
            store.freeze([made.frozen.subject], [made.frozen.category], hold=True)
            become("purger")
            store.destroy([(made.fence, uuid.uuid4())], plan_hash=b"\x02" * 32)
            run_plan(made.plan)
            become("reader")
            verify_plan(made.plan)
            verify_again()
        finally:
            become("app")
            connections.close_all()
            point_at(originals)
        made.names = names
        yield made
        for name in names.values():
            drop(name)


@pytest.fixture
def cursor_as(world):
    """``with cursor_as("app", "vault") as cursor``: a transaction of the role's own, rolled back at its end."""

    @contextmanager
    def cursor_of(role, alias="default", settings_first=SETTINGS):
        database = settings.DATABASES[alias]
        user, password = credentials(alias, role)
        with psycopg.connect(
            host=database["HOST"],
            port=database["PORT"] or None,
            dbname=world.names[alias],
            user=user,
            password=password,
            autocommit=True,
        ) as link:
            cursor = link.cursor()
            cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(user)))
            with link.transaction(force_rollback=True):
                for statement in settings_first:
                    cursor.execute(statement)
                yield cursor

    return cursor_of


def _plan(officer):
    """An approved plan of two members: one is destroyed, one is held before its turn comes; a third is left out."""
    _gone, held, left_out = (
        ended(factories.member(member_number=f"R100000{n}", login_id=f"refuses1{n}")) for n in range(3)
    )
    place_legal_hold(left_out, ground="litigation", actor=officer)
    # One that is never carried out.
    withdraw_plan(approved(), actor=officer)
    plan = approved()
    place_legal_hold(held, ground="authority", actor=officer)
    return plan


def refused(cursor, statement, parameters=(), *, code):
    """The statement fails with exactly this SQLSTATE and leaves the transaction usable."""
    with pytest.raises(psycopg.Error) as failure, cursor.connection.transaction():
        cursor.execute(statement, parameters or None)
    assert failure.value.sqlstate == code, failure.value


def refused_copy(cursor, table, row, *, code):
    """COPY of one row into ``table`` (with its columns) fails with exactly this SQLSTATE."""
    with (
        pytest.raises(psycopg.Error) as failure,
        cursor.connection.transaction(),
        cursor.copy(f"COPY public.{table} FROM STDIN") as rows,
    ):
        rows.write_row(row)
    assert failure.value.sqlstate == code, failure.value


def a_column(cursor, table):
    """Any column of the table but its identity."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s AND is_identity = 'NO' ORDER BY ordinal_position DESC",
        [table],
    )
    return cursor.fetchone()[0]


def writes(column, table):
    """Every way to change or end rows of a table."""
    return (
        f'UPDATE public.{table} SET "{column}" = "{column}"',
        f"DELETE FROM public.{table}",
        f"TRUNCATE public.{table} CASCADE",
    )


def count(cursor, table):
    cursor.execute(f"SELECT count(*) FROM public.{table}")
    return cursor.fetchone()[0]


# Rows that are only ever added


def test_the_walk_knows_the_ledger_histories_and_fetch_records():
    assert "access_control_ledgerevent" in UNTOUCHABLE
    assert {"members_historicalmember", "members_historicalcase", "access_control_historicalstaff"} <= set(UNTOUCHABLE)
    assert "vault_fetchrecord" in VAULT_TABLES


@pytest.mark.parametrize("table", UNTOUCHABLE)
def test_ledger_history_and_append_only_rows_cannot_be_changed(cursor_as, table):
    for role in OTHERS:
        with cursor_as(role) as cursor:
            for statement in writes(a_column(cursor, table), table):
                refused(cursor, statement, code=PRIVILEGE)
            refused(cursor, f"SELECT 1 FROM public.{table} FOR SHARE", code=PRIVILEGE)
    with cursor_as("owner") as cursor:
        for statement in writes(a_column(cursor, table), table):
            refused(cursor, statement, code=APPENDED)


@pytest.mark.parametrize("table", UNTOUCHABLE)
def test_without_its_guard_the_owner_could_change_them(cursor_as, table):
    with cursor_as("owner") as cursor:
        rows = count(cursor, table)
        assert rows, f"the world holds no row of {table}, so nothing is proven"
        cursor.execute(f"DROP TRIGGER append_only ON public.{table}")
        cursor.execute(writes(a_column(cursor, table), table)[0])
        assert cursor.rowcount == rows


@pytest.mark.parametrize("table", HISTORIES)
def test_nobody_but_the_database_adds_history(cursor_as, table):
    for role in OTHERS:
        with cursor_as(role) as cursor:
            again = f"INSERT INTO public.{table} OVERRIDING SYSTEM VALUE SELECT * FROM public.{table}"
            refused(cursor, again, code=PRIVILEGE)
            refused(cursor, f"INSERT INTO public.{table} DEFAULT VALUES", code=PRIVILEGE)


def test_the_app_deletes_no_row_of_ours(cursor_as):
    with cursor_as("app") as cursor:
        for model in OWN:
            refused(cursor, f"DELETE FROM public.{model._meta.db_table}", code=PRIVILEGE)
            refused(cursor, f"TRUNCATE public.{model._meta.db_table} CASCADE", code=PRIVILEGE)


def test_the_reader_changes_nothing_and_adds_only_what_it_verified(cursor_as):
    with cursor_as("reader") as cursor:
        for model in OWN:
            table = model._meta.db_table
            for statement in writes(a_column(cursor, table), table):
                refused(cursor, statement, code=PRIVILEGE)
            code = NOT_NULL if model in {Recheck, Verification} else PRIVILEGE
            refused(cursor, f"INSERT INTO public.{table} DEFAULT VALUES", code=code)


def test_the_restore_epoch_is_not_the_apps_to_set(cursor_as):
    for role in OTHERS:
        with cursor_as(role) as cursor:
            refused(cursor, "UPDATE public.access_control_installation SET restore_epoch = 9", code=PRIVILEGE)


# Changes need an actor


@pytest.mark.parametrize("model", TRACKED, ids=lambda model: model._meta.label)
def test_a_change_of_a_tracked_row_needs_an_actor(cursor_as, model):
    table, history = model._meta.db_table, history_of(model)._meta.db_table
    with cursor_as("app", settings_first=()) as cursor:
        rows = count(cursor, table)
        assert rows, f"the world holds no row of {table}, so nothing is proven"
        change = f'UPDATE public.{table} SET "{a_column(cursor, table)}" = "{a_column(cursor, table)}"'
        refused(cursor, change, code=NO_ACTOR)
        cursor.execute("SET LOCAL console.actor = ''")
        refused(cursor, change, code=NO_ACTOR)
        cursor.execute("SET LOCAL console.actor = 'nobody'")
        refused(cursor, change, code=NO_UUID)
        # The twin: with an actor it is done, and recorded row by row as it is.
        cursor.execute("SET LOCAL console.actor = 'system'")
        before = count(cursor, history)
        cursor.execute(change)
        assert cursor.rowcount == rows
        assert count(cursor, history) == before + rows
        columns = ", ".join(f'"{column}"' for column in copied_columns(model))
        cursor.execute(
            f"SELECT count(*) FROM (SELECT {columns} FROM public.{table} INTERSECT"
            f" SELECT {columns} FROM public.{history} WHERE history_type = '~'"
            f" AND history_xid = pg_current_xact_id()) both_sides"
        )
        assert cursor.fetchone()[0] == rows


def test_adding_and_removing_rows_needs_an_actor_too(cursor_as, world):
    copy = (
        "INSERT INTO public.members_contactpoint (id, member_id, kind, well_formed)"
        f" VALUES ('{uuid.uuid4()}', '{world.hanako}', 'fax', true)"
    )
    with cursor_as("app", settings_first=()) as cursor:
        refused(cursor, copy, code=NO_ACTOR)
        named = "members_contactpoint (id, member_id, kind, well_formed)"
        refused_copy(cursor, named, [uuid.uuid4(), world.hanako, "fax", True], code=NO_ACTOR)
        cursor.execute("SET LOCAL console.actor = 'system'")
        cursor.execute(copy)
    with cursor_as("purger", settings_first=()) as cursor:
        refused(cursor, "DELETE FROM public.members_contactpoint", code=NO_ACTOR)
        cursor.execute("SET LOCAL console.actor = 'system'")
        cursor.execute("DELETE FROM public.members_contactpoint WHERE member_id = %s", [world.hanako])
        assert cursor.rowcount == 3


def test_without_its_trigger_a_change_would_leave_no_trace(cursor_as):
    with cursor_as("owner", settings_first=()) as cursor:
        cursor.execute("DROP TRIGGER history_update ON public.members_contactpoint")
        before = count(cursor, "members_historicalcontactpoint")
        cursor.execute("UPDATE public.members_contactpoint SET well_formed = NOT well_formed")
        assert cursor.rowcount
        assert count(cursor, "members_historicalcontactpoint") == before


# The ledger's place, time and transaction

LEDGER_ROW = (
    "INSERT INTO public.access_control_ledgerevent ({columns} id, event, actor_name, subject_kind, items, reason,"
    " count, request_id, os_user, os_host) {overriding} VALUES ({values} gen_random_uuid(), 'case:opened', 'system',"
    " '', '{{}}', 'asked', 1, gen_random_uuid(), '', '')"
)


def test_time_epoch_and_transaction_of_a_ledger_row_are_the_databases(cursor_as):
    stated = LEDGER_ROW.format(columns="at, restore_epoch, xid,", values="'2011-01-01', 77, '7'::xid8,", overriding="")
    returning = " RETURNING at > now() - interval '1 minute', restore_epoch, xid = pg_current_xact_id()"
    with cursor_as("app") as cursor:
        cursor.execute(stated + returning)
        assert cursor.fetchone() == (True, 2, True)
    with cursor_as("owner") as cursor:
        cursor.execute("DROP TRIGGER ledger_stamp ON public.access_control_ledgerevent")
        cursor.execute(stated + returning)
        assert cursor.fetchone() == (False, 77, False)


def test_nobody_chooses_a_place_in_the_ledger(cursor_as):
    with cursor_as("app") as cursor:
        refused(
            cursor,
            LEDGER_ROW.format(columns="sequence,", values="-5,", overriding=""),
            code=ALWAYS,
        )


def test_nobody_chooses_a_place_in_the_ledger_by_overriding(cursor_as):
    with cursor_as("app") as cursor:
        refused(
            cursor,
            LEDGER_ROW.format(columns="sequence,", values="-5,", overriding="OVERRIDING SYSTEM VALUE"),
            code=PRIVILEGE,
        )


def test_nobody_chooses_a_place_in_the_ledger_by_copy(cursor_as):
    columns = "sequence, id, event, actor_name, subject_kind, items, reason, count, request_id, os_user, os_host"
    row = [-5, uuid.uuid4(), "case:opened", "system", "", [], "asked", 1, uuid.uuid4(), "", ""]
    with cursor_as("app") as cursor:
        refused_copy(cursor, f"access_control_ledgerevent ({columns})", row, code=PRIVILEGE)


def test_the_app_cannot_turn_the_ledgers_sequence_back(cursor_as):
    with cursor_as("app") as cursor:
        refused(cursor, "SELECT setval('public.access_control_ledgerevent_sequence_seq', 1)", code=PRIVILEGE)


# The vault


@pytest.mark.parametrize("table", VAULT_TABLES)
def test_no_role_touches_a_vault_table(cursor_as, table):
    for role in OTHERS:
        with cursor_as(role, "vault") as cursor:
            for statement in (
                f"SELECT * FROM public.{table}",
                f"SELECT count(*) FROM public.{table}",
                f"COPY public.{table} TO STDOUT",
                f"INSERT INTO public.{table} DEFAULT VALUES",
                f"DELETE FROM public.{table}",
                f"TRUNCATE public.{table}",
                f"LOCK TABLE public.{table} IN ACCESS SHARE MODE",
            ):
                refused(cursor, statement, code=PRIVILEGE)
    with cursor_as("owner", "vault") as cursor:
        column = a_column(cursor, table)
        assert count(cursor, table), f"the world holds no row of {table}, so nothing is proven"
    with cursor_as("app", "vault") as cursor:
        refused(cursor, f'UPDATE public.{table} SET "{column}" = "{column}"', code=PRIVILEGE)


@pytest.mark.parametrize("table", ["vault_fetchrecord", "vault_destroyrecord"])
def test_the_vaults_records_are_only_ever_added(cursor_as, table):
    with cursor_as("owner", "vault") as cursor:
        change, *others = writes("role", table)
        for statement in (change, *others):
            refused(cursor, statement, code=VAULT_APPENDED)
        cursor.execute(f"DROP TRIGGER {table}_append ON public.{table}")
        cursor.execute(change)
        assert cursor.rowcount


def test_each_role_calls_the_vault_functions_it_needs_and_no_other(cursor_as):
    names = role_names()
    with cursor_as("owner", "vault") as cursor:
        cursor.execute(
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = 'public'"
        )
        functions = [row[0].removeprefix("public.") for row in cursor.fetchall()]
        cursor.execute(
            "SELECT f, r, has_function_privilege(r, 'public.' || f, 'EXECUTE')"
            " FROM unnest(%s::text[]) f, unnest(%s::text[]) r",
            [functions, [names[r] for r in OTHERS]],
        )
        held = {(function, role) for function, role, may in cursor.fetchall() if may}
    wanted = {(function.replace(", ", ","), names[role]) for role, several in MAY_CALL.items() for function in several}
    assert held == wanted


DESTROY = (
    "SELECT * FROM public.vault_destroy(ARRAY[%s]::uuid[], ARRAY[%s]::smallint[], ARRAY[%s]::bigint[],"
    f" ARRAY[gen_random_uuid()], decode(repeat('ab', 32), 'hex'), {TOLD})"
)


def _named(ref):
    return [ref.subject, ref.category, ref.generation]


def test_only_the_purger_destroys_keys(cursor_as, world):
    for role in ("app", "reader"):
        with cursor_as(role, "vault") as cursor:
            refused(cursor, DESTROY, _named(world.alive), code=PRIVILEGE)
    with cursor_as("purger", "vault") as cursor:
        cursor.execute(DESTROY, _named(world.alive))
        assert len(cursor.fetchall()) == 1
        cursor.execute(DESTROY, _named(world.frozen))
        assert cursor.fetchall() == []


def test_the_purger_cannot_fetch_or_make_keys(cursor_as, world):
    with cursor_as("purger", "vault") as cursor:
        refused(
            cursor,
            "SELECT * FROM public.vault_fetch(ARRAY[%s]::uuid[], ARRAY[1]::smallint[], gen_random_uuid())",
            [world.hanako],
            code=PRIVILEGE,
        )


CREATE = (
    "SELECT * FROM public.vault_create(ARRAY[%s]::uuid[], ARRAY[%s]::smallint[], ARRAY[%s]::bigint[],"
    f" ARRAY['{WRAPPED}'::bytea], 1)"
)


def test_no_key_is_made_where_a_fence_stands(cursor_as, world):
    with cursor_as("app", "vault") as cursor:
        refused(cursor, CREATE, _named(world.fence), code=FENCE)
        cursor.execute(CREATE, [world.fence.subject, world.fence.category, world.fence.generation + 1])
        assert len(cursor.fetchall()) == 1


def test_a_fence_never_clears_even_for_the_owner(cursor_as, world):
    clear = (
        f"UPDATE public.vault_key SET wrapped = '{WRAPPED}', destroyed_at = NULL, certificate_line = NULL,"
        " plan_hash = NULL"
        " WHERE (subject, category, generation) = (%s, %s, %s)"
    )
    here = "(subject, category, generation) = (%s, %s, %s)"
    with cursor_as("app", "vault") as cursor:
        refused(cursor, clear, _named(world.fence), code=PRIVILEGE)
    with cursor_as("owner", "vault") as cursor:
        refused(cursor, clear, _named(world.fence), code=FENCE)
        refused(cursor, f"UPDATE public.vault_key SET generation = 99 WHERE {here}", _named(world.fence), code=FENCE)
        refused(cursor, f"DELETE FROM public.vault_key WHERE {here}", _named(world.fence), code=FENCE)
        refused(cursor, f"DELETE FROM public.vault_key WHERE {here}", _named(world.alive), code=FENCE)
        refused(cursor, "TRUNCATE public.vault_key", code=VAULT_APPENDED)
        refused(
            cursor,
            "UPDATE public.vault_key SET wrapped = NULL, frozen = false, destroyed_at = now(), plan_hash = '\\x01'"
            f" WHERE {here}",
            _named(world.frozen),
            code=FROZEN,
        )
        cursor.execute("DROP TRIGGER vault_key_guard ON public.vault_key")
        cursor.execute(clear, _named(world.fence))
        assert cursor.rowcount == 1


# Immutable items


@pytest.mark.parametrize("column", immutable_columns(Member))
def test_name_and_ids_change_only_to_nothing_and_only_at_destruction(cursor_as, world, column):
    other = f"UPDATE public.members_member SET {column} = '{BLOB}' WHERE id = '{world.hanako}'"
    nothing = f"UPDATE public.members_member SET {column} = NULL WHERE id = '{world.hanako}'"
    upsert = (
        f"INSERT INTO public.members_member SELECT * FROM public.members_member WHERE id = '{world.hanako}'"
        f" ON CONFLICT (id) DO UPDATE SET {column} = '{BLOB}'"
    )
    for role in ("app", "owner"):
        with cursor_as(role) as cursor:
            for statement in (other, nothing, upsert):
                refused(cursor, statement, code=IMMUTABLE)
    with cursor_as("purger") as cursor:
        refused(cursor, other, code=IMMUTABLE)
        cursor.execute(nothing)
        assert cursor.rowcount == 1
        # What is gone is not written again.
        refused(cursor, other, code=IMMUTABLE)
    with cursor_as("owner") as cursor:
        cursor.execute("DROP TRIGGER immutable ON public.members_member")
        cursor.execute(other)
        assert cursor.rowcount == 1


def test_every_item_that_the_policy_calls_immutable_is_guarded():
    assert immutable_columns(Member) == ["number", "login_id", "name", "kana"]


# Two persons, one grant, three tries, one announcement, one outcome


def _approved_by(person, world):
    return (
        "UPDATE public.access_control_approval SET approver_id = %s, approver_epoch = 1, approved_at = now()"
        " WHERE id = %s",
        [person, world.approval],
    )


def test_nobody_approves_what_they_asked_for(cursor_as, world):
    same = _approved_by(world.agent.person_id, world)
    with cursor_as("app") as cursor:
        refused(cursor, *same, code=CHECK)
        refused(cursor, "UPDATE public.access_control_approval SET used_at = now()", code=CHECK)
        cursor.execute(
            "INSERT INTO public.access_control_person (id, employee_number, display_name, entity_id, access_class,"
            " joined_on) VALUES (gen_random_uuid(), 'R1', 'Other', 'jp', 'direct', '2020-04-01') RETURNING id"
        )
        cursor.execute(*_approved_by(cursor.fetchone()[0], world))
        assert cursor.rowcount == 1
    with cursor_as("owner") as cursor:
        cursor.execute(
            "ALTER TABLE public.access_control_approval DROP CONSTRAINT access_control_approval_by_another_person"
        )
        cursor.execute(*same)
        assert cursor.rowcount == 1


GRANT_AGAIN = (
    "INSERT INTO public.members_membergrant (person_id, staff_epoch, purpose, categories, opened_at, expires_at,"
    " ended_at, end_reason, case_id, content_object_id, permission_id, user_id)"
    " SELECT person_id, staff_epoch, purpose, categories, opened_at, expires_at, NULL, '', case_id, content_object_id,"
    " permission_id, user_id FROM public.members_membergrant"
)


# Three for each of the two cases that the world has identified.
GRANTS = 6


def test_one_person_has_one_open_grant_for_a_case_and_permission(cursor_as):
    with cursor_as("app") as cursor:
        refused(cursor, GRANT_AGAIN, code=UNIQUE)
        cursor.execute("UPDATE public.members_membergrant SET ended_at = now(), end_reason = 'revoked'")
        cursor.execute(GRANT_AGAIN)
        assert cursor.rowcount == GRANTS
    with cursor_as("owner") as cursor:
        cursor.execute("DROP INDEX public.members_membergrant_one_open")
        cursor.execute(GRANT_AGAIN)
        assert cursor.rowcount == GRANTS


def test_a_fourth_try_of_a_day_is_refused(cursor_as, world):
    attempt = (
        "INSERT INTO public.members_identitytry (id, member_id, day, ordinal, case_id, staff_id, at, offered, matched,"
        " passed) SELECT gen_random_uuid(), member_id, day, %s, case_id, staff_id, at, offered, matched, passed"
        " FROM public.members_identitytry WHERE ordinal = 1"
    )
    with cursor_as("app") as cursor:
        for ordinal in (-1, 0, 4):
            refused(cursor, attempt, [ordinal], code=CHECK)
        refused(cursor, attempt, [1], code=UNIQUE)
        cursor.execute(attempt, [2])
        cursor.execute(attempt, [3])
        refused(cursor, attempt, [3], code=UNIQUE)
    with cursor_as("owner") as cursor:
        cursor.execute("ALTER TABLE public.members_identitytry DROP CONSTRAINT members_identitytry_three_a_day")
        cursor.execute(attempt, [4])
        assert cursor.rowcount == 1


PROVISION = (
    "INSERT INTO public.consent_provision (id, reference_id, items, purpose, basis, engagement_id, at, batch)"
    " VALUES (gen_random_uuid(), %s, %s, %s, 'B1', %s, %s, gen_random_uuid())"
)


def test_nothing_is_provided_outside_an_announced_engagement(cursor_as, world):
    def handed(items=("contact.phone",), purpose=Purpose.CUSTOMER_SERVICE, day=2, engagement=world.engagement):
        # 00:30 in Tokyo is the day before in UTC; the policy's days are Tokyo's.
        at = f"{LINE + datetime.timedelta(days=day)} 00:30+09"
        return [world.reference, list(items), purpose, engagement, at]

    with cursor_as("app") as cursor:
        for bad in (
            handed(day=-1),
            handed(day=0),
            handed(day=10),
            handed(items=["contact.phone", "member.name"]),
            handed(purpose=Purpose.NEW_SERVICE),
            handed(engagement=None),
            handed(engagement=uuid.uuid4()),
        ):
            refused(cursor, PROVISION, bad, code=UNANNOUNCED)
        for good in (handed(day=1), handed(day=9)):
            cursor.execute(PROVISION, good)
        announced_after = "UPDATE public.consent_engagement SET announced_on = starts_on + 1"
        refused(cursor, announced_after, code=PRIVILEGE)
    with cursor_as("owner") as cursor:
        refused(cursor, announced_after, code=CHECK)
        cursor.execute("DROP TRIGGER provision_was_announced ON public.consent_provision")
        cursor.execute(PROVISION, handed(day=-1))
        assert cursor.rowcount == 1


def test_a_case_closes_with_time_and_outcome_only(cursor_as, world):
    close = "UPDATE public.members_case SET state = 'closed', closed_at = {}, outcome = {} WHERE id = %s"
    with cursor_as("app") as cursor:
        for at, outcome in (("now()", "''"), ("NULL", "'done'")):
            refused(cursor, close.format(at, outcome), [world.case], code=CHECK)
        cursor.execute(close.format("now()", "'done'"), [world.case])
        assert cursor.rowcount == 1
    with cursor_as("owner") as cursor:
        cursor.execute("ALTER TABLE public.members_case DROP CONSTRAINT members_case_closed_with_outcome")
        cursor.execute(close.format("now()", "''"), [world.case])
        assert cursor.rowcount == 1


def test_one_item_is_suspended_and_corrected_once_at_a_time(cursor_as):
    again = (
        "INSERT INTO public.members_suspension (id, member_id, item, row, case_id, started_at) SELECT"
        " gen_random_uuid(), member_id, item, row, case_id, now() FROM public.members_suspension WHERE ended_at IS NULL"
    )
    with cursor_as("app") as cursor:
        refused(cursor, again, code=UNIQUE)
        cursor.execute("UPDATE public.members_suspension SET ended_at = now() WHERE ended_at IS NULL")
        reopened = "UPDATE public.members_correction SET state = 'refused', decided_at = now() WHERE state = 'asked'"
        refused(cursor, reopened, code=CHECK)
        # What came from My Page has no case and came applied; what was asked for in a case has one.
        for loose in ("channel = 'my_page'", "case_id = NULL", "channel = 'my_page', case_id = NULL"):
            refused(cursor, f"UPDATE public.members_correction SET {loose} WHERE state = 'asked'", code=CHECK)


# The schema itself

MEDDLING = (
    "ALTER TABLE public.members_member DISABLE TRIGGER ALL",
    "ALTER TABLE public.members_member DISABLE TRIGGER immutable",
    "ALTER TABLE public.access_control_ledgerevent ADD COLUMN more text",
    "ALTER TABLE public.access_control_ledgerevent ALTER COLUMN sequence SET GENERATED BY DEFAULT",
    "ALTER TABLE public.members_case DROP CONSTRAINT members_case_closed_with_outcome",
    "ALTER TABLE public.members_member OWNER TO CURRENT_USER",
    "DROP TRIGGER immutable ON public.members_member",
    "DROP TABLE public.members_historicalmember",
    "DROP FUNCTION public.refuse_change() CASCADE",
    "CREATE OR REPLACE FUNCTION public.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TABLE public.stolen AS SELECT * FROM public.members_member",
    "CREATE VIEW public.peek AS SELECT * FROM public.members_member",
    "CREATE TEMP TABLE changed AS SELECT * FROM public.members_member",
    "CREATE FUNCTION pg_temp.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE TRIGGER mine BEFORE UPDATE ON public.members_member FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    "CREATE RULE mine AS ON INSERT TO public.access_control_ledgerevent DO INSTEAD NOTHING",
    "CREATE POLICY mine ON public.members_member USING (false)",
    "CREATE INDEX mine ON public.members_member (state)",
    "COMMENT ON TABLE public.members_member IS 'mine'",
    "SET LOCAL session_replication_role = 'replica'",
    "SET LOCAL allow_system_table_mods = on",
    "UPDATE pg_catalog.pg_trigger SET tgenabled = 'D'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('postgresql.conf')",
)


@pytest.mark.parametrize("statement", MEDDLING)
@pytest.mark.parametrize("role", OTHERS)
def test_no_role_reshapes_the_database(cursor_as, role, statement):
    with cursor_as(role) as cursor:
        refused(cursor, statement, code=PRIVILEGE)


def test_no_role_grants_itself_more(cursor_as):
    with cursor_as("app") as cursor:
        cursor.execute("GRANT UPDATE ON public.access_control_ledgerevent TO CURRENT_USER")
        cursor.execute(
            "SELECT has_table_privilege('public.access_control_ledgerevent', p) FROM unnest(ARRAY['UPDATE', 'DELETE',"
            " 'TRUNCATE', 'TRIGGER', 'REFERENCES']) p"
        )
        assert {row[0] for row in cursor.fetchall()} == {False}


@pytest.mark.parametrize("alias", ALIASES)
def test_no_role_becomes_another(cursor_as, alias):
    names = role_names()
    for role in OTHERS:
        with cursor_as(role, alias) as cursor:
            for other in {*names.values()} - {names[role]}:
                refused(cursor, f"SET ROLE {other}", code=PRIVILEGE)
                refused(cursor, f"SET SESSION AUTHORIZATION {other}", code=PRIVILEGE)


def test_no_role_makes_anything_in_the_vault(cursor_as):
    for role in OTHERS:
        with cursor_as(role, "vault") as cursor:
            for statement in (
                "CREATE TABLE public.copy_of_keys (wrapped bytea)",
                "CREATE TEMP TABLE copy_of_keys (wrapped bytea)",
                "CREATE FUNCTION public.vault_guard_key() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
                "ALTER TABLE public.vault_key DISABLE TRIGGER ALL",
                "ALTER FUNCTION public.vault_fetch SECURITY INVOKER",
                "SET LOCAL session_replication_role = 'replica'",
            ):
                refused(cursor, statement, code=PRIVILEGE)


def test_nothing_belongs_to_a_role_but_the_owner(cursor_as):
    for alias in ALIASES:
        with cursor_as("owner", alias) as cursor:
            cursor.execute(
                "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " UNION SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            )
            assert cursor.fetchall() == [(role_names()["owner"],)]


def test_no_definer_function_of_the_console_can_be_hung_on_a_table_of_ones_own(cursor_as):
    """Whoever may execute the history function may fire it by a trigger on a table of their own, and forge history."""
    with cursor_as("owner") as cursor:
        cursor.execute(
            "SELECT p.proname, r FROM pg_proc p, unnest(%s::text[]) r WHERE p.pronamespace = 'public'::regnamespace"
            " AND p.prosecdef AND has_function_privilege(r, p.oid, 'EXECUTE')",
            [[role_names()[role] for role in OTHERS]],
        )
        assert cursor.fetchall() == []


# Number 31: what a history row says of its act, and what may stand in a sealed column


def test_a_history_row_names_actor_reason_case_and_request(cursor_as, world):
    """Number 31: all four come from the act's own settings."""
    request, case = uuid.uuid4(), uuid.uuid4()
    with cursor_as("app") as cursor:
        for name, value in (("actor", world.agent.pk), ("reason", "asked"), ("case", case), ("request", request)):
            cursor.execute("SELECT set_config(%s, %s, true)", [f"console.{name}", str(value)])
        cursor.execute("UPDATE public.members_contactpoint SET well_formed = well_formed WHERE id = %s", [world.mail])
        cursor.execute(
            "SELECT history_user_id, history_change_reason, history_case_id, history_request_id"
            " FROM public.members_historicalcontactpoint WHERE id = %s ORDER BY history_id DESC LIMIT 1",
            [world.mail],
        )
        assert cursor.fetchone() == (world.agent.pk, "asked", case, request)


@pytest.mark.parametrize(
    "blob",
    [
        "\\x",
        "\\x0102" + "00" * 67,
        "\\x0102" + "00" * 69,
        "\\x0102" + "00" * 99,
        "\\x0202" + "00" * 68,
        "\\x0100" + "00" * 68,
        "\\x0108" + "00" * 68,
    ],
)
def test_only_what_is_shaped_like_a_seal_stands_in_a_sealed_column(cursor_as, world, blob):
    """Number 31: format, category and whole blocks, in every sealed column that the app may write."""
    with cursor_as("app") as cursor:
        update = "UPDATE public.members_contactpoint SET value = %s WHERE id = %s"
        refused(cursor, update, [blob, world.mail], code=CHECK)
        for good in ("\\x0102" + "00" * 68, "\\x0107" + "00" * 100):
            cursor.execute(update, [good, world.mail])
            assert cursor.rowcount == 1
