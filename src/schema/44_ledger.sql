/*
 * The arithmetic of the ledger: what a run wants, what it reads next, and what
 * a reading proves. Nothing here reads a clock or a table, so each rule can be
 * tested by itself.
 *
 * All ranges are half-open, and their bounds are whole seconds wherever we
 * choose them: the service is asked in whole seconds.
 */

CREATE FUNCTION o365_msgtrace._whole_second(at timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT date_trunc('second', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' $$;
COMMENT ON FUNCTION o365_msgtrace._whole_second(timestamptz) IS 'internal: the second that a point in time is in';

-- timestamptz - interval goes by the session's TimeZone when the interval has days or months.
CREATE FUNCTION o365_msgtrace._earlier(at timestamptz, age interval)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT ((at AT TIME ZONE 'UTC') - age) AT TIME ZONE 'UTC' $$;
COMMENT ON FUNCTION o365_msgtrace._earlier(timestamptz, interval) IS 'internal: subtraction in UTC';

-- What the service holds: Graph counts its days from the beginning of one in UTC, Reporting to the second.
CREATE FUNCTION o365_msgtrace._days_held(api text)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE api WHEN 'reporting' THEN 10 ELSE 90 END $$;
COMMENT ON FUNCTION o365_msgtrace._days_held(text) IS 'internal: for how many days an API holds message traces';

-- The last second is left out, because the service refuses an end in its future; a scan leaves Reporting's first two minutes.
CREATE FUNCTION o365_msgtrace._held(api text, service_time timestamptz)
RETURNS tstzrange
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tstzrange(CASE api WHEN 'reporting'
                     THEN o365_msgtrace._whole_second(o365_msgtrace._earlier(service_time,
                              make_interval(days => o365_msgtrace._days_held(api)))) + interval '2 minutes 1 second'
                     ELSE (date_trunc('day', service_time AT TIME ZONE 'UTC')
                           - make_interval(days => o365_msgtrace._days_held(api))) AT TIME ZONE 'UTC' END,
                     o365_msgtrace._whole_second(service_time - interval '1 second'))
$$;
COMMENT ON FUNCTION o365_msgtrace._held(text, timestamptz) IS 'internal: the part of time that the service can be asked for';

-- When it lets go of what was received then: Graph at the end of a day.
CREATE FUNCTION o365_msgtrace._held_until(api text, received timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE api WHEN 'reporting'
           THEN o365_msgtrace._earlier(received, make_interval(days => - o365_msgtrace._days_held(api)))
           ELSE o365_msgtrace._earlier(date_trunc('day', received AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
                                       make_interval(days => - 1 - o365_msgtrace._days_held(api))) END
$$;
COMMENT ON FUNCTION o365_msgtrace._held_until(text, timestamptz) IS 'internal: how long a message can be asked for';

-- What retention keeps: all, if there is none.
CREATE FUNCTION o365_msgtrace._kept(retention interval, service_time timestamptz)
RETURNS tstzrange
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT tstzrange(o365_msgtrace._whole_second(o365_msgtrace._earlier(service_time, retention)), NULL) $$;
COMMENT ON FUNCTION o365_msgtrace._kept(interval, timestamptz) IS 'internal: the part of time whose rows are not dropped';

-- The poll window of a run that began at this service time. Empty if all of it is in the future.
CREATE FUNCTION o365_msgtrace._poll_window(range_start text, range_end text, service_time timestamptz)
RETURNS tstzrange
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN w.a < w.b THEN tstzrange(w.a, w.b) ELSE 'empty' END
      FROM (SELECT o365_msgtrace._whole_second(o365_msgtrace.relative_time(range_start, service_time)) AS a,
                   o365_msgtrace._whole_second(least(o365_msgtrace.relative_time(range_end, service_time),
                                                     service_time - interval '1 second')) AS b) w
$$;
COMMENT ON FUNCTION o365_msgtrace._poll_window(text, text, timestamptz) IS 'internal: the window that a run reads whole';

-- Are two windows the same but for what two clocks may differ by?
CREATE FUNCTION o365_msgtrace._is_about(former tstzrange, latter tstzrange)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(former = latter
        OR (lower(latter) BETWEEN lower(former) - interval '3 seconds' AND lower(former) + interval '3 seconds'
            AND upper(latter) BETWEEN upper(former) - interval '3 seconds' AND upper(former) + interval '3 seconds'), false)
$$;
COMMENT ON FUNCTION o365_msgtrace._is_about(tstzrange, tstzrange) IS 'internal: whether a poll window is one that is known already';

/*
 * What is wanted grows to the end of each poll window, so that ticks that were
 * missed leave no hole. Nothing is wanted from beyond that end: if a clock was
 * ahead once, what it added is taken back here.
 */
CREATE FUNCTION o365_msgtrace._grow_wanted(wanted tstzmultirange, poll tstzrange)
RETURNS tstzmultirange
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN isempty(poll) THEN wanted
           WHEN isempty(w.past) THEN tstzmultirange(poll)
           ELSE w.past + tstzmultirange(poll) + tstzmultirange(tstzrange(upper(w.past), upper(poll))) END
      FROM (SELECT wanted * tstzmultirange(tstzrange(NULL, upper(poll))) AS past) w
$$;
COMMENT ON FUNCTION o365_msgtrace._grow_wanted(tstzmultirange, tstzrange) IS 'internal: what is wanted after one more poll window';

-- How much time is likely to hold ten pages, or as many as there may be; whole seconds, ten days at most.
CREATE FUNCTION o365_msgtrace._window_length(density double precision, page_size integer, most_pages bigint DEFAULT NULL)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT make_interval(secs => greatest(1, least(864000, floor(greatest(1, least(10, most_pages)) * page_size / greatest(density, 1e-6)))))
$$;
COMMENT ON FUNCTION o365_msgtrace._window_length(double precision, integer, bigint) IS 'internal: the length of a window that one transaction reads';

/*
 * The density that the next window is measured by. It may fall to a quarter at
 * most: after a night without mail the morning must not come in one window.
 */
CREATE FUNCTION o365_msgtrace._next_density(density double precision, rows bigint, span tstzrange)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN isempty(span) THEN density
           ELSE greatest(rows / greatest(1, extract(epoch FROM upper(span) - lower(span)))::double precision, density / 4) END
$$;
COMMENT ON FUNCTION o365_msgtrace._next_density(double precision, bigint, tstzrange) IS 'internal: rows per second, after one more window';

/*
 * What to read next, and why: the poll window, whole, for late rows and changed
 * statuses; then gaps, nearest to expiry first; then what is old enough to be
 * settled; and last what was read for that but lacked rows, apart from the
 * rest, lest the rest be doubted too. `done` is what this run has read or failed
 * to read. Within each kind the oldest comes first. No row when nothing is left.
 */
CREATE FUNCTION o365_msgtrace._next_window(ledger o365_msgtrace.ledger, poll tstzrange, held tstzrange,
    settle_before timestamptz, done tstzmultirange, length interval)
RETURNS TABLE (kind text, span tstzrange)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH open AS (
        SELECT tstzmultirange(held) - done AS all_of_it,
               ((ledger).wanted * (ledger).covered - (ledger).settled)
                   * tstzmultirange(tstzrange(NULL, settle_before)) AS due
    ), choice AS (
        SELECT c.kind, r.part
          FROM open, LATERAL (VALUES
                (1, 'poll', tstzmultirange(poll)),
                (2, 'gap', (ledger).wanted - (ledger).covered),
                (3, 'settle', due - (ledger).absent_once - (ledger).absent_twice),
                (4, 'recheck', due * (ledger).absent_twice),
                (5, 'recheck', due * (ledger).absent_once)) c (rank, kind, ranges),
               LATERAL unnest(c.ranges * all_of_it) r (part)
         ORDER BY c.rank, r.part LIMIT 1
    )
    -- A rest of less than a quarter is taken along, since it would cost a request of its own.
    SELECT kind, CASE WHEN lower(part) + length * 1.25 >= upper(part) THEN part
                 ELSE tstzrange(lower(part), lower(part) + length) END
      FROM choice
$$;
COMMENT ON FUNCTION o365_msgtrace._next_window(o365_msgtrace.ledger, tstzrange, tstzrange, timestamptz, tstzmultirange, interval) IS
'internal: the next window of a run';

/*
 * The ledger after a complete reading of `asked`. What of it is older than
 * `settle_before` is settled, unless rows of the target were absent: rows are
 * never deleted for that, and never believed either. The part is read again; at
 * the third time it is settled and flagged.
 */
CREATE FUNCTION o365_msgtrace._after_reading(ledger o365_msgtrace.ledger, asked tstzrange,
    settle_before timestamptz, rows_absent boolean)
RETURNS o365_msgtrace.ledger
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old tstzmultirange := tstzmultirange(asked) * tstzmultirange(tstzrange(NULL, settle_before));
    third tstzmultirange := old * ledger.absent_twice;
    second tstzmultirange := old * ledger.absent_once;
BEGIN
    ledger.covered := ledger.covered + tstzmultirange(asked);
    ledger.absent_once := ledger.absent_once - old;
    ledger.absent_twice := ledger.absent_twice - old;
    ledger.flagged := ledger.flagged - old;
    IF rows_absent THEN
        ledger.absent_once := ledger.absent_once + (old - second - third);
        ledger.absent_twice := ledger.absent_twice + second;
        ledger.flagged := ledger.flagged + third;
        ledger.settled := ledger.settled + third;
    ELSE
        ledger.settled := ledger.settled + old;
    END IF;
    RETURN ledger;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._after_reading(o365_msgtrace.ledger, tstzrange, timestamptz, boolean) IS
'internal: the ledger after one more window';
