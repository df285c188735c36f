/*-------------------------------------------------------------------------
 *
 * module.c
 *		The library's entry, and its settings.
 *
 * Nothing else happens when the library is loaded, but that shared memory is asked
 * for when it is preloaded: curl and OpenSSL are initialised in the backends that
 * use them, never in the postmaster.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/module.h"

#include <limits.h>

#include "fmgr.h"
#include "net/budget.h"
#include "net/counters.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

int msgtrace_max_requests_per_query = 100;
int msgtrace_clock_source = MSGTRACE_CLOCK_LOCAL;
int msgtrace_log_level = MSGTRACE_BY_OPTION;
bool msgtrace_log_scans = false;
int msgtrace_on_bad_row = MSGTRACE_BY_OPTION;
int msgtrace_request_class = MSGTRACE_INTERACTIVE;
double msgtrace_rows_expected = 0;

char *msgtrace_secret_key_file = NULL;

/* Read by SQL functions only. */
static char *environment = NULL;

static const struct config_enum_entry clock_sources[] = {
	{"local", MSGTRACE_CLOCK_LOCAL, false},
	{"service", MSGTRACE_CLOCK_OF_SERVICE, false},
	{NULL, 0, false}};

static const struct config_enum_entry log_levels[] = {
	{"default", MSGTRACE_BY_OPTION, false}, {"error", MSGTRACE_LOG_ERROR, false},
	{"warn", MSGTRACE_LOG_WARN, false},		{"info", MSGTRACE_LOG_INFO, false},
	{"debug", MSGTRACE_LOG_DEBUG, false},	{NULL, 0, false}};

static const struct config_enum_entry bad_row_choices[] = {{"default", MSGTRACE_BY_OPTION, false},
														   {"error", MSGTRACE_FAIL, false},
														   {"reject", MSGTRACE_REJECT, false},
														   {NULL, 0, false}};

static const struct config_enum_entry request_classes[] = {
	{"interactive", MSGTRACE_INTERACTIVE, false},
	{"batch", MSGTRACE_BATCH, false},
	{NULL, 0, false}};

static bool
check_key_file(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (**value == '\0' || is_absolute_path(*value))
		return true;
	GUC_check_errdetail("It is not an absolute path.");
	return false;
}

void _PG_init(void);

void
_PG_init(void)
{
	DefineCustomIntVariable(
		"o365_msgtrace.max_requests_per_query",
		"Requests that one query may make of a Message Trace service.",
		"A query that would need one more stops with an error, never with fewer rows. 0 is no limit.",
		&msgtrace_max_requests_per_query, 100, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"o365_msgtrace.clock_source", "Whose clock tells what a Message Trace service holds.",
		"\"service\" takes the service's word even where it is days away from ours, as in tests.",
		&msgtrace_clock_source, MSGTRACE_CLOCK_LOCAL, clock_sources, PGC_SUSET, 0, NULL, NULL,
		NULL);
	DefineCustomStringVariable(
		"o365_msgtrace.environment", "What this server is for, as \"production\".",
		"An input with a setting \"environment\" runs only where this has the same value.",
		&environment, "", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"o365_msgtrace.log_level", "What is written into the server log about requests.",
		"\"default\" leaves it to the server's option log_level.", &msgtrace_log_level,
		MSGTRACE_BY_OPTION, log_levels, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"o365_msgtrace.log_scans",
		"Write a line about each scan of a message trace into the server log.",
		"It says who asked, as whom, for what, and how many rows came: for audits.",
		&msgtrace_log_scans, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"o365_msgtrace.on_bad_row", "What becomes of a message trace row that cannot be read.",
		"\"default\" leaves it to the option on_bad_row of table or server.", &msgtrace_on_bad_row,
		MSGTRACE_BY_OPTION, bad_row_choices, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("o365_msgtrace.request_class",
							 "Who goes first when a tenant's budget of requests is short.",
							 "\"interactive\" goes before \"batch\".", &msgtrace_request_class,
							 MSGTRACE_INTERACTIVE, request_classes, PGC_USERSET, 0, NULL, NULL,
							 NULL);
	DefineCustomRealVariable(
		"o365_msgtrace.rows_expected", "Rows that a scan of a message trace is expected to find.",
		"Its range is then cut at once, into as few slices as are of use. 0 is not known.",
		&msgtrace_rows_expected, 0, 0, 1e12, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"o365_msgtrace.secret_key_file",
		"The file with the key that stored secrets are sealed with.",
		"An absolute path; by default the file o365_msgtrace.key in the data directory.",
		&msgtrace_secret_key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_key_file, NULL, NULL);
	MarkGUCPrefixReserved("o365_msgtrace");
	msgtrace_budget_request();
	msgtrace_counters_request();
}
