/*
 * Which rows of a target are final. That is not stored with the rows: it follows
 * from the ledger, so that settling a day writes no row of it.
 */

/*
 * What is settled, by input, for the rows of one target. A row of an input that
 * has another target now, or does not exist any more, has nobody who knows.
 *
 * Views of users' own refer to this function, so its signature stays. It is
 * called once for a query, and returns its ranges in memory: they are looked
 * into for each row.
 */
CREATE FUNCTION o365_msgtrace._settled_by_input(target regclass)
RETURNS TABLE (input_id text, settled tstzmultirange)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.input_id, range_agg(l.settled)
      FROM o365_msgtrace.input i JOIN o365_msgtrace.ledger l USING (input_number)
     WHERE i.owner = current_user AND to_regclass(i.target) = _settled_by_input.target
     GROUP BY i.input_id
$$;
COMMENT ON FUNCTION o365_msgtrace._settled_by_input(regclass) IS 'internal: what the current role''s inputs have settled of a target; for the views that create_final_view() makes';

-- What every target has. An error names what a table lacks that is to be looked at through views.
CREATE FUNCTION o365_msgtrace._check_viewable(target regclass, needed name[])
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text;
BEGIN
    IF target IS NULL OR (SELECT c.relkind NOT IN ('r', 'p') FROM pg_class c WHERE c.oid = target) THEN
        RAISE EXCEPTION '% is not a table', coalesce(o365_msgtrace._full_name(target), 'NULL')
            USING ERRCODE = 'wrong_object_type',
                DETAIL = 'It has to be the target of an input: a plain or partitioned table.',
                HINT = 'SELECT target FROM o365_msgtrace.input shows the targets that there are.';
    END IF;
    SELECT string_agg(format('"%s"', n.name), ', ' ORDER BY n.name) INTO missing
      FROM unnest(needed) n (name)
     WHERE NOT EXISTS (SELECT FROM pg_attribute a
                        WHERE a.attrelid = target AND a.attname = n.name AND a.attnum > 0 AND NOT a.attisdropped);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'table % lacks columns: %', o365_msgtrace._full_name(target), missing
            USING ERRCODE = 'undefined_column',
                DETAIL = 'A target has them, as long as the foreign table that it is copied from does.',
                HINT = 'Name the target of an input.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_viewable(regclass, name[]) IS 'internal: an error unless a table has these columns';

-- The full name of a view; without a schema it goes to that of its table, whatever the caller's search_path is.
CREATE FUNCTION o365_msgtrace._view_name(view text, target regclass)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts text[];
BEGIN
    BEGIN
        parts := parse_ident(view);
    EXCEPTION WHEN invalid_parameter_value THEN
        parts := NULL;
    END;
    IF coalesce(cardinality(parts), 0) NOT BETWEEN 1 AND 2 THEN
        RAISE EXCEPTION 'invalid name of a view: %', coalesce(quote_literal(view), 'NULL')
            USING ERRCODE = 'invalid_name',
                DETAIL = 'A view is named with or without its schema.',
                HINT = 'Examples: final_trace, archive.final_trace.';
    END IF;
    RETURN format('%I.%I', CASE cardinality(parts) WHEN 2 THEN parts[1]
                           ELSE (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = target) END,
                  parts[cardinality(parts)]);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._view_name(text, regclass) IS 'internal: the full name of a view';

/*
 * Is this name free for a view of ours over the target, or taken by one? A view
 * is ours if its comment says so, for as long as it is over that table.
 */
CREATE FUNCTION o365_msgtrace._check_view_name(name text, target regclass, maker text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home text := (parse_ident(name))[1];
    taken regclass := to_regclass(name);
    is_ours boolean := coalesce(obj_description(taken, 'pg_class') LIKE '%, made by o365\_msgtrace.' || maker || '()', false)
        AND EXISTS (SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                     WHERE r.ev_class = taken AND d.refclassid = 'pg_class'::regclass AND d.refobjid = target);
BEGIN
    IF to_regnamespace(quote_ident(home)) IS NULL THEN
        RAISE EXCEPTION 'schema "%" does not exist', home
            USING ERRCODE = 'invalid_schema_name',
                DETAIL = format('View %s would be made in it.', name),
                HINT = format('CREATE SCHEMA %I;', home);
    END IF;
    IF NOT has_schema_privilege(home, 'CREATE') THEN
        RAISE EXCEPTION 'permission denied for schema %', home
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Role "%s" may not create view %s.', current_user, name),
                HINT = format('GRANT CREATE ON SCHEMA %I TO %I;', home, current_user);
    END IF;
    IF taken IS NOT NULL AND NOT is_ours THEN
        RAISE EXCEPTION 'relation % already exists', name
            USING ERRCODE = 'duplicate_table',
                DETAIL = format('It is not a view over %s that %s() has made, and is left alone.', o365_msgtrace._full_name(target), maker),
                HINT = 'Drop or rename it, or choose another name.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_view_name(text, regclass, text) IS 'internal: an error unless a view of this name can be made or replaced';

/*
 * The list of a view of this name: the columns of the target, and is_final. What
 * the view has already comes first and in its order, as CREATE OR REPLACE wants
 * it, so that a view that is made anew keeps its grants and what depends on it.
 */
CREATE FUNCTION o365_msgtrace._final_view_columns(name text, target regclass)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(c.value, ', ' ORDER BY v.attnum, c.place)
      FROM (SELECT a.attname, format('t.%I', a.attname) AS value, a.attnum::integer AS place
              FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT 'is_final', 's.settled OPERATOR(pg_catalog.@>) t.received AS is_final', 10000) c
      LEFT JOIN pg_attribute v ON v.attrelid = to_regclass(name) AND v.attname = c.attname AND v.attnum > 0 AND NOT v.attisdropped
$$;
COMMENT ON FUNCTION o365_msgtrace._final_view_columns(text, regclass) IS 'internal: the columns of a view that tells which rows are final';

CREATE FUNCTION o365_msgtrace.create_final_view(target regclass, view text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    PERFORM o365_msgtrace._check_viewable(target, ARRAY['tenant', 'input_id', 'received']);
    name := o365_msgtrace._view_name(view, target);
    PERFORM o365_msgtrace._check_view_name(name, target, 'create_final_view');
    IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = target AND a.attname = 'is_final' AND NOT a.attisdropped) THEN
        RAISE EXCEPTION 'table % has a column is_final of its own', o365_msgtrace._full_name(target)
            USING ERRCODE = 'duplicate_column',
                DETAIL = 'The view has all columns of the table, and is_final.',
                HINT = 'Rename the column.';
    END IF;
    EXECUTE format('CREATE OR REPLACE VIEW %s WITH (security_invoker = true) AS SELECT %s FROM %s AS t '
                   'LEFT JOIN o365_msgtrace._settled_by_input(%L::pg_catalog.regclass) AS s ON s.input_id OPERATOR(pg_catalog.=) t.input_id',
        name, o365_msgtrace._final_view_columns(name, target), o365_msgtrace._full_name(target), o365_msgtrace._full_name(target));
    EXECUTE format('COMMENT ON VIEW %s IS %L', name,
        format('rows of %s, and whether they are final, made by o365_msgtrace.create_final_view()', o365_msgtrace._full_name(target)));
    EXECUTE format('COMMENT ON COLUMN %s.is_final IS %L', name,
        'whether the row was read for the last time: the input that first wrote it has settled its time, see o365_msgtrace.coverage. NULL where that is not known: the input is another role''s, was dropped, or has another target now');
END
$$;
COMMENT ON FUNCTION o365_msgtrace.create_final_view(regclass, text) IS
'make a view over the target of inputs with all of its columns and is_final: true where the input that a row carries has settled its time, false where not, NULL where the input is not the current role''s, was dropped, or has another target now. A name without a schema goes to that of the target. A view that this function has made over the same target is replaced, which adds columns that the target has got since. It belongs to the caller and has the rights of who asks, who needs SELECT on the target and USAGE on schema o365_msgtrace. Errors: 42809 no table, 42703 it lacks columns of a target, 42P07 the name is taken by something else, 42602 no name, 3F000 no such schema, 42501 a missing privilege';
