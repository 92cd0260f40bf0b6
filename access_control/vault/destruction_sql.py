"""Ending keys: functions laid by ``sql.py`` with everything else. Only the purger may call them.

What can go wrong, and why here it cannot: a key could end twice, under a hold, or while its lookups live on. A key
ends once, under a certificate line of its own and in the name of an approved plan; what is frozen is passed over; its
lookups go in the same transaction, and the vault keeps its own count.
"""

FUNCTIONS = """
-- Called by the two below alone.
CREATE OR REPLACE FUNCTION vault_end_keys(
  subjects uuid[], categories smallint[], generations bigint[], lines uuid[], approved_plan bytea)
RETURNS TABLE (ended_lines uuid[], destroyed_at timestamptz, keyring integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  spent bigint;
  ceiling integer;
  epoch integer;
  moment timestamptz := clock_timestamp();
  done integer := 0;
BEGIN
  IF approved_plan IS NULL OR length(approved_plan) <> 32 THEN
    RAISE EXCEPTION 'a destruction names the hash of its approved plan' USING ERRCODE = 'CV005';
  END IF;
  IF (SELECT count(DISTINCT one.line) FROM unnest(lines) AS one (line)) <> cardinality(subjects) THEN
    RAISE EXCEPTION 'each key ends under a certificate line of its own' USING ERRCODE = 'CV005';
  END IF;
  SELECT i.destructions_per_hour, i.restore_epoch INTO STRICT ceiling, epoch FROM public.vault_installation i;
  PERFORM public.vault_count_alone(2);
  SELECT coalesce(sum(r.destroyed), 0) INTO spent FROM public.vault_destroyrecord r
   WHERE r.at > clock_timestamp() - interval '1 hour';
  IF spent + cardinality(subjects) > ceiling THEN
    RAISE EXCEPTION 'the hourly ceiling of % destructions is reached', ceiling USING ERRCODE = 'CV002';
  END IF;
  -- In the order in which vault_lock_living locks too, so that neither waits for the other for ever.
  PERFORM FROM public.vault_key k JOIN unnest(subjects, categories, generations) AS d (subject, category, generation)
       ON (k.subject, k.category, k.generation) = (d.subject, d.category, d.generation)
    ORDER BY k.subject, k.category, k.generation FOR NO KEY UPDATE OF k;
  PERFORM pg_advisory_xact_lock_shared(7301);
  FOR ended_lines, destroyed_at, keyring IN
    WITH ended AS (
      UPDATE public.vault_key k
         SET wrapped = NULL, destroyed_at = moment, certificate_line = d.line, plan_hash = approved_plan
        FROM unnest(subjects, categories, generations, lines) AS d (subject, category, generation, line)
       WHERE (k.subject, k.category, k.generation) = (d.subject, d.category, d.generation)
         AND NOT k.frozen AND k.destroyed_at IS NULL
      RETURNING k.certificate_line, k.keyring)
    SELECT array_agg(e.certificate_line), moment, e.keyring FROM ended e GROUP BY e.keyring
  LOOP
    done := done + cardinality(ended_lines);
    RETURN NEXT;
  END LOOP;
  -- A lookup dies with the last living key of a category it rests on, and every one with that of the identity (1).
  WITH dead AS (
    SELECT DISTINCT s.subject, s.category FROM unnest(subjects, categories) AS s (subject, category)
     WHERE NOT EXISTS (SELECT FROM public.vault_key k
                        WHERE k.subject = s.subject AND k.category = s.category AND k.wrapped IS NOT NULL)
  ), gone AS (
    DELETE FROM public.vault_lookup l USING dead d
     WHERE l.subject = d.subject AND d.category IN (1, l.category, l.joined)
    RETURNING l.field, l.mac)
  -- Of a member number (1) a stone stays, of nothing else. Its key is the vault's own, the number's is in no database.
  INSERT INTO public.vault_tombstone (stone, destroyed_at, ends_on)
  SELECT DISTINCT sha256(i.tombstone_key || g.mac), moment, (moment AT TIME ZONE 'Asia/Tokyo')::date + i.tombstone_days
    FROM gone g CROSS JOIN public.vault_installation i WHERE g.field = 1
  ON CONFLICT (stone) DO UPDATE SET destroyed_at = EXCLUDED.destroyed_at, ends_on = EXCLUDED.ends_on;
  INSERT INTO public.vault_destroyrecord (at, restore_epoch, xid, role, plan_hash, destroyed)
  VALUES (clock_timestamp(), epoch, pg_current_xact_id(), session_user, approved_plan, done);
END $$;

-- Only for the console that the vault serves: it says which one it is.
CREATE OR REPLACE FUNCTION vault_destroy(
  subjects uuid[], categories smallint[], generations bigint[], lines uuid[], approved_plan bytea,
  told bigint[] DEFAULT NULL, events uuid[] DEFAULT NULL)
RETURNS TABLE (ended_lines uuid[], destroyed_at timestamptz, keyring integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF told IS NULL AND EXISTS (SELECT FROM public.vault_consoleidentity) THEN
    RAISE EXCEPTION 'a destruction says for which console' USING ERRCODE = 'CV006';
  END IF;
  PERFORM public.vault_hear(told, events);
  RETURN QUERY SELECT * FROM public.vault_end_keys(subjects, categories, generations, lines, approved_plan);
END $$;

-- What had been destroyed before the vault was restored. It says nothing of the console: a restored vault remembers
-- another one. Else it is a destruction like every other: frozen keys are passed over, ceiling and record are the same.
CREATE OR REPLACE FUNCTION vault_destroy_again(
  subjects uuid[], categories smallint[], generations bigint[], lines uuid[], approved_plan bytea)
RETURNS TABLE (ended_lines uuid[], destroyed_at timestamptz, keyring integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM public.vault_end_keys(subjects, categories, generations, lines, approved_plan)
$$;

-- How many more keys may be destroyed this hour.
CREATE OR REPLACE FUNCTION vault_destructions_left() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT greatest(0, i.destructions_per_hour - (SELECT coalesce(sum(r.destroyed), 0) FROM public.vault_destroyrecord r
                                                 WHERE r.at > clock_timestamp() - interval '1 hour'))::integer
    FROM public.vault_installation i
$$;
"""
