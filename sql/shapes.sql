--
-- The shapes of plans: what decides how many requests a query makes, without
-- making one (the host below does not exist).
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;

CREATE SERVER regress_shape FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'contoso.com', report_url 'https://no.such.host.invalid/x');
CREATE SERVER regress_shape_b FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'fabrikam.com', tenant_label 'b', report_url 'https://no.such.host.invalid/x');
CREATE SCHEMA regress_shape;
CREATE SCHEMA regress_shape_b;
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_shape INTO regress_shape;
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_shape_b INTO regress_shape_b;
SET search_path = regress_shape;

CREATE TABLE few AS SELECT 'p' || i || '@contoso.com' AS mail, i FROM generate_series(1, 4) i;
CREATE TABLE many AS SELECT 'p' || i || '@contoso.com' AS mail, i FROM generate_series(1, 5000) i;
CREATE TABLE deliveries AS SELECT gen_random_uuid() AS id, 'p' || i || '@contoso.com' AS mail FROM generate_series(1, 4) i;
ANALYZE few;
ANALYZE many;
ANALYZE deliveries;

-- the nodes of a plan, and what is said of order and filters
CREATE FUNCTION shape(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query LOOP
		IF line ~ '(->|^\S|Remote Filter:|Deliveries:|Relations:|Order:)' AND line !~ '^Query Identifier' THEN
			-- parameters have other numbers in other versions
			RETURN NEXT regexp_replace(line, '\(InitPlan 1\)\.col1|\$\d+', '$n', 'g');
		END IF;
	END LOOP;
END $$;

-- a value of each kind, and one that a prepared statement learns later
SELECT shape($q$ SELECT * FROM message_trace WHERE message_id = '<a@x.com>' AND subject LIKE 'Invoice%' AND status = 'failed' $q$);
PREPARE by_recipients (text[]) AS SELECT * FROM message_trace WHERE recipient_address = ANY ($1) AND received > now() - interval '7 days';
SET plan_cache_mode = force_custom_plan;
SELECT shape($q$ EXECUTE by_recipients ('{a@x.com,b@x.com}') $q$);
SET plan_cache_mode = force_generic_plan;
SELECT shape($q$ EXECUTE by_recipients ('{a@x.com,b@x.com}') $q$);
RESET plan_cache_mode;

-- few are asked for one by one, many in one reading
SELECT shape($q$ SELECT * FROM few p JOIN message_trace t ON t.sender_address = p.mail WHERE t.received > now() - interval '7 days' $q$);
SELECT shape($q$ SELECT * FROM many p JOIN message_trace t ON t.sender_address = p.mail WHERE t.received > now() - interval '2 hours' $q$);
SELECT shape($q$ SELECT * FROM message_trace WHERE recipient_address IN (SELECT mail FROM few) AND received > now() - interval '7 days' $q$);
SELECT shape($q$ SELECT * FROM few p LEFT JOIN message_trace t ON t.sender_address = p.mail AND t.received > now() - interval '7 days' $q$);
SELECT shape($q$ SELECT * FROM few p, LATERAL (SELECT * FROM message_trace t WHERE t.sender_address = p.mail ORDER BY received DESC LIMIT 1) n $q$);

-- a value that another query finds
SELECT shape($q$ SELECT * FROM message_trace WHERE sender_address = (SELECT mail FROM few WHERE i = 1) $q$);

-- the order of time needs no sort; more columns sort what is equal in it
SELECT shape($q$ SELECT * FROM message_trace ORDER BY received DESC LIMIT 10 $q$);
SELECT shape($q$ SELECT * FROM message_trace ORDER BY received LIMIT 10 $q$);
SELECT shape($q$ SELECT * FROM message_trace ORDER BY received DESC, message_trace_id LIMIT 10 $q$);
SELECT shape($q$ SELECT max(received) FROM message_trace WHERE sender_address = 'a@x.com' $q$);
SELECT shape($q$ SELECT min(received) FROM message_trace $q$);

-- another order does
SELECT shape($q$ SELECT * FROM message_trace WHERE received > now() - interval '2 hours' ORDER BY size DESC LIMIT 10 $q$);

-- details: with both keys, and with a local outer table
SELECT shape($q$ SELECT * FROM message_trace_detail WHERE message_trace_id = '11111111-2222-3333-4444-555555555555' AND recipient_address = 'a@x.com' $q$);
SELECT shape($q$ SELECT * FROM deliveries p JOIN message_trace_detail d ON d.message_trace_id = p.id AND d.recipient_address = p.mail $q$);

-- with the message trace of its server it is one scan, with another server's it is not
SELECT shape($q$ SELECT * FROM message_trace t JOIN message_trace_detail d USING (message_trace_id, recipient_address)
	WHERE t.status = 'failed' AND t.received > now() - interval '2 hours' $q$);
SELECT shape($q$ SELECT * FROM message_trace t JOIN regress_shape_b.message_trace_detail d USING (message_trace_id, recipient_address)
	WHERE t.status = 'failed' AND t.received > now() - interval '2 hours' $q$);

-- tenants are asked at the same time, and those that cannot have a row are left out
CREATE TABLE everybody (LIKE message_trace, tenant text) PARTITION BY LIST (tenant);
CREATE FOREIGN TABLE everybody_a PARTITION OF everybody FOR VALUES IN ('a') SERVER regress_shape;
CREATE FOREIGN TABLE everybody_b PARTITION OF everybody FOR VALUES IN ('b') SERVER regress_shape_b;
SELECT shape($q$ SELECT * FROM everybody WHERE sender_address = 'a@x.com' $q$);
SELECT shape($q$ SELECT * FROM everybody WHERE sender_address = 'a@x.com' AND tenant = 'b' $q$);
SELECT shape($q$ SELECT subject FROM message_trace WHERE sender_address = 'a@x.com'
	UNION ALL SELECT subject FROM regress_shape_b.message_trace WHERE sender_address = 'a@x.com' $q$);

SET client_min_messages = warning;
DROP SCHEMA regress_shape, regress_shape_b CASCADE;
DROP SERVER regress_shape, regress_shape_b CASCADE;
