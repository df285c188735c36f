/*
 * What the settings of an input may be.
 */

CREATE FUNCTION o365_msgtrace._check_poll_interval(poll_interval integer)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF poll_interval NOT BETWEEN 1 AND 60 OR 60 % poll_interval <> 0 THEN
        RAISE EXCEPTION 'invalid poll interval: %', poll_interval
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

-- A number of seconds, or one with a unit, as in 45s, 15m, 2h.
CREATE FUNCTION o365_msgtrace._duration(setting text, value text)
RETURNS interval
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts text[] := regexp_match(value, '^\s*(\d{1,7})\s*(s|m|h)?\s*$');
BEGIN
    IF parts IS NULL THEN
        RAISE EXCEPTION 'invalid %: %', setting, coalesce(quote_literal(left(value, 120)), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = 'It is a whole number of seconds, or one with a unit: s, m (minutes) or h.',
                HINT = 'Examples: 30, 45s, 15m, 2h; 0 is none.';
    END IF;
    RETURN parts[1]::integer * CASE parts[2] WHEN 'm' THEN interval '1 minute' WHEN 'h' THEN interval '1 hour'
                               ELSE interval '1 second' END;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._duration(text, text) IS 'internal: a length of time as settings are written';

CREATE FUNCTION o365_msgtrace._check_not_null(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(s.key, ', ') INTO missing
      FROM jsonb_each(to_jsonb(this)) s
     WHERE s.value = 'null' AND s.key IN ('source', 'target', 'poll_interval', 'date_range_start', 'date_range_end',
           'settle_after', 'fields', 'disable_time_filter', 'tags', 'log_level', 'job_timeout', 'max_requests', 'enabled');
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'settings of an input must not be NULL: %', missing
            USING ERRCODE = 'null_value_not_allowed',
                DETAIL = 'An input copies a foreign table to a table. Only filter, pipeline, environment, retention, partition_by, detail_filter and detail_target may be NULL, and then there is none.',
                HINT = 'Leave a setting out for its default: SELECT o365_msgtrace.create_input(''contoso'', ''mail.message_trace'', ''archive.message_trace'');';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_not_null(o365_msgtrace.input) IS 'internal: an error where a setting has to have a value';

CREATE FUNCTION o365_msgtrace._refuse_setting(setting text, value text, detail text, hint text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'invalid %: %', setting, value
        USING ERRCODE = 'invalid_parameter_value', DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._refuse_setting(text, text, text, text) IS 'internal: the error for a setting that is out of its bounds';

CREATE FUNCTION o365_msgtrace._check_choices(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF this.log_level NOT IN ('error', 'warn', 'info', 'debug') THEN
        PERFORM o365_msgtrace._refuse_setting('log_level', quote_literal(this.log_level),
            'It says which messages of a run are kept in o365_msgtrace.run_message.', 'One of error, warn, info, debug.');
    ELSIF this.partition_by NOT IN ('day', 'month') THEN
        PERFORM o365_msgtrace._refuse_setting('partition_by', quote_literal(this.partition_by),
            'It says how the target is partitioned by received, in UTC.', 'One of day, month; or leave it out.');
    ELSIF this.max_requests < 0 THEN
        PERFORM o365_msgtrace._refuse_setting('max_requests', this.max_requests::text,
            'It is a number of requests for each run.', 'Use 1 or more, or 0 for no limit.');
    ELSIF this.retention <= interval '0' THEN
        PERFORM o365_msgtrace._refuse_setting('retention', this.retention::text,
            'It is the age at which rows are dropped.', 'Use such as ''400 days'', or leave it out to keep rows for ever.');
    ELSIF greatest(this.retention, this.settle_after) > interval '1000 years' THEN
        PERFORM o365_msgtrace._refuse_setting(
            CASE WHEN this.settle_after > interval '1000 years' THEN 'settle_after' ELSE 'retention' END,
            greatest(this.retention, this.settle_after)::text, 'It is the age of mail, 1000 years at most.',
            'To keep rows for ever, leave retention out; to read them once only, use a settle_after of 0.');
    ELSIF this.retention <= this.settle_after THEN
        PERFORM o365_msgtrace._refuse_setting('retention', this.retention::text,
            format('Rows are final after settle_after, %s, and may not be dropped before.', this.settle_after),
            'Use a longer retention, or a shorter settle_after.');
    ELSIF jsonb_typeof(this.fields) <> 'object' THEN
        PERFORM o365_msgtrace._refuse_setting('fields', this.fields::text,
            'It is a JSON object: columns of the target by name, each with an SQL expression.',
            'Example: {"domain": "split_part(sender_address, ''@'', 2)"}.');
    ELSIF (this.detail_filter IS NULL) <> (this.detail_target IS NULL) THEN
        PERFORM o365_msgtrace._refuse_setting('detail_filter', coalesce(quote_literal(this.detail_filter), 'NULL'),
            'detail_filter says whose details are copied, and detail_target where to: each needs the other.',
            'Example: detail_filter => ''status = ''''failed'''''', detail_target => ''archive.message_trace_detail''.');
    ELSIF this.tags <> array_remove(array_remove(this.tags, NULL), '') THEN
        PERFORM o365_msgtrace._refuse_setting('tags', this.tags::text, 'A tag is a word, not NULL and not empty.',
            'Example: ARRAY[''production'', ''eu''].');
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_choices(o365_msgtrace.input) IS 'internal: an error unless each setting is within its bounds';

/*
 * All that can be said of the settings of an input without running it; returns
 * it with the full name of its target. An empty text stands for none.
 */
CREATE FUNCTION o365_msgtrace._check_settings(this o365_msgtrace.input, schemas name[])
RETURNS o365_msgtrace.input
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    this.filter := nullif(btrim(this.filter), '');
    this.pipeline := nullif(btrim(this.pipeline), '');
    this.environment := nullif(this.environment, '');
    this.detail_filter := nullif(btrim(this.detail_filter), '');
    this.detail_target := nullif(btrim(this.detail_target), '');
    PERFORM o365_msgtrace._check_not_null(this);
    PERFORM o365_msgtrace._check_poll_interval(this.poll_interval);
    PERFORM o365_msgtrace._check_date_range(this.date_range_start, this.date_range_end, this.settle_after);
    PERFORM o365_msgtrace._check_choices(this);
    PERFORM o365_msgtrace._check_source(this.source);
    PERFORM o365_msgtrace._check_filter(this);
    this.pipeline := o365_msgtrace._check_pipeline(this);
    PERFORM o365_msgtrace._check_fields(this);
    this.target := o365_msgtrace._target_name(this.target, schemas);
    IF this.detail_target IS NOT NULL THEN
        this.detail_target := o365_msgtrace._target_name(this.detail_target, schemas);
    END IF;
    RETURN this;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_settings(o365_msgtrace.input, name[]) IS 'internal: an error unless an input can be as it says';
