--
-- What the service is asked to narrow a scan by: EXPLAIN shows it, and asks
-- nothing of the network (the host below does not exist).
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;

CREATE SERVER regress_push FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'contoso.com', report_url 'https://no.such.host.invalid/x');
CREATE SCHEMA regress_push;
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_push INTO regress_push;
SET search_path = regress_push;

-- no user mapping is needed to plan
EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM message_trace;

-- a function of its own, to see the remote filter alone
CREATE FUNCTION remote_filter(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query LOOP
		IF line ~ 'Remote Filter' THEN
			-- an InitPlan's result: $0 before PostgreSQL 17
			RETURN NEXT regexp_replace(btrim(line), '\(InitPlan 1\)\.col1', '$0');
		END IF;
	END LOOP;
END $$;

-- ranges
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received > '2026-11-20 08:00+00' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received >= '2026-11-20 08:00+00' AND received < '2026-11-21 08:00+00' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received BETWEEN '2026-11-20 08:00+00' AND '2026-11-21 08:00+00' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received = '2026-11-20 08:00+00' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE '2026-11-20 08:00+00' <= received $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received > now() - interval '2 hours' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received > current_date $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received > current_date - 1 $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received >= '2026-11-20'::date AND received < timestamp '2026-11-21 08:00' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received >= date_trunc('day', now()) $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received > (SELECT max(c) FROM (VALUES (now())) AS v(c)) $q$);

-- ranges that stay here: a function of the column, something volatile
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received + interval '1 hour' > now() $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE date_trunc('day', received) = '2026-11-20' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received > clock_timestamp() $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received > now() OR received < now() $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE received <> now() $q$);

-- addresses
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE recipient_address = 'ada@contoso.com' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE 'ada@contoso.com' = sender_address $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE sender_address = 'a@x.com' AND recipient_address = 'b@x.com' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE sender_address = 'a@x.com' AND sender_address = current_setting('search_path') $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE sender_address = current_setting('search_path') $q$);

-- lists and lower() are asked for; what has another meaning to the service stays here
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE sender_address IN ('a@x.com', 'b@x.com') $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE sender_address LIKE 'a%' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE sender_address <> 'a@x.com' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE lower(sender_address) = 'a@x.com' $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE sender_address = recipient_address $q$);
SELECT remote_filter($q$ SELECT 1 FROM message_trace WHERE status = 'failed' AND subject = 'x' AND size > 5 $q$);

-- prepared statements, with the plan made for the value and with the generic one
PREPARE by_person(text, interval) AS
	SELECT 1 FROM message_trace WHERE recipient_address = $1 AND received > now() - $2;
SET plan_cache_mode = force_custom_plan;
SELECT remote_filter($q$ EXECUTE by_person('ada@contoso.com', '1 day') $q$);
SET plan_cache_mode = force_generic_plan;
SELECT remote_filter($q$ EXECUTE by_person('ada@contoso.com', '1 day') $q$);
RESET plan_cache_mode;

-- a join with many rows does not push: the table is read once
CREATE TABLE people (mail text);
SELECT remote_filter($q$ SELECT 1 FROM people JOIN message_trace ON sender_address = mail WHERE received > now() - interval '1 h' $q$);

-- columns of another name or type: received is pushed where it is a whole timestamptz
CREATE FOREIGN TABLE other (
	at timestamptz OPTIONS (field 'receivedDateTime'),
	who varchar(100) OPTIONS (field 'recipientAddress'),
	sender_address text COLLATE "C",
	received timestamp
) SERVER regress_push;
SELECT remote_filter($q$ SELECT 1 FROM other WHERE at > now() AND who = 'x' AND sender_address = 'y' $q$);
SELECT remote_filter($q$ SELECT 1 FROM other WHERE received > now() $q$);
ALTER FOREIGN TABLE other ALTER COLUMN at TYPE timestamptz(0);
SELECT remote_filter($q$ SELECT 1 FROM other WHERE at > now() $q$);
CREATE COLLATION regress_push.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
ALTER FOREIGN TABLE other ALTER COLUMN who TYPE text COLLATE nocase;
SELECT remote_filter($q$ SELECT 1 FROM other WHERE who = 'x' $q$);

-- every condition is checked again here, and only the columns needed are read
EXPLAIN (VERBOSE, COSTS OFF)
	SELECT subject FROM message_trace
	 WHERE recipient_address = 'ada@contoso.com' AND received > '2026-11-20 08:00+00' AND status = 'failed';

-- a query that no row can satisfy asks nothing: this works without a network
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_push OPTIONS (client_id 'app', client_secret 's');
SELECT count(*) FROM message_trace WHERE received > '2026-11-20 08:00+00' AND received < '2026-11-20 08:00+00';
SELECT count(*) FROM message_trace WHERE received > 'infinity';
SELECT count(*) FROM message_trace WHERE recipient_address = NULL::text;
SELECT count(*) FROM message_trace WHERE recipient_address = 'Ada@Contoso.com';  -- WARNING
CREATE FUNCTION analyzed(query text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, FORMAT JSON) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan';
END $$;
SELECT key, value
  FROM jsonb_each(analyzed($q$ SELECT subject FROM message_trace WHERE received < '-infinity' $q$))
 WHERE key ~ '^(Remote|First|Slices|Requests|Retries|Pages|Rows Rec|Bytes|Output)' ORDER BY key;
SELECT asked_from, asked_to, complete, requests, rows FROM o365_msgtrace.last_scan();

RESET search_path;
SET client_min_messages = warning;
DROP SERVER regress_push CASCADE;
DROP SCHEMA regress_push CASCADE;
