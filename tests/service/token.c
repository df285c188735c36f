/*
 * token.c
 *	  The sign-in endpoint, and the check of what it gave out.
 *
 * Tokens look like JWTs, for a client may want to read `tid` or `exp`, but the
 * signature is only a hash: what was given out is remembered.
 */
#include "token.h"

#include "answer.h"
#include "base64.h"
#include "hash.h"
#include "options.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TENANT_DOMAIN "contoso.onmicrosoft.com"
#define MAX_TOKENS 1024 /* remembered; older ones become unknown */
#define MAX_FIELDS 20	/* of the form */

typedef struct KnownToken
{
	char *text;
	Tick expires;
} KnownToken;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static KnownToken known[MAX_TOKENS]; /* guarded by lock, as is the count */
static uint64_t issued;

/* One decoded field of the form, NULL where absent. */
typedef struct Form
{
	int count;
	char *names[MAX_FIELDS];
	char *values[MAX_FIELDS];
} Form;

static int
hex_value(char c)
{
	const char *digits = "0123456789abcdef0123456789ABCDEF";
	const char *place = c ? strchr(digits, c) : NULL;

	return place ? (int) (place - digits) % 16 : -1;
}

static char *
decode_field(const char *text, size_t length)
{
	char *value = malloc(length + 1);
	size_t used = 0;

	if (value == NULL)
		abort();
	for (size_t i = 0; i < length; i++)
	{
		bool escaped = text[i] == '%' && i + 2 < length && hex_value(text[i + 1]) >= 0 &&
					   hex_value(text[i + 2]) >= 0;

		if (escaped)
		{
			value[used++] = (char) (hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
			i += 2;
		}
		else
			value[used++] = text[i] == '+' ? ' ' : text[i];
	}
	value[used] = '\0';
	return value;
}

static void
form_read(Form *form, const char *body)
{
	memset(form, 0, sizeof(*form));
	while (*body && form->count < MAX_FIELDS)
	{
		size_t length = strcspn(body, "&");
		const char *equals = memchr(body, '=', length);
		size_t name_length = equals ? (size_t) (equals - body) : length;

		form->names[form->count] = decode_field(body, name_length);
		form->values[form->count++] = equals ? decode_field(equals + 1, length - name_length - 1)
											 : decode_field("", 0);
		body += length;
		body += *body == '&';
	}
}

static const char *
form_value(const Form *form, const char *name)
{
	for (int i = 0; i < form->count; i++)
		if (strcmp(form->names[i], name) == 0)
			return form->values[i];
	return NULL;
}

static void
form_free(Form *form)
{
	for (int i = 0; i < form->count; i++)
	{
		free(form->names[i]);
		free(form->values[i]);
	}
}

/* An error in the form of Entra ID. */
static Result
refuse(Request *request, unsigned status, const char *error, int code, const char *message)
{
	char trace[GUID_SIZE];
	char correlation[GUID_SIZE];
	char time[MOMENT_TEXT_SIZE];
	Buffer text = {0};
	Buffer body = {0};

	answer_guid(trace);
	answer_guid(correlation);
	moment_write(time, request->now, 0, true);
	time[10] = ' ';
	buffer_printf(&text, "AADSTS%d: %s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s",
				  code, message, trace, correlation, time);
	buffer_printf(&body, "{\"error\":\"%s\",\"error_description\":", error);
	buffer_add_json(&body, buffer_text(&text));
	buffer_printf(
		&body,
		",\"error_codes\":[%d],\"timestamp\":\"%s\",\"trace_id\":\"%s\",\"correlation_id\":\"%s\","
		"\"error_uri\":\"https://login.microsoftonline.com/error?code=%d\"}",
		code, time, trace, correlation, code);
	buffer_free(&text);
	return answer_json(request, status, &body);
}

static void
add_part(Buffer *token, Buffer *part)
{
	if (token->length > 0)
		buffer_add_text(token, ".");
	base64_add(token, part->data, part->length, true);
	buffer_free(part);
}

static void
make_token(Buffer *token, const Request *request, const char *audience, int64_t expires,
		   uint64_t serial)
{
	const Options *options = options_get();
	int64_t now = moment_seconds(request->now);
	uint64_t signature[32];
	Buffer part = {0};

	buffer_add_text(&part, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"simulated\"}");
	add_part(token, &part);
	buffer_add_text(&part, "{\"aud\":");
	buffer_add_json(&part, audience);
	buffer_printf(
		&part,
		",\"iss\":\"https://sts.windows.net/%s/\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"appid\":",
		options->tenant, (long long) now, (long long) now, (long long) expires);
	buffer_add_json(&part, options->client_id);
	buffer_add_text(
		&part,
		",\"roles\":[\"ExchangeMessageTrace.Read.All\",\"ReportingWebService.Read.All\"],\"tid\":");
	buffer_add_json(&part, options->tenant);
	buffer_printf(&part, ",\"uti\":\"%016llx\",\"ver\":\"1.0\"}",
				  (unsigned long long) hash_mix(serial));
	add_part(token, &part);
	for (int i = 0; i < 32; i++)
		signature[i] = hash_draw(hash_mix(serial ^ (uint64_t) request->now), (uint64_t) i);
	buffer_add(&part, (const char *) signature, sizeof(signature));
	add_part(token, &part);
}

/* The resource that a v2.0 scope is of, or NULL when the scope is no good. */
static char *
resource_of_scope(const char *scope)
{
	const char *ending = "/.default";
	size_t length = scope ? strlen(scope) : 0;
	size_t tail = strlen(ending);

	if (length <= tail || strcmp(scope + length - tail, ending) != 0 || strchr(scope, ' '))
		return NULL;
	if (strncmp(scope, "https://", 8) != 0 && strncmp(scope, "http://", 7) != 0)
		return NULL;
	return strndup(scope, length - tail);
}

static Result
grant(Request *request, const char *audience, bool version_2)
{
	int64_t lifetime = request->settings.token_lifetime;
	int64_t expires = moment_seconds(request->now) + lifetime;
	Buffer token = {0};
	Buffer body = {0};
	KnownToken *slot;

	pthread_mutex_lock(&lock);
	slot = &known[issued % MAX_TOKENS];
	make_token(&token, request, audience, expires, ++issued);
	free(slot->text);
	slot->text = strdup(buffer_text(&token));
	slot->expires = request->now + lifetime * TICKS_PER_SECOND;
	pthread_mutex_unlock(&lock);

	/* the older endpoint gives its numbers as text */
	if (version_2)
		buffer_printf(
			&body,
			"{\"token_type\":\"Bearer\",\"expires_in\":%lld,\"ext_expires_in\":%lld,\"access_token\":\"%s\"}",
			(long long) lifetime, (long long) lifetime, buffer_text(&token));
	else
		buffer_printf(
			&body,
			"{\"token_type\":\"Bearer\",\"expires_in\":\"%lld\",\"expires_on\":\"%lld\",\"access_token\":\"%s\"}",
			(long long) lifetime, (long long) expires, buffer_text(&token));
	buffer_free(&token);
	return answer_json(request, MHD_HTTP_OK, &body);
}

static Result
check_client(Request *request, const Form *form, const char *audience, bool version_2)
{
	const Options *options = options_get();
	const char *client_id = form_value(form, "client_id");
	const char *secret = form_value(form, "client_secret");

	if (strcasecmp(client_id, options->client_id) != 0)
		return refuse(
			request, 400, "unauthorized_client", 700016,
			"Application with the given identifier was not found in the directory 'Contoso'. This can happen if "
			"the application has not been installed by the administrator of the tenant.");
	if (form_value(form, "client_assertion"))
		return refuse(
			request, 401, "invalid_client", 700027,
			"The certificate with identifier used to sign the client assertion is not registered on application.");
	if (secret == NULL)
		return refuse(
			request, 401, "invalid_client", 7000218,
			"The request body must contain the following parameter: 'client_assertion' or 'client_secret'.");
	if (strcmp(secret, options->client_secret) != 0)
		return refuse(
			request, 401, "invalid_client", 7000215,
			"Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
			"value, not the client secret ID, for a secret added to app.");
	if (audience == NULL)
		return refuse(request, 400, version_2 ? "invalid_scope" : "invalid_resource",
					  version_2 ? 70011 : 500011,
					  "The provided value for the input parameter 'scope' is not valid.");
	return grant(request, audience, version_2);
}

static Result
answer_form(Request *request, const Form *form, const char *tenant, bool version_2)
{
	const char *grant_type = form_value(form, "grant_type");
	const char *resource = form_value(form, "resource");
	char *audience;
	Result result;

	if (strcasecmp(tenant, options_get()->tenant) != 0 && strcasecmp(tenant, TENANT_DOMAIN) != 0)
		return refuse(
			request, 400, "invalid_request", 90002,
			"Tenant not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.");
	if (grant_type == NULL || form_value(form, "client_id") == NULL)
		return refuse(
			request, 400, "invalid_request", 900144,
			"The request body must contain the following parameter: 'grant_type' and 'client_id'.");
	if (strcmp(grant_type, "client_credentials") != 0)
		return refuse(request, 400, "unsupported_grant_type", 70003,
					  "The app requested an unsupported grant type.");
	if (version_2)
		audience = resource_of_scope(form_value(form, "scope"));
	else
		audience = resource && *resource ? strdup(resource) : NULL;
	result = check_client(request, form, audience, version_2);
	free(audience);
	return result;
}

/*
 * POST /{tenant}/oauth2/v2.0/token or /{tenant}/oauth2/token.
 */
Result
token_answer(Request *request, const char *tenant, bool version_2)
{
	Form form;
	Result result;

	form_read(&form, buffer_text(&request->body));
	result = answer_form(request, &form, tenant, version_2);
	form_free(&form);
	return result;
}

/*
 * What is to be thought of the request's bearer token.
 */
TokenState
token_check(const Request *request)
{
	const char *header = request_header(request, "Authorization");
	TokenState state = TOKEN_UNKNOWN;

	if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0 || header[7] == '\0')
		return TOKEN_MISSING;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MAX_TOKENS && state == TOKEN_UNKNOWN; i++)
		if (known[i].text && strcmp(known[i].text, header + 7) == 0)
			state = request->now < known[i].expires ? TOKEN_GOOD : TOKEN_EXPIRED;
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
