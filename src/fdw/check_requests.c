/*-------------------------------------------------------------------------
 *
 * check_requests.c
 *		The steps of check() that cost requests: token, list and detail.
 *
 * At most two requests go to the service, whatever happens: the list and a
 * detail, without retries.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/check_requests.h"

#include "auth/claims.h"
#include "auth/session.h"
#include "fdw/check_step.h"
#include "fdw/error.h"
#include "miscadmin.h"
#include "trace/detail.h"
#include "trace/page.h"
#include "utils/timestamp.h"

/* How far back a row is looked for; both APIs hold and take it. */
#define DAYS_LOOKED_AT 7

/*
 * Until the request has ended; false when it failed for the session's part.  A
 * check does not wait for the tenant's budget: whoever calls it may want to know
 * why all the others wait.
 */
static bool
run(MsgTraceCheck *check)
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
put_no_slot(MsgTraceCheck *check, const char *step)
{
	msgtrace_check_put(
		check, step, MSGTRACE_NOT_ASKED, "the tenant's budget has no free slot now",
		"SELECT * FROM o365_msgtrace.quota shows who has used it; check again later.");
}

/* The same, with what the service refused a failure, too. */
static const MsgTraceHttpReply *
run_request(MsgTraceCheck *check)
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
check_permission(MsgTraceCheck *check, const MsgTraceClaims *claims)
{
	const char *api = check->settings.session.api;
	const char *permission = msgtrace_error_permission(api);

	if (!claims->readable)
		msgtrace_check_put(check, "permission", MSGTRACE_NOT_ASKED,
						   "the token is of a kind that cannot be read", NULL);
	else if (msgtrace_claims_have_role(claims, permission))
		msgtrace_check_put(check, "permission", MSGTRACE_WELL,
						   psprintf("the token carries %s", permission), NULL);
	else
		msgtrace_check_put(
			check, "permission", MSGTRACE_NOT_WELL,
			*claims->roles ? psprintf("the token carries %s, but not %s", claims->roles, permission)
						   : psprintf("the token carries no role, and so not %s", permission),
			msgtrace_error_permission_hint(api, claims->roles));
}

/* False when there is no use in going on. */
static bool
check_token(MsgTraceCheck *check)
{
	static const char *const others[] = {"permission", "service principal", "list", "detail", NULL};
	MsgTraceClaims claims;

	if (check->settings.session.credential.auth == MSGTRACE_AUTH_BASIC)
	{
		msgtrace_check_put(check, "token", MSGTRACE_NOT_ASKED, "basic sign-in does without", NULL);
		msgtrace_check_put(check, "permission", MSGTRACE_NOT_ASKED,
						   "the roles of the account decide", NULL);
		return true;
	}
	msgtrace_token_forget(&check->settings.session.credential, NULL);
	msgtrace_session_sign_in(check->session);
	if (!run(check))
	{
		msgtrace_check_put_failure(check, "token");
		msgtrace_check_put_not_asked(check, others, "there is no token");
		return false;
	}
	msgtrace_claims_read(&claims, check->status.token ? check->status.token : "");
	msgtrace_check_put(check, "token", MSGTRACE_WELL,
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
	MsgTraceCheck *check = arg;
	const char *sender = record->values[MSGTRACE_SENDER];

	check->found = true;
	check->delivery.id = pstrdup(record->values[MSGTRACE_ID]);
	check->delivery.recipient_address = pstrdup(row->recipient);
	check->delivery.sender_address = sender ? pstrdup(sender) : "";
	check->delivery.received = row->received;
	check->delivery.located = true;
	return true;
}

static char *
list_url(MsgTraceCheck *check)
{
	TimestampTz now = msgtrace_session_now(check->session) - USECS_PER_SEC;
	MsgTraceSlice slice = {now - DAYS_LOOKED_AT * USECS_PER_DAY, now};
	MsgTraceQuery query;

	msgtrace_query_init(&query);
	return msgtrace_dialect_list_url(check->settings.dialect, check->settings.session.report_url,
									 &query, &slice, 1);
}

static bool
get_list(MsgTraceCheck *check)
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
check_principal(MsgTraceCheck *check, bool listed)
{
	static const char step[] = "service principal";

	if (strcmp(check->settings.session.api, "graph") != 0)
		msgtrace_check_put(check, step, MSGTRACE_NOT_ASKED, "only Microsoft Graph needs it", NULL);
	else if (listed)
		msgtrace_check_put(check, step, MSGTRACE_WELL, "the service took the token", NULL);
	else if (check->no_slot)
		msgtrace_check_put(check, step, MSGTRACE_NOT_ASKED, "the list was not asked for", NULL);
	else if (msgtrace_error_names_principal(&check->status))
		msgtrace_check_put(check, step, MSGTRACE_NOT_WELL, check->status.words,
						   msgtrace_error_principal_hint);
	else
		msgtrace_check_put(check, step, MSGTRACE_NOT_ASKED, "the list failed for another reason",
						   NULL);
}

static bool
check_list(MsgTraceCheck *check)
{
	bool listed = get_list(check);

	check_principal(check, listed);
	if (check->no_slot)
		put_no_slot(check, "list");
	else if (!listed)
		msgtrace_check_put_failure(check, "list");
	else
		msgtrace_check_put(
			check, "list", MSGTRACE_WELL,
			psprintf("%s of the last %d days", check->found ? "a row" : "no row", DAYS_LOOKED_AT),
			NULL);
	return listed;
}

static void
check_detail(MsgTraceCheck *check)
{
	const MsgTraceHttpReply *reply;

	if (!check->found)
		msgtrace_check_put(check, "detail", MSGTRACE_NOT_ASKED, "there is no row to ask about",
						   NULL);
	else if (check->allowance.made >= check->allowance.limit)
		msgtrace_check_put(check, "detail", MSGTRACE_NOT_ASKED, "the list took two requests", NULL);
	else
	{
		msgtrace_session_get_detail(
			check->session,
			msgtrace_detail_url(check->settings.dialect, check->settings.session.report_url,
								&check->delivery, msgtrace_session_now(check->session)));
		reply = run_request(check);
		if (check->no_slot)
			put_no_slot(check, "detail");
		else if (reply == NULL)
			msgtrace_check_put_failure(check, "detail");
		else
			msgtrace_check_put(check, "detail", MSGTRACE_WELL,
							   psprintf("%zu bytes about that row", reply->length), NULL);
	}
}

PG_FUNCTION_INFO_V1(o365_msgtrace_check_requests);

Datum
o365_msgtrace_check_requests(PG_FUNCTION_ARGS)
{
	static const char *const detail[] = {"detail", NULL};
	MsgTraceCheck *check = msgtrace_check_begin(fcinfo, GetUserId());

	check->session = msgtrace_session_open(check->context, &check->settings.session,
										   &check->status);
	if (check->session == NULL)
		msgtrace_error_raise(&check->status, &(MsgTracePagerCounts){0});
	if (check_token(check))
	{
		if (check_list(check))
			check_detail(check);
		else
			msgtrace_check_put_not_asked(check, detail, "there is no list to take a row from");
	}
	msgtrace_session_close(check->session);
	return (Datum) 0;
}
