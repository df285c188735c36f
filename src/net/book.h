/*-------------------------------------------------------------------------
 *
 * book.h
 *		The book of all budgets: tenants, and who holds or wants a slot of theirs.
 *
 * The memory may be shared: callers hold its lock.  Nothing here allocates or
 * throws.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_BOOK_H
#define MSGTRACE_BOOK_H

#include "postgres.h"

#include "net/window.h"
#include "storage/latch.h"

/* Tenants with a budget of their own at a time, each with 32 kB of stamps. */
#define MSGTRACE_MAX_TENANTS 64

/* Slots held and waited for at a time, of all tenants. */
#define MSGTRACE_MAX_CLAIMS 1024

#define MSGTRACE_MAX_TENANT 256
#define MSGTRACE_MAX_API 32

/* A slot that is held, or that a session waits for: it may want several. */
typedef struct MsgTraceClaim
{
	uint64 ticket; /* whose it is, never used twice; 0 = this entry is free */
	int turn;	   /* how many of its session wait for the same before it */
	uint64 place;  /* among those whose turn it is as well: ascending */
	int tenant;
	Oid database; /* of the server that it is for */
	Oid server;
	int pid;
	Latch *latch;
	bool held;
	bool batch;
	bool unsure;	  /* waits for what has no time yet */
	int64 look_at;	  /* when it will ask again, if not woken before; 0 = it has not asked */
	int64 granted_at; /* of a slot that is held */
} MsgTraceClaim;

typedef struct MsgTraceTenant
{
	char name[MSGTRACE_MAX_TENANT]; /* empty = this entry is free */
	char api[MSGTRACE_MAX_API];
	int64 busy_until;			 /* some of what it has still counts */
	int64 interactive_waited_at; /* the last time that one had to; 0 = never */
	int64 paused_until;			 /* because of a 429 */
	int64 paused_at;			 /* when the latest 429 said so */
	int throttlings;			 /* 429s in a row, each after the pause before it */
	MsgTraceWindow window;		 /* last: most of it is never touched */
} MsgTraceTenant;

typedef struct MsgTraceBook
{
	uint64 last_ticket;
	uint64 last_place;
	int64 checked_at; /* for processes that are gone */
	int claim_count;  /* entries ever used */
	MsgTraceClaim claims[MSGTRACE_MAX_CLAIMS];
	MsgTraceTenant tenants[MSGTRACE_MAX_TENANTS];
} MsgTraceBook;

/* Who else has or wants slots of a tenant. */
typedef struct MsgTraceQueue
{
	int held;
	int interactive; /* waiting */
	int batch;		 /* likewise */
	int ahead;		 /* of those, who goes before the one in question */
} MsgTraceQueue;

extern void msgtrace_book_init(MsgTraceBook *book);

/* The tenant's number, new or not; -1 when the book is full of tenants in use. */
extern int msgtrace_book_tenant(MsgTraceBook *book, const char *name, const char *api, int64 now,
								bool *is_new);

/* A new claim of this process; NULL when there are too many already. */
extern MsgTraceClaim *msgtrace_book_claim(MsgTraceBook *book, int tenant, Oid server, bool batch);

/*
 * Has it a slot now?  If not, its `look_at` says when to ask again.
 */
extern bool msgtrace_book_try(MsgTraceBook *book, MsgTraceClaim *claim,
							  const MsgTraceBudgetTerms *terms, int64 now);

/* A slot that was held counts for a window from now; who only waited leaves. */
extern void msgtrace_book_end(MsgTraceBook *book, MsgTraceClaim *claim, int64 now);

/* The same for all claims of a process. */
extern void msgtrace_book_end_process(MsgTraceBook *book, int pid, int64 now);

/* Before it is looked at: those of processes that are gone end, all others are in use. */
extern void msgtrace_book_update(MsgTraceBook *book, int64 now);

/* `own` is the claim in question, or NULL. */
extern MsgTraceQueue msgtrace_book_queue(const MsgTraceBook *book, int tenant,
										 const MsgTraceClaim *own, int64 now);

#endif /* MSGTRACE_BOOK_H */
