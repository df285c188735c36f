/*
 * page.h
 *	  Rows as JSON, as Graph's list shows them.
 */
#ifndef PAGE_H
#define PAGE_H

#include "buffer.h"
#include "row.h"

/* What is wrong with one row of a page, by order. */
typedef enum PageDamage
{
	DAMAGE_NONE,
	DAMAGE_NUL_ESCAPE,	   /* the subject ends in \u0000 */
	DAMAGE_LONE_SURROGATE, /* the subject ends in \ud800 */
	DAMAGE_INVALID_UTF8	   /* the subject ends in a byte 0xff */
} PageDamage;

extern void page_add_row(Buffer *page, const Row *row, Tick now, bool all_statuses,
						 PageDamage damage);
extern bool page_add_bad_row(Buffer *page, const char *kind, Tick received);

#endif
