/*
 * Can a target be written by an ingest, now? Asked when the input is made and by
 * every run before its first request: tables and privileges change. Each reason
 * why not has an error of its own.
 */

-- Has the table a unique index that ON CONFLICT can use for our key?
CREATE FUNCTION o365_msgtrace._has_key(target regclass)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_index x
         WHERE x.indrelid = target AND x.indisunique AND x.indimmediate AND x.indisvalid
           AND x.indpred IS NULL AND x.indexprs IS NULL
           AND (SELECT array_agg(a.attname ORDER BY a.attname)
                  FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, nth)
                  JOIN pg_attribute a ON a.attrelid = target AND a.attnum = k.attnum
                 WHERE k.nth <= x.indnkeyatts)
               = ARRAY['message_trace_id', 'received', 'recipient_address', 'tenant']::name[])
$$;
COMMENT ON FUNCTION o365_msgtrace._has_key(regclass) IS
'internal: whether a table is unique by tenant, received, message_trace_id, recipient_address';

-- The columns that an ingest writes.
CREATE FUNCTION o365_msgtrace._written_columns(this o365_msgtrace.input)
RETURNS TABLE (place integer, name name)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT place, name FROM o365_msgtrace._own_columns()
    UNION ALL
    SELECT place, name FROM o365_msgtrace._copied_columns(this)
$$;
COMMENT ON FUNCTION o365_msgtrace._written_columns(o365_msgtrace.input) IS 'internal: the columns of a target that an ingest writes';

-- May the schema be looked into at all? Without it, nothing can be said of the table.
CREATE FUNCTION o365_msgtrace._check_home(target text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home name := (parse_ident(target))[1];
BEGIN
    IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = home) AND NOT has_schema_privilege(home, 'USAGE') THEN
        RAISE EXCEPTION 'permission denied for schema %', home
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Table %s lies in it, and role "%s" has not the privilege USAGE.', target, current_user),
                HINT = format('GRANT USAGE ON SCHEMA %I TO %I;', home, current_user);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_home(text) IS 'internal: an error unless the schema of a table may be used';

CREATE FUNCTION o365_msgtrace._check_target_kind(this o365_msgtrace.input, relation regclass)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF relation IS NULL THEN
        RAISE EXCEPTION 'target table % does not exist', this.target
            USING ERRCODE = 'undefined_table',
                DETAIL = 'It was dropped or renamed after its input was made.',
                HINT = format('Restore it, or SELECT o365_msgtrace.alter_input(%L, target => %L), which makes it anew and has all read again; give one that was renamed its new name there, with keep_coverage => true.',
                              this.input_id, this.target);
    END IF;
    IF (SELECT relkind NOT IN ('r', 'p') OR relpersistence = 't' FROM pg_class WHERE oid = relation) THEN
        RAISE EXCEPTION 'target % is not a permanent table', this.target
            USING ERRCODE = 'wrong_object_type',
                DETAIL = 'An ingest updates rows by their key, from several sessions.',
                HINT = 'Name a plain or partitioned table, or one that does not exist yet.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_target_kind(o365_msgtrace.input, regclass) IS 'internal: an error unless a target is a table';

CREATE FUNCTION o365_msgtrace._check_target_columns(this o365_msgtrace.input, relation regclass)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text;
    unwritable text;
    type regtype;
BEGIN
    SELECT string_agg(format('"%s"', c.name), ', ' ORDER BY c.place) FILTER (WHERE a.attname IS NULL),
           string_agg(format('"%s"', c.name), ', ' ORDER BY c.place) FILTER (WHERE a.attgenerated <> '' OR a.attidentity = 'a'),
           max(a.atttypid) FILTER (WHERE c.name = 'received')
      INTO missing, unwritable, type
      FROM o365_msgtrace._written_columns(this) c
      LEFT JOIN pg_attribute a ON a.attrelid = relation AND a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'target % lacks columns: %', this.target, missing
            USING ERRCODE = 'undefined_column',
                DETAIL = format('It needs those of %s that hold message traces, the fields of the input, and %s.', o365_msgtrace._full_name(this.source),
                                (SELECT string_agg(name, ', ' ORDER BY place) FROM o365_msgtrace._own_columns())),
                HINT = 'Add them by ALTER TABLE ... ADD COLUMN, or name a table that does not exist yet.';
    END IF;
    IF unwritable IS NOT NULL THEN
        RAISE EXCEPTION 'columns of target % cannot be written: %', this.target, unwritable
            USING ERRCODE = 'invalid_table_definition',
                DETAIL = 'They are GENERATED ALWAYS, and the ingest has values for them.',
                HINT = 'ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION, or DROP IDENTITY.';
    END IF;
    IF type <> 'timestamptz'::regtype THEN
        RAISE EXCEPTION 'column "received" of target % is of type %', this.target, type
            USING ERRCODE = 'invalid_table_definition',
                DETAIL = 'It is a part of the key, and what a time without its zone means would depend on the session.',
                HINT = 'Its type has to be timestamptz.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_target_columns(o365_msgtrace.input, regclass) IS 'internal: an error unless a target has the columns that are written';

/*
 * Columns of the user's own have to get their values by themselves: from a
 * default (a domain may have one, too), or from a trigger, which can do anything.
 */
CREATE FUNCTION o365_msgtrace._check_columns_beside(this o365_msgtrace.input, relation regclass)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    empty text;
BEGIN
    SELECT string_agg(format('"%s"', a.attname), ', ' ORDER BY a.attnum) INTO empty
      FROM pg_attribute a
      JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
       AND (a.attnotnull OR t.typnotnull) AND NOT a.atthasdef AND a.attidentity = '' AND t.typdefault IS NULL
       AND a.attname NOT IN (SELECT c.name FROM o365_msgtrace._written_columns(this) c)
       AND NOT EXISTS (SELECT FROM pg_trigger g  -- BEFORE INSERT ... FOR EACH ROW
                        WHERE g.tgrelid = relation AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 7 = 7);
    IF empty IS NOT NULL THEN
        RAISE EXCEPTION 'target % has columns that an ingest has no values for: %', this.target, empty
            USING ERRCODE = 'invalid_table_definition',
                DETAIL = 'They are NOT NULL and have no default.',
                HINT = 'Give them a default, or make them fields of the input, or let them be NULL.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_columns_beside(o365_msgtrace.input, regclass) IS 'internal: an error unless columns that are not written have a value';

CREATE FUNCTION o365_msgtrace._check_target_key(this o365_msgtrace.input, relation regclass)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT o365_msgtrace._has_key(relation) THEN
        RAISE EXCEPTION 'target % has no unique index on the key of a row', this.target
            USING ERRCODE = 'invalid_table_definition',
                DETAIL = 'The key is tenant, received, message_trace_id, recipient_address, in any order, without a condition and not deferrable.',
                HINT = format('ALTER TABLE %s ADD PRIMARY KEY (tenant, received, message_trace_id, recipient_address);', this.target);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_target_key(o365_msgtrace.input, regclass) IS 'internal: an error unless a target has the key of a row';

-- A sequence that fills a column of the user's own (serial) has privileges of its own.
CREATE FUNCTION o365_msgtrace._check_target_sequences(this o365_msgtrace.input, relation regclass)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sequence oid;
BEGIN
    SELECT s.oid INTO sequence
      FROM pg_attrdef d
      JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
      JOIN pg_depend x ON x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid AND x.refclassid = 'pg_class'::regclass
      JOIN pg_class s ON s.oid = x.refobjid
     WHERE d.adrelid = relation AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') END
       AND a.attname NOT IN (SELECT c.name FROM o365_msgtrace._written_columns(this) c)
     LIMIT 1;
    IF sequence IS NOT NULL THEN
        RAISE EXCEPTION 'permission denied for sequence %', o365_msgtrace._full_name(sequence)
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('It fills a column of target %s, and role "%s" has not the privilege USAGE.', this.target, current_user),
                HINT = format('GRANT USAGE ON SEQUENCE %s TO %I;', o365_msgtrace._full_name(sequence), current_user);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_target_sequences(o365_msgtrace.input, regclass) IS 'internal: an error unless defaults of a target can be had';

CREATE FUNCTION o365_msgtrace._check_table_privileges(target text, needed text[])
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(n.privilege, ', ' ORDER BY n.nth) INTO missing
      FROM unnest(needed) WITH ORDINALITY n (privilege, nth)
     WHERE NOT has_table_privilege(to_regclass(target), n.privilege);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'permission denied for table %', target
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Role "%s" has not the privilege %s.', current_user, missing),
                HINT = format('GRANT %s ON %s TO %I;', missing, target, current_user);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_table_privileges(text, text[]) IS 'internal: an error unless a table may be read and written';

-- With partition_by: is it partitioned so, and may this role make partitions?
CREATE FUNCTION o365_msgtrace._check_partitioning(this o365_msgtrace.input, relation regclass)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = relation);
    home name := (parse_ident(this.target))[1];
BEGIN
    IF this.partition_by IS NULL THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_partitioned_table p
                     JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
                    WHERE p.partrelid = relation AND p.partstrat = 'r' AND p.partnatts = 1 AND a.attname = 'received') THEN
        RAISE EXCEPTION 'target % is not partitioned by range of "received" alone', this.target
            USING ERRCODE = 'invalid_table_definition',
                DETAIL = format('With partition_by ''%s'' the input makes the partitions of its target itself, and a table cannot be made a partitioned one later.', this.partition_by),
                HINT = 'Leave partition_by out, or name a target that does not exist yet: it is created so.';
    END IF;
    IF NOT pg_has_role(owner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of target % to make its partitions', this.target
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('It belongs to role "%s", and role "%s" has not its privileges.', owner, current_user),
                HINT = format('GRANT %I TO %I; or leave partition_by out and let "%s" make partitions.', owner, current_user, owner);
    END IF;
    IF NOT has_schema_privilege(home, 'CREATE') THEN
        RAISE EXCEPTION 'permission denied for schema %', home
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('The partitions of target %s are made in it, and role "%s" has not the privilege CREATE.', this.target, current_user),
                HINT = format('GRANT CREATE ON SCHEMA %I TO %I;', home, current_user);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_partitioning(o365_msgtrace.input, regclass) IS 'internal: an error unless an input can make partitions of its target';

CREATE FUNCTION o365_msgtrace._check_target(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation regclass;
BEGIN
    PERFORM o365_msgtrace._check_home(this.target);
    relation := to_regclass(this.target);
    PERFORM o365_msgtrace._check_target_kind(this, relation);
    PERFORM o365_msgtrace._check_target_columns(this, relation);
    PERFORM o365_msgtrace._check_columns_beside(this, relation);
    PERFORM o365_msgtrace._check_target_key(this, relation);
    PERFORM o365_msgtrace._check_table_privileges(this.target,
        ARRAY['SELECT', 'INSERT', 'UPDATE'] || CASE WHEN this.retention IS NOT NULL THEN ARRAY['DELETE'] ELSE '{}' END);
    PERFORM o365_msgtrace._check_target_sequences(this, relation);
    PERFORM o365_msgtrace._check_partitioning(this, relation);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_target(o365_msgtrace.input) IS
'internal: an error unless an ingest can write this table';
