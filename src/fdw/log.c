/*-------------------------------------------------------------------------
 *
 * log.c
 *		What goes into the server log: requests, and scans for audits.
 *
 * All lines are of the level LOG and for the server's log only.  They carry
 * neither the statement, which may hold a secret, nor anything of a request that
 * session.c has not cleaned of secrets.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/log.h"

#include "fdw/module.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* --------------------------------------------------------------- requests */

typedef struct RequestLog
{
	const char *server_name;
	int level; /* MsgTraceLogLevel */
} RequestLog;

/* The least level that lets a report through. */
static int
level_of(const MsgTraceRequestReport *report)
{
	bool failed = report->fault != MSGTRACE_OK || report->http_status >= 400;

	if (failed)
		return MSGTRACE_LOG_WARN;
	return strcmp(report->what, "sign-in") == 0 ? MSGTRACE_LOG_INFO : MSGTRACE_LOG_DEBUG;
}

static void
append_outcome(StringInfo line, const MsgTraceRequestReport *report)
{
	if (report->http_status != 0)
		appendStringInfo(line, " %d", report->http_status);
	else
		appendStringInfoString(line, " gave no answer");
	appendStringInfo(line, " in " INT64_FORMAT " ms", report->elapsed / 1000);
	if (report->http_status != 0)
		appendStringInfo(line, ", " INT64_FORMAT " bytes", report->bytes);
	if (report->words && *report->words)
		appendStringInfo(line, ": %s", report->words);
	if (report->retry_in >= 0)
		appendStringInfo(line, "; again in " INT64_FORMAT " ms", report->retry_in);
	if (report->client_request_id)
		appendStringInfo(line, " (client-request-id %s)", report->client_request_id);
}

/* What follows the "?" names people: only who wants each request gets it. */
static int
length_to_show(const char *url, int level)
{
	return (int) (level >= MSGTRACE_LOG_DEBUG ? strlen(url) : strcspn(url, "?"));
}

static void
log_request(void *arg, const MsgTraceRequestReport *report)
{
	const RequestLog *log = arg;
	StringInfoData line;

	if (level_of(report) > log->level)
		return;
	initStringInfo(&line);
	append_outcome(&line, report);
	ereport(LOG_SERVER_ONLY,
			errmsg_internal("message trace of server \"%s\": %s, %s %.*s%s", log->server_name,
							report->what, report->method, length_to_show(report->url, log->level),
							report->url, line.data),
			errhidestmt(true), errhidecontext(true));
	pfree(line.data);
}

void
msgtrace_log_requests(MsgTraceSessionConfig *session, const char *server_name, int level)
{
	RequestLog *log = palloc(sizeof(RequestLog));

	log->server_name = server_name;
	log->level = level;
	session->report = log_request;
	session->report_arg = log;
}

/* ------------------------------------------------------------------ scans */

struct MsgTraceScanLog
{
	MemoryContextCallback release;
	char *who;	/* all of the line that is known at the start */
	char *what; /* likewise: the filter */
	int64 rows;
	bool complete;
	bool ended;
};

/*
 * Called in the middle of an abort, too: nothing may be looked up here, and what
 * is used lives in the context whose end this is.
 */
static void
write_scan(void *arg)
{
	const MsgTraceScanLog *log = arg;
	const char *outcome = "broken off";

	if (log->complete)
		outcome = "complete";
	else if (log->ended)
		outcome = "ended early";
	ereport(LOG_SERVER_ONLY,
			errmsg_internal("message trace scan by %s, filter %s: " INT64_FORMAT " rows, %s",
							log->who, log->what, log->rows, outcome),
			errhidestmt(true), errhidecontext(true));
}

static void
append_condition(StringInfo filter, const char *condition, const char *value)
{
	appendStringInfo(filter, "%s%s %s", filter->len > 0 ? " AND " : "", condition,
					 quote_literal_cstr(value));
}

static char *
describe_query(const MsgTraceQuery *query)
{
	static const char *const tests[] = {[MSGTRACE_SUBJECT_STARTS] = "subject begins with",
										[MSGTRACE_SUBJECT_ENDS] = "subject ends with",
										[MSGTRACE_SUBJECT_CONTAINS] = "subject contains"};
	StringInfoData filter;

	initStringInfo(&filter);
	if (!TIMESTAMP_IS_NOBEGIN(query->from))
		append_condition(&filter, "received >=", timestamptz_to_str(query->from));
	if (!TIMESTAMP_IS_NOEND(query->to))
		append_condition(&filter, "received <", timestamptz_to_str(query->to));
	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (query->equals[field])
			append_condition(&filter, psprintf("%s =", msgtrace_field_info[field].column),
							 query->equals[field]);
	}
	if (query->subject_test != MSGTRACE_SUBJECT_ANY)
		append_condition(&filter, tests[query->subject_test], query->subject);
	return filter.len > 0 ? filter.data : "none";
}

/* What is asked of the service, as conditions on the table's usual columns. */
static char *
describe_filter(const MsgTraceQuestion *question)
{
	StringInfoData filter;

	if (question->count == 0)
		return "none that the service could satisfy";
	initStringInfo(&filter);
	for (int i = 0; i < question->count; i++)
		appendStringInfo(&filter, "%s%s", i > 0 ? " OR " : "",
						 describe_query(&question->queries[i]));
	return filter.data;
}

static char *
describe_scanner(const MsgTraceScanner *scanner)
{
	const char *schema = get_namespace_name(get_rel_namespace(scanner->table_id));
	const char *table = get_rel_name(scanner->table_id);

	return psprintf("role \"%s\" (session \"%s\", application \"%s\") of %s on server \"%s\"",
					GetUserNameFromId(scanner->user_id, false),
					GetUserNameFromId(GetSessionUserId(), false),
					application_name ? application_name : "",
					quote_qualified_identifier(schema, table), scanner->server_name);
}

static MsgTraceScanLog *
begin_log(MemoryContext context, char *who, char *what)
{
	MsgTraceScanLog *log = palloc0(sizeof(MsgTraceScanLog));

	log->who = who;
	log->what = what;
	log->release.func = write_scan;
	log->release.arg = log;
	MemoryContextRegisterResetCallback(context, &log->release);
	return log;
}

MsgTraceScanLog *
msgtrace_log_scan(MemoryContext context, const MsgTraceScanner *scanner,
				  const MsgTraceQuestion *question)
{
	MemoryContext before;
	MsgTraceScanLog *log;

	if (!msgtrace_log_scans)
		return NULL;
	before = MemoryContextSwitchTo(context);
	log = begin_log(context, describe_scanner(scanner), describe_filter(question));
	MemoryContextSwitchTo(before);
	return log;
}

MsgTraceScanLog *
msgtrace_log_details(MemoryContext context, const MsgTraceScanner *scanner, const char *deliveries)
{
	MemoryContext before;
	MsgTraceScanLog *log;

	if (!msgtrace_log_scans)
		return NULL;
	before = MemoryContextSwitchTo(context);
	log = begin_log(context, describe_scanner(scanner), pstrdup(deliveries));
	MemoryContextSwitchTo(before);
	return log;
}

void
msgtrace_log_scan_row(MsgTraceScanLog *log)
{
	if (log)
		log->rows++;
}

void
msgtrace_log_scan_complete(MsgTraceScanLog *log)
{
	if (log)
		log->complete = true;
}

void
msgtrace_log_scan_end(MsgTraceScanLog *log)
{
	if (log)
		log->ended = true;
}
