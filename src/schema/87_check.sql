/*
 * check(): what stands between a server and its first row, step by step.
 *
 * Each step is a function of its own, which returns rows or raises an error; the
 * error becomes a row, too, and the next step is taken all the same. Nothing is
 * written, so that it serves on a standby.
 */

CREATE FUNCTION o365_msgtrace._check_options(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_check_options';
COMMENT ON FUNCTION o365_msgtrace._check_options(oid, boolean) IS 'internal: what a server''s options come to';

CREATE FUNCTION o365_msgtrace._check_credentials(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_check_credentials';
COMMENT ON FUNCTION o365_msgtrace._check_credentials(oid, boolean) IS 'internal: can secrets and keys be read?';

CREATE FUNCTION o365_msgtrace._check_expiry(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_check_expiry';
COMMENT ON FUNCTION o365_msgtrace._check_expiry(oid, boolean) IS 'internal: when do certificate and secrets end?';

CREATE FUNCTION o365_msgtrace._check_hosts(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_check_hosts';
COMMENT ON FUNCTION o365_msgtrace._check_hosts(oid, boolean) IS 'internal: are the hosts reached, and trusted?';

CREATE FUNCTION o365_msgtrace._check_requests(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_check_requests';
COMMENT ON FUNCTION o365_msgtrace._check_requests(oid, boolean) IS 'internal: token, permission, list and detail';

CREATE FUNCTION o365_msgtrace._check_clock(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_check_clock';
COMMENT ON FUNCTION o365_msgtrace._check_clock(oid, boolean) IS 'internal: do the clocks agree?';

CREATE FUNCTION o365_msgtrace._check_budget(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_check_budget';
COMMENT ON FUNCTION o365_msgtrace._check_budget(oid, boolean) IS 'internal: is the budget one for all sessions?';

CREATE FUNCTION o365_msgtrace._library_version()
RETURNS text
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_library_version';
COMMENT ON FUNCTION o365_msgtrace._library_version() IS 'internal: the version of the library that this session has loaded';

-- Is there a user mapping for the current role?
CREATE FUNCTION o365_msgtrace._check_mapping(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'user mapping', m.umuser IS NOT NULL,
           CASE WHEN m.umuser IS NULL THEN format('role "%s" has none, nor is there one for PUBLIC', current_user)
                WHEN m.umuser = 0 THEN 'for PUBLIC'
                ELSE format('for role "%s"', current_user) END,
           CASE WHEN m.umuser IS NULL THEN
                format('CREATE USER MAPPING FOR %I SERVER %I OPTIONS (client_id ''…'', client_secret ''…'');', current_user, s.srvname) END
      FROM pg_foreign_server s
      LEFT JOIN LATERAL (SELECT u.umuser FROM pg_user_mappings u
                          WHERE u.srvid = s.oid
                            AND u.umuser IN (0, (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user))
                          ORDER BY u.umuser DESC LIMIT 1) m ON true
     WHERE s.oid = server
$$;
COMMENT ON FUNCTION o365_msgtrace._check_mapping(oid, boolean) IS 'internal: is there a user mapping for the current role?';

-- The last run of a job of this database that the current role may see: did it come to connect?
CREATE FUNCTION o365_msgtrace._cron_connects()
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message text;
BEGIN
    IF has_table_privilege('cron.job_run_details', 'SELECT') THEN
        EXECUTE 'SELECT coalesce(d.return_message, '''') FROM cron.job_run_details d '
                ' WHERE d.database = current_database() AND d.status IN (''succeeded'', ''failed'') '
                ' ORDER BY d.runid DESC LIMIT 1' INTO message;
    END IF;
    RETURN message !~* 'connection failed|could not connect|startup timeout';
END
$$;
COMMENT ON FUNCTION o365_msgtrace._cron_connects() IS 'internal: whether pg_cron''s last run got a connection here; NULL when that is not known';

CREATE FUNCTION o365_msgtrace._check_cron_here(OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Only its members may see the settings of pg_cron.
    workers boolean := CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE')
                            THEN current_setting('cron.use_background_workers', true)::boolean END;
    connects boolean;
BEGIN
    step := 'pg_cron';
    IF NOT has_schema_privilege('cron', 'USAGE') THEN
        -- Who only asks queries needs no scheduler.
        detail := format('it is in this database; role "%s" may not use it', current_user);
        hint := format('To schedule inputs by it: GRANT USAGE ON SCHEMA cron TO %I;', current_user);
        RETURN;
    END IF;
    connects := o365_msgtrace._cron_connects();
    ok := coalesce(workers, false) OR connects;
    detail := CASE WHEN workers THEN 'it is in this database, and starts jobs as background workers'
                   WHEN connects THEN 'it is in this database, and its last run connected'
                   WHEN NOT connects THEN 'it is in this database, but its last run did not get a connection'
                   ELSE 'it is in this database; whether its jobs can connect will be known after the first run' END;
    IF ok IS NOT TRUE THEN
        hint := 'Set cron.use_background_workers to on and restart, or let pg_cron connect: see cron.host, pg_hba.conf and .pgpass.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_cron_here() IS 'internal: can pg_cron of this database run jobs?';

-- Not having pg_cron is no fault: other schedulers serve, too.
CREATE FUNCTION o365_msgtrace._check_cron(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE o365_msgtrace._scheduler()
    WHEN 'here' THEN
        RETURN QUERY SELECT * FROM o365_msgtrace._check_cron_here();
    WHEN 'elsewhere' THEN
        RETURN QUERY SELECT 'pg_cron', NULL::boolean,
            format('it is in database "%s", not in this one', o365_msgtrace._cron_database()),
            'schedule() gives the statement to run there.';
    ELSE
        RETURN QUERY SELECT 'pg_cron', NULL::boolean, 'it is not in this database',
            'To schedule inputs by it: add pg_cron to shared_preload_libraries, restart, CREATE EXTENSION pg_cron.';
    END CASE;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_cron(oid, boolean) IS 'internal: where is pg_cron, and can it run jobs here?';

CREATE FUNCTION o365_msgtrace._check_version(server oid, with_mapping boolean,
        OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'version', v.library = e.extversion,
           format('library %s, SQL %s', v.library, e.extversion),
           CASE WHEN v.library <> e.extversion THEN
               'ALTER EXTENSION o365_msgtrace UPDATE; and if the library is the older one, connect anew (restart the server where it is preloaded).' END
      FROM pg_extension e, (SELECT o365_msgtrace._library_version() AS library) v
     WHERE e.extname = 'o365_msgtrace'
$$;
COMMENT ON FUNCTION o365_msgtrace._check_version(oid, boolean) IS 'internal: do library and SQL belong together?';

-- The server of this name that the current role may use, else an error that helps on.
CREATE FUNCTION o365_msgtrace._server_to_check(name text)
RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ours constant oid[] := ARRAY(SELECT w.oid FROM pg_foreign_data_wrapper w
                                  WHERE w.fdwhandler = 'o365_msgtrace.o365_msgtrace_handler()'::regprocedure);
    server record;
BEGIN
    SELECT s.oid, s.srvfdw INTO server FROM pg_foreign_server s WHERE s.srvname = name;
    IF server.oid IS NULL OR server.srvfdw <> ALL (ours) THEN
        RAISE EXCEPTION '%', CASE WHEN server.oid IS NULL THEN format('server "%s" does not exist', name)
                                  ELSE format('server "%s" is no server of o365_msgtrace', name) END
            USING ERRCODE = CASE WHEN server.oid IS NULL THEN 'undefined_object' ELSE 'wrong_object_type' END,
                HINT = coalesce((SELECT format('Servers of o365_msgtrace: %s.', string_agg(format('"%s"', s.srvname), ', ' ORDER BY s.srvname))
                                   FROM pg_foreign_server s WHERE s.srvfdw = ANY (ours) HAVING count(*) > 0),
                                'There is no server of o365_msgtrace in this database yet: CREATE SERVER makes one.');
    END IF;
    IF NOT has_server_privilege(server.oid, 'USAGE') THEN
        RAISE EXCEPTION 'permission denied for foreign server %', quote_ident(name)
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('GRANT USAGE ON FOREIGN SERVER %I TO %I;', name, current_user);
    END IF;
    RETURN server.oid;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._server_to_check(text) IS 'internal: a server by its name';

CREATE FUNCTION o365_msgtrace.check(server text, OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    server_id constant oid := o365_msgtrace._server_to_check(server);
    part record;
    outcome record;
    message text;
    more text;
    failed text;    -- the first step to fail of those that come before signing in
BEGIN
    FOR part IN
        SELECT * FROM (VALUES
            ('_check_options', '{options}'::text[], false),
            ('_check_mapping', '{user mapping}', false),
            ('_check_credentials', '{credentials}', true),
            ('_check_expiry', '{expiry}', true),
            ('_check_hosts', '{sign-in host,service host}', false),
            ('_check_requests', '{token,permission,service principal,list,detail}', true),
            ('_check_clock', '{clock}', false),
            ('_check_budget', '{shared budget}', false),
            ('_check_cron', '{pg_cron}', false),
            ('_check_version', '{version}', false)) p (function_name, steps, with_mapping)
    LOOP
        BEGIN
            IF part.with_mapping AND failed IS NOT NULL THEN
                RETURN QUERY SELECT s.step, NULL::boolean, format('not asked, because of the step "%s"', failed), NULL::text
                               FROM unnest(part.steps) s (step);
                CONTINUE;
            END IF;
            FOR outcome IN EXECUTE format('SELECT * FROM o365_msgtrace.%I($1, $2)', part.function_name)
                     USING server_id, failed IS NULL
            LOOP
                step := outcome.step;
                ok := outcome.ok;
                detail := outcome.detail;
                hint := outcome.hint;
                RETURN NEXT;
                IF NOT ok AND step IN ('options', 'user mapping', 'credentials') THEN
                    failed := step;
                END IF;
            END LOOP;
        EXCEPTION WHEN OTHERS THEN    -- a cancel is not among these
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, more = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            RETURN QUERY SELECT s.step, CASE WHEN s.n = 1 THEN false END,
                                CASE WHEN s.n = 1 THEN concat_ws(': ', message, nullif(more, ''))
                                     ELSE format('not asked, because of the step "%s"', part.steps[1]) END,
                                CASE WHEN s.n = 1 THEN nullif(hint, '') END
                           FROM unnest(part.steps) WITH ORDINALITY s (step, n);
            IF part.steps[1] IN ('options', 'user mapping', 'credentials') THEN
                failed := part.steps[1];
            END IF;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.check(text) IS
'what stands between a server and its first row: a row for each step, with what was found and what to do. ok is NULL where a step does not apply or could not be asked. It signs in and makes at most two requests of the tenant''s budget (a list and a detail), writes nothing, and goes on when a step fails. It is about the current role, which needs USAGE on the server. Errors: 42704 no such server, 42809 not one of o365_msgtrace, 42501 no USAGE';
