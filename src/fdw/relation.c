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
#include "trace/detail.h"
#include "trace/dialect.h"
#include "utils/rel.h"

static void
refuse_column(const MsgTraceRelation *described, Relation relation, const char *column)
{
	const char *names[MSGTRACE_FIELDS + 2] = {"tenant", "raw"};
	int count = 2;
	const char *nearest;

	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		const char *name = msgtrace_field_column(field, described->is_detail);

		if (name)
			names[count++] = name;
	}
	nearest = msgtrace_nearest_name(column, names, count);
	ereport(
		ERROR, errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
		errmsg("column \"%s\" of foreign table \"%s\" is no field of %s", column,
			   RelationGetRelationName(relation),
			   described->is_detail ? "the details of a delivery" : "a message trace"),
		nearest
			? errhint(
				  "Perhaps it should be named \"%s\"; or name the service's property with OPTIONS (field '...').",
				  nearest)
			: errhint("Name the service's property with OPTIONS (field '...')."));
}

static int
field_of_property(MsgTraceRelation *described, const char *property)
{
	int field = described->is_detail ? msgtrace_detail_field(property)
									 : msgtrace_dialect_field(property);

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
	field = msgtrace_field_by_column(column, described->is_detail);
	if (field < 0)
		refuse_column(described, relation, column);
	return field;
}

MsgTraceRelation *
msgtrace_relation_describe(Relation relation)
{
	TupleDesc desc = RelationGetDescr(relation);
	MsgTraceRelation *described = palloc0(sizeof(MsgTraceRelation));

	described->natts = desc->natts;
	described->is_detail = msgtrace_table_is_detail(RelationGetRelid(relation));
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
