/*
 * base64.c
 *	  Base64, both alphabets, padded or not.
 */
#include "base64.h"

#include <stdint.h>
#include <string.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The URL alphabet goes without padding. */
void
base64_add(Buffer *out, const char *bytes, size_t length, bool url)
{
	const unsigned char *from = (const unsigned char *) bytes;
	const char *alphabet = url ? url_safe : standard;

	for (size_t i = 0; i < length; i += 3)
	{
		size_t left = length - i;
		uint32_t group = (uint32_t) from[i] << 16;
		char text[4];

		if (left > 1)
			group |= (uint32_t) from[i + 1] << 8;
		if (left > 2)
			group |= from[i + 2];
		for (int k = 0; k < 4; k++)
			text[k] = alphabet[group >> (18 - 6 * k) & 63];
		if (left < 3)
			memset(text + left + 1, '=', 3 - left);
		buffer_add(out, text, url && left < 3 ? left + 1 : 4);
	}
}

static int
value_of(char c)
{
	const char *place;

	if (c == '-')
		c = '+';
	if (c == '_')
		c = '/';
	place = c ? strchr(standard, c) : NULL;
	return place ? (int) (place - standard) : -1;
}

bool
base64_decode(Buffer *out, const char *text)
{
	uint32_t group = 0;
	int bits = 0;

	for (; *text && *text != '='; text++)
	{
		int value = value_of(*text);
		char byte;

		if (value < 0)
			return false;
		group = group << 6 | (uint32_t) value;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		byte = (char) (group >> bits);
		buffer_add(out, &byte, 1);
	}
	while (*text == '=')
		text++;
	return *text == '\0';
}
