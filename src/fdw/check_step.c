/*-------------------------------------------------------------------------
 *
 * check_step.c
 *		A step of check(): how it begins, and how its outcome becomes a row.
 *
 * A step that fails is a row, not an error: the status that a scan would raise
 * is put into words.  Errors that remain (a secret that cannot be read, a cancel)
 * are the caller's, which is a PL/pgSQL function with a block for each step.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/check_step.h"

#include "catalog/pg_foreign_server.h"
#include "fdw/error.h"
#include "fdw/import.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "net/compat.h"
#include "utils/acl.h"
#include "utils/builtins.h"

/* Requests to the service that a check may cost. */
#define MAX_REQUESTS 2

/* --------------------------------------------------------------- outcomes */

void
msgtrace_check_put(MsgTraceCheck *check, const char *step, MsgTraceVerdict verdict,
				   const char *detail, const char *hint)
{
	Datum values[4] = {0};
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(step);
	values[1] = BoolGetDatum(verdict == MSGTRACE_WELL);
	nulls[1] = verdict == MSGTRACE_NOT_ASKED;
	nulls[2] = detail == NULL;
	if (detail)
		values[2] = CStringGetTextDatum(detail);
	nulls[3] = hint == NULL;
	if (hint)
		values[3] = CStringGetTextDatum(hint);
	tuplestore_putvalues(check->result->setResult, check->result->setDesc, values, nulls);
}

void
msgtrace_check_put_failure(MsgTraceCheck *check, const char *step)
{
	MsgTracePagerCounts counts = {0};
	MsgTraceErrorText text;

	msgtrace_error_describe(&text, &check->status, &counts);
	msgtrace_check_put(check, step, MSGTRACE_NOT_WELL,
					   *text.detail ? psprintf("%s: %s", text.message, text.detail) : text.message,
					   text.hint);
}

void
msgtrace_check_put_not_asked(MsgTraceCheck *check, const char *const *steps, const char *because)
{
	for (; *steps; steps++)
		msgtrace_check_put(check, *steps, MSGTRACE_NOT_ASKED, because, NULL);
}

/* -------------------------------------------------------------- beginning */

void
msgtrace_check_wrapper(Oid server_id)
{
	if (GetFdwRoutineByServerId(server_id)->ImportForeignSchema != msgtrace_import_schema)
		ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("server \"%s\" is no server of o365_msgtrace",
					   GetForeignServer(server_id)->servername));
}

static void
check_server(Oid server_id)
{
	msgtrace_check_wrapper(server_id);
	if (msgtrace_server_aclcheck(server_id, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER,
					   GetForeignServer(server_id)->servername);
}

MsgTraceCheck *
msgtrace_check_begin(FunctionCallInfo fcinfo, Oid user_id)
{
	MsgTraceCheck *check = palloc0(sizeof(MsgTraceCheck));
	Oid server_id = PG_GETARG_OID(0);

	check_server(server_id);
	InitMaterializedSRF(fcinfo, 0);
	check->result = (ReturnSetInfo *) fcinfo->resultinfo;
	check->context = CurrentMemoryContext;
	msgtrace_status_init(&check->status, check->context);
	msgtrace_settings_read_server(&check->settings, server_id, user_id);
	check->settings.session.retry.type = MSGTRACE_RETRY_DISABLED;
	check->settings.session.allowance = &check->allowance;
	check->allowance.limit = MAX_REQUESTS;
	return check;
}
