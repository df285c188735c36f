\set ECHO none
SELECT message_trace_id AS id, recipient_address AS person
  FROM mail.message_trace
 WHERE received > now() - interval '1 day' AND status = 'failed'
 ORDER BY received DESC LIMIT 1 \gset
\set ECHO queries
SELECT to_char(event_time, 'HH24:MI:SS') AS utc, event,
       left(detail, 50) AS detail
  FROM mail.message_trace_detail
 WHERE message_trace_id = :'id'
   AND recipient_address = :'person'
 ORDER BY event_time;
SELECT requests, rows FROM o365_msgtrace.last_scan();
