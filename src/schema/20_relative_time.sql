/*
 * relative_time: a point in time that is written relative to another, as the
 * date ranges of an input are.
 *
 * All arithmetic is done on UTC wall-clock time, so that neither the session's
 * TimeZone nor a change to summer time moves a window. With `at` given the
 * answer depends on nothing else, hence IMMUTABLE; now() is only its default.
 */

-- Move a UTC time by so many units.
CREATE FUNCTION o365_msgtrace._relative_time_shift(at timestamp, amount integer, unit text)
RETURNS timestamp
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT at + CASE unit
        WHEN 's' THEN make_interval(secs => amount)
        WHEN 'm' THEN make_interval(mins => amount)
        WHEN 'h' THEN make_interval(hours => amount)
        WHEN 'd' THEN make_interval(days => amount)
        WHEN 'w' THEN make_interval(weeks => amount)
        WHEN 'mon' THEN make_interval(months => amount)
        WHEN 'y' THEN make_interval(years => amount)
    END
$$;
COMMENT ON FUNCTION o365_msgtrace._relative_time_shift(timestamp, integer, text) IS
'internal: a step of relative_time()';

-- Go back to the beginning of the unit; w alone is w0, the week from Sunday.
CREATE FUNCTION o365_msgtrace._relative_time_snap(at timestamp, unit text)
RETURNS timestamp
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN unit ~ '^w' THEN
            date_trunc('day', at) - make_interval(days =>
                (extract(dow FROM at)::integer - coalesce(nullif(substr(unit, 2), ''), '0')::integer + 7) % 7)
        ELSE date_trunc(CASE unit
            WHEN 's' THEN 'second'
            WHEN 'm' THEN 'minute'
            WHEN 'h' THEN 'hour'
            WHEN 'd' THEN 'day'
            WHEN 'mon' THEN 'month'
            WHEN 'y' THEN 'year' END, at)
    END
$$;
COMMENT ON FUNCTION o365_msgtrace._relative_time_snap(timestamp, text) IS
'internal: a snap of relative_time()';

CREATE FUNCTION o365_msgtrace.relative_time(expression text, at timestamptz DEFAULT now())
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- "now" says nothing that `at` does not, so it may only open the expression.
    rest text := regexp_replace(btrim(expression), '^now', '');
    utc timestamp := at AT TIME ZONE 'UTC';
    step text[];
BEGIN
    LOOP
        -- Eight digits at most: more would overflow the fields of an interval.
        step := regexp_match(rest, '^([+-]\d{1,8})(mon|[smhdwy])(?![a-z0-9])');
        IF step IS NOT NULL THEN
            utc := o365_msgtrace._relative_time_shift(utc, step[1]::integer, step[2]);
        ELSE
            step := regexp_match(rest, '^(@)(mon|w[0-6]|[smhdwy])(?![a-z0-9])');
            EXIT WHEN step IS NULL;
            utc := o365_msgtrace._relative_time_snap(utc, step[2]);
        END IF;
        rest := substr(rest, length(step[1]) + length(step[2]) + 1);
    END LOOP;

    IF rest <> '' OR btrim(expression) = '' THEN
        RAISE EXCEPTION 'invalid relative time: "%"', expression
            USING ERRCODE = 'invalid_datetime_format',
                DETAIL = CASE WHEN rest = '' THEN 'It is empty.'
                         ELSE format('It cannot be read from "%s" on.', rest) END,
                HINT = 'Write steps of [+-]N and s, m (minutes), h, d, w, mon or y, and snaps of @ and such a unit or w0 (Sunday) to w6, from left to right: "now", "-15m", "-3h@h", "-1d@d", "@w0", "-2h@h+10m".';
    END IF;
    RETURN utc AT TIME ZONE 'UTC';
END
$$;
COMMENT ON FUNCTION o365_msgtrace.relative_time(text, timestamptz) IS
'the point in time that an expression such as "-3h@h" means, relative to "at" (default: now()). Steps are read from left to right: [+-]N with s, m (minutes), h, d, w, mon or y moves; @ with such a unit goes back to its beginning in UTC, @w0 (Sunday) to @w6 to that day of the week. "now" changes nothing. The session''s TimeZone has no influence. Anything else is an error (22007)';
