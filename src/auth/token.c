/*-------------------------------------------------------------------------
 *
 * token.c
 *		Access tokens of Entra ID (client credentials grant).
 *
 * All scans of a backend share the tokens.  An entry is found by a digest of
 * everything that the token depends on, the secret included: a changed mapping
 * or server finds no entry and signs in anew, and the cache holds no secret.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/token.h"

#include "auth/certificate.h"
#include "net/document.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A token is renewed this long before its end, or in the last quarter of it. */
#define RENEWAL_MARGIN_SECONDS 300

/* Microsoft's tokens live 60 to 90 minutes; nothing believes in more than a day. */
#define MAX_LIFETIME_SECONDS 86400

#define ASSERTION_TYPE \
	"client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"

typedef struct CachedToken
{
	MsgTraceDigest key;
	char *value;		  /* in TopMemoryContext, or NULL */
	TimestampTz renew_at; /* our clock */
} CachedToken;

static HTAB *tokens = NULL;

static void
wipe(char *secret)
{
	if (secret)
	{
		explicit_bzero(secret, strlen(secret));
		pfree(secret);
	}
}

static void
drop_value(CachedToken *token)
{
	char *value = token->value;

	token->value = NULL;
	wipe(value);
}

/* NULL when OpenSSL refuses to digest: then nothing is cached. */
static CachedToken *
entry_of(const MsgTraceCredential *credential)
{
	MsgTraceDigest key;
	CachedToken *token;
	bool found;

	if (tokens == NULL)
	{
		HASHCTL ctl = {.keysize = sizeof(MsgTraceDigest), .entrysize = sizeof(CachedToken)};

		tokens = hash_create("o365_msgtrace tokens", 8, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	if (!msgtrace_credential_digest(&key, credential))
		return NULL;
	token = hash_search(tokens, &key, HASH_ENTER, &found);
	if (!found)
		token->value = NULL;
	return token;
}

const char *
msgtrace_token_cached(const MsgTraceCredential *credential)
{
	CachedToken *token = entry_of(credential);

	if (token && token->value && token->renew_at <= GetCurrentTimestamp())
		drop_value(token);
	return token ? token->value : NULL;
}

void
msgtrace_token_forget(const MsgTraceCredential *credential, const char *refused)
{
	CachedToken *token = entry_of(credential);

	if (token && token->value && (refused == NULL || strcmp(token->value, refused) == 0))
		drop_value(token);
}

char *
msgtrace_token_url(const MsgTraceCredential *credential)
{
	char *tenant = msgtrace_http_escape(credential->tenant_id);
	const char *authority = credential->authority_url;
	int length = (int) strlen(authority);
	char *url;

	if (length > 0 && authority[length - 1] == '/')
		length--;
	url = psprintf("%.*s/%s/oauth2/v2.0/token", length, authority, tenant);
	pfree(tenant);
	return url;
}

static char *
form_of(const MsgTraceCredential *credential, const char *proof)
{
	char *id = msgtrace_http_escape(credential->client_id);
	char *resource = msgtrace_http_escape(credential->resource);
	char *form = psprintf("grant_type=client_credentials&client_id=%s&scope=%s%%2F.default&%s", id,
						  resource, proof);

	pfree(id);
	pfree(resource);
	return form;
}

/* The status keeps the assertion, should the other side repeat it. */
static void
note_assertion(MsgTraceStatus *status, const char *assertion)
{
	wipe(unconstify(char *, status->assertion));
	status->assertion = MemoryContextStrdup(status->context, assertion);
}

char *
msgtrace_token_form(const MsgTraceCredential *credential, const char *token_url, TimestampTz now,
					MsgTraceStatus *status)
{
	char *value;
	char *proof;
	char *form;

	if (credential->auth == MSGTRACE_AUTH_CERTIFICATE)
	{
		value = msgtrace_certificate_assertion(credential, token_url, now, status);
		if (value == NULL)
			return NULL;
		note_assertion(status, value);
		proof = psprintf("%s&client_assertion=%s", ASSERTION_TYPE, value); /* base64url and dots */
	}
	else
	{
		value = msgtrace_http_escape(credential->client_secret);
		proof = psprintf("client_secret=%s", value);
	}
	form = form_of(credential, proof);
	wipe(value);
	wipe(proof);
	return form;
}

static int
entra_code_in(const char *words)
{
	const char *code = words ? strstr(words, "AADSTS") : NULL;

	return code ? (int) strtol(code + strlen("AADSTS"), NULL, 10) : 0;
}

static void
note_refusal(const MsgTraceHttpReply *reply, MsgTraceStatus *status)
{
	MsgTraceDocument *document = msgtrace_document_read(reply->body, reply->length);
	char *words = NULL;

	if (document)
	{
		words = msgtrace_status_keep(status,
									 msgtrace_document_string(document, "error_description"));
		status->code = msgtrace_status_keep(status, msgtrace_document_string(document, "error"));
		msgtrace_status_keep_request_id(status, msgtrace_document_string(document, "trace_id"));
	}
	else
		words = msgtrace_status_keep(status, reply->body);
	status->words = words;
	status->entra_code = entra_code_in(words);
	status->http_status = reply->http_status;
	msgtrace_document_free(document);
}

/* Of mappings, servers and secrets that have since been changed, nobody asks again. */
static void
drop_outdated(void)
{
	HASH_SEQ_STATUS scan;
	CachedToken *token;

	if (tokens == NULL)
		return;
	hash_seq_init(&scan, tokens);
	while ((token = hash_seq_search(&scan)) != NULL)
	{
		if (token->value && token->renew_at > GetCurrentTimestamp())
			continue;
		drop_value(token);
		(void) hash_search(tokens, &token->key, HASH_REMOVE, NULL);
	}
}

static bool
store(const MsgTraceCredential *credential, const char *value, int64 lifetime)
{
	CachedToken *token;
	char *copy;

	drop_outdated();
	token = entry_of(credential);
	if (token == NULL)
		return false;
	copy = MemoryContextStrdup(TopMemoryContext, value);
	drop_value(token);
	token->value = copy;
	lifetime = Min(Max(lifetime, 0), MAX_LIFETIME_SECONDS);
	lifetime -= Min(RENEWAL_MARGIN_SECONDS, lifetime / 4);
	/* a token just issued serves at least the request that it was issued for */
	token->renew_at = GetCurrentTimestamp() + Max(lifetime, 1) * USECS_PER_SEC;
	return true;
}

/* A token goes into a header line: a line end in it would start another. */
static bool
is_header_safe(const char *token)
{
	for (; *token; token++)
	{
		if (*token <= ' ' || *token >= 0x7f)
			return false;
	}
	return true;
}

static MsgTraceFault
fault_of_refusal(int http_status)
{
	if (http_status == 429)
		return MSGTRACE_THROTTLED;
	return http_status >= 500 ? MSGTRACE_UNAVAILABLE : MSGTRACE_SIGN_IN_REFUSED;
}

bool
msgtrace_token_accept(const MsgTraceCredential *credential, const MsgTraceHttpReply *reply,
					  MsgTraceStatus *status)
{
	MsgTraceDocument *document;
	const char *value;
	int64 lifetime;
	bool usable;

	if (reply->http_status != 200)
	{
		status->fault = fault_of_refusal(reply->http_status);
		note_refusal(reply, status);
		return false;
	}
	document = msgtrace_document_read(reply->body, reply->length);
	value = document ? msgtrace_document_string(document, "access_token") : NULL;
	usable = value && *value && is_header_safe(value) &&
			 msgtrace_document_integer(document, "expires_in", &lifetime);
	if (!usable)
	{
		status->fault = MSGTRACE_UNREADABLE;
		status->http_status = reply->http_status;
		status->words = document ? "no access_token or expires_in in it"
								 : "the body is no JSON object";
	}
	else if (!store(credential, value, lifetime))
	{
		status->fault = MSGTRACE_NO_CLIENT;
		status->words = "OpenSSL computes no SHA-256 digest";
	}
	msgtrace_document_free(document);
	return status->fault == MSGTRACE_OK;
}
