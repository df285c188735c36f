/*
 * escape.c
 *	  JSON strings as different servers write them.
 *
 * The service escapes more than JSON demands, and not always the same: a
 * message picks its style, so that readers meet all of them.
 */
#include "escape.h"

#include <string.h>

static unsigned char special[ESCAPE_STYLES][256];

void
escape_start(void)
{
	for (int style = 0; style < ESCAPE_STYLES; style++)
	{
		for (int c = 0; c < 256; c++)
			special[style][c] = c < 0x20 || c == '"' || c == '\\' ||
								(style == ESCAPE_ASCII && c >= 0x80) ||
								(style != ESCAPE_PLAIN && c != 0 && strchr("<>&'+", c) != NULL);
	}
}

static char *
put_unit(char *out, unsigned unit)
{
	static const char hex[] = "0123456789abcdef";

	*out++ = '\\';
	*out++ = 'u';
	for (int shift = 12; shift >= 0; shift -= 4)
		*out++ = hex[unit >> shift & 15];
	return out;
}

static char *
put_code_point(char *out, unsigned c)
{
	if (c < 0x10000)
		return put_unit(out, c);
	c -= 0x10000;
	out = put_unit(out, 0xd800 | c >> 10);
	return put_unit(out, 0xdc00 | (c & 0x3ff));
}

/* Escapes the character at *text, which must be well-formed; moves *text. */
static char *
put_escaped(char *out, const unsigned char **text, const unsigned char *end)
{
	unsigned c = *(*text)++;
	int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

	if (c == '"' || c == '\\')
	{
		*out++ = '\\';
		*out++ = (char) c;
		return out;
	}
	if (c == '\t' || c == '\n')
	{
		*out++ = '\\';
		*out++ = c == '\t' ? 't' : 'n';
		return out;
	}
	if (more > 0)
		c &= 0x3fu >> more;
	while (more-- > 0 && *text < end)
		c = c << 6 | (*(*text)++ & 63u);
	return put_code_point(out, c);
}

/*
 * Writes the string with its quotes, or null; returns the end.
 */
char *
escape_json(char *out, Span text, EscapeStyle style)
{
	const unsigned char *from = (const unsigned char *) text.data;
	const unsigned char *end = from + text.length;
	const unsigned char *needs = special[style];

	if (text.data == NULL)
	{
		memcpy(out, "null", 4);
		return out + 4;
	}
	*out++ = '"';
	while (from < end)
	{
		if (needs[*from])
			out = put_escaped(out, &from, end);
		else
			*out++ = (char) *from++;
	}
	*out++ = '"';
	return out;
}
