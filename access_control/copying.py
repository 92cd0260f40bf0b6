"""Bulk work with PostgreSQL: COPY of rows into a table (triggers fire as for any INSERT), and arrays as parameters."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models


def copy_rows(model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Append ``rows`` (values of the fields ``names``, in that order) to the table of ``model``.

    Values travel in PostgreSQL's binary format, each as the type of its column; a sealed one is given as its blob.
    """
    fields = [model._meta.get_field(name) for name in names]
    columns = ", ".join(f'"{field.column}"' for field in fields)  # type: ignore[union-attr]
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {model._meta.db_table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types([_type_of(field) for field in fields])
        for row in rows:
            copy.write_row(row)


def update_rows(model: type[models.Model], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Give the fields ``names`` of many rows new values, by one statement; ``rows`` are ids with their values."""
    if not rows:
        return
    fields: list[Any] = [model._meta.pk, *(model._meta.get_field(name) for name in names)]
    arrays = ", ".join(f"%s::{_type_of(field)}[]" for field in fields)
    changes = ", ".join(f'"{field.column}" = v."{field.column}"' for field in fields[1:])
    columns = ", ".join(f'"{field.column}"' for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {model._meta.db_table} t SET {changes} FROM unnest({arrays}) AS v ({columns})"
            f' WHERE t."{fields[0].column}" = v."{fields[0].column}"',
            [list(column) for column in zip(*rows, strict=True)],
        )


def array(values: Iterable[Any]) -> str:
    """An array parameter for ids, whole numbers or times, to be cast (``%s::uuid[]``).

    The driver would look at each element by itself; of these none needs quoting.
    """
    return "{" + ",".join(map(str, values)) + "}"


def _type_of(field: Any) -> str:
    """The name of a column's type without its length: ``varchar(12)[]`` is ``varchar[]``."""
    name, _, rest = str(field.db_type(connection)).partition("(")
    return name + rest.partition(")")[2]
