-- Inputs: what is refused, who may do what, and the arithmetic of the ledger.
-- No network: nothing here is run against a service.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

CREATE ROLE regress_ingest_owner;
CREATE ROLE regress_ingest_other;
GRANT USAGE ON SCHEMA o365_msgtrace TO regress_ingest_owner, regress_ingest_other;
CREATE SCHEMA regress_mail;
CREATE SCHEMA regress_archive AUTHORIZATION regress_ingest_owner;
GRANT USAGE ON SCHEMA regress_mail, regress_archive TO regress_ingest_owner, regress_ingest_other;

CREATE SERVER regress_contoso FOREIGN DATA WRAPPER o365_msgtrace
    OPTIONS (tenant_id '11111111-2222-3333-4444-555555555555', tenant_label 'contoso');
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_contoso INTO regress_mail;
GRANT SELECT ON regress_mail.message_trace TO regress_ingest_owner;
CREATE FOREIGN TABLE regress_mail.no_key (received timestamptz, subject text) SERVER regress_contoso;
CREATE TABLE regress_mail.plain (message_trace_id uuid);
GRANT SELECT ON regress_mail.no_key, regress_mail.plain TO regress_ingest_owner;

SET ROLE regress_ingest_owner;

--
-- create_input: every setting is checked
--
SELECT o365_msgtrace.create_input('', 'regress_mail.message_trace', 'regress_archive.mt');
SELECT o365_msgtrace.create_input(' contoso', 'regress_mail.message_trace', 'regress_archive.mt');
SELECT o365_msgtrace.create_input(E'con\ntoso', 'regress_mail.message_trace', 'regress_archive.mt');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mt', poll_interval => 7);
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mt', poll_interval => 0);
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mt', poll_interval => NULL);
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mt', date_range_start => 'yesterday');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mt', date_range_start => NULL);
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mt', settle_after => '-1 hour');
\set VERBOSITY terse
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mt', date_range_end => '-2h');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mt', date_range_start => '+1h', date_range_end => '+2h');
\set VERBOSITY default
SELECT o365_msgtrace.create_input('contoso', NULL, 'regress_archive.mt');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.nothing', 'regress_archive.mt');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.plain', 'regress_archive.mt');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.no_key', 'regress_archive.mt');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'a.b.c');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_nowhere.mt');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_mail.mt');

-- a target that is there is checked
CREATE TABLE regress_archive.narrow (tenant text, received timestamptz, message_trace_id uuid, recipient_address text);
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.narrow');
CREATE VIEW regress_archive.a_view AS SELECT 1 AS one;
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.a_view');
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_mail.plain');
CREATE TABLE regress_archive.no_key (tenant text, message_trace_id uuid, message_id text, received timestamptz, sender_address text,
    recipient_address text, subject text, status text, size bigint, from_ip inet, to_ip inet,
    input_id text, run_id bigint, source text, ingested_at timestamptz, updated_at timestamptz);
CREATE UNIQUE INDEX ON regress_archive.no_key (tenant, received, message_trace_id);
CREATE UNIQUE INDEX ON regress_archive.no_key (tenant, received, message_trace_id, recipient_address) WHERE size > 0;
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.no_key');
CREATE UNIQUE INDEX ON regress_archive.no_key (recipient_address, tenant, message_trace_id, received) INCLUDE (status);
REVOKE UPDATE ON regress_archive.no_key FROM regress_ingest_owner;
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.no_key');
GRANT UPDATE ON regress_archive.no_key TO regress_ingest_owner;
SELECT o365_msgtrace.create_input('existing', 'regress_mail.message_trace', 'regress_archive.no_key');

-- nothing is left of what was refused
SELECT input_id FROM o365_msgtrace.input;

-- a target that is not there is made, on the search_path if it has no schema
SET search_path = regress_archive, regress_mail;
SELECT o365_msgtrace.create_input('contoso', 'message_trace', '"Message Trace"', poll_interval => 5,
    date_range_start => '-2h@h', date_range_end => '-5m', settle_after => '36 hours');
SELECT o365_msgtrace.create_input('contoso', 'message_trace', 'mt');
RESET search_path;
\d regress_archive."Message Trace"
SELECT col_description('regress_archive."Message Trace"'::regclass, 1), obj_description('regress_archive."Message Trace"'::regclass);
SELECT input_id, owner, source, target, poll_interval, date_range_start, date_range_end, settle_after, search_path
  FROM o365_msgtrace.input ORDER BY input_id;

--
-- before the first run
--
SELECT * FROM o365_msgtrace.coverage ORDER BY input_id;
SELECT input_id, owner, schedule, active, last_run, last_result, running_since, consecutive_failures FROM o365_msgtrace.job ORDER BY input_id;
SELECT count(*) FROM o365_msgtrace.run_log;

--
-- errors of run and schedule
--
CALL o365_msgtrace.run('nothing');
BEGIN;
CALL o365_msgtrace.run('contoso');
ROLLBACK;
SELECT o365_msgtrace.schedule('nothing');
SELECT o365_msgtrace.unschedule('nothing');
SELECT o365_msgtrace.drop_input('nothing');

-- an error comes with the log of the run: the foreign table has no user mapping
\set VERBOSITY sqlstate
CALL o365_msgtrace.run('contoso');
\set VERBOSITY default
SELECT state, windows, rows_in, requests, sqlstate, message IS NOT NULL AS message, finished_at IS NOT NULL AS finished FROM o365_msgtrace.run_log;
SELECT last_result, consecutive_failures FROM o365_msgtrace.job WHERE input_id = 'contoso';
SELECT isempty(wanted) AS wanted, isempty(covered) AS covered, isempty(missing) AS missing FROM o365_msgtrace.coverage WHERE input_id = 'contoso';

-- the target changes after the input was made
ALTER TABLE regress_archive."Message Trace" DROP COLUMN status;
\set VERBOSITY terse
CALL o365_msgtrace.run('contoso');
DROP TABLE regress_archive."Message Trace";
CALL o365_msgtrace.run('contoso');
\set VERBOSITY default
SELECT state, sqlstate, message, hint FROM o365_msgtrace.run_log ORDER BY run_id DESC LIMIT 2;

-- when the next run is due, gaps are left to it; but one is read in any case
CREATE FUNCTION pg_temp.steps(started timestamptz, extra integer)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    this o365_msgtrace.input := o365_msgtrace._own_input('existing');
    progress o365_msgtrace._progress := o365_msgtrace._begin_run(this, false, true);
BEGIN
    UPDATE o365_msgtrace.ledger SET wanted = tstzmultirange(tstzrange(now() - interval '2 days', now())) WHERE input_number = this.input_number;
    progress.started_at := started;
    progress.extra_windows := extra;
    progress.done := tstzmultirange(tstzrange(now() - interval '90 minutes', NULL));
    progress := o365_msgtrace._next_step(this, progress);
    RETURN CASE WHEN progress.span IS NULL THEN 'end' ELSE progress.kind END;
END
$$;
BEGIN;
SELECT pg_temp.steps(now(), 1) AS at_once, pg_temp.steps(now() - interval '16 minutes', 0) AS late, pg_temp.steps(now() - interval '16 minutes', 1) AS later;
ROLLBACK;
DROP FUNCTION pg_temp.steps;

--
-- everybody sees his own
--
RESET ROLE;
SET ROLE regress_ingest_other;
SELECT (SELECT count(*) FROM o365_msgtrace.input) AS inputs, (SELECT count(*) FROM o365_msgtrace.ledger) AS ledgers,
       (SELECT count(*) FROM o365_msgtrace.run_log) AS runs, (SELECT count(*) FROM o365_msgtrace.job) AS jobs;
CALL o365_msgtrace.run('contoso');
SELECT o365_msgtrace.drop_input('contoso');
SELECT o365_msgtrace.create_input('mine', 'regress_mail.message_trace', 'regress_archive.mine');
INSERT INTO o365_msgtrace.input (input_id, owner, source, target) VALUES ('theirs', 'regress_ingest_owner', 'regress_mail.plain', 'x');
INSERT INTO o365_msgtrace.run_record (input_number, state) SELECT 1, 'succeeded';
UPDATE o365_msgtrace.ledger SET covered = '{}';
RESET ROLE;
GRANT SELECT ON regress_mail.message_trace TO regress_ingest_other;
GRANT CREATE ON SCHEMA regress_archive TO regress_ingest_other;
SET ROLE regress_ingest_other;
SELECT o365_msgtrace.create_input('contoso', 'regress_mail.message_trace', 'regress_archive.mine');
SELECT o365_msgtrace.create_input('mine', 'regress_mail.message_trace', 'regress_archive.mine');
SELECT input_id FROM o365_msgtrace.input;
RESET ROLE;

-- a superuser sees all, and may not run or schedule what is not his
SELECT count(*) FROM o365_msgtrace.input;
\set VERBOSITY terse
CALL o365_msgtrace.run('contoso');
SELECT o365_msgtrace.schedule('contoso');

-- settings are checked in the table, too
SET ROLE regress_ingest_other;
\set VERBOSITY terse
UPDATE o365_msgtrace.input SET poll_interval = 7;
UPDATE o365_msgtrace.input SET date_range_start = 'x';
UPDATE o365_msgtrace.input SET owner = 'postgres';
\set VERBOSITY default
RESET ROLE;

--
-- schedules: the minute depends on the name, if it is not to be the full hour's
--
SELECT minutes, o365_msgtrace._cron_schedule('contoso', minutes), o365_msgtrace._cron_schedule('fabrikam', minutes),
       o365_msgtrace._cron_schedule('contoso', minutes, false) AS together
  FROM unnest(ARRAY[1, 2, 5, 15, 30, 60]) minutes;
SELECT schedule, o365_msgtrace._tick(schedule, '2026-11-20 14:22:31.5Z') AS last, o365_msgtrace._tick(schedule, '2026-11-20 14:22:31.5Z', 1) AS next,
       o365_msgtrace._tick(schedule, '2026-11-20 14:22:00Z') AS on_time
  FROM unnest(ARRAY['* * * * *', '*/5 * * * *', '2-59/5 * * * *', '3-59/5 * * * *', '0-59/30 * * * *', '0 * * * *', '22 * * * *', '23 * * * *',
                    '7-59/5 * * * *', '*/7 * * * *', '5-59 * * * *', '5/10 * * * *', '0 5 * * *', '*/5 * * * 1', '@hourly', '30 seconds', '']) schedule;

--
-- the arithmetic of the ledger
--
-- what the service holds ends a second ago, and begins at midnight
SELECT o365_msgtrace._held('graph', '2026-11-20 14:22:31.5Z'), o365_msgtrace._held('reporting', '2026-11-20 00:00:00.5Z');

-- poll windows are whole seconds, and end in the past
SELECT o365_msgtrace._poll_window('-1h', 'now', '2026-11-20 14:22:31.5Z'),
       o365_msgtrace._poll_window('-1d@d', '@d', '2026-11-20 14:22:31.5Z'),
       o365_msgtrace._poll_window('-1h', '+1h', '2026-11-20 14:22:31.5Z'),
       o365_msgtrace._poll_window('@d', '-1h', '2026-11-20 00:30Z');
SELECT o365_msgtrace._is_about(NULL, '[2026-11-20 12:00Z, 2026-11-20 13:00Z)') AS first,
       o365_msgtrace._is_about('empty', 'empty') AS none,
       o365_msgtrace._is_about('empty', '[2026-11-20 12:00Z, 2026-11-20 13:00Z)') AS some,
       o365_msgtrace._is_about('[2026-11-20 12:00:02Z, 2026-11-20 13:00:02Z)', '[2026-11-20 12:00Z, 2026-11-20 13:00Z)') AS seconds,
       o365_msgtrace._is_about('[2026-11-20 12:05Z, 2026-11-20 13:05Z)', '[2026-11-20 12:00Z, 2026-11-20 13:00Z)') AS minutes;

-- what is wanted has no hole, and does not reach beyond the poll window
SELECT name, o365_msgtrace._grow_wanted(wanted::tstzmultirange, poll::tstzrange)
  FROM (VALUES ('first', '{}', '[2026-11-20 11:00Z, 2026-11-20 12:00Z)'),
               ('next', '{[2026-11-20 11:00Z, 2026-11-20 12:00Z)}', '[2026-11-20 11:15Z, 2026-11-20 12:15Z)'),
               ('missed ticks', '{[2026-11-20 11:00Z, 2026-11-20 12:00Z)}', '[2026-11-21 11:00Z, 2026-11-21 12:00Z)'),
               ('older', '{[2026-11-01 11:00Z, 2026-11-01 12:00Z), [2026-11-20 11:00Z, 2026-11-20 12:00Z)}', '[2026-11-20 12:00Z, 2026-11-20 13:00Z)'),
               ('clock was ahead', '{[2027-01-01 11:00Z, 2027-01-01 12:00Z)}', '[2026-11-20 12:00Z, 2026-11-20 13:00Z)'),
               ('nothing', '{[2026-11-20 11:00Z, 2026-11-20 12:00Z)}', 'empty')) t (name, wanted, poll);

-- windows hold about ten pages; ten days at most; they grow fourfold at most
SELECT density, o365_msgtrace._window_length(density, 5000)
  FROM unnest(ARRAY[0, 0.001, 1.157, 115.7, 1e9]) density;
SELECT o365_msgtrace._next_density(8, 36000, '[2026-11-20 11:00Z, 2026-11-20 12:00Z)') AS seen,
       o365_msgtrace._next_density(8, 0, '[2026-11-20 11:00Z, 2026-11-20 12:00Z)') AS night,
       o365_msgtrace._next_density(8, 0, 'empty') AS nothing;

-- the poll window first, whole; then gaps, oldest first; then what is to be settled; doubts last
CREATE FUNCTION pg_temp.walk(ledger o365_msgtrace.ledger, poll tstzrange, length interval)
RETURNS TABLE (kind text, span tstzrange)
LANGUAGE plpgsql
AS $$
DECLARE
    done tstzmultirange := '{}';
BEGIN
    LOOP
        SELECT w.kind, w.span INTO kind, span
          FROM o365_msgtrace._next_window(ledger, poll, '[2026-11-10, 2026-11-20 12:00Z)', '2026-11-19 12:00Z', done, length) w;
        EXIT WHEN span IS NULL;
        RETURN NEXT;
        done := done + tstzmultirange(span);
    END LOOP;
END
$$;
SELECT w.*
  FROM (SELECT ROW(1, '{[2026-11-01, 2026-11-20 12:00Z)}', '{[2026-11-10 06:00Z, 2026-11-15), [2026-11-16, 2026-11-20 11:50Z)}',
                   '{[2026-11-10 06:00Z, 2026-11-15), [2026-11-16, 2026-11-17)}', '{[2026-11-17, 2026-11-17 06:00Z)}', '{[2026-11-18, 2026-11-18 06:00Z)}',
                   '{}', 1, '0')::o365_msgtrace.ledger AS ledger) l,
       LATERAL pg_temp.walk(l.ledger, '[2026-11-20 11:00Z, 2026-11-20 12:00Z)', '12 hours') w;

-- a reading settles what is old enough; rows that are gone keep it from that twice
\x
SELECT step, (after).covered, (after).settled, (after).absent_once, (after).absent_twice, (after).flagged
  FROM (WITH RECURSIVE steps AS (
            SELECT 0 AS step, ROW(1, '{}', '{}', '{}', '{}', '{}', '{}', 1, '0')::o365_msgtrace.ledger AS after
            UNION ALL
            SELECT step + 1, o365_msgtrace._after_reading(after, '[2026-11-19 10:00Z, 2026-11-19 14:00Z)', '2026-11-19 12:00Z', step IN (0, 1, 2))
              FROM steps WHERE step < 4)
        SELECT * FROM steps) s;
\x

--
-- the statement that writes
--
\pset format unaligned
CREATE FUNCTION pg_temp.input_of(source regclass)
RETURNS o365_msgtrace.input
LANGUAGE plpgsql
AS $$
DECLARE
    this o365_msgtrace.input;
BEGIN
    this.source := source;
    this.target := 'regress_archive.mt';
    this.fields := '{}';
    RETURN this;
END
$$;
SELECT o365_msgtrace._upsert_statement(pg_temp.input_of('regress_mail.message_trace'), false);
CREATE FOREIGN TABLE regress_mail.renamed (id uuid OPTIONS (field 'id'), "when" timestamptz OPTIONS (field 'receivedDateTime'),
    "to" text OPTIONS (field 'recipientAddress'), status text) SERVER regress_contoso;
SELECT o365_msgtrace._upsert_statement(pg_temp.input_of('regress_mail.renamed'), true);
\pset format aligned

-- it writes only what has changed, and keeps what it wrote first
CREATE TABLE regress_archive.mt (LIKE regress_archive.no_key, PRIMARY KEY (tenant, received, message_trace_id, recipient_address));
CREATE TABLE regress_mail.given AS SELECT gen_random_uuid() AS id, '2026-11-20 10:00Z'::timestamptz + n * interval '1 min' AS "when",
    'r@x.com'::text AS "to", 'pending'::text AS status FROM generate_series(0, 9) n;
CREATE FUNCTION pg_temp.copy(run bigint)
RETURNS TABLE (new bigint, changed bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    is_new boolean;
BEGIN
    new := 0;
    changed := 0;
    FOR is_new IN EXECUTE replace(o365_msgtrace._upsert_statement(pg_temp.input_of('regress_mail.renamed'), true), 'regress_mail.renamed', 'regress_mail.given')
        USING 'contoso', 'contoso', run, 'given', clock_timestamp(), '2026-11-20 10:00Z'::timestamptz, '2026-11-20 10:09Z'::timestamptz
    LOOP
        new := new + is_new::int;
        changed := changed + (NOT is_new)::int;
    END LOOP;
    RETURN NEXT;
END
$$;
SELECT * FROM pg_temp.copy(1);
SELECT * FROM pg_temp.copy(2);
UPDATE regress_mail.given SET status = 'delivered' WHERE "when" < '2026-11-20 10:03Z';
SELECT * FROM pg_temp.copy(3);
INSERT INTO regress_mail.given SELECT id, "when", 'R@X.com', status FROM regress_mail.given;
SELECT * FROM pg_temp.copy(4);
SELECT status, run_id, updated_at > ingested_at AS updated, count(*) FROM regress_archive.mt GROUP BY 1, 2, 3 ORDER BY 2;

--
-- the end
--
SET ROLE regress_ingest_owner;
SELECT o365_msgtrace.drop_input('contoso');
SELECT o365_msgtrace.drop_input('existing');
SELECT count(*) FROM o365_msgtrace.input;
RESET ROLE;
SELECT o365_msgtrace.drop_input('mine');
SELECT count(*) AS inputs, (SELECT count(*) FROM o365_msgtrace.ledger) AS ledgers, (SELECT count(*) FROM o365_msgtrace.run_record) AS runs
  FROM o365_msgtrace.input;

\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA regress_mail, regress_archive CASCADE;
DROP SERVER regress_contoso CASCADE;
REVOKE ALL ON SCHEMA o365_msgtrace FROM regress_ingest_owner, regress_ingest_other;
DROP ROLE regress_ingest_owner, regress_ingest_other;
