/*
 * A run of an input: many transactions, each of which reads one window and
 * commits its rows together with the ledger, so that a crash at any moment loses
 * nothing and repeats nothing. The procedure only keeps the transactions apart.
 */

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
