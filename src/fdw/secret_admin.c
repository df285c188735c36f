/*-------------------------------------------------------------------------
 *
 * secret_admin.c
 *		SQL functions that store, change, drop and grant secrets.
 *
 * They run with the rights of their caller, who is whom they check: the owner of
 * the secret, its members, superusers.  Only then the tables are written, as
 * their owner.  A value is sealed before it goes into a statement, so that
 * nothing that logs statements or their parameters sees it.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/secret_admin.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fdw/secrets.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define MAX_NAME 100
#define MAX_VALUE (64 * 1024)
#define MAX_PARAMETERS 8

/* "o365", "keys"; the kind is neither of the two that SQL's advisory locks have */
#define LOCK_FIRST 0x6f333635
#define LOCK_SECOND 0x6b657973
#define LOCK_KIND 3

#define DEFAULT_HOSTS "login.microsoftonline.com,login.microsoftonline.us"

/* -------------------------------------------------------------- writing */

static Oid
owner_of_table(Oid table)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

uint64
msgtrace_secret_write(const char *statement, const MsgTraceParameter *parameters, int count)
{
	Oid types[MAX_PARAMETERS];
	Datum values[MAX_PARAMETERS];
	char nulls[MAX_PARAMETERS];
	Oid caller;
	int security;
	uint64 rows;

	Assert(count <= MAX_PARAMETERS);
	for (int i = 0; i < count; i++)
	{
		types[i] = parameters[i].type;
		values[i] = parameters[i].value;
		nulls[i] = parameters[i].is_null ? 'n' : ' ';
	}
	GetUserIdAndSecContext(&caller, &security);
	SetUserIdAndSecContext(owner_of_table(msgtrace_secrets_table()),
						   security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	SPI_connect();
	if (SPI_execute_with_args(statement, count, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not write stored secrets");
	rows = SPI_processed;
	SPI_finish();
	SetUserIdAndSecContext(caller, security);
	ForceSyncCommit();
	return rows;
}

static MsgTraceParameter
text_parameter(const char *text)
{
	MsgTraceParameter parameter = {TEXTOID, (Datum) 0, text == NULL};

	if (text)
		parameter.value = CStringGetTextDatum(text);
	return parameter;
}

static MsgTraceParameter
name_parameter(const char *name)
{
	MsgTraceParameter parameter = {NAMEOID, (Datum) 0, false};
	Name value = palloc0(sizeof(NameData));

	namestrcpy(value, name);
	parameter.value = NameGetDatum(value);
	return parameter;
}

static MsgTraceParameter
expiry_parameter(const MsgTraceSecretWords *words)
{
	MsgTraceParameter parameter = {TIMESTAMPTZOID, TimestampTzGetDatum(words->expires),
								   !words->has_expiry};

	return parameter;
}

MsgTraceParameter
msgtrace_secret_seal(const MsgTraceKey *key, const char *name, const char *value)
{
	MsgTraceParameter parameter = {BYTEAOID, (Datum) 0, false};
	size_t length;
	uint8 *sealed = msgtrace_vault_seal(key, name, value, &length);
	bytea *bytes;

	if (sealed == NULL)
		ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not seal stored secret \"%s\"", name));
	bytes = palloc(VARHDRSZ + length);
	SET_VARSIZE(bytes, VARHDRSZ + length);
	memcpy(VARDATA(bytes), sealed, length);
	parameter.value = PointerGetDatum(bytes);
	return parameter;
}

void
msgtrace_secret_lock_keys(bool alone, const char *command)
{
	LOCKTAG tag;

	PreventCommandDuringRecovery(command);
	PreventCommandIfReadOnly(command);
	SET_LOCKTAG_ADVISORY(tag, InvalidOid, LOCK_FIRST, LOCK_SECOND, LOCK_KIND);
	(void) LockAcquire(&tag, alone ? ExclusiveLock : ShareLock, false, false);
}

/* Seal with the newest key of the server; NULL value gives NULLs. */
static void
seal_with_newest(const MsgTraceSecretWords *words, MsgTraceParameter *sealed,
				 MsgTraceParameter *fingerprint)
{
	MsgTraceKeyRing ring;

	*sealed = (MsgTraceParameter){BYTEAOID, (Datum) 0, true};
	*fingerprint = text_parameter(NULL);
	if (words->value == NULL)
		return;
	msgtrace_secret_lock_keys(false, "storing a secret");
	msgtrace_secrets_read_keys(&ring);
	PG_TRY();
	{
		*sealed = msgtrace_secret_seal(&ring.keys[0], words->name, words->value);
		*fingerprint = text_parameter(ring.keys[0].fingerprint);
	}
	PG_FINALLY();
	{
		msgtrace_vault_wipe(&ring);
	}
	PG_END_TRY();
}

/* --------------------------------------------------------------- checks */

static void
refuse(const char *message, const char *hint)
{
	ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg_internal("%s", message),
			errhint("%s", hint));
}

static void
check_name(const char *name)
{
	size_t length = name ? strlen(name) : 0;

	if (length == 0 || length > MAX_NAME || name[0] == ' ' || name[length - 1] == ' ')
		refuse("invalid name of a stored secret",
			   "A name has 1 to 100 bytes, with no space at its ends.");
	for (const char *c = name; *c; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			refuse("invalid name of a stored secret", "A name has no control characters.");
	}
}

static void
check_value(const char *value)
{
	if (value && (*value == '\0' || strlen(value) > MAX_VALUE))
		refuse("invalid value of a stored secret", "A value has 1 to 65536 bytes.");
}

static void
check_username(const char *username)
{
	if (username && strchr(username, ':'))
		refuse("invalid user name of a stored secret", "A user name cannot have a colon in it.");
}

/* A host, or a host and its port, in lower case. */
static void
check_host(const char *host)
{
	const char *digits = strrchr(host, ':');
	bool bracketed = host[0] == '[';
	size_t name = bracketed ? strcspn(host, "]") + 1 : strcspn(host, ":");
	bool good = name > 0 && name < 256 && name <= strlen(host);

	if (bracketed)
		good = good && strspn(host + 1, "0123456789abcdef:.") == name - 2;
	else
		good = good && strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") == name;
	if (good && host[name] != '\0')
		good = host + name == digits && digits[1] != '\0' &&
			   strspn(digits + 1, "0123456789") == strlen(digits + 1) && strlen(digits + 1) <= 5;
	if (!good)
		refuse(
			"invalid host of a stored secret",
			"Give names such as login.microsoftonline.com, or name:port, without scheme and path.");
}

/* The same hosts in lower case, each checked. */
static ArrayType *
clean_hosts(ArrayType *given)
{
	Datum *hosts;
	bool *nulls;
	int count;

	deconstruct_array(given, TEXTOID, -1, false, TYPALIGN_INT, &hosts, &nulls, &count);
	if (count == 0)
		refuse("no host for a stored secret", "A secret that may be sent nowhere is of no use.");
	for (int i = 0; i < count; i++)
	{
		char *host = nulls[i] ? pstrdup("") : TextDatumGetCString(hosts[i]);

		for (char *c = host; *c; c++)
			*c = (char) pg_ascii_tolower((unsigned char) *c);
		check_host(host);
		hosts[i] = CStringGetTextDatum(host);
	}
	return construct_array(hosts, count, TEXTOID, -1, false, TYPALIGN_INT);
}

static MsgTraceParameter
hosts_parameter(const MsgTraceSecretWords *words)
{
	MsgTraceParameter parameter = {TEXTARRAYOID, (Datum) 0, words->hosts == NULL};

	if (words->hosts)
		parameter.value = PointerGetDatum(clean_hosts(words->hosts));
	return parameter;
}

static void
check_words(const MsgTraceSecretWords *words)
{
	check_name(words->name);
	check_value(words->value);
	check_username(words->username);
}

static bool
is_callers(const MsgTraceSecret *secret)
{
	Oid owner = get_role_oid(secret->owner, true);

	return superuser() || (OidIsValid(owner) && has_privs_of_role(GetUserId(), owner));
}

/* The caller's secret of this name, or an error. */
static MsgTraceSecret *
own_secret(const char *name)
{
	MsgTraceSecret *secret = name ? msgtrace_secrets_find(name) : NULL;

	if (secret == NULL)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("stored secret \"%s\" does not exist", name ? name : ""));
	if (!is_callers(secret))
		ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must be owner of stored secret \"%s\"", name));
	return secret;
}

/* -------------------------------------------------------------- changes */

static void
create(const MsgTraceSecretWords *words)
{
	MsgTraceParameter parameters[7];

	check_words(words);
	if (words->value == NULL)
		refuse("a stored secret needs a value", "Give it as value.");
	parameters[0] = text_parameter(words->name);
	parameters[1] = name_parameter(GetUserNameFromId(GetUserId(), false));
	parameters[4] = text_parameter(words->username && *words->username ? words->username : NULL);
	parameters[5] = hosts_parameter(words);
	parameters[6] = expiry_parameter(words);
	seal_with_newest(words, &parameters[2], &parameters[3]);
	if (msgtrace_secret_write("INSERT INTO o365_msgtrace.secret_store"
							  " (name, owner, sealed, key_fingerprint, username, hosts, expires_at)"
							  " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
							  parameters, lengthof(parameters)) == 0)
		ereport(ERROR, errcode(ERRCODE_DUPLICATE_OBJECT),
				errmsg("stored secret \"%s\" already exists", words->name),
				errhint("alter_secret() and o365_msgtrace.secret_input change one of your own."));
}

static void
alter(const MsgTraceSecretWords *words)
{
	MsgTraceParameter parameters[6];

	check_words(words);
	(void) own_secret(words->name);
	parameters[0] = text_parameter(words->name);
	parameters[3] = text_parameter(words->username);
	parameters[4] = hosts_parameter(words);
	parameters[5] = expiry_parameter(words);
	seal_with_newest(words, &parameters[1], &parameters[2]);
	(void) msgtrace_secret_write(
		"UPDATE o365_msgtrace.secret_store SET"
		" sealed = coalesce($2, sealed),"
		" key_fingerprint = coalesce($3, key_fingerprint),"
		" username = CASE WHEN $4 = '' THEN NULL ELSE coalesce($4, username) END,"
		" hosts = coalesce($5, hosts),"
		" expires_at = nullif(coalesce($6, expires_at), 'infinity'),"
		" changed_at = now() WHERE name = $1",
		parameters, lengthof(parameters));
}

static char *
text_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static MsgTraceSecretWords
words_of_call(FunctionCallInfo fcinfo)
{
	MsgTraceSecretWords words;

	words.name = text_argument(fcinfo, 0);
	words.value = text_argument(fcinfo, 1);
	words.username = text_argument(fcinfo, 2);
	words.hosts = PG_ARGISNULL(3) ? NULL : PG_GETARG_ARRAYTYPE_P(3);
	words.has_expiry = !PG_ARGISNULL(4);
	words.expires = words.has_expiry ? PG_GETARG_TIMESTAMPTZ(4) : 0;
	return words;
}

/* Our copy; the statement's own is the server's. */
static void
wipe_value(MsgTraceSecretWords *words)
{
	if (words->value)
		explicit_bzero(unconstify(char *, words->value), strlen(words->value));
}

ArrayType *
msgtrace_secret_hosts(const char *list)
{
	char *copy = pstrdup(list);
	List *hosts = NIL;
	Datum *values;
	int count = 0;
	char *rest = copy;
	char *part;
	ListCell *cell;

	while ((part = strsep(&rest, ",")) != NULL)
	{
		part += strspn(part, " ");
		part[strcspn(part, " ")] = '\0';
		hosts = lappend(hosts, part);
	}
	values = palloc(list_length(hosts) * sizeof(Datum));
	foreach (cell, hosts)
		values[count++] = CStringGetTextDatum(lfirst(cell));
	return construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT);
}

void
msgtrace_secret_put(MsgTraceSecretWords *words)
{
	check_name(words->name);
	if (msgtrace_secrets_find(words->name))
	{
		alter(words);
		return;
	}
	if (words->hosts == NULL)
		words->hosts = msgtrace_secret_hosts(DEFAULT_HOSTS);
	create(words);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_create_secret);

Datum
o365_msgtrace_create_secret(PG_FUNCTION_ARGS)
{
	MsgTraceSecretWords words = words_of_call(fcinfo);

	if (words.hosts == NULL)
		words.hosts = msgtrace_secret_hosts(DEFAULT_HOSTS);
	create(&words);
	wipe_value(&words);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(o365_msgtrace_alter_secret);

Datum
o365_msgtrace_alter_secret(PG_FUNCTION_ARGS)
{
	MsgTraceSecretWords words = words_of_call(fcinfo);

	alter(&words);
	wipe_value(&words);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(o365_msgtrace_drop_secret);

Datum
o365_msgtrace_drop_secret(PG_FUNCTION_ARGS)
{
	MsgTraceParameter parameters[1];

	parameters[0] = text_parameter(own_secret(text_argument(fcinfo, 0))->name);
	(void) msgtrace_secret_write("DELETE FROM o365_msgtrace.secret_store WHERE name = $1",
								 parameters, lengthof(parameters));
	PG_RETURN_VOID();
}

/* --------------------------------------------------------------- grants */

/* Name and role of a grant, by somebody who may give and take it. */
static void
read_grant(FunctionCallInfo fcinfo, MsgTraceParameter *parameters)
{
	parameters[0] = text_parameter(own_secret(text_argument(fcinfo, 0))->name);
	if (PG_ARGISNULL(1))
		refuse("no role is given", "Name a role, or public.");
	parameters[1] = name_parameter(NameStr(*PG_GETARG_NAME(1)));
}

PG_FUNCTION_INFO_V1(o365_msgtrace_grant_secret);

Datum
o365_msgtrace_grant_secret(PG_FUNCTION_ARGS)
{
	MsgTraceParameter parameters[2];
	const char *role;

	read_grant(fcinfo, parameters);
	role = NameStr(*DatumGetName(parameters[1].value));
	if (strcmp(role, "public") != 0)
		(void) get_role_oid(role, false); /* an error when there is none */
	(void) msgtrace_secret_write("INSERT INTO o365_msgtrace.secret_grant (name, grantee)"
								 " VALUES ($1, $2) ON CONFLICT DO NOTHING",
								 parameters, lengthof(parameters));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(o365_msgtrace_revoke_secret);

/* Of a role that is no more, too. */
Datum
o365_msgtrace_revoke_secret(PG_FUNCTION_ARGS)
{
	MsgTraceParameter parameters[2];

	read_grant(fcinfo, parameters);
	(void) msgtrace_secret_write(
		"DELETE FROM o365_msgtrace.secret_grant WHERE name = $1 AND grantee = $2", parameters,
		lengthof(parameters));
	PG_RETURN_VOID();
}
