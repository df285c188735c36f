/*
 * quota.h
 *	  The tenant's budget of requests in a rolling window, one per API.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include "options.h"

typedef enum QuotaApi
{
	QUOTA_GRAPH,
	QUOTA_REPORTING,
	QUOTA_APIS
} QuotaApi;

extern bool quota_take(QuotaApi api, const Settings *settings, int64_t *retry_after);
extern void quota_reset(void);

#endif
