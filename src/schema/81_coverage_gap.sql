/*
 * The gaps of inputs, one by one, and until when each can be filled.
 */

-- Until when the service can be asked for what was received then, and retention would keep it, by its clock.
CREATE FUNCTION o365_msgtrace._attainable_until(this o365_msgtrace.input, received timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT least(o365_msgtrace._held_until(o365_msgtrace._api((this).source), received),
                 o365_msgtrace._earlier(received, - (this).retention))
$$;
COMMENT ON FUNCTION o365_msgtrace._attainable_until(o365_msgtrace.input, timestamptz) IS 'internal: how long a message can be read and kept';

CREATE VIEW o365_msgtrace.coverage_gap WITH (security_invoker = true) AS
SELECT i.input_id, g.gap, e.expires_at,
       round((extract(epoch FROM e.expires_at - t.now) / 86400)::numeric, 1) AS days_left
  FROM o365_msgtrace.input i
  JOIN o365_msgtrace.ledger l USING (input_number),
       LATERAL (SELECT clock_timestamp() AS now) t,
       LATERAL unnest((l.wanted - l.covered) * tstzmultirange(o365_msgtrace._attainable(i, t.now + l.clock_offset))) g (gap),
       LATERAL (SELECT o365_msgtrace._attainable_until(i, lower(g.gap)) - l.clock_offset AS expires_at) e;

COMMENT ON VIEW o365_msgtrace.coverage_gap IS
'the gaps of each input: time that is wanted, was not read completely yet, and can still be had; one row for each. The next runs read them, nearest to expiry first. What can no longer be had is in coverage.expired';
COMMENT ON COLUMN o365_msgtrace.coverage_gap.input_id IS 'the input';
COMMENT ON COLUMN o365_msgtrace.coverage_gap.gap IS 'the time that is missing, by received';
COMMENT ON COLUMN o365_msgtrace.coverage_gap.expires_at IS 'when its oldest part can no longer be had, by the clock of this server: the service lets go of it, or retention would drop it';
COMMENT ON COLUMN o365_msgtrace.coverage_gap.days_left IS 'the days until then';
GRANT SELECT ON o365_msgtrace.coverage_gap TO PUBLIC;
