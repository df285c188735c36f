/*
 * token.c
 *	  Access tokens: given out, remembered, and found again.
 *
 * They look like JWTs, for a client may want to read `tid`, `roles` or `exp`, but
 * the signature is only a hash: what was given out is remembered.
 */
#include "token.h"

#include "answer.h"
#include "base64.h"
#include "hash.h"
#include "options.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_TOKENS 1024 /* remembered; older ones become unknown */

typedef struct KnownToken
{
	char *text;
	Tick expires;
	TokenHolder holder;
} KnownToken;

static const char *const role_of[API_COUNT] = {[API_GRAPH] = "ExchangeMessageTrace.Read.All",
											   [API_REPORTING] = "ReportingWebService.Read.All"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static KnownToken known[MAX_TOKENS]; /* guarded by lock, as is the count */
static uint64_t issued;

/* ---- making one ---- */

static void
add_part(Buffer *token, Buffer *part)
{
	if (token->length > 0)
		buffer_add_text(token, ".");
	base64_add(token, part->data, part->length, true);
	buffer_free(part);
}

/* Enough for one that nobody can read. */
static void
add_hash(Buffer *token, const Request *request, uint64_t serial)
{
	uint64_t bytes[32];
	Buffer part = {0};

	for (int i = 0; i < 32; i++)
		bytes[i] = hash_draw(hash_mix(serial ^ (uint64_t) request->now), (uint64_t) i);
	buffer_add(&part, (const char *) bytes, sizeof(bytes));
	add_part(token, &part);
}

/* The permissions of the interfaces that the token opens. */
static void
add_roles(Buffer *part, const TokenTerms *terms)
{
	const char *comma = "";

	if (terms->roles == ROLES_OTHER)
		buffer_add_text(part, ",\"roles\":[\"User.Read.All\"]");
	if (terms->roles == ROLES_NONE || terms->roles == ROLES_OTHER)
		return;
	buffer_add_text(part, terms->roles == ROLES_DELEGATED ? ",\"scp\":\"" : ",\"roles\":[");
	for (int api = 0; api < API_COUNT; api++)
	{
		if ((terms->apis & API_BIT(api)) == 0)
			continue;
		if (terms->roles == ROLES_DELEGATED)
			buffer_printf(part, "%s%s", *comma ? " " : "", role_of[api]);
		else
			buffer_printf(part, "%s\"%s\"", comma, role_of[api]);
		comma = ",";
	}
	buffer_add_text(part, terms->roles == ROLES_DELEGATED ? "\"" : "]");
}

static void
make_jwt(Buffer *token, const Request *request, const TokenTerms *terms, int64_t expires,
		 uint64_t serial)
{
	long long now = (long long) moment_seconds(request->now);
	Buffer part = {0};

	buffer_add_text(&part, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"simulated\"}");
	add_part(token, &part);
	buffer_add_text(&part, "{\"aud\":");
	buffer_add_json(&part, terms->audience);
	buffer_printf(
		&part,
		",\"iss\":\"https://sts.windows.net/%s/\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"appid\":",
		terms->tenant, now, now, (long long) expires);
	buffer_add_json(&part, terms->client);
	add_roles(&part, terms);
	buffer_add_text(&part, ",\"tid\":");
	buffer_add_json(&part, terms->tenant);
	buffer_printf(&part, ",\"uti\":\"%016llx\",\"ver\":\"1.0\"}",
				  (unsigned long long) hash_mix(serial));
	add_part(token, &part);
	add_hash(token, request, serial);
}

/*
 * Answers a sign-in with a new token.
 */
Result
token_grant(Request *request, const TokenTerms *terms, bool version_2)
{
	int64_t lifetime = request->settings.token_lifetime;
	int64_t expires = moment_seconds(request->now) + lifetime;
	const char *quote = version_2 ? "" : "\""; /* the older endpoint gives numbers as text */
	Buffer token = {0};
	Buffer body = {0};
	KnownToken *slot;

	pthread_mutex_lock(&lock);
	slot = &known[issued % MAX_TOKENS];
	issued++;
	if (request->settings.token_form == TOKEN_OPAQUE)
		add_hash(&token, request, issued);
	else
		make_jwt(&token, request, terms, expires, issued);
	free(slot->text);
	slot->text = strdup(buffer_text(&token));
	slot->expires = request->now + lifetime * TICKS_PER_SECOND;
	slot->holder.apis = terms->apis;
	slot->holder.permitted = terms->roles == ROLES_GRANTED;
	snprintf(slot->holder.tenant, DIRECTORY_TEXT, "%s", terms->tenant);
	pthread_mutex_unlock(&lock);

	buffer_printf(&body, "{\"token_type\":\"Bearer\",\"expires_in\":%s%lld%s", quote,
				  (long long) lifetime, quote);
	if (version_2)
		buffer_printf(&body, ",\"ext_expires_in\":%lld", (long long) lifetime);
	else
		buffer_printf(&body, ",\"expires_on\":\"%lld\"", (long long) expires);
	buffer_printf(&body, ",\"access_token\":\"%s\"}", buffer_text(&token));
	buffer_free(&token);
	return answer_json(request, MHD_HTTP_OK, &body);
}

/* ---- finding it again ---- */

/*
 * What is to be thought of the request's bearer token; a good one's holder.
 */
TokenState
token_check(const Request *request, TokenHolder *holder)
{
	const char *header = request_header(request, "Authorization");
	TokenState state = TOKEN_UNKNOWN;

	if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0 || header[7] == '\0')
		return TOKEN_MISSING;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MAX_TOKENS && state == TOKEN_UNKNOWN; i++)
	{
		if (known[i].text == NULL || strcmp(known[i].text, header + 7) != 0)
			continue;
		state = request->now < known[i].expires ? TOKEN_GOOD : TOKEN_EXPIRED;
		*holder = known[i].holder;
	}
	pthread_mutex_unlock(&lock);
	return state;
}

/* Ends the life of every token given out so far. */
void
token_expire_all(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MAX_TOKENS; i++)
		known[i].expires = INT64_MIN;
	pthread_mutex_unlock(&lock);
}
