/*
 * row.c
 *	  The values of a row as the service shows them: spelled, not yet escaped.
 *
 * Hides from pages and filters whether a row was generated or posted.
 */
#include "row.h"

#include <stdio.h>
#include <string.h>

#include "digits.h"

static const char hex[] = "0123456789abcdef";

static Span
span_of(const char *text)
{
	Span span = {text, text ? strlen(text) : 0};

	return span;
}

static void
write_hex(char *out, uint64_t value, int digits)
{
	while (digits-- > 0)
	{
		out[digits] = hex[value & 15];
		value >>= 4;
	}
}

/* 36 characters, no NUL. */
void
row_write_id(const Row *row, char *out)
{
	const MessageFacts *facts = row->facts;

	if (row->given)
	{
		memcpy(out, row->given->id, ROW_ID_SIZE);
		return;
	}
	write_hex(out, facts->id_high >> 32, 8);
	out[8] = '-';
	write_hex(out + 9, facts->id_high >> 16, 4);
	out[13] = '-';
	write_hex(out + 14, facts->id_high, 4);
	out[18] = '-';
	write_hex(out + 19, facts->id_low >> 48, 4);
	out[23] = '-';
	write_hex(out + 24, facts->id_low, 12);
}

/* Reads a GUID as written above, in either case. */
bool
row_parse_id(const char *text, size_t length, uint64_t *high, uint64_t *low)
{
	unsigned a, b, c, d;
	unsigned long long e;
	char copy[ROW_ID_SIZE + 1];
	int used = 0;

	if (length != ROW_ID_SIZE)
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (sscanf(copy, "%8x-%4x-%4x-%4x-%12llx%n", &a, &b, &c, &d, &e, &used) != 5 ||
		used != ROW_ID_SIZE)
		return false;
	*high = (uint64_t) a << 32 | (uint64_t) b << 16 | c;
	*low = (uint64_t) d << 48 | e;
	return true;
}

Span
row_sender(const Row *row, char *scratch)
{
	Span span = {scratch, 0};

	if (row->given)
		return span_of(row->given->sender);
	span.length = people_spell(scratch, row->facts->sender, row->facts->sender_spelling);
	return span;
}

Span
row_recipient(const Row *row, char *scratch)
{
	Span span = {scratch, 0};

	if (row->given)
		return span_of(row->given->recipient);
	span.length = people_spell(scratch, row->recipient, row->recipient_spelling);
	return span;
}

Span
row_subject(const Row *row, char *scratch)
{
	Span span = {scratch, 0};

	if (row->given)
		return span_of(row->given->subject);
	span.length = world_subject(row->facts, scratch);
	return span;
}

Span
row_message_id(const Row *row, char *scratch)
{
	Span span = {scratch, 0};

	if (row->given)
		return span_of(row->given->message_id);
	span.length = world_message_id(row->facts, scratch);
	if (span.length == 0)
		span.data = NULL;
	return span;
}

static size_t
write_v4(char *out, const uint8_t *bytes)
{
	size_t length = 0;

	for (int i = 0; i < 4; i++)
	{
		if (i > 0)
			out[length++] = '.';
		length += digits_write(out + length, bytes[i]);
	}
	return length;
}

static size_t
write_group(char *out, unsigned group)
{
	size_t length = 0;

	for (int shift = 12; shift >= 0; shift -= 4)
	{
		unsigned digit = group >> shift & 15;

		if (digit || length || shift == 0)
			out[length++] = hex[digit];
	}
	return length;
}

/* The longest run of zero groups; none when it is a single group. */
static void
find_zero_run(const unsigned *groups, int *first, int *count)
{
	*first = 8;
	*count = 1;
	for (int i = 0; i < 8; i++)
	{
		int run = 0;

		while (i + run < 8 && groups[i + run] == 0)
			run++;
		if (run > *count)
		{
			*first = i;
			*count = run;
		}
	}
}

static size_t
write_v6(char *out, const uint8_t *bytes)
{
	unsigned groups[8];
	int run_first;
	int run_count;
	size_t length = 0;

	for (int i = 0; i < 8; i++)
		groups[i] = (unsigned) bytes[2 * i] << 8 | bytes[2 * i + 1];
	find_zero_run(groups, &run_first, &run_count);
	for (int i = 0; i < 8; i++)
	{
		if (i == run_first)
		{
			out[length++] = ':';
			i += run_count - 1;
			if (i == 7)
				out[length++] = ':';
			continue;
		}
		if (i > 0)
			out[length++] = ':';
		length += write_group(out + length, groups[i]);
	}
	return length;
}

static Span
write_ip(const Ip *ip, char *scratch)
{
	Span span = {scratch, 0};

	switch (ip->form)
	{
		case IP_NULL:
			span.data = NULL;
			break;
		case IP_EMPTY:
			break;
		case IP_V4:
			span.length = write_v4(scratch, ip->bytes);
			break;
		case IP_V6:
			span.length = write_v6(scratch, ip->bytes);
			break;
		case IP_V4_PORT:
			span.length = write_v4(scratch, ip->bytes);
			scratch[span.length++] = ':';
			span.length += digits_write(scratch + span.length, ip->port);
			break;
		case IP_V6_BRACKETS:
			scratch[0] = '[';
			span.length = 1 + write_v6(scratch + 1, ip->bytes);
			scratch[span.length++] = ']';
			break;
	}
	return span;
}

Span
row_from_ip(const Row *row, const RowDetails *details, char *scratch)
{
	return row->given ? span_of(row->given->from_ip) : write_ip(&details->from_ip, scratch);
}

Span
row_to_ip(const Row *row, const RowDetails *details, char *scratch)
{
	return row->given ? span_of(row->given->to_ip) : write_ip(&details->to_ip, scratch);
}

static const char *const status_names[] = {[STATUS_DELIVERED] = "delivered",
										   [STATUS_DELIVERED_CAPITAL] = "Delivered",
										   [STATUS_FAILED] = "failed",
										   [STATUS_FILTERED] = "filteredAsSpam",
										   [STATUS_QUARANTINED] = "quarantined",
										   [STATUS_EXPANDED] = "expanded",
										   [STATUS_RECALLED] = "recalled",
										   [STATUS_RESOLVED] = "resolved",
										   [STATUS_NONE] = "none",
										   [STATUS_PENDING] = "pending",
										   [STATUS_GETTING] = "gettingStatus"};

/* The status at `now`, in Graph's spelling. */
Span
row_status(const Row *row, const RowDetails *details, Tick now)
{
	if (row->given)
		return span_of(row->given->status);
	if (now < details->pending_from)
		return span_of(status_names[STATUS_GETTING]);
	if (now < details->final_from)
		return span_of(status_names[STATUS_PENDING]);
	return span_of(status_names[details->final]);
}
