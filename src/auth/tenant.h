/*-------------------------------------------------------------------------
 *
 * tenant.h
 *		Whose tenant a request is of, as its budget is named.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_TENANT_H
#define MSGTRACE_TENANT_H

#include "postgres.h"

#include "auth/token.h"

/*
 * The tenant's id as the token has it, so that its id and each of its domains are
 * one; else what the credential says.  Never empty; in the current context.
 */
extern char *msgtrace_tenant_name(const MsgTraceCredential *credential, const char *token);

#endif /* MSGTRACE_TENANT_H */
