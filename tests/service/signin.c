/*
 * signin.c
 *	  The sign-in endpoint of Entra ID: client credentials.
 *
 * Tenant, application, secret or certificate, resource and consent are asked for
 * in turn; the first that is wrong makes the refusal.
 */
#include "signin.h"

#include "assertion.h"
#include "directory.h"
#include "form.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

typedef struct SignIn
{
	Form form;
	bool version_2;
	Tenant tenant;
	Client client;
	char *audience;
	int apis; /* that the audience stands for */
} SignIn;

/* /{tenant}/oauth2/v2.0/token and /{tenant}/oauth2/token */
static bool
read_path(const char *path, bool *version_2, size_t *tenant_length)
{
	const char *rest = path[0] == '/' ? strchr(path + 1, '/') : NULL;

	if (rest == NULL)
		return false;
	*tenant_length = (size_t) (rest - path) - 1;
	*version_2 = strcmp(rest, "/oauth2/v2.0/token") == 0;
	return *version_2 || strcmp(rest, "/oauth2/token") == 0;
}

bool
signin_is_path(const char *path)
{
	bool version_2;
	size_t length;

	return read_path(path, &version_2, &length);
}

/* ---- the resource ---- */

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

/* Whether a URL's host is `host`, whatever its port. */
static bool
has_host(const char *url, const char *host)
{
	const char *start = strstr(url, "://");
	size_t length = strlen(host);

	return start && strncasecmp(start + 3, host, length) == 0 &&
		   (start[3 + length] == '\0' || strchr(":/", start[3 + length]));
}

/*
 * The interfaces that a resource opens; 0 when nobody knows it. The service's
 * own address, which a test may use for everything, opens both.
 */
static int
apis_of(const char *resource)
{
	static const char *const exchange[] = {"outlook.office365.com", "outlook.office365.us",
										   "reports.office365.com"};

	if (has_host(resource, "graph.microsoft.com"))
		return API_BIT(API_GRAPH);
	for (size_t i = 0; i < sizeof(exchange) / sizeof(exchange[0]); i++)
		if (has_host(resource, exchange[i]))
			return API_BIT(API_REPORTING);
	if (has_host(resource, "localhost") || has_host(resource, "127.0.0.1") ||
		has_host(resource, "[::1]"))
		return API_BIT(API_GRAPH) | API_BIT(API_REPORTING);
	return 0;
}

static bool
check_resource(SignIn *sign_in, Refusal *refusal)
{
	const char *scope = form_value(&sign_in->form, "scope");
	const char *resource = form_value(&sign_in->form, "resource");

	if (sign_in->version_2)
		sign_in->audience = resource_of_scope(scope);
	else if (resource && *resource)
		sign_in->audience = strdup(resource);
	if (sign_in->audience == NULL && sign_in->version_2)
		return refusal_set(
			refusal, 400, "invalid_scope", 70011,
			"The provided request must include a 'scope' input parameter. The provided value for the "
			"input parameter 'scope' is not valid. The scope %s is not valid.",
			scope ? scope : "");
	sign_in->apis = sign_in->audience ? apis_of(sign_in->audience) : 0;
	if (sign_in->apis == 0)
		return refusal_set(
			refusal, 400, "invalid_resource", 500011,
			"The resource principal named %.200s was not found in the tenant named %s. This can "
			"happen if the application has not been installed by the administrator of the tenant.",
			sign_in->audience ? sign_in->audience : "", sign_in->tenant.domain);
	return true;
}

/* ---- who asks ---- */

static bool
check_secret(const Client *client, const char *secret, Refusal *refusal)
{
	if (*secret && strcmp(secret, client->secret) == 0)
		return true;
	if (*secret && strcmp(secret, client->expired_secret) == 0)
		return refusal_set(
			refusal, 401, "invalid_client", 7000222,
			"The provided client secret keys for app '%s' are expired. Visit the Azure portal to "
			"create new keys for your app: https://aka.ms/NewClientSecret, or consider using "
			"certificate credentials for added security: https://aka.ms/certCreds.",
			client->id);
	return refusal_set(
		refusal, 401, "invalid_client", 7000215,
		"Invalid client secret provided. Ensure the secret being sent in the request is the client "
		"secret value, not the client secret ID, for a secret added to app '%s'.",
		client->id);
}

static bool
check_credential(const Request *request, const SignIn *sign_in, Refusal *refusal)
{
	const char *secret = form_value(&sign_in->form, "client_secret");
	const char *assertion = form_value(&sign_in->form, "client_assertion");
	const char *type = form_value(&sign_in->form, "client_assertion_type");

	if (secret && assertion)
		return refusal_set(
			refusal, 400, "invalid_request", 90023,
			"The request is malformed: only one of 'client_secret' and 'client_assertion' may be "
			"given.");
	if (assertion && type == NULL)
		return refusal_set(
			refusal, 400, "invalid_request", 900144,
			"The request body must contain the following parameter: 'client_assertion_type'.");
	if (assertion && strcmp(type, ASSERTION_TYPE) != 0)
		return refusal_set(refusal, 400, "invalid_request", 90023,
						   "The value of 'client_assertion_type' is not supported.");
	if (assertion)
		return assertion_check(request, assertion, form_value(&sign_in->form, "client_id"),
							   refusal);
	if (secret)
		return check_secret(&sign_in->client, secret, refusal);
	return refusal_set(
		refusal, 401, "invalid_client", 7000216,
		"'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' "
		"grant type.");
}

static bool
check_form(const Form *form, Refusal *refusal)
{
	static const char *const needed[] = {"grant_type", "client_id"};

	for (int i = 0; i < 2; i++)
		if (form_value(form, needed[i]) == NULL)
			return refusal_set(refusal, 400, "invalid_request", 900144,
							   "The request body must contain the following parameter: '%s'.",
							   needed[i]);
	if (strcmp(form_value(form, "grant_type"), "client_credentials") != 0)
		return refusal_set(refusal, 400, "unsupported_grant_type", 70003,
						   "The app requested an unsupported grant type '%.40s'.",
						   form_value(form, "grant_type"));
	return true;
}

static bool
check_client(SignIn *sign_in, Refusal *refusal)
{
	const char *id = form_value(&sign_in->form, "client_id");
	Client *client = &sign_in->client;
	Tenant home;

	if (directory_client(id, client) &&
		(client->tenant[0] == '\0' ||
		 (directory_tenant(client->tenant, &home) && strcmp(home.id, sign_in->tenant.id) == 0)))
		return true;
	return refusal_set(
		refusal, 400, "unauthorized_client", 700016,
		"Application with identifier '%.100s' was not found in the directory '%s'. This can happen if "
		"the application has not been installed by the administrator of the tenant or consented to by "
		"any user in the tenant. You may have sent your authentication request to the wrong tenant.",
		id, sign_in->tenant.domain);
}

static bool
check_permission(const SignIn *sign_in, Refusal *refusal)
{
	if (sign_in->client.blocked)
		return refusal_set(refusal, 400, "access_denied", 53003,
						   "Access has been blocked by Conditional Access policies. The access "
						   "policy does not allow token issuance.");
	if (!sign_in->client.consent)
		return refusal_set(
			refusal, 400, "invalid_grant", 65001,
			"The user or administrator has not consented to use the application with ID '%s' named "
			"'Message traces'. Send an interactive authorization request for this user and resource.",
			sign_in->client.id);
	return true;
}

static bool
check_all(const Request *request, SignIn *sign_in, Refusal *refusal)
{
	char name[DIRECTORY_TEXT];
	size_t length = 0;

	read_path(request->path, &sign_in->version_2, &length);
	snprintf(name, sizeof(name), "%.*s", (int) (length < 255 ? length : 255), request->path + 1);
	if (!directory_tenant(name, &sign_in->tenant))
		return refusal_set(
			refusal, 400, "invalid_request", 90002,
			"Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing "
			"into the correct cloud. Check with your subscription administrator, this may happen if "
			"there are no active subscriptions for the tenant.",
			name);
	return check_form(&sign_in->form, refusal) && check_client(sign_in, refusal) &&
		   check_credential(request, sign_in, refusal) && check_resource(sign_in, refusal) &&
		   check_permission(sign_in, refusal);
}

/*
 * POST /{tenant}/oauth2/v2.0/token or /{tenant}/oauth2/token.
 */
Result
signin_answer(Request *request)
{
	SignIn sign_in = {0};
	Refusal refusal;
	Result result;

	form_read(&sign_in.form, buffer_text(&request->body));
	if (check_all(request, &sign_in, &refusal))
		result = token_grant(request,
							 &(TokenTerms){.tenant = sign_in.tenant.id,
										   .client = sign_in.client.id,
										   .audience = sign_in.audience,
										   .apis = sign_in.apis,
										   .roles = sign_in.client.roles >= 0
														? sign_in.client.roles
														: request->settings.roles},
							 sign_in.version_2);
	else
		result = refusal_answer(request, &refusal);
	form_free(&sign_in.form);
	free(sign_in.audience);
	return result;
}
