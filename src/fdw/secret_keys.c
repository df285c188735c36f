/*-------------------------------------------------------------------------
 *
 * secret_keys.c
 *		SQL functions that make, rotate and drop the keys of stored secrets.
 *
 * The key file serves all databases of the server, and is no part of any
 * transaction.  So a key is never taken out of it in the same step that makes it
 * superfluous: a rotation puts the new key into the file, durably, before it
 * seals anything with it, and leaves the old one there.  Whether it commits,
 * rolls back or crashes, the file has every key that is needed; so it does for a
 * standby that lags behind, when the file is copied to it.  Dropping a key is a
 * step of its own, which nothing that is not durable goes before.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/secret_keys.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fdw/secret_admin.h"
#include "fdw/secrets.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

static void
write_keys(const MsgTraceKeyRing *ring)
{
	char *path = msgtrace_secrets_key_path();

	if (msgtrace_vault_write(ring, path) != MSGTRACE_VAULT_OK)
		ereport(ERROR, errcode_for_file_access(), errmsg("could not write file \"%s\": %m", path));
}

static void
add_key(MsgTraceKeyRing *ring)
{
	if (ring->count == MSGTRACE_MAX_KEYS)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("the key file of stored secrets has %d keys, and room for no more",
					   MSGTRACE_MAX_KEYS),
				errhint("Drop old ones: SELECT o365_msgtrace.drop_secret_key(fingerprint)."));
	if (!msgtrace_vault_add_key(ring))
		ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a random key"));
	write_keys(ring);
}

static Datum
return_row(FunctionCallInfo fcinfo, Datum first, Datum second)
{
	TupleDesc descriptor;
	Datum values[2] = {first, second};
	bool nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

/* --------------------------------------------------------------- create */

static void
check_no_secrets(void)
{
	List *secrets = msgtrace_secrets_all();
	const MsgTraceSecret *first;

	if (secrets == NIL)
		return;
	first = linitial(secrets);
	ereport(
		ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		errmsg("there are secrets of another key"),
		errdetail("Stored secret \"%s\" needs key %s.", first->name, first->fingerprint),
		errhint(
			"Put the file with that key in its place; if it is lost, drop these secrets first."));
}

PG_FUNCTION_INFO_V1(o365_msgtrace_create_secret_key);

Datum
o365_msgtrace_create_secret_key(PG_FUNCTION_ARGS)
{
	MsgTraceKeyRing ring;
	char fingerprint[MSGTRACE_FINGERPRINT_SIZE];
	char *path = msgtrace_secrets_key_path();

	msgtrace_secret_lock_keys(true, "create_secret_key()");
	if (msgtrace_secrets_have_keys(&ring))
	{
		msgtrace_vault_wipe(&ring);
		ereport(ERROR, errcode(ERRCODE_DUPLICATE_FILE), errmsg("file \"%s\" already exists", path),
				errhint("rotate_secret_key() makes a new key."));
	}
	check_no_secrets();
	PG_TRY();
	{
		add_key(&ring);
		strlcpy(fingerprint, ring.keys[0].fingerprint, sizeof(fingerprint));
	}
	PG_FINALLY();
	{
		msgtrace_vault_wipe(&ring);
	}
	PG_END_TRY();
	return return_row(fcinfo, CStringGetTextDatum(path), CStringGetTextDatum(fingerprint));
}

/* --------------------------------------------------------------- rotate */

static bool
is_sealed_with(const MsgTraceSecret *secret, const MsgTraceKey *key)
{
	return strcmp(secret->fingerprint, key->fingerprint) == 0;
}

/* A value is in memory between the two seals only. */
static void
seal_anew(const MsgTraceKeyRing *ring, const MsgTraceSecret *secret)
{
	char *value = msgtrace_secrets_open(msgtrace_secrets_key_of(ring, secret), secret);
	MsgTraceParameter parameters[3] = {
		{TEXTOID, CStringGetTextDatum(secret->name), false},
		{BYTEAOID, (Datum) 0, false},
		{TEXTOID, CStringGetTextDatum(ring->keys[0].fingerprint), false}};

	parameters[1] = msgtrace_secret_seal(&ring->keys[0], secret->name, value);
	explicit_bzero(value, strlen(value));
	(void) msgtrace_secret_write("UPDATE o365_msgtrace.secret_store"
								 " SET sealed = $2, key_fingerprint = $3 WHERE name = $1",
								 parameters, lengthof(parameters));
}

/* Seal what is not sealed with the newest key, which is made when all is. */
static int64
rotate(MsgTraceKeyRing *ring)
{
	List *secrets = msgtrace_secrets_all();
	int64 outdated = 0;
	int64 sealed = 0;
	ListCell *cell;

	foreach (cell, secrets)
	{
		(void) msgtrace_secrets_key_of(ring, lfirst(cell)); /* before anything is done */
		outdated += !is_sealed_with(lfirst(cell), &ring->keys[0]);
	}
	if (outdated == 0)
		add_key(ring);
	foreach (cell, secrets)
	{
		if (is_sealed_with(lfirst(cell), &ring->keys[0]))
			continue;
		seal_anew(ring, lfirst(cell));
		sealed++;
	}
	return sealed;
}

PG_FUNCTION_INFO_V1(o365_msgtrace_rotate_secret_key);

Datum
o365_msgtrace_rotate_secret_key(PG_FUNCTION_ARGS)
{
	MsgTraceKeyRing ring;
	char fingerprint[MSGTRACE_FINGERPRINT_SIZE];
	volatile int64 sealed = 0;

	msgtrace_secret_lock_keys(true, "rotate_secret_key()");
	msgtrace_secrets_read_keys(&ring);
	PG_TRY();
	{
		sealed = rotate(&ring);
		strlcpy(fingerprint, ring.keys[0].fingerprint, sizeof(fingerprint));
	}
	PG_FINALLY();
	{
		msgtrace_vault_wipe(&ring);
	}
	PG_END_TRY();
	return return_row(fcinfo, CStringGetTextDatum(fingerprint), Int64GetDatum(sealed));
}

/* ----------------------------------------------------------------- drop */

/* What this transaction has sealed anew may still be rolled back. */
static void
check_nothing_written(void)
{
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR, errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				errmsg("drop_secret_key() cannot run in a transaction that has changed anything"),
				errhint("Commit first."));
}

static void
drop_key(MsgTraceKeyRing *ring, const char *fingerprint)
{
	ListCell *cell;

	if (strcmp(ring->keys[0].fingerprint, fingerprint) == 0)
		ereport(ERROR, errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("key %s is the newest one", fingerprint),
				errhint("New secrets are sealed with it; rotate_secret_key() makes another."));
	foreach (cell, msgtrace_secrets_all())
	{
		const MsgTraceSecret *secret = lfirst(cell);

		if (strcmp(secret->fingerprint, fingerprint) == 0)
			ereport(ERROR, errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("stored secret \"%s\" needs key %s", secret->name, fingerprint),
					errhint("Call rotate_secret_key() first."));
	}
	if (!msgtrace_vault_drop_key(ring, fingerprint))
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("the key file has no key %s", fingerprint));
	write_keys(ring);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_drop_secret_key);

Datum
o365_msgtrace_drop_secret_key(PG_FUNCTION_ARGS)
{
	MsgTraceKeyRing ring;
	char *fingerprint = text_to_cstring(PG_GETARG_TEXT_PP(0));

	check_nothing_written();
	msgtrace_secret_lock_keys(true, "drop_secret_key()");
	msgtrace_secrets_read_keys(&ring);
	PG_TRY();
	{
		drop_key(&ring, fingerprint);
	}
	PG_FINALLY();
	{
		msgtrace_vault_wipe(&ring);
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}
