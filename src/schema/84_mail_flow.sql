/*
 * Views over a target that answer what is asked first of mail: how much, from
 * where to where, what became of it, who sends most, and what failed. They are
 * plain views of the user's own, over his table alone: nothing of ours has to
 * be there for them to be read, be it by psql, Grafana or whatever.
 *
 * Times are those of UTC, by date_bin(), which is immutable where date_trunc() is
 * not: so an index on the same expression serves them.
 */

-- The views by the end of their names, with their queries over a target.
CREATE FUNCTION o365_msgtrace._mail_flow_views(target regclass)
RETURNS TABLE (suffix text, query text, meaning text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    table_name constant text := o365_msgtrace._full_name(target);
    hour constant text := 'date_bin(''1 hour'', t.received, timestamptz ''2000-01-01 00:00:00+00'')';
    day constant text := 'date_bin(''1 day'', t.received, timestamptz ''2000-01-01 00:00:00+00'')';
    domain constant text := 'lower(CASE WHEN position(''@'' IN t.%1$I::text) > 0 THEN split_part(t.%1$I::text, ''@'', -1) END)';
    counts constant text := 'count(*) AS deliveries, count(DISTINCT t.message_trace_id) AS messages';
    results constant text :=
        'count(*) FILTER (WHERE lower(t.status::text) = ''delivered'') AS delivered, '
        'count(*) FILTER (WHERE lower(t.status::text) = ''failed'') AS failed, '
        'count(*) FILTER (WHERE lower(t.status::text) = ''quarantined'') AS quarantined, '
        'count(*) FILTER (WHERE lower(t.status::text) = ''filteredasspam'') AS spam, '
        'count(*) FILTER (WHERE lower(t.status::text) IN (''pending'', ''gettingstatus'')) AS pending, '
        'coalesce(sum(t.size), 0)::bigint AS bytes';
BEGIN
    RETURN QUERY VALUES
        ('by_hour',
         format('SELECT t.tenant, %s AS hour, %s, %s FROM %s AS t GROUP BY 1, 2', hour, counts, results, table_name),
         'mail by hour'),
        ('by_domain',
         format('SELECT t.tenant, %s AS day, %s AS sender_domain, %s AS recipient_domain, %s, %s FROM %s AS t GROUP BY 1, 2, 3, 4',
                day, format(domain, 'sender_address'), format(domain, 'recipient_address'), counts, results, table_name),
         'mail by day, domain of the sender and domain of the recipient'),
        ('by_status',
         format('SELECT t.tenant, %s AS hour, t.status, %s, coalesce(sum(t.size), 0)::bigint AS bytes FROM %s AS t GROUP BY 1, 2, 3',
                hour, counts, table_name),
         'mail by hour and status'),
        ('top_senders',
         format('SELECT t.tenant, %1$s AS day, rank() OVER (PARTITION BY t.tenant, %1$s ORDER BY count(*) DESC) AS rank, t.sender_address, '
                'count(DISTINCT t.recipient_address) AS recipients, %2$s, %3$s FROM %4$s AS t GROUP BY t.tenant, %1$s, t.sender_address',
                day, counts, results, table_name),
         'senders by day, those with most deliveries first in rank'),
        ('failed',
         format('SELECT t.tenant, t.received, t.status, t.sender_address, t.recipient_address, t.subject, t.size, t.message_trace_id FROM %s AS t '
                'WHERE lower(t.status::text) IN (''failed'', ''quarantined'')', table_name),
         'deliveries that failed or were quarantined');
END
$$;
COMMENT ON FUNCTION o365_msgtrace._mail_flow_views(regclass) IS 'internal: the views that create_mail_flow() makes';

CREATE FUNCTION o365_msgtrace._mail_flow_columns()
RETURNS TABLE (name name, meaning text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('tenant'::name, 'the tenant, see the server''s option tenant_label'),
           ('hour', 'beginning of the hour, in UTC, that it was received in'),
           ('day', 'beginning of the day, in UTC, that it was received in'),
           ('sender_domain', 'what follows the @ of the sender''s address, in lower case; NULL if there is none'),
           ('recipient_domain', 'what follows the @ of the recipient''s address, in lower case; NULL if there is none'),
           ('rank', '1 for who has most deliveries of the tenant and day; equal ones share a rank'),
           ('recipients', 'recipients, each counted once'),
           ('deliveries', 'messages, each counted as often as it has recipients'),
           ('messages', 'messages, each counted once, in every row that has recipients of it'),
           ('delivered', 'deliveries with status delivered'),
           ('failed', 'deliveries with status failed'),
           ('quarantined', 'deliveries with status quarantined'),
           ('spam', 'deliveries with status filteredAsSpam'),
           ('pending', 'deliveries with status pending or gettingStatus'),
           ('bytes', 'sizes of the messages, each counted as often as it has recipients'),
           ('received', 'when the service received the message'),
           ('status', 'what became of it, as of the last reading'),
           ('sender_address', 'who sent it; NULL if nobody, as a bounce'),
           ('recipient_address', 'to whom'),
           ('subject', 'its subject'),
           ('size', 'its size in bytes'),
           ('message_trace_id', 'id of the message in the service, as for message_trace_detail')
$$;
COMMENT ON FUNCTION o365_msgtrace._mail_flow_columns() IS 'internal: what the columns of mail flow views mean';

CREATE FUNCTION o365_msgtrace._make_mail_flow_view(target regclass, name text, query text, meaning text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part record;
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW %s WITH (security_invoker = true) AS %s', name, query);
    EXECUTE format('COMMENT ON VIEW %s IS %L', name,
        format('%s, of %s, made by o365_msgtrace.create_mail_flow()', meaning, o365_msgtrace._full_name(target)));
    FOR part IN
        SELECT c.name, c.meaning FROM o365_msgtrace._mail_flow_columns() c
          JOIN pg_attribute a ON a.attrelid = to_regclass(_make_mail_flow_view.name) AND a.attname = c.name
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', name, part.name, part.meaning);
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._make_mail_flow_view(regclass, text, text, text) IS 'internal: make one of the mail flow views';

CREATE FUNCTION o365_msgtrace.create_mail_flow(target regclass, schema text DEFAULT NULL, prefix text DEFAULT 'mail_flow')
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home name := coalesce(schema, (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = target));
    part record;
BEGIN
    PERFORM o365_msgtrace._check_viewable(target, ARRAY['tenant', 'received', 'message_trace_id', 'sender_address',
                                                        'recipient_address', 'subject', 'status', 'size']);
    IF coalesce(octet_length(prefix), 0) NOT BETWEEN 1 AND 50 THEN
        RAISE EXCEPTION 'invalid prefix of mail flow views: %', coalesce(quote_literal(left(prefix, 120)), 'NULL')
            USING ERRCODE = 'invalid_name',
                DETAIL = 'The names of the views begin with it; it has 1 to 50 bytes.',
                HINT = 'The default is mail_flow, which makes mail_flow_by_hour and so on.';
    END IF;
    FOR part IN SELECT format('%I.%I', home, prefix || '_' || v.suffix) AS name FROM o365_msgtrace._mail_flow_views(target) v LOOP
        PERFORM o365_msgtrace._check_view_name(part.name, target, 'create_mail_flow');
    END LOOP;
    FOR part IN SELECT format('%I.%I', home, prefix || '_' || v.suffix) AS name, v.query, v.meaning FROM o365_msgtrace._mail_flow_views(target) v LOOP
        PERFORM o365_msgtrace._make_mail_flow_view(target, part.name, part.query, part.meaning);
        RETURN NEXT part.name;
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.create_mail_flow(regclass, text, text) IS
'make five views over the target of inputs, in the schema named (default: that of the target), and return their names: mail_flow_by_hour, mail_flow_by_domain (by day), mail_flow_by_status (by hour), mail_flow_top_senders (by day, with rank) and mail_flow_failed (deliveries that failed or were quarantined); "prefix" stands for mail_flow. Each has a column tenant. Hours and days are those of UTC. Views that this function has made over the same target are replaced. They belong to the caller and have the rights of who asks, who needs SELECT on the target only. Errors: 42809 no table, 42703 it lacks columns, 42P07 a name is taken by something else, 42602 no prefix, 3F000 no such schema, 42501 no CREATE on it';
