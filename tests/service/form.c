/*
 * form.c
 *	  The fields of a form that was posted.
 */
#include "form.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int
hex_value(char c)
{
	const char *digits = "0123456789abcdef0123456789ABCDEF";
	const char *place = c ? strchr(digits, c) : NULL;

	return place ? (int) (place - digits) % 16 : -1;
}

static char *
decode_field(const char *text, size_t length)
{
	char *value = malloc(length + 1);
	size_t used = 0;

	if (value == NULL)
		abort();
	for (size_t i = 0; i < length; i++)
	{
		bool escaped = text[i] == '%' && i + 2 < length && hex_value(text[i + 1]) >= 0 &&
					   hex_value(text[i + 2]) >= 0;

		if (escaped)
		{
			value[used++] = (char) (hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
			i += 2;
		}
		else
			value[used++] = text[i] == '+' ? ' ' : text[i];
	}
	value[used] = '\0';
	return value;
}

void
form_read(Form *form, const char *body)
{
	memset(form, 0, sizeof(*form));
	while (*body && form->count < FORM_FIELDS)
	{
		size_t length = strcspn(body, "&");
		const char *equals = memchr(body, '=', length);
		size_t name_length = equals ? (size_t) (equals - body) : length;

		form->names[form->count] = decode_field(body, name_length);
		form->values[form->count++] = equals ? decode_field(equals + 1, length - name_length - 1)
											 : decode_field("", 0);
		body += length;
		body += *body == '&';
	}
}

/* NULL when it is not there. */
const char *
form_value(const Form *form, const char *name)
{
	for (int i = 0; i < form->count; i++)
		if (strcmp(form->names[i], name) == 0)
			return form->values[i];
	return NULL;
}

void
form_free(Form *form)
{
	for (int i = 0; i < form->count; i++)
	{
		free(form->names[i]);
		free(form->values[i]);
	}
}
