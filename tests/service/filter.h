/*
 * filter.h
 *	  What a $filter asks for, after the service's own way of reading it.
 */
#ifndef FILTER_H
#define FILTER_H

#include "buffer.h"
#include "row.h"

#include <stdbool.h>

typedef enum FilterDialect
{
	FILTER_GRAPH,
	FILTER_REPORTING
} FilterDialect;

typedef enum FilterField
{
	FIELD_ID,
	FIELD_MESSAGE_ID,
	FIELD_SENDER,
	FIELD_RECIPIENT,
	FIELD_STATUS,
	FIELD_FROM_IP,
	FIELD_TO_IP,
	FIELD_SUBJECT,
	FILTER_FIELDS
} FilterField;

typedef enum FilterTest
{
	TEST_NONE,
	TEST_EQUAL,
	TEST_CONTAINS,
	TEST_STARTS,
	TEST_ENDS,
	TEST_NEVER /* a wildcard where the service knows none */
} FilterTest;

typedef struct FilterCondition
{
	FilterTest test;
	char *value;   /* folded */
	size_t length; /* bytes of value */
} FilterCondition;

typedef struct Filter
{
	bool has_from;
	bool has_to;
	Tick from; /* inclusive */
	Tick to;   /* inclusive */
	FilterCondition conditions[FILTER_FIELDS];
} Filter;

extern bool filter_parse(Filter *filter, FilterDialect dialect, const char *text, Buffer *error);
extern bool filter_match(const Filter *filter, const Row *row, Tick now);
extern void filter_free(Filter *filter);

#endif
