/*-------------------------------------------------------------------------
 *
 * error.c
 *		The one place where a MsgTraceStatus becomes an error.
 *
 * A message says what we could not do, the detail gives the service's or the
 * library's own words, and the hint says what to do.  None of them ever holds a
 * token, a secret or a query string.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/error.h"

#include "auth/claims.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "net/counters.h"
#include "utils/timestamp.h"

typedef struct FaultText
{
	int sqlstate;
	const char *message; /* %s is what was asked for */
	const char *hint;	 /* NULL where the facts decide */
} FaultText;

/* clang-format off: SQLSTATE, message, hint */
static const FaultText fault_texts[] = {
	[MSGTRACE_NO_CLIENT] =
		{ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION, "could not set up the HTTP client for %s",
		 "If there is no detail, the process is out of file descriptors: see max_files_per_process."},
	[MSGTRACE_UNRESOLVED] =
		{ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, "could not resolve the host for %s",
		 "Check the host's name in the server's options, and this machine's name resolution."},
	[MSGTRACE_UNREACHABLE] =
		{ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
		 "could not connect to the host for %s",
		 "Check the network, firewall and proxy between this machine and the host."},
	[MSGTRACE_UNTRUSTED] =
		{ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
		 "could not establish a trusted TLS connection for %s",
		 "If a proxy inspects TLS here, name its certificate authority in the server option ca_file."},
	[MSGTRACE_PROXY_REFUSED] =
		{ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, "the proxy did not let %s through",
		 "Check the server options proxy and no_proxy; proxy_username and proxy_password belong to the user mapping."},
	[MSGTRACE_TIMED_OUT] =
		{ERRCODE_CONNECTION_FAILURE, "timeout while waiting for %s",
		 "Raise the server option connect_timeout or request_timeout if the service is just slow."},
	[MSGTRACE_BROKEN_OFF] = {ERRCODE_CONNECTION_FAILURE, "the connection broke off during %s",
							 "Try again; nothing of the unfinished answer was used."},
	[MSGTRACE_TOO_SLOW] = {ERRCODE_CONNECTION_FAILURE, "the answer to %s came too slowly",
						   "Try again; check the network and the proxy on the way to the host."},
	[MSGTRACE_TOO_LARGE] = {ERRCODE_FDW_ERROR, "the answer to %s is larger than max_response_size",
							"Raise the server option max_response_size, or lower page_size."},
	[MSGTRACE_SIGN_IN_REFUSED] = {ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION,
								  "%s was refused", NULL},
	[MSGTRACE_FILE_UNREADABLE] =
		{ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION,
		 "could not read a file that %s needs",
		 "Check certificate_file and private_key_file in the user mapping; the account of the database server reads them."},
	[MSGTRACE_CERTIFICATE_UNUSABLE] =
		{ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION,
		 "the certificate or its key cannot be used for %s",
		 "Give a certificate and its RSA key, both in PEM form, as files or stored secrets in the user mapping."},
	[MSGTRACE_CERTIFICATE_EXPIRED] =
		{ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION,
		 "the certificate for %s is outside of its time",
		 "Make a new certificate, upload it to the app registration (Certificates & secrets), and put it in the place of the old one: files are read again at each sign-in."},
	[MSGTRACE_KEY_LOCKED] =
		{ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION,
		 "the private key for %s cannot be opened",
		 "Set passphrase or passphrase_secret in the user mapping to the passphrase of the private key."},
	[MSGTRACE_PASSWORD_REFUSED] =
		{ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION,
		 "the service did not accept the user name and password for %s",
		 "Check username and password in the user mapping or the stored secret. Microsoft has turned basic sign-in off for most tenants: use a certificate or client secret there."},
	[MSGTRACE_UNAUTHORIZED] = {ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION,
							   "the service did not accept the token for %s", NULL},
	[MSGTRACE_FORBIDDEN] = {ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION,
							"the service denied access to %s", NULL},
	[MSGTRACE_THROTTLED] =
		{ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
		 "the tenant's request limit stayed exhausted during %s",
		 "The service allows 100 requests in 5 minutes for all tools of the tenant together; ask for a shorter time range, or later."},
	[MSGTRACE_REFUSED] = {ERRCODE_FDW_ERROR, "the service refused %s",
						  "Check the server option report_url."},
	[MSGTRACE_UNAVAILABLE] = {ERRCODE_CONNECTION_FAILURE, "the service failed during %s",
							  "Try again later; the service, not the query, is at fault."},
	[MSGTRACE_UNREADABLE] =
		{ERRCODE_PROTOCOL_VIOLATION, "the answer to %s is not what the service should send",
		 "A proxy or sign-in page may stand between this machine and the service; check report_url and authority_url."},
	[MSGTRACE_BAD_ROW] =
		{ERRCODE_FDW_INVALID_DATA_TYPE, "a record in the answer to %s cannot be read",
		 "Set on_bad_row to reject to go on without such records, declare its column as text to see the value, or exclude its time range."},
	[MSGTRACE_BAD_ROWS] =
		{ERRCODE_FDW_INVALID_DATA_TYPE, "too many records in the answer to %s cannot be read",
		 "Look at the reason: a column may have a type that the values do not fit. A shorter time range has fewer of them."},
	[MSGTRACE_FOREIGN_LINK] =
		{ERRCODE_PROTOCOL_VIOLATION, "the next page of %s is said to be on another host",
		 "It was not followed, since it would have been sent the token. Check the server option report_url."},
	[MSGTRACE_BAD_LINK] =
		{ERRCODE_PROTOCOL_VIOLATION, "the service does not lead to the end of %s",
		 "Its links to further pages are refused, repeat or do not end. Try again later."},
	[MSGTRACE_REQUEST_LIMIT] =
		{ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		 "the query needs more requests for %s than o365_msgtrace.max_requests_per_query allows",
		 "Ask for a shorter range of received, or raise the setting."},
	[MSGTRACE_CLOCK_SKEW] = {
		ERRCODE_FDW_ERROR,
		"the clock of the service differs from this machine's by more than a day: %s was not asked for",
		"Set the clock of this machine."}};
/* clang-format on */

/* What Entra's most common refusals mean, and what to do. */
typedef struct EntraHint
{
	int code;
	const char *hint;
} EntraHint;

/* clang-format off: code, hint */
static const EntraHint entra_hints[] = {
	{700016,
	 "The app registration is not in this tenant: check client_id in the user mapping and tenant_id of the server."},
	{90002, "There is no such tenant: check the server option tenant_id."},
	{700027,
	 "The certificate is not registered with the application, or private_key_file is not its key: upload the certificate to the app registration (Certificates & secrets), and check certificate_file and private_key_file in the user mapping."},
	{7000215,
	 "The client secret is wrong: give its value, not its id, as client_secret of the user mapping or as the stored secret."},
	{7000222,
	 "The client secret has expired: make a new one in the app registration and put it into the user mapping or the stored secret."},
	{700024, "The signed assertion is outside of its time: set the clock of this machine."},
	{65001,
	 "An administrator of the tenant has not consented to the application's permissions: grant admin consent in the app registration (API permissions)."},
	{70011,
	 "The scope is wrong: check the server option resource; its default fits the plan and the API."},
	{53003,
	 "A conditional access policy of the tenant blocks the application: have this machine's address or the application excepted from it."}};
/* clang-format on */

/* ------------------------------------------------------------------ hints */

/* Microsoft's "Transport Data Platform", by the start of its id as people search for it. */
#define PRINCIPAL_START "8bd644d1"

const char *const msgtrace_error_principal_hint =
	"The tenant lacks the service principal of Microsoft's Transport Data Platform. Create it with: az ad sp create --id 8bd644d1-64a1-4d4b-ae52-2e0cbf64e373 -- it takes hours until it works.";

static bool
names_principal(const char *words)
{
	size_t length = strlen(PRINCIPAL_START);

	for (; words && *words; words++)
	{
		if (pg_strncasecmp(words, PRINCIPAL_START, length) == 0)
			return true;
	}
	return false;
}

bool
msgtrace_error_names_principal(const MsgTraceStatus *status)
{
	return (status->http_status == 401 || status->http_status == 403) &&
		   (names_principal(status->words) || names_principal(status->code));
}

static bool
is_reporting(const char *api)
{
	return api && strcmp(api, "reporting") == 0;
}

const char *
msgtrace_error_permission(const char *api)
{
	return is_reporting(api) ? "ReportingWebService.Read.All" : "ExchangeMessageTrace.Read.All";
}

const char *
msgtrace_error_permission_hint(const char *api, const char *roles)
{
	const char *of = is_reporting(api) ? "Office 365 Exchange Online" : "Microsoft Graph";

	if (*roles == '\0')
		return psprintf(
			"The token carries no role: delegated instead of application permission, or consent missing. Grant the application permission %s of %s, with admin consent.",
			msgtrace_error_permission(api), of);
	return psprintf(
		"The token does not carry the permission that this API asks for. Grant the application permission %s of %s, with admin consent; the next token will carry it.",
		msgtrace_error_permission(api), of);
}

static bool
has_permission(const MsgTraceStatus *status)
{
	MsgTraceClaims claims = {.readable = true, .roles = status->roles};

	return msgtrace_claims_have_role(&claims, msgtrace_error_permission(status->api));
}

/* A token refused: what it carries tells a missing permission from the rest. */
static const char *
hint_for_refused_token(const MsgTraceStatus *status)
{
	if (msgtrace_error_names_principal(status))
		return msgtrace_error_principal_hint;
	if (status->roles && !has_permission(status))
		return msgtrace_error_permission_hint(status->api, status->roles);
	if (status->fault == MSGTRACE_UNAUTHORIZED)
		return "Check the server options tenant_id, resource and report_url: the token is for one tenant and one API.";
	if (is_reporting(status->api))
		return "The application needs a role in Entra ID besides its permission: Global Reader, Security Reader or Exchange Administrator; an account for basic sign-in needs Message Tracking and View-Only Recipients.";
	return "The permission ExchangeMessageTrace.Read.All needs admin consent, and the tenant the service principal of app 8bd644d1-64a1-4d4b-ae52-2e0cbf64e373 (az ad sp create --id 8bd644d1-64a1-4d4b-ae52-2e0cbf64e373); both take effect after hours.";
}

static const char *
hint_for_sign_in(const MsgTraceStatus *status)
{
	for (size_t i = 0; i < lengthof(entra_hints); i++)
	{
		if (entra_hints[i].code == status->entra_code)
			return entra_hints[i].hint;
	}
	return "Check the server options tenant_id and authority_url, and client_id and client_secret of the user mapping.";
}

static const char *
hint_for(const MsgTraceStatus *status)
{
	switch (status->fault)
	{
		case MSGTRACE_SIGN_IN_REFUSED:
			return hint_for_sign_in(status);
		case MSGTRACE_UNAUTHORIZED:
		case MSGTRACE_FORBIDDEN:
			return hint_for_refused_token(status);
		default:
			return fault_texts[status->fault].hint;
	}
}

/* ---------------------------------------------------------------- details */

/* By these Microsoft's support finds the request. */
static void
append_ids(StringInfo detail, const MsgTraceStatus *status)
{
	if (status->request_id)
		appendStringInfo(detail, " (request-id %s", status->request_id);
	if (status->client_request_id)
		appendStringInfo(detail, "%sclient-request-id %s", status->request_id ? ", " : " (",
						 status->client_request_id);
	if (status->request_id || status->client_request_id)
		appendStringInfoChar(detail, ')');
}

static void
append_service_words(StringInfo detail, const MsgTraceStatus *status)
{
	if (status->url)
		appendStringInfo(detail, "%s ", status->url);
	if (status->http_status != 0)
		appendStringInfo(detail, "answered HTTP %d", status->http_status);
	else if (status->url)
		appendStringInfoString(detail, "gave no answer");
	if (status->fault == MSGTRACE_TOO_LARGE)
		appendStringInfo(detail, " with more than " INT64_FORMAT " bytes", status->limit);
	if (status->code && *status->code)
		appendStringInfo(detail, " %s", status->code);
	if (status->words && *status->words)
		appendStringInfo(detail, ": %s", status->words);
	if (status->issuer)
		appendStringInfo(detail, " (certificate of %s, issued by %s)", status->subject,
						 status->issuer);
	append_ids(detail, status);
}

/* Words of our own, begun in lower case. */
static void
append_sentence(StringInfo detail, const char *words)
{
	appendStringInfo(detail, "%s.", words);
	detail->data[0] = (char) pg_toupper((unsigned char) detail->data[0]);
}

static void
append_position(StringInfo detail, const MsgTraceStatus *status)
{
	appendStringInfo(detail, "Record %s", status->row_id ? status->row_id : "without id");
	if (status->field)
		appendStringInfo(detail, ", field %s", status->field);
	if (status->words)
		appendStringInfo(detail, ": %s", status->words);
	if (status->slice_to == 0)
	{
		appendStringInfo(detail, "; on page %d of the details of that delivery.", status->page);
		return;
	}
	appendStringInfo(detail, "; on page %d of the slice from %s", status->page,
					 timestamptz_to_str(status->slice_from));
	appendStringInfo(detail, " to %s.", timestamptz_to_str(status->slice_to));
}

static void
append_progress(StringInfo detail, const MsgTraceStatus *status, const MsgTracePagerCounts *counts)
{
	appendStringInfo(detail, INT64_FORMAT " requests were made, and " INT64_FORMAT " rows read.",
					 status->limit, counts->delivered);
	if (status->slice_to == 0)
		return;
	appendStringInfo(detail, " The next was to ask from %s",
					 timestamptz_to_str(status->slice_from));
	appendStringInfo(detail, " to %s,", timestamptz_to_str(status->slice_to));
	appendStringInfo(detail, " of the range from %s", timestamptz_to_str(counts->asked_from));
	appendStringInfo(detail, " to %s.", timestamptz_to_str(counts->asked_to));
}

static char *
detail_of(const MsgTraceStatus *status, const MsgTracePagerCounts *counts)
{
	StringInfoData detail;

	initStringInfo(&detail);
	switch (status->fault)
	{
		case MSGTRACE_BAD_ROWS:
			appendStringInfo(&detail, "More than " INT64_FORMAT " were set aside. ", status->limit);
			append_position(&detail, status);
			break;
		case MSGTRACE_BAD_ROW:
			append_position(&detail, status);
			break;
		case MSGTRACE_REQUEST_LIMIT:
			append_progress(&detail, status, counts);
			break;
		case MSGTRACE_CLOCK_SKEW:
			appendStringInfo(&detail, "The service's clock is " INT64_FORMAT " seconds %s ours.",
							 (int64) llabs(status->seconds),
							 status->seconds > 0 ? "ahead of" : "behind");
			break;
		case MSGTRACE_FOREIGN_LINK:
			appendStringInfo(&detail, "%s links to %s", status->url, status->words);
			break;
		case MSGTRACE_FILE_UNREADABLE:
		case MSGTRACE_CERTIFICATE_UNUSABLE:
		case MSGTRACE_CERTIFICATE_EXPIRED:
		case MSGTRACE_KEY_LOCKED:
			append_sentence(&detail, status->words);
			break;
		default:
			append_service_words(&detail, status);
	}
	return detail.data;
}

void
msgtrace_error_describe(MsgTraceErrorText *text, const MsgTraceStatus *status,
						const MsgTracePagerCounts *counts)
{
	const FaultText *fault = &fault_texts[status->fault];

	Assert(status->fault != MSGTRACE_OK);
	text->sqlstate = fault->sqlstate;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	text->message = psprintf(fault->message, status->asked ? status->asked : "the message trace");
#pragma GCC diagnostic pop
	text->detail = detail_of(status, counts);
	text->hint = hint_for(status);
}

/*
 * It is in view server_stats also after the transaction that it ends, where roles
 * see it that may not see the rows: a record's value is left out.
 */
static void
note_in_statistics(const MsgTraceStatus *status, const MsgTracePagerCounts *counts)
{
	MsgTraceStatus shown = *status;
	MsgTraceErrorText text;

	if (!OidIsValid(status->server_id))
		return;
	if (status->fault == MSGTRACE_BAD_ROW || status->fault == MSGTRACE_BAD_ROWS)
		shown.words = NULL;
	msgtrace_error_describe(&text, &shown, counts);
	msgtrace_counters_note_error(
		status->server_id, text.sqlstate,
		psprintf("%s%s%s", text.message, *text.detail ? ": " : "", text.detail));
}

void
msgtrace_error_raise(const MsgTraceStatus *status, const MsgTracePagerCounts *counts)
{
	MsgTraceErrorText text;

	msgtrace_error_describe(&text, status, counts);
	note_in_statistics(status, counts);
	ereport(ERROR, errcode(text.sqlstate), errmsg_internal("%s", text.message),
			*text.detail ? errdetail_internal("%s", text.detail) : 0, errhint("%s", text.hint));
}

void
msgtrace_error_warn_of_skew(int64 seconds)
{
	ereport(
		WARNING, errcode(ERRCODE_FDW_ERROR),
		errmsg("the clock of the service differs from this machine's by " INT64_FORMAT " seconds",
			   seconds),
		errdetail(
			"now() in a query is this machine's; what the service holds goes by its own clock."),
		errhint("Set the clock of this machine."));
}

void
msgtrace_error_warn_of_retry_after(int seconds, int believed_ms)
{
	ereport(WARNING, errcode(ERRCODE_FDW_ERROR),
			errmsg("the service asked to wait %d seconds, which was ignored", seconds),
			errdetail("The server option max_retry_after is %g s.", believed_ms / 1000.0),
			errhint("Raise it if the service means what it says."));
}

void
msgtrace_error_warn_of_refused_end(const MsgTraceSlice *refused)
{
	char *from = pstrdup(timestamptz_to_str(refused->from));

	ereport(WARNING, errcode(ERRCODE_FDW_ERROR),
			errmsg("the service refused the newest part of the time asked for"),
			errdetail("Rows from %s to %s are not in the result.", from,
					  timestamptz_to_str(refused->to)),
			errhint("Ask again in a minute."));
}

void
msgtrace_error_warn_of_rejects(const MsgTraceRejects *rejects)
{
	const MsgTraceReject *first = &rejects->list[0];

	ereport(WARNING, errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
			errmsg_plural("%d record that cannot be read was set aside",
						  "%d records that cannot be read were set aside",
						  (unsigned long) rejects->count, rejects->count),
			errdetail("The first is record %s%s%s: %s.", first->id ? first->id : "without id",
					  first->field ? ", field " : "", first->field ? first->field : "",
					  first->reason));
}

void
msgtrace_error_warn_of_replaced(int64 count)
{
	ereport(WARNING, errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
			errmsg_plural("%lld character that text cannot hold was replaced by U+FFFD",
						  "%lld characters that text cannot hold were replaced by U+FFFD",
						  (unsigned long) count, (long long) count));
}
