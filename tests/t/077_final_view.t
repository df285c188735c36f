# tests/t/077_final_view.t
#
# Which rows are final, by a view over the target: before and after their time is
# settled, for several inputs, for those who may not know, and at what cost.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 8000, quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service);
$node->create_server($service, name => 'second', schema => 'second');
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_other LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, second TO regress_owner, regress_other;
GRANT SELECT ON ALL TABLES IN SCHEMA mail, second TO regress_owner, regress_other;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA archive TO regress_other;
SQL
my %owner = (user => 'regress_owner');

$node->sql(<<'SQL', %owner);
SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso', date_range_start => '-3h');
SELECT o365_msgtrace.create_input('second', 'second.message_trace', 'archive.contoso', date_range_start => '-2h', settle_after => '100 days');
CALL o365_msgtrace.run('contoso');
CALL o365_msgtrace.run('second');
SELECT o365_msgtrace.create_final_view('archive.contoso', 'final');
SQL

# How many rows of an input are final, are not, and nobody knows.
sub finality
{
	my ($input, %how) = @_;
	return $node->sql("SELECT count(*) FILTER (WHERE is_final) || ' ' || count(*) FILTER (WHERE NOT is_final) || ' ' || count(*) FILTER (WHERE is_final IS NULL)"
		  . " FROM archive.final WHERE input_id = '$input'", %owner, %how);
}

sub rows_of
{
	my ($input, $where) = @_;
	return $node->sql("SELECT count(*) FROM archive.contoso WHERE input_id = '$input' AND " . ($where // 'true'));
}

# ---- before and after ---------------------------------------------------------------------

my $fresh = rows_of('contoso');
cmp_ok($fresh, '>', 100, 'there are rows');
is(finality('contoso'), "0 $fresh 0", 'none is final yet');
$service->set_clock(advance => 25 * 3600);
$node->sql("CALL o365_msgtrace.run('contoso'); CALL o365_msgtrace.run('second')", %owner);
my $settled = $node->sql("SELECT settled FROM o365_msgtrace.coverage WHERE input_id = 'contoso'", %owner);
my ($final, $open) = map { rows_of('contoso', "$_ '$settled'::tstzmultirange @> received") } '', 'NOT';
cmp_ok($final, '>=', $fresh, 'a day later they are settled');
cmp_ok($open, '>', 100, 'and there are new ones');
is(finality('contoso'), "$final $open 0", 'the view tells which are final, and which are not');
is(finality('second'), '0 ' . rows_of('second') . ' 0', 'an input that has settled nothing has no final rows in the same table');
$node->same_rows('it has all rows as they are', 'SELECT * FROM archive.contoso',
	'SELECT tenant, message_trace_id, message_id, received, sender_address, recipient_address, subject, status, size, from_ip, to_ip,'
	  . ' input_id, run_id, source, ingested_at, updated_at FROM archive.final');
$node->sql("SELECT o365_msgtrace.reset_coverage('contoso', '[2026-05-10 10:00Z, 2026-05-10 11:00Z)')", %owner);
is(
	$node->sql("SELECT bool_or(is_final) FROM archive.final WHERE input_id = 'contoso' AND received >= '2026-05-10 10:00Z' AND received < '2026-05-10 11:00Z'", %owner),
	'f', 'what is to be read again is not final');
$node->sql("CALL o365_msgtrace.run('contoso')", %owner);
is(finality('contoso'), "$final $open 0", 'until it has been');

# ---- at what cost -----------------------------------------------------------------------------

$node->sql('ANALYZE archive.contoso');
my $plan = $node->sql("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM archive.final WHERE tenant = 'tenant' AND received >= '2026-05-11 12:50Z'", %owner);
like($plan, qr/Function Scan on _settled_by_input s \(actual rows=2(?:\.00)? loops=1\)/, 'the ledger is read once');
like($plan, qr/Index Cond: .*received >= '2026-05-11 12:50:00\+00'/, 'a condition on received reaches the index of the target');

# ---- who may know ---------------------------------------------------------------------------------

$node->sql('GRANT SELECT ON archive.contoso, archive.final TO regress_other', %owner);
is(finality('contoso', user => 'regress_other'), '0 0 ' . ($final + $open), 'a role that does not see the input is not told');
is(finality('contoso', user => 'postgres'), '0 0 ' . ($final + $open), 'nor is a superuser told as if it were his');
is($node->sql("SELECT reloptions, relowner::regrole FROM pg_class WHERE relname = 'final'"), '{security_invoker=true}|regress_owner', 'the view is the caller\'s, with the rights of who asks');
is($node->sql("SELECT count(*) FROM pg_description WHERE objoid = 'archive.final'::regclass"), '2', 'it says what it is');

# ---- what becomes of it ------------------------------------------------------------------------------

$node->sql("ALTER TABLE archive.contoso ADD COLUMN own text DEFAULT 'mine'; SELECT o365_msgtrace.create_final_view('archive.contoso', 'archive.final')", %owner);
is($node->sql('SELECT DISTINCT own FROM archive.final', %owner), 'mine', 'made anew it has the columns that came since');
is(finality('contoso', user => 'regress_other'), '0 0 ' . ($final + $open), 'and keeps its grants');
$node->sql('ALTER TABLE archive.contoso RENAME TO renamed', %owner);
is(finality('contoso'), '0 0 ' . ($final + $open), 'of a target that was renamed nobody knows');
$node->sql("SELECT o365_msgtrace.alter_input('contoso', target => 'archive.renamed', keep_coverage => true)", %owner);
is(finality('contoso'), "$final $open 0", 'until its input is told');
$node->sql("SELECT o365_msgtrace.drop_input('contoso')", %owner);
is(finality('contoso'), '0 0 ' . ($final + $open), 'and none of an input that was dropped');
$node->sql(<<'SQL', %owner);
SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.elsewhere', date_range_start => '-60h', date_range_end => '-1h');
CALL o365_msgtrace.run('contoso');
SQL
cmp_ok($node->sql("SELECT count(*) FROM o365_msgtrace.coverage WHERE input_id = 'contoso' AND NOT isempty(settled)"), '>', 0, 'another input of that name has settled that time');
is(finality('contoso'), '0 0 ' . ($final + $open), 'elsewhere, which says nothing of these rows');

$node->sql('CREATE VIEW archive.mine AS SELECT 1 AS x; CREATE TABLE archive.with_own (LIKE archive.renamed); ALTER TABLE archive.with_own ADD is_final boolean', %owner);
for my $case (
	[ '42P07', "'archive.renamed', 'mine'", 'a view of somebody is left alone' ],
	[ '42P07', "'archive.renamed', 'archive.elsewhere'", 'so is a table' ],
	[ '42P07', "'archive.elsewhere', 'final'", 'and a view over another target' ],
	[ '42701', "'archive.with_own', 'other'", 'a column of that name is told of' ],
	[ '42809', "'archive.mine', 'other'", 'a view is no target' ],
	[ '42602', "'archive.renamed', 'a.b.c'", 'a name has two parts at most' ],
	[ '3F000', "'archive.renamed', 'none.final'", 'its schema has to be there' ],
	[ '42501', "'archive.renamed', 'mail.final'", 'and to be open' ])
{
	my $error = $node->sql_error("SELECT o365_msgtrace.create_final_view($case->[1])", %owner);
	is($error->{sqlstate}, $case->[0], $case->[2]);
}

done_testing();
