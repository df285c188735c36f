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

# ---- a million rows a day ---------------------------------------------------------------

# Two requests where the newest slice has rows; else, since the newest rows are late, four.
my $busy = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 1_000_000, quota => 0);
$node->load_truth($busy, 'busy_truth', '2026-05-10T10:30:00Z', '2026-05-10T11:59:59Z');
for my $believed (1_000_000, 100_000)
{
	$node->create_server($busy, name => "busy$believed", schema => "busy$believed", rows_per_day => $believed);
	my $asking = $node->session; # which knows the service's clock once it has asked
	for my $case ([ '', 4 ], [ "WHERE received < '2026-05-10T11:00:00Z'", 2 ])
	{
		my ($where, $most) = @$case;
		my $newest = "SELECT received FROM %s $where ORDER BY received DESC LIMIT 10";
		$busy->clear_requests;
		is($asking->sql(sprintf $newest, "busy$believed.message_trace"), $node->sql(sprintf $newest, 'busy_truth'), "the newest ten of a busy tenant $where, rows_per_day $believed");
		cmp_ok(scalar $busy->list_requests, '<=', $most, "… for at most $most requests");
	}
	$asking->quit;
}
$busy->stop;

# ---- joins, loops, parts of a table -------------------------------------------------------

$node->sql(<<"SQL");
CREATE INDEX ON truth (sender_address); CREATE INDEX ON truth (received);
CREATE TABLE people AS SELECT row_number() OVER (ORDER BY count(*) DESC, sender_address) AS n, sender_address AS mail
	FROM truth WHERE $days GROUP BY 2 ORDER BY 1 LIMIT 40;
CREATE TABLE marks AS SELECT DISTINCT received AS at FROM truth WHERE received >= '2026-05-08T23:00:00Z' AND received < '2026-05-09T00:00:00Z' ORDER BY 1 LIMIT 20;
CREATE VIEW two AS SELECT received, message_trace_id, recipient_address FROM mail.message_trace
	UNION ALL SELECT received + interval '0.5 s', message_trace_id, recipient_address FROM truth;
CREATE VIEW two_true AS SELECT received, message_trace_id, recipient_address FROM truth
	UNION ALL SELECT received + interval '0.5 s', message_trace_id, recipient_address FROM truth;
CREATE TABLE parts (LIKE truth) PARTITION BY RANGE (received);
CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2026-05-08T10:00:00Z');
INSERT INTO parts SELECT * FROM truth WHERE received < '2026-05-08T10:00:00Z';
CREATE FOREIGN TABLE parts_new PARTITION OF parts FOR VALUES FROM ('2026-05-08T10:00:00Z') TO (MAXVALUE) SERVER tenant;
ANALYZE;
SQL
my $hour = "received >= '2026-05-08T23:00:00Z' AND received < '2026-05-09T00:00:00Z'";
cmp_ok(agree('the newest that match another table', "SELECT t.received, p.n FROM TRACE t JOIN people p ON p.mail = t.sender_address WHERE $days ORDER BY t.received DESC, p.n, message_trace_id, recipient_address LIMIT 10"),
	'<=', 44, '… for no more than a reading of all');
agree('a merge join by the time', "SELECT m.at, t.message_trace_id, t.recipient_address FROM marks m JOIN TRACE t ON t.received = m.at WHERE t.$hour ORDER BY 1, 2, 3" =~ s/AND received/AND t.received/r,
	set => { enable_hashjoin => 'off', enable_nestloop => 'off' });
agree('the last mail of each', "SELECT p.n, v.* FROM people p, LATERAL (SELECT received, message_trace_id FROM TRACE t WHERE t.sender_address = p.mail AND $days ORDER BY received DESC, message_trace_id LIMIT 2) v WHERE p.n < 4 ORDER BY 1, 2, 3");
agree('the first before each of another table', "SELECT m.at, (SELECT max(received) FROM TRACE t WHERE t.received < m.at AND t.received > m.at - interval '1 hour') FROM marks m ORDER BY 1");
$service->clear_requests;
is($node->sql('SELECT * FROM two WHERE ' . $days . ' ORDER BY received DESC, message_trace_id, recipient_address LIMIT 30'), $node->sql('SELECT * FROM two_true WHERE ' . $days . ' ORDER BY received DESC, message_trace_id, recipient_address LIMIT 30'), 'UNION ALL in order');
cmp_ok(scalar $service->list_requests, '<=', 2, '… for two requests');
for my $direction ('DESC', 'ASC')
{
	my $order = sprintf $total, $direction;
	$service->clear_requests;
	is($node->sql("SELECT received, message_trace_id FROM parts WHERE received < '2026-05-09Z' AND received > '2026-05-08T09:30:00Z' ORDER BY $order LIMIT 15"),
		$node->sql("SELECT received, message_trace_id FROM truth WHERE received < '2026-05-09Z' AND received > '2026-05-08T09:30:00Z' ORDER BY $order LIMIT 15"), "partitions in order, $direction");
	cmp_ok(scalar $service->list_requests, '<=', 2, '… for two requests');
}
agree('a lock does not matter', "SELECT received FROM (SELECT received FROM TRACE t WHERE $days ORDER BY received DESC LIMIT 5 FOR UPDATE) x");
agree('a CTE', "WITH t AS (SELECT received, size FROM TRACE WHERE $days ORDER BY received DESC LIMIT 40) SELECT count(*), sum(size) FROM t");
is($node->sql("PREPARE p(int) AS SELECT received FROM mail.message_trace WHERE $days ORDER BY received DESC LIMIT \$1; SET plan_cache_mode = force_generic_plan; EXECUTE p(7)"),
	$node->sql("SELECT received FROM truth WHERE $days ORDER BY received DESC LIMIT 7"), 'a LIMIT that the planner does not know');

# A column that rounds the time, or shows it otherwise, has no order of ours.
$node->sql(q{CREATE FOREIGN TABLE mail.other (seconds timestamptz(0) OPTIONS (field 'receivedDateTime'), day date OPTIONS (field 'receivedDateTime'), received timestamptz, recipient_address text) SERVER tenant});
is($node->sql("SELECT seconds, recipient_address FROM mail.other WHERE $hour ORDER BY seconds DESC, recipient_address LIMIT 20"),
	$node->sql("SELECT received::timestamptz(0), recipient_address FROM truth WHERE $hour ORDER BY 1 DESC, 2 LIMIT 20"), 'a time that is rounded');
is($node->sql("SELECT received FROM mail.other WHERE $hour ORDER BY day, received LIMIT 3"), $node->sql("SELECT received FROM truth WHERE $hour ORDER BY 1 LIMIT 3"), 'a date');

# ---- cursors ---------------------------------------------------------------------------------

my $session = $node->session;
my $newest = "FROM %s WHERE $days ORDER BY received DESC, message_trace_id, recipient_address";
$service->clear_requests;
$session->sql('BEGIN; DECLARE c CURSOR FOR SELECT received ' . sprintf $newest, 'mail.message_trace');
is($session->sql('FETCH 20 FROM c'), $node->sql('SELECT received ' . sprintf($newest, 'truth') . ' LIMIT 20'), 'a cursor in order');
cmp_ok(scalar $service->list_requests, '<=', 2, '… asks as it is read');
is($session->sql('FETCH 2500 FROM c'), $node->sql('SELECT received ' . sprintf($newest, 'truth') . ' LIMIT 2500 OFFSET 20'), '… and goes on');
is($session->sql_error('FETCH BACKWARD 1 FROM c')->{sqlstate}, '55000', '… but not back');
$session->sql('ROLLBACK; BEGIN; DECLARE s SCROLL CURSOR FOR SELECT received ' . sprintf $newest, 'mail.message_trace');
my $first = $session->sql('FETCH 1500 FROM s');
is($first, $node->sql('SELECT received ' . sprintf($newest, 'truth') . ' LIMIT 1500'), 'a scroll cursor in order');
$session->sql('MOVE BACKWARD ALL FROM s');
is($session->sql('FETCH 1500 FROM s'), $first, '… and again');
is($session->sql('FETCH BACKWARD 1 FROM s'), (split /\n/, $first)[1498], '… and one back');
$session->sql('COMMIT');
$session->quit;

done_testing();
