/*-------------------------------------------------------------------------
 *
 * option.h
 *		The one table that describes every option completely.
 *
 * The validator, the reader, option_list() and, through it, README's table all
 * come from it, so that they cannot drift apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_OPTION_H
#define MSGTRACE_OPTION_H

#include "postgres.h"

typedef enum MsgTraceOptionPlace
{
	MSGTRACE_ON_SERVER = 1,
	MSGTRACE_ON_MAPPING = 2,
	MSGTRACE_ON_TABLE = 4,
	MSGTRACE_ON_COLUMN = 8
} MsgTraceOptionPlace;

typedef enum MsgTraceOptionType
{
	MSGTRACE_IS_TEXT,
	MSGTRACE_IS_CHOICE, /* one of `choices` */
	MSGTRACE_IS_BOOLEAN,
	MSGTRACE_IS_INTEGER,
	MSGTRACE_IS_NUMBER,	  /* with a fraction or without */
	MSGTRACE_IS_CODES,	  /* HTTP status codes, parted by commas */
	MSGTRACE_IS_DURATION, /* milliseconds, written with a unit */
	MSGTRACE_IS_SIZE,	  /* bytes, written with a unit or without */
	MSGTRACE_IS_URL,	  /* https; http on loopback */
	MSGTRACE_IS_PROXY,	  /* URL of a proxy, or nothing */
	MSGTRACE_IS_FILE	  /* a readable file of the server's */
} MsgTraceOptionType;

/* Values of the option "auth", in the order of its choices, as bits. */
typedef enum MsgTraceSignIn
{
	MSGTRACE_OAUTH = 1,
	MSGTRACE_OAUTH_SECRET = 2,
	MSGTRACE_OAUTH_CERTIFICATE = 4,
	MSGTRACE_BASIC = 8,
	MSGTRACE_BASIC_SECRET = 16
} MsgTraceSignIn;

#define MSGTRACE_ANY_OAUTH (MSGTRACE_OAUTH | MSGTRACE_OAUTH_SECRET | MSGTRACE_OAUTH_CERTIFICATE)

typedef struct MsgTraceOption
{
	const char *name;
	int places; /* MsgTraceOptionPlace bits */
	MsgTraceOptionType type;
	const char *default_value; /* as it would be written; NULL = none, or worked out */
	const char *default_words; /* what is said of one that is worked out */
	int minimum;			   /* of numbers, in the unit of the type */
	int maximum;
	const char *choices[6];
	int taken_with;	 /* MsgTraceSignIn bits; 0 = all */
	int needed_with; /* likewise; 0 = none */
	void (*check)(const char *name, const char *value);
	const char *description;
} MsgTraceOption;

extern const MsgTraceOption msgtrace_options[];
extern const int msgtrace_option_count;

/* The option of this name, or NULL. */
extern const MsgTraceOption *msgtrace_option_find(const char *name);

/* What a place, a type is called. */
extern const char *msgtrace_option_place_name(MsgTraceOptionPlace place);
extern const char *msgtrace_option_type_name(MsgTraceOptionType type);

#endif /* MSGTRACE_OPTION_H */
