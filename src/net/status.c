/*-------------------------------------------------------------------------
 *
 * status.c
 *		What went wrong between us and the service, as facts.
 *
 *-------------------------------------------------------------------------
 */
#include "net/status.h"

#include "mb/pg_wchar.h"
#include "net/http_text.h"
#include "utils/memutils.h"

/* The service's words are shown to a human; no human reads more than this. */
#define MAX_WORDS 1000

/* More than that, so that a secret across the cut is seen whole. */
#define MAX_LOOKED_AT 16384

void
msgtrace_status_init(MsgTraceStatus *status, MemoryContext context)
{
	memset(status, 0, sizeof(*status));
	status->context = context;
}

static char *
keep_start(MemoryContext context, const char *text)
{
	size_t length = strnlen(text, MAX_LOOKED_AT);
	char *copy = MemoryContextAlloc(context, length + 1);

	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

/* Overwrite every place where a text from outside repeats a secret of ours. */
static void
redact(char *text, const char *secret)
{
	size_t length = secret ? strlen(secret) : 0;

	if (length == 0)
		return;
	for (; (text = strstr(text, secret)) != NULL; text += length)
		memset(text, '*', length);
}

/* As it is, and as a form has it. */
static void
redact_both(char *text, const char *secret)
{
	char *escaped;

	if (secret == NULL)
		return;
	escaped = msgtrace_http_escape(secret);
	redact(text, secret);
	redact(text, escaped);
	explicit_bzero(escaped, strlen(escaped));
	pfree(escaped);
}

static void
redact_secrets(const MsgTraceStatus *status, char *text)
{
	redact_both(text, status->token);
	redact_both(text, status->assertion);
	for (int i = 0; i < status->hidden_count; i++)
		redact_both(text, status->hidden[i]);
}

void
msgtrace_status_hide(MsgTraceStatus *status, const char *secret)
{
	if (secret == NULL || *secret == '\0')
		return;
	for (int i = 0; i < status->hidden_count; i++)
	{
		if (status->hidden[i] == secret)
			return;
	}
	Assert(status->hidden_count < MSGTRACE_MAX_HIDDEN);
	if (status->hidden_count < MSGTRACE_MAX_HIDDEN)
		status->hidden[status->hidden_count++] = secret;
}

void
msgtrace_status_forget(MsgTraceStatus *status, const char *secret)
{
	for (int i = 0; i < status->hidden_count; i++)
	{
		if (status->hidden[i] == secret)
			status->hidden[i--] = status->hidden[--status->hidden_count];
	}
}

/*
 * Keep a copy of some text from outside: without our secrets, cut to a length
 * that a message can bear, valid in the database's encoding, and without control
 * characters (a line end becomes a space), so that it can go into a log line.
 */
char *
msgtrace_status_keep(MsgTraceStatus *status, const char *text)
{
	char *copy;

	if (text == NULL)
		return NULL;
	copy = keep_start(status->context, text);
	redact_secrets(status, copy);
	copy[pg_encoding_verifymbstr(PG_UTF8, copy, strnlen(copy, MAX_WORDS))] = '\0';
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

void
msgtrace_status_keep_request_id(MsgTraceStatus *status, const char *id)
{
	if (id)
		status->request_id = msgtrace_status_keep(status, id);
}
