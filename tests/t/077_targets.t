# tests/t/077_targets.t
#
# The tables that an ingest writes: partitioned by the input or by the user,
# shared, with columns of the user's own, of another role; what is refused before
# the first request; and what retention drops and never asks for again.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

my $service = MsgTrace::Service->start(
	now => '2026-05-10T12:00:00Z',
	rows_per_day => 2000,
	quota => 0);
my $node = MsgTrace::Cluster->start;
my $fabrikam = '22222222-3333-4444-5555-666666666666';
$service->add_tenant(id => $fabrikam, domain => 'fabrikam.onmicrosoft.com');
$node->create_server($service);
$node->create_server($service, name => 'fabrikam', schema => 'fabrikam', tenant_id => $fabrikam);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_store;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, fabrikam TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail, fabrikam TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA store AUTHORIZATION regress_store;
CREATE SCHEMA truth;
SQL

my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';
my %owner = (user => 'regress_owner');

sub create
{
	my ($input, $target, $settings, $source) = @_;
	return 'SELECT o365_msgtrace.create_input('
	  . join(', ', "'$input'", "'" . ($source // 'mail') . ".message_trace'", "'$target'", $settings || ()) . ')';
}

sub alter
{
	my ($input, $settings) = @_;
	return "SELECT o365_msgtrace.alter_input('$input', $settings)";
}

# Moves the service's clock; inputs know of it, as if they had gone on with their runs.
sub set_clock
{
	my ($now) = @_;
	$service->set_clock(now => $now);
	my $offset = $node->sql("SELECT '$now' - clock_timestamp()");
	$node->sql("UPDATE o365_msgtrace.ledger SET clock_offset = '$offset'; ALTER TABLE o365_msgtrace.ledger ALTER clock_offset SET DEFAULT '$offset'");
	return;
}

sub run
{
	my ($input) = @_;
	return $node->sql("CALL o365_msgtrace.run('$input')", %owner);
}

sub last_run
{
	my ($input, $expression) = @_;
	return $node->sql(
		"SELECT $expression FROM o365_msgtrace.run_log WHERE input_id = '$input' ORDER BY run_id DESC LIMIT 1", %owner);
}

sub coverage
{
	my ($input, $expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.coverage WHERE input_id = '$input'", %owner);
}

# What the target has of [from, to) of a tenant is what the service shows now; and it has nothing older.
sub holds_truth
{
	my ($name, $target, $from, $to, $tenant) = @_;
	$node->load_truth($service, 'truth.rows', $from, $to, undef, $tenant ? $fabrikam : undef);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $node->same_rows(
		$name,
		"SELECT $columns FROM $target WHERE tenant = '" . ($tenant // 'tenant') . "' AND received < '$to'",
		'SELECT * FROM truth.rows');
}

# The partitions of a target as name: from .. to, in UTC.
sub partitions
{
	my ($target) = @_;
	return $node->sql(<<"SQL");
SELECT string_agg(c.relname || ': ' || CASE WHEN p.span IS NULL THEN 'default'
                  ELSE coalesce(to_char(lower(p.span), 'MM-DD HH24') || ' .. ', 'before ') || to_char(upper(p.span), 'MM-DD HH24') END,
                  ', ' ORDER BY p.span, c.relname)
  FROM o365_msgtrace._partitions('$target') p JOIN pg_class c ON c.oid = p.partition
SQL
}

set_clock('2026-05-10T12:00:00Z');

# ---- by day --------------------------------------------------------------------------------

$node->sql(create('days', 'archive.days', "partition_by => 'day', date_range_start => '-2d'"), %owner);
is(
	$node->sql("SELECT pg_get_partkeydef('archive.days'::regclass)"),
	'RANGE (received)', 'with partition_by the target is created partitioned');
# Its IST is read as Israel's.
{
	my $session = $node->session(%owner);
	$session->sql("SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY'");
	$session->sql("CALL o365_msgtrace.run('days')");
	$session->quit;
}
is(
	partitions('archive.days'),
	join(', ', map { sprintf 'days_p202605%02d: 05-%02d 00 .. 05-%02d 00', $_, $_, $_ + 1 } 8 .. 17),
	'the days of its window have partitions, in UTC, and a week ahead has');
holds_truth('and the rows of the window', 'archive.days', '2026-05-08T12:00:00Z', '2026-05-10T11:59:59Z');
is(
	$node->sql(q{SELECT bool_and(tableoid::regclass::text = 'archive.days_p' || to_char(received, 'YYYYMMDD')) FROM archive.days}),
	't', 'each in the partition of its day');
like(
	$node->sql("SELECT obj_description('archive.days_p20260510'::regclass)"),
	qr/^what was received from 2026-05-10 00:00:00 to 2026-05-11 00:00:00 UTC, of archive\.days; made by o365_msgtrace$/,
	'a partition says what it is');
$node->sql("CALL o365_msgtrace.backfill('days', '2026-04-28 00:00Z', '2026-04-29 12:00Z')", %owner);
like(partitions('archive.days'), qr/^days_p20260428: \S+ 00 \.\. \S+ 00, days_p20260429: \S+ 00 \.\. \S+ 00, days_p20260508/, 'a backfill has partitions made for old days, and none between');
$node->load_truth($service, 'truth.rows', '2026-04-28T00:00:00Z', '2026-04-29T12:00:00Z');
$node->same_rows('and is exact', "SELECT $columns FROM archive.days WHERE received < '2026-05-01'", 'SELECT * FROM truth.rows');
run('days');
is(last_run('days', 'state, rows_new + rows_changed'), 'succeeded|0', 'a run that has all its partitions goes on as ever');

# ---- by month; names that are long, or taken --------------------------------------------------

my $long = 'ä' x 27 . 'post';     # 58 bytes
for my $number (1, 2)
{
	$node->sql(create("months $number", "archive.${long}_$number", "partition_by => 'month', date_range_start => '-10d'"), %owner);
	$node->sql(qq{CREATE TABLE archive."$_" (); CREATE TYPE archive.days_p20260518 AS ENUM ('taken')}, %owner) for $number == 1 ? 'days_p20260519' : ();
	run("months $number");
	holds_truth("a target of months, $number", qq{archive."${long}_$number"}, '2026-04-30T12:00:00Z', '2026-05-10T11:59:59Z');
	my $parts = partitions(qq{archive."${long}_$number"});
	like(
		$parts,
		qr/^ä+_[0-9a-f]{8}_p202604: 04-01 00 \.\. 05-01 00, ä+_[0-9a-f]{8}_p202605: 05-01 00 \.\. 06-01 00, ä+\w+_p202606: 06-01 00 \.\. 07-01 00, ä+\w+_p202607: 07-01 00 \.\. 08-01 00$/,
		'has months, and two ahead, with names that are cut and differ');
}
set_clock('2026-05-12T12:00:00Z');
run('days');
like(partitions('archive.days'), qr/days_p20260518_1: 05-18 00 .. 05-19 00, days_p20260519_1: 05-19 00 .. 05-20 00$/, 'where a name is taken, a partition gets another');

# ---- shared by two tenants, at once ------------------------------------------------------------

my $two_days = "partition_by => 'day', date_range_start => '-2d'";
$node->sql(create('contoso', 'archive.shared', $two_days), %owner);
$node->sql(create('fabrikam', 'archive.shared', $two_days, 'fabrikam'), %owner);
{
	my $lock = $node->session;
	$lock->sql('BEGIN; LOCK TABLE ONLY archive.shared IN SHARE UPDATE EXCLUSIVE MODE');
	my @sessions = map { $node->session(%owner) } 1, 2;
	$sessions[0]->send("CALL o365_msgtrace.run('contoso')");
	$sessions[1]->send("CALL o365_msgtrace.run('fabrikam')");
	$node->wait_until("SELECT count(*) = 2 FROM pg_locks WHERE relation = 'archive.shared'::regclass AND NOT granted");
	$lock->sql('COMMIT');
	$_->receive for @sessions;
	$_->quit for $lock, @sessions;
}
is(last_run($_, 'state'), 'succeeded', "inputs that make the same partitions at once: $_ succeeds") for qw(contoso fabrikam);
my @window = ('2026-05-10T12:00:00Z', '2026-05-12T11:59:59Z');
holds_truth('the target has the one tenant', 'archive.shared', @window);
holds_truth('and the other', 'archive.shared', @window, 'fabrikam');

# ---- tables that users have made ----------------------------------------------------------------

$node->sql(<<'SQL', %owner);
CREATE TABLE archive.own (LIKE archive.days INCLUDING CONSTRAINTS,
    id bigint GENERATED ALWAYS AS IDENTITY, domain text GENERATED ALWAYS AS (split_part(recipient_address, '@', 2)) STORED,
    noted timestamptz NOT NULL DEFAULT now(), seen boolean NOT NULL,
    CHECK (length(recipient_address) > 0),
    UNIQUE (tenant, received, message_trace_id, recipient_address)) PARTITION BY RANGE (received);
CREATE FUNCTION archive.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.seen := true; RETURN NEW; END $$;
CREATE TRIGGER see BEFORE INSERT ON archive.own FOR EACH ROW EXECUTE FUNCTION archive.see();
CREATE INDEX ON archive.own (domain);
CREATE TABLE archive.own_past PARTITION OF archive.own FOR VALUES FROM (MINVALUE) TO ('2026-05-11 06:00Z');
CREATE TABLE archive.own_noon PARTITION OF archive.own FOR VALUES FROM ('2026-05-11 10:00Z') TO ('2026-05-11 14:00Z');
CREATE TABLE archive.own_rest PARTITION OF archive.own DEFAULT;
ALTER TABLE archive.own ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY all_of_it ON archive.own USING (tenant = 'tenant');
INSERT INTO archive.own (message_trace_id, received, recipient_address, tenant, input_id, run_id, source, ingested_at, updated_at)
VALUES ('00000000-0000-4000-8000-000000000000', '2026-05-12 23:00Z', 'me@contoso.com', 'tenant', 'mine', 0, 'me', now(), now());
SQL
$node->sql(create('own', 'archive.own', $two_days), %owner);
run('own');
is(
	partitions('archive.own'),
	join(
		', ',
		'own_past: before 05-11 06',
		'own_p20260511: 05-11 06 .. 05-11 10',
		'own_noon: 05-11 10 .. 05-11 14',
		'own_p20260511_1: 05-11 14 .. 05-12 00',
		(map { sprintf 'own_p202605%02d: 05-%02d 00 .. 05-%02d 00', $_, $_, $_ + 1 } 13 .. 19),
		'own_rest: default'),
	'partitions of the user\'s own are used, and what they leave is filled, but for what DEFAULT has rows of');
holds_truth('the rows are there', '(SELECT * FROM archive.own WHERE source <> \'me\') t', @window);
is(
	$node->sql(q{SELECT count(*) > 0, count(id) = count(*), bool_and(seen AND noted IS NOT NULL AND domain LIKE '%.%') FROM archive.own WHERE source <> 'me'}, %owner),
	't|t|t', 'with the values of its own columns');
$node->sql('DELETE FROM archive.own_rest', %owner);
run('own');
like(partitions('archive.own'), qr/own_p20260512: 05-12 00/, 'when DEFAULT is empty there the day gets its partition');

# ---- refused before the first request -------------------------------------------------------------

# Each of these is said when the input is made, and by a run of an input whose target becomes so.
$node->sql('CREATE SCHEMA refused AUTHORIZATION regress_owner');
my $like = 'LIKE archive.contoso_plain, PRIMARY KEY (tenant, received, message_trace_id, recipient_address)';
$node->sql("CREATE TABLE archive.contoso_plain (LIKE archive.days)", %owner);
my @refusals = (
	['ALTER TABLE THE_TABLE DROP COLUMN subject, DROP COLUMN updated_at', '', '42703', qr/^target refused\.t\d+ lacks columns: "subject", "updated_at"$/],
	['ALTER TABLE THE_TABLE ADD COLUMN must text NOT NULL, ADD COLUMN may text, ADD COLUMN has text NOT NULL DEFAULT 1', '', '42P16', qr/^target refused\.t\d+ has columns that an ingest has no values for: "must"$/],
	['ALTER TABLE THE_TABLE DROP COLUMN status, ADD COLUMN status text GENERATED ALWAYS AS (subject) STORED', '', '42P16', qr/^columns of target refused\.t\d+ cannot be written: "status"$/],
	['ALTER TABLE THE_TABLE ALTER COLUMN received TYPE timestamp', '', '42P16', qr/^column "received" of target refused\.t\d+ is of type timestamp without time zone$/],
	['ALTER TABLE THE_TABLE DROP CONSTRAINT THE_NAME_pkey, ADD PRIMARY KEY (tenant, received, message_trace_id)', '', '42P16', qr/^target refused\.t\d+ has no unique index on the key of a row$/],
	['SELECT 1', "partition_by => 'day'", '42P16', qr/^target refused\.t\d+ is not partitioned by range of "received" alone$/],
	['REVOKE DELETE, UPDATE ON THE_TABLE FROM regress_owner', "retention => '1 year'", '42501', qr/^permission denied for table refused\.t\d+$/]);
my $number = 0;
for my $refusal (@refusals)
{
	my ($change, $settings, $sqlstate, $message) = @$refusal;
	my $name = 't' . ++$number;
	my $becomes = $change =~ s/THE_TABLE/refused.$name/gr =~ s/THE_NAME/$name/gr;
	$node->sql("CREATE TABLE refused.$name ($like)", %owner);
	$node->sql(create($name, "refused.$name", $settings), %owner) if $settings !~ /partition_by/;
	$node->sql($becomes, %owner);
	my $error = $node->sql_error(create("$name too", "refused.$name", $settings), %owner);
	is($error->{sqlstate}, $sqlstate, "$becomes: an input is refused");
	like($error->{message}, $message, 'which says why');
	like($error->{hint}, qr/\w/, 'and what to do');
	next if $settings =~ /partition_by/;
	$service->clear_requests;
	$error = $node->sql_error("CALL o365_msgtrace.run('$name')", %owner);
	like($error->{message}, $message, 'a run says the same');
	is(scalar $service->requests, 0, 'before its first request');
}
my $error = $node->sql_error(alter('t7', "partition_by => 'month', retention => '0'"), %owner);
is($error->{sqlstate}, '42501', 'alter_input looks at the target, too');
$node->sql('GRANT UPDATE, DELETE ON refused.t7 TO regress_owner', %owner);
$error = $node->sql_error(alter('t7', "partition_by => 'month'"), %owner);
like($error->{message}, qr/is not partitioned/, 'a plain table cannot become partitioned');

# ---- of another role ---------------------------------------------------------------------------------

# Each hint has the statement that leads to the next error, until there is none.
$node->sql(<<'SQL');
GRANT USAGE ON SCHEMA archive TO regress_store;
GRANT SELECT ON archive.days TO regress_store;
SET ROLE regress_store;
CREATE TABLE store.traces (LIKE archive.days, number serial, PRIMARY KEY (tenant, received, message_trace_id, recipient_address))
    PARTITION BY RANGE (received);
SQL
my @said;
my $made = create('stored', 'store.traces', "partition_by => 'day', retention => '30 days', date_range_start => '-2d'");
while (my $refused = $node->sql_error($made, %owner))
{
	push @said, "$refused->{sqlstate} $refused->{message}";
	last if @said > 9;
	$node->sql($refused->{hint} =~ s/;.*//sr);
}
is_deeply(
	\@said,
	[
		'42501 permission denied for schema store',
		'42501 permission denied for table store.traces',
		'42501 permission denied for sequence store.traces_number_seq',
		'42501 must be owner of target store.traces to make its partitions'
	],
	'what a role lacks on the table of another is said, with the GRANT that helps');
run('stored');
holds_truth('then it is written', 'store.traces', @window);
is(
	$node->sql(q{SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE schemaname = 'store'}),
	'regress_store', 'and its partitions belong to who owns it');
$node->sql('REVOKE regress_store FROM regress_owner; REVOKE USAGE ON SCHEMA store FROM regress_owner');
for my $grant ('GRANT USAGE ON SCHEMA store TO regress_owner', 'GRANT regress_store TO regress_owner')
{
	$service->clear_requests;
	is($node->sql_error("CALL o365_msgtrace.run('stored')", %owner)->{sqlstate}, '42501', "without $grant a run is refused");
	is(scalar $service->requests, 0, 'before its first request');
	$node->sql($grant);
}
run('stored');
is(last_run('stored', 'state'), 'succeeded', 'with it there is nothing in its way');

# ---- retention of a plain table -----------------------------------------------------------------------

my $short = "date_range_start => '-2d', settle_after => '1 day', retention => '3 days'";
$node->sql(create('keeper', 'archive.plain', "date_range_start => '-1h'"), %owner);
run('keeper');
$node->sql(create('short', 'archive.plain', $short), %owner);
$node->sql(<<'SQL', %owner);
CREATE TABLE archive.batch (rows bigint);
CREATE FUNCTION archive.note_batch() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO batch SELECT count(*) FROM gone; RETURN NULL; END $$;
SET search_path = archive;
CREATE TRIGGER note_batch AFTER DELETE ON plain REFERENCING OLD TABLE AS gone EXECUTE FUNCTION note_batch();
SQL
# What an input of long ago may have left; its search_path is what its triggers need.
$node->sql("UPDATE o365_msgtrace.input SET search_path = 'archive'");
my $old_row = "SELECT gen_random_uuid(), '2026-05-09 00:00Z'::timestamptz - n * interval '1 minute', 'r', tenant, i, 0, 'old', now(), now()";
my $into = 'INSERT INTO archive.plain (message_trace_id, received, recipient_address, tenant, input_id, run_id, source, ingested_at, updated_at)';
$node->sql("$into $old_row FROM generate_series(0, 25000) n, (VALUES ('tenant', 'short')) v (tenant, i)", %owner);
$node->sql("$into $old_row FROM generate_series(0, 9) n, (VALUES ('tenant', 'keeper'), ('fabrikam', 'short'), ('x', 'x')) v (tenant, i)", %owner);
$node->sql(q{INSERT INTO o365_msgtrace.rejected_record (input_id, run_id, at, received, reason, raw, digest)
SELECT 'short', 0, at, received, 'old', '', sha256(convert_to(n::text, 'UTF8'))
  FROM (VALUES (1, now(), '2026-05-09 11:59:58Z'::timestamptz), (2, now(), '2026-05-09 12:00:30Z'), (3, '2026-05-09 11:00Z', NULL), (4, now(), NULL)) v (n, at, received)}, %owner);
$node->sql(q{INSERT INTO o365_msgtrace.detail_record (input_id, message_trace_id, recipient_address, received, row_updated_at)
SELECT 'short', gen_random_uuid(), 'r', received, now() FROM (VALUES ('2026-05-09 11:59:58Z'::timestamptz), ('2026-05-09 12:00:30Z')) v (received)}, %owner);
run('short');
is(last_run('short', 'state, rows_expired'), 'succeeded|25004', 'rows that are older than retention are dropped');
is(
	$node->sql("SELECT string_agg(rows::text, ',' ORDER BY rows DESC) FROM archive.batch WHERE rows > 0"),
	'10000,10000,5001', 'some at a time');
is(
	$node->sql("SELECT tenant, input_id, count(*) FROM archive.plain WHERE source = 'old' GROUP BY 1, 2 ORDER BY 1"),
	"fabrikam|short|10\ntenant|keeper|10\nx|x|10", 'no rows of others');
is($node->sql('SELECT count(*) FROM o365_msgtrace.rejected_record', %owner), '2', 'old rejected records go, too');
is($node->sql('SELECT count(*) FROM o365_msgtrace.detail_record', %owner), '1', 'and what belongs to details');
$node->sql("SET search_path = archive; DELETE FROM plain WHERE source = 'old'", %owner);
holds_truth('all that is young is there', 'archive.plain', @window);

set_clock('2026-05-14T00:00:00Z');
run('short');
is(last_run('short', 'state, rows_expired > 0'), 'succeeded|t', 'time goes on, and rows go');
$node->load_truth($service, 'truth.rows', '2026-05-11T00:00:00Z', '2026-05-13T23:59:59Z');
$node->same_rows(
	'the others are what the service has',
	"SELECT $columns FROM archive.plain WHERE input_id = 'short' OR received >= '2026-05-11 00:00:30Z'",
	"SELECT * FROM truth.rows WHERE received >= (SELECT min(received) FROM archive.plain WHERE input_id = 'short')");
is(
	$node->sql("SELECT min(received) BETWEEN '2026-05-11 00:00Z' AND '2026-05-11 00:30Z' FROM archive.plain WHERE input_id = 'short'"),
	't', 'from three days ago on');
is(
	coverage('short', "lower(wanted) >= '2026-05-11 00:00Z' AND lower(covered) >= '2026-05-11' AND lower(settled) >= '2026-05-11' AND isempty(missing) AND isempty(expired)"),
	't', 'what was dropped is neither covered, nor missing, nor lost');

$service->clear_requests;
$node->sql("SELECT o365_msgtrace.reset_coverage('short')", %owner);
$node->sql("UPDATE o365_msgtrace.ledger SET wanted = wanted + '{[2026-05-01 00:00Z, 2026-05-11 00:00Z)}'");
is(coverage('short', "lower(missing) >= '2026-05-11' AND isempty(expired)"), 't', 'older time is not missing');
run('short');
is(coverage('short', 'isempty(missing)'), 't', 'what can be had is read again');
is(scalar(grep { $_->{query} =~ /2026-05-(?:0\d|10)T/ } $service->list_requests), 0, 'and nothing that has been dropped');
is($node->sql("SELECT min(lower(wanted)) >= '2026-05-11' FROM o365_msgtrace.ledger JOIN o365_msgtrace.input USING (input_number) WHERE input_id = 'short'"), 't', 'the ledger wants it no more');

# Longer again: what was dropped is not believed to be there.
$node->sql(alter('short', "retention => '30 days'"), %owner);
is(coverage('short', "lower(covered) >= '2026-05-11' AND isempty(missing) AND isempty(expired)"), 't', 'a longer retention makes nothing of what was dropped');
$node->sql("CALL o365_msgtrace.backfill('short', '2026-05-10 18:00Z', '2026-05-11 02:00Z')", %owner);
is(coverage('short', "covered @> '[2026-05-10 18:00Z, 2026-05-13 23:59:59Z)'::tstzrange"), 't', 'a backfill brings it back');
$node->load_truth($service, 'truth.rows', '2026-05-10T18:00:00Z', '2026-05-13T23:59:59Z');
$node->same_rows('exactly', "SELECT $columns FROM archive.plain WHERE received >= '2026-05-10 18:00Z'", 'SELECT * FROM truth.rows');
$node->sql(alter('short', "retention => '0'"), %owner);
set_clock('2026-05-16T00:00:00Z');
run('short');
is(last_run('short', 'state, rows_expired'), 'succeeded|0', 'without retention nothing is dropped');

# A run that has read nothing does not know what time it is.
$node->sql(alter('short', "retention => '3 days'"), %owner);
my $hour = "received >= '2026-05-12 11:00Z' AND received < '2026-05-12 11:59:59Z'";
my $of_hour = $node->sql("SELECT count(*) FROM archive.plain WHERE $hour");
$node->sql("UPDATE o365_msgtrace.ledger SET clock_offset = clock_offset + '10 years'");
$service->fault({ on => 'list', fault => 'status', status => 403, count => 50 });
my $rows = $node->sql('SELECT count(*) FROM archive.plain');
ok($node->sql_error("CALL o365_msgtrace.run('short')", %owner), 'a run that reads nothing fails');
is($node->sql('SELECT count(*) FROM archive.plain'), $rows, 'and drops nothing');
$service->clear_faults;
set_clock('2026-05-16T00:00:00Z');

# ---- upkeep that fails -----------------------------------------------------------------------------------

sub warnings_of
{
	my ($input) = @_;
	return $node->sql(
		"SELECT string_agg(sqlstate || ' ' || message, E'\\n' ORDER BY message_id) FROM o365_msgtrace.run_message WHERE input_id = '$input' AND level = 'warn'", %owner);
}

$node->sql(<<'SQL', %owner);
CREATE TABLE archive.note (tenant text, received timestamptz, message_trace_id uuid, recipient_address text,
    FOREIGN KEY (tenant, received, message_trace_id, recipient_address) REFERENCES archive.plain);
INSERT INTO archive.note SELECT tenant, received, message_trace_id, recipient_address FROM archive.plain WHERE input_id = 'short' ORDER BY received LIMIT 1;
INSERT INTO o365_msgtrace.rejected_record (input_id, run_id, received, reason, raw, digest) VALUES ('short', 0, '2026-05-11 00:00Z', 'old', '', '\x01');
SQL
run('short') for 1, 2;
is(last_run('short', 'state, sqlstate'), 'succeeded|', 'rows that cannot be dropped do not make a run fail');
like(warnings_of('short'), qr/^23503 upkeep \(expired rows\) was not done: update or delete on table "plain" violates [^\n]+$/, 'but are a warning, which is not repeated');
is($node->sql(q{SELECT count(*) FROM o365_msgtrace.rejected_record WHERE digest = '\x01'}), '0', 'other tasks are done');
$node->sql(<<'SQL', %owner);
DROP TABLE archive.note;
CREATE FUNCTION archive.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(100); RETURN NULL; END $$;
CREATE TRIGGER dawdle BEFORE DELETE ON archive.plain EXECUTE FUNCTION archive.dawdle();
SELECT o365_msgtrace.alter_input('short', job_timeout => '3s');
SQL
$error = $node->sql_error("CALL o365_msgtrace.run('short')", %owner);
like("$error->{sqlstate} $error->{message}", qr/^57014 the run of input "short" took longer than its job_timeout/, 'the job timeout holds for upkeep, too');
is($node->sql("SELECT min(received) < '2026-05-12' FROM archive.plain WHERE input_id = 'short'"), 't', 'what it was at stays');
{
	$node->sql(alter('short', "job_timeout => '0'"), %owner);
	my $session = $node->session(%owner);
	$session->send("CALL o365_msgtrace.run('short')");
	$node->wait_until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $session->{pid} AND wait_event = 'PgSleep')");
	$session->cancel;
	like($session->receive, qr/57014: canceling statement due to user request/, 'and a cancel by hand ends the run');
	$session->quit;
}
is(last_run('short', 'state, windows > 0'), 'failed|t', 'with what it has read');
$node->sql('DROP TRIGGER dawdle ON archive.plain', %owner);
run('short');
is($node->sql("SELECT min(received) >= '2026-05-13' FROM archive.plain WHERE input_id = 'short' AND NOT ($hour)"), 't', 'the next run drops what is left');
cmp_ok($node->sql("SELECT count(*) FROM archive.plain WHERE $hour AND input_id = 'short'"), '>', 0, 'some rows of its own are older');
is($node->sql("SELECT count(*) FROM archive.plain WHERE $hour"), $of_hour, 'since nothing goes that another input has covered and keeps');
$node->sql("SELECT o365_msgtrace.drop_input('keeper')", %owner);
run('short');
is($node->sql("SELECT min(received) >= '2026-05-13' FROM archive.plain WHERE input_id = 'short'"), 't', 'as long as there is that input');

# ---- retention of partitions -----------------------------------------------------------------------------

my $days = "SELECT string_agg(right(relname, 4), ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^shared_p2026\\d+\$' AND relname < 'shared_p20260517'";
is($node->sql($days), '0510 0511 0512 0513 0514 0515 0516', 'there are partitions');
$node->sql(alter('contoso', "retention => '3 days 12 hours'"), %owner);
my $note = $old_row =~ s/'2026-05-09 00:00Z'/'2026-05-11 12:00Z'/r;
$node->sql("INSERT INTO archive.shared (message_trace_id, received, recipient_address, tenant, input_id, run_id, source, ingested_at, updated_at)"
	  . " $note FROM (VALUES (0, 'tenant', 'me')) v (n, tenant, i)", %owner);
my $theirs = $node->sql("SELECT count(*) FROM archive.shared WHERE tenant = 'fabrikam'");
run('contoso');
is($node->sql($days), '0510 0511 0512 0513 0514 0515 0516', 'a partition that has rows of another tenant stays');
is($node->sql("SELECT min(received) BETWEEN '2026-05-12 00:00Z' AND '2026-05-12 01:00Z' FROM archive.shared WHERE input_id = 'contoso'"), 't', 'without the rows of this one, whole days at a time');
is(last_run('contoso', 'rows_expired > 0'), 't', 'which are counted');
is($node->sql("SELECT count(*) FROM archive.shared WHERE tenant = 'fabrikam'"), $theirs, 'nothing else is gone');

$node->sql(alter('fabrikam', "retention => '2 days'"), %owner);
$node->sql('CREATE FUNCTION archive.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION \'row by row\'; END $$;'
	  . ' CREATE TRIGGER no BEFORE DELETE ON archive.shared FOR EACH ROW EXECUTE FUNCTION archive.no()', %owner);
{
	my $reader = $node->session;
	$reader->sql('BEGIN; SELECT FROM archive.shared LIMIT 1');
	run('fabrikam') for 1, 2;
	is(last_run('fabrikam', 'state'), 'succeeded', 'a reader in the way of a drop makes no run fail');
	like(
		warnings_of('fabrikam'),
		qr/^55P03 upkeep \(expired partitions\) was not done: canceling statement due to lock timeout\nP0001 upkeep \(expired rows\) was not done: row by row$/,
		'the rows would be deleted instead');
	is($node->sql($days), '0510 0511 0512 0513 0514 0515 0516', 'all partitions are there');
	$reader->quit;
}
run('fabrikam');
is($node->sql($days), '0511 0512 0513 0514 0515 0516', 'without it a partition is dropped whose rows have all expired, and not one with a row of somebody else');
$node->sql('ALTER TABLE archive.shared DISABLE TRIGGER no', %owner);
$node->sql("DELETE FROM archive.shared WHERE input_id = 'me'; ALTER TABLE archive.shared ENABLE TRIGGER no", %owner);
my $of_it = $node->sql('SELECT count(*) FROM archive.shared_p20260511');
run('fabrikam');
is($node->sql($days), '0512 0513 0514 0515 0516', 'as long as that row is there');
is(last_run('fabrikam', 'rows_expired'), $of_it, 'rows of partitions are counted');
is(
	$node->sql("SELECT count(*) FROM o365_msgtrace.run_message WHERE input_id = 'fabrikam' AND level = 'info' AND message ~ '^dropped partition archive.shared_p202605(10|11) with \\d+ rows\$'", %owner),
	'2', 'which run_message tells');
$node->sql('DROP TRIGGER no ON archive.shared', %owner);
run('contoso');
holds_truth('what is left of the one tenant is right', "(SELECT * FROM archive.shared WHERE received >= '2026-05-14') t", '2026-05-14T00:00:00Z', '2026-05-15T23:59:59Z');
run('fabrikam');
holds_truth('and of the other', "(SELECT * FROM archive.shared WHERE received >= '2026-05-14') t", '2026-05-14T00:00:00Z', '2026-05-15T23:59:59Z', 'fabrikam');
$service->clear_requests;
run($_) for qw(contoso fabrikam);
is(scalar(grep { $_->{query} =~ /2026-05-1[01]T/ } $service->list_requests), 0, 'what was dropped is not asked for again');
like($node->sql($days), qr/^0512/, 'nor are its partitions made again');

done_testing();
