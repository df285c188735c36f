SELECT to_char(received, 'HH24:MI:SS') AS utc,
       left(sender_address, 22) AS sender,
       left(recipient_address, 22) AS recipient,
       left(status, 14) AS status
  FROM mail.message_trace
 WHERE received > now() - interval '1 hour'
 ORDER BY received DESC
 LIMIT 8;
