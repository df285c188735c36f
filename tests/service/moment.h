/*
 * moment.h
 *	  Points in time as the service knows them: ticks of 100 ns since 1970, UTC.
 *
 * Everything but the truth writer reads and writes times through this file.
 */
#ifndef MOMENT_H
#define MOMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t Tick;

#define TICKS_PER_SECOND INT64_C(10000000)
#define TICKS_PER_MS INT64_C(10000)
#define SECONDS_PER_DAY INT64_C(86400)
#define TICKS_PER_DAY (SECONDS_PER_DAY * TICKS_PER_SECOND)

/* long enough for every form written here, with its final NUL */
#define MOMENT_TEXT_SIZE 40

extern bool moment_parse(const char *text, size_t length, bool zone_required, Tick *moment);
extern size_t moment_write(char *out, Tick moment, int fraction_digits, bool zulu);
extern size_t moment_write_http(char *out, Tick moment);
extern Tick moment_day_start(Tick moment);
extern int64_t moment_seconds(Tick moment);

#endif
