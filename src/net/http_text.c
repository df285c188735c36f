/*-------------------------------------------------------------------------
 *
 * http_text.c
 *		Texts of HTTP that need no connection.
 *
 *-------------------------------------------------------------------------
 */
#include "net/http_text.h"

#include <ctype.h>

static const char hex_digits[] = "0123456789ABCDEF";

char *
msgtrace_http_escape(const char *text)
{
	static const char unreserved[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *escaped = palloc(strlen(text) * 3 + 1);
	char *out = escaped;

	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (strchr(unreserved, c))
			*out++ = *text;
		else
		{
			*out++ = '%';
			*out++ = hex_digits[c >> 4];
			*out++ = hex_digits[c & 15];
		}
	}
	*out = '\0';
	return escaped;
}

static int
hex_value(char digit)
{
	const char *found = digit ? strchr(hex_digits, toupper((unsigned char) digit)) : NULL;

	return found ? (int) (found - hex_digits) : -1;
}

char *
msgtrace_http_unescape(const char *text)
{
	char *unescaped = palloc(strlen(text) + 1);
	char *out = unescaped;

	for (; *text; text++)
	{
		int high = *text == '%' ? hex_value(text[1]) : -1;
		int low = high >= 0 ? hex_value(text[2]) : -1;

		if (low >= 0 && high + low > 0) /* %00 would end the text */
		{
			*out++ = (char) (high << 4 | low);
			text += 2;
		}
		else
			*out++ = *text;
	}
	*out = '\0';
	return unescaped;
}

bool
msgtrace_http_new_uuid(char *uuid)
{
	uint8 random[16];

	*uuid = '\0';
	if (!pg_strong_random(random, sizeof(random)))
		return false;
	random[6] = (random[6] & 0x0f) | 0x40; /* version 4 */
	random[8] = (random[8] & 0x3f) | 0x80; /* variant 1 */
	for (size_t i = 0; i < sizeof(random); i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*uuid++ = '-';
		*uuid++ = (char) tolower((unsigned char) hex_digits[random[i] >> 4]);
		*uuid++ = (char) tolower((unsigned char) hex_digits[random[i] & 15]);
	}
	*uuid = '\0';
	return true;
}

char *
msgtrace_http_without_skiptoken(const char *url)
{
	char *copy = pstrdup(url);
	char *name = strcasestr(copy, "skiptoken=");
	size_t length;

	if (name)
	{
		char *end = name + strcspn(name, "&#");

		while (name > copy && name[-1] != '?' && name[-1] != '&')
			name--;
		memmove(name, *end == '&' ? end + 1 : end, strlen(*end == '&' ? end + 1 : end) + 1);
		length = strlen(copy);
		if (length > 0 && (copy[length - 1] == '?' || copy[length - 1] == '&'))
			copy[length - 1] = '\0';
	}
	return copy;
}
