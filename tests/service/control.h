/*
 * control.h
 *	  The endpoints by which a test steers the service.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "request.h"

extern Result control_answer(Request *request);

#endif
