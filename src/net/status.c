/*-------------------------------------------------------------------------
 *
 * status.c
 *		What went wrong between us and the service, as facts.
 *
 *-------------------------------------------------------------------------
 */
#include "net/status.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

/* The service's words are shown to a human; no human reads more than this. */
#define MAX_WORDS 1000

void
msgtrace_status_init(MsgTraceStatus *status, MemoryContext context)
{
	memset(status, 0, sizeof(*status));
	status->context = context;
}

void
msgtrace_status_clear(MsgTraceStatus *status)
{
	msgtrace_status_init(status, status->context);
}

/*
 * Keep a copy of some text from outside: cut to a length that a message can
 * bear, valid in the database's encoding, and without control characters
 * (a line end becomes a space), so that it can go into a log line.
 */
char *
msgtrace_status_keep(MsgTraceStatus *status, const char *text)
{
	int length;
	char *copy;

	if (text == NULL)
		return NULL;
	length = pg_encoding_verifymbstr(PG_UTF8, text, strnlen(text, MAX_WORDS));
	copy = MemoryContextAlloc(status->context, length + 1);
	memcpy(copy, text, length);
	copy[length] = '\0';
	for (char *c = copy; *c; c++)
	{
		if ((unsigned char) *c < ' ')
			*c = ' ';
	}
	return copy;
}

/* Keep a URL up to its query: what follows may hold addresses and tokens. */
char *
msgtrace_status_keep_url(MsgTraceStatus *status, const char *url)
{
	char *copy = msgtrace_status_keep(status, url);

	if (copy)
		copy[strcspn(copy, "?#")] = '\0';
	return copy;
}
