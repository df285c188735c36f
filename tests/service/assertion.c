/*
 * assertion.c
 *	  A client that signs in with a certificate: its signed statement.
 *
 * A JWT of three parts. Everything in it is checked, in the order in which the
 * real service is known to complain.
 */
#include "assertion.h"

#include "base64.h"
#include "certificates.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHORTEST_LIFE 300 /* seconds from nbf to exp */
#define LONGEST_LIFE 600
#define CLOCK_TOLERANCE 300
#define MAX_SEEN 4096 /* the oldest are forgotten */
#define GUID_LENGTH 36

typedef struct Assertion
{
	const char *text;
	size_t signed_length; /* of header and claims, as the signature covers them */
	json_t *header;
	json_t *claims;
	Buffer signature;
	Buffer thumbprint;
} Assertion;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char seen[MAX_SEEN][GUID_LENGTH + 1]; /* each jti so far; guarded by lock */
static uint64_t seen_count;

/* ---- reading ---- */

static bool
decode_part(const char *from, size_t length, Buffer *out)
{
	char *copy = strndup(from, length);
	bool good = copy && strchr(copy, '=') == NULL && base64_decode(out, copy);

	free(copy);
	return good && out->length > 0;
}

static json_t *
decode_json(const char *from, size_t length)
{
	Buffer bytes = {0};
	json_t *object = NULL;

	if (decode_part(from, length, &bytes))
		object = json_loadb(bytes.data, bytes.length, 0, NULL);
	buffer_free(&bytes);
	if (json_is_object(object))
		return object;
	json_decref(object);
	return NULL;
}

static bool
read_parts(Assertion *assertion, const char *text)
{
	const char *first = strchr(text, '.');
	const char *second = first ? strchr(first + 1, '.') : NULL;

	if (second == NULL)
		return false;
	assertion->text = text;
	assertion->signed_length = (size_t) (second - text);
	assertion->header = decode_json(text, (size_t) (first - text));
	assertion->claims = decode_json(first + 1, (size_t) (second - first) - 1);
	return assertion->header && assertion->claims &&
		   decode_part(second + 1, strlen(second + 1), &assertion->signature);
}

static const char *
claim(const Assertion *assertion, const char *name)
{
	const char *value = json_string_value(json_object_get(assertion->claims, name));

	return value ? value : "";
}

static const char *
header(const Assertion *assertion, const char *name)
{
	const char *value = json_string_value(json_object_get(assertion->header, name));

	return value ? value : "";
}

/* ---- the signature ---- */

static bool
refuse_key(Refusal *refusal, const char *reason, const Buffer *thumbprint)
{
	char hex[65] = "";

	for (size_t i = 0; i < thumbprint->length && i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02X", (unsigned char) thumbprint->data[i]);
	return refusal_set(
		refusal, 401, "invalid_client", 700027,
		"The certificate with identifier used to sign the client assertion is not registered on "
		"application. [Reason - %s, Thumbprint of key used by client: '%s', Please visit the Azure "
		"Portal, Graph Explorer or directly use MS Graph to see configured keys for app.]",
		reason, hex);
}

static bool
check_signature(const Request *request, Assertion *assertion, const char *client, Refusal *refusal)
{
	bool pss = strcmp(header(assertion, "alg"), "PS256") == 0;
	const char *sha256 = header(assertion, "x5t#S256");
	const char *sha1 = header(assertion, "x5t");

	if (!pss && strcmp(header(assertion, "alg"), "RS256") != 0)
		return refusal_set(
			refusal, 400, "invalid_request", 50027,
			"JWT token is invalid or malformed. The algorithm '%.40s' is not supported.",
			header(assertion, "alg"));
	if (*sha256)
		decode_part(sha256, strlen(sha256), &assertion->thumbprint);
	else if (*sha1 && !pss)
		decode_part(sha1, strlen(sha1), &assertion->thumbprint);
	switch (certificates_verify(client, &assertion->thumbprint,
								pss ? SIGNATURE_PS256 : SIGNATURE_RS256, request->now,
								assertion->text, assertion->signed_length, &assertion->signature))
	{
		case SIGNATURE_UNKNOWN:
			return refuse_key(refusal, "The key was not found.", &assertion->thumbprint);
		case SIGNATURE_EXPIRED:
			return refuse_key(refusal, "The key used is expired.", &assertion->thumbprint);
		case SIGNATURE_WRONG:
			return refusal_set(
				refusal, 401, "invalid_client", 700027,
				"Client assertion failed signature validation. [Reason - The provided signature "
				"value did not match the expected signature value.]");
		default:
			return true;
	}
}

/* ---- the claims ---- */

static bool
check_audience(const Request *request, const Assertion *assertion, Refusal *refusal)
{
	Buffer expected = {0};
	bool good;

	request_base_url(request, &expected);
	buffer_add_text(&expected, request->path);
	good = strcmp(claim(assertion, "aud"), buffer_text(&expected)) == 0;
	if (!good)
		refusal_set(refusal, 401, "invalid_client", 700023,
					"Client assertion audience claim does not match Realm issuer. Expected '%s', "
					"found '%.200s'.",
					buffer_text(&expected), claim(assertion, "aud"));
	buffer_free(&expected);
	return good;
}

static bool
check_times(const Request *request, const Assertion *assertion, Refusal *refusal)
{
	const json_t *begin = json_object_get(assertion->claims, "nbf");
	const json_t *end = json_object_get(assertion->claims, "exp");
	int64_t now = moment_seconds(request->now);
	int64_t from = (int64_t) json_integer_value(begin);
	int64_t to = (int64_t) json_integer_value(end);

	if (json_is_integer(begin) && json_is_integer(end) && from <= now + CLOCK_TOLERANCE &&
		to > now - CLOCK_TOLERANCE && to - from >= SHORTEST_LIFE && to - from <= LONGEST_LIFE)
		return true;
	return refusal_set(
		refusal, 401, "invalid_client", 700024,
		"Client assertion is not within its valid time range. Current time: %lld, assertion valid "
		"from %lld, expiry time of assertion %lld.",
		(long long) now, (long long) from, (long long) to);
}

static bool
is_guid(const char *text)
{
	for (int i = 0; i < GUID_LENGTH; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (text[i] == '\0' ||
			(dash ? text[i] != '-' : strchr("0123456789abcdefABCDEF", text[i]) == NULL))
			return false;
	}
	return text[GUID_LENGTH] == '\0';
}

/* False when this jti was there before. */
static bool
remember(const char *id)
{
	uint64_t known;
	bool fresh = true;

	pthread_mutex_lock(&lock);
	known = seen_count < MAX_SEEN ? seen_count : MAX_SEEN;
	for (uint64_t i = 0; i < known && fresh; i++)
		fresh = strcasecmp(seen[i], id) != 0;
	if (fresh)
		snprintf(seen[seen_count++ % MAX_SEEN], GUID_LENGTH + 1, "%s", id);
	pthread_mutex_unlock(&lock);
	return fresh;
}

static bool
check_claims(const Request *request, const Assertion *assertion, const char *client,
			 Refusal *refusal)
{
	const char *id = claim(assertion, "jti");

	if (strcmp(claim(assertion, "iss"), client) != 0 ||
		strcmp(claim(assertion, "sub"), client) != 0)
		return refusal_set(
			refusal, 401, "invalid_client", 700021,
			"Client assertion application identifier doesn't match 'client_id' parameter.");
	if (!check_audience(request, assertion, refusal) || !check_times(request, assertion, refusal))
		return false;
	if (!is_guid(id))
		return refusal_set(refusal, 400, "invalid_request", 50027,
						   "JWT token is invalid or malformed. The claim 'jti' is no GUID.");
	if (!remember(id))
		return refusal_set(refusal, 401, "invalid_client", 700027,
						   "Client assertion was used before. [Reason - 'jti' %s is known.]", id);
	return true;
}

/*
 * Whether the statement is this client's, made for this endpoint and this hour.
 */
bool
assertion_check(const Request *request, const char *assertion, const char *client, Refusal *refusal)
{
	Assertion parts = {0};
	bool good = read_parts(&parts, assertion);

	if (!good)
		refusal_set(refusal, 400, "invalid_request", 50027, "JWT token is invalid or malformed.");
	good = good && check_signature(request, &parts, client, refusal) &&
		   check_claims(request, &parts, client, refusal);
	json_decref(parts.header);
	json_decref(parts.claims);
	buffer_free(&parts.signature);
	buffer_free(&parts.thumbprint);
	return good;
}
