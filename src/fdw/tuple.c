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

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "net/compat.h"
#include "parser/parse_coerce.h"
#include "trace/detail.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include MSGTRACE_SOFT_ERROR_HEADER

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
	bool is_ip;		  /* may carry brackets and a port */
	bool is_time;	  /* of a date/time type ... */
	bool is_received; /* ... and shows the row's time */
	bool is_domain;	  /* may refuse a NULL */
	bool is_builtin;  /* the type comes with the server */
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
	TimestampTz time;

	if (column->is_ip)
		return msgtrace_row_ip_address(pstrdup(text)); /* another column may show it whole */
	if (column->is_received)
		return time_text(row->received);
	if (column->is_time && *text == '/' && msgtrace_row_read_time(text, &time))
		return time_text(time); /* /Date(ms)/ */
	return text;
}

/* The value is at fault, rather than a cancel or memory. */
static bool
is_of_the_value(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		   category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION; /* a domain's CHECK */
}

/*
 * An input function that raises an error leaves a value that cannot be read.
 * Those that report it softly (16+) can be followed by the next row, and so can
 * the server's own, which hold nothing when they give up.  Anybody else's
 * function may have left something open: its row cannot be set aside.
 */
static bool
call_input(Column *column, char *text, Datum *value, MsgTraceBadValue *bad)
{
	MemoryContext context = CurrentMemoryContext;
	MsgTraceSoftError error = MSGTRACE_NO_SOFT_ERROR;
	volatile bool read = false;

	PG_TRY();
	{
		read = msgtrace_input_softly(&column->input, text, column->io_param, column->typmod, &error,
									 value);
		if (!read)
			bad->reason = msgtrace_soft_error_words(&error);
	}
	PG_CATCH();
	{
		ErrorData *thrown;

		MemoryContextSwitchTo(context);
		thrown = CopyErrorData();
		if (!is_of_the_value(thrown))
			ReThrowError(thrown);
		FlushErrorState();
		bad->reason = thrown->message;
		bad->final = !column->is_builtin;
	}
	PG_END_TRY();
	if (!read)
		bad->reason = msgtrace_bad_row_shown(bad->reason);
	return read;
}

static bool
read_bigint(const char *text, Datum *value, MsgTraceBadValue *bad)
{
	char *end;
	int64 number;

	errno = 0;
	number = strtoll(text, &end, 10);
	*value = Int64GetDatum(number);
	if (errno == 0 && end != text && *end == '\0')
		return true;
	bad->reason = psprintf("it is no bigint: \"%s\"", msgtrace_bad_row_shown(text));
	return false;
}

static bool
convert(Column *column, const MsgTraceRow *row, char *text, Datum *value, MsgTraceBadValue *bad)
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
			return read_bigint(text, value, bad);
		default:
			return call_input(column, input_text(column, row, text), value, bad);
	}
}

/* What the parser took is JSON, and a json column's value is its text. */
static bool
fill_raw(Column *column, const MsgTraceRecord *record, Datum *value, MsgTraceBadValue *bad)
{
	if (column->conversion != AS_TEXT)
		return call_input(column, pnstrdup(record->raw, record->raw_length), value, bad);
	*value = PointerGetDatum(cstring_to_text_with_len(record->raw, (int) record->raw_length));
	return true;
}

/* There is no value; a domain may have it that there must be one. */
static bool
fill_null(Column *column, Datum *value, MsgTraceBadValue *bad)
{
	return !column->is_domain || call_input(column, NULL, value, bad);
}

/* An object or array where a value belongs is shown as no value can be. */
static bool
fill_column(Column *column, const MsgTraceRecord *record, MsgTraceRow *row, MsgTraceBadValue *bad)
{
	Datum *value = &row->values[column->index];
	char *text;

	if (column->conversion == AS_CONSTANT)
	{
		*value = column->constant;
		row->nulls[column->index] = false;
		return true;
	}
	if (column->field == MSGTRACE_RAW)
	{
		row->nulls[column->index] = false;
		return fill_raw(column, record, value, bad);
	}
	if (record->nested[column->field])
	{
		bad->reason = pstrdup("an object or array stands in place of a value");
		return false;
	}
	text = record->values[column->field];
	if (text == NULL || (column->is_ip && *text == '\0')) /* in normal form or not */
		return fill_null(column, value, bad);
	row->nulls[column->index] = false;
	return convert(column, row, text, value, bad);
}

static bool
build(void *arg, MsgTraceRecord *record, MsgTraceRow *row, MsgTraceBadValue *bad)
{
	MsgTraceTupleMaker *maker = arg;

	row->values = palloc0(maker->natts * sizeof(Datum));
	row->nulls = palloc(maker->natts * sizeof(bool));
	memset(row->nulls, true, maker->natts * sizeof(bool));
	for (int i = 0; i < maker->column_count; i++)
	{
		if (!fill_column(&maker->columns[i], record, row, bad))
		{
			bad->field = maker->columns[i].name;
			return false;
		}
	}
	return true;
}

static Conversion
conversion_of(int field, Form_pg_attribute attribute)
{
	if (attribute->atttypid == TEXTOID || (field == MSGTRACE_RAW && attribute->atttypid == JSONOID))
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
	Oid base_type = getBaseType(attribute->atttypid);
	Oid function;

	column->index = AttrNumberGetAttrOffset(attribute->attnum);
	column->field = field;
	column->name = pstrdup(NameStr(attribute->attname));
	column->typmod = attribute->atttypmod;
	column->is_ip = base_type == INETOID || base_type == CIDROID;
	column->is_domain = base_type != attribute->atttypid;
	column->is_time = TypeCategory(attribute->atttypid) == TYPCATEGORY_DATETIME;
	column->is_received = column->is_time && field == MSGTRACE_RECEIVED;
	column->is_builtin = attribute->atttypid < FirstUnpinnedObjectId;
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
	maker->reader.dialect = described->is_detail ? msgtrace_detail_dialect(settings->dialect)
												 : settings->dialect;
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
