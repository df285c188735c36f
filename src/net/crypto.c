/*-------------------------------------------------------------------------
 *
 * crypto.c
 *		Cryptography, by OpenSSL.
 *
 * Nothing here raises an error while OpenSSL is at work: what it needs of memory
 * is had before, and what it holds is given back by a context's reset callback.
 *
 *-------------------------------------------------------------------------
 */
#include "net/crypto.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <time.h>

#include "utils/palloc.h"

/* ------------------------------------------------------------- digests */

static bool
digest_parts(EVP_MD_CTX *context, MsgTraceDigest *digest, const char *const *parts, int count)
{
	if (!EVP_DigestInit_ex(context, EVP_sha256(), NULL))
		return false;
	for (int i = 0; i < count; i++)
	{
		const char *part = parts[i] ? parts[i] : "";

		if (!EVP_DigestUpdate(context, part, strlen(part) + 1))
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

/* ---------------------------------------------------------- encryption */

/* Set the key, the nonce and the associated text. */
static bool
start_cipher(EVP_CIPHER_CTX *context, const uint8 *key, const uint8 *nonce, const char *associated,
			 bool encrypt)
{
	int ignored;

	return EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) == 1 &&
		   EVP_CipherUpdate(context, NULL, &ignored, (const unsigned char *) associated,
							(int) strlen(associated)) == 1;
}

static bool
run_cipher(EVP_CIPHER_CTX *context, uint8 *out, const uint8 *in, size_t length)
{
	int done = 0;

	return EVP_CipherUpdate(context, out, &done, in, (int) length) == 1 && done == (int) length &&
		   EVP_CipherFinal_ex(context, out + done, &done) == 1;
}

bool
msgtrace_seal(uint8 *sealed, const uint8 *key, const uint8 *nonce, const char *associated,
			  const uint8 *plain, size_t length)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	bool done = context && start_cipher(context, key, nonce, associated, true) &&
				run_cipher(context, sealed, plain, length) &&
				EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, MSGTRACE_TAG_LENGTH,
									sealed + length) == 1;

	EVP_CIPHER_CTX_free(context);
	ERR_clear_error();
	return done;
}

bool
msgtrace_unseal(uint8 *plain, const uint8 *key, const uint8 *nonce, const char *associated,
				const uint8 *sealed, size_t length)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	bool done = context && start_cipher(context, key, nonce, associated, false) &&
				EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, MSGTRACE_TAG_LENGTH,
									unconstify(uint8 *, sealed) + length) == 1 &&
				run_cipher(context, plain, sealed, length);

	EVP_CIPHER_CTX_free(context);
	ERR_clear_error();
	if (!done)
		explicit_bzero(plain, length); /* what came out before the tag was found wrong */
	return done;
}

/* ---------------------------------------------------------- signatures */

struct MsgTraceSigner
{
	X509 *certificate;
	EVP_PKEY *key;
	MemoryContextCallback release;
};

static void
release_signer(void *arg)
{
	MsgTraceSigner *signer = arg;

	X509_free(signer->certificate); /* ignores NULL, as the other does */
	EVP_PKEY_free(signer->key);
	signer->certificate = NULL;
	signer->key = NULL;
}

/* Passed through OpenSSL to the function that it asks for the passphrase. */
typedef struct PassphraseRequest
{
	const char *passphrase; /* or NULL */
	bool asked;
} PassphraseRequest;

static int
give_passphrase(char *buffer, int size, int writing, void *arg)
{
	PassphraseRequest *request = arg;
	size_t length;

	(void) writing;
	request->asked = true;
	length = request->passphrase ? strlen(request->passphrase) : 0;
	if (length == 0 || length > (size_t) size)
		return -1; /* without a function OpenSSL would ask the terminal */
	memcpy(buffer, request->passphrase, length);
	return (int) length;
}

static X509 *
read_certificate(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return certificate;
}

static EVP_PKEY *
read_key(const char *text, PassphraseRequest *request)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, request) : NULL;

	BIO_free(bio);
	return key;
}

static MsgTraceSignerFault
load_signer(MsgTraceSigner *signer, const char *certificate, const char *key,
			const char *passphrase)
{
	PassphraseRequest request = {passphrase, false};

	signer->certificate = read_certificate(certificate);
	if (signer->certificate == NULL)
		return MSGTRACE_SIGNER_NO_CERTIFICATE;
	signer->key = read_key(key, &request);
	if (signer->key == NULL && request.asked)
		return passphrase ? MSGTRACE_SIGNER_WRONG_PASSPHRASE : MSGTRACE_SIGNER_NEEDS_PASSPHRASE;
	if (signer->key == NULL)
		return MSGTRACE_SIGNER_NO_KEY;
	if (EVP_PKEY_base_id(signer->key) != EVP_PKEY_RSA)
		return MSGTRACE_SIGNER_NOT_RSA;
	if (X509_check_private_key(signer->certificate, signer->key) != 1)
		return MSGTRACE_SIGNER_KEY_DOES_NOT_FIT;
	return MSGTRACE_SIGNER_OK;
}

MsgTraceSigner *
msgtrace_signer_open(const char *certificate, const char *key, const char *passphrase,
					 MsgTraceSignerFault *fault)
{
	MsgTraceSigner *signer = palloc0(sizeof(MsgTraceSigner));

	signer->release.func = release_signer;
	signer->release.arg = signer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &signer->release);

	*fault = load_signer(signer, certificate, key, passphrase);
	ERR_clear_error();
	if (*fault == MSGTRACE_SIGNER_OK)
		return signer;
	release_signer(signer);
	return NULL;
}

/* Gives OpenSSL's memory back early; the context would do it later. */
void
msgtrace_signer_close(MsgTraceSigner *signer)
{
	if (signer)
		release_signer(signer);
}

bool
msgtrace_signer_thumbprint(const MsgTraceSigner *signer, MsgTraceDigest *digest)
{
	unsigned int length = 0;

	return X509_digest(signer->certificate, EVP_sha256(), digest->bytes, &length) == 1 &&
		   length == MSGTRACE_DIGEST_LENGTH;
}

static bool
read_time(const ASN1_TIME *time, int64 *seconds)
{
	struct tm parts;

	if (ASN1_TIME_to_tm(time, &parts) != 1)
		return false;
	*seconds = timegm(&parts);
	return true;
}

bool
msgtrace_signer_period(const MsgTraceSigner *signer, int64 *from, int64 *to)
{
	return read_time(X509_get0_notBefore(signer->certificate), from) &&
		   read_time(X509_get0_notAfter(signer->certificate), to);
}

static bool
set_up_pss(EVP_MD_CTX *context, EVP_PKEY *key)
{
	EVP_PKEY_CTX *parameters;

	return EVP_DigestSignInit(context, &parameters, EVP_sha256(), NULL, key) == 1 &&
		   EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
		   EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) == 1;
}

uint8 *
msgtrace_signer_sign(const MsgTraceSigner *signer, const char *text, size_t *length)
{
	uint8 *signature = palloc(EVP_PKEY_size(signer->key));
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done;

	*length = (size_t) EVP_PKEY_size(signer->key);
	done = context && set_up_pss(context, signer->key) &&
		   EVP_DigestSign(context, signature, length, (const unsigned char *) text, strlen(text)) ==
			   1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return done ? signature : NULL;
}

/* ------------------------------------------------------- watching a peer */

/* Where an SSL_CTX keeps its MsgTracePeer; -1 as long as there is no such place. */
static int peer_index = -1;

static void
copy_name(char *copy, X509_NAME *name)
{
	BIO *text = BIO_new(BIO_s_mem());
	int length = 0;

	if (text && name &&
		X509_NAME_print_ex(text, name, 0,
						   XN_FLAG_SEP_CPLUS_SPC | ASN1_STRFLGS_ESC_CTRL |
							   ASN1_STRFLGS_UTF8_CONVERT) >= 0)
		length = BIO_read(text, copy, MSGTRACE_PEER_NAME_SIZE - 1);
	copy[Max(length, 0)] = '\0';
	BIO_free(text);
}

static MsgTracePeer *
peer_of(const SSL *ssl)
{
	return ssl ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), peer_index) : NULL;
}

/* Asked of each certificate of the chain, whether it is good or not. */
static int
on_verify(int good, X509_STORE_CTX *chain)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
	MsgTracePeer *peer = peer_of(ssl);
	X509 *certificate = X509_STORE_CTX_get0_cert(chain);

	if (peer && certificate)
	{
		copy_name(peer->subject, X509_get_subject_name(certificate));
		copy_name(peer->issuer, X509_get_issuer_name(certificate));
	}
	return good;
}

/*
 * A handshake that fails leaves the reason in OpenSSL's queue, unless the
 * connection broke off, which is no opinion about certificates.
 */
static void
on_handshake(const SSL *ssl, int where, int result)
{
	MsgTracePeer *peer = peer_of(ssl);
	unsigned long reason;

	if (peer == NULL)
		return;
	if (where & SSL_CB_HANDSHAKE_START)
		peer->in_handshake = true;
	if (where & SSL_CB_HANDSHAKE_DONE)
		peer->in_handshake = false;
	if ((where & SSL_CB_EXIT) && result <= 0)
	{
		reason = ERR_peek_last_error();
		peer->handshake_failed = reason != 0;
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
		if (ERR_GET_REASON(reason) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			peer->handshake_failed = false;
#endif
	}
}

void
msgtrace_crypto_watch_peer(void *ssl_context, MsgTracePeer *peer)
{
	SSL_CTX *context = ssl_context;

	if (peer_index < 0)
		peer_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (peer_index < 0 || !SSL_CTX_set_ex_data(context, peer_index, peer))
		return;
	SSL_CTX_set_verify(context, SSL_CTX_get_verify_mode(context), on_verify);
	SSL_CTX_set_info_callback(context, on_handshake);
}

void
msgtrace_crypto_trust_system(void *ssl_context, bool with_file)
{
	SSL_CTX_set_default_verify_dir(ssl_context);
	if (with_file)
		SSL_CTX_set_default_verify_file(ssl_context);
}
