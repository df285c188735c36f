/*
 * fold.c
 *	  Text without regard to case, as the service compares it.
 *
 * Letter by letter with the C library's tables, so that É and é are one too.
 */
#include "fold.h"

#include <locale.h>
#include <stdint.h>
#include <wctype.h>

static locale_t unicode;

void
fold_start(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
	if (unicode == (locale_t) 0)
		unicode = newlocale(LC_CTYPE_MASK, "C", (locale_t) 0);
}

/* Bytes of the UTF-8 sequence at text, 1 for what is none. */
static size_t
sequence_length(const unsigned char *text, size_t left)
{
	size_t length = text[0] < 0xc2	 ? 1
					: text[0] < 0xe0 ? 2
					: text[0] < 0xf0 ? 3
					: text[0] < 0xf5 ? 4
									 : 1;

	if (length > left)
		return 1;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 1;
	return length;
}

static size_t
encode(char *out, uint32_t c)
{
	if (c < 0x800)
	{
		out[0] = (char) (0xc0 | c >> 6);
		out[1] = (char) (0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000)
	{
		out[0] = (char) (0xe0 | c >> 12);
		out[1] = (char) (0x80 | (c >> 6 & 63));
		out[2] = (char) (0x80 | (c & 63));
		return 3;
	}
	out[0] = (char) (0xf0 | c >> 18);
	out[1] = (char) (0x80 | (c >> 12 & 63));
	out[2] = (char) (0x80 | (c >> 6 & 63));
	out[3] = (char) (0x80 | (c & 63));
	return 4;
}

static uint32_t
decode(const unsigned char *text, size_t length)
{
	uint32_t c = text[0] & (0xffu >> (length + 1));

	for (size_t i = 1; i < length; i++)
		c = c << 6 | (text[i] & 63u);
	return c;
}

/* A letter that would become ASCII (the Kelvin sign) is left as it is. */
static uint32_t
lower(uint32_t c)
{
	uint32_t folded = (uint32_t) towlower_l((wint_t) c, unicode);

	return folded < 0x80 ? c : folded;
}

/*
 * Writes the lower-case form; what does not fit in `room` is cut.
 */
size_t
fold_text(char *out, size_t room, const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *) text;
	size_t written = 0;
	size_t i = 0;

	while (i < length && written + 4 <= room)
	{
		size_t step = bytes[i] < 0x80 ? 1 : sequence_length(bytes + i, length - i);

		if (step > 1)
			written += encode(out + written, lower(decode(bytes + i, step)));
		else if (bytes[i] >= 'A' && bytes[i] <= 'Z')
			out[written++] = (char) (bytes[i] + 32);
		else
			out[written++] = text[i];
		i += step;
	}
	return written;
}
