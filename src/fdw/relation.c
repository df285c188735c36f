/*-------------------------------------------------------------------------
 *
 * relation.c
 *		Which column of a foreign table shows which field.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/relation.h"

#include "fdw/option_check.h"
#include "fdw/options.h"
#include "trace/dialect.h"
#include "utils/rel.h"

static void
refuse_column(Relation relation, const char *column)
{
	const char *names[MSGTRACE_FIELDS + 2] = {"tenant", "raw"};
	const char *nearest;

	for (int field = 0; field < MSGTRACE_FIELDS; field++)
		names[field + 2] = msgtrace_field_info[field].column;
	nearest = msgtrace_nearest_name(column, names, lengthof(names));
	ereport(
		ERROR, errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
		errmsg("column \"%s\" of foreign table \"%s\" is no field of a message trace", column,
			   RelationGetRelationName(relation)),
		nearest
			? errhint(
				  "Perhaps it should be named \"%s\"; or name the service's property with OPTIONS (field '...').",
				  nearest)
			: errhint("Name the service's property with OPTIONS (field '...')."));
}

static int
field_of_property(MsgTraceRelation *described, const char *property)
{
	int field = msgtrace_dialect_field(property);

	if (field >= 0)
		return field;
	for (int i = 0; i < described->extra_count; i++)
	{
		if (strcmp(described->extra[i], property) == 0)
			return MSGTRACE_FIELDS + i;
	}
	described->extra[described->extra_count] = property;
	return MSGTRACE_FIELDS + described->extra_count++;
}

static int
field_of_column(MsgTraceRelation *described, Relation relation, Form_pg_attribute attribute)
{
	const char *column = NameStr(attribute->attname);
	const char *property = msgtrace_column_field(RelationGetRelid(relation), attribute->attnum);
	int field;

	if (property)
		return field_of_property(described, property);
	if (strcmp(column, "tenant") == 0)
		return MSGTRACE_TENANT;
	if (strcmp(column, "raw") == 0)
		return MSGTRACE_RAW;
	field = msgtrace_field_by_column(column);
	if (field < 0)
		refuse_column(relation, column);
	return field;
}

MsgTraceRelation *
msgtrace_relation_describe(Relation relation)
{
	TupleDesc desc = RelationGetDescr(relation);
	MsgTraceRelation *described = palloc0(sizeof(MsgTraceRelation));

	described->natts = desc->natts;
	described->fields = palloc(desc->natts * sizeof(int));
	described->extra = palloc(desc->natts * sizeof(char *));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		described->fields[i] = attribute->attisdropped
								   ? MSGTRACE_NO_FIELD
								   : field_of_column(described, relation, attribute);
	}
	return described;
}
