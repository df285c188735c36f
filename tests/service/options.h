/*
 * options.h
 *	  The command line, and the part of it that a test may change.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "buffer.h"
#include "moment.h"

/* What the tokens say of their holder's rights. */
typedef enum RolesSetting
{
	ROLES_GRANTED,	 /* the application permission that the resource asks for */
	ROLES_NONE,		 /* no such claim: never consented to */
	ROLES_DELEGATED, /* only `scp`: delegated instead of application permission */
	ROLES_OTHER		 /* a permission that is of no use here */
} RolesSetting;

typedef enum TokenForm
{
	TOKEN_JWT,
	TOKEN_OPAQUE
} TokenForm;

/* How a 429 of the quota says when to come back. */
typedef enum RetryAfterForm
{
	RETRY_AFTER_SECONDS,
	RETRY_AFTER_DATE,
	RETRY_AFTER_NONE
} RetryAfterForm;

typedef enum ReportingJson
{
	REPORTING_AS_ASKED,
	REPORTING_LIGHT,
	REPORTING_VERBOSE,
	REPORTING_BARE
} ReportingJson;

typedef enum ReportingLinkName
{
	LINK_NAME_EITHER,
	LINK_NAME_ODATA,   /* odata.nextLink */
	LINK_NAME_AT_ODATA /* @odata.nextLink */
} ReportingLinkName;

/*
 * What POST /control/settings changes while the service runs. Enums are kept as
 * numbers, so that one table can describe them all.
 */
typedef struct Settings
{
	int64_t rows_per_day;
	int64_t page_delay;			 /* ms */
	int64_t quota;				 /* requests, 0 = none */
	int64_t quota_window;		 /* seconds */
	int64_t token_lifetime;		 /* seconds */
	int64_t roles;				 /* RolesSetting */
	int64_t token_form;			 /* TokenForm */
	int64_t retry_after;		 /* RetryAfterForm */
	int64_t reporting_json;		 /* ReportingJson */
	int64_t reporting_link;		 /* 0 = relative, 1 = absolute */
	int64_t reporting_link_name; /* ReportingLinkName */
	int64_t detail_quota;		 /* 0 = shared with the list, 1 = separate */
	bool shuffle;
	bool service_principal;	   /* Graph's prerequisite in the tenant */
	bool quota_counts_refused; /* a refused request counts, too */
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
	const char *client_certificate; /* PEM file or NULL */
	const char *basic_user;			/* of the Reporting web service; NULL = nobody */
	const char *basic_password;
	bool log_requests;
	Settings settings;
} Options;

extern const Options *options_get(void);
extern void options_read(int argc, char **argv);
extern uint64_t options_seed(uint64_t tenant);
extern Settings settings_get(void);
extern void settings_reset(void);
extern bool settings_set_number(const char *name, int64_t value);
extern bool settings_set_text(const char *name, const char *value);
extern void settings_show(Buffer *out);
extern int64_t settings_roles(const char *name);

#endif
