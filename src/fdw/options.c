/*-------------------------------------------------------------------------
 *
 * options.c
 *		Options of servers, user mappings, foreign tables and their columns: the
 *		validator, and what a scan reads of them.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/options.h"

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fdw/log.h"
#include "fdw/module.h"
#include "fdw/option.h"
#include "fdw/option_check.h"
#include "fdw/secrets.h"
#include "fmgr.h"
#include "funcapi.h"
#include "net/compat.h"
#include "trace/cloud.h"
#include "utils/builtins.h"

/* The options of one thing; the last list that names an option wins. */
typedef struct OptionLists
{
	List *lists[3];
} OptionLists;

/* As it was written, or NULL. */
static const char *
given_option(const OptionLists *given, const char *name)
{
	const char *value = NULL;

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

static const char *
text_option(const OptionLists *given, const char *name)
{
	const char *value = given_option(given, name);

	return value ? value : msgtrace_option_find(name)->default_value;
}

/* Values were checked when they were set. */
MSGTRACE_NORETURN static void
refuse_unchecked(const char *name, const char *value)
{
	elog(ERROR, "option \"%s\" has the unchecked value \"%s\"", name, value);
}

static int
number_option(const OptionLists *given, const char *name)
{
	const char *value = text_option(given, name);
	int number;

	if (!msgtrace_read_number(msgtrace_option_find(name), value, &number))
		refuse_unchecked(name, value);
	return number;
}

static double
fraction_option(const OptionLists *given, const char *name)
{
	const char *value = text_option(given, name);
	double number;

	if (!msgtrace_read_fraction(msgtrace_option_find(name), value, &number))
		refuse_unchecked(name, value);
	return number;
}

static bool
boolean_option(const OptionLists *given, const char *name)
{
	bool value = false;

	(void) parse_bool(text_option(given, name), &value);
	return value;
}

/* The place of the value among the option's choices. */
static int
choice_option(const OptionLists *given, const char *name)
{
	const MsgTraceOption *option = msgtrace_option_find(name);
	const char *value = text_option(given, name);

	for (size_t i = 0; i < lengthof(option->choices) && option->choices[i]; i++)
	{
		if (strcmp(option->choices[i], value) == 0)
			return (int) i;
	}
	refuse_unchecked(name, value);
}

/* ----------------------------------------------------------- addresses */

/* Where a server is, by its plan and its options. */
typedef struct ServerAddress
{
	const MsgTraceCloud *cloud;
	const MsgTraceDialect *dialect;
	bool graph;				   /* else Reporting */
	const char *api;		   /* in the option's words */
	const char *report_url;	   /* NULL where the plan has none and none is given */
	const char *authority_url; /* likewise, as is the next */
	const char *resource;
} ServerAddress;

static const char *
first_of(const char *given, const char *other)
{
	return given ? given : other;
}

static void
find_address(ServerAddress *address, const OptionLists *given)
{
	const MsgTraceCloud *cloud = msgtrace_cloud_find(text_option(given, "plan"));

	if (cloud == NULL)
		refuse_unchecked("plan", text_option(given, "plan"));
	address->cloud = cloud;
	address->api = first_of(given_option(given, "api"), cloud->graph_url ? "graph" : "reporting");
	address->dialect = msgtrace_dialect_find(address->api);
	if (address->dialect == NULL)
		refuse_unchecked("api", address->api);
	address->graph = strcmp(address->api, "graph") == 0;
	address->report_url = first_of(given_option(given, "report_url"),
								   address->graph ? cloud->graph_url : cloud->reporting_url);
	address->authority_url = first_of(given_option(given, "authority_url"), cloud->authority_url);
	address->resource = first_of(given_option(given, "resource"), address->graph
																	  ? cloud->graph_resource
																	  : cloud->reporting_resource);
}

static void
refuse_missing(const char *name, MsgTraceOptionPlace place)
{
	ereport(ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
			errmsg("option \"%s\" is required for a %s", name, msgtrace_option_place_name(place)),
			errdetail("%s.", msgtrace_option_find(name)->description));
}

static void
refuse_other_api(const ServerAddress *address)
{
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("report_url is not a URL of the api \"%s\"", address->api),
			address->graph ? errdetail("It is the list of the Reporting web service.")
						   : errdetail("It is the list of Microsoft Graph."),
			address->graph ? errhint("Set the option api to reporting, or leave report_url out.")
						   : errhint("Set the option api to graph, or leave report_url out."));
}

static void
check_page_size(const ServerAddress *address, const OptionLists *given)
{
	const char *value = given_option(given, "page_size");

	if (value && number_option(given, "page_size") > address->dialect->max_page_size)
		msgtrace_refuse_value("page_size", value,
							  psprintf("A page of the api \"%s\" has at most %d rows.",
									   address->api, address->dialect->max_page_size));
}

/* Do the options of a server fit together? */
static void
check_server(const OptionLists *given)
{
	ServerAddress address;

	find_address(&address, given);
	if (address.graph && address.cloud->graph_url == NULL)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("the api \"graph\" is not offered in the plan \"%s\"", address.cloud->plan),
				errdetail("Microsoft Graph has no message trace in GCC High and DoD."),
				errhint("Leave the option api out, or set it to reporting."));
	if (address.report_url == NULL)
		refuse_missing("report_url", MSGTRACE_ON_SERVER);
	if (address.resource == NULL)
		refuse_missing("resource", MSGTRACE_ON_SERVER);
	if (address.graph ? msgtrace_cloud_is_reporting_url(address.report_url)
					  : msgtrace_cloud_is_graph_url(address.report_url))
		refuse_other_api(&address);
	if (address.graph && given_option(given, "tenant_id") == NULL)
		refuse_missing("tenant_id", MSGTRACE_ON_SERVER);
	check_page_size(&address, given);
}

/* -------------------------------------------------------- user mappings */

static void
refuse_with_auth(const char *name, const char *auth)
{
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			errmsg("option \"%s\" does not go with auth \"%s\"", name, auth),
			errhint("Drop the option, or choose another auth in the same command."));
}

static void
check_one_of(const OptionLists *given, const char *one, const char *other, bool needed)
{
	bool has_one = given_option(given, one) != NULL;
	bool has_other = given_option(given, other) != NULL;

	if (has_one && has_other)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				errmsg("options \"%s\" and \"%s\" exclude each other", one, other),
				errhint("Drop one of them."));
	if (needed && !has_one && !has_other)
		ereport(ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				errmsg("option \"%s\" or \"%s\" is required for auth \"oauth_certificate\"", one,
					   other),
				errhint("Name a PEM file of the database server, or a stored secret that is PEM."));
}

/* Do the options of a user mapping fit its way of signing in? */
static void
check_mapping(const OptionLists *given)
{
	const char *auth = text_option(given, "auth");
	int sign_in = 1 << choice_option(given, "auth");

	for (int i = 0; i < msgtrace_option_count; i++)
	{
		const MsgTraceOption *option = &msgtrace_options[i];
		bool is_given = given_option(given, option->name) != NULL;

		if (is_given && option->taken_with != 0 && !(option->taken_with & sign_in))
			refuse_with_auth(option->name, auth);
		if (!is_given && (option->needed_with & sign_in))
			refuse_missing(option->name, MSGTRACE_ON_MAPPING);
	}
	if (sign_in == MSGTRACE_OAUTH_CERTIFICATE)
	{
		check_one_of(given, "certificate_file", "certificate_secret", true);
		check_one_of(given, "private_key_file", "private_key_secret", false);
		check_one_of(given, "passphrase", "passphrase_secret", false);
	}
}

/* ------------------------------------------------------------ validator */

static MsgTraceOptionPlace
place_of_catalog(Oid catalog)
{
	switch (catalog)
	{
		case ForeignServerRelationId:
			return MSGTRACE_ON_SERVER;
		case UserMappingRelationId:
			return MSGTRACE_ON_MAPPING;
		case ForeignTableRelationId:
			return MSGTRACE_ON_TABLE;
		case AttributeRelationId:
			return MSGTRACE_ON_COLUMN;
		default:
			return 0; /* the wrapper itself has none */
	}
}

static const char *
nearest_option(const char *name, MsgTraceOptionPlace place)
{
	const char **names = palloc(msgtrace_option_count * sizeof(char *));
	int count = 0;

	for (int i = 0; i < msgtrace_option_count; i++)
	{
		if (msgtrace_options[i].places & place)
			names[count++] = msgtrace_options[i].name;
	}
	return msgtrace_nearest_name(name, names, count);
}

static void
refuse_unknown(const char *name, MsgTraceOptionPlace place)
{
	const MsgTraceOption *elsewhere = msgtrace_option_find(name);
	const char *nearest = nearest_option(name, place);

	if (elsewhere)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				errmsg("option \"%s\" does not belong to a %s", name,
					   msgtrace_option_place_name(place)),
				errhint("It is an option of a %s.",
						msgtrace_option_place_name(elsewhere->places & -elsewhere->places)));
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			errmsg("invalid option \"%s\" for a %s", name, msgtrace_option_place_name(place)),
			nearest ? errhint("Perhaps you meant the option \"%s\".", nearest)
					: errhint("SELECT * FROM o365_msgtrace.option_list() shows all options."));
}

PG_FUNCTION_INFO_V1(o365_msgtrace_validator);

Datum
o365_msgtrace_validator(PG_FUNCTION_ARGS)
{
	OptionLists given = {{untransformRelOptions(PG_GETARG_DATUM(0)), NIL, NIL}};
	MsgTraceOptionPlace place = place_of_catalog(PG_GETARG_OID(1));
	ListCell *cell;

	foreach (cell, given.lists[0])
	{
		DefElem *element = lfirst_node(DefElem, cell);
		const MsgTraceOption *option = msgtrace_option_find(element->defname);

		if (option == NULL || !(option->places & place))
			refuse_unknown(element->defname, place);
		msgtrace_check_value(option, defGetString(element));
	}
	if (place == MSGTRACE_ON_SERVER)
		check_server(&given);
	else if (place == MSGTRACE_ON_MAPPING)
		check_mapping(&given);
	PG_RETURN_VOID();
}

/* --------------------------------------------------------------- reader */

static void
read_retry(MsgTraceRetryPolicy *retry, const OptionLists *given)
{
	retry->type = choice_option(given, "retry_type"); /* in the order of the enum */
	retry->initial_interval = number_option(given, "retry_initial_interval");
	retry->max_retries = number_option(given, "max_retries");
	retry->multiplier = fraction_option(given, "retry_multiplier");
	retry->max_interval = number_option(given, "retry_max_interval");
	retry->code_count = msgtrace_read_codes(text_option(given, "retry_http_codes"), retry->codes);
	retry->honor_retry_after = boolean_option(given, "honor_retry_after");
	retry->max_retry_after = number_option(given, "max_retry_after");
	retry->max_throttled = INT64CONST(2) * number_option(given, "quota_window");
}

static void
read_http(MsgTraceHttpOptions *http, const OptionLists *given)
{
	http->ca_file = text_option(given, "ca_file");
	http->connect_timeout = number_option(given, "connect_timeout");
	http->request_timeout = number_option(given, "request_timeout");
	http->max_response_size = number_option(given, "max_response_size");
	http->proxy = text_option(given, "proxy");
	http->no_proxy = text_option(given, "no_proxy");
	http->proxy_username = text_option(given, "proxy_username");
	http->proxy_password = text_option(given, "proxy_password");
}

static MsgTraceAuth
auth_of(int sign_in)
{
	if (sign_in & (MSGTRACE_BASIC | MSGTRACE_BASIC_SECRET))
		return MSGTRACE_AUTH_BASIC;
	return sign_in == MSGTRACE_OAUTH_CERTIFICATE ? MSGTRACE_AUTH_CERTIFICATE : MSGTRACE_AUTH_SECRET;
}

static void
read_credential(MsgTraceCredential *credential, const ServerAddress *address,
				const OptionLists *given)
{
	credential->auth = auth_of(1 << choice_option(given, "auth"));
	credential->authority_url = address->authority_url;
	credential->resource = address->resource;
	credential->tenant_id = text_option(given, "tenant_id");
	credential->client_id = text_option(given, "client_id");
	credential->client_secret = text_option(given, "client_secret");
	credential->certificate_file = text_option(given, "certificate_file");
	credential->private_key_file = text_option(given, "private_key_file");
	credential->passphrase = text_option(given, "passphrase");
	credential->username = text_option(given, "username");
	credential->password = text_option(given, "password");
}

/* What neither server nor mapping could know when it was made: the other one. */
static void
check_sign_in(const MsgTraceCredential *credential, const ServerAddress *address)
{
	if (credential->auth != MSGTRACE_AUTH_BASIC && credential->tenant_id == NULL)
		refuse_missing("tenant_id", MSGTRACE_ON_SERVER);
	if (credential->auth == MSGTRACE_AUTH_BASIC && address->graph)
		ereport(
			ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("basic sign-in does not go with the api \"graph\""),
			errdetail("Microsoft Graph takes tokens only."),
			errhint(
				"Set the option auth of the user mapping to an oauth one, or the option api of the server to reporting."));
}

static void
read_secret_names(MsgTraceSecretNames *secrets, const OptionLists *given)
{
	secrets->secret_name = text_option(given, "secret_name");
	secrets->certificate_secret = text_option(given, "certificate_secret");
	secrets->private_key_secret = text_option(given, "private_key_secret");
	secrets->passphrase_secret = text_option(given, "passphrase_secret");
}

static void
read_session(MsgTraceSessionConfig *session, const ServerAddress *address, const OptionLists *given)
{
	session->report_url = address->report_url;
	session->api = address->dialect->name;
	session->prefer = address->dialect->prefer;
	read_credential(&session->credential, address, given);
	read_http(&session->http, given);
	read_retry(&session->retry, given);
	session->budget.requests = number_option(given, "quota_requests");
	session->budget.window = number_option(given, "quota_window");
	session->budget.batch = msgtrace_request_class == MSGTRACE_BATCH;
	session->detail_apart = strcmp(text_option(given, "detail_quota"), "separate") == 0;
	session->service_clock = msgtrace_clock_source == MSGTRACE_CLOCK_OF_SERVICE;
}

/* By the option "table", which a server does not have. */
static bool
is_detail(const OptionLists *given)
{
	return strcmp(text_option(given, "table"), "message_trace_detail") == 0;
}

static void
read_settings(MsgTraceSettings *settings, const ForeignServer *server, const OptionLists *given)
{
	ServerAddress address;

	memset(settings, 0, sizeof(*settings));
	find_address(&address, given);
	check_page_size(&address, given); /* a table does not know its server when it is made */
	read_session(&settings->session, &address, given);
	if (given->lists[2] != NIL)
		check_sign_in(&settings->session.credential, &address);
	settings->session.server_id = server->serverid;
	read_secret_names(&settings->secrets, given);
	settings->tenant_label = first_of(text_option(given, "tenant_label"), server->servername);
	settings->page_size = given_option(given, "page_size") ? number_option(given, "page_size")
														   : address.dialect->max_page_size;
	settings->dialect = address.dialect;
	settings->is_detail = is_detail(given);
	settings->normalize = boolean_option(given, "normalize");
	settings->max_concurrency = number_option(given, "max_concurrency");
	settings->rows_per_day = number_option(given, "rows_per_day");
	settings->rows_expected = msgtrace_rows_expected;
	settings->reject_bad_rows = msgtrace_on_bad_row == MSGTRACE_BY_OPTION
									? choice_option(given, "on_bad_row") == MSGTRACE_REJECT
									: msgtrace_on_bad_row == MSGTRACE_REJECT;
	settings->log_level = msgtrace_log_level == MSGTRACE_BY_OPTION
							  ? choice_option(given, "log_level")
							  : msgtrace_log_level;
	msgtrace_log_requests(&settings->session, server->servername, settings->log_level);
}

/*
 * Stored secrets are looked up for whom the scan is made as; each has its host.
 * Those of the mapping are to be wiped also when that fails.
 */
static void
read_secrets(MsgTraceSettings *settings, Oid user_id)
{
	MsgTraceSessionConfig *session = &settings->session;
	bool basic = session->credential.auth == MSGTRACE_AUTH_BASIC;

	msgtrace_credential_wipe_at_end(&session->credential);
	msgtrace_credential_wipe_text_at_end(session->http.proxy_password);
	msgtrace_secrets_resolve(&session->credential, &settings->secrets,
							 basic ? session->report_url : session->credential.authority_url,
							 user_id);
}

void
msgtrace_settings_read(MsgTraceSettings *settings, Oid table_id, Oid user_id)
{
	ForeignTable *table = GetForeignTable(table_id);
	ForeignServer *server = GetForeignServer(table->serverid);
	OptionLists given = {{server->options, table->options, NIL}};

	if (OidIsValid(user_id))
		given.lists[2] = GetUserMapping(user_id, server->serverid)->options;
	read_settings(settings, server, &given);
	if (OidIsValid(user_id))
		read_secrets(settings, user_id);
}

void
msgtrace_settings_read_server(MsgTraceSettings *settings, Oid server_id, Oid user_id)
{
	ForeignServer *server = GetForeignServer(server_id);
	OptionLists given = {{server->options, NIL, NIL}};

	if (OidIsValid(user_id))
		given.lists[2] = GetUserMapping(user_id, server_id)->options;
	read_settings(settings, server, &given);
	read_secrets(settings, user_id);
}

bool
msgtrace_table_is_detail(Oid table_id)
{
	OptionLists given = {{GetForeignTable(table_id)->options, NIL, NIL}};

	return is_detail(&given);
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

static void
put_option(ReturnSetInfo *result, const MsgTraceOption *option, MsgTraceOptionPlace place)
{
	const char *standard = first_of(option->default_value, option->default_words);
	Datum values[5];
	bool nulls[5] = {false};

	values[0] = CStringGetTextDatum(msgtrace_option_place_name(place));
	values[1] = CStringGetTextDatum(option->name);
	values[2] = CStringGetTextDatum(msgtrace_option_type_name(option->type));
	nulls[3] = standard == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(standard);
	values[4] = CStringGetTextDatum(option->description);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_option_list);

Datum
o365_msgtrace_option_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int place = MSGTRACE_ON_SERVER; place <= MSGTRACE_ON_COLUMN; place <<= 1)
	{
		for (int i = 0; i < msgtrace_option_count; i++)
		{
			if (msgtrace_options[i].places & place)
				put_option(result, &msgtrace_options[i], place);
		}
	}
	return (Datum) 0;
}
