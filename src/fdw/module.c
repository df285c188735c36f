/*-------------------------------------------------------------------------
 *
 * module.c
 *		The library's entry, and its settings.
 *
 * Nothing else happens when the library is loaded: curl and OpenSSL are
 * initialised in the backends that use them, never in the postmaster.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/module.h"

#include <limits.h>

#include "fmgr.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

int msgtrace_max_requests_per_query = 100;
int msgtrace_clock_source = MSGTRACE_CLOCK_LOCAL;

static const struct config_enum_entry clock_sources[] = {
	{"local", MSGTRACE_CLOCK_LOCAL, false},
	{"service", MSGTRACE_CLOCK_OF_SERVICE, false},
	{NULL, 0, false}};

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
	MarkGUCPrefixReserved("o365_msgtrace");
}
