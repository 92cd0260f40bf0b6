"""The vault's guarantees as plain SQL, laid after every migrate by the owner; running it twice changes nothing.

What can go wrong, and why here it cannot: a role that may read a table can copy every key, so no role has table
privileges; the functions below are the only way in. They run as the owner (SECURITY DEFINER) under a fixed search path.
A fetch writes its own record before it returns. A fence is never updated or deleted, not by the owner either (trigger).
"""

from typing import Any

from django.conf import settings
from django.db import connections, transaction

from access_control.vault import console_sql, destruction_sql, lookup_sql
from access_control.vault.roles import role_names

ALIAS = "vault"

# CREATE OR REPLACE changes no result type, so what an earlier version laid with another one goes first.
OUTDATED = """
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_proc WHERE proname = 'vault_destroy'
                AND pg_get_function_result(oid) NOT LIKE '%ended_lines%') THEN
    DROP FUNCTION vault_destroy(uuid[], smallint[], bigint[], uuid[], bytea);
  END IF;
  DROP FUNCTION IF EXISTS vault_refuse_lookups_of_destroyed(uuid[], smallint[]);
END $$;
-- Those that were not told anything of the console: beside the newer ones, a call could mean either.
DROP FUNCTION IF EXISTS vault_fetch(uuid[], smallint[], uuid, uuid);
DROP FUNCTION IF EXISTS vault_destroy(uuid[], smallint[], bigint[], uuid[], bytea);
DROP FUNCTION IF EXISTS vault_freeze(uuid[], smallint[], boolean);
-- Those that believed what they were told, whatever the console holds.
DROP FUNCTION IF EXISTS vault_fetch(uuid[], smallint[], uuid, uuid, bigint[], uuid);
DROP FUNCTION IF EXISTS vault_destroy(uuid[], smallint[], bigint[], uuid[], bytea, bigint[], uuid);
DROP FUNCTION IF EXISTS vault_freeze(uuid[], smallint[], boolean, uuid, bigint[], uuid);
DROP FUNCTION IF EXISTS vault_tell(bigint[], uuid);
DROP FUNCTION IF EXISTS vault_hear(bigint[], uuid);
"""

FUNCTIONS = """
CREATE OR REPLACE FUNCTION vault_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: its rows are only ever added', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CV003';
END $$;

CREATE OR REPLACE FUNCTION vault_guard_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF OLD.destroyed_at IS NOT NULL THEN
    RAISE EXCEPTION 'a fence never clears' USING ERRCODE = 'CV001';
  END IF;
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a key ends as a fence, never by deletion' USING ERRCODE = 'CV001';
  END IF;
  IF (NEW.subject, NEW.category, NEW.generation) IS DISTINCT FROM (OLD.subject, OLD.category, OLD.generation) THEN
    RAISE EXCEPTION 'a key is never moved' USING ERRCODE = 'CV001';
  END IF;
  IF OLD.frozen AND NEW.wrapped IS NULL THEN
    RAISE EXCEPTION 'a frozen key is never destroyed' USING ERRCODE = 'CV004';
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION vault_installation(OUT id uuid, OUT restore_epoch integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT i.id, i.restore_epoch FROM public.vault_installation i
$$;

-- Two fetches, or destructions, at once would each overlook in the last hour what the other spends.
CREATE OR REPLACE FUNCTION vault_count_alone(kind integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'an older picture of the last hour would not show what was spent' USING ERRCODE = 'CV005';
  END IF;
  PERFORM pg_advisory_xact_lock(1986097532, kind);
END $$;

CREATE OR REPLACE FUNCTION vault_fetch(
  wanted uuid[], kinds smallint[], for_event uuid, by_approval uuid DEFAULT NULL,
  told bigint[] DEFAULT NULL, events uuid[] DEFAULT NULL)
RETURNS TABLE (subject uuid, category smallint, generation bigint, wrapped bytea, keyring integer,
               destroyed_at timestamptz, certificate_line uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  spent bigint;
  ceiling integer;
  epoch integer;
BEGIN
  IF for_event IS NULL THEN
    RAISE EXCEPTION 'a fetch names its event' USING ERRCODE = 'CV005';
  END IF;
  PERFORM public.vault_hear(told, events);
  SELECT i.fetches_per_hour, i.restore_epoch INTO STRICT ceiling, epoch FROM public.vault_installation i;
  IF by_approval IS NULL THEN
    PERFORM public.vault_count_alone(1);
    SELECT coalesce(sum(r.subject_count), 0) INTO spent FROM public.vault_fetchrecord r
     WHERE r.at > clock_timestamp() - interval '1 hour' AND r.approval IS NULL;
    IF spent + cardinality(wanted) > ceiling THEN
      RAISE EXCEPTION 'the hourly ceiling of % subjects is reached', ceiling USING ERRCODE = 'CV002';
    END IF;
  END IF;
  INSERT INTO public.vault_fetchrecord
         (at, restore_epoch, xid, role, event, approval, subject_count, subjects, categories)
  VALUES (clock_timestamp(), epoch, pg_current_xact_id(), session_user, for_event, by_approval,
          cardinality(wanted), wanted, kinds);
  RETURN QUERY
    SELECT k.subject, k.category, k.generation, k.wrapped, k.keyring, k.destroyed_at, k.certificate_line
      FROM public.vault_key k WHERE k.subject = ANY (wanted) AND k.category = ANY (kinds);
END $$;

CREATE OR REPLACE FUNCTION vault_create(
  subjects uuid[], categories smallint[], generations bigint[], wraps bytea[], under integer)
RETURNS TABLE (subject uuid, category smallint, generation bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  made integer;
BEGIN
  IF EXISTS (SELECT FROM public.vault_keyringcheck)
     AND NOT EXISTS (SELECT FROM public.vault_keyringcheck c WHERE c.id = under AND c.id > 0) THEN
    RAISE EXCEPTION 'nobody announced the keyring key %', under USING ERRCODE = 'CV011';
  END IF;
  -- One far above the newest would leave no room for those after it. Nothing comes after a case's (6), half an id.
  IF EXISTS (SELECT FROM unnest(subjects, categories, generations) AS n (subject, category, generation)
              WHERE n.category = 7 AND n.generation > 2200
                 OR n.category < 6 AND n.generation > 10 AND NOT EXISTS (
                    SELECT FROM public.vault_key k WHERE k.subject = n.subject AND k.category = n.category
                       AND k.generation BETWEEN n.generation - 10 AND n.generation)) THEN
    RAISE EXCEPTION 'a generation out of all order' USING ERRCODE = 'CV010';
  END IF;
  RETURN QUERY
    INSERT INTO public.vault_key (subject, category, generation, wrapped, keyring, frozen, created)
    -- What comes in while the subject is held is held with the rest.
    SELECT n.subject, n.category, n.generation, n.wrapped, under,
           EXISTS (SELECT FROM public.vault_key f WHERE f.subject = n.subject AND f.frozen), clock_timestamp()
      FROM unnest(subjects, categories, generations, wraps) AS n (subject, category, generation, wrapped)
     ORDER BY n.subject, n.category, n.generation
    ON CONFLICT DO NOTHING
    RETURNING vault_key.subject, vault_key.category, vault_key.generation;
  GET DIAGNOSTICS made = ROW_COUNT;
  -- Where every key is new, none of them can be a fence.
  IF made < cardinality(subjects) AND EXISTS (
             SELECT FROM unnest(subjects, categories, generations) AS n (subject, category, generation)
               JOIN public.vault_key k USING (subject, category, generation) WHERE k.destroyed_at IS NOT NULL) THEN
    RAISE EXCEPTION 'a destroyed generation never gets a key again' USING ERRCODE = 'CV001';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION vault_freeze(
  wanted uuid[], kinds smallint[], hold boolean, for_hold uuid DEFAULT NULL,
  told bigint[] DEFAULT NULL, events uuid[] DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  touched integer;
BEGIN
  PERFORM public.vault_hear(told, events);
  UPDATE public.vault_key SET frozen = hold
   WHERE subject = ANY (wanted) AND category = ANY (kinds) AND destroyed_at IS NULL AND frozen IS DISTINCT FROM hold;
  GET DIAGNOSTICS touched = ROW_COUNT;
  IF NOT hold THEN
    UPDATE public.vault_heldsubject SET thawed_at = clock_timestamp()
     WHERE subject = ANY (wanted) AND thawed_at IS NULL;
  ELSIF for_hold IS NOT NULL OR touched > 0 THEN
    -- A freeze that names no hold counts as one for a hold that nobody knows.
    for_hold := coalesce(for_hold, gen_random_uuid());
    INSERT INTO public.vault_heldsubject (subject, hold, frozen_at)
    SELECT DISTINCT w.subject, for_hold, clock_timestamp() FROM unnest(wanted) AS w (subject) ON CONFLICT DO NOTHING;
  END IF;
  RETURN touched;
END $$;

CREATE OR REPLACE FUNCTION vault_status(wanted uuid[])
RETURNS TABLE (subject uuid, category smallint, generation bigint, alive boolean, frozen boolean,
               destroyed_at timestamptz, certificate_line uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.subject, k.category, k.generation, k.wrapped IS NOT NULL, k.frozen, k.destroyed_at, k.certificate_line
    FROM public.vault_key k WHERE k.subject = ANY (wanted) ORDER BY 1, 2, 3
$$;

-- What is left of a subject: living keys only.
CREATE OR REPLACE FUNCTION vault_left(wanted uuid[])
RETURNS TABLE (subject uuid, category smallint, generation bigint, frozen boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.subject, k.category, k.generation, k.frozen
    FROM public.vault_key k WHERE k.subject = ANY (wanted) AND k.wrapped IS NOT NULL ORDER BY 1, 2, 3
$$;

-- What is left once the destructions under way are over: asked by whoever decides what a destruction would undo.
CREATE OR REPLACE FUNCTION vault_lock_living(wanted uuid[])
RETURNS TABLE (subject uuid, category smallint, generation bigint, frozen boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.subject, k.category, k.generation, k.frozen FROM public.vault_key k
   WHERE k.subject = ANY (wanted) AND k.wrapped IS NOT NULL ORDER BY k.subject, k.category, k.generation FOR SHARE
$$;

-- Returns once no destruction is under way, whosever keys it is about.
CREATE OR REPLACE FUNCTION vault_wait_for_destructions() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_advisory_xact_lock(7301)
$$;

-- Subjects of whom the newest key of a category is a fence, in order of their ids.
CREATE OR REPLACE FUNCTION vault_newest_dead(kinds smallint[], above uuid, most integer)
RETURNS TABLE (subject uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT f.subject FROM public.vault_key f
   WHERE f.wrapped IS NULL AND f.category = ANY (kinds) AND f.subject > above
     AND NOT EXISTS (SELECT FROM public.vault_key n WHERE n.subject = f.subject AND n.category = f.category
                        AND n.generation > f.generation)
   ORDER BY f.subject LIMIT most
$$;

-- Whether anything but these keys, and what the law keeps, is left of their subjects.
CREATE OR REPLACE FUNCTION vault_subjects_with_more(
  subjects uuid[], categories smallint[], generations bigint[], kept smallint)
RETURNS TABLE (subject uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT k.subject FROM public.vault_key k
   WHERE k.subject = ANY (subjects) AND k.wrapped IS NOT NULL AND k.category <> kept
     AND NOT EXISTS (SELECT FROM unnest(subjects, categories, generations) AS g (subject, category, generation)
                      WHERE (g.subject, g.category, g.generation) = (k.subject, k.category, k.generation))
$$;

-- What a certificate claims, as the vault knows it.
CREATE OR REPLACE FUNCTION vault_fences(wanted uuid[])
RETURNS TABLE (line uuid, subject uuid, category smallint, generation bigint, destroyed_at timestamptz,
               plan_hash bytea, keyring integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.certificate_line, k.subject, k.category, k.generation, k.destroyed_at, k.plan_hash, k.keyring
    FROM public.vault_key k WHERE k.subject = ANY (wanted) AND k.wrapped IS NULL
$$;

-- How many keys were destroyed in the name of each plan: the vault's own count.
CREATE OR REPLACE FUNCTION vault_destroyed_by_plan()
RETURNS TABLE (plan_hash bytea, destroyed bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.plan_hash, sum(r.destroyed)::bigint FROM public.vault_destroyrecord r GROUP BY 1 HAVING sum(r.destroyed) > 0
$$;

CREATE OR REPLACE FUNCTION vault_keyring_is_another(ids integer[], checks bytea[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO public.vault_keyringcheck (id, value) SELECT * FROM unnest(ids, checks) ON CONFLICT DO NOTHING;
  RETURN EXISTS (SELECT FROM unnest(ids, checks) AS n (id, value) JOIN public.vault_keyringcheck k USING (id)
                  WHERE k.value IS DISTINCT FROM n.value);
END $$;

CREATE OR REPLACE FUNCTION vault_holds_keys() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM public.vault_key)
$$;

CREATE OR REPLACE FUNCTION vault_fetch_records(since timestamptz)
RETURNS TABLE (id bigint, at timestamptz, role text, event uuid, approval uuid, subject_count integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.id, r.at, r.role, r.event, r.approval, r.subject_count FROM public.vault_fetchrecord r WHERE r.at >= since
$$;
"""

TRIGGERS = """
-- Asked only about what it would refuse: a purge changes millions of keys in the one way that is right.
CREATE OR REPLACE TRIGGER vault_key_guard BEFORE UPDATE ON vault_key
  FOR EACH ROW WHEN (OLD.destroyed_at IS NOT NULL OR OLD.frozen AND NEW.wrapped IS NULL
    OR (NEW.subject, NEW.category, NEW.generation) IS DISTINCT FROM (OLD.subject, OLD.category, OLD.generation))
  EXECUTE FUNCTION vault_guard_key();
CREATE OR REPLACE TRIGGER vault_key_stays BEFORE DELETE ON vault_key
  FOR EACH ROW EXECUTE FUNCTION vault_guard_key();
CREATE OR REPLACE TRIGGER vault_key_no_truncate BEFORE TRUNCATE ON vault_key
  FOR EACH STATEMENT EXECUTE FUNCTION vault_refuse();
CREATE OR REPLACE TRIGGER vault_keyringcheck_append BEFORE UPDATE OR DELETE OR TRUNCATE ON vault_keyringcheck
  FOR EACH STATEMENT EXECUTE FUNCTION vault_refuse();
CREATE OR REPLACE TRIGGER vault_fetchrecord_append BEFORE UPDATE OR DELETE OR TRUNCATE ON vault_fetchrecord
  FOR EACH STATEMENT EXECUTE FUNCTION vault_refuse();
CREATE OR REPLACE TRIGGER vault_destroyrecord_append BEFORE UPDATE OR DELETE OR TRUNCATE ON vault_destroyrecord
  FOR EACH STATEMENT EXECUTE FUNCTION vault_refuse();
-- Room on each page for the fence that takes the place of a key, so that its index entries can stay as they are.
ALTER TABLE vault_key SET (fillfactor = 60);
INSERT INTO vault_installation (singleton, id, restore_epoch, fetches_per_hour, destructions_per_hour, created)
VALUES (1, gen_random_uuid(), 1, 100000, 20000000, clock_timestamp()) ON CONFLICT DO NOTHING;
UPDATE vault_installation SET tombstone_key = sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
 WHERE tombstone_key IS NULL;
"""

# Which role may call which function. Nobody but the owner may touch a table.
MAY_CALL = {
    "app": (
        "vault_installation()",
        "vault_holds_keys()",
        "vault_keyring_is_another(integer[], bytea[])",
        "vault_console()",
        "vault_tell(bigint[], uuid[])",
        "vault_note_console(bigint[], boolean)",
        "vault_marks(bigint, integer)",
        "vault_events_fetched(timestamp with time zone)",
        "vault_subjects_made(timestamp with time zone)",
        "vault_frozen(uuid[])",
        "vault_fetch(uuid[], smallint[], uuid, uuid, bigint[], uuid[])",
        "vault_create(uuid[], smallint[], bigint[], bytea[], integer)",
        "vault_freeze(uuid[], smallint[], boolean, uuid, bigint[], uuid[])",
        "vault_status(uuid[])",
        "vault_left(uuid[])",
        "vault_lock_living(uuid[])",
        "vault_wait_for_destructions()",
        "vault_newest_dead(smallint[], uuid, integer)",
        "vault_destroyed_by_plan()",
        "vault_claim(smallint[], smallint, bytea[], uuid[], smallint[])",
        "vault_lookups_add(smallint[], smallint, bytea[], uuid[], smallint[], smallint[])",
        "vault_lookups_remove(smallint[], bytea[], uuid)",
        "vault_lookups_outdated(smallint, uuid, integer)",
        "vault_lookups_renew(smallint[], smallint, bytea[], uuid[], smallint[], smallint[], uuid[])",
        "vault_find(smallint[], bytea[], integer)",
        "vault_owners(smallint[], bytea[])",
        "vault_tombstones(bytea[])",
        "vault_fetch_records(timestamp with time zone)",
    ),
    "purger": (
        "vault_installation()",
        "vault_console()",
        "vault_tell(bigint[], uuid[])",
        "vault_destroyed_by_plan()",
        "vault_destroy(uuid[], smallint[], bigint[], uuid[], bytea, bigint[], uuid[])",
        "vault_destroy_again(uuid[], smallint[], bigint[], uuid[], bytea)",
        "vault_status(uuid[])",
        "vault_left(uuid[])",
        "vault_subjects_with_more(uuid[], smallint[], bigint[], smallint)",
        "vault_fences(uuid[])",
        "vault_forget_tombstones()",
        "vault_destructions_left()",
    ),
    "reader": (
        "vault_installation()",
        "vault_status(uuid[])",
        "vault_left(uuid[])",
        "vault_fences(uuid[])",
        "vault_newest_dead(smallint[], uuid, integer)",
        "vault_console()",
        "vault_frozen(uuid[])",
        "vault_destroyed_by_plan()",
        "vault_stray_lookups(uuid[])",
        "vault_fetch_records(timestamp with time zone)",
    ),
}


def privileges() -> str:
    """GRANT and REVOKE statements for the roles of this installation."""
    names = role_names()
    others = [name for role, name in names.items() if role != "owner"]
    lines = []
    for grantee in ["PUBLIC", *others]:
        lines += [
            f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {grantee};",
            f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {grantee};",
            f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM {grantee};",
            f"REVOKE CREATE ON SCHEMA public FROM {grantee};",
        ]
    for role, functions in MAY_CALL.items():
        lines.append(f"GRANT USAGE ON SCHEMA public TO {names[role]};")
        lines += [f"GRANT EXECUTE ON FUNCTION {function} TO {names[role]};" for function in functions]
    return "\n".join(lines)


def lay_after_migrate(*, using: str, **_: Any) -> None:
    """After migrate (or a test flush): lay everything, if this connection is the owner of the vault."""
    if using != ALIAS:
        return
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_get_userbyid(relowner) = current_user FROM pg_class WHERE relname = 'vault_key'")
        row = cursor.fetchone()
        # The app role may flush in tests; only the owner can and must lay privileges.
        if not row or not row[0]:
            return
        # At once or not at all: PostgreSQL lets everybody call a new function until its privileges are laid.
        with transaction.atomic(using=using):
            cursor.execute(OUTDATED)
            cursor.execute(console_sql.FUNCTIONS)
            cursor.execute(FUNCTIONS)
            cursor.execute(destruction_sql.FUNCTIONS)
            cursor.execute(lookup_sql.FUNCTIONS)
            cursor.execute(console_sql.TRIGGERS)
            cursor.execute(TRIGGERS)
            cursor.execute("UPDATE vault_installation SET tombstone_days = %s", [settings.TOMBSTONE_DAYS])
            cursor.execute(privileges())
