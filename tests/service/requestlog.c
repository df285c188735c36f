/*
 * requestlog.c
 *	  What was asked of the service, for tests that count requests.
 *
 * An entry is made when a request arrives, with status 0, and completed when
 * it is answered: so a request that hangs is seen too.
 */
#include "requestlog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES 100000 /* the oldest half goes when it is full */

typedef struct Entry
{
	uint64_t number;
	char *json; /* all but status and rows */
	unsigned status;
	long rows;
} Entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Entry *entries; /* all guarded by lock */
static size_t count;
static uint64_t last_number;

static void
add_member(Buffer *out, const char *name, const char *value)
{
	buffer_printf(out, ",\"%s\":", name);
	if (value)
		buffer_add_json(out, value);
	else
		buffer_add_text(out, "null");
}

static char *
entry_json(const LogEntry *entry)
{
	Buffer out = {0};
	char scheme[32];
	char time[MOMENT_TEXT_SIZE];

	moment_write(time, entry->at, 7, true);
	buffer_printf(&out, "\"at\":\"%s\",\"method\":\"%s\",\"path\":", time, entry->method);
	buffer_add_json(&out, entry->path);
	buffer_add_text(&out, ",\"query\":");
	buffer_add_json(&out, entry->query);
	buffer_printf(&out, ",\"parameters\":%s,\"authorization\":%s,\"port\":%u", entry->parameters,
				  entry->authorization ? "true" : "false", entry->port);
	/* its scheme, never what follows */
	snprintf(scheme, sizeof(scheme), "%.*s",
			 entry->authorization ? (int) strcspn(entry->authorization, " ") : 0,
			 entry->authorization ? entry->authorization : "");
	add_member(&out, "scheme", entry->authorization ? scheme : NULL);
	add_member(&out, "accept", entry->accept);
	add_member(&out, "prefer", entry->prefer);
	add_member(&out, "client_request_id", entry->client_request_id);
	add_member(&out, "request_id", entry->request_id);
	add_member(&out, "fault", entry->fault);
	buffer_text(&out);
	return out.data;
}

static void
forget(size_t oldest)
{
	for (size_t i = 0; i < oldest; i++)
		free(entries[i].json);
	count -= oldest;
	memmove(entries, entries + oldest, count * sizeof(Entry));
}

/*
 * Notes a request; returns a number to complete it with.
 */
uint64_t
requestlog_add(const LogEntry *entry)
{
	char *json = entry_json(entry);
	uint64_t number;

	pthread_mutex_lock(&lock);
	if (entries == NULL)
		entries = calloc(MAX_ENTRIES, sizeof(Entry));
	if (entries == NULL)
		abort();
	if (count == MAX_ENTRIES)
		forget(MAX_ENTRIES / 2);
	number = ++last_number;
	entries[count++] = (Entry){.number = number, .json = json};
	pthread_mutex_unlock(&lock);
	return number;
}

void
requestlog_answered(uint64_t number, unsigned status, long rows)
{
	pthread_mutex_lock(&lock);
	for (size_t i = count; i-- > 0 && entries[i].number >= number;)
	{
		if (entries[i].number != number)
			continue;
		entries[i].status = status;
		entries[i].rows = rows;
	}
	pthread_mutex_unlock(&lock);
}

void
requestlog_show(Buffer *out)
{
	buffer_add_text(out, "[");
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, "%s{%s,\"status\":%u,\"rows\":%ld}", i ? ",\n" : "", entries[i].json,
					  entries[i].status, entries[i].rows);
	pthread_mutex_unlock(&lock);
	buffer_add_text(out, "]\n");
}

void
requestlog_clear(void)
{
	pthread_mutex_lock(&lock);
	forget(count);
	pthread_mutex_unlock(&lock);
}
