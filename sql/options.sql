--
-- Options of servers, user mappings, foreign tables and columns: what is wrong
-- is refused when it is set, with a hint.
--
\set VERBOSITY default
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;

-- the list is complete: each option once for each place
SELECT place, count(*), count(DISTINCT name) FROM o365_msgtrace.option_list() GROUP BY place ORDER BY place;

-- a server needs its tenant
CREATE SERVER regress_trace FOREIGN DATA WRAPPER o365_msgtrace;  -- ERROR
CREATE SERVER regress_trace FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'common');  -- ERROR
CREATE SERVER regress_trace FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com/evil');  -- ERROR
CREATE SERVER regress_trace FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id '');  -- ERROR
CREATE SERVER regress_trace FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com');

-- wrong names: the nearest one is named, or the place where it belongs
ALTER SERVER regress_trace OPTIONS (ADD requst_timeout '10s');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD client_id 'x');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD "table" 'message_trace');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD completely_different_thing 'x');  -- ERROR
CREATE FOREIGN DATA WRAPPER regress_other VALIDATOR o365_msgtrace.o365_msgtrace_validator OPTIONS (tenant_id 'x');  -- ERROR

-- wrong values
ALTER SERVER regress_trace OPTIONS (ADD api 'exchange');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD request_timeout '300');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD request_timeout '-1s');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD request_timeout '');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD request_timeout '2d');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD connect_timeout '0');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_initial_interval '21s');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD max_retries '21');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD max_retries 'five');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD page_size '0');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD page_size '5001');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD page_size '99999999999999999999');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD max_response_size '1000');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD max_response_size '1 parsec');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD normalize 'perhaps');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD rows_per_day '0');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD tenant_label '');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD report_url 'http://graph.microsoft.com/x');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD report_url 'ftp://graph.microsoft.com/x');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD report_url 'https://user:word@graph.microsoft.com/x');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD report_url 'https://graph.microsoft.com/x?$top=1');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD report_url 'http://localhost.evil.com/x');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD ca_file 'ca.pem');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_type 'fibonacci');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_multiplier '0.5');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_multiplier 'nan');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_multiplier 'twice');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_max_interval '60');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_http_codes '200');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_http_codes '429,299');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_http_codes '401');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_http_codes '429,');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD retry_http_codes '');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD honor_retry_after '');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD max_retry_after '25h');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD proxy 'socks5://proxy.example:1080');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD proxy 'http://user:word@proxy.example:3128');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD quota_requests '4097');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD quota_window '500ms');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD detail_quota 'none');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD on_bad_row 'ignore');  -- ERROR
ALTER SERVER regress_trace OPTIONS (ADD log_level 'chatty');  -- ERROR

-- right ones
ALTER SERVER regress_trace OPTIONS (
	ADD api 'graph', ADD tenant_label 'Contoso', ADD request_timeout '5min', ADD connect_timeout '2s',
	ADD retry_initial_interval '500ms', ADD max_retries '0', ADD page_size '100', ADD normalize 'off',
	ADD max_response_size '8MB', ADD rows_per_day '1000', ADD ca_file '/etc/ssl/certs/none.pem',
	ADD retry_type 'static', ADD retry_multiplier '1.5', ADD retry_max_interval '2min',
	ADD retry_http_codes '429, 500,503', ADD honor_retry_after 'off', ADD max_retry_after '30s',
	ADD proxy 'http://proxy.example:3128', ADD no_proxy 'localhost,.example', ADD quota_requests '0',
	ADD quota_window '1min', ADD detail_quota 'separate', ADD on_bad_row 'reject', ADD log_level 'debug',
	ADD report_url 'http://localhost:1/x', ADD authority_url 'https://[::1]:8/y', ADD resource 'https://127.0.0.1');
ALTER SERVER regress_trace OPTIONS (SET request_timeout '0', SET proxy '');
SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'regress_trace';

-- a server does not lose what it requires
ALTER SERVER regress_trace OPTIONS (DROP tenant_id);  -- ERROR

-- plans: the addresses, and the api, follow
CREATE SERVER regress_plan FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'x.com', plan 'china');  -- ERROR
CREATE SERVER regress_plan FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'x.com', plan 'gcc_high', api 'graph');  -- ERROR
CREATE SERVER regress_plan FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'x.com', plan 'dod', api 'graph');  -- ERROR
CREATE SERVER regress_plan FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'x.com', plan 'dod');  -- ERROR
CREATE SERVER regress_plan FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'x.com', plan 'dod', report_url 'https://dod.example/ecp/reportingwebservice/reporting.svc/MessageTrace');  -- ERROR
CREATE SERVER regress_plan FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'x.com', plan 'gcc_high', page_size '2001');  -- ERROR
CREATE SERVER regress_plan FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'x.com', plan 'gcc');
ALTER SERVER regress_plan OPTIONS (SET plan 'gcc_high');
ALTER SERVER regress_plan OPTIONS (ADD page_size '2000', SET plan 'enterprise', ADD api 'reporting');
ALTER SERVER regress_plan OPTIONS (DROP tenant_id);
ALTER SERVER regress_plan OPTIONS (SET api 'graph');  -- ERROR
-- a list of the other API
ALTER SERVER regress_plan
	OPTIONS (ADD report_url 'https://graph.microsoft.com/v1.0/admin/exchange/tracing/messageTraces');  -- ERROR
ALTER SERVER regress_plan OPTIONS (
	SET api 'graph', ADD tenant_id 'x.com',
	ADD report_url 'https://reports.office365.com/ecp/reportingwebservice/reporting.svc/MessageTrace');  -- ERROR
DROP SERVER regress_plan;

-- user mappings
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace;  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (client_id 'app');  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (client_id '', client_secret 's');  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (client_id 'app', client_secret '');  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (client_id 'app', client_secret 's', auth 'magic');  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (clientid 'app', client_secret 's');  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (tenant_id 'app', client_secret 's');  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace
	OPTIONS (client_id 'app', client_secret '0f3a8a2e-0f6b-4b0e-9d5c-1f0f6c1f2a3b');  -- WARNING
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (SET client_secret 'Xq~8s', ADD auth 'oauth');
-- each way of signing in has options of its own
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (ADD username 'x');  -- ERROR
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (SET auth 'oauth_secret');  -- ERROR
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (SET auth 'oauth_secret', DROP client_secret);  -- ERROR
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace
	OPTIONS (SET auth 'oauth_secret', DROP client_secret, ADD secret_name 'app');
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace
	OPTIONS (SET auth 'oauth_certificate', DROP secret_name);  -- ERROR
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace
	OPTIONS (SET auth 'oauth_certificate', DROP secret_name, ADD certificate_file 'app.pem');  -- ERROR
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace
	OPTIONS (SET auth 'oauth_certificate', DROP secret_name, ADD certificate_file '/app.pem', ADD certificate_secret 'c');  -- ERROR
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace
	OPTIONS (SET auth 'oauth_certificate', DROP secret_name, ADD certificate_file '$CERTIFICATES/app.pem', ADD private_key_secret 'k');
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (ADD private_key_file '/key.pem');  -- ERROR
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (ADD passphrase 'x', ADD passphrase_secret 'y');  -- ERROR
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (DROP client_id);  -- ERROR
DROP USER MAPPING FOR PUBLIC SERVER regress_trace;
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (auth 'basic', username 'a:b', password 'x');  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace OPTIONS (auth 'basic', username 'a');  -- ERROR
CREATE USER MAPPING FOR PUBLIC SERVER regress_trace
	OPTIONS (auth 'basic', username 'a', password 'x', proxy_username 'p', proxy_password '');

-- foreign tables and columns
CREATE FOREIGN TABLE regress_trace_table (received timestamptz) SERVER regress_trace OPTIONS ("table" 'message');  -- ERROR
CREATE FOREIGN TABLE regress_trace_table (received timestamptz) SERVER regress_trace OPTIONS (pagesize '10');  -- ERROR
CREATE FOREIGN TABLE regress_trace_table (received timestamptz OPTIONS (fild 'x')) SERVER regress_trace;  -- ERROR
CREATE FOREIGN TABLE regress_trace_table (received timestamptz OPTIONS (field '')) SERVER regress_trace;  -- ERROR
CREATE FOREIGN TABLE regress_trace_table (
	"when" timestamptz OPTIONS (field 'receivedDateTime'),
	recipient text OPTIONS (field 'recipientAddress'),
	tenant text,
	extra text OPTIONS (field 'somethingNew')
) SERVER regress_trace OPTIONS ("table" 'message_trace', page_size '10', normalize 'true', rows_per_day '5');

-- server and mapping meet when they are used
\set VERBOSITY terse
SELECT count(*) FROM regress_trace_table;  -- ERROR
ALTER SERVER regress_trace OPTIONS (SET api 'reporting', SET page_size '2000', DROP tenant_id);
ALTER USER MAPPING FOR PUBLIC SERVER regress_trace
	OPTIONS (ADD client_id 'app', ADD client_secret 'Xq~8s', SET auth 'oauth', DROP username, DROP password);
SELECT count(*) FROM regress_trace_table;  -- ERROR
ALTER FOREIGN TABLE regress_trace_table OPTIONS (SET page_size '2001');
SELECT count(*) FROM regress_trace_table;  -- ERROR
ALTER FOREIGN TABLE regress_trace_table OPTIONS (SET page_size '10');
ALTER SERVER regress_trace OPTIONS (ADD tenant_id 'contoso.com');
\set VERBOSITY default

-- a column that stands for nothing is an error as soon as the table is used
ALTER FOREIGN TABLE regress_trace_table ADD COLUMN subjct text;
EXPLAIN SELECT * FROM regress_trace_table;  -- ERROR
ALTER FOREIGN TABLE regress_trace_table DROP COLUMN subjct;
EXPLAIN (COSTS OFF) SELECT * FROM regress_trace_table;

-- settings
SET o365_msgtrace.max_requests_per_query = -1;  -- ERROR
SET o365_msgtrace.clock_source = 'sundial';  -- ERROR
SET o365_msgtrace.no_such_setting = 1;  -- ERROR
SET o365_msgtrace.log_level = 'chatty';  -- ERROR
SET o365_msgtrace.on_bad_row = 'ignore';  -- ERROR
SET o365_msgtrace.request_class = 'first';  -- ERROR
SHOW o365_msgtrace.max_requests_per_query;

-- what cannot be done with such a table
INSERT INTO regress_trace_table (tenant) VALUES ('x');  -- ERROR
UPDATE regress_trace_table SET tenant = 'x';  -- ERROR
DELETE FROM regress_trace_table;  -- ERROR
TRUNCATE regress_trace_table;  -- ERROR

DROP SERVER regress_trace CASCADE;
