/*-------------------------------------------------------------------------
 *
 * tuple.c
 *		Records into the Datums of a foreign table's columns.
 *
 * A value goes through the input function of its column's type, so that a user
 * may declare from_ip as text; the types that IMPORT FOREIGN SCHEMA gives are
 * made directly, which is most of the work saved.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/tuple.h"

#include "catalog/pg_type.h"
#include "fdw/error.h"
#include "fmgr.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef enum Conversion
{
	BY_INPUT_FUNCTION,
	AS_TEXT,
	AS_KEY_UUID, /* the row's id, read already */
	AS_RECEIVED, /* the row's time, read already */
	AS_BIGINT,
	AS_CONSTANT
} Conversion;

typedef struct Column
{
	int index;		  /* in the tuple, from 0 */
	int field;		  /* in the record */
	const char *name; /* for messages */
	Conversion conversion;
	FmgrInfo input;
	Oid io_param;
	int32 typmod;
	Datum constant;
	bool is_ip;	  /* may carry brackets and a port */
	bool is_time; /* of a date/time type, and shows the row\'s time */
} Column;

struct MsgTraceTupleMaker
{
	int natts;
	Column *columns;
	int column_count;
	MsgTracePageReader reader;
};

/*
 * The row's time as it was read, in UTC and cut to microseconds: the input
 * functions would round a seventh digit, and read a time without a zone in the
 * session's.
 */
static char *
time_text(TimestampTz time)
{
	struct pg_tm tm;
	fsec_t fraction;

	if (timestamp2tm(time, NULL, &tm, &fraction, NULL, NULL) != 0)
		pg_unreachable(); /* it was made from four digits of a year */
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fraction);
}

/* The text as the type's input function shall read it. */
static char *
input_text(const Column *column, const MsgTraceRow *row, char *text)
{
	if (column->is_ip)
		return msgtrace_row_ip_address(pstrdup(text)); /* another column may show it whole */
	if (column->is_time)
		return time_text(row->received);
	return text;
}

static Datum
call_input(Column *column, const MsgTraceRecord *record, char *text)
{
	MemoryContext context = CurrentMemoryContext;
	Datum value = (Datum) 0;

	PG_TRY();
	{
		value = InputFunctionCall(&column->input, text, column->io_param, column->typmod);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		msgtrace_error_bad_value(column->name, record->values[MSGTRACE_ID]);
	}
	PG_END_TRY();
	return value;
}

static bool
read_bigint(const char *text, Datum *value)
{
	char *end;
	int64 number;

	errno = 0;
	number = strtoll(text, &end, 10);
	*value = Int64GetDatum(number);
	return errno == 0 && end != text && *end == '\0';
}

static bool
convert(Column *column, const MsgTraceRecord *record, const MsgTraceRow *row, char *text,
		Datum *value)
{
	switch (column->conversion)
	{
		case AS_TEXT:
			*value = PointerGetDatum(cstring_to_text(text));
			return true;
		case AS_KEY_UUID:
		{
			pg_uuid_t *uuid = palloc(sizeof(pg_uuid_t));

			*uuid = row->id;
			*value = UUIDPGetDatum(uuid);
			return true;
		}
		case AS_RECEIVED:
			*value = TimestampTzGetDatum(row->received);
			return true;
		case AS_BIGINT:
			return read_bigint(text, value);
		default:
			*value = call_input(column, record, input_text(column, row, text));
			return true;
	}
}

/* An object or array where a value belongs is shown as no value can be. */
static bool
fill_column(Column *column, const MsgTraceRecord *record, MsgTraceRow *row)
{
	char *text;

	if (column->conversion == AS_CONSTANT)
	{
		row->values[column->index] = column->constant;
		row->nulls[column->index] = false;
		return true;
	}
	if (record->nested[column->field])
		return false;
	text = record->values[column->field];
	if (text == NULL)
		return true;
	if (column->is_ip && *text == '\0')
		return true; /* "" is no address, in normal form or not */
	row->nulls[column->index] = false;
	return convert(column, record, row, text, &row->values[column->index]);
}

static bool
build(void *arg, MsgTraceRecord *record, MsgTraceRow *row, const char **bad)
{
	MsgTraceTupleMaker *maker = arg;

	row->values = palloc0(maker->natts * sizeof(Datum));
	row->nulls = palloc(maker->natts * sizeof(bool));
	memset(row->nulls, true, maker->natts * sizeof(bool));
	for (int i = 0; i < maker->column_count; i++)
	{
		if (!fill_column(&maker->columns[i], record, row))
		{
			*bad = maker->columns[i].name;
			return false;
		}
	}
	return true;
}

static Conversion
conversion_of(int field, Form_pg_attribute attribute)
{
	if (attribute->atttypid == TEXTOID)
		return AS_TEXT;
	if (attribute->atttypid == UUIDOID && field == MSGTRACE_ID)
		return AS_KEY_UUID;
	if (attribute->atttypid == TIMESTAMPTZOID && attribute->atttypmod < 0 &&
		field == MSGTRACE_RECEIVED)
		return AS_RECEIVED;
	if (attribute->atttypid == INT8OID)
		return AS_BIGINT;
	return BY_INPUT_FUNCTION;
}

static void
set_up_column(Column *column, Form_pg_attribute attribute, int field, const char *tenant_label)
{
	Oid function;

	column->index = AttrNumberGetAttrOffset(attribute->attnum);
	column->field = field;
	column->name = pstrdup(NameStr(attribute->attname));
	column->typmod = attribute->atttypmod;
	column->is_ip = attribute->atttypid == INETOID;
	column->is_time = field == MSGTRACE_RECEIVED &&
					  TypeCategory(attribute->atttypid) == TYPCATEGORY_DATETIME;
	column->conversion = conversion_of(field, attribute);
	getTypeInputInfo(attribute->atttypid, &function, &column->io_param);
	fmgr_info(function, &column->input);
	if (field == MSGTRACE_TENANT)
	{
		column->conversion = AS_CONSTANT;
		column->constant = InputFunctionCall(&column->input, pstrdup(tenant_label),
											 column->io_param, column->typmod);
	}
}

MsgTraceTupleMaker *
msgtrace_tuple_maker(Relation relation, List *needed, const MsgTraceSettings *settings)
{
	MsgTraceRelation *described = msgtrace_relation_describe(relation);
	TupleDesc desc = RelationGetDescr(relation);
	MsgTraceTupleMaker *maker = palloc0(sizeof(MsgTraceTupleMaker));
	ListCell *cell;

	maker->natts = desc->natts;
	maker->columns = palloc0(Max(list_length(needed), 1) * sizeof(Column));
	foreach (cell, needed)
	{
		int index = AttrNumberGetAttrOffset(lfirst_int(cell));

		set_up_column(&maker->columns[maker->column_count++], TupleDescAttr(desc, index),
					  described->fields[index], settings->tenant_label);
	}
	maker->reader.extra = described->extra;
	maker->reader.extra_count = described->extra_count;
	maker->reader.dialect = settings->dialect;
	maker->reader.normalize = settings->normalize;
	maker->reader.build = build;
	maker->reader.arg = maker;
	return maker;
}

const MsgTracePageReader *
msgtrace_tuple_reader(const MsgTraceTupleMaker *maker)
{
	return &maker->reader;
}
