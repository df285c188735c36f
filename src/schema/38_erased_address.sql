/*
 * Whose mail an owner's inputs may not copy any more, see erase(): of each
 * address a digest only, or else the list would be what it is there to prevent.
 *
 * A digest of an address alone could be guessed by trying addresses, so each is
 * salted. The salt is one for all addresses of an owner, because a run has to
 * take the digest of each row's addresses, and could not do that for every row
 * with every salt.
 */
CREATE TABLE o365_msgtrace.erasure_salt (
    owner name PRIMARY KEY DEFAULT current_user,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
);
COMMENT ON TABLE o365_msgtrace.erasure_salt IS
'what goes into the digests of erased_address besides the address; made by the first erase() of a role, and not to be changed. Each role sees its own';
COMMENT ON COLUMN o365_msgtrace.erasure_salt.owner IS 'the role whose digests it is for';
COMMENT ON COLUMN o365_msgtrace.erasure_salt.salt IS 'random bytes';

-- The reference keeps a salt from being lost as long as there are digests that need it.
CREATE TABLE o365_msgtrace.erased_address (
    owner name NOT NULL DEFAULT current_user REFERENCES o365_msgtrace.erasure_salt ON UPDATE CASCADE,
    digest bytea NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (owner, digest)
);
COMMENT ON TABLE o365_msgtrace.erased_address IS
'addresses whose mail the inputs of their owner leave out, written by erase() and forget_erasure(). Each role sees its own';
COMMENT ON COLUMN o365_msgtrace.erased_address.owner IS 'the role that erased it; it holds for all of its inputs, later ones included';
COMMENT ON COLUMN o365_msgtrace.erased_address.digest IS 'SHA-256 of the owner''s salt and the address in lower case (ASCII)';
COMMENT ON COLUMN o365_msgtrace.erased_address.erased_at IS 'when it was erased last';

ALTER TABLE o365_msgtrace.erasure_salt ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_only ON o365_msgtrace.erasure_salt
    USING (owner OPERATOR(pg_catalog.=) current_user);
ALTER TABLE o365_msgtrace.erased_address ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_only ON o365_msgtrace.erased_address
    USING (owner OPERATOR(pg_catalog.=) current_user);
GRANT SELECT, INSERT, UPDATE, DELETE ON o365_msgtrace.erasure_salt, o365_msgtrace.erased_address TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.erasure_salt', '');
SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.erased_address', '');

-- The second half of the key of these locks is the owner's oid. Not the class of the locks of runs, see _lock_class().
CREATE FUNCTION o365_msgtrace._erasure_lock_class()
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT 1865627190';
COMMENT ON FUNCTION o365_msgtrace._erasure_lock_class() IS
'internal: classid of the advisory locks that keep erase() and transactions of runs apart, as pg_locks shows it; objid is the oid of the role';

/*
 * Every transaction of a run shares this lock from before it looks whether
 * anything was erased until its rows are committed. erase() has it alone. So
 * each transaction is over before an erasure, which then finds its rows, or
 * begins after the erasure's commit, and then knows of it: those of inputs too
 * that did not exist when the erasure began. So does whoever makes or changes an
 * input, which may have it find rows that are in a table already.
 */
CREATE FUNCTION o365_msgtrace._share_erasures()
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_advisory_xact_lock_shared(o365_msgtrace._erasure_lock_class(), r.oid::integer)
      FROM pg_roles r WHERE r.rolname = current_user
$$;
COMMENT ON FUNCTION o365_msgtrace._share_erasures() IS 'internal: keep erase() waiting until the end of the transaction';

CREATE FUNCTION o365_msgtrace._lock_erasures()
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_advisory_xact_lock(o365_msgtrace._erasure_lock_class(), r.oid::integer)
      FROM pg_roles r WHERE r.rolname = current_user
$$;
COMMENT ON FUNCTION o365_msgtrace._lock_erasures() IS 'internal: wait for the transactions of the current role''s runs, and keep others from beginning';

-- An address as it is compared: the ingest's normal form, whatever the server's option "normalize" is.
CREATE FUNCTION o365_msgtrace._normal_address(address text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT lower(btrim(address, E' \t\r\n') COLLATE "C") COLLATE "default" $$;
COMMENT ON FUNCTION o365_msgtrace._normal_address(text) IS 'internal: an address with its ASCII letters in lower case';

-- NULL if the owner has erased nothing yet.
CREATE FUNCTION o365_msgtrace._address_digest(owner name, address text)
RETURNS bytea
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(s.salt || convert_to(o365_msgtrace._normal_address(address), 'UTF8'))
      FROM o365_msgtrace.erasure_salt s WHERE s.owner = _address_digest.owner
$$;
COMMENT ON FUNCTION o365_msgtrace._address_digest(name, text) IS 'internal: what erased_address keeps of an address';

CREATE FUNCTION o365_msgtrace._has_erasures(owner name)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT EXISTS (SELECT FROM o365_msgtrace.erased_address e WHERE e.owner = _has_erasures.owner) $$;
COMMENT ON FUNCTION o365_msgtrace._has_erasures(name) IS 'internal: whether anything was erased by this role';

/*
 * The condition that a row is of nobody whose mail was erased, for the statement
 * of an ingest; `addresses` are the expressions that are written as its sender
 * and recipient. The digests are a subquery, which is hashed once: as a join the
 * planner could begin with them, and not read the service at all.
 */
CREATE FUNCTION o365_msgtrace._not_erased(addresses text[])
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format(
        'NOT COALESCE(pg_catalog.sha256((SELECT z.salt FROM o365_msgtrace.erasure_salt AS z WHERE z.owner OPERATOR(pg_catalog.=) current_user) '
        'OPERATOR(pg_catalog.||) pg_catalog.convert_to(pg_catalog.lower(pg_catalog.btrim((%s)::text, E'' \t\r\n'') COLLATE "C"), ''UTF8'')), ''\x'') '
        'OPERATOR(pg_catalog.=) ANY (SELECT e.digest FROM o365_msgtrace.erased_address AS e WHERE e.owner OPERATOR(pg_catalog.=) current_user)',
        a.address), ' AND ')
      FROM unnest(addresses) a (address)
$$;
COMMENT ON FUNCTION o365_msgtrace._not_erased(text[]) IS 'internal: the condition that leaves out erased addresses';

-- Text with JSON's escapes undone; what stands for no character is a space.
CREATE FUNCTION o365_msgtrace._without_escapes(raw text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(CASE WHEN m.match[1] IS NULL THEN m.match[2]
                      WHEN c.code = 0 OR c.code BETWEEN 55296 AND 57343 THEN ' '
                      ELSE chr(c.code) END, '' ORDER BY m.place)
      FROM regexp_matches(raw, '\\u([0-9A-Fa-f]{4})|(\\[^u]|[^\\]+|\\)', 'g') WITH ORDINALITY m (match, place),
           LATERAL (SELECT ('x' || m.match[1])::bit(16)::integer AS code) c
$$;
COMMENT ON FUNCTION o365_msgtrace._without_escapes(text) IS 'internal: the characters of JSON text';

/*
 * What could be an address in a record that cannot be read: it may be no JSON
 * at all, so its escapes are undone and everything with an @ is taken, up to
 * what cannot be in an address unless it is quoted.
 */
CREATE FUNCTION o365_msgtrace._addresses_in(raw text)
RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT o365_msgtrace._normal_address(btrim(m.match[1], '''.'))
      FROM regexp_matches(o365_msgtrace._without_escapes(raw), '[^\s"<>(),;:\\[\]{}|=]+@[^\s"<>(),;:\\[\]{}|=]+', 'g') m (match)
$$;
COMMENT ON FUNCTION o365_msgtrace._addresses_in(text) IS 'internal: addresses that a rejected record mentions';

-- Is a record that could not be read one of somebody whose mail was erased?
CREATE FUNCTION o365_msgtrace._is_erased_record(owner name, recipient_address text, raw text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o365_msgtrace._has_erasures(owner)
       AND EXISTS (SELECT FROM (SELECT recipient_address UNION SELECT o365_msgtrace._addresses_in(raw)) a (address)
                     JOIN o365_msgtrace.erased_address e ON e.digest = o365_msgtrace._address_digest(_is_erased_record.owner, a.address)
                    WHERE e.owner = _is_erased_record.owner)
$$;
COMMENT ON FUNCTION o365_msgtrace._is_erased_record(name, text, text) IS 'internal: whether a rejected record is to be left out';
