/*
 * refusal.c
 *	  Why a sign-in is refused, in Entra's terms.
 */
#include "refusal.h"

#include "answer.h"

#include <stdarg.h>
#include <stdio.h>

/*
 * Notes a refusal. Always false, so that a check can end with it.
 */
bool
refusal_set(Refusal *refusal, unsigned status, const char *error, int code, const char *format, ...)
{
	va_list args;

	refusal->status = status;
	refusal->error = error;
	refusal->code = code;
	va_start(args, format);
	vsnprintf(refusal->text, sizeof(refusal->text), format, args);
	va_end(args);
	return false;
}

/*
 * Answers with it.
 */
Result
refusal_answer(Request *request, const Refusal *refusal)
{
	const char *client_id = request_header(request, "client-request-id");
	char correlation[GUID_SIZE];
	char time[MOMENT_TEXT_SIZE];
	Buffer text = {0};
	Buffer body = {0};

	answer_guid(correlation);
	if (client_id)
		snprintf(correlation, sizeof(correlation), "%s", client_id);
	moment_write(time, request->now, 0, true);
	time[10] = ' ';
	buffer_printf(&text, "AADSTS%d: %s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s",
				  refusal->code, refusal->text, request->id, correlation, time);
	buffer_printf(&body, "{\"error\":\"%s\",\"error_description\":", refusal->error);
	buffer_add_json(&body, buffer_text(&text));
	buffer_printf(&body,
				  ",\"error_codes\":[%d],\"timestamp\":\"%s\",\"trace_id\":\"%s\","
				  "\"correlation_id\":",
				  refusal->code, time, request->id);
	buffer_add_json(&body, correlation);
	buffer_printf(&body, ",\"error_uri\":\"https://login.microsoftonline.com/error?code=%d\"}",
				  refusal->code);
	buffer_free(&text);
	return answer_json(request, refusal->status, &body);
}
