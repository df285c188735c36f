-- Somebody for whom it is worth asking.
\set ECHO none
SELECT recipient_address AS person
  FROM mail.message_trace
 WHERE received > now() - interval '1 day' AND status = 'failed'
 GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1 \gset
\set ECHO queries
SELECT to_char(received, 'Dy HH24:MI:SS') AS utc,
       left(sender_address, 28) AS sender,
       left(subject, 26) AS subject
  FROM mail.message_trace
 WHERE recipient_address = :'person'
   AND status = 'failed'
   AND received > now() - interval '1 day'
 ORDER BY received DESC
 LIMIT 6;
