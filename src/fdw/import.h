/*-------------------------------------------------------------------------
 *
 * import.h
 *		IMPORT FOREIGN SCHEMA.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_IMPORT_H
#define MSGTRACE_IMPORT_H

#include "postgres.h"

#include "nodes/parsenodes.h"

extern List *msgtrace_import_schema(ImportForeignSchemaStmt *stmt, Oid server_id);

#endif /* MSGTRACE_IMPORT_H */
