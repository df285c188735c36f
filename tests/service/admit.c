/*
 * admit.c
 *	  Who may ask, and how often.
 *
 * Both interfaces ask here and tell of a refusal each in its own form.
 */
#include "admit.h"

#include "base64.h"
#include "clock.h"
#include "quota.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- names and passwords ---- */

static Admission
check_user(const char *given, TokenHolder *holder)
{
	const char *colon = strchr(given, ':');
	char name[DIRECTORY_TEXT];
	User user;

	if (colon == NULL || (size_t) (colon - given) >= sizeof(name))
		return ADMIT_STRANGER;
	snprintf(name, sizeof(name), "%.*s", (int) (colon - given), given);
	if (!directory_user(name, &user) || strcmp(user.password, colon + 1) != 0)
		return ADMIT_STRANGER;
	snprintf(holder->tenant, sizeof(holder->tenant), "%s", user.tenant);
	holder->apis = API_BIT(API_REPORTING);
	holder->permitted = user.role;
	return ADMITTED;
}

static Admission
check_basic(const char *header, TokenHolder *holder)
{
	Buffer text = {0};
	Admission admission = ADMIT_STRANGER;

	if (base64_decode(&text, header + strlen("Basic ")))
		admission = check_user(buffer_text(&text), holder);
	buffer_free(&text);
	return admission;
}

/* ---- whoever it is ---- */

static Admission
check_credentials(const Request *request, Api api, TokenHolder *holder)
{
	const char *header = request_header(request, "Authorization");

	if (header && api == API_REPORTING && strncasecmp(header, "Basic ", 6) == 0)
		return check_basic(header, holder);
	switch (token_check(request, holder))
	{
		case TOKEN_MISSING:
			return ADMIT_NOBODY;
		case TOKEN_EXPIRED:
			return ADMIT_EXPIRED;
		case TOKEN_UNKNOWN:
			return ADMIT_STRANGER;
		default:
			return ADMITTED;
	}
}

/* The rows of each tenant are its own. */
static void
enter_tenant(Request *request, const Tenant *tenant)
{
	snprintf(request->organization, sizeof(request->organization), "%s",
			 tenant->domain[0] ? tenant->domain : tenant->id);
	world_open(&request->world, options_seed(tenant->world), request->settings.rows_per_day,
			   request->given);
}

static void
write_retry_after(const Request *request, int64_t seconds, char *out)
{
	out[0] = '\0';
	if (request->settings.retry_after == RETRY_AFTER_SECONDS)
		snprintf(out, MOMENT_TEXT_SIZE, "%lld", (long long) seconds);
	else if (request->settings.retry_after == RETRY_AFTER_DATE)
		moment_write_http(out, clock_now() + seconds * TICKS_PER_SECOND);
}

/*
 * Whether a request may be answered. It is then one of a tenant. Over quota,
 * retry_after (MOMENT_TEXT_SIZE bytes) is the header's value, or empty.
 */
Admission
admit(Request *request, Api api, bool detail, char *retry_after)
{
	const Settings *settings = &request->settings;
	TokenHolder holder = {0};
	Tenant tenant = {0};
	Admission admission = check_credentials(request, api, &holder);
	QuotaPart part = settings->detail_quota == 0 ? QUOTA_ALL : detail ? QUOTA_DETAIL : QUOTA_LIST;
	int64_t seconds;

	if (admission != ADMITTED)
		return admission;
	if ((holder.apis & API_BIT(api)) == 0)
		return ADMIT_WRONG_AUDIENCE;
	if (!directory_tenant(holder.tenant, &tenant))
		return ADMIT_STRANGER;
	if (api == API_GRAPH && !(settings->service_principal && tenant.service_principal))
		return ADMIT_NO_SERVICE_PRINCIPAL;
	if (!holder.permitted)
		return ADMIT_NOT_PERMITTED;
	if (!quota_take(tenant.id, api, part, settings, &seconds))
	{
		write_retry_after(request, seconds, retry_after);
		return ADMIT_OVER_QUOTA;
	}
	enter_tenant(request, &tenant);
	return ADMITTED;
}
