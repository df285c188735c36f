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

/* Who signs in where, for what, and with what proof. */
typedef enum MsgTraceAuth
{
	MSGTRACE_AUTH_SECRET,	   /* OAuth 2.0 client credentials with a secret */
	MSGTRACE_AUTH_CERTIFICATE, /* the same with a signed assertion */
	MSGTRACE_AUTH_BASIC		   /* user name and password, without a token */
} MsgTraceAuth;

typedef struct MsgTraceCredential
{
	MsgTraceAuth auth;
	const char *authority_url; /* sign-in host, e.g. https://login.microsoftonline.com */
	const char *tenant_id;	   /* directory id or domain; may be NULL for basic */
	const char *resource;	   /* what the token is for */
	const char *client_id;
	const char *client_secret;
	const char *certificate_file; /* as written, $VARIABLES unexpanded; NULL = PEM below */
	const char *private_key_file; /* likewise */
	const char *certificate_pem;  /* of a stored secret, or NULL */
	const char *private_key_pem;  /* likewise; NULL in both = in the certificate's text */
	const char *passphrase;		  /* of the private key, or NULL */
	const char *username;		  /* basic */
	const char *password;
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
