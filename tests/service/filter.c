/*
 * filter.c
 *	  What a $filter asks for, after the service's own way of reading it.
 *
 * The service does not evaluate an expression: it walks over it and keeps, for
 * each property, the last condition it can use. So `or` is read like `and`, and
 * `ne`, `in`, `not` and functions on addresses are read and dropped.
 */
#include "filter.h"

#include "fold.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_DEPTH 50 /* of parentheses */

typedef enum TokenKind
{
	TOKEN_END,
	TOKEN_NAME,	  /* a word, number, GUID or time without quotes */
	TOKEN_STRING, /* '…', value without quotes and doubling */
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_BAD
} TokenKind;

typedef struct Token
{
	TokenKind kind;
	const char *start; /* in the source */
	size_t source_length;
	char *value; /* of a string, else NULL */
} Token;

typedef struct Parser
{
	Filter *filter;
	FilterDialect dialect;
	const char *text;
	const char *cursor;
	Token token;
	Buffer *error;
	int depth;
} Parser;

typedef struct Property
{
	const char *name;
	int field; /* FilterField, or one of those below */
} Property;

enum
{
	FIELD_RECEIVED = FILTER_FIELDS,
	FIELD_FROM,
	FIELD_TO,
	FIELD_OTHER
};

static const Property graph_properties[] = {{"id", FIELD_ID},
											{"messageId", FIELD_MESSAGE_ID},
											{"senderAddress", FIELD_SENDER},
											{"recipientAddress", FIELD_RECIPIENT},
											{"status", FIELD_STATUS},
											{"fromIP", FIELD_FROM_IP},
											{"toIP", FIELD_TO_IP},
											{"subject", FIELD_SUBJECT},
											{"receivedDateTime", FIELD_RECEIVED},
											{"size", FIELD_OTHER},
											{NULL, 0}};

static const Property reporting_properties[] = {{"MessageTraceId", FIELD_ID},
												{"MessageId", FIELD_MESSAGE_ID},
												{"SenderAddress", FIELD_SENDER},
												{"RecipientAddress", FIELD_RECIPIENT},
												{"Status", FIELD_STATUS},
												{"FromIP", FIELD_FROM_IP},
												{"ToIP", FIELD_TO_IP},
												{"StartDate", FIELD_FROM},
												{"EndDate", FIELD_TO},
												{"Organization", FIELD_OTHER},
												{"Received", FIELD_OTHER},
												{"Size", FIELD_OTHER},
												{"Index", FIELD_OTHER},
												{"Subject", FIELD_OTHER},
												{NULL, 0}};

/* ---- tokens ---- */

static bool
is_word_char(char c)
{
	return c != '\0' && strchr(" \t\r\n(),'", c) == NULL;
}

/* A quoted string; a quote inside it is doubled. */
static void
read_string(Parser *parser)
{
	const char *from = parser->cursor + 1;
	char *value = malloc(strlen(from) + 1);
	size_t length = 0;

	if (value == NULL)
		abort();
	while (*from && (*from != '\'' || from[1] == '\''))
	{
		if (*from == '\'')
			from++;
		value[length++] = *from++;
	}
	value[length] = '\0';
	parser->token.kind = *from ? TOKEN_STRING : TOKEN_BAD;
	parser->token.value = value;
	parser->cursor = *from ? from + 1 : from;
}

static void
next_token(Parser *parser)
{
	Token *token = &parser->token;

	free(token->value);
	token->value = NULL;
	while (*parser->cursor && strchr(" \t\r\n", *parser->cursor))
		parser->cursor++;
	token->start = parser->cursor;
	switch (*parser->cursor)
	{
		case '\0':
			token->kind = TOKEN_END;
			break;
		case '(':
			token->kind = TOKEN_OPEN;
			parser->cursor++;
			break;
		case ')':
			token->kind = TOKEN_CLOSE;
			parser->cursor++;
			break;
		case ',':
			token->kind = TOKEN_COMMA;
			parser->cursor++;
			break;
		case '\'':
			read_string(parser);
			break;
		default:
			token->kind = TOKEN_NAME;
			while (is_word_char(*parser->cursor))
				parser->cursor++;
	}
	token->source_length = (size_t) (parser->cursor - token->start);
}

static bool
token_is(const Parser *parser, const char *word)
{
	return parser->token.kind == TOKEN_NAME && parser->token.source_length == strlen(word) &&
		   strncasecmp(parser->token.start, word, parser->token.source_length) == 0;
}

static bool
fail(Parser *parser, const char *what)
{
	buffer_printf(parser->error, "Invalid filter clause: %s at position %zu.", what,
				  (size_t) (parser->token.start - parser->text));
	return false;
}

/* ---- conditions ---- */

static bool
find_property(Parser *parser, int *field)
{
	const Property *property = parser->dialect == FILTER_GRAPH ? graph_properties
															   : reporting_properties;

	for (; property->name; property++)
	{
		if (!token_is(parser, property->name))
			continue;
		*field = property->field;
		return true;
	}
	buffer_printf(parser->error, "Could not find a property named '%.*s' on type '%s'.",
				  (int) parser->token.source_length, parser->token.start,
				  parser->dialect == FILTER_GRAPH ? "microsoft.graph.exchangeMessageTrace"
												  : "MessageTrace");
	return false;
}

static void
set_condition(Filter *filter, int field, FilterTest test, const char *value)
{
	FilterCondition *condition = &filter->conditions[field];
	const char *star = strchr(value, '*');

	free(condition->value);
	condition->value = malloc(strlen(value) * 2 + 8);
	if (condition->value == NULL)
		abort();
	condition->test = test;
	if (star && test == TEST_EQUAL && (field == FIELD_SENDER || field == FIELD_RECIPIENT))
	{
		/* only *@domain of a sender means something */
		bool domain = field == FIELD_SENDER && star == value && value[1] == '@' &&
					  !strchr(value + 1, '*');

		condition->test = domain ? TEST_ENDS : TEST_NEVER;
		value++;
	}
	condition->length = fold_text(condition->value, strlen(value) * 2 + 7, value, strlen(value));
}

/* The text of a literal: quoted, bare, or with a type before its quotes. */
static bool
take_literal(Parser *parser, char **value)
{
	if (parser->token.kind == TOKEN_NAME && *parser->cursor == '\'' &&
		(token_is(parser, "datetime") || token_is(parser, "guid") ||
		 token_is(parser, "datetimeoffset")))
		next_token(parser);
	if (parser->token.kind == TOKEN_STRING)
		*value = strdup(parser->token.value);
	else if (parser->token.kind == TOKEN_NAME)
		*value = strndup(parser->token.start, parser->token.source_length);
	else
		return fail(parser, "a literal is expected");
	next_token(parser);
	return true;
}

static bool
set_bound(Parser *parser, bool upper, const char *value)
{
	Tick moment;

	if (!moment_parse(value, strlen(value), parser->dialect == FILTER_GRAPH, &moment))
	{
		buffer_printf(parser->error, "Invalid filter clause: '%s' is not a valid DateTimeOffset.",
					  value);
		return false;
	}
	if (upper)
	{
		parser->filter->has_to = true;
		parser->filter->to = moment;
	}
	else
	{
		parser->filter->has_from = true;
		parser->filter->from = moment;
	}
	return true;
}

/* The condition `field operator value`, as far as the service uses it. */
static bool
apply(Parser *parser, int field, const char *operator, const char * value, bool ignored)
{
	bool equal = strcasecmp(operator, "eq") == 0;

	if (field == FIELD_RECEIVED)
	{
		bool upper = strcasecmp(operator, "le") == 0 || strcasecmp(operator, "lt") == 0;
		bool lower = strcasecmp(operator, "ge") == 0 || strcasecmp(operator, "gt") == 0;

		return ignored || (!upper && !lower) || set_bound(parser, upper, value);
	}
	if (ignored || !equal)
		return true;
	if (field == FIELD_FROM || field == FIELD_TO)
		return set_bound(parser, field == FIELD_TO, value);
	if (field < FILTER_FIELDS && field != FIELD_SUBJECT)
		set_condition(parser->filter, field, TEST_EQUAL, value);
	return true;
}

static bool
is_operator(const Parser *parser)
{
	static const char *const operators[] = {"eq", "ne", "gt", "ge", "lt", "le"};

	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
		if (token_is(parser, operators[i]))
			return true;
	return false;
}

/* `('a','b')` after `in`: read and forgotten. */
static bool
skip_list(Parser *parser)
{
	next_token(parser);
	if (parser->token.kind != TOKEN_OPEN)
		return fail(parser, "a list is expected");
	do
	{
		char *value;

		next_token(parser);
		if (!take_literal(parser, &value))
			return false;
		free(value);
	} while (parser->token.kind == TOKEN_COMMA);
	if (parser->token.kind != TOKEN_CLOSE)
		return fail(parser, "a closing parenthesis is expected");
	next_token(parser);
	return true;
}

static bool
parse_comparison(Parser *parser, bool ignored)
{
	char operator[3];
	char *value;
	int field;
	bool good;

	if (!find_property(parser, &field))
		return false;
	next_token(parser);
	if (token_is(parser, "in"))
		return skip_list(parser);
	if (!is_operator(parser))
		return fail(parser, "an operator is expected");
	memcpy(operator, parser->token.start, 2);
	operator[2] = '\0';
	next_token(parser);
	if (!take_literal(parser, &value))
		return false;
	good = apply(parser, field, operator, value, ignored);
	free(value);
	return good;
}

static FilterTest
function_test(const Parser *parser)
{
	if (token_is(parser, "contains"))
		return TEST_CONTAINS;
	if (token_is(parser, "startswith"))
		return TEST_STARTS;
	return token_is(parser, "endswith") ? TEST_ENDS : TEST_NONE;
}

/* contains(subject,'x') and its two sisters; on other properties ignored. */
static bool
parse_function(Parser *parser, FilterTest test, bool ignored)
{
	char *value;
	int field;

	next_token(parser);
	if (parser->token.kind != TOKEN_OPEN)
		return fail(parser, "an opening parenthesis is expected");
	next_token(parser);
	if (!find_property(parser, &field))
		return false;
	next_token(parser);
	if (parser->token.kind != TOKEN_COMMA)
		return fail(parser, "a comma is expected");
	next_token(parser);
	if (!take_literal(parser, &value))
		return false;
	if (field == FIELD_SUBJECT && !ignored && parser->dialect == FILTER_GRAPH)
		set_condition(parser->filter, field, test, value);
	free(value);
	if (parser->token.kind != TOKEN_CLOSE)
		return fail(parser, "a closing parenthesis is expected");
	next_token(parser);
	return true;
}

static bool parse_expression(Parser *parser, bool ignored);

static bool
parse_term(Parser *parser, bool ignored)
{
	FilterTest test;

	while (token_is(parser, "not"))
	{
		ignored = true;
		next_token(parser);
	}
	if (parser->token.kind == TOKEN_OPEN)
	{
		next_token(parser);
		if (!parse_expression(parser, ignored))
			return false;
		if (parser->token.kind != TOKEN_CLOSE)
			return fail(parser, "a closing parenthesis is expected");
		next_token(parser);
		return true;
	}
	test = function_test(parser);
	return test ? parse_function(parser, test, ignored) : parse_comparison(parser, ignored);
}

static bool
parse_expression(Parser *parser, bool ignored)
{
	if (++parser->depth > MAX_DEPTH)
		return fail(parser, "too many parentheses");
	if (!parse_term(parser, ignored))
		return false;
	while (token_is(parser, "and") || token_is(parser, "or"))
	{
		next_token(parser);
		if (!parse_term(parser, ignored))
			return false;
	}
	parser->depth--;
	return true;
}

/*
 * Reads a $filter; NULL or blank asks for everything. On false the reason is
 * in `error`. The filter must be freed either way.
 */
bool
filter_parse(Filter *filter, FilterDialect dialect, const char *text, Buffer *error)
{
	Parser parser = {
		.filter = filter, .dialect = dialect, .text = text, .cursor = text, .error = error};
	bool good;

	memset(filter, 0, sizeof(*filter));
	if (text == NULL)
		return true;
	next_token(&parser);
	if (parser.token.kind == TOKEN_END)
		return true;
	good = parse_expression(&parser, false);
	if (good && parser.token.kind != TOKEN_END)
		good = fail(&parser, "the end is expected");
	free(parser.token.value);
	return good;
}

void
filter_free(Filter *filter)
{
	for (int i = 0; i < FILTER_FIELDS; i++)
		free(filter->conditions[i].value);
	memset(filter, 0, sizeof(*filter));
}

/* ---- matching ---- */

static bool
test_folded(const FilterCondition *condition, const char *text, size_t length)
{
	if (condition->length > length)
		return false;
	switch (condition->test)
	{
		case TEST_NONE:
			return true;
		case TEST_EQUAL:
			return length == condition->length && memcmp(text, condition->value, length) == 0;
		case TEST_STARTS:
			return memcmp(text, condition->value, condition->length) == 0;
		case TEST_ENDS:
			return memcmp(text + length - condition->length, condition->value, condition->length) ==
				   0;
		case TEST_CONTAINS:
			return condition->length == 0 ||
				   memmem(text, length, condition->value, condition->length) != NULL;
		case TEST_NEVER:
			break;
	}
	return false;
}

static bool
test_span(const FilterCondition *condition, Span span)
{
	char folded[2048];
	size_t length;

	if (condition->test == TEST_NONE)
		return true;
	if (span.data == NULL)
		return false;
	length = fold_text(folded, sizeof(folded), span.data, span.length);
	return test_folded(condition, folded, length);
}

/* Addresses of generated rows are kept folded, so nothing is spelled out. */
static bool
test_addresses(const Filter *filter, const Row *row)
{
	const FilterCondition *sender = &filter->conditions[FIELD_SENDER];
	const FilterCondition *recipient = &filter->conditions[FIELD_RECIPIENT];

	if (row->given)
		return test_span(sender, row_sender(row, NULL)) &&
			   test_span(recipient, row_recipient(row, NULL));
	return (recipient->test == TEST_NONE ||
			test_folded(recipient, row->recipient->text, row->recipient->length)) &&
		   (sender->test == TEST_NONE ||
			test_folded(sender, row->facts->sender->text, row->facts->sender->length));
}

static bool
test_id(const FilterCondition *condition, const Row *row)
{
	char id[ROW_ID_SIZE];
	Span span = {id, ROW_ID_SIZE};

	row_write_id(row, id);
	return test_span(condition, span);
}

static bool
test_texts(const Filter *filter, const Row *row)
{
	const FilterCondition *conditions = filter->conditions;
	char scratch[ROW_SCRATCH];

	return (conditions[FIELD_ID].test == TEST_NONE || test_id(&conditions[FIELD_ID], row)) &&
		   (conditions[FIELD_MESSAGE_ID].test == TEST_NONE ||
			test_span(&conditions[FIELD_MESSAGE_ID], row_message_id(row, scratch))) &&
		   (conditions[FIELD_SUBJECT].test == TEST_NONE ||
			test_span(&conditions[FIELD_SUBJECT], row_subject(row, scratch)));
}

static bool
test_details(const Filter *filter, const Row *row, Tick now)
{
	const FilterCondition *conditions = filter->conditions;
	RowDetails details = {0};
	char scratch[ROW_SCRATCH];

	if (conditions[FIELD_STATUS].test == TEST_NONE && conditions[FIELD_FROM_IP].test == TEST_NONE &&
		conditions[FIELD_TO_IP].test == TEST_NONE)
		return true;
	if (!row->given)
		world_row_details(row, &details);
	return test_span(&conditions[FIELD_STATUS], row_status(row, &details, now)) &&
		   test_span(&conditions[FIELD_FROM_IP], row_from_ip(row, &details, scratch)) &&
		   test_span(&conditions[FIELD_TO_IP], row_to_ip(row, &details, scratch));
}

/*
 * Does the row satisfy all but the window? The cheap tests come first.
 */
bool
filter_match(const Filter *filter, const Row *row, Tick now)
{
	return test_addresses(filter, row) && test_texts(filter, row) && test_details(filter, row, now);
}
