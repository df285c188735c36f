/*
 * fold.h
 *	  Text without regard to case, as the service compares it.
 */
#ifndef FOLD_H
#define FOLD_H

#include <stdbool.h>
#include <stddef.h>

extern void fold_start(void);
extern size_t fold_text(char *out, size_t room, const char *text, size_t length);

#endif
