"""Sealed fields: a placeholder or a refusal on every path out, and a refusal of plaintext on every path in."""

import copy
import json
import logging
import pickle

import psycopg
import pytest
from django.core.exceptions import FieldError
from django.core.serializers import deserialize, serialize
from django.core.serializers.base import DeserializationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, connection, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Lower
from django.forms import modelform_factory
from django.template import engines
from django.utils import translation
from django.utils.html import format_html

from access_control.copying import copy_rows
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.requests import JsonLines
from access_control.vault.categories import Category
from access_control.vault.fields import PLACEHOLDER, Sealed, SealedField, sealed_field
from access_control.vault.ring import keys_for
from members import inventory
from members.models import Addressee, ContactPoint, Member, PaymentMeans

SEALED = Sealed(b"\x01" + bytes(60))
NAME = "山田 花子"


@pytest.fixture
def email(hanako):
    """Hanako's e-mail address: a sealed column that may change."""
    return ContactPoint.objects.get(member=hanako, kind="email")


@pytest.fixture
def changing():
    """The context in which rows may be changed."""
    return lambda: acting(None, reason="test")


def resealed(row, text):
    """``row`` with ``text`` sealed into it, not saved."""
    with keys_for([row.member_id], [Category.CONTACT], event=new_id()) as ring:
        ring.seal(row, value=text)
    return row


# Out: a placeholder, or a refusal


@pytest.mark.parametrize("language", ["ja", "en"])
def test_text_of_a_sealed_value_is_a_placeholder(language):
    with translation.override(language):
        placeholder = str(PLACEHOLDER)
        assert placeholder
        assert str(SEALED) == f"{SEALED}" == f"{SEALED!s}" == placeholder
        assert "%s" % SEALED == "{}".format(SEALED) == format(SEALED) == placeholder  # noqa: UP031, UP032
        assert format_html("{}", SEALED) == placeholder
    assert repr(SEALED) == f"{SEALED!r}" == "<Sealed>"
    assert repr([SEALED]) == "[<Sealed>]"
    with pytest.raises(TypeError):
        format(SEALED, ">20")


def test_a_template_shows_the_placeholder(hanako):
    page = engines["django"].from_string(
        "{{ m.name }}|{{ m.name|upper }}|{{ m.name|default:'-' }}|{{ m.name|stringformat:'r' }}|{{ m.name|safe }}"
    )
    with translation.override("en"):
        assert page.render({"m": hanako}) == "(sealed)|(SEALED)|(sealed)|&lt;Sealed&gt;|(sealed)"


def test_a_log_shows_the_placeholder(hanako, caplog):
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r %s", hanako.name, hanako.name, {"name": hanako.name})
    [record] = caplog.records
    with translation.override("en"):
        assert record.getMessage() == "(sealed) <Sealed> {'name': <Sealed>}"
        for line in (JsonLines().format(record), logging.Formatter("%(message)s %(args)s").format(record)):
            assert "\\x01" not in line
            assert "x01" not in line


def test_json_refuses_a_sealed_value(hanako):
    for encoder in (None, DjangoJSONEncoder):
        with pytest.raises(TypeError):
            json.dumps({"name": hanako.name}, cls=encoder)
    assert json.dumps(hanako.name, default=str) == json.dumps(str(PLACEHOLDER))


@pytest.mark.parametrize("form", ["json", "jsonl", "xml"])
def test_serializers_write_the_placeholder(hanako, form):
    text = serialize(form, [hanako, hanako.history.latest()])
    assert json.dumps(str(PLACEHOLDER)).strip('"') in text or str(PLACEHOLDER) in text
    assert hanako.name.blob.hex() not in text
    [plain] = serialize("python", [hanako])
    sealed = {field.name for field in Member._meta.concrete_fields if isinstance(field, SealedField)}
    assert {str(plain["fields"][name]) for name in sealed} == {str(PLACEHOLDER)}


def test_a_serialized_placeholder_cannot_be_read_back(hanako):
    with pytest.raises((DeserializationError, TypeError)):
        list(deserialize("json", serialize("json", [hanako])))


def test_nothing_sealed_is_pickled(hanako):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for thing in (SEALED, hanako, [hanako.name], Member.objects.filter(pk=hanako.pk)):
            with pytest.raises(TypeError, match="not pickled"):
                pickle.dumps(thing, protocol)


def test_a_sealed_value_is_never_compared_with_text():
    with pytest.raises(TypeError):
        _ = SEALED == NAME
    with pytest.raises(TypeError):
        _ = SEALED in [NAME]
    # Django's own checks for emptiness go through.
    assert SEALED not in (None, "", [], (), {}, b"")


def test_sealed_values_are_equal_when_their_ciphertext_is():
    assert Sealed(b"a") == Sealed(b"a")
    assert Sealed(b"a") != Sealed(b"b")
    assert len({Sealed(b"a"), Sealed(b"a"), Sealed(b"b")}) == 2


def test_a_sealed_value_does_not_change():
    with pytest.raises(AttributeError):
        SEALED.blob = b"other"


def test_a_row_can_be_copied(hanako):
    twin = copy.copy(hanako)
    assert twin.name == hanako.name
    assert twin.name is hanako.name


def test_a_row_can_be_copied_deeply(hanako):
    """Forms and admin copy their initial data deeply; a copy in the same process carries nothing away."""
    assert copy.copy(hanako.name) == hanako.name
    assert copy.deepcopy(hanako.name) == hanako.name
    assert copy.deepcopy(hanako).name == hanako.name
    assert copy.deepcopy({"initial": [hanako.name]}) == {"initial": [hanako.name]}


def test_no_form_offers_a_sealed_field():
    for model in (Member, ContactPoint, Addressee, PaymentMeans):
        form = modelform_factory(model, fields="__all__")
        sealed = {field.name for field in model._meta.concrete_fields if isinstance(field, SealedField)}
        assert sealed
        assert not sealed & set(form.base_fields)


# Through: reading rows


def test_every_way_of_reading_gives_sealed_values(hanako):
    rows = Member.objects.filter(pk=hanako.pk)
    assert rows.get().name == hanako.name
    assert rows.values_list("name", flat=True).get() == hanako.name
    assert rows.values("name").get()["name"] == hanako.name
    assert rows.annotate(other=F("name")).get().other == hanako.name
    assert rows.only("id").get().name == hanako.name
    assert ContactPoint.objects.filter(member=hanako).values_list("member__name", flat=True)[0] == hanako.name
    assert hanako.history.latest().name == hanako.name
    assert {type(value) for value in rows.values_list("name", "kana", "sex").get()} == {Sealed}


@pytest.mark.parametrize("model", [Member, Member.history.model])
@pytest.mark.parametrize(
    "condition",
    [
        {"name": NAME},
        {"name": None},
        {"name": SEALED},
        {"name": b"\x01"},
        {"name__exact": NAME},
        {"name__iexact": NAME},
        {"name__in": [NAME]},
        {"name__contains": "山田"},
        {"name__icontains": "山田"},
        {"name__startswith": "山"},
        {"name__regex": "."},
        {"name__gt": "山"},
        {"name__range": ("a", "z")},
        {"name__length": 5},
        {"name__lower": "x"},
        {"name__lower__exact": "x"},
        {"kana": F("name")},
    ],
    ids=lambda condition: next(iter(condition)),
)
def test_no_query_filters_by_a_sealed_field(model, condition):
    for ask in (
        lambda: model.objects.filter(**condition),
        lambda: model.objects.exclude(**condition),
        lambda: model.objects.filter(~Q(**condition) | Q(pk=None)),
        lambda: model.objects.values("name").filter(**condition),
        lambda: model.objects.get(**condition),
    ):
        with pytest.raises(FieldError, match="is sealed"):
            ask()


def test_no_query_filters_by_a_sealed_field_of_another_table_or_name():
    for ask in (
        lambda: ContactPoint.objects.filter(member__name=NAME),
        lambda: ContactPoint.objects.exclude(member__name__contains="山"),
        lambda: Member.objects.filter(contactpoint__value="x@example.jp"),
        lambda: Member.objects.annotate(other=F("name")).filter(other=NAME),
        lambda: Member.objects.annotate(other=Lower("name")).filter(other=NAME),
        lambda: Member.objects.alias(other=F("name")).exclude(other__contains="山"),
        lambda: Member.objects.annotate(other=F("name")).filter(other__lower__contains="x"),
        lambda: Member.objects.update_or_create(name=NAME),
        lambda: Member.objects.get_or_create(name=NAME),
    ):
        with pytest.raises(FieldError, match="is sealed"):
            ask()


def test_whether_a_sealed_field_holds_anything_can_be_asked(hanako):
    assert Member.objects.filter(name__isnull=False).get() == hanako
    assert not Member.objects.filter(name__isnull=True)
    assert not Member.objects.exclude(name__isnull=False)
    assert ContactPoint.objects.filter(member__name__isnull=False, value__isnull=False).count() == 3
    assert Member.objects.annotate(other=F("name")).filter(other__isnull=False).get() == hanako
    assert not Member.history.filter(name__isnull=True)


@pytest.mark.parametrize("order", ["name", "-name", "member__name"])
def test_no_query_is_ordered_by_the_name_of_a_sealed_field(hanako, order):
    models = (ContactPoint,) if "__" in order else (Member, Member.history.model, Addressee)
    for model in models:
        for ask in (
            lambda model=model: list(model.objects.order_by(order)),
            lambda model=model: list(model.objects.order_by("pk", order)),
            lambda model=model: list(model.objects.only("pk").order_by(order).reverse()),
            lambda model=model: list(model.objects.values("pk").order_by(order)),
            lambda model=model: model.objects.latest(order),
            lambda model=model: model.objects.order_by(order).first(),
        ):
            with pytest.raises(FieldError, match="ordered by"):
                ask()


@pytest.mark.parametrize(
    "order",
    [F("name"), F("name").asc(), F("name").desc(), F("name").desc(nulls_last=True), Lower("name")],
    ids=["F", "asc", "desc", "nulls last", "Lower"],
)
def test_no_query_is_ordered_by_an_expression_over_a_sealed_field(hanako, order):
    for rows in (
        Member.objects.order_by(order),
        Member.objects.order_by("pk", order).reverse(),
        Member.objects.values("pk").order_by(order),
        Member.history.order_by(order),
        ContactPoint.objects.order_by(F("member__name")),
    ):
        with pytest.raises(FieldError, match="ordered by"), transaction.atomic():
            list(rows)


def test_other_queries_with_sealed_columns_still_work(hanako, agent):
    assert list(Member.objects.order_by("pk").values_list("name", flat=True)) == [hanako.name]
    assert list(Member.objects.select_related("entity").order_by("entity__code", "-pk")) == [hanako]
    assert Member.objects.filter(pk__in=Member.objects.order_by("joined_on").values("pk")).count() == 1
    assert ContactPoint.objects.select_related("member").order_by("member__joined_on", "kind")[0].member == hanako
    assert Member.objects.values("name").distinct().count() == 1
    union = Member.objects.filter(state="active").union(Member.objects.filter(state="ended")).order_by("joined_on")
    assert list(union) == [hanako]


# In: never plaintext


@pytest.mark.parametrize("plain", [NAME, "", 1, True, ["x"], memoryview(b"x"), bytearray(b"x")], ids=type)
def test_plaintext_is_refused_on_every_path_to_the_database(hanako, email, changing, plain):
    def addressee():
        return Addressee(member=hanako, name=plain)

    def saved():
        email.value = plain
        email.save(update_fields=["value"])

    def bulk_updated():
        email.value = plain
        ContactPoint.objects.bulk_update([email], ["value"])

    before = Addressee.objects.count()
    for store_it in (
        saved,
        bulk_updated,
        lambda: addressee().save(),
        lambda: Addressee.objects.create(member=hanako, name=plain),
        lambda: Addressee.objects.bulk_create([addressee()]),
        lambda: Addressee.objects.filter(member=hanako).update(name=plain),
        lambda: addressee().full_clean() if plain else sealed_field(Addressee, "name").to_python(plain),
    ):
        with pytest.raises(TypeError, match="not plaintext") as refused, changing():
            store_it()
        assert NAME not in str(refused.value)
    assert Addressee.objects.count() == before


@pytest.mark.parametrize("way", ["save", "create", "update", "bulk_update", "expression", "copy", "raw"])
def test_plain_bytes_are_refused_too(hanako, email, changing, way):
    """By the field, or where Python does not see it, by the database."""
    plain = b"hanako@example.jp"

    def saved():
        email.value = plain
        email.save(update_fields=["value"])

    def bulk_updated():
        email.value = plain
        ContactPoint.objects.bulk_update([email], ["value"])

    def raw():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE members_contactpoint SET value = %s WHERE id = %s", [plain, email.pk])

    columns = ["id", "member", "name"]
    ways = {
        "save": saved,
        "create": lambda: Addressee.objects.create(member=hanako, name=plain),
        "update": lambda: ContactPoint.objects.filter(pk=email.pk).update(value=plain),
        "bulk_update": bulk_updated,
        "expression": lambda: ContactPoint.objects.filter(pk=email.pk).update(value=Value(plain)),
        "copy": lambda: copy_rows(Addressee, columns, [[new_id(), hanako.pk, plain]]),
        "raw": raw,
    }
    with pytest.raises((TypeError, Error, psycopg.Error)), transaction.atomic(), changing():
        ways[way]()


def test_no_column_is_copied_into_another(hanako, changing):
    """The copy would be bound to another item, and never open."""
    for value in (F("name"), Lower("name")):
        with pytest.raises(FieldError, match="is sealed"), changing():
            Addressee.objects.filter(member=hanako).update(kana=value)


def test_a_sealed_value_can_be_written_on_every_path(hanako, email, changing):
    blobs = []
    for write in (
        lambda row: row.save(),
        lambda row: row.save(update_fields=["value"]),
        lambda row: ContactPoint.objects.bulk_update([row], ["value"]),
        lambda row: ContactPoint.objects.filter(pk=row.pk).update(value=row.value),
    ):
        with changing():
            write(resealed(email, "other@example.jp"))
        stored = ContactPoint.objects.get(pk=email.pk).value
        assert stored == email.value
        blobs.append(stored)
    assert len(set(blobs)) == 4


def test_none_is_a_value_like_any_other(hanako, email, changing):
    email.value = None
    email.full_clean()
    with changing():
        email.save()
    assert ContactPoint.objects.get(pk=email.pk).value is None
    with changing():
        Addressee.objects.bulk_create([Addressee(member=hanako), Addressee(member=hanako, name=None)])
        assert Addressee.objects.filter(member=hanako).update(name=None) == 3
    assert set(Addressee.objects.values_list("name", flat=True)) == {None}
    assert json.loads(serialize("json", [email]))[0]["fields"]["value"] is None


def test_a_row_with_sealed_values_is_valid(hanako, email):
    for row in (hanako, email, *(model.objects.filter(member=hanako)[0] for model in (Addressee, PaymentMeans))):
        sealed = {name: value for name, value in vars(row).items() if isinstance(value, Sealed)}
        assert sealed
        row.full_clean()
        # Cleaning neither refuses a sealed value nor puts another in its place.
        assert {name: vars(row)[name] for name in sealed} == sealed


# History


def test_history_compares_sealed_values_by_ciphertext(email, changing):
    with changing():
        email.save()
    same, first = email.history.order_by("-history_id")[:2]
    assert same.diff_against(first).changed_fields == []
    with changing():
        resealed(email, "other@example.jp").save()
    second = email.history.latest("history_id")
    [change] = second.diff_against(first).changes
    assert change.field == "value"
    assert (change.old, change.new) == (first.value, second.value)
    assert f"{change.old} {change.new}" == f"{PLACEHOLDER} {PLACEHOLDER}"


def test_old_and_new_open_from_history(hanako, email, changing):
    with changing():
        resealed(email, "other@example.jp").save()
    new, old = email.history.order_by("-history_id")[:2]
    with keys_for([hanako.pk], [Category.CONTACT], event=new_id()) as ring:
        assert ring.open_sealed(old, "value") == "hanako.yamada@example.jp"
        assert ring.open_sealed(new, "value") == "other@example.jp"


# The declaration


def test_a_field_knows_its_items_and_whose_they_are(hanako, email):
    kinds = sealed_field(ContactPoint, "value")
    assert kinds.items() == list(inventory.CONTACT.values())
    assert kinds.item_for(email) is inventory.EMAIL
    assert kinds.subject_of(email) == hanako.pk
    assert sealed_field(Member, "name").items() == [inventory.NAME]
    assert sealed_field(Member, "name").subject_of(hanako) == hanako.pk
    with pytest.raises(FieldError):
        sealed_field(Member, "state")
    with pytest.raises(FieldError):
        SealedField().items()


def test_a_migration_keeps_the_column_and_not_the_meaning():
    _, path, args, options = sealed_field(Member, "name").clone().deconstruct()
    assert path == "access_control.vault.fields.SealedField"
    assert args == []
    assert set(options) == {"null", "blank", "verbose_name"}
