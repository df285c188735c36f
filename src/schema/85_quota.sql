/*
 * The tenants' budgets of requests, and what was asked of each server. Who may see
 * what is decided by the functions below, for a view cannot hide a function.
 */

CREATE FUNCTION o365_msgtrace._quota(
		OUT tenant text,
		OUT api text,
		OUT quota_requests integer,
		OUT quota_window interval,
		OUT used integer,
		OUT in_flight integer,
		OUT remaining integer,
		OUT waiting integer,
		OUT waiting_batch integer,
		OUT next_slot_at timestamptz,
		OUT paused_until timestamptz,
		OUT throttled integer,
		OUT sharing text)
	RETURNS SETOF record
	LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'o365_msgtrace_quota';

COMMENT ON FUNCTION o365_msgtrace._quota() IS
'internal: what view quota shows to this role';

CREATE VIEW o365_msgtrace.quota AS SELECT * FROM o365_msgtrace._quota();

COMMENT ON VIEW o365_msgtrace.quota IS
'the budget of requests of each tenant and API that was used within its window, across all sessions and databases; seen by pg_read_all_stats, and by roles with USAGE on a server of this database that used it, or its owner';
COMMENT ON COLUMN o365_msgtrace.quota.tenant IS 'the tenant''s directory id, as its tokens have it; with basic sign-in a digest of the user name';
COMMENT ON COLUMN o365_msgtrace.quota.api IS 'graph or reporting; with :detail for the details of deliveries, where detail_quota is separate';
COMMENT ON COLUMN o365_msgtrace.quota.quota_requests IS 'requests in a window; of several servers'' options those that leave least';
COMMENT ON COLUMN o365_msgtrace.quota.quota_window IS 'the window, of the same server';
COMMENT ON COLUMN o365_msgtrace.quota.used IS 'requests that count now: answered within the window, or in flight';
COMMENT ON COLUMN o365_msgtrace.quota.in_flight IS 'of those, the ones still to be answered';
COMMENT ON COLUMN o365_msgtrace.quota.remaining IS 'requests that may be made now';
COMMENT ON COLUMN o365_msgtrace.quota.waiting IS 'requests that wait for the budget';
COMMENT ON COLUMN o365_msgtrace.quota.waiting_batch IS 'of those, the ones of class batch, which give way to the others';
COMMENT ON COLUMN o365_msgtrace.quota.next_slot_at IS 'when one request more may be made; NULL when that depends on requests in flight';
COMMENT ON COLUMN o365_msgtrace.quota.paused_until IS 'until when nobody asks, because the service has answered 429; NULL when it has not';
COMMENT ON COLUMN o365_msgtrace.quota.throttled IS '429s in a row, each after the pause that the one before it made';
COMMENT ON COLUMN o365_msgtrace.quota.sharing IS 'preloaded or registered: one budget for the whole server; backend: this session''s own';
GRANT SELECT ON o365_msgtrace.quota TO PUBLIC;

-- For an ingest, which leaves some of its tenant's budget to others.
CREATE FUNCTION o365_msgtrace._quota_of(foreign_table regclass)
	RETURNS SETOF o365_msgtrace.quota
	LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'o365_msgtrace_quota_of';

COMMENT ON FUNCTION o365_msgtrace._quota_of(regclass) IS
'internal: the budgets that the server of this foreign table has used, as view quota shows them; for who may read the table';

CREATE FUNCTION o365_msgtrace._server_stats(
		OUT server_id oid,
		OUT requests bigint,
		OUT pages bigint,
		OUT rows bigint,
		OUT bytes bigint,
		OUT retries bigint,
		OUT throttled bigint,
		OUT waits bigint,
		OUT waited interval,
		OUT sign_ins bigint,
		OUT last_error text,
		OUT last_error_sqlstate text,
		OUT last_error_at timestamptz,
		OUT since timestamptz,
		OUT sharing text)
	RETURNS SETOF record
	LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'o365_msgtrace_server_stats';

COMMENT ON FUNCTION o365_msgtrace._server_stats() IS
'internal: what view server_stats shows to this role';

CREATE VIEW o365_msgtrace.server_stats AS
SELECT s.srvname AS server, c.requests, c.pages, c.rows, c.bytes, c.retries, c.throttled, c.waits, c.waited,
       c.sign_ins, c.last_error, c.last_error_sqlstate, c.last_error_at, c.since, c.sharing
  FROM o365_msgtrace._server_stats() c
  JOIN pg_catalog.pg_foreign_server s ON s.oid = c.server_id;

COMMENT ON VIEW o365_msgtrace.server_stats IS
'what was asked of each server of this database by all sessions, also by those whose transaction was rolled back; seen by the server''s owner and pg_read_all_stats';
COMMENT ON COLUMN o365_msgtrace.server_stats.server IS 'the foreign server';
COMMENT ON COLUMN o365_msgtrace.server_stats.requests IS 'requests for lists and details, retries included, sign-ins not';
COMMENT ON COLUMN o365_msgtrace.server_stats.pages IS 'pages read';
COMMENT ON COLUMN o365_msgtrace.server_stats.rows IS 'rows in them that were asked for and new';
COMMENT ON COLUMN o365_msgtrace.server_stats.bytes IS 'bytes of their bodies, after decompression';
COMMENT ON COLUMN o365_msgtrace.server_stats.retries IS 'retries, of sign-ins too';
COMMENT ON COLUMN o365_msgtrace.server_stats.throttled IS 'answers 429: too many requests';
COMMENT ON COLUMN o365_msgtrace.server_stats.waits IS 'requests that had to wait for the tenant''s budget';
COMMENT ON COLUMN o365_msgtrace.server_stats.waited IS 'how long sessions have waited, for answers, retries and the budget together';
COMMENT ON COLUMN o365_msgtrace.server_stats.sign_ins IS 'tokens asked for';
COMMENT ON COLUMN o365_msgtrace.server_stats.last_error IS 'message and detail of the last error; never with a secret';
COMMENT ON COLUMN o365_msgtrace.server_stats.last_error_sqlstate IS 'its SQLSTATE';
COMMENT ON COLUMN o365_msgtrace.server_stats.last_error_at IS 'when it was';
COMMENT ON COLUMN o365_msgtrace.server_stats.since IS 'since when it is counted: the server''s first use, its last reset or the start of PostgreSQL';
COMMENT ON COLUMN o365_msgtrace.server_stats.sharing IS 'preloaded or registered: all sessions together; backend: this session alone';
GRANT SELECT ON o365_msgtrace.server_stats TO PUBLIC;

CREATE FUNCTION o365_msgtrace.reset_server_stats(server name DEFAULT NULL)
	RETURNS void
	LANGUAGE C VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'o365_msgtrace_reset_server_stats';

COMMENT ON FUNCTION o365_msgtrace.reset_server_stats(name) IS
'Counts what view server_stats shows of a server from zero again; without a name, of all servers that the role owns. For the server''s owner and superusers.';
