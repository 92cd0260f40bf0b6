"""Key rings: one recorded fetch, keys for as long as the block lasts, and a typed error for everything else."""

import base64
import datetime
import json
from types import SimpleNamespace

import pytest
from django.utils import timezone

from access_control.ids import new_id
from access_control.vault import keyring, seal, store
from access_control.vault.categories import Category, generation_of_case
from access_control.vault.errors import Destroyed, FenceStands, KeyringError, NoKey, SealBroken, UnknownFormat
from access_control.vault.fields import Sealed
from access_control.vault.ring import add_fetched, add_keys, categories_of, keys_for, new_ring
from access_control.vault.seal import KeyRef
from members.models import Addressee, ContactPoint, Member, PaymentMeans

IDENTITY, CONTACT = Category.IDENTITY, Category.CONTACT


def named(ref, text="山田 花子"):
    """An unsaved member whose name is sealed under ``ref``, with the fetch that took."""
    member = Member(id=ref.subject)
    with keys_for([ref.subject], [ref.category], event=new_id()) as ring:
        ring.seal(member, generation=ref.generation, name=text)
    return member


# Sealing and opening


def test_what_one_ring_seals_another_opens(ref, opened):
    member = named(ref)
    assert isinstance(member.name, Sealed)
    assert "山田".encode() not in member.name.blob
    with opened(ref.subject) as ring:
        assert ring.open_sealed(member, "name") == "山田 花子"


def test_new_keys_seal_and_open_at_once_without_a_fetch(opened):
    ref, since = KeyRef(new_id(), IDENTITY, 1), timezone.now()
    member = Member(id=ref.subject)
    with new_ring() as ring:
        assert add_keys(ring, [ref]) == {ref}
        assert ring.holds(ref)
        ring.seal(member, name="山田 花子")
        assert ring.open_sealed(member, "name") == "山田 花子"
    assert store.fetch_records(since) == []


def test_what_is_sealed_for_copy_opens_in_its_row_and_nowhere_else(keep, opened):
    ref = keep(KeyRef(new_id(), CONTACT, 1))
    row, value = ContactPoint(member_id=ref.subject, kind="email"), ContactPoint._meta.get_field("value")
    given = SimpleNamespace(kind="email", value="hanako@example.jp")
    with opened(ref.subject) as ring:
        [blob] = ring.blobs(given, [value], row=row.id, subject=ref.subject)
        row.value = Sealed(blob)
        assert ring.open_sealed(row, "value") == "hanako@example.jp"
        elsewhere = ContactPoint(member_id=ref.subject, kind="email", value=row.value)
        for other in (elsewhere, ContactPoint(id=row.id, member_id=ref.subject, kind="phone", value=row.value)):
            with pytest.raises(SealBroken):
                ring.open_sealed(other, "value")


def test_for_copy_too_every_value_has_a_nonce_of_its_own_and_nothing_is_sealed_for_nothing(ref, opened):
    fields = [Member._meta.get_field(name) for name in ("name", "number", "kana", "login_id")]
    given = SimpleNamespace(name="same", number="same", kana="", login_id=None)
    with opened(ref.subject) as ring:
        blobs = [ring.blobs(given, fields, row=ref.subject, subject=ref.subject) for _ in range(20)]
    assert {(third, fourth) for _, _, third, fourth in blobs} == {(None, None)}
    nonces = {blob[10:22] for row in blobs for blob in row[:2]}
    assert len(nonces) == 40


def test_for_copy_too_a_destroyed_key_seals_nothing(ref, destroy, opened):
    destroy(ref)
    given = SimpleNamespace(name="山田 花子")
    with opened(ref.subject) as ring, pytest.raises(Destroyed):
        ring.blobs(given, [Member._meta.get_field("name")], row=ref.subject, subject=ref.subject)
    with new_ring() as ring, pytest.raises(NoKey):
        ring.blobs(given, [Member._meta.get_field("name")], row=ref.subject, subject=ref.subject)


def test_nothing_is_sealed_for_nothing(ref, opened):
    member = Member(id=ref.subject)
    with opened(ref.subject) as ring:
        ring.seal(member, name="", kana=None)
        assert member.name is None
        assert member.kana is None
        assert ring.open_sealed(member, "name") == ""


def test_sealing_needs_a_sealed_field(ref, opened):
    from django.core.exceptions import FieldError

    with opened(ref.subject) as ring, pytest.raises(FieldError, match="not sealed"):
        ring.seal(Member(id=ref.subject), state="active")


def test_a_value_is_sealed_under_the_newest_living_generation(keep, opened):
    subject = new_id()
    keep(KeyRef(subject, IDENTITY, 1), KeyRef(subject, IDENTITY, 3), KeyRef(subject, CONTACT, 7))
    member = Member(id=subject)
    with opened(subject) as ring:
        assert ring.current_generation(subject, IDENTITY) == 3
        assert ring.next_generation(subject, IDENTITY) == 4
        assert ring.next_generation(subject, Category.PROFILE) == 1
        ring.seal(member, name="new", kana="new")
        assert seal.header(member.name.blob) == (IDENTITY, 3)
        ring.seal(member, generation=1, name="old")
        assert seal.header(member.name.blob) == (IDENTITY, 1)
        assert ring.open_sealed(member, "name") == "old"
        assert ring.open_sealed(member, "kana") == "new"


def test_an_added_generation_becomes_the_current_one(ref, opened):
    second = KeyRef(ref.subject, IDENTITY, 2)
    member = Member(id=ref.subject)
    with opened(ref.subject) as ring:
        add_keys(ring, [second])
        assert ring.current_generation(ref.subject, IDENTITY) == 2
        ring.seal(member, name="山田 花子")
    assert seal.header(member.name.blob) == (IDENTITY, 2)


def test_the_next_generation_is_above_one_that_was_just_added(ref, opened):
    with opened(ref.subject) as ring:
        add_keys(ring, [KeyRef(ref.subject, IDENTITY, ring.next_generation(ref.subject, IDENTITY))])
        assert ring.next_generation(ref.subject, IDENTITY) == 3


def test_the_generation_of_a_case_is_a_generation_like_any_other(opened):
    case = new_id()
    ref = KeyRef(new_id(), Category.CORRESPONDENCE, generation_of_case(case))
    with new_ring() as ring:
        assert add_keys(ring, [ref]) == {ref}
    with opened(ref.subject) as ring:
        assert ring.current_generation(ref.subject, Category.CORRESPONDENCE) == case.int >> 64


def test_the_categories_of_a_model_are_those_of_its_items():
    assert categories_of(Member) == {Category.IDENTITY, Category.PROFILE}
    assert categories_of(ContactPoint, Addressee, PaymentMeans) == {
        Category.CONTACT,
        Category.DELIVERY,
        Category.PAYMENT,
    }


# Keys are made once


def test_making_a_key_twice_leaves_the_living_one(ref, opened):
    member = named(ref)
    with new_ring() as ring:
        assert add_keys(ring, [ref]) == set()
        assert not ring.holds(ref)
        with pytest.raises(NoKey):
            ring.open_sealed(member, "name")
    with opened(ref.subject) as ring:
        assert ring.open_sealed(member, "name") == "山田 花子"


def test_of_several_keys_only_the_missing_ones_are_made(ref):
    other = KeyRef(ref.subject, CONTACT, 1)
    with new_ring() as ring:
        assert add_keys(ring, [ref, other, other]) == {other}
        assert add_keys(ring, []) == set()


# The fetch behind a ring


def test_a_ring_is_one_fetch_recorded_for_its_event(ref, keep):
    second, event, since = keep(KeyRef(new_id(), IDENTITY, 1)), new_id(), timezone.now()
    with keys_for([ref.subject, second.subject, ref.subject], [IDENTITY, CONTACT], event=event) as ring:
        named_twice = [Member(id=ref.subject), Member(id=second.subject)]
        for member in named_twice:
            ring.seal(member, name="山田 花子")
            assert ring.open_sealed(member, "name") == "山田 花子"
    [(_, at, role, recorded, count)] = store.fetch_records(since)
    assert (role, recorded, count) == ("console_app", event, 2)
    assert abs(at - timezone.now()) < datetime.timedelta(minutes=1)


def test_a_ring_for_nobody_fetches_nothing():
    since = timezone.now()
    with keys_for([], Category.values, event=new_id()) as ring:
        add_fetched(ring, [], Category.values, event=new_id())
        assert ring.next_generation(new_id(), IDENTITY) == 1
    assert store.fetch_records(since) == []


def test_a_ring_without_its_event_is_refused(ref):
    from django.db import Error, transaction

    since = timezone.now()
    with pytest.raises(Error), transaction.atomic("vault"), keys_for([ref.subject], [IDENTITY], event=None):
        pass
    assert store.fetch_records(since) == []


# What does not open


def test_a_key_that_was_not_asked_for_is_no_key(ref, keep):
    keep(KeyRef(ref.subject, CONTACT, 1))
    member = named(ref)
    with keys_for([ref.subject], [CONTACT], event=new_id()) as ring:
        assert not ring.holds(ref)
        with pytest.raises(NoKey):
            ring.open_sealed(member, "name")
        with pytest.raises(NoKey):
            ring.seal(member, name="x")
    with keys_for([new_id()], [IDENTITY], event=new_id()) as ring, pytest.raises(NoKey):
        ring.open_sealed(member, "name")


def test_an_unknown_generation_is_no_key(ref, opened):
    member = named(ref)
    with opened(ref.subject) as ring:
        with pytest.raises(NoKey):
            ring.seal(member, generation=2, kana="x")
        with pytest.raises(NoKey):
            ring.current_generation(ref.subject, Category.STATUTORY)
        category, generation = seal.header(member.name.blob)
        assert (category, generation) == (1, 1)
        member.name = Sealed(member.name.blob[:9] + b"\x02" + member.name.blob[10:])
        with pytest.raises(NoKey):
            ring.open_sealed(member, "name")


def test_two_members_who_swap_values_open_neither(ref, keep, opened):
    second = keep(KeyRef(new_id(), IDENTITY, 1))
    one, other = named(ref), named(second, "鈴木 一郎")
    one.name, other.name = other.name, one.name
    with opened(ref.subject, second.subject) as ring:
        for member in (one, other):
            with pytest.raises(SealBroken):
                ring.open_sealed(member, "name")


def test_two_items_of_a_member_that_are_swapped_open_neither(ref, opened):
    member = Member(id=ref.subject)
    with opened(ref.subject) as ring:
        ring.seal(member, name="山田 花子", kana="ヤマダ ハナコ")
        member.name, member.kana = member.kana, member.name
        for field in ("name", "kana"):
            with pytest.raises(SealBroken):
                ring.open_sealed(member, field)


def test_two_rows_that_swap_values_open_neither(keep, opened):
    ref = keep(KeyRef(new_id(), CONTACT, 1))
    one, other = (ContactPoint(member_id=ref.subject, kind="email") for _ in range(2))
    with opened(ref.subject) as ring:
        ring.seal(one, value="one@example.jp")
        ring.seal(other, value="other@example.jp")
        one.value, other.value = other.value, one.value
        for row in (one, other):
            with pytest.raises(SealBroken):
                ring.open_sealed(row, "value")


def test_a_row_that_changes_its_kind_does_not_open(keep, opened):
    ref = keep(KeyRef(new_id(), CONTACT, 1))
    row = ContactPoint(member_id=ref.subject, kind="email")
    with opened(ref.subject) as ring:
        ring.seal(row, value="one@example.jp")
        row.kind = "phone"
        with pytest.raises(SealBroken):
            ring.open_sealed(row, "value")


def test_a_value_relabelled_with_another_generation_does_not_open(keep, opened):
    subject = new_id()
    keep(KeyRef(subject, IDENTITY, 1), KeyRef(subject, IDENTITY, 2))
    member = Member(id=subject)
    with opened(subject) as ring:
        ring.seal(member, generation=1, name="山田 花子")
        member.name = Sealed(member.name.blob[:9] + b"\x02" + member.name.blob[10:])
        with pytest.raises(SealBroken):
            ring.open_sealed(member, "name")


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x02" * 60, b"plain text"])
def test_a_column_that_holds_no_blob_is_an_unknown_format(ref, opened, blob):
    with opened(ref.subject) as ring, pytest.raises(UnknownFormat):
        ring.open_sealed(Member(id=ref.subject, name=Sealed(blob)), "name")


# The end of a ring


def test_a_ring_forgets_its_keys_at_the_end(ref, opened):
    member = named(ref)
    with opened(ref.subject) as ring:
        ring.open_sealed(member, "name")
    assert_empty(ring, ref, member)
    with new_ring() as ring:
        fresh = KeyRef(new_id(), IDENTITY, 1)
        add_keys(ring, [fresh])
    assert_empty(ring, fresh, Member(id=fresh.subject, name=member.name))


def test_a_ring_forgets_its_keys_when_the_block_fails(ref, opened):
    member = named(ref)
    rings = []

    def fail(ring):
        rings.append(ring)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), opened(ref.subject) as ring:
        fail(ring) if ring.open_sealed(member, "name") else None
    fresh = KeyRef(new_id(), IDENTITY, 1)
    with pytest.raises(ZeroDivisionError), new_ring() as ring:
        fail(ring) if add_keys(ring, [fresh]) else None
    assert_empty(rings[0], ref, member)
    assert_empty(rings[1], fresh, Member(id=fresh.subject, name=member.name))


def assert_empty(ring, ref, member):
    assert not any(vars(ring)[name] for name in ("_keys", "_stored", "_current"))
    assert not ring.holds(ref)
    with pytest.raises(NoKey):
        ring.open_sealed(member, "name")
    with pytest.raises(NoKey):
        ring.seal(member, name="x")


# Another keyring


OTHER_KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def other_keyring(settings, tmp_path):
    """Put another keyring in place of this installation's, with some fields changed."""

    def put(**changes):
        document = json.loads(settings.CONSOLE_KEYRING.read_text()) | changes
        path = tmp_path / f"{new_id()}.json"
        path.touch(0o600)
        path.write_text(json.dumps(document))
        settings.CONSOLE_KEYRING = path

    return put


def test_a_keyring_with_other_keys_opens_nothing(ref, opened, other_keyring):
    member = named(ref)
    other_keyring(wrapping={"1": OTHER_KEY})
    with opened(ref.subject) as ring:
        with pytest.raises(SealBroken):
            ring.open_sealed(member, "name")
        with pytest.raises(SealBroken):
            ring.seal(member, kana="x")


def test_a_keyring_with_another_id_opens_nothing(ref, opened, other_keyring):
    member = named(ref)
    other_keyring(wrapping={"2": OTHER_KEY}, current=2)
    with opened(ref.subject) as ring:
        with pytest.raises(KeyringError, match="holds no key 1"):
            ring.open_sealed(member, "name")
        with pytest.raises(KeyringError, match="holds no key 1"):
            ring.seal(member, kana="x")


def test_a_missing_keyring_opens_nothing(ref, opened, settings, tmp_path):
    member = named(ref)
    settings.CONSOLE_KEYRING = tmp_path / "nothing.json"
    with opened(ref.subject) as ring, pytest.raises(KeyringError, match="is missing"):
        ring.open_sealed(member, "name")


@pytest.mark.parametrize("field", ["wrapping", "lookup"])
def test_no_key_is_made_under_another_keyring(ref, other_keyring, field):
    """Else some keys of one id open under this keyring and some under that one, and members are found by halves."""
    other_keyring(**{field: {"wrapping": {"1": OTHER_KEY}, "lookup": OTHER_KEY}[field]})
    fresh = KeyRef(new_id(), IDENTITY, 1)
    with new_ring() as ring, pytest.raises(KeyringError, match="Put"):
        add_keys(ring, [fresh])
    assert store.status([fresh.subject]) == []


def test_after_a_change_of_the_wrapping_key_old_and_new_keys_open(ref, opened, other_keyring, settings):
    member, second = named(ref, "first"), KeyRef(ref.subject, IDENTITY, 2)
    kept = json.loads(settings.CONSOLE_KEYRING.read_text())["wrapping"]
    other_keyring(wrapping=kept | {"2": OTHER_KEY}, current=2)
    with new_ring() as ring:
        add_keys(ring, [second])
        ring.seal(member, kana="second")
    with opened(ref.subject) as ring:
        assert {key.keyring for key in store.fetch([ref.subject], [IDENTITY], event=new_id())} == {1, 2}
        assert ring.open_sealed(member, "name") == "first"
        assert ring.open_sealed(member, "kana") == "second"
    assert keyring.keyring().current == 2


# Destroyed, for real


def test_a_destroyed_value_says_when_and_under_which_line(ref, opened, destroy):
    member, before = named(ref), timezone.now()
    lines = destroy(ref)
    with opened(ref.subject) as ring:
        assert not ring.holds(ref)
        for attempt in (
            lambda: ring.open_sealed(member, "name"),
            lambda: ring.seal(member, kana="x"),
            lambda: ring.seal(member, generation=1, kana="x"),
            lambda: ring.current_generation(ref.subject, IDENTITY),
        ):
            with pytest.raises(Destroyed) as gone:
                attempt()
            assert before <= gone.value.at <= timezone.now()
            assert gone.value.certificate_line == lines[ref]
        assert ring.next_generation(ref.subject, IDENTITY) == 2


def test_where_a_fence_stands_no_key_is_made_and_the_next_generation_is_free(ref, keep, opened, destroy):
    second, fresh = KeyRef(ref.subject, IDENTITY, 2), KeyRef(new_id(), IDENTITY, 1)
    keep(second)
    destroy(second)
    with new_ring() as ring:
        with pytest.raises(FenceStands):
            add_keys(ring, [fresh, second])
        assert not ring.holds(fresh)
    assert store.status([fresh.subject]) == []
    with opened(ref.subject) as ring:
        assert ring.current_generation(ref.subject, IDENTITY) == 1
        assert ring.next_generation(ref.subject, IDENTITY) == 3
        assert add_keys(ring, [KeyRef(ref.subject, IDENTITY, 3)])


def test_wrapped_keys_that_change_places_in_the_vault_open_nothing(alone, ref, keep, opened, as_role):
    """Whoever may write the vault's tables still cannot lend one subject the key of another."""
    second = keep(KeyRef(new_id(), IDENTITY, 1))
    one, other = named(ref), named(second)
    swap = "UPDATE vault_key k SET wrapped = o.wrapped FROM vault_key o WHERE k.subject <> o.subject"
    with as_role("owner", "vault") as cursor:
        cursor.execute(swap)
        assert cursor.rowcount == 2
    with opened(ref.subject, second.subject) as ring:
        for member in (one, other):
            with pytest.raises(SealBroken):
                ring.open_sealed(member, "name")
    with as_role("owner", "vault") as cursor:
        cursor.execute(swap)
        cursor.execute("UPDATE vault_installation SET id = gen_random_uuid()")
    with opened(ref.subject) as ring, pytest.raises(SealBroken):
        ring.open_sealed(one, "name")
