/*
 * base64.h
 *	  Base64, both alphabets, padded or not.
 */
#ifndef BASE64_H
#define BASE64_H

#include "buffer.h"

#include <stdbool.h>

extern void base64_add(Buffer *out, const char *bytes, size_t length, bool url);
extern bool base64_decode(Buffer *out, const char *text);

#endif
