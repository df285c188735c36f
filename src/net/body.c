/*-------------------------------------------------------------------------
 *
 * body.c
 *		The body of an answer, as it comes in.
 *
 * It grows inside of curl's callbacks, and is malloc'ed since palloc may throw.
 *
 *-------------------------------------------------------------------------
 */
#include "net/body.h"

/* A body of this size is kept allocated for the next page. */
#define FIRST_SIZE (64 * 1024)

void
msgtrace_body_clear(MsgTraceBody *body, bool wipe)
{
	if (body->data && wipe)
		explicit_bzero(body->data, body->size);
	else if (body->data)
		body->data[0] = '\0';
	body->length = 0;
	body->too_large = false;
}

void
msgtrace_body_free(MsgTraceBody *body)
{
	free(body->data);
	memset(body, 0, sizeof(*body));
}

static bool
make_room(MsgTraceBody *body, size_t more)
{
	size_t needed = body->length + more + 1;
	size_t size = Max(body->size, FIRST_SIZE);
	char *data;

	if (needed <= body->size)
		return true;
	while (size < needed)
		size *= 2;
	data = realloc(body->data, size);
	if (data == NULL)
		return false;
	body->data = data;
	body->size = size;
	return true;
}

bool
msgtrace_body_add(MsgTraceBody *body, const char *data, size_t length)
{
	body->too_large = length > body->ceiling - body->length;
	if (body->too_large || !make_room(body, length))
		return false;
	memcpy(body->data + body->length, data, length);
	body->length += length;
	body->data[body->length] = '\0';
	return true;
}
