/*
 * Partitions of a target, for an input with partition_by: those of a window are
 * made before it is read, and some ahead.
 *
 * A partition is made as a table of its own and attached, which takes a lock on
 * the target that lets everybody read and write, where CREATE TABLE ... PARTITION
 * OF would keep them all out. Inputs that share a target make room one after the
 * other, and look again when it is their turn. What partitions there are is read
 * from the catalog and not from names, so that those of others count as well.
 */

/*
 * The partitions of a table that is partitioned by range of one timestamptz, and
 * the part of time of each; NULL for the DEFAULT partition. Bounds are printed
 * and read with the same settings.
 */
CREATE FUNCTION o365_msgtrace._partitions(target regclass)
RETURNS TABLE (partition oid, span tstzrange)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
    SELECT c.oid, CASE WHEN b.bounds IS NOT NULL THEN tstzrange(b.bounds[1]::timestamptz, b.bounds[2]::timestamptz) END
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid,
           LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid),
               '^FOR VALUES FROM \((?:MINVALUE|''([^'']*)'')\) TO \((?:MAXVALUE|''([^'']*)'')\)$') b (bounds)
     WHERE i.inhparent = target AND c.relispartition AND NOT i.inhdetachpending
$$;
COMMENT ON FUNCTION o365_msgtrace._partitions(regclass) IS 'internal: the partitions of a target';

-- The day or month, in UTC, that a point in time lies in.
CREATE FUNCTION o365_msgtrace._partition_start(partition_by text, at timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT date_trunc(partition_by, at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' $$;
COMMENT ON FUNCTION o365_msgtrace._partition_start(text, timestamptz) IS 'internal: where the partition of a point in time begins';

-- The days or months that a part of time touches.
CREATE FUNCTION o365_msgtrace._partition_units(partition_by text, span tstzrange)
RETURNS SETOF tstzrange
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tstzrange(u.start AT TIME ZONE 'UTC', (u.start + s.step) AT TIME ZONE 'UTC')
      FROM (SELECT make_interval(months => CASE partition_by WHEN 'month' THEN 1 ELSE 0 END,
                                 days => CASE partition_by WHEN 'day' THEN 1 ELSE 0 END) AS step) s,
           generate_series(o365_msgtrace._partition_start(partition_by, lower(span)) AT TIME ZONE 'UTC',
                           upper(span) AT TIME ZONE 'UTC' - interval '1 microsecond', s.step) u (start)
     WHERE NOT isempty(span)
$$;
COMMENT ON FUNCTION o365_msgtrace._partition_units(text, tstzrange) IS 'internal: the days or months of a part of time';

/*
 * What partitions it takes to hold a part of time beside those that there are:
 * whole days or months, or what others leave of them. Where the DEFAULT
 * partition has rows already, it has to have the rest of them, too.
 */
CREATE FUNCTION o365_msgtrace._missing_partitions(this o365_msgtrace.input, wanted tstzrange)
RETURNS SETOF tstzrange
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation regclass := to_regclass(this.target);
    there tstzmultirange;
    has_default boolean;
    is_there boolean;
    part tstzrange;
BEGIN
    SELECT coalesce(range_agg(p.span) FILTER (WHERE p.span IS NOT NULL), '{}'), coalesce(bool_or(p.span IS NULL), false)
      INTO there, has_default
      FROM o365_msgtrace._partitions(relation) p;
    FOR part IN
        SELECT g.part
          FROM o365_msgtrace._partition_units(this.partition_by, wanted) u (unit),
               LATERAL unnest(tstzmultirange(u.unit) - there) g (part)
         WHERE g.part && wanted
         ORDER BY g.part
    LOOP
        IF has_default THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE t.received OPERATOR(pg_catalog.>=) $1 AND t.received OPERATOR(pg_catalog.<) $2)', this.target)
               INTO is_there USING lower(part), upper(part);
            CONTINUE WHEN is_there;
        END IF;
        RETURN NEXT part;
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._missing_partitions(o365_msgtrace.input, tstzrange) IS 'internal: the partitions that are to be made for a part of time';

/*
 * A name for a partition: the target's and the day or month, such as
 * mt_p20260510. What is too long for a name is cut, and a hash tells it from
 * others that are cut alike; the number is for names that are taken.
 */
CREATE FUNCTION o365_msgtrace._partition_name(table_name text, partition_by text, start timestamptz, number integer)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN octet_length(table_name || s.suffix) <= 63 THEN table_name || s.suffix
           ELSE (SELECT left(table_name, n) || s.hash || s.suffix
                   FROM generate_series(length(table_name), 0, -1) n
                  WHERE octet_length(left(table_name, n) || s.hash || s.suffix) <= 63 LIMIT 1) END
      FROM (SELECT '_p' || to_char(start AT TIME ZONE 'UTC', CASE partition_by WHEN 'month' THEN 'YYYYMM' ELSE 'YYYYMMDD' END)
                   || CASE WHEN number > 0 THEN '_' || number ELSE '' END AS suffix,
                   '_' || left(encode(sha256(convert_to(table_name, 'UTF8')), 'hex'), 8) AS hash) s
$$;
COMMENT ON FUNCTION o365_msgtrace._partition_name(text, text, timestamptz, integer) IS 'internal: what a partition is called';

-- What a table of a partitioned table's own has to be like to be attached to it, where it lies, and how its rows are stored.
CREATE FUNCTION o365_msgtrace._partition_definition(target regclass)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('(LIKE %s INCLUDING CONSTRAINTS INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION)%s%s',
                  o365_msgtrace._full_name(target),
                  (SELECT format(' USING %I', a.amname) FROM pg_am a WHERE a.oid = c.relam),
                  (SELECT format(' TABLESPACE %I', t.spcname) FROM pg_tablespace t WHERE t.oid = c.reltablespace))
      FROM pg_class c WHERE c.oid = target
$$;
COMMENT ON FUNCTION o365_msgtrace._partition_definition(regclass) IS 'internal: the definition of a new partition';

-- The empty table of a partition; returns its full name. It belongs to who owns the target, as far as that can be.
CREATE FUNCTION o365_msgtrace._create_partition_table(this o365_msgtrace.input, part tstzrange)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation regclass := to_regclass(this.target);
    target pg_class;
    partition text;
BEGIN
    SELECT * INTO target FROM pg_class c WHERE c.oid = relation;
    FOR number IN 0..1000 LOOP
        partition := format('%s.%I', quote_ident((parse_ident(this.target))[1]),
            o365_msgtrace._partition_name(target.relname, this.partition_by, lower(part), number));
        BEGIN
            EXECUTE format('CREATE TABLE %s %s', partition, o365_msgtrace._partition_definition(relation));
            EXIT;
        EXCEPTION WHEN duplicate_table OR duplicate_object OR unique_violation THEN
            IF number = 1000 THEN
                RAISE;
            END IF;
        END;
    END LOOP;
    IF pg_get_userbyid(target.relowner) <> current_user THEN
        BEGIN
            EXECUTE format('ALTER TABLE %s OWNER TO %I', partition, pg_get_userbyid(target.relowner));
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END IF;
    RETURN partition;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._create_partition_table(o365_msgtrace.input, tstzrange) IS 'internal: the table of a new partition';

CREATE FUNCTION o365_msgtrace._make_partition(this o365_msgtrace.input, part tstzrange)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition text := o365_msgtrace._create_partition_table(this, part);
    since text := to_char(lower(part) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00';
    until text := to_char(upper(part) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00';
BEGIN
    EXECUTE format('COMMENT ON TABLE %s IS %L', partition,
        format('what was received from %s to %s UTC, of %s; made by o365_msgtrace',
               o365_msgtrace._utc(lower(part)), o365_msgtrace._utc(upper(part)), this.target));
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', this.target, partition, since, until);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._make_partition(o365_msgtrace.input, tstzrange) IS 'internal: make a partition of a target';

/*
 * Make the partitions of a part of time. True if any were missing: the lock on
 * the target, which keeps others from making partitions, must then be let go of
 * by a commit before anything that takes long.
 */
CREATE FUNCTION o365_msgtrace._provide_partitions(this o365_msgtrace.input, wanted tstzrange)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $$
DECLARE
    part tstzrange;
BEGIN
    IF this.partition_by IS NULL OR NOT EXISTS (SELECT FROM o365_msgtrace._missing_partitions(this, wanted)) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', this.target);
    FOR part IN SELECT m FROM o365_msgtrace._missing_partitions(this, wanted) m LOOP
        PERFORM o365_msgtrace._make_partition(this, part);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._provide_partitions(o365_msgtrace.input, tstzrange) IS 'internal: make partitions where there are none';
