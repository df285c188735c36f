/*-------------------------------------------------------------------------
 *
 * filter.h
 *		The parts of a $filter that both APIs write alike.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_FILTER_H
#define MSGTRACE_FILTER_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

/* Begin the next condition: " and ", unless it is the first one. */
extern void msgtrace_filter_and(StringInfo filter);

/* Whole seconds, in UTC. */
extern void msgtrace_filter_utc(StringInfo filter, TimestampTz time);

/* One more condition: property eq 'value', where `type` may stand before the quote. */
extern void msgtrace_filter_equal(StringInfo filter, const char *property, const char *type,
								  const char *value);

/* One more condition: function(property,'value'). */
extern void msgtrace_filter_test(StringInfo filter, const char *function, const char *property,
								 const char *value);

#endif /* MSGTRACE_FILTER_H */
