"""History that the database writes: django-simple-history's models, filled by statement triggers.

simple-history's own signals miss ``update()``, bulk work and raw SQL, so they stay off. ``trigger_sql`` makes, for each
tracked model, one trigger per operation that copies the changed rows from the transition table, with actor, reason,
case and request id taken from ``SET LOCAL`` variables (see ``ledger.acting``). A change without an actor is refused.
"""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from access_control.vault.models import Xid8Field


class HistoryRecord(models.Model):
    """What every history row adds to the copied row. Append-only; columns are only ever added."""

    history_case_id = models.UUIDField(_("case"), null=True)
    history_request_id = models.UUIDField(_("request"), null=True)
    history_epoch = models.IntegerField(_("restore epoch"))
    history_xid = Xid8Field(_("transaction"))

    class Meta:
        abstract = True


def _staff_of(row: Any) -> Any:
    """The account that made a history row, or None for the system."""
    from access_control.models import Staff

    return Staff.objects.filter(pk=row.history_user_id).first() if row.history_user_id else None


def tracked(excluded: tuple[str, ...] = ()) -> HistoricalRecords:
    """The ``history`` attribute of a tracked model. The database writes its rows."""
    return HistoricalRecords(
        bases=[HistoryRecord],
        excluded_fields=list(excluded),
        history_id_field=models.BigAutoField(primary_key=True),
        history_change_reason_field=models.TextField(null=True),
        # A new field object for every model: simple-history would share one between them.
        history_user_id_field=models.UUIDField(null=True),
        history_user_getter=_staff_of,
        history_user_setter=lambda row, user: None,
    )


def history_of(model: type[models.Model]) -> type[models.Model] | None:
    """The history model of ``model``, or None when it is not tracked."""
    attribute = getattr(model._meta, "simple_history_manager_attribute", None)
    manager = getattr(model, attribute, None) if attribute else None
    return getattr(manager, "model", None)


_OWN_COLUMNS = (
    "history_date",
    "history_type",
    "history_change_reason",
    "history_user_id",
    "history_case_id",
    "history_request_id",
    "history_epoch",
    "history_xid",
)


def copied_columns(model: type[models.Model]) -> list[str]:
    """The columns a history row copies from its live row."""
    history = history_of(model)
    assert history is not None
    live = {field.column for field in model._meta.concrete_fields}
    return [str(field.column) for field in history._meta.concrete_fields if field.column in live]


def trigger_sql(model: type[models.Model]) -> str:
    """Function and triggers that write the history of ``model``."""
    history = history_of(model)
    assert history is not None
    table, target = model._meta.db_table, history._meta.db_table
    columns = copied_columns(model)
    into = ", ".join(f'"{column}"' for column in [*columns, *_OWN_COLUMNS])
    values = ", ".join(f'changed."{column}"' for column in columns)
    triggers = "\n".join(
        f"CREATE OR REPLACE TRIGGER history_{operation.lower()} AFTER {operation} ON {table}\n"
        f"  REFERENCING {side} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION history_of_{table}();"
        for operation, side in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
    )
    return f"""
CREATE OR REPLACE FUNCTION history_of_{table}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting text := coalesce(current_setting('console.actor', true), '');
  restored integer;
BEGIN
  IF NOT EXISTS (SELECT FROM changed) THEN
    RETURN NULL;
  END IF;
  IF acting = '' THEN
    RAISE EXCEPTION 'a change of % needs an actor', TG_TABLE_NAME USING ERRCODE = 'CA001';
  END IF;
  SELECT restore_epoch INTO STRICT restored FROM public.access_control_installation;
  INSERT INTO public.{target} ({into})
  SELECT {values}, clock_timestamp(), CASE TG_OP WHEN 'INSERT' THEN '+' WHEN 'UPDATE' THEN '~' ELSE '-' END,
         nullif(current_setting('console.reason', true), ''),
         CASE WHEN acting = 'system' THEN NULL ELSE acting::uuid END,
         nullif(current_setting('console.case', true), '')::uuid,
         nullif(current_setting('console.request', true), '')::uuid,
         restored, pg_current_xact_id()
    FROM changed;
  RETURN NULL;
END $$;
{triggers}
"""
