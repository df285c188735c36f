/*-------------------------------------------------------------------------
 *
 * scanner.c
 *		Who scans a foreign table, and with which options.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/scanner.h"

#include "fdw/module.h"
#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* ------------------------------------------------- requests of one query */

/* All scans of a query draw on one allowance; it lives as long as the query. */
typedef struct QueryAllowance
{
	MsgTraceAllowance allowance;
	EState *estate;
	dlist_node node;
	MemoryContextCallback release;
} QueryAllowance;

static dlist_head queries = DLIST_STATIC_INIT(queries);

static void
forget_query(void *arg)
{
	dlist_delete(&((QueryAllowance *) arg)->node);
}

static MsgTraceAllowance *
allowance_of(EState *estate)
{
	dlist_iter iter;
	QueryAllowance *query;

	dlist_foreach(iter, &queries)
	{
		query = dlist_container(QueryAllowance, node, iter.cur);
		if (query->estate == estate)
			return &query->allowance;
	}
	query = MemoryContextAllocZero(estate->es_query_cxt, sizeof(QueryAllowance));
	query->estate = estate;
	query->allowance.limit = msgtrace_max_requests_per_query;
	query->release.func = forget_query;
	query->release.arg = query;
	dlist_push_head(&queries, &query->node);
	MemoryContextRegisterResetCallback(estate->es_query_cxt, &query->release);
	return &query->allowance;
}

/* ------------------------------------------------------------------ open */

static void
check_encoding(void)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("message traces need a database with encoding UTF8"),
				errdetail("This database has encoding %s.", GetDatabaseEncodingName()));
}

void
msgtrace_scanner_open(MsgTraceScanner *scanner, MsgTraceSettings *settings, EState *estate,
					  Oid table_id, Oid check_as)
{
	check_encoding();
	scanner->table_id = table_id;
	scanner->user_id = OidIsValid(check_as) ? check_as : GetUserId();
	msgtrace_settings_read(settings, table_id, scanner->user_id);
	scanner->server_name = GetForeignServer(settings->session.server_id)->servername;
	settings->session.allowance = allowance_of(estate);
}
