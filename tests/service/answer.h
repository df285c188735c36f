/*
 * answer.h
 *	  Sends answers, whole or damaged by order.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include "request.h"

/* A header beside those every answer has. */
typedef struct ExtraHeader
{
	const char *name; /* NULL = none */
	const char *value;
} ExtraHeader;

typedef ssize_t (*AnswerStream)(void *state, uint64_t position, char *out, size_t room);

extern Result answer_send(Request *request, unsigned status, const char *type, Buffer *body,
						  ExtraHeader extra);
extern Result answer_stream(Request *request, const char *type, AnswerStream stream, void *state,
							void (*release)(void *state));
extern Result answer_json(Request *request, unsigned status, Buffer *body);
extern Result answer_html_page(Request *request, unsigned status);
extern Result answer_graph_error(Request *request, unsigned status, const char *code,
								 const char *message, ExtraHeader extra);
extern bool answer_wait(const Request *request, int64_t ms);
extern void answer_guid(char *out);

#define NO_HEADER ((ExtraHeader){NULL, NULL})

#endif
