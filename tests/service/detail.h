/*
 * detail.h
 *	  The details of one delivery as Microsoft Graph serves them.
 */
#ifndef DETAIL_H
#define DETAIL_H

#include "request.h"

extern bool detail_is_path(const char *path);
extern Result detail_answer(Request *request);

#endif
