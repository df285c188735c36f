/*
 * moment.c
 *	  Reads and writes times. Written by hand since a page holds 5000 of them.
 *
 * The calendar arithmetic is Howard Hinnant's days-from-civil algorithm, which
 * needs no tables and no locale.
 */
#include "moment.h"

#include <stdio.h>
#include <string.h>

static int64_t
floor_divide(int64_t value, int64_t divisor)
{
	int64_t quotient = value / divisor;

	return (value % divisor < 0) ? quotient - 1 : quotient;
}

int64_t
moment_seconds(Tick moment)
{
	return floor_divide(moment, TICKS_PER_SECOND);
}

Tick
moment_day_start(Tick moment)
{
	return floor_divide(moment, TICKS_PER_DAY) * TICKS_PER_DAY;
}

static int64_t
days_from_civil(int64_t year, int month, int day)
{
	int64_t era;
	int64_t year_of_era;
	int64_t day_of_year;

	year -= month <= 2;
	era = floor_divide(year, 400);
	year_of_era = year - era * 400;
	day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
		   719468;
}

static void
civil_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t era;
	int day_of_era;
	int year_of_era;
	int day_of_year;
	int shifted;

	days += 719468;
	era = floor_divide(days, 146097);
	day_of_era = (int) (days - era * 146097);
	year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	shifted = (5 * day_of_year + 2) / 153;
	*day = day_of_year - (153 * shifted + 2) / 5 + 1;
	*month = shifted < 10 ? shifted + 3 : shifted - 9;
	*year = (int) (year_of_era + era * 400) + (*month <= 2);
}

static void
put_digits(char *out, int width, int64_t value)
{
	while (width-- > 0)
	{
		out[width] = (char) ('0' + value % 10);
		value /= 10;
	}
}

/*
 * ISO 8601 with 0, 3 or 7 digits of a second, cut and never rounded.
 */
size_t
moment_write(char *out, Tick moment, int fraction_digits, bool zulu)
{
	int64_t seconds = moment_seconds(moment);
	int64_t fraction = moment - seconds * TICKS_PER_SECOND;
	int64_t days = floor_divide(seconds, SECONDS_PER_DAY);
	int of_day = (int) (seconds - days * SECONDS_PER_DAY);
	int year;
	int month;
	int day;
	size_t length = 19;

	civil_from_days(days, &year, &month, &day);
	memcpy(out, "0000-00-00T00:00:00.", 20);
	put_digits(out, 4, year);
	put_digits(out + 5, 2, month);
	put_digits(out + 8, 2, day);
	put_digits(out + 11, 2, of_day / 3600);
	put_digits(out + 14, 2, of_day / 60 % 60);
	put_digits(out + 17, 2, of_day % 60);
	if (fraction_digits > 0)
	{
		put_digits(out + 20, fraction_digits,
				   fraction_digits == 3 ? fraction / TICKS_PER_MS : fraction);
		length = 20 + (size_t) fraction_digits;
	}
	if (zulu)
		out[length++] = 'Z';
	out[length] = '\0';
	return length;
}

/*
 * The form of the HTTP Date header.
 */
size_t
moment_write_http(char *out, Tick moment)
{
	static const char weekdays[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
									   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int64_t seconds = moment_seconds(moment);
	int64_t days = floor_divide(seconds, SECONDS_PER_DAY);
	int of_day = (int) (seconds - days * SECONDS_PER_DAY);
	int year;
	int month;
	int day;
	int length;

	civil_from_days(days, &year, &month, &day);
	length = snprintf(out, MOMENT_TEXT_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT",
					  weekdays[(days % 7 + 7) % 7], (unsigned) day % 100, months[month - 1],
					  (unsigned) year % 10000, (unsigned) of_day / 3600,
					  (unsigned) of_day / 60 % 60, (unsigned) of_day % 60);
	return (size_t) length;
}

/* Exactly `width` digits at *cursor; moves the cursor. */
static bool
take_number(const char **cursor, const char *end, int width, int *value)
{
	*value = 0;
	for (int i = 0; i < width; i++)
	{
		if (*cursor >= end || **cursor < '0' || **cursor > '9')
			return false;
		*value = *value * 10 + (*(*cursor)++ - '0');
	}
	return true;
}

static bool
take_char(const char **cursor, const char *end, char wanted)
{
	if (*cursor >= end || **cursor != wanted)
		return false;
	(*cursor)++;
	return true;
}

static bool
take_date(const char **cursor, const char *end, int64_t *days)
{
	int year;
	int month;
	int day;

	if (!take_number(cursor, end, 4, &year) || !take_char(cursor, end, '-') ||
		!take_number(cursor, end, 2, &month) || !take_char(cursor, end, '-') ||
		!take_number(cursor, end, 2, &day))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31)
		return false;
	*days = days_from_civil(year, month, day);
	return true;
}

static bool
take_time(const char **cursor, const char *end, int64_t *seconds)
{
	int hour;
	int minute;
	int second = 0;

	if (!take_number(cursor, end, 2, &hour) || !take_char(cursor, end, ':') ||
		!take_number(cursor, end, 2, &minute))
		return false;
	if (take_char(cursor, end, ':') && !take_number(cursor, end, 2, &second))
		return false;
	*seconds = hour * 3600 + minute * 60 + second;
	return hour < 24 && minute < 60 && second < 61;
}

/* A fraction of up to 12 digits, of which the first 7 count. */
static bool
take_fraction(const char **cursor, const char *end, Tick *fraction)
{
	Tick unit = TICKS_PER_SECOND;
	int digits = 0;

	*fraction = 0;
	if (!take_char(cursor, end, '.'))
		return true;
	while (*cursor < end && **cursor >= '0' && **cursor <= '9')
	{
		unit /= 10;
		*fraction += (*(*cursor)++ - '0') * unit;
		digits++;
	}
	return digits >= 1 && digits <= 12;
}

static bool
take_zone(const char **cursor, const char *end, bool required, int64_t *offset)
{
	int hours;
	int minutes;
	bool negative;

	*offset = 0;
	if (*cursor == end)
		return !required;
	if (take_char(cursor, end, 'Z') || take_char(cursor, end, 'z'))
		return true;
	negative = **cursor == '-';
	if (!negative && **cursor != '+')
		return false;
	(*cursor)++;
	if (!take_number(cursor, end, 2, &hours) || !take_char(cursor, end, ':') ||
		!take_number(cursor, end, 2, &minutes))
		return false;
	*offset = (hours * 60 + minutes) * 60 * (negative ? -1 : 1);
	return true;
}

/*
 * Reads an ISO 8601 time; a time without a zone is UTC, or refused where
 * OData demands a zone.
 */
bool
moment_parse(const char *text, size_t length, bool zone_required, Tick *moment)
{
	const char *cursor = text;
	const char *end = text + length;
	int64_t days;
	int64_t seconds;
	int64_t offset;
	Tick fraction;

	if (!take_date(&cursor, end, &days))
		return false;
	if (!take_char(&cursor, end, 'T') && !take_char(&cursor, end, ' '))
		return false;
	if (!take_time(&cursor, end, &seconds) || !take_fraction(&cursor, end, &fraction) ||
		!take_zone(&cursor, end, zone_required, &offset) || cursor != end)
		return false;
	*moment = (days * SECONDS_PER_DAY + seconds - offset) * TICKS_PER_SECOND + fraction;
	return true;
}
