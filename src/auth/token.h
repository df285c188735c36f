/*-------------------------------------------------------------------------
 *
 * token.h
 *		Access tokens of Entra ID: how one is asked for, and the backend's cache.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_TOKEN_H
#define MSGTRACE_TOKEN_H

#include "postgres.h"

#include "auth/credential.h"
#include "net/http.h"
#include "net/status.h"

/* The cached token, or NULL when there is none or it is due for renewal. */
extern const char *msgtrace_token_cached(const MsgTraceCredential *credential);

/* Drop it: the service no longer takes it, or the caller wants a fresh one. */
extern void msgtrace_token_forget(const MsgTraceCredential *credential, const char *refused);

/*
 * The request that fetches one.  The form holds a secret or an assertion, which
 * is signed as of `now` and kept in the status; the caller wipes it.  NULL with
 * the reason in `status` when the certificate does not sign.
 */
extern char *msgtrace_token_url(const MsgTraceCredential *credential);
extern char *msgtrace_token_form(const MsgTraceCredential *credential, const char *token_url,
								 TimestampTz now, MsgTraceStatus *status);

/* Put the answer into the cache; false with the facts in `status` when it is a no. */
extern bool msgtrace_token_accept(const MsgTraceCredential *credential,
								  const MsgTraceHttpReply *reply, MsgTraceStatus *status);

#endif /* MSGTRACE_TOKEN_H */
