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
 * and the backend keeps a few such loops with their open connections, as many as
 * a scan has requests in flight; a loop whose scan failed is destroyed, since
 * nobody knows what its connections carry.
 *
 *-------------------------------------------------------------------------
 */
#include "net/http.h"

#include <curl/curl.h>

#include "net/body.h"
#include "net/crypto.h"
#include "net/head.h"
#include "net/loop.h"

/* One read of a socket; larger than curl's 16 kB, for pages of 2 MB. */
#define RECEIVE_BUFFER (256 * 1024L)

#define MAX_EVENTS 8

/*
 * The slowest pace of a body, by what comes over the line.  It is looked at from
 * the first byte on: how long the service thinks before that is its own affair.
 */
#define SLOWEST_PACE 100 /* bytes in a second */
#define PACE_SECONDS 20	 /* on the average of this time */

struct MsgTraceHttp
{
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	MsgTraceBody form; /* to be posted; wiped when the request ends */
	MsgTraceLoop loop;
	bool in_flight; /* easy is in multi */
	bool ended;		/* reply is valid */
	MsgTraceHead head;
	MsgTraceBody body;
	bool confidential; /* the body answers a form with a secret: wipe it */
	bool body_began;   /* and its pace is watched */
	bool too_slow;
	curl_off_t received; /* bytes of the body when its pace was last looked at */
	MsgTracePeer peer;
	bool by_option; /* the proxy is the server option's, not the environment's */
	char error[CURL_ERROR_SIZE];
	MsgTraceHttpReply reply;
	MemoryContextCallback *owner; /* NULL in the pool */
};

/* Each holds descriptors of the process: what is beyond the usual is let go. */
#define MAX_IDLE_LOOPS 4

/* The loops of scans that have ended, for the next ones; the last one on top. */
static MsgTraceHttp *idle_loops[MAX_IDLE_LOOPS];
static int idle_count = 0;

static void
forget_answer(MsgTraceHttp *http)
{
	msgtrace_head_clear(&http->head);
	msgtrace_body_clear(&http->body, http->confidential);
	memset(&http->peer, 0, sizeof(http->peer));
	http->confidential = false;
	http->body_began = http->too_slow = false;
	http->received = 0;
	http->error[0] = '\0';
	http->ended = false;
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

/* Called with everything that moves; dlnow counts the body as it is sent. */
static int
on_progress(void *arg, curl_off_t dltotal pg_attribute_unused(), curl_off_t dlnow,
			curl_off_t ultotal pg_attribute_unused(), curl_off_t ulnow pg_attribute_unused())
{
	MsgTraceHttp *http = arg;

	if (dlnow > 0 && !http->body_began)
	{
		http->body_began = true;
		msgtrace_loop_set_alarm(&http->loop, MSGTRACE_ALARM_PACE, PACE_SECONDS * 1000);
	}
	return 0;
}

/* curl's OpenSSL is ours, or this would not be called. */
static CURLcode
on_tls(CURL *easy pg_attribute_unused(), void *ssl_context, void *arg)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	msgtrace_crypto_watch_peer(ssl_context, arg);
	/* ca_file takes the place of curl's own file, and curl may have no folder */
	msgtrace_crypto_trust_system(ssl_context,
								 info->age < CURLVERSION_SEVENTH || info->capath == NULL);
	return CURLE_OK;
}

/* ------------------------------------------------------------ lifetimes */

/* One of them may be the authorization. */
static void
wipe_headers(MsgTraceHttp *http)
{
	for (struct curl_slist *header = http->headers; header; header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_slist_free_all(http->headers);
	http->headers = NULL;
}

static void
end_request(MsgTraceHttp *http)
{
	if (http->in_flight)
	{
		curl_multi_remove_handle(http->multi, http->easy);
		http->in_flight = false;
	}
	msgtrace_loop_set_alarm(&http->loop, MSGTRACE_ALARM_PACE, -1);
	wipe_headers(http);
	msgtrace_body_clear(&http->form, true);
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
	msgtrace_body_free(&http->form);
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

	ownership->http = idle_count > 0 ? idle_loops[--idle_count] : create();
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
	if (http->in_flight || idle_count == MAX_IDLE_LOOPS)
	{
		destroy(http);
		return;
	}
	end_request(http);
	msgtrace_http_set_alarm(http, -1);
	forget_answer(http);
	msgtrace_body_free(&http->body);
	idle_loops[idle_count++] = http;
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

/*
 * Through a proxy https goes by CONNECT, and the proxy is told nothing but where
 * to.  Plain http, which is for loopback, has no such shell.
 */
static void
set_proxy(MsgTraceHttp *http, const MsgTraceHttpOptions *options)
{
	CURL *easy = http->easy;

	http->by_option = options->proxy != NULL;
	if (options->proxy)
		curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy); /* "" means none */
	if (options->no_proxy)
		curl_easy_setopt(easy, CURLOPT_NOPROXY, options->no_proxy);
	if (options->proxy_username)
	{
		curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, options->proxy_username);
		curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD,
						 options->proxy_password ? options->proxy_password : "");
	}
	/* the best that it offers; not Negotiate, which asks a KDC and blocks */
	curl_easy_setopt(easy, CURLOPT_PROXYAUTH, (long) (CURLAUTH_ANY & ~CURLAUTH_NEGOTIATE));
	curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* A token goes where it was meant to go and nowhere else. */
static void
set_trust(MsgTraceHttp *http, const MsgTraceHttpOptions *options)
{
	CURL *easy = http->easy;
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
	if (options->ca_file)
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
		curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, options->ca_file);
	}
	/* what another TLS library would hand over is not what crypto.c expects */
	if (info->ssl_version && strncmp(info->ssl_version, "OpenSSL/", strlen("OpenSSL/")) == 0)
	{
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, &http->peer);
	}
}

static void
set_callbacks(MsgTraceHttp *http)
{
	CURL *easy = http->easy;

	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &http->body);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, &http->head);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, http);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
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
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) options->connect_timeout);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) options->request_timeout);

	/* curl must not touch signals, nor wait for its resolver's thread */
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	if (options->fresh)
	{
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	}
	set_callbacks(http);
	set_trust(http, options);
	set_proxy(http, options);

	if (http->confidential)
	{
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, http->form.data);
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
	if (!add_headers(http, headers))
		return false;
	http->confidential = form != NULL;
	http->form.ceiling = form ? strlen(form) : 0;
	if (form && !msgtrace_body_add(&http->form, form, strlen(form)))
		return false;
	set_options(http, options, url);
	msgtrace_loop_block_signals(&before);
	rc = curl_multi_add_handle(http->multi, http->easy);
	msgtrace_loop_unblock_signals(&before);
	http->in_flight = rc == CURLM_OK;
	return http->in_flight;
}

void
msgtrace_http_cancel(MsgTraceHttp *http)
{
	end_request(http);
	http->ended = false;
}

/*
 * What the proxy said, or 0 when it let the request through, or there is none.
 * A service that signs nobody in by HTTP has no 407 of its own.
 */
static long
proxy_refusal(MsgTraceHttp *http, CURLcode rc, long http_status)
{
	long connect_status = 0;

	if (rc == CURLE_OK)
		return http_status == 407 ? http_status : 0;
	if (rc == CURLE_OPERATION_TIMEDOUT)
		return 0; /* it may have asked for the password, and been told */
	curl_easy_getinfo(http->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
	return connect_status / 100 == 2 ? 0 : connect_status;
}

/* Its URL is not one that curl understands. */
static bool
is_bad_proxy(const MsgTraceHttp *http)
{
	return strncmp(http->error, "Unsupported proxy", strlen("Unsupported proxy")) == 0;
}

static MsgTraceFault
fault_of(MsgTraceHttp *http, CURLcode rc)
{
	long os_error = 0;

	curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &os_error);
	if (is_bad_proxy(http))
		return MSGTRACE_PROXY_REFUSED;
	if (http->too_slow)
		return MSGTRACE_TOO_SLOW;
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
			/* where the connection was taken, and dropped at once, there is somebody */
			return os_error == ECONNRESET ? MSGTRACE_BROKEN_OFF : MSGTRACE_UNREACHABLE;
		case CURLE_PROXY:
			return MSGTRACE_PROXY_REFUSED;
		case CURLE_SSL_CONNECT_ERROR:
			if (http->peer.in_handshake && !http->peer.handshake_failed)
				return MSGTRACE_BROKEN_OFF;
			return MSGTRACE_UNTRUSTED;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
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

/*
 * curl's words, unless there are better ones.  It shows the whole URL of a proxy
 * that it cannot read, in which the environment may have put a password.
 */
static void
choose_words(MsgTraceHttp *http, CURLcode rc, long refusal)
{
	const char *whose = http->by_option ? "of the server option" : "of the environment";

	if (refusal != 0)
		snprintf(http->error, sizeof(http->error), "the proxy %s answered HTTP %ld", whose,
				 refusal);
	else if (http->too_slow)
		snprintf(http->error, sizeof(http->error), "less than %d bytes came in %d seconds",
				 SLOWEST_PACE * PACE_SECONDS, PACE_SECONDS);
	else if (is_bad_proxy(http))
		snprintf(http->error, sizeof(http->error), "the URL of the proxy %s cannot be read", whose);
	else if (http->error[0] == '\0')
		strlcpy(http->error, curl_easy_strerror(rc), sizeof(http->error));
}

static void
take_reply(MsgTraceHttp *http, CURLcode rc)
{
	MsgTraceHttpReply *reply = &http->reply;
	long http_status = 0;
	long refusal;

	memset(reply, 0, sizeof(*reply));
	curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &http_status);
	refusal = proxy_refusal(http, rc, http_status);
	reply->fault = refusal ? MSGTRACE_PROXY_REFUSED : fault_of(http, rc);
	choose_words(http, rc, refusal);
	reply->words = http->error;
	reply->http_status = (int) http_status;
	reply->body = http->body.data ? http->body.data : "";
	reply->length = http->body.length;
	if ((reply->fault == MSGTRACE_UNTRUSTED || reply->fault == MSGTRACE_OK) && http->peer.issuer[0])
	{
		reply->subject = http->peer.subject;
		reply->issuer = http->peer.issuer;
	}
	if (reply->fault != MSGTRACE_PROXY_REFUSED)
	{
		reply->date = http->head.date;
		reply->date_at = http->head.date_at;
		reply->request_id = http->head.request_id[0] ? http->head.request_id : NULL;
	}
	reply->retry_after = msgtrace_head_retry_after(&http->head);
	http->ended = true;
	end_request(http);
}

static void
look_at_pace(MsgTraceHttp *http)
{
	curl_off_t received = 0;

	curl_easy_getinfo(http->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
	http->too_slow = received - http->received < SLOWEST_PACE * PACE_SECONDS;
	http->received = received;
	if (http->too_slow)
		take_reply(http, CURLE_OPERATION_TIMEDOUT);
	else
		msgtrace_loop_set_alarm(&http->loop, MSGTRACE_ALARM_PACE, PACE_SECONDS * 1000);
}

bool
msgtrace_http_poll(MsgTraceHttp *http)
{
	MsgTraceLoopEvent events[MAX_EVENTS];
	sigset_t before;
	CURLMsg *message;
	int count;
	int left;

	msgtrace_loop_block_signals(&before);
	count = msgtrace_loop_events(&http->loop, events, MAX_EVENTS);
	for (int i = 0; i < count; i++)
	{
		int what = (events[i].readable ? CURL_CSELECT_IN : 0) |
				   (events[i].writable ? CURL_CSELECT_OUT : 0) |
				   (events[i].failed ? CURL_CSELECT_ERR : 0);

		curl_multi_socket_action(http->multi, events[i].fd, what, &left);
	}
	if (msgtrace_loop_is_due(&http->loop, MSGTRACE_ALARM_LIBRARY))
	{
		msgtrace_loop_set_alarm(&http->loop, MSGTRACE_ALARM_LIBRARY, -1);
		curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &left);
	}
	msgtrace_loop_unblock_signals(&before);

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE && message->easy_handle == http->easy)
		{
			take_reply(http, message->data.result);
			break;
		}
	}
	if (http->in_flight && msgtrace_loop_is_due(&http->loop, MSGTRACE_ALARM_PACE))
		look_at_pace(http);
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

int
msgtrace_http_socket(const MsgTraceHttp *http)
{
	return http->loop.epoll_fd;
}

void
msgtrace_http_wait(MsgTraceHttp *http, uint32 wait_event)
{
	msgtrace_loop_wait(&http->loop, wait_event);
}

void
msgtrace_http_wait_any(MsgTraceHttp *const *https, int count, uint32 wait_event)
{
	MsgTraceLoop *loops[MSGTRACE_MAX_HTTPS];

	StaticAssertStmt(MSGTRACE_MAX_HTTPS <= MSGTRACE_MAX_LOOPS, "they are waited for at once");
	for (int i = 0; i < count; i++)
		loops[i] = &https[i]->loop;
	msgtrace_loop_wait_any(loops, count, wait_event);
}
