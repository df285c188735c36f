/*-------------------------------------------------------------------------
 *
 * secrets.c
 *		Stored secrets: who may use which, for which host, and their values.
 *
 * The tables are read by the rights of the extension and as they are now, not as
 * an old snapshot has them: what was revoked or changed counts from the next scan
 * on, in a transaction that began before, too.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/secrets.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fdw/module.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define SCHEMA "o365_msgtrace"
#define DEFAULT_KEY_FILE "o365_msgtrace.key"

/* Columns of secret_store and secret_grant, in their order. */
enum
{
	SECRET_NAME = 1,
	SECRET_OWNER,
	SECRET_SEALED,
	SECRET_FINGERPRINT,
	SECRET_USERNAME,
	SECRET_HOSTS,
	SECRET_EXPIRES
};

enum
{
	GRANT_NAME = 1,
	GRANT_GRANTEE
};

/* --------------------------------------------------------------- tables */

static Oid
table_named(const char *name)
{
	Oid schema = get_namespace_oid(SCHEMA, true);
	Oid table = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(table))
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation \"%s.%s\" does not exist", SCHEMA, name),
				errhint("Create or update the extension: stored secrets are kept in it."));
	return table;
}

Oid
msgtrace_secrets_table(void)
{
	return table_named("secret_store");
}

static Datum
column_of(HeapTuple tuple, Relation table, int column, bool *is_null)
{
	return heap_getattr(tuple, column, RelationGetDescr(table), is_null);
}

static char *
text_of(HeapTuple tuple, Relation table, int column)
{
	bool is_null;
	Datum value = column_of(tuple, table, column, &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

static MsgTraceSecret *
secret_of(HeapTuple tuple, Relation table)
{
	MsgTraceSecret *secret = palloc0(sizeof(MsgTraceSecret));
	bool is_null;
	Datum expires = column_of(tuple, table, SECRET_EXPIRES, &is_null);

	secret->expires = is_null ? 0 : DatumGetTimestampTz(expires);
	secret->name = text_of(tuple, table, SECRET_NAME);
	secret->owner = pstrdup(
		NameStr(*DatumGetName(column_of(tuple, table, SECRET_OWNER, &is_null))));
	secret->sealed = DatumGetByteaPCopy(column_of(tuple, table, SECRET_SEALED, &is_null));
	secret->fingerprint = text_of(tuple, table, SECRET_FINGERPRINT);
	secret->username = text_of(tuple, table, SECRET_USERNAME);
	secret->hosts = DatumGetArrayTypePCopy(column_of(tuple, table, SECRET_HOSTS, &is_null));
	return secret;
}

/* The secrets of one name, or of all names. */
static List *
read_secrets(const char *name)
{
	Relation table = table_open(msgtrace_secrets_table(), AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	List *secrets = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (name == NULL || strcmp(text_of(tuple, table, SECRET_NAME), name) == 0)
			secrets = lappend(secrets, secret_of(tuple, table));
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return secrets;
}

List *
msgtrace_secrets_all(void)
{
	return read_secrets(NULL);
}

MsgTraceSecret *
msgtrace_secrets_find(const char *name)
{
	List *secrets = read_secrets(name);

	return secrets == NIL ? NULL : linitial(secrets);
}

/* ---------------------------------------------------------------- keys */

char *
msgtrace_secrets_key_path(void)
{
	if (msgtrace_secret_key_file && *msgtrace_secret_key_file)
		return pstrdup(msgtrace_secret_key_file);
	return psprintf("%s/%s", DataDir, DEFAULT_KEY_FILE);
}

static void
refuse_key_file(MsgTraceVaultResult result)
{
	if (result == MSGTRACE_VAULT_EXPOSED)
		ereport(
			ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("the key file of stored secrets is not the server's alone"),
			errdetail("It must belong to the account of the database server, with mode 0600."),
			errhint(
				"Use chown and chmod; if others may have read it, call rotate_secret_key(), too."));
	if (result == MSGTRACE_VAULT_MALFORMED)
		ereport(
			ERROR, errcode(ERRCODE_DATA_CORRUPTED),
			errmsg("the key file of stored secrets is not one"),
			errhint(
				"Put a copy of the right file in its place, see the setting o365_msgtrace.secret_key_file."));
	ereport(ERROR, errcode_for_file_access(),
			errmsg("could not read the key file of stored secrets: %m"));
}

bool
msgtrace_secrets_have_keys(MsgTraceKeyRing *ring)
{
	MsgTraceVaultResult result = msgtrace_vault_read(ring, msgtrace_secrets_key_path());

	if (result == MSGTRACE_VAULT_OK)
		return true;
	explicit_bzero(ring, sizeof(*ring)); /* leaves errno alone */
	if (result != MSGTRACE_VAULT_MISSING)
		refuse_key_file(result);
	return false;
}

void
msgtrace_secrets_read_keys(MsgTraceKeyRing *ring)
{
	if (!msgtrace_secrets_have_keys(ring))
		ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("there is no key file for stored secrets"),
				errhint("A superuser makes it: SELECT * FROM o365_msgtrace.create_secret_key()."));
}

static char *
fingerprints_of(const MsgTraceKeyRing *ring)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < ring->count; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", ring->keys[i].fingerprint);
	return text.data;
}

static void
refuse_for_key(const MsgTraceSecret *secret, const char *instead)
{
	ereport(
		ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		instead ? errmsg("stored secret \"%s\" needs key %s, this server's file has %s",
						 secret->name, secret->fingerprint, instead)
				: errmsg("stored secret \"%s\" needs key %s, this server's key file is missing",
						 secret->name, secret->fingerprint),
		errhint(
			"Copy the key file from the server where the secret was stored, see the setting o365_msgtrace.secret_key_file, or store the secret anew."));
}

const MsgTraceKey *
msgtrace_secrets_key_of(const MsgTraceKeyRing *ring, const MsgTraceSecret *secret)
{
	const MsgTraceKey *key = msgtrace_vault_find(ring, secret->fingerprint);

	if (key == NULL)
		refuse_for_key(secret, fingerprints_of(ring));
	return key;
}

char *
msgtrace_secrets_open(const MsgTraceKey *key, const MsgTraceSecret *secret)
{
	char *value = msgtrace_vault_open(key, secret->name, (const uint8 *) VARDATA(secret->sealed),
									  VARSIZE(secret->sealed) - VARHDRSZ);

	if (value == NULL)
		ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("stored secret \"%s\" is not what was sealed", secret->name),
				errdetail(
					"Its row was changed by something else than the functions of this extension."),
				errhint("Store the secret anew."));
	return value;
}

/* Read the value with what the key file has; no key stays in memory. */
static char *
value_of(const MsgTraceSecret *secret)
{
	MsgTraceKeyRing ring;
	char *volatile value = NULL;

	if (!msgtrace_secrets_have_keys(&ring))
		refuse_for_key(secret, NULL);
	PG_TRY();
	{
		value = msgtrace_secrets_open(msgtrace_secrets_key_of(&ring, secret), secret);
	}
	PG_FINALLY();
	{
		msgtrace_vault_wipe(&ring);
	}
	PG_END_TRY();
	return value;
}

/* --------------------------------------------------------------- rights */

/*
 * Superusers are no exception: a mapping that somebody made for them does not
 * make others' secrets travel.  Members that do not inherit the role's rights
 * have to SET ROLE, as for a table of the role's.
 */
static bool
is_or_belongs_to(Oid user_id, const char *role)
{
	Oid role_id = get_role_oid(role, true);

	return OidIsValid(role_id) && is_member_of_role_nosuper(user_id, role_id) &&
		   has_privs_of_role(user_id, role_id);
}

static bool
is_granted(const MsgTraceSecret *secret, Oid user_id)
{
	Relation table = table_open(table_named("secret_grant"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	bool granted = false;
	HeapTuple tuple;

	while (!granted && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool is_null;
		const char *grantee = NameStr(
			*DatumGetName(column_of(tuple, table, GRANT_GRANTEE, &is_null)));

		granted = strcmp(text_of(tuple, table, GRANT_NAME), secret->name) == 0 &&
				  (strcmp(grantee, "public") == 0 || is_or_belongs_to(user_id, grantee));
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return granted;
}

static void
check_right(const MsgTraceSecret *secret, Oid user_id)
{
	const char *user = GetUserNameFromId(user_id, false);

	if (is_or_belongs_to(user_id, secret->owner) || is_granted(secret, user_id))
		return;
	ereport(
		ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		errmsg("permission denied for stored secret \"%s\"", secret->name),
		errdetail("It was not granted to role \"%s\", as which the scan is made.", user),
		errhint("Its owner or a superuser may grant it: SELECT o365_msgtrace.grant_secret(%s, %s).",
				quote_literal_cstr(secret->name), quote_literal_cstr(user)));
}

/* The host and port of a URL in lower case, as "host" and "host:port". */
static void
split_authority(const char *url, char **host, char **host_and_port)
{
	const char *start = strstr(url, "://");
	size_t length;
	size_t host_length;
	char *port;

	start = start ? start + 3 : url;
	length = strcspn(start, "/?#");
	*host_and_port = asc_tolower(start, length);
	port = strrchr(*host_and_port, ':');
	host_length = port && strchr(port, ']') == NULL ? (size_t) (port - *host_and_port) : length;
	*host = pnstrdup(*host_and_port, host_length);
	if (host_length == length)
		*host_and_port = psprintf("%s:%d", *host, pg_strncasecmp(url, "http:", 5) == 0 ? 80 : 443);
}

/* A host alone stands for all its ports: TLS verifies the host's name on each. */
static void
check_host(const MsgTraceSecret *secret, const char *url)
{
	StringInfoData list;
	char *host;
	char *host_and_port;
	Datum *hosts;
	int count;

	split_authority(url, &host, &host_and_port);
	deconstruct_array(secret->hosts, TEXTOID, -1, false, TYPALIGN_INT, &hosts, NULL, &count);
	initStringInfo(&list);
	for (int i = 0; i < count; i++)
	{
		const char *allowed = TextDatumGetCString(hosts[i]);

		if (strcmp(allowed, host) == 0 || strcmp(allowed, host_and_port) == 0)
			return;
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", allowed);
	}
	ereport(
		ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		errmsg("stored secret \"%s\" is not for host \"%s\"", secret->name, host_and_port),
		errdetail("It is sent to no others than: %s.", list.data),
		errhint(
			"Its owner may change that: SELECT o365_msgtrace.alter_secret(%s, hosts => ARRAY[%s]).",
			quote_literal_cstr(secret->name), quote_literal_cstr(host)));
}

static void
check_expiry(const MsgTraceSecret *secret)
{
	if (secret->expires != 0 && secret->expires <= GetCurrentTimestamp())
		ereport(
			ERROR, errcode(ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION),
			errmsg("stored secret \"%s\" expired at %s", secret->name,
				   timestamptz_to_str(secret->expires)),
			errhint(
				"Store its new value, and when that expires: see o365_msgtrace.secret_input and alter_secret()."));
}

/* -------------------------------------------------------------- resolve */

/* What the resolving of one mapping's secrets has in common. */
typedef struct Resolving
{
	MsgTraceCredential *credential;
	const char *target_url;
	Oid user_id;
} Resolving;

/*
 * The secret's value, and its row for the caller; NULL when none is named.  What
 * is opened will be wiped, also when the next one is refused; a certificate's
 * text may have the private key in it.
 */
static char *
resolve(const Resolving *resolving, const char *name, MsgTraceSecret **row)
{
	TimestampTz *first = &resolving->credential->secrets_expire;
	MsgTraceSecret *secret;
	char *value;

	if (name == NULL)
		return NULL;
	secret = msgtrace_secrets_find(name);
	if (secret == NULL)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("stored secret \"%s\" does not exist", name),
				errhint("Store it: COPY o365_msgtrace.secret_input (name, value) FROM STDIN."));
	check_right(secret, resolving->user_id);
	check_host(secret, resolving->target_url);
	check_expiry(secret);
	if (secret->expires != 0 && (*first == 0 || secret->expires < *first))
		*first = secret->expires;
	if (row)
		*row = secret;
	value = value_of(secret);
	msgtrace_credential_wipe_text_at_end(value);
	return value;
}

static void
resolve_password(const Resolving *resolving, const char *name)
{
	MsgTraceCredential *credential = resolving->credential;
	MsgTraceSecret *secret = NULL;

	credential->password = resolve(resolving, name, &secret);
	if (credential->username == NULL)
		credential->username = secret->username;
	if (credential->username == NULL)
		ereport(
			ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
			errmsg("no user name goes with the stored secret \"%s\"", name),
			errhint(
				"Set the option username of the user mapping, or the secret's own: SELECT o365_msgtrace.alter_secret(%s, username => '…').",
				quote_literal_cstr(name)));
}

void
msgtrace_secrets_resolve(MsgTraceCredential *credential, const MsgTraceSecretNames *names,
						 const char *target_url, Oid user_id)
{
	Resolving resolving = {credential, target_url, user_id};

	if (names->secret_name && credential->auth == MSGTRACE_AUTH_BASIC)
		resolve_password(&resolving, names->secret_name);
	else if (names->secret_name)
		credential->client_secret = resolve(&resolving, names->secret_name, NULL);
	if (credential->auth != MSGTRACE_AUTH_CERTIFICATE)
		return;
	credential->certificate_pem = resolve(&resolving, names->certificate_secret, NULL);
	credential->private_key_pem = resolve(&resolving, names->private_key_secret, NULL);
	if (names->passphrase_secret)
		credential->passphrase = resolve(&resolving, names->passphrase_secret, NULL);
}
