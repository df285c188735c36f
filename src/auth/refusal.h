/*-------------------------------------------------------------------------
 *
 * refusal.h
 *		What an answer says that is a refusal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_REFUSAL_H
#define MSGTRACE_REFUSAL_H

#include "postgres.h"

#include "net/http.h"
#include "net/status.h"

/* Keep the service's words of it. */
extern void msgtrace_refusal_note(const MsgTraceHttpReply *reply, MsgTraceStatus *status);

/* What the refused token carries tells a missing permission from the rest. */
extern void msgtrace_refusal_note_roles(MsgTraceStatus *status);

/* The fault that a status code is; MSGTRACE_OK where the caller decides. */
extern MsgTraceFault msgtrace_refusal_fault(int http_status);

#endif /* MSGTRACE_REFUSAL_H */
