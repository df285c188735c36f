/*
 * quota.h
 *	  A tenant's budget of requests in a rolling window, one per interface.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include "options.h"
#include "token.h"

typedef enum QuotaPart
{
	QUOTA_ALL,
	QUOTA_LIST,
	QUOTA_DETAIL
} QuotaPart;

extern bool quota_take(const char *tenant, Api api, QuotaPart part, const Settings *settings,
					   int64_t *retry_after);
extern void quota_show(Buffer *out);
extern void quota_reset(void);

#endif
