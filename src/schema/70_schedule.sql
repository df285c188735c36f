/*
 * Scheduling by pg_cron, if it is there.
 *
 * pg_cron lives in one database of a cluster, may come and go, and may be
 * missing: so nothing here refers to it but in dynamic statements. A job is
 * named after the input's number, which never changes, and the database, whose
 * inputs are numbered by themselves.
 */

-- The database that pg_cron keeps its jobs in; NULL if it is not loaded, or the current role may not know.
CREATE FUNCTION o365_msgtrace._cron_database()
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('cron.database_name', true) END
$$;
COMMENT ON FUNCTION o365_msgtrace._cron_database() IS 'internal: the database that pg_cron is in, as far as can be known';

-- Where is pg_cron: 'here', 'elsewhere' (another database), or, as far as we know, 'nowhere'?
CREATE FUNCTION o365_msgtrace._scheduler()
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN 'here'
           WHEN o365_msgtrace._cron_database() <> current_database() THEN 'elsewhere'
           ELSE 'nowhere' END
$$;
COMMENT ON FUNCTION o365_msgtrace._scheduler() IS 'internal: whether this database has pg_cron';

CREATE FUNCTION o365_msgtrace._job_name(input_number integer)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('o365:%s:%s', (SELECT oid FROM pg_database WHERE datname = current_database()), input_number)
$$;
COMMENT ON FUNCTION o365_msgtrace._job_name(integer) IS 'internal: the name of an input''s job in pg_cron';

-- Every poll_interval minutes, from a minute that depends on the input's name: fifty tenants shall not start at once.
CREATE FUNCTION o365_msgtrace._cron_schedule(input_id text, poll_interval integer)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE poll_interval
           WHEN 60 THEN format('%s * * * *', minute)
           WHEN 1 THEN '* * * * *'
           ELSE format('%s-59/%s * * * *', minute, poll_interval) END
      FROM (SELECT (get_byte(h, 0) * 65536 + get_byte(h, 1) * 256 + get_byte(h, 2)) % poll_interval AS minute
              FROM sha256(convert_to(input_id, 'UTF8')) h) s
$$;
COMMENT ON FUNCTION o365_msgtrace._cron_schedule(text, integer) IS 'internal: the schedule of an input';

CREATE FUNCTION o365_msgtrace._check_scheduler(this o365_msgtrace.input, command text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- What a superuser can run where pg_cron is.
    statement text := format('SELECT cron.schedule_in_database(%L, %L, %L, %L, %L);',
        o365_msgtrace._job_name(this.input_number), o365_msgtrace._cron_schedule(this.input_id, this.poll_interval),
        command, current_database(), this.owner);
BEGIN
    CASE o365_msgtrace._scheduler()
    WHEN 'here' THEN
        IF NOT has_schema_privilege('cron', 'USAGE') THEN
            RAISE EXCEPTION 'permission denied for schema cron'
                USING ERRCODE = 'insufficient_privilege',
                    DETAIL = format('Role "%s" may not use pg_cron.', current_user),
                    HINT = format('GRANT USAGE ON SCHEMA cron TO %I;', current_user);
        END IF;
    WHEN 'elsewhere' THEN
        RAISE EXCEPTION 'pg_cron is in database "%", not in this one', o365_msgtrace._cron_database()
            USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = format('Its jobs are kept there (cron.database_name); this database is "%s".', current_database()),
                HINT = format('Run there, as a superuser: %s', statement);
    ELSE
        RAISE EXCEPTION 'pg_cron is not installed in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = 'Inputs are scheduled by the extension pg_cron.',
                HINT = format('Add pg_cron to shared_preload_libraries, restart, CREATE EXTENSION pg_cron, and schedule again. If it is in another database, run there, as a superuser: %s', statement);
    END CASE;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_scheduler(o365_msgtrace.input, text) IS
'internal: an error unless the current role can schedule jobs here';

CREATE FUNCTION o365_msgtrace.schedule(input_id text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this o365_msgtrace.input := o365_msgtrace._own_input(schedule.input_id);
    cron_schedule text := o365_msgtrace._cron_schedule(this.input_id, this.poll_interval);
    -- The only statement of its job: a CALL that commits must be.
    command text := format('CALL o365_msgtrace.run(%L, scheduled => true)', this.input_id);
BEGIN
    PERFORM o365_msgtrace._check_scheduler(this, command);
    EXECUTE 'SELECT cron.schedule($1, $2, $3)'
      USING o365_msgtrace._job_name(this.input_number), cron_schedule, command;
    RETURN cron_schedule;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.schedule(text) IS
'have pg_cron run an input every poll_interval minutes, from a minute that depends on its name; returns the schedule. Scheduling again replaces the job. Errors: 42704 no such input, 42501 not its owner or no USAGE on schema cron, 55000 pg_cron is missing or in another database (the hint has the statement to run there)';

-- Returns whether there was a job.
CREATE FUNCTION o365_msgtrace._unschedule(this o365_msgtrace.input)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job_id bigint;
BEGIN
    IF o365_msgtrace._scheduler() <> 'here' OR NOT has_schema_privilege('cron', 'USAGE') THEN
        RETURN false;
    END IF;
    EXECUTE 'SELECT jobid FROM cron.job WHERE jobname = $1 AND username = $2'
       INTO job_id USING o365_msgtrace._job_name(this.input_number), this.owner;
    IF job_id IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE 'SELECT cron.unschedule($1)' USING job_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._unschedule(o365_msgtrace.input) IS 'internal: remove the job of an input, if it has one here';

CREATE FUNCTION o365_msgtrace.unschedule(input_id text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this o365_msgtrace.input := o365_msgtrace._visible_input(unschedule.input_id);
BEGIN
    IF o365_msgtrace._unschedule(this) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'input "%" is not scheduled', this.input_id
        USING ERRCODE = 'undefined_object',
            DETAIL = format('This database has no job "%s" of role "%s".', o365_msgtrace._job_name(this.input_number), this.owner),
            HINT = CASE o365_msgtrace._scheduler() WHEN 'elsewhere'
                THEN format('pg_cron is in database "%s". Run there, as that role: SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %L;',
                            o365_msgtrace._cron_database(), o365_msgtrace._job_name(this.input_number))
                ELSE 'o365_msgtrace.job shows what is scheduled.' END;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.unschedule(text) IS
'end the schedule of an input; its owner and superusers may. Errors: 42704 no such input, or it is not scheduled in this database';
