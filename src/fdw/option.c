/*-------------------------------------------------------------------------
 *
 * option.c
 *		The one table that describes every option completely.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/option.h"

#include "auth/session.h"
#include "fdw/option_check.h"
#include "trace/graph.h"

#define ONE_MINUTE_MS (60 * 1000)
#define ONE_HOUR_MS (60 * ONE_MINUTE_MS)
#define ONE_DAY_MS (24 * ONE_HOUR_MS)

/* clang-format off: one line a fact */
const MsgTraceOption msgtrace_options[] = {
	{.name = "api",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_CHOICE,
	 .default_words = "graph; reporting for gcc_high and dod",
	 .choices = {"graph", "reporting"},
	 .description = "Which API is asked: Microsoft Graph, or the older Reporting web service"},
	{.name = "plan",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_CHOICE,
	 .default_value = "enterprise",
	 .choices = {"enterprise", "gcc", "gcc_high", "dod"},
	 .description =
		 "Plan of Office 365: picks authority_url, report_url and resource; dod needs the latter two"},
	{.name = "tenant_id",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_tenant_id,
	 .description =
		 "Directory (tenant) id, or a domain of the tenant; required but for basic sign-in"},
	{.name = "tenant_label",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_TEXT,
	 .default_words = "the server's name",
	 .check = msgtrace_check_not_empty,
	 .description = "Value of a column named tenant"},
	{.name = "report_url",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_URL,
	 .default_words = "from api and plan",
	 .description = "URL of the list; another host than Microsoft's is for superusers"},
	{.name = "authority_url",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_URL,
	 .default_words = "from plan",
	 .description = "Sign-in host; another than Microsoft's is for superusers"},
	{.name = "resource",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_URL,
	 .default_words = "from api and plan",
	 .description = "What the token is for; another host than Microsoft's is for superusers"},
	{.name = "request_timeout",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_DURATION,
	 .default_value = "300s",
	 .minimum = 0,
	 .maximum = ONE_DAY_MS,
	 .description = "Longest time for one page; 0 is no limit"},
	{.name = "connect_timeout",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_DURATION,
	 .default_value = "10s",
	 .minimum = 1,
	 .maximum = ONE_HOUR_MS,
	 .description = "Longest time for name resolution, connection and TLS"},
	{.name = "retry_type",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_CHOICE,
	 .default_value = "backoff",
	 .choices = {"backoff", "static", "disabled"},
	 .description = "Pauses between retries: growing, all alike, or no retry at all"},
	{.name = "retry_initial_interval",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_DURATION,
	 .default_value = "1s",
	 .minimum = 0,
	 .maximum = 20000,
	 .description = "Pause before the first retry; 0 is at once, at most 20s"},
	{.name = "max_retries",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_INTEGER,
	 .default_value = "5",
	 .minimum = 0,
	 .maximum = 20,
	 .description =
		 "Retries of a request after a fault that may pass; 0 is none; a 429 is waited out for twice quota_window"},
	{.name = "retry_multiplier",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_NUMBER,
	 .default_value = "2",
	 .minimum = 1,
	 .maximum = 20,
	 .description = "What each pause is of the last, with retry_type backoff"},
	{.name = "retry_max_interval",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_DURATION,
	 .default_value = "60s",
	 .minimum = 0,
	 .maximum = ONE_HOUR_MS,
	 .description = "Longest pause between retries"},
	{.name = "retry_http_codes",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_CODES,
	 .default_value = "429,503",
	 .description =
		 "HTTP status codes that are retried, parted by commas; connections that break off and timeouts are, too"},
	{.name = "honor_retry_after",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_BOOLEAN,
	 .default_value = "true",
	 .description = "Wait as long as the service's Retry-After says"},
	{.name = "max_retry_after",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_DURATION,
	 .default_value = "300s",
	 .minimum = 0,
	 .maximum = ONE_DAY_MS,
	 .description = "A longer Retry-After is ignored, with a warning"},
	{.name = "proxy",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_PROXY,
	 .default_words = "the environment's",
	 .description = "URL of a proxy, such as http://proxy.example:3128; empty is none; superusers"},
	{.name = "no_proxy",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_TEXT,
	 .default_words = "the environment's",
	 .description = "Hosts that are reached without the proxy, parted by commas"},
	{.name = "ca_file",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_FILE,
	 .description =
		 "PEM file of certificate authorities beside the system's; superusers and pg_read_server_files"},
	{.name = "page_size",
	 .places = MSGTRACE_ON_SERVER | MSGTRACE_ON_TABLE,
	 .type = MSGTRACE_IS_INTEGER,
	 .default_words = "5000; 2000 with api reporting",
	 .minimum = 1,
	 .maximum = MSGTRACE_GRAPH_MAX_PAGE_SIZE,
	 .description = "Rows asked for in one request; the default is the most"},
	{.name = "max_concurrency",
	 .places = MSGTRACE_ON_SERVER | MSGTRACE_ON_TABLE,
	 .type = MSGTRACE_IS_INTEGER,
	 .default_value = "3",
	 .minimum = 1,
	 .maximum = 10,
	 .description = "Requests in flight at most for one scan"},
	{.name = "quota_requests",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_INTEGER,
	 .default_value = "90",
	 .minimum = 0,
	 .maximum = MSGTRACE_MAX_QUOTA,
	 .description =
		 "Requests of all sessions together to the tenant in quota_window; 0 is no limit"},
	{.name = "quota_window",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_DURATION,
	 .default_value = "300s",
	 .minimum = 1000,
	 .maximum = ONE_DAY_MS,
	 .description = "The rolling window that quota_requests is of"},
	{.name = "detail_quota",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_CHOICE,
	 .default_value = "shared",
	 .choices = {"shared", "separate"},
	 .description =
		 "Whether requests for details draw on the same budget (documented) or on one of their own (measured)"},
	{.name = "max_response_size",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_SIZE,
	 .default_value = "64MB",
	 .minimum = 1024,
	 .maximum = 512 * 1024 * 1024,
	 .description = "A longer body is an error"},
	{.name = "normalize",
	 .places = MSGTRACE_ON_SERVER | MSGTRACE_ON_TABLE,
	 .type = MSGTRACE_IS_BOOLEAN,
	 .default_value = "true",
	 .description = "Addresses in lower case, status in one spelling, empty text as NULL"},
	{.name = "on_bad_row",
	 .places = MSGTRACE_ON_SERVER | MSGTRACE_ON_TABLE,
	 .type = MSGTRACE_IS_CHOICE,
	 .default_value = "error",
	 .choices = {"error", "reject"},
	 .description =
		 "What becomes of a row that cannot be read: it ends the query, or is set aside with a warning"},
	{.name = "log_level",
	 .places = MSGTRACE_ON_SERVER,
	 .type = MSGTRACE_IS_CHOICE,
	 .default_value = "info",
	 .choices = {"error", "warn", "info", "debug"},
	 .description =
		 "What goes into the server log: nothing, retries, also sign-ins, also each request"},
	{.name = "rows_per_day",
	 .places = MSGTRACE_ON_SERVER | MSGTRACE_ON_TABLE,
	 .type = MSGTRACE_IS_INTEGER,
	 .default_value = "100000",
	 .minimum = 1,
	 .maximum = 1000000000,
	 .description = "Rows of the tenant in a day, for the planner and the first request"},
	{.name = "auth",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_CHOICE,
	 .default_value = "oauth",
	 .choices = {"oauth", "oauth_secret", "oauth_certificate", "basic", "basic_secret"},
	 .description =
		 "How to sign in: with a client secret, a stored one, a certificate, a password, a stored one"},
	{.name = "client_id",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_not_empty,
	 .taken_with = MSGTRACE_ANY_OAUTH,
	 .needed_with = MSGTRACE_ANY_OAUTH,
	 .description = "Application (client) id of the app registration"},
	{.name = "client_secret",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_client_secret,
	 .taken_with = MSGTRACE_OAUTH,
	 .needed_with = MSGTRACE_OAUTH,
	 .description = "Value of a client secret of the app registration, not its id"},
	{.name = "secret_name",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_not_empty,
	 .taken_with = MSGTRACE_OAUTH_SECRET | MSGTRACE_BASIC_SECRET,
	 .needed_with = MSGTRACE_OAUTH_SECRET | MSGTRACE_BASIC_SECRET,
	 .description = "Stored secret (create_secret) that is the client secret or the password"},
	{.name = "certificate_file",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_FILE,
	 .taken_with = MSGTRACE_OAUTH_CERTIFICATE,
	 .description =
		 "PEM file of the certificate; may begin with $VARIABLE; superusers and pg_read_server_files"},
	{.name = "private_key_file",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_FILE,
	 .default_words = "the certificate's file",
	 .taken_with = MSGTRACE_OAUTH_CERTIFICATE,
	 .description =
		 "PEM file of the private key; may begin with $VARIABLE; superusers and pg_read_server_files"},
	{.name = "certificate_secret",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_not_empty,
	 .taken_with = MSGTRACE_OAUTH_CERTIFICATE,
	 .description = "Stored secret that is the certificate as PEM, in place of a file"},
	{.name = "private_key_secret",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_not_empty,
	 .taken_with = MSGTRACE_OAUTH_CERTIFICATE,
	 .description = "Stored secret that is the private key as PEM, in place of a file"},
	{.name = "passphrase",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_not_empty,
	 .taken_with = MSGTRACE_OAUTH_CERTIFICATE,
	 .description = "Passphrase of the private key, if it has one"},
	{.name = "passphrase_secret",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_not_empty,
	 .taken_with = MSGTRACE_OAUTH_CERTIFICATE,
	 .description = "Stored secret that is the passphrase"},
	{.name = "username",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .default_words = "the stored secret's",
	 .check = msgtrace_check_username,
	 .taken_with = MSGTRACE_BASIC | MSGTRACE_BASIC_SECRET,
	 .needed_with = MSGTRACE_BASIC,
	 .description =
		 "Service account for basic sign-in, which only the Reporting web service takes"},
	{.name = "password",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_not_empty,
	 .taken_with = MSGTRACE_BASIC,
	 .needed_with = MSGTRACE_BASIC,
	 .description = "Password of that service account"},
	{.name = "proxy_username",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .check = msgtrace_check_username,
	 .description = "User name for the proxy"},
	{.name = "proxy_password",
	 .places = MSGTRACE_ON_MAPPING,
	 .type = MSGTRACE_IS_TEXT,
	 .description = "Password for the proxy"},
	{.name = "table",
	 .places = MSGTRACE_ON_TABLE,
	 .type = MSGTRACE_IS_CHOICE,
	 .default_value = "message_trace",
	 .choices = {"message_trace", "message_trace_detail"},
	 .description = "What the foreign table shows"},
	{.name = "field",
	 .places = MSGTRACE_ON_COLUMN,
	 .type = MSGTRACE_IS_TEXT,
	 .default_words = "by the column's name",
	 .check = msgtrace_check_not_empty,
	 .description = "The service's property that the column shows"}};
/* clang-format on */

const int msgtrace_option_count = lengthof(msgtrace_options);

const MsgTraceOption *
msgtrace_option_find(const char *name)
{
	for (int i = 0; i < msgtrace_option_count; i++)
	{
		if (strcmp(msgtrace_options[i].name, name) == 0)
			return &msgtrace_options[i];
	}
	return NULL;
}

const char *
msgtrace_option_place_name(MsgTraceOptionPlace place)
{
	switch (place)
	{
		case MSGTRACE_ON_SERVER:
			return "server";
		case MSGTRACE_ON_MAPPING:
			return "user mapping";
		case MSGTRACE_ON_TABLE:
			return "foreign table";
		case MSGTRACE_ON_COLUMN:
			return "column";
	}
	return "foreign-data wrapper";
}

const char *
msgtrace_option_type_name(MsgTraceOptionType type)
{
	switch (type)
	{
		case MSGTRACE_IS_TEXT:
			return "text";
		case MSGTRACE_IS_CHOICE:
			return "choice";
		case MSGTRACE_IS_BOOLEAN:
			return "boolean";
		case MSGTRACE_IS_INTEGER:
			return "integer";
		case MSGTRACE_IS_NUMBER:
			return "number";
		case MSGTRACE_IS_CODES:
			return "codes";
		case MSGTRACE_IS_DURATION:
			return "duration";
		case MSGTRACE_IS_SIZE:
			return "size";
		case MSGTRACE_IS_URL:
		case MSGTRACE_IS_PROXY:
			return "URL";
		case MSGTRACE_IS_FILE:
			return "file";
	}
	return NULL;
}
