/*-------------------------------------------------------------------------
 *
 * claims.h
 *		What an access token says of itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CLAIMS_H
#define MSGTRACE_CLAIMS_H

#include "postgres.h"

/* Strings in the context that was current when they were read. */
typedef struct MsgTraceClaims
{
	bool readable;	   /* it is a token of the kind that can be read */
	const char *tid;   /* the tenant's directory id in lower case, or NULL */
	const char *roles; /* application permissions, parted by spaces; never NULL */
} MsgTraceClaims;

/*
 * Read the claims of a token.  Its signature is not checked: what is read
 * decides how we talk of the service and count its requests, never what somebody
 * may do.
 */
extern void msgtrace_claims_read(MsgTraceClaims *claims, const char *token);

/* Is this role among them? */
extern bool msgtrace_claims_have_role(const MsgTraceClaims *claims, const char *role);

#endif /* MSGTRACE_CLAIMS_H */
