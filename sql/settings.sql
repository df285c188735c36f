-- The settings of an input: each is kept, changed and taken away, and refused
-- when it is wrong. What each of them does is tested where runs are.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

CREATE SCHEMA regress_mail;
CREATE SCHEMA regress_archive;
CREATE SERVER regress_contoso FOREIGN DATA WRAPPER o365_msgtrace
    OPTIONS (tenant_id '11111111-2222-3333-4444-555555555555', tenant_label 'contoso');
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_contoso INTO regress_mail;
CREATE FUNCTION pg_temp.try(setting text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT o365_msgtrace.create_input(''contoso'', ''regress_mail.message_trace'', ''regress_archive.mt'', %s)', setting);
END $$;

--
-- refused
--
SELECT pg_temp.try('log_level => ''loud''');
SELECT pg_temp.try('log_level => NULL');
SELECT pg_temp.try('job_timeout => ''soon''');
SELECT pg_temp.try('job_timeout => ''-5''');
SELECT pg_temp.try('job_timeout => ''1d''');
SELECT pg_temp.try('job_timeout => NULL');
SELECT pg_temp.try('max_requests => -1');
SELECT pg_temp.try('retention => ''0''');
SELECT pg_temp.try('retention => ''3 hours''');
SELECT pg_temp.try('partition_by => ''week''');
SELECT pg_temp.try('fields => ''[]''');
SELECT pg_temp.try('fields => NULL');
SELECT pg_temp.try('tags => ARRAY[''a'', NULL]');
SELECT pg_temp.try('tags => ARRAY['''']');
SELECT pg_temp.try('tags => NULL');
SELECT pg_temp.try('enabled => NULL');
SELECT pg_temp.try('disable_time_filter => NULL');
SELECT pg_temp.try('detail_filter => ''true''');
SELECT pg_temp.try('detail_target => ''regress_archive.details''');
SELECT count(*) AS inputs FROM o365_msgtrace.input;

--
-- the defaults, and what is kept
--
SELECT o365_msgtrace.create_input('plain', 'regress_mail.message_trace', 'regress_archive.mt');
SELECT filter, fields, pipeline, disable_time_filter, tags, environment, log_level, job_timeout, max_requests,
       retention, partition_by, detail_filter, detail_target, enabled
  FROM o365_msgtrace.input \gx
SELECT o365_msgtrace.create_input('full', 'regress_mail.message_trace', 'regress_archive.mt',
    tags => ARRAY['eu', 'production'], environment => 'production', log_level => 'debug', job_timeout => '15m',
    max_requests => 50, retention => '400 days', enabled => false);
SELECT tags, environment, log_level, job_timeout, max_requests, retention, enabled FROM o365_msgtrace.input WHERE input_id = 'full';

--
-- alter_input: what is given changes, and is checked as in create_input
--
SELECT o365_msgtrace.alter_input('nobody', enabled => true);
SELECT o365_msgtrace.alter_input('full', poll_interval => 7);
SELECT o365_msgtrace.alter_input('full', job_timeout => 'soon');
SELECT o365_msgtrace.alter_input('full', settle_after => '500 days');
SELECT o365_msgtrace.alter_input('full', target => 'regress_nowhere.mt');
SELECT o365_msgtrace.alter_input('full', source => 'regress_archive.mt');
SELECT o365_msgtrace.alter_input('full');
SELECT tags, environment, log_level, job_timeout, max_requests, retention, enabled FROM o365_msgtrace.input WHERE input_id = 'full';
SELECT o365_msgtrace.alter_input('full', poll_interval => 30, date_range_start => '-2h', date_range_end => '-1h', settle_after => '2 days',
    tags => '{}', environment => '', log_level => 'warn', job_timeout => '45', max_requests => 0, retention => '0',
    disable_time_filter => true, enabled => true);
SELECT poll_interval, date_range_start, date_range_end, settle_after, tags, environment, log_level, job_timeout,
       max_requests, retention, disable_time_filter, enabled
  FROM o365_msgtrace.input WHERE input_id = 'full' \gx

-- another target is made, and what was read into the old one proves nothing
UPDATE o365_msgtrace.ledger SET wanted = '{[2026-05-01, 2026-05-02)}', covered = '{[2026-05-01, 2026-05-02)}', settled = '{[2026-05-01, 2026-05-02)}'
 WHERE input_number = (SELECT input_number FROM o365_msgtrace.input WHERE input_id = 'full');
SELECT o365_msgtrace.alter_input('full', target => 'regress_archive.mt2', keep_coverage => true);
SELECT covered FROM o365_msgtrace.coverage WHERE input_id = 'full';
SELECT o365_msgtrace.alter_input('full', poll_interval => 15);
SELECT covered FROM o365_msgtrace.coverage WHERE input_id = 'full';
SELECT o365_msgtrace.alter_input('full', target => 'regress_archive.mt');
SELECT wanted, covered, settled FROM o365_msgtrace.coverage WHERE input_id = 'full';

-- so it is when the table was dropped and is made anew, under the same name
UPDATE o365_msgtrace.ledger SET covered = '{[2026-05-01, 2026-05-02)}', settled = '{[2026-05-01, 2026-05-02)}'
 WHERE input_number = (SELECT input_number FROM o365_msgtrace.input WHERE input_id = 'full');
DROP TABLE regress_archive.mt;
SELECT o365_msgtrace.alter_input('full', target => 'regress_archive.mt');
SELECT wanted, covered, settled FROM o365_msgtrace.coverage WHERE input_id = 'full';

-- details: their table is made; one setting takes the other with it
SELECT o365_msgtrace.alter_input('full', detail_filter => 'status = ''failed''', detail_target => 'regress_archive.details');
\d regress_archive.details
SELECT o365_msgtrace.alter_input('full', detail_filter => 'status = 1');
SELECT detail_filter, detail_target FROM o365_msgtrace.input WHERE input_id = 'full';
SELECT o365_msgtrace.reset_details('full');
SELECT o365_msgtrace.alter_input('full', detail_filter => '');
SELECT detail_filter, detail_target FROM o365_msgtrace.input WHERE input_id = 'full';
SELECT o365_msgtrace.reset_details('full');

-- somebody else's
CREATE ROLE regress_settings_other;
GRANT USAGE ON SCHEMA o365_msgtrace TO regress_settings_other;
SET ROLE regress_settings_other;
SELECT o365_msgtrace.alter_input('full', enabled => false);
RESET ROLE;

--
-- an input that may not run is skipped, which is no error
--
\set VERBOSITY terse
SELECT o365_msgtrace.alter_input('full', enabled => false);
CALL o365_msgtrace.run('full');
SELECT o365_msgtrace.alter_input('full', enabled => true, environment => 'production');
CALL o365_msgtrace.run('full');
SET o365_msgtrace.environment = 'test';
CALL o365_msgtrace.run('full');
RESET o365_msgtrace.environment;
SELECT state, message FROM o365_msgtrace.run_log ORDER BY run_id;

SET client_min_messages = warning;
SELECT o365_msgtrace.drop_input(input_id) FROM o365_msgtrace.input;
DROP SCHEMA regress_mail, regress_archive CASCADE;
DROP SERVER regress_contoso;
REVOKE ALL ON SCHEMA o365_msgtrace FROM regress_settings_other;
DROP ROLE regress_settings_other;
