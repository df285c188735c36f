/*-------------------------------------------------------------------------
 *
 * secrets.h
 *		Stored secrets: who may use which, for which host, and their values.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SECRETS_H
#define MSGTRACE_SECRETS_H

#include "postgres.h"

#include "auth/credential.h"
#include "auth/vault.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/array.h"

/* The stored secrets that a user mapping names; NULL where it names none. */
typedef struct MsgTraceSecretNames
{
	const char *secret_name; /* client secret, or password */
	const char *certificate_secret;
	const char *private_key_secret;
	const char *passphrase_secret;
} MsgTraceSecretNames;

/*
 * Fill the credential with the values of the secrets named, after a check that
 * this user's scans may use them and that they may be sent to the host of
 * `target_url`.  An error says what is in the way.  Reads only: it works on a
 * standby.
 */
extern void msgtrace_secrets_resolve(MsgTraceCredential *credential,
									 const MsgTraceSecretNames *names, const char *target_url,
									 Oid user_id);

/* ------------------------------------------- for those who change them */

/* A row of the table, as last committed or changed by ourselves. */
typedef struct MsgTraceSecret
{
	char *name;
	char *owner;
	bytea *sealed;
	char *fingerprint;	 /* of its key */
	char *username;		 /* or NULL */
	ArrayType *hosts;	 /* of text */
	TimestampTz expires; /* 0 = never */
} MsgTraceSecret;

extern Oid msgtrace_secrets_table(void);

/* Of this name, or NULL. */
extern MsgTraceSecret *msgtrace_secrets_find(const char *name);

/* All of the database, as pointers. */
extern List *msgtrace_secrets_all(void);

/* Where the key file is. */
extern char *msgtrace_secrets_key_path(void);

/* Read the key file, if there is one; an error unless it is as it should be. */
extern bool msgtrace_secrets_have_keys(MsgTraceKeyRing *ring);

/* The same, but there must be one; an error unless it is as it should be.  The caller wipes the ring. */
extern void msgtrace_secrets_read_keys(MsgTraceKeyRing *ring);

/* The key that opens a secret; an error when the ring has it not. */
extern const MsgTraceKey *msgtrace_secrets_key_of(const MsgTraceKeyRing *ring,
												  const MsgTraceSecret *secret);

/* Its value, which the caller wipes. */
extern char *msgtrace_secrets_open(const MsgTraceKey *key, const MsgTraceSecret *secret);

#endif /* MSGTRACE_SECRETS_H */
