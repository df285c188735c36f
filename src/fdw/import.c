/*-------------------------------------------------------------------------
 *
 * import.c
 *		IMPORT FOREIGN SCHEMA.
 *
 * The service has one schema, which we call exchange.  The server filters the
 * commands that we return by LIMIT TO and EXCEPT.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/import.h"

#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "trace/field.h"
#include "utils/builtins.h"

#define REMOTE_SCHEMA "exchange"
#define TABLE_NAME "message_trace"

static char *
create_message_trace(const char *server_name)
{
	StringInfoData command;

	initStringInfo(&command);
	appendStringInfoString(&command, "CREATE FOREIGN TABLE " TABLE_NAME " (");
	for (int field = 0; field < MSGTRACE_FIELDS && !msgtrace_field_info[field].on_request; field++)
		appendStringInfo(&command, "%s\n  %s %s", field > 0 ? "," : "",
						 msgtrace_field_info[field].column, msgtrace_field_info[field].type);
	appendStringInfo(&command, "\n) SERVER %s OPTIONS (\"table\" '" TABLE_NAME "')",
					 quote_identifier(server_name));
	return command.data;
}

static void
check_remote_schema(const char *name)
{
	if (strcmp(name, REMOTE_SCHEMA) != 0)
		ereport(ERROR, errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
				errmsg("there is no remote schema \"%s\"", name),
				errhint("Import the schema \"" REMOTE_SCHEMA "\"."));
}

static void
check_no_options(List *options)
{
	if (options != NIL)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				errmsg("invalid option \"%s\" for IMPORT FOREIGN SCHEMA",
					   ((DefElem *) linitial(options))->defname),
				errhint("There are none; set options on the server or on the table made."));
}

List *
msgtrace_import_schema(ImportForeignSchemaStmt *stmt, Oid server_id)
{
	check_remote_schema(stmt->remote_schema);
	check_no_options(stmt->options);
	return list_make1(create_message_trace(GetForeignServer(server_id)->servername));
}
