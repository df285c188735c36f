/*-------------------------------------------------------------------------
 *
 * mapping.h
 *		User mappings as they stand in the catalog.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_MAPPING_H
#define MSGTRACE_MAPPING_H

#include "postgres.h"

/*
 * Does a mapping of the current user's to a server of this extension have the
 * option with this very value?
 *
 * The validator sees the list of options as it will be, not who has set which.
 * This is how an ordinary user changes other options of a mapping in which
 * somebody with the right to has named a file.  It also lets them put the same
 * file into another mapping of theirs; they gain nothing by that, since what is
 * signed with it goes to Microsoft's hosts, or to those that a superuser has chosen.
 */
extern bool msgtrace_mapping_has(const char *option, const char *value);

#endif /* MSGTRACE_MAPPING_H */
