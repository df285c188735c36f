/*-------------------------------------------------------------------------
 *
 * authorization.h
 *		What a request shows to prove who asks: a token, or name and password.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_AUTHORIZATION_H
#define MSGTRACE_AUTHORIZATION_H

#include "postgres.h"

#include "auth/credential.h"
#include "net/status.h"

typedef struct MsgTraceAuthorization MsgTraceAuthorization;

/*
 * Owned by `context`, with which its secrets are overwritten.  The status gets to
 * know them, so that it shows none of them.
 */
extern MsgTraceAuthorization *msgtrace_authorization_open(MemoryContext context,
														  const MsgTraceCredential *credential,
														  MsgTraceStatus *status);
extern void msgtrace_authorization_close(MsgTraceAuthorization *authorization);

/* Without tokens? */
extern bool msgtrace_authorization_is_basic(const MsgTraceAuthorization *authorization);

/* The header line, which the caller wipes; NULL when there is no token to show. */
extern char *msgtrace_authorization_line(MsgTraceAuthorization *authorization);

/* The token is no good any more. */
extern void msgtrace_authorization_forget(MsgTraceAuthorization *authorization);

/*
 * The token endpoint has refused, as the status says.  True when the assertion was
 * out of its time, by which is to be asked again if `now` is better than what it was
 * signed by; otherwise, a certificate that is over at `now` is the reason given.
 */
extern bool msgtrace_authorization_ask_again(MsgTraceAuthorization *authorization, TimestampTz now);

/* Overwrite a text and free it; NULL does no harm. */
extern void msgtrace_authorization_wipe(char *secret);

#endif /* MSGTRACE_AUTHORIZATION_H */
