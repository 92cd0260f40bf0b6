"""System checks: misconfiguration stops the start, with what to do about it."""

from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections

from access_control import restore
from access_control.history import history_of
from access_control.privileges import OWN_APPS, faults_of
from access_control.roles import NEEDS_GRANT, PERMISSIONS
from access_control.vault.errors import VaultError


def check_roles(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Every permission that a role carries is declared by a model."""
    real = {
        f"{model._meta.app_label}.{codename}"
        for model in apps.get_models()
        for codename in [
            *(f"{verb}_{model._meta.model_name}" for verb in model._meta.default_permissions),
            *(codename for codename, _name in model._meta.permissions),
        ]
    }
    named = {name for names in PERMISSIONS.values() for name in names} | NEEDS_GRANT
    return [
        Error(
            f"A role names the permission {name!r}, which no model declares.",
            hint="Correct access_control/roles.py, or declare it in the model's Meta.permissions.",
            id="access_control.E001",
        )
        for name in sorted(named - real)
    ]


def all_events() -> dict[str, str]:
    """Event code → label over all apps."""
    return {str(value): str(label) for enum in _event_enums() for value, label in enum.choices}


def _event_enums() -> list[Any]:
    modules = [f"{label}.events" for label in OWN_APPS]
    return [import_module(name).Event for name in modules if find_spec(name)]


def check_events(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """No event code is declared twice."""
    counted = Counter(str(value) for enum in _event_enums() for value in enum.values)
    return [
        Error(
            f"The event {event!r} is declared by two apps.",
            hint="An event belongs to the app that records it: remove it from the other app's events.py.",
            id="access_control.E002",
        )
        for event, count in counted.items()
        if count > 1
    ]


def own_models() -> list[Any]:
    """Every model of ours with a table of its own, but for histories, which only the database writes."""
    own = [model for model in apps.get_models() if model._meta.app_label in OWN_APPS]
    histories = {history_of(model) for model in own}
    return [model for model in own if model not in histories and not model._meta.proxy]


def check_privileges(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Every model of ours says who may write its rows, and why it is not tracked when it is not."""
    faults = [(fault, "access_control.E005") for model in own_models() for fault in faults_of(model)]
    for model in own_models():
        sentence = getattr(model, "untracked", "")
        if (history_of(model) is None) != bool(sentence.strip()):
            said = "is tracked, and says why not" if sentence else "is not tracked, and does not say why"
            faults.append((f"{model._meta.label} {said}.", "access_control.E006"))
    hint = "See access_control/privileges.py. Without it a role may only read; history = tracked(), or untracked = '…'."
    return [Error(fault, hint=hint, id=code) for fault, code in faults]


def check_database(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Production runs on a PostgreSQL of its own."""
    if settings.EMBEDDED_DATABASE:
        return [
            Error(
                "The embedded PostgreSQL is for demo and development only.",
                hint="Set DATABASE_URL and VAULT_DATABASE_URL; see .env.example.",
                id="access_control.E003",
            )
        ]
    return []


def check_policy(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """The content security policy allows nothing inline and no evaluation."""
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    unsafe = sorted(name for name, values in directives.items() if any("unsafe" in str(value) for value in values))
    return [
        Error(
            f"The content security policy is unsafe in {', '.join(unsafe)}.",
            hint="Move inline script and style into files under config/static.",
            id="access_control.E004",
        )
        for _once in unsafe[:1]
    ]


def check_proxies(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Behind a proxy each caller has an address of their own: else twenty wrong passwords lock everybody out."""
    if settings.SECURE_PROXY_SSL_HEADER and not settings.TRUSTED_PROXIES:
        return [
            Error(
                "BEHIND_TLS_PROXY is set and TRUSTED_PROXIES is not: every caller would have the proxy's address.",
                hint="Name the proxy's address in TRUSTED_PROXIES; see .env.example.",
                id="access_control.E007",
            )
        ]
    return []


def check_senders(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Notices name who really writes: members would call a window, and answer an address, that nobody has."""
    made_up = {
        "NOTICE_SENDERS": settings.NOTICE_SENDERS_MADE_UP,
        # No mail address can end so (RFC 2606).
        "DEFAULT_FROM_EMAIL": settings.DEFAULT_FROM_EMAIL.rstrip("> ").endswith(".example"),
    }
    return [
        Error(
            f"{name} is not set: notices would go to members from somebody made up.",
            hint="See .env.example.",
            id="access_control.E008",
        )
        for name, is_so in made_up.items()
        if is_so
    ]


def check_restored(app_configs: Any = None, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """No database was restored from a backup, or two persons have accepted it. Asked when databases are named.

    A warning, because a restored console may have to be migrated first. What cannot be asked is not judged here.
    """
    if not databases or not {"default", "vault"} <= set(connections):
        return []
    try:
        signs = restore.look()
    except (DatabaseError, VaultError):
        return []
    return [Warning(restore.sentence(signs), id="access_control.W005") for _once in signs[:1]]


def register_all() -> None:
    """Register the checks; called once by the app."""
    register(check_roles, Tags.security)
    register(check_events, Tags.compatibility)
    register(check_privileges, Tags.security)
    register(check_database, Tags.security, deploy=True)
    register(check_policy, Tags.security, deploy=True)
    register(check_proxies, Tags.security, deploy=True)
    register(check_senders, deploy=True)
    register(check_restored, Tags.database)
