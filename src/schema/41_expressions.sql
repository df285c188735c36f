/*
 * The SQL of its user's own that an input may hold: a filter, fields, a pipeline.
 *
 * It runs with the rights of the input's owner and nobody else's: only he can
 * write it, only he can run the input, and a pipeline has to be his own or a
 * superuser's, lest somebody else replaces it. The names in it mean what they
 * meant where the input was made: its search_path is stored with the input.
 */

-- A message trace as a pipeline gets it, whatever the columns of the source are called.
CREATE TYPE o365_msgtrace.trace_row AS (
    message_trace_id uuid,
    message_id text,
    received timestamptz,
    sender_address text,
    recipient_address text,
    subject text,
    status text,
    size bigint,
    from_ip inet,
    to_ip inet,
    organization text,
    raw json
);
COMMENT ON TYPE o365_msgtrace.trace_row IS
'what the pipeline of an input gets and returns: a function f(row o365_msgtrace.trace_row) RETURNS SETOF o365_msgtrace.trace_row. It may change a row or return none, but message_trace_id, received and recipient_address must stay as they are';

-- For the rest of the function that asks for it, and of those it calls.
CREATE FUNCTION o365_msgtrace._use_path_of(this o365_msgtrace.input)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', NULLIF((this).search_path, ''), 'pg_temp'), true)
$$;
COMMENT ON FUNCTION o365_msgtrace._use_path_of(o365_msgtrace.input) IS 'internal: names mean what they meant to the owner of an input';

-- A row without values of what expressions are about: for finding out what they are.
CREATE FUNCTION o365_msgtrace._empty_row(this o365_msgtrace.input, of_pipeline boolean)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('(SELECT (NULL::%s).*) AS s',
                  CASE WHEN of_pipeline THEN 'o365_msgtrace.trace_row' ELSE o365_msgtrace._full_name((this).source) END)
$$;
COMMENT ON FUNCTION o365_msgtrace._empty_row(o365_msgtrace.input, boolean) IS 'internal: a FROM item of the kind that an expression reads';

CREATE FUNCTION o365_msgtrace._check_filter(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF this.filter IS NULL THEN
        RETURN;
    END IF;
    PERFORM o365_msgtrace._use_path_of(this);
    EXECUTE format(E'SELECT FROM %s WHERE (%s\n)', o365_msgtrace._empty_row(this, false), this.filter);
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'invalid filter: %', SQLERRM
        USING ERRCODE = SQLSTATE,
            DETAIL = format('The filter is: %s', this.filter),
            HINT = 'A filter is a condition over the columns of the source, texts in single quotes, such as: status = ''failed'' OR recipient_address LIKE ''%@contoso.com''.';
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_filter(o365_msgtrace.input) IS 'internal: an error unless the filter of an input is a condition';

-- The type of a field's expression.
CREATE FUNCTION o365_msgtrace._field_type(this o365_msgtrace.input, field text)
RETURNS regtype
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type regtype;
BEGIN
    PERFORM o365_msgtrace._use_path_of(this);
    EXECUTE format(E'SELECT pg_catalog.pg_typeof(f.value) FROM (SELECT (%s\n) AS value FROM %s) AS f',
                   this.fields ->> field, o365_msgtrace._empty_row(this, this.pipeline IS NOT NULL))
       INTO STRICT type;
    RETURN type;
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'invalid field "%": %', field, SQLERRM
        USING ERRCODE = SQLSTATE,
            DETAIL = format('Its expression is: %s', coalesce(this.fields ->> field, 'null')),
            HINT = CASE WHEN this.pipeline IS NULL THEN 'An expression is about the columns of the source; texts are in single quotes.'
                   ELSE 'With a pipeline an expression is about the columns of o365_msgtrace.trace_row.' END;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._field_type(o365_msgtrace.input, text) IS 'internal: what a field of an input is, an error if it is nothing';

CREATE FUNCTION o365_msgtrace._check_fields(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    field record;
BEGIN
    FOR field IN SELECT key, value FROM jsonb_each(this.fields) LOOP
        IF field.key IN ('received', 'message_trace_id', 'recipient_address')
            OR field.key IN (SELECT name FROM o365_msgtrace._own_columns()) OR length(field.key) NOT BETWEEN 1 AND 63 THEN
            PERFORM o365_msgtrace._refuse_setting('fields', format('"%s"', field.key),
                'A field is a column of the target that is neither of its key nor one of the ingest''s own.',
                format('Not received, message_trace_id, recipient_address, %s.', (SELECT string_agg(name, ', ') FROM o365_msgtrace._own_columns())));
        ELSIF jsonb_typeof(field.value) <> 'string' THEN
            PERFORM o365_msgtrace._refuse_setting('fields', format('"%s": %s', field.key, field.value),
                'The value of a field is an SQL expression, as a JSON string.',
                'Example: {"domain": "split_part(sender_address, ''@'', 2)", "site": "''Berlin''"}.');
        END IF;
        PERFORM o365_msgtrace._field_type(this, field.key);
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_fields(o365_msgtrace.input) IS 'internal: an error unless each field can be written';

-- The pipeline of an input; NULL if there is no such function.
CREATE FUNCTION o365_msgtrace._find_pipeline(this o365_msgtrace.input)
RETURNS regprocedure
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM o365_msgtrace._use_path_of(this);
    RETURN to_regprocedure(this.pipeline || '(o365_msgtrace.trace_row)');
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._find_pipeline(o365_msgtrace.input) IS 'internal: the function that a pipeline names';

-- Asked when it is said and before each run: functions change. Returns its full name.
CREATE FUNCTION o365_msgtrace._check_pipeline(this o365_msgtrace.input)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pipeline regprocedure := o365_msgtrace._find_pipeline(this);
    function pg_proc;
BEGIN
    IF this.pipeline IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT * INTO function FROM pg_proc p WHERE p.oid = pipeline;
    IF function.prokind IS DISTINCT FROM 'f' OR NOT function.proretset OR function.prorettype <> 'o365_msgtrace.trace_row'::regtype THEN
        RAISE EXCEPTION 'function % cannot be a pipeline', this.pipeline
            USING ERRCODE = CASE WHEN pipeline IS NULL THEN 'undefined_function' ELSE 'invalid_function_definition' END,
                DETAIL = CASE WHEN pipeline IS NULL THEN 'There is no function of this name that takes an o365_msgtrace.trace_row.'
                         ELSE 'It does not return SETOF o365_msgtrace.trace_row.' END,
                HINT = format('CREATE FUNCTION %s(row o365_msgtrace.trace_row) RETURNS SETOF o365_msgtrace.trace_row …', this.pipeline);
    END IF;
    IF function.proowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
        AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = function.proowner) THEN
        RAISE EXCEPTION 'pipeline % belongs to role "%"', this.pipeline, pg_get_userbyid(function.proowner)
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = 'It would run with the rights of the input''s owner, and its own owner could change it at any time.',
                HINT = format('ALTER FUNCTION %s OWNER TO %I;', pipeline, current_user);
    END IF;
    RETURN (SELECT format('%I.%I', n.nspname, function.proname) FROM pg_namespace n WHERE n.oid = function.pronamespace);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_pipeline(o365_msgtrace.input) IS 'internal: an error unless the pipeline of an input can be called';

-- Called for each row that a pipeline returns.
CREATE FUNCTION o365_msgtrace._keeps_key(given o365_msgtrace.trace_row, message_trace_id uuid, received timestamptz, recipient_address text)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (given.message_trace_id, given.received, given.recipient_address)
        IS DISTINCT FROM (message_trace_id, received, recipient_address) THEN
        RAISE EXCEPTION 'the pipeline changed the key of a row'
            USING ERRCODE = 'triggered_data_change_violation',
                DETAIL = format('It was (%s, %s, %s) and is (%s, %s, %s).', message_trace_id, received, recipient_address,
                                given.message_trace_id, given.received, given.recipient_address),
                HINT = 'A pipeline may change every column but message_trace_id, received and recipient_address, or return no row.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._keeps_key(o365_msgtrace.trace_row, uuid, timestamptz, text) IS 'internal: an error unless a pipeline left the key of a row alone';

/*
 * Where the rows of a window come from, as a FROM item "s" with the columns of
 * the source, or after a pipeline with those of trace_row: $6 and $7 are the
 * window, its end excluded. A filter sees a `received` that the service cannot
 * be asked for: what the filter says of it must not narrow the window that the
 * ledger believes was read.
 *
 * With disable_time_filter all is taken that the service sends for the window,
 * but for what is older than $8, because retention would drop it.
 */
CREATE FUNCTION o365_msgtrace._rows_of_window(this o365_msgtrace.input)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    received name := (SELECT c.attname FROM o365_msgtrace._source_columns(this.source) c WHERE c.name = 'received');
    rows text := format(CASE WHEN this.disable_time_filter
                        THEN 'SELECT * FROM %s AS s WHERE o365_msgtrace._sent_for(s.%2$I, $6, $7) AND s.%2$I + interval ''0'' OPERATOR(pg_catalog.>=) $8'
                        ELSE 'SELECT * FROM %s AS s WHERE s.%2$I OPERATOR(pg_catalog.>=) $6 AND s.%2$I OPERATOR(pg_catalog.<) $7' END,
                        o365_msgtrace._full_name(this.source), received);
BEGIN
    IF this.filter IS NOT NULL THEN
        rows := format(E'SELECT * FROM (SELECT %s FROM (%s) AS s) AS s WHERE (%s\n)',
            (SELECT string_agg(CASE a.attname WHEN received THEN format('s.%1$I + interval ''0'' AS %1$I', a.attname)
                               ELSE format('s.%I', a.attname) END, ', ' ORDER BY a.attnum)
               FROM pg_attribute a WHERE a.attrelid = this.source AND a.attnum > 0 AND NOT a.attisdropped),
            rows, this.filter);
    END IF;
    IF this.pipeline IS NOT NULL THEN
        rows := format('SELECT p.* FROM (%s) AS s, LATERAL %s(ROW(%s)::o365_msgtrace.trace_row) AS p '
                       'WHERE o365_msgtrace._keeps_key(p, %s)', rows, this.pipeline,
            (SELECT string_agg(CASE WHEN c.attname IS NULL THEN 'NULL'
                               ELSE format('s.%I::%s', c.attname, format_type(a.atttypid, a.atttypmod)) END, ', ' ORDER BY a.attnum)
               FROM pg_attribute a LEFT JOIN o365_msgtrace._source_columns(this.source) c ON c.name = a.attname
              WHERE a.attrelid = 'o365_msgtrace.trace_row'::regclass AND a.attnum > 0),
            (SELECT string_agg(format('s.%I::%s', c.attname, k.type), ', ' ORDER BY k.nth)
               FROM (VALUES (1, 'message_trace_id', 'uuid'), (2, 'received', 'timestamptz'), (3, 'recipient_address', 'text')) k (nth, name, type)
               JOIN o365_msgtrace._source_columns(this.source) c ON c.name = k.name));
    END IF;
    RETURN format('(%s) AS s', rows);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._rows_of_window(o365_msgtrace.input) IS 'internal: the rows of a window, filtered and through the pipeline';

/*
 * What is written of each row: the columns of the target and the expressions
 * over "s" that fill them.
 */
CREATE FUNCTION o365_msgtrace._copied_columns(this o365_msgtrace.input)
RETURNS TABLE (place integer, name name, value text, type text, meaning text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.place, c.name, coalesce(E'(' || ((this).fields ->> c.name) || E'\n)',
                                     format('s.%I', CASE WHEN (this).pipeline IS NULL THEN c.attname ELSE c.name END)),
           c.type, c.meaning
      FROM o365_msgtrace._source_columns((this).source) c
    UNION ALL
    SELECT 50 + f.nth::integer, f.key::name, E'(' || f.value || E'\n)', NULL, 'field of the input: ' || f.value
      FROM (SELECT e.key, e.value, row_number() OVER (ORDER BY e.key) AS nth FROM jsonb_each_text((this).fields) e
             WHERE e.key NOT IN (SELECT c.name FROM o365_msgtrace._source_columns((this).source) c)) f
$$;
COMMENT ON FUNCTION o365_msgtrace._copied_columns(o365_msgtrace.input) IS 'internal: the columns of a target that come from the service or from fields';
