/*
 * One window of a run: choosing it, reading it, and entering it into the ledger,
 * in one transaction.
 */

/*
 * Rows per second, as far as is known. As long as that was never seen it is
 * taken for so high that a window has a quarter of an hour at most; the windows
 * grow from there, fourfold each time.
 */
CREATE FUNCTION o365_msgtrace._expected_density(seen double precision, source regclass)
RETURNS double precision
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(seen, greatest(o365_msgtrace._source_option(source, 'rows_per_day', '100000')::double precision / 86400,
                                   10 * o365_msgtrace._page_size(source) / 900.0))
$$;
COMMENT ON FUNCTION o365_msgtrace._expected_density(double precision, regclass) IS 'internal: rows per second to expect in the next window';

-- How many requests the run may still begin windows for; NULL if there is no limit.
CREATE FUNCTION o365_msgtrace._requests_left(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT nullif((this).max_requests, 0) - r.requests FROM o365_msgtrace.run_record r WHERE r.run_id = (progress).run_id
$$;
COMMENT ON FUNCTION o365_msgtrace._requests_left(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: what max_requests leaves to a run';

-- How many rows the window at hand is likely to have; 0 as long as no window was seen.
CREATE FUNCTION o365_msgtrace._rows_expected(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS double precision
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(greatest(l.density, 1e-6) * date_part('epoch', upper((progress).span) - lower((progress).span)), 0)
      FROM o365_msgtrace.ledger l WHERE l.input_number = (this).input_number
$$;
COMMENT ON FUNCTION o365_msgtrace._rows_expected(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: what a scan of the window is told to expect';

/*
 * Want a poll window, as far as it can be had: what the service has let go of
 * before anybody asked for it was never lost.
 *
 * Nor can anything have been read of the future. If it was entered, because a
 * clock was ahead, that is taken back: else nothing would read that time again
 * when it comes.
 */
CREATE FUNCTION o365_msgtrace._want_poll_window(this o365_msgtrace.input, poll tstzrange, service_time timestamptz)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE o365_msgtrace.ledger l
       SET wanted = o365_msgtrace._grow_wanted(l.wanted, poll * o365_msgtrace._attainable(this, service_time)),
           covered = l.covered * p.past, settled = l.settled * p.past, absent_once = l.absent_once * p.past,
           absent_twice = l.absent_twice * p.past, flagged = l.flagged * p.past
      FROM (SELECT tstzmultirange(tstzrange(NULL, o365_msgtrace._whole_second(service_time))) AS past) p
     WHERE l.input_number = (this).input_number
$$;
COMMENT ON FUNCTION o365_msgtrace._want_poll_window(o365_msgtrace.input, tstzrange, timestamptz) IS 'internal: enter a poll window into the ledger';

/*
 * Open the next transaction of a run: wait for the lock (only a run that asks
 * whether this one is alive can hold it), see that this run is still the current
 * one, and choose what to read.
 */
CREATE FUNCTION o365_msgtrace._next_step(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    service_time timestamptz := clock_timestamp() + progress.clock_offset;
    poll tstzrange := o365_msgtrace._poll_window(this.date_range_start, this.date_range_end,
                                                 progress.started_at + progress.clock_offset);
    ledger o365_msgtrace.ledger;
    held tstzrange;
    settle_before timestamptz;
    length interval;
BEGIN
    progress.span := NULL;
    IF NOT o365_msgtrace._is_current(this, progress) THEN
        progress.taken_over := true;
        RETURN progress;
    END IF;
    -- What would be read now by settings of before must not count as read by those of now.
    IF NOT EXISTS (SELECT FROM o365_msgtrace.input i WHERE i.input_number = this.input_number AND i IS NOT DISTINCT FROM this) THEN
        PERFORM o365_msgtrace._say(this, progress, 'info', 'it was changed: this run ends, and the next one goes on');
        RETURN progress;
    END IF;

    -- The service's clock is learned to a second: for less than a few the window stays as it was, lest a splinter be left.
    IF o365_msgtrace._is_about(progress.poll, poll) THEN
        poll := progress.poll;
    ELSE
        -- Not with each window: what the service clamped away must not come back.
        progress.poll := poll;
        PERFORM o365_msgtrace._want_poll_window(this, poll, service_time);
        UPDATE o365_msgtrace.run_record r SET window_start = lower(poll), window_end = upper(poll)
         WHERE r.run_id = progress.run_id;
    END IF;

    SELECT * INTO ledger FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number;
    progress.density := o365_msgtrace._expected_density(ledger.density, this.source);
    -- What was old enough when the run began, less what the clocks may differ by: what grows old meanwhile would be splinters.
    held := o365_msgtrace._attainable(this, service_time);
    settle_before := o365_msgtrace._whole_second(o365_msgtrace._earlier(
        progress.started_at + progress.clock_offset - interval '2 seconds', this.settle_after));
    length := o365_msgtrace._window_length(progress.density, o365_msgtrace._page_size(this.source),
                                           o365_msgtrace._requests_left(this, progress));
    SELECT w.kind, w.span INTO progress.kind, progress.span
      FROM o365_msgtrace._next_window(ledger, poll, held, settle_before, progress.done, length) w;

    -- When the next run is due, leave the rest to it: it polls first.
    IF progress.kind <> 'poll' AND progress.extra_windows > 0
        AND clock_timestamp() >= progress.started_at + make_interval(mins => this.poll_interval) THEN
        progress.span := NULL;
    END IF;
    IF o365_msgtrace._requests_left(this, progress) <= 0 THEN
        progress.span := NULL;
    END IF;
    PERFORM o365_msgtrace._note_windows_left(progress, ledger, held, settle_before, length);
    progress.former_scan := o365_msgtrace._last_scan();
    progress.reading_since := clock_timestamp();
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._next_step(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: choose the next window of a run';

-- Take the run's locks until the end of the transaction; is the run still the current one, and the role still its owner?
CREATE FUNCTION o365_msgtrace._is_current(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(o365_msgtrace._lock_class(), this.input_number);
    PERFORM o365_msgtrace._share_erasures();
    RETURN this.owner = current_user
        AND EXISTS (SELECT FROM o365_msgtrace.run_record r WHERE r.run_id = progress.run_id AND r.state = 'running');
END
$$;
COMMENT ON FUNCTION o365_msgtrace._is_current(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: lock an input for its run';

/*
 * Read a window into the target. The statement runs with the owner's
 * search_path, for the types and triggers of his table, after pg_catalog; the
 * path is not pinned here for that reason.
 */
CREATE FUNCTION o365_msgtrace._read_window(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
AS $$
DECLARE
    read_as o365_msgtrace.input := this;
    statement text;
    rows_new bigint := 0;
    rows_changed bigint := 0;
    strays bigint := 0;
    written record;
BEGIN
    read_as.disable_time_filter := this.disable_time_filter AND NOT progress.drops_strays;
    statement := o365_msgtrace._upsert_statement(read_as, progress.guarded);
    PERFORM pg_catalog.set_config('o365_msgtrace.rows_expected', o365_msgtrace._rows_expected(this, progress)::text, true);
    PERFORM o365_msgtrace._use_path_of(this);
    FOR written IN EXECUTE statement
        USING o365_msgtrace._tenant_label(this.source), this.input_id, progress.run_id,
              o365_msgtrace._full_name(this.source), pg_catalog.clock_timestamp(),
              pg_catalog.lower(progress.span), pg_catalog.upper(progress.span),
              coalesce(o365_msgtrace._earlier(pg_catalog.clock_timestamp() + progress.clock_offset, this.retention), '-infinity')
    LOOP
        IF written.is_new THEN
            rows_new := rows_new + 1;
        ELSE
            rows_changed := rows_changed + 1;
        END IF;
        IF NOT written.is_within THEN
            strays := strays + 1;
        END IF;
    END LOOP;
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF strays > 0 THEN
        PERFORM o365_msgtrace._say(this, progress, 'info',
            pg_catalog.format('%s rows that the service sent from outside of the window were written, too', strays));
    END IF;
    RETURN o365_msgtrace._book_window(this, progress, rows_new, rows_changed);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._read_window(o365_msgtrace.input, o365_msgtrace._progress) IS 'internal: copy a window';

-- The part of the window that was asked for; empty if the scan had nothing to ask, or there was none.
CREATE FUNCTION o365_msgtrace._asked(report o365_msgtrace._scan_report, progress o365_msgtrace._progress)
RETURNS tstzrange
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN report IS DISTINCT FROM (progress).former_scan AND (report).asked_from < (report).asked_to
           THEN tstzrange((report).asked_from, (report).asked_to) * (progress).span
           ELSE 'empty' END
$$;
COMMENT ON FUNCTION o365_msgtrace._asked(o365_msgtrace._scan_report, o365_msgtrace._progress) IS 'internal: what a reading asked for';

/*
 * The service's clock was read at some moment between the beginning and the end
 * of the reading, which bounds its offset. What is known already is kept as long
 * as it fits to a second: the service tells its time no finer. Else rather too
 * much than too little, since the scan takes away what is in the future. In hours
 * and not in days, which have 25 now and then where the session's TimeZone is.
 */
CREATE FUNCTION o365_msgtrace._learn_clock(progress o365_msgtrace._progress, service_time timestamptz)
RETURNS interval
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN service_time IS NULL
                  OR (progress).clock_offset BETWEEN service_time - clock_timestamp() - interval '1 second'
                                                 AND service_time - (progress).reading_since + interval '1 second'
           THEN (progress).clock_offset
           ELSE make_interval(secs => extract(epoch FROM service_time - (progress).reading_since)::double precision + 1) END
$$;
COMMENT ON FUNCTION o365_msgtrace._learn_clock(o365_msgtrace._progress, timestamptz) IS 'internal: how far the service''s clock is ahead of ours';

/*
 * Does the target hold rows of this window that the service no longer sends?
 * Asked where something was read before and the window would now be settled. All
 * rows of the reading are in the target by now, so more rows there than were
 * read tell it. Rows first written by another input do not count: it may read
 * more of the tenant's mail than this one does. Nothing can be told where a
 * filter or a pipeline decides which rows are written, since it may decide anew,
 * nor where rows are kept that the service sends with another window than theirs.
 */
CREATE FUNCTION o365_msgtrace._rows_absent(this o365_msgtrace.input, ledger o365_msgtrace.ledger, asked tstzrange,
    settle_before timestamptz, rows_read bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rows_held bigint;
BEGIN
    IF this.filter IS NOT NULL OR this.pipeline IS NOT NULL OR this.disable_time_filter
        OR isempty(ledger.covered * tstzmultirange(asked * tstzrange(NULL, settle_before))) THEN
        RETURN false;
    END IF;
    EXECUTE o365_msgtrace._count_statement(this.target) INTO rows_held
      USING o365_msgtrace._tenant_label(this.source), this.input_id, lower(asked), upper(asked);
    RETURN rows_held > rows_read;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._rows_absent(o365_msgtrace.input, o365_msgtrace.ledger, tstzrange, timestamptz, bigint) IS
'internal: whether rows of the target were missing in a reading';

-- Add a scan's costs to the record of the run.
CREATE FUNCTION o365_msgtrace._count_scan(progress o365_msgtrace._progress, report o365_msgtrace._scan_report)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE o365_msgtrace.run_record r
       SET requests = r.requests + coalesce((report).requests, 0), retries = r.retries + coalesce((report).retries, 0),
           pages = r.pages + coalesce((report).pages, 0), bytes = r.bytes + coalesce((report).bytes, 0),
           rows_rejected = r.rows_rejected + coalesce((report).rejected, 0),
           waited = r.waited + coalesce((report).waited, interval '0')
     WHERE r.run_id = (progress).run_id AND report IS DISTINCT FROM (progress).former_scan
$$;
COMMENT ON FUNCTION o365_msgtrace._count_scan(o365_msgtrace._progress, o365_msgtrace._scan_report) IS 'internal: add up what a run costs';

/*
 * Enter a reading into the ledger. It believes the scan's own report only: what
 * was asked for, after all clamping, and whether it was read to the end.
 */
CREATE FUNCTION o365_msgtrace._book_window(this o365_msgtrace.input, progress o365_msgtrace._progress,
    rows_new bigint, rows_changed bigint)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    report o365_msgtrace._scan_report := o365_msgtrace._last_scan();
    asked tstzrange := o365_msgtrace._asked(report, progress);
    settle_before timestamptz := o365_msgtrace._whole_second(
        o365_msgtrace._earlier(report.service_time_at_start, this.settle_after));
    ledger o365_msgtrace.ledger;
    rows_absent boolean;
BEGIN
    IF NOT isempty(asked) AND report.complete IS NOT TRUE THEN
        RAISE EXCEPTION 'the service''s answer was not read to its end'
            USING ERRCODE = 'fdw_error',
                DETAIL = format('The window from %s to %s UTC was asked for.', o365_msgtrace._utc(lower(asked)), o365_msgtrace._utc(upper(asked))),
                HINT = 'Look for triggers on the target that end the statement early.';
    END IF;

    -- Others may add to what is wanted while we read: not before now is it time to look.
    SELECT * INTO ledger FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number FOR UPDATE;
    rows_absent := o365_msgtrace._rows_absent(this, ledger, asked, settle_before, report.rows);
    ledger := o365_msgtrace._after_reading(ledger, asked, settle_before, rows_absent);
    progress.clock_offset := o365_msgtrace._learn_clock(progress, report.service_time_at_start);
    -- The service's time ends where it clamped the window: nothing is wanted from beyond that yet.
    IF upper(asked) < upper(progress.span) THEN
        ledger.wanted := ledger.wanted - tstzmultirange(tstzrange(upper(asked), upper(progress.span)));
    END IF;
    UPDATE o365_msgtrace.ledger l
       SET wanted = ledger.wanted, covered = ledger.covered, settled = ledger.settled,
           absent_once = ledger.absent_once, absent_twice = ledger.absent_twice, flagged = ledger.flagged,
           density = coalesce(o365_msgtrace._next_density(progress.density, report.rows, asked), l.density),
           clock_offset = progress.clock_offset
     WHERE l.input_number = this.input_number;

    IF report.rejected > 0 AND report IS DISTINCT FROM progress.former_scan THEN
        INSERT INTO o365_msgtrace.rejected_record AS r
               (input_id, run_id, message_trace_id, recipient_address, received, field, reason, raw, digest)
        SELECT this.input_id, progress.run_id, l.message_trace_id, l.recipient_address, l.received, l.field,
               l.reason, l.raw, l.digest
          FROM o365_msgtrace._last_rejected() l
         WHERE NOT o365_msgtrace._is_erased_record(this.owner, l.recipient_address, l.raw)
            ON CONFLICT ON CONSTRAINT rejected_record_pkey DO NOTHING;
    END IF;

    PERFORM o365_msgtrace._count_scan(progress, report);
    UPDATE o365_msgtrace.run_record r
       SET windows = r.windows + CASE WHEN isempty(asked) THEN 0 ELSE 1 END, rows_in = r.rows_in + coalesce(report.rows, 0),
           rows_new = r.rows_new + _book_window.rows_new, rows_changed = r.rows_changed + _book_window.rows_changed,
           last_window_at = clock_timestamp()
     WHERE r.run_id = progress.run_id;
    PERFORM o365_msgtrace._say_window(this, progress, report, rows_new, rows_changed, rows_absent);

    progress.done := progress.done + tstzmultirange(progress.span);
    progress.drops_strays := false;
    progress.failures_in_a_row := 0;
    IF progress.kind <> 'poll' THEN
        progress.extra_windows := progress.extra_windows + 1;
    END IF;
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._book_window(o365_msgtrace.input, o365_msgtrace._progress, bigint, bigint) IS 'internal: enter a window into the ledger';
