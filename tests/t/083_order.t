# tests/t/083_order.t
#
# The order of time without trust in the service's: ORDER BY received with LIMIT,
# min and max, cursors, ordered joins; each against the truth, with the service
# sending its rows shuffled or not. Requests are counted.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-10T12:00:00Z',
	rows_per_day => 20000,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none' });
$node->create_server($service, rows_per_day => 20000, page_size => 1000);
$node->load_truth($service, 'truth', '2026-05-06T00:00:00Z', '2026-05-10T11:59:59Z');

# Two days are 40 pages of the service.
my $days = "received >= '2026-05-07T00:00:00Z' AND received < '2026-05-09T00:00:00Z'";
my $total = 'received %s, message_trace_id, recipient_address';

# The same rows in the same order; returns the number of requests.
sub agree
{
	my ($name, $query, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	my $given = $node->sql($query =~ s/TRACE/mail.message_trace/gr, %how);
	my $asked = $service->list_requests;
	is($given, $node->sql($query =~ s/TRACE/truth/gr), $name);
	ok(length $given, '… of which there are some');
	return $asked;
}

for my $shuffle (0, 1)
{
	my $how = $shuffle ? 'shuffled' : 'newest first';
	$service->settings(shuffle => $shuffle);
	for my $direction ('DESC', 'ASC')
	{
		my $order = sprintf $total, $direction;
		cmp_ok(agree("$how: the first in order, $direction", "SELECT received FROM TRACE WHERE $days ORDER BY received $direction LIMIT 10"),
			'<=', 2, '… for two requests');
		cmp_ok(agree("$how: … by more than the time", "SELECT received, message_trace_id, recipient_address FROM TRACE WHERE $days ORDER BY $order LIMIT 25"),
			'<=', 2, '… for two requests');
		cmp_ok(agree("$how: … NULLS FIRST", "SELECT received FROM TRACE WHERE $days ORDER BY received $direction NULLS FIRST LIMIT 10"),
			'<=', 2, '… for two requests');
		cmp_ok(agree("$how: … NULLS LAST, with OFFSET", "SELECT received FROM TRACE WHERE $days ORDER BY received $direction NULLS LAST LIMIT 10 OFFSET 7"),
			'<=', 2, '… for two requests');
		cmp_ok(agree("$how: … without the time in the result", "SELECT max(recipient_address) FROM (SELECT recipient_address FROM TRACE WHERE $days ORDER BY $order LIMIT 12) x"),
			'<=', 2, '… for two requests');
		agree("$how: … several slices of them", "SELECT received, message_trace_id, recipient_address FROM TRACE WHERE $days ORDER BY $order LIMIT 5500");
		agree("$how: all, $direction", "SELECT received, message_trace_id FROM TRACE WHERE received >= '2026-05-08T22:00:00Z' AND received < '2026-05-09T00:00:00Z' ORDER BY $order");
		agree("$how: all by sorted slices, $direction", "SELECT received FROM TRACE WHERE received >= '2026-05-08T12:00:00Z' AND received < '2026-05-09T00:00:00Z' ORDER BY received $direction",
			set => { enable_sort => 'off', work_mem => '64kB' });
		agree("$how: those that a local condition leaves, $direction",
			"SELECT received, message_trace_id, size FROM TRACE WHERE $days AND size % 50 = 7 ORDER BY $order LIMIT 20");
		agree("$how: groups in order, $direction", "SELECT received, count(*) FROM TRACE WHERE $days GROUP BY received ORDER BY received $direction LIMIT 5");
		agree("$how: DISTINCT, $direction", "SELECT DISTINCT received FROM TRACE WHERE $days ORDER BY received $direction LIMIT 5");
	}
	cmp_ok(agree("$how: max(received)", "SELECT max(received) FROM TRACE WHERE $days"), '<=', 2, '… for two requests');
	cmp_ok(agree("$how: min(received)", "SELECT min(received) FROM TRACE WHERE $days"), '<=', 2, '… for two requests');
	cmp_ok(agree("$how: both", "SELECT min(received), max(received) FROM TRACE WHERE $days"), '<=', 4, '… for four');
	cmp_ok(agree("$how: … with a condition", "SELECT max(received), min(received) FROM TRACE WHERE $days AND status = 'failed'"), '<=', 42, '… for no more than all of it');
}

done_testing();
