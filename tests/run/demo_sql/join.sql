\set ECHO none
CREATE TABLE board AS
SELECT address FROM employee ORDER BY address LIMIT 3;
ANALYZE board;
\set ECHO queries
\echo '-- Three requests, one for each person ($0), in place of all mail of seven days.'
EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT b.address, t.received
  FROM board b
  JOIN mail.message_trace t ON t.recipient_address = b.address
 WHERE t.received > now() - interval '7 days';
