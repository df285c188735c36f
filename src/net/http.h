/*-------------------------------------------------------------------------
 *
 * http.h
 *		HTTP requests that never block the backend: the only door to curl.
 *
 * A MsgTraceHttp is one event loop: curl's sockets and a timer behind a single
 * epoll descriptor, so that everything that a scan may wait for (name
 * resolution, connect, a page, the time of a retry) is one thing to wait for.
 * Nothing here raises an error about the network; a request ends with a
 * MsgTraceHttpReply that says how.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_HTTP_H
#define MSGTRACE_HTTP_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "net/http_text.h"
#include "net/status.h"

typedef struct MsgTraceHttp MsgTraceHttp;
typedef struct MsgTraceHttpRequest MsgTraceHttpRequest;

/* What all requests to a service have in common. */
typedef struct MsgTraceHttpOptions
{
	const char *ca_file;	 /* PEM file beside the system's roots, or NULL */
	int connect_timeout;	 /* ms */
	int request_timeout;	 /* ms; 0 = none */
	int64 max_response_size; /* bytes, after decompression */
	const char *proxy;		 /* URL; "" = none, NULL = as the environment says */
	const char *no_proxy;	 /* hosts that are not asked through it; NULL likewise */
	const char *proxy_username;
	const char *proxy_password;
	bool fresh; /* not over a connection that is there already */
} MsgTraceHttpOptions;

/* How a request ended. */
typedef struct MsgTraceHttpReply
{
	MsgTraceFault fault; /* MSGTRACE_OK: an answer came, whole */
	const char *words;	 /* curl's own when it did not */
	int http_status;
	const char *body; /* NUL-terminated; until the request is reused */
	size_t length;
	TimestampTz date;		/* the Date header, or 0 */
	TimestampTz date_at;	/* our clock when it came */
	int retry_after;		/* seconds, or -1 when there is none */
	const char *request_id; /* the service's, or NULL */
	const char *subject;	/* of the certificate shown for this request, or NULL */
	const char *issuer;		/* of the same */
} MsgTraceHttpReply;

/*
 * Take a loop; the context's end gives it back.  NULL with the reason in
 * `status` when the process has no descriptors left or curl fails.
 */
extern MsgTraceHttp *msgtrace_http_open(MemoryContext context, MsgTraceStatus *status);

/* Give it back in order, its connections kept for the backend's next scan. */
extern void msgtrace_http_close(MsgTraceHttp *http);

/*
 * Start a request: a POST when there is a form body, else a GET.  `headers` is a
 * NULL-terminated array.  One request at a time goes through a MsgTraceHttp;
 * what the last one left behind is dropped.  The form is wiped when it is sent.
 */
extern bool msgtrace_http_start(MsgTraceHttp *http, const MsgTraceHttpOptions *options,
								const char *url, const char *const *headers, const char *form);

/* Drop the request in flight, if any. */
extern void msgtrace_http_cancel(MsgTraceHttp *http);

/* Move on without waiting; true when the request has ended or the alarm is due. */
extern bool msgtrace_http_poll(MsgTraceHttp *http);

/* The reply of a request that has ended, else NULL. */
extern const MsgTraceHttpReply *msgtrace_http_reply(MsgTraceHttp *http);

/* Wake up after so many milliseconds; -1 takes the alarm back. */
extern void msgtrace_http_set_alarm(MsgTraceHttp *http, int64 delay);

/* Readable when there is something to poll for: for those who wait in a way of their own. */
extern int msgtrace_http_socket(const MsgTraceHttp *http);

/*
 * Wait until there is something to poll for, or the latch is set.  Cancel and
 * terminate end it.  `wait_event` is what pg_stat_activity shows.
 */
extern void msgtrace_http_wait(MsgTraceHttp *http, uint32 wait_event);

/* The same of several, at most MSGTRACE_MAX_HTTPS: until there is something to poll one of them for. */
#define MSGTRACE_MAX_HTTPS 16
extern void msgtrace_http_wait_any(MsgTraceHttp *const *https, int count, uint32 wait_event);

#endif /* MSGTRACE_HTTP_H */
