--
-- IMPORT FOREIGN SCHEMA
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;

CREATE SERVER regress_import FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com');
CREATE SCHEMA regress_mail;

IMPORT FOREIGN SCHEMA mail FROM SERVER regress_import INTO regress_mail;  -- ERROR
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_import INTO regress_mail OPTIONS (page_size '10');  -- ERROR

IMPORT FOREIGN SCHEMA exchange EXCEPT (message_trace, message_trace_detail) FROM SERVER regress_import INTO regress_mail;
\det regress_mail.*
IMPORT FOREIGN SCHEMA exchange EXCEPT (message_trace) FROM SERVER regress_import INTO regress_mail;
\det regress_mail.*

IMPORT FOREIGN SCHEMA exchange LIMIT TO (message_trace) FROM SERVER regress_import INTO regress_mail;
\det+ regress_mail.*
\d regress_mail.message_trace
\d regress_mail.message_trace_detail

-- columns on request
CREATE SCHEMA regress_more;
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_import INTO regress_more OPTIONS (raw 'maybe');  -- ERROR
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_import INTO regress_more OPTIONS (raw 'true', tenant 'off', organization 'on');
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'regress_more.message_trace'::regclass AND attnum > 10 ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'regress_more.message_trace_detail'::regclass AND attnum > 8 ORDER BY attnum;
DROP FOREIGN TABLE regress_more.message_trace, regress_more.message_trace_detail;
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_import INTO regress_more OPTIONS (tenant 'true');
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'regress_more.message_trace'::regclass AND attnum > 10 ORDER BY attnum;

-- twice is once too often
IMPORT FOREIGN SCHEMA exchange FROM SERVER regress_import INTO regress_mail;  -- ERROR

-- a server's name may need quotes
CREATE SERVER "Regress Import" FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com');
CREATE SCHEMA "Regress Mail";
IMPORT FOREIGN SCHEMA exchange FROM SERVER "Regress Import" INTO "Regress Mail";
\det "Regress Mail".*

SET client_min_messages = warning;
DROP SERVER regress_import CASCADE;
DROP SERVER "Regress Import" CASCADE;
DROP SCHEMA regress_more;
DROP SCHEMA regress_mail;
DROP SCHEMA "Regress Mail";
