/*
 * buffer.c
 *	  A growing piece of memory for text that is sent.
 *
 * Allocation failure ends the program: it is a test tool, and going on without
 * the rows would make a wrong test pass.
 */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Makes room for `more` bytes and returns where they go; the caller adds to
 * length what it wrote.
 */
char *
buffer_reserve(Buffer *buffer, size_t more)
{
	size_t needed = buffer->length + more;

	if (needed > buffer->room)
	{
		size_t room = buffer->room ? buffer->room * 2 : 1024;

		while (room < needed)
			room *= 2;
		buffer->data = realloc(buffer->data, room);
		if (buffer->data == NULL)
		{
			fprintf(stderr, "msgtrace-service: out of memory\n");
			abort();
		}
		buffer->room = room;
	}
	return buffer->data + buffer->length;
}

void
buffer_add(Buffer *buffer, const char *bytes, size_t length)
{
	if (length == 0)
		return;
	memcpy(buffer_reserve(buffer, length), bytes, length);
	buffer->length += length;
}

void
buffer_add_text(Buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

void
buffer_printf(Buffer *buffer, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		return;
	buffer_reserve(buffer, (size_t) length + 1);
	va_start(args, format);
	vsnprintf(buffer->data + buffer->length, (size_t) length + 1, format, args);
	va_end(args);
	buffer->length += (size_t) length;
}

/* The text as a JSON string with its quotes. */
void
buffer_add_json(Buffer *buffer, const char *text)
{
	buffer_add(buffer, "\"", 1);
	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c == '"' || c == '\\')
			buffer_printf(buffer, "\\%c", c);
		else if (c < 0x20)
			buffer_printf(buffer, "\\u%04x", c);
		else
			buffer_add(buffer, text, 1);
	}
	buffer_add(buffer, "\"", 1);
}

/* The text as the value of a query parameter. */
void
buffer_add_url(Buffer *buffer, const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *text; text++)
	{
		if (strchr(plain, *text))
			buffer_add(buffer, text, 1);
		else
			buffer_printf(buffer, "%%%02X", (unsigned char) *text);
	}
}

/* The content as a C string, valid until the next change. */
const char *
buffer_text(Buffer *buffer)
{
	*buffer_reserve(buffer, 1) = '\0';
	return buffer->data;
}

void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}
