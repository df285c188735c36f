/*-------------------------------------------------------------------------
 *
 * certificate.c
 *		Proof of who we are by a certificate: the signed assertion.
 *
 * An assertion is a JWT that the application signs with its private key, for one
 * token URL and a few minutes.  It stands in the place of a client secret and is
 * treated as one: wiped after use, never shown.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/certificate.h"

#include "auth/pem_file.h"
#include "net/base64.h"
#include "net/document.h"
#include "net/http_text.h"
#include "utils/palloc.h"
#include "utils/timestamp.h"

/* Entra wants 5 to 10 minutes. */
#define ASSERTION_SECONDS 480

/* The texts that a signer is made of. */
typedef struct PemTexts
{
	char *certificate;
	char *key; /* may be the same */
} PemTexts;

static void *
refuse(MsgTraceStatus *status, MsgTraceFault fault, const char *words)
{
	status->fault = fault;
	status->words = msgtrace_status_keep(status, words);
	return NULL;
}

static void
wipe_text(char *text)
{
	if (text)
	{
		explicit_bzero(text, strlen(text));
		pfree(text);
	}
}

static void
wipe_texts(PemTexts *texts)
{
	if (texts->key != texts->certificate)
		wipe_text(texts->key);
	wipe_text(texts->certificate);
}

static char *
read_file(const char *written, MsgTraceStatus *status)
{
	char *words = NULL;
	char *path = msgtrace_pem_file_path(written, &words);
	char *text = path ? msgtrace_pem_file_read(path, &words) : NULL;

	return text ? text : refuse(status, MSGTRACE_FILE_UNREADABLE, words);
}

static char *
read_text(const char *pem, const char *file, MsgTraceStatus *status)
{
	return pem ? pstrdup(pem) : read_file(file, status);
}

/* Without a key of its own the certificate's text has to have it. */
static bool
read_texts(PemTexts *texts, const MsgTraceCredential *credential, MsgTraceStatus *status)
{
	bool own_key = credential->private_key_pem || credential->private_key_file;

	texts->key = NULL;
	texts->certificate = read_text(credential->certificate_pem, credential->certificate_file,
								   status);
	if (texts->certificate == NULL)
		return false;
	texts->key = own_key
					 ? read_text(credential->private_key_pem, credential->private_key_file, status)
					 : texts->certificate;
	return texts->key != NULL;
}

static MsgTraceSigner *
refuse_signer(MsgTraceStatus *status, MsgTraceSignerFault fault)
{
	static const char *const words[] = {
		[MSGTRACE_SIGNER_NO_CERTIFICATE] = "there is no certificate in PEM form in it",
		[MSGTRACE_SIGNER_NO_KEY] = "there is no private key in PEM form that can be read",
		[MSGTRACE_SIGNER_NEEDS_PASSPHRASE] =
			"the private key is encrypted, and no passphrase is given",
		[MSGTRACE_SIGNER_WRONG_PASSPHRASE] = "the passphrase does not open the private key",
		[MSGTRACE_SIGNER_NOT_RSA] = "the private key is not an RSA key",
		[MSGTRACE_SIGNER_KEY_DOES_NOT_FIT] = "the private key is not the certificate's",
		[MSGTRACE_SIGNER_BROKEN] = "OpenSSL does not sign with it"};
	bool passphrase = fault == MSGTRACE_SIGNER_NEEDS_PASSPHRASE ||
					  fault == MSGTRACE_SIGNER_WRONG_PASSPHRASE;

	return refuse(status, passphrase ? MSGTRACE_KEY_LOCKED : MSGTRACE_CERTIFICATE_UNUSABLE,
				  words[fault]);
}

static TimestampTz
time_of_seconds(int64 seconds)
{
	return (seconds - ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)) * USECS_PER_SEC;
}

static int64
seconds_of_time(TimestampTz time)
{
	return time / USECS_PER_SEC + ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
}

/* The service would say no more than that it does not accept it. */
static bool
check_period(const MsgTraceSigner *signer, TimestampTz now, TimestampTz *expires,
			 MsgTraceStatus *status)
{
	int64 from;
	int64 to;

	if (!msgtrace_signer_period(signer, &from, &to))
		return refuse_signer(status, MSGTRACE_SIGNER_BROKEN) != NULL;
	*expires = time_of_seconds(to);
	if (now >= time_of_seconds(from) && now <= *expires)
		return true;
	refuse(status, MSGTRACE_CERTIFICATE_EXPIRED,
		   psprintf(now > *expires ? "the certificate expired at %s"
								   : "the certificate is not good before %s",
					timestamptz_to_str(now > *expires ? *expires : time_of_seconds(from))));
	return false;
}

/* The signer of a certificate that is good at this time, or NULL. */
static MsgTraceSigner *
open_signer(const MsgTraceCredential *credential, TimestampTz now, TimestampTz *expires,
			MsgTraceStatus *status)
{
	PemTexts texts;
	MsgTraceSignerFault fault = MSGTRACE_SIGNER_OK;
	MsgTraceSigner *signer = NULL;

	if (read_texts(&texts, credential, status))
	{
		signer = msgtrace_signer_open(texts.certificate, texts.key, credential->passphrase, &fault);
		if (signer == NULL)
			refuse_signer(status, fault);
	}
	wipe_texts(&texts);
	if (signer && !check_period(signer, now, expires, status))
	{
		msgtrace_signer_close(signer);
		signer = NULL;
	}
	return signer;
}

static char *
write_header(const MsgTraceSigner *signer)
{
	MsgTraceDigest thumbprint;
	MsgTraceMember members[] = {{"alg", "PS256", 0}, {"typ", "JWT", 0}, {"x5t#S256", NULL, 0}};

	if (!msgtrace_signer_thumbprint(signer, &thumbprint))
		return NULL;
	members[2].string = msgtrace_base64url(thumbprint.bytes, sizeof(thumbprint.bytes));
	return msgtrace_document_write(members, lengthof(members));
}

static char *
write_claims(const MsgTraceCredential *credential, const char *token_url, TimestampTz now)
{
	int64 seconds = seconds_of_time(now);
	char uuid[MSGTRACE_UUID_SIZE];
	MsgTraceMember members[] = {{"aud", token_url, 0},
								{"iss", credential->client_id, 0},
								{"sub", credential->client_id, 0},
								{"jti", uuid, 0},
								{"nbf", NULL, seconds},
								{"iat", NULL, seconds},
								{"exp", NULL, seconds + ASSERTION_SECONDS}};

	if (!msgtrace_http_new_uuid(uuid))
		return NULL;
	return msgtrace_document_write(members, lengthof(members));
}

static char *
sign(const MsgTraceSigner *signer, const char *header, const char *claims)
{
	char *signed_text = psprintf("%s.%s", msgtrace_base64url(header, strlen(header)),
								 msgtrace_base64url(claims, strlen(claims)));
	size_t length;
	uint8 *signature = msgtrace_signer_sign(signer, signed_text, &length);

	if (signature == NULL)
		return NULL;
	return psprintf("%s.%s", signed_text, msgtrace_base64url(signature, length));
}

char *
msgtrace_certificate_assertion(const MsgTraceCredential *credential, const char *token_url,
							   TimestampTz now, MsgTraceStatus *status)
{
	TimestampTz expires;
	MsgTraceSigner *signer = open_signer(credential, now, &expires, status);
	char *header;
	char *claims;
	char *assertion;

	if (signer == NULL)
		return NULL;
	header = write_header(signer);
	claims = write_claims(credential, token_url, now);
	assertion = header && claims ? sign(signer, header, claims) : NULL;
	msgtrace_signer_close(signer);
	if (assertion == NULL)
		refuse_signer(status, MSGTRACE_SIGNER_BROKEN);
	return assertion;
}

bool
msgtrace_certificate_check(const MsgTraceCredential *credential, TimestampTz now,
						   TimestampTz *expires, MsgTraceStatus *status)
{
	MsgTraceSigner *signer = open_signer(credential, now, expires, status);

	msgtrace_signer_close(signer);
	return signer != NULL;
}
