/*
 * directory.h
 *	  Who is known at the sign-in: tenants, applications, users, certificates.
 */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include "buffer.h"
#include "options.h"

#include <stdbool.h>
#include <stdint.h>

#define DIRECTORY_TEXT 256 /* bytes of a name or secret, with its NUL */

typedef struct Tenant
{
	char id[DIRECTORY_TEXT];
	char domain[DIRECTORY_TEXT];
	bool service_principal; /* of Graph's, unless the setting denies it to all */
	uint64_t world;			/* what its seed differs by; 0 for the first one */
} Tenant;

/* An app registration. Texts that were not given are empty. */
typedef struct Client
{
	char id[DIRECTORY_TEXT];
	char tenant[DIRECTORY_TEXT]; /* an id; empty: every tenant knows it */
	char secret[DIRECTORY_TEXT];
	char expired_secret[DIRECTORY_TEXT];
	bool consent;  /* an administrator agreed to it */
	bool blocked;  /* by conditional access */
	int64_t roles; /* RolesSetting; -1: as the setting says */
} Client;

/* A service account of the Reporting web service. */
typedef struct User
{
	char name[DIRECTORY_TEXT];
	char password[DIRECTORY_TEXT];
	char tenant[DIRECTORY_TEXT];
	bool role; /* may see reports */
} User;

extern bool directory_start(void);
extern void directory_reset(void);
extern bool directory_tenant(const char *name, Tenant *tenant);
extern bool directory_client(const char *id, Client *client);
extern bool directory_user(const char *name, User *user);
extern bool directory_post_tenants(const char *json, size_t length, Buffer *error);
extern bool directory_post_clients(const char *json, size_t length, Buffer *error);
extern bool directory_post_users(const char *json, size_t length, Buffer *error);
extern void directory_show_tenants(Buffer *out);

#endif
