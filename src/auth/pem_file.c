/*-------------------------------------------------------------------------
 *
 * pem_file.c
 *		Small text files of the server's: certificates and keys.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/pem_file.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "port.h"

/* A chain of certificates has some 10 kB. */
#define MAX_FILE_SIZE (256 * 1024)

/* ----------------------------------------------------------------- path */

static bool
is_name_char(char c)
{
	return isalnum((unsigned char) c) || c == '_';
}

/*
 * Append the value of the variable that begins after a $; returns what comes
 * behind its name, NULL with the reason when there is no such variable.
 */
static const char *
append_variable(StringInfo text, const char *start, char **words)
{
	bool braced = *start == '{';
	const char *name = braced ? start + 1 : start;
	const char *end = name;
	const char *value;
	char *copy;

	while (is_name_char(*end))
		end++;
	if (end == name || (braced && *end != '}'))
	{
		*words = pstrdup("a $ in it is not followed by a variable's name");
		return NULL;
	}
	copy = pnstrdup(name, (Size) (end - name));
	value = getenv(copy);
	if (value == NULL || *value == '\0')
	{
		*words = psprintf("the database server's environment has no variable %s", copy);
		return NULL;
	}
	appendStringInfoString(text, value);
	return braced ? end + 1 : end;
}

char *
msgtrace_pem_file_path(const char *path, char **words)
{
	StringInfoData text;
	const char *written = path;

	initStringInfo(&text);
	while (path && *path)
	{
		if (*path == '$')
			path = append_variable(&text, path + 1, words);
		else
			appendStringInfoChar(&text, *path++);
	}
	if (path == NULL)
	{
		*words = psprintf("%s: %s", written, *words);
		return NULL;
	}
	if (!is_absolute_path(text.data))
	{
		*words = psprintf("%s: not an absolute path", written);
		return NULL;
	}
	return text.data;
}

/* ----------------------------------------------------------------- file */

/* Reads to the end; false, with errno, when that fails. */
static bool
read_all(int file, char *text, size_t size)
{
	size_t used = 0;

	while (used < size)
	{
		ssize_t got = read(file, text + used, size - used);

		if (got < 0 && errno != EINTR)
			return false;
		if (got == 0)
			break;
		used += (size_t) Max(got, 0);
	}
	text[used] = '\0';
	return true;
}

/* Anything but a regular file might keep us waiting for ever. */
static const char *
read_regular(int file, char *text)
{
	struct stat facts;

	if (fstat(file, &facts) != 0)
		return strerror(errno);
	if (!S_ISREG(facts.st_mode))
		return "not a regular file";
	if (facts.st_size > MAX_FILE_SIZE)
		return "too large for a certificate or key";
	return read_all(file, text, MAX_FILE_SIZE) ? NULL : strerror(errno);
}

char *
msgtrace_pem_file_read(const char *path, char **words)
{
	char *text = palloc(MAX_FILE_SIZE + 1);
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why = file >= 0 ? read_regular(file, text) : strerror(errno);

	if (file >= 0)
		close(file);
	if (why == NULL)
		return text;
	*words = psprintf("%s: %s", path, why);
	pfree(text);
	return NULL;
}
