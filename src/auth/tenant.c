/*-------------------------------------------------------------------------
 *
 * tenant.c
 *		Whose tenant a request is of, as its budget is named.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/tenant.h"

#include "auth/claims.h"
#include "lib/stringinfo.h"
#include "net/crypto.h"

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

char *
msgtrace_tenant_name(const MsgTraceCredential *credential, const char *token)
{
	MsgTraceClaims claims = {0};

	if (token)
		msgtrace_claims_read(&claims, token);
	if (claims.tid)
		return pstrdup(claims.tid);
	if (credential->tenant_id && *credential->tenant_id)
		return lower_case(credential->tenant_id);
	return digest_of(credential->username ? credential->username : "");
}
