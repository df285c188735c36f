# tests/t/042_memory.t
#
# Memory does not grow with the rows: a backend that scans two million of them
# stays within 96 MB of what it had before, whatever shape they have: the pages
# of the slices in flight.

use strict;
use warnings;
use utf8;

use Test::More;
use Time::HiRes qw(time);

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $limit = 96 * 1024;    # kB
my $service = MsgTrace::Service->start(
	now => '2026-05-10T12:00:00Z',
	rows_per_day => 5_000_000,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0 });
$node->create_server($service, rows_per_day => 5_000_000);

# The most memory of its own that a backend had while it ran a statement.
sub scan
{
	my ($session, $sql) = @_;
	my $most = 0;
	my $began = time;

	$session->send($sql);
	while ($session->busy)
	{
		my $now = $node->backend_memory($session->pid);
		$most = $now if $now > $most;
		select undef, undef, undef, 0.02;
	}
	return ($session->receive, $most, time - $began);
}

my $session = $node->session;
$session->sql('SELECT count(*) FROM mail.message_trace WHERE received > \'2026-05-10T11:59:00Z\'');
my $before = $node->backend_memory($session->pid);
my $two_million = "received >= '2026-05-07T09:00:00Z' AND received < '2026-05-07T15:00:00Z'";
my ($rows, $most, $seconds) = scan($session, "SELECT count(t) FROM mail.message_trace t WHERE $two_million");

cmp_ok($rows, '>=', 2_000_000, 'a scan of two million rows, all of their columns');
cmp_ok($most - $before, '<', $limit, '… takes less than 96 MB');
diag(sprintf '%d rows with all columns in %.1f s: %d kB before, at most %d kB', $rows, $seconds, $before, $most);

# A cursor held open, page by page; and pages that come in no order.
$service->settings(shuffle => 1);
($rows, $most) = scan($session, 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM mail.message_trace'
	  . " WHERE received >= '2026-05-07T12:00:00Z' AND received < '2026-05-07T14:00:00Z';"
	  . 'MOVE 100000 FROM c; MOVE ALL FROM c; SELECT rows FROM o365_msgtrace.last_scan(); COMMIT');
cmp_ok($rows, '>=', 400_000, 'a cursor over pages in no order');
cmp_ok($most - $before, '<', $limit, '… takes less than 96 MB');
$service->settings(shuffle => 0);

# Many scans, one after the other and within one statement.
my $loops = "SELECT sum(n) FROM generate_series(1, COUNT) i, LATERAL (SELECT count(*) AS n FROM mail.message_trace"
  . " WHERE received >= '2026-05-07T12:00:00Z'::timestamptz + i * interval '1 s' AND received < '2026-05-07T12:00:02Z'::timestamptz + i * interval '1 s') v";
scan($session, $loops =~ s/COUNT/100/r);
my $after_hundred = $node->backend_memory($session->pid);
($rows, $most) = scan($session, $loops =~ s/COUNT/1500/r);
cmp_ok($rows, '>', 100_000, '1500 scans in one statement');
cmp_ok($most - $after_hundred, '<', 4096, '… take no more than 100 of them');
diag("after 100 rescans $after_hundred kB, after 1600 at most $most kB");

done_testing();
