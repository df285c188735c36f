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
ALTER SERVER regress_trace OPTIONS (ADD api 'reporting');  -- ERROR
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

-- right ones
ALTER SERVER regress_trace OPTIONS (
	ADD api 'graph', ADD tenant_label 'Contoso', ADD request_timeout '5min', ADD connect_timeout '2s',
	ADD retry_initial_interval '500ms', ADD max_retries '0', ADD page_size '100', ADD normalize 'off',
	ADD max_response_size '8MB', ADD rows_per_day '1000', ADD ca_file '/etc/ssl/certs/none.pem',
	ADD report_url 'http://localhost:1/x', ADD authority_url 'https://[::1]:8/y', ADD resource 'https://127.0.0.1');
ALTER SERVER regress_trace OPTIONS (SET request_timeout '0');
SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'regress_trace';

-- a server does not lose what it requires
ALTER SERVER regress_trace OPTIONS (DROP tenant_id);  -- ERROR

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

-- a column that stands for nothing is an error as soon as the table is used
ALTER FOREIGN TABLE regress_trace_table ADD COLUMN subjct text;
EXPLAIN SELECT * FROM regress_trace_table;  -- ERROR
ALTER FOREIGN TABLE regress_trace_table DROP COLUMN subjct;
EXPLAIN (COSTS OFF) SELECT * FROM regress_trace_table;

-- settings
SET o365_msgtrace.max_requests_per_query = -1;  -- ERROR
SET o365_msgtrace.clock_source = 'sundial';  -- ERROR
SET o365_msgtrace.no_such_setting = 1;  -- ERROR
SHOW o365_msgtrace.max_requests_per_query;

-- what cannot be done with such a table
INSERT INTO regress_trace_table (tenant) VALUES ('x');  -- ERROR
UPDATE regress_trace_table SET tenant = 'x';  -- ERROR
DELETE FROM regress_trace_table;  -- ERROR
TRUNCATE regress_trace_table;  -- ERROR

DROP SERVER regress_trace CASCADE;
