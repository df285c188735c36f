/*
 * Making and dropping inputs.
 *
 * Whatever can be refused is refused here, by the statement that says it, and
 * not by a run at night.
 */

CREATE FUNCTION o365_msgtrace._check_poll_interval(poll_interval integer)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF poll_interval IS NULL OR poll_interval NOT BETWEEN 1 AND 60 OR 60 % poll_interval <> 0 THEN
        RAISE EXCEPTION 'invalid poll interval: %', coalesce(poll_interval::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = 'A poll interval is a number of minutes that divides 60, so that runs come at even distances.',
                HINT = 'One of 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_poll_interval(integer) IS 'internal: an error unless the interval divides 60';

CREATE FUNCTION o365_msgtrace._check_input_id(input_id text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF input_id IS NULL OR length(input_id) NOT BETWEEN 1 AND 100
        OR input_id <> btrim(input_id) OR input_id ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'invalid input id: %', coalesce(quote_literal(left(input_id, 120)), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = 'An input id has 1 to 100 characters, no control characters, and no space at its ends.',
                HINT = 'Examples: contoso, contoso-eu/inbound.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_input_id(text) IS 'internal: an error unless an input may be called so';

CREATE FUNCTION o365_msgtrace._check_date_range(range_start text, range_end text, settle_after interval)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF range_start IS NULL OR range_end IS NULL OR settle_after IS NULL THEN
        RAISE EXCEPTION 'date_range_start, date_range_end and settle_after must not be NULL'
            USING ERRCODE = 'null_value_not_allowed',
                DETAIL = 'They say which part of time each run reads, and when that is final.',
                HINT = 'Leave them out for the defaults: -1h, now, 24 hours.';
    END IF;
    -- relative_time() has errors of its own for what it cannot read.
    IF o365_msgtrace.relative_time(range_start) >= o365_msgtrace.relative_time(range_end) THEN
        RAISE EXCEPTION 'date range of the input is empty'
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = format('Its start "%s" is %s UTC now and its end "%s" is %s UTC: not before it.',
                    range_start, o365_msgtrace._utc(o365_msgtrace.relative_time(range_start)),
                    range_end, o365_msgtrace._utc(o365_msgtrace.relative_time(range_end))),
                HINT = 'Example: date_range_start => ''-1h'', date_range_end => ''now''.';
    END IF;
    IF o365_msgtrace.relative_time(range_start) >= now() THEN
        RAISE EXCEPTION 'date range of the input lies in the future'
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = format('Its start "%s" is %s UTC now.', range_start,
                    o365_msgtrace._utc(o365_msgtrace.relative_time(range_start))),
                HINT = 'Example: date_range_start => ''-1h'', date_range_end => ''now''.';
    END IF;
    IF settle_after < interval '0' THEN
        RAISE EXCEPTION 'invalid settle_after: %', settle_after
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = 'It is the age at which rows are read for the last time.',
                HINT = 'Use 0 or more, such as ''24 hours'', the default.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_date_range(text, text, interval) IS 'internal: an error unless the settings name a window';

-- A point in time as messages show it, whatever the session's DateStyle and TimeZone.
CREATE FUNCTION o365_msgtrace._utc(at timestamptz)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') $$;
COMMENT ON FUNCTION o365_msgtrace._utc(timestamptz) IS 'internal: a point in time in UTC, for messages';

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
    settle_after interval DEFAULT '24 hours')
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM o365_msgtrace._make_input(create_input.input_id, create_input.source, create_input.target,
        create_input.poll_interval, create_input.date_range_start, create_input.date_range_end,
        create_input.settle_after, pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(false));
END
$$;
COMMENT ON FUNCTION o365_msgtrace.create_input(text, regclass, text, integer, text, text, interval) IS
'make an input: a copy of the foreign table "source", kept in the table "target" by runs every "poll_interval" minutes (15; a divisor of 60). Each run reads the window from date_range_start (-1h) to date_range_end (now) whole, see relative_time(), then gaps, then what is older than settle_after (24 hours) for the last time. The target is created if it does not exist; its schema must. The caller owns the input. Errors: 22023 a setting out of its bounds, 22007 a date range that cannot be read, 42809, 42703 or 42P16 a source or target that will not do, 42501 a missing privilege, 42710 an input of this name';

CREATE FUNCTION o365_msgtrace._make_input(wanted_id text, source regclass, target text, poll_interval integer,
    range_start text, range_end text, settle_after interval, path text, schemas name[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    full_target text;
    new_number integer;
BEGIN
    PERFORM o365_msgtrace._check_input_id(wanted_id);
    PERFORM o365_msgtrace._check_poll_interval(poll_interval);
    PERFORM o365_msgtrace._check_date_range(range_start, range_end, settle_after);
    IF source IS NULL OR target IS NULL THEN
        RAISE EXCEPTION 'source and target of an input must not be NULL'
            USING ERRCODE = 'null_value_not_allowed',
                DETAIL = 'An input copies a foreign table to a table.',
                HINT = 'SELECT o365_msgtrace.create_input(''contoso'', ''mail.message_trace'', ''archive.message_trace'');';
    END IF;
    PERFORM o365_msgtrace._check_source(source);
    full_target := o365_msgtrace._target_name(target, schemas);

    -- Somebody else's input of this name is seen by the unique index only.
    BEGIN
        INSERT INTO o365_msgtrace.input (input_id, source, target, poll_interval, date_range_start, date_range_end, settle_after, search_path)
        VALUES (wanted_id, source, full_target, poll_interval, range_start, range_end, settle_after, path)
        RETURNING input_number INTO new_number;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'input "%" already exists', wanted_id
            USING ERRCODE = 'duplicate_object',
                DETAIL = 'Names of inputs are unique in the database, those of other roles included.',
                HINT = 'Choose another name, or drop_input() it first.';
    END;
    INSERT INTO o365_msgtrace.ledger (input_number) VALUES (new_number);

    IF to_regclass(full_target) IS NULL THEN
        PERFORM o365_msgtrace._create_target(full_target, source);
        RAISE NOTICE 'created table %', full_target;
    END IF;
    PERFORM o365_msgtrace._check_target(full_target, source);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._make_input(text, regclass, text, integer, text, text, interval, text, name[]) IS
'internal: create_input() with its search_path';

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
    IF NOT pg_try_advisory_xact_lock(o365_msgtrace._lock_class(), doomed.input_number) THEN
        RAISE EXCEPTION 'input "%" is running', doomed.input_id
            USING ERRCODE = 'object_in_use',
                DETAIL = 'A run of it holds its lock.',
                HINT = 'Wait for its end, or end its backend: see pid in o365_msgtrace.run_log.';
    END IF;
    PERFORM o365_msgtrace._unschedule(doomed);
    DELETE FROM o365_msgtrace.input i WHERE i.input_number = doomed.input_number;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.drop_input(text) IS
'drop an input with its schedule, its ledger and its run log. The target and its rows stay. Errors: 42704 no such input, 55006 it is running';
