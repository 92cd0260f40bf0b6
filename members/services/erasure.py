"""What destruction does to rows: sealed columns become empty, and a member's own rows go. History keeps its ciphertext.

The keys are destroyed in the vault; this only takes away what nobody can read any more. Set-based: one statement a
table, whatever the number of members. Only the purger role may delete.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from django.db import connection

from access_control.copying import array
from access_control.vault.categories import Category
from access_control.vault.seal import KeyRef
from members.models import (
    DATA_MODELS,
    Addressee,
    CaseNote,
    ContactPoint,
    Correction,
    Member,
    Notice,
    PaymentMeans,
    Transaction,
)
from members.showing import sealed_names

_GONE = "gone (subject, category, generation) AS (SELECT * FROM unnest(%s::uuid[], %s::smallint[], %s::bigint[]))"


# Category and generation stand in the first ten bytes of a sealed value (vault/seal.py).
def _under(column: str) -> str:
    return f"get_byte({column}, 1) = gone.category AND substring({column} FROM 3 FOR 8) = int8send(gone.generation)"


def _columns(model: type[Any], category: Category) -> list[str]:
    """The columns of ``model`` whose items are sealed under ``category``."""
    return [
        str(model._meta.get_field(name).column)
        for name in sealed_names(model)
        if any(item.category == category for item in model._meta.get_field(name).items())
    ]


def _deleted(model: type[Any], subject: str = "member_id") -> str:
    """Delete the rows whose values are sealed under a key that is gone. All values of such a row share one key."""
    table = model._meta.db_table
    first = f"coalesce({', '.join(_prefixed(model))})"
    return f"WITH {_GONE} DELETE FROM {table} t USING gone WHERE t.{subject} = gone.subject AND {_under(first)}"


def _emptied(model: type[Any], column: str, subject: str = "member_id") -> str:
    table = model._meta.db_table
    return (
        f"WITH {_GONE} UPDATE {table} t SET {column} = NULL FROM gone"
        f" WHERE t.{subject} = gone.subject AND {_under(f't.{column}')}"
    )


def _blanked() -> str:
    """One change of the member row, whatever went: its columns by category, and its state when nothing is left."""
    changes, tests = [], []
    for category in (Category.IDENTITY, Category.PROFILE):
        names = _columns(Member, category)
        first = f"coalesce({', '.join(f'm.{name}' for name in names)})"
        mark = f"ends_{category.value}"
        tests.append(f"bool_or({_under(first)}) AS {mark}")
        changes += [f"{name} = CASE WHEN s.{mark} THEN NULL ELSE t.{name} END" for name in names]
    return (
        f"WITH {_GONE}, s AS (SELECT m.id, m.id = ANY (%s::uuid[]) AS ended, {', '.join(tests)}"
        "   FROM members_member m JOIN gone ON gone.subject = m.id GROUP BY m.id)"
        f" UPDATE members_member t SET {', '.join(changes)},"
        "   state = CASE WHEN s.ended AND t.state = 'ended' THEN 'destroyed' ELSE t.state END"
        f" FROM s WHERE t.id = s.id AND (s.ended OR {' OR '.join(f's.ends_{c.value}' for c in _OWN)})"
    )


_OWN = (Category.IDENTITY, Category.PROFILE)
_ROWS = (ContactPoint, Addressee, PaymentMeans, Transaction)
_WORDS = ((CaseNote, "text", "subject_id"), (Notice, '"to"', "member_id"), (Correction, "proposed", "member_id"))


def _arrays(refs: Sequence[KeyRef]) -> list[str]:
    subjects, categories, generations = zip(*refs, strict=True)
    return [array(subjects), array(map(int, categories)), array(generations)]


def erase(refs: Sequence[KeyRef], *, emptied: Sequence[uuid.UUID]) -> None:
    """No live row holds a value sealed under ``refs``. Members in ``emptied``, of whom nothing is left but what the law
    keeps, become *destroyed*. The caller holds the rows locked, and an act.
    """
    if not refs:
        return
    categories = {ref.category for ref in refs}
    gone = _arrays(refs)
    with connection.cursor() as cursor:
        for model in _ROWS:
            if categories & _items(model):
                cursor.execute(_deleted(model), gone)
        if Category.CORRESPONDENCE in categories:
            for words, column, subject in _WORDS:
                cursor.execute(_emptied(words, column, subject), gone)
        cursor.execute(_blanked(), [*gone, array(emptied)])


def _prefixed(model: type[Any]) -> list[str]:
    return [f"t.{name}" for name in sealed_names(model)]


def _items(model: type[Any]) -> set[int]:
    """The categories of the values that a row of ``model`` holds."""
    return {item.category for name in sealed_names(model) for item in model._meta.get_field(name).items()}


def still_sealed_under(refs: Sequence[KeyRef]) -> set[KeyRef]:
    """The keys among ``refs`` under which a live value of a member stands."""
    if not refs:
        return set()
    parts = [
        f"SELECT gone.* FROM gone JOIN {model._meta.db_table} t"
        f" ON t.{'id' if model is Member else 'member_id'} = gone.subject"
        f" WHERE {' OR '.join(f'({_under(name)})' for name in _prefixed(model))}"
        for model in DATA_MODELS
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {_GONE} {' UNION '.join(parts)}", _arrays(refs))
        return {KeyRef(*row) for row in cursor.fetchall()}
