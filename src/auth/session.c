/*-------------------------------------------------------------------------
 *
 * session.c
 *		Authorised requests, with their token, retries and pauses.
 *
 * The way of a request through the states:
 *
 *		STARTING --(no token)--> SIGNING_IN --> STARTING
 *		STARTING --(token)-----> REQUESTING --> ENDED
 *		either --(passing fault)--> PAUSED --(alarm)--> STARTING
 *		REQUESTING --(401, once)--> STARTING, without the token
 *
 *-------------------------------------------------------------------------
 */
#include "auth/session.h"

#include "auth/claims.h"
#include "net/document.h"
#include "net/retry.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

typedef enum SessionState
{
	STARTING,
	SIGNING_IN,
	REQUESTING,
	PAUSED,
	ENDED,
	BROKEN /* the status has the facts */
} SessionState;

struct MsgTraceSession
{
	const MsgTraceSessionConfig *config;
	MsgTraceStatus *status;
	MemoryContext context;
	MsgTraceHttp *http;
	MsgTraceClock *clock;
	MsgTraceRetry retry;
	MsgTraceSessionCounts counts;
	SessionState state;
	const char *url; /* NULL: only a token is wanted */
	bool renewed;	 /* this request has had its second token */
	const MsgTraceHttpReply *reply;
};

MsgTraceSession *
msgtrace_session_open(MemoryContext context, const MsgTraceSessionConfig *config,
					  MsgTraceStatus *status)
{
	MsgTraceSession *session = MemoryContextAllocZero(context, sizeof(MsgTraceSession));

	session->config = config;
	session->status = status;
	status->secret = config->credential.client_secret;
	status->api = config->api;
	session->context = context;
	session->clock = msgtrace_clock_of(config->report_url);
	msgtrace_retry_init(&session->retry, &config->retry);
	session->state = ENDED;
	session->http = msgtrace_http_open(context, status);

	/* where the service's clock is moved at will, only a fresh answer tells it */
	if (config->service_clock)
		msgtrace_token_forget(&config->credential);
	return session->http ? session : NULL;
}

/*
 * The status keeps a copy of the token in use, so as to know it where it is
 * echoed: the cached one may be dropped by another scan of the backend.
 */
static void
note_token(MsgTraceSession *session, const char *token)
{
	char *former = unconstify(char *, session->status->token);

	session->status->token = token ? MemoryContextStrdup(session->context, token) : NULL;
	if (former)
	{
		explicit_bzero(former, strlen(former));
		pfree(former);
	}
}

static void
forget_token(MsgTraceSession *session)
{
	note_token(session, NULL);
	msgtrace_token_forget(&session->config->credential);
}

void
msgtrace_session_close(MsgTraceSession *session)
{
	note_token(session, NULL);
	msgtrace_http_close(session->http);
	session->http = NULL;
}

static void
begin(MsgTraceSession *session, const char *url)
{
	session->url = url;
	session->state = STARTING;
	session->renewed = false;
	session->reply = NULL;
	msgtrace_retry_reset(&session->retry);
}

void
msgtrace_session_sign_in(MsgTraceSession *session)
{
	begin(session, NULL);
}

void
msgtrace_session_sign_in_anew(MsgTraceSession *session)
{
	msgtrace_clock_forget(session->clock);
	forget_token(session);
	begin(session, NULL);
}

void
msgtrace_session_get(MsgTraceSession *session, const char *url)
{
	begin(session, url);
}

static void
fail(MsgTraceSession *session, MsgTraceFault fault)
{
	session->status->fault = fault;
	session->state = BROKEN;
}

/* What a failure will be said to be a failure of. */
static void
name_request(MsgTraceSession *session, const char *asked, const char *url)
{
	session->status->asked = asked;
	session->status->url = msgtrace_status_keep_url(session->status, url);
}

static void
send_sign_in(MsgTraceSession *session)
{
	static const char *const headers[] = {"Accept: application/json", NULL};
	const MsgTraceCredential *credential = &session->config->credential;
	char *url = msgtrace_token_url(credential);
	char *form = msgtrace_token_form(credential);
	bool started;

	name_request(session, "sign-in", url);
	started = msgtrace_http_start(session->http, &session->config->http, url, headers, form);
	explicit_bzero(form, strlen(form));
	pfree(form);
	pfree(url);
	session->counts.sign_ins++;
	session->state = SIGNING_IN;
	if (!started)
		fail(session, MSGTRACE_NO_CLIENT);
}

static void
send_request(MsgTraceSession *session, const char *token)
{
	MsgTraceAllowance *allowance = session->config->allowance;
	char *authorization;
	const char *headers[4];
	bool started;

	name_request(session, "the message trace", session->url);
	if (allowance->limit > 0 && allowance->made >= allowance->limit)
	{
		session->status->limit = allowance->limit;
		fail(session, MSGTRACE_REQUEST_LIMIT);
		return;
	}
	authorization = psprintf("Authorization: Bearer %s", token);
	headers[0] = authorization;
	headers[1] = "Accept: application/json";
	headers[2] = "Prefer: include-unknown-enum-members";
	headers[3] = NULL;
	started = msgtrace_http_start(session->http, &session->config->http, session->url, headers,
								  NULL);
	explicit_bzero(authorization, strlen(authorization));
	pfree(authorization);
	allowance->made++;
	session->counts.requests++;
	session->state = REQUESTING;
	if (!started)
		fail(session, MSGTRACE_NO_CLIENT);
}

static void
start(MsgTraceSession *session)
{
	const char *token = msgtrace_token_cached(&session->config->credential);

	note_token(session, token);
	if (token == NULL)
		send_sign_in(session);
	else if (session->url == NULL)
		session->state = ENDED;
	else
		send_request(session, token);
}

/* True when the request is to be made again after a pause. */
static bool
pause_for_retry(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	int64 delay = msgtrace_retry_delay(&session->retry, reply);

	session->counts.ignored_retry_after = session->retry.ignored;
	if (delay < 0)
		return false;
	session->counts.retries++;
	msgtrace_http_cancel(session->http);
	msgtrace_http_set_alarm(session->http, delay);
	session->state = PAUSED;
	return true;
}

/* No answer came: curl's words are all there is. */
static void
note_transport(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	MsgTraceStatus *status = session->status;

	status->limit = session->config->http.max_response_size;
	if (reply->fault == MSGTRACE_TOO_LARGE)
		status->http_status = reply->http_status;
	else
		status->words = msgtrace_status_keep(status, reply->words);
	fail(session, reply->fault);
}

static void
end_sign_in(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	const MsgTraceCredential *credential = &session->config->credential;
	MsgTraceStatus *status = session->status;

	if (pause_for_retry(session, reply))
		return;
	status->http_status = 0;
	if (reply->fault != MSGTRACE_OK)
		note_transport(session, reply);
	else if (msgtrace_token_accept(credential, reply, status))
		session->state = STARTING;
	else
		session->state = BROKEN;
}

void
msgtrace_session_note_refusal(MsgTraceSession *session)
{
	const MsgTraceHttpReply *reply = session->reply;
	MsgTraceStatus *status = session->status;
	MsgTraceDocument *document = msgtrace_document_read(reply->body, reply->length);

	status->http_status = reply->http_status;
	if (document)
	{
		status->code = msgtrace_status_keep(status,
											msgtrace_document_string(document, "error.code"));
		status->words = msgtrace_status_keep(status,
											 msgtrace_document_string(document, "error.message"));
		status->request_id = msgtrace_status_keep(
			status, msgtrace_document_string(document, "error.innerError.request-id"));
	}
	else if (reply->length > 0)
		status->words = msgtrace_status_keep(status, reply->body);
	msgtrace_document_free(document);
}

/* What the refused token carries tells a missing permission from the rest. */
static void
note_roles(MsgTraceStatus *status)
{
	MsgTraceClaims claims;

	if (status->token == NULL)
		return;
	msgtrace_claims_read(&claims, status->token);
	if (claims.readable)
		status->roles = msgtrace_status_keep(status, claims.roles);
}

static MsgTraceFault
final_fault_of(int http_status)
{
	switch (http_status)
	{
		case 401:
			return MSGTRACE_UNAUTHORIZED;
		case 403:
			return MSGTRACE_FORBIDDEN;
		case 429:
			return MSGTRACE_THROTTLED;
		default:
			return http_status >= 500 ? MSGTRACE_UNAVAILABLE : MSGTRACE_OK;
	}
}

static void
end_request(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	MsgTraceStatus *status = session->status;
	MsgTraceFault fault;

	session->counts.bytes += reply->length;
	if (reply->fault == MSGTRACE_OK && reply->http_status == 401 && !session->renewed)
	{
		session->renewed = true;
		forget_token(session);
		session->state = STARTING;
		return;
	}
	if (pause_for_retry(session, reply))
		return;
	status->http_status = reply->fault == MSGTRACE_OK ? reply->http_status : 0;
	if (reply->fault != MSGTRACE_OK)
	{
		note_transport(session, reply);
		return;
	}
	session->reply = reply;
	session->state = ENDED;
	fault = final_fault_of(reply->http_status);
	if (fault != MSGTRACE_OK)
	{
		msgtrace_session_note_refusal(session);
		note_roles(status);
		fail(session, fault);
	}
}

/*
 * An answer came: its Date is the service's clock.  Entra's clock stands in for
 * the service's own until the latter has answered.
 */
static void
learn_clock(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	if (reply->date == 0)
		return;
	if (session->state == REQUESTING || session->config->service_clock ||
		!msgtrace_clock_is_known(session->clock))
		msgtrace_clock_learn(session->clock, reply->date, reply->date_at);
}

static bool
is_pause_over(MsgTraceSession *session)
{
	if (!msgtrace_http_poll(session->http))
		return false;
	msgtrace_http_set_alarm(session->http, -1);
	session->state = STARTING;
	return true;
}

/* One step; false when there is nothing to do but wait. */
static bool
step(MsgTraceSession *session)
{
	const MsgTraceHttpReply *reply;

	if (session->state == STARTING)
	{
		start(session);
		return true;
	}
	if (session->state == PAUSED)
		return is_pause_over(session);

	if (!msgtrace_http_poll(session->http))
		return false;
	reply = msgtrace_http_reply(session->http);
	learn_clock(session, reply);
	if (session->state == SIGNING_IN)
		end_sign_in(session, reply);
	else
		end_request(session, reply);
	return true;
}

MsgTraceProgress
msgtrace_session_poll(MsgTraceSession *session)
{
	MemoryContext before = MemoryContextSwitchTo(session->context);
	bool moving = true;

	while (moving && session->state != ENDED && session->state != BROKEN)
		moving = step(session);
	MemoryContextSwitchTo(before);

	if (session->state == BROKEN)
		return MSGTRACE_FAILED;
	return session->state == ENDED ? MSGTRACE_DONE : MSGTRACE_PENDING;
}

void
msgtrace_session_wait(MsgTraceSession *session)
{
	instr_time before;
	instr_time after;

	INSTR_TIME_SET_CURRENT(before);
	msgtrace_http_wait(session->http);
	INSTR_TIME_SET_CURRENT(after);
	INSTR_TIME_SUBTRACT(after, before);
	session->counts.waited += INSTR_TIME_GET_MICROSEC(after);
}

const MsgTraceHttpReply *
msgtrace_session_reply(MsgTraceSession *session)
{
	return session->reply;
}

TimestampTz
msgtrace_session_now(MsgTraceSession *session)
{
	return msgtrace_clock_now(session->clock, session->config->service_clock);
}

MsgTraceClock *
msgtrace_session_clock(MsgTraceSession *session)
{
	return session->clock;
}

const MsgTraceSessionCounts *
msgtrace_session_counts(MsgTraceSession *session)
{
	return &session->counts;
}
