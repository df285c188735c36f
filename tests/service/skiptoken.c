/*
 * skiptoken.c
 *	  The $skiptoken of Graph's list: where the next page begins.
 *
 * Base64 of {"StartDate","EndDate","StartingRecipientAddress","ResultSize"} like
 * the real one. Ours has a member more: the last row's id, without which rows
 * of one moment and one recipient could not be told apart; or, when rows are
 * shuffled, the walk's ordinals.
 */
#include "skiptoken.h"

#include "base64.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void
set_text(json_t *object, const char *name, const char *value, bool twice)
{
	json_t *text = json_string(value);

	if (twice)
	{
		char *encoded = json_dumps(text, JSON_ENCODE_ANY);

		json_decref(text);
		text = json_string(encoded);
		free(encoded);
	}
	json_object_set_new(object, name, text);
}

static void
set_moment(json_t *object, const char *name, Tick moment, bool twice)
{
	char text[MOMENT_TEXT_SIZE];

	moment_write(text, moment, 7, true);
	set_text(object, name, text, twice);
}

static json_t *
token_object(const SkipToken *token, long page_size, SkipTokenHealth health)
{
	bool twice = health == SKIPTOKEN_ENCODED_TWICE;
	json_t *object = json_object();
	char position[80];

	set_moment(object, "StartDate", token->from, twice);
	set_moment(object, "EndDate", token->mark.shuffled ? token->to : token->mark.received, twice);
	set_text(object, "StartingRecipientAddress",
			 health == SKIPTOKEN_BAD_RECIPIENT ? "nobody@nowhere.example" : token->mark.recipient,
			 twice);
	json_object_set_new(object, "ResultSize", json_integer(page_size));
	if (token->mark.shuffled)
	{
		snprintf(position, sizeof(position), "%" PRId64 ":%" PRIu64 ":%" PRIu32, token->mark.cell,
				 token->mark.message, token->mark.delivery);
		set_text(object, "Position", position, twice);
	}
	else
		set_text(object, "MessageTraceId", token->mark.id, twice);
	return object;
}

/*
 * Adds the token; every other one goes without its padding.
 */
void
skiptoken_write(Buffer *out, const SkipToken *token, long page_size, SkipTokenHealth health)
{
	json_t *object = token_object(token, page_size, health);
	char *text = json_dumps(object, JSON_COMPACT);

	base64_add(out, text, strlen(text), false);
	if (token->mark.received / TICKS_PER_SECOND % 2)
		while (out->length > 0 && out->data[out->length - 1] == '=')
			out->length--;
	free(text);
	json_decref(object);
}

static bool
get_moment(const json_t *object, const char *name, Tick *moment)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && moment_parse(text, strlen(text), true, moment);
}

static bool
get_text(const json_t *object, const char *name, char *out, size_t room)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && (size_t) snprintf(out, room, "%s", text) < room;
}

static bool
read_object(const json_t *object, SkipToken *token)
{
	WalkMark *mark = &token->mark;
	const char *position = json_string_value(json_object_get(object, "Position"));
	int used = 0;

	if (!get_moment(object, "StartDate", &token->from) ||
		!get_moment(object, "EndDate", &token->to) ||
		!get_text(object, "StartingRecipientAddress", mark->recipient, sizeof(mark->recipient)) ||
		!json_is_integer(json_object_get(object, "ResultSize")))
		return false;
	mark->received = token->to;
	mark->shuffled = position != NULL;
	if (position)
		return sscanf(position, "%" SCNd64 ":%" SCNu64 ":%" SCNu32 "%n", &mark->cell,
					  &mark->message, &mark->delivery, &used) == 3 &&
			   position[used] == '\0';
	return get_text(object, "MessageTraceId", mark->id, sizeof(mark->id));
}

bool
skiptoken_read(const char *text, SkipToken *token)
{
	Buffer json = {0};
	json_t *object = NULL;
	bool good;

	memset(token, 0, sizeof(*token));
	if (base64_decode(&json, text))
		object = json_loadb(json.data ? json.data : "", json.length, 0, NULL);
	good = json_is_object(object) && read_object(object, token);
	json_decref(object);
	buffer_free(&json);
	return good;
}
