/*
 * Making and dropping inputs.
 *
 * Whatever can be refused is refused here, by the statement that says it, and
 * not by a run at night.
 */

/*
 * Its own search_path is the caller's, since it has to be read and stored:
 * everything else is done by _make_input(), whose path is pinned.
 */
CREATE FUNCTION o365_msgtrace.create_input(
    input_id text,
    source regclass,
    target text,
    poll_interval integer DEFAULT 15,
    date_range_start text DEFAULT '-1h',
    date_range_end text DEFAULT 'now',
    settle_after interval DEFAULT '24 hours',
    filter text DEFAULT NULL,
    fields jsonb DEFAULT '{}',
    pipeline text DEFAULT NULL,
    disable_time_filter boolean DEFAULT false,
    tags text[] DEFAULT '{}',
    environment text DEFAULT NULL,
    log_level text DEFAULT 'info',
    job_timeout text DEFAULT '0',
    max_requests integer DEFAULT 0,
    retention interval DEFAULT NULL,
    partition_by text DEFAULT NULL,
    detail_filter text DEFAULT NULL,
    detail_target text DEFAULT NULL,
    enabled boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    this o365_msgtrace.input;
BEGIN
    this.input_id := create_input.input_id;
    this.source := create_input.source;
    this.target := create_input.target;
    this.poll_interval := create_input.poll_interval;
    this.date_range_start := create_input.date_range_start;
    this.date_range_end := create_input.date_range_end;
    this.settle_after := create_input.settle_after;
    this.filter := create_input.filter;
    this.fields := create_input.fields;
    this.pipeline := create_input.pipeline;
    this.disable_time_filter := create_input.disable_time_filter;
    this.tags := create_input.tags;
    this.environment := create_input.environment;
    this.log_level := create_input.log_level;
    this.job_timeout := o365_msgtrace._duration('job_timeout', create_input.job_timeout);
    this.max_requests := create_input.max_requests;
    this.retention := create_input.retention;
    this.partition_by := create_input.partition_by;
    this.detail_filter := create_input.detail_filter;
    this.detail_target := create_input.detail_target;
    this.enabled := create_input.enabled;
    this.search_path := pg_catalog.current_setting('search_path');
    PERFORM o365_msgtrace._make_input(this, pg_catalog.current_schemas(false));
END
$$;
COMMENT ON FUNCTION o365_msgtrace.create_input(text, regclass, text, integer, text, text, interval, text, jsonb, text, boolean, text[], text, text, text, integer, interval, text, text, text, boolean) IS
'make an input: a copy of the foreign table "source", kept in the table "target" by runs every "poll_interval" minutes (15; a divisor of 60). Each run reads the window from date_range_start (-1h) to date_range_end (now) whole, see relative_time(), then gaps, then what is older than settle_after (24 hours) for the last time. The target is created if it does not exist; its schema must. What every other setting means stands at the column of its name in the table input; job_timeout is a number of seconds, or one with a unit (45s, 15m, 2h), and 0 is none. The caller owns the input. Errors: 22023 a setting out of its bounds, 22004 one that must not be NULL, 22007 a date range that cannot be read, 42809, 42703 or 42P16 a source or target that will not do, 42501 a missing privilege, 42710 an input of this name';

-- The input as it shall be, but for its number and owner; the target as the caller wrote it.
CREATE FUNCTION o365_msgtrace._make_input(this o365_msgtrace.input, schemas name[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM o365_msgtrace._check_input_id(this.input_id);
    PERFORM o365_msgtrace._share_erasures();
    this := o365_msgtrace._check_settings(this, schemas);
    this.owner := current_user;
    this.stagger := true;
    this.created_at := now();

    -- Somebody else's input of this name is seen by the unique index only.
    BEGIN
        INSERT INTO o365_msgtrace.input AS i
               (input_id, owner, source, target, poll_interval, date_range_start, date_range_end, settle_after, filter,
                fields, pipeline, disable_time_filter, tags, environment, log_level, job_timeout, max_requests, retention,
                partition_by, detail_filter, detail_target, enabled, stagger, search_path, created_at)
        VALUES (this.input_id, this.owner, this.source, this.target, this.poll_interval, this.date_range_start,
                this.date_range_end, this.settle_after, this.filter, this.fields, this.pipeline, this.disable_time_filter,
                this.tags, this.environment, this.log_level, this.job_timeout, this.max_requests, this.retention,
                this.partition_by, this.detail_filter, this.detail_target, this.enabled, this.stagger, this.search_path,
                this.created_at)
        RETURNING i.input_number INTO this.input_number;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'input "%" already exists', this.input_id
            USING ERRCODE = 'duplicate_object',
                DETAIL = 'Names of inputs are unique in the database, those of other roles included.',
                HINT = 'Choose another name, or drop_input() it first.';
    END;
    INSERT INTO o365_msgtrace.ledger (input_number) VALUES (this.input_number);
    PERFORM o365_msgtrace._provide_target(this);
    PERFORM o365_msgtrace._change_details(this, NULL, true);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._make_input(o365_msgtrace.input, name[]) IS
'internal: create_input() with its search_path';

-- Make what an input writes to, where it is not there yet, and see that it will do.
CREATE FUNCTION o365_msgtrace._provide_target(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM o365_msgtrace._check_home(this.target);
    IF to_regclass(this.target) IS NULL THEN
        PERFORM o365_msgtrace._create_target(this);
        RAISE NOTICE 'created table %', this.target;
    END IF;
    PERFORM o365_msgtrace._check_target(this);
    PERFORM o365_msgtrace._check_statement(this);
    PERFORM o365_msgtrace._provide_detail_target(this);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._provide_target(o365_msgtrace.input) IS 'internal: the target of an input, made if need be';

-- Keep an input from running to the end of the transaction, and an erasure from missing what is done to it.
CREATE FUNCTION o365_msgtrace._lock_idle_input(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(o365_msgtrace._lock_class(), this.input_number) THEN
        RAISE EXCEPTION 'input "%" is running', this.input_id
            USING ERRCODE = 'object_in_use',
                DETAIL = 'A run of it holds its lock, or a session that changes it.',
                HINT = 'Wait for its end, or end its backend: see pid in o365_msgtrace.run_log, and pg_locks.';
    END IF;
    PERFORM o365_msgtrace._share_erasures();
END
$$;
COMMENT ON FUNCTION o365_msgtrace._lock_idle_input(o365_msgtrace.input) IS 'internal: an error if an input is running, else it does not begin to';

/*
 * The owner may drop an input, and so may a superuser: his roles come and go.
 * The target stays.
 */
CREATE FUNCTION o365_msgtrace.drop_input(input_id text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    doomed o365_msgtrace.input := o365_msgtrace._visible_input(drop_input.input_id);
BEGIN
    PERFORM o365_msgtrace._lock_idle_input(doomed);
    PERFORM o365_msgtrace._unschedule(doomed);
    PERFORM o365_msgtrace._say_job_elsewhere(format('SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %L;',
        o365_msgtrace._job_name(doomed.input_number)));
    PERFORM o365_msgtrace._trim_cron_runs(doomed.owner, ARRAY[o365_msgtrace._cron_command(doomed.input_id)], 0);
    DELETE FROM o365_msgtrace.input i WHERE i.input_number = doomed.input_number;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.drop_input(text) IS
'drop an input with its schedule, its ledger, its run log and what pg_cron has recorded of its job. The target and its rows stay. Errors: 42704 no such input, 55006 it is running';
