"""What the vault remembers of the console it serves: functions and triggers, laid by ``sql.py`` with everything else.

What can go wrong, and why here it cannot: a console that was restored from a backup could open, freeze, thaw and
destroy by what it has forgotten. The vault compares what each call says of the console with what it has noted, and
hears nobody who does not hold what it was told last; marks and identities are only ever added, and a frozen key
remembers for which hold it was frozen.
"""

FUNCTIONS = """
-- ``told`` is what the console says of itself: database, system, timeline, restore epoch; the sequence of the newest
-- ledger event that is committed there (NULL while there is none); the sequence of the newest mark as the vault gave it
-- when the console asked (NULL: there was none); and what the console noted that the vault was told (NULL: nothing).
-- ``events`` are what the console holds under the first two sequences.
CREATE OR REPLACE FUNCTION vault_hear(told bigint[], events uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  noted public.vault_consoleidentity;
BEGIN
  IF told IS NULL THEN
    RETURN;
  END IF;
  IF cardinality(told) <> 7 OR cardinality(events) IS DISTINCT FROM 2 THEN
    RAISE EXCEPTION 'a console says seven things of itself, and two events' USING ERRCODE = 'CV005';
  END IF;
  SELECT * INTO noted FROM public.vault_consoleidentity ORDER BY id DESC LIMIT 1;
  IF noted.id IS NULL THEN
    RETURN;
  END IF;
  IF (noted.database, noted.system, noted.timeline::bigint, noted.restore_epoch::bigint)
     IS DISTINCT FROM (told[1], told[2], told[3], told[4]) THEN
    RAISE EXCEPTION 'this console is not the one that the vault serves' USING ERRCODE = 'CV006';
  END IF;
  -- It counts what the console holds, not what it tells: another session may have told more since this one asked, or
  -- made the first mark. Whatever was told then, this console holds, or it was restored.
  IF told[6] IS NOT NULL AND NOT EXISTS (SELECT FROM public.vault_consolemark m WHERE m.identity_id = noted.id
                                            AND m.sequence = told[6] AND m.event = events[2]) THEN
    RAISE EXCEPTION 'this console does not hold what the vault was told' USING ERRCODE = 'CV006';
  END IF;
  IF told[7] > coalesce((SELECT max(m.sequence) FROM public.vault_consolemark m WHERE m.identity_id = noted.id), 0) THEN
    RAISE EXCEPTION 'this vault has forgotten what it was told' USING ERRCODE = 'CV006';
  END IF;
  IF told[5] IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO public.vault_consolemark (identity_id, at, sequence, event)
  VALUES (noted.id, clock_timestamp(), told[5], events[1]) ON CONFLICT DO NOTHING;
  IF NOT FOUND AND EXISTS (SELECT FROM public.vault_consolemark m WHERE m.identity_id = noted.id
                              AND m.sequence = told[5] AND m.event <> events[1]) THEN
    RAISE EXCEPTION 'the vault was told of another event under this sequence' USING ERRCODE = 'CV006';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION vault_tell(told bigint[], events uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT public.vault_hear(told, events)
$$;

-- What the vault remembers of the console it serves, and what it is itself: one row, without the first eight columns
-- as long as nobody noted a console.
CREATE OR REPLACE FUNCTION vault_console()
RETURNS TABLE (database bigint, system bigint, timeline bigint, restore_epoch bigint,
               told_sequence bigint, told_event uuid, told_at timestamptz, destroyed_plan bytea,
               own_database bigint, own_system bigint, own_timeline bigint, own_epoch bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT n.database, n.system, n.timeline, n.restore_epoch, m.sequence, m.event, m.at, d.plan_hash,
         (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
         (SELECT system_identifier FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),
         i.restore_epoch
    FROM public.vault_installation i
    LEFT JOIN LATERAL (SELECT * FROM public.vault_consoleidentity ORDER BY id DESC LIMIT 1) n ON true
    LEFT JOIN LATERAL (SELECT * FROM public.vault_consolemark WHERE identity_id = n.id
                        ORDER BY sequence DESC LIMIT 1) m ON true
    LEFT JOIN LATERAL (SELECT plan_hash FROM public.vault_destroyrecord
                        WHERE id > n.destroyed_before AND destroyed > 0 ORDER BY id DESC LIMIT 1) d ON true
$$;

-- From now on the vault serves this console. ``again``: the vault itself was restored, and counts it.
CREATE OR REPLACE FUNCTION vault_note_console(told bigint[], again boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM public.vault_consoleidentity n WHERE n.restore_epoch > told[4]) THEN
    RAISE EXCEPTION 'a restore epoch never goes back' USING ERRCODE = 'CV005';
  END IF;
  INSERT INTO public.vault_consoleidentity
         (noted_at, database, system, timeline, restore_epoch, destroyed_before)
  SELECT clock_timestamp(), told[1], told[2], told[3], told[4], coalesce(max(r.id), 0)
    FROM public.vault_destroyrecord r;
  IF again THEN
    UPDATE public.vault_installation SET restore_epoch = restore_epoch + 1;
  END IF;
END $$;

-- Every subject with frozen keys: how many, since when, and for which holds (none: frozen before the vault noted them).
CREATE OR REPLACE FUNCTION vault_frozen(wanted uuid[] DEFAULT NULL)
RETURNS TABLE (subject uuid, keys bigint, holds uuid[], since timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.subject, k.keys, coalesce(h.holds, '{}'), h.since
    FROM (SELECT k.subject, count(*) AS keys FROM public.vault_key k
           WHERE k.frozen AND (wanted IS NULL OR k.subject = ANY (wanted)) GROUP BY 1) k
    LEFT JOIN LATERAL (SELECT array_agg(s.hold ORDER BY s.id) AS holds, min(s.frozen_at) AS since
                         FROM public.vault_heldsubject s
                        WHERE s.subject = k.subject AND s.thawed_at IS NULL) h ON true
   ORDER BY k.subject
$$;

-- What happened here since, of which a restored console may know nothing. The marks of the console that is served
-- now, newest first: the first that the console holds tells since when.
CREATE OR REPLACE FUNCTION vault_marks(below bigint, most integer)
RETURNS TABLE (sequence bigint, event uuid, at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT m.sequence, m.event, m.at FROM public.vault_consolemark m
   WHERE m.identity_id = (SELECT max(id) FROM public.vault_consoleidentity) AND m.sequence < below
   ORDER BY m.sequence DESC LIMIT least(most, 10000)
$$;
CREATE OR REPLACE FUNCTION vault_events_fetched(since timestamptz)
RETURNS TABLE (event uuid, subjects uuid[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.event, r.subjects FROM public.vault_fetchrecord r WHERE r.at > since ORDER BY r.id
$$;
CREATE OR REPLACE FUNCTION vault_subjects_made(since timestamptz)
RETURNS TABLE (subject uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT k.subject FROM public.vault_key k WHERE k.created > since
$$;
"""

TRIGGERS = """
CREATE OR REPLACE TRIGGER vault_consoleidentity_append BEFORE UPDATE OR DELETE OR TRUNCATE ON vault_consoleidentity
  FOR EACH STATEMENT EXECUTE FUNCTION vault_refuse();
CREATE OR REPLACE TRIGGER vault_consolemark_append BEFORE UPDATE OR DELETE OR TRUNCATE ON vault_consolemark
  FOR EACH STATEMENT EXECUTE FUNCTION vault_refuse();
CREATE OR REPLACE TRIGGER vault_heldsubject_stays BEFORE DELETE OR TRUNCATE ON vault_heldsubject
  FOR EACH STATEMENT EXECUTE FUNCTION vault_refuse();
"""
