/*
 * Changing inputs.
 *
 * A setting that is left out stays as it is. What was read by other rules than
 * those of now proves nothing, so a change of what is copied, or where to,
 * empties the ledger but for what is wanted: the next runs read it again, as far
 * as the service still holds it.
 */

CREATE FUNCTION o365_msgtrace._reset_ledger(this o365_msgtrace.input)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE o365_msgtrace.ledger l
       SET covered = '{}', settled = '{}', absent_once = '{}', absent_twice = '{}', flagged = '{}', density = NULL
     WHERE l.input_number = this.input_number AND l.covered <> '{}';
    IF FOUND THEN
        RAISE NOTICE 'coverage of input "%" was reset', this.input_id
            USING DETAIL = 'What it had read was read by other settings, or into another table; the next runs read it again, as far as the service holds it.',
                HINT = 'If that is not needed: keep_coverage => true.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._reset_ledger(o365_msgtrace.input) IS 'internal: an input has read nothing yet';

CREATE FUNCTION o365_msgtrace.alter_input(
    input_id text,
    source regclass DEFAULT NULL,
    target text DEFAULT NULL,
    poll_interval integer DEFAULT NULL,
    date_range_start text DEFAULT NULL,
    date_range_end text DEFAULT NULL,
    settle_after interval DEFAULT NULL,
    filter text DEFAULT NULL,
    fields jsonb DEFAULT NULL,
    pipeline text DEFAULT NULL,
    disable_time_filter boolean DEFAULT NULL,
    tags text[] DEFAULT NULL,
    environment text DEFAULT NULL,
    log_level text DEFAULT NULL,
    job_timeout text DEFAULT NULL,
    max_requests integer DEFAULT NULL,
    retention interval DEFAULT NULL,
    partition_by text DEFAULT NULL,
    detail_filter text DEFAULT NULL,
    detail_target text DEFAULT NULL,
    enabled boolean DEFAULT NULL,
    keep_coverage boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    this o365_msgtrace.input := o365_msgtrace._own_input(alter_input.input_id);
BEGIN
    this.source := coalesce(alter_input.source, this.source);
    this.target := coalesce(alter_input.target, this.target);
    this.poll_interval := coalesce(alter_input.poll_interval, this.poll_interval);
    this.date_range_start := coalesce(alter_input.date_range_start, this.date_range_start);
    this.date_range_end := coalesce(alter_input.date_range_end, this.date_range_end);
    this.settle_after := coalesce(alter_input.settle_after, this.settle_after);
    this.filter := coalesce(alter_input.filter, this.filter);
    this.fields := coalesce(alter_input.fields, this.fields);
    this.pipeline := coalesce(alter_input.pipeline, this.pipeline);
    this.disable_time_filter := coalesce(alter_input.disable_time_filter, this.disable_time_filter);
    this.tags := coalesce(alter_input.tags, this.tags);
    this.environment := coalesce(alter_input.environment, this.environment);
    this.log_level := coalesce(alter_input.log_level, this.log_level);
    IF alter_input.job_timeout IS NOT NULL THEN
        this.job_timeout := o365_msgtrace._duration('job_timeout', alter_input.job_timeout);
    END IF;
    this.max_requests := coalesce(alter_input.max_requests, this.max_requests);
    -- 0 is how to say that there shall be none; an empty text says it of the others.
    this.retention := CASE alter_input.retention WHEN interval '0' THEN NULL
                      ELSE coalesce(alter_input.retention, this.retention) END;
    this.partition_by := CASE alter_input.partition_by WHEN '' THEN NULL
                         ELSE coalesce(alter_input.partition_by, this.partition_by) END;
    this.detail_filter := coalesce(alter_input.detail_filter, this.detail_filter);
    this.detail_target := coalesce(alter_input.detail_target, this.detail_target);
    -- Neither is of use without the other.
    IF alter_input.detail_filter = '' OR alter_input.detail_target = '' THEN
        this.detail_filter := coalesce(alter_input.detail_filter, '');
        this.detail_target := coalesce(alter_input.detail_target, '');
    END IF;
    this.enabled := coalesce(alter_input.enabled, this.enabled);
    PERFORM o365_msgtrace._change_input(this, pg_catalog.current_schemas(false), coalesce(alter_input.keep_coverage, false));
END
$$;
COMMENT ON FUNCTION o365_msgtrace.alter_input(text, regclass, text, integer, text, text, interval, text, jsonb, text, boolean, text[], text, text, text, integer, interval, text, text, text, boolean, boolean) IS
'change settings of an input: those that are given, see create_input(); an empty text takes away filter, pipeline, environment, partition_by, detail_filter or detail_target, and a retention of 0 keeps rows for ever. A change of source, target, filter, fields or pipeline resets what the input has covered, with a NOTICE, so that the next runs read it anew; with keep_coverage => true it does not. What is younger than a longer settle_after is no longer settled. Its job follows a changed poll_interval. Only the owner may, and not while it runs. Errors: those of create_input(), 42704 no such input, 42501 not its owner, 55006 it is running';

CREATE FUNCTION o365_msgtrace._change_input(this o365_msgtrace.input, schemas name[], keep_coverage boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former o365_msgtrace.input := o365_msgtrace._own_input(this.input_id);
    target_is_new boolean;
    detail_target_is_new boolean;
BEGIN
    PERFORM o365_msgtrace._lock_idle_input(this);
    this := o365_msgtrace._check_settings(this, schemas);
    -- A table that was dropped and is made anew has nothing of what was read, though its name is the same.
    target_is_new := to_regclass(this.target) IS NULL;
    detail_target_is_new := this.detail_target IS NOT NULL AND to_regclass(this.detail_target) IS NULL;
    -- What the retention of before may have dropped, one of after must not believe to be there.
    IF this.retention IS DISTINCT FROM former.retention THEN
        PERFORM o365_msgtrace._forget_expired(former, clock_timestamp() + l.clock_offset)
           FROM o365_msgtrace.ledger l WHERE l.input_number = former.input_number;
    END IF;
    -- What is settled now may yet change by a later settle_after. What is older was settled by the one of then.
    IF this.settle_after > former.settle_after THEN
        UPDATE o365_msgtrace.ledger l
           SET settled = l.settled * s.old, flagged = l.flagged * s.old
          FROM (SELECT m.input_number, tstzmultirange(tstzrange(NULL, o365_msgtrace._settle_before(this, m.clock_offset))) AS old
                  FROM o365_msgtrace.ledger m) s
         WHERE l.input_number = this.input_number AND s.input_number = l.input_number;
    END IF;
    UPDATE o365_msgtrace.input i
       SET source = this.source, target = this.target, poll_interval = this.poll_interval,
           date_range_start = this.date_range_start, date_range_end = this.date_range_end,
           settle_after = this.settle_after, filter = this.filter, fields = this.fields, pipeline = this.pipeline,
           disable_time_filter = this.disable_time_filter, tags = this.tags, environment = this.environment,
           log_level = this.log_level, job_timeout = this.job_timeout, max_requests = this.max_requests,
           retention = this.retention, partition_by = this.partition_by, detail_filter = this.detail_filter,
           detail_target = this.detail_target, enabled = this.enabled
     WHERE i.input_number = this.input_number;
    PERFORM o365_msgtrace._provide_target(this);
    PERFORM o365_msgtrace._change_details(this, former, detail_target_is_new);
    IF NOT keep_coverage
        AND (target_is_new
             OR ROW(this.source, this.target, this.filter, this.fields, this.pipeline)
                IS DISTINCT FROM ROW(former.source, former.target, former.filter, former.fields, former.pipeline)) THEN
        PERFORM o365_msgtrace._reset_ledger(this);
    END IF;
    IF this.poll_interval <> former.poll_interval THEN
        IF o365_msgtrace._job_id(this) IS NOT NULL THEN
            PERFORM o365_msgtrace.schedule(this.input_id, this.stagger);
        END IF;
        PERFORM o365_msgtrace._say_job_elsewhere(o365_msgtrace._cron_statement(this));
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._change_input(o365_msgtrace.input, name[], boolean) IS
'internal: alter_input() with its search_path';
