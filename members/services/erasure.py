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

_GONE = "gone (subject, generation) AS (SELECT * FROM unnest(%s::uuid[], %s::bigint[]))"


def _under(column: str, category: int) -> str:
    """Category and generation stand in the first ten bytes of a sealed value (vault/seal.py)."""
    return f"get_byte({column}, 1) = {category:d} AND substring({column} FROM 3 FOR 8) = int8send(gone.generation)"


def _columns(model: type[Any], category: Category) -> list[str]:
    """The columns of ``model`` whose items are sealed under ``category``."""
    return [
        str(model._meta.get_field(name).column)
        for name in sealed_names(model)
        if any(item.category == category for item in model._meta.get_field(name).items())
    ]


def _deleted(model: type[Any], category: Category) -> str:
    """Delete the rows whose values are sealed under a key that is gone. All values of such a row share one key."""
    first = f"coalesce({', '.join(f't.{name}' for name in sealed_names(model))})"
    return (
        f"WITH {_GONE} DELETE FROM {model._meta.db_table} t USING gone"
        f" WHERE t.member_id = gone.subject AND {_under(first, category)}"
    )


def _emptied(model: type[Any], column: str, subject: str) -> str:
    return (
        f"WITH {_GONE} UPDATE {model._meta.db_table} t SET {column} = NULL FROM gone"
        f" WHERE t.{subject} = gone.subject AND {_under(f't.{column}', Category.CORRESPONDENCE)}"
    )


def _blanked() -> str:
    """One change of the member row, whatever went: its columns by category, and its state when nothing is left."""
    named = {category: _columns(Member, category) for category in _OWN}
    gone, changes = [], []
    for category, names in named.items():
        first = f"coalesce({', '.join(f'm.{name}' for name in names)})"
        gone.append(
            f"SELECT m.id, {', '.join(str(one == category) for one in _OWN)}, false"
            f" FROM unnest(%s::uuid[], %s::bigint[]) AS gone (subject, generation)"
            f" JOIN members_member m ON m.id = gone.subject WHERE {_under(first, category)}"
        )
        changes += [f"{name} = CASE WHEN s.ends_{category:d} THEN NULL ELSE t.{name} END" for name in names]
    gone.append(f"SELECT unnest(%s::uuid[]), {', '.join('false' for _one in _OWN)}, true")
    ends = [f"ends_{category:d}" for category in _OWN]
    return (
        f"WITH found (id, {', '.join(ends)}, ended) AS ({' UNION ALL '.join(gone)}),"
        f" s AS (SELECT id, {', '.join(f'bool_or({one}) AS {one}' for one in ends)}, bool_or(ended) AS ended"
        "   FROM found GROUP BY id)"
        f" UPDATE members_member t SET {', '.join(changes)},"
        "   state = CASE WHEN s.ended AND t.state = 'ended' THEN 'destroyed' ELSE t.state END"
        " FROM s WHERE t.id = s.id"
    )


_OWN = (Category.IDENTITY, Category.PROFILE)
_ROWS = {
    Category.CONTACT: ContactPoint,
    Category.DELIVERY: Addressee,
    Category.PAYMENT: PaymentMeans,
    Category.STATUTORY: Transaction,
}
_WORDS = ((CaseNote, "text", "subject_id"), (Notice, '"to"', "member_id"), (Correction, "proposed", "member_id"))


def erase(refs: Sequence[KeyRef], *, emptied: Sequence[uuid.UUID]) -> None:
    """No live row holds a value sealed under ``refs``. Members in ``emptied``, of whom nothing is left but what the law
    keeps, become *destroyed*. The caller holds the rows locked, and an act.
    """
    gone = {category: _arrays([ref for ref in refs if ref.category == category]) for category in Category}
    present = {ref.category for ref in refs}
    with connection.cursor() as cursor:
        for category, model in _ROWS.items():
            if category in present:
                cursor.execute(_deleted(model, category), gone[category])
        if Category.CORRESPONDENCE in present:
            for words, column, subject in _WORDS:
                cursor.execute(_emptied(words, column, subject), gone[Category.CORRESPONDENCE])
        if emptied or present & set(_OWN):
            cursor.execute(_blanked(), [*(each for category in _OWN for each in gone[category]), array(emptied)])


def _arrays(refs: Sequence[KeyRef]) -> list[str]:
    return [array(ref.subject for ref in refs), array(ref.generation for ref in refs)]


def still_sealed_under(refs: Sequence[KeyRef]) -> set[KeyRef]:
    """The keys among ``refs`` under which a live value of a member stands."""
    found: set[KeyRef] = set()
    with connection.cursor() as cursor:
        for category in Category:
            wanted = [ref for ref in refs if ref.category == category]
            models = [model for model in DATA_MODELS if _columns(model, category)]
            if not wanted or not models:
                continue
            parts = [
                f"SELECT gone.* FROM gone JOIN {model._meta.db_table} t"
                f" ON t.{'id' if model is Member else 'member_id'} = gone.subject WHERE "
                + " OR ".join(f"({_under(f't.{column}', category)})" for column in _columns(model, category))
                for model in models
            ]
            cursor.execute(f"WITH {_GONE} {' UNION '.join(parts)}", _arrays(wanted))
            found |= {KeyRef(subject, category, generation) for subject, generation in cursor.fetchall()}
    return found
