--
-- Who may aim a server where, and name which files.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;

CREATE ROLE regress_trace_admin;
CREATE ROLE regress_trace_reader;
GRANT USAGE ON FOREIGN DATA WRAPPER o365_msgtrace TO regress_trace_admin;
-- the schema is opened by its owner
GRANT USAGE ON SCHEMA o365_msgtrace TO regress_trace_reader;

SET ROLE regress_trace_admin;
-- Microsoft's hosts are for everyone
CREATE SERVER regress_priv FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'contoso.com', report_url 'https://graph.microsoft.com/beta/admin/exchange/tracing/messageTraces');
ALTER SERVER regress_priv OPTIONS (ADD authority_url 'https://login.microsoftonline.com:443');
-- others, and files, are not
ALTER SERVER regress_priv OPTIONS (SET report_url 'https://graph.microsoft.com.evil.example/x');  -- ERROR
ALTER SERVER regress_priv OPTIONS (SET report_url 'https://graph.microsoft.com:8443/x');  -- ERROR
ALTER SERVER regress_priv OPTIONS (SET authority_url 'https://evil.example');  -- ERROR
ALTER SERVER regress_priv OPTIONS (SET authority_url 'http://localhost');  -- ERROR
ALTER SERVER regress_priv OPTIONS (ADD resource 'https://evil.example');  -- ERROR
ALTER SERVER regress_priv OPTIONS (ADD ca_file '/etc/passwd');  -- ERROR
CREATE SERVER regress_priv_evil FOREIGN DATA WRAPPER o365_msgtrace
	OPTIONS (tenant_id 'contoso.com', authority_url 'https://evil.example');  -- ERROR
ALTER SERVER regress_priv OPTIONS (ADD proxy 'http://evil.example:3128');  -- ERROR
SET o365_msgtrace.clock_source = 'service';  -- ERROR
SET o365_msgtrace.log_level = 'debug';  -- ERROR
RESET ROLE;

-- what a superuser has aimed elsewhere, its owner does not alter
ALTER SERVER regress_priv OPTIONS (SET report_url 'https://proxy.example/x');
SET ROLE regress_trace_admin;
ALTER SERVER regress_priv OPTIONS (ADD page_size '10');  -- ERROR
-- but a mapping's owner changes the mapping
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_priv OPTIONS (client_id 'a', client_secret 'b');
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_priv OPTIONS (SET client_secret 'c');
RESET ROLE;

-- members of pg_read_server_files name files
GRANT pg_read_server_files TO regress_trace_admin;
ALTER SERVER regress_priv OPTIONS (DROP report_url);
SET ROLE regress_trace_admin;
ALTER SERVER regress_priv OPTIONS (ADD ca_file '/etc/ssl/certs/none.pem');
RESET ROLE;

-- options with secrets are shown to the mapping's owner and to superusers only
SET ROLE regress_trace_reader;
SELECT umoptions FROM pg_user_mappings WHERE srvname = 'regress_priv';
-- the list of options is for everyone, and for a scan one needs a mapping
SELECT count(*) > 10 AS listed FROM o365_msgtrace.option_list();
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER regress_priv TO regress_trace_reader;
CREATE FOREIGN TABLE regress_priv_trace (received timestamptz, subject text) SERVER regress_priv;
GRANT SELECT ON regress_priv_trace TO regress_trace_reader;
SET ROLE regress_trace_reader;
\set VERBOSITY sqlstate
SELECT * FROM regress_priv_trace WHERE received > 'infinity';  -- ERROR
\set VERBOSITY default
RESET ROLE;

SET client_min_messages = warning;
DROP SERVER regress_priv CASCADE;
DROP OWNED BY regress_trace_admin, regress_trace_reader;
DROP ROLE regress_trace_admin, regress_trace_reader;
