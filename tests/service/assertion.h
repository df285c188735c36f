/*
 * assertion.h
 *	  A client that signs in with a certificate: its signed statement.
 */
#ifndef ASSERTION_H
#define ASSERTION_H

#include "refusal.h"

extern bool assertion_check(const Request *request, const char *assertion, const char *client,
							Refusal *refusal);

#endif
