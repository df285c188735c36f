/*-------------------------------------------------------------------------
 *
 * counters.c
 *		What was asked of each foreign server, by all sessions together.
 *
 * In shared memory where that can be had: what was asked has been asked, also when
 * the query that did is rolled back.  Nothing is known here of the catalog: who
 * shows the counts leaves out servers that are no more, and their entries go when
 * room is needed.
 *
 *-------------------------------------------------------------------------
 */
#include "net/counters.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

typedef struct Entry
{
	Oid database; /* invalid = this entry is free */
	TimestampTz used_at;
	MsgTraceServerStats stats;
} Entry;

typedef struct Counters
{
	int count; /* entries ever used */
	Entry entries[MSGTRACE_MAX_COUNTED_SERVERS];
} Counters;

static void
init_counters(void *memory)
{
	((Counters *) memory)->count = 0;
}

static MsgTraceShared area = {
	.name = "o365_msgtrace counters", .size = sizeof(Counters), .init = init_counters};

void
msgtrace_counters_request(void)
{
	msgtrace_shared_request(&area);
}

static Entry *
find_entry(Counters *counters, Oid server_id)
{
	for (int i = 0; i < counters->count; i++)
	{
		Entry *entry = &counters->entries[i];

		if (entry->database == MyDatabaseId && entry->stats.server_id == server_id)
			return entry;
	}
	return NULL;
}

/* A new one, if need be in place of the one that was not used for longest. */
static Entry *
make_entry(Counters *counters, Oid server_id, TimestampTz now)
{
	Entry *entry = &counters->entries[0];

	if (counters->count < MSGTRACE_MAX_COUNTED_SERVERS)
		entry = &counters->entries[counters->count++];
	else
	{
		for (int i = 1; i < counters->count; i++)
		{
			if (counters->entries[i].used_at < entry->used_at)
				entry = &counters->entries[i];
		}
	}
	memset(entry, 0, sizeof(*entry));
	entry->database = MyDatabaseId;
	entry->stats.server_id = server_id;
	entry->stats.since = now;
	return entry;
}

/* The entry of a server, with the lock held. */
static Entry *
lock_entry(Oid server_id)
{
	Counters *counters = msgtrace_shared_memory(&area);
	TimestampTz now = GetCurrentTimestamp();
	Entry *entry;

	msgtrace_shared_lock(&area);
	entry = find_entry(counters, server_id);
	if (entry == NULL)
		entry = make_entry(counters, server_id, now);
	entry->used_at = now;
	return entry;
}

void
msgtrace_counters_add(Oid server_id, const MsgTraceServerCounts *more)
{
	MsgTraceServerCounts *counts = &lock_entry(server_id)->stats.counts;

	counts->requests += more->requests;
	counts->pages += more->pages;
	counts->rows += more->rows;
	counts->bytes += more->bytes;
	counts->retries += more->retries;
	counts->throttled += more->throttled;
	counts->budget_waits += more->budget_waits;
	counts->waited += more->waited;
	counts->sign_ins += more->sign_ins;
	msgtrace_shared_unlock(&area);
}

void
msgtrace_counters_note_error(Oid server_id, int sqlstate, const char *words)
{
	int length = pg_mbcliplen(words, (int) strlen(words), MSGTRACE_MAX_LAST_ERROR - 1);
	Entry *entry = lock_entry(server_id);

	memcpy(entry->stats.error, words, length);
	entry->stats.error[length] = '\0';
	entry->stats.sqlstate = sqlstate;
	entry->stats.failed_at = entry->used_at;
	msgtrace_shared_unlock(&area);
}

void
msgtrace_counters_reset(Oid server_id)
{
	Counters *counters = msgtrace_shared_memory(&area);
	TimestampTz now = GetCurrentTimestamp();
	Entry *entry;

	msgtrace_shared_lock(&area);
	entry = find_entry(counters, server_id);
	if (entry)
	{
		memset(&entry->stats, 0, sizeof(entry->stats));
		entry->stats.server_id = server_id;
		entry->stats.since = now;
	}
	msgtrace_shared_unlock(&area);
}

int
msgtrace_counters_list(MsgTraceServerStats *stats)
{
	Counters *counters = msgtrace_shared_memory(&area);
	int count = 0;

	msgtrace_shared_lock(&area);
	for (int i = 0; i < counters->count; i++)
	{
		if (counters->entries[i].database == MyDatabaseId)
			stats[count++] = counters->entries[i].stats;
	}
	msgtrace_shared_unlock(&area);
	return count;
}

MsgTraceSharing
msgtrace_counters_sharing(void)
{
	return msgtrace_shared_sharing(&area);
}
