/*
 * The details of a run: after its windows it reads the events of deliveries that
 * its detail_filter wants, some deliveries in each transaction, whose events and
 * records are committed together.
 *
 * Every delivery costs a request. So nothing is asked twice without need, a
 * quarter of the tenant's budget is left to polls and queries, and the rest of
 * the work to the next run when that is due.
 */

CREATE TYPE o365_msgtrace._detail_work AS (
    deliveries o365_msgtrace._delivery[],  -- to be read now; NULL when there is nothing more to do
    wait_until timestamptz,  -- until then there is no budget for any
    settle_before timestamptz,  -- what is older is settled
    batches integer,  -- read so far
    has_told boolean,  -- of waiting for the budget
    singly integer   -- so many deliveries are read one by one, because one of a batch has failed
);
COMMENT ON TYPE o365_msgtrace._detail_work IS 'internal: the state of the reading of details between two transactions';

/*
 * How many requests for details may be made now, so that a quarter of the
 * tenant's budget is left to polls and queries: what a run takes today is what
 * the next one's poll would have to wait for. NULL when there is no budget, or
 * nothing of it has been used.
 */
CREATE FUNCTION o365_msgtrace._detail_allowance(this o365_msgtrace.input)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_apart boolean := o365_msgtrace._source_option(this.source, 'detail_quota', 'shared') = 'separate';
BEGIN
    RETURN (SELECT min(q.remaining - CASE WHEN is_apart THEN 0 ELSE greatest(1, ceil(q.quota_requests / 4.0)) END)
              FROM o365_msgtrace._quota_of(this.source) q
             WHERE (q.api LIKE '%:detail') = is_apart);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._detail_allowance(o365_msgtrace.input) IS 'internal: what the tenant''s budget allows for details now';

/*
 * When more is allowed: when the first of the input's own requests for details
 * leaves the window of the budget. NULL if none is in it, so that others have
 * used it up and nobody can know.
 */
CREATE FUNCTION o365_msgtrace._more_allowed_at(this o365_msgtrace.input)
RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    quota_window interval := (SELECT max(q.quota_window) FROM o365_msgtrace._quota_of(this.source) q);
BEGIN
    RETURN (SELECT min(r.read_at) + quota_window FROM o365_msgtrace.detail_record r
             WHERE r.input_id = this.input_id AND r.read_at > clock_timestamp() - quota_window);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._more_allowed_at(o365_msgtrace.input) IS 'internal: when the tenant''s budget allows more details';

-- How many deliveries the next transaction may read: three rounds of requests, within all limits.
CREATE FUNCTION o365_msgtrace._batch_size(this o365_msgtrace.input, progress o365_msgtrace._progress, singly integer, allowance bigint)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT least(CASE WHEN singly > 0 THEN 1
                 ELSE 3 * o365_msgtrace._source_option(o365_msgtrace._detail_source((this).source), 'max_concurrency', '3')::integer END,
                 allowance / o365_msgtrace._detail_cost((this).source),
                 o365_msgtrace._requests_left(this, progress) / o365_msgtrace._detail_cost((this).source))
$$;
COMMENT ON FUNCTION o365_msgtrace._batch_size(o365_msgtrace.input, o365_msgtrace._progress, integer, bigint) IS
'internal: how many deliveries a transaction may read';

/*
 * Open the next transaction that reads details: choose the deliveries, or say how
 * long to wait for the budget, or that nothing is left to do. As with windows one
 * batch is read in any case, even when the next run is due.
 */
CREATE FUNCTION o365_msgtrace._next_deliveries(this o365_msgtrace.input, progress o365_msgtrace._progress, work o365_msgtrace._detail_work)
RETURNS o365_msgtrace._detail_work
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next_run_at timestamptz := progress.started_at + make_interval(mins => this.poll_interval);
    service_time timestamptz := clock_timestamp() + progress.clock_offset;
    allowance bigint;
    most bigint;
BEGIN
    work.deliveries := NULL;
    work.wait_until := NULL;
    -- A run of an input that was changed has said so when it looked for its next window.
    IF NOT o365_msgtrace._is_current(this, progress)
        OR NOT EXISTS (SELECT FROM o365_msgtrace.input i WHERE i.input_number = this.input_number AND i IS NOT DISTINCT FROM this)
        OR work.batches > 0 AND clock_timestamp() >= next_run_at THEN
        RETURN work;
    END IF;

    IF work.batches = 0 THEN
        PERFORM o365_msgtrace._give_up_expired(this, progress, lower(o365_msgtrace._held(o365_msgtrace._api(this.source), service_time)));
    END IF;
    IF NOT EXISTS (SELECT FROM o365_msgtrace.detail_record r
                    WHERE r.input_id = this.input_id AND r.due AND coalesce(r.next_try_at <= clock_timestamp(), true)) THEN
        RETURN work;
    END IF;
    PERFORM o365_msgtrace._check_source(this.source);
    PERFORM o365_msgtrace._check_detail_target(this);
    allowance := o365_msgtrace._detail_allowance(this);
    most := o365_msgtrace._batch_size(this, progress, work.singly, allowance);
    IF most > 0 THEN
        work.settle_before := o365_msgtrace._settle_before(this, progress.clock_offset);
        work.deliveries := nullif(o365_msgtrace._choose_deliveries(this, progress, most), '{}');
    ELSIF allowance < o365_msgtrace._detail_cost(this.source) THEN
        work.wait_until := o365_msgtrace._more_allowed_at(this);
        IF work.wait_until >= next_run_at THEN
            work.wait_until := NULL;
        ELSIF work.wait_until IS NOT NULL AND NOT work.has_told THEN
            work.has_told := true;
            PERFORM o365_msgtrace._say(this, progress, 'info', 'details wait for the tenant''s budget, as long as no other run is due');
        END IF;
    END IF;
    RETURN work;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._next_deliveries(o365_msgtrace.input, o365_msgtrace._progress, o365_msgtrace._detail_work) IS
'internal: choose the next deliveries of a run';

-- Deliveries as a list of rows for IN.
CREATE FUNCTION o365_msgtrace._delivery_list(deliveries o365_msgtrace._delivery[])
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('(%L, %L)', d.message_trace_id, d.recipient_address), ', ' ORDER BY d.place)
      FROM unnest(deliveries) WITH ORDINALITY AS d (received, message_trace_id, recipient_address, row_updated_at, row_status, place)
$$;
COMMENT ON FUNCTION o365_msgtrace._delivery_list(o365_msgtrace._delivery[]) IS 'internal: deliveries as SQL';

-- The query for their events: one text, an array of rows of the foreign table.
CREATE FUNCTION o365_msgtrace._events_statement(details regclass, deliveries o365_msgtrace._delivery[])
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT coalesce(pg_catalog.array_agg(d), ''{}'')::text FROM %s AS d WHERE (d.%I, d.%I) IN (%s)',
                  o365_msgtrace._full_name(details),
                  (SELECT c.attname FROM o365_msgtrace._detail_source_columns(details) c WHERE c.name = 'message_trace_id'),
                  (SELECT c.attname FROM o365_msgtrace._detail_source_columns(details) c WHERE c.name = 'recipient_address'),
                  o365_msgtrace._delivery_list(deliveries))
$$;
COMMENT ON FUNCTION o365_msgtrace._events_statement(regclass, o365_msgtrace._delivery[]) IS 'internal: the query that asks for details';

-- The statement that writes them: $1 tenant, $2 input_id, $3 run_id, $4 time of writing, $5 that text.
CREATE FUNCTION o365_msgtrace._insert_events_statement(this o365_msgtrace.input, details regclass)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('INSERT INTO %1$s (tenant, event_number, %2$s, input_id, run_id, ingested_at) '
                  'SELECT $1, pg_catalog.row_number() OVER (PARTITION BY %4$s ORDER BY %5$sd.ordinality), %3$s, $2, $3, $4 '
                    'FROM pg_catalog.unnest($5::%6$s[]) WITH ORDINALITY AS d',
                  (this).detail_target, string_agg(quote_ident(c.name), ', ' ORDER BY c.place),
                  string_agg(format('d.%I', c.attname), ', ' ORDER BY c.place),
                  string_agg(format('d.%I', c.attname), ', ' ORDER BY c.place) FILTER (WHERE c.name IN ('message_trace_id', 'recipient_address')),
                  coalesce(string_agg(format('d.%I, ', c.attname), '') FILTER (WHERE c.name = 'event_time'), ''),
                  o365_msgtrace._full_name(details))
      FROM o365_msgtrace._detail_source_columns(details) c
$$;
COMMENT ON FUNCTION o365_msgtrace._insert_events_statement(o365_msgtrace.input, regclass) IS 'internal: the statement that writes details';

-- How many events of each delivery there are in that text.
CREATE FUNCTION o365_msgtrace._count_events_statement(details regclass)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT d.%I::uuid, d.%I::text, pg_catalog.count(*) FROM pg_catalog.unnest($1::%s[]) AS d GROUP BY 1, 2',
                  (SELECT c.attname FROM o365_msgtrace._detail_source_columns(details) c WHERE c.name = 'message_trace_id'),
                  (SELECT c.attname FROM o365_msgtrace._detail_source_columns(details) c WHERE c.name = 'recipient_address'),
                  o365_msgtrace._full_name(details))
$$;
COMMENT ON FUNCTION o365_msgtrace._count_events_statement(regclass) IS 'internal: the query that counts events by delivery';

/*
 * Read the details of the chosen deliveries. They are all at hand before one is
 * written, and take the place of those that were read before: of a delivery that
 * the service suddenly knows nothing of, what is there stays. The statements run
 * with the owner's search_path, for the types and triggers of his table; so the
 * path is not pinned here. Times are written as ISO, since they are read again.
 */
CREATE FUNCTION o365_msgtrace._read_deliveries(this o365_msgtrace.input, progress o365_msgtrace._progress, work o365_msgtrace._detail_work)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    details regclass := o365_msgtrace._detail_source(this.source);
    tenant text := o365_msgtrace._tenant_label(this.source);
    report o365_msgtrace._scan_report;
    events text;
    id uuid;
    recipient text;
    events_of_one bigint;
    events_in_all bigint := 0;
    answered o365_msgtrace._delivery[] := '{}';
BEGIN
    PERFORM o365_msgtrace._use_path_of(this);
    PERFORM pg_catalog.set_config('datestyle', 'ISO', true);
    EXECUTE o365_msgtrace._events_statement(details, work.deliveries) INTO events;
    report := o365_msgtrace._last_scan();
    PERFORM o365_msgtrace._note_deliveries(this, progress, work);
    FOR id, recipient, events_of_one IN EXECUTE o365_msgtrace._count_events_statement(details) USING events LOOP
        events_in_all := events_in_all OPERATOR(pg_catalog.+) events_of_one;
        answered := pg_catalog.array_append(answered, ROW(NULL, id, recipient, NULL, NULL)::o365_msgtrace._delivery);
        UPDATE o365_msgtrace.detail_record r SET events = events_of_one
         WHERE r.input_id OPERATOR(pg_catalog.=) this.input_id AND r.message_trace_id OPERATOR(pg_catalog.=) id
           AND r.recipient_address OPERATOR(pg_catalog.=) recipient;
    END LOOP;
    IF events_in_all OPERATOR(pg_catalog.>) 0 THEN
        EXECUTE pg_catalog.format('DELETE FROM %s AS t WHERE t.tenant OPERATOR(pg_catalog.=) $1 AND (t.message_trace_id, t.recipient_address) IN (%s)',
                                  this.detail_target, o365_msgtrace._delivery_list(answered))
          USING tenant;
        EXECUTE o365_msgtrace._insert_events_statement(this, details)
          USING tenant, this.input_id, progress.run_id, pg_catalog.clock_timestamp(), events;
    END IF;
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    PERFORM o365_msgtrace._book_deliveries(this, progress, work, report, events_in_all);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._read_deliveries(o365_msgtrace.input, o365_msgtrace._progress, o365_msgtrace._detail_work) IS
'internal: copy the details of some deliveries';

-- They are read, for the rows as they were when they were chosen.
CREATE FUNCTION o365_msgtrace._note_deliveries(this o365_msgtrace.input, progress o365_msgtrace._progress, work o365_msgtrace._detail_work)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE o365_msgtrace.detail_record r
       SET row_updated_at = d.row_updated_at, row_status = d.row_status, due = false, final = r.received < (work).settle_before,
           read_at = clock_timestamp(), run_id = (progress).run_id, events = coalesce(r.events, 0),
           failures = 0, next_try_at = NULL, sqlstate = NULL, message = NULL
      FROM unnest((work).deliveries) d
     WHERE r.input_id = (this).input_id AND r.message_trace_id = d.message_trace_id AND r.recipient_address = d.recipient_address
$$;
COMMENT ON FUNCTION o365_msgtrace._note_deliveries(o365_msgtrace.input, o365_msgtrace._progress, o365_msgtrace._detail_work) IS
'internal: record that details were read';

CREATE FUNCTION o365_msgtrace._book_deliveries(this o365_msgtrace.input, progress o365_msgtrace._progress,
    work o365_msgtrace._detail_work, report o365_msgtrace._scan_report, events bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_new boolean := report IS DISTINCT FROM progress.former_scan;  -- there was something to ask
BEGIN
    PERFORM o365_msgtrace._count_scan(progress, report);
    UPDATE o365_msgtrace.run_record r SET details_read = r.details_read + cardinality(work.deliveries)
     WHERE r.run_id = progress.run_id;
    PERFORM o365_msgtrace._log_message(this, progress.run_id, 'debug',
        format('details of %s deliveries: %s events, %s requests', cardinality(work.deliveries), events,
               CASE WHEN is_new THEN report.requests ELSE 0 END));
    IF is_new AND report.rejected > 0 THEN
        PERFORM o365_msgtrace._say(this, progress, 'warn', format('%s events could not be read and are left out', report.rejected));
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._book_deliveries(o365_msgtrace.input, o365_msgtrace._progress, o365_msgtrace._detail_work, o365_msgtrace._scan_report, bigint) IS
'internal: enter what a reading of details has cost';

-- After how many failures in a row a delivery is tried again: a quarter of an hour, an hour, four hours, and so on up to a day.
CREATE FUNCTION o365_msgtrace._detail_back_off(failures integer)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT least(interval '15 minutes' * (1 << (2 * least(failures - 1, 6))), interval '1 day') $$;
COMMENT ON FUNCTION o365_msgtrace._detail_back_off(integer) IS 'internal: how long a delivery that fails is left alone';

/*
 * A batch has failed. When the reason may be one of its deliveries, they are read
 * one by one, so that it keeps no other from being read; and a single one that
 * fails is left alone for a while. Everything else is an error of the run, as
 * for a window: so the third failure in a row ends it, but not where the service
 * had answered and the table would not have it.
 */
CREATE FUNCTION o365_msgtrace._note_detail_failure(this o365_msgtrace.input, progress o365_msgtrace._progress,
    work o365_msgtrace._detail_work, state text, message text, detail text, hint text)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_single boolean := coalesce(cardinality(work.deliveries) = 1, false);
    is_its_own boolean := left(state, 2) IN ('21', '22', '23', 'HV', 'P0');
    delivery o365_msgtrace._delivery := work.deliveries[1];
BEGIN
    progress.kind := 'details';
    progress.span := NULL;
    IF cardinality(work.deliveries) > 1 AND (is_its_own OR state IN ('08006', '08P01')) THEN
        PERFORM o365_msgtrace._count_scan(progress, o365_msgtrace._last_scan());
        PERFORM o365_msgtrace._log_message(this, progress.run_id, 'debug',
            format('%s deliveries are read one by one, because their details together could not be read', cardinality(work.deliveries)),
            NULL, state, concat_ws(E'\n', message, nullif(detail, '')), hint);
        RETURN progress;
    END IF;
    IF is_single THEN
        detail := concat_ws(E'\n', nullif(detail, ''),
            format('The delivery is message_trace_id %s to %s.', delivery.message_trace_id, delivery.recipient_address));
    END IF;
    progress := o365_msgtrace._note_failure(this, progress, state, message, detail, hint);
    IF is_single AND left(state, 2) IN ('21', '22', '23', 'P0') THEN
        progress.failures_in_a_row := 0;
        progress.stopped := false;
    END IF;
    IF is_single AND (is_its_own OR NOT progress.stopped) THEN
        UPDATE o365_msgtrace.detail_record r
           SET failures = r.failures + 1, next_try_at = clock_timestamp() + o365_msgtrace._detail_back_off(r.failures + 1),
               sqlstate = state, message = _note_detail_failure.message
         WHERE r.input_id = this.input_id AND r.message_trace_id = delivery.message_trace_id
           AND r.recipient_address = delivery.recipient_address;
    END IF;
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._note_detail_failure(o365_msgtrace.input, o365_msgtrace._progress, o365_msgtrace._detail_work, text, text, text, text) IS
'internal: record an error of the reading of details';

-- What is said of details at the end of a run.
CREATE FUNCTION o365_msgtrace._told_of_details(this o365_msgtrace.input, details_read bigint)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(', details of %s deliveries', details_read) || CASE WHEN count(*) > 0 THEN format(' (%s left)', count(*)) ELSE '' END
      FROM o365_msgtrace.detail_record r
     WHERE r.input_id = (this).input_id AND r.due
    HAVING (this).detail_filter IS NOT NULL
$$;
COMMENT ON FUNCTION o365_msgtrace._told_of_details(o365_msgtrace.input, bigint) IS 'internal: what a run has done with details; NULL if the input has none';

/*
 * The transactions of a run that read details, after those of its windows; see
 * _run() for what each begins with. Waits for the budget are cut into pieces, so
 * that none holds a snapshot for long.
 */
CREATE PROCEDURE o365_msgtrace._read_details(this o365_msgtrace.input, INOUT progress o365_msgtrace._progress)
LANGUAGE plpgsql
AS $$
DECLARE
    work o365_msgtrace._detail_work;
    e_state text;
    e_message text;
    e_detail text;
    e_hint text;
BEGIN
    IF this.detail_filter IS NULL OR progress.stopped OR progress.taken_over THEN
        RETURN;
    END IF;
    work.batches := 0;
    work.has_told := false;
    work.singly := 0;
    progress.failures_in_a_row := 0;
    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        PERFORM o365_msgtrace._set_transaction();
        progress.former_scan := o365_msgtrace._last_scan();
        BEGIN
            PERFORM o365_msgtrace._heed_job_timeout();
            IF work.wait_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() THEN
                PERFORM pg_catalog.pg_sleep(LEAST(10, pg_catalog.date_part('epoch', work.wait_until OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp())));
                PERFORM o365_msgtrace._defer_job_timeout();
                CONTINUE;
            END IF;
            work := o365_msgtrace._next_deliveries(this, progress, work);
            PERFORM o365_msgtrace._defer_job_timeout();
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            GET STACKED DIAGNOSTICS e_state = RETURNED_SQLSTATE, e_message = MESSAGE_TEXT,
                e_detail = PG_EXCEPTION_DETAIL, e_hint = PG_EXCEPTION_HINT;
            work.deliveries := NULL;
            progress := o365_msgtrace._note_detail_failure(this, progress, work, e_state, e_message, e_detail, e_hint);
            EXIT;
        END;
        CONTINUE WHEN work.wait_until IS NOT NULL;
        EXIT WHEN work.deliveries IS NULL;
        BEGIN
            PERFORM o365_msgtrace._heed_job_timeout();
            PERFORM o365_msgtrace._read_deliveries(this, progress, work);
            SET CONSTRAINTS ALL IMMEDIATE;
            PERFORM o365_msgtrace._defer_job_timeout();
            progress.failures_in_a_row := 0;
            work.singly := GREATEST(work.singly OPERATOR(pg_catalog.-) 1, 0);
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            GET STACKED DIAGNOSTICS e_state = RETURNED_SQLSTATE, e_message = MESSAGE_TEXT,
                e_detail = PG_EXCEPTION_DETAIL, e_hint = PG_EXCEPTION_HINT;
            progress := o365_msgtrace._note_detail_failure(this, progress, work, e_state, e_message, e_detail, e_hint);
            work.singly := CASE WHEN pg_catalog.cardinality(work.deliveries) OPERATOR(pg_catalog.>) 1
                           THEN pg_catalog.cardinality(work.deliveries) ELSE work.singly OPERATOR(pg_catalog.-) 1 END;
        END;
        EXIT WHEN progress.stopped;
        work.batches := work.batches OPERATOR(pg_catalog.+) 1;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE o365_msgtrace._read_details(o365_msgtrace.input, o365_msgtrace._progress) IS
'internal: read the details of a run, whose error is in its last argument and not raised';

/*
 * Details are dropped with their rows, of some deliveries at a time, the oldest
 * first. Returns how many events and records were dropped, 0 when none is left.
 */
CREATE FUNCTION o365_msgtrace._drop_expired_details(this o365_msgtrace.input, cutoff timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expired o365_msgtrace._delivery[] := ARRAY(
        SELECT ROW(r.received, r.message_trace_id, r.recipient_address, NULL, NULL)::o365_msgtrace._delivery
          FROM o365_msgtrace.detail_record r
         WHERE r.input_id = this.input_id AND r.received < cutoff
         ORDER BY r.received LIMIT 1000);
    events bigint := 0;
BEGIN
    IF cardinality(expired) > 0 AND to_regclass(this.detail_target) IS NOT NULL THEN
        PERFORM o365_msgtrace._use_path_of(this);
        EXECUTE format('DELETE FROM %s AS t WHERE t.tenant OPERATOR(pg_catalog.=) $1 AND t.input_id OPERATOR(pg_catalog.=) $2 '
                       'AND (t.message_trace_id, t.recipient_address) IN (%s)', this.detail_target, o365_msgtrace._delivery_list(expired))
          USING o365_msgtrace._tenant_label(this.source), this.input_id;
        GET DIAGNOSTICS events = ROW_COUNT;
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    END IF;
    DELETE FROM o365_msgtrace.detail_record r
     USING unnest(expired) d
     WHERE r.input_id = this.input_id AND r.message_trace_id = d.message_trace_id AND r.recipient_address = d.recipient_address;
    RETURN events + cardinality(expired);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._drop_expired_details(o365_msgtrace.input, timestamptz) IS
'internal: drop some of the details, and their records, of what was received before the cutoff';

CREATE FUNCTION o365_msgtrace.reset_details(input_id text, during tstzrange DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this o365_msgtrace.input := o365_msgtrace._own_input(reset_details.input_id);
    clock_offset interval;
    span tstzrange;
    settle_before timestamptz;
    due bigint;
BEGIN
    IF this.detail_filter IS NULL THEN
        RAISE EXCEPTION 'input "%" reads no details', this.input_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = 'It has no detail_filter.',
                HINT = format('SELECT o365_msgtrace.alter_input(%L, detail_filter => ''…'', detail_target => ''…'');', this.input_id);
    END IF;
    PERFORM o365_msgtrace._lock_idle_input(this);
    SELECT l.clock_offset INTO clock_offset FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number;
    span := coalesce(during, '(,)')
            * tstzrange(lower(o365_msgtrace._held(o365_msgtrace._api(this.source), clock_timestamp() + clock_offset)), NULL);
    settle_before := o365_msgtrace._settle_before(this, clock_offset);
    UPDATE o365_msgtrace.detail_record r
       SET due = true, failures = 0, next_try_at = NULL
     WHERE r.input_id = this.input_id AND span @> r.received;
    PERFORM o365_msgtrace._find_deliveries(this, span, settle_before);
    SELECT count(*) INTO due FROM o365_msgtrace.detail_record r
     WHERE r.input_id = this.input_id AND r.due AND span @> r.received;
    RETURN due;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.reset_details(text, tstzrange) IS
'have an input read details again of what was received in a range of time (default: all), as far as the service holds it: after rows were lost from its detail_target or detail_record, or what its detail_filter asks of other tables has changed. Returns of how many deliveries; the next runs read them, a request each. No row is deleted before. Errors: 42704 no such input, 42501 not its owner, 55000 it has no detail_filter, 55006 it is running';
