/*-------------------------------------------------------------------------
 *
 * pattern.c
 *		What the service can be asked of a LIKE pattern.
 *
 * The service knows one test of a subject: that it begins with a text, ends with
 * it or contains it, whatever the case.  A pattern is a row of such texts, its
 * runs, with wildcards between; one of them is asked for, the executor checks the
 * rest.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/pattern.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

/* As for any value: nothing longer was seen in a filter. */
#define MAX_RUN_BYTES 256

/* That a run stands at an end is worth as much as so many letters more. */
#define WORTH_OF_AN_END 2

/* Literal text between two wildcards. */
typedef struct Run
{
	StringInfoData text;
	bool at_start; /* nothing stands before it */
	bool at_end;   /* nor behind it */
} Run;

/* The best run so far. */
typedef struct Choice
{
	const char *text;
	int worth;
	MsgTraceSubjectTest test;
} Choice;

static bool
is_replacement(const char *c)
{
	return memcmp(c, "\xef\xbf\xbd", 3) == 0;
}

/*
 * May this character be asked for?  A star may be a wildcard to the service,
 * control characters are who knows what, and U+FFFD stands here for what the
 * service holds as something else.  Where lower() makes "i" of a dotted capital
 * I and "k" of the Kelvin sign, the service may not; it is asked for neither,
 * nor for letters beyond ASCII.
 */
static bool
can_ask_for(const char *c, int length, MsgTracePatternKind kind)
{
	unsigned char first = (unsigned char) *c;

	if (*c == '*' || first < ' ' || first == 0x7f || (length == 3 && is_replacement(c)))
		return false;
	return kind != MSGTRACE_PATTERN_ILIKE || (first < 0x80 && strchr("iIkK", *c) == NULL);
}

/* Spaces at an edge may be trimmed by the service: do it here, and know it. */
static void
trim(Run *run)
{
	StringInfo text = &run->text;
	int leading = (int) strspn(text->data, " ");

	if (leading > 0)
	{
		memmove(text->data, text->data + leading, text->len - leading + 1);
		text->len -= leading;
		run->at_start = false;
	}
	while (text->len > 0 && text->data[text->len - 1] == ' ')
	{
		text->data[--text->len] = '\0';
		run->at_end = false;
	}
}

/* A long one loses what is behind, or what is before where its end counts. */
static void
cut(Run *run)
{
	StringInfo text = &run->text;
	int length;

	if (text->len <= MAX_RUN_BYTES)
		return;
	if (run->at_end && !run->at_start)
	{
		char *tail = text->data + text->len - MAX_RUN_BYTES;

		while ((*tail & 0xc0) == 0x80) /* in the middle of a character */
			tail++;
		length = text->len - (int) (tail - text->data);
		memmove(text->data, tail, length + 1);
	}
	else
	{
		length = pg_mbcliplen(text->data, text->len, MAX_RUN_BYTES);
		text->data[length] = '\0';
		run->at_end = false;
	}
	text->len = length;
	trim(run); /* the cut may have come before a space */
}

static void
end_run(Choice *choice, Run *run)
{
	int worth;

	trim(run);
	cut(run);
	worth = run->text.len + (run->at_start || run->at_end ? WORTH_OF_AN_END : 0);
	if (run->text.len > 0 && worth > choice->worth)
	{
		choice->worth = worth;
		choice->text = pstrdup(run->text.data);
		choice->test = run->at_start ? MSGTRACE_SUBJECT_STARTS
					   : run->at_end ? MSGTRACE_SUBJECT_ENDS
									 : MSGTRACE_SUBJECT_CONTAINS;
	}
	resetStringInfo(&run->text);
	run->at_start = run->at_end = false;
}

bool
msgtrace_pattern_test(const char *pattern, MsgTracePatternKind kind, MsgTraceSubjectTest *test,
					  const char **text)
{
	Choice choice = {0};
	Run run = {.at_start = true};

	initStringInfo(&run.text);
	while (*pattern)
	{
		int length;

		if (kind != MSGTRACE_PATTERN_BEGINNING && (*pattern == '%' || *pattern == '_'))
		{
			end_run(&choice, &run);
			pattern++;
			continue;
		}
		if (kind != MSGTRACE_PATTERN_BEGINNING && *pattern == '\\' && *++pattern == '\0')
			return false; /* LIKE will refuse it */
		length = pg_mblen(pattern);
		if (can_ask_for(pattern, length, kind))
			appendBinaryStringInfo(&run.text, pattern, length);
		else
			end_run(&choice, &run);
		pattern += length;
	}
	run.at_end = run.text.len > 0 && kind != MSGTRACE_PATTERN_BEGINNING;
	end_run(&choice, &run);
	*test = choice.test;
	*text = choice.text;
	return choice.text != NULL;
}
