"""The console database's guarantees as plain SQL, laid after every migrate by the owner; twice changes nothing.

Roles: *app* reads, adds and changes rows, adds only to append-only tables, cannot write history, deletes nothing but
sessions and finished jobs, and owns nothing. *purger* may also delete. *reader* reads, and adds what it verified. Some
tables are written by one role only (``written_by``). Triggers write history, stamp the ledger and keep immutable items.
"""

from typing import Any

from django.apps import AppConfig, apps
from django.db import connections, models, transaction

from access_control.history import copied_columns, history_of, trigger_sql
from access_control.vault.fields import SealedField
from access_control.vault.roles import role_names

ALIAS = "default"
OWN_APPS = ("access_control", "members", "consent", "retention")
# Tables of libraries whose rows the app may delete: sessions end, jobs are finished, failed sign-ins are forgiven.
DELETABLE_PREFIXES = ("axes_accessattempt", "django_session", "procrastinate_")

LEDGER = """
CREATE OR REPLACE FUNCTION ledger_stamp() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT i.restore_epoch INTO STRICT NEW.restore_epoch FROM public.access_control_installation i;
  NEW.at := clock_timestamp();
  NEW.xid := pg_current_xact_id();
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER ledger_stamp BEFORE INSERT ON access_control_ledgerevent
  FOR EACH ROW EXECUTE FUNCTION ledger_stamp();
INSERT INTO access_control_installation (singleton, restore_epoch) VALUES (1, 1) ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: its rows are only ever added', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CA002';
END $$;
"""


def _append_only(table: str) -> str:
    return (
        f"CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();"
    )


def _always_identity(table: str, column: str) -> str:
    """Django makes identities BY DEFAULT, which would let the app choose its place in the sequence."""
    return f"ALTER TABLE {table} ALTER COLUMN {column} SET GENERATED ALWAYS;"


def immutable_columns(model: type[models.Model]) -> list[str]:
    """Columns whose items the policy calls immutable (P5.A: "name, ID and the like")."""
    return [
        str(field.column)
        for field in model._meta.concrete_fields
        if isinstance(field, SealedField) and all(getattr(item, "immutable", False) for item in field.items())
    ]


def _immutable(model: type[models.Model], columns: list[str]) -> str:
    """Refuses any change of ``columns``, but for the purger's change to nothing at destruction."""
    table, purger = model._meta.db_table, role_names()["purger"]
    lines = "\n".join(
        f"""  IF NEW."{column}" IS DISTINCT FROM OLD."{column}"
     AND NOT (NEW."{column}" IS NULL AND current_user = '{purger}') THEN
    RAISE EXCEPTION '{table}.{column} is immutable' USING ERRCODE = 'CA003';
  END IF;"""
        for column in columns
    )
    changed = " OR ".join(f'OLD."{column}" IS DISTINCT FROM NEW."{column}"' for column in columns)
    return f"""
CREATE OR REPLACE FUNCTION immutable_of_{table}() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
{lines}
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER immutable BEFORE UPDATE ON {table}
  FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION immutable_of_{table}();
"""


def _sealed(model: type[models.Model]) -> str:
    """Whatever way a value comes, a sealed column takes blobs only: format, category, whole blocks (vault/seal.py)."""
    table = model._meta.db_table
    columns = [field.column for field in model._meta.concrete_fields if isinstance(field, SealedField)]
    return "\n".join(
        f"""DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'sealed_{column}' AND conrelid = '{table}'::regclass) THEN
    ALTER TABLE {table} ADD CONSTRAINT "sealed_{column}" CHECK (
      "{column}" IS NULL OR (length("{column}") >= 70 AND (length("{column}") - 38) % 32 = 0
        AND get_byte("{column}", 0) = 1 AND get_byte("{column}", 1) BETWEEN 1 AND 7));
  END IF;
END $$;"""
        for column in columns
    )


def writers(model: type[models.Model]) -> tuple[str, ...]:
    """The roles that may add rows of ``model``: *app* and *purger*, unless the model's ``written_by`` says which."""
    roles: tuple[str, ...] = getattr(model, "written_by", ("app", "purger"))
    return roles


def statements(columns_of: dict[str, set[str]]) -> str:
    """Everything to lay, for the tables (name → columns) that exist."""
    names = role_names()
    app, purger, reader = names["app"], names["purger"], names["reader"]
    lines = [
        LEDGER,
        _always_identity("access_control_ledgerevent", "sequence"),
        _append_only("access_control_ledgerevent"),
    ]
    everyone = f"PUBLIC, {app}, {purger}, {reader}"
    lines += [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {everyone};",
        f"REVOKE CREATE ON SCHEMA public FROM {everyone};",
        f"GRANT USAGE ON SCHEMA public TO {app}, {purger}, {reader};",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {app}, {purger}, {reader};",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {app}, {purger}, {reader};",
        f"REVOKE ALL ON django_session, axes_accessattempt FROM {purger}, {reader};",
    ]
    own: dict[str, type[models.Model]] = {}
    histories: set[str] = set()
    for model in apps.get_models():
        if model._meta.app_label in OWN_APPS:
            own[model._meta.db_table] = model
            if (history := history_of(model)) is not None:
                histories.add(history._meta.db_table)
    for table in sorted(columns_of):
        if table in histories or table in {"access_control_installation", "django_migrations"}:
            continue
        found = own.get(table)
        if found is not None and getattr(found, "append_only", False):
            # Not on the key that the database counts: OVERRIDING SYSTEM VALUE and COPY would choose a place in it.
            chosen = ", ".join(
                f'"{field.column}"'
                for field in found._meta.concrete_fields
                if field.column in columns_of[table] and not isinstance(field, models.AutoField)
            )
            lines += [f"GRANT INSERT ({chosen}) ON {table} TO {names[role]};" for role in writers(found)]
        elif found is not None:
            verbs = {"app": "INSERT, UPDATE", "purger": "INSERT, UPDATE, DELETE"}
            lines += [f"GRANT {verbs[role]} ON {table} TO {names[role]};" for role in writers(found)]
            for role, columns in getattr(found, "columns_updated_by", {}).items():
                lines.append(f"GRANT UPDATE ({', '.join(columns)}) ON {table} TO {names[role]};")
        elif table.startswith(DELETABLE_PREFIXES):
            lines.append(f"GRANT INSERT, UPDATE, DELETE ON {table} TO {app};")
        else:
            lines.append(f"GRANT INSERT ON {table} TO {app};")
    for table, model in own.items():
        history = history_of(model)
        if table not in columns_of or table in histories:
            continue
        if history is not None and set(copied_columns(model)) <= columns_of[table]:
            target = history._meta.db_table
            lines += [trigger_sql(model), _always_identity(target, "history_id"), _append_only(target)]
        if columns := immutable_columns(model):
            lines.append(_immutable(model, columns))
        lines.append(_sealed(model))
        if getattr(model, "append_only", False) and table != "access_control_ledgerevent":
            lines.append(_append_only(table))
        lines += getattr(model, "database_rules", ())
    # A trigger fires without EXECUTE; with it, a role could hang these on a table of its own and forge history.
    lines.append(
        """DO $$
DECLARE one regprocedure;
BEGIN
  FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
                AND prorettype = 'trigger'::regtype LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);
  END LOOP;
END $$;"""
    )
    return "\n".join(lines)


def lay_after_migrate(sender: AppConfig, *, using: str, **_: Any) -> None:
    """After the last app was migrated: lay everything, if this connection is the owner of the console database."""
    # Django signals apps with models only, in order; the last of them comes when every table is there.
    last = [config for config in apps.get_app_configs() if config.models_module is not None][-1]
    if using != ALIAS or sender is not last:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_userbyid(relowner) = current_user FROM pg_class"
            " WHERE oid = to_regclass('access_control_ledgerevent')"
        )
        row = cursor.fetchone()
        # A flush by the app role ends here: only the owner can and must lay privileges.
        if not row or not row[0]:
            return
        cursor.execute("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
        columns_of: dict[str, set[str]] = {}
        for table, column in cursor.fetchall():
            columns_of.setdefault(table, set()).add(column)
        with transaction.atomic(using=using):
            cursor.execute(statements(columns_of))
