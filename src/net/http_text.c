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

/* ------------------------------------------------------------------ URLs */

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* What a URL says before its path; pointers into it. */
typedef struct Origin
{
	const char *scheme;
	int scheme_length;
	const char *host;
	int host_length;
	int port;		  /* the scheme's own where the URL has none; 0 = not known */
	const char *rest; /* path, query and fragment */
} Origin;

static int
usual_port(const Origin *origin)
{
	if (origin->scheme_length == 5 && pg_strncasecmp(origin->scheme, "https", 5) == 0)
		return 443;
	return origin->scheme_length == 4 && pg_strncasecmp(origin->scheme, "http", 4) == 0 ? 80 : 0;
}

/* The end of a host: a name, an address, or an address in brackets; NULL = none. */
static const char *
end_of_host(const char *host)
{
	const char *end;

	if (*host != '[')
		end = host + strspn(host, LETTERS DIGITS ".-_");
	else
	{
		end = host + 1 + strspn(host + 1, DIGITS "abcdefABCDEF:.");
		if (*end++ != ']')
			return NULL;
	}
	return end > host ? end : NULL;
}

/*
 * Strict: where another reader of URLs could see another host (a user before it,
 * a backslash, a port without a number), there is no origin.
 */
static bool
read_origin(Origin *origin, const char *url)
{
	const char *at;

	origin->scheme = url;
	origin->scheme_length = (int) strspn(url, LETTERS);
	if (origin->scheme_length == 0 || strncmp(url + origin->scheme_length, "://", 3) != 0)
		return false;
	origin->host = url + origin->scheme_length + 3;
	at = end_of_host(origin->host);
	if (at == NULL)
		return false;
	origin->host_length = (int) (at - origin->host);
	origin->port = usual_port(origin);
	if (*at == ':')
	{
		size_t digits = strspn(++at, DIGITS);

		if (digits == 0 || digits > 5)
			return false;
		origin->port = (int) strtol(at, NULL, 10);
		at += digits;
	}
	origin->rest = at;
	return strchr("/?#", *at) != NULL; /* finds the end, too */
}

static bool
same_part(const char *one, int one_length, const char *other, int other_length)
{
	return one_length == other_length && pg_strncasecmp(one, other, one_length) == 0;
}

bool
msgtrace_http_same_origin(const char *one, const char *other)
{
	Origin a;
	Origin b;

	return read_origin(&a, one) && read_origin(&b, other) && a.port == b.port &&
		   same_part(a.scheme, a.scheme_length, b.scheme, b.scheme_length) &&
		   same_part(a.host, a.host_length, b.host, b.host_length);
}

bool
msgtrace_http_is_plain_url(const char *url)
{
	Origin origin;

	if (!read_origin(&origin, url))
		return false;
	for (const char *c = origin.rest; *c; c++)
	{
		if (*c == '?' || *c == '#' || *c == '\\' || *c == 0x7f || (unsigned char) *c <= ' ')
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------- ids */

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
