"""Lookups and tombstones as plain SQL: what finds a subject, and what is left of a destroyed member's number.

Laid by ``sql.py``. The vault itself knows which categories a field rests on; whoever calls has no say in it.
"""

FUNCTIONS = """
-- Which categories a field of lookups rests on: this table, and nobody's word.
CREATE OR REPLACE FUNCTION vault_lookup_fields() RETURNS TABLE (field smallint, category smallint, joined smallint)
LANGUAGE sql IMMUTABLE ROWS 7 SET search_path = pg_catalog, pg_temp AS $$
  VALUES (1::smallint, 1::smallint, NULL::smallint), (2, 1, NULL), (3, 2, NULL), (4, 2, NULL), (5, 1, 5), (6, 1, 3),
         (7, 1, 2)
$$;

-- Called by the two functions that enter lookups: whoever is late must not make a destroyed person findable again.
CREATE OR REPLACE FUNCTION vault_refuse_lookups_of_destroyed(fields smallint[], subjects uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owners uuid[];
  kinds smallint[];
BEGIN
  -- Whoever has no identity left is found by nothing, also by what they never had.
  SELECT array_agg(r.subject), array_agg(r.category) INTO owners, kinds FROM (
    SELECT DISTINCT n.subject, needed.category
      FROM unnest(fields, subjects) AS n (field, subject) LEFT JOIN public.vault_lookup_fields() AS f USING (field)
     CROSS JOIN LATERAL unnest(ARRAY[1::smallint, f.category, f.joined]) AS needed (category)
     WHERE needed.category IS NOT NULL) AS r;
  -- A destruction waits for this transaction, and this one for a destruction: neither overlooks the other.
  PERFORM FROM unnest(owners, kinds) AS n (subject, category)
     JOIN public.vault_key k USING (subject, category) WHERE k.wrapped IS NOT NULL FOR SHARE OF k;
  IF EXISTS (SELECT FROM unnest(owners, kinds) AS n (subject, category)
               JOIN public.vault_key k USING (subject, category)
              GROUP BY n.subject, n.category HAVING bool_and(k.wrapped IS NULL)) THEN
    RAISE EXCEPTION 'a lookup would outlive its key' USING ERRCODE = 'CV001';
  END IF;
END $$;

-- Lookups of which no living key of a category they rest on is left: there are none, unless somebody put them there.
CREATE OR REPLACE FUNCTION vault_stray_lookups(wanted uuid[])
RETURNS TABLE (subject uuid, category smallint, found bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.subject, rests.category, count(*)
    FROM public.vault_lookup l CROSS JOIN LATERAL unnest(ARRAY[l.category, l.joined]) AS rests (category)
   WHERE l.subject = ANY (wanted) AND rests.category IS NOT NULL
     AND NOT EXISTS (SELECT FROM public.vault_key k WHERE k.subject = l.subject AND k.category = rests.category
                        AND k.wrapped IS NOT NULL)
   GROUP BY 1, 2
$$;

-- ``categories`` and ``joins`` are what the caller believes; vault_lookup_fields decides.
CREATE OR REPLACE FUNCTION vault_claim(
  fields smallint[], normal_form smallint, macs bytea[], subjects uuid[], categories smallint[])
RETURNS TABLE (mac bytea, subject uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  -- What may be shared has no owner to tell.
  IF EXISTS (SELECT FROM unnest(fields) AS n (field) WHERE n.field NOT IN (1, 2)) THEN
    RAISE EXCEPTION 'only what names one subject is claimed' USING ERRCODE = 'CV005';
  END IF;
  PERFORM public.vault_refuse_lookups_of_destroyed(fields, subjects);
  INSERT INTO public.vault_lookup (field, version, mac, subject, category)
  SELECT n.field, normal_form, n.mac, n.subject, rests.category
    FROM unnest(fields, macs, subjects) AS n (field, mac, subject)
   LEFT JOIN public.vault_lookup_fields() AS rests USING (field) ORDER BY n.field, n.mac
  ON CONFLICT DO NOTHING;
  -- After the insert, which has waited for a destruction under way: a destroyed member's number is nobody's.
  IF EXISTS (SELECT FROM public.vault_tombstone) THEN
    DELETE FROM public.vault_lookup l
     USING unnest(fields, macs) AS n (field, mac), public.vault_installation i, public.vault_tombstone t
     WHERE n.field = 1 AND (l.field, l.mac) = (n.field, n.mac) AND t.stone = sha256(i.tombstone_key || n.mac)
       AND t.ends_on >= (clock_timestamp() AT TIME ZONE 'Asia/Tokyo')::date;
  END IF;
  RETURN QUERY
    SELECT l.mac, l.subject FROM unnest(fields, macs) AS n (field, mac)
      JOIN public.vault_lookup l ON l.field = n.field AND l.version = normal_form AND l.mac = n.mac;
END $$;

CREATE OR REPLACE FUNCTION vault_lookups_add(
  fields smallint[], normal_form smallint, macs bytea[], subjects uuid[], categories smallint[], joins smallint[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM public.vault_refuse_lookups_of_destroyed(fields, subjects);
  INSERT INTO public.vault_lookup (field, version, mac, subject, category, joined)
  SELECT n.field, normal_form, n.mac, n.subject, rests.category, rests.joined
    FROM unnest(fields, macs, subjects) AS n (field, mac, subject)
   LEFT JOIN public.vault_lookup_fields() AS rests USING (field)
   ORDER BY n.field, n.mac, n.subject
  ON CONFLICT DO NOTHING;
END $$;

-- Who still has lookups of an older normal form: the next page of subjects, by their ids.
CREATE OR REPLACE FUNCTION vault_lookups_outdated(newest smallint, after uuid, most integer)
RETURNS TABLE (subject uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT l.subject FROM public.vault_lookup l WHERE l.version < newest AND l.subject > after
   ORDER BY l.subject LIMIT least(most, 1000)
$$;

-- Lookups of a newer normal form take the place of the older ones of their subjects, all or none. What names one
-- subject only stays as it is where somebody else has the new form: nobody is lost.
CREATE OR REPLACE FUNCTION vault_lookups_renew(
  fields smallint[], newest smallint, macs bytea[], owners uuid[], categories smallint[], joins smallint[],
  renewed uuid[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM public.vault_lookups_add(fields, newest, macs, owners, categories, joins);
  DELETE FROM public.vault_lookup l
   WHERE l.subject = ANY (renewed) AND l.version < newest
     AND (l.field NOT IN (1, 2) OR EXISTS (
           SELECT FROM public.vault_lookup n
            WHERE n.subject = l.subject AND n.field = l.field AND n.version = newest));
  -- What is of this version, may be shared, and is not among them: a value that is on file no longer.
  DELETE FROM public.vault_lookup l
   WHERE l.subject = ANY (renewed) AND l.version = newest AND l.field NOT IN (1, 2)
     AND NOT EXISTS (
           SELECT FROM unnest(fields, macs, owners) AS n (field, mac, owner)
            WHERE n.field = l.field AND n.mac = l.mac AND n.owner = l.subject);
END $$;

CREATE OR REPLACE FUNCTION vault_lookups_remove(fields smallint[], macs bytea[], owner_subject uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM public.vault_lookup l USING unnest(fields, macs) AS n (field, mac)
   WHERE l.field = n.field AND l.mac = n.mac AND l.subject = owner_subject
$$;

CREATE OR REPLACE FUNCTION vault_find(fields smallint[], macs bytea[], most integer)
RETURNS TABLE (subject uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT l.subject FROM unnest(fields, macs) AS n (field, mac)
    JOIN public.vault_lookup l ON l.field = n.field AND l.mac = n.mac
   ORDER BY l.subject LIMIT least(most, 100)
$$;

-- Whose these are, for as many as an import asks: only what names one subject, so that no list of telephones is tried.
CREATE OR REPLACE FUNCTION vault_owners(fields smallint[], macs bytea[])
RETURNS TABLE (mac bytea, subject uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.mac, l.subject FROM unnest(fields, macs) AS n (field, mac)
    JOIN public.vault_lookup l ON l.field = n.field AND l.mac = n.mac
   WHERE l.field IN (1, 2)
$$;

-- Which of these member numbers are those of destroyed members. By the number only, and never many: there is no list.
CREATE OR REPLACE FUNCTION vault_tombstones(macs bytea[])
RETURNS TABLE (mac bytea, destroyed_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF cardinality(macs) > 1000 THEN
    RAISE EXCEPTION 'at most 1000 member numbers are asked for at a time' USING ERRCODE = 'CV002';
  END IF;
  RETURN QUERY
    SELECT n.mac, t.destroyed_at FROM unnest(macs) AS n (mac) CROSS JOIN public.vault_installation i
      JOIN public.vault_tombstone t ON t.stone = sha256(i.tombstone_key || n.mac)
     WHERE t.ends_on >= (clock_timestamp() AT TIME ZONE 'Asia/Tokyo')::date;
END $$;

-- Stones whose time is over.
CREATE OR REPLACE FUNCTION vault_forget_tombstones() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH gone AS (
    DELETE FROM public.vault_tombstone WHERE ends_on < (clock_timestamp() AT TIME ZONE 'Asia/Tokyo')::date RETURNING 1)
  SELECT count(*) FROM gone
$$;
"""
