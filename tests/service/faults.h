/*
 * faults.h
 *	  The queue of what shall go wrong with the next requests.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "buffer.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum FaultKind
{
	FAULT_NONE,
	FAULT_STATUS,		 /* answer with a status, retry_after and body */
	FAULT_HTML,			 /* 200 with a sign-in page */
	FAULT_CUT,			 /* close after some bytes of the body */
	FAULT_ENDLESS,		 /* a body that does not end */
	FAULT_HANG,			 /* keep the connection, do not go on */
	FAULT_DRIP,			 /* a few bytes per second */
	FAULT_POISONED_LINK, /* a link this service will refuse */
	FAULT_FOREIGN_LINK,	 /* a link to another host */
	FAULT_LOOPING_LINK,	 /* a link to the same page */
	FAULT_EMPTY_PAGE,	 /* no rows, but a link that goes on */
	FAULT_REPEAT_ROW,	 /* the last row is also the next page's first */
	FAULT_BAD_ROW,		 /* one row more that cannot be read */
	FAULT_OUTSIDE_ROW,	 /* one row more, from outside of the window */
	FAULT_INVALID_UTF8,
	FAULT_NUL_ESCAPE,
	FAULT_LONE_SURROGATE,
	FAULT_EXPIRE_TOKEN, /* all tokens are over now */
	FAULT_DELAY,		/* answer some ms later */
	FAULT_RESET,		/* close the connection without an answer */
	FAULT_CLOCK_SKEW,	/* a Date header that is off */
	FAULT_KINDS
} FaultKind;

/* Bits of what a request is and a fault is meant for. */
typedef enum RequestClass
{
	CLASS_LIST = 1,
	CLASS_DETAIL = 2,
	CLASS_TOKEN = 4,
	CLASS_ANY = 7
} RequestClass;

#define FAULT_TEXT_SIZE 4096

typedef struct Fault
{
	FaultKind kind;
	int on;		   /* RequestClass bits */
	int64_t count; /* requests still to be hit */
	int64_t skip;  /* matching requests to be spared before */
	int64_t status;
	int64_t after; /* bytes; -1 = half of the body */
	int64_t bytes_per_second;
	int64_t ms;
	int64_t seconds;
	int64_t row;			  /* index in the page; -1 = the middle */
	char retry_after[64];	  /* header value, empty = none */
	int64_t retry_after_date; /* seconds from now, as a date */
	bool has_retry_date;
	char variant[32]; /* "kind", "where" or "what" of the order */
	char url[1024];
	char body[FAULT_TEXT_SIZE];
	bool has_body;
} Fault;

extern bool faults_post(const char *json, size_t length, Buffer *error);
extern void faults_clear(void);
extern void faults_show(Buffer *out);
extern bool faults_take(int request_class, Fault *fault);
extern const char *fault_name(FaultKind kind);

#endif
