/*
 * The deliveries whose details an input copies: those still to be read, and what
 * became of the others. Entered with the rows of a window, in its transaction,
 * so that no row of the target that wants details is without an entry here.
 */
CREATE TABLE o365_msgtrace.detail_record (
    input_id text NOT NULL REFERENCES o365_msgtrace.input (input_id) ON UPDATE CASCADE ON DELETE CASCADE,
    message_trace_id uuid NOT NULL,
    recipient_address text NOT NULL,
    received timestamptz NOT NULL,
    row_updated_at timestamptz NOT NULL,
    row_status text,
    due boolean NOT NULL DEFAULT true,
    final boolean NOT NULL DEFAULT false,
    read_at timestamptz,
    run_id bigint,
    events integer,
    failures integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    sqlstate text,
    message text,
    PRIMARY KEY (input_id, message_trace_id, recipient_address)
);
CREATE INDEX detail_record_due_idx ON o365_msgtrace.detail_record (input_id, received) WHERE due;
CREATE INDEX detail_record_received_idx ON o365_msgtrace.detail_record (input_id, received);
CREATE INDEX detail_record_read_at_idx ON o365_msgtrace.detail_record (input_id, read_at);

COMMENT ON TABLE o365_msgtrace.detail_record IS
'the deliveries whose details an input with a detail_filter has read, or is to read; reset_details() has them read again. Each role sees those of its own inputs';
COMMENT ON COLUMN o365_msgtrace.detail_record.input_id IS 'the input';
COMMENT ON COLUMN o365_msgtrace.detail_record.message_trace_id IS 'the message of the delivery';
COMMENT ON COLUMN o365_msgtrace.detail_record.recipient_address IS 'its recipient';
COMMENT ON COLUMN o365_msgtrace.detail_record.received IS 'when the message was received';
COMMENT ON COLUMN o365_msgtrace.detail_record.row_updated_at IS 'updated_at of its row in the target: of the state that details were read for, or are to be read for';
COMMENT ON COLUMN o365_msgtrace.detail_record.row_status IS 'the status of that row when details were read; NULL before, and where the target has no column status';
COMMENT ON COLUMN o365_msgtrace.detail_record.due IS 'whether details are to be read: they never were, the row was written anew since, or its time has been settled since';
COMMENT ON COLUMN o365_msgtrace.detail_record.final IS 'whether details were read when the message was older than settle_after, so that they are read again only if its row changes';
COMMENT ON COLUMN o365_msgtrace.detail_record.read_at IS 'when details were read last; NULL = never';
COMMENT ON COLUMN o365_msgtrace.detail_record.run_id IS 'the run that did so, see run_log';
COMMENT ON COLUMN o365_msgtrace.detail_record.events IS 'how many events there are in detail_target; NULL = never read';
COMMENT ON COLUMN o365_msgtrace.detail_record.failures IS 'how many times in a row it failed for a reason of its own';
COMMENT ON COLUMN o365_msgtrace.detail_record.next_try_at IS 'not before then it is tried again after a failure';
COMMENT ON COLUMN o365_msgtrace.detail_record.sqlstate IS 'code of the last error, NULL after a success';
COMMENT ON COLUMN o365_msgtrace.detail_record.message IS 'its message; or why details are not read';

ALTER TABLE o365_msgtrace.detail_record ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_only ON o365_msgtrace.detail_record
    USING (EXISTS (SELECT FROM o365_msgtrace.input i
                    WHERE i.input_id OPERATOR(pg_catalog.=) detail_record.input_id
                      AND i.owner OPERATOR(pg_catalog.=) current_user));
GRANT SELECT, INSERT, UPDATE, DELETE ON o365_msgtrace.detail_record TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('o365_msgtrace.detail_record', '');
