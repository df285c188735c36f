\set ECHO none
SELECT address AS person FROM employee ORDER BY address LIMIT 1 \gset
\set ECHO queries
EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF)
SELECT received, sender_address
  FROM mail.message_trace
 WHERE recipient_address = :'person'
   AND received > now() - interval '2 hours';
