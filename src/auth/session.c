/*-------------------------------------------------------------------------
 *
 * session.c
 *		Authorised requests, with their token, retries and pauses.
 *
 * The way of a request through the states:
 *
 *		STARTING --(no token)--> SIGNING_IN --> STARTING
 *		STARTING --(token)-----> WAITING_FOR_BUDGET --(slot)--> REQUESTING --> ENDED
 *		either --(passing fault)--> PAUSED --(alarm)--> STARTING
 *		REQUESTING --(401, once)--> STARTING, without the token
 *
 *-------------------------------------------------------------------------
 */
#include "auth/session.h"

#include "auth/authorization.h"
#include "auth/refusal.h"
#include "net/retry.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A reader that moves on so seldom does something else. */
#define READER_AWAY_MS 1000

typedef enum SessionState
{
	STARTING,
	SIGNING_IN,
	WAITING_FOR_BUDGET,
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
	MsgTraceShare *share;
	MsgTraceBudget *budget; /* the share's */
	MsgTraceSessionCounts counts;
	SessionState state;
	MsgTraceAuthorization *authorization;
	const char *url; /* NULL: only a token is wanted */
	bool is_detail;	 /* the URL is of a delivery's details */
	bool renewed;	 /* this request has had its second token */
	bool asked_time; /* and has found out the service's time */
	bool left_alone; /* and was over while its reader was away */
	bool is_watched; /* somebody waits for it, or has done so until now */
	instr_time polled_at;
	const MsgTraceHttpReply *reply;
	instr_time sent_at; /* the request at hand, or the last one */
	int64 delay;		/* ms that PAUSED takes */
	char client_request_id[MSGTRACE_UUID_SIZE];
};

MsgTraceSession *
msgtrace_session_open(MemoryContext context, const MsgTraceSessionConfig *config,
					  MsgTraceStatus *status)
{
	MsgTraceSession *session = MemoryContextAllocZero(context, sizeof(MsgTraceSession));

	session->config = config;
	session->status = status;
	status->api = config->api;
	status->server_id = config->server_id;
	session->context = context;
	session->authorization = msgtrace_authorization_open(context, &config->credential, status);
	msgtrace_status_hide(status, config->http.proxy_password);
	session->clock = msgtrace_clock_of(config->report_url);
	msgtrace_retry_init(&session->retry, &config->retry);
	session->share = msgtrace_share_open(context, &config->credential, &config->budget,
										 config->server_id);
	session->budget = msgtrace_share_budget(session->share);
	session->state = ENDED;
	session->http = msgtrace_http_open(context, status);
	return session->http ? session : NULL;
}

void
msgtrace_session_close(MsgTraceSession *session)
{
	msgtrace_authorization_close(session->authorization);
	msgtrace_budget_release(session->budget);
	msgtrace_http_close(session->http);
	session->http = NULL;
}

static bool
is_basic(const MsgTraceSession *session)
{
	return msgtrace_authorization_is_basic(session->authorization);
}

static void
begin(MsgTraceSession *session, const char *url, bool is_detail)
{
	session->url = url;
	session->is_detail = is_detail;
	session->state = STARTING;
	session->renewed = false;
	session->asked_time = false;
	session->left_alone = false;
	session->reply = NULL;
	msgtrace_retry_reset(&session->retry);
}

void
msgtrace_session_sign_in(MsgTraceSession *session)
{
	/* where the service's clock is moved at will, only a fresh answer tells it */
	if (session->config->service_clock)
		msgtrace_token_forget(&session->config->credential, NULL);
	begin(session, NULL, false);
}

void
msgtrace_session_sign_in_anew(MsgTraceSession *session)
{
	msgtrace_clock_forget(session->clock);
	msgtrace_authorization_forget(session->authorization);
	begin(session, NULL, false);
}

void
msgtrace_session_get(MsgTraceSession *session, const char *url)
{
	begin(session, url, false);
}

void
msgtrace_session_get_detail(MsgTraceSession *session, const char *url)
{
	begin(session, url, true);
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
	MsgTraceStatus *status = session->status;

	status->asked = asked;
	status->url = msgtrace_status_keep_url(status, url);
	status->request_id = NULL;
	status->client_request_id = NULL;
	if (msgtrace_http_new_uuid(session->client_request_id))
		status->client_request_id = session->client_request_id;
	INSTR_TIME_SET_CURRENT(session->sent_at);
}

/* Our own id of the request, by which Microsoft's support can find it. */
static char *
id_header(const MsgTraceSession *session)
{
	return psprintf("client-request-id: %s", session->client_request_id);
}

/* Send what precedes the requests that are asked of us: form is NULL for a GET. */
static void
send_first(MsgTraceSession *session, const char *url, const char *form)
{
	const char *headers[] = {"Accept: application/json", id_header(session), NULL};

	session->state = SIGNING_IN;
	if (!msgtrace_http_start(session->http, &session->config->http, url, headers, form))
		fail(session, MSGTRACE_NO_CLIENT);
}

/* An assertion is judged by the clock of whom it is shown to. */
static TimestampTz
sign_in_time(MsgTraceSession *session)
{
	MsgTraceClock *authority = msgtrace_clock_of(session->config->credential.authority_url);

	return msgtrace_clock_is_known(authority)
			   ? msgtrace_clock_now(authority, session->config->service_clock)
			   : msgtrace_session_now(session);
}

static void
send_sign_in(MsgTraceSession *session)
{
	const MsgTraceCredential *credential = &session->config->credential;
	char *url = msgtrace_token_url(credential);
	char *form;

	name_request(session, "sign-in", url);
	form = msgtrace_token_form(credential, url, sign_in_time(session), session->status);
	if (form == NULL)
	{
		session->state = BROKEN;
		return;
	}
	session->counts.sign_ins++;
	send_first(session, url, form);
	msgtrace_authorization_wipe(form);
	pfree(url);
}

/*
 * Basic sign-in has no token to fetch, and so no answer that would tell the
 * service's time before the first list: any page of its host does, without a password.
 */
static void
ask_time(MsgTraceSession *session)
{
	const char *report_url = session->config->report_url;
	size_t scheme = strcspn(report_url, ":") + strlen("://");
	size_t host = strcspn(report_url + scheme, "/");
	char *url = psprintf("%.*s/", (int) (scheme + host), report_url);

	session->asked_time = true;
	name_request(session, "the service's time", url);
	send_first(session, url, NULL);
	pfree(url);
}

static void
name_list_or_detail(MsgTraceSession *session)
{
	name_request(session, session->is_detail ? "the details of a delivery" : "the message trace",
				 session->url);
}

/* False when the query has made all the requests that it may. */
static bool
is_allowed(MsgTraceSession *session)
{
	const MsgTraceAllowance *allowance = session->config->allowance;

	if (allowance->limit <= 0 || allowance->made < allowance->limit)
		return true;
	name_list_or_detail(session);
	session->status->limit = allowance->limit;
	fail(session, MSGTRACE_REQUEST_LIMIT);
	return false;
}

/* Is there room in the tenant's budget?  If not, wait for it. */
static bool
has_slot(MsgTraceSession *session, const char *token)
{
	const MsgTraceSessionConfig *config = session->config;
	bool has_waited = session->state == WAITING_FOR_BUDGET;
	int64 wait;

	if (!has_waited)
		msgtrace_share_choose(session->share, token, config->api,
							  session->is_detail && config->detail_apart);
	if (msgtrace_budget_take(session->budget, &wait))
		return true;
	session->counts.budget_waits += !has_waited;
	session->state = WAITING_FOR_BUDGET;
	msgtrace_http_set_alarm(session->http, wait);
	return false;
}

static void
send_request(MsgTraceSession *session, const char *authorization)
{
	MsgTraceAllowance *allowance = session->config->allowance;
	const char *headers[5];
	bool started;

	name_list_or_detail(session);
	headers[0] = authorization;
	headers[1] = "Accept: application/json";
	headers[2] = id_header(session);
	headers[3] = session->config->prefer;
	headers[4] = NULL;
	started = msgtrace_http_start(session->http, &session->config->http, session->url, headers,
								  NULL);
	allowance->made++;
	session->counts.requests++;
	session->state = REQUESTING;
	if (!started)
		fail(session, MSGTRACE_NO_CLIENT);
}

static void
start(MsgTraceSession *session)
{
	char *authorization = msgtrace_authorization_line(session->authorization);

	if (authorization == NULL)
		send_sign_in(session);
	else if (is_basic(session) && !msgtrace_clock_is_known(session->clock) && !session->asked_time)
		ask_time(session);
	else if (session->url == NULL)
		session->state = ENDED;
	else if (is_allowed(session) && has_slot(session, session->status->token))
		send_request(session, authorization);
	msgtrace_authorization_wipe(authorization);
}

static bool
is_throttling(const MsgTraceHttpReply *reply)
{
	return reply->fault == MSGTRACE_OK && reply->http_status == 429;
}

/* True when the request is to be made again after a pause. */
static bool
pause_for_retry(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	int64 delay = msgtrace_retry_delay(&session->retry, reply);

	session->counts.ignored_retry_after = session->retry.ignored;
	if (delay < 0)
		return false;
	session->delay = delay;
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
	status->subject = msgtrace_status_keep(status, reply->subject);
	status->issuer = msgtrace_status_keep(status, reply->issuer);
	fail(session, reply->fault);
}

/* Longer than this nobody asked how the request at hand gets on. */
static bool
is_reader_back(const MsgTraceSession *session)
{
	instr_time away;

	INSTR_TIME_SET_CURRENT(away);
	INSTR_TIME_SUBTRACT(away, session->polled_at);
	return !session->is_watched && INSTR_TIME_GET_MILLISEC(away) > READER_AWAY_MS;
}

/*
 * A reader that takes its time, as a cursor's, leaves what is ahead of it alone:
 * the request may be over because of that, and not because the service was slow.
 * Then it is made again, once.
 */
static bool
was_left_alone(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	if (session->left_alone || !is_reader_back(session) ||
		(reply->fault != MSGTRACE_TIMED_OUT && reply->fault != MSGTRACE_BROKEN_OFF &&
		 reply->fault != MSGTRACE_TOO_SLOW))
		return false;
	session->left_alone = true;
	msgtrace_http_cancel(session->http);
	session->state = STARTING;
	return true;
}

/*
 * A refused assertion may have been signed by a clock that is wrong: ours, as
 * nobody's was known.  By now we know the authority's.
 */
static bool
signs_again(MsgTraceSession *session)
{
	bool first = !session->asked_time;

	session->asked_time = true;
	return first && msgtrace_authorization_ask_again(session->authorization, sign_in_time(session));
}

static void
end_sign_in(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	const MsgTraceCredential *credential = &session->config->credential;
	MsgTraceStatus *status = session->status;

	/* who only asked for the time takes any answer */
	if (is_basic(session) && reply->fault == MSGTRACE_OK)
	{
		session->state = STARTING;
		return;
	}
	if (was_left_alone(session, reply) || pause_for_retry(session, reply))
		return;
	status->http_status = 0;
	if (reply->fault != MSGTRACE_OK)
		note_transport(session, reply);
	else if (msgtrace_token_accept(credential, reply, status) || signs_again(session))
		session->state = STARTING;
	else
		session->state = BROKEN;
}

static void
end_request(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	MsgTraceStatus *status = session->status;
	MsgTraceFault fault;

	session->counts.bytes += reply->length;
	if (is_throttling(reply))
	{
		/* the tenant's count goes on where another session has left it */
		session->counts.throttled++;
		session->retry.throttlings = Max(session->retry.throttlings,
										 msgtrace_budget_throttlings(session->budget));
	}
	if (reply->fault == MSGTRACE_OK && reply->http_status == 401 && !session->renewed &&
		!is_basic(session))
	{
		session->renewed = true;
		msgtrace_authorization_forget(session->authorization);
		session->state = STARTING;
		return;
	}
	if (was_left_alone(session, reply) || pause_for_retry(session, reply))
		return;
	status->http_status = reply->fault == MSGTRACE_OK ? reply->http_status : 0;
	if (reply->fault != MSGTRACE_OK)
	{
		note_transport(session, reply);
		return;
	}
	session->reply = reply;
	session->state = ENDED;
	fault = msgtrace_refusal_fault(reply->http_status);
	if (fault == MSGTRACE_UNAUTHORIZED && is_basic(session))
		fault = MSGTRACE_PASSWORD_REFUSED;
	if (fault != MSGTRACE_OK)
	{
		msgtrace_refusal_note(reply, status);
		msgtrace_refusal_note_roles(status);
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
	if (session->state == SIGNING_IN && !is_basic(session))
		msgtrace_clock_learn(msgtrace_clock_of(session->config->credential.authority_url),
							 reply->date, reply->date_at);
	if (session->state == REQUESTING || session->config->service_clock ||
		!msgtrace_clock_is_known(session->clock))
		msgtrace_clock_learn(session->clock, reply->date, reply->date_at);
}

void
msgtrace_session_note_refusal(MsgTraceSession *session)
{
	msgtrace_refusal_note(session->reply, session->status);
}

/* ---------------------------------------------------------------- report */

/* When the request that has just ended is made again; -1 when it is not. */
static int64
retry_in(const MsgTraceSession *session, bool was_sign_in)
{
	if (session->state == PAUSED)
		return session->delay;
	return session->state == STARTING && !was_sign_in ? 0 : -1;
}

/* A request has ended, and the session's state says what becomes of it. */
static void
report(MsgTraceSession *session, const MsgTraceHttpReply *reply, bool was_sign_in)
{
	const MsgTraceSessionConfig *config = session->config;
	MsgTraceStatus *status = session->status;
	MsgTraceRequestReport report = {0};
	instr_time elapsed;

	if (config->report == NULL)
		return;
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, session->sent_at);
	report.what = was_sign_in ? "sign-in" : session->is_detail ? "detail" : "list";
	report.method = was_sign_in && !is_basic(session) ? "POST" : "GET";
	report.url = was_sign_in
					 ? status->url
					 : msgtrace_status_keep(status, msgtrace_http_without_skiptoken(session->url));
	report.http_status = reply->http_status;
	report.fault = session->state == BROKEN ? status->fault : reply->fault;
	report.words = session->state == BROKEN ? status->words : NULL;
	if (report.words == NULL && reply->fault != MSGTRACE_OK)
		report.words = msgtrace_status_keep(status, reply->words);
	report.elapsed = (int64) INSTR_TIME_GET_MICROSEC(elapsed);
	report.bytes = (int64) reply->length;
	report.retry_in = retry_in(session, was_sign_in);
	report.client_request_id = status->client_request_id;
	config->report(config->report_arg, &report);
}

/* ------------------------------------------------------------ the machine */

static bool
is_pause_over(MsgTraceSession *session)
{
	if (!msgtrace_http_poll(session->http))
		return false;
	msgtrace_http_set_alarm(session->http, -1);
	session->state = STARTING;
	return true;
}

/* Woken by the alarm, by somebody who left the queue, or by neither. */
static bool
is_budget_there(MsgTraceSession *session)
{
	(void) msgtrace_http_poll(session->http);
	msgtrace_http_set_alarm(session->http, -1);
	start(session);
	return session->state != WAITING_FOR_BUDGET;
}

/* What a 429 asks of all who share the budget; -1 when it does not say. */
static int64
pause_for_all(MsgTraceSession *session, const MsgTraceHttpReply *reply)
{
	if (session->state == PAUSED)
		return session->delay;
	return is_throttling(reply) ? msgtrace_retry_told(&session->retry, reply) : -1;
}

/* One step; false when there is nothing to do but wait. */
static bool
step(MsgTraceSession *session)
{
	const MsgTraceHttpReply *reply;
	bool was_sign_in;

	if (session->state == STARTING)
	{
		start(session);
		return true;
	}
	if (session->state == WAITING_FOR_BUDGET)
		return is_budget_there(session);
	if (session->state == PAUSED)
		return is_pause_over(session);

	if (!msgtrace_http_poll(session->http))
		return false;
	reply = msgtrace_http_reply(session->http);
	learn_clock(session, reply);
	msgtrace_status_keep_request_id(session->status, reply->request_id);
	was_sign_in = session->state == SIGNING_IN;
	if (was_sign_in)
		end_sign_in(session, reply);
	else
	{
		end_request(session, reply);
		msgtrace_share_settle(session->share, reply, pause_for_all(session, reply));
	}
	report(session, reply, was_sign_in);
	return true;
}

MsgTraceProgress
msgtrace_session_poll(MsgTraceSession *session)
{
	MemoryContext before = MemoryContextSwitchTo(session->context);
	bool moving = true;

	while (moving && session->state != ENDED && session->state != BROKEN)
		moving = step(session);
	session->is_watched = false;
	INSTR_TIME_SET_CURRENT(session->polled_at);
	MemoryContextSwitchTo(before);
	msgtrace_share_count(session->share, &session->counts);

	if (session->state == BROKEN)
		return MSGTRACE_FAILED;
	return session->state == ENDED ? MSGTRACE_DONE : MSGTRACE_PENDING;
}

/*
 * A cancel ends the wait.  The session's memory may live on for long, with a
 * cursor that failed in a subtransaction; its slot and its place in the queue
 * must not.
 */
void
msgtrace_session_give_up(MsgTraceSession *session)
{
	msgtrace_http_cancel(session->http);
	msgtrace_budget_release(session->budget);
}

MsgTraceWait
msgtrace_session_waits_for(const MsgTraceSession *session)
{
	static const MsgTraceWait waits[] = {
		[STARTING] = MSGTRACE_WAIT_PAGE,   [SIGNING_IN] = MSGTRACE_WAIT_SIGN_IN,
		[REQUESTING] = MSGTRACE_WAIT_PAGE, [WAITING_FOR_BUDGET] = MSGTRACE_WAIT_BUDGET,
		[PAUSED] = MSGTRACE_WAIT_RETRY,	   [ENDED] = MSGTRACE_WAIT_PAGE,
		[BROKEN] = MSGTRACE_WAIT_PAGE};

	return waits[session->state];
}

void
msgtrace_session_wait_any(MsgTraceSession *const *sessions, int count)
{
	MsgTraceHttp *https[MSGTRACE_MAX_HTTPS];
	instr_time before;
	instr_time after;

	for (int i = 0; i < count; i++)
	{
		https[i] = sessions[i]->http;
		sessions[i]->is_watched = true;
	}
	INSTR_TIME_SET_CURRENT(before);
	PG_TRY();
	{
		msgtrace_http_wait_any(https, count,
							   msgtrace_wait_event(msgtrace_session_waits_for(sessions[0])));
	}
	PG_CATCH();
	{
		for (int i = 0; i < count; i++)
			msgtrace_session_give_up(sessions[i]);
		PG_RE_THROW();
	}
	PG_END_TRY();
	INSTR_TIME_SET_CURRENT(after);
	INSTR_TIME_SUBTRACT(after, before);
	sessions[0]->counts.waited += INSTR_TIME_GET_MICROSEC(after); /* once for all of them */
}

void
msgtrace_session_wait(MsgTraceSession *session)
{
	msgtrace_session_wait_any(&session, 1);
}

int
msgtrace_session_socket(MsgTraceSession *session)
{
	int64 wait;

	if (session->state == WAITING_FOR_BUDGET)
	{
		bool has_slot_now = msgtrace_budget_take(session->budget, &wait);

		msgtrace_http_set_alarm(session->http, has_slot_now ? 0 : wait);
	}
	session->is_watched = true;
	return msgtrace_http_socket(session->http);
}

void
msgtrace_session_waited(MsgTraceSession *session, int64 microseconds)
{
	session->counts.waited += microseconds;
}

void
msgtrace_session_count_page(MsgTraceSession *session, int64 rows)
{
	msgtrace_share_count_page(session->share, rows);
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
