/*-------------------------------------------------------------------------
 *
 * claims.c
 *		What an access token says of itself.
 *
 * A token is a JWT: three parts in base64url, of which the second is a JSON
 * object.  Microsoft calls its tokens opaque to clients, so that nothing may fail
 * when one cannot be read.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/claims.h"

#include "net/document.h"

/* Real ones have some 1500 bytes. */
#define MAX_CLAIMS_BYTES 65536

static int
digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

/* NULL when the text is not base64url. */
static char *
decode_base64url(const char *text, size_t length, size_t *decoded)
{
	char *bytes = palloc(length + 1);
	uint32 bits = 0;
	int count = 0;

	*decoded = 0;
	for (size_t i = 0; i < length; i++)
	{
		int digit = digit_of(text[i]);

		if (digit < 0)
			return NULL;
		bits = bits << 6 | (uint32) digit;
		count += 6;
		if (count >= 8)
		{
			count -= 8;
			bytes[(*decoded)++] = (char) (bits >> count & 0xff);
		}
	}
	return bytes;
}

static MsgTraceDocument *
read_payload(const char *token)
{
	const char *start = strchr(token, '.');
	const char *end = start ? strchr(start + 1, '.') : NULL;
	char *bytes;
	size_t length;

	if (end == NULL || end - start > MAX_CLAIMS_BYTES)
		return NULL;
	bytes = decode_base64url(start + 1, (size_t) (end - start - 1), &length);
	return bytes ? msgtrace_document_read(bytes, length) : NULL;
}

static char *
lower_case(const char *text)
{
	char *copy = pstrdup(text);

	for (char *c = copy; *c; c++)
		*c = (char) pg_ascii_tolower((unsigned char) *c);
	return copy;
}

void
msgtrace_claims_read(MsgTraceClaims *claims, const char *token)
{
	MsgTraceDocument *document = read_payload(token);
	const char *tid = document ? msgtrace_document_string(document, "tid") : NULL;
	const char *roles = document ? msgtrace_document_strings(document, "roles") : NULL;

	claims->readable = document != NULL;
	claims->tid = tid && *tid ? lower_case(tid) : NULL;
	claims->roles = roles ? roles : "";
	msgtrace_document_free(document);
}

bool
msgtrace_claims_have_role(const MsgTraceClaims *claims, const char *role)
{
	size_t length = strlen(role);
	const char *place = claims->roles;

	while ((place = strstr(place, role)) != NULL)
	{
		if ((place == claims->roles || place[-1] == ' ') && strchr(" ", place[length]) != NULL)
			return true; /* strchr finds the end, too */
		place += length;
	}
	return false;
}
