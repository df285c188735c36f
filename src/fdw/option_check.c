/*-------------------------------------------------------------------------
 *
 * option_check.c
 *		Values of options: what is right, what is refused, and how they are read.
 *
 * Values are checked when they are set, so that a scan may take them as right.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/option_check.h"

#include <math.h>

#include "catalog/pg_authid.h"
#include "fdw/mapping.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "net/http.h"
#include "net/retry.h"
#include "trace/cloud.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#define ONE_HOUR_MS (60 * 60 * 1000)

const char *
msgtrace_nearest_name(const char *name, const char *const *names, int count)
{
	const char *nearest = NULL;
	int nearest_distance = (int) strlen(name) / 2 + 2;

	if (strlen(name) >= NAMEDATALEN)
		return NULL;
	for (int i = 0; i < count; i++)
	{
		int distance = varstr_levenshtein(name, (int) strlen(name), names[i],
										  (int) strlen(names[i]), 1, 1, 1, true);

		if (distance < nearest_distance)
		{
			nearest = names[i];
			nearest_distance = distance;
		}
	}
	return nearest;
}

void
msgtrace_refuse_value(const char *name, const char *value, const char *hint)
{
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("invalid value for option \"%s\": \"%s\"", name, value), errhint("%s", hint));
}

void
msgtrace_check_not_empty(const char *name, const char *value)
{
	if (*value == '\0')
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("option \"%s\" cannot be empty", name));
}

void
msgtrace_check_tenant_id(const char *name, const char *value)
{
	static const char *const shared[] = {"common", "organizations", "consumers"};

	for (size_t i = 0; i < lengthof(shared); i++)
	{
		if (pg_strcasecmp(value, shared[i]) == 0)
			msgtrace_refuse_value(
				name, value,
				"An application signs in to one tenant: give its directory id or a domain of it.");
	}
	if (*value == '\0' ||
		value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")])
		msgtrace_refuse_value(
			name, value,
			"Give the directory id (a GUID) or a domain such as contoso.onmicrosoft.com.");
}

/* HTTP's basic sign-in parts name and password by a colon. */
void
msgtrace_check_username(const char *name, const char *value)
{
	msgtrace_check_not_empty(name, value);
	if (strchr(value, ':'))
		ereport(ERROR, /* what is behind it may be the password */
				errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("invalid value for option \"%s\"", name),
				errhint("A user name cannot have a colon in it."));
}

static bool
looks_like_guid(const char *value)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(value) != strlen(pattern))
		return false;
	for (size_t i = 0; pattern[i]; i++)
	{
		if (pattern[i] == '-' ? value[i] != '-' : !isxdigit((unsigned char) value[i]))
			return false;
	}
	return true;
}

void
msgtrace_check_client_secret(const char *name, const char *value)
{
	msgtrace_check_not_empty(name, value);
	if (looks_like_guid(value))
		ereport(
			WARNING, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("%s looks like the id of a secret, not like its value", name),
			errhint(
				"The portal shows a secret's value once, in the column \"Value\"; the \"Secret ID\" beside it does not sign in."));
}

static bool
is_superuser_or_reads_files(void)
{
	return superuser() || has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES);
}

static void
check_file(const MsgTraceOption *option, const char *value)
{
	if (!is_absolute_path(value) && *value != '$')
		msgtrace_refuse_value(option->name, value,
							  "Give the absolute path of a file on the database server.");
	if (!is_superuser_or_reads_files() && !msgtrace_mapping_has(option->name, value))
		ereport(
			ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("permission denied to set option \"%s\"", option->name),
			errhint(
				"It names a file of the database server: only superusers and members of pg_read_server_files may set it."));
}

static bool
is_loopback(const char *url)
{
	static const char *const prefixes[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};

	for (size_t i = 0; i < lengthof(prefixes); i++)
	{
		size_t length = strlen(prefixes[i]);

		if (pg_strncasecmp(url, prefixes[i], length) == 0 &&
			strchr(":/", url[length]) != NULL) /* finds the end, too */
			return true;
	}
	return false;
}

static void
check_plain_url(const MsgTraceOption *option, const char *value, const char *hint)
{
	if (!msgtrace_http_is_plain_url(value) || strpbrk(value, "?#"))
		ereport(ERROR, /* the value may hold a password */
				errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("invalid URL for option \"%s\"", option->name), errhint("%s", hint));
}

/* A token and the secret go where these point: not just anyone may say where. */
static void
check_url(const MsgTraceOption *option, const char *value)
{
	check_plain_url(
		option, value,
		"Give scheme, host, port and path, with nothing before @ and nothing after ? or #.");
	if (pg_strncasecmp(value, "https://", 8) != 0 && !is_loopback(value))
		msgtrace_refuse_value(
			option->name, value,
			"Give a URL that begins with https://; http:// is for localhost only.");
	if (!msgtrace_cloud_has(value) && !superuser())
		ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to point option \"%s\" at a host that is not Microsoft's",
					   option->name),
				errdetail("Secrets and tokens are sent to the host named there."),
				errhint("Ask a superuser to create or alter the server."));
}

/* It sees which hosts are asked, and all of a request where TLS does not reach. */
static void
check_proxy(const MsgTraceOption *option, const char *value)
{
	if (*value != '\0')
	{
		check_plain_url(
			option, value,
			"Give a URL such as http://proxy.example:3128; user name and password are the options proxy_username and proxy_password of the user mapping.");
		if (pg_strncasecmp(value, "http://", 7) != 0 && pg_strncasecmp(value, "https://", 8) != 0)
			msgtrace_refuse_value(option->name, value,
								  "Give a URL that begins with http:// or https://.");
	}
	if (!superuser())
		ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to set option \"%s\"", option->name),
				errdetail("Requests are sent through the host named there."),
				errhint("Ask a superuser to create or alter the server."));
}

static void
check_choice(const MsgTraceOption *option, const char *value)
{
	StringInfoData list;

	initStringInfo(&list);
	for (size_t i = 0; i < lengthof(option->choices) && option->choices[i]; i++)
	{
		if (strcmp(option->choices[i], value) == 0)
			return;
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", option->choices[i]);
	}
	msgtrace_refuse_value(option->name, value, psprintf("Valid values are: %s.", list.data));
}

/* In the option's own unit: milliseconds, bytes or just a number. */
bool
msgtrace_read_number(const MsgTraceOption *option, const char *value, int *number)
{
	int flags = 0;
	const char *hint;

	if (option->type == MSGTRACE_IS_DURATION)
	{
		/* 300 could be seconds to one reader and milliseconds to another */
		if (strcmp(value, "0") != 0 && !isalpha((unsigned char) value[strlen(value) - 1]))
			return false;
		flags = GUC_UNIT_MS;
	}
	else if (option->type == MSGTRACE_IS_SIZE)
		flags = GUC_UNIT_BYTE;
	return *value && parse_int(value, number, flags, &hint) && *number >= option->minimum &&
		   *number <= option->maximum;
}

static const char *
show_number(const MsgTraceOption *option, int number)
{
	if (option->type == MSGTRACE_IS_DURATION && number > 0 && number % ONE_HOUR_MS == 0)
		return psprintf("%dh", number / ONE_HOUR_MS);
	if (option->type == MSGTRACE_IS_DURATION && number % 1000 == 0)
		return psprintf("%ds", number / 1000);
	if (option->type == MSGTRACE_IS_DURATION)
		return psprintf("%dms", number);
	if (option->type == MSGTRACE_IS_SIZE && number % (1024 * 1024) == 0)
		return psprintf("%dMB", number / (1024 * 1024));
	if (option->type == MSGTRACE_IS_SIZE)
		return psprintf("%dkB", number / 1024);
	return psprintf("%d", number);
}

bool
msgtrace_read_fraction(const MsgTraceOption *option, const char *value, double *number)
{
	const char *hint;

	return *value && parse_real(value, number, 0, &hint) && isfinite(*number) &&
		   *number >= option->minimum && *number <= option->maximum;
}

/* Codes of success are not failures, and those of redirection are not followed. */
int
msgtrace_read_codes(const char *value, int *codes)
{
	int count = 0;

	for (;;)
	{
		char *end;
		long code;

		value += strspn(value, " ");
		if (!isdigit((unsigned char) *value) || count == MSGTRACE_MAX_RETRY_CODES)
			return -1;
		code = strtol(value, &end, 10);
		if (code < 400 || code > 599 || code == 401)
			return -1;
		codes[count++] = (int) code;
		end += strspn(end, " ");
		if (*end == '\0')
			return count;
		if (*end != ',')
			return -1;
		value = end + 1;
	}
}

static void
check_codes(const MsgTraceOption *option, const char *value)
{
	int codes[MSGTRACE_MAX_RETRY_CODES];

	if (msgtrace_read_codes(value, codes) < 0)
		msgtrace_refuse_value(
			option->name, value,
			psprintf(
				"Give up to %d HTTP status codes of failures, 400 to 599, parted by commas, such as 429,503. A 401 is not among them: it is answered with a new token.",
				MSGTRACE_MAX_RETRY_CODES));
}

static void
check_fraction(const MsgTraceOption *option, const char *value)
{
	double number;

	if (!msgtrace_read_fraction(option, value, &number))
		msgtrace_refuse_value(
			option->name, value,
			psprintf("Give a number from %d to %d.", option->minimum, option->maximum));
}

static void
check_number(const MsgTraceOption *option, const char *value)
{
	int number;
	const char *what = "a whole number";

	if (*value && msgtrace_read_number(option, value, &number))
		return;
	if (option->type == MSGTRACE_IS_DURATION)
		what = "a time with its unit (ms, s, min, h)";
	else if (option->type == MSGTRACE_IS_SIZE)
		what = "a size such as 64MB";
	msgtrace_refuse_value(option->name, value,
						  psprintf("Give %s from %s to %s.", what,
								   show_number(option, option->minimum),
								   show_number(option, option->maximum)));
}

void
msgtrace_check_value(const MsgTraceOption *option, const char *value)
{
	bool boolean;

	switch (option->type)
	{
		case MSGTRACE_IS_TEXT:
			break;
		case MSGTRACE_IS_CHOICE:
			check_choice(option, value);
			break;
		case MSGTRACE_IS_BOOLEAN:
			if (!parse_bool(value, &boolean))
				msgtrace_refuse_value(option->name, value, "Give true or false.");
			break;
		case MSGTRACE_IS_INTEGER:
		case MSGTRACE_IS_DURATION:
		case MSGTRACE_IS_SIZE:
			check_number(option, value);
			break;
		case MSGTRACE_IS_NUMBER:
			check_fraction(option, value);
			break;
		case MSGTRACE_IS_CODES:
			check_codes(option, value);
			break;
		case MSGTRACE_IS_URL:
			check_url(option, value);
			break;
		case MSGTRACE_IS_PROXY:
			check_proxy(option, value);
			break;
		case MSGTRACE_IS_FILE:
			check_file(option, value);
			break;
	}
	if (option->check)
		option->check(option->name, value);
}
