\echo '-- However long the table is: it is read from its newest end.'
SELECT to_char(received, 'HH24:MI:SS') AS utc,
       left(sender_address, 30) AS sender, left(subject, 30) AS subject
  FROM mail.message_trace
 ORDER BY received DESC
 LIMIT 3;
SELECT requests, rows FROM o365_msgtrace.last_scan();
