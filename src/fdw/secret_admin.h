/*-------------------------------------------------------------------------
 *
 * secret_admin.h
 *		SQL functions that store, change, drop and grant secrets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SECRET_ADMIN_H
#define MSGTRACE_SECRET_ADMIN_H

#include "postgres.h"

#include "auth/vault.h"
#include "datatype/timestamp.h"
#include "utils/array.h"

/* What is said of a secret; NULL where nothing is. */
typedef struct MsgTraceSecretWords
{
	const char *name;
	const char *value;
	const char *username; /* "" = none */
	ArrayType *hosts;	  /* of text, as given */
	bool has_expiry;
	TimestampTz expires; /* infinity = never */
} MsgTraceSecretWords;

/* Change the caller's secret of this name, or make one. */
extern void msgtrace_secret_put(MsgTraceSecretWords *words);

/* A text's parts between commas, less spaces around them. */
extern ArrayType *msgtrace_secret_hosts(const char *list);

/* A value that stands in a statement in the place of $1, $2 …; NULL is NULL. */
typedef struct MsgTraceParameter
{
	Oid type;
	Datum value;
	bool is_null;
} MsgTraceParameter;

/*
 * Run a statement on the extension's own tables by the rights of their owner;
 * the caller has checked who asks.  Returns the number of rows.  Its commit is
 * never lost in a crash, so that nothing which it made superfluous is missed.
 */
extern uint64 msgtrace_secret_write(const char *statement, const MsgTraceParameter *parameters,
									int count);

/*
 * Lock the key file, of the whole server, until the transaction ends: together
 * with others who seal with it, or alone, who changes it.  An error where nothing
 * may be written.
 */
extern void msgtrace_secret_lock_keys(bool alone, const char *command);

/* The value as it is kept; an error when it cannot be sealed. */
extern MsgTraceParameter msgtrace_secret_seal(const MsgTraceKey *key, const char *name,
											  const char *value);

#endif /* MSGTRACE_SECRET_ADMIN_H */
