"""The console database's guarantees as plain SQL, laid after every migrate by the owner; twice changes nothing.

Roles: *app*, *purger* and *reader* read, own nothing and cannot write history; what each may add, change and delete is
what the models declare (``privileges.py``), and nothing else. Password hashes and sessions are read by *app* alone.
Triggers write history, stamp the ledger and keep immutable items.
"""

from collections.abc import Collection, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.db import connections, models, transaction

from access_control.history import copied_columns, history_of, trigger_sql
from access_control.privileges import OWN_APPS, SECRET_TABLES, Writes, library_writes, writes_of
from access_control.vault.fields import SealedField
from access_control.vault.roles import role_names

ALIAS = "default"

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


def _granted(table: str, columns: Sequence[str], writes: dict[str, Writes]) -> list[str]:
    """Each role gets on ``table`` what is declared; ``columns`` are those that may be given when a row is added."""
    names, lines = role_names(), []
    for role, may in writes.items():
        if may.insert:
            given = ", ".join(f'"{column}"' for column in columns)
            lines.append(f"GRANT INSERT ({given}) ON {table} TO {names[role]};")
        if isinstance(may.update, tuple):
            changed = ", ".join(f'"{column}"' for column in may.update)
            lines += [f"GRANT UPDATE ({changed}) ON {table} TO {names[role]};"] if changed else []
        elif may.update:
            lines.append(f"GRANT UPDATE ON {table} TO {names[role]};")
        if may.delete:
            lines.append(f"GRANT DELETE ON {table} TO {names[role]};")
    return lines


def _secret(table: str, columns: Collection[str], secret: Sequence[str]) -> list[str]:
    """Purger and reader see every column but those that open something by themselves."""
    others = f"{role_names()['purger']}, {role_names()['reader']}"
    seen = ", ".join(f'"{column}"' for column in sorted(set(columns) - set(secret)))
    return [f"REVOKE SELECT ON {table} FROM {others};", f"GRANT SELECT ({seen}) ON {table} TO {others};"]


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
        *(f"REVOKE ALL ON {table} FROM {purger}, {reader};" for table in SECRET_TABLES if table in columns_of),
    ]
    own: dict[str, type[models.Model]] = {}
    histories: set[str] = set()
    for model in apps.get_models():
        if model._meta.app_label in OWN_APPS:
            own[model._meta.db_table] = model
            if (history := history_of(model)) is not None:
                histories.add(history._meta.db_table)
    for table in sorted(columns_of.keys() - histories):
        found = own.get(table)
        if found is None:
            lines += _granted(table, sorted(columns_of[table]), library_writes(table))
            continue
        # Not on the key that the database counts: OVERRIDING SYSTEM VALUE and COPY would choose a place in it.
        chosen = [
            str(field.column)
            for field in found._meta.concrete_fields
            if field.column in columns_of[table] and not isinstance(field, models.AutoField)
        ]
        lines += _granted(table, chosen, writes_of(found))
        if secret := getattr(found, "secret_columns", ()):
            lines += _secret(table, columns_of[table], secret)
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
