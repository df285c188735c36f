#!/usr/bin/env perl
#
# tests/bench/ingest.pl
#
# What a catch-up of the ingest does, against the simulated service on this
# machine, over HTTPS:
#
# - rows per second, beside the least that a copy can do: COPY of the same rows from a
#   CSV file into a staging table, and INSERT ... ON CONFLICT from there into a table
#   like the target; once into empty tables, and once more when all is there.
#   ROWS (500000) is about how many; the best of three rounds counts;
# - the share of the tenant's quota that it uses, against a service that enforces it,
#   and whether it was ever refused. All is a tenth of what it really is: 100 requests
#   in 30 s, of which 95 are ours, pages of 500 rows, which take 300 ms.

use strict;
use warnings;

use Test::More ();
use Time::HiRes qw(time);

use MsgTrace::Cluster;
use MsgTrace::Process;
use MsgTrace::Service;

my $rows_wanted = $ENV{ROWS} && $ENV{ROWS} < 500_000 ? $ENV{ROWS} : 500_000;
my $now = '2026-05-11T12:00:00Z';
my $to = '2026-05-11T11:59:59Z';
my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';
my $node = MsgTrace::Cluster->start(
	preload => 'o365_msgtrace',
	conf => { shared_buffers => '1GB', max_wal_size => '8GB', checkpoint_timeout => '1h', log_statement => 'none' });

# An input whose poll window is small, and which wants what was received from then on.
sub make_input
{
	my ($name, $since) = @_;
	$node->sql("CREATE SCHEMA IF NOT EXISTS archive;"
		  . "SELECT o365_msgtrace.create_input('$name', '$name.message_trace', 'archive.$name', date_range_start => '-1m')");
	want($name, $since);
	return;
}

sub want
{
	my ($name, $since) = @_;
	$node->sql("UPDATE o365_msgtrace.ledger SET wanted = tstzmultirange(tstzrange('$since', '$to')), covered = '{}', settled = '{}'"
		  . " WHERE input_number = (SELECT input_number FROM o365_msgtrace.input WHERE input_id = '$name')");
	return;
}

sub seconds_of
{
	my ($statement) = @_;
	my $begin = time;
	$node->sql($statement, seconds => 600);
	return time - $begin;
}

# ---- rows per second -------------------------------------------------------------------

{
	my $service = MsgTrace::Service->start(now => $now, quota => 0, rows_per_day => 10_000_000);
	my ($since, $count) = ('', 0);
	$node->create_server($service, name => 'fast', schema => 'fast', rows_per_day => 10_000_000);

	for (my $minutes = 10; $count < $rows_wanted; $minutes *= 1.4)
	{
		$since = $node->sql(sprintf "SELECT to_char(timestamptz '%s' AT TIME ZONE 'UTC' - interval '%d min', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", $to, $minutes);
		$node->load_truth($service, 'truth', $since, $to);
		$count = $node->sql('SELECT count(*) FROM truth');
	}
	my $csv = MsgTrace::Process::folder() . '/rows.csv';
	$node->sql("COPY truth TO '$csv' (FORMAT csv)");
	make_input('fast', $since);
	$node->sql("CALL o365_msgtrace.run('fast')");    # the poll window, and what density there is
	$node->sql(<<"SQL");
CREATE TABLE archive.copied (LIKE archive.fast INCLUDING ALL);
CREATE UNLOGGED TABLE staging (LIKE truth);
CREATE PROCEDURE copy_rows() LANGUAGE plpgsql AS \$\$
BEGIN
    TRUNCATE staging;
    COPY staging FROM '$csv' (FORMAT csv);
    INSERT INTO archive.copied AS t (tenant, $columns, input_id, run_id, source, ingested_at, updated_at)
    SELECT 'fast', $columns, 'fast', 1, 'fast', now(), now() FROM staging
        ON CONFLICT (tenant, received, message_trace_id, recipient_address) DO UPDATE
       SET message_id = EXCLUDED.message_id, sender_address = EXCLUDED.sender_address, subject = EXCLUDED.subject,
           status = EXCLUDED.status, size = EXCLUDED.size, from_ip = EXCLUDED.from_ip, to_ip = EXCLUDED.to_ip,
           run_id = EXCLUDED.run_id, updated_at = EXCLUDED.updated_at
     WHERE ROW(t.message_id, t.sender_address, t.subject, t.status, t.size, t.from_ip, t.to_ip)
           IS DISTINCT FROM ROW(EXCLUDED.message_id, EXCLUDED.sender_address, EXCLUDED.subject, EXCLUDED.status,
                                EXCLUDED.size, EXCLUDED.from_ip, EXCLUDED.to_ip);
END
\$\$;
SQL
	my (%best, $same);
	for my $round (1 .. 3)
	{
		$node->sql('TRUNCATE archive.fast, archive.copied');
		for my $state ('into an empty table', 'when all is there')
		{
			want('fast', $since);
			my %took = (
				'the ingest' => seconds_of("CALL o365_msgtrace.run('fast')"),
				'COPY and INSERT ... ON CONFLICT' => seconds_of('CALL copy_rows()'));
			for my $way (keys %took)
			{
				my $name = "$way, $state";
				$best{$name} = $took{$way} if !defined $best{$name} || $took{$way} < $best{$name};
			}
		}
		$same = $node->sql("SELECT count(*) FROM ((SELECT $columns FROM archive.fast WHERE received < '$to')"
			  . " EXCEPT ALL SELECT $columns FROM archive.copied) d")
		  + $node->sql("SELECT count(*) FROM (SELECT $columns FROM archive.copied EXCEPT ALL SELECT $columns FROM archive.fast) d");
		die "$same rows differ\n" if $same;
	}
	printf "%d rows, best of three\n\n%-52s %8s %10s\n", $count, 'way', 'seconds', 'rows/s';
	for my $name (map { ("the ingest, $_", "COPY and INSERT ... ON CONFLICT, $_") } 'into an empty table', 'when all is there')
	{
		printf "%-52s %8.2f %10.0f\n", $name, $best{$name}, $count / $best{$name};
	}
	$service->stop;
}

# ---- the quota ---------------------------------------------------------------------------

{
	my ($quota, $ours, $window, $windows) = (100, 95, 30, 3);
	my $service = MsgTrace::Service->start(
		now => $now, rows_per_day => 1_000_000, page_delay => 300, quota => $quota, quota_window => $window);
	$service->set_clock(run => 1);
	$node->create_server(
		$service,
		name => 'bound',
		schema => 'bound',
		rows_per_day => 1_000_000,
		page_size => 500,
		quota_requests => $ours,
		quota_window => "${window}s");
	make_input('bound', '2026-05-10T12:00:00Z');
	my $session = $node->session;
	$session->send("CALL o365_msgtrace.run('bound')");
	sleep $window * $windows + 5;
	$session->cancel if $session->busy;
	$session->receive;

	# In so many windows from the first request on.
	my ($first, $used);
	for my $request ($service->list_requests)
	{
		my ($h, $m, $s) = $request->{at} =~ /T(\d+):(\d+):([\d.]+)/;
		my $at = $h * 3600 + $m * 60 + $s;
		$first //= $at;
		$used++ if $at < $first + $windows * $window;
	}
	my ($refused, $highest) = (0, 0);
	for my $budget ($service->quota)
	{
		$refused += $budget->{refused};
		$highest = $budget->{highest} if $budget->{highest} > $highest;
	}
	printf "\nquota of %d requests in %d s, quota_requests %d, pages of 500 rows and 300 ms\n\n", $quota, $window, $ours;
	printf "%-52s %8.2f\n", "share of the quota used in $windows windows", $used / ($windows * $quota);
	printf "%-52s %8d\n", 'most requests in any window', $highest;
	printf "%-52s %8d\n", 'refused (429)', $refused;
}
