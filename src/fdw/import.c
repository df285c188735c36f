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

#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "trace/field.h"
#include "utils/builtins.h"

#define REMOTE_SCHEMA "exchange"

/* The columns that are made on request only, in this order behind the others. */
typedef struct ExtraColumn
{
	const char *name; /* also the option that asks for it */
	const char *type;
} ExtraColumn;

static const ExtraColumn extra_columns[] = {
	{"organization", "text"}, {"tenant", "text"}, {"raw", "json"}};

typedef bool Wanted[lengthof(extra_columns)];

static void
append_column(StringInfo command, const char *name, const char *type)
{
	bool is_first = command->data[command->len - 1] == '(';

	appendStringInfo(command, "%s\n  %s %s", is_first ? "" : ",", name, type);
}

/* Each table may have the columns on request. */
static void
end_table(StringInfo command, const char *server_name, const char *table, const Wanted wanted)
{
	for (size_t i = 0; i < lengthof(extra_columns); i++)
	{
		if (wanted[i])
			append_column(command, extra_columns[i].name, extra_columns[i].type);
	}
	appendStringInfo(command, "\n) SERVER %s OPTIONS (\"table\" '%s')",
					 quote_identifier(server_name), table);
}

static char *
create_message_trace(const char *server_name, const Wanted wanted)
{
	StringInfoData command;

	initStringInfo(&command);
	appendStringInfoString(&command, "CREATE FOREIGN TABLE message_trace (");
	for (int field = 0; field < MSGTRACE_FIELDS && !msgtrace_field_info[field].on_request; field++)
		append_column(&command, msgtrace_field_info[field].column, msgtrace_field_info[field].type);
	end_table(&command, server_name, "message_trace", wanted);
	return command.data;
}

static char *
create_message_trace_detail(const char *server_name, const Wanted wanted)
{
	StringInfoData command;

	initStringInfo(&command);
	appendStringInfoString(&command, "CREATE FOREIGN TABLE message_trace_detail (");
	for (int i = 0; i < MSGTRACE_DETAIL_FIELDS; i++)
	{
		MsgTraceField field = msgtrace_detail_fields[i];

		append_column(&command, msgtrace_field_column(field, true),
					  msgtrace_field_info[field].type);
	}
	end_table(&command, server_name, "message_trace_detail", wanted);
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
read_option(DefElem *option, Wanted wanted)
{
	for (size_t i = 0; i < lengthof(extra_columns); i++)
	{
		if (strcmp(option->defname, extra_columns[i].name) == 0)
		{
			wanted[i] = defGetBoolean(option);
			return;
		}
	}
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			errmsg("invalid option \"%s\" for IMPORT FOREIGN SCHEMA", option->defname),
			errhint("The options organization, tenant and raw add a column each; set others on the "
					"server or on the table made."));
}

List *
msgtrace_import_schema(ImportForeignSchemaStmt *stmt, Oid server_id)
{
	Wanted wanted = {false};
	const char *server_name;
	ListCell *cell;

	check_remote_schema(stmt->remote_schema);
	foreach (cell, stmt->options)
		read_option(lfirst_node(DefElem, cell), wanted);
	server_name = GetForeignServer(server_id)->servername;
	return list_make2(create_message_trace(server_name, wanted),
					  create_message_trace_detail(server_name, wanted));
}
