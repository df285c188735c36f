/*-------------------------------------------------------------------------
 *
 * bad_row.c
 *		Records that cannot be read, and how to find those that are not even JSON.
 *
 * The parser reads a page in one go and gives all of it up for one byte.  When
 * that byte stands within a record, only that record is lost: records are told
 * apart by their braces and quotes alone, each is tried by itself, and those that
 * fail are made empty.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/bad_row.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "net/compat.h"
#include "utils/memutils.h"

#define FIRST_SIZE 8

/* The members that tell which record it is, as far as it can be read. */
typedef struct Identity
{
	const MsgTraceDialect *dialect;
	int depth;
	const char **wanted; /* where the value at hand goes, or NULL */
	MsgTraceBadRow *bad;
} Identity;

char *
msgtrace_bad_row_shown(const char *value)
{
	size_t length = strnlen(value, MSGTRACE_MAX_SHOWN);

	return pnstrdup(value, pg_encoding_verifymbstr(PG_UTF8, value, (int) length));
}

/* ------------------------------------------------------------- identity */

static MsgTraceJsonResult
on_start(void *state)
{
	((Identity *) state)->depth++;
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_end(void *state)
{
	((Identity *) state)->depth--;
	MSGTRACE_JSON_CONTINUE;
}

static bool
is_named(const Identity *identity, MsgTraceField field, const char *name)
{
	const char *property = identity->dialect->properties[field];

	return property && strcmp(property, name) == 0;
}

static MsgTraceJsonResult
on_field_start(void *state, char *name, bool is_null pg_attribute_unused())
{
	Identity *identity = state;

	if (identity->depth == 1)
		identity->wanted = is_named(identity, MSGTRACE_ID, name) ? &identity->bad->id
						   : is_named(identity, MSGTRACE_RECIPIENT, name)
							   ? &identity->bad->recipient
						   : is_named(identity, MSGTRACE_RECEIVED, name) ? &identity->bad->received
																		 : NULL;
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_scalar(void *state, char *token, JsonTokenType type)
{
	Identity *identity = state;

	if (identity->depth == 1 && identity->wanted && type == JSON_TOKEN_STRING)
	{
		bool is_text = pg_encoding_verifymbstr(PG_UTF8, token, (int) strlen(token)) ==
					   (int) strlen(token);

		*identity->wanted = is_text ? token : NULL;
	}
	MSGTRACE_JSON_CONTINUE;
}

/* ------------------------------------------------------------ one record */

static bool
is_utf8(const char *record, size_t length, MsgTraceBadRow *bad)
{
	int valid = pg_encoding_verifymbstr(PG_UTF8, record, (int) length);

	if ((size_t) valid == length)
		return true;
	bad->reason = psprintf("byte %d of the record is not valid UTF-8", valid + 1);
	return false;
}

/* The parser's words are a sentence; ours go on after them. */
static const char *
reason_of(JsonParseErrorType result, JsonLexContext *lexer)
{
	char *words = msgtrace_bad_row_shown(json_errdetail(result, lexer));
	size_t length = strlen(words);

	if (length > 0 && words[length - 1] == '.')
		words[length - 1] = '\0';
	return psprintf("it is not JSON: %s", words);
}

/* False, with all that can be known of it, when the parser does not take it. */
static bool
examine(char *record, size_t length, const MsgTraceDialect *dialect, MsgTraceBadRow *bad)
{
	Identity identity = {.dialect = dialect, .bad = bad};
	JsonLexContext *lexer = msgtrace_json_lexer(record, length);
	JsonSemAction actions = {.semstate = &identity,
							 .object_start = on_start,
							 .object_end = on_end,
							 .array_start = on_start,
							 .array_end = on_end,
							 .object_field_start = on_field_start,
							 .scalar = on_scalar};
	JsonParseErrorType result = pg_parse_json(lexer, &actions);

	if (!is_utf8(record, length, bad))
		return false;
	if (result == JSON_SUCCESS)
		return true;
	bad->reason = reason_of(result, lexer);
	return false;
}

static const char *
keep(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/* An empty record takes its place. */
static void
blank_out(char *record, size_t length, const MsgTraceBadRow *bad, MsgTraceBrokenRecords *broken)
{
	MsgTraceBrokenRecord *entry;

	if (broken->count == broken->size)
	{
		broken->size = Max(FIRST_SIZE, broken->size * 2);
		broken->list = broken->count == 0
						   ? palloc(broken->size * sizeof(MsgTraceBrokenRecord))
						   : repalloc_huge(broken->list,
										   broken->size * sizeof(MsgTraceBrokenRecord));
	}
	entry = &broken->list[broken->count++];
	entry->start = record;
	memset(&entry->bad, 0, sizeof(entry->bad));
	entry->bad.id = keep(bad->id);
	entry->bad.recipient = keep(bad->recipient);
	entry->bad.received = keep(bad->received);
	entry->bad.reason = pstrdup(bad->reason);
	entry->bad.raw = memcpy(MemoryContextAllocHuge(CurrentMemoryContext, length), record, length);
	entry->bad.raw_length = length;
	memset(record + 1, ' ', length - 2);
	record[length - 1] = '}';
}

/* ------------------------------------------------------------ the array */

/* Behind the quote that ends this string; NULL when there is none. */
static char *
skip_string(char *at, const char *end)
{
	for (at++; at < end; at++)
	{
		if (*at == '\\')
			at++;
		else if (*at == '"')
			return at + 1;
	}
	return NULL;
}

/* Behind the brace that closes this one; NULL when there is none. */
static char *
skip_record(char *at, const char *end)
{
	int depth = 0;

	while (at && at < end)
	{
		if (*at == '"')
		{
			at = skip_string(at, end);
			continue;
		}
		if (*at == '{' || *at == '[')
			depth++;
		else if ((*at == '}' || *at == ']') && --depth == 0)
			return *at == '}' ? at + 1 : NULL;
		at++;
	}
	return NULL;
}

static bool
has_twice(const char *record, size_t length, const char *property)
{
	char *name = psprintf("\"%s\"", property ? property : "");
	size_t name_length = strlen(name);
	const char *first = memmem(record, length, name, name_length);
	const char *rest = first ? first + name_length : NULL;

	return property && rest &&
		   memmem(rest, length - (size_t) (rest - record), name, name_length) != NULL;
}

/*
 * Two broken records may be taken for one, and all between them for a part of it:
 * each has a quote too many or too few.  A record names each property once.
 */
static bool
is_several(const char *record, size_t length, const MsgTraceDialect *dialect)
{
	return has_twice(record, length, dialect->properties[MSGTRACE_ID]) ||
		   has_twice(record, length, dialect->properties[MSGTRACE_RECEIVED]) ||
		   has_twice(record, length, dialect->properties[MSGTRACE_RECIPIENT]);
}

/* The next record of the array; NULL when what comes is no record. */
static char *
next_record(char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r' || *at == ','))
		at++;
	return at < end && *at == '{' ? at : NULL;
}

void
msgtrace_bad_row_isolate(char *first, char *end, const MsgTraceDialect *dialect,
						 MsgTraceBrokenRecords *broken)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(before, "o365_msgtrace broken records",
												  ALLOCSET_DEFAULT_SIZES);
	char *record = first;
	char *behind;

	while (record && (behind = skip_record(record, end)) != NULL)
	{
		size_t length = (size_t) (behind - record);
		MsgTraceBadRow bad = {0};
		bool good;

		MemoryContextSwitchTo(context);
		good = examine(record, length, dialect, &bad);
		broken->several = !good && is_several(record, length, dialect);
		MemoryContextSwitchTo(before);
		if (broken->several)
			break; /* nobody knows how many records it is */
		if (!good)
			blank_out(record, length, &bad, broken);
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
		record = next_record(behind, end);
	}
	MemoryContextDelete(context);
}
