/*-------------------------------------------------------------------------
 *
 * book.c
 *		The book of all budgets: tenants, and who holds or wants a slot of theirs.
 *
 * Nobody hands out slots.  A session asks, and gets one if so many are free that
 * there is one for each who goes before it: who came earlier, and for a batch job
 * all interactive ones, too.  A session that wants several at once has no more
 * of the queue for it: the second goes behind the first of everybody else, and so
 * on, and with each that it gets it goes to the end.  Else it is told when that will be, as far as that is
 * known: a slot that is held now will count from a time that nobody knows, and who
 * waits for such a one is woken when its time is known, or when somebody before
 * it leaves.
 *
 *-------------------------------------------------------------------------
 */
#include "net/book.h"

#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

/* Of the budget, what is kept for interactive queries that have had to wait. */
#define RESERVE_DIVISOR 10
#define MAX_RESERVE 5

/* How long anybody waits without looking again, whatever was told. */
#define LONGEST_WAIT (10 * USECS_PER_SEC)

/* Who is so late to look is not waited for. */
#define PATIENCE (5 * USECS_PER_SEC)

/* How often it is looked for processes that are gone. */
#define CHECK_INTERVAL USECS_PER_SEC

void
msgtrace_book_init(MsgTraceBook *book)
{
	memset(book, 0, offsetof(MsgTraceBook, tenants));
	for (int i = 0; i < MSGTRACE_MAX_TENANTS; i++)
		book->tenants[i].name[0] = '\0';
}

/* -------------------------------------------------------------- tenants */

/* Does nothing of it count any more? */
static bool
is_idle(const MsgTraceBook *book, int tenant, int64 now)
{
	if (book->tenants[tenant].busy_until > now)
		return false;
	for (int i = 0; i < book->claim_count; i++)
	{
		if (book->claims[i].ticket != 0 && book->claims[i].tenant == tenant)
			return false;
	}
	return true;
}

static void
make_tenant(MsgTraceTenant *tenant, const char *name, const char *api)
{
	memset(tenant, 0, offsetof(MsgTraceTenant, window));
	strlcpy(tenant->name, name, sizeof(tenant->name));
	strlcpy(tenant->api, api, sizeof(tenant->api));
	msgtrace_window_clear(&tenant->window);
}

int
msgtrace_book_tenant(MsgTraceBook *book, const char *name, const char *api, int64 now, bool *is_new)
{
	int place = -1;

	for (int i = 0; i < MSGTRACE_MAX_TENANTS; i++)
	{
		const MsgTraceTenant *tenant = &book->tenants[i];

		*is_new = false;
		if (strcmp(tenant->name, name) == 0 && strcmp(tenant->api, api) == 0)
			return i;
		if (place < 0 && (tenant->name[0] == '\0' || is_idle(book, i, now)))
			place = i;
	}
	*is_new = place >= 0;
	if (place >= 0)
		make_tenant(&book->tenants[place], name, api);
	return place;
}

/* --------------------------------------------------------------- claims */

/* Does it wait for the same in the same session? */
static bool
is_sibling(const MsgTraceClaim *claim, const MsgTraceClaim *other)
{
	return claim != other && claim->ticket != 0 && !claim->held && claim->pid == other->pid &&
		   claim->tenant == other->tenant && claim->batch == other->batch;
}

static void
enter_queue(MsgTraceBook *book, MsgTraceClaim *claim)
{
	claim->place = ++book->last_place;
	for (int i = 0; i < book->claim_count; i++)
		claim->turn += is_sibling(&book->claims[i], claim);
}

/* Those behind it move up, and if it got a slot, their session has had its turn. */
static void
leave_queue(MsgTraceBook *book, const MsgTraceClaim *claim, bool served)
{
	for (int i = 0; i < book->claim_count; i++)
	{
		MsgTraceClaim *sibling = &book->claims[i];

		if (!is_sibling(sibling, claim))
			continue;
		sibling->turn -= sibling->turn > claim->turn;
		if (served)
			sibling->place = ++book->last_place;
	}
}

MsgTraceClaim *
msgtrace_book_claim(MsgTraceBook *book, int tenant, Oid server, bool batch)
{
	int place = 0;
	MsgTraceClaim *claim;

	while (place < book->claim_count && book->claims[place].ticket != 0)
		place++;
	if (place == MSGTRACE_MAX_CLAIMS)
		return NULL;
	book->claim_count = Max(book->claim_count, place + 1);
	claim = &book->claims[place];
	memset(claim, 0, sizeof(*claim));
	claim->ticket = ++book->last_ticket;
	claim->tenant = tenant;
	claim->database = MyDatabaseId;
	claim->server = server;
	claim->pid = MyProcPid;
	claim->latch = MyLatch;
	claim->batch = batch;
	enter_queue(book, claim);
	return claim;
}

/* All who wait for the tenant, or only who waits for what has no time yet. */
static void
wake(MsgTraceBook *book, int tenant, bool only_unsure)
{
	for (int i = 0; i < book->claim_count; i++)
	{
		MsgTraceClaim *claim = &book->claims[i];

		if (claim->ticket != 0 && claim->tenant == tenant && !claim->held &&
			(claim->unsure || !only_unsure))
			SetLatch(claim->latch);
	}
}

void
msgtrace_book_end(MsgTraceBook *book, MsgTraceClaim *claim, int64 now)
{
	MsgTraceTenant *tenant = &book->tenants[claim->tenant];

	claim->ticket = 0;
	if (!claim->held)
		leave_queue(book, claim, false);
	else
	{
		msgtrace_window_spend(&tenant->window, now);
		tenant->busy_until = Max(tenant->busy_until,
								 now + msgtrace_window_longest(&tenant->window));
	}
	wake(book, claim->tenant, claim->held);
}

void
msgtrace_book_end_process(MsgTraceBook *book, int pid, int64 now)
{
	for (int i = 0; i < book->claim_count; i++)
	{
		if (book->claims[i].ticket != 0 && book->claims[i].pid == pid)
			msgtrace_book_end(book, &book->claims[i], now);
	}
}

/* They should have ended their claims themselves: this is for when they could not. */
static void
end_dead(MsgTraceBook *book, int64 now)
{
	if (now - book->checked_at < CHECK_INTERVAL)
		return;
	book->checked_at = now;
	for (int i = 0; i < book->claim_count; i++)
	{
		const MsgTraceClaim *claim = &book->claims[i];

		if (claim->ticket != 0 && claim->pid != MyProcPid && BackendPidGetProc(claim->pid) == NULL)
			msgtrace_book_end_process(book, claim->pid, now);
	}
}

void
msgtrace_book_update(MsgTraceBook *book, int64 now)
{
	end_dead(book, now);
	for (int i = 0; i < book->claim_count; i++)
	{
		const MsgTraceClaim *claim = &book->claims[i];

		if (claim->ticket != 0)
			msgtrace_window_touch(&book->tenants[claim->tenant].window, claim->database,
								  claim->server, now);
	}
}

/* ------------------------------------------------------------- the queue */

static bool
goes_before(const MsgTraceClaim *one, const MsgTraceClaim *other)
{
	if (one->batch != other->batch)
		return other->batch;
	if (one->turn != other->turn)
		return one->turn < other->turn;
	return one->place < other->place;
}

MsgTraceQueue
msgtrace_book_queue(const MsgTraceBook *book, int tenant, const MsgTraceClaim *own, int64 now)
{
	MsgTraceQueue queue = {0};

	for (int i = 0; i < book->claim_count; i++)
	{
		const MsgTraceClaim *claim = &book->claims[i];

		if (claim->ticket == 0 || claim->tenant != tenant)
			continue;
		if (claim->held)
			queue.held++;
		else if (claim != own)
		{
			queue.interactive += !claim->batch;
			queue.batch += claim->batch;
			queue.ahead += own && goes_before(claim, own) && now <= claim->look_at + PATIENCE;
		}
	}
	return queue;
}

/* What a batch job leaves to interactive queries; `until` is the end of that. */
static int
reserve_of(const MsgTraceTenant *tenant, const MsgTraceBudgetTerms *terms, int64 now, int64 *until)
{
	*until = tenant->interactive_waited_at + terms->window * INT64CONST(1000);
	if (!terms->batch || tenant->interactive_waited_at == 0 || *until <= now)
		return 0;
	return Min(msgtrace_window_lowest(&tenant->window, now) / RESERVE_DIVISOR, MAX_RESERVE);
}

/* When there will be a slot for this claim, as things are now. */
static int64
slot_at(const MsgTraceBook *book, const MsgTraceClaim *claim, const MsgTraceBudgetTerms *terms,
		int64 now)
{
	const MsgTraceTenant *tenant = &book->tenants[claim->tenant];
	MsgTraceQueue queue = msgtrace_book_queue(book, claim->tenant, claim, now);
	int64 until;
	int reserve = reserve_of(tenant, terms, now, &until);
	int64 at = msgtrace_window_free_at(&tenant->window, queue.held, queue.ahead + 1 + reserve, now);

	if (reserve > 0 && at > now)
		at = Min(at, until);
	return Max(at, tenant->paused_until);
}

bool
msgtrace_book_try(MsgTraceBook *book, MsgTraceClaim *claim, const MsgTraceBudgetTerms *terms,
				  int64 now)
{
	int64 at = slot_at(book, claim, terms, now);
	bool has_waited = claim->look_at != 0;

	if (!claim->batch && (at > now || has_waited))
		book->tenants[claim->tenant].interactive_waited_at = now;
	if (at <= now)
	{
		leave_queue(book, claim, true);
		claim->held = true;
		claim->granted_at = now;
		return true;
	}
	claim->unsure = at == MSGTRACE_NOT_KNOWN;
	claim->look_at = Min(at, now + LONGEST_WAIT);
	return false;
}
