/*-------------------------------------------------------------------------
 *
 * credential.c
 *		Who signs in where, for what, and with what proof.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/credential.h"

#include "net/base64.h"
#include "utils/palloc.h"

bool
msgtrace_credential_digest(MsgTraceDigest *digest, const MsgTraceCredential *credential)
{
	static const char *const kinds[] = {"secret", "certificate", "basic"};
	const char *parts[] = {
		kinds[credential->auth],	  credential->authority_url,	credential->tenant_id,
		credential->resource,		  credential->client_id,		credential->client_secret,
		credential->certificate_file, credential->private_key_file, credential->certificate_pem,
		credential->private_key_pem,  credential->passphrase,		credential->username,
		credential->password};

	return msgtrace_digest(digest, parts, lengthof(parts));
}

void
msgtrace_credential_hide(const MsgTraceCredential *credential, MsgTraceStatus *status)
{
	msgtrace_status_hide(status, credential->client_secret);
	msgtrace_status_hide(status, credential->private_key_pem);
	msgtrace_status_hide(status, credential->passphrase);
	msgtrace_status_hide(status, credential->password);
}

char *
msgtrace_credential_basic(const MsgTraceCredential *credential)
{
	char *plain = psprintf("%s:%s", credential->username, credential->password);
	char *encoded = msgtrace_base64(plain, strlen(plain));
	char *value = psprintf("Basic %s", encoded);

	explicit_bzero(plain, strlen(plain));
	explicit_bzero(encoded, strlen(encoded));
	pfree(plain);
	pfree(encoded);
	return value;
}

/* ---------------------------------------------------------------- wiping */

typedef struct WipeAtEnd
{
	char *secret;
	MemoryContextCallback callback;
} WipeAtEnd;

static void
wipe(void *arg)
{
	WipeAtEnd *wiping = arg;

	explicit_bzero(wiping->secret, strlen(wiping->secret));
}

void
msgtrace_credential_wipe_text_at_end(const char *secret)
{
	WipeAtEnd *wiping;

	if (secret == NULL)
		return;
	wiping = palloc0(sizeof(WipeAtEnd));
	wiping->secret = unconstify(char *, secret);
	wiping->callback.func = wipe;
	wiping->callback.arg = wiping;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &wiping->callback);
}

void
msgtrace_credential_wipe_at_end(const MsgTraceCredential *credential)
{
	msgtrace_credential_wipe_text_at_end(credential->client_secret);
	msgtrace_credential_wipe_text_at_end(credential->private_key_pem);
	msgtrace_credential_wipe_text_at_end(credential->passphrase);
	msgtrace_credential_wipe_text_at_end(credential->password);
}
