/*-------------------------------------------------------------------------
 *
 * certificate.h
 *		Proof of who we are by a certificate: the signed assertion.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CERTIFICATE_H
#define MSGTRACE_CERTIFICATE_H

#include "postgres.h"

#include "auth/credential.h"

/*
 * The assertion for this token URL, signed at this time by the clock that judges
 * it.  Files are read each time, so that a renewed certificate is taken up.  NULL
 * with the reason in `status`.  The caller wipes it.
 */
extern char *msgtrace_certificate_assertion(const MsgTraceCredential *credential,
											const char *token_url, TimestampTz now,
											MsgTraceStatus *status);

/*
 * Could it be signed?  False with the reason in `status`; else `expires` is the
 * certificate's end.
 */
extern bool msgtrace_certificate_check(const MsgTraceCredential *credential, TimestampTz now,
									   TimestampTz *expires, MsgTraceStatus *status);

#endif /* MSGTRACE_CERTIFICATE_H */
