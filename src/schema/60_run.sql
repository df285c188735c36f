/*
 * A run of an input: many transactions, each of which reads one window and
 * commits its rows together with the ledger, so that a crash at any moment loses
 * nothing and repeats nothing.
 *
 * The procedure only keeps the transactions apart; what happens in them is done
 * by the functions above it. The state of a run between two transactions is a
 * value that is handed from one function to the next.
 */

-- What last_scan() returns.
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
    waited interval
);
COMMENT ON TYPE o365_msgtrace._scan_report IS 'internal: what last_scan() said';

CREATE TYPE o365_msgtrace._progress AS (
    verdict text,                -- started, skipped or wait: see _begin_run()
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
    former_scan o365_msgtrace._scan_report,  -- the last one before ours
    reading_since timestamptz,
    failures_in_a_row integer,
    stopped boolean,             -- no use to go on
    taken_over boolean,          -- another run is the current one
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
               rejected, waited)::o365_msgtrace._scan_report
      FROM o365_msgtrace.last_scan()
$$;
COMMENT ON FUNCTION o365_msgtrace._last_scan() IS 'internal: last_scan() as one value';

/*
 * Begin a run, or say why not: 'started', 'skipped', or 'wait' when another run
 * holds no lock but seems to be just between two of its transactions. On the
 * last try it is taken for dead. If it was not, no harm is done: it will find
 * that it is no longer the current one, and stop.
 */
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

-- A run that did not begin: no error, since for a scheduler nothing is wrong.
CREATE FUNCTION o365_msgtrace._skip_run(this o365_msgtrace.input, reason text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO o365_msgtrace.run_record (input_number, state, finished_at, message)
    VALUES (this.input_number, 'skipped', clock_timestamp(), reason);
    RAISE NOTICE 'input "%" was skipped: %', this.input_id, reason;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._skip_run(o365_msgtrace.input, text) IS 'internal: record a run that did not begin';

CREATE FUNCTION o365_msgtrace._begin_run(this o365_msgtrace.input, last_try boolean)
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

    IF NOT has_lock THEN
        reason := format('it is already running: run %s, process %s', coalesce(former.run_id::text, '?'), coalesce(former.pid::text, '?'));
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
    progress.verdict := 'started';
    progress.done := '{}';
    progress.extra_windows := 0;
    progress.failures_in_a_row := 0;
    progress.stopped := false;
    progress.taken_over := false;
    progress.guarded := o365_msgtrace._source_option(this.source, 'normalize', 'true')::boolean IS FALSE;
    SELECT l.clock_offset INTO progress.clock_offset FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number;
    INSERT INTO o365_msgtrace.run_record (input_number, state) VALUES (this.input_number, 'running')
    RETURNING run_id, started_at INTO progress.run_id, progress.started_at;
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._begin_run(o365_msgtrace.input, boolean) IS 'internal: the first transaction of a run';

/*
 * Rows per second, as far as is known. As long as that was never seen it is
 * taken for so high that a window has a quarter of an hour at most; the windows
 * grow from there, fourfold each time.
 */
CREATE FUNCTION o365_msgtrace._expected_density(seen double precision, source regclass)
RETURNS double precision
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(seen, greatest(o365_msgtrace._source_option(source, 'rows_per_day', '100000')::double precision / 86400,
                                   10 * o365_msgtrace._page_size(source) / 900.0))
$$;
COMMENT ON FUNCTION o365_msgtrace._expected_density(double precision, regclass) IS 'internal: rows per second to expect in the next window';

-- How many requests the run may still begin windows for; NULL if there is no limit.
CREATE FUNCTION o365_msgtrace._requests_left(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT nullif((this).max_requests, 0) - r.requests FROM o365_msgtrace.run_record r WHERE r.run_id = (progress).run_id
$$;
COMMENT ON FUNCTION o365_msgtrace._requests_left(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: what max_requests leaves to a run';

/*
 * Open the next transaction of a run: wait for the lock (only a run that asks
 * whether this one is alive can hold it), see that this run is still the current
 * one, and choose what to read.
 */
CREATE FUNCTION o365_msgtrace._next_step(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    service_time timestamptz := clock_timestamp() + progress.clock_offset;
    poll tstzrange := o365_msgtrace._poll_window(this.date_range_start, this.date_range_end,
                                                 progress.started_at + progress.clock_offset);
    ledger o365_msgtrace.ledger;
BEGIN
    progress.span := NULL;
    IF NOT o365_msgtrace._is_current(this, progress) THEN
        progress.taken_over := true;
        RETURN progress;
    END IF;

    IF poll IS DISTINCT FROM progress.poll THEN
        -- Not with each window: what the service clamped away must not come back.
        progress.poll := poll;
        UPDATE o365_msgtrace.ledger l SET wanted = o365_msgtrace._grow_wanted(l.wanted, poll)
         WHERE l.input_number = this.input_number;
        UPDATE o365_msgtrace.run_record r SET window_start = lower(poll), window_end = upper(poll)
         WHERE r.run_id = progress.run_id;
    END IF;

    SELECT * INTO ledger FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number;
    progress.density := o365_msgtrace._expected_density(ledger.density, this.source);
    -- Two seconds less are due than are old enough: what the clocks differ by shall leave no splinter.
    SELECT w.kind, w.span INTO progress.kind, progress.span
      FROM o365_msgtrace._next_window(ledger, poll,
               o365_msgtrace._held(o365_msgtrace._api(this.source), service_time),
               o365_msgtrace._whole_second(o365_msgtrace._earlier(service_time - interval '2 seconds', this.settle_after)), progress.done,
               o365_msgtrace._window_length(progress.density, o365_msgtrace._page_size(this.source),
                                            o365_msgtrace._requests_left(this, progress))) w;

    -- When the next run is due, leave the rest to it: it polls first.
    IF progress.kind <> 'poll' AND progress.extra_windows > 0
        AND clock_timestamp() >= progress.started_at + make_interval(mins => this.poll_interval) THEN
        progress.span := NULL;
    END IF;
    IF o365_msgtrace._requests_left(this, progress) <= 0 THEN
        progress.span := NULL;
    END IF;
    progress.former_scan := o365_msgtrace._last_scan();
    progress.reading_since := clock_timestamp();
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._next_step(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: choose the next window of a run';

-- Take the run's lock until the end of the transaction; is the run still the current one, and the role still its owner?
CREATE FUNCTION o365_msgtrace._is_current(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(o365_msgtrace._lock_class(), this.input_number);
    RETURN this.owner = current_user
        AND EXISTS (SELECT FROM o365_msgtrace.run_record r WHERE r.run_id = progress.run_id AND r.state = 'running');
END
$$;
COMMENT ON FUNCTION o365_msgtrace._is_current(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: lock an input for its run';

/*
 * Read a window into the target. The statement runs with the owner's
 * search_path, for the types and triggers of his table, after pg_catalog; the
 * path is not pinned here for that reason.
 */
CREATE FUNCTION o365_msgtrace._read_window(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
AS $$
DECLARE
    statement text := o365_msgtrace._upsert_statement(this, progress.guarded);
    rows_new bigint := 0;
    rows_changed bigint := 0;
    is_new boolean;
BEGIN
    PERFORM o365_msgtrace._use_path_of(this);
    FOR is_new IN EXECUTE statement
        USING o365_msgtrace._tenant_label(this.source), this.input_id, progress.run_id,
              o365_msgtrace._full_name(this.source), pg_catalog.clock_timestamp(),
              pg_catalog.lower(progress.span), pg_catalog.upper(progress.span)
    LOOP
        IF is_new THEN
            rows_new := rows_new + 1;
        ELSE
            rows_changed := rows_changed + 1;
        END IF;
    END LOOP;
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    RETURN o365_msgtrace._book_window(this, progress, rows_new, rows_changed);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._read_window(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: copy a window';

-- The part of the window that was asked for; empty if the scan had nothing to ask, or there was none.
CREATE FUNCTION o365_msgtrace._asked(report o365_msgtrace._scan_report, progress o365_msgtrace._progress)
RETURNS tstzrange
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN report IS DISTINCT FROM (progress).former_scan AND (report).asked_from < (report).asked_to
           THEN tstzrange((report).asked_from, (report).asked_to) * (progress).span
           ELSE 'empty' END
$$;
COMMENT ON FUNCTION o365_msgtrace._asked(o365_msgtrace._scan_report, o365_msgtrace._progress) IS 'internal: what a reading asked for';

/*
 * The service's clock was read at some moment between the beginning and the end
 * of the reading, which bounds its offset. What is known already is kept as long
 * as it fits to a second: the service tells its time no finer. Else rather too
 * much than too little, since the scan takes away what is in the future.
 */
CREATE FUNCTION o365_msgtrace._learn_clock(progress o365_msgtrace._progress, service_time timestamptz)
RETURNS interval
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN service_time IS NULL
                  OR (progress).clock_offset BETWEEN service_time - clock_timestamp() - interval '1 second'
                                                 AND service_time - (progress).reading_since + interval '1 second'
           THEN (progress).clock_offset
           ELSE service_time - (progress).reading_since + interval '1 second' END
$$;
COMMENT ON FUNCTION o365_msgtrace._learn_clock(o365_msgtrace._progress, timestamptz) IS 'internal: how far the service''s clock is ahead of ours';

/*
 * Does the target hold rows of this window that the service no longer sends?
 * Asked where something was read before and the window would now be settled. All
 * rows of the reading are in the target by now, so more rows there than were
 * read tell it. Rows first written by another input do not count: it may read
 * more of the tenant's mail than this one does. Nothing can be told where a
 * filter or a pipeline decides which rows are written, since it may decide anew.
 */
CREATE FUNCTION o365_msgtrace._rows_absent(this o365_msgtrace.input, ledger o365_msgtrace.ledger, asked tstzrange,
    settle_before timestamptz, rows_read bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rows_held bigint;
BEGIN
    IF this.filter IS NOT NULL OR this.pipeline IS NOT NULL
        OR isempty(ledger.covered * tstzmultirange(asked * tstzrange(NULL, settle_before))) THEN
        RETURN false;
    END IF;
    EXECUTE o365_msgtrace._count_statement(this.target) INTO rows_held
      USING o365_msgtrace._tenant_label(this.source), this.input_id, lower(asked), upper(asked);
    RETURN rows_held > rows_read;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._rows_absent(o365_msgtrace.input, o365_msgtrace.ledger, tstzrange, timestamptz, bigint) IS
'internal: whether rows of the target were missing in a reading';

-- Add a scan's costs to the record of the run.
CREATE FUNCTION o365_msgtrace._count_scan(progress o365_msgtrace._progress, report o365_msgtrace._scan_report)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE o365_msgtrace.run_record r
       SET requests = r.requests + coalesce((report).requests, 0), retries = r.retries + coalesce((report).retries, 0),
           pages = r.pages + coalesce((report).pages, 0), bytes = r.bytes + coalesce((report).bytes, 0),
           rows_rejected = r.rows_rejected + coalesce((report).rejected, 0),
           waited = r.waited + coalesce((report).waited, interval '0')
     WHERE r.run_id = (progress).run_id AND report IS DISTINCT FROM (progress).former_scan
$$;
COMMENT ON FUNCTION o365_msgtrace._count_scan(o365_msgtrace._progress, o365_msgtrace._scan_report) IS 'internal: add up what a run costs';

/*
 * Enter a reading into the ledger. It believes the scan's own report only: what
 * was asked for, after all clamping, and whether it was read to the end.
 */
CREATE FUNCTION o365_msgtrace._book_window(this o365_msgtrace.input, progress o365_msgtrace._progress,
    rows_new bigint, rows_changed bigint)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    report o365_msgtrace._scan_report := o365_msgtrace._last_scan();
    asked tstzrange := o365_msgtrace._asked(report, progress);
    settle_before timestamptz := o365_msgtrace._whole_second(
        o365_msgtrace._earlier(report.service_time_at_start, this.settle_after));
    ledger o365_msgtrace.ledger;
BEGIN
    IF NOT isempty(asked) AND report.complete IS NOT TRUE THEN
        RAISE EXCEPTION 'the service''s answer was not read to its end'
            USING ERRCODE = 'fdw_error',
                DETAIL = format('The window from %s to %s UTC was asked for.', o365_msgtrace._utc(lower(asked)), o365_msgtrace._utc(upper(asked))),
                HINT = 'Look for triggers on the target that end the statement early.';
    END IF;

    -- Others may add to what is wanted while we read: not before now is it time to look.
    SELECT * INTO ledger FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number FOR UPDATE;
    ledger := o365_msgtrace._after_reading(ledger, asked, settle_before,
                  o365_msgtrace._rows_absent(this, ledger, asked, settle_before, report.rows));
    progress.clock_offset := o365_msgtrace._learn_clock(progress, report.service_time_at_start);
    -- The service's time ends where it clamped the window: nothing is wanted from beyond that yet.
    IF upper(asked) < upper(progress.span) THEN
        ledger.wanted := ledger.wanted - tstzmultirange(tstzrange(upper(asked), upper(progress.span)));
    END IF;
    UPDATE o365_msgtrace.ledger l
       SET wanted = ledger.wanted, covered = ledger.covered, settled = ledger.settled,
           absent_once = ledger.absent_once, absent_twice = ledger.absent_twice, flagged = ledger.flagged,
           density = coalesce(o365_msgtrace._next_density(progress.density, report.rows, asked), l.density),
           clock_offset = progress.clock_offset
     WHERE l.input_number = this.input_number;

    IF report.rejected > 0 AND report IS DISTINCT FROM progress.former_scan THEN
        INSERT INTO o365_msgtrace.rejected_record AS r
               (input_id, run_id, message_trace_id, recipient_address, received, field, reason, raw, digest)
        SELECT this.input_id, progress.run_id, l.message_trace_id, l.recipient_address, l.received, l.field,
               l.reason, l.raw, l.digest
          FROM o365_msgtrace._last_rejected() l
            ON CONFLICT ON CONSTRAINT rejected_record_pkey DO NOTHING;
    END IF;

    PERFORM o365_msgtrace._count_scan(progress, report);
    UPDATE o365_msgtrace.run_record r
       SET windows = r.windows + CASE WHEN isempty(asked) THEN 0 ELSE 1 END, rows_in = r.rows_in + coalesce(report.rows, 0),
           rows_new = r.rows_new + _book_window.rows_new, rows_changed = r.rows_changed + _book_window.rows_changed
     WHERE r.run_id = progress.run_id;

    progress.done := progress.done + tstzmultirange(progress.span);
    progress.failures_in_a_row := 0;
    IF progress.kind <> 'poll' THEN
        progress.extra_windows := progress.extra_windows + 1;
    END IF;
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._book_window(o365_msgtrace.input, o365_msgtrace._progress, bigint, bigint) IS 'internal: enter a window into the ledger';

/*
 * A failed window is left out for the rest of the run, so that one page that
 * cannot be read does not keep the run from everything else. But it is no use to
 * go on where the next window must fail for the same reason (no connection, a
 * refused sign-in, no privilege, a wrong target, no space, a cancel), nor after
 * three failures in a row.
 */
CREATE FUNCTION o365_msgtrace._note_failure(this o365_msgtrace.input, progress o365_msgtrace._progress,
    state text, message text, detail text, hint text)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM o365_msgtrace._count_scan(progress, o365_msgtrace._last_scan());
    -- The same key twice: once more, with one row taken of each.
    IF state = '21000' AND NOT progress.guarded THEN
        progress.guarded := true;
        RETURN progress;
    END IF;

    IF progress.sqlstate IS NULL THEN
        progress.sqlstate := state;
        progress.message := message;
        progress.detail := nullif(detail, '');
        progress.hint := nullif(hint, '');
        UPDATE o365_msgtrace.run_record r
           SET sqlstate = progress.sqlstate, message = progress.message, detail = progress.detail, hint = progress.hint
         WHERE r.run_id = progress.run_id;
    END IF;
    progress.done := progress.done + tstzmultirange(progress.span);
    progress.failures_in_a_row := progress.failures_in_a_row + 1;
    progress.stopped := progress.failures_in_a_row >= 3
        OR left(state, 2) NOT IN ('08', '21', '22', '23', 'HV', 'P0')
        OR state IN ('08001', '08004');
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._note_failure(o365_msgtrace.input, o365_msgtrace._progress, text, text, text, text) IS
'internal: record an error of a run';

CREATE FUNCTION o365_msgtrace._end_run(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run o365_msgtrace.run_record;
BEGIN
    UPDATE o365_msgtrace.run_record r
       SET state = CASE WHEN progress.sqlstate IS NULL THEN 'succeeded' ELSE 'failed' END,
           finished_at = clock_timestamp()
     WHERE r.run_id = progress.run_id AND r.state = 'running'
    RETURNING r.* INTO run;
    IF FOUND AND run.state = 'succeeded' THEN
        RAISE NOTICE 'input "%": read % rows in % windows (% new, % changed), % requests',
            this.input_id, run.rows_in, run.windows, run.rows_new, run.rows_changed, run.requests;
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._end_run(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: the last transaction of a run';

CREATE FUNCTION o365_msgtrace._in_transaction_block()
RETURNS boolean
LANGUAGE C STRICT VOLATILE
AS 'MODULE_PATHNAME', 'o365_msgtrace_in_transaction_block';
COMMENT ON FUNCTION o365_msgtrace._in_transaction_block() IS 'internal: whether COMMIT would be refused';

/*
 * Settings of a transaction of a run. The ingest is bounded by its windows, not
 * by max_requests_per_query, and leaves the right of way to queries. Its
 * statements are too short for the JIT compiler to be worth its time.
 */
CREATE FUNCTION o365_msgtrace._set_transaction()
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
           pg_catalog.set_config('o365_msgtrace.max_requests_per_query', '0', true),
           pg_catalog.set_config('jit', 'off', true);
    SELECT pg_catalog.set_config('o365_msgtrace.request_class', 'batch', true)
     WHERE pg_catalog.current_setting('o365_msgtrace.request_class', true) IS NOT NULL;
$$;
COMMENT ON FUNCTION o365_msgtrace._set_transaction() IS 'internal: settings of each transaction of a run';

/*
 * Neither SECURITY DEFINER nor a SET clause: either would forbid COMMIT. So each
 * transaction begins by pinning the search_path, before anything that could
 * depend on it, and by READ COMMITTED, whatever the session's default is: what
 * is read after waiting for the lock must be newer than the lock.
 */
CREATE PROCEDURE o365_msgtrace.run(input_id text)
LANGUAGE plpgsql
AS $$
DECLARE
    this o365_msgtrace.input;
    progress o365_msgtrace._progress;
    e_state text;
    e_message text;
    e_detail text;
    e_hint text;
BEGIN
    PERFORM o365_msgtrace._set_transaction();
    IF pg_is_in_recovery() THEN
        RAISE WARNING 'input "%" was not run: the server is in recovery', run.input_id
            USING DETAIL = 'A standby can be queried, but nothing can be written to it.',
                HINT = 'Inputs run on the primary server.';
        RETURN;
    END IF;
    IF o365_msgtrace._in_transaction_block() THEN
        RAISE EXCEPTION 'CALL o365_msgtrace.run() cannot run inside a transaction block'
            USING ERRCODE = 'active_sql_transaction',
                DETAIL = 'It commits after each window that it has read.',
                HINT = 'COMMIT or ROLLBACK first; a client in manual-commit mode must be in autocommit mode.';
    END IF;
    this := o365_msgtrace._own_input(run.input_id);

    FOR attempt IN 1..20 LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        PERFORM o365_msgtrace._set_transaction();
        progress := o365_msgtrace._begin_run(this, attempt = 20);
        EXIT WHEN progress.verdict <> 'wait';
        PERFORM pg_sleep(0.01);
    END LOOP;
    IF progress.verdict = 'skipped' THEN
        RETURN;
    END IF;

    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        PERFORM o365_msgtrace._set_transaction();
        progress := o365_msgtrace._next_step(this, progress);
        EXIT WHEN progress.span IS NULL;
        -- COMMIT is refused in a block that catches errors, so this one has the reading only.
        BEGIN
            PERFORM o365_msgtrace._check_source(this.source);
            PERFORM o365_msgtrace._check_pipeline(this);
            PERFORM o365_msgtrace._check_target(this);
            progress := o365_msgtrace._read_window(this, progress);
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            GET STACKED DIAGNOSTICS e_state = RETURNED_SQLSTATE, e_message = MESSAGE_TEXT,
                e_detail = PG_EXCEPTION_DETAIL, e_hint = PG_EXCEPTION_HINT;
            progress := o365_msgtrace._note_failure(this, progress, e_state, e_message, e_detail, e_hint);
        END;
        EXIT WHEN progress.stopped;
    END LOOP;

    IF progress.taken_over THEN
        RAISE WARNING 'run % of input "%" ends here: it is no longer the current one', progress.run_id, this.input_id;
        RETURN;
    END IF;
    PERFORM o365_msgtrace._end_run(this, progress);
    COMMIT;
    -- Only now, with the record committed: the caller and pg_cron shall see the failure too.
    IF progress.sqlstate IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = progress.sqlstate, MESSAGE = progress.message,
            DETAIL = pg_catalog.concat_ws(E'\n', progress.detail,
                pg_catalog.format('Run %s of input "%s" failed; what it had read before is committed.', progress.run_id, this.input_id)),
            HINT = coalesce(progress.hint, 'The next run reads what is missing; see o365_msgtrace.run_log.');
    END IF;
END
$$;
COMMENT ON PROCEDURE o365_msgtrace.run(text) IS
'run an input once: read its poll window, then gaps, then what is to be settled, each window in a transaction of its own. Only the owner may, and not in a transaction block. A run that is already at work is left alone (a NOTICE, and "skipped" in run_log). An error is recorded in run_log, with what was read before it committed, and then raised. Errors: 42704 no such input, 42501 not its owner, 25001 in a transaction block, and those of the source and target';
