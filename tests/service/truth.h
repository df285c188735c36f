/*
 * truth.h
 *	  What a client should end up with, as CSV for COPY.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include "request.h"

extern Result truth_answer(Request *request);
extern Result truth_answer_details(Request *request);

#endif
