/*
 * The window of an input that keeps what the service sent from outside of it.
 */

CREATE FUNCTION o365_msgtrace._sent_for(received timestamptz, since timestamptz, until timestamptz)
RETURNS boolean
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o365_msgtrace_sent_for';
COMMENT ON FUNCTION o365_msgtrace._sent_for(timestamptz, timestamptz, timestamptz) IS
'internal: whether received lies in the window, until excluded. As a condition of a scan of a message trace it asks the service for that window, and then takes what was sent for it, whenever it was received';
