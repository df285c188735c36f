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

/* ------------------------------------------------------------- digests */

#define MSGTRACE_DIGEST_LENGTH 32

typedef struct MsgTraceDigest
{
	uint8 bytes[MSGTRACE_DIGEST_LENGTH];
} MsgTraceDigest;

/*
 * SHA-256 over a list of strings, each ended by its NUL so that no two lists
 * run into one another; NULL counts as "".  False when OpenSSL refuses.
 */
extern bool msgtrace_digest(MsgTraceDigest *digest, const char *const *parts, int count);

/* ---------------------------------------------------------- encryption */

#define MSGTRACE_KEY_LENGTH 32
#define MSGTRACE_NONCE_LENGTH 12
#define MSGTRACE_TAG_LENGTH 16

/*
 * AES-256-GCM.  `sealed` has room for the plain text and the tag behind it; the
 * associated text is not in it but must be the same when it is opened.  A nonce
 * serves one text only.
 */
extern bool msgtrace_seal(uint8 *sealed, const uint8 *key, const uint8 *nonce,
						  const char *associated, const uint8 *plain, size_t length);

/* The other way; false when key, associated text or bytes are not those of the seal. */
extern bool msgtrace_unseal(uint8 *plain, const uint8 *key, const uint8 *nonce,
							const char *associated, const uint8 *sealed, size_t length);

/* ---------------------------------------------------------- signatures */

/* Why a certificate and its key cannot sign. */
typedef enum MsgTraceSignerFault
{
	MSGTRACE_SIGNER_OK = 0,
	MSGTRACE_SIGNER_NO_CERTIFICATE, /* there is none in the text */
	MSGTRACE_SIGNER_NO_KEY,
	MSGTRACE_SIGNER_NEEDS_PASSPHRASE,
	MSGTRACE_SIGNER_WRONG_PASSPHRASE,
	MSGTRACE_SIGNER_NOT_RSA,
	MSGTRACE_SIGNER_KEY_DOES_NOT_FIT, /* it is another certificate's */
	MSGTRACE_SIGNER_BROKEN			  /* OpenSSL refuses */
} MsgTraceSignerFault;

/* A certificate with its private key. */
typedef struct MsgTraceSigner MsgTraceSigner;

/*
 * From PEM texts, which may be one and the same; the passphrase may be NULL.
 * Owned by the current memory context.  NULL with the reason in `fault`.
 */
extern MsgTraceSigner *msgtrace_signer_open(const char *certificate, const char *key,
											const char *passphrase, MsgTraceSignerFault *fault);
extern void msgtrace_signer_close(MsgTraceSigner *signer);

/* SHA-256 of the certificate's DER form, and when it is good, in seconds since 1970. */
extern bool msgtrace_signer_thumbprint(const MsgTraceSigner *signer, MsgTraceDigest *digest);
extern bool msgtrace_signer_period(const MsgTraceSigner *signer, int64 *from, int64 *to);

/* RSASSA-PSS with SHA-256 and a salt of its length; palloc'd, NULL when OpenSSL refuses. */
extern uint8 *msgtrace_signer_sign(const MsgTraceSigner *signer, const char *text, size_t *length);

/* ------------------------------------------------------- watching a peer */

/* A longer name is cut. */
#define MSGTRACE_PEER_NAME_SIZE 256

/* What the other side of a TLS connection showed of itself. */
typedef struct MsgTracePeer
{
	char subject[MSGTRACE_PEER_NAME_SIZE]; /* of its certificate; "" = it showed none */
	char issuer[MSGTRACE_PEER_NAME_SIZE];
	bool in_handshake;	   /* the handshake began and did not end */
	bool handshake_failed; /* TLS itself gave it up, not the connection below */
} MsgTracePeer;

/*
 * Have every connection made with this context (an SSL_CTX, which its owner
 * still sets up) note what it sees in `peer`, which must live as long.  What is
 * trusted does not change.  Does not throw, nor do the notes.
 */
extern void msgtrace_crypto_watch_peer(void *ssl_context, MsgTracePeer *peer);

/*
 * Let it trust the system's authorities, too: those in OpenSSL's folder, which is
 * read when it is needed, and in its file, which is read at once.
 */
extern void msgtrace_crypto_trust_system(void *ssl_context, bool with_file);

#endif /* MSGTRACE_CRYPTO_H */
