"""Every personal item is declared (P2): an undeclared column fails here, before anything is stored in it."""

import re
from collections import Counter, defaultdict

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models.fields import AutoFieldMixin

from access_control.history import history_of
from access_control.privileges import OWN_APPS
from access_control.vault.categories import Category
from access_control.vault.fields import SealedField
from access_control.vault.models import Xid8Field
from members import inventory
from members.inventory import CLEAR, ITEMS, POLICY_ITEMS, Item
from members.masks import Mask, mask
from members.models import DATA_MODELS, Transaction

OWN = [model for model in apps.get_models() if model._meta.app_label in OWN_APPS]
HISTORIES = {history_of(model) for model in OWN if history_of(model)}
LIVE = [model for model in OWN if model not in HISTORIES]

# Kinds of column that hold no personal value: ids, links, yes or no.
STRUCTURAL = (models.UUIDField, models.ForeignKey, models.BooleanField, AutoFieldMixin, Xid8Field)
# Whole numbers that count or order something of the console's own.
BOOKKEEPING = {
    "singleton",
    "database",
    "system",
    "timeline",
    "restore_epoch",
    "epoch",
    "staff_epoch",
    "requester_epoch",
    "approver_epoch",
    "ordinal",
    "attempts",
    "count",
    "position",
    "number",
    "superseded_category",
    "generation",
    "keyring",
    "times_begun",
    "line_count",
    "subject_count",
    "excluded_count",
    "destroyed_count",
    "parked_count",
    "verified_count",
    "failed_count",
    "superseded_generation",
    "sequence",
}
# Dates of acts say in their name that they are: a date of birth would not.
DATE_OF_AN_ACT = re.compile(r"(\w+_)?(at|on|day)|created|as_of")


def is_explained(model, field):
    """Whether a column is a sealed item of the inventory, of a kind that holds none, or explained in CLEAR."""
    if isinstance(field, SealedField):
        return all(item in ITEMS.values() for item in field.items())
    if f"{model._meta.app_label}.{model.__name__}.{field.name}" in CLEAR:
        return True
    if isinstance(field, ArrayField):
        return is_explained(model, field.base_field)
    if isinstance(field, STRUCTURAL) or field.choices:
        return True
    if isinstance(field, models.DateField):
        return bool(DATE_OF_AN_ACT.fullmatch(field.name))
    return isinstance(field, models.IntegerField) and field.name in BOOKKEEPING


def unexplained(model):
    return [field.name for field in model._meta.concrete_fields if not is_explained(model, field)]


@pytest.mark.parametrize("model", LIVE, ids=lambda model: model._meta.label)
def test_every_column_is_sealed_structural_or_explained(model):
    assert unexplained(model) == []


@pytest.mark.parametrize("model", [model for model in LIVE if history_of(model)], ids=lambda model: model._meta.label)
def test_history_keeps_what_the_live_row_seals_sealed(model):
    live = {field.name: field for field in model._meta.concrete_fields}
    for field in history_of(model)._meta.concrete_fields:
        if field.name in live:
            assert isinstance(field, SealedField) == isinstance(live[field.name], SealedField), field.name
            if isinstance(field, SealedField):
                assert (field.items(), field.subject) == (live[field.name].items(), live[field.name].subject)
        else:
            assert field.name.startswith("history_"), field.name


@pytest.mark.parametrize(
    "field",
    [
        models.CharField(max_length=10),
        models.TextField(),
        models.BinaryField(),
        models.JSONField(),
        models.IntegerField(),
        models.DecimalField(max_digits=9, decimal_places=0),
        models.DateField(),
        models.EmailField(),
        models.GenericIPAddressField(),
        models.FileField(),
        ArrayField(models.TextField()),
        SealedField(Item("probe.nickname", "nickname", 1, Category.IDENTITY, Mask.ALL, str)),
    ],
    ids=lambda field: type(field).__name__,
)
def test_an_undeclared_column_fails_the_walk(field):
    field.set_attributes_from_name("nickname")
    assert not is_explained(LIVE[0], field)


def test_a_birth_year_or_a_birth_date_in_clear_fails_the_walk():
    year, day, act = models.IntegerField(), models.DateField(), models.DateField()
    for field, name in ((year, "birth_year"), (day, "birth_date"), (act, "joined_on")):
        field.set_attributes_from_name(name)
    assert [is_explained(LIVE[0], field) for field in (year, day, act)] == [False, False, True]


def test_clear_names_only_columns_that_there_are_and_that_need_it():
    declared = {f"{model._meta.app_label}.{model.__name__}.{f.name}": f for model in LIVE for f in model._meta.fields}
    assert sorted(set(CLEAR) - set(declared)) == []
    assert [name for name in CLEAR if isinstance(declared[name], SealedField)] == []
    assert [name for name, why in CLEAR.items() if len(why) < 8] == []


def test_item_codes_are_unique_and_ascii():
    made = [value for value in vars(inventory).values() if isinstance(value, Item)]
    made += list(inventory.CONTACT.values())
    assert {item.code for item in made} == set(ITEMS)
    assert len({id(item) for item in made}) == len(ITEMS)
    for code, item in ITEMS.items():
        assert item.code == code
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", code)
        assert len(code) <= 60


def test_every_item_has_a_column_and_every_column_an_item():
    columns = {
        item.code
        for model in LIVE
        for field in model._meta.concrete_fields
        if isinstance(field, SealedField)
        for item in field.items()
    }
    assert columns == set(ITEMS)


def test_no_category_mixes_what_never_changes_with_what_may_be_corrected():
    """A correction seals a whole category again, and the trigger refuses any new ciphertext of an immutable item."""
    kinds = defaultdict(set)
    for item in ITEMS.values():
        kinds[item.category].add(item.immutable)
    assert {category: mixed for category, mixed in kinds.items() if len(mixed) > 1} == {}
    assert {item.code for item in ITEMS.values() if item.immutable} == {
        "member.number",
        "member.login_id",
        "member.name",
        "member.kana",
    }


def test_groups_and_categories_agree():
    assert {item.group for item in POLICY_ITEMS.values()} == {1, 2, 3, 4, 5}
    by_group = defaultdict(set)
    for item in ITEMS.values():
        by_group[item.group].add(item.category)
    assert by_group == {
        0: {Category.CORRESPONDENCE, Category.STATUTORY},
        1: {Category.IDENTITY},
        2: {Category.CONTACT},
        3: {Category.DELIVERY},
        4: {Category.PAYMENT},
        5: {Category.PROFILE},
    }


def test_the_members_own_data_stands_in_the_four_data_tables_and_what_the_law_keeps_in_one():
    elsewhere = {
        f"{model.__name__}.{field.name}"
        for model in LIVE
        if model not in (*DATA_MODELS, Transaction)
        for field in model._meta.concrete_fields
        if isinstance(field, SealedField) and any(item.category != Category.CORRESPONDENCE for item in field.items())
    }
    assert elsewhere == set()
    kept = [item for field in Transaction._meta.fields if isinstance(field, SealedField) for item in field.items()]
    assert {item.category for item in kept} == {Category.STATUTORY}


@pytest.mark.parametrize("item", ITEMS.values(), ids=lambda item: item.code)
def test_no_mask_gives_the_whole_item_away(item):
    text = "東京都Aa0b1234567" if item.mask != Mask.MAIL else "hanako@example.jp"
    assert text not in mask(item.mask, text)
    assert mask(item.mask, "") == ""
    assert str(item.label)


@pytest.mark.parametrize("model", DATA_MODELS, ids=lambda model: model.__name__)
def test_every_kind_of_a_row_has_an_item(model):
    kinds = model.Kind.values if hasattr(model, "Kind") else [None]
    for field in model._meta.concrete_fields:
        if isinstance(field, SealedField):
            for kind in kinds:
                assert field.item_for(model(kind=kind) if kind else model()) in ITEMS.values()


def test_the_live_columns_are_the_models_columns():
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
        live = defaultdict(set)
        for table, column in cursor.fetchall():
            live[table].add(column)
    ours = tuple(f"{app}_" for app in OWN_APPS)
    wanted = {model._meta.db_table: {field.column for field in model._meta.concrete_fields} for model in OWN}
    assert {table: columns for table, columns in live.items() if table.startswith(ours)} == wanted


def test_no_label_stands_for_two_items_on_the_same_page():
    labels = Counter(str(item.label) for item in POLICY_ITEMS.values())
    assert [label for label, times in labels.items() if times > 1] == []
