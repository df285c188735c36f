/*-------------------------------------------------------------------------
 *
 * base64.h
 *		Bytes as text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_BASE64_H
#define MSGTRACE_BASE64_H

#include "postgres.h"

/* With + and / and padding, as headers have it. */
extern char *msgtrace_base64(const void *bytes, size_t length);

/* With - and _ and no padding, as tokens have it. */
extern char *msgtrace_base64url(const void *bytes, size_t length);

#endif /* MSGTRACE_BASE64_H */
