"""Rules about all code, as tests (STYLE 75)."""

import ast
import re
from collections import defaultdict
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import connection, connections, models
from simple_history.models import HistoricalRecords

from access_control.checks import all_events
from access_control.history import copied_columns, history_of
from access_control.roles import NEEDS_GRANT, PERMISSIONS, Role
from access_control.sql import immutable_columns
from access_control.vault.fields import PLACEHOLDER, Sealed, SealedField

ROOT = Path(settings.BASE_DIR)
DIRECTION = ("access_control", "members", "consent", "retention")
LONGEST_MODULE = 450
# Modules that are tables of data rather than code.
DATA_MODULES = {"consent/policy_text/revision_2016.py", "consent/demo/names.py", "consent/demo/people.py"}

# Who may open a sealed value, and why the text does not leave the house there.
OPENERS = {
    "members.showing:mask_value": "only the mask leaves",
    "members.timeline:_same_text": "only whether two versions agree leaves",
    "members.services.identity:_compare": "only match or no match leaves",
    "members.services.on_file:_opened": "compared at import, and normal forms for lookups",
    "members.services.winners:_opened": "only whether a file repeats what was superseded leaves",
    "members.services.corrections:ask_correction": "compared with the value asked for",
    "members.services.corrections:apply_correction": "sealed again, and sealed as a notice's address",
    "members.services.corrections:_seal_again": "sealed again under a new generation",
    "members.services.transactions:_on_file": "only whether a row is on file leaves",
    "members.services.notices:mails_on_file": "sealed as a notice's address",
    "members.services.cases:_text_of": "an agent reads the notes of their own case",
    "consent.services.doors:reveal": "the first door: a person looks",
    "consent.services.doors:use": "the second door: the system uses",
    "consent.services.records:reveal_record": "the first door, for what the law keeps",
    "consent.services.doors:provide": "the third door: it leaves the house",
}
# Functions that hand an event on that their callers name.
PASSED_ON = {"access_control.ledger", "members.showing:masking_member", "consent.services.doors:_refuse"}

OWN = [model for model in apps.get_models() if model._meta.app_label in DIRECTION]
TRACKED = [model for model in OWN if history_of(model)]
HISTORIES = {history_of(model) for model in TRACKED}
WRITTEN = [
    model for model in apps.get_models() if model.__module__.split(".")[0] in DIRECTION and model not in HISTORIES
]


def sources():
    """(path from the root, dotted name, text) of every module of ours but migrations."""
    for folder in (*DIRECTION, "config"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT)
            if "migrations" not in inside.parts:
                name = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
                yield str(inside), name, path.read_text()


@cache
def trees():
    """Dotted name → syntax tree."""
    return {name: ast.parse(text) for _path, name, text in sources()}


@cache
def _calls_in(tree):
    """Name → [(outermost function, call)] in a module."""
    owners, found = {}, defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for inner in ast.walk(node):
                owners.setdefault(inner, node.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found[called].append((owners.get(node, ""), node))
    return found


def calls(tree, attribute):
    """(outermost function, call) for every call of ``….attribute(…)`` or ``attribute(…)`` in a module."""
    return _calls_in(tree)[attribute]


# One direction


def test_foreign_keys_point_down():
    upward = [
        f"{model._meta.label}.{field.name} -> {field.related_model._meta.label}"
        for model in OWN
        for field in model._meta.concrete_fields
        if field.is_relation
        and field.related_model._meta.app_label in DIRECTION
        and DIRECTION.index(field.related_model._meta.app_label) > DIRECTION.index(model._meta.app_label)
    ]
    assert upward == []


def test_nothing_of_ours_points_into_the_vault_or_out_of_it():
    crossing = [
        f"{model._meta.label}.{field.name}"
        for model in WRITTEN
        for field in model._meta.concrete_fields
        if field.is_relation and (field.related_model._meta.app_label == "vault") != (model._meta.app_label == "vault")
    ]
    assert crossing == []


def test_no_row_of_ours_disappears_or_loses_its_link_with_another():
    soft = [
        f"{model._meta.label}.{field.name}"
        for model in OWN
        if model not in HISTORIES
        for field in model._meta.concrete_fields
        if field.is_relation
        # Guardian's base class gives the permission; no role can delete one.
        and field.name != "permission"
        and field.remote_field.on_delete is not models.PROTECT
    ]
    assert soft == []


# History


@pytest.mark.parametrize("model", TRACKED, ids=lambda model: model._meta.label)
def test_history_copies_every_column(model):
    live = {field.column for field in model._meta.concrete_fields}
    assert live - set(copied_columns(model)) == ({"password"} if model._meta.label == "access_control.Staff" else set())


def triggers():
    """Table → {(trigger, function, enabled)} as installed."""
    found = defaultdict(set)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, t.tgname, p.proname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal"
        )
        for table, trigger, function, enabled in cursor.fetchall():
            found[table].add((trigger, function, enabled))
    return found


def test_every_guard_is_installed_and_enabled():
    wanted = defaultdict(set)
    for model in TRACKED:
        table = model._meta.db_table
        wanted[table] |= {(f"history_{verb}", f"history_of_{table}", "O") for verb in ("insert", "update", "delete")}
        wanted[history_of(model)._meta.db_table].add(("append_only", "refuse_change", "O"))
    for model in OWN:
        table = model._meta.db_table
        if getattr(model, "append_only", False):
            wanted[table].add(("append_only", "refuse_change", "O"))
        if model not in HISTORIES and immutable_columns(model):
            wanted[table].add(("immutable", f"immutable_of_{table}", "O"))
    wanted["access_control_ledgerevent"].add(("ledger_stamp", "ledger_stamp", "O"))
    wanted["consent_provision"].add(("provision_was_announced", "provision_was_announced", "O"))
    wanted["members_member"].add(("membership_takes_its_way", "membership_takes_its_way", "O"))
    wanted["members_dataasof"].add(("data_as_of_moves_on", "data_as_of_moves_on", "O"))
    installed = triggers()
    assert {table: guards - installed[table] for table, guards in wanted.items() if guards - installed[table]} == {}


def test_the_installed_history_functions_copy_exactly_the_models_columns():
    with connection.cursor() as cursor:
        for model in TRACKED:
            cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = %s", [f"history_of_{model._meta.db_table}"])
            source = cursor.fetchone()[0]
            assert set(re.findall(r'changed\."(\w+)"', source)) == set(copied_columns(model))


def test_the_vaults_guards_are_installed():
    with connections["vault"].cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'")
        assert {row[0] for row in cursor.fetchall()} == {
            "vault_key_guard",
            "vault_key_stays",
            "vault_key_no_truncate",
            "vault_keyringcheck_append",
            "vault_fetchrecord_append",
            "vault_destroyrecord_append",
            "vault_consoleidentity_append",
            "vault_consolemark_append",
            "vault_heldsubject_stays",
        }


def test_simple_history_writes_nothing_itself():
    assert settings.SIMPLE_HISTORY_ENABLED is False
    for model in TRACKED:
        for field in model._meta.concrete_fields:
            assert not isinstance(field, HistoricalRecords)


# Opening


def test_the_callers_of_open_sealed_are_a_closed_list():
    found = {
        f"{module}:{function}" for module, tree in trees().items() for function, _call in calls(tree, "open_sealed")
    }
    assert found == set(OPENERS)


def test_whoever_logs_is_named_below_console():
    """One name sets the level of all the console's own lines, and a reader of the log knows them by it."""
    named = {
        f"{module}: {ast.unparse(call.args[0])}"
        for module, tree in trees().items()
        for _function, call in calls(tree, "getLogger")
        if not (isinstance(call.args[0], ast.Constant) and str(call.args[0].value).startswith("console."))
    }
    assert named == set()


def test_nobody_takes_open_sealed_or_unseal_by_another_way():
    for module, tree in trees().items():
        if module.startswith("access_control.vault"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"unseal", "unwrap", "_key", "_stored", "_keys"}, module
            if isinstance(node, ast.Constant):
                assert node.value not in {"open_sealed", "unseal", "unwrap"}, module
            if isinstance(node, ast.ImportFrom):
                assert not {alias.name for alias in node.names} & {"unseal", "unwrap", "open_sealed"}, module
    # What is an attribute but not called would be handed on.
    for module, tree in trees().items():
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "open_sealed":
                assert id(node) in called, module


# Keys that are fetched to seal with; what is opened with keys goes through the door.
FETCHERS = {
    ("access_control.openings", "keys_for"): "the door",
    ("members.services.registration", "add_fetched"): "seals the rest of an interrupted registration",
    ("members.services.cases", "add_fetched"): "seals a note or a notice's address under the case's key",
}


def test_keys_are_fetched_by_the_door_alone():
    """Number 12: an opening that holds no account and no grant cannot be written."""
    found = {
        (module, name)
        for module, tree in trees().items()
        if not module.startswith("access_control.vault")
        for name in ("keys_for", "add_fetched")
        for _function, _call in calls(tree, name)
    }
    assert found == set(FETCHERS), "open through access_control.openings.opening"
    imported = {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and "keys_for" in {alias.name for alias in node.names}
    }
    assert imported == {"access_control.openings"}


# Whose locks are not taken by access_control.locks, and why.
OTHER_LOCKS = {
    "access_control.locks": "the one place",
    "access_control.sign_in": "failed tries of nobody's are forgotten, passing over those that are locked",
    "access_control.vault.destruction_sql": "the vault's own functions lock its keys, which come last",
    "access_control.vault.lookup_sql": "the vault's own functions lock its keys, which come last",
    "access_control.vault.sql": "the vault's own functions lock its keys, which come last",
    "retention.models.plans": "the end of a plan waits for a chunk under way, whoever writes it (trigger)",
    "retention.services.items": "the purger passes over rows that are locked: members, then cases",
    "retention.services.purging": "the purger finishes what the vault has destroyed: members alone",
}


def test_one_place_locks_rows():
    """Number 11: one order of locks, kept by the one module that takes them."""
    locking = re.compile(r"\bFOR\s+(NO\s+KEY\s+UPDATE|KEY\s+SHARE|SHARE|UPDATE)\b")
    found = set()
    for module, tree in trees().items():
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        if calls(tree, "select_for_update"):
            found.add(module)
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if id(node) not in docstrings and (locking.search(text) or text.endswith(" FOR ")):
                found.add(module)
    assert found == set(OTHER_LOCKS), "lock rows through access_control.locks"


# Asking


def test_only_policies_is_asked_who_may():
    asked = {
        f"{module}: {name}"
        for module, tree in trees().items()
        for name in (
            "has_perm",
            "has_perms",
            "get_all_permissions",
            "get_group_permissions",
            "user_passes_test",
            "permission_required",
            "get_objects_for_user",
            "assign_perm",
            "ObjectPermissionChecker",
        )
        for _function, _call in calls(tree, name)
    }
    assert asked == set()


def test_only_the_grant_base_imports_guardian():
    importing = {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "guardian")
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "guardian" for alias in node.names))
    }
    assert importing == {"access_control.grants"}


def test_no_superuser_is_ever_asked_for():
    assert "is_superuser" not in "".join(text.replace("def is_superuser", "") for _path, _name, text in sources())


# Models


@pytest.mark.parametrize("model", WRITTEN, ids=lambda model: model._meta.label)
def test_every_model_says_what_a_row_means(model):
    written = model.__dict__.get("__doc__") or ""
    assert written.strip(), "no docstring"
    # Django makes one of the field names where there is none.
    assert not written.startswith(f"{model.__name__}(")


@pytest.mark.parametrize("model", WRITTEN, ids=lambda model: model._meta.label)
def test_every_constraint_carries_its_app_and_model(model):
    for constraint in model._meta.constraints:
        start = f"{model._meta.app_label}_{model._meta.model_name}_"
        assert constraint.name.startswith(start), constraint.name
    for index in model._meta.indexes:
        assert len(index.name) <= 30


class _Loud(Sealed):
    """A sealed value that nobody may even print."""

    def __str__(self):
        raise AssertionError("a sealed value was printed")

    __repr__ = __format__ = __str__


@pytest.mark.parametrize("model", apps.get_models(), ids=lambda model: model._meta.label)
def test_no_name_of_a_row_shows_a_sealed_value(model):
    sealed = [field.name for field in model._meta.concrete_fields if isinstance(field, SealedField)]
    if sealed:
        row = model()
        for name in sealed:
            setattr(row, name, _Loud(b"\x01"))
        row.history_date = row.history_type = ""
        assert str(PLACEHOLDER) not in str(row)
        assert "_Loud" not in repr(row)


def test_every_index_has_a_comment_that_names_its_query():
    bare = []
    for path, _name, text in sources():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if re.match(r"\s*models\.Index\(", line) and not lines[number - 1].strip().startswith("# "):
                bare.append(f"{path}:{number + 1}")
    assert bare == []


# Modules


def test_a_module_is_readable_in_one_sitting():
    long = {
        path: len(text.splitlines())
        for path, _name, text in sources()
        if path not in DATA_MODULES and len(text.splitlines()) > LONGEST_MODULE
    }
    assert long == {}


def test_every_module_says_what_it_is():
    silent = [name for name, tree in trees().items() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


def test_nothing_is_printed():
    printing = [
        module
        for module, tree in trees().items()
        for _function, call in calls(tree, "print")
        if isinstance(call.func, ast.Name)
    ]
    assert printing == []


def test_nothing_is_left_to_do():
    marked = [path for path, _name, text in sources() if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)]
    assert marked == []


def test_there_is_no_drawer_for_everything():
    drawers = {"utils", "common", "core", "helpers", "misc"}
    assert [path for path, _name, _text in sources() if drawers & set(Path(path).with_suffix("").parts)] == []


# Events


def event_enums():
    return [import_module(f"{app}.events").Event for app in DIRECTION if (ROOT / app / "events.py").exists()]


def test_events_are_disjoint_and_spelt_as_subject_and_act():
    values = [value for enum in event_enums() for value in enum.values]
    assert len(values) == len(set(values)) == len(all_events())
    assert [value for value in values if not re.fullmatch(r"[a-z]+:[a-z_]+", value)] == []


def test_every_recorded_event_is_declared():
    undeclared, recorded = [], set()
    for module, tree in trees().items():
        members = {
            name: getattr(import_module(module), name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for name in (alias.asname or alias.name for alias in node.names)
            if name.endswith("Event") and (node.module or "").endswith(".events")
        }
        for verb in ("record", "record_each"):
            for function, call in calls(tree, verb):
                if {module, f"{module}:{function}"} & PASSED_ON:
                    continue
                named = [
                    (node.value.id, node.attr)
                    for node in ast.walk(call.args[0])
                    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in members
                ]
                if not named or any(attr not in members[enum].__members__ for enum, attr in named):
                    undeclared.append(f"{module}:{call.lineno}")
        # An event may also be put into a table or handed on first.
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in members:
                recorded.add(str(members[node.value.id][node.attr]))
    assert undeclared == []
    assert set(all_events()) - recorded == set(), "declared, and never recorded"


# Roles, checks, policy


def test_the_system_checks_are_clean():
    assert [message for message in checks.run_checks() if not message.is_silenced()] == []


def test_every_role_has_permissions_that_exist():
    from django.contrib.auth.models import Permission

    real = {f"{app}.{name}" for app, name in Permission.objects.values_list("content_type__app_label", "codename")}
    assert set(PERMISSIONS) == set(Role)
    assert {name for names in PERMISSIONS.values() for name in names} | NEEDS_GRANT <= real


def test_a_role_with_a_name_that_no_model_declares_is_an_error(monkeypatch):
    from access_control.checks import check_roles

    assert check_roles() == []
    monkeypatch.setitem(PERMISSIONS, Role.AUDITOR, frozenset({"members.peek_member"}))
    assert [message.id for message in check_roles()] == ["access_control.E001"]


def test_those_who_run_accounts_or_audit_see_no_member():
    for role in (Role.AUDITOR, Role.ADMINISTRATOR):
        assert not {name for name in PERMISSIONS[role] if name.startswith("members.")}


def test_the_content_security_policy_has_no_unsafe_source():
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    written = [str(value) for values in directives.values() for value in values]
    assert not [value for value in written if "unsafe" in value or value in {"*", "https:", "http:"}]
    assert directives["default-src"] == ["'none'"]
    assert "CONTENT_SECURITY_POLICY_REPORT_ONLY" not in dir(settings)


def test_an_unsafe_policy_is_an_error(settings):
    from access_control.checks import check_policy

    assert check_policy() == []
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"script-src": ["'self'", "'unsafe-inline'"]}}
    assert [message.id for message in check_policy()] == ["access_control.E004"]


def test_passwords_sign_in_through_one_backend_that_grants_nothing():
    assert settings.AUTHENTICATION_BACKENDS == ["access_control.accounts.StaffBackend"]
