# tests/t/088_waste.t
#
# Who stops early wastes little: of what was asked for ahead no more than
# max_concurrency pages, and none is asked for afterwards.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my ($PAGE, $AHEAD) = (100, 3);
my $day = "received >= '2026-05-08T00:00:00Z' AND received < '2026-05-09T00:00:00Z'";
my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 5000, quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0, log_statement => 'none' });
$node->create_server($service, rows_per_day => 5000, page_size => $PAGE, max_concurrency => $AHEAD);
$node->sql("SELECT count(*) FROM mail.message_trace WHERE $day");
cmp_ok(scalar $service->list_requests, '>', 30, 'all of it takes many pages');

sub wastes_little
{
	my ($name, $query, $needed) = @_;
	$service->clear_requests;
	$node->sql($query);
	cmp_ok(scalar $service->list_requests, '<=', $needed + $AHEAD, "$name: at most $AHEAD pages more than the $needed needed");
	return;
}

wastes_little('LIMIT', "SELECT subject FROM mail.message_trace WHERE $day LIMIT 10", 1);
wastes_little('EXISTS', "SELECT 1 WHERE EXISTS (SELECT FROM mail.message_trace WHERE $day)", 1);
wastes_little('a cursor that is closed',
	"BEGIN; DECLARE c CURSOR FOR SELECT subject FROM mail.message_trace WHERE $day; MOVE 10 IN c; CLOSE c; COMMIT", 1);
{
	my $session = $node->session;
	$service->clear_requests;
	$service->fault({ on => 'list', fault => 'hang', skip => 2, count => 1000 });
	$session->send("SELECT count(*) FROM mail.message_trace a JOIN generate_series(1, 3) i ON a.size > i WHERE $day");
	wait_for('what hangs to be asked for', 60, sub { $service->list_requests > 2 });
	$session->cancel;
	like($session->receive, qr/canceling statement/, 'a join is cancelled');
	$service->clear_faults;
	cmp_ok(scalar $service->list_requests, '<=', 2 + $AHEAD, "… with at most $AHEAD requests in flight");
	is($session->sql('SELECT 1'), 1, '… and the session goes on');
	$session->quit;
}

done_testing();
