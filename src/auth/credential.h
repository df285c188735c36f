/*-------------------------------------------------------------------------
 *
 * credential.h
 *		Who signs in where, for what, and with what proof.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CREDENTIAL_H
#define MSGTRACE_CREDENTIAL_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "net/crypto.h"
#include "net/status.h"

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
	TimestampTz secrets_expire; /* the first of the stored secrets used; 0 = none does */
} MsgTraceCredential;

/*
 * A digest of everything that a token depends on, the secrets included; false
 * when OpenSSL refuses.
 */
extern bool msgtrace_credential_digest(MsgTraceDigest *digest,
									   const MsgTraceCredential *credential);

/* Let the status know every secret, so that it shows none that the other side repeats. */
extern void msgtrace_credential_hide(const MsgTraceCredential *credential, MsgTraceStatus *status);

/* What stands behind "Authorization: " in basic sign-in.  The caller wipes it. */
extern char *msgtrace_credential_basic(const MsgTraceCredential *credential);

/* Overwrite a secret, or NULL, when the current memory context ends, which it is in. */
extern void msgtrace_credential_wipe_text_at_end(const char *secret);

/* Likewise all that the credential has by now. */
extern void msgtrace_credential_wipe_at_end(const MsgTraceCredential *credential);

#endif /* MSGTRACE_CREDENTIAL_H */
