/*-------------------------------------------------------------------------
 *
 * atom.h
 *		One comparison that the service can be asked for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_ATOM_H
#define MSGTRACE_ATOM_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fdw/options.h"
#include "fdw/pattern.h"
#include "fdw/relation.h"
#include "nodes/pathnodes.h"

/* Those of received first, in the order of their btree strategies. */
typedef enum MsgTraceAtomKind
{
	MSGTRACE_RECEIVED_LT,
	MSGTRACE_RECEIVED_LE,
	MSGTRACE_RECEIVED_EQ,
	MSGTRACE_RECEIVED_GE,
	MSGTRACE_RECEIVED_GT,
	MSGTRACE_EQUAL,		   /* a field equals the value */
	MSGTRACE_EQUAL_LOWER,  /* lower(field) does */
	MSGTRACE_EQUAL_CITEXT, /* it does but for case */
	MSGTRACE_LIKE,		   /* the subject is like the value */
	MSGTRACE_ILIKE,
	MSGTRACE_ILIKE_C, /* ILIKE that knows no case beyond ASCII */
	MSGTRACE_BEGINS,  /* the subject begins with the value */
	MSGTRACE_GATE	  /* the value is true; of no field */
} MsgTraceAtomKind;

/* The relation whose conditions are looked at. */
typedef struct MsgTraceTable
{
	const MsgTraceRelation *described;
	TupleDesc desc;
	const MsgTraceSettings *settings;
	int varno;
} MsgTraceTable;

typedef struct MsgTraceAtom
{
	MsgTraceAtomKind kind;
	MsgTraceField field;
	bool any; /* the value is an array: one of its elements */
	Expr *value;
} MsgTraceAtom;

/*
 * Read a clause as an atom.  NULL when it is one; else why it is none, in words
 * that follow "because".
 */
extern const char *msgtrace_atom_read(MsgTraceAtom *atom, PlannerInfo *root,
									  const MsgTraceTable *table, Expr *clause);

#endif /* MSGTRACE_ATOM_H */
