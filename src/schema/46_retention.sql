/*
 * What retention leaves of time: what is read, and what the ledger believes.
 */

-- The part of time that can be had and would be kept.
CREATE FUNCTION o365_msgtrace._attainable(this o365_msgtrace.input, service_time timestamptz)
RETURNS tstzrange
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o365_msgtrace._held(o365_msgtrace._api((this).source), service_time)
           * o365_msgtrace._kept((this).retention, service_time)
$$;
COMMENT ON FUNCTION o365_msgtrace._attainable(o365_msgtrace.input, timestamptz) IS 'internal: what the service holds, less what retention would drop';

/*
 * Neither want nor believe to have what retention drops. Where all that is
 * wanted is so old the ledger stays as it is: what is wanted grows from its end,
 * and without one the time since would be forgotten.
 */
CREATE FUNCTION o365_msgtrace._forget_expired(this o365_msgtrace.input, service_time timestamptz)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE o365_msgtrace.ledger l
       SET wanted = l.wanted * k.kept, covered = l.covered * k.kept, settled = l.settled * k.kept,
           absent_once = l.absent_once * k.kept, absent_twice = l.absent_twice * k.kept, flagged = l.flagged * k.kept
      FROM (SELECT tstzmultirange(o365_msgtrace._kept((this).retention, service_time)) AS kept) k
     WHERE l.input_number = (this).input_number AND (this).retention IS NOT NULL
       AND upper(l.wanted) > lower(k.kept) AND NOT k.kept @> (l.wanted + l.covered)
$$;
COMMENT ON FUNCTION o365_msgtrace._forget_expired(o365_msgtrace.input, timestamptz) IS 'internal: take what retention drops out of the ledger';
