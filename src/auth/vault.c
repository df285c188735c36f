/*-------------------------------------------------------------------------
 *
 * vault.c
 *		Keys that lie in a file, and what is sealed with them.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/vault.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"

#define FIRST_LINE "o365_msgtrace secret keys, version 1\n"
#define KEY_DIGITS (2 * MSGTRACE_KEY_LENGTH)
#define MAX_FILE_SIZE (sizeof(FIRST_LINE) - 1 + MSGTRACE_MAX_KEYS * (KEY_DIGITS + 1))

/* What a sealed text begins with. */
#define SEAL_VERSION 1
#define SEAL_START (1 + MSGTRACE_NONCE_LENGTH)

static const char hex_digits[] = "0123456789abcdef";

/* ---------------------------------------------------------------- keys */

static void
write_hex(char *text, const uint8 *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		*text++ = hex_digits[bytes[i] >> 4];
		*text++ = hex_digits[bytes[i] & 15];
	}
	*text = '\0';
}

static bool
read_hex(uint8 *bytes, const char *text, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		const char *high = text[0] ? strchr(hex_digits, text[0]) : NULL;
		const char *low = high && text[1] ? strchr(hex_digits, text[1]) : NULL;

		if (low == NULL)
			return false;
		bytes[i] = (uint8) ((high - hex_digits) << 4 | (low - hex_digits));
		text += 2;
	}
	return true;
}

/* The start of a digest of the key, which tells nothing of the key itself. */
static bool
note_fingerprint(MsgTraceKey *key)
{
	char digits[KEY_DIGITS + 1];
	const char *parts[] = {"o365_msgtrace key", digits};
	MsgTraceDigest digest;
	bool done;

	write_hex(digits, key->bytes, sizeof(key->bytes));
	done = msgtrace_digest(&digest, parts, lengthof(parts));
	explicit_bzero(digits, sizeof(digits));
	if (done)
		write_hex(key->fingerprint, digest.bytes, (MSGTRACE_FINGERPRINT_SIZE - 1) / 2);
	return done;
}

bool
msgtrace_vault_add_key(MsgTraceKeyRing *ring)
{
	Assert(ring->count < MSGTRACE_MAX_KEYS);
	memmove(&ring->keys[1], &ring->keys[0], ring->count * sizeof(MsgTraceKey));
	ring->count++;
	return pg_strong_random(ring->keys[0].bytes, sizeof(ring->keys[0].bytes)) &&
		   note_fingerprint(&ring->keys[0]);
}

bool
msgtrace_vault_drop_key(MsgTraceKeyRing *ring, const char *fingerprint)
{
	MsgTraceKey *key = unconstify(MsgTraceKey *, msgtrace_vault_find(ring, fingerprint));

	if (key == NULL)
		return false;
	memmove(key, key + 1, (ring->keys + ring->count - (key + 1)) * sizeof(MsgTraceKey));
	ring->count--;
	explicit_bzero(&ring->keys[ring->count], sizeof(MsgTraceKey));
	return true;
}

const MsgTraceKey *
msgtrace_vault_find(const MsgTraceKeyRing *ring, const char *fingerprint)
{
	for (int i = 0; i < ring->count; i++)
	{
		if (strcmp(ring->keys[i].fingerprint, fingerprint) == 0)
			return &ring->keys[i];
	}
	return NULL;
}

void
msgtrace_vault_wipe(MsgTraceKeyRing *ring)
{
	explicit_bzero(ring, sizeof(*ring));
}

/* ---------------------------------------------------------------- file */

static bool
parse_ring(MsgTraceKeyRing *ring, const char *text, size_t length)
{
	size_t start = sizeof(FIRST_LINE) - 1;

	if (length <= start || (length - start) % (KEY_DIGITS + 1) != 0 ||
		strncmp(text, FIRST_LINE, start) != 0)
		return false;
	for (const char *line = text + start; line < text + length; line += KEY_DIGITS + 1)
	{
		MsgTraceKey *key = &ring->keys[ring->count++];

		if (line[KEY_DIGITS] != '\n' || !read_hex(key->bytes, line, sizeof(key->bytes)) ||
			!note_fingerprint(key))
			return false;
	}
	return true;
}

/* To the end; the number of bytes, or -1. */
static ssize_t
read_file(int file, char *text, size_t size)
{
	size_t used = 0;

	while (used < size)
	{
		ssize_t got = read(file, text + used, size - used);

		if (got == 0)
			break;
		if (got < 0 && errno != EINTR)
			return -1;
		used += (size_t) Max(got, 0);
	}
	return (ssize_t) used;
}

/* Whoever reads the file can open every secret: it is for the server's account alone. */
static MsgTraceVaultResult
check_file(int file)
{
	struct stat facts;

	if (fstat(file, &facts) != 0)
		return MSGTRACE_VAULT_UNREADABLE;
	if (!S_ISREG(facts.st_mode))
		return MSGTRACE_VAULT_MALFORMED;
	if (facts.st_uid != geteuid() || (facts.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return MSGTRACE_VAULT_EXPOSED;
	return MSGTRACE_VAULT_OK;
}

MsgTraceVaultResult
msgtrace_vault_read(MsgTraceKeyRing *ring, const char *path)
{
	char text[MAX_FILE_SIZE + 1]; /* one more than it may have */
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	MsgTraceVaultResult result;
	ssize_t length = -1;

	memset(ring, 0, sizeof(*ring));
	if (file < 0)
		return errno == ENOENT ? MSGTRACE_VAULT_MISSING : MSGTRACE_VAULT_UNREADABLE;
	result = check_file(file);
	if (result == MSGTRACE_VAULT_OK)
	{
		length = read_file(file, text, sizeof(text));
		if (length < 0)
			result = MSGTRACE_VAULT_UNREADABLE;
		else if (length > (ssize_t) MAX_FILE_SIZE || !parse_ring(ring, text, (size_t) length))
			result = MSGTRACE_VAULT_MALFORMED;
	}
	explicit_bzero(text, sizeof(text));
	close(file);
	return result;
}

static size_t
print_ring(char *text, const MsgTraceKeyRing *ring)
{
	size_t length = sizeof(FIRST_LINE) - 1;

	memcpy(text, FIRST_LINE, length);
	for (int i = 0; i < ring->count; i++)
	{
		write_hex(text + length, ring->keys[i].bytes, sizeof(ring->keys[i].bytes));
		length += KEY_DIGITS;
		text[length++] = '\n';
	}
	return length;
}

static bool
write_file(const char *path, const char *text, size_t length)
{
	int file;
	bool done;

	(void) unlink(path); /* what a crash has left */
	file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
	if (file < 0)
		return false;
	done = write(file, text, length) == (ssize_t) length && fsync(file) == 0;
	return close(file) == 0 && done;
}

/* Whatever happens, either the old file is there or the new one, whole. */
MsgTraceVaultResult
msgtrace_vault_write(const MsgTraceKeyRing *ring, const char *path)
{
	char text[MAX_FILE_SIZE + 1];
	char *interim = psprintf("%s.new", path);
	size_t length = print_ring(text, ring);
	bool done = write_file(interim, text, length) && durable_rename(interim, path, LOG) == 0;

	explicit_bzero(text, sizeof(text));
	return done ? MSGTRACE_VAULT_OK : MSGTRACE_VAULT_FAILED;
}

/* ---------------------------------------------------------------- seals */

uint8 *
msgtrace_vault_seal(const MsgTraceKey *key, const char *name, const char *text, size_t *length)
{
	size_t plain = strlen(text);
	uint8 *sealed = palloc(SEAL_START + plain + MSGTRACE_TAG_LENGTH);

	*length = SEAL_START + plain + MSGTRACE_TAG_LENGTH;
	sealed[0] = SEAL_VERSION;
	if (!pg_strong_random(sealed + 1, MSGTRACE_NONCE_LENGTH) ||
		!msgtrace_seal(sealed + SEAL_START, key->bytes, sealed + 1, name, (const uint8 *) text,
					   plain))
		return NULL;
	return sealed;
}

char *
msgtrace_vault_open(const MsgTraceKey *key, const char *name, const uint8 *sealed, size_t length)
{
	size_t plain;
	char *text;

	if (length < SEAL_START + MSGTRACE_TAG_LENGTH || sealed[0] != SEAL_VERSION)
		return NULL;
	plain = length - SEAL_START - MSGTRACE_TAG_LENGTH;
	text = palloc(plain + 1);
	if (!msgtrace_unseal((uint8 *) text, key->bytes, sealed + 1, name, sealed + SEAL_START, plain))
		return NULL;
	text[plain] = '\0';
	return text;
}
