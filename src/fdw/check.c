/*-------------------------------------------------------------------------
 *
 * check.c
 *		The steps of check() that only C can take, but for those that cost requests:
 *		what the options come to, credentials, the way to the hosts.
 *
 * One request without a token goes to each host's root, which asks for no
 * message trace.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/check.h"

#include "auth/certificate.h"
#include "auth/session.h"
#include "fdw/check_step.h"
#include "fdw/error.h"
#include "fdw/module.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "net/budget.h"
#include "net/compat.h"
#include "net/wait.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* Clocks further apart are worth a word; a query warns of it, too. */
#define MAX_SKEW_S 300

/* Certificates and secrets that end sooner are not well: making new ones takes people. */
#define DAYS_TO_WARN_OF_EXPIRY 30

/* ------------------------------------------------- options and credentials */

PG_FUNCTION_INFO_V1(o365_msgtrace_check_options);

Datum
o365_msgtrace_check_options(PG_FUNCTION_ARGS)
{
	MsgTraceCheck *check = msgtrace_check_begin(fcinfo, InvalidOid);
	const MsgTraceSessionConfig *session = &check->settings.session;

	msgtrace_check_put(check, "options", MSGTRACE_WELL,
					   psprintf("api %s at %s, sign-in at %s", session->api, session->report_url,
								session->credential.authority_url),
					   NULL);
	return (Datum) 0;
}

static const char *
describe_credential(const MsgTraceSettings *settings)
{
	const MsgTraceCredential *credential = &settings->session.credential;
	const char *secret = settings->secrets.secret_name
							 ? psprintf("stored secret \"%s\"", settings->secrets.secret_name)
							 : "the user mapping";

	switch (credential->auth)
	{
		case MSGTRACE_AUTH_SECRET:
			return psprintf("client %s, its secret from %s", credential->client_id, secret);
		case MSGTRACE_AUTH_CERTIFICATE:
			return psprintf("client %s, its certificate from %s", credential->client_id,
							credential->certificate_file ? credential->certificate_file
														 : "a stored secret");
		case MSGTRACE_AUTH_BASIC:
			return psprintf("user %s, the password from %s", credential->username, secret);
	}
	return NULL;
}

/* Can it sign?  When it has ended is another step. */
static bool
certificate_signs(MsgTraceCheck *check)
{
	const MsgTraceCredential *credential = &check->settings.session.credential;
	TimestampTz ends;

	check->status.asked = "sign-in";
	return credential->auth != MSGTRACE_AUTH_CERTIFICATE ||
		   msgtrace_certificate_check(credential, GetCurrentTimestamp(), &ends, &check->status) ||
		   check->status.fault == MSGTRACE_CERTIFICATE_EXPIRED;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_check_credentials);

Datum
o365_msgtrace_check_credentials(PG_FUNCTION_ARGS)
{
	MsgTraceCheck *check = msgtrace_check_begin(fcinfo, GetUserId());

	if (certificate_signs(check))
		msgtrace_check_put(check, "credentials", MSGTRACE_WELL,
						   describe_credential(&check->settings), NULL);
	else
		msgtrace_check_put_failure(check, "credentials");
	return (Datum) 0;
}

/* ----------------------------------------------------------------- expiry */

static void
put_expiry(MsgTraceCheck *check, TimestampTz ends, const char *what)
{
	int64 days = (ends - GetCurrentTimestamp()) / USECS_PER_DAY;

	if (ends <= GetCurrentTimestamp())
		msgtrace_check_put(check, "expiry", MSGTRACE_NOT_WELL,
						   psprintf("%s ended at %s", what, timestamptz_to_str(ends)),
						   "Put a new one into its place.");
	else
		msgtrace_check_put(
			check, "expiry", days < DAYS_TO_WARN_OF_EXPIRY ? MSGTRACE_NOT_WELL : MSGTRACE_WELL,
			psprintf("%s ends in " INT64_FORMAT " days, at %s", what, days,
					 timestamptz_to_str(ends)),
			days < DAYS_TO_WARN_OF_EXPIRY ? "Put a new one into its place before that." : NULL);
}

/* False when it has been said why there is none to be had. */
static bool
certificate_end(MsgTraceCheck *check, TimestampTz *ends)
{
	const MsgTraceCredential *credential = &check->settings.session.credential;

	if (credential->auth != MSGTRACE_AUTH_CERTIFICATE)
		return true;
	if (msgtrace_certificate_check(credential, GetCurrentTimestamp(), ends, &check->status))
		return true;
	msgtrace_check_put_failure(check, "expiry");
	return false;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_check_expiry);

/* Of what the end is known of: certificates, and stored secrets that were given one. */
Datum
o365_msgtrace_check_expiry(PG_FUNCTION_ARGS)
{
	MsgTraceCheck *check = msgtrace_check_begin(fcinfo, GetUserId());
	TimestampTz secrets = check->settings.session.credential.secrets_expire;
	TimestampTz certificate = 0;

	check->status.asked = "sign-in";
	if (!certificate_end(check, &certificate))
		return (Datum) 0;
	if (certificate != 0 && (secrets == 0 || certificate <= secrets))
		put_expiry(check, certificate, "the certificate");
	else if (secrets != 0)
		put_expiry(check, secrets, "the stored secret");
	else
		msgtrace_check_put(check, "expiry", MSGTRACE_NOT_ASKED,
						   "nobody has said when the secret ends", NULL);
	return (Datum) 0;
}

/* A row (what, ends_at) of what ends first; none when nobody has said when the secret ends. */
static void
put_end(FunctionCallInfo fcinfo, TimestampTz certificate, TimestampTz secrets)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool is_certificate = certificate != 0 && (secrets == 0 || certificate <= secrets);
	Datum values[2];
	bool nulls[2] = {false};

	values[0] = CStringGetTextDatum(is_certificate ? "the certificate" : "the stored secret");
	values[1] = TimestampTzGetDatum(is_certificate ? certificate : secrets);
	if (certificate != 0 || secrets != 0)
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_credentials_end);

/*
 * The same for health(), without a request and without a right on the server: about
 * scans of a foreign table by a role, whose rights the caller must have.  What a scan
 * could not sign in with is an error.
 */
Datum
o365_msgtrace_credentials_end(PG_FUNCTION_ARGS)
{
	Oid table_id = PG_GETARG_OID(0);
	Oid role = get_role_oid(NameStr(*PG_GETARG_NAME(1)), false);
	MsgTraceSettings *settings = palloc0(sizeof(MsgTraceSettings));
	MsgTracePagerCounts counts = {0};
	MsgTraceStatus status;
	TimestampTz certificate = 0;

	if (!has_privs_of_role(GetUserId(), role))
		ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must have the rights of role \"%s\"", NameStr(*PG_GETARG_NAME(1))));
	if (pg_class_aclcheck(table_id, role, ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_TABLE, get_rel_name(table_id));
	msgtrace_check_wrapper(GetForeignTable(table_id)->serverid);
	InitMaterializedSRF(fcinfo, 0);
	msgtrace_settings_read(settings, table_id, role);
	msgtrace_status_init(&status, CurrentMemoryContext);
	status.asked = "sign-in";
	if (settings->session.credential.auth == MSGTRACE_AUTH_CERTIFICATE &&
		!msgtrace_certificate_check(&settings->session.credential, GetCurrentTimestamp(),
									&certificate, &status))
		msgtrace_error_raise(&status, &counts);
	put_end(fcinfo, certificate, settings->session.credential.secrets_expire);
	return (Datum) 0;
}

/* ------------------------------------------------------------------ hosts */

/* Scheme, host and port of a URL. */
static char *
root_of(const char *url)
{
	const char *host = strstr(url, "://");
	size_t length = host ? (size_t) (host - url) + 3 + strcspn(host + 3, "/") : strlen(url);

	return psprintf("%.*s/", (int) length, url);
}

static const MsgTraceHttpReply *
get_root(MsgTraceCheck *check, MsgTraceHttp *http, const char *root)
{
	static const char *const headers[] = {"Accept: */*", NULL};

	if (!msgtrace_http_start(http, &check->settings.session.http, root, headers, NULL))
		return NULL;
	while (!msgtrace_http_poll(http))
		msgtrace_http_wait(http, msgtrace_wait_event(MSGTRACE_WAIT_PAGE));
	return msgtrace_http_reply(http);
}

static const char *
describe_connection(const char *root, const MsgTraceHttpReply *reply)
{
	if (pg_strncasecmp(root, "http://", 7) == 0)
		return psprintf("%s is reached, without TLS; it answers HTTP %d", root, reply->http_status);
	return psprintf("%s is reached, its certificate is trusted%s%s; it answers HTTP %d", root,
					reply->issuer ? ", issued by " : "", reply->issuer ? reply->issuer : "",
					reply->http_status);
}

/* Any answer will do: none is asked for that needs a token. */
static void
check_host(MsgTraceCheck *check, const char *step, const char *url)
{
	MsgTraceHttp *http = msgtrace_http_open(check->context, &check->status);
	const char *root = root_of(url);
	const MsgTraceHttpReply *reply;

	check->status.asked = "a first request";
	check->status.url = root;
	reply = http ? get_root(check, http, root) : NULL;
	if (reply == NULL)
		check->status.fault = MSGTRACE_NO_CLIENT;
	else if (reply->fault != MSGTRACE_OK)
	{
		check->status.fault = reply->fault;
		check->status.words = msgtrace_status_keep(&check->status, reply->words);
		check->status.subject = msgtrace_status_keep(&check->status, reply->subject);
		check->status.issuer = msgtrace_status_keep(&check->status, reply->issuer);
	}
	if (check->status.fault != MSGTRACE_OK)
		msgtrace_check_put_failure(check, step);
	else
	{
		msgtrace_check_put(check, step, MSGTRACE_WELL, describe_connection(root, reply), NULL);
		if (reply->date != 0)
			msgtrace_clock_learn(msgtrace_clock_of(url), reply->date, reply->date_at);
	}
	if (http)
		msgtrace_http_close(http);
	msgtrace_status_init(&check->status, check->context);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_check_hosts);

/* Arguments: the server, and whether the user mapping can be read (a proxy's password is in it). */
Datum
o365_msgtrace_check_hosts(PG_FUNCTION_ARGS)
{
	MsgTraceCheck *check = msgtrace_check_begin(fcinfo,
												PG_GETARG_BOOL(1) ? GetUserId() : InvalidOid);
	MsgTraceSessionConfig *session = &check->settings.session;

	session->http.fresh = true; /* the name is resolved, the certificate looked at */
	if (session->credential.auth == MSGTRACE_AUTH_BASIC)
		msgtrace_check_put(check, "sign-in host", MSGTRACE_NOT_ASKED, "basic sign-in does without",
						   NULL);
	else
		check_host(check, "sign-in host", session->credential.authority_url);
	check_host(check, "service host", session->report_url);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_check_clock);

/* By what the service's host said last, which the step before has made fresh. */
Datum
o365_msgtrace_check_clock(PG_FUNCTION_ARGS)
{
	MsgTraceCheck *check = msgtrace_check_begin(fcinfo, InvalidOid);
	MsgTraceClock *clock = msgtrace_clock_of(check->settings.session.report_url);
	int64 skew;

	if (!msgtrace_clock_is_known(clock))
	{
		msgtrace_check_put(check, "clock", MSGTRACE_NOT_ASKED, "the service has not told its time",
						   NULL);
		return (Datum) 0;
	}
	skew = msgtrace_clock_skew(clock);
	msgtrace_check_put(check, "clock",
					   llabs(skew) <= MAX_SKEW_S ? MSGTRACE_WELL : MSGTRACE_NOT_WELL,
					   psprintf("the service's clock is " INT64_FORMAT " seconds %s this machine's",
								(int64) llabs(skew), skew < 0 ? "behind" : "ahead of"),
					   llabs(skew) <= MAX_SKEW_S ? NULL : "Set the clock of this machine.");
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_check_budget);

/* Sessions that do not know of one another's requests run into 429s together. */
Datum
o365_msgtrace_check_budget(PG_FUNCTION_ARGS)
{
	MsgTraceCheck *check = msgtrace_check_begin(fcinfo, InvalidOid);
	const MsgTraceBudgetTerms *budget = &check->settings.session.budget;
	const char *terms = psprintf("%d requests in %d s", budget->requests, budget->window / 1000);

	if (budget->requests == 0)
		msgtrace_check_put(check, "shared budget", MSGTRACE_NOT_ASKED,
						   "quota_requests is 0: there is none", NULL);
	else if (msgtrace_budget_sharing() == MSGTRACE_OF_BACKEND)
		msgtrace_check_put(check, "shared budget", MSGTRACE_NOT_WELL,
						   psprintf("%s, but each session counts for itself", terms),
						   "Add o365_msgtrace to shared_preload_libraries and restart the server.");
	else
		msgtrace_check_put(check, "shared budget", MSGTRACE_WELL,
						   psprintf("%s, all sessions together", terms), NULL);
	return (Datum) 0;
}

/* ---------------------------------------------------------------- version */

PG_FUNCTION_INFO_V1(o365_msgtrace_library_version);

Datum
o365_msgtrace_library_version(PG_FUNCTION_ARGS pg_attribute_unused())
{
	PG_RETURN_TEXT_P(cstring_to_text(MSGTRACE_VERSION));
}
