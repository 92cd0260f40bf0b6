"""The names of the four database roles of this installation."""

import re

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

ROLES = ("owner", "app", "purger", "reader")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")


def role_names() -> dict[str, str]:
    """Role → database role name, e.g. ``{"app": "console_app"}``; safe to stand in SQL unquoted.

    Raises ImproperlyConfigured when ``CONSOLE_ROLE_PREFIX`` is no plain lower-case name.
    """
    prefix: str = settings.CONSOLE_ROLE_PREFIX
    if not _NAME.fullmatch(prefix):
        raise ImproperlyConfigured("CONSOLE_ROLE_PREFIX must be a lower-case name: letters, digits and underscores.")
    return {role: f"{prefix}_{role}" for role in ROLES}
