/*
 * digits.h
 *	  Numbers written in decimal, fast: pages hold several of them in each row.
 */
#ifndef DIGITS_H
#define DIGITS_H

#include <stddef.h>
#include <stdint.h>

/* Writes no NUL; returns the number of digits, 20 at most. */
extern size_t digits_write(char *out, uint64_t number);

#endif
