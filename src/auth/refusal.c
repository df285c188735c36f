/*-------------------------------------------------------------------------
 *
 * refusal.c
 *		What an answer says that is a refusal.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/refusal.h"

#include "auth/claims.h"
#include "net/document.h"

void
msgtrace_refusal_note(const MsgTraceHttpReply *reply, MsgTraceStatus *status)
{
	MsgTraceDocument *document = msgtrace_document_read(reply->body, reply->length);

	status->http_status = reply->http_status;
	if (document)
	{
		status->code = msgtrace_status_keep(status,
											msgtrace_document_string(document, "error.code"));
		status->words = msgtrace_status_keep(status,
											 msgtrace_document_string(document, "error.message"));
		msgtrace_status_keep_request_id(
			status, msgtrace_document_string(document, "error.innerError.request-id"));
	}
	else if (reply->length > 0)
		status->words = msgtrace_status_keep(status, reply->body);
	msgtrace_document_free(document);
}

void
msgtrace_refusal_note_roles(MsgTraceStatus *status)
{
	MsgTraceClaims claims;

	if (status->token == NULL)
		return;
	msgtrace_claims_read(&claims, status->token);
	if (claims.readable)
		status->roles = msgtrace_status_keep(status, claims.roles);
}

MsgTraceFault
msgtrace_refusal_fault(int http_status)
{
	switch (http_status)
	{
		case 401:
			return MSGTRACE_UNAUTHORIZED;
		case 403:
			return MSGTRACE_FORBIDDEN;
		case 429:
			return MSGTRACE_THROTTLED;
		default:
			return http_status >= 500 ? MSGTRACE_UNAVAILABLE : MSGTRACE_OK;
	}
}
