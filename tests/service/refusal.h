/*
 * refusal.h
 *	  Why a sign-in is refused, in Entra's terms.
 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include "request.h"

typedef struct Refusal
{
	unsigned status;   /* HTTP */
	const char *error; /* OAuth's word, a constant */
	int code;		   /* AADSTS */
	char text[1024];
} Refusal;

extern bool refusal_set(Refusal *refusal, unsigned status, const char *error, int code,
						const char *format, ...) __attribute__((format(printf, 5, 6)));
extern Result refusal_answer(Request *request, const Refusal *refusal);

#endif
