/*
 * reporting.h
 *	  List and details as the older Reporting web service serves them.
 */
#ifndef REPORTING_H
#define REPORTING_H

#include "request.h"

#define REPORTING_LIST_PATH "/ecp/reportingwebservice/reporting.svc/MessageTrace"
#define REPORTING_DETAIL_PATH "/ecp/reportingwebservice/reporting.svc/MessageTraceDetail"

extern Result reporting_list(Request *request);
extern Result reporting_detail(Request *request);

#endif
