/*-------------------------------------------------------------------------
 *
 * keyset.c
 *		The keys delivered from one slice, so that none is delivered twice.
 *
 * (Or from all slices of a question, where a row may come with another slice than
 * its own.)  A page may repeat the last row of the one before, and a slice may be read
 * again.  Keys are compared whole: two rows are never taken for one because
 * their hashes are alike.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/keyset.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

typedef struct Key
{
	pg_uuid_t id;
	const char *recipient;
} Key;

typedef struct KeyEntry
{
	Key key; /* its text is the keyset's own copy */
	uint32 hash;
	char status; /* simplehash's */
} KeyEntry;

static inline uint32
hash_key(Key key)
{
	uint64 seed;

	memcpy(&seed, key.id.data, sizeof(seed));
	return (uint32) hash_bytes_extended((const unsigned char *) key.recipient,
										(int) strlen(key.recipient), seed);
}

static inline bool
equal_keys(Key one, Key other)
{
	return memcmp(one.id.data, other.id.data, UUID_LEN) == 0 &&
		   strcmp(one.recipient, other.recipient) == 0;
}

#define SH_PREFIX keytable
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE Key
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_key(key)
#define SH_EQUAL(table, one, other) equal_keys(one, other)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* About one page; it grows. */
#define FIRST_SIZE 4096

struct MsgTraceKeyset
{
	MemoryContext context;
	keytable_hash *table;
};

MsgTraceKeyset *
msgtrace_keyset_create(void)
{
	MsgTraceKeyset *keyset = palloc(sizeof(MsgTraceKeyset));

	keyset->context = CurrentMemoryContext;
	keyset->table = keytable_create(CurrentMemoryContext, FIRST_SIZE, NULL);
	return keyset;
}

/* Add the row's key; false when it is there already. */
static bool
add_key(MsgTraceKeyset *keyset, const MsgTraceRow *row)
{
	Key key = {.id = row->id, .recipient = row->recipient};
	KeyEntry *entry;
	bool found;

	entry = keytable_insert(keyset->table, key, &found);
	if (!found)
		entry->key.recipient = MemoryContextStrdup(keyset->context, row->recipient);
	return !found;
}

static bool
lies_in(const MsgTraceRow *row, const MsgTraceSlice *slice)
{
	return slice == NULL || (row->received >= slice->from && row->received < slice->to);
}

int
msgtrace_keyset_keep_new(MsgTraceKeyset *keyset, MsgTraceRow *rows, int count,
						 const MsgTraceSlice *slice)
{
	int kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (lies_in(&rows[i], slice) && add_key(keyset, &rows[i]))
			rows[kept++] = rows[i];
	}
	return kept;
}
