/*
 * The record of runs, and the lock that keeps them apart.
 *
 * A run is many transactions. Each holds an advisory lock to its end, and none
 * outlives a crash; whether a record that says "running" is of a live run can
 * therefore be asked of the server, and never has to be believed.
 */

CREATE SEQUENCE o365_msgtrace.run_id_seq;

CREATE TABLE o365_msgtrace.run_record (
    run_id bigint PRIMARY KEY DEFAULT nextval('o365_msgtrace.run_id_seq'),
    input_number integer NOT NULL REFERENCES o365_msgtrace.input ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'skipped', 'lost')),
    pid integer NOT NULL DEFAULT pg_backend_pid(),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    window_start timestamptz,
    window_end timestamptz,
    windows bigint NOT NULL DEFAULT 0,
    windows_left bigint,
    last_window_at timestamptz,
    rows_in bigint NOT NULL DEFAULT 0,
    rows_new bigint NOT NULL DEFAULT 0,
    rows_changed bigint NOT NULL DEFAULT 0,
    rows_rejected bigint NOT NULL DEFAULT 0,
    rows_expired bigint NOT NULL DEFAULT 0,
    details_read bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    retries bigint NOT NULL DEFAULT 0,
    pages bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    waited interval NOT NULL DEFAULT '0',
    sqlstate text,
    message text,
    detail text,
    hint text
);
ALTER SEQUENCE o365_msgtrace.run_id_seq OWNED BY o365_msgtrace.run_record.run_id;
CREATE INDEX run_record_input_idx ON o365_msgtrace.run_record (input_number, run_id);
-- The last run, and the one at work, are found at once among thousands that were skipped.
CREATE INDEX run_record_begun_idx ON o365_msgtrace.run_record (input_number, run_id) WHERE state <> 'skipped';
CREATE INDEX run_record_running_idx ON o365_msgtrace.run_record (input_number, run_id) WHERE state = 'running';

COMMENT ON TABLE o365_msgtrace.run_record IS
'what the view run_log shows, with the states as they were written';

ALTER TABLE o365_msgtrace.run_record ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_only ON o365_msgtrace.run_record
    USING (EXISTS (SELECT FROM o365_msgtrace.input i
                    WHERE i.input_number OPERATOR(pg_catalog.=) run_record.input_number
                      AND i.owner OPERATOR(pg_catalog.=) current_user));

SELECT o365_msgtrace._grant_but('o365_msgtrace.run_record', 'run_id');
GRANT USAGE, SELECT ON SEQUENCE o365_msgtrace.run_id_seq TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.run_record', '');
SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.run_id_seq', '');

-- The first half of the key of our advisory locks ("o365" in ASCII); the second is the input's number.
CREATE FUNCTION o365_msgtrace._lock_class()
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT 1865627189';
COMMENT ON FUNCTION o365_msgtrace._lock_class() IS
'internal: classid of the advisory locks of runs, as pg_locks shows it; objid is input.input_number';

/*
 * Is this run alive? Its backend holds the lock, or is between two of its
 * transactions and then at least at work. What another role's backend does is
 * not shown to us (its state is NULL): taken for at work, as is what a standby
 * has of its primary's runs. Nobody can ask in the middle of his own run, so a
 * record of the asker's own process is a dead one.
 */
CREATE FUNCTION o365_msgtrace._run_is_alive(run o365_msgtrace.run_record)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_is_in_recovery() OR (run).pid <> pg_backend_pid() AND (EXISTS (
            SELECT FROM pg_locks l
             WHERE l.locktype = 'advisory' AND l.granted AND l.pid = (run).pid
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND l.classid::bigint = o365_msgtrace._lock_class()
               AND l.objid::bigint = (run).input_number)
        OR EXISTS (
            SELECT FROM pg_stat_activity a
             WHERE a.pid = (run).pid
               AND a.datname = current_database()
               AND a.state IS DISTINCT FROM 'idle'
               AND (a.backend_start IS NULL OR a.backend_start <= (run).started_at)))
$$;
COMMENT ON FUNCTION o365_msgtrace._run_is_alive(o365_msgtrace.run_record) IS
'internal: whether a run that its record calls running is at work';

/*
 * The last record of an input, and the last that was not of a run that was skipped.
 * The order is by both columns of the index, and the input is no constant in it:
 * else the server might look for one that has not run for long among all others'
 * records, from the latest on.
 */
CREATE FUNCTION o365_msgtrace._last_record(input integer)
RETURNS o365_msgtrace.run_record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r FROM o365_msgtrace.run_record r WHERE r.input_number BETWEEN input AND input
     ORDER BY r.input_number DESC, r.run_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION o365_msgtrace._last_record(integer) IS 'internal: the last run of an input, or that it was skipped';

CREATE FUNCTION o365_msgtrace._last_run(input integer)
RETURNS o365_msgtrace.run_record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r FROM o365_msgtrace.run_record r WHERE r.input_number BETWEEN input AND input AND r.state <> 'skipped'
     ORDER BY r.input_number DESC, r.run_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION o365_msgtrace._last_run(integer) IS 'internal: the last run of an input that was not skipped';

CREATE VIEW o365_msgtrace.run_log WITH (security_invoker = true) AS
SELECT r.run_id, i.input_id,
       CASE WHEN r.state = 'running' AND NOT o365_msgtrace._run_is_alive(r) THEN 'lost' ELSE r.state END AS state,
       r.started_at, r.finished_at, r.window_start, r.window_end, r.windows,
       r.rows_in, r.rows_new, r.rows_changed, r.rows_rejected, r.rows_expired, r.details_read,
       r.requests, r.retries, r.pages, r.bytes, r.waited,
       r.sqlstate, r.message, r.detail, r.hint, r.pid
  FROM o365_msgtrace.run_record r
  JOIN o365_msgtrace.input i USING (input_number);

COMMENT ON VIEW o365_msgtrace.run_log IS
'every run of an input and what it did, up to its last commit; gone with its input';
COMMENT ON COLUMN o365_msgtrace.run_log.run_id IS 'the number of the run; rows of the target carry that of the run that last wrote them';
COMMENT ON COLUMN o365_msgtrace.run_log.input_id IS 'the input';
COMMENT ON COLUMN o365_msgtrace.run_log.state IS 'running; succeeded; failed (see sqlstate and message); skipped (could not start, see message); lost (its backend ended in the middle: what it had committed stays, the next run does the rest)';
COMMENT ON COLUMN o365_msgtrace.run_log.started_at IS 'when it began';
COMMENT ON COLUMN o365_msgtrace.run_log.finished_at IS 'when it ended; NULL while it runs. Of a lost run: when that was noticed';
COMMENT ON COLUMN o365_msgtrace.run_log.window_start IS 'where the poll window of this run began, in service time';
COMMENT ON COLUMN o365_msgtrace.run_log.window_end IS 'where the poll window of this run ended';
COMMENT ON COLUMN o365_msgtrace.run_log.windows IS 'windows read and committed: those of the poll window, of gaps, and those read to settle them';
COMMENT ON COLUMN o365_msgtrace.run_log.rows_in IS 'rows that the service delivered';
COMMENT ON COLUMN o365_msgtrace.run_log.rows_new IS 'of these, not in the target before';
COMMENT ON COLUMN o365_msgtrace.run_log.rows_changed IS 'of these, changed since they were last read; all others were left alone';
COMMENT ON COLUMN o365_msgtrace.run_log.rows_rejected IS 'rows that could not be read';
COMMENT ON COLUMN o365_msgtrace.run_log.rows_expired IS 'rows that were dropped because they were older than retention: of the target, and what belongs to them';
COMMENT ON COLUMN o365_msgtrace.run_log.details_read IS 'deliveries whose details were read';
COMMENT ON COLUMN o365_msgtrace.run_log.requests IS 'requests made to the service';
COMMENT ON COLUMN o365_msgtrace.run_log.retries IS 'of these, repeated ones';
COMMENT ON COLUMN o365_msgtrace.run_log.pages IS 'pages received';
COMMENT ON COLUMN o365_msgtrace.run_log.bytes IS 'bytes received';
COMMENT ON COLUMN o365_msgtrace.run_log.waited IS 'time spent waiting for the service';
COMMENT ON COLUMN o365_msgtrace.run_log.sqlstate IS 'code of the first error of the run';
COMMENT ON COLUMN o365_msgtrace.run_log.message IS 'its message; or why the run was skipped';
COMMENT ON COLUMN o365_msgtrace.run_log.detail IS 'its detail';
COMMENT ON COLUMN o365_msgtrace.run_log.hint IS 'its hint';
COMMENT ON COLUMN o365_msgtrace.run_log.pid IS 'process id of the backend';
GRANT SELECT ON o365_msgtrace.run_log TO PUBLIC;
