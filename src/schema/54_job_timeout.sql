/*
 * The timer of a run: armed once, heeded by the blocks of the run that catch
 * errors, so that what it cancels is recorded.
 */

CREATE FUNCTION o365_msgtrace._arm_job_timeout(seconds double precision)
RETURNS void
LANGUAGE C STRICT VOLATILE
AS 'MODULE_PATHNAME', 'o365_msgtrace_arm_job_timeout';
COMMENT ON FUNCTION o365_msgtrace._arm_job_timeout(double precision) IS 'internal: start the timer of a run, which ends with the CALL; 0 stops it';

CREATE FUNCTION o365_msgtrace._heed_job_timeout()
RETURNS void
LANGUAGE C STRICT VOLATILE
AS 'MODULE_PATHNAME', 'o365_msgtrace_heed_job_timeout';
COMMENT ON FUNCTION o365_msgtrace._heed_job_timeout() IS 'internal: let the timer cancel the block that this is called in';

CREATE FUNCTION o365_msgtrace._defer_job_timeout()
RETURNS void
LANGUAGE C STRICT VOLATILE
AS 'MODULE_PATHNAME', 'o365_msgtrace_defer_job_timeout';
COMMENT ON FUNCTION o365_msgtrace._defer_job_timeout() IS 'internal: end that; the timer waits for the next block';

CREATE FUNCTION o365_msgtrace._job_timed_out()
RETURNS boolean
LANGUAGE C STRICT VOLATILE
AS 'MODULE_PATHNAME', 'o365_msgtrace_job_timed_out';
COMMENT ON FUNCTION o365_msgtrace._job_timed_out() IS 'internal: whether the time of the current run is over';
