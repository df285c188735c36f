/*
 * A run of an input: many transactions, each of which reads one window and
 * commits its rows together with the ledger, so that a crash at any moment loses
 * nothing and repeats nothing. The procedure only keeps the transactions apart.
 */

-- What is said of a run whose time is over; NULL if it is not.
CREATE FUNCTION o365_msgtrace._timeout_message(this o365_msgtrace.input)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('the run of input "%s" took longer than its job_timeout, %s', (this).input_id, (this).job_timeout)
     WHERE o365_msgtrace._job_timed_out()
$$;
COMMENT ON FUNCTION o365_msgtrace._timeout_message(o365_msgtrace.input) IS 'internal: the error of a run that was ended by its job_timeout';

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
    IF o365_msgtrace._job_timed_out() THEN
        -- The timer has done its work and ends no further wait.
        PERFORM set_config('lock_timeout', '10s', true);
        detail := CASE WHEN progress.sqlstate IS NOT NULL THEN format('Before that: %s', progress.message) END;
        message := o365_msgtrace._timeout_message(this);
        hint := 'See o365_msgtrace.run_log for how long runs take; alter_input() changes job_timeout, and 0 is none.';
        state := '57014';
        progress.sqlstate := NULL;
    ELSE
        progress.cancelled := progress.cancelled OR state = '57014';
    END IF;
    PERFORM o365_msgtrace._count_scan(progress, o365_msgtrace._last_scan());
    -- The same key twice: once more, with one row taken of each.
    IF state = '21000' AND progress.span IS NOT NULL AND NOT progress.guarded THEN
        progress.guarded := true;
        RETURN progress;
    END IF;
    -- The target has no place for a row from outside of the window, perhaps: once more without such rows.
    IF left(state, 2) = '23' AND progress.span IS NOT NULL AND this.disable_time_filter AND NOT progress.drops_strays THEN
        progress.drops_strays := true;
        PERFORM o365_msgtrace._say(this, progress, 'warn', format(
            'rows from outside of the window are left out this time, since one cannot be written: %s', concat_ws('; ', message, nullif(detail, ''))));
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
    progress.done := progress.done + coalesce(tstzmultirange(progress.span), '{}');
    progress.drops_strays := false;
    progress.failures_in_a_row := progress.failures_in_a_row + 1;
    progress.stopped := progress.failures_in_a_row >= 3
        OR left(state, 2) NOT IN ('08', '21', '22', '23', 'HV', 'P0')
        OR state IN ('08001', '08004');
    PERFORM o365_msgtrace._say_failure(this, progress, state, message, detail, hint);
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._note_failure(o365_msgtrace.input, o365_msgtrace._progress, text, text, text, text) IS
'internal: record an error of a run';

/*
 * A run that is over before it has begun: something in its way was locked all
 * the time, or does not work at all. If that is the table of records, there is
 * none of it.
 */
CREATE FUNCTION o365_msgtrace._note_no_beginning(this o365_msgtrace.input, state text, message text, detail text, hint text)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    progress o365_msgtrace._progress;
BEGIN
    progress.verdict := 'failed';
    progress.sqlstate := state;
    progress.message := message;
    progress.detail := nullif(detail, '');
    progress.hint := nullif(hint, '');
    IF o365_msgtrace._job_timed_out() THEN
        progress.message := o365_msgtrace._timeout_message(this);
        progress.hint := 'It waited for a lock before it could begin, see pg_locks.';
    END IF;
    PERFORM set_config('lock_timeout', '1s', true);
    INSERT INTO o365_msgtrace.run_record (input_number, state, finished_at, sqlstate, message, detail, hint)
    VALUES (this.input_number, 'failed', clock_timestamp(), progress.sqlstate, progress.message, progress.detail, progress.hint)
    RETURNING run_id INTO progress.run_id;
    RETURN progress;
EXCEPTION WHEN OTHERS THEN
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._note_no_beginning(o365_msgtrace.input, text, text, text, text) IS 'internal: record a run that could not begin';

/*
 * A run that has done its work and cannot say so. What is in its way may be the
 * record itself, which will then be one of a lost run.
 */
CREATE FUNCTION o365_msgtrace._note_no_end(this o365_msgtrace.input, progress o365_msgtrace._progress,
    state text, message text, detail text, hint text)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    progress.cancelled := progress.cancelled OR state = '57014' AND NOT o365_msgtrace._job_timed_out();
    IF progress.sqlstate IS NULL THEN
        progress.sqlstate := state;
        progress.message := coalesce(o365_msgtrace._timeout_message(this), message);
        progress.detail := nullif(detail, '');
        progress.hint := nullif(hint, '');
    END IF;
    PERFORM set_config('lock_timeout', '1s', true);
    UPDATE o365_msgtrace.run_record r
       SET state = 'failed', finished_at = clock_timestamp(), sqlstate = progress.sqlstate, message = progress.message,
           detail = progress.detail, hint = progress.hint
     WHERE r.run_id = progress.run_id AND r.state = 'running';
    RETURN progress;
EXCEPTION WHEN OTHERS THEN
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._note_no_end(o365_msgtrace.input, o365_msgtrace._progress, text, text, text, text) IS
'internal: record a run whose end could not be recorded as it should';

CREATE FUNCTION o365_msgtrace._end_run(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run o365_msgtrace.run_record;
    counts text;
BEGIN
    UPDATE o365_msgtrace.run_record r
       SET state = CASE WHEN progress.sqlstate IS NULL THEN 'succeeded' ELSE 'failed' END,
           finished_at = clock_timestamp()
     WHERE r.run_id = progress.run_id AND r.state = 'running'
    RETURNING r.* INTO run;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    counts := format('read %s rows in %s windows (%s new, %s changed)%s, %s requests',
                     run.rows_in, run.windows, run.rows_new, run.rows_changed,
                     o365_msgtrace._told_of_details(this, run.details_read), run.requests);
    PERFORM o365_msgtrace._log_message(this, run.run_id, 'info', run.state || ': ' || counts);
    PERFORM o365_msgtrace._trim_messages(this);
    PERFORM o365_msgtrace._trim_runs(this);
    IF run.state = 'succeeded' THEN
        RAISE NOTICE 'input "%": %', this.input_id, counts;
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
 * What every procedure that commits asks first. Not on a standby, which is no
 * error: the same jobs are scheduled there, and do their work after a failover.
 */
CREATE FUNCTION o365_msgtrace._may_commit(procedure_name text, undone text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE WARNING '%: the server is in recovery', undone
            USING DETAIL = 'A standby can be queried, but nothing can be written to it.',
                HINT = 'Inputs run on the primary server.';
        RETURN false;
    END IF;
    IF o365_msgtrace._in_transaction_block() THEN
        RAISE EXCEPTION 'CALL o365_msgtrace.%() cannot run inside a transaction block', procedure_name
            USING ERRCODE = 'active_sql_transaction',
                DETAIL = 'It commits after each window that it has read.',
                HINT = 'COMMIT or ROLLBACK first; a client in manual-commit mode must be in autocommit mode.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._may_commit(text, text) IS 'internal: whether a procedure that commits can do its work here and now';

CREATE FUNCTION o365_msgtrace._enter(procedure_name text, wanted_id text)
RETURNS o365_msgtrace.input
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF o365_msgtrace._may_commit(procedure_name, format('input "%s" was not run', wanted_id)) THEN
        RETURN o365_msgtrace._own_input(wanted_id);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._enter(text, text) IS 'internal: the input of this name, if it can be run here and now';

-- Only with the record committed: the caller and pg_cron shall see the failure too.
CREATE FUNCTION o365_msgtrace._raise_failure(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF progress.sqlstate IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = progress.sqlstate, MESSAGE = progress.message,
            DETAIL = concat_ws(E'\n', progress.detail,
                'Run ' || progress.run_id || format(' of input "%s" failed; what it had read before is committed.', this.input_id)),
            HINT = coalesce(progress.hint, 'The next run reads what is missing; see o365_msgtrace.run_log.');
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._raise_failure(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: raise the error that a run has recorded';

/*
 * The transactions of a run. Neither SECURITY DEFINER nor a SET clause: either
 * would forbid COMMIT. So each transaction begins by pinning the search_path,
 * before anything that could depend on it, and by READ COMMITTED, whatever the
 * session's default is: what is read after waiting for the lock must be newer
 * than the lock.
 *
 * COMMIT is refused in a block that catches errors, so there is one around each
 * thing that a transaction does, and none around it. What _next_step() does
 * stays when the reading fails.
 */
CREATE PROCEDURE o365_msgtrace._run(this o365_msgtrace.input, scheduled boolean, INOUT progress o365_msgtrace._progress,
    only_if_due boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    e_state text;
    e_message text;
    e_detail text;
    e_hint text;
BEGIN
    PERFORM o365_msgtrace._arm_job_timeout(pg_catalog.date_part('epoch', this.job_timeout));
    FOR attempt IN 1..20 LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        PERFORM o365_msgtrace._set_transaction();
        BEGIN
            PERFORM o365_msgtrace._heed_job_timeout();
            progress := o365_msgtrace._begin_run(this, scheduled, attempt = 20, only_if_due);
            PERFORM o365_msgtrace._defer_job_timeout();
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            GET STACKED DIAGNOSTICS e_state = RETURNED_SQLSTATE, e_message = MESSAGE_TEXT,
                e_detail = PG_EXCEPTION_DETAIL, e_hint = PG_EXCEPTION_HINT;
            IF e_state = '57014' AND NOT o365_msgtrace._job_timed_out() THEN
                RAISE;
            END IF;
            progress := o365_msgtrace._note_no_beginning(this, e_state, e_message, e_detail, e_hint);
        END;
        EXIT WHEN progress.verdict <> 'wait';
        PERFORM pg_catalog.pg_sleep(0.01);
    END LOOP;
    IF progress.verdict <> 'started' THEN
        PERFORM o365_msgtrace._arm_job_timeout(0);
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        PERFORM o365_msgtrace._set_transaction();
        RETURN;
    END IF;

    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        PERFORM o365_msgtrace._set_transaction();
        BEGIN
            PERFORM o365_msgtrace._heed_job_timeout();
            progress := o365_msgtrace._next_step(this, progress);
            PERFORM o365_msgtrace._defer_job_timeout();
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            GET STACKED DIAGNOSTICS e_state = RETURNED_SQLSTATE, e_message = MESSAGE_TEXT,
                e_detail = PG_EXCEPTION_DETAIL, e_hint = PG_EXCEPTION_HINT;
            progress.span := NULL;
            progress := o365_msgtrace._note_failure(this, progress, e_state, e_message, e_detail, e_hint);
        END;
        EXIT WHEN progress.span IS NULL;
        BEGIN
            PERFORM o365_msgtrace._heed_job_timeout();
            PERFORM o365_msgtrace._check_source(this.source);
            PERFORM o365_msgtrace._check_pipeline(this);
            PERFORM o365_msgtrace._check_target(this);
            PERFORM o365_msgtrace._check_detail_target(this);
            -- Partitions that were missing are committed before the window is read.
            IF NOT o365_msgtrace._provide_partitions(this, progress.span) THEN
                progress := o365_msgtrace._read_window(this, progress);
                PERFORM o365_msgtrace._find_deliveries_of_window(this, progress);
            END IF;
            -- Here a deferred constraint of the target fails with a handler around it, and not in COMMIT.
            SET CONSTRAINTS ALL IMMEDIATE;
            PERFORM o365_msgtrace._defer_job_timeout();
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            GET STACKED DIAGNOSTICS e_state = RETURNED_SQLSTATE, e_message = MESSAGE_TEXT,
                e_detail = PG_EXCEPTION_DETAIL, e_hint = PG_EXCEPTION_HINT;
            progress := o365_msgtrace._note_failure(this, progress, e_state, e_message, e_detail, e_hint);
        END;
        EXIT WHEN progress.stopped;
    END LOOP;
    CALL o365_msgtrace._upkeep(this, progress);
    CALL o365_msgtrace._read_details(this, progress);

    IF progress.taken_over THEN
        RAISE WARNING 'run % of input "%" ends here: it is no longer the current one', progress.run_id, this.input_id;
    ELSE
        BEGIN
            -- A run that has timed out has its lock_timeout by now.
            IF NOT o365_msgtrace._job_timed_out() THEN
                PERFORM o365_msgtrace._heed_job_timeout();
            END IF;
            PERFORM o365_msgtrace._end_run(this, progress);
            PERFORM o365_msgtrace._defer_job_timeout();
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            GET STACKED DIAGNOSTICS e_state = RETURNED_SQLSTATE, e_message = MESSAGE_TEXT,
                e_detail = PG_EXCEPTION_DETAIL, e_hint = PG_EXCEPTION_HINT;
            progress := o365_msgtrace._note_no_end(this, progress, e_state, e_message, e_detail, e_hint);
        END;
    END IF;
    PERFORM o365_msgtrace._arm_job_timeout(0);
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    PERFORM o365_msgtrace._set_transaction();
END
$$;
COMMENT ON PROCEDURE o365_msgtrace._run(o365_msgtrace.input, boolean, o365_msgtrace._progress, boolean) IS
'internal: a run, whose error is in its argument "progress" and not raised';

CREATE PROCEDURE o365_msgtrace.run(input_id text, scheduled boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    this o365_msgtrace.input;
    progress o365_msgtrace._progress;
BEGIN
    PERFORM o365_msgtrace._set_transaction();
    this := o365_msgtrace._enter('run', run.input_id);
    IF this.input_number IS NOT NULL THEN
        CALL o365_msgtrace._run(this, coalesce(run.scheduled, false), progress);
        PERFORM o365_msgtrace._raise_failure(this, progress);
    END IF;
END
$$;
COMMENT ON PROCEDURE o365_msgtrace.run(text, boolean) IS
'run an input once, by hand, or with scheduled => true for a scheduler: read its poll window, then gaps, then what is to be settled, each window in a transaction of its own. By hand it tells of each window by a NOTICE. Only the owner may, and not in a transaction block. A run that is already at work is left alone (a NOTICE, and "skipped" in run_log); so is, by a scheduler, an input that has failed several times in a row, for an hour at most. An error is recorded in run_log, with what was read before it committed, and then raised; so is the end of its job_timeout. Errors: 42704 no such input, 42501 not its owner, 25001 in a transaction block, 57014 longer than its job_timeout, and those of the source and target';
