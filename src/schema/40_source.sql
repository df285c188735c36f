/*
 * What an ingest has to know of its source: which of its columns is which,
 * whose mail it shows, and how large its pages are.
 */

-- The columns of message_trace under our names, and what the two APIs call them.
CREATE FUNCTION o365_msgtrace._trace_columns()
RETURNS TABLE (place integer, name name, fields text[], meaning text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES (1, 'message_trace_id'::name, ARRAY['id', 'messagetraceid'], 'id of the message in the service, shared by all its recipients'),
           (2, 'message_id', ARRAY['messageid'], 'the Message-ID header'),
           (3, 'received', ARRAY['receiveddatetime', 'received'], 'when the service received the message'),
           (4, 'sender_address', ARRAY['senderaddress'], 'who sent it'),
           (5, 'recipient_address', ARRAY['recipientaddress'], 'to whom; one row per recipient'),
           (6, 'subject', ARRAY['subject'], 'its subject'),
           (7, 'status', ARRAY['status'], 'what became of it, as of the last reading'),
           (8, 'size', ARRAY['size'], 'its size in bytes'),
           (9, 'from_ip', ARRAY['fromip'], 'address that it was sent from'),
           (10, 'to_ip', ARRAY['toip'], 'address that it was delivered to'),
           (11, 'organization', ARRAY['organization'], 'the tenant''s domain, as the Reporting web service has it'),
           (12, 'raw', ARRAY[]::text[], 'the record as it was sent when the row was last written')
$$;
COMMENT ON FUNCTION o365_msgtrace._trace_columns() IS
'internal: the columns of message_trace, and their names in the service';

-- Which column of the foreign table holds which: by its option "field", else by its name.
CREATE FUNCTION o365_msgtrace._source_columns(source regclass)
RETURNS TABLE (place integer, name name, attname name, type text, type_oid oid, meaning text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT ON (c.place)
           c.place, c.name, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, c.meaning
      FROM o365_msgtrace._trace_columns() c
      JOIN pg_attribute a ON a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN LATERAL (SELECT lower(o.option_value) AS value FROM pg_options_to_table(a.attfdwoptions) o
                          WHERE o.option_name = 'field') field ON true
     WHERE CASE WHEN field.value IS NULL THEN a.attname = c.name
           ELSE field.value = ANY (c.fields) OR field.value = c.name END
     ORDER BY c.place, a.attnum
$$;
COMMENT ON FUNCTION o365_msgtrace._source_columns(regclass) IS
'internal: the columns of a foreign table that hold something of message_trace';

-- An option of the foreign table, or else of its server, or else the default.
CREATE FUNCTION o365_msgtrace._source_option(source regclass, option text, default_value text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT o.option_value FROM pg_foreign_table t, pg_options_to_table(t.ftoptions) o
          WHERE t.ftrelid = source AND o.option_name = option),
        (SELECT o.option_value FROM pg_foreign_table t
           JOIN pg_foreign_server s ON s.oid = t.ftserver, pg_options_to_table(s.srvoptions) o
          WHERE t.ftrelid = source AND o.option_name = option),
        default_value)
$$;
COMMENT ON FUNCTION o365_msgtrace._source_option(regclass, text, text) IS
'internal: an option of a foreign table or its server';

CREATE FUNCTION o365_msgtrace._tenant_label(source regclass)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o365_msgtrace._source_option(source, 'tenant_label',
        (SELECT s.srvname::text FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver
          WHERE t.ftrelid = source))
$$;
COMMENT ON FUNCTION o365_msgtrace._tenant_label(regclass) IS
'internal: the value of the column tenant for rows of this foreign table';

-- The name of a relation, always with its schema.
CREATE FUNCTION o365_msgtrace._full_name(relation oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;
COMMENT ON FUNCTION o365_msgtrace._full_name(oid) IS
'internal: schema and name of a relation, quoted as needed';

/*
 * Can this be read by an ingest, now? Asked when the input is made and at the
 * beginning of every run, before the first request: tables change.
 */
CREATE FUNCTION o365_msgtrace._check_source(source regclass)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrapper name;
    missing text;
BEGIN
    SELECT w.fdwname INTO wrapper
      FROM pg_foreign_table t
      JOIN pg_foreign_server s ON s.oid = t.ftserver
      JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
     WHERE t.ftrelid = source;
    IF wrapper IS DISTINCT FROM 'o365_msgtrace' THEN
        RAISE EXCEPTION '% is not a foreign table of o365_msgtrace', coalesce(o365_msgtrace._full_name(source), source::text)
            USING ERRCODE = 'wrong_object_type',
                DETAIL = CASE WHEN o365_msgtrace._full_name(source) IS NULL THEN 'There is no such table any more.'
                         WHEN wrapper IS NULL THEN 'It is not a foreign table.'
                         ELSE format('It is a foreign table of "%s".', wrapper) END,
                HINT = 'IMPORT FOREIGN SCHEMA exchange FROM SERVER ... INTO ... makes such a table.';
    END IF;
    IF o365_msgtrace._source_option(source, 'table', 'message_trace') <> 'message_trace' THEN
        RAISE EXCEPTION 'foreign table % does not hold message traces', o365_msgtrace._full_name(source)
            USING ERRCODE = 'wrong_object_type',
                DETAIL = format('Its option "table" is "%s".', o365_msgtrace._source_option(source, 'table', '')),
                HINT = 'Name a foreign table whose option "table" is "message_trace".';
    END IF;

    SELECT string_agg(format('"%s"', k.name), ', ' ORDER BY k.name) INTO missing
      FROM unnest(ARRAY['message_trace_id', 'received', 'recipient_address']) k (name)
     WHERE NOT EXISTS (SELECT FROM o365_msgtrace._source_columns(source) c
                        WHERE c.name = k.name AND (c.name <> 'received' OR c.type_oid = 'timestamptz'::regtype));
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'foreign table % lacks columns that an ingest needs: %', o365_msgtrace._full_name(source), missing
            USING ERRCODE = 'undefined_column',
                DETAIL = 'The key of a row is message_trace_id, recipient_address and received, and received must be a timestamptz.',
                HINT = 'Add the columns to the foreign table, or name them by the column option "field".';
    END IF;

    IF NOT has_table_privilege(source, 'SELECT') THEN
        RAISE EXCEPTION 'permission denied for foreign table %', o365_msgtrace._full_name(source)
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Role "%s" has no SELECT privilege.', current_user),
                HINT = format('GRANT SELECT ON %s TO %I;', o365_msgtrace._full_name(source), current_user);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_source(regclass) IS
'internal: an error unless an ingest can read this table';

CREATE FUNCTION o365_msgtrace._api(source regclass)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o365_msgtrace._source_option(source, 'api',
        CASE WHEN o365_msgtrace._source_option(source, 'plan', 'enterprise') IN ('gcc_high', 'dod')
             THEN 'reporting' ELSE 'graph' END)
$$;
COMMENT ON FUNCTION o365_msgtrace._api(regclass) IS 'internal: the API that this source asks';

CREATE FUNCTION o365_msgtrace._page_size(source regclass)
RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o365_msgtrace._source_option(source, 'page_size',
        CASE o365_msgtrace._api(source) WHEN 'reporting' THEN '2000' ELSE '5000' END)::integer
$$;
COMMENT ON FUNCTION o365_msgtrace._page_size(regclass) IS 'internal: rows of a page of this source';
