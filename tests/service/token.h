/*
 * token.h
 *	  Access tokens: given out, remembered, and found again.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include "directory.h"
#include "request.h"

typedef enum TokenState
{
	TOKEN_GOOD,
	TOKEN_MISSING,
	TOKEN_EXPIRED,
	TOKEN_UNKNOWN
} TokenState;

typedef enum Api
{
	API_GRAPH,
	API_REPORTING,
	API_COUNT
} Api;

#define API_BIT(api) (1 << (api))

/* What a token is given for. */
typedef struct TokenTerms
{
	const char *tenant; /* id */
	const char *client; /* id */
	const char *audience;
	int apis;	   /* bits of the interfaces that it opens */
	int64_t roles; /* RolesSetting */
} TokenTerms;

/* Whose token it is that came with a request. */
typedef struct TokenHolder
{
	char tenant[DIRECTORY_TEXT];
	int apis;
	bool permitted; /* it has the role that the interfaces ask for */
} TokenHolder;

extern Result token_grant(Request *request, const TokenTerms *terms, bool version_2);
extern TokenState token_check(const Request *request, TokenHolder *holder);
extern void token_expire_all(void);

#endif
