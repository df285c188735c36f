/*-------------------------------------------------------------------------
 *
 * row.c
 *		One record of a page: its members as sent, its key and time as read.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/row.h"

#include <ctype.h>

#include "trace/bad_row.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* Two ASCII digits, or -1. */
static int
two_digits(const char *text)
{
	if (!isdigit((unsigned char) text[0]) || !isdigit((unsigned char) text[1]))
		return -1;
	return (text[0] - '0') * 10 + (text[1] - '0');
}

/*
 * Digits after the point, cut (not rounded) to microseconds: a row at
 * .9999996 belongs to its own second.
 */
static const char *
read_fraction(const char *text, int64 *microseconds)
{
	int unit = USECS_PER_SEC / 10;

	*microseconds = 0;
	for (; isdigit((unsigned char) *text); text++)
	{
		*microseconds += (int64) (*text - '0') * unit;
		unit /= 10;
	}
	return text;
}

static bool
read_date(const char *text, int64 *days)
{
	int century = two_digits(text);
	int year_of_century = century < 0 ? -1 : two_digits(text + 2);
	int year = century * 100 + year_of_century;
	int month;
	int day;

	if (year_of_century < 0 || text[4] != '-')
		return false;
	month = two_digits(text + 5);
	if (month < 1 || month > MONTHS_PER_YEAR || text[7] != '-')
		return false;
	day = two_digits(text + 8);
	if (year < 1 || day < 1 || day > day_tab[isleap(year)][month - 1])
		return false;
	*days = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	return true;
}

#define DATE_PREFIX "/Date("

/* Milliseconds within what four digits of a year can write. */
#define MIN_MILLISECONDS (-INT64CONST(62135596800000))
#define MAX_MILLISECONDS INT64CONST(253402300799999)

/*
 * As the Reporting web service has it in one of its shapes: milliseconds since
 * 1970, in UTC whatever zone is written behind them.
 */
static bool
read_milliseconds(const char *text, TimestampTz *time)
{
	char *end;
	int64 milliseconds;

	errno = 0;
	milliseconds = strtoll(text, &end, 10);
	if (errno != 0 || end == text || isspace((unsigned char) *text))
		return false;
	if (milliseconds < MIN_MILLISECONDS || milliseconds > MAX_MILLISECONDS)
		return false;
	if (*end == '+' || *end == '-')
		end += 1 + strspn(end + 1, "0123456789");
	*time = milliseconds * 1000 -
			(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * INT64CONST(86400000000);
	return strcmp(end, ")/") == 0;
}

/*
 * The server's own timestamptz_in would round the seventh digit and read a text
 * without Z in the session's time zone.
 */
bool
msgtrace_row_read_time(const char *text, TimestampTz *time)
{
	int64 days;
	int64 fraction = 0;
	int hour;
	int minute;
	int second;

	if (strncmp(text, DATE_PREFIX, strlen(DATE_PREFIX)) == 0)
		return read_milliseconds(text + strlen(DATE_PREFIX), time);
	if (strlen(text) < strlen("2026-11-20T14:22:31") || !read_date(text, &days))
		return false;
	hour = two_digits(text + 11);
	minute = two_digits(text + 14);
	second = two_digits(text + 17);
	if ((text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':')
		return false;
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
		return false;
	text += 19;
	if (*text == '.')
		text = read_fraction(text + 1, &fraction);
	if (strcmp(text, "") != 0 && strcmp(text, "Z") != 0 && strcmp(text, "+00:00") != 0)
		return false;
	*time = days * USECS_PER_DAY +
			((hour * MINS_PER_HOUR + minute) * INT64CONST(60) + second) * USECS_PER_SEC + fraction;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
msgtrace_row_read_id(const char *text, pg_uuid_t *id)
{
	for (int i = 0; i < UUID_LEN; i++)
	{
		int high;
		int low;

		if (i == 4 || i == 6 || i == 8 || i == 10)
		{
			if (*text++ != '-')
				return false;
		}
		if ((high = hex_digit(text[0])) < 0 || (low = hex_digit(text[1])) < 0)
			return false;
		id->data[i] = (unsigned char) (high << 4 | low);
		text += 2;
	}
	return *text == '\0';
}

char *
msgtrace_row_write_id(const pg_uuid_t *id, char *text)
{
	static const char digits[] = "0123456789abcdef";
	char *to = text;

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digits[id->data[i] >> 4];
		*to++ = digits[id->data[i] & 15];
	}
	*to = '\0';
	return text;
}

/* What is wrong with a field that must have a value, and has none or this one. */
static const char *
wrong_value(const MsgTraceRecord *record, MsgTraceField field, const char *expected)
{
	const char *value = record->values[field];

	if (record->nested[field])
		return psprintf("it is no %s but an object or array", expected);
	if (value == NULL || *value == '\0')
		return "it is missing";
	return psprintf("it is no %s: \"%s\"", expected, msgtrace_bad_row_shown(value));
}

bool
msgtrace_row_read(const MsgTraceRecord *record, MsgTraceRow *row, MsgTraceField *bad,
				  const char **reason)
{
	const char *id = record->values[MSGTRACE_ID];
	const char *received = record->values[MSGTRACE_RECEIVED];
	const char *recipient = record->values[MSGTRACE_RECIPIENT];

	*bad = MSGTRACE_ID;
	if (id == NULL || !msgtrace_row_read_id(id, &row->id))
	{
		*reason = wrong_value(record, *bad, "uuid");
		return false;
	}
	*bad = MSGTRACE_RECEIVED;
	if (received == NULL || !msgtrace_row_read_time(received, &row->received))
	{
		*reason = wrong_value(record, *bad, "time");
		return false;
	}
	*bad = MSGTRACE_RECIPIENT;
	if (recipient == NULL || *recipient == '\0' || strlen(recipient) > MSGTRACE_MAX_KEY_BYTES)
	{
		*reason = recipient && *recipient ? psprintf("it has %zu bytes, more than %d",
													 strlen(recipient), MSGTRACE_MAX_KEY_BYTES)
										  : wrong_value(record, *bad, "address");
		return false;
	}
	row->recipient = recipient;
	return true;
}

static void
lower_ascii(char *text)
{
	for (; text && *text; text++)
	{
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
	}
}

void
msgtrace_row_normalize(MsgTraceRecord *record)
{
	char *status = record->values[MSGTRACE_STATUS];

	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (record->values[field] && record->values[field][0] == '\0')
			record->values[field] = NULL;
	}
	lower_ascii(record->values[MSGTRACE_SENDER]);
	lower_ascii(record->values[MSGTRACE_RECIPIENT]);
	if (status && *status >= 'A' && *status <= 'Z')
		*status += 'a' - 'A';
}

char *
msgtrace_row_ip_address(char *text)
{
	char *colon = strchr(text, ':');

	if (*text == '[')
	{
		text++;
		text[strcspn(text, "]")] = '\0';
	}
	else if (colon && strchr(colon + 1, ':') == NULL)
		*colon = '\0';				 /* one colon: an IPv4 address and its port */
	text[strcspn(text, "%")] = '\0'; /* the zone of a link-local address */
	return text;
}
