/*-------------------------------------------------------------------------
 *
 * check.c
 *		The steps of check() that only C can take: what the options come to, the
 *		way to the hosts, and what the service answers.
 *
 * A step that fails is a row, not an error: the status that a scan would raise
 * is put into words.  Errors that remain (a secret that cannot be read, a cancel)
 * are the caller's, which is a PL/pgSQL function with a block for each step.
 *
 * At most two requests go to the service, whatever happens: the list and a
 * detail, without retries; and one without a token to each host's root, which
 * asks for no message trace.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/check.h"

#include "auth/certificate.h"
#include "auth/claims.h"
#include "auth/session.h"
#include "catalog/pg_foreign_server.h"
#include "fdw/error.h"
#include "fdw/module.h"
#include "fdw/options.h"
#include "fdw/scan.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "net/budget.h"
#include "net/compat.h"
#include "net/wait.h"
#include "trace/detail.h"
#include "trace/page.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Requests to the service that a check may cost. */
#define MAX_REQUESTS 2

/* How far back a row is looked for; both APIs hold and take it. */
#define DAYS_LOOKED_AT 7

/* Clocks further apart are worth a word; a query warns of it, too. */
#define MAX_SKEW_S 300

/* Certificates and secrets that end sooner are not well: making new ones takes people. */
#define DAYS_TO_WARN_OF_EXPIRY 30

typedef enum Verdict
{
	NOT_OK,
	OK,
	NOT_ASKED /* could not be asked, or does not apply */
} Verdict;

typedef struct Check
{
	ReturnSetInfo *result;
	MemoryContext context;
	MsgTraceSettings settings;
	MsgTraceAllowance allowance;
	MsgTraceStatus status;
	MsgTraceSession *session;
	MsgTraceDelivery delivery; /* of the row that the list gave */
	bool found;				   /* ... one */
	bool no_slot;			   /* the tenant's budget has none for now */
} Check;

/* --------------------------------------------------------------- outcomes */

static void
put(Check *check, const char *step, Verdict verdict, const char *detail, const char *hint)
{
	Datum values[4] = {0};
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(step);
	values[1] = BoolGetDatum(verdict == OK);
	nulls[1] = verdict == NOT_ASKED;
	nulls[2] = detail == NULL;
	if (detail)
		values[2] = CStringGetTextDatum(detail);
	nulls[3] = hint == NULL;
	if (hint)
		values[3] = CStringGetTextDatum(hint);
	tuplestore_putvalues(check->result->setResult, check->result->setDesc, values, nulls);
}

/* The step that the status is about has failed. */
static void
put_failure(Check *check, const char *step)
{
	MsgTracePagerCounts counts = {0};
	MsgTraceErrorText text;

	msgtrace_error_describe(&text, &check->status, &counts);
	put(check, step, NOT_OK,
		*text.detail ? psprintf("%s: %s", text.message, text.detail) : text.message, text.hint);
}

static void
put_not_asked(Check *check, const char *const *steps, const char *because)
{
	for (; *steps; steps++)
		put(check, *steps, NOT_ASKED, because, NULL);
}

/* -------------------------------------------------------------- beginning */

/* Options of another wrapper's server were not checked by us: any may be missing, or a file's name. */
static void
check_server(Oid server_id)
{
	if (GetFdwRoutineByServerId(server_id)->BeginForeignScan != msgtrace_begin_scan)
		ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("server \"%s\" is no server of o365_msgtrace",
					   GetForeignServer(server_id)->servername));
	if (msgtrace_server_aclcheck(server_id, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER,
					   GetForeignServer(server_id)->servername);
}

static Check *
begin(FunctionCallInfo fcinfo, Oid user_id)
{
	Check *check = palloc0(sizeof(Check));
	Oid server_id = PG_GETARG_OID(0);

	check_server(server_id);
	InitMaterializedSRF(fcinfo, 0);
	check->result = (ReturnSetInfo *) fcinfo->resultinfo;
	check->context = CurrentMemoryContext;
	msgtrace_status_init(&check->status, check->context);
	msgtrace_settings_read_server(&check->settings, server_id, user_id);
	check->settings.session.retry.type = MSGTRACE_RETRY_DISABLED;
	check->settings.session.allowance = &check->allowance;
	check->allowance.limit = MAX_REQUESTS;
	return check;
}

/* ------------------------------------------------- options and credentials */

PG_FUNCTION_INFO_V1(o365_msgtrace_check_options);

Datum
o365_msgtrace_check_options(PG_FUNCTION_ARGS)
{
	Check *check = begin(fcinfo, InvalidOid);
	const MsgTraceSessionConfig *session = &check->settings.session;

	put(check, "options", OK,
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
certificate_signs(Check *check)
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
	Check *check = begin(fcinfo, GetUserId());

	if (certificate_signs(check))
		put(check, "credentials", OK, describe_credential(&check->settings), NULL);
	else
		put_failure(check, "credentials");
	return (Datum) 0;
}

/* ----------------------------------------------------------------- expiry */

static void
put_expiry(Check *check, TimestampTz ends, const char *what)
{
	int64 days = (ends - GetCurrentTimestamp()) / USECS_PER_DAY;

	if (ends <= GetCurrentTimestamp())
		put(check, "expiry", NOT_OK, psprintf("%s ended at %s", what, timestamptz_to_str(ends)),
			"Put a new one into its place.");
	else
		put(check, "expiry", days < DAYS_TO_WARN_OF_EXPIRY ? NOT_OK : OK,
			psprintf("%s ends in " INT64_FORMAT " days, at %s", what, days,
					 timestamptz_to_str(ends)),
			days < DAYS_TO_WARN_OF_EXPIRY ? "Put a new one into its place before that." : NULL);
}

/* False when it has been said why there is none to be had. */
static bool
certificate_end(Check *check, TimestampTz *ends)
{
	const MsgTraceCredential *credential = &check->settings.session.credential;

	if (credential->auth != MSGTRACE_AUTH_CERTIFICATE)
		return true;
	if (msgtrace_certificate_check(credential, GetCurrentTimestamp(), ends, &check->status))
		return true;
	put_failure(check, "expiry");
	return false;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_check_expiry);

/* Of what the end is known of: certificates, and stored secrets that were given one. */
Datum
o365_msgtrace_check_expiry(PG_FUNCTION_ARGS)
{
	Check *check = begin(fcinfo, GetUserId());
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
		put(check, "expiry", NOT_ASKED, "nobody has said when the secret ends", NULL);
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
get_root(Check *check, MsgTraceHttp *http, const char *root)
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
check_host(Check *check, const char *step, const char *url)
{
	MsgTraceHttp *http = msgtrace_http_open(check->context, &check->status);
	const char *root = root_of(url);
	const MsgTraceHttpReply *reply;

	check->status.asked = "the root of the host";
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
		put_failure(check, step);
	else
	{
		put(check, step, OK, describe_connection(root, reply), NULL);
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
	Check *check = begin(fcinfo, PG_GETARG_BOOL(1) ? GetUserId() : InvalidOid);
	MsgTraceSessionConfig *session = &check->settings.session;

	session->http.fresh = true; /* the name is resolved, the certificate looked at */
	if (session->credential.auth == MSGTRACE_AUTH_BASIC)
		put(check, "sign-in host", NOT_ASKED, "basic sign-in does without", NULL);
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
	Check *check = begin(fcinfo, InvalidOid);
	MsgTraceClock *clock = msgtrace_clock_of(check->settings.session.report_url);
	int64 skew;

	if (!msgtrace_clock_is_known(clock))
	{
		put(check, "clock", NOT_ASKED, "the service has not told its time", NULL);
		return (Datum) 0;
	}
	skew = msgtrace_clock_skew(clock);
	put(check, "clock", llabs(skew) <= MAX_SKEW_S ? OK : NOT_OK,
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
	Check *check = begin(fcinfo, InvalidOid);
	const MsgTraceBudgetTerms *budget = &check->settings.session.budget;
	const char *terms = psprintf("%d requests in %d s", budget->requests, budget->window / 1000);

	if (budget->requests == 0)
		put(check, "shared budget", NOT_ASKED, "quota_requests is 0: there is none", NULL);
	else if (msgtrace_budget_sharing() == MSGTRACE_OF_BACKEND)
		put(check, "shared budget", NOT_OK,
			psprintf("%s, but each session counts for itself", terms),
			"Add o365_msgtrace to shared_preload_libraries and restart the server.");
	else
		put(check, "shared budget", OK, psprintf("%s, all sessions together", terms), NULL);
	return (Datum) 0;
}

/* --------------------------------------------------------------- requests */

/*
 * Until the request has ended; false when it failed for the session's part.  A
 * check does not wait for the tenant's budget: whoever calls it may want to know
 * why all the others wait.
 */
static bool
run(Check *check)
{
	MsgTraceProgress progress;

	while ((progress = msgtrace_session_poll(check->session)) == MSGTRACE_PENDING)
	{
		if (msgtrace_session_counts(check->session)->budget_waits > 0)
		{
			check->no_slot = true;
			return false;
		}
		msgtrace_session_wait(check->session);
	}
	return progress == MSGTRACE_DONE;
}

static void
put_no_slot(Check *check, const char *step)
{
	put(check, step, NOT_ASKED, "the tenant's budget has no free slot now",
		"SELECT * FROM o365_msgtrace.quota shows who has used it; check again later.");
}

/* The same, with what the service refused a failure, too. */
static const MsgTraceHttpReply *
run_request(Check *check)
{
	const MsgTraceHttpReply *reply;

	if (!run(check))
		return NULL;
	reply = msgtrace_session_reply(check->session);
	if (reply->http_status == 200)
		return reply;
	msgtrace_session_note_refusal(check->session);
	check->status.fault = MSGTRACE_REFUSED;
	return NULL;
}

static void
check_permission(Check *check, const MsgTraceClaims *claims)
{
	const char *api = check->settings.session.api;
	const char *permission = msgtrace_error_permission(api);

	if (!claims->readable)
		put(check, "permission", NOT_ASKED, "the token is of a kind that cannot be read", NULL);
	else if (msgtrace_claims_have_role(claims, permission))
		put(check, "permission", OK, psprintf("the token carries %s", permission), NULL);
	else
		put(check, "permission", NOT_OK,
			*claims->roles ? psprintf("the token carries %s, but not %s", claims->roles, permission)
						   : psprintf("the token carries no role, and so not %s", permission),
			msgtrace_error_permission_hint(api, claims->roles));
}

/* False when there is no use in going on. */
static bool
check_token(Check *check)
{
	static const char *const others[] = {"permission", "service principal", "list", "detail", NULL};
	MsgTraceClaims claims;

	if (check->settings.session.credential.auth == MSGTRACE_AUTH_BASIC)
	{
		put(check, "token", NOT_ASKED, "basic sign-in does without", NULL);
		put(check, "permission", NOT_ASKED, "the roles of the account decide", NULL);
		return true;
	}
	msgtrace_token_forget(&check->settings.session.credential);
	msgtrace_session_sign_in(check->session);
	if (!run(check))
	{
		put_failure(check, "token");
		put_not_asked(check, others, "there is no token");
		return false;
	}
	msgtrace_claims_read(&claims, check->status.token ? check->status.token : "");
	put(check, "token", OK,
		psprintf("for %s%s%s", check->settings.session.credential.resource,
				 claims.tid ? ", of tenant " : "", claims.tid ? claims.tid : ""),
		NULL);
	check_permission(check, &claims);
	return true;
}

/* -------------------------------------------------------- list and detail */

/* Called for each row; the page has but one. */
static bool
build_row(void *arg, MsgTraceRecord *record, MsgTraceRow *row,
		  MsgTraceBadValue *bad pg_attribute_unused())
{
	Check *check = arg;
	const char *sender = record->values[MSGTRACE_SENDER];

	check->found = true;
	check->delivery.id = pstrdup(record->values[MSGTRACE_ID]);
	check->delivery.recipient_address = pstrdup(row->recipient);
	check->delivery.sender_address = sender ? pstrdup(sender) : "";
	check->delivery.received = row->received;
	return true;
}

static char *
list_url(Check *check)
{
	TimestampTz now = msgtrace_session_now(check->session) - USECS_PER_SEC;
	MsgTraceSlice slice = {now - DAYS_LOOKED_AT * USECS_PER_DAY, now};
	MsgTraceQuery query;

	msgtrace_query_init(&query, 1);
	return check->settings.dialect->list_url(check->settings.session.report_url, &query, &slice, 1);
}

static bool
get_list(Check *check)
{
	MsgTracePageReader reader = {
		.dialect = check->settings.dialect, .build = build_row, .arg = check};
	const MsgTraceHttpReply *reply;
	MsgTracePage page;
	char *body;

	msgtrace_session_get(check->session, list_url(check));
	reply = run_request(check);
	if (reply == NULL)
		return false;
	body = pnstrdup(reply->body, reply->length);
	return msgtrace_page_read(&page, &reader, body, reply->length, check->context, &check->status);
}

/* What the answer to the list says of the service principal. */
static void
check_principal(Check *check, bool listed)
{
	static const char step[] = "service principal";

	if (strcmp(check->settings.session.api, "graph") != 0)
		put(check, step, NOT_ASKED, "only Microsoft Graph needs it", NULL);
	else if (listed)
		put(check, step, OK, "the service took the token", NULL);
	else if (check->no_slot)
		put(check, step, NOT_ASKED, "the list was not asked for", NULL);
	else if (msgtrace_error_names_principal(&check->status))
		put(check, step, NOT_OK, check->status.words, msgtrace_error_principal_hint);
	else
		put(check, step, NOT_ASKED, "the list failed for another reason", NULL);
}

static bool
check_list(Check *check)
{
	bool listed = get_list(check);

	check_principal(check, listed);
	if (check->no_slot)
		put_no_slot(check, "list");
	else if (!listed)
		put_failure(check, "list");
	else
		put(check, "list", OK,
			psprintf("%s of the last %d days", check->found ? "a row" : "no row", DAYS_LOOKED_AT),
			NULL);
	return listed;
}

static void
check_detail(Check *check)
{
	const MsgTraceHttpReply *reply;

	if (!check->found)
		put(check, "detail", NOT_ASKED, "there is no row to ask about", NULL);
	else if (check->allowance.made >= check->allowance.limit)
		put(check, "detail", NOT_ASKED, "the list took two requests", NULL);
	else
	{
		msgtrace_session_get_detail(check->session,
									msgtrace_detail_url(check->settings.session.api,
														check->settings.session.report_url,
														&check->delivery));
		reply = run_request(check);
		if (check->no_slot)
			put_no_slot(check, "detail");
		else if (reply == NULL)
			put_failure(check, "detail");
		else
			put(check, "detail", OK, psprintf("%zu bytes about that row", reply->length), NULL);
	}
}

PG_FUNCTION_INFO_V1(o365_msgtrace_check_requests);

Datum
o365_msgtrace_check_requests(PG_FUNCTION_ARGS)
{
	static const char *const detail[] = {"detail", NULL};
	Check *check = begin(fcinfo, GetUserId());

	check->session = msgtrace_session_open(check->context, &check->settings.session,
										   &check->status);
	if (check->session == NULL)
		msgtrace_error_raise(&check->status, &(MsgTracePagerCounts){0});
	if (check_token(check))
	{
		if (check_list(check))
			check_detail(check);
		else
			put_not_asked(check, detail, "there is no list to take a row from");
	}
	msgtrace_session_close(check->session);
	return (Datum) 0;
}

/* ---------------------------------------------------------------- version */

PG_FUNCTION_INFO_V1(o365_msgtrace_library_version);

Datum
o365_msgtrace_library_version(PG_FUNCTION_ARGS pg_attribute_unused())
{
	PG_RETURN_TEXT_P(cstring_to_text(MSGTRACE_VERSION));
}
