/*
 * graph.h
 *	  The list of message traces as Microsoft Graph serves it.
 */
#ifndef GRAPH_H
#define GRAPH_H

#include "quota.h"
#include "request.h"

#define GRAPH_LIST_PATH "/v1.0/admin/exchange/tracing/messageTraces"

extern bool graph_admit(Request *request, bool detail, Result *result);
extern Result graph_list(Request *request);

#endif
