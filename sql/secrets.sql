--
-- Stored secrets, as far as that needs no key: what is refused, and who sees what.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS o365_msgtrace;
RESET client_min_messages;

CREATE ROLE regress_secret_owner;
CREATE ROLE regress_secret_other;
GRANT USAGE ON SCHEMA o365_msgtrace TO regress_secret_owner, regress_secret_other;

-- keys are for superusers
SET ROLE regress_secret_owner;
SELECT o365_msgtrace.create_secret_key();  -- ERROR
SELECT o365_msgtrace.rotate_secret_key();  -- ERROR
SELECT o365_msgtrace.drop_secret_key('0123456789abcdef');  -- ERROR

-- wrong arguments are refused before a key is looked for
SELECT o365_msgtrace.create_secret(NULL, 'x');  -- ERROR
SELECT o365_msgtrace.create_secret('', 'x');  -- ERROR
SELECT o365_msgtrace.create_secret(' app', 'x');  -- ERROR
SELECT o365_msgtrace.create_secret(repeat('x', 101), 'x');  -- ERROR
SELECT o365_msgtrace.create_secret(E'a\nb', 'x');  -- ERROR
SELECT o365_msgtrace.create_secret('app', NULL);  -- ERROR
SELECT o365_msgtrace.create_secret('app', '');  -- ERROR
SELECT o365_msgtrace.create_secret('app', repeat('x', 65537));  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', 'user:name');  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', hosts => '{}');  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', hosts => '{https://login.microsoftonline.com}');  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', hosts => '{login.microsoftonline.com/x}');  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', hosts => '{a.example,NULL}');  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', hosts => '{*.example}');  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', hosts => '{a.example:}');  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', hosts => '{a.example:x}');  -- ERROR
SELECT o365_msgtrace.create_secret('app', 'x', hosts => '{"[::1"}');  -- ERROR
SELECT o365_msgtrace.alter_secret('nothing', 'x');  -- ERROR
SELECT o365_msgtrace.alter_secret(NULL);  -- ERROR
SELECT o365_msgtrace.drop_secret('nothing');  -- ERROR
SELECT o365_msgtrace.grant_secret('nothing', 'regress_secret_other');  -- ERROR
SELECT o365_msgtrace.revoke_secret('nothing', 'regress_secret_other');  -- ERROR

-- the tables are for nobody, the view for everybody
SELECT * FROM o365_msgtrace.secret_store;  -- ERROR
INSERT INTO o365_msgtrace.secret_grant VALUES ('app', 'regress_secret_owner');  -- ERROR
SELECT * FROM o365_msgtrace.secret;
SELECT * FROM o365_msgtrace.secret_input;  -- ERROR
SELECT o365_msgtrace._secret_input();  -- ERROR
RESET ROLE;

-- a secret that a superuser has put there by hand, for what follows
INSERT INTO o365_msgtrace.secret_store (name, owner, sealed, key_fingerprint, hosts)
	VALUES ('regress app', 'regress_secret_owner', '\x01', '0123456789abcdef', '{login.microsoftonline.com}');

SET ROLE regress_secret_other;
SELECT name FROM o365_msgtrace.secret;
SELECT o365_msgtrace.alter_secret('regress app', username => 'x');  -- ERROR
SELECT o365_msgtrace.drop_secret('regress app');  -- ERROR
SELECT o365_msgtrace.grant_secret('regress app', 'regress_secret_other');  -- ERROR
INSERT INTO o365_msgtrace.secret_input (name, value) VALUES ('regress app', 'x');  -- ERROR

SET ROLE regress_secret_owner;
SELECT o365_msgtrace.grant_secret('regress app', 'regress_no_such_role');  -- ERROR
SELECT o365_msgtrace.grant_secret('regress app', 'regress_secret_other');
SELECT o365_msgtrace.grant_secret('regress app', 'regress_secret_other');
SELECT o365_msgtrace.alter_secret('regress app', username => 'somebody', hosts => '{Login.Example,[::1]:8443}',
	expires_at => '2050-01-01 00:00Z');
SET timezone = 'UTC';
SELECT name, owner, username, hosts, expires_at, key_fingerprint, granted_to FROM o365_msgtrace.secret;
SET ROLE regress_secret_other;
SELECT name, granted_to FROM o365_msgtrace.secret;
SET ROLE regress_secret_owner;
SELECT o365_msgtrace.alter_secret('regress app', username => '', expires_at => 'infinity');
SELECT o365_msgtrace.revoke_secret('regress app', 'regress_secret_other');
SELECT name, owner, username, expires_at, granted_to FROM o365_msgtrace.secret;

-- nothing is written where nothing may be
BEGIN READ ONLY;
SELECT o365_msgtrace.drop_secret('regress app');  -- ERROR
ROLLBACK;
SELECT o365_msgtrace.drop_secret('regress app');
SELECT name FROM o365_msgtrace.secret;
RESET ROLE;

-- files are named by those who may; the rest of a mapping is its owner's
GRANT USAGE ON FOREIGN DATA WRAPPER o365_msgtrace TO regress_secret_owner;
SET ROLE regress_secret_owner;
CREATE SERVER regress_secret FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_secret
	OPTIONS (auth 'oauth_certificate', client_id 'a', certificate_file '/etc/app.pem');  -- ERROR
RESET ROLE;
CREATE USER MAPPING FOR regress_secret_owner SERVER regress_secret
	OPTIONS (auth 'oauth_certificate', client_id 'a', certificate_file '/etc/app.pem');
SET ROLE regress_secret_owner;
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_secret OPTIONS (SET client_id 'b');
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_secret OPTIONS (SET certificate_file '/etc/passwd');  -- ERROR
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_secret OPTIONS (ADD private_key_file '/etc/app.pem');  -- ERROR
CREATE USER MAPPING FOR regress_secret_other SERVER regress_secret
	OPTIONS (auth 'oauth_certificate', client_id 'a', certificate_file '/etc/app.key');  -- ERROR
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_secret
	OPTIONS (DROP certificate_file, ADD certificate_secret 'certificate');
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_secret
	OPTIONS (DROP certificate_secret, ADD certificate_file '/etc/app.pem');  -- ERROR
RESET ROLE;

DROP SERVER regress_secret CASCADE;
DROP OWNED BY regress_secret_owner, regress_secret_other;
DROP ROLE regress_secret_owner, regress_secret_other;
