/*-------------------------------------------------------------------------
 *
 * base64.c
 *		Bytes as text.
 *
 *-------------------------------------------------------------------------
 */
#include "net/base64.h"

#include "common/base64.h"

char *
msgtrace_base64(const void *bytes, size_t length)
{
	int room = pg_b64_enc_len((int) length);
	char *text = palloc(room + 1);
	int used = pg_b64_encode(bytes, (int) length, text, room);

	text[Max(used, 0)] = '\0';
	return text;
}

char *
msgtrace_base64url(const void *bytes, size_t length)
{
	char *text = msgtrace_base64(bytes, length);

	for (char *c = text; *c; c++)
	{
		if (*c == '+')
			*c = '-';
		else if (*c == '/')
			*c = '_';
		else if (*c == '=')
			*c = '\0'; /* the rest is padding, too */
	}
	return text;
}
