/*-------------------------------------------------------------------------
 *
 * authorization.c
 *		What a request shows to prove who asks: a token, or name and password.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/authorization.h"

#include "auth/certificate.h"
#include "auth/token.h"
#include "utils/memutils.h"

/* AADSTS codes of refused assertions: outside of its time; of a certificate not taken */
#define ENTRA_ASSERTION_TIME 700024
#define ENTRA_CERTIFICATE 700027

struct MsgTraceAuthorization
{
	const MsgTraceCredential *credential;
	MsgTraceStatus *status;
	MemoryContext context;
	char *basic; /* the header's value, or NULL: by token */
	MemoryContextCallback wiping;
};

void
msgtrace_authorization_wipe(char *secret)
{
	if (secret)
	{
		explicit_bzero(secret, strlen(secret));
		pfree(secret);
	}
}

/*
 * The status keeps a copy of the token in use, so as to know it where it is
 * echoed: the cached one may be dropped by another scan of the backend.
 */
static void
note_token(MsgTraceAuthorization *authorization, const char *token)
{
	char *former = unconstify(char *, authorization->status->token);

	authorization->status->token = token ? MemoryContextStrdup(authorization->context, token)
										 : NULL;
	msgtrace_authorization_wipe(former);
}

/* Name and password behind the word Basic. */
static const char *
encoded_part(const MsgTraceAuthorization *authorization)
{
	return authorization->basic + strlen("Basic ");
}

/* However the scan ends, no secret stays in memory. */
static void
wipe_all(void *arg)
{
	MsgTraceAuthorization *authorization = arg;
	MsgTraceStatus *status = authorization->status;

	note_token(authorization, NULL);
	msgtrace_authorization_wipe(unconstify(char *, status->assertion));
	status->assertion = NULL;
	if (authorization->basic)
		msgtrace_status_forget(status, encoded_part(authorization));
	msgtrace_authorization_wipe(authorization->basic);
	authorization->basic = NULL;
}

MsgTraceAuthorization *
msgtrace_authorization_open(MemoryContext context, const MsgTraceCredential *credential,
							MsgTraceStatus *status)
{
	MsgTraceAuthorization *authorization = MemoryContextAllocZero(context,
																  sizeof(MsgTraceAuthorization));
	MemoryContext before = MemoryContextSwitchTo(context);

	authorization->credential = credential;
	authorization->status = status;
	authorization->context = context;
	authorization->wiping.func = wipe_all;
	authorization->wiping.arg = authorization;
	MemoryContextRegisterResetCallback(context, &authorization->wiping);

	msgtrace_credential_hide(credential, status);
	if (credential->auth == MSGTRACE_AUTH_BASIC)
	{
		authorization->basic = msgtrace_credential_basic(credential);
		msgtrace_status_hide(status, encoded_part(authorization));
	}
	MemoryContextSwitchTo(before);
	return authorization;
}

void
msgtrace_authorization_close(MsgTraceAuthorization *authorization)
{
	wipe_all(authorization);
}

bool
msgtrace_authorization_is_basic(const MsgTraceAuthorization *authorization)
{
	return authorization->credential->auth == MSGTRACE_AUTH_BASIC;
}

char *
msgtrace_authorization_line(MsgTraceAuthorization *authorization)
{
	const char *token;

	if (msgtrace_authorization_is_basic(authorization))
		return psprintf("Authorization: %s", authorization->basic);
	token = msgtrace_token_cached(authorization->credential);
	note_token(authorization, token);
	return token ? psprintf("Authorization: Bearer %s", token) : NULL;
}

void
msgtrace_authorization_forget(MsgTraceAuthorization *authorization)
{
	if (!msgtrace_authorization_is_basic(authorization))
		msgtrace_token_forget(authorization->credential, authorization->status->token);
	note_token(authorization, NULL);
}

bool
msgtrace_authorization_ask_again(MsgTraceAuthorization *authorization, TimestampTz now)
{
	MsgTraceStatus *status = authorization->status;
	TimestampTz expires;

	if (authorization->credential->auth != MSGTRACE_AUTH_CERTIFICATE)
		return false;
	if (status->entra_code == ENTRA_CERTIFICATE)
		(void) msgtrace_certificate_check(authorization->credential, now, &expires, status);
	if (status->entra_code != ENTRA_ASSERTION_TIME)
		return false;
	status->fault = MSGTRACE_OK;
	status->entra_code = 0;
	return true;
}
