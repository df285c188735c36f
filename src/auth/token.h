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

#include "net/http.h"
#include "net/status.h"

/* Who signs in where, for what: OAuth 2.0 client credentials with a secret. */
typedef struct MsgTraceCredential
{
	const char *authority_url; /* sign-in host, e.g. https://login.microsoftonline.com */
	const char *tenant_id;	   /* directory id or domain */
	const char *resource;	   /* what the token is for */
	const char *client_id;
	const char *client_secret;
} MsgTraceCredential;

/* The cached token, or NULL when there is none or it is due for renewal. */
extern const char *msgtrace_token_cached(const MsgTraceCredential *credential);

/* Drop it: the service no longer takes it, or the caller wants a fresh one. */
extern void msgtrace_token_forget(const MsgTraceCredential *credential);

/* The request that fetches one. */
extern char *msgtrace_token_url(const MsgTraceCredential *credential);
extern char *msgtrace_token_form(const MsgTraceCredential *credential);

/* Put the answer into the cache; false with the facts in `status` when it is a no. */
extern bool msgtrace_token_accept(const MsgTraceCredential *credential,
								  const MsgTraceHttpReply *reply, MsgTraceStatus *status);

#endif /* MSGTRACE_TOKEN_H */
