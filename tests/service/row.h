/*
 * row.h
 *	  The values of a row as the service shows them: spelled, not yet escaped.
 */
#ifndef ROW_H
#define ROW_H

#include "world.h"

/* room that each of the functions below may need */
#define ROW_SCRATCH SUBJECT_SIZE
#define ROW_ID_SIZE 36

typedef struct Span
{
	const char *data; /* NULL = null */
	size_t length;
} Span;

extern void row_write_id(const Row *row, char *out);
extern Span row_sender(const Row *row, char *scratch);
extern Span row_recipient(const Row *row, char *scratch);
extern Span row_subject(const Row *row, char *scratch);
extern Span row_message_id(const Row *row, char *scratch);
extern Span row_from_ip(const Row *row, const RowDetails *details, char *scratch);
extern Span row_to_ip(const Row *row, const RowDetails *details, char *scratch);
extern Span row_status(const Row *row, const RowDetails *details, Tick now);
extern bool row_parse_id(const char *text, size_t length, uint64_t *high, uint64_t *low);

#endif
