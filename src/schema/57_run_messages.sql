/*
 * What a run tells: to run_message, and as NOTICEs to who runs it by hand.
 */

CREATE FUNCTION o365_msgtrace._say(this o365_msgtrace.input, progress o365_msgtrace._progress, level text, message text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM o365_msgtrace._log_message(this, progress.run_id, level, message, progress.span);
    IF NOT progress.scheduled THEN
        RAISE NOTICE 'input "%": %', this.input_id, message;
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._say(o365_msgtrace.input, o365_msgtrace._progress, text, text) IS 'internal: tell something of a run';

CREATE FUNCTION o365_msgtrace._window_name(progress o365_msgtrace._progress)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN (progress).kind = 'details' THEN 'reading details' ELSE format('%s window from %s to %s UTC', (progress).kind,
                  o365_msgtrace._utc(lower((progress).span)), o365_msgtrace._utc(upper((progress).span))) END
$$;
COMMENT ON FUNCTION o365_msgtrace._window_name(o365_msgtrace._progress) IS 'internal: a window as messages call it';

-- A window that was read, and what about it is not as it should be.
CREATE FUNCTION o365_msgtrace._say_window(this o365_msgtrace.input, progress o365_msgtrace._progress,
    report o365_msgtrace._scan_report, rows_new bigint, rows_changed bigint, rows_absent boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF report IS NOT DISTINCT FROM progress.former_scan THEN
        RETURN;
    END IF;
    PERFORM o365_msgtrace._say(this, progress, 'debug',
        format('%s: %s rows (%s new, %s changed), %s requests', o365_msgtrace._window_name(progress),
               coalesce(report.rows, 0), rows_new, rows_changed, coalesce(report.requests, 0)));
    IF report.rejected > 0 THEN
        PERFORM o365_msgtrace._say(this, progress, 'warn',
            format('%s records could not be read, see o365_msgtrace.rejected_record', report.rejected));
    END IF;
    IF rows_absent THEN
        PERFORM o365_msgtrace._say(this, progress, 'warn',
            'the service no longer shows rows that the target has; they are kept, and the window is read again');
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._say_window(o365_msgtrace.input, o365_msgtrace._progress, o365_msgtrace._scan_report, bigint, bigint, boolean) IS
'internal: tell of a window that was read';

CREATE FUNCTION o365_msgtrace._say_failure(this o365_msgtrace.input, progress o365_msgtrace._progress,
    state text, message text, detail text, hint text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM o365_msgtrace._log_message(this, progress.run_id, 'error', message, progress.span, state, detail, hint);
    -- The error that ends the run is raised soon.
    IF NOT progress.scheduled AND NOT progress.stopped THEN
        RAISE NOTICE 'input "%": % failed: %', this.input_id, o365_msgtrace._window_name(progress), message;
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._say_failure(o365_msgtrace.input, o365_msgtrace._progress, text, text, text, text) IS
'internal: tell of a window that failed';
