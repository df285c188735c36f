/*
 * options.h
 *	  The command line, and the part of it that a test may change.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "moment.h"

/* What POST /control/settings changes while the service runs. */
typedef struct Settings
{
	int64_t rows_per_day;
	int64_t page_delay;		/* ms */
	int64_t quota;			/* requests, 0 = none */
	int64_t quota_window;	/* seconds */
	int64_t token_lifetime; /* seconds */
	bool shuffle;
} Settings;

typedef struct Options
{
	const char *listen;
	int64_t port;		  /* 0 = a free one */
	const char *tls_cert; /* PEM file or NULL */
	const char *tls_key;
	int64_t seed;
	bool fixed_clock;
	Tick now; /* of a fixed clock */
	const char *tenant;
	const char *client_id;
	const char *client_secret;
	bool log_requests;
	Settings settings;
} Options;

extern const Options *options_get(void);
extern void options_read(int argc, char **argv);
extern Settings settings_get(void);
extern void settings_reset(void);
extern bool settings_set(const char *name, int64_t value);

#endif
