\set ECHO none
SELECT recipient_address AS person
  FROM mail.message_trace
 WHERE received > now() - interval '2 hours' AND recipient_address LIKE '%@contoso.com'
 GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1 \gset
\set ECHO queries
EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF)
SELECT received, sender_address
  FROM mail.message_trace
 WHERE recipient_address = :'person'
   AND received > now() - interval '2 hours';
