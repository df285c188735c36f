/*
 * admit.h
 *	  Who may ask, and how often.
 */
#ifndef ADMIT_H
#define ADMIT_H

#include "token.h"

typedef enum Admission
{
	ADMITTED,
	ADMIT_NOBODY,		  /* no credentials */
	ADMIT_EXPIRED,		  /* a token that is over */
	ADMIT_STRANGER,		  /* a token or password that nobody knows */
	ADMIT_WRONG_AUDIENCE, /* a token for something else */
	ADMIT_NO_SERVICE_PRINCIPAL,
	ADMIT_NOT_PERMITTED,
	ADMIT_OVER_QUOTA
} Admission;

extern Admission admit(Request *request, Api api, bool detail, char *retry_after);

#endif
