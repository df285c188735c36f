/*
 * Stored secrets: client secrets, passwords, keys and certificates that do not
 * stand in a user mapping.
 *
 * What is kept here is sealed with a key that lies in a file of the server's, so
 * that dumps and backups of the database tell nothing without that file. Roles
 * are kept by name, because a dump that held their oids would give the secrets
 * to somebody else. Nobody but a superuser reads or writes these tables: the
 * functions below check who asks, and do.
 */

CREATE TABLE o365_msgtrace.secret_store (
    name text COLLATE "C" PRIMARY KEY,
    owner name NOT NULL,
    sealed bytea NOT NULL,
    key_fingerprint text NOT NULL,
    username text,
    hosts text[] NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE o365_msgtrace.secret_store IS
'stored secrets, sealed; for superusers. The view secret shows each role what concerns it';
COMMENT ON COLUMN o365_msgtrace.secret_store.name IS 'the name that user mappings use, unique in the database';
COMMENT ON COLUMN o365_msgtrace.secret_store.owner IS 'the role that may change and grant it';
COMMENT ON COLUMN o365_msgtrace.secret_store.sealed IS 'format version, nonce, AES-256-GCM of the value with the name as associated data, tag';
COMMENT ON COLUMN o365_msgtrace.secret_store.key_fingerprint IS 'of the key that opens it';
COMMENT ON COLUMN o365_msgtrace.secret_store.username IS 'whom the password is of, in basic sign-in';
COMMENT ON COLUMN o365_msgtrace.secret_store.hosts IS 'the hosts that it may be sent to';
COMMENT ON COLUMN o365_msgtrace.secret_store.expires_at IS 'from then on it is not used; NULL is never';
COMMENT ON COLUMN o365_msgtrace.secret_store.created_at IS 'when it was first stored';
COMMENT ON COLUMN o365_msgtrace.secret_store.changed_at IS 'when it was last changed';

CREATE TABLE o365_msgtrace.secret_grant (
    name text COLLATE "C" REFERENCES o365_msgtrace.secret_store ON DELETE CASCADE,
    grantee name,
    PRIMARY KEY (name, grantee)
);

COMMENT ON TABLE o365_msgtrace.secret_grant IS
'who may use stored secrets beside their owners; for superusers. The view secret shows each role what concerns it';
COMMENT ON COLUMN o365_msgtrace.secret_grant.name IS 'the secret';
COMMENT ON COLUMN o365_msgtrace.secret_grant.grantee IS 'the role whose scans, and whose members'' scans, may use it; public is everybody';

REVOKE ALL ON o365_msgtrace.secret_store, o365_msgtrace.secret_grant FROM PUBLIC;

-- Without a policy there is no row for anybody but their owner: pg_write_all_data could give itself a grant else.
ALTER TABLE o365_msgtrace.secret_store ENABLE ROW LEVEL SECURITY;
ALTER TABLE o365_msgtrace.secret_grant ENABLE ROW LEVEL SECURITY;

SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.secret_store', '');
SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.secret_grant', '');

CREATE FUNCTION o365_msgtrace.create_secret(
    name text,
    value text,
    username text DEFAULT NULL,
    hosts text[] DEFAULT ARRAY['login.microsoftonline.com', 'login.microsoftonline.us'],
    expires_at timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_create_secret';
COMMENT ON FUNCTION o365_msgtrace.create_secret(text, text, text, text[], timestamptz) IS
'Store a secret of the current role''s: it is sealed with the server''s key, sent to these hosts only, and not used once it has expired. A statement may be logged with its values; COPY o365_msgtrace.secret_input FROM STDIN is not.';

CREATE FUNCTION o365_msgtrace.alter_secret(
    name text,
    value text DEFAULT NULL,
    username text DEFAULT NULL,
    hosts text[] DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_alter_secret';
COMMENT ON FUNCTION o365_msgtrace.alter_secret(text, text, text, text[], timestamptz) IS
'Change what is given of a stored secret: its value (the next sign-in takes the new one), user name ('''' is none), hosts or expiry (infinity is never)';

CREATE FUNCTION o365_msgtrace.drop_secret(name text)
RETURNS void
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_drop_secret';
COMMENT ON FUNCTION o365_msgtrace.drop_secret(text) IS 'Remove a stored secret and its grants';

CREATE FUNCTION o365_msgtrace.grant_secret(name text, role name)
RETURNS void
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_grant_secret';
COMMENT ON FUNCTION o365_msgtrace.grant_secret(text, name) IS
'Let the scans of a role and its members use a stored secret, without ever showing it to them; public is everybody';

CREATE FUNCTION o365_msgtrace.revoke_secret(name text, role name)
RETURNS void
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_revoke_secret';
COMMENT ON FUNCTION o365_msgtrace.revoke_secret(text, name) IS
'Take back what grant_secret() gave; the next scan is refused';

CREATE FUNCTION o365_msgtrace.create_secret_key(OUT path text, OUT fingerprint text)
RETURNS record
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_create_secret_key';
COMMENT ON FUNCTION o365_msgtrace.create_secret_key() IS
'Make the key that secrets are sealed with, in the file that the setting o365_msgtrace.secret_key_file names, or in the data directory. Refused where there is a file, or secrets of another key. Copy the file to each standby, and keep a copy apart from the backups.';

CREATE FUNCTION o365_msgtrace.rotate_secret_key(OUT fingerprint text, OUT secrets bigint)
RETURNS record
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_rotate_secret_key';
COMMENT ON FUNCTION o365_msgtrace.rotate_secret_key() IS
'Seal all secrets of this database with a new key, or with the newest one of the file when some are not sealed with that yet (after a rotation in another database). The older keys stay in the file until drop_secret_key().';

CREATE FUNCTION o365_msgtrace.drop_secret_key(fingerprint text)
RETURNS void
LANGUAGE C VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_drop_secret_key';
COMMENT ON FUNCTION o365_msgtrace.drop_secret_key(text) IS
'Remove an old key from the key file. Refused for the newest, and while a secret of this database needs it; call rotate_secret_key() in the server''s other databases first.';

REVOKE ALL ON FUNCTION o365_msgtrace.create_secret_key(), o365_msgtrace.rotate_secret_key(),
    o365_msgtrace.drop_secret_key(text) FROM PUBLIC;

CREATE VIEW o365_msgtrace.secret WITH (security_barrier) AS
SELECT s.name, s.owner, s.username, s.hosts, s.expires_at, s.key_fingerprint,
       ARRAY(SELECT g.grantee FROM o365_msgtrace.secret_grant g
              WHERE g.name = s.name ORDER BY g.grantee) AS granted_to,
       s.created_at, s.changed_at
  FROM o365_msgtrace.secret_store s
 WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r
                WHERE r.rolname = s.owner AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
    OR EXISTS (SELECT FROM o365_msgtrace.secret_grant g LEFT JOIN pg_catalog.pg_roles r ON r.rolname = g.grantee
                WHERE g.name = s.name AND (g.grantee = 'public' OR pg_catalog.pg_has_role(r.oid, 'USAGE')));
COMMENT ON VIEW o365_msgtrace.secret IS
'the stored secrets that the current role owns or may use, never their values';
COMMENT ON COLUMN o365_msgtrace.secret.name IS 'what a user mapping calls it';
COMMENT ON COLUMN o365_msgtrace.secret.owner IS 'the role that may change and grant it';
COMMENT ON COLUMN o365_msgtrace.secret.username IS 'whom the password is of, in basic sign-in';
COMMENT ON COLUMN o365_msgtrace.secret.hosts IS 'the hosts that it may be sent to';
COMMENT ON COLUMN o365_msgtrace.secret.expires_at IS 'from then on it is not used; NULL is never';
COMMENT ON COLUMN o365_msgtrace.secret.key_fingerprint IS 'of the key that it is sealed with';
COMMENT ON COLUMN o365_msgtrace.secret.granted_to IS 'the roles that may use it beside the owner';
COMMENT ON COLUMN o365_msgtrace.secret.created_at IS 'when it was first stored';
COMMENT ON COLUMN o365_msgtrace.secret.changed_at IS 'when it was last changed';
GRANT SELECT ON o365_msgtrace.secret TO PUBLIC;

/*
 * The way in that no log sees: the lines of a COPY are no statement. All columns
 * are text, so that no input function complains of a value by showing it.
 */
CREATE VIEW o365_msgtrace.secret_input AS
SELECT NULL::text AS name, NULL::text AS value, NULL::text AS username, NULL::text AS hosts, NULL::text AS expires_at
 WHERE false;
COMMENT ON VIEW o365_msgtrace.secret_input IS
'COPY o365_msgtrace.secret_input (name, value) FROM STDIN stores a secret, or gives one of yours a new value, without a statement that could be logged';
COMMENT ON COLUMN o365_msgtrace.secret_input.name IS 'as in create_secret()';
COMMENT ON COLUMN o365_msgtrace.secret_input.value IS 'as in create_secret()';
COMMENT ON COLUMN o365_msgtrace.secret_input.username IS 'as in create_secret()';
COMMENT ON COLUMN o365_msgtrace.secret_input.hosts IS 'parted by commas; otherwise as in create_secret()';
COMMENT ON COLUMN o365_msgtrace.secret_input.expires_at IS 'as in create_secret()';

CREATE FUNCTION o365_msgtrace._secret_input()
RETURNS trigger
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'o365_msgtrace_secret_input';
COMMENT ON FUNCTION o365_msgtrace._secret_input() IS 'internal: stores what is copied into secret_input';

CREATE TRIGGER guard BEFORE INSERT ON o365_msgtrace.secret_input
    FOR EACH STATEMENT EXECUTE FUNCTION o365_msgtrace._secret_input();
CREATE TRIGGER store INSTEAD OF INSERT ON o365_msgtrace.secret_input
    FOR EACH ROW EXECUTE FUNCTION o365_msgtrace._secret_input();
GRANT INSERT ON o365_msgtrace.secret_input TO PUBLIC;
