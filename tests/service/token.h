/*
 * token.h
 *	  The sign-in endpoint, and the check of what it gave out.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include "request.h"

typedef enum TokenState
{
	TOKEN_GOOD,
	TOKEN_MISSING,
	TOKEN_EXPIRED,
	TOKEN_UNKNOWN
} TokenState;

extern Result token_answer(Request *request, const char *tenant, bool version_2);
extern TokenState token_check(const Request *request);
extern void token_expire_all(void);

#endif
