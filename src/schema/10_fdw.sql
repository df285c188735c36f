-- 10_fdw.sql: the foreign-data wrapper, and what its C code shows of itself.

CREATE FUNCTION o365_msgtrace.o365_msgtrace_handler()
	RETURNS fdw_handler
	LANGUAGE C STRICT
	AS 'MODULE_PATHNAME', 'o365_msgtrace_handler';

COMMENT ON FUNCTION o365_msgtrace.o365_msgtrace_handler() IS
	'Handler of the foreign-data wrapper o365_msgtrace';

CREATE FUNCTION o365_msgtrace.o365_msgtrace_validator(text[], oid)
	RETURNS void
	LANGUAGE C STRICT
	AS 'MODULE_PATHNAME', 'o365_msgtrace_validator';

COMMENT ON FUNCTION o365_msgtrace.o365_msgtrace_validator(text[], oid) IS
	'Validator of the foreign-data wrapper o365_msgtrace: options are checked when they are set';

CREATE FOREIGN DATA WRAPPER o365_msgtrace
	HANDLER o365_msgtrace.o365_msgtrace_handler
	VALIDATOR o365_msgtrace.o365_msgtrace_validator;

COMMENT ON FOREIGN DATA WRAPPER o365_msgtrace IS
	'Office 365 Message Trace: who sent what to whom, and what became of it';

CREATE FUNCTION o365_msgtrace.option_list(
		OUT place text,
		OUT name text,
		OUT type text,
		OUT default_value text,
		OUT description text)
	RETURNS SETOF record
	LANGUAGE C STRICT STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'o365_msgtrace_option_list';

COMMENT ON FUNCTION o365_msgtrace.option_list() IS
	'Every option of servers, user mappings, foreign tables and columns: where it stands, its type, its default and what it means. Durations need a unit (ms, s, min, h), sizes may have one (kB, MB).';

CREATE FUNCTION o365_msgtrace.last_scan(
		OUT asked_from timestamptz,
		OUT asked_to timestamptz,
		OUT complete boolean,
		OUT service_time_at_start timestamptz,
		OUT requests bigint,
		OUT retries bigint,
		OUT pages bigint,
		OUT bytes bigint,
		OUT rows bigint,
		OUT rejected bigint,
		OUT waited interval)
	RETURNS record
	LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'o365_msgtrace_last_scan';

COMMENT ON FUNCTION o365_msgtrace.last_scan() IS
	'What the scan of a message trace table did that was last at work in this session: the half-open range [asked_from, asked_to) that it asked for, after the clamps to what the service holds and to service time less a second; whether it was read to its end; service time when it began; list requests sent, retries among them, pages read, bytes received, rows delivered, records rejected, and how long it waited. NULLs before the first scan; no range when nothing was asked.';
