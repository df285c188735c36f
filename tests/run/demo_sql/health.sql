SELECT status, left(message, 69) AS message FROM o365_msgtrace.health('demo');
SELECT lower(wanted)::timestamp(0) AS wanted_from,
       upper(covered)::timestamp(0) AS covered_until,
       missing, expired
  FROM o365_msgtrace.coverage
 WHERE input_id = 'demo';
