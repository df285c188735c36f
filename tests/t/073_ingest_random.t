# tests/t/073_ingest_random.t
#
# Four simulated days in which anything may happen: runs are late or left out,
# the service fails in every way it knows, backends and the server are killed at
# random points. The ledger never says more than is true, and in the end the
# target is the truth. Other seeds give other days.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

my @seeds = (1);

my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';
my $key = 'message_trace_id, recipient_address, received';
my $run = "CALL o365_msgtrace.run('contoso')";
my %owner = (user => 'regress_owner');

my @faults = (
	{ fault => 'status', status => 500 },
	{ fault => 'status', status => 400 },
	{ fault => 'html' },
	{ fault => 'cut', after => 500 },
	{ fault => 'reset' },
	{ fault => 'poisoned_link' },
	{ fault => 'looping_link' },
	{ fault => 'repeat_row' },
	{ fault => 'expire_token' });

my ($service, $node);

sub one_of
{
	return $_[ rand @_ ];
}

sub begin
{
	my ($seed) = @_;
	srand $seed;
	$service = MsgTrace::Service->start(
		now => '2026-05-01T00:00:00Z',
		rows_per_day => 3000,
		seed => $seed,
		page_delay => 2,
		quota => 0,
		shuffle => $seed % 2);
	$node = MsgTrace::Cluster->start(conf => { log_statement => 'none' });
	$node->create_server($service, page_size => 100, max_retries => 0);
	$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
GRANT USAGE ON SCHEMA mail, o365_msgtrace TO regress_owner;
GRANT SELECT ON mail.message_trace TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA truth;
SQL
	$node->sql("SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso')", %owner);
	return;
}

# Starts a run and waits until it has made some requests, or has ended by itself.
sub start_run
{
	my $session = $node->session(%owner);
	my $requests = 1 + int rand 8;
	$service->clear_requests;
	$session->send($run);
	wait_for(
		"$requests requests",
		60,
		sub { return $service->list_requests >= $requests || !$session->busy });
	return $session;
}

sub some_run
{
	my $chance = rand;
	if ($chance < 0.1)
	{
		my $session = start_run();
		$node->sql("SELECT pg_terminate_backend($session->{pid})");
		$node->wait_until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $session->{pid})");
	}
	elsif ($chance < 0.13)
	{
		start_run();
		$node->kill9;
		$node->restart;
	}
	else
	{
		$node->sql_error($run, %owner);    # which may or may not give one
	}
	return;
}

sub some_time
{
	$service->set_clock(advance => rand() < 0.7 ? 900 : int rand 36000);
	$service->clear_faults if rand() < 0.3;
	$service->fault({ on => 'list', skip => int rand 6, count => 1 + int rand 2, %{ one_of(@faults) } })
	  if rand() < 0.3;
	return;
}

# Counts what would be wrong: rows of settled time that differ from the truth in
# anything, keys that do not exist, rows that the ledger does not know of.
sub lies
{
	$node->load_truth($service, 'truth.rows', '2026-04-30T00:00:00Z', $service->now);
	return $node->sql(<<"SQL");
CREATE TEMP TABLE final AS SELECT settled, covered, flagged FROM o365_msgtrace.ledger;
SELECT (SELECT count(*) FROM (SELECT $columns FROM truth.rows, final WHERE settled @> received
                              EXCEPT ALL SELECT $columns FROM archive.contoso) d),
       (SELECT count(*) FROM (SELECT $columns FROM archive.contoso, final WHERE settled @> received
                              EXCEPT ALL SELECT $columns FROM truth.rows) d),
       (SELECT count(*) FROM (SELECT $key FROM archive.contoso EXCEPT ALL SELECT $key FROM truth.rows) d),
       (SELECT count(*) FROM archive.contoso, final WHERE NOT covered @> received),
       (SELECT count(*) FROM final WHERE NOT isempty(flagged))
SQL
}

for my $seed (@seeds)
{
	begin($seed);
	my $checks = 0;
	while ($service->now lt '2026-05-05')
	{
		some_time();
		some_run();
		next if rand() > 0.15;
		is(lies(), '0|0|0|0|0', 'at ' . $service->now . ' the ledger says nothing untrue');
		$checks++;
	}
	cmp_ok($checks, '>', 0, 'it was asked now and then');

	$service->clear_faults;
	$service->set_clock(advance => 26 * 3600);
	$node->sql($run, %owner) for 1 .. 2;
	is(
		$node->sql("SELECT wanted = covered, isempty(missing), settled @> tstzrange(lower(wanted), upper(wanted) - interval '24 hours 5 seconds') FROM o365_msgtrace.coverage"),
		't|t|t', 'in the end nothing is missing, and all that is old is settled');
	is(lies(), '0|0|0|0|0', 'and the target is the truth');
	cmp_ok($node->sql('SELECT count(*) FROM archive.contoso'), '>', 5000, 'of some size');
	note($node->sql('SELECT state, count(*), sum(requests), sum(windows) FROM o365_msgtrace.run_log GROUP BY 1 ORDER BY 1'));
	$node->stop;
	$service->stop;
}

done_testing();
