/*-------------------------------------------------------------------------
 *
 * escape.c
 *		Escapes of characters that PostgreSQL's text cannot hold.
 *
 * The server's parser gives up a whole document at the first \u0000 or lone
 * surrogate; so they are replaced before it sees them, by what has the same
 * length.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/escape.h"

#include <ctype.h>

#include "utils/memutils.h"

#define DIGITS 4
#define ESCAPE_LENGTH (2 + DIGITS) /* \uXXXX */
#define FIRST_SIZE 16

typedef struct MsgTraceMend
{
	uint32 offset; /* of the digits in the document */
	char digits[DIGITS];
} MsgTraceMend;

static bool
is_hex4(const char *text, unsigned int *value)
{
	*value = 0;
	for (int i = 0; i < DIGITS; i++)
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

	return end - text >= ESCAPE_LENGTH && text[0] == '\\' && text[1] == 'u' &&
		   is_hex4(text + 2, &code) && code >= 0xDC00 && code <= 0xDFFF;
}

static void
mend(char *document, char *digits, MsgTraceMends *mends)
{
	MsgTraceMend *entry;

	if (mends->count == mends->size)
	{
		mends->size = Max(FIRST_SIZE, mends->size * 2);
		mends->list = mends->count == 0
						  ? palloc(mends->size * sizeof(MsgTraceMend))
						  : repalloc_huge(mends->list, mends->size * sizeof(MsgTraceMend));
	}
	entry = &mends->list[mends->count++];
	entry->offset = (uint32) (digits - document);
	memcpy(entry->digits, digits, DIGITS);
	memcpy(digits, "fffd", DIGITS);
}

/* Backslashes stand in strings only; elsewhere the parser will complain. */
void
msgtrace_escape_mend(char *document, size_t length, MsgTraceMends *mends)
{
	char *end = document + length;
	char *at = document;

	while ((at = memchr(at, '\\', end - at)) != NULL)
	{
		unsigned int code;

		if (end - at < ESCAPE_LENGTH || at[1] != 'u' || !is_hex4(at + 2, &code))
		{
			if (end - at < 2)
				break;
			at += 2; /* the pair \\ is one escape: skip its second half */
			continue;
		}
		if (code >= 0xD800 && code <= 0xDBFF && is_low_surrogate_escape(at + ESCAPE_LENGTH, end))
		{
			at += 2 * ESCAPE_LENGTH;
			continue;
		}
		if (code == 0 || (code >= 0xD800 && code <= 0xDFFF))
			mend(document, at + 2, mends);
		at += ESCAPE_LENGTH;
	}
}

/* The first entry at this offset or behind it. */
static int
find_mend(const MsgTraceMends *mends, size_t offset)
{
	int low = 0;
	int high = mends->count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (mends->list[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

char *
msgtrace_escape_restore(const MsgTraceMends *mends, const char *document, const char *part,
						char *copy, size_t length)
{
	size_t start = (size_t) (part - document);

	for (int i = find_mend(mends, start);
		 i < mends->count && mends->list[i].offset + DIGITS <= start + length; i++)
		memcpy(copy + (mends->list[i].offset - start), mends->list[i].digits, DIGITS);
	return copy;
}

const char *
msgtrace_escape_original(const MsgTraceMends *mends, const char *document, const char *part,
						 size_t length)
{
	size_t start = (size_t) (part - document);
	int next = find_mend(mends, start);
	char *copy;

	if (next == mends->count || mends->list[next].offset >= start + length)
		return part;
	copy = MemoryContextAllocHuge(CurrentMemoryContext, length);
	memcpy(copy, part, length);
	return msgtrace_escape_restore(mends, document, part, copy, length);
}
