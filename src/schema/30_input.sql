/*
 * The inputs and their ledgers.
 *
 * As in pg_cron, everybody may write these tables, and row security lets each
 * role see and change its own rows only: an ingest runs with the rights of its
 * owner and nobody else's, so it has to keep its books with them too. A role
 * needs USAGE on schema o365_msgtrace besides. Owners are kept by name, because
 * a dump that held their oids would give the inputs to somebody else.
 */

CREATE SEQUENCE o365_msgtrace.input_number_seq AS integer;

CREATE TABLE o365_msgtrace.input (
    input_number integer PRIMARY KEY DEFAULT nextval('o365_msgtrace.input_number_seq'),
    input_id text NOT NULL UNIQUE
        CONSTRAINT input_id_is_sane CHECK (length(input_id) BETWEEN 1 AND 100
            AND input_id = btrim(input_id) AND input_id !~ '[[:cntrl:]]'),
    owner name NOT NULL DEFAULT current_user,
    source regclass NOT NULL,
    target text NOT NULL,
    poll_interval integer NOT NULL DEFAULT 15
        CONSTRAINT poll_interval_divides_60 CHECK (poll_interval BETWEEN 1 AND 60 AND 60 % poll_interval = 0),
    date_range_start text NOT NULL DEFAULT '-1h'
        CONSTRAINT date_range_start_is_relative CHECK (o365_msgtrace.relative_time(date_range_start, 'epoch') IS NOT NULL),
    date_range_end text NOT NULL DEFAULT 'now'
        CONSTRAINT date_range_end_is_relative CHECK (o365_msgtrace.relative_time(date_range_end, 'epoch') IS NOT NULL),
    settle_after interval NOT NULL DEFAULT '24 hours'
        CONSTRAINT settle_after_is_not_negative CHECK (settle_after >= '0')
        CONSTRAINT settle_after_is_bounded CHECK (timestamp '2000-01-01' - settle_after >= timestamp '1000-01-01'),
    filter text,
    fields jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT fields_is_an_object CHECK (jsonb_typeof(fields) = 'object'),
    pipeline text,
    disable_time_filter boolean NOT NULL DEFAULT false,
    tags text[] NOT NULL DEFAULT '{}',
    environment text,
    log_level text NOT NULL DEFAULT 'info'
        CONSTRAINT log_level_is_known CHECK (log_level IN ('error', 'warn', 'info', 'debug')),
    job_timeout interval NOT NULL DEFAULT '0'
        CONSTRAINT job_timeout_is_not_negative CHECK (job_timeout >= '0'),
    max_requests integer NOT NULL DEFAULT 0
        CONSTRAINT max_requests_is_not_negative CHECK (max_requests >= 0),
    retention interval
        CONSTRAINT retention_is_positive CHECK (retention > '0')
        CONSTRAINT retention_is_bounded CHECK (timestamp '2000-01-01' - retention >= timestamp '1000-01-01'),
    partition_by text
        CONSTRAINT partition_by_is_known CHECK (partition_by IN ('day', 'month')),
    detail_filter text,
    detail_target text,
    enabled boolean NOT NULL DEFAULT true,
    stagger boolean NOT NULL DEFAULT true,
    search_path text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE o365_msgtrace.input_number_seq OWNED BY o365_msgtrace.input.input_number;

COMMENT ON TABLE o365_msgtrace.input IS
'what is copied from where to where, and how often; one row per input, written by create_input() and drop_input(). Each role sees its own';
COMMENT ON COLUMN o365_msgtrace.input.input_number IS 'names the input in the scheduler and in locks';
COMMENT ON COLUMN o365_msgtrace.input.input_id IS 'the name of the input, 1 to 100 characters, unique in the database';
COMMENT ON COLUMN o365_msgtrace.input.owner IS 'the role that made the input, the only one that may run it; a run has its rights';
COMMENT ON COLUMN o365_msgtrace.input.source IS 'the foreign table that is read';
COMMENT ON COLUMN o365_msgtrace.input.target IS 'the table that is written, with its schema';
COMMENT ON COLUMN o365_msgtrace.input.poll_interval IS 'minutes between two runs, a divisor of 60; default 15';
COMMENT ON COLUMN o365_msgtrace.input.date_range_start IS 'where the window begins that every run reads whole, see relative_time(); default -1h';
COMMENT ON COLUMN o365_msgtrace.input.date_range_end IS 'where that window ends, see relative_time(); default now';
COMMENT ON COLUMN o365_msgtrace.input.settle_after IS 'age at which nothing is expected to change any more, so that a last reading settles it; default 24 hours';
COMMENT ON COLUMN o365_msgtrace.input.filter IS 'a predicate over the columns of the source: only rows that satisfy it are copied; NULL = all';
COMMENT ON COLUMN o365_msgtrace.input.fields IS 'columns of the target by name, each with the SQL expression over the columns of the source that is written there';
COMMENT ON COLUMN o365_msgtrace.input.pipeline IS 'a function of o365_msgtrace.trace_row that returns SETOF o365_msgtrace.trace_row and is called for each row; NULL = none';
COMMENT ON COLUMN o365_msgtrace.input.disable_time_filter IS 'whether rows are kept that the service sent from outside of the window that it was asked for; default false';
COMMENT ON COLUMN o365_msgtrace.input.tags IS 'words of the user''s own, for finding inputs';
COMMENT ON COLUMN o365_msgtrace.input.environment IS 'the input runs only where the setting o365_msgtrace.environment has this value; NULL = everywhere';
COMMENT ON COLUMN o365_msgtrace.input.log_level IS 'what run_message keeps of a run: error, warn, info (default) or debug, each with those before it';
COMMENT ON COLUMN o365_msgtrace.input.job_timeout IS 'how long a run may take before it is ended; 0 (default) = as long as it takes';
COMMENT ON COLUMN o365_msgtrace.input.max_requests IS 'after how many requests a run begins no further window and leaves the rest to the next run; 0 (default) = no limit';
COMMENT ON COLUMN o365_msgtrace.input.retention IS 'age after which rows of the target, details and rejected records are dropped, and are not read again; NULL = never';
COMMENT ON COLUMN o365_msgtrace.input.partition_by IS 'whether the target is partitioned by day or by month of received, in UTC, by the input itself; NULL = not by the input';
COMMENT ON COLUMN o365_msgtrace.input.detail_filter IS 'a predicate over the columns of the target: the details of rows that satisfy it are copied too; NULL = of none';
COMMENT ON COLUMN o365_msgtrace.input.detail_target IS 'the table that details are written to, with its schema; NULL = none are';
COMMENT ON COLUMN o365_msgtrace.input.enabled IS 'whether it runs at all; default true';
COMMENT ON COLUMN o365_msgtrace.input.stagger IS 'whether its runs begin at a minute that depends on its name, so that not all inputs begin at once; as schedule() was told last, default true';
COMMENT ON COLUMN o365_msgtrace.input.search_path IS 'the search_path of its owner when the input was made; triggers on the target run with it, after pg_catalog';
COMMENT ON COLUMN o365_msgtrace.input.created_at IS 'when the input was made';

/*
 * The ledger: which parts of time are wanted, were read, and are final. It is a
 * table of its own because it is updated with every window that is read, and
 * the settings are not. A high-water mark could not tell a gap from mail that
 * nobody sent.
 */
CREATE TABLE o365_msgtrace.ledger (
    input_number integer PRIMARY KEY REFERENCES o365_msgtrace.input ON DELETE CASCADE,
    wanted tstzmultirange NOT NULL DEFAULT '{}',
    covered tstzmultirange NOT NULL DEFAULT '{}',
    settled tstzmultirange NOT NULL DEFAULT '{}',
    absent_once tstzmultirange NOT NULL DEFAULT '{}',
    absent_twice tstzmultirange NOT NULL DEFAULT '{}',
    flagged tstzmultirange NOT NULL DEFAULT '{}',
    density double precision,
    clock_offset interval NOT NULL DEFAULT '0'
        CONSTRAINT clock_offset_is_bounded CHECK (clock_offset BETWEEN '-100 years' AND '100 years'
            AND timestamp '2000-01-01' - clock_offset BETWEEN timestamp '1800-01-01' AND timestamp '2200-01-01')
);

COMMENT ON TABLE o365_msgtrace.ledger IS
'what an input wants, has and holds for final; kept by its runs, in the transactions that write the rows. Shown by the view coverage';
COMMENT ON COLUMN o365_msgtrace.ledger.input_number IS 'the input';
COMMENT ON COLUMN o365_msgtrace.ledger.wanted IS 'from the first poll window to the end of the latest';
COMMENT ON COLUMN o365_msgtrace.ledger.covered IS 'read completely at least once';
COMMENT ON COLUMN o365_msgtrace.ledger.settled IS 'read completely by a scan that began at least settle_after later';
COMMENT ON COLUMN o365_msgtrace.ledger.absent_once IS 'old enough to be settled, but rows of the target were missing in the last reading';
COMMENT ON COLUMN o365_msgtrace.ledger.absent_twice IS 'the same, in the last two readings';
COMMENT ON COLUMN o365_msgtrace.ledger.flagged IS 'the same, in three readings: settled, but some rows of the target are no longer with the service';
COMMENT ON COLUMN o365_msgtrace.ledger.density IS 'rows per second of the last window, from which the next one''s length follows';
COMMENT ON COLUMN o365_msgtrace.ledger.clock_offset IS 'how far the service''s clock was ahead of this server''s';

ALTER TABLE o365_msgtrace.input ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_only ON o365_msgtrace.input
    USING (owner OPERATOR(pg_catalog.=) current_user);

-- The policy of input decides here too.
ALTER TABLE o365_msgtrace.ledger ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_only ON o365_msgtrace.ledger
    USING (EXISTS (SELECT FROM o365_msgtrace.input i
                    WHERE i.input_number OPERATOR(pg_catalog.=) ledger.input_number
                      AND i.owner OPERATOR(pg_catalog.=) current_user));

/*
 * What the sequences number is for them to say: a role that could choose its
 * numbers would take those that others are about to get, and keep them from
 * working. A privilege on columns has to name those that there are.
 */
CREATE FUNCTION o365_msgtrace._grant_but(relation regclass, numbered name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    others text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> numbered);
BEGIN
    EXECUTE format('GRANT SELECT, INSERT (%1$s), UPDATE (%1$s), DELETE ON %2$s TO PUBLIC', others, relation);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._grant_but(regclass, name) IS
'internal: let everybody write a table but for the column that a sequence numbers';

SELECT o365_msgtrace._grant_but('o365_msgtrace.input', 'input_number');
GRANT SELECT, INSERT, UPDATE, DELETE ON o365_msgtrace.ledger TO PUBLIC;
GRANT USAGE, SELECT ON SEQUENCE o365_msgtrace.input_number_seq TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.input', '');
SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.input_number_seq', '');
SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.ledger', '');

/*
 * The caller's own input. Row security hides the inputs of others, so a role
 * learns nothing of them; a superuser sees them all, hence the second check.
 */
CREATE FUNCTION o365_msgtrace._own_input(wanted_id text)
RETURNS o365_msgtrace.input
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_input o365_msgtrace.input := o365_msgtrace._visible_input(wanted_id);
BEGIN
    IF found_input.owner <> current_user THEN
        RAISE EXCEPTION 'input "%" belongs to role "%"', wanted_id, found_input.owner
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('The current role is "%s"; an input runs with the rights of its owner, so nobody else may run or schedule it, superusers included.', current_user),
                HINT = format('Connect as "%s".', found_input.owner);
    END IF;
    RETURN found_input;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._own_input(text) IS
'internal: the input of this name, an error unless it is the current role''s';

CREATE FUNCTION o365_msgtrace._visible_input(wanted_id text)
RETURNS o365_msgtrace.input
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_input o365_msgtrace.input;
BEGIN
    SELECT * INTO found_input FROM o365_msgtrace.input i WHERE i.input_id = wanted_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'input "%" does not exist', wanted_id
            USING ERRCODE = 'undefined_object',
                DETAIL = format('Role "%s" has no input of this name.', current_user),
                HINT = 'SELECT input_id FROM o365_msgtrace.input shows the inputs that there are; create_input() makes one.';
    END IF;
    RETURN found_input;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._visible_input(text) IS
'internal: the input of this name, an error if the current role has none';
