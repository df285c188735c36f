/*
 * buffer.h
 *	  A growing piece of memory for text that is sent.
 */
#ifndef BUFFER_H
#define BUFFER_H

#include <stddef.h>

typedef struct Buffer
{
	char *data;	   /* not NUL-terminated, except after buffer_text */
	size_t length; /* bytes in use */
	size_t room;   /* bytes allocated */
} Buffer;

extern char *buffer_reserve(Buffer *buffer, size_t more);
extern void buffer_add(Buffer *buffer, const char *bytes, size_t length);
extern void buffer_add_text(Buffer *buffer, const char *text);
extern void buffer_printf(Buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern void buffer_add_json(Buffer *buffer, const char *text);
extern void buffer_add_url(Buffer *buffer, const char *text);
extern const char *buffer_text(Buffer *buffer);
extern void buffer_free(Buffer *buffer);

#endif
