/*
 * signin.h
 *	  The sign-in endpoint of Entra ID: client credentials.
 */
#ifndef SIGNIN_H
#define SIGNIN_H

#include "request.h"

extern bool signin_is_path(const char *path);
extern Result signin_answer(Request *request);

#endif
