# tests/t/079_time_filter.t
#
# Rows that the service sends from outside of the window that it was asked for: a
# query and an ordinary input drop them, an input with disable_time_filter keeps
# them, and neither believes that it has read anything but its window.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-20T12:00:00Z',
	rows_per_day => 8000,
	quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service, page_size => 50);
$node->create_server($service, name => 'reporting', schema => 'reporting', api => 'reporting', report_url => $service->report_url('reporting'), page_size => 2000);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, reporting TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail, reporting TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA truth;
SQL
my %owner = (user => 'regress_owner');
my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject, status, size, from_ip, to_ip';
my ($from, $to) = ('2026-05-20T11:00:00Z', '2026-05-20T11:59:59Z');
my $within = "received >= '$from' AND received < '$to'";
$node->load_truth($service, 'truth.rows', '2026-05-19T00:00:00Z', '2026-05-20T12:00:00Z');

sub create
{
	my ($name, $settings) = @_;
	$node->sql("SELECT o365_msgtrace.create_input('$name', 'mail.message_trace', 'archive.$name'" . ($settings ? ", $settings" : '') . ')', %owner);
	return;
}

# A run, each request of which brings a row of so many seconds from its beginning.
sub run
{
	my ($name, $seconds) = @_;
	$service->faults_instead({ on => 'list', fault => 'outside_row', seconds => $seconds, count => 1000 });
	$node->sql("CALL o365_msgtrace.run('$name')", %owner);
	$service->clear_faults;
	return;
}

sub last_run
{
	my ($name, $expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.run_log WHERE input_id = '$name' ORDER BY run_id DESC LIMIT 1", %owner);
}

sub messages
{
	my ($name) = @_;
	return $node->sql("SELECT level, message FROM o365_msgtrace.run_message WHERE input_id = '$name' ORDER BY message_id", %owner);
}

sub only_the_window_is_covered
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(
		$node->sql("SELECT wanted = covered AND covered = tstzmultirange(tstzrange('$from', '$to')) FROM o365_msgtrace.coverage WHERE input_id = '$name'", %owner),
		't', '… and only the window counts as read');
	return;
}

# ---- without the setting ------------------------------------------------------------------

create('plain');
run('plain', -7200);
$node->same_rows('an input drops what is from outside of its window', "SELECT $columns FROM archive.plain", "SELECT $columns FROM truth.rows WHERE $within");
cmp_ok(last_run('plain', 'requests'), '>', 2, 'though it came with several requests');
only_the_window_is_covered('plain');

for my $case ([ 'a query', $within ], [ 'a query with an order', "$within ORDER BY received DESC LIMIT 100" ])
{
	my ($name, $where) = @$case;
	$service->faults_instead({ on => 'list', fault => 'outside_row', count => 1000 });
	$node->same_rows("$name drops it", "SELECT received FROM mail.message_trace WHERE $where", "SELECT received FROM truth.rows WHERE $where");
}

# ---- with it --------------------------------------------------------------------------------

create('kept', 'disable_time_filter => true');
run('kept', -7200);
$node->same_rows('an input that keeps them has its window', "SELECT $columns FROM archive.kept WHERE $within", "SELECT $columns FROM truth.rows WHERE $within");
my $strays = $node->sql("SELECT count(*) FROM archive.kept WHERE NOT ($within)");
cmp_ok($strays, '>', 0, '… and rows from outside');
is($node->sql("SELECT count(*) FROM (SELECT $columns FROM archive.kept EXCEPT ALL SELECT $columns FROM truth.rows) d"), 0, '… which are what the service has');
is($node->sql("SELECT max(received) <= '2026-05-20 10:00Z' AND min(received) > '2026-05-20 08:30Z' FROM archive.kept WHERE NOT ($within)"), 't', '… from the time that they should be from');
is(last_run('kept', 'state, rows_in >= rows_new, rows_changed'), 'succeeded|t|0', '… each once');
is(last_run('kept', 'rows_new'), $node->sql('SELECT count(*) FROM archive.kept'), '… and counted');
only_the_window_is_covered('kept');
{
	my $said = 0;
	$said += $_ for messages('kept') =~ /^info\|(\d+) rows that the service sent from outside of the window were written, too$/mg;
	is($said, $strays, '… and says how many they were');
}

my $before = $node->sql('SELECT count(*), max(updated_at) FROM archive.kept');
$node->sql("CALL o365_msgtrace.run('kept')", %owner);
is($node->sql('SELECT count(*), max(updated_at) FROM archive.kept'), $before, 'the next run leaves them as they are');

# From the slice before, which is of the same window: it comes twice, and is one row.
create('near', 'disable_time_filter => true');
run('near', -1);
is(
	$node->sql("SELECT count(*) FROM (SELECT $columns FROM truth.rows WHERE $within EXCEPT ALL SELECT $columns FROM archive.near) d"),
	0, 'rows that another request of the window brings, too: all are there');
is(last_run('near', 'state, rows_new, rows_changed'), 'succeeded|' . $node->sql('SELECT count(*) FROM archive.near') . '|0', '… each once');
is($node->sql("SELECT count(*) FROM archive.near WHERE NOT ($within)"), 1, '… and the one before the window');
unlike($node->log, qr/ON CONFLICT DO UPDATE command cannot affect row a second time/, '… and no statement failed for it');

# In one scan of several slices, which are in flight at the same time.
{
	my $day = "'2026-05-20 00:00Z', '2026-05-20 11:00Z'";
	$service->faults_instead({ on => 'list', fault => 'outside_row', seconds => -1, count => 1000 });
	$node->same_rows('a scan of several slices has each row once', "SELECT $columns FROM mail.message_trace WHERE o365_msgtrace._sent_for(received, $day)",
		"SELECT $columns FROM truth.rows WHERE received >= '2026-05-20 00:00Z' AND received < '2026-05-20 11:00Z'"
		  . " UNION ALL SELECT * FROM (SELECT $columns FROM given WHERE received < '2026-05-20 00:00Z' LIMIT 1) r", before => 'SET LOCAL o365_msgtrace.max_requests_per_query = 0');
	$service->clear_faults;
}

# ---- conditions hold ------------------------------------------------------------------------

create('filtered', "disable_time_filter => true, filter => 'received >= ''2026-05-20 09:30Z'' AND size > 20000'");
run('filtered', -7200);
$node->same_rows('a filter holds for them, too', "SELECT $columns FROM archive.filtered WHERE NOT ($within)",
	"SELECT $columns FROM archive.filtered WHERE NOT ($within) AND received >= '2026-05-20 09:30Z' AND size > 20000", at_least => 0);
$node->same_rows('… and for the window', "SELECT $columns FROM archive.filtered WHERE $within", "SELECT $columns FROM truth.rows WHERE $within AND size > 20000");

create('brief', "disable_time_filter => true, retention => '2 hours', settle_after => '1 hour'");
run('brief', -7200);
is($node->sql("SELECT count(*) > 500, min(received) >= '2026-05-20 10:00Z' FROM archive.brief"), 't|t', 'what retention would drop is not kept');

# The function that asks for them is a comparison wherever it is no condition of a scan.
my $call = "o365_msgtrace._sent_for(received, '$from', '$to')";
for my $case (
	[ 'beside another condition', "$call AND $within", $within ],
	[ 'in an OR', "$call OR received = '2026-05-20 07:00Z'", "$within OR received = '2026-05-20 07:00Z'" ],
	[ 'in a NOT', "NOT $call AND received >= '2026-05-20 08:00Z'", "NOT ($within) AND received >= '2026-05-20 08:00Z' AND received < '2026-05-20 12:00Z'" ],
	[ 'over another column', "o365_msgtrace._sent_for(received + interval '1 hour', '$from', '$to') AND received >= '2026-05-20 08:00Z'", "received + interval '1 hour' >= '$from' AND received + interval '1 hour' < '$to'" ])
{
	my ($name, $where, $truth) = @$case;
	$service->faults_instead({ on => 'list', fault => 'outside_row', count => 1000 });
	$node->same_rows("$name it keeps nothing from outside", "SELECT $columns FROM mail.message_trace WHERE $where", "SELECT $columns FROM truth.rows WHERE $truth", before => 'SET LOCAL o365_msgtrace.max_requests_per_query = 0');
}
$service->faults_instead({ on => 'list', fault => 'outside_row', count => 1000 });
is(
	$node->sql("SELECT count(*) FILTER (WHERE received < former) FROM (SELECT received, lag(received) OVER () AS former FROM (SELECT received FROM mail.message_trace WHERE $call ORDER BY received LIMIT 1000) r) r"),
	0, 'an order is one, whenever the rows are from');
$service->clear_faults;
my $plan = $node->explain("SELECT received FROM mail.message_trace WHERE $call ORDER BY received LIMIT 10");
like($plan, qr/Remote Filter: receivedDateTime >= '2026-05-20 11:00:00\+00'::\S.* AND receivedDateTime < /, 'EXPLAIN shows the window');
like($plan, qr/Time Filter: none here/, '… and that nothing else is');
unlike($plan, qr/Filter: .*_sent_for|Order: /, '… is checked, or relied on');

# ---- targets that have no place for them ----------------------------------------------------

$node->sql(<<'SQL', %owner);
CREATE TABLE archive.parts (LIKE archive.kept INCLUDING DEFAULTS,
    PRIMARY KEY (tenant, received, message_trace_id, recipient_address)) PARTITION BY RANGE (received);
CREATE TABLE archive.parts_1 PARTITION OF archive.parts FOR VALUES FROM ('2026-05-20 11:00Z') TO ('2026-05-20 12:00Z');
SQL
create('parts', 'disable_time_filter => true');
run('parts', -7200);
is(last_run('parts', 'state, sqlstate'), 'succeeded|', 'a partitioned target without a partition for them: the run succeeds');
$node->same_rows('… and has its window', "SELECT $columns FROM archive.parts", "SELECT $columns FROM truth.rows WHERE $within");
only_the_window_is_covered('parts');
like(messages('parts'), qr/^warn\|rows from outside of the window are left out this time, since one cannot be written: no partition of relation "parts" found for row; Partition key/m, '… and what was left out is reported');
$node->sql("CREATE TABLE archive.parts_0 PARTITION OF archive.parts FOR VALUES FROM ('2026-05-20 00:00Z') TO ('2026-05-20 11:00Z')", %owner);
run('parts', -7200);
cmp_ok($node->sql("SELECT count(*) FROM archive.parts_0"), '>', 0, 'with a partition the next run keeps them');

# ---- the Reporting web service ----------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.create_input('reported', 'reporting.message_trace', 'archive.reported', disable_time_filter => true)", %owner);
run('reported', -7200);
$node->same_rows('the same by the Reporting web service', "SELECT message_trace_id, recipient_address, subject FROM archive.reported WHERE $within",
	"SELECT message_trace_id, recipient_address, subject FROM truth.rows WHERE $within");
cmp_ok($node->sql("SELECT count(*) FROM archive.reported WHERE received <= '2026-05-20 09:00Z'"), '>', 0, '… with rows from outside');

# ---- changed ------------------------------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.alter_input('plain', disable_time_filter => true)", %owner);
run('plain', -7200);
cmp_ok($node->sql("SELECT count(*) FROM archive.plain WHERE NOT ($within)"), '>', 0, 'alter_input turns it on');
only_the_window_is_covered('plain');

done_testing();
