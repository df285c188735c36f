/*
 * What is read because somebody asks for it: time before the first poll window,
 * and time that shall be read again.
 */

-- Say what of a range is out of reach, and why.
CREATE FUNCTION o365_msgtrace._say_unattainable(this o365_msgtrace.input, span tstzrange, attainable tstzrange)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone tstzrange := span * tstzrange(NULL, lower(attainable));
    api text := o365_msgtrace._api(this.source);
BEGIN
    IF NOT isempty(gone) THEN
        RAISE WARNING 'mail received before % UTC can no longer be had', o365_msgtrace._utc(lower(attainable))
            USING DETAIL = format('The service holds %s days%s.', o365_msgtrace._days_held(api),
                                  ', and the input keeps rows for ' || this.retention),
                HINT = format('Asked for was what was received from %s UTC.', o365_msgtrace._utc(lower(span)));
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._say_unattainable(o365_msgtrace.input, tstzrange, tstzrange) IS 'internal: tell of time that is lost';

/*
 * Add a range to what is wanted, as far as it can be had, and return that part.
 * What is wanted grows from where it ends to the next poll window, so the window
 * of now comes first where nothing was wanted yet: else a backfill of one day
 * would bring all the time since.
 */
CREATE FUNCTION o365_msgtrace._want(this o365_msgtrace.input, since timestamptz, until timestamptz)
RETURNS tstzrange
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ledger o365_msgtrace.ledger;
    service_time timestamptz;
    poll tstzrange;
    attainable tstzrange;
    span tstzrange;
BEGIN
    SELECT * INTO ledger FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number FOR UPDATE;
    service_time := clock_timestamp() + ledger.clock_offset;
    poll := o365_msgtrace._poll_window(this.date_range_start, this.date_range_end, service_time);
    attainable := o365_msgtrace._attainable(this, service_time);
    until := coalesce(until, upper(attainable));
    IF since IS NULL OR since >= until THEN
        RAISE EXCEPTION 'since must be before until'
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = format('since is %s, until is %s (UTC).', coalesce(o365_msgtrace._utc(since), 'NULL'), o365_msgtrace._utc(until)),
                HINT = 'Without until, a backfill reaches to now.';
    END IF;

    span := tstzrange(o365_msgtrace._whole_second(since), o365_msgtrace._whole_second(until + interval '0.999999 seconds'));
    PERFORM o365_msgtrace._say_unattainable(this, span, attainable);
    -- Runs want nothing from beyond the end of their poll window.
    span := span * attainable * tstzrange(NULL, CASE WHEN isempty(poll) THEN upper(attainable) ELSE upper(poll) END);
    IF NOT isempty(span) THEN
        UPDATE o365_msgtrace.ledger l
           SET wanted = CASE WHEN isempty(l.wanted) AND NOT isempty(poll) THEN tstzmultirange(poll) ELSE l.wanted END
                        + tstzmultirange(span)
         WHERE l.input_number = this.input_number;
    END IF;
    RETURN span;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._want(o365_msgtrace.input, timestamptz, timestamptz) IS 'internal: want what can be had of a range';

-- What of a range was not read yet, and can be.
CREATE FUNCTION o365_msgtrace._left_of(this o365_msgtrace.input, span tstzrange)
RETURNS tstzmultirange
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (tstzmultirange(span) - l.covered)
           * tstzmultirange(o365_msgtrace._attainable(this, clock_timestamp() + l.clock_offset))
      FROM o365_msgtrace.ledger l WHERE l.input_number = (this).input_number
$$;
COMMENT ON FUNCTION o365_msgtrace._left_of(o365_msgtrace.input, tstzrange) IS 'internal: what a backfill has left to do';

/*
 * Does a backfill go on with one more run? Not when all is read, and not when the
 * last run could not go on: it was skipped, failed, lost its place, came to the
 * end of its max_requests, or found no gap to read.
 */
CREATE FUNCTION o365_msgtrace._backfill_goes_on(this o365_msgtrace.input, progress o365_msgtrace._progress, span tstzrange)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remaining tstzmultirange := o365_msgtrace._left_of(this, span);
    goes_on boolean := NOT isempty(remaining) AND progress.verdict = 'started' AND progress.sqlstate IS NULL
        AND NOT progress.taken_over AND progress.extra_windows > 0
        AND coalesce(o365_msgtrace._requests_left(this, progress) > 0, true);
BEGIN
    IF isempty(remaining) THEN
        RAISE NOTICE 'input "%": all from % to % UTC has been read', this.input_id,
            o365_msgtrace._utc(lower(span)), o365_msgtrace._utc(upper(span));
    ELSIF NOT goes_on THEN
        RAISE NOTICE 'input "%": not all of the backfill has been read yet', this.input_id
            USING DETAIL = format('What is left lies from %s to %s UTC.', o365_msgtrace._utc(lower(remaining)), o365_msgtrace._utc(upper(remaining))),
                HINT = 'The next runs read it, or the same backfill again.';
    END IF;
    RETURN goes_on;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._backfill_goes_on(o365_msgtrace.input, o365_msgtrace._progress, tstzrange) IS
'internal: whether a backfill makes another run';

/*
 * Runs, one after the other, until the range is read. Each polls first, so that
 * a backfill of hours lets no poll wait for longer than poll_interval, and each
 * begins with the input's settings of then.
 */
CREATE PROCEDURE o365_msgtrace.backfill(input_id text, since timestamptz, until timestamptz DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    this o365_msgtrace.input;
    progress o365_msgtrace._progress;
    span tstzrange;
BEGIN
    PERFORM o365_msgtrace._set_transaction();
    this := o365_msgtrace._enter('backfill', backfill.input_id);
    IF this.input_number IS NULL THEN
        RETURN;
    END IF;
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    PERFORM o365_msgtrace._set_transaction();
    span := o365_msgtrace._want(this, since, until);
    LOOP
        EXIT WHEN pg_catalog.isempty(span);
        CALL o365_msgtrace._run(this, false, progress);
        this := o365_msgtrace._own_input(backfill.input_id);
        EXIT WHEN NOT o365_msgtrace._backfill_goes_on(this, progress, span);
    END LOOP;
    PERFORM o365_msgtrace._raise_failure(this, progress);
END
$$;
COMMENT ON PROCEDURE o365_msgtrace.backfill(text, timestamptz, timestamptz) IS
'want what was received from since to until (default: now), too, and read it: by runs of the input, one after the other, each of which polls first and then reads gaps, nearest to expiry first. If it is ended in the middle, the next runs go on with it, and so does the same call. What the service no longer holds, or retention would drop, is said by a WARNING and not wanted. What was read before is not read again, see reset_coverage(). Errors: 22023 since is not before until, and those of run()';

/*
 * The whole seconds that a range touches, its end excluded, as all ranges of the
 * ledger are: a gap of a single point in time is one that no reading fills.
 */
CREATE FUNCTION o365_msgtrace._seconds_of(during tstzrange)
RETURNS tstzrange
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN isempty(during) THEN during
           ELSE tstzrange(o365_msgtrace._whole_second(lower(during)),
                          o365_msgtrace._whole_second(CASE WHEN upper_inc(during) THEN upper(during) + interval '1 second'
                                                      ELSE upper(during) + interval '0.999999 seconds' END)) END
$$;
COMMENT ON FUNCTION o365_msgtrace._seconds_of(tstzrange) IS 'internal: a range as the ledger can have it';

/*
 * Believe no longer that a range was read. Only as far as it can be read again:
 * where the service has let go of the mail, the ledger is all there is to know.
 */
CREATE FUNCTION o365_msgtrace.reset_coverage(input_id text, during tstzrange DEFAULT NULL)
RETURNS tstzmultirange
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this o365_msgtrace.input := o365_msgtrace._own_input(reset_coverage.input_id);
    ledger o365_msgtrace.ledger;
    asked tstzmultirange := tstzmultirange(o365_msgtrace._seconds_of(coalesce(during, '(,)')));
    again tstzmultirange;
BEGIN
    PERFORM o365_msgtrace._lock_idle_input(this);
    SELECT * INTO ledger FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number FOR UPDATE;
    again := ledger.wanted * ledger.covered * asked
             * tstzmultirange(o365_msgtrace._attainable(this, clock_timestamp() + ledger.clock_offset));
    UPDATE o365_msgtrace.ledger l
       SET covered = l.covered - again, settled = l.settled - again, absent_once = l.absent_once - again,
           absent_twice = l.absent_twice - again, flagged = l.flagged - again
     WHERE l.input_number = this.input_number;
    IF NOT isempty(ledger.covered * asked - again) THEN
        RAISE NOTICE 'coverage of input "%" was reset as far as it can be read again', this.input_id
            USING DETAIL = 'The service no longer holds the rest, or retention would drop it.';
    END IF;
    RETURN again;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.reset_coverage(text, tstzrange) IS
'have an input read a range of time again (default: all), as far as the service holds it: after rows were lost from its target, or a pipeline has learned something. Returns what will be read again, by the next runs. No row is deleted. Errors: 42704 no such input, 42501 not its owner, 55006 it is running';
