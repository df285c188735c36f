# tests/t/079_hostile.t
#
# What roles can do to each other's inputs through what all of them may write, and
# ledgers that say what cannot be: a clock that was ahead, a range with its end,
# time that nobody could ever ask for.

use strict;
use warnings;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

my $service = MsgTrace::Service->start(now => '2026-05-20T12:00:00Z', rows_per_day => 2000, quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_mallory LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail TO regress_owner, regress_mallory;
GRANT SELECT ON mail.message_trace TO regress_owner, regress_mallory;
GRANT USAGE ON FOREIGN SERVER tenant TO regress_mallory;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA aaa AUTHORIZATION regress_mallory;
SQL
my %owner = (user => 'regress_owner');
my %mallory = (user => 'regress_mallory');
my $run = "CALL o365_msgtrace.run('contoso')";

sub error_code { my ($sql, %how) = @_; return ($node->sql_error($sql, %how) // {})->{sqlstate} // 'none' }

sub coverage
{
	my ($expression, $name) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.coverage WHERE input_id = '" . ($name // 'contoso') . "'", %owner);
}

$node->sql("SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso'); $run", %owner);
$node->sql("SELECT o365_msgtrace.create_input('mine', 'mail.message_trace', 'aaa.mine')", %mallory);

# ---- numbers that others are about to get -----------------------------------------------------

is(error_code("INSERT INTO o365_msgtrace.run_record (run_id, input_number, state) SELECT s.n, i.input_number, 'failed'"
		. " FROM o365_msgtrace.input i, generate_series(2, 100) s (n)", %mallory),
	'42501', 'nobody can take the numbers of runs to come');
is(error_code("INSERT INTO o365_msgtrace.input (input_number, input_id, source, target)"
		. " VALUES (3, 'third', 'mail.message_trace', 'aaa.third')", %mallory), '42501', '… nor of inputs');
is(error_code("UPDATE o365_msgtrace.run_message SET message_id = message_id + 1", %mallory), '42501', '… nor of messages');
is(error_code($run, %owner), 'none', 'so the run of another role has its own');

# ---- a table of details that nobody has named ------------------------------------------------

$node->sql(<<'SQL', %mallory);
CREATE TABLE aaa.victims (who name);
GRANT INSERT ON aaa.victims TO PUBLIC;
GRANT USAGE ON SCHEMA aaa TO PUBLIC;
CREATE FUNCTION aaa.is_fine(text) RETURNS boolean LANGUAGE sql AS 'INSERT INTO aaa.victims VALUES (current_user) RETURNING true';
CREATE DOMAIN aaa.trap AS text CHECK (aaa.is_fine(VALUE));
CREATE FOREIGN TABLE aaa.details (message_trace_id uuid, recipient_address text, event aaa.trap)
	SERVER tenant OPTIONS (table 'message_trace_detail');
GRANT SELECT ON aaa.details TO PUBLIC;
SQL
my $details = "SELECT o365_msgtrace.alter_input('contoso', detail_filter => 'true', detail_target => 'archive.details')";
is(error_code($details, %owner), '42501', 'details are not read through the table of anybody, whose types can be his code');
$node->sql('GRANT SELECT ON mail.message_trace_detail TO regress_owner');
is(error_code($details, %owner), 'none', '… but through one of the owner of the source');
$node->sql("SELECT o365_msgtrace.alter_input('contoso', detail_filter => '')", %owner);

# ---- settings that no calendar has -----------------------------------------------------------

is(error_code("SELECT o365_msgtrace.alter_input('contoso', retention => '9999 years')", %owner), '22023', 'a retention has its bounds');
is(error_code("UPDATE o365_msgtrace.ledger SET clock_offset = '200000 years'", %mallory), '23514', '… and so has the clock of a ledger');
is(error_code("UPDATE o365_msgtrace.input SET retention = '9000 years -3239999 days'", %mallory), '22008', '… and what looks short');
is($node->sql('SELECT count(*) FROM o365_msgtrace.coverage'), '2', 'a superuser sees the coverage of all, whatever they have written');

# ---- a range with its end, or with fractions --------------------------------------------------

is($node->sql("SELECT o365_msgtrace.reset_coverage('contoso', '[2026-05-20 11:10:00.5Z, 2026-05-20 11:20Z]')"
		. " = '{[2026-05-20 11:10Z, 2026-05-20 11:20:01Z)}'", %owner), 't', 'a range that is reset is made whole seconds');
$node->sql("SELECT o365_msgtrace.alter_input('contoso', date_range_start => '-5m'); $run", %owner);
is(coverage('missing'), '{}', '… so that it can be read again, all of it');
is($node->sql("SELECT o365_msgtrace.reset_coverage('contoso', 'empty')", %owner), '{}', 'an empty range is none');

# ---- what was read of the future -------------------------------------------------------------

$node->sql("UPDATE o365_msgtrace.ledger l SET covered = covered + '{[2026-05-20 13:00Z, 2026-05-20 17:00Z)}',"
	. " settled = settled + '{[2026-05-20 13:00Z, 2026-05-20 14:00Z)}'; $run", %owner);
is($node->sql("SELECT covered && w.later, settled && w.later FROM o365_msgtrace.ledger,"
		. " (SELECT '{[2026-05-20 12:30Z, 2026-05-21Z)}'::tstzmultirange AS later) w", %owner),
	'f|f', 'what a clock that was ahead has entered is taken back');

# ---- a longer settle_after -------------------------------------------------------------------

$node->sql("UPDATE o365_msgtrace.ledger SET wanted = wanted + p.past, covered = covered + p.past, settled = p.past"
	. " FROM (SELECT '{[2026-05-10Z, 2026-05-19Z)}'::tstzmultirange AS past) p", %owner);
$node->sql("SELECT o365_msgtrace.alter_input('contoso', settle_after => '72 hours')", %owner);
is(coverage("lower(settled) = '2026-05-10Z', upper(settled) BETWEEN '2026-05-17 11:50Z' AND '2026-05-17 12:50Z'"),
	't|t', 'with a longer settle_after what is younger is no longer settled');

# ---- time that could never be had -------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.create_input('long', 'mail.message_trace', 'archive.long', date_range_start => '-100d', max_requests => 1);"
	. " CALL o365_msgtrace.run('long')", %owner);
is(coverage("expired, lower(wanted) = date_trunc('day', timestamptz '2026-05-20Z', 'UTC') - interval '2160 hours'", 'long'),
	'{}|t', 'what the service had let go of before the first run was not lost');

done_testing();
