# tests/t/033_bursts.t
#
# Bursts of mail, in slices whose first page did not show them: a slice that is cut
# shorter gives back nothing that was read, so that each row comes once.
#
# Small pages in no order, and a density that is far from true; the bursts and the
# ranges are random, but the same in each run.

use strict;
use warnings;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 100, quota => 0, shuffle => 1);
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none', 'o365_msgtrace.max_requests_per_query' => 0 });
$node->create_server($service, rows_per_day => 5_000_000, max_concurrency => 1);
$node->sql("ALTER FOREIGN TABLE mail.message_trace OPTIONS (ADD page_size '5')");

my $number = 0;

sub burst
{
	my ($count, $first, $step) = @_;
	return map {
		my $at = $first + $_ * $step;
		{
			id => sprintf('%08x-2222-3333-4444-555555555555', ++$number),
			senderAddress => 's@contoso.com',
			recipientAddress => 'b@contoso.com',
			subject => 'x',
			status => 'Delivered',
			messageId => "<$number>",
			size => $number,
			fromIP => '192.0.2.1',
			toIP => '192.0.2.2',
			receivedDateTime => sprintf('2026-05-07T%02d:%02d:%02dZ', $at / 3600, $at / 60 % 60, $at % 60) }
	} 0 .. $count - 1;
}

srand 7;
$service->add_rows(map { burst(int(100 + rand 500), int(15000 + rand 30000), (0.002, 0.05, 1, 5)[ rand 4 ]) } 1 .. 10);
$node->load_truth($service, 'truth', '2026-05-07T00:00:00Z', '2026-05-08T00:00:00Z');

for my $try (1 .. 24)
{
	my $concurrency = (1, 8)[ $try % 2 ];
	$node->sql("ALTER SERVER tenant OPTIONS (SET max_concurrency '$concurrency')");
	my $end = sprintf '%02d:%02d:%02d', 8 + rand 6, rand 60, rand 60;
	my $range = "received >= '2026-05-07 04:00Z' AND received < '2026-05-07 ${end}Z'";
	# a LIMIT beyond all rows: one that may stop cuts its slices shortest
	$node->same_rows("until $end at max_concurrency $concurrency",
		"SELECT * FROM (SELECT * FROM mail.message_trace WHERE $range LIMIT 100000) t", "SELECT * FROM truth WHERE $range");
}

done_testing();
