--
-- The details of deliveries: which conditions name a delivery, and what is said
-- when none do.  Nothing here asks anything of the network.
--
\set VERBOSITY default
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;

CREATE SERVER regress_details FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com', tenant_label 'Contoso');
CREATE USER MAPPING FOR PUBLIC SERVER regress_details OPTIONS (client_id 'app', client_secret 'Xq~8s');
CREATE SCHEMA regress_details;
SET search_path = regress_details;
IMPORT FOREIGN SCHEMA exchange LIMIT TO (message_trace_detail) FROM SERVER regress_details INTO regress_details
	OPTIONS (tenant 'true', raw 'true');
\d message_trace_detail

-- a plan's lines; since 18 they say of one that cannot be run that it is disabled, too
CREATE FUNCTION explained(query text, options text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, query) LOOP
		CONTINUE WHEN line ~ '^ *Disabled: ';
		RETURN NEXT line;
	END LOOP;
END $$;

-- columns: names and properties are those of details
CREATE FOREIGN TABLE odd (received timestamptz) SERVER regress_details OPTIONS ("table" 'message_trace_detail');
EXPLAIN SELECT * FROM odd;  -- ERROR
ALTER FOREIGN TABLE odd RENAME received TO evnt;
EXPLAIN SELECT * FROM odd;  -- ERROR
ALTER FOREIGN TABLE odd ALTER evnt OPTIONS (field 'dateTime');
SELECT explained('SELECT * FROM odd', 'COSTS OFF');
CREATE FOREIGN TABLE other (event text) SERVER regress_details;
EXPLAIN SELECT * FROM other;  -- ERROR

-- what names deliveries
CREATE FUNCTION deliveries(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query LOOP
		IF line ~ 'Deliveries: ' THEN
			-- parameters have other names in later versions
			RETURN regexp_replace(substring(line FROM 'Deliveries: (.*)'), '\$\d+|\(InitPlan \d+\)\.col\d+', '?', 'g');
		END IF;
	END LOOP;
	RETURN NULL;
END $$;
CREATE TABLE wanted (id uuid, mail text, ids uuid[], mails text[], id_text text);
\set id '''00000000-0000-4000-8000-000000000001'''
PREPARE explained(text) AS SELECT deliveries('SELECT * FROM message_trace_detail d ' || $1);
\pset format unaligned
\pset tuples_only on
EXECUTE explained($$WHERE message_trace_id = '00000000-0000-4000-8000-000000000001' AND recipient_address = 'a@b.example'$$);
EXECUTE explained($$WHERE '00000000-0000-4000-8000-000000000001' = message_trace_id::text AND 'a@b.example'::varchar = recipient_address$$);
EXECUTE explained($$WHERE message_trace_id = '00000000-0000-4000-8000-000000000001' AND recipient_address IN ('a@b.example', 'c@b.example')$$);
EXECUTE explained($$WHERE (message_trace_id, recipient_address) IN (('00000000-0000-4000-8000-000000000001', 'a@b.example'), ('00000000-0000-4000-8000-000000000002', 'c@b.example'))$$);
EXECUTE explained($$WHERE (message_trace_id, recipient_address) = ('00000000-0000-4000-8000-000000000001', 'a@b.example') AND event = 'Deliver'$$);
EXECUTE explained($$WHERE message_trace_id IN ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002') AND message_trace_id = '00000000-0000-4000-8000-000000000002' AND recipient_address = 'a@b.example'$$);
EXECUTE explained($$WHERE message_trace_id = (SELECT id FROM wanted LIMIT 1) AND recipient_address = lower('A@b.example')$$);
EXECUTE explained($$JOIN wanted w ON d.message_trace_id = w.id AND d.recipient_address = w.mail$$);
EXECUTE explained($$JOIN wanted w ON d.message_trace_id = w.id WHERE d.recipient_address = 'a@b.example'$$);
EXECUTE explained($$JOIN wanted w ON d.message_trace_id = ANY (w.ids) AND d.recipient_address = ANY (w.mails)$$);
EXECUTE explained($$JOIN wanted w ON d.message_trace_id::text = w.id_text AND d.recipient_address = w.mail || '@b.example'$$);
EXECUTE explained($$JOIN wanted w ON d.message_trace_id = w.id JOIN wanted v ON d.recipient_address = v.mail$$);
EXECUTE explained($$, LATERAL unnest(ARRAY['a@b.example', 'c@b.example']) AS mail WHERE d.message_trace_id = '00000000-0000-4000-8000-000000000001' AND d.recipient_address = mail$$);
EXECUTE explained($$WHERE EXISTS (SELECT FROM wanted w WHERE w.id = d.message_trace_id AND w.mail = d.recipient_address)$$);
-- not by nested loops only: the plan must be found all the same
SET enable_nestloop = off;
EXECUTE explained($$JOIN wanted w ON d.message_trace_id = w.id AND d.recipient_address = w.mail$$);
RESET enable_nestloop;
-- what does not
EXECUTE explained('');
EXECUTE explained($$WHERE recipient_address = 'a@b.example'$$);
EXECUTE explained($$WHERE message_trace_id = '00000000-0000-4000-8000-000000000001' AND recipient_address LIKE 'a%'$$);
EXECUTE explained($$WHERE message_trace_id = '00000000-0000-4000-8000-000000000001' AND recipient_address <> ALL (ARRAY['a@b.example'])$$);
EXECUTE explained($$WHERE message_trace_id = '00000000-0000-4000-8000-000000000001' AND (recipient_address = 'a@b.example' OR event = 'Fail')$$);
EXECUTE explained($$WHERE message_trace_id = gen_random_uuid() AND recipient_address = 'a@b.example'$$);
EXECUTE explained($$FULL JOIN wanted w ON d.message_trace_id = w.id AND d.recipient_address = w.mail$$);
\pset tuples_only off
\pset format aligned

EXPLAIN (VERBOSE, COSTS OFF) SELECT event FROM message_trace_detail WHERE message_trace_id = :id AND recipient_address = 'a@b.example' AND event_time > now();
SELECT explained('SELECT count(*) FROM message_trace_detail', 'VERBOSE, COSTS OFF');
CREATE FUNCTION plan_of(query text) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (VERBOSE, FORMAT json) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan';
END $$;
SELECT p -> 'Node Type' AS node, p -> 'Deliveries' AS deliveries, p -> 'Expected Requests' AS requests, p -> 'Plan Rows' AS rows
  FROM plan_of($$SELECT event FROM message_trace_detail WHERE message_trace_id = '00000000-0000-4000-8000-000000000001' AND recipient_address IN ('a@b.example', 'c@b.example')$$) p;

-- without keys: an error when it is run, and with none to be found no request
SELECT count(*) FROM message_trace_detail;  -- ERROR
SELECT count(*) FROM message_trace_detail WHERE message_trace_id = :id;  -- ERROR
PREPARE by_key(uuid, text) AS SELECT count(*) FROM message_trace_detail WHERE message_trace_id = $1 AND recipient_address = $2;
EXECUTE by_key(:id, NULL);
EXECUTE by_key(NULL, 'a@b.example');
EXECUTE by_key(:id, '');
EXECUTE by_key(:id, '*@b.example');
SELECT count(*) FROM message_trace_detail d JOIN wanted w ON d.message_trace_id = w.id AND d.recipient_address = w.mail;
SELECT count(*) FROM message_trace_detail WHERE message_trace_id = ANY ('{}') AND recipient_address = 'a@b.example';
SELECT count(*) FROM message_trace_detail WHERE message_trace_id::text = 'no id' AND recipient_address = 'a@b.example';
SELECT count(*) FROM message_trace_detail WHERE false;

INSERT INTO message_trace_detail (event) VALUES ('x');  -- ERROR

-- joined with the message trace: one scan, where each row is joined with its own details
IMPORT FOREIGN SCHEMA exchange LIMIT TO (message_trace) FROM SERVER regress_details INTO regress_details;
EXPLAIN (VERBOSE, COSTS OFF)
SELECT t.subject, d.event FROM message_trace t JOIN message_trace_detail d USING (message_trace_id, recipient_address)
 WHERE t.sender_address = 'a@b.example' AND t.size > 1000 AND d.event <> 'Receive' AND d.event_time > t.received;
EXPLAIN (COSTS OFF)
SELECT count(*) FROM message_trace t JOIN message_trace_detail d ON d.message_trace_id = t.message_trace_id AND d.recipient_address = 'a@b.example' AND t.recipient_address = 'a@b.example';
-- else it is a nested loop
CREATE FUNCTION is_one_scan(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Relations: ' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;
SELECT how, is_one_scan(query) FROM (VALUES
	('both parts', 'SELECT t.size FROM message_trace t JOIN message_trace_detail d USING (message_trace_id, recipient_address)'),
	('left join', 'SELECT t.size FROM message_trace t LEFT JOIN message_trace_detail d USING (message_trace_id, recipient_address)'),
	('one part', 'SELECT t.size FROM message_trace t JOIN message_trace_detail d USING (message_trace_id)'),
	('crosswise', 'SELECT t.size FROM message_trace t JOIN message_trace_detail d ON d.message_trace_id = t.message_trace_id AND d.recipient_address = t.sender_address'),
	('whole row', 'SELECT t FROM message_trace t JOIN message_trace_detail d USING (message_trace_id, recipient_address)'),
	('system column', 'SELECT d.tableoid FROM message_trace t JOIN message_trace_detail d USING (message_trace_id, recipient_address)'),
	('locked row', 'SELECT 1 FROM message_trace t JOIN message_trace_detail d USING (message_trace_id, recipient_address), wanted w FOR UPDATE OF w')) q (how, query);

SET client_min_messages = warning;
DROP SERVER regress_details CASCADE;
DROP SCHEMA regress_details CASCADE;
