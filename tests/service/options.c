/*
 * options.c
 *	  The command line, and the part of it that a test may change.
 *
 * One table describes each option; reader, help text and the settings of the
 * control endpoint come from it.
 */
#include "options.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum OptionType
{
	OPTION_NUMBER,
	OPTION_TEXT,
	OPTION_TIME,
	OPTION_CHOICE,
	OPTION_BOOLEAN, /* on unless said otherwise: takes yes or no */
	OPTION_SWITCH
} OptionType;

typedef struct OptionInfo
{
	const char *name;
	OptionType type;
	void *target;
	int64_t least; /* of a number */
	int64_t most;
	const char *setting; /* its name in /control/settings, or NULL */
	const char *value_name;
	const char *help;
	const char *const *choices; /* up to a NULL; the value is the index */
} OptionInfo;

static const char *const roles_choices[] = {"granted", "none", "delegated", "other", NULL};
static const char *const token_choices[] = {"jwt", "opaque", NULL};
static const char *const retry_after_choices[] = {"seconds", "date", "none", NULL};
static const char *const json_choices[] = {"asked", "light", "verbose", "bare", NULL};
static const char *const link_choices[] = {"relative", "absolute", NULL};
static const char *const link_name_choices[] = {"either", "odata.nextLink", "@odata.nextLink",
												NULL};
static const char *const detail_quota_choices[] = {"shared", "separate", NULL};

static Options options = {.listen = "127.0.0.1",
						  .seed = 1,
						  .tenant = "11111111-2222-3333-4444-555555555555",
						  .client_id = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
						  .client_secret = "demo~secret.of-the-simulated-service",
						  .settings = {
							  .rows_per_day = 100000,
							  .quota = 100,
							  .quota_window = 300,
							  .token_lifetime = 3599,
							  .service_principal = true,
						  }};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Settings current; /* guarded by lock */

#define SETTING(member) &options.settings.member
#define CHOICE(option, member, names, help)                                          \
	{                                                                                \
		option, OPTION_CHOICE, SETTING(member), 0, 0, #member, "CHOICE", help, names \
	}

static const OptionInfo infos[] = {
	{"--listen", OPTION_TEXT, &options.listen, 0, 0, NULL, "ADDRESS",
	 "address to listen at (127.0.0.1)", NULL},
	{"--port", OPTION_NUMBER, &options.port, 0, 65535, NULL, "N", "port, 0 = a free one (0)", NULL},
	{"--tls-cert", OPTION_TEXT, &options.tls_cert, 0, 0, NULL, "FILE",
	 "PEM certificate; without it plain HTTP", NULL},
	{"--tls-key", OPTION_TEXT, &options.tls_key, 0, 0, NULL, "FILE", "PEM key of the certificate",
	 NULL},
	{"--seed", OPTION_NUMBER, &options.seed, 0, INT64_MAX, NULL, "N", "which world (1)", NULL},
	{"--rows-per-day", OPTION_NUMBER, SETTING(rows_per_day), 100, 10000000, "rows_per_day", "N",
	 "mean rate, 100 to 10000000 (100000)", NULL},
	{"--now", OPTION_TIME, &options.now, 0, 0, NULL, "ISO8601", "a clock that stands at this time",
	 NULL},
	{"--page-delay", OPTION_NUMBER, SETTING(page_delay), 0, 3600000, "page_delay", "MS",
	 "time a page takes (0)", NULL},
	{"--quota", OPTION_NUMBER, SETTING(quota), 0, 1000000, "quota", "N",
	 "requests per window, 0 = any (100)", NULL},
	{"--quota-window", OPTION_NUMBER, SETTING(quota_window), 1, 86400, "quota_window", "SECONDS",
	 "rolling window (300)", NULL},
	{"--shuffle", OPTION_SWITCH, SETTING(shuffle), 0, 1, "shuffle", NULL,
	 "rows of a query in an order of its own", NULL},
	{"--tenant", OPTION_TEXT, &options.tenant, 0, 0, NULL, "ID",
	 "tenant id; contoso.onmicrosoft.com is one too", NULL},
	{"--client-id", OPTION_TEXT, &options.client_id, 0, 0, NULL, "ID", "the application", NULL},
	{"--client-secret", OPTION_TEXT, &options.client_secret, 0, 0, NULL, "SECRET", "its secret",
	 NULL},
	{"--token-lifetime", OPTION_NUMBER, SETTING(token_lifetime), 1, 86400, "token_lifetime",
	 "SECONDS", "how long a token is good (3599)", NULL},
	{"--client-certificate", OPTION_TEXT, &options.client_certificate, 0, 0, NULL, "FILE",
	 "PEM certificate that the client may sign in with", NULL},
	{"--basic-user", OPTION_TEXT, &options.basic_user, 0, 0, NULL, "NAME",
	 "who may use the Reporting web service with a password", NULL},
	{"--basic-password", OPTION_TEXT, &options.basic_password, 0, 0, NULL, "TEXT", "the password",
	 NULL},
	CHOICE("--roles", roles, roles_choices, "granted, none, delegated or other (granted)"),
	CHOICE("--token-form", token_form, token_choices, "jwt or opaque (jwt)"),
	{"--service-principal", OPTION_BOOLEAN, SETTING(service_principal), 0, 1, "service_principal",
	 "YES|NO", "whether Graph finds its service principal (yes)", NULL},
	CHOICE("--detail-quota", detail_quota, detail_quota_choices, "shared or separate (shared)"),
	{"--quota-counts-refused", OPTION_SWITCH, SETTING(quota_counts_refused), 0, 1,
	 "quota_counts_refused", NULL, "requests that were refused with a 429 count, too", NULL},
	CHOICE("--retry-after", retry_after, retry_after_choices, "seconds, date or none (seconds)"),
	CHOICE("--reporting-json", reporting_json, json_choices,
		   "asked, light, verbose or bare (asked)"),
	CHOICE("--reporting-link", reporting_link, link_choices, "relative or absolute (relative)"),
	CHOICE("--reporting-link-name", reporting_link_name, link_name_choices,
		   "either, odata.nextLink or @odata.nextLink (either)"),
	{"--log-requests", OPTION_SWITCH, &options.log_requests, 0, 0, NULL, NULL,
	 "one line per request on stderr", NULL},
};

#define OPTION_COUNT (sizeof(infos) / sizeof(infos[0]))

static void
show_help(void)
{
	printf("msgtrace-service: a simulated Office 365 Message Trace service for tests\n\n"
		   "Usage: msgtrace-service [OPTION]...\n\n");
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		char left[64];

		snprintf(left, sizeof(left), "%s %s", infos[i].name,
				 infos[i].value_name ? infos[i].value_name : "");
		printf("  %-26s %s\n", left, infos[i].help);
	}
	printf("  %-26s %s\n", "--help", "this text");
	printf("\nPrints `listening PORT` when ready; runs until SIGTERM or SIGINT.\n");
}

static void __attribute__((noreturn)) refuse(const char *name, const char *why)
{
	fprintf(stderr, "msgtrace-service: %s: %s\nTry --help.\n", name, why);
	exit(2);
}

static void
read_number(const OptionInfo *info, const char *text)
{
	char *end;
	long long value;
	char why[128];

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || value < info->least || value > info->most)
	{
		snprintf(why, sizeof(why), "\"%.40s\" is not a whole number from %lld to %lld", text,
				 (long long) info->least, (long long) info->most);
		refuse(info->name, why);
	}
	*(int64_t *) info->target = value;
}

/* The index of a choice, or -1. */
static int64_t
find_choice(const char *const *choices, const char *text)
{
	for (int i = 0; choices[i]; i++)
		if (strcmp(choices[i], text) == 0)
			return i;
	return -1;
}

static void
read_choice(const OptionInfo *info, const char *text)
{
	int64_t choice = find_choice(info->choices, text);

	if (choice < 0)
		refuse(info->name, info->help);
	*(int64_t *) info->target = choice;
}

static void
read_boolean(const OptionInfo *info, const char *text)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		refuse(info->name, "yes or no is expected");
	*(bool *) info->target = strcmp(text, "yes") == 0;
}

static void
read_value(const OptionInfo *info, const char *text)
{
	switch (info->type)
	{
		case OPTION_NUMBER:
			read_number(info, text);
			break;
		case OPTION_TEXT:
			*(const char **) info->target = text;
			break;
		case OPTION_TIME:
			if (!moment_parse(text, strlen(text), false, (Tick *) info->target))
				refuse(info->name, "a time like 2026-11-20T08:00:00Z is expected");
			options.fixed_clock = true;
			break;
		case OPTION_CHOICE:
			read_choice(info, text);
			break;
		case OPTION_BOOLEAN:
			read_boolean(info, text);
			break;
		case OPTION_SWITCH:
			*(bool *) info->target = true;
			break;
	}
}

static const OptionInfo *
find_option(const char *argument, size_t length)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (strlen(infos[i].name) == length && strncmp(infos[i].name, argument, length) == 0)
			return &infos[i];
	return NULL;
}

/*
 * Reads `--name value` and `--name=value`; a wrong option ends the program
 * with status 2.
 */
void
options_read(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		const char *equals = strchr(argv[i], '=');
		const OptionInfo *info = find_option(argv[i], equals ? (size_t) (equals - argv[i])
															 : strlen(argv[i]));

		if (strcmp(argv[i], "--help") == 0)
		{
			show_help();
			exit(0);
		}
		if (info == NULL)
			refuse(argv[i], "no such option");
		if (info->type == OPTION_SWITCH && equals)
			refuse(info->name, "takes no value");
		if (info->type == OPTION_SWITCH)
			read_value(info, NULL);
		else if (equals)
			read_value(info, equals + 1);
		else if (++i < argc)
			read_value(info, argv[i]);
		else
			refuse(info->name, "a value is missing");
	}
	if ((options.tls_cert == NULL) != (options.tls_key == NULL))
		refuse("--tls-cert, --tls-key", "both or neither are needed");
	if ((options.basic_user == NULL) != (options.basic_password == NULL))
		refuse("--basic-user, --basic-password", "both or neither are needed");
	settings_reset();
}

const Options *
options_get(void)
{
	return &options;
}

/*
 * The seed of a tenant's world; tenant 0 is the first one.
 */
uint64_t
options_seed(uint64_t tenant)
{
	return (uint64_t) options.seed ^ tenant << 32;
}

Settings
settings_get(void)
{
	Settings result;

	pthread_mutex_lock(&lock);
	result = current;
	pthread_mutex_unlock(&lock);
	return result;
}

void
settings_reset(void)
{
	pthread_mutex_lock(&lock);
	current = options.settings;
	pthread_mutex_unlock(&lock);
}

static const OptionInfo *
find_setting(const char *name)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (infos[i].setting && strcmp(infos[i].setting, name) == 0)
			return &infos[i];
	return NULL;
}

/* Where a setting lies in `current`. */
static void *
place_of(const OptionInfo *info)
{
	return (char *) &current + ((char *) info->target - (char *) &options.settings);
}

static bool
is_flag(const OptionInfo *info)
{
	return info->type == OPTION_SWITCH || info->type == OPTION_BOOLEAN;
}

static void
store(const OptionInfo *info, int64_t value)
{
	pthread_mutex_lock(&lock);
	if (is_flag(info))
		*(bool *) place_of(info) = value != 0;
	else
		*(int64_t *) place_of(info) = value;
	pthread_mutex_unlock(&lock);
}

/*
 * Changes one setting while the service runs; false for an unknown name or a
 * value out of bounds.
 */
bool
settings_set_number(const char *name, int64_t value)
{
	const OptionInfo *info = find_setting(name);

	if (info == NULL || info->type == OPTION_CHOICE || value < info->least || value > info->most)
		return false;
	store(info, value);
	return true;
}

/*
 * The same for a setting with named values.
 */
bool
settings_set_text(const char *name, const char *value)
{
	const OptionInfo *info = find_setting(name);
	int64_t choice = info && info->type == OPTION_CHOICE ? find_choice(info->choices, value) : -1;

	if (choice < 0)
		return false;
	store(info, choice);
	return true;
}

/*
 * All settings as a JSON object.
 */
void
settings_show(Buffer *out)
{
	const char *comma = "{";

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		const OptionInfo *info = &infos[i];

		if (info->setting == NULL)
			continue;
		buffer_printf(out, "%s\"%s\":", comma, info->setting);
		comma = ",";
		if (is_flag(info))
			buffer_add_text(out, *(bool *) place_of(info) ? "true" : "false");
		else if (info->type == OPTION_CHOICE)
			buffer_printf(out, "\"%s\"", info->choices[*(int64_t *) place_of(info)]);
		else
			buffer_printf(out, "%lld", (long long) *(int64_t *) place_of(info));
	}
	pthread_mutex_unlock(&lock);
	buffer_add_text(out, "}\n");
}

/*
 * The RolesSetting of that name, or -1.
 */
int64_t
settings_roles(const char *name)
{
	return find_choice(roles_choices, name);
}
