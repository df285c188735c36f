/*-------------------------------------------------------------------------
 *
 * server_stats.c
 *		What the views quota and server_stats show.
 *
 * The figures are in shared memory and know nothing of roles and catalogs: who may
 * see them, and which servers still exist, is decided here.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/server_stats.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "net/budget.h"
#include "net/compat.h"
#include "net/counters.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

static bool
reads_all_stats(void)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

static bool
exists(Oid server_id)
{
	return GetForeignServerExtended(server_id, FSV_MISSING_OK) != NULL;
}

static Datum
interval_of(int64 microseconds)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

/* ----------------------------------------------------------------- quota */

/* Has a server used it that the role may use, or owns? */
static bool
may_see_quota(const MsgTraceQuota *quota)
{
	for (int i = 0; i < quota->user_count; i++)
	{
		Oid server = quota->users[i].server;

		if (quota->users[i].database == MyDatabaseId && exists(server) &&
			(msgtrace_may_use_server(server, GetUserId()) ||
			 msgtrace_owns_server(server, GetUserId())))
			return true;
	}
	return false;
}

static bool
is_used_by(const MsgTraceQuota *quota, Oid server_id)
{
	for (int i = 0; i < quota->user_count; i++)
	{
		if (quota->users[i].database == MyDatabaseId && quota->users[i].server == server_id)
			return true;
	}
	return false;
}

static void
put_quota(ReturnSetInfo *result, const MsgTraceQuota *quota)
{
	TimestampTz now = GetCurrentTimestamp();
	Datum values[13];
	bool nulls[13] = {false};

	values[0] = CStringGetTextDatum(quota->tenant);
	values[1] = CStringGetTextDatum(quota->api);
	values[2] = Int32GetDatum(quota->requests);
	values[3] = interval_of(quota->window * INT64CONST(1000));
	values[4] = Int32GetDatum(quota->used);
	values[5] = Int32GetDatum(quota->in_flight);
	values[6] = Int32GetDatum(Max(quota->requests - quota->used, 0));
	values[7] = Int32GetDatum(quota->interactive + quota->batch);
	values[8] = Int32GetDatum(quota->batch);
	nulls[9] = quota->next_slot < 0;
	values[9] = TimestampTzGetDatum(now + quota->next_slot);
	nulls[10] = quota->paused == 0;
	values[10] = TimestampTzGetDatum(now + quota->paused);
	values[11] = Int32GetDatum(quota->throttlings);
	values[12] = CStringGetTextDatum(msgtrace_sharing_name(quota->sharing));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_quota);

Datum
o365_msgtrace_quota(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MsgTraceQuota *quotas = palloc(msgtrace_budget_max() * sizeof(MsgTraceQuota));
	int count = msgtrace_budget_list(quotas);
	bool sees_all = reads_all_stats();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		if (sees_all || may_see_quota(&quotas[i]))
			put_quota(result, &quotas[i]);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_quota_of);

/* The budgets that a foreign table's server has used: who may read the table draws on them. */
Datum
o365_msgtrace_quota_of(PG_FUNCTION_ARGS)
{
	Oid table_id = PG_GETARG_OID(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MsgTraceQuota *quotas = palloc(msgtrace_budget_max() * sizeof(MsgTraceQuota));
	int count = msgtrace_budget_list(quotas);
	Oid server_id;

	if (pg_class_aclcheck(table_id, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_TABLE, get_rel_name(table_id));
	server_id = GetForeignTable(table_id)->serverid;
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		if (is_used_by(&quotas[i], server_id))
			put_quota(result, &quotas[i]);
	}
	return (Datum) 0;
}

/* ---------------------------------------------------------- server_stats */

static void
put_server(ReturnSetInfo *result, const MsgTraceServerStats *stats)
{
	const MsgTraceServerCounts *counts = &stats->counts;
	Datum values[15];
	bool nulls[15] = {false};

	values[0] = ObjectIdGetDatum(stats->server_id);
	values[1] = Int64GetDatum(counts->requests);
	values[2] = Int64GetDatum(counts->pages);
	values[3] = Int64GetDatum(counts->rows);
	values[4] = Int64GetDatum(counts->bytes);
	values[5] = Int64GetDatum(counts->retries);
	values[6] = Int64GetDatum(counts->throttled);
	values[7] = Int64GetDatum(counts->budget_waits);
	values[8] = interval_of(counts->waited);
	values[9] = Int64GetDatum(counts->sign_ins);
	nulls[10] = nulls[11] = nulls[12] = stats->failed_at == 0;
	values[10] = CStringGetTextDatum(stats->error);
	values[11] = CStringGetTextDatum(unpack_sql_state(stats->sqlstate));
	values[12] = TimestampTzGetDatum(stats->failed_at);
	values[13] = TimestampTzGetDatum(stats->since);
	values[14] = CStringGetTextDatum(msgtrace_sharing_name(msgtrace_counters_sharing()));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Those of this database that exist; an entry may outlive its server. */
static MsgTraceServerStats *
list_servers(int *count)
{
	MsgTraceServerStats *stats = palloc(MSGTRACE_MAX_COUNTED_SERVERS * sizeof(*stats));
	int listed = msgtrace_counters_list(stats);

	*count = 0;
	for (int i = 0; i < listed; i++)
	{
		if (exists(stats[i].server_id))
			stats[(*count)++] = stats[i];
	}
	return stats;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_server_stats);

Datum
o365_msgtrace_server_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int count;
	MsgTraceServerStats *stats = list_servers(&count);
	bool sees_all = reads_all_stats();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		if (sees_all || msgtrace_owns_server(stats[i].server_id, GetUserId()))
			put_server(result, &stats[i]);
	}
	return (Datum) 0;
}

/* ----------------------------------------------------------------- reset */

static void
refuse_reset(const char *server)
{
	ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			server ? errmsg("permission denied to reset the statistics of server \"%s\"", server)
				   : errmsg("permission denied to reset the statistics of servers"),
			errhint("Only a server's owner and superusers may reset its statistics."));
}

/* Those that the role owns, of which there must be one if there are any. */
static void
reset_all(void)
{
	int count;
	int owned = 0;
	MsgTraceServerStats *stats = list_servers(&count);

	for (int i = 0; i < count; i++)
	{
		if (!msgtrace_owns_server(stats[i].server_id, GetUserId()))
			continue;
		msgtrace_counters_reset(stats[i].server_id);
		owned++;
	}
	if (owned == 0 && count > 0)
		refuse_reset(NULL);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_reset_server_stats);

Datum
o365_msgtrace_reset_server_stats(PG_FUNCTION_ARGS)
{
	const char *name;
	Oid server_id;

	if (PG_ARGISNULL(0))
	{
		reset_all();
		PG_RETURN_VOID();
	}
	name = NameStr(*PG_GETARG_NAME(0));
	server_id = get_foreign_server_oid(name, false);
	if (!msgtrace_owns_server(server_id, GetUserId()))
		refuse_reset(name);
	msgtrace_counters_reset(server_id);
	PG_RETURN_VOID();
}
