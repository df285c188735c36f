/*-------------------------------------------------------------------------
 *
 * page.c
 *		A page of records, read as a stream by the server's JSON parser.
 *
 * The parser calls us at each token; a record's members are kept until its end
 * and then turned into a row at once, so that no document tree is ever built.
 * The parser's strings for one record live in a context that is reset after it.
 *
 * The shapes of a page, members in any order, unknown ones skipped; those within
 * "d" are the Reporting web service's, and the last one cannot carry a link:
 *
 *		{ "value": [ {record}, ... ], "@odata.nextLink": "https://..." }
 *		{ "d": { "results": [ {record}, ... ], "__next": "https://..." } }
 *		{ "d": [ {record}, ... ] }
 *
 * A page that the parser gives up is looked at once more: what is wrong may stand
 * in some of its records only (bad_row.c).
 *
 *-------------------------------------------------------------------------
 */
#include "trace/page.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "net/compat.h"
#include "trace/escape.h"
#include "utils/memutils.h"

/* Room for so many is made at first: for the events of a delivery, for a page of a list. */
#define FEW_ROWS 8
#define MANY_ROWS 1024

/* What a member of the page, or of the object within "d", is to us. */
typedef enum PageMember
{
	OTHER_MEMBER,
	ROWS_MEMBER,
	LINK_MEMBER,
	WRAPPER_MEMBER /* "d" */
} PageMember;

typedef struct PageParser
{
	const MsgTracePageReader *reader;
	MsgTracePage *page;
	MemoryContext page_context;
	MemoryContext record_context;
	const char *body;
	MsgTraceMends mends;
	MsgTraceBrokenRecords broken;
	JsonLexContext *lexer;
	bool survey; /* only the first record is looked for */

	int depth;		   /* of objects and arrays that are open */
	int rows_depth;	   /* of the array of records; 0 = it is not open */
	PageMember member; /* of the page's object, where we are in it */
	PageMember inner;  /* ... and of the one within "d" */
	bool value_seen;
	bool error_seen;
	bool link_unreadable; /* there is one, but it is no string */
	int elements;		  /* of the array; not all are objects, perhaps */
	const char *first_record;
	const char *record_start;
	int next_broken;
	int field;		/* of the record, where we are in it; -1 = unknown */
	int next_field; /* what is expected after it: records are alike */
	MsgTraceRecord record;
	int field_count;
	int rows_size; /* allocated in page->rows */
	int bad_size;  /* likewise */
} PageParser;

/* ------------------------------------------------------------- bad rows */

static void
set_aside(PageParser *parser, const MsgTraceBadRow *bad)
{
	MsgTracePage *page = parser->page;

	if (page->bad_count == parser->bad_size)
	{
		parser->bad_size = Max(8, parser->bad_size * 2);
		page->bad_rows = page->bad_rows ? repalloc_huge(page->bad_rows,
														parser->bad_size * sizeof(MsgTraceBadRow))
										: palloc(parser->bad_size * sizeof(MsgTraceBadRow));
	}
	page->bad_rows[page->bad_count++] = *bad;
}

static const char *
keep(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/* In the page's context: the record's own is about to be reset. */
static void
note_bad_value(PageParser *parser, const MsgTraceBadValue *value)
{
	char **values = parser->record.values;
	MsgTraceBadRow bad = {.id = keep(values[MSGTRACE_ID]),
						  .recipient = keep(values[MSGTRACE_RECIPIENT]),
						  .received = keep(values[MSGTRACE_RECEIVED]),
						  .field = value->field,
						  .reason = keep(value->reason),
						  .final = value->final,
						  .raw_length = parser->record.raw_length};

	bad.raw = memcpy(MemoryContextAllocHuge(parser->page_context, bad.raw_length),
					 parser->record.raw, bad.raw_length);
	set_aside(parser, &bad);
}

/* Has this record been blanked out?  Both come in the order of the document. */
static const MsgTraceBadRow *
broken_record(PageParser *parser)
{
	MsgTraceBrokenRecords *broken = &parser->broken;

	if (parser->next_broken == broken->count ||
		broken->list[parser->next_broken].start != parser->record_start)
		return NULL;
	return &broken->list[parser->next_broken++].bad;
}

static void
note_broken(PageParser *parser, const MsgTraceBadRow *broken)
{
	MsgTraceBadRow bad = *broken;

	if (parser->reader->delivery)
	{
		bad.id = parser->reader->delivery->id;
		bad.recipient = parser->reader->delivery->recipient_address;
	}
	/* its copy was made of the mended document */
	bad.raw = msgtrace_escape_restore(&parser->mends, parser->body, parser->record_start,
									  unconstify(char *, broken->raw), broken->raw_length);
	set_aside(parser, &bad);
}

/* ----------------------------------------------------- a record's life */

static void
begin_record(PageParser *parser)
{
	parser->record_start = parser->lexer->token_start;
	if (parser->first_record == NULL)
		parser->first_record = parser->record_start;
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

/* The record as it was sent, from brace to brace. */
static void
find_raw(PageParser *parser)
{
	MsgTraceRecord *record = &parser->record;

	record->raw_length = (size_t) (parser->lexer->prev_token_terminator - parser->record_start);
	record->raw = msgtrace_escape_original(&parser->mends, parser->body, parser->record_start,
										   record->raw_length);
}

/* The details of a delivery do not say whose they are: the key is as it was asked for. */
static void
name_delivery(MsgTraceRecord *record, const MsgTraceDelivery *delivery)
{
	record->values[MSGTRACE_ID] = unconstify(char *, delivery->id);
	record->values[MSGTRACE_RECIPIENT] = unconstify(char *, delivery->recipient_address);
}

static void
read_record(PageParser *parser)
{
	const MsgTracePageReader *reader = parser->reader;
	MsgTraceRow *row = new_row(parser);
	MsgTraceBadValue bad = {0};
	MsgTraceField bad_field;

	find_raw(parser);
	if (reader->normalize)
		msgtrace_row_normalize(&parser->record);
	if (reader->delivery)
		name_delivery(&parser->record, reader->delivery);
	MemoryContextSwitchTo(parser->page_context);
	if (!msgtrace_row_read(&parser->record, row, &bad_field, &bad.reason))
	{
		bad.field = reader->dialect->properties[bad_field];
		note_bad_value(parser, &bad);
	}
	else if (!reader->build(reader->arg, &parser->record, row, &bad))
		note_bad_value(parser, &bad);
	else
	{
		row->recipient = pstrdup(row->recipient);
		row->sender = reader->wants_sender && parser->record.values[MSGTRACE_SENDER]
						  ? pstrdup(parser->record.values[MSGTRACE_SENDER])
						  : "";
		parser->page->count++;
	}
}

static void
end_record(PageParser *parser)
{
	const MsgTraceBadRow *broken = broken_record(parser);

	if (broken)
	{
		MemoryContextSwitchTo(parser->page_context);
		note_broken(parser, broken);
	}
	else if (!parser->survey)
		read_record(parser);
	MemoryContextSwitchTo(parser->page_context);
	MemoryContextReset(parser->record_context);
	parser->page->records++;
	CHECK_FOR_INTERRUPTS();
}

/* ------------------------------------------------ the parser's actions */

/* What the value is to us that begins in the innermost open object or array. */
static PageMember
value_at_hand(const PageParser *parser)
{
	if (parser->depth == 1)
		return parser->member;
	if (parser->depth == 2 && parser->member == WRAPPER_MEMBER && parser->rows_depth == 0)
		return parser->inner;
	return OTHER_MEMBER;
}

static bool
is_in_record(const PageParser *parser)
{
	return parser->rows_depth > 0 && parser->depth == parser->rows_depth + 1;
}

/* An object or array as a page's link or a record's value: neither can be used. */
static void
note_nested(PageParser *parser)
{
	if (value_at_hand(parser) == LINK_MEMBER)
		parser->link_unreadable = true;
	else if (is_in_record(parser) && parser->field >= 0)
		parser->record.nested[parser->field] = true;
}

static MsgTraceJsonResult
on_object_start(void *state)
{
	PageParser *parser = state;

	note_nested(parser);
	parser->depth++;
	if (is_in_record(parser))
		begin_record(parser);
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_object_end(void *state)
{
	PageParser *parser = state;

	if (is_in_record(parser))
		end_record(parser);
	parser->depth--;
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_array_start(void *state)
{
	PageParser *parser = state;
	PageMember value = value_at_hand(parser);

	note_nested(parser);
	parser->depth++;
	if (value == ROWS_MEMBER || value == WRAPPER_MEMBER)
	{
		parser->rows_depth = parser->depth;
		parser->value_seen = true;
		parser->page->linkless = value == WRAPPER_MEMBER;
	}
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_array_end(void *state)
{
	PageParser *parser = state;

	if (parser->depth == parser->rows_depth)
		parser->rows_depth = 0;
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

/* Reporting's links have been seen under both names. */
static PageMember
page_member(const PageParser *parser, const char *name)
{
	if (strcmp(name, "value") == 0)
		return ROWS_MEMBER;
	if (strcmp(name, "@odata.nextLink") == 0 || strcmp(name, "odata.nextLink") == 0)
		return LINK_MEMBER;
	if (parser->reader->dialect->wrapped && strcmp(name, "d") == 0)
		return WRAPPER_MEMBER;
	return OTHER_MEMBER;
}

/* OData's way to say that something failed after HTTP 200 was sent: rows are missing. */
static bool
is_error(const char *name)
{
	return strcmp(name, "error") == 0 || strcmp(name, "odata.error") == 0;
}

static PageMember
inner_member(const char *name)
{
	if (strcmp(name, "results") == 0)
		return ROWS_MEMBER;
	return strcmp(name, "__next") == 0 ? LINK_MEMBER : OTHER_MEMBER;
}

static MsgTraceJsonResult
on_field_start(void *state, char *name, bool is_null)
{
	PageParser *parser = state;

	if (is_in_record(parser))
		parser->field = find_field(parser, name);
	else if (parser->depth == 1)
	{
		parser->error_seen |= is_error(name) && !is_null;
		parser->member = page_member(parser, name);
		parser->inner = OTHER_MEMBER;
	}
	else if (parser->depth == 2 && parser->member == WRAPPER_MEMBER)
		parser->inner = inner_member(name);
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_scalar(void *state, char *token, JsonTokenType type)
{
	PageParser *parser = state;

	if (is_in_record(parser))
	{
		if (parser->field >= 0)
			parser->record.values[parser->field] = type == JSON_TOKEN_NULL ? NULL : token;
	}
	else if (value_at_hand(parser) == LINK_MEMBER)
	{
		parser->page->next_link = type == JSON_TOKEN_STRING ? token : NULL;
		parser->link_unreadable = type != JSON_TOKEN_STRING && type != JSON_TOKEN_NULL;
	}
	MSGTRACE_JSON_CONTINUE;
}

static MsgTraceJsonResult
on_element_start(void *state, bool is_null pg_attribute_unused())
{
	PageParser *parser = state;

	if (parser->rows_depth > 0 && parser->depth == parser->rows_depth)
		parser->elements++;
	MSGTRACE_JSON_CONTINUE;
}

/* ----------------------------------------------------------- the page */

/* Before each of the readings. */
static void
start_over(PageParser *parser)
{
	parser->depth = parser->rows_depth = 0;
	parser->member = parser->inner = OTHER_MEMBER;
	parser->value_seen = parser->error_seen = parser->link_unreadable = false;
	parser->elements = 0;
	parser->next_broken = 0;
	parser->page->count = parser->page->bad_count = parser->page->records = 0;
	parser->page->next_link = NULL;
	parser->page->linkless = false;
}

/* NULL, or what the parser has against it. */
static const char *
parse(PageParser *parser, char *body, size_t length)
{
	JsonSemAction actions = {.semstate = parser,
							 .object_start = on_object_start,
							 .object_end = on_object_end,
							 .array_start = on_array_start,
							 .array_end = on_array_end,
							 .object_field_start = on_field_start,
							 .array_element_start = on_element_start,
							 .scalar = on_scalar};
	JsonParseErrorType result;

	start_over(parser);
	parser->lexer = msgtrace_json_lexer(body, length);
	result = pg_parse_json(parser->lexer, &actions);
	MemoryContextSwitchTo(parser->page_context); /* it may have ended in a record */
	return result == JSON_SUCCESS ? NULL : json_errdetail(result, parser->lexer);
}

static const char *
wrong_encoding(const char *body, size_t length)
{
	int valid = pg_encoding_verifymbstr(PG_UTF8, body, (int) length);

	if ((size_t) valid == length)
		return NULL;
	return psprintf("Byte %d of the document is not valid UTF-8.", valid + 1);
}

/* A document that is JSON: is it a page? */
static const char *
wrong_shape(const PageParser *parser)
{
	if (parser->error_seen)
		return "The document says that there was an error.";
	if (!parser->value_seen)
		return "There is no array \"value\" in the document.";
	if (parser->page->records != parser->elements)
		return "The array of records has an element that is no object.";
	if (parser->link_unreadable)
		return "The link to the next page is no string.";
	return NULL;
}

/* Read all of it; NULL, or what is wrong with it as a document. */
static const char *
read_document(PageParser *parser, char *body, size_t length)
{
	const char *wrong = wrong_encoding(body, length);

	parser->survey = wrong != NULL;
	if (wrong)
		(void) parse(parser, body, length); /* to see where the records begin */
	else if ((wrong = parse(parser, body, length)) == NULL)
		return wrong_shape(parser);
	if (parser->first_record == NULL)
		return wrong;

	msgtrace_bad_row_isolate(unconstify(char *, parser->first_record), body + length,
							 parser->reader->dialect, &parser->broken);
	if (parser->broken.count == 0 || parser->broken.several || wrong_encoding(body, length))
		return wrong;
	parser->survey = false;
	wrong = parse(parser, body, length);
	return wrong ? wrong : wrong_shape(parser);
}

static void
set_up(PageParser *parser)
{
	MsgTracePage *page = parser->page;

	memset(page, 0, sizeof(*page));
	parser->field_count = MSGTRACE_FIELDS + parser->reader->extra_count;
	parser->record.values = palloc(parser->field_count * sizeof(char *));
	parser->record.nested = palloc(parser->field_count * sizeof(bool));
	parser->record_context = AllocSetContextCreate(parser->page_context, "o365_msgtrace record",
												   ALLOCSET_DEFAULT_SIZES);
	parser->rows_size = parser->reader->delivery ? FEW_ROWS : MANY_ROWS;
	page->rows = palloc(parser->rows_size * sizeof(MsgTraceRow));
}

bool
msgtrace_page_read(MsgTracePage *page, const MsgTracePageReader *reader, char *body, size_t length,
				   MemoryContext context, MsgTraceStatus *status)
{
	PageParser parser = {
		.reader = reader, .page = page, .page_context = context, .body = body, .field = -1};
	MemoryContext before = MemoryContextSwitchTo(context);
	const char *wrong;

	set_up(&parser);
	msgtrace_escape_mend(body, length, &parser.mends);
	page->replaced = parser.mends.count;
	wrong = read_document(&parser, body, length);
	if (wrong)
	{
		status->fault = MSGTRACE_UNREADABLE;
		status->words = msgtrace_status_keep(status, wrong);
	}
	MemoryContextSwitchTo(before);
	return wrong == NULL;
}
