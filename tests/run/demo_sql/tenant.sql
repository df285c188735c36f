\echo '-- Against the real service no URL is needed: see the end of the demonstration.'
CREATE EXTENSION o365_msgtrace;
CREATE SERVER tenant FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (
  tenant_id '11111111-2222-3333-4444-555555555555',
  report_url
    :'report_url',
  authority_url :'origin',
  resource :'origin',
  ca_file :'ca_file',
  rows_per_day :'rows_per_day');
CREATE USER MAPPING FOR CURRENT_USER SERVER tenant OPTIONS (
  client_id 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
  client_secret 'demo~secret.of-the-simulated-service');
CREATE SCHEMA mail;
IMPORT FOREIGN SCHEMA exchange FROM SERVER tenant INTO mail;

-- What \d shows of it, less wide.
\set ECHO none
SELECT attname AS "mail.message_trace", format_type(atttypid, NULL) AS type
  FROM pg_attribute
 WHERE attrelid = 'mail.message_trace'::regclass AND attnum > 0
 ORDER BY attnum;
