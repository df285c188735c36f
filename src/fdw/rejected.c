/*-------------------------------------------------------------------------
 *
 * rejected.c
 *		The rejected records of the last scan, for the ingest.
 *
 * They outlive the scan, so that the statement after it can write them where it
 * wrote the rows.  Shown only to the role that the scan was made as, and only if
 * it may read all of the table: who read a view of another role's, some columns,
 * or a partition through a policy must not see what these hide.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/rejected.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

static MsgTraceRejects kept;	  /* of the last scan that was complete */
static Oid kept_of = InvalidOid;  /* the table */
static Oid kept_for = InvalidOid; /* the role */

void
msgtrace_rejected_keep(const MsgTracePager *pager, Oid table_id, Oid user_id)
{
	if (!msgtrace_pager_counts(pager)->complete)
		return;
	if (kept.context == NULL)
		msgtrace_rejects_init(&kept,
							  AllocSetContextCreate(TopMemoryContext, "o365_msgtrace rejected",
													ALLOCSET_DEFAULT_SIZES));
	kept_of = table_id;
	kept_for = user_id;
	msgtrace_rejects_copy(&kept, msgtrace_pager_rejects(pager));
}

static Datum
text_or_null(const char *text, bool *is_null)
{
	*is_null = text == NULL;
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
put(ReturnSetInfo *result, const MsgTraceReject *reject)
{
	Datum values[7];
	bool nulls[7] = {false};
	bytea *digest = palloc(VARHDRSZ + MSGTRACE_DIGEST_LENGTH);

	SET_VARSIZE(digest, VARHDRSZ + MSGTRACE_DIGEST_LENGTH);
	memcpy(VARDATA(digest), reject->digest.bytes, MSGTRACE_DIGEST_LENGTH);
	values[0] = text_or_null(reject->id, &nulls[0]);
	values[1] = text_or_null(reject->recipient, &nulls[1]);
	nulls[2] = !reject->has_received;
	values[2] = TimestampTzGetDatum(reject->has_received ? reject->received : 0);
	values[3] = text_or_null(reject->field, &nulls[3]);
	values[4] = text_or_null(reject->reason, &nulls[4]);
	values[5] = text_or_null(reject->raw, &nulls[5]);
	values[6] = PointerGetDatum(digest);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* A table that is gone can be read by nobody. */
static bool
is_callers(void)
{
	bool is_missing = false;

	return kept_for == GetUserId() &&
		   pg_class_aclcheck_ext(kept_of, kept_for, ACL_SELECT, &is_missing) == ACLCHECK_OK &&
		   !is_missing;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_last_rejected);

Datum
o365_msgtrace_last_rejected(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (is_callers())
	{
		for (int i = 0; i < kept.count; i++)
			put(result, &kept.list[i]);
	}
	return (Datum) 0;
}
