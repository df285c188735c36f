# tests/t/077_details.t
#
# The details that an ingest copies: of those rows that its detail_filter wants,
# each with one request, again when the row has changed and when its time is
# settled. They are what the service tells, whatever cuts a run off; they stay
# within the budget, and leave the polls theirs.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-13T12:00:00Z',
	rows_per_day => 2000,
	quota => 0);
my $node = MsgTrace::Cluster->start(preload => 'o365_msgtrace');
my %options = (retry_initial_interval => '10ms', max_retries => 1);
$node->create_server($service, %options);
$node->create_server($service, name => 'older', schema => 'older', api => 'reporting', report_url => $service->report_url('reporting'), %options);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_other LOGIN;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA alone;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, older, alone TO regress_owner, regress_other;
GRANT SELECT ON ALL TABLES IN SCHEMA mail, older TO regress_owner;
CREATE TABLE detail_truth (message_trace_id uuid, recipient_address text, message_id text, event_time timestamptz,
	event text, action text, detail text, data text);
GRANT SELECT ON detail_truth TO regress_owner;
SQL
my %owner = (user => 'regress_owner');
my $columns = 'message_trace_id, recipient_address, message_id, event_time, event, action, detail, data';

sub create
{
	my ($name, %set) = @_;
	my $source = delete $set{source} // 'mail.message_trace';
	my $target = delete $set{target} // "archive.$name";
	my $settings = join '', map { ", $_ => $set{$_}" } sort keys %set;
	return "SELECT o365_msgtrace.create_input('$name', '$source', '$target'$settings)";
}

sub alter
{
	my ($name, $settings) = @_;
	$node->sql("SELECT o365_msgtrace.alter_input('$name', $settings)", %owner);
	return;
}

sub run { my ($name) = @_; return $node->sql("CALL o365_msgtrace.run('$name')", %owner) }

sub last_run
{
	my ($name, $expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.run_log WHERE input_id = '$name' ORDER BY run_id DESC LIMIT 1", %owner);
}

sub record
{
	my ($name, $expression, $where) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.detail_record WHERE input_id = '$name' AND " . ($where // 'true'), %owner);
}

# Requests for details since they were counted last; each delivery was asked for at most so many times.
sub asked
{
	my @asked = $service->detail_requests;
	$service->clear_requests;
	return scalar @asked;
}

# What the service tells now of the deliveries of this query.
sub load_details
{
	my ($deliveries) = @_;
	my @keys = map { [ split /\|/ ] } split /\n/, $node->sql($deliveries);
	my $file = $service->save_detail_truth(folder() . '/details.csv', @keys);
	$node->sql("TRUNCATE detail_truth;\n\\copy detail_truth FROM '$file' (FORMAT csv, HEADER)\n");
	return scalar @keys;
}

# The table of details has the events of these deliveries, each once, and no other.
sub are_true
{
	my ($name, $table, $deliveries) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $count = load_details($deliveries);
	$node->same_rows($name, "SELECT $columns FROM $table", "SELECT $columns FROM detail_truth");
	return $count;
}

sub wanted { my ($table, $where) = @_; return "SELECT message_trace_id, recipient_address FROM $table WHERE $where" }

# ---- what is refused -------------------------------------------------------------------

sub refused
{
	my ($name, $sqlstate, $words, %set) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $error = $node->sql_error(create('refused', detail_filter => "'true'", detail_target => "'archive.refused_details'", %set), %owner);
	is($error ? $error->{sqlstate} : 'none', $sqlstate, $name);
	like($error->{text}, $words, '… saying why');
	return;
}

$node->create_server($service, name => 'lonely', schema => 'lonely');
$node->sql('DROP FOREIGN TABLE lonely.message_trace_detail; GRANT USAGE ON SCHEMA lonely TO regress_owner; GRANT SELECT ON lonely.message_trace TO regress_owner');
refused('no foreign table of details', '42P01',
	qr/server "lonely" has no foreign table of details.*HINT:  IMPORT FOREIGN SCHEMA exchange LIMIT TO \(message_trace_detail\) FROM SERVER lonely INTO lonely;/s,
	source => 'lonely.message_trace');
$node->sql('IMPORT FOREIGN SCHEMA exchange LIMIT TO (message_trace_detail) FROM SERVER lonely INTO lonely');
refused('no right to read it', '42501', qr/permission denied for foreign table lonely\.message_trace_detail.*GRANT SELECT ON lonely\.message_trace_detail TO regress_owner;/s,
	source => 'lonely.message_trace');
$node->sql('IMPORT FOREIGN SCHEMA exchange LIMIT TO (message_trace_detail) FROM SERVER lonely INTO alone; GRANT SELECT ON alone.message_trace_detail TO regress_owner');
is($node->sql("SELECT o365_msgtrace._detail_source('lonely.message_trace')", %owner), 'alone.message_trace_detail', 'one that may be read is as good, wherever it is');
$node->sql('GRANT SELECT ON lonely.message_trace_detail TO regress_owner');
is($node->sql("SELECT o365_msgtrace._detail_source('lonely.message_trace')", %owner), 'lonely.message_trace_detail', '… and the one of the same schema is better');

refused('a filter that is no SQL', '42601', qr/invalid detail_filter: syntax error/, detail_filter => "'status ='");
refused('a filter of no such column', '42703', qr/invalid detail_filter: column "nothing" does not exist/, detail_filter => "'nothing'");
refused('a filter that is no condition', '42804', qr/invalid detail_filter: .*boolean/, detail_filter => "'subject'");
$node->sql('CREATE TABLE public.secret (mail text)');
refused('a filter over a table of others', '42501', qr/permission denied for table secret/, detail_filter => "'sender_address IN (SELECT mail FROM public.secret)'");
refused('a table in a schema of others', '42501', qr/permission denied for schema mail/, detail_target => "'mail.details'");
$node->sql('CREATE TABLE archive.narrow (tenant text, message_trace_id uuid, recipient_address text, event text)', %owner);
refused('a table without some columns', '42703', qr/lacks columns: "event_number", "message_id", "event_time", "action"/, detail_target => "'archive.narrow'");
$node->sql('CREATE VIEW archive.seen AS SELECT 1 AS one', %owner);
refused('a view', '42809', qr/is not a permanent table/, detail_target => "'archive.seen'");
is($node->sql('SELECT count(*) FROM o365_msgtrace.input'), '0', 'nothing is left of all that');

# ---- the first run ---------------------------------------------------------------------

my $filter = "status IN ('failed', 'pending', 'gettingStatus', 'quarantined')";
my $quoted = "'" . ($filter =~ s/'/''/gr) . "'";
like(
	$node->messages(create('contoso', detail_filter => $quoted, detail_target => "'archive.details'", date_range_start => "'-3h'"), %owner),
	qr/created table archive\.details/, 'the table is created');
is(
	$node->sql("SELECT string_agg(attname, ' ' ORDER BY k.nth) FROM pg_index x, unnest(x.indkey::int2[]) WITH ORDINALITY k (attnum, nth) JOIN pg_attribute a USING (attnum)"
		  . " WHERE x.indrelid = 'archive.details'::regclass AND a.attrelid = x.indrelid AND x.indisprimary"),
	'tenant message_trace_id recipient_address event_number', '… with a key');

# One whose last event comes after its last status.
my $late = 'cccccccc-0000-4000-8000-000000000001';
$service->add_rows(
	{
		id => $late, messageId => '<late@contoso.com>', receivedDateTime => '2026-05-13T11:59:58Z',
		senderAddress => 'a@contoso.com', recipientAddress => 'b@contoso.com', subject => 'late',
		status => 'failed', size => 1, fromIP => '', toIP => ''
	});
$service->clear_requests;
my $said = $node->messages("CALL o365_msgtrace.run('contoso')", %owner);
my $count = are_true('details are there', 'archive.details', wanted('archive.contoso', $filter));
cmp_ok($count, '>', 20, '… of some deliveries');
is(asked(), $count, '… in one request each');
like($said, qr/read \d+ rows in \d+ windows \(\d+ new, 0 changed\), details of $count deliveries, \d+ requests/, '… which the run says');
is(last_run('contoso', 'details_read'), $count, '… and the log');
is(last_run('contoso', 'requests - details_read > 0 AND requests - details_read < 10'), 't', '… they count as requests');
is($node->sql('SELECT DISTINCT tenant, input_id, run_id, ingested_at IS NOT NULL FROM archive.details'), 'tenant|contoso|1|t', 'events say where they are from');
is(
	$node->sql('SELECT bool_and(event_number = n AND (earlier IS NULL OR earlier <= event_time)) FROM (SELECT event_number, event_time,'
		  . ' row_number() OVER w AS n, lag(event_time) OVER w AS earlier FROM archive.details WINDOW w AS (PARTITION BY message_trace_id, recipient_address ORDER BY event_number)) e'),
	't', '… and are numbered in the order of their time');
is(
	record('contoso', 'count(*), bool_or(due), bool_and(read_at IS NOT NULL AND row_status IS NOT NULL AND run_id = 1 AND failures = 0), bool_or(final), sum(events)'),
	"$count|f|t|f|" . $node->sql('SELECT count(*) FROM archive.details'), 'each has its record');
is($node->sql('SELECT count(*) FROM o365_msgtrace.detail_record', user => 'regress_other'), '0', '… that others do not see');

my $events_of_late = $node->sql("SELECT count(*) FROM archive.details WHERE message_trace_id = '$late'");
run('contoso');
is(asked(), 0, 'a run with nothing new asks for no details');
is(last_run('contoso', 'state, details_read'), 'succeeded|0', '… and says so');

# ---- statuses that change --------------------------------------------------------------

my %before = map { split /=/ } split /\n/, record('contoso', "message_trace_id || ' ' || recipient_address || '=' || row_status");
$service->set_clock(advance => 1200);
$service->clear_requests;
run('contoso');
my $again = record('contoso', 'count(*)', 'run_id = 3');
is(asked(), $again, 'later what is new or changed is asked for, once');
my $changed = $node->sql("SELECT count(*) FROM o365_msgtrace.detail_record r JOIN archive.contoso t USING (message_trace_id, recipient_address) WHERE r.run_id = 3 AND t.updated_at > t.ingested_at");
cmp_ok($changed, '>', 0, '… some of it because it changed');
is($node->sql("SELECT count(*) FROM o365_msgtrace.detail_record r JOIN archive.contoso t USING (message_trace_id, recipient_address) WHERE $filter AND r.row_updated_at <> t.updated_at"), '0',
	'… and all of it is as of the row\'s last change');

$service->set_clock(advance => 27 * 3600);
$service->clear_requests;
run('contoso');
my $settled = "received < '2026-05-13 15:00Z'";
are_true('when all is settled, all is exact', "(SELECT * FROM archive.details WHERE (message_trace_id, recipient_address) IN (SELECT message_trace_id, recipient_address FROM archive.contoso WHERE $settled AND $filter)) d",
	wanted('archive.contoso', "$settled AND $filter"));
is($node->sql("SELECT bool_and(final) FROM o365_msgtrace.detail_record r JOIN archive.contoso t USING (message_trace_id, recipient_address) WHERE t.$settled AND $filter"), 't', '… and final');
is(asked(), record('contoso', 'count(*)', 'run_id = 4'), '… with one request for each');
is($node->sql("SELECT count(*), bool_or(event = 'Deliver') FROM archive.details WHERE message_trace_id = '$late'"), $events_of_late + 1 . '|t', '… an event that came late is there');
is($node->sql("SELECT count(*) FROM (SELECT FROM archive.details GROUP BY tenant, message_trace_id, recipient_address, event_number HAVING count(*) > 1) d"), '0', 'no event is there twice');
run('contoso');
is(asked(), 0, 'what is final is not asked for again');

# ---- another filter --------------------------------------------------------------------

my $failed = "status = 'failed'";
alter('contoso', "detail_filter => 'status = ''failed'' OR size > 300000'");
my $new = record('contoso', 'count(*)', 'due');
cmp_ok($new, '>', 5, 'a filter that wants more');
run('contoso');
is(asked(), $new, '… has that read, and nothing else again');
is($node->sql("SELECT count(*) FROM archive.contoso t LEFT JOIN o365_msgtrace.detail_record r USING (message_trace_id, recipient_address) WHERE (t.status = 'failed' OR t.size > 300000) AND r.read_at IS NULL"), '0', '… and leaves nothing out');
alter('contoso', "detail_filter => 'false', date_range_start => '-1h'");
$service->set_clock(advance => 3600);
$service->clear_requests;
run('contoso');
is(asked(), 0, 'a filter that wants nothing asks for nothing');

my $kept = $node->sql('SELECT count(*) FROM archive.details');
alter('contoso', "detail_filter => ''");
is($node->sql('SELECT detail_filter IS NULL AND detail_target IS NULL FROM o365_msgtrace.input', %owner), 't', 'it can be taken away');
is(record('contoso', 'count(*)'), '0', '… with the records');
run('contoso');
is($node->sql('SELECT count(*) FROM archive.details'), $kept, '… and what was read stays');
is($node->sql_error("SELECT o365_msgtrace.reset_details('contoso')", %owner)->{sqlstate}, '55000', 'then there is nothing to be reset');

# ---- to read again ---------------------------------------------------------------------

alter('contoso', "detail_filter => 'status = ''failed''', detail_target => 'archive.again'");
$service->clear_requests;
run('contoso');
$count = are_true('another table is filled from the rows that are there', 'archive.again', wanted('archive.contoso', $failed));
is(asked(), $count, '… in one request each');
$node->sql("DELETE FROM archive.again WHERE event = 'Fail'", %owner);
my $range = '[2026-05-13 10:00Z, 2026-05-14 15:30Z)';
$again = $node->sql("SELECT count(*) FROM archive.contoso WHERE $failed AND '$range'::tstzrange @> received");
is($node->sql("SELECT o365_msgtrace.reset_details('contoso', '$range')", %owner), $again, 'details are read again where they were reset');
run('contoso');
is(asked(), $again, '… and only there');
$node->sql("DELETE FROM o365_msgtrace.detail_record", %owner);
is($node->sql("SELECT o365_msgtrace.reset_details('contoso')", %owner), $count, 'also where no record is left');
run('contoso');
is(asked(), $count, '… all of them');
are_true('… and nothing is there twice', 'archive.again', wanted('archive.contoso', $failed));
is($node->sql_error("SELECT o365_msgtrace.reset_details('contoso')")->{sqlstate}, '42501', 'only the owner may');

# A row that is gone wants no details.
$node->sql("SELECT o365_msgtrace.reset_details('contoso')", %owner);
my $gone = $node->sql("WITH d AS (DELETE FROM archive.contoso WHERE $failed AND received < '2026-05-13 12:00Z' RETURNING 1) SELECT count(*) FROM d", %owner);
$service->clear_requests;
run('contoso');
is(asked(), $count - $gone, 'what is no longer in the target is not asked for');
is(record('contoso', 'bool_or(due)'), 'f', '… nor ever');

# An answer without events does not take away what is there.
my $id = record('contoso', 'message_trace_id', 'read_at IS NOT NULL AND run_id = (SELECT max(run_id) FROM o365_msgtrace.detail_record) LIMIT 1');
my $events = $node->sql("SELECT count(*) FROM archive.again WHERE message_trace_id = '$id'");
$node->sql("UPDATE o365_msgtrace.detail_record SET due = true WHERE message_trace_id = '$id'", %owner);
$service->fault({ on => 'detail', fault => 'status', status => 200, body => '{"value":[]}', count => 100 });
run('contoso');
$service->clear_faults;
is($node->sql("SELECT count(*) FROM archive.again WHERE message_trace_id = '$id'"), $events, 'events that the service no longer tells stay');

# ---- cut off in the middle -------------------------------------------------------------

# What is recorded as read is there, and nothing else.
sub records_are_true
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	are_true($name, 'archive.crash_details', "SELECT message_trace_id, recipient_address FROM o365_msgtrace.detail_record WHERE input_id = 'crash' AND read_at IS NOT NULL");
	return;
}

$node->sql(create('crash', detail_filter => "'size > 50000'", detail_target => "'archive.crash_details'", date_range_start => "'-3h'"), %owner);
$service->clear_requests;
for my $way ('kill', 'crash', 'cancel', 'terminate')
{
	$service->faults_instead({ on => 'detail', fault => 'delay', ms => 150, count => 10000 });
	my $read = record('crash', 'count(*)', 'read_at IS NOT NULL');
	my $session = $node->session(%owner);
	my $pid = $session->{pid};
	$session->send("CALL o365_msgtrace.run('crash')");
	$node->wait_until("SELECT count(*) > $read FROM o365_msgtrace.detail_record WHERE input_id = 'crash' AND read_at IS NOT NULL");
	if ($way eq 'kill') { kill 'KILL', $pid; $session->receive; wait_for('the server', 60, sub { eval { $node->sql('SELECT true') } }) }
	elsif ($way eq 'crash') { $node->kill9; $node->restart }
	elsif ($way eq 'cancel') { $session->cancel; $session->receive; $session->quit }
	else { $node->sql("SELECT pg_terminate_backend($pid)"); $node->wait_until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)") }
	cmp_ok(record('crash', 'count(*)', 'due'), '>', 0, "after $way there is something left to read");
	records_are_true('… and what has been read is there');
}
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_log WHERE input_id = 'crash' AND state IN ('lost', 'failed')", %owner), '4', 'four runs did not end');
$service->clear_faults;
run('crash');
$count = are_true('the next run does the rest', 'archive.crash_details', wanted('archive.crash', 'size > 50000'));
cmp_ok(asked(), '<=', $count + 4 * 9, '… and few requests were made twice');
cmp_ok($count, '>', 50, '… of many');
is($node->sql('SELECT bool_and(details_read >= 0) FROM o365_msgtrace.run_log', %owner), 't', 'the log has the counts');

# While it is at work.
$node->sql("SELECT o365_msgtrace.reset_details('crash')", %owner);
$service->faults_instead({ on => 'detail', fault => 'delay', ms => 150, count => 10000 });
{
	my $session = $node->session(%owner);
	$session->send("CALL o365_msgtrace.run('crash')");
	$node->wait_until("SELECT EXISTS (SELECT FROM o365_msgtrace.run_record WHERE state = 'running' AND details_read > 0)");
	is($node->sql("SELECT details_read > 0 AND details_left > 0 AND details_read + details_left = $count FROM o365_msgtrace.run_progress", %owner), 't', 'progress tells of details');
	alter_tags();
	like($session->receive, qr/read \d+ rows/, 'a run of an input that was changed ends');
	cmp_ok(record('crash', 'count(*)', 'due'), '>', 0, '… before it has read all');
	$session->quit;
}

sub alter_tags { return $node->sql("UPDATE o365_msgtrace.input SET tags = '{changed}' WHERE input_id = 'crash'") }

# A run that takes too long.
alter('crash', "job_timeout => '4s'");
$service->faults_instead({ on => 'detail', fault => 'hang', skip => 9, count => 100 });
$service->clear_requests;
my $left;
my $error = $node->sql_error("CALL o365_msgtrace.run('crash')", %owner);
is($error->{sqlstate}, '57014', 'a run that hangs at details is ended by its job_timeout');
is(last_run('crash', 'state, details_read'), 'failed|9', '… what it had read is committed');
is(asked(), 9 + 3, '… and as many were in flight as may be');
is(record('crash', 'max(failures)'), '0', '… and no delivery is to blame');
alter('crash', "job_timeout => '0'");
$service->clear_faults;

# ---- one that cannot be read -----------------------------------------------------------

run('crash');
is(record('crash', 'bool_or(due)'), 'f', 'all is read');
$node->sql("SELECT o365_msgtrace.reset_details('crash')", %owner);
# One request after the other: the second fails, and that of the same delivery when they are read one by one.
$node->sql("ALTER FOREIGN TABLE mail.message_trace_detail OPTIONS (ADD max_concurrency '1')");
$left = record('crash', 'count(*)', 'due');
$service->clear_requests;
$service->fault({ on => 'detail', fault => 'html', skip => 1 }, { on => 'detail', fault => 'html', skip => 2 });
$error = $node->sql_error("CALL o365_msgtrace.run('crash')", %owner);
$service->clear_faults;
is($error->{sqlstate}, '08P01', 'a delivery that cannot be read is an error of the run');
like($error->{detail}, qr/The delivery is message_trace_id [-0-9a-f]+ to \S+\.\nRun \d+ of input "crash" failed/, '… which names it');
is(last_run('crash', 'state, sqlstate'), 'failed|08P01', '… in the log');
is(record('crash', 'count(*), max(failures), min(sqlstate), bool_and(next_try_at > now())', 'due'), '1|1|08P01|t', '… and is the only one that is left');
is(asked(), $left + 2, '… at the cost of two requests');
$node->sql('ALTER FOREIGN TABLE mail.message_trace_detail OPTIONS (DROP max_concurrency)');
run('crash');
is(asked(), 0, 'it is left alone for a while');
$node->sql("UPDATE o365_msgtrace.detail_record SET next_try_at = now() WHERE due", %owner);
$service->fault({ on => 'detail', fault => 'html' });
$node->sql_error("CALL o365_msgtrace.run('crash')", %owner);
is(record('crash', "failures, next_try_at > now() + interval '50 minutes'", 'due'), '2|t', '… and for longer when it fails again');
$node->sql("UPDATE o365_msgtrace.detail_record SET next_try_at = now() WHERE due", %owner);
run('crash');
is(record('crash', 'bool_or(due)'), 'f', '… until it can be read');
are_true('then all is there', 'archive.crash_details', wanted('archive.crash', 'size > 50000'));
$node->sql(<<'SQL', %owner);
UPDATE o365_msgtrace.detail_record SET due = true, failures = 1
 WHERE input_id = 'crash' AND message_trace_id IN (SELECT message_trace_id FROM o365_msgtrace.detail_record WHERE input_id = 'crash' ORDER BY received LIMIT 3)
SQL
my $retried = record('crash', 'count(*)', 'due');
$service->fault({ on => 'detail', fault => 'html' });
asked();
$node->sql_error("CALL o365_msgtrace.run('crash')", %owner);
is(asked(), $retried, 'those that have failed before are read alone, so that one costs no other a request');
is(record('crash', 'count(*)', 'due'), 1, '… whichever fails again');
$node->sql("UPDATE o365_msgtrace.detail_record SET failures = 0, next_try_at = NULL", %owner);

# A constraint of the table's own.
my $bad = record('crash', 'message_trace_id', 'true ORDER BY received, message_trace_id LIMIT 1 OFFSET 4');
$node->sql("DELETE FROM archive.crash_details WHERE message_trace_id = '$bad'; ALTER TABLE archive.crash_details ADD CONSTRAINT not_this CHECK (message_trace_id <> '$bad'); SELECT o365_msgtrace.reset_details('crash')", %owner);
my $of_bad = record('crash', 'count(*)', "message_trace_id = '$bad'");
$error = $node->sql_error("CALL o365_msgtrace.run('crash')", %owner);
is($error->{sqlstate}, '23514', 'a constraint of the table is heeded');
is(record('crash', 'count(*)', 'due'), $of_bad, '… and keeps no other delivery from being read');
$node->sql('ALTER TABLE archive.crash_details DROP CONSTRAINT not_this', %owner);

# ---- limits ----------------------------------------------------------------------------

run('crash');
alter('crash', 'max_requests => 30');
$node->sql("SELECT o365_msgtrace.reset_details('crash')", %owner);
$left = record('crash', 'count(*)', 'due');
$service->clear_requests;
run('crash');
my $requests = scalar(my @list = grep { $_->{path} !~ /token$/ } $service->requests);
is($requests, 30, 'max_requests is used');
is(last_run('crash', 'requests'), 30, '… and not exceeded');
is(record('crash', 'count(*)', 'due'), $left - asked(), '… the rest is left to the next run');
alter('crash', 'max_requests => 0');

# What the service has let go of is not asked for.
$node->sql("UPDATE o365_msgtrace.detail_record SET received = received - interval '91 days' WHERE due AND message_trace_id IN (SELECT message_trace_id FROM o365_msgtrace.detail_record WHERE due LIMIT 2)", %owner);
$node->sql("UPDATE o365_msgtrace.detail_record SET read_at = NULL WHERE due AND received < '2026-03-01'", %owner);
my $lost = record('crash', 'count(*)', "due AND received < '2026-03-01'");
$left = record('crash', 'count(*)', 'due');
$said = $node->messages("CALL o365_msgtrace.run('crash')", %owner);
is(asked(), $left - $lost, 'what the service no longer holds is not asked for');
like($said, qr/the service let go of $lost deliveries before their details were read/, '… and told of');

# The budget: a quarter is left to the polls.
$node->sql("SELECT o365_msgtrace.drop_input('crash')", %owner);
my $tenant = '99999999-0000-4000-8000-000000000001';
$service->add_tenant(id => $tenant, domain => 'small.example');
$node->create_server($service, name => 'small', schema => 'small', tenant_id => $tenant, quota_requests => 40, quota_window => '1h', %options);
$node->sql('GRANT USAGE ON SCHEMA small TO regress_owner; GRANT SELECT ON ALL TABLES IN SCHEMA small TO regress_owner');
$node->sql(create('small', source => 'small.message_trace', detail_filter => "'size > 20000'", detail_target => "'archive.small_details'"), %owner);
$said = $node->messages("CALL o365_msgtrace.run('small')", %owner);
is(last_run('small', 'state, details_read > 0'), 'succeeded|t', 'a run reads details within the budget');
is($node->sql("SELECT remaining FROM o365_msgtrace.quota WHERE tenant = '$tenant'"), '10', '… but for a quarter of it');
$left = record('small', 'count(*)', 'due');
cmp_ok($left, '>', 10, '… and leaves the rest to the next');
like($said, qr/details of \d+ deliveries \($left left\), \d+ requests/, '… which it says');
$service->set_clock(advance => 900);
$service->clear_requests;
run('small');
cmp_ok(scalar(my @polls = $service->list_requests), '>', 0, 'which polls without having to wait');
is(last_run('small', 'state, details_read'), 'succeeded|0', '… and reads no details, since there is no budget for any');
$node->sql("ALTER SERVER small OPTIONS (SET quota_requests '12', SET quota_window '2s')");
$service->settings(quota => 12, quota_window => 2);
$service->clear_quota;
$said = $node->messages("CALL o365_msgtrace.run('small')", %owner);
is(record('small', 'bool_or(due)'), 'f', 'with a budget that comes back soon it waits for that');
is(scalar(() = $said =~ /details wait for the tenant's budget/g), 1, '… and says so, once');
is((grep { $_->{tenant} eq $tenant } $service->quota)[0]{refused}, 0, '… and no request is refused');
$service->settings(quota => 0);
is(record('small', 'count(*)'), $node->sql('SELECT count(*) FROM archive.small WHERE size > 20000'), '… and nothing is left out');

# ---- tables of the user's own ----------------------------------------------------------

$node->sql(<<'SQL', %owner);
CREATE TABLE archive.parts (own text DEFAULT 'mine', event_number bigint, event text, detail text, message_trace_id text, recipient_address varchar,
	message_id text, event_time timestamptz, action text, data text, tenant text, input_id text, run_id bigint, ingested_at timestamptz) PARTITION BY RANGE (event_time);
CREATE TABLE archive.parts_1 PARTITION OF archive.parts FOR VALUES FROM (MINVALUE) TO ('2026-05-14 16:00Z');
CREATE TABLE archive.parts_2 PARTITION OF archive.parts DEFAULT;
SQL
$node->sql(create('parts', detail_filter => "'recipient_address LIKE ''%o%'' -- and a comment'", detail_target => "'archive.parts'", target => 'archive.parts_rows'), %owner);
run('parts');
are_true('a partitioned table of other types, with a column more', "(SELECT *, message_trace_id::uuid AS id FROM archive.parts) p" =~ s/SELECT \*, message_trace_id::uuid AS id/SELECT message_trace_id::uuid, recipient_address::text, message_id, event_time, event, action, detail, data/r,
	wanted('archive.parts_rows', "recipient_address LIKE '%o%'"));
is($node->sql("SELECT DISTINCT own FROM archive.parts"), 'mine', '… which keeps its default');
$node->sql("SELECT o365_msgtrace.reset_details('parts')", %owner);
run('parts');
is($node->sql('SELECT count(*) FROM archive.parts'), $node->sql('SELECT count(*) FROM detail_truth'), '… and has no event twice after they were read again');

$service->set_clock(advance => 900);
$node->sql('REVOKE DELETE ON archive.parts FROM regress_owner', %owner);
$service->clear_requests;
$error = $node->sql_error("CALL o365_msgtrace.run('parts')", %owner);
is($error->{sqlstate}, '42501', 'a right that is gone');
like($error->{text}, qr/has not the privilege DELETE.*GRANT DELETE ON archive\.parts TO regress_owner;/s, '… is named');
$node->sql('GRANT DELETE ON archive.parts TO regress_owner; ALTER TABLE archive.parts DROP COLUMN data', %owner);
is($node->sql_error("CALL o365_msgtrace.run('parts')", %owner)->{sqlstate}, '42703', 'a column that is gone');
$node->sql('DROP TABLE archive.parts', %owner);
is($node->sql_error("CALL o365_msgtrace.run('parts')", %owner)->{sqlstate}, '42P01', 'a table that is gone');
$node->sql('REVOKE SELECT ON mail.message_trace_detail FROM regress_owner');
is($node->sql_error("CALL o365_msgtrace.run('parts')", %owner)->{sqlstate}, '42501', 'a foreign table that may not be read any more');
is(scalar(my @nothing = $service->requests), 0, '… all of it before the first request');
$node->sql('GRANT SELECT ON mail.message_trace_detail TO regress_owner');

# ---- the Reporting web service ---------------------------------------------------------

$node->sql(create('older', source => 'older.message_trace', detail_filter => "'size > 100000'", detail_target => "'archive.older_details'"), %owner);
$service->clear_requests;
run('older');
$count = are_true('details of the Reporting web service', 'archive.older_details', wanted('archive.older', 'size > 100000'));
cmp_ok($count, '>', 3, '… of some deliveries');
is(last_run('older', 'requests') - 2 * $count, scalar(my @windows = grep { $_->{query} !~ /MessageTraceId/ } $service->list_requests), '… cost two requests each');
is(scalar(my @details = $service->detail_requests), $count, '… of which one is for the details');

# ---- retention, and the end ------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.reset_details('contoso')", %owner);
run('contoso');
is(record('contoso', 'bool_or(due)'), 'f', 'all details are there');
my $expired = "received < '2026-05-14 08:00Z'";
$events = $node->sql("SELECT count(*) FROM archive.again d JOIN o365_msgtrace.detail_record r USING (input_id, message_trace_id, recipient_address) WHERE $expired");
cmp_ok($events, '>', 0, '… some of them old');
# Retention goes by the service's clock: so that it cuts there.
$service->set_clock(now => '2026-05-15T10:00:00Z');
alter('contoso', "retention => '26 hours'");
run('contoso');
is($node->sql("SELECT count(*) FROM archive.contoso WHERE $expired"), '0', 'rows that are older than retention are dropped');
are_true('… and their details', 'archive.again', wanted('archive.contoso', $failed));
is(record('contoso', 'count(*)', $expired), '0', '… with their records');
is($node->sql("SELECT count(*) FROM o365_msgtrace.detail_record r LEFT JOIN archive.contoso t USING (message_trace_id, recipient_address) WHERE r.input_id = 'contoso' AND t.received IS NULL"), '0', '… so that there is none without its row');
my $young = $node->sql('SELECT count(*) FROM archive.again');

$node->sql("SELECT o365_msgtrace.drop_input('contoso')", %owner);
is($node->sql("SELECT count(*) FROM o365_msgtrace.detail_record WHERE input_id = 'contoso'"), '0', 'an input goes with its records');
is($node->sql('SELECT count(*) FROM archive.again'), $young, '… its details stay');

done_testing();
