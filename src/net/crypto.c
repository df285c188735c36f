/*-------------------------------------------------------------------------
 *
 * crypto.c
 *		Cryptography, by OpenSSL.
 *
 *-------------------------------------------------------------------------
 */
#include "net/crypto.h"

#include <openssl/evp.h>

static bool
digest_parts(EVP_MD_CTX *context, MsgTraceDigest *digest, const char *const *parts, int count)
{
	if (!EVP_DigestInit_ex(context, EVP_sha256(), NULL))
		return false;
	for (int i = 0; i < count; i++)
	{
		if (!EVP_DigestUpdate(context, parts[i], strlen(parts[i]) + 1))
			return false;
	}
	return EVP_DigestFinal_ex(context, digest->bytes, NULL) == 1;
}

bool
msgtrace_digest(MsgTraceDigest *digest, const char *const *parts, int count)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = context && digest_parts(context, digest, parts, count);

	EVP_MD_CTX_free(context);
	return done;
}
