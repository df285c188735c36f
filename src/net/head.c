/*-------------------------------------------------------------------------
 *
 * head.c
 *		The head of an answer: what we read of its lines.
 *
 * Lines come inside of curl's callbacks: what is read of them is stored in
 * place, and what cannot be read is as if it had not come.
 *
 *-------------------------------------------------------------------------
 */
#include "net/head.h"

#include <ctype.h>

#include "utils/datetime.h"
#include "utils/timestamp.h"

/* Longer values of the lines that we read are nothing that we know. */
#define MAX_VALUE 256

void
msgtrace_head_clear(MsgTraceHead *head)
{
	memset(head, 0, sizeof(*head));
	head->retry_after = -1;
}

/* ----------------------------------------------------------------- dates */

static int
month_of(const char *name)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
										 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

	for (size_t i = 0; i < lengthof(months); i++)
	{
		if (pg_strcasecmp(name, months[i]) == 0)
			return (int) i + 1;
	}
	return 0;
}

/*
 * The three forms of a date in HTTP.  All are in GMT:
 *
 *		Sun, 06 Nov 1994 08:49:37 GMT
 *		Sunday, 06-Nov-94 08:49:37 GMT
 *		Sun Nov  6 08:49:37 1994
 */
static bool
scan_date(const char *value, struct pg_tm *tm)
{
	char month[4];
	char zone[4] = "GMT";

	if (sscanf(value, "%*[A-Za-z], %2d%*1[ -]%3[A-Za-z]%*1[ -]%4d %2d:%2d:%2d %3[A-Z]",
			   &tm->tm_mday, month, &tm->tm_year, &tm->tm_hour, &tm->tm_min, &tm->tm_sec,
			   zone) != 7 &&
		sscanf(value, "%*[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d", month, &tm->tm_mday,
			   &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &tm->tm_year) != 6)
		return false;
	tm->tm_mon = month_of(month);
	return tm->tm_mon > 0 && (strcmp(zone, "GMT") == 0 || strcmp(zone, "UTC") == 0);
}

/* 0 when it is none, or one that no clock shows. */
static TimestampTz
read_date(const char *value)
{
	struct pg_tm tm;
	int64 seconds;

	if (!scan_date(value, &tm))
		return 0;
	if (tm.tm_year < 100)
		tm.tm_year += tm.tm_year < 70 ? 2000 : 1900;
	if (tm.tm_year < 1970 || tm.tm_mday < 1 ||
		tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] || tm.tm_hour < 0 ||
		tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return 0;
	seconds = (date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE) * SECS_PER_DAY;
	seconds += (tm.tm_hour * MINS_PER_HOUR + tm.tm_min) * SECS_PER_MINUTE + tm.tm_sec;
	return seconds * USECS_PER_SEC;
}

/* ----------------------------------------------------------------- lines */

/* The value of a line if it is of this name, without the blanks around it. */
static bool
has_value(const char *line, size_t length, const char *name, char *value)
{
	size_t skip = strlen(name);

	if (length <= skip || pg_strncasecmp(line, name, skip) != 0)
		return false;
	while (skip < length && isspace((unsigned char) line[skip]))
		skip++;
	while (length > skip && isspace((unsigned char) line[length - 1]))
		length--;
	if (length - skip >= MAX_VALUE)
		return false;
	memcpy(value, line + skip, length - skip);
	value[length - skip] = '\0';
	return true;
}

/* A number of seconds or a date; more than an int of seconds is that much. */
static void
read_retry_after(MsgTraceHead *head, const char *value)
{
	if (*value && value[strspn(value, "0123456789")] == '\0')
		head->retry_after = (int) Min(strtoull(value, NULL, 10), PG_INT32_MAX);
	else
		head->retry_at = read_date(value);
}

void
msgtrace_head_add(MsgTraceHead *head, const char *line, size_t length)
{
	char value[MAX_VALUE];

	if (length > 5 && strncmp(line, "HTTP/", 5) == 0)
		msgtrace_head_clear(head);
	else if (has_value(line, length, "Date:", value))
	{
		head->date = read_date(value);
		head->date_at = GetCurrentTimestamp();
	}
	else if (has_value(line, length, "Retry-After:", value))
		read_retry_after(head, value);
	else if ((has_value(line, length, "request-id:", value) ||
			  has_value(line, length, "x-ms-request-id:", value)) &&
			 strlen(value) < sizeof(head->request_id))
		strlcpy(head->request_id, value, sizeof(head->request_id));
}

/* A date is meant by the service's clock, so it is compared with its Date. */
int
msgtrace_head_retry_after(const MsgTraceHead *head)
{
	TimestampTz now = head->date != 0 ? head->date : GetCurrentTimestamp();

	if (head->retry_at == 0)
		return head->retry_after;
	return (int) Min(Max((head->retry_at - now) / USECS_PER_SEC, 0), PG_INT32_MAX);
}
