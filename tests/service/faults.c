/*
 * faults.c
 *	  The queue of what shall go wrong with the next requests.
 *
 * A request takes the first fault in the queue that is meant for its class and
 * has nothing left to skip; those before it in the queue that are still
 * skipping count the request.
 */
#include "faults.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FAULTS 1000

/* Where a row from outside of the window is from, unless that is said. */
#define OUTSIDE_SECONDS (-3600)

static const char *const names[FAULT_KINDS] = {[FAULT_NONE] = "none",
											   [FAULT_STATUS] = "status",
											   [FAULT_HTML] = "html",
											   [FAULT_CUT] = "cut",
											   [FAULT_ENDLESS] = "endless",
											   [FAULT_HANG] = "hang",
											   [FAULT_DRIP] = "drip",
											   [FAULT_POISONED_LINK] = "poisoned_link",
											   [FAULT_FOREIGN_LINK] = "foreign_link",
											   [FAULT_LOOPING_LINK] = "looping_link",
											   [FAULT_EMPTY_PAGE] = "empty_page_with_link",
											   [FAULT_REPEAT_ROW] = "repeat_row",
											   [FAULT_BAD_ROW] = "bad_row",
											   [FAULT_OUTSIDE_ROW] = "outside_row",
											   [FAULT_INVALID_UTF8] = "invalid_utf8",
											   [FAULT_NUL_ESCAPE] = "nul_escape",
											   [FAULT_LONE_SURROGATE] = "lone_surrogate",
											   [FAULT_EXPIRE_TOKEN] = "expire_token",
											   [FAULT_DELAY] = "delay",
											   [FAULT_RESET] = "reset",
											   [FAULT_CLOCK_SKEW] = "clock_skew"};

/* The variants a fault may name; the first is the default. */
typedef struct VariantInfo
{
	FaultKind kind;
	const char *member;
	const char *values[8];
} VariantInfo;

static const VariantInfo variants[] = {
	{FAULT_HANG, "where", {"headers", "body"}},
	{FAULT_ENDLESS, "what", {"spaces", "rows"}},
	{FAULT_POISONED_LINK, "kind", {"encoded_twice", "recipient"}},
	{FAULT_BAD_ROW,
	 "kind",
	 {"no_received", "no_id", "no_recipient", "number_subject", "garbage_time", "long_key"}},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Fault *queue; /* guarded by lock, as is its count */
static size_t queue_count;

const char *
fault_name(FaultKind kind)
{
	return names[kind];
}

static bool
take_number(const json_t *order, const char *name, int64_t missing, int64_t least, int64_t *value,
			Buffer *error)
{
	const json_t *member = json_object_get(order, name);

	*value = missing;
	if (member == NULL)
		return true;
	if (!json_is_integer(member) || json_integer_value(member) < least)
	{
		buffer_printf(error, "\"%s\" must be a whole number, at least %lld", name,
					  (long long) least);
		return false;
	}
	*value = (int64_t) json_integer_value(member);
	return true;
}

/* A string, or a number taken as its text. */
static bool
take_text(const json_t *order, const char *name, char *value, size_t room, Buffer *error)
{
	const json_t *member = json_object_get(order, name);
	int length = 0;

	value[0] = '\0';
	if (json_is_integer(member))
		length = snprintf(value, room, "%lld", (long long) json_integer_value(member));
	else if (json_is_string(member))
		length = snprintf(value, room, "%s", json_string_value(member));
	else if (member != NULL)
		length = -1;
	if (length < 0 || (size_t) length >= room)
	{
		buffer_printf(error, "\"%s\" must be a text of less than %zu bytes", name, room);
		return false;
	}
	return true;
}

static bool
take_variant(const json_t *order, Fault *fault, Buffer *error)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
	{
		const VariantInfo *info = &variants[i];

		if (info->kind != fault->kind)
			continue;
		if (!take_text(order, info->member, fault->variant, sizeof(fault->variant), error))
			return false;
		if (fault->variant[0] == '\0')
			snprintf(fault->variant, sizeof(fault->variant), "%s", info->values[0]);
		for (int k = 0; k < 8 && info->values[k]; k++)
			if (strcmp(info->values[k], fault->variant) == 0)
				return true;
		buffer_printf(error, "\"%s\" of fault \"%s\" cannot be \"%s\"", info->member,
					  names[fault->kind], fault->variant);
		return false;
	}
	return true;
}

static bool
take_kind(const json_t *order, Fault *fault, Buffer *error)
{
	const char *name = json_string_value(json_object_get(order, "fault"));

	for (int kind = FAULT_NONE + 1; name && kind < FAULT_KINDS; kind++)
		if (strcmp(names[kind], name) == 0)
			fault->kind = (FaultKind) kind;
	if (fault->kind == FAULT_NONE)
		buffer_printf(error, "unknown fault \"%s\"", name ? name : "");
	return fault->kind != FAULT_NONE;
}

static bool
take_class(const json_t *order, Fault *fault, Buffer *error)
{
	const json_t *member = json_object_get(order, "on");
	const char *on = member ? json_string_value(member) : "any";

	if (on && strcmp(on, "list") == 0)
		fault->on = CLASS_LIST;
	else if (on && strcmp(on, "detail") == 0)
		fault->on = CLASS_DETAIL;
	else if (on && strcmp(on, "token") == 0)
		fault->on = CLASS_TOKEN;
	else if (on && strcmp(on, "any") == 0)
		fault->on = CLASS_ANY;
	else
		buffer_add_text(error, "\"on\" must be list, detail, token or any");
	return fault->on != 0;
}

static bool
check_members(const json_t *order, Buffer *error)
{
	static const char *const known[] = {"on",	  "fault",
										"count",  "skip",
										"status", "retry_after",
										"body",	  "after",
										"bytes",  "bytes_per_second",
										"ms",	  "seconds",
										"row",	  "kind",
										"where",  "what",
										"url",	  "retry_after_date"};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *) order, name, value)
	{
		bool found = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found = found || strcmp(known[i], name) == 0;
		if (found)
			continue;
		buffer_printf(error, "unknown member \"%s\" of a fault", name);
		return false;
	}
	return true;
}

static bool
take_fault(const json_t *order, Fault *fault, Buffer *error)
{
	const char *after = json_object_get(order, "bytes") ? "bytes" : "after";

	memset(fault, 0, sizeof(*fault));
	if (!json_is_object(order))
	{
		buffer_add_text(error, "a fault must be an object");
		return false;
	}
	fault->has_body = json_object_get(order, "body") != NULL;
	fault->has_retry_date = json_object_get(order, "retry_after_date") != NULL;
	return check_members(order, error) && take_kind(order, fault, error) &&
		   take_class(order, fault, error) &&
		   take_number(order, "count", 1, 1, &fault->count, error) &&
		   take_number(order, "skip", 0, 0, &fault->skip, error) &&
		   take_number(order, "status", 503, 200, &fault->status, error) &&
		   take_number(order, after, -1, 0, &fault->after, error) &&
		   take_number(order, "bytes_per_second", 100, 1, &fault->bytes_per_second, error) &&
		   take_number(order, "ms", 1000, 0, &fault->ms, error) &&
		   take_number(order, "seconds", fault->kind == FAULT_OUTSIDE_ROW ? OUTSIDE_SECONDS : 0,
					   INT64_MIN, &fault->seconds, error) &&
		   take_number(order, "row", -1, 0, &fault->row, error) &&
		   take_number(order, "retry_after_date", 0, INT64_MIN, &fault->retry_after_date, error) &&
		   take_text(order, "retry_after", fault->retry_after, sizeof(fault->retry_after), error) &&
		   take_text(order, "url", fault->url, sizeof(fault->url), error) &&
		   take_text(order, "body", fault->body, sizeof(fault->body), error) &&
		   take_variant(order, fault, error);
}

static bool
post_array(const json_t *array, Buffer *error)
{
	size_t count = json_array_size(array);
	Fault *posted = calloc(count + 1, sizeof(Fault));
	bool good = posted != NULL;

	for (size_t i = 0; i < count && good; i++)
		good = take_fault(json_array_get(array, i), &posted[i], error);
	pthread_mutex_lock(&lock);
	if (good && queue_count + count > MAX_FAULTS)
	{
		buffer_printf(error, "the queue holds at most %d faults", MAX_FAULTS);
		good = false;
	}
	if (good && queue == NULL)
		good = (queue = calloc(MAX_FAULTS, sizeof(Fault))) != NULL;
	if (good)
	{
		memcpy(queue + queue_count, posted, count * sizeof(Fault));
		queue_count += count;
	}
	pthread_mutex_unlock(&lock);
	free(posted);
	return good;
}

/*
 * Takes a JSON array of faults, or one alone: all of them, or none with the
 * reason in error.
 */
bool
faults_post(const char *json, size_t length, Buffer *error)
{
	json_error_t where;
	json_t *document = json_loadb(json, length, 0, &where);
	bool good = false;

	if (document == NULL)
		buffer_printf(error, "line %d: %s", where.line, where.text);
	else if (json_is_object(document))
	{
		json_t *array = json_array();

		json_array_append_new(array, document);
		document = array;
	}
	if (document && !json_is_array(document))
		buffer_add_text(error, "an array of faults is expected");
	else if (document)
		good = post_array(document, error);
	json_decref(document);
	return good;
}

void
faults_clear(void)
{
	pthread_mutex_lock(&lock);
	queue_count = 0;
	pthread_mutex_unlock(&lock);
}

/* What is left, as a JSON array. */
void
faults_show(Buffer *out)
{
	static const char *const classes[] = {[CLASS_LIST] = "list",
										  [CLASS_DETAIL] = "detail",
										  [CLASS_TOKEN] = "token",
										  [CLASS_ANY] = "any"};

	buffer_add_text(out, "[");
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < queue_count; i++)
		buffer_printf(out, "%s{\"fault\":\"%s\",\"on\":\"%s\",\"count\":%lld,\"skip\":%lld}",
					  i ? "," : "", names[queue[i].kind], classes[queue[i].on],
					  (long long) queue[i].count, (long long) queue[i].skip);
	pthread_mutex_unlock(&lock);
	buffer_add_text(out, "]\n");
}

static void
remove_at(size_t i)
{
	queue_count--;
	memmove(queue + i, queue + i + 1, (queue_count - i) * sizeof(Fault));
}

/*
 * The fault for a request of this class, if there is one.
 */
bool
faults_take(int request_class, Fault *fault)
{
	bool taken = false;

	fault->kind = FAULT_NONE;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < queue_count && !taken; i++)
	{
		if ((queue[i].on & request_class) == 0)
			continue;
		if (queue[i].skip > 0)
		{
			queue[i].skip--;
			continue;
		}
		*fault = queue[i];
		taken = true;
		if (--queue[i].count == 0)
			remove_at(i);
	}
	pthread_mutex_unlock(&lock);
	return taken;
}
