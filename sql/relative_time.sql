-- relative_time: points in time that are written relative to another
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

-- a Friday
\set at '2026-11-20 14:22:31.109Z'

SELECT expression, o365_msgtrace.relative_time(expression, :'at')
  FROM unnest(ARRAY['now', '-15m', '-3h@h', '-1d@d', '@w0', '-2h@h+10m',
                    '+30s', '-90s', '+1w', '-1mon', '-1y',
                    '@s', '@m', '@h', '@d', '@w', '@mon', '@y',
                    'now@d', 'now-1h', '@d-1s', '-1mon@mon', ' -1h ', '-0h']) expression;

-- every day of the week; w5 is the day itself
SELECT expression, o365_msgtrace.relative_time(expression, :'at'),
       to_char(o365_msgtrace.relative_time(expression, :'at'), 'Dy') AS day
  FROM unnest(ARRAY['@w0', '@w1', '@w2', '@w3', '@w4', '@w5', '@w6']) expression;

-- on a Sunday @w0 is the same day
SELECT o365_msgtrace.relative_time('@w0', '2026-11-22 00:00Z'), o365_msgtrace.relative_time('@w0', '2026-11-21 23:59:59.999999Z');

-- steps are taken in their order
SELECT o365_msgtrace.relative_time('-1mon+1d', '2026-03-30 00:00Z'), o365_msgtrace.relative_time('+1d-1mon', '2026-03-30 00:00Z');

-- months end where they end
SELECT o365_msgtrace.relative_time('-1mon', '2026-03-31 12:00Z'), o365_msgtrace.relative_time('-1y', '2028-02-29 12:00Z');

-- the session's time zone has no say: neither on days, nor on months, nor when the clock changes
SET timezone = 'America/New_York';
SELECT o365_msgtrace.relative_time('@d', '2026-11-20 02:00Z') = '2026-11-20 00:00Z' AS day,
       o365_msgtrace.relative_time('-1mon', '2026-12-01 02:00Z') = '2026-11-01 02:00Z' AS month,
       o365_msgtrace.relative_time('-1d', '2026-11-02 05:30Z') = '2026-11-01 05:30Z' AS change,
       o365_msgtrace.relative_time('@w0', '2026-11-22 01:00Z') = '2026-11-22 00:00Z' AS week;
SET timezone = 'UTC';

-- without a second argument: from now()
BEGIN;
SELECT o365_msgtrace.relative_time('now') = now() AS now, o365_msgtrace.relative_time('-15m') = now() - interval '15 minutes' AS ago;
COMMIT;
SELECT o365_msgtrace.relative_time(NULL) IS NULL AS null_in, o365_msgtrace.relative_time('-1h', NULL) IS NULL AS null_at;

-- errors
\set VERBOSITY terse
SELECT o365_msgtrace.relative_time('15m');
SELECT o365_msgtrace.relative_time('-m');
SELECT o365_msgtrace.relative_time('-1x');
SELECT o365_msgtrace.relative_time('-1M');
SELECT o365_msgtrace.relative_time('-1min');
SELECT o365_msgtrace.relative_time('-1w0');
SELECT o365_msgtrace.relative_time('@w7');
SELECT o365_msgtrace.relative_time('@q');
SELECT o365_msgtrace.relative_time('-1 h');
SELECT o365_msgtrace.relative_time('-1h now');
SELECT o365_msgtrace.relative_time('nowhere');
SELECT o365_msgtrace.relative_time('2026-11-20');
SELECT o365_msgtrace.relative_time('-123456789s');
SELECT o365_msgtrace.relative_time('-99999999y');
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT o365_msgtrace.relative_time('');
SELECT o365_msgtrace.relative_time('-1h@h+10');
\echo :LAST_ERROR_SQLSTATE
\set SHOW_CONTEXT errors
