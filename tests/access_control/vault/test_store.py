"""The vault's functions through their Python face: keys once, fences for ever, every fetch on record."""

import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor, wait

import psycopg
import pytest
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from access_control.ids import new_id
from access_control.vault import sql, store
from access_control.vault.categories import Category
from access_control.vault.errors import CeilingReached, FenceStands, KeyringError
from access_control.vault.lookups import NORMAL_FORM_VERSION, LookupField
from access_control.vault.seal import KEY_BYTES, NONCE_BYTES, TAG_BYTES, KeyRef
from access_control.vault.store import Lookup
from tests.databases import TOLD, become

IDENTITY, CONTACT, PROFILE = Category.IDENTITY, Category.CONTACT, Category.PROFILE
WRAPPED_BYTES = 1 + NONCE_BYTES + KEY_BYTES + TAG_BYTES
VERSION = NORMAL_FORM_VERSION
PLAN = b"\x0a" * 32
EMAIL, NUMBER = LookupField.EMAIL, LookupField.MEMBER_NUMBER


def wrapped(letter=b"w"):
    return letter * WRAPPED_BYTES


def stored(*refs, letter=b"w"):
    return store.create([(ref, wrapped(letter)) for ref in refs], keyring_id=1)


def some_mac():
    return os.urandom(32)


def found(lookup):
    return store.find([(lookup.field, lookup.mac)], most=5)


def owner_sets(as_role, **ceilings):
    with as_role("owner", "vault") as cursor:
        for name, number in ceilings.items():
            cursor.execute(f"UPDATE vault_installation SET {name} = %s", [number])


@pytest.fixture
def raw(committed, as_role):
    """Raw SQL in the vault as a role: ``raw("app", "SELECT …", values)`` returns the rows."""

    def run(role, statement, *values):
        with as_role(role, "vault") as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    return run


# Keys


def test_a_key_is_stored_once_and_the_living_one_stays():
    first, second = (KeyRef(new_id(), IDENTITY, 1) for _ in range(2))
    assert stored(first, letter=b"1") == {first}
    assert stored(first, second, letter=b"2") == {second}
    keys = {key.ref: key for key in store.fetch([first.subject, second.subject], [IDENTITY], event=new_id())}
    assert keys[first].wrapped == wrapped(b"1")
    assert keys[second].wrapped == wrapped(b"2")
    assert {(key.keyring, key.destroyed_at, key.certificate_line) for key in keys.values()} == {(1, None, None)}


def test_the_status_tells_everything_but_the_key(ref, opened):
    [status] = store.status([ref.subject])
    assert status == store.KeyStatus(ref, True, False, None, None)
    assert store.status([new_id()]) == []


def test_the_whole_range_of_generations_is_kept(opened):
    refs = {KeyRef(new_id(), Category.CORRESPONDENCE, generation) for generation in (0, 1, 2**62, 2**63 - 1)}
    assert stored(*refs) == refs
    assert {key.ref for key in store.fetch([ref.subject for ref in refs], [6], event=new_id())} == refs


NO_GENERATION, UNNAMED = "CV010", "CV005"


def code_of(refused):
    return refused.value.__cause__.sqlstate


@pytest.mark.parametrize(
    ("category", "generation"),
    [
        *((category, generation) for category in (1, 2, 3, 4, 5) for generation in (11, 1_000, 2**62, 2**63 - 1)),
        *((7, generation) for generation in (2201, 20_250, 2**63 - 1)),
    ],
)
def test_no_generation_blocks_those_after_it(category, generation):
    """Number 15: a counter stays near its newest, and a year is a year."""
    with pytest.raises(DatabaseError) as refused, transaction.atomic("vault"):
        stored(KeyRef(new_id(), category, generation))
    assert code_of(refused) == NO_GENERATION


def test_a_generation_stays_near_the_newest_also_when_that_is_destroyed(committed, keep, destroy):
    """Number 15: and not near one that is made in the same call."""
    newest = keep(KeyRef(new_id(), IDENTITY, 9))
    destroy(newest)
    with pytest.raises(DatabaseError):
        stored(*(KeyRef(newest.subject, IDENTITY, generation) for generation in (19, 29)))
    assert stored(KeyRef(newest.subject, IDENTITY, 19))
    assert stored(KeyRef(newest.subject, IDENTITY, 19)) == set()


@pytest.mark.parametrize("under", [0, 2, 99, -1])
def test_no_key_is_made_under_a_keyring_that_nobody_announced(ref, under):
    """Number 15: nobody could open it. The lookup key (0) wraps nothing."""
    with pytest.raises(KeyringError), transaction.atomic("vault"):
        store.create([(KeyRef(new_id(), IDENTITY, 1), wrapped())], keyring_id=under)


RESTS_ON = {1: (1, None), 2: (1, None), 3: (2, None), 4: (2, None), 5: (1, 5), 6: (1, 3), 7: (1, 2)}


@pytest.mark.parametrize("field", LookupField)
def test_the_vault_knows_what_a_lookup_rests_on(committed, raw, field):
    """Number 15: whatever the caller says."""
    entered = Lookup(field, some_mac(), new_id(), 7, 4)
    store.add_lookups([entered], version=VERSION)
    statement = "SELECT category, joined FROM vault_lookup WHERE mac = %s"
    assert raw("owner", statement, entered.mac) == [RESTS_ON[field]]


@pytest.mark.parametrize("believed", Category.values)
@pytest.mark.parametrize("field", LookupField)
def test_nobody_destroyed_is_given_a_lookup_under_another_category(committed, keep, destroy, field, believed):
    """Number 15: not by the books that the law keeps, and not by what the destroyed one never had."""
    identity = KeyRef(new_id(), IDENTITY, 1)
    keep(identity, KeyRef(identity.subject, Category.STATUTORY, 2025))
    destroy(identity)
    late = Lookup(field, some_mac(), identity.subject, believed, believed)
    with pytest.raises(FenceStands):
        store.add_lookups([late], version=VERSION)
    if field in {NUMBER, LookupField.LOGIN_ID}:
        with pytest.raises(FenceStands):
            store.claim([late], version=VERSION)
    assert found(late) == []


def test_whose_identity_is_destroyed_is_found_by_nothing(committed, keep, destroy):
    """Number 15: also while another category lives."""
    identity = KeyRef(new_id(), IDENTITY, 1)
    keep(identity, KeyRef(identity.subject, CONTACT, 1))
    mail = lookup(identity.subject)
    store.add_lookups([mail], version=VERSION)
    destroy(identity)
    assert found(mail) == []


@pytest.mark.parametrize("field", set(LookupField) - {NUMBER, LookupField.LOGIN_ID})
def test_what_may_be_shared_is_not_claimed(field):
    """Number 15: a claim tells the owner, without the limit of a search."""
    with pytest.raises(DatabaseError) as refused, transaction.atomic("vault"):
        store.claim([Lookup(field, some_mac(), new_id(), CONTACT)], version=VERSION)
    assert code_of(refused) == UNNAMED


@pytest.mark.parametrize(
    ("category", "generation", "key"),
    [
        (0, 1, wrapped()),
        (8, 1, wrapped()),
        (1, -1, wrapped()),
        (1, 1, b""),
        (1, 1, wrapped()[1:]),
        (1, 1, wrapped() + b"w"),
    ],
)
def test_what_can_be_no_key_is_refused_by_the_database(category, generation, key):
    """Such a row would stand in the way of every later key of the subject."""
    with pytest.raises(DatabaseError), transaction.atomic("vault"):
        store.create([(KeyRef(new_id(), category, generation), key)], keyring_id=1)


def test_of_two_who_make_the_same_keys_at_once_one_does(committed):
    subjects = [new_id() for _ in range(20)]
    rounds = [[KeyRef(subject, category, 1) for category in Category.values] for subject in subjects]
    barrier = threading.Barrier(2, timeout=20)

    def make(letter):
        try:
            return [(barrier.wait(), stored(*refs, letter=letter))[1] for refs in rounds]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(make, (b"1", b"2"))
    for subject, refs, mine, theirs in zip(subjects, rounds, one, other, strict=True):
        assert mine | theirs == set(refs)
        assert not mine & theirs
        for key in store.fetch([subject], Category.values, event=new_id()):
            assert key.wrapped == wrapped(b"1" if key.ref in mine else b"2")


# Fetches


def test_a_fetch_writes_one_record_with_event_role_and_count(ref):
    event, approval, since = new_id(), new_id(), timezone.now()
    stranger = new_id()
    [key] = store.fetch([ref.subject, stranger], [IDENTITY, CONTACT], event=event, approval=approval)
    assert key.ref == ref
    [(_, at, role, recorded, count)] = store.fetch_records(since)
    assert (role, recorded, count) == ("console_app", event, 2)
    assert since <= at <= timezone.now()


def test_a_fetch_that_finds_nothing_is_recorded_too():
    event, since = new_id(), timezone.now()
    assert store.fetch([new_id()], [IDENTITY], event=event) == []
    assert [record[3] for record in store.fetch_records(since)] == [event]


def test_a_fetch_gives_every_generation_and_only_what_was_asked_for(ref):
    second = KeyRef(ref.subject, IDENTITY, 2)
    stored(second, KeyRef(ref.subject, CONTACT, 1), KeyRef(new_id(), IDENTITY, 1))
    keys = store.fetch([ref.subject], [IDENTITY], event=new_id())
    assert {key.ref for key in keys} == {ref, second}


def test_the_record_holds_whose_keys_which_categories_and_the_transaction(ref, raw):
    event, approval = new_id(), new_id()
    with transaction.atomic("vault"), connections["vault"].cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        [transaction_id] = cursor.fetchone()
        store.fetch([ref.subject], [IDENTITY, CONTACT], event=event, approval=approval)
    rows = raw(
        "owner",
        "SELECT subjects, categories, subject_count, event, approval, xid::text, restore_epoch, role"
        " FROM vault_fetchrecord WHERE event = %s",
        event,
    )
    assert rows == [([ref.subject], [1, 2], 1, event, approval, transaction_id, 1, "console_app")]
    assert event in {row[3] for row in raw("reader", "SELECT * FROM vault_fetch_records('-infinity')")}


def test_a_fetch_that_is_rolled_back_leaves_a_gap_in_the_ids(ref, raw):
    """The one way to read keys without a record is for the app's own code to roll back; the gap stays visible."""
    since = timezone.now()
    store.fetch([ref.subject], [IDENTITY], event=new_id())
    with transaction.atomic("vault"):
        store.fetch([ref.subject], [IDENTITY], event=new_id())
        transaction.set_rollback(True, using="vault")
    store.fetch([ref.subject], [IDENTITY], event=new_id())
    first, last = (record[0] for record in store.fetch_records(since))
    assert last - first == 2
    # Nor can the app take a number without a fetch, to hide its gaps among others.
    for statement in (
        "SELECT nextval('vault_fetchrecord_id_seq')",
        "SELECT setval('vault_fetchrecord_id_seq', 1)",
        "SELECT last_value FROM vault_fetchrecord_id_seq",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw("app", statement)


def test_a_fetch_in_a_read_only_transaction_gives_nothing(ref):
    with transaction.atomic("vault"):
        with connections["vault"].cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        with pytest.raises(DatabaseError, match="read-only"):
            store.fetch([ref.subject], [IDENTITY], event=new_id())
        transaction.set_rollback(True, using="vault")


def test_the_ceiling_stops_fetches_and_an_approval_lifts_it(alone, keep, as_role):
    owner_sets(as_role, fetches_per_hour=3)
    subjects, since = [new_id() for _ in range(4)], timezone.now()
    keep(*(KeyRef(subject, IDENTITY, 1) for subject in subjects))
    # A batch with an approval is not counted.
    assert len(store.fetch(subjects, [IDENTITY], event=new_id(), approval=new_id())) == 4
    assert len(store.fetch(subjects[:2], [IDENTITY], event=new_id())) == 2
    for too_many in (subjects[:2], subjects):
        with pytest.raises(CeilingReached) as reached:
            store.fetch(too_many, [IDENTITY], event=new_id())
        assert str(reached.value) == "the hourly ceiling of 3 subjects is reached"
    assert len(store.fetch(subjects[:1], [IDENTITY], event=new_id())) == 1
    with pytest.raises(CeilingReached):
        store.fetch(subjects[:1], [IDENTITY], event=new_id())
    assert len(store.fetch(subjects, [IDENTITY], event=new_id(), approval=new_id())) == 4
    # What was refused gave nothing and left nothing.
    assert [record[4] for record in store.fetch_records(since)] == [4, 2, 1, 4]


def test_an_hour_later_the_ceiling_is_free_again(alone, ref, raw, as_role):
    owner_sets(as_role, fetches_per_hour=1)
    record = (
        "INSERT INTO vault_fetchrecord (at, restore_epoch, xid, role, event, subject_count, subjects, categories)"
        " VALUES (now() - %s::interval, 1, pg_current_xact_id(), 'console_app', %s, 9, '{}', '{}')"
    )
    raw("owner", record, "61 minutes", new_id())
    assert store.fetch([ref.subject], [IDENTITY], event=new_id())
    raw("owner", record, "59 minutes", new_id())
    with pytest.raises(CeilingReached):
        store.fetch([ref.subject], [IDENTITY], event=new_id())


def test_two_fetches_at_once_do_not_both_pass_the_ceiling(alone, ref, as_role, aside):
    """Number 15: the second waits until what the first spent can be seen."""
    owner_sets(as_role, fetches_per_hour=1)
    fetch = f"SELECT * FROM vault_fetch(ARRAY['{ref.subject}']::uuid[], '{{1}}'::smallint[], gen_random_uuid())"
    with as_role("app", "vault") as first:
        first.execute("BEGIN")
        first.execute(fetch)
        second = aside(lambda: store.fetch([ref.subject], [IDENTITY], event=new_id()))
        waited = waits(second)
        first.execute("COMMIT")
    with pytest.raises(CeilingReached):
        second.result(timeout=10)
    assert waited


def test_two_destructions_at_once_do_not_both_pass_the_ceiling(alone, ref, keep, as_role, aside):
    """Number 15: likewise."""
    other = keep(KeyRef(new_id(), IDENTITY, 1))
    owner_sets(as_role, destructions_per_hour=1)

    def destroy_other():
        with as_role("purger", "vault") as purger:
            purger.execute(DESTROY, [[other.subject], [new_id()], PLAN])

    with as_role("purger", "vault") as purger:
        purger.execute("BEGIN")
        purger.execute(DESTROY, [[ref.subject], [new_id()], PLAN])
        second = aside(destroy_other)
        waited = waits(second)
        purger.execute("COMMIT")
    with pytest.raises(psycopg.Error) as reached:
        second.result(timeout=10)
    assert reached.value.sqlstate == "CV002"
    assert waited
    assert store.status([other.subject])[0].alive


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_picture_of_the_hour_is_not_added_up(alone, ref, as_role, level):
    """Number 15: in such a transaction, what others spent meanwhile could not be seen."""
    fetch = f"SELECT * FROM vault_fetch(ARRAY['{ref.subject}']::uuid[], '{{1}}'::smallint[], gen_random_uuid())"
    with as_role("app", "vault") as app:
        app.execute(f"BEGIN ISOLATION LEVEL {level}")
        with pytest.raises(psycopg.Error) as refused:
            app.execute(fetch)
    assert refused.value.sqlstate == UNNAMED


# Who may call what


MAY = {
    "app": "vault_installation vault_holds_keys vault_keyring_is_another vault_console vault_tell"
    " vault_note_console vault_marks vault_events_fetched vault_subjects_made vault_frozen vault_fetch"
    " vault_create vault_freeze vault_status vault_left vault_lock_living vault_wait_for_destructions"
    " vault_newest_dead vault_destroyed_by_plan vault_claim vault_lookups_add vault_lookups_remove"
    " vault_lookups_outdated vault_lookups_renew vault_find vault_owners vault_tombstones"
    " vault_fetch_records",
    "purger": "vault_installation vault_console vault_tell vault_destroyed_by_plan vault_destroy vault_destroy_again"
    " vault_status vault_left vault_subjects_with_more vault_fences vault_forget_tombstones vault_destructions_left",
    "reader": "vault_installation vault_status vault_left vault_fences vault_newest_dead vault_console vault_frozen"
    " vault_destroyed_by_plan vault_stray_lookups vault_fetch_records",
}


@pytest.mark.parametrize("role", MAY)
def test_each_role_may_call_these_functions_and_no_other(raw, role):
    """Number 31: written down a second time, so that a function given to a role by mistake is noticed."""
    name = connections["vault"].settings_dict["USER"].replace("_app", f"_{role}")
    callable_by = raw(
        "owner",
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE %s"
        " AND has_function_privilege(%s::name, p.oid, 'EXECUTE')",
        "vault\\_%",
        name,
    )
    assert {one for (one,) in callable_by} == set(MAY[role].split())


def test_the_reader_fetches_no_key_and_the_app_reads_no_fence(ref, raw):
    """Number 31."""
    for role, call in (
        ("reader", "SELECT vault_fetch(ARRAY[%s]::uuid[], '{1}'::smallint[], gen_random_uuid())"),
        ("app", "SELECT vault_fences(ARRAY[%s]::uuid[])"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw(role, call, ref.subject)


@pytest.mark.parametrize("move", ["subject = gen_random_uuid()", "category = 5", "generation = 7"])
def test_a_key_is_never_moved(ref, raw, move):
    """Number 31: to another subject, category or generation, not by the owner either."""
    with pytest.raises(psycopg.Error) as refused:
        raw("owner", f"UPDATE vault_key SET {move} WHERE subject = %s", ref.subject)
    assert refused.value.sqlstate == "CV001"


def test_books_that_the_law_keeps_are_nothing_more_of_a_subject(committed, keep, as_purger):
    """Number 31: else whoever has orders on file would never be destroyed."""
    ref = keep(KeyRef(new_id(), IDENTITY, 1))
    other = keep(KeyRef(new_id(), IDENTITY, 1))
    keep(KeyRef(ref.subject, Category.STATUTORY, 2025), KeyRef(other.subject, CONTACT, 1))
    with as_purger():
        assert store.subjects_with_more([ref, other], kept=Category.STATUTORY) == {other.subject}
        assert store.subjects_with_more([ref], kept=Category.PAYMENT) == {ref.subject}


# Fences


def test_a_key_is_destroyed_once_and_its_fence_keeps_date_and_line(ref, destroy, raw):
    stored(KeyRef(ref.subject, CONTACT, 1))
    before = timezone.now()
    lines = destroy(ref)
    [fence] = [status for status in store.status([ref.subject]) if status.ref == ref]
    assert not fence.alive
    assert before <= fence.destroyed_at <= timezone.now()
    assert fence.certificate_line == lines[ref]
    # A second run passes it over.
    assert destroy(ref, KeyRef(new_id(), IDENTITY, 1)) == {}
    assert store.status([ref.subject])[0] == fence
    [key] = store.fetch([ref.subject], [IDENTITY], event=new_id())
    assert (key.wrapped, key.destroyed_at, key.certificate_line) == (None, fence.destroyed_at, lines[ref])
    # The neighbour lives, and nothing of the key is left in the row.
    assert [status.alive for status in store.status([ref.subject])] == [False, True]
    left = "SELECT wrapped, plan_hash FROM vault_key WHERE subject = %s AND category = 1"
    assert raw("owner", left, ref.subject) == [(None, PLAN)]
    assert raw("owner", "SELECT role, plan_hash, destroyed FROM vault_destroyrecord ORDER BY id DESC LIMIT 2") == [
        ("console_purger", PLAN, 0),
        ("console_purger", PLAN, 1),
    ]


def test_where_a_fence_stands_nothing_of_the_batch_is_made(ref, destroy):
    destroy(ref)
    fresh = KeyRef(new_id(), IDENTITY, 1)
    for batch in ((ref,), (fresh, ref), (ref, fresh)):
        with pytest.raises(FenceStands) as stands:
            stored(*batch)
        assert str(stands.value) == "a destroyed generation never gets a key again"
    assert store.status([fresh.subject]) == []
    assert stored(fresh, KeyRef(ref.subject, IDENTITY, 2), KeyRef(ref.subject, CONTACT, 1))


def test_frozen_keys_survive_destruction(ref, destroy):
    other = KeyRef(ref.subject, CONTACT, 1)
    stored(other)
    assert store.freeze([ref.subject], [IDENTITY, PROFILE], hold=True) == 1
    assert store.freeze([ref.subject], [IDENTITY], hold=True) == 0
    assert set(destroy(ref, other)) == {other}
    [held, fence] = store.status([ref.subject])
    assert (held.alive, held.frozen) == (True, True)
    assert (fence.alive, fence.frozen) == (False, False)
    # A fence can be neither held nor freed.
    assert store.freeze([ref.subject], [CONTACT], hold=True) == 0
    assert store.freeze([ref.subject], Category.values, hold=False) == 1
    assert set(destroy(ref)) == {ref}


def test_a_key_made_while_its_subject_is_frozen_is_frozen_too(ref):
    """A hold keeps what comes in later as well, until the subject is thawed."""
    store.freeze([ref.subject], [IDENTITY], hold=True)
    later, stranger = KeyRef(ref.subject, CONTACT, 1), KeyRef(new_id(), CONTACT, 1)
    store.create([(later, wrapped()), (stranger, wrapped())], keyring_id=1)
    frozen = {key.ref: key.frozen for key in store.left([ref.subject, stranger.subject])}
    assert (frozen[later], frozen[stranger]) == (True, False)
    store.freeze([ref.subject], [IDENTITY, CONTACT], hold=False)
    assert not any(key.frozen for key in store.left([ref.subject]))


def test_the_ceiling_stops_destructions(alone, ref, keep, destroy, as_role):
    owner_sets(as_role, destructions_per_hour=2)
    others = [KeyRef(new_id(), IDENTITY, 1) for _ in range(2)]
    keep(*others)
    with pytest.raises(CeilingReached):
        destroy(ref, *others)
    assert all(status.alive for status in store.status([ref.subject, *(other.subject for other in others)]))
    assert len(destroy(*others)) == 2
    with pytest.raises(CeilingReached):
        destroy(ref)


@pytest.mark.parametrize("plan", [None, b"", b"\x0a" * 31, b"\x0a" * 33])
def test_a_destruction_names_the_hash_of_its_plan(ref, destroy, plan):
    with pytest.raises(DatabaseError, match="approved plan"):
        destroy(ref, plan=plan)
    assert store.status([ref.subject])[0].alive


def test_a_certificate_line_ends_one_key_only(ref, keep, as_purger):
    other, line = keep(KeyRef(new_id(), IDENTITY, 1)), new_id()
    with as_purger(), pytest.raises(DatabaseError):
        store.destroy([(ref, line), (other, line)], plan_hash=PLAN)
    assert all(status.alive for status in store.status([ref.subject, other.subject]))


def test_a_fence_without_a_certificate_line_is_refused(ref, as_purger):
    with as_purger(), pytest.raises(DatabaseError):
        store.destroy([(ref, None)], plan_hash=PLAN)
    assert store.status([ref.subject])[0].alive


# Lookups


def lookup(subject, field=EMAIL, category=CONTACT, joined=None):
    return Lookup(field, some_mac(), subject, category, joined)


def test_a_family_shares_a_lookup_and_each_can_leave_it():
    family = sorted(new_id() for _ in range(7))
    shared = lookup(family[0])
    everyone = [Lookup(EMAIL, shared.mac, subject, CONTACT) for subject in family]
    store.add_lookups(everyone, version=VERSION)
    store.add_lookups(everyone, version=VERSION)
    assert store.find([(EMAIL, shared.mac)], most=100) == family
    assert store.find([(EMAIL, shared.mac)], most=5) == family[:5]
    assert store.find([(EMAIL, shared.mac), (EMAIL, shared.mac), (NUMBER, shared.mac)], most=100) == family
    assert store.find([(LookupField.TELEPHONE, shared.mac)], most=100) == []
    assert store.find([(EMAIL, some_mac())], most=100) == []
    store.remove_lookups(family[0], [(EMAIL, shared.mac)])
    store.remove_lookups(new_id(), [(EMAIL, shared.mac)])
    assert store.find([(EMAIL, shared.mac)], most=100) == family[1:]


def test_no_search_gives_more_than_a_hundred():
    shared = some_mac()
    store.add_lookups([Lookup(EMAIL, shared, new_id(), CONTACT) for _ in range(120)], version=VERSION)
    assert len(store.find([(EMAIL, shared)], most=1000)) == 100


def test_owners_of_as_many_numbers_as_are_asked_and_nobody_is_claimed():
    numbers = [lookup(new_id(), NUMBER, IDENTITY) for _ in range(120)]
    store.claim(numbers, version=VERSION)
    unknown = some_mac()
    probes = [(number.field, number.mac) for number in numbers]
    assert store.owners([*probes, (NUMBER, unknown), (LookupField.LOGIN_ID, numbers[0].mac)]) == {
        number.mac: number.subject for number in numbers
    }
    assert store.owners([(NUMBER, unknown)]) == store.owners([]) == {}


def test_what_may_be_shared_has_no_owner_so_that_no_list_of_telephones_is_tried():
    shared = [
        Lookup(field, some_mac(), new_id(), CONTACT) for field in set(LookupField) - {NUMBER, LookupField.LOGIN_ID}
    ]
    store.add_lookups(shared, version=VERSION)
    assert store.owners([(one.field, one.mac) for one in shared]) == {}


def test_a_claim_is_first_come():
    first, second = lookup(new_id(), NUMBER, IDENTITY), lookup(new_id(), NUMBER, IDENTITY)
    assert store.claim([first], version=VERSION) == {first.mac: first.subject}
    late = Lookup(NUMBER, first.mac, second.subject, IDENTITY)
    assert store.claim([late, second], version=VERSION) == {first.mac: first.subject, second.mac: second.subject}
    assert store.claim([first], version=VERSION) == {first.mac: first.subject}
    # Nor does the other way in make a second owner.
    store.add_lookups([late], version=VERSION)
    assert found(first) == [first.subject]


def test_of_two_who_claim_at_once_one_wins(committed):
    subjects, macs = [new_id(), new_id()], [some_mac() for _ in range(20)]
    barrier = threading.Barrier(2, timeout=20)

    def claims(subject):
        try:
            won = []
            for mac in macs:
                barrier.wait()
                won.append(store.claim([Lookup(NUMBER, mac, subject, IDENTITY)], version=VERSION)[mac])
            return won
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(claims, subjects)
    assert one == other
    assert set(one) <= set(subjects)
    for mac, winner in zip(macs, one, strict=True):
        assert store.find([(NUMBER, mac)], most=5) == [winner]


def test_a_lookup_dies_with_the_last_living_key_it_rests_on(keep, destroy):
    subject, neighbour = new_id(), new_id()
    first, second = KeyRef(subject, CONTACT, 1), KeyRef(subject, CONTACT, 2)
    keep(first, second, *(KeyRef(who, category, 1) for who in (subject, neighbour) for category in (1, 2, 5)))
    mail, number, joined = (
        lookup(subject),
        lookup(subject, NUMBER, IDENTITY),
        lookup(subject, LookupField.NAME_AND_BIRTH_DATE, IDENTITY, PROFILE),
    )
    theirs = Lookup(EMAIL, mail.mac, neighbour, CONTACT)
    store.claim([number], version=VERSION)
    store.add_lookups([mail, joined, theirs], version=VERSION)

    destroy(first)
    assert found(mail) == sorted([subject, neighbour])
    destroy(second)
    assert found(mail) == [neighbour]
    assert found(number) == found(joined) == [subject]

    destroy(KeyRef(subject, PROFILE, 1))
    assert found(joined) == []
    assert found(number) == [subject]

    destroy(KeyRef(subject, IDENTITY, 1))
    assert found(number) == []
    assert found(theirs) == [neighbour]


def test_a_joined_lookup_dies_with_either_of_its_two(keep, destroy):
    subject = new_id()
    keep(KeyRef(subject, IDENTITY, 1), KeyRef(subject, PROFILE, 1))
    joined = lookup(subject, LookupField.NAME_AND_BIRTH_DATE, IDENTITY, PROFILE)
    store.add_lookups([joined], version=VERSION)
    destroy(KeyRef(subject, IDENTITY, 1))
    assert found(joined) == []


def test_a_lookup_stays_as_long_as_its_key_is_held(ref, destroy):
    held = lookup(ref.subject, NUMBER, IDENTITY)
    store.claim([held], version=VERSION)
    store.freeze([ref.subject], [IDENTITY], hold=True)
    assert destroy(ref) == {}
    assert found(held) == [ref.subject]


@pytest.mark.parametrize("way", ["claim", "add", "joined"])
def test_nobody_is_found_again_after_destruction(ref, destroy, way):
    """Whoever is late with a lookup must not make a destroyed person findable: no later destruction would end it."""
    destroy(ref)
    late = {
        "claim": lookup(ref.subject, NUMBER, IDENTITY),
        "add": lookup(ref.subject, EMAIL, IDENTITY),
        "joined": lookup(ref.subject, LookupField.NAME_AND_POSTCODE, CONTACT, IDENTITY),
    }[way]
    enter = store.claim if way == "claim" else store.add_lookups
    with pytest.raises(FenceStands):
        enter([late], version=VERSION)
    assert found(late) == []


@pytest.fixture
def aside():
    """Run something in a thread, on a connection of its own: ``aside(call)`` returns a future."""

    def closing(call):
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        yield lambda call: pool.submit(closing, call)


DESTROY = f"SELECT * FROM vault_destroy(%s, '{{1}}'::smallint[], '{{1}}'::bigint[], %s, %s, {TOLD})"


def waits(future, seconds=0.3):
    """Whether it has not come to an end by then."""
    return not wait([future], timeout=seconds).done


def test_a_lookup_entered_during_a_destruction_waits_and_is_refused(committed, ref, as_role, aside):
    late = lookup(ref.subject, EMAIL, IDENTITY)
    with as_role("purger", "vault") as purger:
        purger.execute("BEGIN")
        purger.execute(DESTROY, [[ref.subject], [new_id()], PLAN])
        entered = aside(lambda: store.add_lookups([late], version=VERSION))
        waited = waits(entered)
        purger.execute("COMMIT")
    with pytest.raises(FenceStands):
        entered.result(timeout=10)
    assert waited
    assert found(late) == []


def test_a_destruction_waits_for_a_lookup_that_is_being_entered_and_ends_it(committed, ref, as_role, aside):
    late = lookup(ref.subject, EMAIL, IDENTITY)

    def destroy_it():
        with as_role("purger", "vault") as purger:
            purger.execute(DESTROY, [[ref.subject], [new_id()], PLAN])

    with transaction.atomic("vault"):
        store.add_lookups([late], version=VERSION)
        destroyed = aside(destroy_it)
        waited = waits(destroyed)
    destroyed.result(timeout=10)
    assert waited
    assert found(late) == []


@pytest.mark.parametrize("what", ["keys", "lookups"])
def test_two_who_enter_the_same_in_another_order_do_not_lock_each_other_out(committed, aside, what):
    """Two imports may hold the same members in another order."""
    subjects = sorted(new_id() for _ in range(2))

    def enter(*some):
        if what == "keys":
            return stored(*(KeyRef(subject, IDENTITY, 1) for subject in some))
        return store.add_lookups([Lookup(EMAIL, b"m" * 32, subject, IDENTITY) for subject in some], version=VERSION)

    with transaction.atomic("vault"):
        enter(subjects[0])
        other = aside(lambda: enter(*reversed(subjects)))
        assert waits(other)
        enter(subjects[1])
    other.result(timeout=10)


# What a stranger with the app's password tries


def test_shadowing_names_does_not_lead_the_functions_astray(ref, raw, as_role):
    """Temporary tables, functions and operators of the caller's own are never met by a function of the vault."""
    raw("owner", f"GRANT TEMPORARY ON DATABASE {connections['vault'].settings_dict['NAME']} TO PUBLIC")
    with as_role("app", "vault") as cursor:
        for shadow in (
            "CREATE TEMP TABLE vault_installation AS SELECT gen_random_uuid() AS id, 9 AS restore_epoch,"
            " 1000000000 AS fetches_per_hour",
            "CREATE TEMP TABLE vault_fetchrecord (LIKE pg_class)",
            "CREATE TEMP TABLE vault_key (LIKE pg_class)",
            "CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'",
            "CREATE FUNCTION pg_temp.cardinality(anyarray) RETURNS integer LANGUAGE sql AS 'SELECT 0'",
            "SET search_path = pg_temp, pg_catalog",
        ):
            cursor.execute(shadow)
        event = new_id()
        cursor.execute("SELECT subject FROM public.vault_fetch(%s, %s::smallint[], %s)", [[ref.subject], [1], event])
        assert cursor.fetchall() == [(ref.subject,)]
    record = "SELECT role, subject_count FROM public.vault_fetchrecord WHERE event = %s"
    assert raw("owner", record, event) == [("console_app", 1)]


@pytest.mark.parametrize(
    ("wanted", "kinds", "event"),
    [(None, [1], uuid.UUID(int=1)), ([uuid.UUID(int=1)], None, uuid.UUID(int=1)), ([uuid.UUID(int=1)], [1], None)],
    ids=["nobody", "nothing", "no event"],
)
def test_a_fetch_that_cannot_be_recorded_gives_nothing(wanted, kinds, event):
    with pytest.raises(DatabaseError), transaction.atomic("vault"), connections["vault"].cursor() as cursor:
        cursor.execute("SELECT * FROM vault_fetch(%s, %s::smallint[], %s)", [wanted, kinds, event])


def test_making_a_key_that_exists_does_not_show_it(ref, raw):
    statement = "SELECT * FROM vault_create(%s, '{1}'::smallint[], '{1}'::bigint[], %s, 1)"
    assert raw("app", statement, [ref.subject], [wrapped(b"x")]) == []


def test_an_error_of_the_vault_shows_no_key_of_another(ref, raw):
    [(key,)] = raw("owner", "SELECT encode(wrapped, 'hex') FROM vault_key WHERE subject = %s", ref.subject)
    for statement in (
        "SELECT * FROM vault_create(%s, '{1}'::smallint[], '{1}'::bigint[], '{NULL}', 1)",
        "SELECT * FROM vault_create(%s, '{1}'::smallint[], '{1}'::bigint[], '{x}', NULL)",
        "SELECT * FROM vault_fetch(%s, NULL, gen_random_uuid())",
        "SELECT vault_lookups_add('{NULL}'::smallint[], 1::smallint, '{x}', %s, '{1}', '{NULL}')",
    ):
        with pytest.raises(psycopg.Error) as error:
            raw("app", statement, [ref.subject])
        assert key not in str(error.value)


def test_keys_and_lookups_stand_in_no_statement(raw):
    """The server shows statements to others and writes failed and slow ones to its log, which outlives the keys."""
    ref, mail = KeyRef(new_id(), IDENTITY, 1), lookup(new_id())
    for act in (
        lambda: stored(ref),
        lambda: store.add_lookups([mail], version=VERSION),
        lambda: found(mail),
    ):
        act()
        pid = connections["vault"].connection.info.backend_pid
        [(statement,)] = raw("app", "SELECT query FROM pg_stat_activity WHERE pid = %s", pid)
        assert "vault_" in statement
        for secret in (wrapped(), mail.mac):
            assert secret.hex() not in statement


def test_functions_are_laid_with_their_privileges_or_not_at_all(alone, raw, monkeypatch):
    """PostgreSQL lets everybody call a new function, so one laid without its privileges is open to every role."""
    raw("owner", "DROP FUNCTION vault_destroy(uuid[], smallint[], bigint[], uuid[], bytea, bigint[], uuid[])")
    monkeypatch.setattr(sql, "privileges", lambda: "GRANT SELECT ON vault_key TO nobody_of_this_name")
    become("owner")
    try:
        with pytest.raises(DatabaseError):
            sql.lay_after_migrate(using="vault")
    finally:
        become("app")
    callable_by_app = "SELECT has_function_privilege(oid, 'EXECUTE') FROM pg_proc WHERE proname = 'vault_destroy'"
    assert raw("app", callable_by_app) in ([], [(False,)])


def test_laying_everything_twice_changes_nothing(ref, raw):
    state = (
        "SELECT proname, proacl::text, prosecdef, proconfig::text FROM pg_proc WHERE proname LIKE 'vault%' ORDER BY 1"
    )
    before = raw("owner", state)
    become("owner")
    try:
        sql.lay_after_migrate(using="vault")
        sql.lay_after_migrate(using="default")
    finally:
        become("app")
    sql.lay_after_migrate(using="vault")
    assert raw("owner", state) == before
    assert {row[3] for row in before} == {'{"search_path=pg_catalog, pg_temp"}'}
    assert store.status([ref.subject])[0].alive
