/*
 * given.c
 *	  Rows that a test posted, served beside the generated ones.
 *
 * The current set is replaced as a whole and counted by its users, so that a
 * page in progress keeps the set it began with and needs no lock.
 */
#include "given.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GivenSet *current;

/* Rows are shared between successive sets and are freed at exit only. */
static GivenRow **all_rows;
static size_t all_count;

static GivenSet *
empty_set(void)
{
	GivenSet *set = calloc(1, sizeof(GivenSet));

	if (set == NULL)
		abort();
	set->users = 1;
	return set;
}

/* Caller holds the lock. */
static void
drop(GivenSet *set)
{
	if (--set->users > 0)
		return;
	free(set->rows);
	free(set);
}

GivenSet *
given_acquire(void)
{
	GivenSet *set;

	pthread_mutex_lock(&lock);
	if (current == NULL)
		current = empty_set();
	set = current;
	set->users++;
	pthread_mutex_unlock(&lock);
	return set;
}

void
given_release(GivenSet *set)
{
	if (set == NULL)
		return;
	pthread_mutex_lock(&lock);
	drop(set);
	pthread_mutex_unlock(&lock);
}

/* Caller holds the lock. */
static void
replace(GivenSet *set)
{
	if (current)
		drop(current);
	current = set;
}

void
given_clear(void)
{
	pthread_mutex_lock(&lock);
	replace(empty_set());
	pthread_mutex_unlock(&lock);
}

/* The index of the first row that was received at or after `from`. */
size_t
given_first_from(const GivenSet *set, Tick from)
{
	size_t low = 0;
	size_t high = set->count;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (set->rows[middle]->received < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int
compare_keys(const void *left, const void *right)
{
	const GivenRow *a = *(GivenRow *const *) left;
	const GivenRow *b = *(GivenRow *const *) right;
	int result = strcasecmp(a->id, b->id);

	return result ? result : strcasecmp(a->recipient, b->recipient);
}

static int
compare_times(const void *left, const void *right)
{
	const GivenRow *a = *(GivenRow *const *) left;
	const GivenRow *b = *(GivenRow *const *) right;

	if (a->received != b->received)
		return a->received < b->received ? -1 : 1;
	return compare_keys(left, right);
}

static bool
is_guid(const char *text)
{
	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : strchr("0123456789abcdefABCDEF", text[i]) == NULL)
			return false;
	}
	return true;
}

/* A string member; null or absent gives NULL. */
static bool
take_string(const json_t *object, const char *name, bool required, char **value, Buffer *error)
{
	const json_t *member = json_object_get(object, name);

	*value = NULL;
	if ((member == NULL || json_is_null(member)) && !required)
		return true;
	if (!json_is_string(member))
	{
		buffer_printf(error, "\"%s\" of a row must be a string", name);
		return false;
	}
	*value = strdup(json_string_value(member));
	return true;
}

/* What a row has beside the known members, to be sent on with it. */
static char *
extra_members(const json_t *object)
{
	static const char *const known[] = {
		"id",		   "receivedDateTime", "recipientAddress", "senderAddress", "messageId",
		"subject",	   "status",		   "fromIP",		   "toIP",			"size",
		"visibleAfter"};
	json_t *rest = json_copy((json_t *) object);
	char *text = NULL;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		json_object_del(rest, known[i]);
	if (json_object_size(rest) > 0)
	{
		text = json_dumps(rest, JSON_COMPACT);
		memmove(text, text + 1, strlen(text));
		text[strlen(text) - 1] = '\0';
	}
	json_decref(rest);
	return text;
}

static bool
take_times(GivenRow *row, const json_t *object, Buffer *error)
{
	char *after = NULL;
	bool good;

	if (!moment_parse(row->received_text, strlen(row->received_text), false, &row->received))
	{
		buffer_printf(error, "\"receivedDateTime\" is no time: %s", row->received_text);
		return false;
	}
	row->visible = INT64_MIN;
	if (!take_string(object, "visibleAfter", false, &after, error))
		return false;
	good = after == NULL || moment_parse(after, strlen(after), false, &row->visible);
	if (!good)
		buffer_printf(error, "\"visibleAfter\" is no time: %s", after);
	free(after);
	return good;
}

static bool
take_row(GivenRow *row, const json_t *object, Buffer *error)
{
	const json_t *size = json_object_get(object, "size");

	if (!json_is_object(object))
	{
		buffer_add_text(error, "a row must be an object");
		return false;
	}
	if (!take_string(object, "id", true, &row->id, error) ||
		!take_string(object, "receivedDateTime", true, &row->received_text, error) ||
		!take_string(object, "recipientAddress", true, &row->recipient, error) ||
		!take_string(object, "senderAddress", false, &row->sender, error) ||
		!take_string(object, "messageId", false, &row->message_id, error) ||
		!take_string(object, "subject", false, &row->subject, error) ||
		!take_string(object, "status", false, &row->status, error) ||
		!take_string(object, "fromIP", false, &row->from_ip, error) ||
		!take_string(object, "toIP", false, &row->to_ip, error) || !take_times(row, object, error))
		return false;
	if (!is_guid(row->id))
	{
		buffer_printf(error, "\"id\" is no GUID: %s", row->id);
		return false;
	}
	if (size && !json_is_integer(size))
	{
		buffer_add_text(error, "\"size\" of a row must be an integer");
		return false;
	}
	row->size = size ? (int64_t) json_integer_value(size) : 0;
	row->extra = extra_members(object);
	return true;
}

/* Registers a new row so that it is reachable to the end of the program. */
static GivenRow *
new_row(void)
{
	GivenRow *row = calloc(1, sizeof(GivenRow));

	all_rows = realloc(all_rows, (all_count + 1) * sizeof(GivenRow *));
	if (row == NULL || all_rows == NULL)
		abort();
	all_rows[all_count++] = row;
	return row;
}

static bool
is_posted_again(const GivenRow *row, GivenRow **posted, size_t count)
{
	return bsearch(&row, posted, count, sizeof(GivenRow *), compare_keys) != NULL;
}

/*
 * Joins the current rows and the posted ones; a posted row takes the place of
 * an older one with its key. Caller holds the lock.
 */
static void
join_rows(GivenRow **posted, size_t count)
{
	GivenSet *set = empty_set();

	set->rows = malloc((count + (current ? current->count : 0) + 1) * sizeof(GivenRow *));
	if (set->rows == NULL)
		abort();
	qsort(posted, count, sizeof(GivenRow *), compare_keys);
	for (size_t i = 0; current && i < current->count; i++)
		if (!is_posted_again(current->rows[i], posted, count))
			set->rows[set->count++] = current->rows[i];
	for (size_t i = 0; i < count; i++)
		if (i == 0 || compare_keys(&posted[i - 1], &posted[i]) != 0)
			set->rows[set->count++] = posted[i];
	qsort(set->rows, set->count, sizeof(GivenRow *), compare_times);
	replace(set);
}

static bool
post_array(const json_t *array, Buffer *error)
{
	size_t count = json_array_size(array);
	GivenRow **posted = calloc(count + 1, sizeof(GivenRow *));
	bool good = true;

	if (posted == NULL)
		abort();
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count && good; i++)
	{
		posted[i] = new_row();
		good = take_row(posted[i], json_array_get(array, i), error);
	}
	if (good)
		join_rows(posted, count);
	pthread_mutex_unlock(&lock);
	free(posted);
	return good;
}

/*
 * Takes a JSON array of rows: all of them, or none with the reason in error.
 */
bool
given_post(const char *json, size_t length, Buffer *error)
{
	json_error_t where;
	json_t *array = json_loadb(json, length, 0, &where);
	bool good = false;

	if (array == NULL)
		buffer_printf(error, "line %d: %s", where.line, where.text);
	else if (!json_is_array(array))
		buffer_add_text(error, "an array of rows is expected");
	else
		good = post_array(array, error);
	json_decref(array);
	return good;
}
