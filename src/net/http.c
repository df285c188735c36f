/*-------------------------------------------------------------------------
 *
 * http.c
 *		HTTP requests that never block the backend, on curl's multi interface.
 *
 * curl tells us through two callbacks which sockets and which time it waits
 * for; both go into the loop that the backend waits for.
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

#include "net/body.h"
#include "net/head.h"
#include "net/loop.h"

/* One read of a socket; larger than curl's 16 kB, for pages of 2 MB. */
#define RECEIVE_BUFFER (256 * 1024L)

#define MAX_EVENTS 8

struct MsgTraceHttp
{
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	char *form; /* wiped and freed when the request ends */
	MsgTraceLoop loop;
	bool in_flight; /* easy is in multi */
	bool ended;		/* reply is valid */
	MsgTraceHead head;
	MsgTraceBody body;
	bool confidential; /* the body answers a form with a secret: wipe it */
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

static void
forget_answer(MsgTraceHttp *http)
{
	msgtrace_head_clear(&http->head);
	msgtrace_body_clear(&http->body, http->confidential);
	http->confidential = false;
	http->ended = false;
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

/* ------------------------------------------------------ curl's callbacks */

static int
on_timer(CURLM *multi pg_attribute_unused(), long timeout_ms, void *arg)
{
	msgtrace_loop_set_alarm(&((MsgTraceHttp *) arg)->loop, MSGTRACE_ALARM_LIBRARY, timeout_ms);
	return 0;
}

static int
on_socket(CURL *easy pg_attribute_unused(), curl_socket_t fd, int what, void *arg,
		  void *socket_arg pg_attribute_unused())
{
	MsgTraceLoop *loop = &((MsgTraceHttp *) arg)->loop;

	if (what == CURL_POLL_REMOVE)
		msgtrace_loop_forget(loop, fd);
	else
		msgtrace_loop_watch(loop, fd, (what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
	return 0;
}

/* A count short of what was offered makes curl end the request. */
static size_t
on_body(char *data, size_t one, size_t count, void *arg)
{
	return msgtrace_body_add(arg, data, one * count) ? one * count : 0;
}

static size_t
on_header(char *line, size_t one, size_t count, void *arg)
{
	msgtrace_head_add(arg, line, one * count);
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
	msgtrace_loop_close(&http->loop);
	forget_answer(http);
	msgtrace_body_free(&http->body);
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
set_up(MsgTraceHttp *http)
{
	if (!msgtrace_loop_open(&http->loop))
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
	forget_answer(http);
	msgtrace_body_free(&http->body);
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
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, &http->head);
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

bool
msgtrace_http_start(MsgTraceHttp *http, const MsgTraceHttpOptions *options, const char *url,
					const char *const *headers, const char *form)
{
	CURLMcode rc;
	sigset_t before;

	end_request(http);
	forget_answer(http);
	http->body.ceiling = options->max_response_size;
	http->error[0] = '\0';
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
	reply->date = http->head.date;
	reply->date_at = http->head.date_at;
	reply->retry_after = msgtrace_head_retry_after(&http->head);
	reply->request_id = http->head.request_id[0] ? http->head.request_id : NULL;
	http->ended = true;
	end_request(http);
}

static void
handle_event(MsgTraceHttp *http, const MsgTraceLoopEvent *event)
{
	int running;
	int what = (event->readable ? CURL_CSELECT_IN : 0) | (event->writable ? CURL_CSELECT_OUT : 0) |
			   (event->failed ? CURL_CSELECT_ERR : 0);

	curl_multi_socket_action(http->multi, event->fd, what, &running);
}

static void
handle_timeout(MsgTraceHttp *http)
{
	int running;

	msgtrace_loop_set_alarm(&http->loop, MSGTRACE_ALARM_LIBRARY, -1);
	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

bool
msgtrace_http_poll(MsgTraceHttp *http)
{
	MsgTraceLoopEvent events[MAX_EVENTS];
	sigset_t before;
	CURLMsg *message;
	int count;
	int left;

	block_signals(&before);
	count = msgtrace_loop_events(&http->loop, events, MAX_EVENTS);
	for (int i = 0; i < count; i++)
		handle_event(http, &events[i]);
	if (msgtrace_loop_is_due(&http->loop, MSGTRACE_ALARM_LIBRARY))
		handle_timeout(http);
	unblock_signals(&before);

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE && message->easy_handle == http->easy)
		{
			take_reply(http, message->data.result);
			break;
		}
	}
	return http->ended || msgtrace_loop_is_due(&http->loop, MSGTRACE_ALARM_CALLER);
}

const MsgTraceHttpReply *
msgtrace_http_reply(MsgTraceHttp *http)
{
	return http->ended ? &http->reply : NULL;
}

void
msgtrace_http_set_alarm(MsgTraceHttp *http, int64 delay)
{
	msgtrace_loop_set_alarm(&http->loop, MSGTRACE_ALARM_CALLER, delay);
}

void
msgtrace_http_wait(MsgTraceHttp *http, uint32 wait_event)
{
	msgtrace_loop_wait(&http->loop, wait_event);
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
