/*-------------------------------------------------------------------------
 *
 * secret_input.c
 *		The trigger of the view secret_input: secrets that come by COPY.
 *
 * The lines of a COPY are in no statement, and so in no log; but when one of them
 * is in error, COPY gives the line as the error's context.  An error that is ours
 * is therefore raised without context.  One that is COPY's own (a column too few)
 * meets a hook that takes the line out of it, before server log and client see it;
 * the trigger that runs before the first line is read puts the hook there.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/secret_input.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "fdw/secret_admin.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define VIEW_NAME "secret_input"

/* Columns of the view, in their order. */
enum
{
	INPUT_NAME = 1,
	INPUT_VALUE,
	INPUT_USERNAME,
	INPUT_HOSTS,
	INPUT_EXPIRES
};

/* ----------------------------------------------------------- the guard */

static emit_log_hook_type next_log_hook = NULL;
static bool hook_is_there = false;

/* "COPY secret_input, line 1: …" in whatever language: the rest is cut off. */
static void
hide_line(ErrorData *error)
{
	char *place = error->context ? strstr(error->context, VIEW_NAME) : NULL;

	if (place)
		place[strlen(VIEW_NAME)] = '\0';
	if (next_log_hook)
		next_log_hook(error);
}

static void
put_hook(void)
{
	if (hook_is_there)
		return;
	next_log_hook = emit_log_hook;
	emit_log_hook = hide_line;
	hook_is_there = true;
}

/* ----------------------------------------------------------- the input */

static char *
column_of(const TriggerData *trigger, int column)
{
	return SPI_getvalue(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation), column);
}

/* The input function's own error would show what stands in the wrong column. */
static TimestampTz
read_time(char *text)
{
	volatile TimestampTz time = 0;

	PG_TRY();
	{
		time = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
													   ObjectIdGetDatum(InvalidOid),
													   Int32GetDatum(-1)));
	}
	PG_CATCH();
	{
		FlushErrorState();
		ereport(
			ERROR, errcode(ERRCODE_INVALID_DATETIME_FORMAT),
			errmsg("expires_at of a stored secret is not a time"),
			errhint(
				"Give it as 2027-01-31 12:00Z, and name the columns: COPY o365_msgtrace.secret_input (name, value, expires_at) FROM STDIN."));
	}
	PG_END_TRY();
	return time;
}

static void
store(const TriggerData *trigger)
{
	char *hosts = column_of(trigger, INPUT_HOSTS);
	char *expires = column_of(trigger, INPUT_EXPIRES);
	char *value = column_of(trigger, INPUT_VALUE);
	MsgTraceSecretWords words = {.name = column_of(trigger, INPUT_NAME),
								 .value = value,
								 .username = column_of(trigger, INPUT_USERNAME),
								 .hosts = hosts ? msgtrace_secret_hosts(hosts) : NULL,
								 .has_expiry = expires != NULL,
								 .expires = expires ? read_time(expires) : 0};

	msgtrace_secret_put(&words);
	if (value)
		explicit_bzero(value, strlen(value));
}

PG_FUNCTION_INFO_V1(o365_msgtrace_secret_input);

Datum
o365_msgtrace_secret_input(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	ErrorContextCallback *context = error_context_stack;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function was not called as a trigger"));
	put_hook();
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		PG_RETURN_POINTER(NULL);
	error_context_stack = NULL; /* an error restores it, too */
	store(trigger);
	error_context_stack = context;
	PG_RETURN_POINTER(trigger->tg_trigtuple);
}
