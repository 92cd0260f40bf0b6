"""Who may write what in the console's tables: declared by each model, closed where nothing is declared.

A model of ours says ``privileges = {"app": Writes(…), "purger": Writes(…)}``; a role that is not named may only read.
``secret_columns`` are read by *app* alone. Tables of libraries stand in ``LIBRARY_TABLES``. ``sql.py`` lays it,
a system check finds what is missing or misspelt.
"""

import dataclasses

from django.db import models

WRITING_ROLES = ("app", "purger", "reader")
OWN_APPS = ("access_control", "members", "consent", "retention")


@dataclasses.dataclass(frozen=True)
class Writes:
    """What one role may do to the rows of one table. ``update``: every column (True), or the columns that are named."""

    insert: bool = False
    update: bool | tuple[str, ...] = False
    delete: bool = False


ADDS = Writes(insert=True)
EVERYTHING = Writes(insert=True, update=True, delete=True)

# Name, or beginning of the name, of a library's table → what a role may do. What is not here may be read only.
LIBRARY_TABLES: dict[str, dict[str, Writes]] = {
    "django_session": {"app": EVERYTHING},
    "django_admin_log": {"app": ADDS},
    "procrastinate_": {"app": EVERYTHING},
    "axes_": {"app": EVERYTHING},
}
# Tables of libraries that *app* alone reads: who has a row's key or token has what it opens.
SECRET_TABLES = ("django_session", "axes_accessattempt")


def writes_of(model: type[models.Model]) -> dict[str, Writes]:
    """Role → what it may do to the rows of ``model``; empty when nothing is declared."""
    declared: dict[str, Writes] = getattr(model, "privileges", {})
    return declared


def library_writes(table: str) -> dict[str, Writes]:
    """Role → what it may do to the rows of a library's table."""
    return next((writes for name, writes in LIBRARY_TABLES.items() if table.startswith(name)), {})


def faults_of(model: type[models.Model]) -> list[str]:
    """What is wrong with the declaration of ``model``, each as a sentence that says what to write."""
    label = model._meta.label
    old = [name for name in ("written_by", "columns_updated_by") if hasattr(model, name)]
    if old:
        return [f"{label} declares {', '.join(old)}; write privileges = {{'app': Writes(insert=True, …)}} instead."]
    if not hasattr(model, "privileges"):
        return [f"{label} declares no privileges; write privileges = {{'app': Writes(insert=True)}}, or {{}} for none."]
    faults = [
        f"{label}.privileges names the role {role!r}; the roles are {', '.join(WRITING_ROLES)}."
        for role in writes_of(model)
        if role not in WRITING_ROLES
    ]
    named: list[str] = [*getattr(model, "secret_columns", ())]
    for role, writes in writes_of(model).items():
        if not isinstance(writes, Writes):
            faults.append(f"{label}.privileges[{role!r}] is no Writes(insert=…, update=…, delete=…).")
            continue
        named += writes.update if isinstance(writes.update, tuple) else ()
        if getattr(model, "append_only", False) and (writes.update or writes.delete):
            faults.append(f"{label} is append-only; {role} may neither update nor delete its rows.")
    columns = {str(field.column) for field in model._meta.concrete_fields}
    return faults + [f"{label} names {name!r}, which is no column of it." for name in named if name not in columns]
