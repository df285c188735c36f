/*
 * How far a run is.
 */

-- What a run has still to read: all that _next_window() would choose from.
CREATE FUNCTION o365_msgtrace._unread(ledger o365_msgtrace.ledger, poll tstzrange, held tstzrange,
    settle_before timestamptz, done tstzmultirange)
RETURNS tstzmultirange
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (tstzmultirange(poll) + ((ledger).wanted - (ledger).covered)
            + ((ledger).wanted * (ledger).covered - (ledger).settled) * tstzmultirange(tstzrange(NULL, settle_before)))
           * tstzmultirange(held) - done
$$;
COMMENT ON FUNCTION o365_msgtrace._unread(o365_msgtrace.ledger, tstzrange, tstzrange, timestamptz, tstzmultirange) IS
'internal: what is left to read';

-- In how many windows, if they all are of that length; the rest of a part is taken along as _next_window() does.
CREATE FUNCTION o365_msgtrace._windows_of(parts tstzmultirange, length interval)
RETURNS bigint
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(greatest(1, ceil(extract(epoch FROM upper(p.part) - lower(p.part)) / extract(epoch FROM length) - 0.25))), 0)::bigint
      FROM unnest(parts) p (part)
$$;
COMMENT ON FUNCTION o365_msgtrace._windows_of(tstzmultirange, interval) IS 'internal: how many windows it takes to read this';

/*
 * What a run has left, written before it reads a window and seen when that is
 * committed, so that it goes with the counts of what was read.
 */
CREATE FUNCTION o365_msgtrace._note_windows_left(progress o365_msgtrace._progress, ledger o365_msgtrace.ledger,
    held tstzrange, settle_before timestamptz, length interval)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE o365_msgtrace.run_record r
       SET windows_left = o365_msgtrace._windows_of(o365_msgtrace._unread(ledger, (progress).poll, held, settle_before,
                              (progress).done + coalesce(tstzmultirange((progress).span), '{}')), length)
     WHERE r.run_id = (progress).run_id
$$;
COMMENT ON FUNCTION o365_msgtrace._note_windows_left(o365_msgtrace._progress, o365_msgtrace.ledger, tstzrange, timestamptz, interval) IS
'internal: record what a run has still to do';

CREATE VIEW o365_msgtrace.run_progress WITH (security_invoker = true) AS
SELECT i.input_id, r.run_id, r.pid, r.started_at, t.now - r.started_at AS running_for,
       r.windows, r.windows_left, r.rows_in, r.details_read,
       (SELECT count(*) FROM o365_msgtrace.detail_record d WHERE d.input_id = i.input_id AND d.due) AS details_left,
       r.requests, r.waited,
       round((r.rows_in / nullif(extract(epoch FROM r.last_window_at - r.started_at), 0))::numeric, 1) AS rows_per_second,
       CASE WHEN r.windows > 0 THEN
           greatest(t.now, r.last_window_at + r.windows_left * (r.last_window_at - r.started_at) / r.windows) END AS estimated_end,
       CASE WHEN i.job_timeout > interval '0' THEN r.started_at + i.job_timeout END AS times_out_at,
       r.last_window_at, a.wait_event
  FROM o365_msgtrace.run_record r
  JOIN o365_msgtrace.input i USING (input_number)
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = r.pid,
       LATERAL (SELECT clock_timestamp() AS now) t
 WHERE r.state = 'running' AND o365_msgtrace._run_is_alive(r);

COMMENT ON VIEW o365_msgtrace.run_progress IS
'the runs that are at work, each as of its last commit; watch it from another session. The run log has the same counts when they have ended';
COMMENT ON COLUMN o365_msgtrace.run_progress.input_id IS 'the input';
COMMENT ON COLUMN o365_msgtrace.run_progress.run_id IS 'the run';
COMMENT ON COLUMN o365_msgtrace.run_progress.pid IS 'process id of its backend';
COMMENT ON COLUMN o365_msgtrace.run_progress.started_at IS 'when it began';
COMMENT ON COLUMN o365_msgtrace.run_progress.running_for IS 'how long ago that is';
COMMENT ON COLUMN o365_msgtrace.run_progress.windows IS 'windows read and committed';
COMMENT ON COLUMN o365_msgtrace.run_progress.windows_left IS 'about how many there are left, as long as the mail is as dense as in the last one: of the poll window, gaps, and what is to be settled. When the next run is due, the rest is left to it';
COMMENT ON COLUMN o365_msgtrace.run_progress.rows_in IS 'rows that the service delivered';
COMMENT ON COLUMN o365_msgtrace.run_progress.details_read IS 'deliveries whose details were read';
COMMENT ON COLUMN o365_msgtrace.run_progress.details_left IS 'deliveries whose details are still to be read, by this run or the next ones';
COMMENT ON COLUMN o365_msgtrace.run_progress.requests IS 'requests made';
COMMENT ON COLUMN o365_msgtrace.run_progress.waited IS 'time spent waiting for the service';
COMMENT ON COLUMN o365_msgtrace.run_progress.rows_per_second IS 'rows by time, up to the last commit';
COMMENT ON COLUMN o365_msgtrace.run_progress.estimated_end IS 'when all that is left will have been read at this pace, by this run or the next ones; NULL before the first commit';
COMMENT ON COLUMN o365_msgtrace.run_progress.times_out_at IS 'when its job_timeout ends it; NULL if it has none';
COMMENT ON COLUMN o365_msgtrace.run_progress.last_window_at IS 'when it committed a window last';
COMMENT ON COLUMN o365_msgtrace.run_progress.wait_event IS 'what its backend waits for, as in pg_stat_activity';
GRANT SELECT ON o365_msgtrace.run_progress TO PUBLIC;
