"""Closed by default: each role may do with each table and column what is declared, and nothing else (21, 20)."""

import psycopg
import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from access_control.checks import check_privileges, own_models
from access_control.controls import State
from access_control.history import history_of
from access_control.models import Staff
from access_control.privileges import (
    SECRET_TABLES,
    WRITING_ROLES,
    Writes,
    faults_of,
    library_writes,
    writes_of,
)
from access_control.vault.roles import role_names
from consent.models import Recipient
from retention.board import board
from tests.databases import become

PRIVILEGE, CANNOT = "42501", State.CANNOT_COMPUTE
OWN = {model._meta.db_table: model for model in own_models()}
HISTORIES = {history._meta.db_table for model in OWN.values() if (history := history_of(model))}
NOTHING = Writes()


def columns():
    """(table, column, whether the database counts it) of everything in the console's database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname, a.attidentity <> '' FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0"
            " AND NOT a.attisdropped"
        )
        return cursor.fetchall()


def declared(role, table):
    if table in HISTORIES:
        return NOTHING
    return (writes_of(OWN[table]) if table in OWN else library_writes(table)).get(role, NOTHING)


def wanted(role, table, column, counted):
    """What the role may do with the column: select, insert, update."""
    may, model = declared(role, table), OWN.get(table)
    secret = table in SECRET_TABLES or column in getattr(model, "secret_columns", ())
    updates = column in may.update if isinstance(may.update, tuple) else may.update
    return (role == "app" or not secret, may.insert and not (counted and model is not None), updates)


@pytest.mark.parametrize("role", WRITING_ROLES)
def test_each_role_may_do_with_each_column_what_is_declared_and_nothing_else(role):
    """Number 21: for every table and column of the database, ours, histories and those of libraries."""
    name, found, expected = role_names()[role], {}, {}
    with connection.cursor() as cursor:
        for table, column, counted in columns():
            cursor.execute(
                "SELECT array_agg(has_column_privilege(%s, %s, %s, p) ORDER BY n)"
                " FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) WITH ORDINALITY AS t (p, n)",
                [name, f"public.{table}", column],
            )
            found[table, column] = tuple(cursor.fetchone()[0])
            expected[table, column] = wanted(role, table, column, counted)
    assert {key: value for key, value in found.items() if value != expected[key]} == {}


@pytest.mark.parametrize("role", WRITING_ROLES)
def test_each_role_deletes_from_the_tables_that_are_declared_and_no_other(role):
    """Number 21: nor may any empty a table, hang a trigger on it or refer to it."""
    tables = sorted({table for table, _column, _counted in columns()})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t FROM unnest(%s::text[]) t WHERE has_table_privilege(%s, 'public.' || quote_ident(t), 'DELETE')",
            [tables, role_names()[role]],
        )
        assert {row[0] for row in cursor.fetchall()} == {table for table in tables if declared(role, table).delete}
        for verb in ("TRUNCATE", "TRIGGER", "REFERENCES"):
            cursor.execute(
                "SELECT t FROM unnest(%s::text[]) t WHERE has_table_privilege(%s, 'public.' || quote_ident(t), %s)",
                [tables, role_names()[role], verb],
            )
            assert cursor.fetchall() == []


ATTEMPTS = [
    ("purger", "UPDATE access_control_staff SET role = 'officer'"),
    ("purger", "UPDATE access_control_person SET left_on = NULL"),
    ("purger", "INSERT INTO access_control_entity (code, name, handles, fiscal_year_starts) VALUES ('xx', '', '', 1)"),
    ("purger", "UPDATE members_membergrant SET expires_at = now()"),
    ("purger", "DELETE FROM members_case"),
    ("purger", "SELECT password FROM access_control_staff"),
    ("reader", "SELECT password FROM access_control_staff"),
    ("reader", "SELECT * FROM access_control_staff"),
    ("reader", "SELECT session_key FROM django_session"),
    ("purger", "SELECT session_data FROM django_session"),
    ("app", "DELETE FROM auth_permission"),
    ("app", "INSERT INTO auth_permission (name, content_type_id, codename) VALUES ('x', 1, 'x')"),
    ("app", "DELETE FROM guardian_userobjectpermission"),
    ("app", "UPDATE consent_recipient SET name = 'x'"),
    ("app", "UPDATE consent_ourrule SET why = 'x'"),
    ("app", "UPDATE consent_engagement SET ends_on = ends_on + 1"),
    ("app", "UPDATE access_control_entity SET name = 'x'"),
    ("app", "UPDATE members_casenote SET text = NULL"),
    ("app", "UPDATE members_membergrant SET categories = '{7}'"),
    ("app", "UPDATE members_membergrant SET staff_epoch = staff_epoch + 1"),
    ("app", "UPDATE members_notice SET kind = 'ended'"),
]


@pytest.mark.parametrize(("role", "statement"), ATTEMPTS)
def test_what_is_not_declared_is_refused(as_role, role, statement):
    """Number 21: by the database, whoever asks."""
    with as_role(role) as cursor, pytest.raises(psycopg.Error) as refused:
        cursor.execute(statement)
    assert refused.value.sqlstate == PRIVILEGE


# Declarations


def declaring(**attributes):
    """Staff, as if it declared this besides or instead."""
    return type("Declared", (), {"_meta": Staff._meta, "privileges": Staff.privileges, **attributes})


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"privileges": {"pruger": Writes(insert=True)}}, "pruger"),
        ({"privileges": {"app": Writes(update=("usernme",))}}, "usernme"),
        ({"privileges": {"app": {"insert": True}}}, "is no Writes"),
        ({"privileges": {"app": "insert"}}, "is no Writes"),
        ({"privileges": {"app": Writes(update=True)}, "append_only": True}, "append-only"),
        ({"privileges": {"app": Writes(delete=True)}, "append_only": True}, "append-only"),
        ({"secret_columns": ("pasword",)}, "pasword"),
        ({"written_by": ("app",)}, "write privileges ="),
        ({"columns_updated_by": {"purger": ("role",)}}, "write privileges ="),
    ],
)
def test_a_misspelt_declaration_fails_the_checks(attributes, said):
    """Number 21: unknown role, column or verb, and what was written before there were privileges."""
    assert faults_of(declaring()) == []
    (fault,) = faults_of(declaring(**attributes))
    assert said in fault


def test_an_unknown_verb_cannot_be_written():
    """Number 21."""
    with pytest.raises(TypeError):
        Writes(truncate=True)


def test_a_model_that_declares_nothing_fails_the_checks(monkeypatch):
    """Number 21: nothing declared is nothing granted, and is said."""
    assert check_privileges() == []
    monkeypatch.delattr(Recipient, "privileges")
    assert [(error.id, "write privileges" in error.msg) for error in check_privileges()] == [
        ("access_control.E005", True)
    ]
    assert writes_of(Recipient) == {}


@pytest.mark.parametrize("change", ["no reason", "both"])
def test_what_is_not_tracked_says_why_and_what_is_tracked_does_not(monkeypatch, change):
    """Number 20."""
    if change == "both":
        monkeypatch.setattr(Staff, "untracked", "It is.", raising=False)
    else:
        monkeypatch.setattr(Recipient, "untracked", " ")
    assert [error.id for error in check_privileges()] == ["access_control.E006"]


def test_whatever_a_person_can_change_is_tracked():
    """Number 20: of what is untracked, *app* changes no more than these columns; each model says why."""
    changed = {
        model._meta.label: writes_of(model)["app"].update
        for model in OWN.values()
        if history_of(model) is None and "app" in writes_of(model) and writes_of(model)["app"].update
    }
    assert changed == {
        "access_control.Approval": True,
        "access_control.SignInLink": ("ended_at", "used", "expires_at"),
        "access_control.ToldMark": ("sequence", "noted_at"),
        "members.DataAsOf": ("as_of",),
        "members.MemberGrant": ("ended_at", "end_reason", "expires_at"),
        "members.Notice": ("state", "claimed_at", "sent_at", "next_try_at", "attempts", "failure"),
    }
    assert not [
        model for model in OWN.values() if history_of(model) is None and writes_of(model).get("app", NOTHING).delete
    ]


def test_no_permission_or_grant_of_a_library_is_the_apps_to_write():
    """Number 21: a library that comes later may be read only, until its table is declared."""
    tables = [model._meta.db_table for model in apps.get_models()]
    closed = [table for table in tables if table.startswith(("auth_", "guardian_", "django_content_type"))]
    assert len(closed) >= 4
    assert [table for table in closed if library_writes(table)] == []


def test_the_board_is_measured_as_reader(committed):
    """Number 21: what *reader* may not see, no control needs."""
    become("reader")
    try:
        assert [row.result.control.code for row in board(now=timezone.now()) if row.result.state == CANNOT] == []
    finally:
        become("app")
