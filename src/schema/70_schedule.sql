/*
 * When inputs run, and scheduling by pg_cron, if it is there.
 *
 * pg_cron lives in one database of a cluster, may come and go, and may be
 * missing: so nothing here refers to it but in dynamic statements. A job is
 * named after the input's number, which never changes, and the database, whose
 * inputs are numbered by themselves. Restored from a dump, a database has another
 * oid than the names of its jobs: what counts is the number in the name, and the
 * database that the job runs in.
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
CREATE FUNCTION o365_msgtrace._cron_schedule(input_id text, poll_interval integer, stagger boolean DEFAULT true)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN poll_interval = 1 THEN '* * * * *'
           WHEN poll_interval = 60 THEN format('%s * * * *', CASE WHEN stagger THEN minute ELSE 0 END)
           WHEN stagger THEN format('%s-59/%s * * * *', minute, poll_interval)
           ELSE format('*/%s * * * *', poll_interval) END
      FROM (SELECT (get_byte(h, 0) * 65536 + get_byte(h, 1) * 256 + get_byte(h, 2)) % poll_interval AS minute
              FROM sha256(convert_to(input_id, 'UTF8')) h) s
$$;
COMMENT ON FUNCTION o365_msgtrace._cron_schedule(text, integer, boolean) IS 'internal: the schedule of an input';

/*
 * The latest moment up to `at` that such a schedule names, and so many later. NULL
 * if the schedule is none of those that we make: somebody has changed the job.
 */
CREATE FUNCTION o365_msgtrace._tick(schedule text, at timestamptz, later integer DEFAULT 0)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_timestamp(60 * (t.first + t.step * (floor((extract(epoch FROM at) / 60 - t.first) / t.step) + later))::double precision)
      FROM (SELECT coalesce(m[1], m[2], '0')::integer AS first,
                   CASE WHEN m[2] IS NOT NULL THEN 60 ELSE coalesce(m[3], '1')::integer END AS step
              FROM regexp_match(schedule, '^(?:(?:\*|(\d+)-59(?=/))|(\d+)(?= ))(?:/(\d+))? \* \* \* \*$') m
             WHERE m IS NOT NULL) t
     WHERE t.step BETWEEN 1 AND 60 AND 60 % t.step = 0 AND t.first < t.step
$$;
COMMENT ON FUNCTION o365_msgtrace._tick(text, timestamptz, integer) IS 'internal: when a schedule of ours runs, in UTC';

-- The only statement of its job: a CALL that commits must be.
CREATE FUNCTION o365_msgtrace._cron_command(input_id text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('CALL o365_msgtrace.run(%L, scheduled => true)', input_id) $$;
COMMENT ON FUNCTION o365_msgtrace._cron_command(text) IS 'internal: what the job of an input does';

-- What a superuser can run where pg_cron is, to have the input's job as it shall be.
CREATE FUNCTION o365_msgtrace._cron_statement(this o365_msgtrace.input)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT cron.schedule_in_database(%L, %L, %L, %L, %L);', o365_msgtrace._job_name((this).input_number),
                  o365_msgtrace._cron_schedule((this).input_id, (this).poll_interval, (this).stagger),
                  o365_msgtrace._cron_command((this).input_id), current_database(), (this).owner)
$$;
COMMENT ON FUNCTION o365_msgtrace._cron_statement(o365_msgtrace.input) IS 'internal: how to schedule an input from the database of pg_cron';

-- The jobs of pg_cron that are of this database's inputs and visible to the current role; none where it has no pg_cron.
CREATE FUNCTION o365_msgtrace._cron_jobs()
RETURNS TABLE (input_number integer, jobid bigint, jobname text, username text, schedule text, active boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF o365_msgtrace._scheduler() = 'here' AND has_schema_privilege('cron', 'USAGE') THEN
        RETURN QUERY EXECUTE
            'SELECT DISTINCT ON (n.number, j.username) n.number, j.jobid, j.jobname::text, j.username::text, j.schedule::text, j.active '
            'FROM cron.job j, LATERAL (SELECT substring(j.jobname FROM ''^o365:[0-9]+:([0-9]{1,9})$'')::integer AS number) n '
            'WHERE n.number IS NOT NULL AND j.database = current_database() '
            'ORDER BY n.number, j.username, j.jobname = o365_msgtrace._job_name(n.number) DESC, j.jobid DESC';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._cron_jobs() IS 'internal: jobs of inputs, if pg_cron is here';

-- What the job of an input is called; a new one is named by the database of now.
CREATE FUNCTION o365_msgtrace._job_name_of(this o365_msgtrace.input)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT c.jobname FROM o365_msgtrace._cron_jobs() c
                      WHERE c.input_number = (this).input_number AND c.username = (this).owner),
                    o365_msgtrace._job_name((this).input_number))
$$;
COMMENT ON FUNCTION o365_msgtrace._job_name_of(o365_msgtrace.input) IS 'internal: the name of the job that an input has, or will have';

-- The id of an input's job; NULL if it has none, or none that the current role may see.
CREATE FUNCTION o365_msgtrace._job_id(this o365_msgtrace.input)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.jobid FROM o365_msgtrace._cron_jobs() c
     WHERE c.input_number = (this).input_number AND c.username = (this).owner
$$;
COMMENT ON FUNCTION o365_msgtrace._job_id(o365_msgtrace.input) IS 'internal: the job of an input in pg_cron';

CREATE FUNCTION o365_msgtrace._check_scheduler(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
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
                HINT = format('Run there, as a superuser: %s', o365_msgtrace._cron_statement(this));
    ELSE
        RAISE EXCEPTION 'pg_cron is not installed in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = 'Inputs are scheduled by the extension pg_cron; any other scheduler may CALL o365_msgtrace.run_due() each minute.',
                HINT = format('Add pg_cron to shared_preload_libraries, restart, CREATE EXTENSION pg_cron, and schedule again. If it is in another database, run there, as a superuser: %s', o365_msgtrace._cron_statement(this));
    END CASE;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_scheduler(o365_msgtrace.input) IS
'internal: an error unless the current role can schedule jobs here';

/*
 * The choice of `stagger` is kept with the input, for when its poll_interval is
 * changed, and for run_due(). A job that is there keeps its id, and stays
 * inactive if it is.
 */
CREATE FUNCTION o365_msgtrace.schedule(input_id text, stagger boolean DEFAULT true)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this o365_msgtrace.input := o365_msgtrace._own_input(schedule.input_id);
    cron_schedule text;
BEGIN
    this.stagger := coalesce(schedule.stagger, true);
    cron_schedule := o365_msgtrace._cron_schedule(this.input_id, this.poll_interval, this.stagger);
    PERFORM o365_msgtrace._check_scheduler(this);
    EXECUTE 'SELECT cron.schedule($1, $2, $3)'
      USING o365_msgtrace._job_name_of(this), cron_schedule, o365_msgtrace._cron_command(this.input_id);
    UPDATE o365_msgtrace.input i SET stagger = this.stagger
     WHERE i.input_number = this.input_number AND i.stagger <> this.stagger;
    RETURN cron_schedule;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.schedule(text, boolean) IS
'have pg_cron run an input every poll_interval minutes, from a minute that depends on its name, so that not all inputs begin at once, or with stagger => false from the full hour; returns the schedule. Scheduling again changes the job. Errors: 42704 no such input, 42501 not its owner or no USAGE on schema cron, 55000 pg_cron is missing or in another database (the hint has the statement to run there)';

-- What was changed here has to be changed there, too, and only a superuser can.
CREATE FUNCTION o365_msgtrace._say_job_elsewhere(statement text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF o365_msgtrace._scheduler() = 'elsewhere' THEN
        RAISE NOTICE 'a job of this input in pg_cron stays as it is'
            USING DETAIL = format('pg_cron is in database "%s", whose jobs cannot be changed from here.', o365_msgtrace._cron_database()),
                HINT = format('If there is one, run there, as a superuser: %s', statement);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._say_job_elsewhere(text) IS 'internal: tell of a job in another database';

-- Returns whether there was a job.
CREATE FUNCTION o365_msgtrace._unschedule(this o365_msgtrace.input)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job_id bigint := o365_msgtrace._job_id(this);
BEGIN
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

/*
 * pg_cron never forgets a run. Of each of these commands the latest so many are
 * kept. They are told by their command, so that also those
 * of jobs that are gone are found; there is no index for it. What keeps us from it (another session's lock, a privilege) is no concern
 * of the run's.
 */
CREATE FUNCTION o365_msgtrace._trim_cron_runs(owner name, commands text[], keep integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
BEGIN
    IF o365_msgtrace._scheduler() <> 'here' OR NOT has_schema_privilege('cron', 'USAGE')
        OR to_regclass('cron.job_run_details') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE 'DELETE FROM cron.job_run_details WHERE runid IN ('
            'SELECT n.runid FROM (SELECT d.runid, row_number() OVER (PARTITION BY d.command ORDER BY d.runid DESC) AS nth '
            'FROM cron.job_run_details d WHERE d.database = current_database() AND d.username = $1 AND d.command = ANY ($2)) n '
            'WHERE n.nth > $3 LIMIT 10000)'
      USING owner::text, commands, keep;
EXCEPTION WHEN OTHERS THEN    -- a cancel is not among these
    NULL;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._trim_cron_runs(name, text[], integer) IS 'internal: keep the latest of pg_cron''s records of our commands';

-- Is the latest run of an input the first one of its hour?
CREATE FUNCTION o365_msgtrace._begins_hour(this o365_msgtrace.input)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) < 2 OR date_trunc('hour', min(r.started_at)) <> date_trunc('hour', max(r.started_at))
      FROM (SELECT r.started_at FROM o365_msgtrace.run_record r
             WHERE r.input_number BETWEEN (this).input_number AND (this).input_number
             ORDER BY r.input_number DESC, r.run_id DESC LIMIT 2) r
$$;
COMMENT ON FUNCTION o365_msgtrace._begins_hour(o365_msgtrace.input) IS 'internal: whether it is time for what is done once an hour';

/*
 * Once an hour, keep the latest 10000 runs of an input, and the latest that was not
 * skipped: an input may have been skipped more often since, while that run goes on.
 */
CREATE FUNCTION o365_msgtrace._trim_runs(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT o365_msgtrace._begins_hour(this) THEN
        RETURN;
    END IF;
    DELETE FROM o365_msgtrace.run_record r
     WHERE r.input_number = this.input_number
       AND r.run_id <= (SELECT o.run_id FROM o365_msgtrace.run_record o
                         WHERE o.input_number BETWEEN this.input_number AND this.input_number
                         ORDER BY o.input_number DESC, o.run_id DESC OFFSET 10000 LIMIT 1)
       AND r.run_id <> coalesce((o365_msgtrace._last_run(this.input_number)).run_id, 0);
    PERFORM o365_msgtrace._trim_cron_runs(this.owner,
        ARRAY[o365_msgtrace._cron_command(this.input_id), 'CALL o365_msgtrace.run_due()'], 1000);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._trim_runs(o365_msgtrace.input) IS 'internal: bound what is kept of an input''s runs';
