/*
 * certificates.c
 *	  The certificates by which applications may sign in, and their signatures.
 *
 * The one file that knows GnuTLS: another implementation than the one that the
 * client signs with, so that what both do wrong alike does not pass.
 */
#include "certificates.h"

#include "options.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_CERTIFICATES 256
#define SHA1_SIZE 20
#define SHA256_SIZE 32

typedef struct Certificate
{
	char client[64];			   /* the application that it is registered with */
	unsigned char sha1[SHA1_SIZE]; /* of the DER form, as is the other */
	unsigned char sha256[SHA256_SIZE];
	Tick expires;
	gnutls_pubkey_t key;
} Certificate;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Certificate registered[MAX_CERTIFICATES]; /* guarded by lock, as is the count */
static size_t count;
static char *first_pem; /* the command line's, or NULL */

/* ---- reading ---- */

static bool
read_certificate(gnutls_x509_crt_t from, Certificate *out)
{
	size_t sha1_size = SHA1_SIZE;
	size_t sha256_size = SHA256_SIZE;

	if (gnutls_x509_crt_get_fingerprint(from, GNUTLS_DIG_SHA1, out->sha1, &sha1_size) != 0 ||
		gnutls_x509_crt_get_fingerprint(from, GNUTLS_DIG_SHA256, out->sha256, &sha256_size) != 0)
		return false;
	out->expires = (Tick) gnutls_x509_crt_get_expiration_time(from) * TICKS_PER_SECOND;
	if (gnutls_pubkey_init(&out->key) != 0)
		return false;
	if (gnutls_pubkey_import_x509(out->key, from, 0) == 0)
		return true;
	gnutls_pubkey_deinit(out->key);
	return false;
}

/* The first certificate of a PEM text. */
static bool
parse_pem(const char *pem, Certificate *out)
{
	gnutls_datum_t text = {(unsigned char *) pem, (unsigned) strlen(pem)};
	gnutls_x509_crt_t parsed;
	bool good;

	memset(out, 0, sizeof(*out));
	if (gnutls_x509_crt_init(&parsed) != 0)
		return false;
	good = gnutls_x509_crt_import(parsed, &text, GNUTLS_X509_FMT_PEM) == 0 &&
		   read_certificate(parsed, out);
	gnutls_x509_crt_deinit(parsed);
	return good;
}

/* ---- the list ---- */

/* Caller holds the lock, here and in the next two. */
static void
remove_at(size_t i)
{
	gnutls_pubkey_deinit(registered[i].key);
	registered[i] = registered[--count];
}

static void
unregister(const Certificate *like)
{
	for (size_t i = count; i-- > 0;)
		if (strcasecmp(registered[i].client, like->client) == 0 &&
			memcmp(registered[i].sha256, like->sha256, SHA256_SIZE) == 0)
			remove_at(i);
}

/* Takes over the certificate's key. */
static bool
change(Certificate *certificate, bool add)
{
	unregister(certificate);
	if (add && count < MAX_CERTIFICATES)
	{
		registered[count++] = *certificate;
		return true;
	}
	gnutls_pubkey_deinit(certificate->key);
	return !add;
}

static bool
change_pem(const char *client, const char *pem, bool add)
{
	Certificate certificate;
	bool good;

	if (!parse_pem(pem, &certificate))
		return false;
	snprintf(certificate.client, sizeof(certificate.client), "%s", client);
	pthread_mutex_lock(&lock);
	good = change(&certificate, add);
	pthread_mutex_unlock(&lock);
	return good;
}

/*
 * Reads the command line's certificate; on false the reason has been printed.
 */
bool
certificates_load(const char *file)
{
	Certificate certificate;
	gnutls_datum_t text = {NULL, 0};

	if (gnutls_load_file(file, &text) != 0)
	{
		perror(file);
		return false;
	}
	first_pem = strndup((const char *) text.data, text.size);
	gnutls_free(text.data);
	if (first_pem == NULL || !parse_pem(first_pem, &certificate))
	{
		fprintf(stderr, "msgtrace-service: %s holds no PEM certificate\n", file);
		return false;
	}
	gnutls_pubkey_deinit(certificate.key);
	return true;
}

void
certificates_clear(void)
{
	pthread_mutex_lock(&lock);
	while (count > 0)
		remove_at(count - 1);
	pthread_mutex_unlock(&lock);
}

/*
 * As after the start.
 */
void
certificates_reset(void)
{
	certificates_clear();
	if (first_pem)
		change_pem(options_get()->client_id, first_pem, true);
}

/*
 * Registers the certificate of {"certificate":PEM}, or takes it away when
 * "registered" is false; "client" is the application if not the first one.
 */
bool
certificates_post(const char *json, size_t length, Buffer *error)
{
	json_t *document = json_loadb(json, length, 0, NULL);
	const char *pem = json_string_value(json_object_get(document, "certificate"));
	const char *client = json_string_value(json_object_get(document, "client"));
	const json_t *wanted = json_object_get(document, "registered");
	bool good;

	good = pem && change_pem(client ? client : options_get()->client_id, pem,
							 wanted == NULL || json_is_true(wanted));
	if (!good)
		buffer_add_text(error, "an object with a PEM text \"certificate\" is expected");
	json_decref(document);
	return good;
}

/* ---- signatures ---- */

static const Certificate *
find(const char *client, const Buffer *thumbprint)
{
	for (size_t i = 0; i < count; i++)
	{
		const Certificate *one = &registered[i];

		if (strcasecmp(one->client, client) != 0)
			continue;
		if ((thumbprint->length == SHA256_SIZE &&
			 memcmp(thumbprint->data, one->sha256, SHA256_SIZE) == 0) ||
			(thumbprint->length == SHA1_SIZE &&
			 memcmp(thumbprint->data, one->sha1, SHA1_SIZE) == 0))
			return one;
	}
	return NULL;
}

static bool
verify(const Certificate *certificate, SignatureForm form, const char *text, size_t length,
	   const Buffer *signature)
{
	gnutls_datum_t data = {(unsigned char *) text, (unsigned) length};
	gnutls_datum_t proof = {(unsigned char *) signature->data, (unsigned) signature->length};

	return gnutls_pubkey_verify_data2(certificate->key,
									  form == SIGNATURE_PS256 ? GNUTLS_SIGN_RSA_PSS_RSAE_SHA256
															  : GNUTLS_SIGN_RSA_SHA256,
									  0, &data, &proof) >= 0;
}

/*
 * What is to be thought of a signature by the certificate that a client names by
 * its thumbprint (the length tells SHA-1 from SHA-256).
 */
SignatureVerdict
certificates_verify(const char *client, const Buffer *thumbprint, SignatureForm form, Tick now,
					const char *text, size_t length, const Buffer *signature)
{
	SignatureVerdict verdict = SIGNATURE_GOOD;
	const Certificate *certificate;

	pthread_mutex_lock(&lock);
	certificate = find(client, thumbprint);
	if (certificate == NULL)
		verdict = SIGNATURE_UNKNOWN;
	else if (certificate->expires <= now)
		verdict = SIGNATURE_EXPIRED;
	else if (!verify(certificate, form, text, length, signature))
		verdict = SIGNATURE_WRONG;
	pthread_mutex_unlock(&lock);
	return verdict;
}
