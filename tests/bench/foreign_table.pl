#!/usr/bin/env perl
#
# tests/bench/foreign_table.pl
#
# Rows per second of count(*) and of INSERT ... SELECT from the foreign table,
# over HTTPS from the simulated service on this machine, beside COPY of the same
# rows from a CSV file, in one run. ROWS (1000000) is about how many there are.
# Each is done three times; the best counts.

use strict;
use warnings;

use Test::More ();
use Time::HiRes qw(time);

use MsgTrace::Cluster;
use MsgTrace::Process;
use MsgTrace::Service;

my $rows_wanted = $ENV{ROWS} || 1_000_000;
my ($from, $to) = ('2026-05-08T12:00:00Z', '2026-05-10T12:00:00Z');

my $service = MsgTrace::Service->start(
	now => '2026-05-11T12:00:00Z', quota => 0, rows_per_day => 10_000_000);
my $node = MsgTrace::Cluster->start(
	conf => { shared_buffers => '1GB', max_wal_size => '8GB', checkpoint_timeout => '1h' });
$node->create_server($service);

# As much time as holds about so many rows: newest first, a few minutes will do.
my $count = 0;
for (my $minutes = 30; $count < $rows_wanted && $minutes < 2880; $minutes *= 1.5)
{
	$from = $node->sql(sprintf "SELECT to_char(timestamptz '%s' AT TIME ZONE 'UTC' - interval '%d min', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", $to, $minutes);
	$node->sql('DROP TABLE IF EXISTS truth');
	$count = $node->load_truth($service, 'truth', $from, $to);
	$count = $node->sql('SELECT count(*) FROM truth');
}
my $csv = MsgTrace::Process::folder() . '/rows.csv';
$node->sql("COPY truth TO '$csv' (FORMAT csv)");

my $where = "WHERE received >= '$from' AND received < '$to'";
my $table = 'CREATE UNLOGGED TABLE copy (LIKE truth)';

sub best_of_three
{
	my ($statement) = @_;
	my $best;
	for (1 .. 3)
	{
		$node->sql("DROP TABLE IF EXISTS copy; $table");
		my $begin = time;
		$node->sql($statement, set => { 'o365_msgtrace.max_requests_per_query' => 0 });
		my $took = time - $begin;
		$best = $took if !defined $best || $took < $best;
	}
	return $best;
}

printf "%d rows, best of three\n\n%-52s %8s %10s\n", $count, 'way', 'seconds', 'rows/s';
for my $way (
	[ 'count(*) over the foreign table', "SELECT count(*) FROM mail.message_trace $where" ],
	[ 'all columns of the foreign table, aggregated',
		"SELECT count(t), max(subject), max(to_ip) FROM mail.message_trace t $where" ],
	[ 'INSERT ... SELECT from the foreign table, no index',
		"INSERT INTO copy SELECT * FROM mail.message_trace $where" ],
	[ 'COPY of the same rows from CSV, no index', "COPY copy FROM '$csv' (FORMAT csv)" ])
{
	my $seconds = best_of_three($way->[1]);
	printf "%-52s %8.2f %10.0f\n", $way->[0], $seconds, $count / $seconds;
}
