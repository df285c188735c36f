/*-------------------------------------------------------------------------
 *
 * document.c
 *		Small JSON documents of the service, read by jansson.
 *
 * The server exports a function named json_object, and so does jansson: a call
 * to that one would reach the server's.  Objects are made by json_pack.
 *
 *-------------------------------------------------------------------------
 */
#include "net/document.h"

#include <jansson.h>

#include "lib/stringinfo.h"
#include "utils/palloc.h"

#define MAX_MEMBER_NAME 64

struct MsgTraceDocument
{
	json_t *root;
	MemoryContextCallback release;
};

static void
release_root(void *arg)
{
	MsgTraceDocument *document = arg;

	json_decref(document->root); /* ignores NULL */
	document->root = NULL;
}

MsgTraceDocument *
msgtrace_document_read(const char *text, size_t length)
{
	MsgTraceDocument *document = palloc0(sizeof(MsgTraceDocument));
	json_error_t error;

	document->release.func = release_root;
	document->release.arg = document;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &document->release);

	document->root = json_loadb(text, length, JSON_ALLOW_NUL, &error);
	if (!json_is_object(document->root))
	{
		release_root(document);
		return NULL;
	}
	return document;
}

/* Gives the document's memory back early; the context would do it later. */
void
msgtrace_document_free(MsgTraceDocument *document)
{
	if (document)
		release_root(document);
}

static json_t *
find_member(const MsgTraceDocument *document, const char *path)
{
	json_t *node = document->root;

	while (node && *path)
	{
		char name[MAX_MEMBER_NAME];
		size_t length = strcspn(path, "/");

		if (length >= sizeof(name))
			return NULL;
		memcpy(name, path, length);
		name[length] = '\0';
		node = json_object_get(node, name);
		path += length + (path[length] == '/');
	}
	return node;
}

const char *
msgtrace_document_string(const MsgTraceDocument *document, const char *path)
{
	return json_string_value(find_member(document, path));
}

bool
msgtrace_document_integer(const MsgTraceDocument *document, const char *path, int64 *value)
{
	json_t *node = find_member(document, path);

	if (json_is_integer(node))
	{
		*value = json_integer_value(node);
		return true;
	}
	if (json_is_string(node))
	{
		char *end;

		errno = 0;
		*value = strtoll(json_string_value(node), &end, 10);
		return errno == 0 && end != json_string_value(node) && *end == '\0';
	}
	return false;
}

char *
msgtrace_document_strings(const MsgTraceDocument *document, const char *path)
{
	json_t *array = find_member(document, path);
	StringInfoData text;

	if (!json_is_array(array))
		return NULL;
	initStringInfo(&text);
	for (size_t i = 0; i < json_array_size(array); i++)
	{
		const char *member = json_string_value(json_array_get(array, i));

		if (member)
			appendStringInfo(&text, "%s%s", text.len > 0 ? " " : "", member);
	}
	return text.data;
}

static bool
add_member(json_t *object, const MsgTraceMember *member)
{
	json_t *value = member->string ? json_string(member->string) : json_integer(member->number);

	return json_object_set_new(object, member->name, value) == 0; /* refuses NULL */
}

/* The text of an object that is jansson's to free, or NULL. */
static char *
dump_members(const MsgTraceMember *members, int count)
{
	json_t *object = json_pack("{}");
	bool complete = object != NULL;
	char *text;

	for (int i = 0; complete && i < count; i++)
		complete = add_member(object, &members[i]);
	text = complete ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return text;
}

char *
msgtrace_document_write(const MsgTraceMember *members, int count)
{
	char *text = dump_members(members, count);
	char *copy;

	if (text == NULL)
		return NULL;
	copy = MemoryContextAllocExtended(CurrentMemoryContext, strlen(text) + 1, MCXT_ALLOC_NO_OOM);
	if (copy)
		memcpy(copy, text, strlen(text) + 1);
	free(text);
	return copy;
}
