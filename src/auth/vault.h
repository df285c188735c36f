/*-------------------------------------------------------------------------
 *
 * vault.h
 *		Keys that lie in a file, and what is sealed with them.
 *
 * The key file is a text file: a first line that says what it is, then one line
 * for each key, newest first.  New secrets are sealed with the newest.  The older
 * ones open what has not been sealed anew yet: in other databases of the server,
 * on a standby that has not replayed it, or after a crash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_VAULT_H
#define MSGTRACE_VAULT_H

#include "postgres.h"

#include "net/crypto.h"

#define MSGTRACE_MAX_KEYS 8

/* Hexadecimal digits of a key's fingerprint, and their NUL. */
#define MSGTRACE_FINGERPRINT_SIZE 17

typedef struct MsgTraceKey
{
	uint8 bytes[MSGTRACE_KEY_LENGTH];
	char fingerprint[MSGTRACE_FINGERPRINT_SIZE];
} MsgTraceKey;

typedef struct MsgTraceKeyRing
{
	int count;
	MsgTraceKey keys[MSGTRACE_MAX_KEYS]; /* newest first */
} MsgTraceKeyRing;

typedef enum MsgTraceVaultResult
{
	MSGTRACE_VAULT_OK,
	MSGTRACE_VAULT_MISSING,	   /* there is no such file */
	MSGTRACE_VAULT_UNREADABLE, /* errno tells why */
	MSGTRACE_VAULT_EXPOSED,	   /* open to others, or another account's */
	MSGTRACE_VAULT_MALFORMED,  /* not what we write */
	MSGTRACE_VAULT_FAILED	   /* it cannot be written: errno; or there is no randomness: 0 */
} MsgTraceVaultResult;

/* Read the file.  The caller wipes the ring, whatever the result. */
extern MsgTraceVaultResult msgtrace_vault_read(MsgTraceKeyRing *ring, const char *path);

/* Put the ring into the file's place, durably and at once. */
extern MsgTraceVaultResult msgtrace_vault_write(const MsgTraceKeyRing *ring, const char *path);

/* Make a new key, the ring's first.  The ring must have room. */
extern bool msgtrace_vault_add_key(MsgTraceKeyRing *ring);

/* Drop the key of this fingerprint from the ring; false when it is not there. */
extern bool msgtrace_vault_drop_key(MsgTraceKeyRing *ring, const char *fingerprint);

/* The key of this fingerprint, or NULL. */
extern const MsgTraceKey *msgtrace_vault_find(const MsgTraceKeyRing *ring, const char *fingerprint);

extern void msgtrace_vault_wipe(MsgTraceKeyRing *ring);

/*
 * Seal a text under a name; palloc'd, with its length.  NULL when OpenSSL refuses
 * or there is no randomness.
 */
extern uint8 *msgtrace_vault_seal(const MsgTraceKey *key, const char *name, const char *text,
								  size_t *length);

/* Open it: palloc'd, for the caller to wipe; NULL when it is not what was sealed. */
extern char *msgtrace_vault_open(const MsgTraceKey *key, const char *name, const uint8 *sealed,
								 size_t length);

#endif /* MSGTRACE_VAULT_H */
