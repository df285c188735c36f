/*
 * control.c
 *	  The endpoints by which a test steers the service.
 *
 * They need no token and never meet a fault; every wrong document gets a 400
 * with the reason.
 */
#include "control.h"

#include "answer.h"
#include "certificates.h"
#include "clock.h"
#include "directory.h"
#include "given.h"
#include "quota.h"
#include "requestlog.h"
#include "truth.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static Result
answer_error(Request *request, unsigned status, const char *reason)
{
	Buffer body = {0};

	buffer_add_text(&body, "{\"error\":");
	buffer_add_json(&body, reason);
	buffer_add_text(&body, "}\n");
	return answer_json(request, status, &body);
}

static Result
answer_done(Request *request)
{
	Buffer body = {0};

	buffer_add_text(&body, "{\"done\":true}\n");
	return answer_json(request, MHD_HTTP_OK, &body);
}

/* Ends a POST: with the reason if there is one. Frees the reason. */
static Result
answer_outcome(Request *request, bool good, Buffer *error)
{
	Result result;

	if (good)
		result = answer_done(request);
	else
		result = answer_error(request, MHD_HTTP_BAD_REQUEST,
							  error->length ? buffer_text(error) : "refused");
	buffer_free(error);
	return result;
}

static Result
wrong_method(Request *request)
{
	return answer_error(request, MHD_HTTP_METHOD_NOT_ALLOWED, "this method means nothing here");
}

static bool
is_method(const Request *request, const char *method)
{
	return strcmp(request->method, method) == 0;
}

/* The posted document, which must be an object. */
static json_t *
posted_object(Request *request, Buffer *error)
{
	json_error_t where;
	json_t *document = json_loadb(request->body.length ? request->body.data : "",
								  request->body.length, 0, &where);

	if (document == NULL)
		buffer_printf(error, "line %d: %s", where.line, where.text);
	else if (!json_is_object(document))
	{
		buffer_add_text(error, "an object is expected");
		json_decref(document);
		document = NULL;
	}
	return document;
}

/* ---- clock ---- */

static bool
steer_clock(const char *name, const json_t *value, Buffer *error)
{
	Tick now;

	if (strcmp(name, "now") == 0 && json_is_string(value) &&
		moment_parse(json_string_value(value), json_string_length(value), false, &now))
		clock_set(now);
	else if (strcmp(name, "advance") == 0 && json_is_number(value) &&
			 json_number_value(value) > -1e10 && json_number_value(value) < 1e10)
		clock_advance((Tick) (json_number_value(value) * (double) TICKS_PER_SECOND));
	else if (strcmp(name, "run") == 0 && json_is_boolean(value))
		clock_run(json_is_true(value));
	else
	{
		buffer_printf(
			error,
			"\"%s\": a clock takes \"now\": time, \"advance\": seconds or \"run\": true or false",
			name);
		return false;
	}
	return true;
}

static Result
show_clock(Request *request)
{
	Buffer body = {0};
	char time[MOMENT_TEXT_SIZE];

	moment_write(time, clock_now(), 7, true);
	buffer_printf(&body, "{\"now\":\"%s\",\"running\":%s}\n", time,
				  clock_running() ? "true" : "false");
	return answer_json(request, MHD_HTTP_OK, &body);
}

/* GET shows; POST applies each member of an object, then shows what came of it. */
static Result
show_or_change(Request *request, Result (*show)(Request *),
			   bool (*change)(const char *name, const json_t *value, Buffer *error))
{
	Buffer error = {0};
	json_t *document;
	const char *name;
	json_t *value;
	bool good;

	if (is_method(request, "GET"))
		return show(request);
	if (!is_method(request, "POST"))
		return wrong_method(request);
	document = posted_object(request, &error);
	good = document != NULL;
	json_object_foreach(document, name, value) good = good && change(name, value, &error);
	json_decref(document);
	if (!good)
		return answer_outcome(request, false, &error);
	buffer_free(&error);
	return show(request);
}

static Result
control_clock(Request *request)
{
	return show_or_change(request, show_clock, steer_clock);
}

/* ---- settings ---- */

static Result
show_settings(Request *request)
{
	Buffer body = {0};

	settings_show(&body);
	return answer_json(request, MHD_HTTP_OK, &body);
}

static bool
change_setting(const char *name, const json_t *value, Buffer *error)
{
	bool good = false;

	if (json_is_string(value))
		good = settings_set_text(name, json_string_value(value));
	else if (json_is_integer(value))
		good = settings_set_number(name, (int64_t) json_integer_value(value));
	else if (json_is_boolean(value))
		good = settings_set_number(name, json_is_true(value));
	if (!good)
		buffer_printf(error, "\"%s\": no such setting, or not with this value", name);
	return good;
}

static Result
control_settings(Request *request)
{
	return show_or_change(request, show_settings, change_setting);
}

/* ---- the rest ---- */

static Result
control_log(Request *request)
{
	Buffer body = {0};

	if (is_method(request, "DELETE"))
	{
		requestlog_clear();
		return answer_done(request);
	}
	if (!is_method(request, "GET"))
		return wrong_method(request);
	requestlog_show(&body);
	return answer_json(request, MHD_HTTP_OK, &body);
}

static Result
control_faults(Request *request)
{
	Buffer text = {0};

	if (is_method(request, "DELETE"))
	{
		faults_clear();
		return answer_done(request);
	}
	if (is_method(request, "GET"))
	{
		faults_show(&text);
		return answer_json(request, MHD_HTTP_OK, &text);
	}
	if (is_method(request, "PUT"))
		faults_clear();
	else if (!is_method(request, "POST"))
		return wrong_method(request);
	return answer_outcome(
		request, faults_post(buffer_text(&request->body), request->body.length, &text), &text);
}

static Result
control_rows(Request *request)
{
	Buffer error = {0};

	if (is_method(request, "DELETE"))
	{
		given_clear();
		return answer_done(request);
	}
	if (!is_method(request, "POST"))
		return wrong_method(request);
	return answer_outcome(
		request, given_post(buffer_text(&request->body), request->body.length, &error), &error);
}

static Result
control_truth(Request *request)
{
	return is_method(request, "GET") ? truth_answer(request) : wrong_method(request);
}

/* ---- who is known ---- */

/* POST changes; GET, where it is known, shows. */
static Result
post_or_show(Request *request, bool (*post)(const char *, size_t, Buffer *), void (*show)(Buffer *))
{
	Buffer text = {0};

	if (is_method(request, "POST"))
		return answer_outcome(
			request, post(buffer_text(&request->body), request->body.length, &text), &text);
	if (!show || !is_method(request, "GET"))
		return wrong_method(request);
	show(&text);
	return answer_json(request, MHD_HTTP_OK, &text);
}

static Result
control_tenants(Request *request)
{
	return post_or_show(request, directory_post_tenants, directory_show_tenants);
}

static Result
control_clients(Request *request)
{
	return post_or_show(request, directory_post_clients, NULL);
}

static Result
control_users(Request *request)
{
	return post_or_show(request, directory_post_users, NULL);
}

static Result
control_certificates(Request *request)
{
	if (is_method(request, "DELETE"))
	{
		certificates_clear();
		return answer_done(request);
	}
	return post_or_show(request, certificates_post, NULL);
}

static Result
control_quota(Request *request)
{
	Buffer body = {0};

	if (is_method(request, "DELETE"))
	{
		quota_reset();
		return answer_done(request);
	}
	if (!is_method(request, "GET"))
		return wrong_method(request);
	quota_show(&body);
	return answer_json(request, MHD_HTTP_OK, &body);
}

static Result
control_truth_details(Request *request)
{
	return is_method(request, "POST") ? truth_answer_details(request) : wrong_method(request);
}

/* Everything as after the start, but for tokens, which stay good. */
static Result
control_reset(Request *request)
{
	if (!is_method(request, "POST"))
		return wrong_method(request);
	settings_reset();
	clock_reset();
	faults_clear();
	given_clear();
	directory_reset();
	quota_reset();
	requestlog_clear();
	return answer_done(request);
}

/*
 * Anything under /control/.
 */
Result
control_answer(Request *request)
{
	static const struct
	{
		const char *path;
		Result (*answer)(Request *request);
	} endpoints[] = {
		{"/control/truth", control_truth},
		{"/control/truth/details", control_truth_details},
		{"/control/log", control_log},
		{"/control/clock", control_clock},
		{"/control/faults", control_faults},
		{"/control/rows", control_rows},
		{"/control/settings", control_settings},
		{"/control/tenants", control_tenants},
		{"/control/clients", control_clients},
		{"/control/users", control_users},
		{"/control/certificates", control_certificates},
		{"/control/quota", control_quota},
		{"/control/reset", control_reset},
	};

	if (request->too_long)
		return answer_error(request, MHD_HTTP_CONTENT_TOO_LARGE, "the document is too long");
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
		if (strcmp(request->path, endpoints[i].path) == 0)
			return endpoints[i].answer(request);
	return answer_error(request, MHD_HTTP_NOT_FOUND, "no such control endpoint");
}
