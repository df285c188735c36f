/*
 * Which deliveries an input copies details of: those that its windows enter into
 * detail_record, and of these the ones that are due.
 */

-- A delivery, and the state of its row that its details are read for.
CREATE TYPE o365_msgtrace._delivery AS (
    received timestamptz,
    message_trace_id uuid,
    recipient_address text,
    row_updated_at timestamptz,
    row_status text
);
COMMENT ON TYPE o365_msgtrace._delivery IS 'internal: a delivery whose details are to be read';

/*
 * Enter the deliveries of a part of time that want details. The path is the
 * owner's in this function, for his filter.
 */
CREATE FUNCTION o365_msgtrace._find_deliveries(this o365_msgtrace.input, span tstzrange, settle_before timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF this.detail_filter IS NULL OR isempty(span) THEN
        RETURN;
    END IF;
    PERFORM o365_msgtrace._use_path_of(this);
    EXECUTE o365_msgtrace._find_statement(this)
      USING o365_msgtrace._tenant_label(this.source), this.input_id,
            coalesce(pg_catalog.lower(span), '-infinity'), coalesce(pg_catalog.upper(span), 'infinity'), settle_before;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._find_deliveries(o365_msgtrace.input, tstzrange, timestamptz) IS
'internal: enter the deliveries whose details are wanted';

-- What was received before then is settled, by the service's clock.
CREATE FUNCTION o365_msgtrace._settle_before(this o365_msgtrace.input, clock_offset interval)
RETURNS timestamptz
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT o365_msgtrace._whole_second(o365_msgtrace._earlier(clock_timestamp() + clock_offset, (this).settle_after)) $$;
COMMENT ON FUNCTION o365_msgtrace._settle_before(o365_msgtrace.input, interval) IS 'internal: where final rows end';

-- Those of the window that a run has just read, in the same transaction.
CREATE FUNCTION o365_msgtrace._find_deliveries_of_window(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o365_msgtrace._find_deliveries(this, (progress).span, o365_msgtrace._settle_before(this, (progress).clock_offset))
$$;
COMMENT ON FUNCTION o365_msgtrace._find_deliveries_of_window(o365_msgtrace.input, o365_msgtrace._progress) IS
'internal: enter the deliveries of a window whose details are wanted';

/*
 * Details are about to be read by other rules than before. What was to be read
 * and satisfies the filter of now is found again; what has been read stays read,
 * but in another table there is nothing yet.
 */
CREATE FUNCTION o365_msgtrace._change_details(this o365_msgtrace.input, former o365_msgtrace.input, is_new boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    clock_offset interval;
    held tstzrange;
BEGIN
    IF NOT is_new AND ROW(this.source, this.target, this.detail_filter, this.detail_target)
        IS NOT DISTINCT FROM ROW(former.source, former.target, former.detail_filter, former.detail_target) THEN
        RETURN;
    END IF;
    DELETE FROM o365_msgtrace.detail_record r
     WHERE r.input_id = this.input_id
       AND (r.read_at IS NULL OR is_new OR this.detail_target IS DISTINCT FROM former.detail_target);
    IF this.detail_filter IS NOT NULL THEN
        SELECT l.clock_offset INTO clock_offset FROM o365_msgtrace.ledger l WHERE l.input_number = this.input_number;
        held := o365_msgtrace._held(o365_msgtrace._api(this.source), clock_timestamp() + clock_offset);
        PERFORM o365_msgtrace._find_deliveries(this, tstzrange(lower(held), NULL), o365_msgtrace._settle_before(this, clock_offset));
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._change_details(o365_msgtrace.input, o365_msgtrace.input, boolean) IS
'internal: find the deliveries that a new detail_filter wants';

-- What the service has let go of is not asked for any more.
CREATE FUNCTION o365_msgtrace._give_up_expired(this o365_msgtrace.input, progress o365_msgtrace._progress, held_from timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lost bigint;
BEGIN
    WITH given_up AS (
        UPDATE o365_msgtrace.detail_record r
           SET due = false, message = CASE WHEN r.read_at IS NULL THEN 'the service let go of it before its details were read' ELSE r.message END
         WHERE r.input_id = this.input_id AND r.due AND r.received < held_from
        RETURNING r.read_at)
    SELECT count(*) INTO lost FROM given_up WHERE read_at IS NULL;
    IF lost > 0 THEN
        PERFORM o365_msgtrace._say(this, progress, 'warn',
            format('the service let go of %s deliveries before their details were read, see o365_msgtrace.detail_record', lost));
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._give_up_expired(o365_msgtrace.input, o365_msgtrace._progress, timestamptz) IS
'internal: details that can no longer be had are not due';

/*
 * The deliveries that are due, as many as are looked at together: those of the
 * poll window first, then those that were never read, each nearest to expiry
 * first. Those that failed come last.
 */
CREATE FUNCTION o365_msgtrace._due_deliveries(this o365_msgtrace.input, progress o365_msgtrace._progress)
RETURNS SETOF o365_msgtrace.detail_record
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.*
      FROM o365_msgtrace.detail_record r
     WHERE r.input_id = (this).input_id AND r.due
       AND coalesce(r.next_try_at <= clock_timestamp(), true)
     ORDER BY r.failures > 0, coalesce(r.received >= lower((progress).poll), false) DESC, r.read_at IS NOT NULL,
              r.received, r.message_trace_id, r.recipient_address
     LIMIT 200
$$;
COMMENT ON FUNCTION o365_msgtrace._due_deliveries(o365_msgtrace.input, o365_msgtrace._progress) IS
'internal: the next deliveries to be read';

/*
 * The rows of the target of deliveries, as far as they are there and satisfy the
 * filter now: $1 tenant; $2, $3, $4 the parts of their keys.
 */
CREATE FUNCTION o365_msgtrace._rows_of_deliveries_statement(this o365_msgtrace.input)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(
        E'SELECT d.received, d.id, d.recipient, coalesce(t.updated_at::timestamptz, ''-infinity''), %s '
          'FROM unnest($2, $3, $4) WITH ORDINALITY AS d (received, id, recipient, place) '
          'JOIN (SELECT t.* FROM %s AS t WHERE (%s\n)) AS t ON t.tenant OPERATOR(pg_catalog.=) $1 AND t.received OPERATOR(pg_catalog.=) d.received '
           'AND t.message_trace_id::uuid OPERATOR(pg_catalog.=) d.id AND t.recipient_address::text OPERATOR(pg_catalog.=) d.recipient '
         'ORDER BY d.place',
        CASE WHEN EXISTS (SELECT FROM o365_msgtrace._copied_columns(this) c WHERE c.name = 'status') THEN 't.status::text' ELSE 'NULL::text' END,
        (this).target, (this).detail_filter)
$$;
COMMENT ON FUNCTION o365_msgtrace._rows_of_deliveries_statement(o365_msgtrace.input) IS
'internal: the query that finds the rows of deliveries';

/*
 * The next deliveries that want details. What is no longer in the target, or no
 * longer satisfies the filter, is not asked for: it wants none until its row is
 * written again.
 */
CREATE FUNCTION o365_msgtrace._choose_deliveries(this o365_msgtrace.input, progress o365_msgtrace._progress, most bigint)
RETURNS o365_msgtrace._delivery[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due o365_msgtrace.detail_record[];
    delivery o365_msgtrace._delivery;
    wanted o365_msgtrace._delivery[] := '{}';
BEGIN
    LOOP
        due := ARRAY(SELECT d FROM o365_msgtrace._due_deliveries(this, progress) d);
        EXIT WHEN cardinality(due) = 0;
        -- One that failed is read alone, lest it spoils what others have paid for.
        IF due[1].failures > 0 THEN
            due := due[1:1];
        ELSE
            due := ARRAY(SELECT d FROM unnest(due) d WHERE d.failures = 0);
        END IF;
        PERFORM o365_msgtrace._use_path_of(this);
        FOR delivery IN EXECUTE o365_msgtrace._rows_of_deliveries_statement(this)
            USING o365_msgtrace._tenant_label(this.source), ARRAY(SELECT d.received FROM unnest(due) d),
                  ARRAY(SELECT d.message_trace_id FROM unnest(due) d), ARRAY(SELECT d.recipient_address FROM unnest(due) d)
        LOOP
            wanted := wanted || delivery;
        END LOOP;
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
        PERFORM o365_msgtrace._drop_unwanted(this, due, wanted);
        EXIT WHEN cardinality(wanted) > 0;
    END LOOP;
    RETURN wanted[1:most];
END
$$;
COMMENT ON FUNCTION o365_msgtrace._choose_deliveries(o365_msgtrace.input, o365_msgtrace._progress, bigint) IS
'internal: the deliveries that a transaction reads';

CREATE FUNCTION o365_msgtrace._drop_unwanted(this o365_msgtrace.input, chosen o365_msgtrace.detail_record[], wanted o365_msgtrace._delivery[])
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE o365_msgtrace.detail_record r SET due = false
      FROM unnest(chosen) d
     WHERE r.input_id = (this).input_id AND r.message_trace_id = d.message_trace_id AND r.recipient_address = d.recipient_address
       AND NOT EXISTS (SELECT FROM unnest(wanted) w
                        WHERE w.message_trace_id = d.message_trace_id AND w.recipient_address = d.recipient_address);
    DELETE FROM o365_msgtrace.detail_record r
     USING unnest(chosen) d
     WHERE r.input_id = (this).input_id AND r.message_trace_id = d.message_trace_id AND r.recipient_address = d.recipient_address
       AND NOT r.due AND r.read_at IS NULL;
$$;
COMMENT ON FUNCTION o365_msgtrace._drop_unwanted(o365_msgtrace.input, o365_msgtrace.detail_record[], o365_msgtrace._delivery[]) IS
'internal: deliveries that want no details any more';
