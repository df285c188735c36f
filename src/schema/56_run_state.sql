/*
 * The state of a run of an input, and how it begins.
 *
 * A run is many transactions. What is done in them is done by functions, and
 * the state of the run between two of them is a value that is handed from one
 * to the next.
 */

CREATE FUNCTION o365_msgtrace._scan_steps()
RETURNS bigint
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'o365_msgtrace_scan_steps';
COMMENT ON FUNCTION o365_msgtrace._scan_steps() IS 'internal: how many steps the scans of this session have made: the same number before and after means that there was none between';

-- What last_scan() returns, and at which step. That tells two scans apart which are alike in everything.
CREATE TYPE o365_msgtrace._scan_report AS (
    asked_from timestamptz,
    asked_to timestamptz,
    complete boolean,
    service_time_at_start timestamptz,
    requests bigint,
    retries bigint,
    pages bigint,
    bytes bigint,
    rows bigint,
    rejected bigint,
    waited interval,
    step bigint
);
COMMENT ON TYPE o365_msgtrace._scan_report IS 'internal: what last_scan() said';

CREATE TYPE o365_msgtrace._progress AS (
    verdict text,                -- started, skipped, wait or not due: see _begin_run(); failed: it could not
    scheduled boolean,           -- not by hand
    run_id bigint,
    started_at timestamptz,      -- of the run; the poll window is relative to it
    clock_offset interval,       -- of the service's clock, as far as it is known
    poll tstzrange,
    done tstzmultirange,         -- read in this run, or failed in it
    kind text,                   -- of the window to read now
    span tstzrange,              -- that window; NULL when nothing is left
    density double precision,    -- rows per second to expect in it
    extra_windows integer,       -- read after the poll window
    guarded boolean,             -- see _upsert_statement()
    drops_strays boolean,        -- from outside of the window, in spite of disable_time_filter
    former_scan o365_msgtrace._scan_report,  -- the last one before ours
    reading_since timestamptz,
    failures_in_a_row integer,
    stopped boolean,             -- no use to go on
    taken_over boolean,          -- another run is the current one
    cancelled boolean,           -- by a user, who does not mean this input alone
    sqlstate text,               -- the first error of the run
    message text,
    detail text,
    hint text
);
COMMENT ON TYPE o365_msgtrace._progress IS 'internal: the state of a run between two of its transactions';

CREATE FUNCTION o365_msgtrace._last_scan()
RETURNS o365_msgtrace._scan_report
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ROW(asked_from, asked_to, complete, service_time_at_start, requests, retries, pages, bytes, rows,
               rejected, waited, o365_msgtrace._scan_steps())::o365_msgtrace._scan_report
      FROM o365_msgtrace.last_scan()
$$;
COMMENT ON FUNCTION o365_msgtrace._last_scan() IS 'internal: last_scan() as one value';

-- Why an input may not run at all, or not here; NULL if it may.
CREATE FUNCTION o365_msgtrace._reason_to_skip(this o365_msgtrace.input)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN NOT (this).enabled THEN 'it is disabled'
           WHEN (this).environment <> coalesce(current_setting('o365_msgtrace.environment', true), '')
           THEN format('it is for environment "%s", and this is %s', (this).environment,
                       coalesce('"' || nullif(current_setting('o365_msgtrace.environment', true), '') || '"',
                                'none: o365_msgtrace.environment is not set')) END
$$;
COMMENT ON FUNCTION o365_msgtrace._reason_to_skip(o365_msgtrace.input) IS 'internal: why an input does not run';

/*
 * How long after the last of so many failures in a row an input is tried again:
 * at the next poll after one, then after two, four and more intervals, up to an
 * hour. Half a minute less, since no scheduler is on time to the second.
 */
CREATE FUNCTION o365_msgtrace._back_off(failures bigint, poll_interval integer)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN failures < 2 THEN interval '0'
           ELSE make_interval(mins => least(poll_interval * (1 << least(failures - 1, 6)::integer), greatest(60, poll_interval)))
                - interval '30 seconds' END
$$;
COMMENT ON FUNCTION o365_msgtrace._back_off(bigint, integer) IS 'internal: how long an input that fails is left alone';

/*
 * How many of the latest runs of an input have failed or were lost, a thousand at
 * most, and when the last one of them began. A run ends the row that succeeded, or
 * with `unless_read` one that has read something. They are walked from the latest
 * on: row security keeps the server from beginning at a run_id that it is given.
 */
CREATE FUNCTION o365_msgtrace._failures_in_a_row(input integer, unless_read boolean, OUT failures bigint, OUT latest timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run o365_msgtrace.run_record;
BEGIN
    failures := 0;
    FOR run IN SELECT r.* FROM o365_msgtrace.run_record r
                WHERE r.input_number BETWEEN input AND input AND r.state <> 'skipped'
                ORDER BY r.input_number DESC, r.run_id DESC LIMIT 1000
    LOOP
        EXIT WHEN run.state = 'succeeded' OR unless_read AND run.windows > 0;
        IF run.state <> 'running' OR NOT o365_msgtrace._run_is_alive(run) THEN
            failures := failures + 1;
            latest := greatest(latest, run.started_at);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._failures_in_a_row(integer, boolean) IS 'internal: the runs of an input that failed since one that did not';

/*
 * Why a scheduled run of an input comes too early; NULL if it does not. Failures
 * count as long as they are all of a run: where a run reads what it can and
 * fails at one window, waiting would only make what is read late.
 */
CREATE FUNCTION o365_msgtrace._reason_to_back_off(this o365_msgtrace.input)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('it has failed %s times in a row, and is tried again after %s UTC', f.failures, o365_msgtrace._utc(b.until))
      FROM o365_msgtrace._failures_in_a_row((this).input_number, true) f,
           LATERAL (SELECT f.latest + o365_msgtrace._back_off(f.failures, (this).poll_interval) AS until) b
     WHERE clock_timestamp() < b.until
$$;
COMMENT ON FUNCTION o365_msgtrace._reason_to_back_off(o365_msgtrace.input) IS 'internal: why a scheduled run does not begin after failures';

-- A run that did not begin: no error, since for a scheduler nothing is wrong.
CREATE FUNCTION o365_msgtrace._skip_run(this o365_msgtrace.input, reason text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run_id bigint;
BEGIN
    INSERT INTO o365_msgtrace.run_record AS r (input_number, state, finished_at, message)
    VALUES (this.input_number, 'skipped', clock_timestamp(), reason)
    RETURNING r.run_id INTO run_id;
    PERFORM o365_msgtrace._log_message(this, run_id, 'info', 'skipped: ' || reason);
    PERFORM o365_msgtrace._trim_runs(this);
    RAISE NOTICE 'input "%" was skipped: %', this.input_id, reason;
EXCEPTION WHEN foreign_key_violation THEN
    RAISE NOTICE 'input "%" was skipped: it was dropped', this.input_id;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._skip_run(o365_msgtrace.input, text) IS 'internal: record a run that did not begin';

/*
 * Begin a run, or say why not: 'started', 'skipped', or 'wait' when another run
 * holds no lock but seems to be just between two of its transactions. On the
 * last try it is taken for dead. If it was not, no harm is done: it will find
 * that it is no longer the current one, and stop.
 *
 * Whether an input is due is asked with its lock held, so that two schedulers run
 * it once: 'not due' leaves no record. Without the lock and without a run to be
 * seen, somebody is just beginning one.
 */
CREATE FUNCTION o365_msgtrace._begin_run(this o365_msgtrace.input, scheduled boolean, last_try boolean,
    only_if_due boolean DEFAULT false)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    has_lock boolean := pg_try_advisory_xact_lock(o365_msgtrace._lock_class(), this.input_number);
    former o365_msgtrace.run_record;
    reason text := o365_msgtrace._reason_to_skip(this);
    progress o365_msgtrace._progress;
BEGIN
    SELECT * INTO former FROM o365_msgtrace.run_record r
     WHERE r.input_number = this.input_number AND r.state = 'running' ORDER BY r.run_id DESC LIMIT 1;

    IF only_if_due AND (NOT o365_msgtrace._is_due(this) OR NOT has_lock AND former.run_id IS NULL) THEN
        progress.verdict := 'not due';
        RETURN progress;
    END IF;
    IF NOT has_lock THEN
        reason := CASE WHEN former.run_id IS NOT NULL AND o365_msgtrace._run_is_alive(former)
                  THEN format('it is already running: run %s, process %s', former.run_id, former.pid)
                  ELSE 'another session changes it, or begins to run it' END;
    ELSIF NOT EXISTS (SELECT FROM o365_msgtrace.input i WHERE i.input_number = this.input_number) THEN
        reason := 'it was dropped';
    END IF;
    IF reason IS NOT NULL THEN
        progress.verdict := 'skipped';
        PERFORM o365_msgtrace._skip_run(this, reason);
        RETURN progress;
    END IF;
    IF former.run_id IS NOT NULL AND NOT last_try AND o365_msgtrace._run_is_alive(former) THEN
        progress.verdict := 'wait';
        RETURN progress;
    END IF;

    UPDATE o365_msgtrace.run_record r
       SET state = 'lost', finished_at = clock_timestamp(), message = 'its backend ended before the run did'
     WHERE r.input_number = this.input_number AND r.state = 'running';
    reason := CASE WHEN scheduled THEN o365_msgtrace._reason_to_back_off(this) END;
    IF reason IS NOT NULL THEN
        progress.verdict := 'skipped';
        PERFORM o365_msgtrace._skip_run(this, reason);
        RETURN progress;
    END IF;
    progress.verdict := 'started';
    progress.scheduled := scheduled;
    progress.done := '{}';
    progress.extra_windows := 0;
    progress.failures_in_a_row := 0;
    progress.stopped := false;
    progress.taken_over := false;
    progress.cancelled := false;
    progress.drops_strays := false;
    progress.guarded := o365_msgtrace._source_option(this.source, 'normalize', 'true')::boolean IS FALSE;
    SELECT l.clock_offset INTO progress.clock_offset FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number;
    INSERT INTO o365_msgtrace.run_record (input_number, state) VALUES (this.input_number, 'running')
    RETURNING run_id, started_at INTO progress.run_id, progress.started_at;
    PERFORM o365_msgtrace._log_message(this, progress.run_id, 'info', CASE WHEN scheduled THEN 'began as scheduled' ELSE 'began by hand' END);
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._begin_run(o365_msgtrace.input, boolean, boolean, boolean) IS 'internal: the first transaction of a run';
