/*
 * The details of an input's deliveries: which foreign table they are read from,
 * and the table that they are written to.
 *
 * Events have no key of their own: several of one second, and even equal ones,
 * are possible. So they are numbered within their delivery, whose events are
 * always written all together.
 */

-- The columns of message_trace_detail under our names, and what the two APIs call them; the key goes by its names only.
CREATE FUNCTION o365_msgtrace._detail_columns()
RETURNS TABLE (place integer, name name, fields text[], meaning text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES (1, 'message_trace_id'::name, ARRAY[]::text[], 'id of the message in the service'),
           (2, 'recipient_address', ARRAY[]::text[], 'to whom: with message_trace_id the delivery that the event is of'),
           (4, 'message_id', ARRAY['messageid'], 'the Message-ID header'),
           (5, 'event_time', ARRAY['datetime', 'date'], 'when it happened'),
           (6, 'event', ARRAY['event'], 'what happened'),
           (7, 'action', ARRAY['action'], 'what a rule did'),
           (8, 'detail', ARRAY['description', 'detail'], 'the event in words'),
           (9, 'data', ARRAY['data'], 'more of it, as XML'),
           (10, 'organization', ARRAY['organization'], 'the tenant''s domain, as the Reporting web service has it'),
           (11, 'raw', ARRAY[]::text[], 'the record as it was sent')
$$;
COMMENT ON FUNCTION o365_msgtrace._detail_columns() IS
'internal: the columns of message_trace_detail, and their names in the service';

-- Which column of a foreign table of details holds which.
CREATE FUNCTION o365_msgtrace._detail_source_columns(details regclass)
RETURNS TABLE (place integer, name name, attname name, type text, meaning text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT ON (c.place) c.place, c.name, a.attname, format_type(a.atttypid, a.atttypmod), c.meaning
      FROM o365_msgtrace._detail_columns() c
      JOIN pg_attribute a ON a.attrelid = details AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN LATERAL (SELECT lower(o.option_value) AS value FROM pg_options_to_table(a.attfdwoptions) o
                          WHERE o.option_name = 'field') field ON true
     WHERE CASE WHEN field.value IS NULL THEN a.attname = c.name ELSE field.value = ANY (c.fields) END
     ORDER BY c.place, a.attnum
$$;
COMMENT ON FUNCTION o365_msgtrace._detail_source_columns(regclass) IS
'internal: the columns of a foreign table that hold something of message_trace_detail';

CREATE FUNCTION o365_msgtrace._own_detail_columns()
RETURNS TABLE (place integer, name name, type text, meaning text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES (0, 'tenant'::name, 'text', 'the tenant: option tenant_label of the server, else the server''s name'),
           (3, 'event_number', 'integer', 'numbers the events of a delivery from 1, in the order of their time'),
           (101, 'input_id', 'text', 'the input that wrote the events of the delivery last'),
           (102, 'run_id', 'bigint', 'its run that did, see o365_msgtrace.run_log'),
           (103, 'ingested_at', 'timestamptz', 'when that was')
$$;
COMMENT ON FUNCTION o365_msgtrace._own_detail_columns() IS
'internal: columns of a detail_target that do not come from the service';

/*
 * The foreign tables of details that stand beside a source: those of its server,
 * that of its own schema first, and that the current role may read. Nobody has
 * named them, and the types of a table's columns can be code of its owner's, which
 * a reading would run: so only tables of whom the reader trusts anyway, which are
 * the role itself, the owner of the source, and superusers.
 */
CREATE FUNCTION o365_msgtrace._detail_sources(source regclass)
RETURNS TABLE (details regclass, readable boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.oid::regclass, has_schema_privilege(d.relnamespace, 'USAGE') AND has_table_privilege(d.oid, 'SELECT')
      FROM pg_foreign_table s
      JOIN pg_class sc ON sc.oid = s.ftrelid
      JOIN pg_foreign_table t ON t.ftserver = s.ftserver
      JOIN pg_class d ON d.oid = t.ftrelid
      JOIN pg_namespace n ON n.oid = d.relnamespace
      JOIN pg_roles o ON o.oid = d.relowner
     WHERE s.ftrelid = source
       AND (d.relowner = sc.relowner OR o.rolname = current_user OR o.rolsuper)
       AND EXISTS (SELECT FROM pg_options_to_table(t.ftoptions) o
                    WHERE o.option_name = 'table' AND o.option_value = 'message_trace_detail')
       AND (SELECT count(*) FROM o365_msgtrace._detail_source_columns(d.oid) c
             WHERE c.name IN ('message_trace_id', 'recipient_address')) = 2
     ORDER BY 2 DESC, d.relnamespace = sc.relnamespace DESC, n.nspname, d.relname
$$;
COMMENT ON FUNCTION o365_msgtrace._detail_sources(regclass) IS
'internal: foreign tables with the details of a source''s deliveries, the best one first';

CREATE FUNCTION o365_msgtrace._detail_source(source regclass)
RETURNS regclass
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_table record;
    server name;
    home name;
BEGIN
    SELECT * INTO found_table FROM o365_msgtrace._detail_sources(source) LIMIT 1;
    IF found_table.readable THEN
        RETURN found_table.details;
    END IF;
    IF found_table.details IS NOT NULL THEN
        RAISE EXCEPTION 'permission denied for foreign table %', o365_msgtrace._full_name(found_table.details)
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Details are read through it, and role "%s" has no SELECT privilege on it, or no USAGE on its schema.', current_user),
                HINT = format('GRANT SELECT ON %s TO %I;', o365_msgtrace._full_name(found_table.details), current_user);
    END IF;
    SELECT s.srvname, n.nspname INTO server, home
      FROM pg_foreign_table t
      JOIN pg_foreign_server s ON s.oid = t.ftserver
      JOIN pg_class c ON c.oid = t.ftrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE t.ftrelid = source;
    RAISE EXCEPTION 'server "%" has no foreign table of details', server
        USING ERRCODE = 'undefined_table',
            DETAIL = format('The details of deliveries are read through a foreign table of the same server as the source, with option "table" ''message_trace_detail'' and the columns message_trace_id and recipient_address, which belongs to role "%s", to the owner of the source or to a superuser.', current_user),
            HINT = format('IMPORT FOREIGN SCHEMA exchange LIMIT TO (message_trace_detail) FROM SERVER %I INTO %I;', server, home);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._detail_source(regclass) IS
'internal: the foreign table that the details of a source''s deliveries are read from, an error if there is none';

-- What the details of one delivery cost: Reporting wants its row first.
CREATE FUNCTION o365_msgtrace._detail_cost(source regclass)
RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE o365_msgtrace._api(source) WHEN 'reporting' THEN 2 ELSE 1 END $$;
COMMENT ON FUNCTION o365_msgtrace._detail_cost(regclass) IS 'internal: requests for the details of one delivery';

CREATE FUNCTION o365_msgtrace._create_detail_target(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    details regclass := o365_msgtrace._detail_source(this.source);
    home name := (parse_ident(this.detail_target))[1];
    part record;
BEGIN
    IF NOT has_schema_privilege(home, 'CREATE') THEN
        RAISE EXCEPTION 'permission denied for schema %', home
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Table %s does not exist, and role "%s" may not create it.', this.detail_target, current_user),
                HINT = format('GRANT CREATE ON SCHEMA %I TO %I;', home, current_user);
    END IF;
    EXECUTE format('CREATE TABLE %s (%s, PRIMARY KEY (tenant, message_trace_id, recipient_address, event_number))',
        this.detail_target,
        (SELECT string_agg(format('%I %s%s', c.name, c.type,
                CASE WHEN c.name IN ('message_trace_id', 'recipient_address') OR c.is_own THEN ' NOT NULL' ELSE '' END), ', ' ORDER BY c.place)
           FROM (SELECT place, name, type, true AS is_own FROM o365_msgtrace._own_detail_columns()
                 UNION ALL
                 SELECT place, name, type, false FROM o365_msgtrace._detail_source_columns(details)) c));
    EXECUTE format('COMMENT ON TABLE %s IS %L', this.detail_target,
                   format('details of deliveries, copied from %s by o365_msgtrace', o365_msgtrace._full_name(details)));
    FOR part IN
        SELECT c.name, c.meaning FROM o365_msgtrace._own_detail_columns() c
        UNION ALL
        SELECT c.name, c.meaning FROM o365_msgtrace._detail_source_columns(details) c
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', this.detail_target, part.name, part.meaning);
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._create_detail_target(o365_msgtrace.input) IS
'internal: make the table that details are written to; it belongs to the caller';

/*
 * Can details be read and written, now? Asked when the input is made and before
 * the first request of every run. No key is asked for: rows of a delivery are
 * deleted and written all together, so that every table can hold them.
 */
CREATE FUNCTION o365_msgtrace._check_detail_target(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    details regclass;
    relation regclass;
    missing text;
BEGIN
    IF this.detail_filter IS NULL THEN
        RETURN;
    END IF;
    details := o365_msgtrace._detail_source(this.source);
    PERFORM o365_msgtrace._check_home(this.detail_target);
    relation := to_regclass(this.detail_target);
    IF relation IS NULL THEN
        RAISE EXCEPTION 'detail_target % does not exist', this.detail_target
            USING ERRCODE = 'undefined_table',
                DETAIL = 'It was dropped or renamed after its input was given it.',
                HINT = 'Restore it, or name it once more by alter_input(), which creates it.';
    END IF;
    IF (SELECT relkind NOT IN ('r', 'p') OR relpersistence = 't' FROM pg_class WHERE oid = relation) THEN
        RAISE EXCEPTION 'detail_target % is not a permanent table', this.detail_target
            USING ERRCODE = 'wrong_object_type',
                DETAIL = 'An ingest replaces the events of a delivery, from several sessions.',
                HINT = 'Name a plain or partitioned table, or one that does not exist yet.';
    END IF;

    SELECT string_agg(format('"%s"', c.name), ', ' ORDER BY c.place) INTO missing
      FROM (SELECT place, name FROM o365_msgtrace._own_detail_columns()
            UNION ALL
            SELECT place, name FROM o365_msgtrace._detail_source_columns(details)) c
     WHERE NOT EXISTS (SELECT FROM pg_attribute a
                        WHERE a.attrelid = relation AND a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'detail_target % lacks columns: %', this.detail_target, missing
            USING ERRCODE = 'undefined_column',
                DETAIL = format('It needs those of %s that hold details, and %s.', o365_msgtrace._full_name(details),
                                (SELECT string_agg(name, ', ' ORDER BY place) FROM o365_msgtrace._own_detail_columns())),
                HINT = 'Add them by ALTER TABLE ... ADD COLUMN, or name a table that does not exist yet.';
    END IF;

    PERFORM o365_msgtrace._check_table_privileges(this.detail_target, ARRAY['SELECT', 'INSERT', 'DELETE']);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_detail_target(o365_msgtrace.input) IS
'internal: an error unless an ingest can read details and write them';

/*
 * The statement that enters the deliveries of a part of time which want details:
 * $1 tenant, $2 input_id, $3 and $4 the part, its end excluded, $5 what is older
 * is settled. One of the target's rows is as good as another where it has several
 * of one delivery.
 *
 * A delivery is due when it is new here, when its row was written since, or once
 * more when its time is settled: the last events may come after the last change.
 */
CREATE FUNCTION o365_msgtrace._find_statement(this o365_msgtrace.input)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(
        E'INSERT INTO o365_msgtrace.detail_record AS r (input_id, message_trace_id, recipient_address, received, row_updated_at) '
        'SELECT DISTINCT ON (f.id, f.recipient) $2, f.id, f.recipient, f.received, f.updated_at '
          'FROM (SELECT t.message_trace_id::uuid AS id, t.recipient_address::text AS recipient, t.received, '
                       'coalesce(t.updated_at::timestamptz, ''-infinity'') AS updated_at '
                  'FROM %s AS t '
                 'WHERE t.tenant OPERATOR(pg_catalog.=) $1 AND t.received OPERATOR(pg_catalog.>=) $3 '
                   'AND t.received OPERATOR(pg_catalog.<) $4 AND (%s\n)) AS f '
         'ORDER BY f.id, f.recipient, f.received DESC '
        'ON CONFLICT (input_id, message_trace_id, recipient_address) DO UPDATE '
        'SET received = EXCLUDED.received, row_updated_at = EXCLUDED.row_updated_at, due = true, failures = 0, next_try_at = NULL '
        'WHERE r.row_updated_at OPERATOR(pg_catalog.<>) EXCLUDED.row_updated_at '
           'OR NOT r.due AND NOT r.final AND EXCLUDED.received OPERATOR(pg_catalog.<) $5',
        (this).target, (this).detail_filter)
$$;
COMMENT ON FUNCTION o365_msgtrace._find_statement(o365_msgtrace.input) IS
'internal: the statement that finds the deliveries whose details are wanted';

CREATE FUNCTION o365_msgtrace._check_detail_filter(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM o365_msgtrace._use_path_of(this);
    EXECUTE 'EXPLAIN ' || o365_msgtrace._find_statement(this) USING ''::text, ''::text, now(), now(), now();
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'invalid detail_filter: %', SQLERRM
        USING ERRCODE = SQLSTATE,
            DETAIL = format('The detail_filter is: %s', this.detail_filter),
            HINT = 'It is a condition over the columns of the target, such as: status = ''failed'' AND recipient_address LIKE ''%@contoso.com''.';
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_detail_filter(o365_msgtrace.input) IS
'internal: an error unless the detail_filter of an input is a condition';

-- Make what details are written to, where it is not there yet, and see that all will do.
CREATE FUNCTION o365_msgtrace._provide_detail_target(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF this.detail_filter IS NULL THEN
        RETURN;
    END IF;
    PERFORM o365_msgtrace._check_detail_filter(this);
    IF to_regclass(this.detail_target) IS NULL THEN
        PERFORM o365_msgtrace._create_detail_target(this);
        RAISE NOTICE 'created table %', this.detail_target;
    END IF;
    PERFORM o365_msgtrace._check_detail_target(this);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._provide_detail_target(o365_msgtrace.input) IS
'internal: the detail_target of an input, made if need be';
