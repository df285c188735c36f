/*-------------------------------------------------------------------------
 *
 * budget.c
 *		The tenant's budget: so many requests in a rolling window, for all
 *		sessions together.
 *
 * The book of all budgets is in shared memory where that can be had, so that a
 * tenant's is one for all databases of the server.  This file is a session's way
 * to it.
 *
 * Who ends without giving back what it has (an error, a cancel, the end of its
 * backend) does so by the reset callback of its memory context or at the exit of
 * its process; should even that fail, others see that the process is gone.
 *
 *-------------------------------------------------------------------------
 */
#include "net/budget.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

/* A 429 without a time: this long, times how many came in a row. */
#define THROTTLED_PAUSE (30 * USECS_PER_SEC)
#define MAX_THROTTLED_PAUSE (300 * USECS_PER_SEC)
#define MAX_THROTTLINGS 10

/* Before it is looked again whether a book that was full still is. */
#define FULL_BOOK_WAIT USECS_PER_SEC

struct MsgTraceBudget
{
	const MsgTraceBudgetTerms *terms;
	Oid server_id;
	char tenant[MSGTRACE_MAX_TENANT];
	char api[MSGTRACE_MAX_API];
	MsgTraceBook *book; /* where its claim is */
	int claim;			/* which one */
	uint64 ticket;		/* whether it still is; 0 = it has none */
	MemoryContextCallback callback;
};

static void
init_book(void *memory)
{
	msgtrace_book_init(memory);
}

static MsgTraceShared area = {
	.name = "o365_msgtrace budget", .size = sizeof(MsgTraceBook), .init = init_book};

/* For tenants beyond those that the shared one can hold. */
static MsgTraceBook *private_book = NULL;

void
msgtrace_budget_request(void)
{
	msgtrace_shared_request(&area);
}

static MsgTraceBook *
shared_book(void)
{
	return msgtrace_shared_memory(&area);
}

static MsgTraceBook *
spare_book(void)
{
	if (private_book == NULL)
		private_book = msgtrace_shared_make_private(&area);
	return private_book;
}

static void
lock(MsgTraceBook *book)
{
	if (book != private_book)
		msgtrace_shared_lock(&area);
}

static void
unlock(MsgTraceBook *book)
{
	if (book != private_book)
		msgtrace_shared_unlock(&area);
}

/* ------------------------------------------------------------- lifetimes */

static void
end_claims_in(MsgTraceBook *book)
{
	lock(book);
	msgtrace_book_end_process(book, MyProcPid, msgtrace_uptime());
	unlock(book);
}

static void
on_exit_of_process(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	end_claims_in(shared_book());
}

/*
 * A cursor that fails in a subtransaction keeps its memory until it is closed, and
 * with it what it has in flight.  Nothing tells which cursors those are, so all
 * slots count from now: a request that was sent is on the service's books, and one
 * that goes on needs its slot no more.
 */
static void
on_subtransaction(SubXactEvent event, SubTransactionId own pg_attribute_unused(),
				  SubTransactionId parent pg_attribute_unused(), void *arg pg_attribute_unused())
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	end_claims_in(shared_book());
	if (private_book)
		end_claims_in(private_book);
}

/* What may throw comes before the lock is taken. */
static void
prepare(void)
{
	static bool prepared = false;

	(void) shared_book();
	if (prepared)
		return;
	before_shmem_exit(on_exit_of_process, (Datum) 0);
	RegisterSubXactCallback(on_subtransaction, NULL);
	prepared = true;
}

static void
on_owner_gone(void *arg)
{
	msgtrace_budget_release(arg);
}

MsgTraceBudget *
msgtrace_budget_open(MemoryContext context, const MsgTraceBudgetTerms *terms, Oid server_id)
{
	MsgTraceBudget *budget = MemoryContextAllocZero(context, sizeof(MsgTraceBudget));

	budget->terms = terms;
	budget->server_id = server_id;
	budget->callback.func = on_owner_gone;
	budget->callback.arg = budget;
	MemoryContextRegisterResetCallback(context, &budget->callback);
	return budget;
}

void
msgtrace_budget_set_tenant(MsgTraceBudget *budget, const char *tenant, const char *api,
						   bool detail_apart)
{
	strlcpy(budget->tenant, tenant, sizeof(budget->tenant));
	snprintf(budget->api, sizeof(budget->api), "%s%s", api, detail_apart ? ":detail" : "");
}

/* ----------------------------------------------------------------- slots */

/* The budget's own claim, as long as it has one. */
static MsgTraceClaim *
claim_of(const MsgTraceBudget *budget)
{
	MsgTraceClaim *claim = budget->ticket != 0 ? &budget->book->claims[budget->claim] : NULL;

	return claim && claim->ticket == budget->ticket ? claim : NULL;
}

/* Nobody knows what was asked for before a restart: half of it, say. */
static void
count_as_half_used(MsgTraceTenant *tenant, const MsgTraceBudgetTerms *terms, int64 now)
{
	int64 born = msgtrace_shared_born(&area);
	int64 until = born + terms->window * INT64CONST(1000);

	if (until <= now)
		return;
	for (int i = 0; i < terms->requests / 2; i++)
		msgtrace_window_spend(&tenant->window, born);
	tenant->busy_until = until;
}

/* False when the book has no room for the tenant. */
static bool
find_tenant(const MsgTraceBudget *budget, MsgTraceBook *book, int64 now, int *tenant)
{
	bool is_new;

	*tenant = msgtrace_book_tenant(book, budget->tenant, budget->api, now, &is_new);
	if (is_new && book != private_book && area.sharing != MSGTRACE_OF_BACKEND)
		count_as_half_used(&book->tenants[*tenant], budget->terms, now);
	return *tenant >= 0;
}

static void
note_use(const MsgTraceBudget *budget, MsgTraceTenant *tenant, int64 now)
{
	MsgTraceWindowUser user = {.database = MyDatabaseId,
							   .server = budget->server_id,
							   .requests = budget->terms->requests,
							   .window = budget->terms->window * INT64CONST(1000),
							   .used_at = now};

	msgtrace_window_use(&tenant->window, &user);
}

/*
 * Claim a slot in this book.  False when it has no room for the tenant; else
 * `look_at` is 0 when there is a slot, or the time to ask again.
 */
static bool
take_in(MsgTraceBudget *budget, MsgTraceBook *book, int64 now, int64 *look_at)
{
	MsgTraceClaim *claim = claim_of(budget);
	int tenant;

	*look_at = now + FULL_BOOK_WAIT;
	if (claim == NULL)
	{
		if (!find_tenant(budget, book, now, &tenant))
			return false;
		claim = msgtrace_book_claim(book, tenant, budget->server_id, budget->terms->batch);
		if (claim == NULL)
			return true;
		budget->book = book;
		budget->claim = (int) (claim - book->claims);
		budget->ticket = claim->ticket;
	}
	note_use(budget, &book->tenants[claim->tenant], now);
	if (claim->held || msgtrace_book_try(book, claim, budget->terms, now))
		*look_at = 0;
	else
		*look_at = claim->look_at;
	return true;
}

bool
msgtrace_budget_take(MsgTraceBudget *budget, int64 *wait)
{
	MsgTraceBook *book;
	bool has_room;
	int64 now;
	int64 look_at;

	*wait = 0;
	if (budget->terms->requests == 0)
		return true;
	prepare();
	book = claim_of(budget) ? budget->book : shared_book();
	lock(book);
	now = msgtrace_uptime();
	msgtrace_book_update(book, now);
	has_room = take_in(budget, book, now, &look_at);
	unlock(book);
	if (!has_room)
		(void) take_in(budget, spare_book(), now, &look_at);
	if (look_at != 0)
		*wait = Max((look_at - now + 999) / 1000, 1);
	return look_at == 0;
}

void
msgtrace_budget_release(MsgTraceBudget *budget)
{
	MsgTraceClaim *claim;

	if (budget->ticket == 0)
		return;
	lock(budget->book);
	claim = claim_of(budget);
	if (claim)
		msgtrace_book_end(budget->book, claim, msgtrace_uptime());
	unlock(budget->book);
	budget->ticket = 0;
}

/* ----------------------------------------------------------------- 429s */

/* Was this slot had after the latest 429 was known?  Else they are one event. */
static bool
is_after_pause(const MsgTraceTenant *tenant, const MsgTraceClaim *claim)
{
	return claim->granted_at >= tenant->paused_at;
}

static void
pause_tenant(MsgTraceTenant *tenant, const MsgTraceClaim *claim, int64 delay, int64 now)
{
	int64 pause = delay * 1000;

	if (is_after_pause(tenant, claim))
	{
		tenant->throttlings = Min(tenant->throttlings + 1, MAX_THROTTLINGS);
		tenant->paused_at = now;
	}
	if (delay < 0)
		pause = Min(THROTTLED_PAUSE * tenant->throttlings, MAX_THROTTLED_PAUSE);
	tenant->paused_until = Max(tenant->paused_until, now + pause);
	tenant->busy_until = Max(tenant->busy_until, tenant->paused_until);
}

void
msgtrace_budget_throttle(MsgTraceBudget *budget, int64 delay)
{
	MsgTraceClaim *claim;

	if (budget->ticket == 0)
		return;
	lock(budget->book);
	claim = claim_of(budget);
	if (claim)
		pause_tenant(&budget->book->tenants[claim->tenant], claim, delay, msgtrace_uptime());
	unlock(budget->book);
}

void
msgtrace_budget_succeed(MsgTraceBudget *budget)
{
	MsgTraceClaim *claim;

	if (budget->ticket == 0)
		return;
	lock(budget->book);
	claim = claim_of(budget);
	if (claim && is_after_pause(&budget->book->tenants[claim->tenant], claim))
		budget->book->tenants[claim->tenant].throttlings = 0;
	unlock(budget->book);
}

int
msgtrace_budget_throttlings(MsgTraceBudget *budget)
{
	int throttlings = 0;
	MsgTraceClaim *claim;

	if (budget->ticket == 0)
		return 0;
	lock(budget->book);
	claim = claim_of(budget);
	if (claim)
	{
		const MsgTraceTenant *tenant = &budget->book->tenants[claim->tenant];

		throttlings = tenant->throttlings - !is_after_pause(tenant, claim);
	}
	unlock(budget->book);
	return throttlings;
}

/* ------------------------------------------------------------ for a view */

int
msgtrace_budget_max(void)
{
	return 2 * MSGTRACE_MAX_TENANTS;
}

static void
show_users(MsgTraceQuota *quota, const MsgTraceWindow *window, int64 now)
{
	quota->user_count = 0;
	for (int i = 0; i < window->user_count; i++)
	{
		const MsgTraceWindowUser *user = &window->users[i];

		if (!msgtrace_window_user_is_current(user, now))
			continue;
		quota->users[quota->user_count].database = user->database;
		quota->users[quota->user_count++].server = user->server;
	}
}

/* False when nobody has used it lately. */
static bool
show_tenant(MsgTraceQuota *quota, const MsgTraceBook *book, int index, int64 now)
{
	const MsgTraceTenant *tenant = &book->tenants[index];
	MsgTraceQueue queue = msgtrace_book_queue(book, index, NULL, now);
	const MsgTraceWindowUser *terms = msgtrace_window_strictest(&tenant->window, queue.held, now,
																&quota->used);
	int64 at = msgtrace_window_free_at(&tenant->window, queue.held, 1, now);

	if (terms == NULL)
		return false;
	memcpy(quota->tenant, tenant->name, sizeof(quota->tenant));
	memcpy(quota->api, tenant->api, sizeof(quota->api));
	quota->requests = terms->requests;
	quota->window = (int) (terms->window / 1000);
	quota->in_flight = queue.held;
	quota->interactive = queue.interactive;
	quota->batch = queue.batch;
	quota->throttlings = tenant->throttlings;
	quota->paused = Max(tenant->paused_until - now, 0);
	quota->next_slot = at == MSGTRACE_NOT_KNOWN ? -1 : Max(Max(at, tenant->paused_until) - now, 0);
	show_users(quota, &tenant->window, now);
	return true;
}

static int
list_book(MsgTraceQuota *quotas, MsgTraceBook *book, MsgTraceSharing sharing)
{
	int64 now;
	int count = 0;

	lock(book);
	now = msgtrace_uptime();
	msgtrace_book_update(book, now);
	for (int i = 0; i < MSGTRACE_MAX_TENANTS; i++)
	{
		if (book->tenants[i].name[0] == '\0' || !show_tenant(&quotas[count], book, i, now))
			continue;
		quotas[count++].sharing = sharing;
	}
	unlock(book);
	return count;
}

int
msgtrace_budget_list(MsgTraceQuota *quotas)
{
	int count = list_book(quotas, shared_book(), msgtrace_budget_sharing());

	if (private_book)
		count += list_book(quotas + count, private_book, MSGTRACE_OF_BACKEND);
	return count;
}

MsgTraceSharing
msgtrace_budget_sharing(void)
{
	return msgtrace_shared_sharing(&area);
}
