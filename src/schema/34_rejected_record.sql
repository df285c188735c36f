/*
 * Records that an ingest could not read and set aside: with on_bad_row 'reject'
 * the time that they stand in counts as covered, because they are here.
 */
CREATE TABLE o365_msgtrace.rejected_record (
    input_id text NOT NULL REFERENCES o365_msgtrace.input (input_id) ON UPDATE CASCADE ON DELETE CASCADE,
    run_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    message_trace_id text,
    recipient_address text,
    received timestamptz,
    field text,
    reason text NOT NULL,
    raw text NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (input_id, digest)
);
COMMENT ON TABLE o365_msgtrace.rejected_record IS
'records that an input met and that cannot be read, each once, written in the transaction that wrote the rows around them. Rows may be deleted; what still cannot be read comes again when its time is read again. Each role sees those of its own inputs';
COMMENT ON COLUMN o365_msgtrace.rejected_record.input_id IS 'the input';
COMMENT ON COLUMN o365_msgtrace.rejected_record.run_id IS 'the run that met it first, see run_log';
COMMENT ON COLUMN o365_msgtrace.rejected_record.at IS 'when that was';
COMMENT ON COLUMN o365_msgtrace.rejected_record.message_trace_id IS 'its id as sent, where that can be read';
COMMENT ON COLUMN o365_msgtrace.rejected_record.recipient_address IS 'its recipient, where that can be read';
COMMENT ON COLUMN o365_msgtrace.rejected_record.received IS 'when it was received, where that can be read';
COMMENT ON COLUMN o365_msgtrace.rejected_record.field IS 'the service''s property or our column that is at fault; NULL if it is the record as a whole';
COMMENT ON COLUMN o365_msgtrace.rejected_record.reason IS 'what is wrong with it';
COMMENT ON COLUMN o365_msgtrace.rejected_record.raw IS 'the record as it was sent, up to 64 kB; bytes that are not UTF-8 as \xNN';
COMMENT ON COLUMN o365_msgtrace.rejected_record.digest IS 'SHA-256 of what tells it from others: its id and recipient, or else its text';

ALTER TABLE o365_msgtrace.rejected_record ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_only ON o365_msgtrace.rejected_record
    USING (EXISTS (SELECT FROM o365_msgtrace.input i
                    WHERE i.input_id OPERATOR(pg_catalog.=) rejected_record.input_id
                      AND i.owner OPERATOR(pg_catalog.=) current_user));
GRANT SELECT, INSERT, UPDATE, DELETE ON o365_msgtrace.rejected_record TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.rejected_record', '');

CREATE FUNCTION o365_msgtrace._last_rejected(
    OUT message_trace_id text, OUT recipient_address text, OUT received timestamptz, OUT field text,
    OUT reason text, OUT raw text, OUT digest bytea)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'o365_msgtrace_last_rejected';
COMMENT ON FUNCTION o365_msgtrace._last_rejected() IS
'internal: the records that the last scan of this session set aside, if it was read to its end and the current role''s';
