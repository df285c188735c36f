/*
 * What a run does after its windows: partitions are made ahead, and what is
 * older than retention is dropped, a bounded piece in each transaction.
 *
 * Retention goes by the service's clock as this run has read it. A run that has
 * read nothing drops nothing: a clock that is wrong by years must not empty a
 * target. What cannot be done is a warning and left to the next run; the mail
 * has been read all the same.
 */

-- The tasks of an input, in their order.
CREATE FUNCTION o365_msgtrace._upkeep_tasks(this o365_msgtrace.input)
RETURNS text[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN (this).partition_by IS NOT NULL THEN ARRAY['partitions ahead'] ELSE '{}' END
           || CASE WHEN (this).retention IS NOT NULL THEN ARRAY['ledger'] ELSE '{}' END
           || CASE WHEN (this).retention IS NOT NULL AND (this).partition_by IS NOT NULL THEN ARRAY['expired partitions'] ELSE '{}' END
           || CASE WHEN (this).retention IS NOT NULL THEN ARRAY['expired rows', 'expired details', 'expired rejected records'] ELSE '{}' END
$$;
COMMENT ON FUNCTION o365_msgtrace._upkeep_tasks(o365_msgtrace.input) IS 'internal: what a run does after its windows';

-- How far ahead partitions are made, from a point in time.
CREATE FUNCTION o365_msgtrace._partitions_ahead(partition_by text, at timestamptz)
RETURNS tstzrange
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tstzrange(at, o365_msgtrace._earlier(at, CASE partition_by WHEN 'month' THEN interval '-2 months' ELSE interval '-7 days' END), '[]')
$$;
COMMENT ON FUNCTION o365_msgtrace._partitions_ahead(text, timestamptz) IS 'internal: the part of time that has partitions before it comes';

-- The service's time that upkeep goes by, the same for all of a run; NULL if this run has not heard of it.
CREATE FUNCTION o365_msgtrace._upkeep_time(progress o365_msgtrace._progress)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (progress).started_at + (progress).clock_offset
      FROM o365_msgtrace.run_record r WHERE r.run_id = (progress).run_id AND r.windows > 0
$$;
COMMENT ON FUNCTION o365_msgtrace._upkeep_time(o365_msgtrace._progress) IS 'internal: what retention is reckoned from';

/*
 * Where rows begin that are kept. Of a target that the input partitions, whole
 * partitions go, so that this is where the partition begins that has the oldest
 * rows to be kept: to delete the rest of it row by row is what partitions spare.
 */
CREATE FUNCTION o365_msgtrace._rows_kept_from(this o365_msgtrace.input, service_time timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(o365_msgtrace._partition_start((this).partition_by, k.cutoff), k.cutoff)
      FROM (SELECT lower(o365_msgtrace._kept((this).retention, service_time)) AS cutoff) k
$$;
COMMENT ON FUNCTION o365_msgtrace._rows_kept_from(o365_msgtrace.input, timestamptz) IS 'internal: what is older is dropped from a target';

/*
 * What other inputs of the target believe to have there, and keep: their ledgers
 * must stay true, whoever wrote the rows first. Of this input's tenant, or of all.
 */
CREATE FUNCTION o365_msgtrace._kept_by_others(this o365_msgtrace.input, service_time timestamptz, of_all_tenants boolean)
RETURNS tstzmultirange
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(range_agg(l.covered * tstzmultirange(o365_msgtrace._kept(i.retention, service_time))), '{}')
      FROM o365_msgtrace.input i
      JOIN o365_msgtrace.ledger l USING (input_number)
     WHERE i.target = (this).target AND i.input_number <> (this).input_number
       AND (of_all_tenants OR o365_msgtrace._tenant_label(i.source) = o365_msgtrace._tenant_label((this).source))
$$;
COMMENT ON FUNCTION o365_msgtrace._kept_by_others(o365_msgtrace.input, timestamptz, boolean) IS
'internal: the part of time that other inputs of a target have and keep';

-- ---- rows ---------------------------------------------------------------------------

/*
 * Delete the oldest rows of this input in a part of time, ten thousand and those
 * of the same moment, by their key: no table has to be of a kind for that.
 * Triggers of the target have the owner's search_path.
 */
CREATE FUNCTION o365_msgtrace._delete_rows(this o365_msgtrace.input, part tstzrange)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant text := o365_msgtrace._tenant_label(this.source);
    since timestamptz := coalesce(lower(part), '-infinity');
    ours text := format('%s AS t WHERE t.tenant OPERATOR(pg_catalog.=) $1 AND t.input_id OPERATOR(pg_catalog.=) $2 '
                        'AND t.received OPERATOR(pg_catalog.>=) $3 AND t.received OPERATOR(pg_catalog.<) $4', this.target);
    last_of_batch timestamptz;
    dropped bigint;
BEGIN
    EXECUTE format('SELECT t.received FROM %s ORDER BY t.received OFFSET 9999 LIMIT 1', ours)
       INTO last_of_batch USING tenant, this.input_id, since, upper(part);
    PERFORM o365_msgtrace._use_path_of(this);
    EXECUTE pg_catalog.format('DELETE FROM %s', ours)
      USING tenant, this.input_id, since,
            LEAST(pg_catalog.upper(part), last_of_batch OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => 0.000001));
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._delete_rows(o365_msgtrace.input, tstzrange) IS 'internal: delete some rows of an input';

CREATE FUNCTION o365_msgtrace._drop_expired_rows(this o365_msgtrace.input, service_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expired tstzmultirange := tstzmultirange(tstzrange(NULL, o365_msgtrace._rows_kept_from(this, service_time)))
                              - o365_msgtrace._kept_by_others(this, service_time, false);
    part tstzrange;
    dropped bigint := 0;
BEGIN
    FOR part IN SELECT unnest(expired) LOOP
        dropped := o365_msgtrace._delete_rows(this, part);
        EXIT WHEN dropped > 0;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._drop_expired_rows(o365_msgtrace.input, timestamptz) IS
'internal: delete some of the rows that are older than retention';

CREATE FUNCTION o365_msgtrace._drop_expired_rejects(this o365_msgtrace.input, cutoff timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped bigint;
BEGIN
    DELETE FROM o365_msgtrace.rejected_record r
     WHERE r.input_id = this.input_id
       AND r.digest IN (SELECT o.digest FROM o365_msgtrace.rejected_record o
                         WHERE o.input_id = this.input_id AND coalesce(o.received, o.at) < cutoff LIMIT 10000);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._drop_expired_rejects(o365_msgtrace.input, timestamptz) IS
'internal: delete some of the rejected records that are older than retention';

/*
 * One statement for each kind of row that belongs to an input. Returns how many
 * it has dropped; 0 when none is left.
 */
CREATE FUNCTION o365_msgtrace._drop_expired(this o365_msgtrace.input, task text, service_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cutoff timestamptz := lower(o365_msgtrace._kept(this.retention, service_time));
BEGIN
    RETURN CASE task
        WHEN 'expired rows' THEN o365_msgtrace._drop_expired_rows(this, service_time)
        WHEN 'expired details' THEN o365_msgtrace._drop_expired_details(this, o365_msgtrace._rows_kept_from(this, service_time))
        WHEN 'expired rejected records' THEN o365_msgtrace._drop_expired_rejects(this, cutoff)
    END;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._drop_expired(o365_msgtrace.input, text, timestamptz) IS
'internal: drop some of what is older than retention';

-- ---- partitions -----------------------------------------------------------------------

/*
 * Has a partition nothing but rows that have expired: of this input, and of
 * others of the current role that share the target? Asked of the partition
 * itself, by who owns it: row security must not hide rows that would be lost.
 */
CREATE FUNCTION o365_msgtrace._partition_has_expired(this o365_msgtrace.input, partition oid, span tstzrange, service_time timestamptz)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_needed boolean;
BEGIN
    IF o365_msgtrace._kept_by_others(this, service_time, true) && span
        OR row_security_active(partition) OR NOT (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = partition) THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE (ROW(t.tenant::text, t.input_id::text) IN '
                   '(SELECT o365_msgtrace._tenant_label(i.source), i.input_id FROM o365_msgtrace.input i '
                     'WHERE i.target = $1 AND i.owner = current_user AND o365_msgtrace._rows_kept_from(i, $2) >= $3)) IS NOT TRUE)',
                   o365_msgtrace._full_name(partition))
       INTO is_needed USING this.target, service_time, upper(span);
    RETURN NOT is_needed;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._partition_has_expired(o365_msgtrace.input, oid, tstzrange, timestamptz) IS
'internal: whether no row of a partition is to be kept';

/*
 * Everybody who wants the target waits behind who waits for this lock. So it is
 * asked for again and again, for a tenth of a second each time, and given up soon.
 */
CREATE FUNCTION o365_msgtrace._lock_briefly(target text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
    FOR attempt IN 1..10 LOOP
        BEGIN
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', target);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 10 THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._lock_briefly(text) IS 'internal: lock a target, if that takes no time';

/*
 * Drop a partition; returns how many rows it had, or NULL if it is needed. From
 * the look at its rows on nobody can write to it.
 */
CREATE FUNCTION o365_msgtrace._drop_partition(this o365_msgtrace.input, partition oid, span tstzrange, service_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $$
DECLARE
    name text := o365_msgtrace._full_name(partition);
    rows bigint;
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', name);
    IF NOT o365_msgtrace._partition_has_expired(this, partition, span, service_time) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT count(*) FROM %s', name) INTO rows;
    PERFORM o365_msgtrace._lock_briefly(this.target);
    EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', this.target, name);
    EXECUTE format('DROP TABLE %s', name);
    RETURN rows;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._drop_partition(o365_msgtrace.input, oid, tstzrange, timestamptz) IS
'internal: drop a partition of a target';

-- The oldest partition that can go, if any; returns how many rows it had. Not one without a beginning: it is meant for good.
CREATE FUNCTION o365_msgtrace._drop_expired_partition(this o365_msgtrace.input, progress o365_msgtrace._progress, service_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part record;
    name text;
    rows bigint;
BEGIN
    FOR part IN
        SELECT p.partition, p.span FROM o365_msgtrace._partitions(to_regclass(this.target)) p
         WHERE upper(p.span) <= o365_msgtrace._rows_kept_from(this, service_time) AND NOT lower_inf(p.span)
         ORDER BY p.span
    LOOP
        CONTINUE WHEN NOT o365_msgtrace._partition_has_expired(this, part.partition, part.span, service_time);
        name := o365_msgtrace._full_name(part.partition);
        rows := o365_msgtrace._drop_partition(this, part.partition, part.span, service_time);
        CONTINUE WHEN rows IS NULL;
        PERFORM o365_msgtrace._say(this, progress, 'info', format('dropped partition %s with %s rows', name, rows));
        RETURN rows;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._drop_expired_partition(o365_msgtrace.input, o365_msgtrace._progress, timestamptz) IS
'internal: drop a partition that is older than retention';

-- ---- the transactions -------------------------------------------------------------------

/*
 * One transaction of a task; returns whether there may be more to do. As with
 * windows, when the next run is due the rest is left to it.
 */
CREATE FUNCTION o365_msgtrace._upkeep_step(this o365_msgtrace.input, progress o365_msgtrace._progress, task text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    service_time timestamptz := o365_msgtrace._upkeep_time(progress);
    dropped bigint;
    is_more boolean := false;
BEGIN
    IF NOT o365_msgtrace._is_current(this, progress) OR service_time IS NULL
        OR NOT EXISTS (SELECT FROM o365_msgtrace.input i WHERE i.input_number = this.input_number AND i IS NOT DISTINCT FROM this) THEN
        RETURN false;
    END IF;
    CASE task
    WHEN 'partitions ahead' THEN
        PERFORM o365_msgtrace._provide_partitions(this, o365_msgtrace._partitions_ahead(this.partition_by, service_time));
    WHEN 'ledger' THEN
        PERFORM o365_msgtrace._forget_expired(this, service_time);
    WHEN 'expired partitions' THEN
        dropped := o365_msgtrace._drop_expired_partition(this, progress, service_time);
        is_more := dropped IS NOT NULL;
    ELSE
        dropped := o365_msgtrace._drop_expired(this, task, service_time);
        is_more := dropped > 0;
    END CASE;
    IF dropped > 0 THEN
        UPDATE o365_msgtrace.run_record r SET rows_expired = r.rows_expired + dropped WHERE r.run_id = progress.run_id;
    END IF;
    RETURN is_more AND clock_timestamp() < progress.started_at + make_interval(mins => this.poll_interval);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._upkeep_step(o365_msgtrace.input, o365_msgtrace._progress, text) IS 'internal: a transaction of upkeep';

/*
 * What failed is a warning, told once a day as long as it stays the same. But
 * the end of the run's time, or a cancel, is what it is with windows.
 */
CREATE FUNCTION o365_msgtrace._note_upkeep_failure(this o365_msgtrace.input, progress o365_msgtrace._progress, task text,
    state text, message text, detail text, hint text)
RETURNS o365_msgtrace._progress
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    warning text := format('upkeep (%s) was not done: %s', task, message);
BEGIN
    IF state = '57014' THEN
        RETURN o365_msgtrace._note_failure(this, progress, state, message, detail, hint);
    END IF;
    IF NOT progress.scheduled THEN
        RAISE NOTICE 'input "%": %', this.input_id, warning;
    END IF;
    IF NOT EXISTS (SELECT FROM o365_msgtrace.run_message m
                    WHERE m.input_id = this.input_id AND m.level = 'warn' AND m.message = warning
                      AND m.at > clock_timestamp() - interval '1 day') THEN
        PERFORM o365_msgtrace._log_message(this, progress.run_id, 'warn', warning, NULL, state, detail, hint);
    END IF;
    RETURN progress;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._note_upkeep_failure(o365_msgtrace.input, o365_msgtrace._progress, text, text, text, text, text) IS
'internal: tell of a task of upkeep that failed';

-- Its transactions are as those of _run().
CREATE PROCEDURE o365_msgtrace._upkeep(this o365_msgtrace.input, INOUT progress o365_msgtrace._progress)
LANGUAGE plpgsql
AS $$
DECLARE
    task text;
    is_more boolean;
    e_state text;
    e_message text;
    e_detail text;
    e_hint text;
BEGIN
    IF progress.taken_over OR progress.cancelled OR o365_msgtrace._job_timed_out() THEN
        RETURN;
    END IF;
    progress.span := NULL;
    progress.former_scan := o365_msgtrace._last_scan();
    FOREACH task IN ARRAY o365_msgtrace._upkeep_tasks(this) LOOP
        LOOP
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
            PERFORM o365_msgtrace._set_transaction();
            BEGIN
                PERFORM o365_msgtrace._heed_job_timeout();
                is_more := o365_msgtrace._upkeep_step(this, progress, task);
                SET CONSTRAINTS ALL IMMEDIATE;
                PERFORM o365_msgtrace._defer_job_timeout();
            EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
                GET STACKED DIAGNOSTICS e_state = RETURNED_SQLSTATE, e_message = MESSAGE_TEXT,
                    e_detail = PG_EXCEPTION_DETAIL, e_hint = PG_EXCEPTION_HINT;
                is_more := false;
                progress := o365_msgtrace._note_upkeep_failure(this, progress, task, e_state, e_message, e_detail, e_hint);
            END;
            EXIT WHEN NOT is_more;
        END LOOP;
        EXIT WHEN progress.cancelled OR o365_msgtrace._job_timed_out();
    END LOOP;
END
$$;
COMMENT ON PROCEDURE o365_msgtrace._upkeep(o365_msgtrace.input, o365_msgtrace._progress) IS
'internal: what a run does after its windows, whose end by its timeout is in its last argument and not raised';
