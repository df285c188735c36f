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
} OptionInfo;

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
						  }};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Settings current; /* guarded by lock */

#define SETTING(member) &options.settings.member

static const OptionInfo infos[] = {
	{"--listen", OPTION_TEXT, &options.listen, 0, 0, NULL, "ADDRESS",
	 "address to listen at (127.0.0.1)"},
	{"--port", OPTION_NUMBER, &options.port, 0, 65535, NULL, "N", "port, 0 = a free one (0)"},
	{"--tls-cert", OPTION_TEXT, &options.tls_cert, 0, 0, NULL, "FILE",
	 "PEM certificate; without it plain HTTP"},
	{"--tls-key", OPTION_TEXT, &options.tls_key, 0, 0, NULL, "FILE", "PEM key of the certificate"},
	{"--seed", OPTION_NUMBER, &options.seed, 0, INT64_MAX, NULL, "N", "which world (1)"},
	{"--rows-per-day", OPTION_NUMBER, SETTING(rows_per_day), 100, 10000000, "rows_per_day", "N",
	 "mean rate, 100 to 10000000 (100000)"},
	{"--now", OPTION_TIME, &options.now, 0, 0, NULL, "ISO8601", "a clock that stands at this time"},
	{"--page-delay", OPTION_NUMBER, SETTING(page_delay), 0, 3600000, "page_delay", "MS",
	 "time a page takes (0)"},
	{"--quota", OPTION_NUMBER, SETTING(quota), 0, 1000000, "quota", "N",
	 "requests per window, 0 = any (100)"},
	{"--quota-window", OPTION_NUMBER, SETTING(quota_window), 1, 86400, "quota_window", "SECONDS",
	 "rolling window (300)"},
	{"--shuffle", OPTION_SWITCH, SETTING(shuffle), 0, 1, "shuffle", NULL,
	 "rows of a query in an order of its own"},
	{"--tenant", OPTION_TEXT, &options.tenant, 0, 0, NULL, "ID",
	 "tenant id; contoso.onmicrosoft.com is one too"},
	{"--client-id", OPTION_TEXT, &options.client_id, 0, 0, NULL, "ID", "the application"},
	{"--client-secret", OPTION_TEXT, &options.client_secret, 0, 0, NULL, "SECRET", "its secret"},
	{"--token-lifetime", OPTION_NUMBER, SETTING(token_lifetime), 1, 86400, "token_lifetime",
	 "SECONDS", "how long a token is good (3599)"},
	{"--log-requests", OPTION_SWITCH, &options.log_requests, 0, 0, NULL, NULL,
	 "one line per request on stderr"},
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
	settings_reset();
}

const Options *
options_get(void)
{
	return &options;
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

/*
 * Changes one setting while the service runs; false for an unknown name or a
 * value out of bounds.
 */
bool
settings_set(const char *name, int64_t value)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		size_t offset;
		char *member;

		if (infos[i].setting == NULL || strcmp(infos[i].setting, name) != 0)
			continue;
		if (value < infos[i].least || value > infos[i].most)
			return false;
		offset = (size_t) ((char *) infos[i].target - (char *) &options.settings);
		pthread_mutex_lock(&lock);
		member = (char *) &current + offset;
		if (infos[i].type == OPTION_SWITCH)
			*(bool *) member = value != 0;
		else
			*(int64_t *) (void *) member = value;
		pthread_mutex_unlock(&lock);
		return true;
	}
	return false;
}
