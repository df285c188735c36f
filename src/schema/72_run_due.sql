/*
 * run_due(): every input whose time has come, one after the other, for one job of
 * any scheduler that calls it each minute.
 */

/*
 * A moment of the input's own schedule has passed since its last run began. A run
 * that was skipped counts: else one that backs off would be tried, and recorded,
 * each minute. A run of the future was dated by a clock that was ahead.
 */
CREATE FUNCTION o365_msgtrace._is_due(this o365_msgtrace.input, at timestamptz DEFAULT clock_timestamp())
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(r.started_at > at OR r.started_at
                    < o365_msgtrace._tick(o365_msgtrace._cron_schedule((this).input_id, (this).poll_interval, (this).stagger), at), true)
      FROM o365_msgtrace._last_record((this).input_number) r
$$;
COMMENT ON FUNCTION o365_msgtrace._is_due(o365_msgtrace.input, timestamptz) IS 'internal: whether it is time for a run of an input';

-- The longest idle first. What may not run here is left out: it would be recorded each minute.
CREATE FUNCTION o365_msgtrace._due_inputs()
RETURNS integer[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT i.input_number
                   FROM o365_msgtrace.input i
                  WHERE i.owner = current_user AND o365_msgtrace._reason_to_skip(i) IS NULL AND o365_msgtrace._is_due(i)
                  ORDER BY (o365_msgtrace._last_record(i.input_number)).run_id NULLS FIRST,
                        i.input_number)
$$;
COMMENT ON FUNCTION o365_msgtrace._due_inputs() IS 'internal: the inputs of the current role that are due';

-- It may have been dropped, or given away, while others ran.
CREATE FUNCTION o365_msgtrace._input_of_number(wanted integer)
RETURNS o365_msgtrace.input
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i FROM o365_msgtrace.input i WHERE i.input_number = wanted AND i.owner = current_user
$$;
COMMENT ON FUNCTION o365_msgtrace._input_of_number(integer) IS 'internal: an input as it is now; NULL if it is not there any more';

-- One error for all: the scheduler has to see that something failed. The code is that of the first.
CREATE FUNCTION o365_msgtrace._raise_failures(tried integer, names text[], codes text[], messages text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(names) > 0 THEN
        RAISE EXCEPTION '% of % inputs failed: %', cardinality(names), tried,
                (SELECT string_agg(format('"%s"', n.name), ', ' ORDER BY n.nth) FROM unnest(names) WITH ORDINALITY n (name, nth))
            USING ERRCODE = codes[1],
                DETAIL = (SELECT string_agg(format('"%s": %s', m.name, left(m.message, 500)), E'\n' ORDER BY m.nth)
                            FROM unnest(names, messages) WITH ORDINALITY m (name, message, nth) WHERE m.nth <= 20),
                HINT = 'The others were run. Details and hints are in o365_msgtrace.run_log.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._raise_failures(integer, text[], text[], text[]) IS 'internal: the error that names inputs which failed';

/*
 * Neither SECURITY DEFINER nor a SET clause, as with run(). A user's cancel ends
 * all of it; the job_timeout of an input ends its own run only.
 */
CREATE PROCEDURE o365_msgtrace.run_due()
LANGUAGE plpgsql
AS $$
DECLARE
    due integer;
    this o365_msgtrace.input;
    progress o365_msgtrace._progress;
    tried integer := 0;
    names text[] := '{}';
    codes text[] := '{}';
    messages text[] := '{}';
BEGIN
    PERFORM o365_msgtrace._set_transaction();
    IF NOT o365_msgtrace._may_commit('run_due', 'no input was run') THEN
        RETURN;
    END IF;
    FOREACH due IN ARRAY o365_msgtrace._due_inputs() LOOP
        this := o365_msgtrace._input_of_number(due);
        CONTINUE WHEN this.input_number IS NULL;
        CALL o365_msgtrace._run(this, true, progress, true);
        IF progress.cancelled THEN
            PERFORM o365_msgtrace._raise_failure(this, progress);
        ELSIF progress.sqlstate IS NOT NULL THEN
            names := pg_catalog.array_append(names, this.input_id);
            codes := pg_catalog.array_append(codes, progress.sqlstate);
            messages := pg_catalog.array_append(messages, progress.message);
        END IF;
        IF progress.verdict IN ('started', 'failed') THEN
            tried := tried + 1;
        END IF;
    END LOOP;
    PERFORM o365_msgtrace._raise_failures(tried, names, codes, messages);
END
$$;
COMMENT ON PROCEDURE o365_msgtrace.run_due() IS
'run those inputs of the current role that are due, one after the other, each as run(input_id, scheduled => true): for one job of pg_cron, a systemd timer or cron that calls it each minute. An input is due when a moment of its schedule (every poll_interval minutes, from its own minute, in UTC) has passed since its last run began; one that never ran is due at once. Inputs that are disabled or meant for another environment are left out. One that fails stops no other; at the end one error names those that failed, and run_log has the details. job_timeout is each input''s own. Two calls at once do not run an input twice. On a standby it says so and does nothing. Errors: 25001 in a transaction block, and that of the first input that failed';
