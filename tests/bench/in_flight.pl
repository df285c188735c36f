#!/usr/bin/env perl
#
# tests/bench/in_flight.pl
#
# How long a scan of 60 full pages takes, each of which takes the simulated
# service 300 ms, by the number of requests in flight; beside the least that is
# possible, pages x 300 ms / max_concurrency. Each is done three times; the best
# counts.

use strict;
use warnings;

use Test::More ();
use Time::HiRes qw(time);

use MsgTrace::Cluster;
use MsgTrace::Service;

my ($pages, $page_size, $delay) = (60, 1000, 300);
my $service = MsgTrace::Service->start(now => '2026-05-11T12:00:00Z', quota => 0, rows_per_day => 1_000_000);
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none', 'o365_msgtrace.max_requests_per_query' => 0 });
$node->create_server($service, rows_per_day => 1_000_000, page_size => $page_size, max_concurrency => 3);

# As much time as holds so many rows.
my $to = '2026-05-08T12:00:00Z';
$node->load_truth($service, 'truth', '2026-05-08T08:00:00Z', $to);
my $from = $node->sql(sprintf 'SELECT received FROM truth ORDER BY received DESC OFFSET %d LIMIT 1', $pages * $page_size - 1);
my $count = "SELECT count(*) FROM mail.message_trace WHERE received >= '$from' AND received < '$to'";

printf "%-16s %9s %9s %9s %9s\n", 'max_concurrency', 'requests', 'seconds', 'least', 'times';
$service->settings(page_delay => $delay);
for my $concurrency (1, 2, 3, 5, 10)
{
	my ($best, $asked);
	my $session = $node->session;
	$node->sql("ALTER SERVER tenant OPTIONS (SET max_concurrency '$concurrency')");
	for (1 .. 3)
	{
		$service->clear_requests;
		my $begin = time;
		$session->sql($count);
		my $took = time - $begin;
		$best = $took if !defined $best || $took < $best;
		$asked = () = $service->list_requests;
	}
	$session->quit;
	my $least = $pages / $concurrency * $delay / 1000;
	printf "%-16d %9d %9.2f %9.2f %9.2f\n", $concurrency, $asked, $best, $least, $best / $least;
}
