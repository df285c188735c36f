/*-------------------------------------------------------------------------
 *
 * option_check.h
 *		Values of options: what is right, what is refused, and how they are read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_OPTION_CHECK_H
#define MSGTRACE_OPTION_CHECK_H

#include "postgres.h"

#include "fdw/option.h"

/* An error unless the current user may set the option to this value. */
extern void msgtrace_check_value(const MsgTraceOption *option, const char *value);

/* Refuse a value, with a hint. */
extern void msgtrace_refuse_value(const char *name, const char *value, const char *hint);

/*
 * Read a value; false when it is none.  Numbers are in the option's own unit:
 * milliseconds, bytes or just a number; codes come as a count.
 */
extern bool msgtrace_read_number(const MsgTraceOption *option, const char *value, int *number);
extern bool msgtrace_read_fraction(const MsgTraceOption *option, const char *value, double *number);
extern int msgtrace_read_codes(const char *value, int *codes); /* -1 = there is a wrong one */

/* Checks of single options, for the table. */
extern void msgtrace_check_not_empty(const char *name, const char *value);
extern void msgtrace_check_tenant_id(const char *name, const char *value);
extern void msgtrace_check_client_secret(const char *name, const char *value);
extern void msgtrace_check_username(const char *name, const char *value);

/* Of some names the one nearest to `name`, or NULL when none is near. */
extern const char *msgtrace_nearest_name(const char *name, const char *const *names, int count);

#endif /* MSGTRACE_OPTION_CHECK_H */
