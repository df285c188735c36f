/*
 * certificates.h
 *	  The certificates by which applications may sign in, and their signatures.
 */
#ifndef CERTIFICATES_H
#define CERTIFICATES_H

#include "buffer.h"
#include "moment.h"

typedef enum SignatureForm
{
	SIGNATURE_PS256, /* RSASSA-PSS */
	SIGNATURE_RS256	 /* RSASSA-PKCS1-v1_5 */
} SignatureForm;

typedef enum SignatureVerdict
{
	SIGNATURE_GOOD,
	SIGNATURE_UNKNOWN, /* no such certificate is registered */
	SIGNATURE_EXPIRED, /* the certificate is over */
	SIGNATURE_WRONG
} SignatureVerdict;

extern bool certificates_load(const char *file);
extern void certificates_reset(void);
extern bool certificates_post(const char *json, size_t length, Buffer *error);
extern void certificates_clear(void);
extern SignatureVerdict certificates_verify(const char *client, const Buffer *thumbprint,
											SignatureForm form, Tick now, const char *text,
											size_t length, const Buffer *signature);

#endif
