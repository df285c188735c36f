/*-------------------------------------------------------------------------
 *
 * mapping.c
 *		User mappings as they stand in the catalog.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/mapping.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/rel.h"

/* Of a server of the extension's: another wrapper may have let anything pass. */
static bool
is_ours(Oid server_id)
{
	ForeignServer *server = GetForeignServer(server_id);

	return strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, "o365_msgtrace") == 0;
}

static bool
has_option(HeapTuple tuple, Relation table, const char *option, const char *value)
{
	bool is_null;
	Datum options = heap_getattr(tuple, Anum_pg_user_mapping_umoptions, RelationGetDescr(table),
								 &is_null);
	ListCell *cell;

	if (is_null)
		return false;
	foreach (cell, untransformRelOptions(options))
	{
		DefElem *element = lfirst_node(DefElem, cell);

		if (strcmp(element->defname, option) == 0 && strcmp(defGetString(element), value) == 0)
			return true;
	}
	return false;
}

bool
msgtrace_mapping_has(const char *option, const char *value)
{
	Relation table = table_open(UserMappingRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	bool found = false;
	HeapTuple tuple;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_user_mapping mapping = (Form_pg_user_mapping) GETSTRUCT(tuple);

		found = mapping->umuser == GetUserId() && is_ours(mapping->umserver) &&
				has_option(tuple, table, option, value);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return found;
}
