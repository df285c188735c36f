/*
 * health(): of each input the worst that there is to say, and what to do about it.
 *
 * Each kind of finding is a function of its own, which returns a row or none, asks
 * nothing of the service and writes nothing, so that it serves on a standby. One
 * that fails is a finding, too: it must not hide the others.
 *
 * A superuser may ask about the inputs of others. What would run their owner's
 * code with his rights (anything that reads their tables) is left out then.
 */

CREATE TYPE o365_msgtrace._finding AS (status text, message text);
COMMENT ON TYPE o365_msgtrace._finding IS 'internal: something that is not well with an input, as health() says it';

-- A length of time as people say it.
CREATE FUNCTION o365_msgtrace._about(length interval)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN s.hours >= 48 THEN floor(s.hours / 24) || ' days'
           WHEN s.hours >= 2 THEN floor(s.hours) || ' hours'
           ELSE greatest(1, floor(s.hours * 60)) || ' minutes' END
      FROM (SELECT extract(epoch FROM length) / 3600 AS hours) s
$$;
COMMENT ON FUNCTION o365_msgtrace._about(interval) IS 'internal: an interval, for messages';

-- So many polls, but no less than that: what may pass before an input is late.
CREATE FUNCTION o365_msgtrace._patience(this o365_msgtrace.input, polls integer, at_least interval)
RETURNS interval
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT greatest(make_interval(mins => polls * (this).poll_interval), at_least) $$;
COMMENT ON FUNCTION o365_msgtrace._patience(o365_msgtrace.input, integer, interval) IS 'internal: how late something may be';

-- Where the poll window of so long ago ended: all before that should have been read by now.
CREATE FUNCTION o365_msgtrace._due_up_to(this o365_msgtrace.input, patience interval)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT upper(o365_msgtrace._poll_window((this).date_range_start, (this).date_range_end,
                                            clock_timestamp() + l.clock_offset - patience))
      FROM o365_msgtrace.ledger l WHERE l.input_number = (this).input_number
$$;
COMMENT ON FUNCTION o365_msgtrace._due_up_to(o365_msgtrace.input, interval) IS 'internal: up to where an input should have read';

-- ---- what an input needs -------------------------------------------------------------

CREATE FUNCTION o365_msgtrace._find_disabled(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'warning', format('it is disabled: SELECT o365_msgtrace.alter_input(%L, enabled => true) lets it run again', (this).input_id)
     WHERE NOT (this).enabled
$$;
COMMENT ON FUNCTION o365_msgtrace._find_disabled(o365_msgtrace.input) IS 'internal: does an input not run because it is told not to?';

CREATE FUNCTION o365_msgtrace._credentials_end(source regclass, role name, OUT what text, OUT ends_at timestamptz)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_credentials_end';
COMMENT ON FUNCTION o365_msgtrace._credentials_end(regclass, name) IS
'internal: when the certificate or stored secret ends that scans of a role sign in with; an error if they could not';

CREATE FUNCTION o365_msgtrace._find_credentials(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hint text;
BEGIN
    RETURN QUERY
    SELECT CASE WHEN c.ends_at < now() + interval '7 days' THEN 'critical' ELSE 'warning' END,
           format('%s that it signs in with ends in %s, at %s UTC: put a new one into its place before that',
                  c.what, o365_msgtrace._about(c.ends_at - now()), o365_msgtrace._utc(c.ends_at))
      FROM o365_msgtrace._credentials_end(this.source, this.owner) c
     WHERE c.ends_at < now() + interval '30 days';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN QUERY SELECT 'critical', format('it cannot sign in: %s', concat_ws('; ', SQLERRM, nullif(hint, '')));
END
$$;
COMMENT ON FUNCTION o365_msgtrace._find_credentials(o365_msgtrace.input) IS 'internal: can an input sign in, and how long?';

CREATE FUNCTION o365_msgtrace._find_tables(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hint text;
BEGIN
    IF this.owner = current_user THEN
        PERFORM o365_msgtrace._check_source(this.source);
        PERFORM o365_msgtrace._check_target(this);
    END IF;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN QUERY SELECT 'critical', format('it cannot run: %s', concat_ws('; ', SQLERRM, nullif(hint, '')));
END
$$;
COMMENT ON FUNCTION o365_msgtrace._find_tables(o365_msgtrace.input) IS 'internal: will source and target of an input still do?';

/*
 * A ledger that was restored without the rows it is about claims what is not there,
 * and nothing would be read again. It is told by a target that has no row at all of
 * what was read, where runs have written some.
 */
CREATE FUNCTION o365_msgtrace._find_restored(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ledger o365_msgtrace.ledger;
    kept_from timestamptz;
    read tstzmultirange;
    has_rows boolean;
BEGIN
    SELECT * INTO ledger FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number;
    kept_from := coalesce(o365_msgtrace._earlier(clock_timestamp() + ledger.clock_offset, this.retention), '-infinity');
    read := ledger.covered * tstzmultirange(tstzrange(kept_from, NULL));
    IF this.owner <> current_user OR isempty(read) OR to_regclass(this.target) IS NULL
        OR NOT EXISTS (SELECT FROM o365_msgtrace.run_record r
                        WHERE r.input_number = this.input_number AND r.rows_new > 0 AND r.window_start > kept_from) THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE t.tenant OPERATOR(pg_catalog.=) $1 '
                   'AND t.received OPERATOR(pg_catalog.>=) $2 AND t.received OPERATOR(pg_catalog.<) $3)', this.target)
       INTO has_rows USING o365_msgtrace._tenant_label(this.source), lower(read), upper(read);
    IF NOT has_rows THEN
        RETURN QUERY SELECT 'critical', format('its target %s has no row of all that the ledger has as read, as after a restore without its data: '
            'SELECT o365_msgtrace.reset_coverage(%L) has it read again, as far as the service holds it', this.target, this.input_id);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._find_restored(o365_msgtrace.input) IS 'internal: has the target lost what the ledger says it has?';

-- ---- whether it runs -----------------------------------------------------------------

-- Has the role a job in pg_cron that runs what is due?
CREATE FUNCTION o365_msgtrace._has_due_job(role name)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    has_job boolean := false;
BEGIN
    IF o365_msgtrace._scheduler() = 'here' AND has_schema_privilege('cron', 'USAGE') THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM cron.job j WHERE j.active AND j.username = $1 AND j.database = current_database() '
                'AND j.command ILIKE ''%o365_msgtrace.run_due%'')'
           INTO has_job USING role;
    END IF;
    RETURN has_job;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._has_due_job(name) IS 'internal: whether pg_cron calls run_due() for a role';

CREATE FUNCTION o365_msgtrace._find_schedule(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_began timestamptz := (o365_msgtrace._last_run(this.input_number)).started_at;
    job o365_msgtrace.job;
BEGIN
    IF NOT this.enabled OR last_began > clock_timestamp() - o365_msgtrace._patience(this, 3, '15 minutes') THEN
        RETURN;
    END IF;
    SELECT j.* INTO job FROM o365_msgtrace.job j WHERE j.input_id = this.input_id;
    IF job.active OR job.running_since IS NOT NULL OR o365_msgtrace._has_due_job(this.owner) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'warning',
           CASE WHEN job.active IS FALSE THEN format('its job in pg_cron is not active: SELECT cron.alter_job(%s, active => true)', job.jobid)
           ELSE format('it is not scheduled, and %s: SELECT o365_msgtrace.schedule(%L), or have a scheduler CALL o365_msgtrace.run_due() each minute',
                       coalesce('nothing has run it for ' || o365_msgtrace._about(clock_timestamp() - last_began),
                                'nothing has ever run it'), this.input_id) END;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._find_schedule(o365_msgtrace.input) IS 'internal: is there something that runs an input?';

CREATE FUNCTION o365_msgtrace._find_failures(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN f.failures >= 5 THEN 'critical' ELSE 'warning' END,
           format('%s runs in a row have failed, the last one with: %s', f.failures, r.words)
      FROM o365_msgtrace._failures_in_a_row((this).input_number, false) f,
           LATERAL (SELECT left(concat_ws('; ', coalesce(l.message, 'its backend ended before the run did'), l.hint), 500) AS words
                      FROM o365_msgtrace.run_record l
                     WHERE l.input_number BETWEEN (this).input_number AND (this).input_number AND l.state <> 'skipped'
                       AND (l.state <> 'running' OR NOT o365_msgtrace._run_is_alive(l))
                     ORDER BY l.input_number DESC, l.run_id DESC LIMIT 1) r
     WHERE f.failures >= 2
$$;
COMMENT ON FUNCTION o365_msgtrace._find_failures(o365_msgtrace.input) IS 'internal: do the runs of an input fail?';

-- A run commits each window, and a window is ten pages or so: its transaction is never old.
CREATE FUNCTION o365_msgtrace._find_stuck(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN s.since < clock_timestamp() - interval '2 hours' THEN 'critical' ELSE 'warning' END,
           format('its run %s has committed nothing for %s%s: SELECT pg_terminate_backend(%s) ends it, and the next run goes on; job_timeout ends such runs by itself',
                  r.run_id, o365_msgtrace._about(clock_timestamp() - s.since), ' and waits for ' || a.wait_event, r.pid)
      FROM o365_msgtrace.run_record r
      LEFT JOIN pg_stat_activity a USING (pid),
           LATERAL (SELECT greatest(r.started_at, r.last_window_at, a.xact_start) AS since) s
     WHERE r.input_number = (this).input_number AND r.state = 'running' AND NOT pg_is_in_recovery()
       AND s.since < clock_timestamp() - o365_msgtrace._patience(this, 3, '15 minutes')
       AND o365_msgtrace._run_is_alive(r)
$$;
COMMENT ON FUNCTION o365_msgtrace._find_stuck(o365_msgtrace.input) IS 'internal: is a run of an input at a standstill?';

-- ---- what it has read ----------------------------------------------------------------

-- Why an input may be behind, as far as its records tell.
CREATE FUNCTION o365_msgtrace._reason_for_lag(this o365_msgtrace.input)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN j.last_run IS NULL THEN 'nothing has ever run it, see o365_msgtrace.job'
           WHEN j.running_since IS NOT NULL THEN 'a run is at work, see o365_msgtrace.run_progress'
           WHEN j.last_started_at < clock_timestamp() - o365_msgtrace._patience(this, 3, '15 minutes')
           THEN format('nothing has run it since %s UTC, see o365_msgtrace.job and its scheduler', o365_msgtrace._utc(j.last_started_at))
           WHEN j.last_result IN ('failed', 'lost') THEN left(format('its last run failed with: %s', coalesce(j.last_message, 'its backend ended before the run did')), 500)
           ELSE 'its runs do not come so far, see o365_msgtrace.run_log' END
      FROM o365_msgtrace.job j WHERE j.input_id = (this).input_id
$$;
COMMENT ON FUNCTION o365_msgtrace._reason_for_lag(o365_msgtrace.input) IS 'internal: why an input is behind';

CREATE FUNCTION o365_msgtrace._find_lag(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN s.since < clock_timestamp() - o365_msgtrace._patience(this, 12, '6 hours')
                 AND coalesce(upper(l.covered) < o365_msgtrace._due_up_to(this, o365_msgtrace._patience(this, 12, '6 hours')), true)
           THEN 'critical' ELSE 'warning' END,
           format('%s: %s',
                  CASE WHEN isempty(l.covered) THEN 'it has read nothing yet'
                  ELSE format('it has read nothing that was received since %s UTC, %s ago', o365_msgtrace._utc(upper(l.covered)),
                              o365_msgtrace._about(clock_timestamp() + l.clock_offset - upper(l.covered))) END,
                  o365_msgtrace._reason_for_lag(this))
      FROM o365_msgtrace.ledger l,
           LATERAL (SELECT CASE WHEN isempty(l.covered) THEN (this).created_at ELSE '-infinity' END AS since) s
     WHERE l.input_number = (this).input_number AND (this).enabled
       AND s.since < clock_timestamp() - o365_msgtrace._patience(this, 3, '15 minutes')
       AND coalesce(upper(l.covered) < o365_msgtrace._due_up_to(this, o365_msgtrace._patience(this, 3, '15 minutes')), true)
$$;
COMMENT ON FUNCTION o365_msgtrace._find_lag(o365_msgtrace.input) IS 'internal: how far behind is an input?';

-- Gaps that a poll of now would not fill by itself.
CREATE FUNCTION o365_msgtrace._find_gaps(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN min(g.days_left) < 3 THEN 'critical' ELSE 'warning' END,
           format('mail received from %s to %s UTC%s was not read yet, the oldest can be had for %s more: the next runs read it, or CALL o365_msgtrace.run(%L) now; if it stays, run_log says why',
                  o365_msgtrace._utc(min(lower(g.gap))), o365_msgtrace._utc(max(upper(g.gap))),
                  CASE WHEN count(*) > 1 THEN format(' (%s gaps)', count(*)) END,
                  o365_msgtrace._about(min(g.expires_at) - clock_timestamp()), (this).input_id)
      FROM o365_msgtrace.coverage_gap g
     WHERE g.input_id = (this).input_id
       AND lower(g.gap) < o365_msgtrace._due_up_to(this, o365_msgtrace._patience(this, 3, '15 minutes'))
    HAVING count(*) > 0
$$;
COMMENT ON FUNCTION o365_msgtrace._find_gaps(o365_msgtrace.input) IS 'internal: what has an input left out?';

-- Nothing can be done about it, so it is told for a week only.
CREATE FUNCTION o365_msgtrace._find_lost(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'critical',
           format('mail received from %s to %s UTC was never read, and the service no longer holds it: it stays in coverage.expired, and is told of here for a week',
                  o365_msgtrace._utc(lower(s.lost)), o365_msgtrace._utc(upper(s.lost)))
      FROM o365_msgtrace.ledger l,
           LATERAL (SELECT clock_timestamp() + l.clock_offset AS service_time) t,
           LATERAL (SELECT lower(o365_msgtrace._held(o365_msgtrace._api((this).source), t.service_time)) AS since) h,
           LATERAL (SELECT (l.wanted - l.covered) * tstzmultirange(tstzrange(h.since - interval '7 days', h.since)
                           * tstzrange(o365_msgtrace._earlier(t.service_time, (this).retention), NULL)) AS lost) s
     WHERE l.input_number = (this).input_number AND NOT isempty(s.lost)
$$;
COMMENT ON FUNCTION o365_msgtrace._find_lost(o365_msgtrace.input) IS 'internal: what has an input lost?';

CREATE FUNCTION o365_msgtrace._find_rejected(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'warning',
           format('%s could not be read in the last 24 hours, the latest because of: %s; see o365_msgtrace.rejected_record, and delete there what is settled',
                  CASE count(*) WHEN 1 THEN 'a record' ELSE count(*) || ' records' END, left((array_agg(concat_ws(' ', r.field, r.reason) ORDER BY r.at DESC))[1], 200))
      FROM o365_msgtrace.rejected_record r
     WHERE r.input_id = (this).input_id AND r.at > clock_timestamp() - interval '24 hours'
    HAVING count(*) > 0
$$;
COMMENT ON FUNCTION o365_msgtrace._find_rejected(o365_msgtrace.input) IS 'internal: has an input set records aside lately?';

-- As long as it can be read again.
CREATE FUNCTION o365_msgtrace._find_flagged(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'warning',
           format('the service no longer shows some rows that the target has, received from %s to %s UTC: compare them with the source, and SELECT o365_msgtrace.reset_coverage(%L, %L) has them read again',
                  o365_msgtrace._utc(lower(f.flagged)), o365_msgtrace._utc(upper(f.flagged)), (this).input_id,
                  format('[%sZ, %sZ)', o365_msgtrace._utc(lower(f.flagged)), o365_msgtrace._utc(upper(f.flagged))))
      FROM o365_msgtrace.ledger l,
           LATERAL (SELECT l.flagged * tstzmultirange(o365_msgtrace._attainable(this, clock_timestamp() + l.clock_offset)) AS flagged) f
     WHERE l.input_number = (this).input_number AND NOT isempty(f.flagged)
$$;
COMMENT ON FUNCTION o365_msgtrace._find_flagged(o365_msgtrace.input) IS 'internal: does the service lack rows of the target?';

-- ---- all of it -----------------------------------------------------------------------

-- What is not well with an input, the kinds in the order in which they matter.
CREATE FUNCTION o365_msgtrace._findings(this o365_msgtrace.input)
RETURNS SETOF o365_msgtrace._finding
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['tables', 'credentials', 'restored', 'failures', 'stuck', 'lost', 'gaps', 'lag', 'schedule',
                                'disabled', 'rejected', 'flagged'] LOOP
        BEGIN
            RETURN QUERY EXECUTE format('SELECT f.* FROM o365_msgtrace.%I($1) f', '_find_' || kind) USING this;
        EXCEPTION WHEN OTHERS THEN
            RETURN QUERY SELECT 'warning', format('its %s could not be looked at: %s', kind, SQLERRM);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._findings(o365_msgtrace.input) IS 'internal: all that health() chooses from';

CREATE FUNCTION o365_msgtrace._health(this o365_msgtrace.input)
RETURNS o365_msgtrace._finding
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    worst o365_msgtrace._finding;
BEGIN
    IF this.enabled AND o365_msgtrace._reason_to_skip(this) IS NOT NULL THEN
        RETURN ROW('ok', o365_msgtrace._reason_to_skip(this))::o365_msgtrace._finding;
    END IF;
    SELECT f.status, f.message INTO worst FROM o365_msgtrace._findings(this) WITH ORDINALITY f (status, message, nth)
     ORDER BY array_position(ARRAY['critical', 'warning'], f.status), f.nth LIMIT 1;
    IF NOT FOUND THEN
        SELECT 'ok', CASE WHEN isempty(l.covered) THEN 'it has just been made'
                     ELSE format('all that was received up to %s UTC has been read', o365_msgtrace._utc(upper(l.covered))) END
          INTO worst FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number;
    END IF;
    RETURN worst;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._health(o365_msgtrace.input) IS 'internal: how an input is';

-- The first statement is an error where there is no such input.
CREATE FUNCTION o365_msgtrace.health(input_id text DEFAULT NULL)
RETURNS TABLE (input_id text, status text, message text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o365_msgtrace._visible_input($1) WHERE $1 IS NOT NULL;
    SELECT i.input_id, h.status, h.message
      FROM o365_msgtrace.input i, LATERAL o365_msgtrace._health(i) h
     WHERE i.input_id = coalesce($1, i.input_id)
     ORDER BY array_position(ARRAY['critical', 'warning', 'ok'], h.status), i.input_id
$$;
COMMENT ON FUNCTION o365_msgtrace.health(text) IS
'how inputs are (default: all that the current role may see): ok, warning or critical, and in one sentence the worst there is and what to do. It looks at sign-in (a secret or certificate that ends within 30 days, critical within 7), source and target, a target without the rows that the ledger says it has, runs that fail (2 in a row, critical from 5) or are stuck, time that was lost or was not read (critical when it can be had for less than 3 days), lag (3 polls, critical from 12), a missing schedule, records that could not be read, and rows that the service no longer shows. It asks nothing of the service and writes nothing. To be told: SELECT * FROM o365_msgtrace.health() WHERE status <> ''ok''. A superuser sees all inputs, but the tables of others'' inputs are looked at for their owners only. Errors: 42704 no such input';
