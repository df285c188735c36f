/*-------------------------------------------------------------------------
 *
 * http.c
 *		HTTP requests that never block the backend, on curl's multi interface.
 *
 * curl tells us through two callbacks which sockets and which time it waits
 * for; both are put behind one epoll descriptor, and the backend waits for that
 * together with its latch.  An interrupt therefore ends any wait at once.
 *
 * curl calls back into us from C that knows nothing of longjmp: callbacks store
 * and return, and what they store is malloc'ed, because palloc may throw.
 *
 * Lifetimes: a loop is owned by the memory context of its scan through a reset
 * callback.  A scan that ends in order gives it back with msgtrace_http_close,
 * and the backend keeps one such loop with its open connections; a loop whose
 * scan failed is destroyed, since nobody knows what its connections carry.
 *
 *-------------------------------------------------------------------------
 */
#include "net/http.h"

#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* What a loop takes of the process's descriptors: epoll, timer, and curl's. */
#define LOOP_DESCRIPTORS 6

/* One read of a socket; larger than curl's 16 kB, for pages of 2 MB. */
#define RECEIVE_BUFFER (256 * 1024L)

/* A body of this size is kept allocated for the next page. */
#define FIRST_BODY_SIZE (64 * 1024)

#define MAX_EVENTS 8

typedef struct Body
{
	char *data; /* malloc'ed, NUL-terminated */
	size_t length;
	size_t size;	/* allocated */
	size_t ceiling; /* max_response_size */
	bool too_large;
	bool out_of_memory;
} Body;

struct MsgTraceHttp
{
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	char *form; /* wiped and freed when the request ends */
	int epoll_fd;
	int timer_fd;
	int descriptors;  /* reserved from the server's account */
	int64 curl_alarm; /* when curl wants to be called, by uptime(), or 0 */
	int64 own_alarm;  /* when our caller does, or 0 */
	bool in_flight;	  /* easy is in multi */
	bool ended;		  /* reply is valid */
	Body body;
	bool confidential;	  /* the body answers a form with a secret: wipe it */
	int retry_after;	  /* seconds, -1 = no such header */
	TimestampTz retry_at; /* the same as a date; 0 = no such header */
	TimestampTz date;	  /* 0 = no such header */
	TimestampTz date_at;  /* our clock when it came: the body may take minutes */
	char error[CURL_ERROR_SIZE];
	MsgTraceHttpReply reply;
	MemoryContextCallback *owner; /* NULL in the pool */
};

/* The loop of the scan that ended last, for the next one. */
static MsgTraceHttp *idle_loop = NULL;

/*
 * curl may start a resolver thread, which inherits the signal mask: with our
 * signals open in it, the server's handlers would run in the wrong thread.
 */
static void
block_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, before);
}

static void
unblock_signals(const sigset_t *before)
{
	sigprocmask(SIG_SETMASK, before, NULL);
}

/* What is allocated is kept for the next answer, but nothing of this one. */
static void
forget_body(MsgTraceHttp *http)
{
	Body *body = &http->body;

	if (body->data && http->confidential)
		explicit_bzero(body->data, body->size);
	else if (body->data)
		body->data[0] = '\0';
	body->length = 0;
	http->confidential = false;
}

static void
wipe_form(MsgTraceHttp *http)
{
	if (http->form)
	{
		explicit_bzero(http->form, strlen(http->form));
		free(http->form);
		http->form = NULL;
	}
}

/* ---------------------------------------------------------------- timer */

/* Microseconds by the clock of the timer, which nobody sets. */
static int64
uptime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

static void
arm_timer(MsgTraceHttp *http)
{
	struct itimerspec spec = {0};
	int64 when = http->curl_alarm;

	if (when == 0 || (http->own_alarm != 0 && http->own_alarm < when))
		when = http->own_alarm;
	if (when != 0)
	{
		/* zero would disarm it, so what is due is due in a microsecond */
		int64 wait = Max(when - uptime(), 1);

		spec.it_value.tv_sec = wait / USECS_PER_SEC;
		spec.it_value.tv_nsec = (wait % USECS_PER_SEC) * 1000;
	}
	timerfd_settime(http->timer_fd, 0, &spec, NULL);
}

void
msgtrace_http_set_alarm(MsgTraceHttp *http, int64 delay)
{
	http->own_alarm = delay < 0 ? 0 : uptime() + delay * 1000;
	arm_timer(http);
}

/* ------------------------------------------------------ curl's callbacks */

static int
on_timer(CURLM *multi pg_attribute_unused(), long timeout_ms, void *arg)
{
	MsgTraceHttp *http = arg;

	http->curl_alarm = timeout_ms < 0 ? 0 : uptime() + timeout_ms * 1000;
	arm_timer(http);
	return 0;
}

static int
on_socket(CURL *easy pg_attribute_unused(), curl_socket_t fd, int what, void *arg,
		  void *socket_arg pg_attribute_unused())
{
	MsgTraceHttp *http = arg;
	struct epoll_event event = {.data.fd = fd};

	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(http->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
		epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

static bool
make_room(Body *body, size_t more)
{
	size_t needed = body->length + more + 1;
	size_t size = Max(body->size, FIRST_BODY_SIZE);
	char *data;

	if (needed <= body->size)
		return true;
	while (size < needed)
		size *= 2;
	data = realloc(body->data, size);
	if (data == NULL)
		return false;
	body->data = data;
	body->size = size;
	return true;
}

/* A count short of what was offered makes curl end the request. */
static size_t
on_body(char *data, size_t one, size_t count, void *arg)
{
	Body *body = arg;
	size_t length = one * count;

	body->too_large = length > body->ceiling - body->length;
	if (body->too_large)
		return 0;
	body->out_of_memory = !make_room(body, length);
	if (body->out_of_memory)
		return 0;
	memcpy(body->data + body->length, data, length);
	body->length += length;
	body->data[body->length] = '\0';
	return length;
}

/*
 * The value of a header line if it is of this name, copied to `value`.
 */
static bool
header_value(const char *line, size_t length, const char *name, char *value, size_t size)
{
	size_t skip = strlen(name);

	if (length <= skip || pg_strncasecmp(line, name, skip) != 0)
		return false;
	length = Min(length - skip, size - 1);
	memcpy(value, line + skip, length);
	value[length] = '\0';
	return true;
}

/* An HTTP date; 0 when it is none, or one that no clock shows. */
static TimestampTz
read_date(const char *value)
{
	static const time_t last_of_9999 = INT64CONST(253402300799);
	time_t date = curl_getdate(value, NULL);

	return date > 0 && date <= last_of_9999 ? time_t_to_timestamptz(date) : 0;
}

/* Retry-After is a number of seconds or a date. */
static void
read_retry_after(MsgTraceHttp *http, const char *value)
{
	char *end;
	long seconds = strtol(value, &end, 10);

	if (end != value)
		http->retry_after = (int) Min(Max(seconds, 0), INT_MAX);
	else
		http->retry_at = read_date(value);
}

/* A date is meant by the service's clock, so it is compared with its Date. */
static int
retry_after(const MsgTraceHttp *http)
{
	TimestampTz now = http->date != 0 ? http->date : GetCurrentTimestamp();

	if (http->retry_at == 0)
		return http->retry_after;
	return (int) Min(Max((http->retry_at - now) / USECS_PER_SEC, 0), INT_MAX);
}

static size_t
on_header(char *line, size_t one, size_t count, void *arg)
{
	MsgTraceHttp *http = arg;
	char value[64];

	if (header_value(line, count, "Date:", value, sizeof(value)))
	{
		http->date = read_date(value);
		http->date_at = GetCurrentTimestamp();
	}
	else if (header_value(line, count, "Retry-After:", value, sizeof(value)))
		read_retry_after(http, value);
	return one * count;
}

/* ------------------------------------------------------------ lifetimes */

static void
end_request(MsgTraceHttp *http)
{
	if (http->in_flight)
	{
		curl_multi_remove_handle(http->multi, http->easy);
		http->in_flight = false;
	}
	curl_slist_free_all(http->headers);
	http->headers = NULL;
	wipe_form(http);
}

static void
destroy(MsgTraceHttp *http)
{
	if (http->multi)
		end_request(http);
	if (http->easy)
		curl_easy_cleanup(http->easy);
	if (http->multi)
		curl_multi_cleanup(http->multi);
	if (http->epoll_fd >= 0)
		close(http->epoll_fd);
	if (http->timer_fd >= 0)
		close(http->timer_fd);
	while (http->descriptors-- > 0)
		ReleaseExternalFD();
	forget_body(http);
	free(http->body.data);
	free(http);
}

/* The owner's memory context ends: after an error, or without a close. */
static void
on_owner_gone(void *arg)
{
	MsgTraceHttp **held = arg;

	if (*held)
		destroy(*held);
	*held = NULL;
}

static bool
reserve_descriptors(MsgTraceHttp *http)
{
	while (http->descriptors < LOOP_DESCRIPTORS)
	{
		if (!AcquireExternalFD())
			return false;
		http->descriptors++;
	}
	return true;
}

static bool
set_up(MsgTraceHttp *http)
{
	struct epoll_event event = {.events = EPOLLIN};

	http->epoll_fd = http->timer_fd = -1;
	if (!reserve_descriptors(http))
		return false;
	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	http->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (http->epoll_fd < 0 || http->timer_fd < 0)
		return false;
	event.data.fd = http->timer_fd;
	if (epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, http->timer_fd, &event) != 0)
		return false;
	http->multi = curl_multi_init();
	http->easy = curl_easy_init();
	if (http->multi == NULL || http->easy == NULL)
		return false;
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
#if LIBCURL_VERSION_NUM >= 0x081400
	/* 8.20: resolver threads are the loop's, and its end would wait for them */
	curl_multi_setopt(http->multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
	return true;
}

/* curl is initialised on first use, never when the library is loaded. */
static MsgTraceHttp *
create(void)
{
	static bool initialised = false;
	MsgTraceHttp *http;

	if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	initialised = true;
	http = calloc(1, sizeof(MsgTraceHttp));
	if (http && !set_up(http))
	{
		destroy(http);
		http = NULL;
	}
	return http;
}

/* What the owner's context holds: the callback, and the loop it stands for. */
typedef struct Ownership
{
	MemoryContextCallback callback;
	MsgTraceHttp *http; /* NULL once it was given back */
} Ownership;

MsgTraceHttp *
msgtrace_http_open(MemoryContext context, MsgTraceStatus *status)
{
	Ownership *ownership = MemoryContextAllocZero(context, sizeof(Ownership));

	ownership->callback.func = on_owner_gone;
	ownership->callback.arg = &ownership->http;
	MemoryContextRegisterResetCallback(context, &ownership->callback);

	ownership->http = idle_loop ? idle_loop : create();
	idle_loop = NULL;
	if (ownership->http == NULL)
	{
		status->fault = MSGTRACE_NO_CLIENT;
		return NULL;
	}
	ownership->http->owner = &ownership->callback;
	return ownership->http;
}

void
msgtrace_http_close(MsgTraceHttp *http)
{
	Ownership *ownership = (Ownership *) http->owner;

	ownership->http = NULL;
	http->owner = NULL;
	if (http->in_flight || idle_loop)
	{
		destroy(http);
		return;
	}
	end_request(http);
	msgtrace_http_set_alarm(http, -1);
	http->ended = false;
	forget_body(http);
	free(http->body.data);
	memset(&http->body, 0, sizeof(http->body));
	idle_loop = http;
}

/* -------------------------------------------------------------- requests */

static bool
add_headers(MsgTraceHttp *http, const char *const *headers)
{
	for (; *headers; headers++)
	{
		struct curl_slist *longer = curl_slist_append(http->headers, *headers);

		if (longer == NULL)
			return false;
		http->headers = longer;
	}
	return true;
}

static void
set_options(MsgTraceHttp *http, const MsgTraceHttpOptions *options, const char *url)
{
	CURL *easy = http->easy;

	curl_easy_reset(easy); /* keeps connections and DNS results */
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "o365_msgtrace/1.0");
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &http->body);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) options->connect_timeout);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) options->request_timeout);

	/* curl must not touch signals, nor wait for its resolver's thread */
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif

	/* a token goes where it was meant to go and nowhere else */
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	if (options->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);

	if (http->form)
	{
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, http->form);
	}
}

static void
forget_last_answer(MsgTraceHttp *http, const MsgTraceHttpOptions *options)
{
	http->ended = false;
	forget_body(http);
	http->body.ceiling = options->max_response_size;
	http->body.too_large = http->body.out_of_memory = false;
	http->retry_after = -1;
	http->retry_at = 0;
	http->date = 0;
	http->error[0] = '\0';
}

bool
msgtrace_http_start(MsgTraceHttp *http, const MsgTraceHttpOptions *options, const char *url,
					const char *const *headers, const char *form)
{
	CURLMcode rc;
	sigset_t before;

	end_request(http);
	forget_last_answer(http, options);
	if (!add_headers(http, headers))
		return false;
	if (form && (http->form = strdup(form)) == NULL)
		return false;
	http->confidential = form != NULL;
	set_options(http, options, url);
	block_signals(&before);
	rc = curl_multi_add_handle(http->multi, http->easy);
	unblock_signals(&before);
	http->in_flight = rc == CURLM_OK;
	return http->in_flight;
}

void
msgtrace_http_cancel(MsgTraceHttp *http)
{
	end_request(http);
	http->ended = false;
}

static MsgTraceFault
fault_of(MsgTraceHttp *http, CURLcode rc)
{
	if (http->body.too_large)
		return MSGTRACE_TOO_LARGE;
	switch (rc)
	{
		case CURLE_OK:
			return MSGTRACE_OK;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			return MSGTRACE_UNRESOLVED;
		case CURLE_COULDNT_CONNECT:
			return MSGTRACE_UNREACHABLE;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_ISSUER_ERROR:
			return MSGTRACE_UNTRUSTED;
		case CURLE_OPERATION_TIMEDOUT:
			return MSGTRACE_TIMED_OUT;
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
			return MSGTRACE_BROKEN_OFF;
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_BAD_CONTENT_ENCODING:
			return MSGTRACE_UNREADABLE;
		default:
			return MSGTRACE_NO_CLIENT; /* no memory, no such protocol ... */
	}
}

static void
take_reply(MsgTraceHttp *http, CURLcode rc)
{
	MsgTraceHttpReply *reply = &http->reply;
	long http_status = 0;

	curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &http_status);
	reply->fault = fault_of(http, rc);
	reply->words = http->error[0] ? http->error : curl_easy_strerror(rc);
	reply->http_status = (int) http_status;
	reply->body = http->body.data ? http->body.data : "";
	reply->length = http->body.length;
	reply->date = http->date;
	reply->date_at = http->date_at;
	reply->retry_after = retry_after(http);
	http->ended = true;
	end_request(http);
}

static void
drain_timer(MsgTraceHttp *http)
{
	uint64 expirations;

	if (read(http->timer_fd, &expirations, sizeof(expirations)) < 0)
		return; /* not due after all */
}

static void
handle_event(MsgTraceHttp *http, const struct epoll_event *event)
{
	int running;
	int what = 0;

	if (event->data.fd == http->timer_fd)
	{
		drain_timer(http);
		if (http->curl_alarm != 0 && http->curl_alarm <= uptime())
		{
			http->curl_alarm = 0;
			curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		arm_timer(http);
		return;
	}
	if (event->events & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (event->events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(http->multi, event->data.fd, what, &running);
}

bool
msgtrace_http_poll(MsgTraceHttp *http)
{
	struct epoll_event events[MAX_EVENTS];
	sigset_t before;
	CURLMsg *message;
	int count;
	int left;

	block_signals(&before);
	count = epoll_wait(http->epoll_fd, events, MAX_EVENTS, 0);
	for (int i = 0; i < count; i++)
		handle_event(http, &events[i]);
	unblock_signals(&before);

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE && message->easy_handle == http->easy)
		{
			take_reply(http, message->data.result);
			break;
		}
	}
	return http->ended || (http->own_alarm != 0 && http->own_alarm <= uptime());
}

const MsgTraceHttpReply *
msgtrace_http_reply(MsgTraceHttp *http)
{
	return http->ended ? &http->reply : NULL;
}

void
msgtrace_http_wait(MsgTraceHttp *http)
{
	int events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH,
								   http->epoll_fd, -1, PG_WAIT_EXTENSION);

	if (events & WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ------------------------------------------------------------------ URLs */

/* One part of a URL, the scheme's default port included; NULL when it has none. */
static char *
url_part(const char *url, CURLUPart part)
{
	CURLU *handle = curl_url();
	char *text = NULL;

	if (handle && curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK)
		curl_url_get(handle, part, &text, CURLU_DEFAULT_PORT);
	curl_url_cleanup(handle);
	return text;
}

static bool
same_part(const char *one, const char *other, CURLUPart part)
{
	char *a = url_part(one, part);
	char *b = url_part(other, part);
	bool same = a && b && pg_strcasecmp(a, b) == 0;

	curl_free(a);
	curl_free(b);
	return same;
}

bool
msgtrace_http_same_origin(const char *one, const char *other)
{
	return same_part(one, other, CURLUPART_SCHEME) && same_part(one, other, CURLUPART_HOST) &&
		   same_part(one, other, CURLUPART_PORT);
}

bool
msgtrace_http_is_plain_url(const char *url)
{
	static const CURLUPart unwanted[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
										 CURLUPART_QUERY, CURLUPART_FRAGMENT};
	char *host = url_part(url, CURLUPART_HOST);
	bool plain = host && *host;

	curl_free(host);
	for (size_t i = 0; i < lengthof(unwanted); i++)
	{
		char *part = url_part(url, unwanted[i]);

		plain = plain && part == NULL;
		curl_free(part);
	}
	return plain;
}

/* Our own, since curl's may run out of memory in a way that we could not report. */
char *
msgtrace_http_escape(const char *text)
{
	static const char unreserved[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";
	char *escaped = palloc(strlen(text) * 3 + 1);
	char *out = escaped;

	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (strchr(unreserved, c))
			*out++ = *text;
		else
		{
			*out++ = '%';
			*out++ = hex[c >> 4];
			*out++ = hex[c & 15];
		}
	}
	*out = '\0';
	return escaped;
}

char *
msgtrace_http_unescape(const char *text)
{
	char *copy = pstrdup(text); /* before curl allocates: this may throw */
	char *unescaped = curl_easy_unescape(NULL, text, 0, NULL);

	if (unescaped)
	{
		strlcpy(copy, unescaped, strlen(text) + 1); /* it is never longer */
		curl_free(unescaped);
	}
	return copy;
}
