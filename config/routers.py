"""Which database holds what: the vault holds keys, lookups and fences; ``default`` holds everything else."""

from typing import Any

from django.db.models import Model

VAULT = "vault"


class VaultRouter:
    """Keeps the app labelled ``vault`` in its own database, and everything else out of it."""

    def _alias(self, app_label: str) -> str:
        return VAULT if app_label == VAULT else "default"

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        """The alias that holds ``model``."""
        return self._alias(model._meta.app_label)

    db_for_write = db_for_read

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool:
        """Relations never cross the two databases."""
        return self._alias(obj1._meta.app_label) == self._alias(obj2._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Each migration runs in exactly one of the two databases."""
        return self._alias(app_label) == db
