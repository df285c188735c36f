/*-------------------------------------------------------------------------
 *
 * share.c
 *		A session's part in what all sessions have in common: the tenant's budget,
 *		and the statistics of the server.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/share.h"

#include "auth/claims.h"
#include "lib/stringinfo.h"
#include "net/counters.h"
#include "net/crypto.h"

struct MsgTraceShare
{
	MemoryContext context;
	const MsgTraceCredential *credential;
	Oid server_id; /* invalid = not counted */
	MsgTraceBudget *budget;
	char *tenant;				   /* whose that is; NULL before it is known */
	MsgTraceSessionCounts counted; /* what the statistics have of the session's */
};

MsgTraceShare *
msgtrace_share_open(MemoryContext context, const MsgTraceCredential *credential,
					const MsgTraceBudgetTerms *terms, Oid server_id)
{
	MsgTraceShare *share = MemoryContextAllocZero(context, sizeof(MsgTraceShare));

	share->context = context;
	share->credential = credential;
	share->server_id = server_id;
	share->budget = msgtrace_budget_open(context, terms, server_id);
	return share;
}

MsgTraceBudget *
msgtrace_share_budget(MsgTraceShare *share)
{
	return share->budget;
}

/* ---------------------------------------------------------------- tenant */

static char *
lower_case(const char *text)
{
	char *copy = pstrdup(text);

	for (char *c = copy; *c; c++)
		*c = (char) pg_ascii_tolower((unsigned char) *c);
	return copy;
}

/* A user's name is nobody else's business: others see the budget's name. */
static char *
digest_of(const char *name)
{
	const char *parts[] = {name};
	MsgTraceDigest digest;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "user ");
	if (msgtrace_digest(&digest, parts, lengthof(parts)))
	{
		for (int i = 0; i < 8; i++)
			appendStringInfo(&text, "%02x", digest.bytes[i]);
	}
	return text.data;
}

/*
 * The tenant's id as the token has it, so that its id and each of its domains are
 * one; else what the credential says.  Never empty.  Without a token nobody has
 * verified of which tenant an account is: its budget is its own, lest somebody
 * draw on that of a tenant which is not theirs.
 */
static char *
tenant_of(const MsgTraceCredential *credential, const char *token)
{
	MsgTraceClaims claims = {0};

	if (credential->auth == MSGTRACE_AUTH_BASIC)
		return digest_of(credential->username);
	if (token)
		msgtrace_claims_read(&claims, token);
	return claims.tid ? pstrdup(claims.tid) : lower_case(credential->tenant_id);
}

void
msgtrace_share_choose(MsgTraceShare *share, const char *token, const char *api, bool detail_apart)
{
	if (share->tenant == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(share->context);

		share->tenant = tenant_of(share->credential, token);
		MemoryContextSwitchTo(before);
	}
	msgtrace_budget_set_tenant(share->budget, share->tenant, api, detail_apart);
}

void
msgtrace_share_settle(MsgTraceShare *share, const MsgTraceHttpReply *reply, int64 delay)
{
	if (reply->fault == MSGTRACE_OK && reply->http_status == 429)
		msgtrace_budget_throttle(share->budget, delay);
	else if (reply->fault == MSGTRACE_OK)
		msgtrace_budget_succeed(share->budget);
	msgtrace_budget_release(share->budget);
}

/* ------------------------------------------------------------ statistics */

void
msgtrace_share_count(MsgTraceShare *share, const MsgTraceSessionCounts *counts)
{
	const MsgTraceSessionCounts *then = &share->counted;
	MsgTraceServerCounts more = {.requests = counts->requests - then->requests,
								 .bytes = counts->bytes - then->bytes,
								 .retries = counts->retries - then->retries,
								 .throttled = counts->throttled - then->throttled,
								 .budget_waits = counts->budget_waits - then->budget_waits,
								 .waited = counts->waited - then->waited,
								 .sign_ins = counts->sign_ins - then->sign_ins};

	if (!OidIsValid(share->server_id) || memcmp(counts, then, sizeof(*counts)) == 0)
		return;
	msgtrace_counters_add(share->server_id, &more);
	share->counted = *counts;
}

void
msgtrace_share_count_page(MsgTraceShare *share, int64 rows)
{
	MsgTraceServerCounts page = {.pages = 1, .rows = rows};

	if (OidIsValid(share->server_id))
		msgtrace_counters_add(share->server_id, &page);
}
