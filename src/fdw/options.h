/*-------------------------------------------------------------------------
 *
 * options.h
 *		Options of servers, user mappings, foreign tables and their columns: the
 *		validator, and what a scan reads of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_OPTIONS_H
#define MSGTRACE_OPTIONS_H

#include "postgres.h"

#include "access/attnum.h"
#include "auth/session.h"
#include "fdw/secrets.h"
#include "foreign/foreign.h"
#include "trace/dialect.h"

/* The options that concern one scan, read and with their defaults. */
typedef struct MsgTraceSettings
{
	MsgTraceSessionConfig session; /* no allowance yet */
	MsgTraceSecretNames secrets;
	const char *tenant_label;
	int page_size;
	int max_concurrency;			/* requests in flight of one scan */
	const MsgTraceDialect *dialect; /* of the server's API */
	bool is_detail;					/* the table shows details */
	bool normalize;
	bool reject_bad_rows;
	int log_level; /* MsgTraceLogLevel */
	double rows_per_day;
	double rows_expected; /* of the scan; 0 = not known */
} MsgTraceSettings;

/*
 * Read the options for a scan of this table as this user.  With an invalid user
 * id (planning) the user mapping is left out.
 */
extern void msgtrace_settings_read(MsgTraceSettings *settings, Oid table_id, Oid user_id);

/* The same of a server, as if a table of it had no options. */
extern void msgtrace_settings_read_server(MsgTraceSettings *settings, Oid server_id, Oid user_id);

/* Does the foreign table show the details of deliveries? */
extern bool msgtrace_table_is_detail(Oid table_id);

/* The value of a column's option "field", or NULL. */
extern const char *msgtrace_column_field(Oid table_id, AttrNumber attno);

#endif /* MSGTRACE_OPTIONS_H */
