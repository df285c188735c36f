/*-------------------------------------------------------------------------
 *
 * status.h
 *		What went wrong between us and the service, as facts.
 *
 * The floors below fdw/ never raise an error about the service: they fill a
 * MsgTraceStatus and return.  One function in fdw/error.c turns it into an
 * ereport.  All strings belong to the status's own memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_STATUS_H
#define MSGTRACE_STATUS_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef enum MsgTraceFault
{
	MSGTRACE_OK = 0,
	/* the way to the service */
	MSGTRACE_NO_CLIENT,		/* the HTTP client could not be set up */
	MSGTRACE_UNRESOLVED,	/* the host name has no address */
	MSGTRACE_UNREACHABLE,	/* no connection to the host */
	MSGTRACE_UNTRUSTED,		/* its certificate does not verify */
	MSGTRACE_PROXY_REFUSED, /* the proxy, not the service, said no */
	MSGTRACE_TIMED_OUT,		/* connect_timeout or request_timeout */
	MSGTRACE_BROKEN_OFF,	/* the connection ended in the middle */
	MSGTRACE_TOO_SLOW,		/* a body slower than any service */
	MSGTRACE_TOO_LARGE,		/* more than max_response_size */
	/* what we sign in with */
	MSGTRACE_FILE_UNREADABLE,	   /* a file of certificate or key */
	MSGTRACE_CERTIFICATE_UNUSABLE, /* it or its key is not what we can sign with */
	MSGTRACE_CERTIFICATE_EXPIRED,  /* or not good yet */
	MSGTRACE_KEY_LOCKED,		   /* no passphrase, or a wrong one */
	/* what the service said */
	MSGTRACE_SIGN_IN_REFUSED,  /* the token endpoint said no */
	MSGTRACE_PASSWORD_REFUSED, /* 401, with user name and password */
	MSGTRACE_UNAUTHORIZED,	   /* 401, with a token just issued */
	MSGTRACE_FORBIDDEN,		   /* 403 */
	MSGTRACE_THROTTLED,		   /* 429 beyond what we wait for */
	MSGTRACE_REFUSED,		   /* any other 3xx or 4xx */
	MSGTRACE_UNAVAILABLE,	   /* 5xx beyond max_retries */
	/* what the answer was worth */
	MSGTRACE_UNREADABLE,   /* not the document that was asked for */
	MSGTRACE_BAD_ROW,	   /* one record of it cannot be read */
	MSGTRACE_BAD_ROWS,	   /* so many that it is no matter of records */
	MSGTRACE_FOREIGN_LINK, /* next link to another scheme, host or port */
	MSGTRACE_BAD_LINK,	   /* next link refused, repeated or endless */
	/* our own limits */
	MSGTRACE_REQUEST_LIMIT, /* max_requests_per_query */
	MSGTRACE_CLOCK_SKEW		/* the clocks differ by more than a day */
} MsgTraceFault;

/* Secrets of one sign-in: client secret, password, key, proxy's password … */
#define MSGTRACE_MAX_HIDDEN 8

typedef struct MsgTraceStatus
{
	MsgTraceFault fault;
	MemoryContext context;					 /* owns the strings below */
	Oid server_id;							 /* of the foreign server, for its statistics */
	const char *hidden[MSGTRACE_MAX_HIDDEN]; /* secrets, should the other side echo them */
	int hidden_count;
	const char *token;			   /* likewise; NULL while there is none */
	const char *assertion;		   /* likewise */
	const char *asked;			   /* what was asked for, in words; static */
	const char *url;			   /* without its query */
	int http_status;			   /* 0 when there was no answer */
	int entra_code;				   /* the number in AADSTSnnn, or 0 */
	const char *code;			   /* the service's own error code */
	const char *words;			   /* the service's or the library's own words */
	const char *request_id;		   /* the service's id of the request */
	const char *client_request_id; /* ours, sent along; NULL before the first */
	const char *subject;		   /* of a certificate that is not trusted, or NULL */
	const char *issuer;			   /* of the same */
	const char *api;			   /* "graph" or "reporting"; static */
	const char *roles;			   /* of the token refused; NULL = not known */
	const char *row_id;			   /* of a bad row, where it has one */
	const char *field;			   /* of a bad row */
	int page;					   /* of its slice, from 1 */
	TimestampTz slice_from;		   /* the slice being read, half-open */
	TimestampTz slice_to;
	int64 limit;   /* the limit reached: requests or bytes */
	int64 seconds; /* clock skew, or time waited */
} MsgTraceStatus;

extern void msgtrace_status_init(MsgTraceStatus *status, MemoryContext context);

/*
 * Never show this text in what comes from outside; NULL is none.  The caller
 * keeps the text, until it is to be forgotten.
 */
extern void msgtrace_status_hide(MsgTraceStatus *status, const char *secret);
extern void msgtrace_status_forget(MsgTraceStatus *status, const char *secret);

extern char *msgtrace_status_keep(MsgTraceStatus *status, const char *text);
extern char *msgtrace_status_keep_url(MsgTraceStatus *status, const char *url);

/* The service's id of the request at hand; NULL leaves the one already known. */
extern void msgtrace_status_keep_request_id(MsgTraceStatus *status, const char *id);

#endif /* MSGTRACE_STATUS_H */
