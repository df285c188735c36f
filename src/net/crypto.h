/*-------------------------------------------------------------------------
 *
 * crypto.h
 *		Cryptography: the only door to OpenSSL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CRYPTO_H
#define MSGTRACE_CRYPTO_H

#include "postgres.h"

#define MSGTRACE_DIGEST_LENGTH 32

typedef struct MsgTraceDigest
{
	uint8 bytes[MSGTRACE_DIGEST_LENGTH];
} MsgTraceDigest;

/*
 * SHA-256 over a list of strings, each ended by its NUL so that no two lists
 * run into one another.  False when OpenSSL refuses.
 */
extern bool msgtrace_digest(MsgTraceDigest *digest, const char *const *parts, int count);

#endif /* MSGTRACE_CRYPTO_H */
