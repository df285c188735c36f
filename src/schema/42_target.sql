/*
 * The target of an ingest: how it is named, made, and written.
 *
 * The key begins with the tenant and holds `received`, so that a plain table, a
 * partitioned one, a hypertable and a distributed table can all enforce it and
 * several tenants can share one.
 */

-- Columns that an ingest adds to what the service sends.
CREATE FUNCTION o365_msgtrace._own_columns()
RETURNS TABLE (place integer, name name, type text, meaning text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES (0, 'tenant'::name, 'text', 'the tenant: option tenant_label of the server, else the server''s name'),
           (101, 'input_id', 'text', 'the input that first wrote the row'),
           (102, 'run_id', 'bigint', 'the run that last wrote the row, see o365_msgtrace.run_log'),
           (103, 'source', 'text', 'the foreign table that it was read from'),
           (104, 'ingested_at', 'timestamptz', 'when the row was first written'),
           (105, 'updated_at', 'timestamptz', 'when the row was last written: ingested_at, or a change seen later')
$$;
COMMENT ON FUNCTION o365_msgtrace._own_columns() IS
'internal: columns of a target that do not come from the service';

/*
 * "schema.table" of a target as the caller wrote it. A name without a schema is
 * an existing table on the caller's search_path, else it goes to the first
 * schema there.
 */
CREATE FUNCTION o365_msgtrace._target_name(target text, path name[])
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts text[];
    home name;
BEGIN
    BEGIN
        parts := parse_ident(target);
    EXCEPTION WHEN invalid_parameter_value THEN
        parts := NULL;
    END;
    IF parts IS NULL OR cardinality(parts) > 2 THEN
        RAISE EXCEPTION 'invalid name of a target table: "%"', target
            USING ERRCODE = 'invalid_name',
                DETAIL = 'A target is a table of this database, with or without its schema.',
                HINT = 'Examples: archive.message_trace, "Mail"."Message Trace".';
    END IF;

    IF cardinality(parts) = 2 THEN
        home := parts[1];
    ELSE
        SELECT n.nspname INTO home
          FROM unnest(path) WITH ORDINALITY AS p (nspname, nth)
          JOIN pg_namespace n USING (nspname)
          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = parts[1]
         ORDER BY p.nth LIMIT 1;
        home := coalesce(home, path[1]);
    END IF;

    IF home IS NULL OR NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = home) THEN
        RAISE EXCEPTION 'schema "%" of target "%" does not exist', home, target
            USING ERRCODE = 'invalid_schema_name',
                DETAIL = 'The table is created when it does not exist, its schema is not.',
                HINT = CASE WHEN home IS NULL THEN 'Name the target with its schema.'
                       ELSE format('CREATE SCHEMA %I;', home) END;
    END IF;
    RETURN format('%I.%I', home, parts[cardinality(parts)]);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._target_name(text, name[]) IS
'internal: the full name of a target';

CREATE FUNCTION o365_msgtrace._create_target(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    definition text;
    part record;
    target text := this.target;
    home name := (parse_ident(this.target))[1];
BEGIN
    IF NOT has_schema_privilege(home, 'CREATE') THEN
        RAISE EXCEPTION 'permission denied for schema %', home
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Target %s does not exist, and role "%s" may not create it.', target, current_user),
                HINT = format('GRANT CREATE ON SCHEMA %I TO %I;', home, current_user);
    END IF;
    SELECT string_agg(format('%I %s%s', c.name, coalesce(c.type, o365_msgtrace._field_type(this, c.name)::text),
                CASE WHEN c.name IN ('tenant', 'message_trace_id', 'received', 'recipient_address',
                                     'input_id', 'run_id', 'source', 'ingested_at', 'updated_at')
                     THEN ' NOT NULL' ELSE '' END), ', ' ORDER BY c.place)
      INTO definition
      FROM (SELECT place, name, type FROM o365_msgtrace._own_columns()
            UNION ALL
            SELECT place, name, type FROM o365_msgtrace._copied_columns(this)) c;
    EXECUTE format('CREATE TABLE %s (%s, PRIMARY KEY (tenant, received, message_trace_id, recipient_address))%s',
                   target, definition, CASE WHEN this.partition_by IS NOT NULL THEN ' PARTITION BY RANGE (received)' END);

    EXECUTE format('COMMENT ON TABLE %s IS %L', target,
                   format('message traces, copied from %s by o365_msgtrace', o365_msgtrace._full_name(this.source)));
    FOR part IN
        SELECT c.name, c.meaning FROM o365_msgtrace._own_columns() c
        UNION ALL
        SELECT c.name, c.meaning FROM o365_msgtrace._copied_columns(this) c
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', target, part.name, part.meaning);
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._create_target(o365_msgtrace.input) IS
'internal: make the table that an ingest writes; it belongs to the caller';

/*
 * The statement that copies a window: $1 tenant, $2 input_id, $3 run_id,
 * $4 source, $5 time of writing, $6 and $7 the window, its end excluded, $8 the
 * oldest time of rows from outside of it.
 *
 * A row that is there already is written only if something that the service
 * sent is different now; else a run with nothing new would rewrite, log and
 * replicate every row of its window. The values of the update come through
 * EXCLUDED, because distributed tables refuse now() there. A raw record is not
 * compared: json has no equality, and it may hold what changes with each answer.
 * It returns, for each row written, whether it is new, and whether it is of the
 * window.
 *
 * One INSERT may not meet the same key twice. The scan delivers each key once,
 * but with its option "normalize" off two spellings of one address are two
 * keys to it and one delivery to us: the key is then put in lower case (ASCII),
 * and with `guarded` one row of each key is taken.
 *
 * Rows of addresses that its owner has erased are left out, by what would be
 * written; where nothing was erased nobody asks. So the caller must hold the
 * lock of _share_erasures().
 */
CREATE FUNCTION o365_msgtrace._upsert_statement(this o365_msgtrace.input, guarded boolean)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH columns AS (
        SELECT c.place, quote_ident(c.name) AS name,
               c.name IN ('received', 'message_trace_id', 'recipient_address') AS is_key,
               c.name NOT IN ('received', 'message_trace_id', 'recipient_address', 'raw') AS is_compared,
               CASE WHEN guarded AND c.name = 'recipient_address'
                    THEN format('pg_catalog.lower((%s)::text COLLATE "C")', c.value)
                    ELSE c.value END AS value
          FROM o365_msgtrace._copied_columns(this) c
    ), lists AS (
        SELECT string_agg(name, ', ' ORDER BY place) AS names,
               string_agg(value, ', ' ORDER BY place) AS values,
               string_agg(value, ', ' ORDER BY place) FILTER (WHERE is_key) AS keys,
               coalesce(string_agg(format('%1$s = EXCLUDED.%1$s, ', name), '' ORDER BY place)
                   FILTER (WHERE NOT is_key), '') AS changes,
               coalesce(string_agg('t.' || name, ', ' ORDER BY place) FILTER (WHERE is_compared), '') AS old,
               coalesce(string_agg('EXCLUDED.' || name, ', ' ORDER BY place) FILTER (WHERE is_compared), '') AS new,
               array_agg(value) FILTER (WHERE name IN ('sender_address', 'recipient_address')) AS addresses
          FROM columns
    )
    SELECT format(
        'INSERT INTO %1$s AS t (tenant, %2$s, input_id, run_id, source, ingested_at, updated_at) '
        'SELECT %3$s $1, %4$s, $2, $3, $4, $5, $5 FROM %5$s %9$s'
        'ON CONFLICT (tenant, received, message_trace_id, recipient_address) DO UPDATE '
        'SET %6$srun_id = EXCLUDED.run_id, source = EXCLUDED.source, updated_at = EXCLUDED.updated_at '
        'WHERE %7$s '
        'RETURNING t.ingested_at IS NOT DISTINCT FROM t.updated_at AS is_new, %8$s AS is_within',
        (this).target, names, CASE WHEN guarded THEN format('DISTINCT ON (%s)', keys) ELSE '' END,
        values, o365_msgtrace._rows_of_window(this), changes,
        CASE WHEN old = '' THEN 'false' ELSE format('ROW(%s) IS DISTINCT FROM ROW(%s)', old, new) END,
        CASE WHEN (this).disable_time_filter
             THEN 't.received OPERATOR(pg_catalog.>=) $6 AND t.received OPERATOR(pg_catalog.<) $7' ELSE 'true' END,
        CASE WHEN o365_msgtrace._has_erasures((this).owner)
             THEN format('WHERE %s ', o365_msgtrace._not_erased(addresses)) ELSE '' END)
      FROM lists
$$;
COMMENT ON FUNCTION o365_msgtrace._upsert_statement(o365_msgtrace.input, boolean) IS
'internal: the INSERT of an ingest';

/*
 * Can it be planned? This finds what is wrong with the types of fields, or with
 * a filter's rights, when the input is made; nothing is asked of the service.
 */
CREATE FUNCTION o365_msgtrace._check_statement(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text := 'EXPLAIN ' || o365_msgtrace._upsert_statement(this, false);
BEGIN
    PERFORM o365_msgtrace._use_path_of(this);
    EXECUTE statement USING ''::text, ''::text, 0::bigint, ''::text, now(), now() - interval '1 hour', now(), '-infinity'::timestamptz;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_statement(o365_msgtrace.input) IS 'internal: an error unless the statement of an ingest can be planned';

-- How many rows of a window the target holds that this input wrote first ($1 to $4: tenant, input_id, window).
CREATE FUNCTION o365_msgtrace._count_statement(target text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT count(*) FROM %s AS t WHERE t.tenant OPERATOR(pg_catalog.=) $1 AND t.input_id OPERATOR(pg_catalog.=) $2 '
                  'AND t.received OPERATOR(pg_catalog.>=) $3 AND t.received OPERATOR(pg_catalog.<) $4', target)
$$;
COMMENT ON FUNCTION o365_msgtrace._count_statement(text) IS
'internal: the query that tells whether rows of the target are absent from a reading';
