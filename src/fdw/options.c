/*-------------------------------------------------------------------------
 *
 * options.c
 *		Options of servers, user mappings, foreign tables and their columns.
 *
 * Values are checked when they are set, so that a scan may take them as right.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/options.h"

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fdw/module.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "trace/graph.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

typedef enum OptionPlace
{
	ON_SERVER = 1,
	ON_MAPPING = 2,
	ON_TABLE = 4,
	ON_COLUMN = 8
} OptionPlace;

typedef enum OptionType
{
	IS_TEXT,
	IS_CHOICE, /* one of `choices` */
	IS_BOOLEAN,
	IS_INTEGER,
	IS_DURATION, /* milliseconds, written with a unit */
	IS_SIZE,	 /* bytes, written with a unit or without */
	IS_URL,		 /* https; http on loopback */
	IS_FILE		 /* a readable file of the server's */
} OptionType;

typedef struct Option
{
	const char *name;
	int places; /* OptionPlace bits */
	OptionType type;
	const char *default_value; /* as it would be written; NULL = none */
	int minimum;			   /* of numbers, in the unit of the type */
	int maximum;
	const char *choices[3];
	bool required; /* of the places where it may stand */
	void (*check)(const char *name, const char *value);
	const char *description;
} Option;

static void check_tenant_id(const char *name, const char *value);
static void check_client_secret(const char *name, const char *value);
static void check_not_empty(const char *name, const char *value);

#define ONE_HOUR_MS (60 * 60 * 1000)

/* clang-format off: one line a fact */
static const Option options[] = {
	{.name = "api",
	 .places = ON_SERVER,
	 .type = IS_CHOICE,
	 .default_value = "graph",
	 .choices = {"graph"},
	 .description = "Which API is asked; graph is Microsoft Graph"},
	{.name = "tenant_id",
	 .places = ON_SERVER,
	 .type = IS_TEXT,
	 .required = true,
	 .check = check_tenant_id,
	 .description = "Directory (tenant) id, or a domain of the tenant"},
	{.name = "tenant_label",
	 .places = ON_SERVER,
	 .type = IS_TEXT,
	 .default_value = "the server's name",
	 .check = check_not_empty,
	 .description = "Value of a column named tenant"},
	{.name = "report_url",
	 .places = ON_SERVER,
	 .type = IS_URL,
	 .default_value = "https://graph.microsoft.com/v1.0/admin/exchange/tracing/messageTraces",
	 .description = "URL of the list; another host than Microsoft's is for superusers"},
	{.name = "authority_url",
	 .places = ON_SERVER,
	 .type = IS_URL,
	 .default_value = "https://login.microsoftonline.com",
	 .description = "Sign-in host; another than Microsoft's is for superusers"},
	{.name = "resource",
	 .places = ON_SERVER,
	 .type = IS_URL,
	 .default_value = "https://graph.microsoft.com",
	 .description = "What the token is for; another host than Microsoft's is for superusers"},
	{.name = "request_timeout",
	 .places = ON_SERVER,
	 .type = IS_DURATION,
	 .default_value = "300s",
	 .minimum = 0,
	 .maximum = 24 * ONE_HOUR_MS,
	 .description = "Longest time for one page; 0 is no limit"},
	{.name = "connect_timeout",
	 .places = ON_SERVER,
	 .type = IS_DURATION,
	 .default_value = "10s",
	 .minimum = 1,
	 .maximum = ONE_HOUR_MS,
	 .description = "Longest time for name resolution, connection and TLS"},
	{.name = "retry_initial_interval",
	 .places = ON_SERVER,
	 .type = IS_DURATION,
	 .default_value = "1s",
	 .minimum = 0,
	 .maximum = 20000,
	 .description = "Pause before the first retry, doubled at each one; at most 20s"},
	{.name = "max_retries",
	 .places = ON_SERVER,
	 .type = IS_INTEGER,
	 .default_value = "5",
	 .minimum = 0,
	 .maximum = 20,
	 .description = "Retries of a request after a 503 or a broken connection; 0 is none"},
	{.name = "ca_file",
	 .places = ON_SERVER,
	 .type = IS_FILE,
	 .description =
		 "PEM file of certificate authorities beside the system's; superusers and pg_read_server_files"},
	{.name = "max_response_size",
	 .places = ON_SERVER,
	 .type = IS_SIZE,
	 .default_value = "64MB",
	 .minimum = 1024,
	 .maximum = 512 * 1024 * 1024,
	 .description = "A longer body is an error"},
	{.name = "page_size",
	 .places = ON_SERVER | ON_TABLE,
	 .type = IS_INTEGER,
	 .default_value = "5000",
	 .minimum = 1,
	 .maximum = MSGTRACE_GRAPH_MAX_PAGE_SIZE,
	 .description = "Rows asked for in one request"},
	{.name = "normalize",
	 .places = ON_SERVER | ON_TABLE,
	 .type = IS_BOOLEAN,
	 .default_value = "true",
	 .description = "Addresses in lower case, status in one spelling, empty text as NULL"},
	{.name = "rows_per_day",
	 .places = ON_SERVER | ON_TABLE,
	 .type = IS_INTEGER,
	 .default_value = "100000",
	 .minimum = 1,
	 .maximum = 1000000000,
	 .description = "Rows of the tenant in a day, for the planner and the first request"},
	{.name = "auth",
	 .places = ON_MAPPING,
	 .type = IS_CHOICE,
	 .default_value = "oauth",
	 .choices = {"oauth"},
	 .description = "How to sign in; oauth is client id and secret"},
	{.name = "client_id",
	 .places = ON_MAPPING,
	 .type = IS_TEXT,
	 .required = true,
	 .check = check_not_empty,
	 .description = "Application (client) id of the app registration"},
	{.name = "client_secret",
	 .places = ON_MAPPING,
	 .type = IS_TEXT,
	 .required = true,
	 .check = check_client_secret,
	 .description = "Value of a client secret of the app registration, not its id"},
	{.name = "table",
	 .places = ON_TABLE,
	 .type = IS_CHOICE,
	 .default_value = "message_trace",
	 .choices = {"message_trace"},
	 .description = "What the foreign table shows"},
	{.name = "field",
	 .places = ON_COLUMN,
	 .type = IS_TEXT,
	 .default_value = "by the column's name",
	 .check = check_not_empty,
	 .description = "The service's property that the column shows"}};
/* clang-format on */

/* Hosts that anyone may aim a server at: those of Microsoft's plans. */
static const char *const microsoft_urls[] = {"https://graph.microsoft.com",
											 "https://login.microsoftonline.com"};

/* ------------------------------------------------------------- places */

static OptionPlace
place_of_catalog(Oid catalog)
{
	switch (catalog)
	{
		case ForeignServerRelationId:
			return ON_SERVER;
		case UserMappingRelationId:
			return ON_MAPPING;
		case ForeignTableRelationId:
			return ON_TABLE;
		case AttributeRelationId:
			return ON_COLUMN;
		default:
			return 0; /* the wrapper itself has none */
	}
}

static const char *
place_name(OptionPlace place)
{
	switch (place)
	{
		case ON_SERVER:
			return "server";
		case ON_MAPPING:
			return "user mapping";
		case ON_TABLE:
			return "foreign table";
		case ON_COLUMN:
			return "column";
	}
	return "foreign-data wrapper";
}

static const Option *
find_option(const char *name)
{
	for (size_t i = 0; i < lengthof(options); i++)
	{
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	}
	return NULL;
}

const char *
msgtrace_nearest_name(const char *name, const char *const *names, int count)
{
	const char *nearest = NULL;
	int nearest_distance = (int) strlen(name) / 2 + 2;

	if (strlen(name) >= NAMEDATALEN)
		return NULL;
	for (int i = 0; i < count; i++)
	{
		int distance = varstr_levenshtein(name, (int) strlen(name), names[i],
										  (int) strlen(names[i]), 1, 1, 1, true);

		if (distance < nearest_distance)
		{
			nearest = names[i];
			nearest_distance = distance;
		}
	}
	return nearest;
}

static const char *
nearest_option(const char *name, OptionPlace place)
{
	const char *names[lengthof(options)];
	int count = 0;

	for (size_t i = 0; i < lengthof(options); i++)
	{
		if (options[i].places & place)
			names[count++] = options[i].name;
	}
	return msgtrace_nearest_name(name, names, count);
}

static void
refuse_unknown(const char *name, OptionPlace place)
{
	const Option *elsewhere = find_option(name);
	const char *nearest = nearest_option(name, place);

	if (elsewhere)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				errmsg("option \"%s\" does not belong to a %s", name, place_name(place)),
				errhint("It is an option of a %s.",
						place_name(elsewhere->places & -elsewhere->places)));
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			errmsg("invalid option \"%s\" for a %s", name, place_name(place)),
			nearest ? errhint("Perhaps you meant the option \"%s\".", nearest)
					: errhint("SELECT * FROM o365_msgtrace.option_list() shows all options."));
}

/* ------------------------------------------------------------- values */

static void
refuse_value(const char *name, const char *value, const char *hint)
{
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("invalid value for option \"%s\": \"%s\"", name, value), errhint("%s", hint));
}

static void
check_not_empty(const char *name, const char *value)
{
	if (*value == '\0')
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("option \"%s\" cannot be empty", name));
}

static void
check_tenant_id(const char *name, const char *value)
{
	static const char *const shared[] = {"common", "organizations", "consumers"};

	for (size_t i = 0; i < lengthof(shared); i++)
	{
		if (pg_strcasecmp(value, shared[i]) == 0)
			refuse_value(
				name, value,
				"An application signs in to one tenant: give its directory id or a domain of it.");
	}
	if (*value == '\0' ||
		value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")])
		refuse_value(name, value,
					 "Give the directory id (a GUID) or a domain such as contoso.onmicrosoft.com.");
}

static bool
looks_like_guid(const char *value)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(value) != strlen(pattern))
		return false;
	for (size_t i = 0; pattern[i]; i++)
	{
		if (pattern[i] == '-' ? value[i] != '-' : !isxdigit((unsigned char) value[i]))
			return false;
	}
	return true;
}

static void
check_client_secret(const char *name, const char *value)
{
	check_not_empty(name, value);
	if (looks_like_guid(value))
		ereport(
			WARNING, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("%s looks like the id of a secret, not like its value", name),
			errhint(
				"The portal shows a secret's value once, in the column \"Value\"; the \"Secret ID\" beside it does not sign in."));
}

static bool
is_superuser_or_reads_files(void)
{
	return superuser() || has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES);
}

static void
check_file(const Option *option, const char *value)
{
	if (!is_absolute_path(value))
		refuse_value(option->name, value,
					 "Give the absolute path of a file on the database server.");
	if (!is_superuser_or_reads_files())
		ereport(
			ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("permission denied to set option \"%s\"", option->name),
			errhint(
				"It names a file of the database server: only superusers and members of pg_read_server_files may set it."));
}

static bool
is_loopback(const char *url)
{
	static const char *const prefixes[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};

	for (size_t i = 0; i < lengthof(prefixes); i++)
	{
		size_t length = strlen(prefixes[i]);

		if (pg_strncasecmp(url, prefixes[i], length) == 0 &&
			strchr(":/", url[length]) != NULL) /* finds the end, too */
			return true;
	}
	return false;
}

static bool
is_microsofts(const char *url)
{
	for (size_t i = 0; i < lengthof(microsoft_urls); i++)
	{
		if (msgtrace_http_same_origin(url, microsoft_urls[i]))
			return true;
	}
	return false;
}

/* A token and the secret go where these point: not just anyone may say where. */
static void
check_url(const Option *option, const char *value)
{
	if (!msgtrace_http_is_plain_url(value) || strpbrk(value, "?#"))
		ereport(
			ERROR, /* the value may hold a password */
			errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("invalid URL for option \"%s\"", option->name),
			errhint(
				"Give scheme, host, port and path, with nothing before @ and nothing after ? or #."));
	if (pg_strncasecmp(value, "https://", 8) != 0 && !is_loopback(value))
		refuse_value(option->name, value,
					 "Give a URL that begins with https://; http:// is for localhost only.");
	if (!is_microsofts(value) && !superuser())
		ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to point option \"%s\" at a host that is not Microsoft's",
					   option->name),
				errdetail("Secrets and tokens are sent to the host named there."),
				errhint("Ask a superuser to create or alter the server."));
}

static void
check_choice(const Option *option, const char *value)
{
	StringInfoData list;

	initStringInfo(&list);
	for (size_t i = 0; i < lengthof(option->choices) && option->choices[i]; i++)
	{
		if (strcmp(option->choices[i], value) == 0)
			return;
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", option->choices[i]);
	}
	refuse_value(option->name, value, psprintf("Valid values are: %s.", list.data));
}

/* In the option's own unit: milliseconds, bytes or just a number. */
static bool
read_number(const Option *option, const char *value, int *number)
{
	int flags = 0;
	const char *hint;

	if (option->type == IS_DURATION)
	{
		/* 300 could be seconds to one reader and milliseconds to another */
		if (strcmp(value, "0") != 0 && !isalpha((unsigned char) value[strlen(value) - 1]))
			return false;
		flags = GUC_UNIT_MS;
	}
	else if (option->type == IS_SIZE)
		flags = GUC_UNIT_BYTE;
	return *value && parse_int(value, number, flags, &hint) && *number >= option->minimum &&
		   *number <= option->maximum;
}

static const char *
show_number(const Option *option, int number)
{
	if (option->type == IS_DURATION && number > 0 && number % ONE_HOUR_MS == 0)
		return psprintf("%dh", number / ONE_HOUR_MS);
	if (option->type == IS_DURATION && number % 1000 == 0)
		return psprintf("%ds", number / 1000);
	if (option->type == IS_DURATION)
		return psprintf("%dms", number);
	if (option->type == IS_SIZE && number % (1024 * 1024) == 0)
		return psprintf("%dMB", number / (1024 * 1024));
	if (option->type == IS_SIZE)
		return psprintf("%dkB", number / 1024);
	return psprintf("%d", number);
}

static void
check_number(const Option *option, const char *value)
{
	int number;
	const char *what = "a whole number";

	if (*value && read_number(option, value, &number))
		return;
	if (option->type == IS_DURATION)
		what = "a time with its unit (ms, s, min, h)";
	else if (option->type == IS_SIZE)
		what = "a size such as 64MB";
	refuse_value(option->name, value,
				 psprintf("Give %s from %s to %s.", what, show_number(option, option->minimum),
						  show_number(option, option->maximum)));
}

static void
check_value(const Option *option, const char *value)
{
	bool boolean;

	switch (option->type)
	{
		case IS_TEXT:
			break;
		case IS_CHOICE:
			check_choice(option, value);
			break;
		case IS_BOOLEAN:
			if (!parse_bool(value, &boolean))
				refuse_value(option->name, value, "Give true or false.");
			break;
		case IS_INTEGER:
		case IS_DURATION:
		case IS_SIZE:
			check_number(option, value);
			break;
		case IS_URL:
			check_url(option, value);
			break;
		case IS_FILE:
			check_file(option, value);
			break;
	}
	if (option->check)
		option->check(option->name, value);
}

static void
check_required(List *given, OptionPlace place)
{
	for (size_t i = 0; i < lengthof(options); i++)
	{
		ListCell *cell;
		bool found = !(options[i].required && (options[i].places & place));

		foreach (cell, given)
			found = found || strcmp(((DefElem *) lfirst(cell))->defname, options[i].name) == 0;
		if (!found)
			ereport(
				ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				errmsg("option \"%s\" is required for a %s", options[i].name, place_name(place)),
				errdetail("%s.", options[i].description));
	}
}

PG_FUNCTION_INFO_V1(o365_msgtrace_validator);

Datum
o365_msgtrace_validator(PG_FUNCTION_ARGS)
{
	List *given = untransformRelOptions(PG_GETARG_DATUM(0));
	OptionPlace place = place_of_catalog(PG_GETARG_OID(1));
	ListCell *cell;

	foreach (cell, given)
	{
		DefElem *element = lfirst_node(DefElem, cell);
		const Option *option = find_option(element->defname);

		if (option == NULL || !(option->places & place))
			refuse_unknown(element->defname, place);
		check_value(option, defGetString(element));
	}
	check_required(given, place);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------- readers */

/* The options of one thing; the last list that names an option wins. */
typedef struct OptionLists
{
	List *lists[3];
} OptionLists;

static const char *
text_option(const OptionLists *given, const char *name)
{
	const char *value = find_option(name)->default_value;

	for (size_t i = 0; i < lengthof(given->lists); i++)
	{
		ListCell *cell;

		foreach (cell, given->lists[i])
		{
			DefElem *element = lfirst_node(DefElem, cell);

			if (strcmp(element->defname, name) == 0)
				value = defGetString(element);
		}
	}
	return value;
}

static int
number_option(const OptionLists *given, const char *name)
{
	const char *value = text_option(given, name);
	int number;

	if (!read_number(find_option(name), value, &number))
		elog(ERROR, "option \"%s\" has the unchecked value \"%s\"", name, value);
	return number;
}

static bool
boolean_option(const OptionLists *given, const char *name)
{
	bool value = false;

	(void) parse_bool(text_option(given, name), &value);
	return value;
}

static void
read_session(MsgTraceSessionConfig *session, const OptionLists *given)
{
	session->report_url = text_option(given, "report_url");
	session->credential.authority_url = text_option(given, "authority_url");
	session->credential.tenant_id = text_option(given, "tenant_id");
	session->credential.resource = text_option(given, "resource");
	session->credential.client_id = text_option(given, "client_id");
	session->credential.client_secret = text_option(given, "client_secret");
	session->http.ca_file = text_option(given, "ca_file");
	session->http.connect_timeout = number_option(given, "connect_timeout");
	session->http.request_timeout = number_option(given, "request_timeout");
	session->http.max_response_size = number_option(given, "max_response_size");
	session->max_retries = number_option(given, "max_retries");
	session->retry_initial_interval = number_option(given, "retry_initial_interval");
	session->service_clock = msgtrace_clock_source == MSGTRACE_CLOCK_OF_SERVICE;
}

void
msgtrace_settings_read(MsgTraceSettings *settings, Oid table_id, Oid user_id)
{
	ForeignTable *table = GetForeignTable(table_id);
	ForeignServer *server = GetForeignServer(table->serverid);
	OptionLists given = {{server->options, table->options, NIL}};

	if (OidIsValid(user_id))
		given.lists[2] = GetUserMapping(user_id, server->serverid)->options;

	memset(settings, 0, sizeof(*settings));
	read_session(&settings->session, &given);
	settings->page_size = number_option(&given, "page_size");
	settings->normalize = boolean_option(&given, "normalize");
	settings->rows_per_day = number_option(&given, "rows_per_day");
	settings->tenant_label = text_option(&given, "tenant_label");
	if (settings->tenant_label == find_option("tenant_label")->default_value)
		settings->tenant_label = server->servername;
}

const char *
msgtrace_column_field(Oid table_id, AttrNumber attno)
{
	ListCell *cell;

	foreach (cell, GetForeignColumnOptions(table_id, attno))
	{
		DefElem *element = lfirst_node(DefElem, cell);

		if (strcmp(element->defname, "field") == 0)
			return defGetString(element);
	}
	return NULL;
}

/* --------------------------------------------------------- option_list */

static const char *
type_name(OptionType type)
{
	switch (type)
	{
		case IS_TEXT:
			return "text";
		case IS_CHOICE:
			return "choice";
		case IS_BOOLEAN:
			return "boolean";
		case IS_INTEGER:
			return "integer";
		case IS_DURATION:
			return "duration";
		case IS_SIZE:
			return "size";
		case IS_URL:
			return "URL";
		case IS_FILE:
			return "file";
	}
	return NULL;
}

static void
put_option(ReturnSetInfo *result, const Option *option, OptionPlace place)
{
	Datum values[5];
	bool nulls[5] = {false};

	values[0] = CStringGetTextDatum(place_name(place));
	values[1] = CStringGetTextDatum(option->name);
	values[2] = CStringGetTextDatum(type_name(option->type));
	nulls[3] = option->default_value == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(option->default_value);
	values[4] = CStringGetTextDatum(option->description);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_option_list);

Datum
o365_msgtrace_option_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int place = ON_SERVER; place <= ON_COLUMN; place <<= 1)
	{
		for (size_t i = 0; i < lengthof(options); i++)
		{
			if (options[i].places & place)
				put_option(result, &options[i], place);
		}
	}
	return (Datum) 0;
}
