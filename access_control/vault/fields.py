"""A database field that holds a sealed value and never takes plaintext."""

import dataclasses
import uuid
from typing import Any, Protocol

from django.core.exceptions import FieldError
from django.db import models
from django.db.models.expressions import Col
from django.utils.translation import gettext_lazy as _

from access_control.vault.categories import Category

PLACEHOLDER = _("(sealed)")


class SealedItem(Protocol):
    """What the vault must know of an inventory item."""

    @property
    def code(self) -> str:
        """The stable ASCII code that the seal is bound to."""

    @property
    def category(self) -> Category:
        """The key that seals it."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sealed:
    """A sealed value. Printing, formatting or rendering it yields a placeholder; ``==`` compares ciphertext."""

    blob: bytes

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sealed):
            return self.blob == other.blob
        if isinstance(other, str) and other:
            raise TypeError("a sealed value cannot be compared with text; open it through a door")
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.blob)

    def __str__(self) -> str:
        return str(PLACEHOLDER)

    def __repr__(self) -> str:
        return "<Sealed>"

    def __copy__(self) -> "Sealed":
        return self

    def __deepcopy__(self, memo: Any) -> "Sealed":
        # Forms and the admin copy initial data; a copy in the same process carries nothing away.
        return self

    def __reduce__(self) -> Any:
        # Caches, sessions and job arguments serialise by pickling; nothing sealed may travel that way.
        raise TypeError("a sealed value is not pickled")


class SealedField(models.BinaryField):  # type: ignore[type-arg]
    """A column of sealed values of one inventory item, or of one item per ``kind`` of the row.

    ``subject`` names the attribute that holds the subject's id. The live row's id is always ``id``.
    """

    def __init__(
        self,
        item: SealedItem | dict[str, Any] | str | None = None,
        *,
        subject: str = "id",
        by: str = "kind",
        **options: Any,
    ) -> None:
        self.item, self.subject, self.by = item, subject, by
        options.setdefault("null", True)
        options.setdefault("blank", True)
        options["editable"] = True
        super().__init__(**options)

    def deconstruct(self) -> Any:
        """Migrations keep the column; the item's meaning stays in the inventory."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        return name, path, args, kwargs

    def items(self) -> list[SealedItem]:
        """Every item this column may hold."""
        if isinstance(self.item, dict):
            return list(self.item.values())
        if self.item is None or isinstance(self.item, str):
            raise FieldError(f"{self.name} declares no inventory item")
        return [self.item]

    def item_for(self, instance: Any) -> SealedItem:
        """The item of this row."""
        item = self.item
        if isinstance(item, dict):
            found: SealedItem = item[getattr(instance, self.by)]
            return found
        return self.items()[0] if item is None or isinstance(item, str) else item

    def subject_of(self, instance: Any) -> uuid.UUID:
        """Whose key seals this row."""
        subject: uuid.UUID = getattr(instance, self.subject)
        return subject

    def from_db_value(self, value: bytes | memoryview | None, expression: object, connection: object) -> Sealed | None:
        """Ciphertext comes out as Sealed."""
        return None if value is None else Sealed(bytes(value))

    def to_python(self, value: Any) -> Sealed | None:
        """Only Sealed and None are values of this field."""
        if value is None or isinstance(value, Sealed):
            return value
        raise TypeError(f"{self.name} takes a sealed value, not plaintext; seal it on a key ring")

    def get_prep_value(self, value: Any) -> Any:
        """Refuse plaintext on every path to the database."""
        sealed = self.to_python(value)
        return None if sealed is None else sealed.blob

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """The ciphertext as the driver wants it."""
        blob = value if prepared else self.get_prep_value(value)
        return None if blob is None else connection.Database.Binary(blob)

    def value_to_string(self, obj: Any) -> str:
        """Serializers get the placeholder."""
        return str(PLACEHOLDER)

    def formfield(self, **options: Any) -> None:
        """No form ever edits ciphertext."""

    def get_lookup(self, lookup_name: str) -> Any:
        """Only ``isnull`` makes sense on ciphertext."""
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is sealed: it cannot be filtered by {lookup_name}. Use a vault lookup.")
        return super().get_lookup(lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        """No transform reaches into ciphertext."""
        raise FieldError(f"{self.name} is sealed: {lookup_name} cannot be computed from it.")

    def get_col(self, alias: str, output_field: Any = None) -> Any:
        """The column as an expression that can be selected but not ordered by."""
        return _SealedCol(alias, self, self if output_field is None else output_field)


class _SealedCol(Col):
    """Refuses ORDER BY: ordering by ciphertext would only look like an order.

    ORDER BY resolves the column as a part of its own expression, and so hands the joins on; a lookup (``isnull``)
    resolves it alone, and SELECT not at all.
    """

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        # ``order_by(F(…))`` is resolved as SELECT is; but ORDER BY is compiled after SELECT and before WHERE is there.
        if compiler.select is not None and not hasattr(compiler, "where"):
            raise FieldError(f"{self.target.name} is sealed: it cannot be ordered by.")
        return super().as_sql(compiler, connection)

    def resolve_expression(self, query: Any = None, *as_a_part: Any, **kwargs: Any) -> Any:
        if kwargs.get("for_save"):
            raise FieldError(f"{self.target.name} is sealed: no other column opens its value.")
        if as_a_part:
            raise FieldError(f"{self.target.name} is sealed: it cannot be ordered by.")
        return super().resolve_expression(query, **kwargs)


def sealed_field(model: Any, name: str) -> SealedField:
    """The sealed field ``name`` of ``model``. Raises FieldError when it is not one."""
    field = model._meta.get_field(name)
    if not isinstance(field, SealedField):
        raise FieldError(f"{model.__name__}.{name} is not sealed")
    return field
