/*-------------------------------------------------------------------------
 *
 * http_text.h
 *		Texts of HTTP that need no connection.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_HTTP_TEXT_H
#define MSGTRACE_HTTP_TEXT_H

#include "postgres.h"

/* A UUID in its usual form, and its NUL. */
#define MSGTRACE_UUID_SIZE 37

/* A new string with everything but unreserved characters percent-encoded. */
extern char *msgtrace_http_escape(const char *text);

/* The other way round, for people to read. */
extern char *msgtrace_http_unescape(const char *text);

/* A copy of a URL; a link's $skiptoken tells nobody anything, and is long. */
extern char *msgtrace_http_without_skiptoken(const char *url);

/*
 * Are both URLs of one scheme, host and port?  A URL that could be read in two
 * ways is of no origin.
 */
extern bool msgtrace_http_same_origin(const char *one, const char *other);

/* Only scheme, host, port and path: no user, no query, no fragment? */
extern bool msgtrace_http_is_plain_url(const char *url);

/* A fresh random UUID (version 4); false, and "", when there is no randomness. */
extern bool msgtrace_http_new_uuid(char *uuid);

#endif /* MSGTRACE_HTTP_TEXT_H */
