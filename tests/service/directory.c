/*
 * directory.c
 *	  Who is known at the sign-in: tenants, applications, users.
 *
 * The command line makes one of each; tests post more, or post one again to
 * change it. Whoever asks gets a copy, so that nothing changes under an answer.
 */
#include "directory.h"

#include "certificates.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_DOMAIN "contoso.onmicrosoft.com"
#define MAX_EACH 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Tenant tenants[MAX_EACH]; /* guarded by lock, as is all below */
static Client clients[MAX_EACH];
static User users[MAX_EACH];
static size_t tenant_count;
static size_t client_count;
static size_t user_count;

static void
set_text(char *out, const char *value)
{
	snprintf(out, DIRECTORY_TEXT, "%s", value ? value : "");
}

/* ---- the command line's ---- */

/*
 * As after the start.
 */
void
directory_reset(void)
{
	const Options *options = options_get();

	pthread_mutex_lock(&lock);
	memset(tenants, 0, sizeof(tenants));
	memset(clients, 0, sizeof(clients));
	memset(users, 0, sizeof(users));
	tenant_count = client_count = 1;
	set_text(tenants[0].id, options->tenant);
	set_text(tenants[0].domain, FIRST_DOMAIN);
	tenants[0].service_principal = true;
	set_text(clients[0].id, options->client_id);
	set_text(clients[0].secret, options->client_secret);
	clients[0].consent = true;
	clients[0].roles = -1;
	user_count = options->basic_user != NULL;
	set_text(users[0].name, options->basic_user);
	set_text(users[0].password, options->basic_password);
	set_text(users[0].tenant, options->tenant);
	users[0].role = true;
	pthread_mutex_unlock(&lock);
	certificates_reset();
}

/*
 * False when a file that the command line names cannot be read; the reason has
 * been printed.
 */
bool
directory_start(void)
{
	const char *file = options_get()->client_certificate;

	if (file && !certificates_load(file))
		return false;
	directory_reset();
	return true;
}

/* ---- looking up ---- */

/* Caller holds the lock. By id or by domain. */
static Tenant *
find_tenant(const char *name)
{
	for (size_t i = 0; *name && i < tenant_count; i++)
		if (strcasecmp(tenants[i].id, name) == 0 || strcasecmp(tenants[i].domain, name) == 0)
			return &tenants[i];
	return NULL;
}

bool
directory_tenant(const char *name, Tenant *tenant)
{
	const Tenant *found;

	pthread_mutex_lock(&lock);
	found = find_tenant(name);
	if (found)
		*tenant = *found;
	pthread_mutex_unlock(&lock);
	return found != NULL;
}

/* Caller holds the lock, here and below. */
static Client *
find_client(const char *id)
{
	for (size_t i = 0; i < client_count; i++)
		if (strcasecmp(clients[i].id, id) == 0)
			return &clients[i];
	return NULL;
}

bool
directory_client(const char *id, Client *client)
{
	const Client *found;

	pthread_mutex_lock(&lock);
	found = find_client(id);
	if (found)
		*client = *found;
	pthread_mutex_unlock(&lock);
	return found != NULL;
}

static User *
find_user(const char *name)
{
	for (size_t i = 0; i < user_count; i++)
		if (strcasecmp(users[i].name, name) == 0)
			return &users[i];
	return NULL;
}

bool
directory_user(const char *name, User *user)
{
	const User *found;

	pthread_mutex_lock(&lock);
	found = find_user(name);
	if (found)
		*user = *found;
	pthread_mutex_unlock(&lock);
	return found != NULL;
}

/* ---- posting ---- */

static bool
take_text(const json_t *object, const char *name, bool needed, char *out, Buffer *error)
{
	const json_t *member = json_object_get(object, name);
	const char *value = json_string_value(member);

	if (member == NULL && !needed)
		return true;
	if (value && strlen(value) < DIRECTORY_TEXT && (*value || !needed))
	{
		set_text(out, value);
		return true;
	}
	buffer_printf(error, "\"%s\" must be a text of less than %d bytes", name, DIRECTORY_TEXT);
	return false;
}

static bool
take_flag(const json_t *object, const char *name, bool *out, Buffer *error)
{
	const json_t *member = json_object_get(object, name);

	if (member == NULL)
		return true;
	*out = json_is_true(member);
	if (json_is_boolean(member))
		return true;
	buffer_printf(error, "\"%s\" must be true or false", name);
	return false;
}

static bool
take_roles(const json_t *object, int64_t *out, Buffer *error)
{
	const json_t *member = json_object_get(object, "roles");
	const char *value = json_string_value(member);

	*out = member ? settings_roles(value ? value : "") : -1;
	if (member == NULL || *out >= 0)
		return true;
	buffer_add_text(error, "\"roles\" must be granted, none, delegated or other");
	return false;
}

/* Writes down a member that has no meaning; `known` ends in NULL. */
static bool
check_members(const json_t *object, const char *const *known, Buffer *error)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *) object, name, value)
	{
		const char *const *place = known;

		while (*place && strcmp(*place, name) != 0)
			place++;
		if (*place)
			continue;
		buffer_printf(error, "unknown member \"%s\"", name);
		return false;
	}
	return true;
}

/* Caller holds the lock. */
static bool
put_tenant(const json_t *object, Buffer *error)
{
	static const char *const known[] = {"id", "domain", "service_principal", NULL};
	Tenant tenant = {.service_principal = true};
	Tenant *place;

	if (!check_members(object, known, error) || !take_text(object, "id", true, tenant.id, error) ||
		!take_text(object, "domain", false, tenant.domain, error) ||
		!take_flag(object, "service_principal", &tenant.service_principal, error))
		return false;
	place = find_tenant(tenant.id);
	if (place == NULL)
		place = &tenants[tenant_count++];
	tenant.world = (uint64_t) (place - tenants);
	*place = tenant;
	return true;
}

static bool
put_client(const json_t *object, Buffer *error)
{
	static const char *const known[] = {"id",	   "tenant",  "secret", "expired_secret",
										"consent", "blocked", "roles",	NULL};
	Client client = {.consent = true};
	Client *place;

	if (!check_members(object, known, error) || !take_text(object, "id", true, client.id, error) ||
		!take_text(object, "tenant", false, client.tenant, error) ||
		!take_text(object, "secret", false, client.secret, error) ||
		!take_text(object, "expired_secret", false, client.expired_secret, error) ||
		!take_flag(object, "consent", &client.consent, error) ||
		!take_flag(object, "blocked", &client.blocked, error) ||
		!take_roles(object, &client.roles, error))
		return false;
	place = find_client(client.id);
	if (place == NULL)
		place = &clients[client_count++];
	*place = client;
	return true;
}

static bool
put_user(const json_t *object, Buffer *error)
{
	static const char *const known[] = {"name", "password", "tenant", "role", NULL};
	User user = {.role = true};
	User *place;

	set_text(user.tenant, options_get()->tenant);
	if (!check_members(object, known, error) ||
		!take_text(object, "name", true, user.name, error) ||
		!take_text(object, "password", true, user.password, error) ||
		!take_text(object, "tenant", false, user.tenant, error) ||
		!take_flag(object, "role", &user.role, error))
		return false;
	place = find_user(user.name);
	if (place == NULL)
		place = &users[user_count++];
	*place = user;
	return true;
}

static bool
post(const char *json, size_t length, bool (*put)(const json_t *, Buffer *), const size_t *count,
	 Buffer *error)
{
	json_error_t where;
	json_t *document = json_loadb(json, length, 0, &where);
	bool good = json_is_object(document);

	if (document == NULL)
		buffer_printf(error, "line %d: %s", where.line, where.text);
	else if (!good)
		buffer_add_text(error, "an object is expected");
	pthread_mutex_lock(&lock);
	if (good && *count == MAX_EACH)
	{
		buffer_printf(error, "there are %d already", MAX_EACH);
		good = false;
	}
	good = good && put(document, error);
	pthread_mutex_unlock(&lock);
	json_decref(document);
	return good;
}

/*
 * One more tenant, or another state of one that is known: false with the reason
 * in error. So are the two that follow.
 */
bool
directory_post_tenants(const char *json, size_t length, Buffer *error)
{
	return post(json, length, put_tenant, &tenant_count, error);
}

bool
directory_post_clients(const char *json, size_t length, Buffer *error)
{
	return post(json, length, put_client, &client_count, error);
}

bool
directory_post_users(const char *json, size_t length, Buffer *error)
{
	return post(json, length, put_user, &user_count, error);
}

/*
 * The tenants as a JSON array.
 */
void
directory_show_tenants(Buffer *out)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < tenant_count; i++)
	{
		buffer_add_text(out, i ? ",{\"id\":" : "[{\"id\":");
		buffer_add_json(out, tenants[i].id);
		buffer_add_text(out, ",\"domain\":");
		buffer_add_json(out, tenants[i].domain);
		buffer_printf(out, ",\"service_principal\":%s}",
					  tenants[i].service_principal ? "true" : "false");
	}
	pthread_mutex_unlock(&lock);
	buffer_add_text(out, "]\n");
}
