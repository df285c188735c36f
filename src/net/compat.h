/*-------------------------------------------------------------------------
 *
 * compat.h
 *		The differences between PostgreSQL 15 and 18, all of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_COMPAT_H
#define MSGTRACE_COMPAT_H

#include "postgres.h"

/* 16: the parser's actions return a result */
#if PG_VERSION_NUM >= 160000
#define MsgTraceJsonResult JsonParseErrorType
#define MSGTRACE_JSON_CONTINUE return JSON_SUCCESS
#else
#define MsgTraceJsonResult void
#define MSGTRACE_JSON_CONTINUE return
#endif

/* 17: the lexer's context may be the caller's own */
#if PG_VERSION_NUM >= 170000
#define msgtrace_json_lexer(json, length) \
	makeJsonLexContextCstringLen(NULL, json, length, PG_UTF8, true)
#else
#define msgtrace_json_lexer(json, length) \
	makeJsonLexContextCstringLen(json, (int) (length), PG_UTF8, true)
#endif

/* 16: the user whom a scan is checked as moved from the range table to the plan */
#if PG_VERSION_NUM >= 160000
#define msgtrace_check_as_user(node) (((ForeignScan *) (node)->ss.ps.plan)->checkAsUser)
#else
#define msgtrace_check_as_user(node)                                                     \
	(exec_rt_fetch(bms_next_member(((ForeignScan *) (node)->ss.ps.plan)->fs_relids, -1), \
				   (node)->ss.ps.state)                                                  \
		 ->checkAsUser)
#endif

/* 16: one function for the privileges on objects of all kinds */
#if PG_VERSION_NUM >= 160000
#define msgtrace_server_aclcheck(server, user, mode) \
	object_aclcheck(ForeignServerRelationId, server, user, mode)
#else
#define msgtrace_server_aclcheck(server, user, mode) pg_foreign_server_aclcheck(server, user, mode)
#endif

/* 16: an input function may say of a value that it is bad without raising an error */
#if PG_VERSION_NUM >= 160000
#define MSGTRACE_SOFT_ERROR_HEADER "nodes/miscnodes.h"
#define MsgTraceSoftError ErrorSaveContext
#define MSGTRACE_NO_SOFT_ERROR                             \
	{                                                      \
		.type = T_ErrorSaveContext, .details_wanted = true \
	}
#define msgtrace_soft_error_words(error) ((error)->error_data->message)
#define msgtrace_input_softly(function, text, io_param, typmod, error, value) \
	InputFunctionCallSafe(function, text, io_param, typmod, (Node *) (error), value)
#else
#define MSGTRACE_SOFT_ERROR_HEADER "fmgr.h"
#define MsgTraceSoftError int
#define MSGTRACE_NO_SOFT_ERROR 0
#define msgtrace_soft_error_words(error) NULL
#define msgtrace_input_softly(function, text, io_param, typmod, error, value) \
	((void) (error), *(value) = InputFunctionCall(function, text, io_param, typmod), true)
#endif

/* 17 and 18: more arguments where paths are made */
#if PG_VERSION_NUM >= 180000
#define msgtrace_foreignscan_path(root, rel, rows, startup, total, keys, outer, own) \
	create_foreignscan_path(root, rel, NULL, rows, 0, startup, total, keys, outer, NULL, NIL, own)
#elif PG_VERSION_NUM >= 170000
#define msgtrace_foreignscan_path(root, rel, rows, startup, total, keys, outer, own) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, keys, outer, NULL, NIL, own)
#else
#define msgtrace_foreignscan_path(root, rel, rows, startup, total, keys, outer, own) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, keys, outer, NULL, own)
#endif

/* 17 and 18: the same of paths of joins; 17 wants to know what is checked in them */
#if PG_VERSION_NUM >= 180000
#define msgtrace_foreign_join_path(root, rel, rows, startup, total, clauses)                     \
	create_foreign_join_path(root, rel, NULL, rows, 0, startup, total, NIL, NULL, NULL, clauses, \
							 NIL)
#elif PG_VERSION_NUM >= 170000
#define msgtrace_foreign_join_path(root, rel, rows, startup, total, clauses) \
	create_foreign_join_path(root, rel, NULL, rows, startup, total, NIL, NULL, NULL, clauses, NIL)
#else
#define msgtrace_foreign_join_path(root, rel, rows, startup, total, clauses) \
	((void) (clauses),                                                       \
	 create_foreign_join_path(root, rel, NULL, rows, startup, total, NIL, NULL, NULL, NIL))
#endif

/* 18: a path key says how it compares instead of naming a strategy of btree */
#if PG_VERSION_NUM >= 180000
#define msgtrace_pathkey_descends(key) ((key)->pk_cmptype == COMPARE_GT)
#else
#define msgtrace_pathkey_descends(key) ((key)->pk_strategy == BTGreaterStrategyNumber)
#endif

/* 18: what a path is disabled by is counted, and goes before its cost */
#if PG_VERSION_NUM >= 180000
#define msgtrace_discourage_path(path) ((path)->disabled_nodes += 1000)
#else
#define msgtrace_discourage_path(path) ((void) (path))
#endif

/* 18: stands before the function it is of, and has another name */
#if PG_VERSION_NUM >= 180000
#define MSGTRACE_NORETURN pg_noreturn
#else
#define MSGTRACE_NORETURN __attribute__((noreturn))
#endif

/* 18: EXPLAIN's state and its formatting have headers of their own */
#if PG_VERSION_NUM >= 180000
#define MSGTRACE_EXPLAIN_STATE_HEADER "commands/explain_state.h"
#define MSGTRACE_EXPLAIN_FORMAT_HEADER "commands/explain_format.h"
#else
#define MSGTRACE_EXPLAIN_STATE_HEADER "commands/explain.h"
#define MSGTRACE_EXPLAIN_FORMAT_HEADER "commands/explain.h"
#endif

/* 17: a set of things to wait for belongs to a resource owner instead of a context */
#include "storage/latch.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#if PG_VERSION_NUM >= 170000
#define msgtrace_wait_event_set(size) CreateWaitEventSet(NULL, size)
#else
#define msgtrace_wait_event_set(size) CreateWaitEventSet(CurrentMemoryContext, size)
#endif

/* 17: waits and segments of shared memory may have names of their own */
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 170000
#include "storage/dsm_registry.h"
static inline void *
msgtrace_named_segment(const char *name, Size size, void (*init)(void *memory))
{
	bool found;

	return GetNamedDSMSegment(name, size, init, &found);
}
#define msgtrace_wait_event_new(name) WaitEventExtensionNew(name)
#else
#define msgtrace_named_segment(name, size, init) ((void) (init), NULL)
#define msgtrace_wait_event_new(name) ((void) (name), PG_WAIT_EXTENSION)
#endif

/* 16: one function for the rights to all kinds of objects */
#if PG_VERSION_NUM >= 160000
#define msgtrace_may_use_server(server, role) \
	(object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE) == ACLCHECK_OK)
#define msgtrace_owns_server(server, role) object_ownercheck(ForeignServerRelationId, server, role)
#else
#define msgtrace_may_use_server(server, role) \
	(pg_foreign_server_aclcheck(server, role, ACL_USAGE) == ACLCHECK_OK)
#define msgtrace_owns_server(server, role) pg_foreign_server_ownercheck(server, role)
#endif

#endif /* MSGTRACE_COMPAT_H */
