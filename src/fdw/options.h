/*-------------------------------------------------------------------------
 *
 * options.h
 *		Options of servers, user mappings, foreign tables and their columns.
 *
 * One table in options.c describes every option completely; the validator, the
 * reader, option_list() and, through it, README's table all come from it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_OPTIONS_H
#define MSGTRACE_OPTIONS_H

#include "postgres.h"

#include "auth/session.h"
#include "foreign/foreign.h"

/* The options that concern one scan, read and with their defaults. */
typedef struct MsgTraceSettings
{
	MsgTraceSessionConfig session; /* no allowance yet */
	const char *tenant_label;
	int page_size;
	bool normalize;
	double rows_per_day;
} MsgTraceSettings;

/*
 * Read the options for a scan of this table as this user.  With an invalid user
 * id (planning) the user mapping is left out.
 */
extern void msgtrace_settings_read(MsgTraceSettings *settings, Oid table_id, Oid user_id);

/* The value of a column's option "field", or NULL. */
extern const char *msgtrace_column_field(Oid table_id, AttrNumber attno);

/* Of some names the one nearest to `name`, or NULL when none is near. */
extern const char *msgtrace_nearest_name(const char *name, const char *const *names, int count);

#endif /* MSGTRACE_OPTIONS_H */
