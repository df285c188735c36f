/*
 * Erasing a person: rows of an address go from everything that the inputs of a
 * role have written, and its runs leave them out from then on.
 *
 * An erasure waits for the transactions of runs that are at work and keeps the
 * next ones from beginning (see _share_erasures), so it has to be read what they
 * have committed since: each statement here must see more than the one before,
 * which only READ COMMITTED gives.
 */

-- What the inputs of the current role write to, each table once, with an input that does; relation is NULL if it is not there.
CREATE FUNCTION o365_msgtrace._tables_of_role()
RETURNS TABLE (kind text, name text, relation regclass, this o365_msgtrace.input)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT ON (k.kind, k.name) k.kind, k.name, to_regclass(k.name), i
      FROM o365_msgtrace.input i, LATERAL (VALUES ('target', i.target), ('details', i.detail_target)) k (kind, name)
     WHERE i.owner = current_user AND k.name IS NOT NULL
     ORDER BY k.kind, k.name, i.input_number
$$;
COMMENT ON FUNCTION o365_msgtrace._tables_of_role() IS 'internal: the targets and detail_targets of the current role''s inputs';

/*
 * The condition that a row "t" of such a table is somebody's: $1 is the address
 * in its normal form, $2 are messages that it has sent. Details do not say who
 * the sender is.
 */
CREATE FUNCTION o365_msgtrace._is_of_person(relation regclass, kind text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('(%s%s)',
        string_agg(format('pg_catalog.lower(pg_catalog.btrim(t.%I::text, E'' \t\r\n'') COLLATE "C") OPERATOR(pg_catalog.=) $1', a.attname), ' OR '),
        CASE kind WHEN 'details' THEN ' OR t.message_trace_id::uuid OPERATOR(pg_catalog.=) ANY ($2)' END)
      FROM pg_attribute a
     WHERE a.attrelid = relation AND a.attname IN ('sender_address', 'recipient_address') AND a.attnum > 0 AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION o365_msgtrace._is_of_person(regclass, text) IS 'internal: the condition that an address is the sender''s or the recipient''s';

-- Asked before their rows are deleted.
CREATE FUNCTION o365_msgtrace._messages_sent_by(person text)
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part record;
    messages uuid[] := '{}';
    more uuid[];
BEGIN
    FOR part IN
        SELECT t.relation FROM o365_msgtrace._tables_of_role() t
          JOIN pg_attribute a ON a.attrelid = t.relation AND a.attname = 'sender_address' AND NOT a.attisdropped
         WHERE t.kind = 'target'
    LOOP
        EXECUTE format('SELECT array_agg(DISTINCT t.message_trace_id::uuid) FROM %s AS t WHERE lower(btrim(t.sender_address::text, E'' \t\r\n'') COLLATE "C") = $1',
                       o365_msgtrace._full_name(part.relation))
           INTO more USING person;
        messages := messages || more;
    END LOOP;
    RETURN messages;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._messages_sent_by(text) IS 'internal: the messages of a sender, as far as targets have them';

-- Can the current role erase anything at all, in this transaction?
CREATE FUNCTION o365_msgtrace._check_eraser()
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Row security shows those of others to a superuser only.
    others text := (SELECT string_agg(DISTINCT format('"%s"', i.owner), ', ') FROM o365_msgtrace.input i WHERE i.owner <> current_user);
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'cannot erase in a transaction whose isolation level is %', current_setting('transaction_isolation')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = 'It would not see rows that runs commit while it waits for them.',
                HINT = 'Use READ COMMITTED.';
    END IF;
    IF NOT EXISTS (SELECT FROM o365_msgtrace.input i WHERE i.owner = current_user) THEN
        RAISE EXCEPTION 'role "%" has no input', current_user
            USING ERRCODE = 'undefined_object',
                DETAIL = CASE WHEN others IS NULL THEN 'A role erases from what its own inputs have written.'
                         ELSE format('A role erases from what its own inputs have written, and the inputs here belong to %s.', others) END,
                HINT = 'Connect as the owner of the inputs. Not by SET ROLE: triggers of his tables could RESET ROLE.';
    END IF;
    IF others IS NOT NULL THEN
        RAISE NOTICE 'inputs of other roles are left alone'
            USING DETAIL = format('They belong to %s.', others),
                HINT = 'Connect as each of them, and erase once more. Not by SET ROLE: triggers of their tables could RESET ROLE.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_eraser() IS 'internal: an error if the current role can erase nothing';

-- Before the first row is deleted: may the role delete from all of its tables, and see all of their rows?
CREATE FUNCTION o365_msgtrace._check_erasable()
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part record;
    denied text[] := '{}';
BEGIN
    FOR part IN SELECT t.kind, t.name, t.relation, (t.this).input_id FROM o365_msgtrace._tables_of_role() t LOOP
        IF part.relation IS NULL THEN
            RAISE WARNING '% of input "%" does not exist', part.name, part.input_id
                USING DETAIL = 'It was dropped or renamed: what it holds under another name is not erased.';
        ELSIF NOT has_table_privilege(part.relation, 'SELECT') OR NOT has_table_privilege(part.relation, 'DELETE') THEN
            denied := denied || part.name;
        ELSIF row_security_active(part.relation) THEN
            RAISE WARNING 'row security may hide rows of %', part.name
                USING DETAIL = format('What role "%s" does not see is not erased.', current_user);
        END IF;
    END LOOP;
    IF denied <> '{}' THEN
        RAISE EXCEPTION 'permission denied to delete from %', array_to_string(denied, ', ')
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Role "%s" needs SELECT and DELETE. Nothing has been erased.', current_user),
                HINT = (SELECT string_agg(format('GRANT SELECT, DELETE ON %s TO %I;', d.name, current_user), ' ') FROM unnest(denied) d (name));
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._check_erasable() IS 'internal: an error unless rows of all tables can be deleted';

-- In the transaction that deletes: runs have to know of it no earlier and no later.
CREATE FUNCTION o365_msgtrace._note_erasure(person text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO o365_msgtrace.erasure_salt (owner) VALUES (current_user) ON CONFLICT DO NOTHING;
    INSERT INTO o365_msgtrace.erased_address (owner, digest)
    VALUES (current_user, o365_msgtrace._address_digest(current_user, person))
        ON CONFLICT (owner, digest) DO UPDATE SET erased_at = EXCLUDED.erased_at;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._note_erasure(text) IS 'internal: have runs leave out an address';

/*
 * Several roles can share a target. Rows that others wrote are as much of this
 * person, but nothing keeps the others' runs from writing them again.
 */
CREATE FUNCTION o365_msgtrace._say_foreign_rows(relation regclass, person text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    foreign_ids text;
BEGIN
    EXECUTE format('SELECT string_agg(DISTINCT format(''"%%s"'', t.input_id), '', '') FROM %s AS t WHERE %s AND t.input_id <> ALL ($2)',
                   o365_msgtrace._full_name(relation), o365_msgtrace._is_of_person(relation, 'target'))
       INTO foreign_ids
      USING person, ARRAY(SELECT i.input_id FROM o365_msgtrace.input i WHERE i.owner = current_user);
    IF foreign_ids IS NOT NULL THEN
        RAISE WARNING '% has rows of this address that were written by inputs which are not of role "%"', relation, current_user
            USING DETAIL = format('They were written by %s, and go too; runs of these inputs may bring them back.', foreign_ids),
                HINT = 'The owners of these inputs have to erase the address, too.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._say_foreign_rows(regclass, text) IS 'internal: tell of rows that others may write again';

-- Triggers of the target find the owner's search_path, as in a run.
CREATE FUNCTION o365_msgtrace._erase_rows(this o365_msgtrace.input, kind text, relation regclass, person text, messages uuid[], dry_run boolean)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := o365_msgtrace._full_name(relation);
    condition text := o365_msgtrace._is_of_person(relation, kind);
    count bigint;
BEGIN
    PERFORM o365_msgtrace._use_path_of(this);
    IF dry_run THEN
        EXECUTE format('SELECT pg_catalog.count(*) FROM %s AS t WHERE %s', name, condition) INTO count USING person, messages;
    ELSE
        EXECUTE format('DELETE FROM %s AS t WHERE %s', name, condition) USING person, messages;
        GET DIAGNOSTICS count = ROW_COUNT;
    END IF;
    RETURN count;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._erase_rows(o365_msgtrace.input, text, regclass, text, uuid[], boolean) IS 'internal: delete rows of a person from a table, or count them';

-- Does a text mention this address, be it in JSON, broken or not?
CREATE FUNCTION o365_msgtrace._mentions(given text, person text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(position(person IN lower(o365_msgtrace._without_escapes(given) COLLATE "C")) > 0, false) $$;
COMMENT ON FUNCTION o365_msgtrace._mentions(text, text) IS 'internal: whether a text mentions an address';

CREATE FUNCTION o365_msgtrace._erase_rejected(person text, dry_run boolean)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    doomed bytea[];
BEGIN
    doomed := ARRAY(
        SELECT r.digest FROM o365_msgtrace.rejected_record r JOIN o365_msgtrace.input i USING (input_id)
         WHERE i.owner = current_user
           AND (o365_msgtrace._normal_address(r.recipient_address) = person
                OR o365_msgtrace._mentions(r.raw, person) OR o365_msgtrace._mentions(r.reason, person)));
    IF NOT dry_run THEN
        DELETE FROM o365_msgtrace.rejected_record r
         USING o365_msgtrace.input i
         WHERE i.input_id = r.input_id AND i.owner = current_user AND r.digest = ANY (doomed);
    END IF;
    RETURN cardinality(doomed);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._erase_rejected(text, boolean) IS 'internal: delete rejected records of a person, or count them';

CREATE FUNCTION o365_msgtrace._erase_detail_records(person text, messages uuid[], dry_run boolean)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    count bigint;
BEGIN
    SELECT count(*) INTO count
      FROM o365_msgtrace.detail_record r JOIN o365_msgtrace.input i USING (input_id)
     WHERE i.owner = current_user
       AND (o365_msgtrace._normal_address(r.recipient_address) = person OR r.message_trace_id = ANY (messages));
    IF NOT dry_run THEN
        DELETE FROM o365_msgtrace.detail_record r
         USING o365_msgtrace.input i
         WHERE i.input_id = r.input_id AND i.owner = current_user
           AND (o365_msgtrace._normal_address(r.recipient_address) = person OR r.message_trace_id = ANY (messages));
    END IF;
    RETURN count;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._erase_detail_records(text, uuid[], boolean) IS 'internal: delete what is recorded of the details of a person, or count it';

-- What runs said, such as which record could not be read: the record of a run stays, less what names the person.
CREATE FUNCTION o365_msgtrace._erase_messages(person text, dry_run boolean)
RETURNS TABLE (table_name text, kind text, rows bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    messages bigint[] := ARRAY(
        SELECT m.message_id FROM o365_msgtrace.run_message m JOIN o365_msgtrace.input i USING (input_id)
         WHERE i.owner = current_user AND o365_msgtrace._mentions(concat_ws(' ', m.message, m.detail, m.hint), person));
    runs bigint[] := ARRAY(
        SELECT r.run_id FROM o365_msgtrace.run_record r JOIN o365_msgtrace.input i USING (input_number)
         WHERE i.owner = current_user AND o365_msgtrace._mentions(concat_ws(' ', r.message, r.detail, r.hint), person));
BEGIN
    IF NOT dry_run THEN
        DELETE FROM o365_msgtrace.run_message m WHERE m.message_id = ANY (messages);
        UPDATE o365_msgtrace.run_record r SET message = '(erased)', detail = NULL, hint = NULL WHERE r.run_id = ANY (runs);
    END IF;
    RETURN QUERY VALUES ('o365_msgtrace.run_message', 'messages', cardinality(messages)::bigint),
                        ('o365_msgtrace.run_log', 'messages', cardinality(runs)::bigint);
END
$$;
COMMENT ON FUNCTION o365_msgtrace._erase_messages(text, boolean) IS 'internal: delete messages that mention a person, or count them';

CREATE FUNCTION o365_msgtrace._address_to_erase(address text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    person text := o365_msgtrace._normal_address(address);
BEGIN
    IF person IS NULL OR person = '' THEN
        RAISE EXCEPTION 'address must not be %', CASE WHEN person IS NULL THEN 'NULL' ELSE 'empty' END
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = 'It is the whole address of one person, as senders and recipients have it.',
                HINT = 'Example: SELECT * FROM o365_msgtrace.erase(''ada@contoso.com'');';
    END IF;
    RETURN person;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._address_to_erase(text) IS 'internal: an address in its normal form, an error if there is none';

CREATE FUNCTION o365_msgtrace.erase(address text, dry_run boolean DEFAULT false)
RETURNS TABLE (table_name text, kind text, rows bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    person text := o365_msgtrace._address_to_erase(erase.address);
    is_dry boolean := coalesce(dry_run, true);
    messages uuid[];
    part record;
BEGIN
    PERFORM o365_msgtrace._check_eraser();
    IF NOT is_dry THEN
        PERFORM o365_msgtrace._lock_erasures();
        PERFORM o365_msgtrace._note_erasure(person);
    END IF;
    -- Not before the lock is ours: until then inputs and their rows may change.
    PERFORM o365_msgtrace._check_erasable();
    messages := o365_msgtrace._messages_sent_by(person);
    FOR part IN SELECT t.* FROM o365_msgtrace._tables_of_role() t WHERE t.relation IS NOT NULL LOOP
        IF part.kind = 'target' THEN
            PERFORM o365_msgtrace._say_foreign_rows(part.relation, person);
        END IF;
        RETURN QUERY SELECT part.name::text, part.kind::text,
            o365_msgtrace._erase_rows(part.this, part.kind, part.relation, person, messages, is_dry);
    END LOOP;
    RETURN QUERY SELECT 'o365_msgtrace.detail_record', 'details', o365_msgtrace._erase_detail_records(person, messages, is_dry);
    RETURN QUERY SELECT 'o365_msgtrace.rejected_record', 'rejected records', o365_msgtrace._erase_rejected(person, is_dry);
    RETURN QUERY SELECT * FROM o365_msgtrace._erase_messages(person, is_dry);
END
$$;
COMMENT ON FUNCTION o365_msgtrace.erase(text, boolean) IS
'delete the rows of a person, and keep runs from copying them again: the rows that have the address as sender_address or recipient_address (ASCII letters in either case) in the targets of the current role''s inputs, by whatever input they were written; details of these deliveries; rejected records and messages of runs that mention it. Other recipients'' rows of a message stay, but all rows of a message go with its sender. Returns a row for each table: its name, what it holds (target, details, rejected records, messages) and how many rows were deleted, or with dry_run => true (default false) would be. All of it is one transaction, which waits for the windows that runs of the role are reading and holds the next ones up until it commits. It holds for every input of the role, later ones too, until forget_erasure(). Only in READ COMMITTED. Errors: 22023 no address, 42704 the role has no input, 42501 no SELECT or DELETE on a target or detail_target (nothing is deleted then), 55000 another isolation level';

CREATE FUNCTION o365_msgtrace.forget_erasure(address text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    person text := o365_msgtrace._address_to_erase(forget_erasure.address);
BEGIN
    DELETE FROM o365_msgtrace.erased_address e
     WHERE e.owner = current_user AND e.digest = o365_msgtrace._address_digest(current_user, person);
    IF NOT FOUND THEN
        -- The address is not repeated: errors are logged.
        RAISE EXCEPTION 'this address is not erased'
            USING ERRCODE = 'undefined_object',
                DETAIL = format('Role "%s" has not erased it, or has forgotten that already.', current_user),
                HINT = 'Each role has erasures of its own; which addresses they are cannot be shown.';
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace.forget_erasure(text) IS
'let runs of the current role copy mail of an address again that it has erased. Time that was read before is not read again for it, see reset_coverage(). Errors: 22023 no address, 42704 the role has not erased it';
