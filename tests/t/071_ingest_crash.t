# tests/t/071_ingest_crash.t
#
# An ingest that is cut off in the middle, in every way there is: after each, the
# target holds exactly what the ledger says, and the next run goes on from there.
# And two runs of one input, of which one gives way.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

# Two weeks in windows of at most ten pages of 200 rows, 5 ms each: a run takes
# some seconds, of which every transaction has a small part.
my $service = MsgTrace::Service->start(
	now => '2026-05-20T12:00:00Z',
	rows_per_day => 8000,
	page_delay => 5,
	quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service, page_size => 200);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA truth;
SQL
my %owner = (user => 'regress_owner');
my $run = "CALL o365_msgtrace.run('contoso')";
my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';

# The clock stands still, so that the truth does, too.
$node->load_truth($service, 'truth.rows', '2026-05-06T00:00:00Z', '2026-05-20T12:00:00Z');
$node->sql("SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso')", %owner);
$node->sql("UPDATE o365_msgtrace.ledger SET wanted = '{[2026-05-06 00:00Z, 2026-05-20 11:00Z)}'");

# No row of what is covered is missing, none is there twice, and there is no other.
sub ledger_is_true
{
	my ($name) = @_;
	my $covered = $node->sql('SELECT covered FROM o365_msgtrace.ledger');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $node->same_rows(
		$name,
		"SELECT $columns FROM archive.contoso",
		"SELECT $columns FROM truth.rows WHERE '$covered'::tstzmultirange @> received");
}

sub log_of
{
	my ($expression, $rest) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.run_log " . ($rest // 'ORDER BY run_id DESC LIMIT 1'));
}

# Starts a run and waits until it has committed so many windows.
sub begin_run
{
	my ($windows) = @_;
	my $session = $node->session(%owner);
	$session->send($run);
	$node->wait_until(
		"SELECT EXISTS (SELECT FROM o365_msgtrace.run_record WHERE pid = $session->{pid} AND windows >= $windows)");
	return $session;
}

sub server_is_back
{
	wait_for(
		'the server to take connections again',
		60,
		sub { return eval { $node->sql('SELECT true') } });
	return;
}

# ---- two at once -----------------------------------------------------------------------

{
	my $session = begin_run(1);
	is(log_of('state, pid'), "running|$session->{pid}", 'a run at work shows as running');
	is($node->sql('SELECT last_result, running_since IS NOT NULL FROM o365_msgtrace.job', %owner), 'running|t', 'in job, too');
	like($node->messages($run, %owner), qr/NOTICE:\s+\w+: input "contoso" was skipped: it is already running/, 'a second run gives way');
	is(
		log_of('state, message'),
		'skipped|it is already running: run 1, process ' . $session->{pid},
		'it is recorded as skipped');
	ok($session->busy, 'the first one is not disturbed');

	# ---- cancelled ----
	$session->cancel;
	like($session->receive, qr/57014/, 'a cancelled run ends with that error');
	is(log_of('state, sqlstate', "WHERE run_id = 1"), 'failed|57014', 'and has recorded it');
	cmp_ok(log_of('windows', 'WHERE run_id = 1'), '>=', 1, 'what it had read stays');
	ledger_is_true('and the ledger is true');
	$session->quit;
}

# ---- taken over ------------------------------------------------------------------------------

{
	my $session = begin_run(1);
	$node->sql("UPDATE o365_msgtrace.run_record SET state = 'lost' WHERE state = 'running'");
	like($session->receive, qr/it is no longer the current one/, 'a run that another one took for dead stops by itself');
	ledger_is_true('the ledger is true');
	$session->quit;
}

# ---- terminated --------------------------------------------------------------------------------

{
	my $session = begin_run(1);
	my $pid = $session->{pid};
	$node->sql("SELECT pg_terminate_backend($pid)");
	$node->wait_until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	is(log_of('state'), 'lost', 'a run whose backend was terminated shows as lost at once');
	is($node->sql('SELECT last_result, running_since, consecutive_failures FROM o365_msgtrace.job', %owner), 'lost||3', 'in job, too');
	ledger_is_true('the ledger is true after that');
}

# ---- killed ----------------------------------------------------------------------------------------

for my $windows (1, 2, 2)
{
	my $session = begin_run($windows);
	my $pid = $session->{pid};
	kill 'KILL', $pid;
	$session->receive;
	server_is_back();
	is(log_of('state', "WHERE pid = $pid ORDER BY run_id DESC LIMIT 1"), 'lost', "a run killed after $windows windows or more shows as lost");
	ledger_is_true('the ledger is true after that');
}
{
	my $session = begin_run(1);
	$node->kill9;
	$node->restart;
	is(log_of('state'), 'lost', 'a run that died with the server shows as lost');
	ledger_is_true('the ledger is true after that');
}

# ---- and on --------------------------------------------------------------------------------------------

$node->sql($run, %owner);
is(log_of('state'), 'succeeded', 'the next run goes on');
is(log_of('count(*)', "WHERE state = 'running'"), '0', 'and closes the records of the others');
is($node->sql('SELECT isempty(missing) FROM o365_msgtrace.coverage'), 't', 'nothing is missing');
is($node->sql("SELECT covered @> tstzrange('2026-05-06 00:00Z', '2026-05-20 11:59:59Z') FROM o365_msgtrace.ledger"), 't', 'all is covered');
ledger_is_true('nothing is lost, nothing is there twice');

# A lock that somebody holds: the input is not dropped under a run.
{
	my $session = $node->session(%owner);
	$session->sql('BEGIN; SELECT pg_advisory_xact_lock(o365_msgtrace._lock_class(), input_number) FROM o365_msgtrace.input');
	my $error = $node->sql_error("SELECT o365_msgtrace.drop_input('contoso')", %owner);
	is($error->{sqlstate}, '55006', 'an input that is running is not dropped');
	$session->sql('ROLLBACK');
}
$node->sql("SELECT o365_msgtrace.drop_input('contoso')", %owner);
is($node->sql('SELECT count(*) FROM o365_msgtrace.input'), '0', 'later it is');

done_testing();
