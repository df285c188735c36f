/*
 * What runs say. run_log has one row of a run and its first error; here is each
 * thing that happened, as far as the input's log_level lets it in.
 */
CREATE SEQUENCE o365_msgtrace.run_message_id_seq;

CREATE TABLE o365_msgtrace.run_message (
    message_id bigint PRIMARY KEY DEFAULT nextval('o365_msgtrace.run_message_id_seq'),
    input_id text NOT NULL REFERENCES o365_msgtrace.input (input_id) ON UPDATE CASCADE ON DELETE CASCADE,
    run_id bigint NOT NULL REFERENCES o365_msgtrace.run_record ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    level text NOT NULL,
    message text NOT NULL,
    window_start timestamptz,
    window_end timestamptz,
    sqlstate text,
    detail text,
    hint text
);
ALTER SEQUENCE o365_msgtrace.run_message_id_seq OWNED BY o365_msgtrace.run_message.message_id;
CREATE INDEX run_message_input_idx ON o365_msgtrace.run_message (input_id, message_id);
CREATE INDEX run_message_run_idx ON o365_msgtrace.run_message (run_id);

COMMENT ON TABLE o365_msgtrace.run_message IS
'what the runs of an input said, the latest 10000 messages of each; gone with the run. What is kept follows from log_level of the input. Each role sees those of its own inputs';
COMMENT ON COLUMN o365_msgtrace.run_message.message_id IS 'their order';
COMMENT ON COLUMN o365_msgtrace.run_message.input_id IS 'the input';
COMMENT ON COLUMN o365_msgtrace.run_message.run_id IS 'the run, see run_log';
COMMENT ON COLUMN o365_msgtrace.run_message.at IS 'when it was said';
COMMENT ON COLUMN o365_msgtrace.run_message.level IS 'error: a window that failed; warn: records that could not be read, rows that the service no longer shows; info: how a run began and ended, or why it did not; debug: each window';
COMMENT ON COLUMN o365_msgtrace.run_message.message IS 'what happened';
COMMENT ON COLUMN o365_msgtrace.run_message.window_start IS 'where the window began that it happened in; NULL if in none';
COMMENT ON COLUMN o365_msgtrace.run_message.window_end IS 'where that window ended';
COMMENT ON COLUMN o365_msgtrace.run_message.sqlstate IS 'of an error: its code';
COMMENT ON COLUMN o365_msgtrace.run_message.detail IS 'of an error: its detail';
COMMENT ON COLUMN o365_msgtrace.run_message.hint IS 'of an error: its hint';

ALTER TABLE o365_msgtrace.run_message ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_only ON o365_msgtrace.run_message
    USING (EXISTS (SELECT FROM o365_msgtrace.input i
                    WHERE i.input_id OPERATOR(pg_catalog.=) run_message.input_id
                      AND i.owner OPERATOR(pg_catalog.=) current_user));
SELECT o365_msgtrace._grant_but('o365_msgtrace.run_message', 'message_id');
GRANT USAGE, SELECT ON SEQUENCE o365_msgtrace.run_message_id_seq TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.run_message', '');
SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.run_message_id_seq', '');

-- Is a message of this level one that an input of that log_level keeps?
CREATE FUNCTION o365_msgtrace._is_logged(level text, log_level text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_position(l.levels, level) <= array_position(l.levels, log_level)
      FROM (SELECT ARRAY['error', 'warn', 'info', 'debug']) l (levels)
$$;
COMMENT ON FUNCTION o365_msgtrace._is_logged(text, text) IS 'internal: whether a message is kept';

-- Write a message, and one in a thousand times drop those that are too many.
CREATE FUNCTION o365_msgtrace._log_message(this o365_msgtrace.input, run_id bigint, level text, message text,
    span tstzrange DEFAULT NULL, sqlstate text DEFAULT NULL, detail text DEFAULT NULL, hint text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message_id bigint;
BEGIN
    IF NOT o365_msgtrace._is_logged(level, this.log_level) THEN
        RETURN;
    END IF;
    INSERT INTO o365_msgtrace.run_message AS m
           (input_id, run_id, level, message, window_start, window_end, sqlstate, detail, hint)
    VALUES (this.input_id, _log_message.run_id, level, message, lower(span), upper(span), _log_message.sqlstate,
            nullif(_log_message.detail, ''), nullif(_log_message.hint, ''))
    RETURNING m.message_id INTO message_id;
    IF message_id % 1000 = 0 THEN
        PERFORM o365_msgtrace._trim_messages(this);
    END IF;
END
$$;
COMMENT ON FUNCTION o365_msgtrace._log_message(o365_msgtrace.input, bigint, text, text, tstzrange, text, text, text) IS 'internal: keep a message, if its level is one to keep';

CREATE FUNCTION o365_msgtrace._trim_messages(this o365_msgtrace.input)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM o365_msgtrace.run_message m
     WHERE m.input_id = (this).input_id
       AND m.message_id <= (SELECT o.message_id FROM o365_msgtrace.run_message o WHERE o.input_id = (this).input_id
                             ORDER BY o.message_id DESC OFFSET 10000 LIMIT 1)
$$;
COMMENT ON FUNCTION o365_msgtrace._trim_messages(o365_msgtrace.input) IS 'internal: keep the latest 10000 messages of an input';
