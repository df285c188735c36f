\set ECHO none
CREATE TABLE employee (address text PRIMARY KEY, name text, department text);
INSERT INTO employee
SELECT address,
       initcap(replace(split_part(address, '@', 1), '.', ' ')),
       (ARRAY['Finance', 'Research', 'Sales', 'Support'])[abs(hashtext(address) % 4) + 1]
  FROM (SELECT DISTINCT recipient_address AS address
          FROM mail.message_trace
         WHERE received > now() - interval '6 hours') recipient
 WHERE address LIKE '%@contoso.%';
ANALYZE employee;
\set ECHO queries
SELECT e.department,
       count(*) AS mails,
       count(*) FILTER (WHERE t.status = 'failed') AS failed,
       count(DISTINCT e.address) AS people,
       pg_size_pretty(sum(t.size)) AS volume
  FROM mail.message_trace t
  JOIN employee e ON e.address = t.recipient_address
 WHERE t.received > now() - interval '6 hours'
 GROUP BY e.department
 ORDER BY mails DESC;
