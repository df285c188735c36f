/*
 * What a DBA looks at: what each input has, and how its job does.
 */

CREATE VIEW o365_msgtrace.coverage WITH (security_invoker = true) AS
SELECT i.input_id, l.wanted * h.kept AS wanted, l.covered * h.kept AS covered, l.settled * h.kept AS settled,
       m.missing,
       CASE WHEN NOT isempty(m.missing) THEN
           least(o365_msgtrace._held_until(h.api, lower(m.missing)), o365_msgtrace._earlier(lower(m.missing), - i.retention))
           - h.service_time END AS missing_expires_in,
       (l.wanted - l.covered) * h.kept * tstzmultirange(tstzrange(NULL, lower(h.held))) AS expired,
       l.flagged * h.kept AS flagged
  FROM o365_msgtrace.input i
  JOIN o365_msgtrace.ledger l USING (input_number),
       LATERAL (SELECT o365_msgtrace._api(i.source) AS api,
                       clock_timestamp() + l.clock_offset AS service_time) s,
       LATERAL (SELECT s.api, s.service_time, o365_msgtrace._held(s.api, s.service_time) AS held,
                       tstzmultirange(o365_msgtrace._kept(i.retention, s.service_time)) AS kept) h,
       LATERAL (SELECT (l.wanted - l.covered) * tstzmultirange(h.held) * h.kept AS missing) m;

COMMENT ON VIEW o365_msgtrace.coverage IS
'which parts of time an input wants, has and lacks, by received; a gap and a time without mail are never mixed up. What is older than retention is left out of all of them';
COMMENT ON COLUMN o365_msgtrace.coverage.input_id IS 'the input';
COMMENT ON COLUMN o365_msgtrace.coverage.wanted IS 'from its first poll window to the end of its latest';
COMMENT ON COLUMN o365_msgtrace.coverage.covered IS 'read completely at least once';
COMMENT ON COLUMN o365_msgtrace.coverage.settled IS 'read completely once more, settle_after later: final';
COMMENT ON COLUMN o365_msgtrace.coverage.missing IS 'wanted, not covered, and still held by the service: the next runs read it';
COMMENT ON COLUMN o365_msgtrace.coverage.missing_expires_in IS 'how long the oldest of it can still be had, and would be kept; NULL when nothing is missing';
COMMENT ON COLUMN o365_msgtrace.coverage.expired IS 'wanted and never covered, but no longer held by the service: lost';
COMMENT ON COLUMN o365_msgtrace.coverage.flagged IS 'settled, though three readings in a row lacked rows that the target has';
GRANT SELECT ON o365_msgtrace.coverage TO PUBLIC;

CREATE VIEW o365_msgtrace.job WITH (security_invoker = true) AS
SELECT i.input_id, i.owner, c.schedule, c.active,
       CASE WHEN c.active AND m.may_run THEN o365_msgtrace._tick(c.schedule, m.now, 1) END AS next_run,
       CASE WHEN m.may_run THEN
           coalesce(o365_msgtrace._tick(o365_msgtrace._cron_schedule(i.input_id, i.poll_interval, i.stagger), n.started_at, 1),
                    i.created_at) END AS due_at,
       r.run_id AS last_run, r.started_at AS last_started_at, r.finished_at AS last_finished_at,
       CASE WHEN l.is_lost THEN 'lost' ELSE r.state END AS last_result, r.message AS last_message,
       CASE WHEN r.state = 'running' AND NOT l.is_lost THEN r.started_at END AS running_since,
       (SELECT f.failures FROM o365_msgtrace._failures_in_a_row(i.input_number, false) f) AS consecutive_failures,
       c.jobid, coalesce(c.jobname, o365_msgtrace._job_name(i.input_number)) AS jobname
  FROM o365_msgtrace.input i
  LEFT JOIN o365_msgtrace._cron_jobs() c
    ON c.input_number = i.input_number AND c.username = i.owner,
       LATERAL o365_msgtrace._last_run(i.input_number) r,
       LATERAL (SELECT r.state = 'running' AND NOT o365_msgtrace._run_is_alive(r) AS is_lost) l,
       LATERAL o365_msgtrace._last_record(i.input_number) n,
       LATERAL (SELECT clock_timestamp() AS now, o365_msgtrace._reason_to_skip(i) IS NULL AS may_run) m;

COMMENT ON VIEW o365_msgtrace.job IS
'every input with its schedule, when it runs next, and how its last run ended';
COMMENT ON COLUMN o365_msgtrace.job.input_id IS 'the input';
COMMENT ON COLUMN o365_msgtrace.job.owner IS 'the role that it runs as';
COMMENT ON COLUMN o365_msgtrace.job.schedule IS 'its schedule in pg_cron; NULL if pg_cron of this database has none';
COMMENT ON COLUMN o365_msgtrace.job.active IS 'whether pg_cron runs it';
COMMENT ON COLUMN o365_msgtrace.job.next_run IS 'when pg_cron runs it next; NULL if it does not (no job, an inactive one, the input disabled or for another environment), or if its schedule was changed to one that schedule() does not make. By UTC, pg_cron''s default: where cron.timezone is half an hour off, so is this';
COMMENT ON COLUMN o365_msgtrace.job.due_at IS 'from when on run_due() runs it; NULL if it does not';
COMMENT ON COLUMN o365_msgtrace.job.last_run IS 'its last run that was not skipped, see run_log';
COMMENT ON COLUMN o365_msgtrace.job.last_started_at IS 'when that began';
COMMENT ON COLUMN o365_msgtrace.job.last_finished_at IS 'when that ended; NULL if it is running, or was lost';
COMMENT ON COLUMN o365_msgtrace.job.last_result IS 'its state: running, succeeded, failed or lost';
COMMENT ON COLUMN o365_msgtrace.job.last_message IS 'the message of its error';
COMMENT ON COLUMN o365_msgtrace.job.running_since IS 'since when it has been running; NULL if it is not';
COMMENT ON COLUMN o365_msgtrace.job.consecutive_failures IS 'runs that failed or were lost since the last that succeeded, counted up to 1000';
COMMENT ON COLUMN o365_msgtrace.job.jobid IS 'its id in cron.job';
COMMENT ON COLUMN o365_msgtrace.job.jobname IS 'its name in cron.job';
GRANT SELECT ON o365_msgtrace.job TO PUBLIC;
