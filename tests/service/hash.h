/*
 * hash.h
 *	  The one source of chance: a counter-based hash, so that any row can be
 *	  made without making the rows before it.
 */
#ifndef HASH_H
#define HASH_H

#include <stdint.h>

#define HASH_STEP UINT64_C(0x9e3779b97f4a7c15)

/* The finalizer of splitmix64: a bijection on 64 bits. */
static inline uint64_t
hash_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* The inverse of hash_mix: finds a message again by its id. */
static inline uint64_t
hash_unmix(uint64_t z)
{
	z = (z ^ (z >> 31) ^ (z >> 62)) * UINT64_C(0x319642b2d24d8ec3);
	z = (z ^ (z >> 27) ^ (z >> 54)) * UINT64_C(0x96de1b173f119089);
	return z ^ (z >> 30) ^ (z >> 60);
}

/* The n-th draw of the stream that belongs to `key`. */
static inline uint64_t
hash_draw(uint64_t key, uint64_t n)
{
	return hash_mix(key + n * HASH_STEP);
}

#endif
