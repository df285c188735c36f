/*-------------------------------------------------------------------------
 *
 * rejects.c
 *		The records that a scan set aside because they cannot be read.
 *
 * A record may come again, in the next slice or when a part is read anew: it is
 * kept once.  It is known by its id and recipient where it has them, else by its
 * text without the members that change from one answer to the next.  An event of a
 * delivery is known by all three, since it shares the key with others.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/rejects.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "trace/row.h"
#include "utils/memutils.h"

#define FIRST_SIZE 8

/* The longest character in UTF-8. */
#define MAX_CHARACTER 4

/* A request is widened to whole seconds; the last of them may be taken for a whole one. */
#define WIDENED_BY (2 * USECS_PER_SEC)

void
msgtrace_rejects_init(MsgTraceRejects *rejects, MemoryContext context)
{
	memset(rejects, 0, sizeof(*rejects));
	rejects->context = context;
}

/*
 * Does the record say that it was received just outside of this slice, where the
 * request was widened?  What is not even from there was sent unasked, and is not
 * left to another slice.
 */
static bool
is_neighbours(const MsgTraceBadRow *bad, const MsgTraceSlice *slice)
{
	TimestampTz received;

	if (bad->received == NULL || !msgtrace_row_read_time(bad->received, &received))
		return false;
	return (received < slice->from && received >= slice->from - WIDENED_BY) ||
		   (received >= slice->to && received <= slice->to + WIDENED_BY);
}

/* ----------------------------------------------------------------- text */

/* The length of the valid character here, or 0. */
static int
character_length(const char *text, size_t left)
{
	int length = pg_utf_mblen((const unsigned char *) text);

	if (*text == '\0' || (size_t) length > left ||
		!pg_utf8_islegal((const unsigned char *) text, length))
		return 0;
	return length;
}

/* The record as a text can hold it, up to this length. */
static char *
text_of(const char *raw, size_t raw_length, size_t max_length)
{
	StringInfoData text;
	size_t at = 0;

	initStringInfo(&text);
	while (at < raw_length && (size_t) text.len + MAX_CHARACTER <= max_length)
	{
		int length = character_length(raw + at, raw_length - at);

		if (length > 0)
			appendBinaryStringInfo(&text, raw + at, length);
		else
			appendStringInfo(&text, "\\x%02x", (unsigned char) raw[at]);
		at += Max(length, 1);
	}
	return text.data;
}

/* --------------------------------------------------------------- digest */

/* Behind the value that begins here, as far as it is a string or a number. */
static char *
skip_value(char *at)
{
	at += strspn(at, " \t\r\n:");
	if (*at != '"')
		return at + strcspn(at, ",}");
	for (at++; *at && *at != '"'; at++)
	{
		if (*at == '\\' && at[1])
			at++;
	}
	return *at ? at + 1 : at;
}

/* Take the member out, wherever its name stands. */
static void
remove_member(char *text, const char *member)
{
	char *name = psprintf("\"%s\"", member);
	char *at = text;

	while ((at = strstr(at, name)) != NULL)
	{
		char *behind = skip_value(at + strlen(name));

		memmove(at, behind, strlen(behind) + 1);
	}
}

static void
compute_digest(MsgTraceDigest *digest, const MsgTraceBadRow *bad, const MsgTraceDialect *dialect)
{
	const char *parts[] = {bad->id, bad->recipient, NULL};
	char *text;

	if (!dialect->of_delivery && bad->id && bad->recipient && msgtrace_digest(digest, parts, 2))
		return;
	text = text_of(bad->raw, bad->raw_length, MSGTRACE_MAX_RAW);
	for (const char *const *echo = dialect->echoes; *echo; echo++)
		remove_member(text, *echo);
	parts[2] = text;
	if (!msgtrace_digest(digest, dialect->of_delivery ? parts : &parts[2],
						 dialect->of_delivery ? 3 : 1))
		memset(digest, 0, sizeof(*digest));
	pfree(text);
}

static bool
is_known(const MsgTraceRejects *rejects, const MsgTraceDigest *digest)
{
	for (int i = 0; i < rejects->count; i++)
	{
		if (memcmp(&rejects->list[i].digest, digest, sizeof(*digest)) == 0)
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------- list */

static char *
keep(const char *text)
{
	return text ? text_of(text, strlen(text), MSGTRACE_MAX_RAW) : NULL;
}

static char *
reason_of(const MsgTraceBadRow *bad)
{
	if (bad->raw_length <= MSGTRACE_MAX_RAW)
		return keep(bad->reason);
	return psprintf("%s (of its %zu bytes the first %d are kept)", bad->reason, bad->raw_length,
					MSGTRACE_MAX_RAW);
}

static MsgTraceReject *
new_reject(MsgTraceRejects *rejects)
{
	if (rejects->count == rejects->size)
	{
		rejects->size = Max(FIRST_SIZE, rejects->size * 2);
		rejects->list = rejects->list
							? repalloc(rejects->list, rejects->size * sizeof(MsgTraceReject))
							: palloc(rejects->size * sizeof(MsgTraceReject));
	}
	return &rejects->list[rejects->count++];
}

static void
keep_reject(MsgTraceRejects *rejects, const MsgTraceBadRow *bad, const MsgTraceDigest *digest)
{
	MsgTraceReject *reject = new_reject(rejects);

	reject->digest = *digest;
	reject->id = keep(bad->id);
	reject->recipient = keep(bad->recipient);
	reject->has_received = bad->received &&
						   msgtrace_row_read_time(bad->received, &reject->received);
	reject->field = keep(bad->field);
	reject->reason = reason_of(bad);
	reject->raw = text_of(bad->raw, bad->raw_length, MSGTRACE_MAX_RAW);
}

/* Keep one, unless it is known already; false when there are too many. */
static bool
add(MsgTraceRejects *rejects, const MsgTraceBadRow *bad, const MsgTraceDialect *dialect)
{
	MemoryContext before = MemoryContextSwitchTo(rejects->context);
	MsgTraceDigest digest;
	bool fits = true;

	compute_digest(&digest, bad, dialect);
	if (!is_known(rejects, &digest))
	{
		fits = rejects->count < MSGTRACE_MAX_REJECTS;
		if (fits)
			keep_reject(rejects, bad, &digest);
	}
	MemoryContextSwitchTo(before);
	return fits;
}

static void
name_bad_row(MsgTraceStatus *status, const MsgTraceBadRow *bad)
{
	status->row_id = msgtrace_status_keep(status, bad->id);
	status->field = msgtrace_status_keep(status, bad->field);
	status->words = msgtrace_status_keep(status, bad->reason);
	status->limit = MSGTRACE_MAX_REJECTS;
}

MsgTraceFault
msgtrace_rejects_take(MsgTraceRejects *rejects, const MsgTraceBadRow *rows, int count,
					  const MsgTraceSlice *slice, const MsgTraceDialect *dialect, bool reject,
					  MsgTraceStatus *status)
{
	for (int i = 0; i < count; i++)
	{
		const MsgTraceBadRow *bad = &rows[i];
		bool may_reject = reject && !bad->final;

		if (is_neighbours(bad, slice))
			continue;
		if (!may_reject || !add(rejects, bad, dialect))
		{
			name_bad_row(status, bad);
			return may_reject ? MSGTRACE_BAD_ROWS : MSGTRACE_BAD_ROW;
		}
	}
	return MSGTRACE_OK;
}

static char *
copy_of(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

void
msgtrace_rejects_copy(MsgTraceRejects *to, const MsgTraceRejects *from)
{
	MemoryContext context = to->context;
	MemoryContext before = MemoryContextSwitchTo(context);

	MemoryContextReset(context);
	msgtrace_rejects_init(to, context);
	for (int i = 0; i < from->count; i++)
	{
		const MsgTraceReject *source = &from->list[i];
		MsgTraceReject *reject = new_reject(to);

		*reject = *source;
		reject->id = copy_of(source->id);
		reject->recipient = copy_of(source->recipient);
		reject->field = copy_of(source->field);
		reject->reason = copy_of(source->reason);
		reject->raw = copy_of(source->raw);
	}
	MemoryContextSwitchTo(before);
}
