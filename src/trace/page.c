/*-------------------------------------------------------------------------
 *
 * page.c
 *		A page of records, read as a stream by the server's JSON parser.
 *
 * The parser calls us at each token; a record's members are kept until its end
 * and then turned into a row at once, so that no document tree is ever built.
 * The parser's strings for one record live in a context that is reset after it.
 *
 * The shape of a page, members in any order, unknown ones skipped:
 *
 *		{ "value": [ {record}, ... ], "@odata.nextLink": "https://..." }
 *
 *-------------------------------------------------------------------------
 */
#include "trace/page.h"

#include <ctype.h>

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "net/compat.h"
#include "utils/memutils.h"

/* How deep a token stands: the page's object, its value array, a record. */
enum
{
	IN_PAGE = 1,
	IN_VALUE = 2,
	IN_RECORD = 3
};

typedef enum PageMember
{
	OTHER_MEMBER,
	VALUE_MEMBER,
	LINK_MEMBER
} PageMember;

typedef struct PageParser
{
	const MsgTracePageReader *reader;
	MsgTracePage *page;
	MsgTraceStatus *status;
	MemoryContext page_context;
	MemoryContext record_context;
	int depth;
	PageMember member; /* of the page's object, where we are in it */
	bool value_seen;
	int elements;		  /* of the value array ... */
	int records;		  /* ... and how many of them were objects */
	bool link_unreadable; /* there is one, but it is no string */
	int field;			  /* of the record, where we are in it; -1 = unknown */
	int next_field;		  /* what is expected after it: records are alike */
	MsgTraceRecord record;
	int field_count;
	int rows_size; /* allocated in page->rows */
} PageParser;

/* ------------------------------------------------------------- escapes */

static bool
is_hex4(const char *text, unsigned int *value)
{
	*value = 0;
	for (int i = 0; i < 4; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (!isxdigit(c))
			return false;
		*value = *value << 4 | (unsigned int) (isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return true;
}

static bool
is_low_surrogate_escape(const char *text, const char *end)
{
	unsigned int code;

	return end - text >= 6 && text[0] == '\\' && text[1] == 'u' && is_hex4(text + 2, &code) &&
		   code >= 0xDC00 && code <= 0xDFFF;
}

/* Backslashes stand in strings only; elsewhere the parser will complain. */
int
msgtrace_page_mend_escapes(char *body, size_t length)
{
	char *end = body + length;
	char *at = body;
	int replaced = 0;

	while ((at = memchr(at, '\\', end - at)) != NULL)
	{
		unsigned int code;

		if (end - at < 6 || at[1] != 'u' || !is_hex4(at + 2, &code))
		{
			if (end - at < 2)
				break;
			at += 2; /* the pair \\ is one escape: skip its second half */
			continue;
		}
		if (code >= 0xD800 && code <= 0xDBFF && is_low_surrogate_escape(at + 6, end))
		{
			at += 12;
			continue;
		}
		if (code == 0 || (code >= 0xD800 && code <= 0xDFFF))
		{
			memcpy(at + 2, "fffd", 4);
			replaced++;
		}
		at += 6;
	}
	return replaced;
}

/* ----------------------------------------------------- a record's life */

static void
begin_record(PageParser *parser)
{
	MemoryContextSwitchTo(parser->record_context);
	memset(parser->record.values, 0, parser->field_count * sizeof(char *));
	memset(parser->record.nested, 0, parser->field_count * sizeof(bool));
	parser->field = -1;
	parser->next_field = 0;
}

static MsgTraceRow *
new_row(PageParser *parser)
{
	MsgTracePage *page = parser->page;

	if (page->count == parser->rows_size)
	{
		parser->rows_size *= 2;
		page->rows = repalloc_huge(page->rows, parser->rows_size * sizeof(MsgTraceRow));
	}
	return &page->rows[page->count];
}

static void
note_bad_row(PageParser *parser, const char *field)
{
	MsgTraceStatus *status = parser->status;

	if (status->fault != MSGTRACE_OK)
		return; /* the first one is named */
	status->fault = MSGTRACE_BAD_ROW;
	status->field = field;
	status->row_id = msgtrace_status_keep(status, parser->record.values[MSGTRACE_ID]);
}

static void
end_record(PageParser *parser)
{
	const MsgTracePageReader *reader = parser->reader;
	MsgTraceRow *row = new_row(parser);
	MsgTraceField bad_field;
	const char *bad;

	if (reader->normalize)
		msgtrace_row_normalize(&parser->record);
	MemoryContextSwitchTo(parser->page_context);
	if (!msgtrace_row_read(&parser->record, row, &bad_field))
		note_bad_row(parser, parser->reader->dialect->properties[bad_field]);
	else if (!reader->build(reader->arg, &parser->record, row, &bad))
		note_bad_row(parser, bad);
	else
	{
		row->recipient = pstrdup(row->recipient);
		parser->page->count++;
	}
	MemoryContextReset(parser->record_context);
	parser->records++;
	CHECK_FOR_INTERRUPTS();
}

/* ------------------------------------------------ the parser's actions */

/* An object or array as a page's link or a record's value: neither can be used. */
static void
note_nested(PageParser *parser)
{
	if (parser->depth == IN_PAGE + 1 && parser->member == LINK_MEMBER)
		parser->link_unreadable = true;
	else if (parser->depth == IN_RECORD + 1 && parser->member == VALUE_MEMBER && parser->field >= 0)
		parser->record.nested[parser->field] = true;
}

static MsgTraceJsonResult
on_object_start(void *state)
{
	PageParser *parser = state;

	parser->depth++;
	if (parser->depth == IN_RECORD && parser->member == VALUE_MEMBER)
		begin_record(parser);
	else
		note_nested(parser);
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_object_end(void *state)
{
	PageParser *parser = state;

	if (parser->depth == IN_RECORD && parser->member == VALUE_MEMBER)
		end_record(parser);
	parser->depth--;
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_array_start(void *state)
{
	PageParser *parser = state;

	parser->depth++;
	if (parser->depth == IN_VALUE && parser->member == VALUE_MEMBER)
		parser->value_seen = true;
	else
		note_nested(parser);
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_array_end(void *state)
{
	PageParser *parser = state;

	parser->depth--;
	MSGTRACE_JSON_CONTINUE;
}

static const char *
property_of(const PageParser *parser, int field)
{
	if (field < MSGTRACE_FIELDS)
		return parser->reader->dialect->properties[field];
	return parser->reader->extra[field - MSGTRACE_FIELDS];
}

/* Members come in one order as a rule: look first where the next one should be. */
static int
find_field(PageParser *parser, const char *name)
{
	for (int i = 0; i < parser->field_count; i++)
	{
		int field = parser->next_field;
		const char *property;

		parser->next_field = (field + 1) % parser->field_count;
		property = property_of(parser, field);
		if (property && strcmp(property, name) == 0)
			return field;
	}
	return -1;
}

static PageMember
page_member(const char *name)
{
	if (strcmp(name, "value") == 0)
		return VALUE_MEMBER;
	if (strcmp(name, "@odata.nextLink") == 0)
		return LINK_MEMBER;
	return OTHER_MEMBER;
}

static MsgTraceJsonResult
on_field_start(void *state, char *name, bool is_null pg_attribute_unused())
{
	PageParser *parser = state;

	if (parser->depth == IN_PAGE)
		parser->member = page_member(name);
	else if (parser->depth == IN_RECORD && parser->member == VALUE_MEMBER)
		parser->field = find_field(parser, name);
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_scalar(void *state, char *token, JsonTokenType type)
{
	PageParser *parser = state;

	if (parser->depth == IN_PAGE && parser->member == LINK_MEMBER)
	{
		parser->page->next_link = type == JSON_TOKEN_STRING ? token : NULL;
		parser->link_unreadable = type != JSON_TOKEN_STRING && type != JSON_TOKEN_NULL;
	}
	else if (parser->depth == IN_RECORD && parser->member == VALUE_MEMBER && parser->field >= 0)
		parser->record.values[parser->field] = type == JSON_TOKEN_NULL ? NULL : token;
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_element_start(void *state, bool is_null pg_attribute_unused())
{
	PageParser *parser = state;

	if (parser->depth == IN_VALUE && parser->member == VALUE_MEMBER)
		parser->elements++;
	MSGTRACE_JSON_CONTINUE;
}

/* ----------------------------------------------------------- the page */

static bool
unreadable(MsgTraceStatus *status, const char *words)
{
	status->fault = MSGTRACE_UNREADABLE;
	status->words = msgtrace_status_keep(status, words);
	return false;
}

static bool
parse(PageParser *parser, char *body, size_t length)
{
	JsonLexContext *lexer = msgtrace_json_lexer(body, length);
	JsonSemAction actions = {.semstate = parser,
							 .object_start = on_object_start,
							 .object_end = on_object_end,
							 .array_start = on_array_start,
							 .array_end = on_array_end,
							 .object_field_start = on_field_start,
							 .array_element_start = on_element_start,
							 .scalar = on_scalar};
	JsonParseErrorType result;

	result = pg_parse_json(lexer, &actions);
	MemoryContextSwitchTo(parser->page_context); /* it may have ended in a record */
	if (result != JSON_SUCCESS)
		return unreadable(parser->status, json_errdetail(result, lexer));
	if (!parser->value_seen)
		return unreadable(parser->status, "There is no array \"value\" in the document.");
	if (parser->records != parser->elements)
		return unreadable(parser->status, "The array \"value\" has an element that is no object.");
	if (parser->link_unreadable)
		return unreadable(parser->status, "The link to the next page is no string.");
	return parser->status->fault == MSGTRACE_OK;
}

static bool
check_encoding(const char *body, size_t length, MsgTraceStatus *status)
{
	int valid = pg_encoding_verifymbstr(PG_UTF8, body, (int) length);

	if ((size_t) valid == length)
		return true;
	return unreadable(status, psprintf("Byte %d of the document is not valid UTF-8.", valid + 1));
}

static void
set_up(PageParser *parser)
{
	MsgTracePage *page = parser->page;

	parser->field_count = MSGTRACE_FIELDS + parser->reader->extra_count;
	parser->record.values = palloc(parser->field_count * sizeof(char *));
	parser->record.nested = palloc(parser->field_count * sizeof(bool));
	parser->record_context = AllocSetContextCreate(parser->page_context, "o365_msgtrace record",
												   ALLOCSET_DEFAULT_SIZES);
	parser->rows_size = 1024;
	page->rows = palloc(parser->rows_size * sizeof(MsgTraceRow));
	page->count = 0;
	page->next_link = NULL;
}

bool
msgtrace_page_read(MsgTracePage *page, const MsgTracePageReader *reader, char *body, size_t length,
				   MemoryContext context, MsgTraceStatus *status)
{
	PageParser parser = {
		.reader = reader, .page = page, .status = status, .page_context = context, .field = -1};
	MemoryContext before = MemoryContextSwitchTo(context);
	bool readable;

	set_up(&parser);
	page->replaced = msgtrace_page_mend_escapes(body, length);
	readable = check_encoding(body, length, status) && parse(&parser, body, length);
	MemoryContextSwitchTo(before);
	return readable;
}
