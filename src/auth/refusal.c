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

/* Where the words stand: in Graph, in OData of two kinds, in the Reporting web service's own. */
static const char *const codes[] = {"error/code", "odata.error/code", "ErrorCode"};
static const char *const messages[] = {"error/message", "error/message/value",
									   "odata.error/message/value", "Message"};

/* The first of these members that says something. */
static char *
first_member(const MsgTraceDocument *document, const char *const *paths, int count,
			 MsgTraceStatus *status)
{
	for (int i = 0; i < count; i++)
	{
		const char *text = msgtrace_document_string(document, paths[i]);

		if (text && *text)
			return msgtrace_status_keep(status, text);
	}
	return NULL;
}

/* Behind a tag, and behind all of a style or script. */
static const char *
skip_tag(const char *tag)
{
	static const char *const hidden[] = {"style", "script"};
	const char *end = strchr(tag, '>');

	for (size_t i = 0; i < lengthof(hidden) && end; i++)
	{
		if (pg_strncasecmp(tag + 1, hidden[i], strlen(hidden[i])) == 0)
		{
			end = strstr(end, "</");
			end = end ? strchr(end, '>') : NULL;
		}
	}
	return end ? end + 1 : tag + strlen(tag);
}

/* A page of HTML (a sign-in page, a proxy's) without its tags, in place; other text as it is. */
static char *
text_of_page(char *words)
{
	const char *from = words + strspn(words, " ");
	char *to = words;

	if (*from != '<')
		return words;
	while (*from)
	{
		if (*from == '<')
			from = skip_tag(from);
		else if (*from != ' ')
		{
			*to++ = *from++;
			continue;
		}
		else
			from++;
		if (to > words && to[-1] != ' ')
			*to++ = ' ';
	}
	*to = '\0';
	if (to > words && to[-1] == ' ')
		to[-1] = '\0';
	return *words ? words : NULL;
}

void
msgtrace_refusal_note(const MsgTraceHttpReply *reply, MsgTraceStatus *status)
{
	MsgTraceDocument *document = msgtrace_document_read(reply->body, reply->length);

	status->http_status = reply->http_status;
	if (document)
	{
		status->code = first_member(document, codes, lengthof(codes), status);
		status->words = first_member(document, messages, lengthof(messages), status);
		msgtrace_status_keep_request_id(
			status, msgtrace_document_string(document, "error/innerError/request-id"));
	}
	else if (reply->length > 0)
		status->words = text_of_page(msgtrace_status_keep(status, reply->body));
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
