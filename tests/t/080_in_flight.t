# tests/t/080_in_flight.t
#
# Several requests in flight: the rows are those of the truth, each once and in
# order, whatever comes first and whatever fails on the way; as many requests as
# may be are in flight, and no more; who stops early has wasted no more than those.
#
# What is said to be in flight was asked for and has no answer: it hangs. No time
# is judged; tests/bench/in_flight.pl measures it.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $page = 200;
my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 8000, quota => 0);
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none', 'o365_msgtrace.max_requests_per_query' => 0 });
$node->create_server($service, rows_per_day => 8000, page_size => $page, retry_initial_interval => '20ms');
$node->load_truth($service, 'truth', '2026-05-05T00:00:00Z', '2026-05-10T11:59:59Z');
# Without the minute in which the service has six thousand rows.
my $days = "received >= '2026-05-06T12:00:00Z' AND received < '2026-05-08T18:00:00Z'";
my $rows = $node->sql("SELECT count(*) FROM truth WHERE $days");
my $pages = $rows / $page;
cmp_ok($pages, '>', 60, "$rows rows are more than 60 pages");

my $senders = $node->sql("SELECT string_agg(quote_literal(s), ', ') FROM (SELECT sender_address AS s FROM truth WHERE $days GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 3) x");

sub with_concurrency
{
	my ($concurrency) = @_;
	$node->sql("ALTER SERVER tenant OPTIONS (SET max_concurrency '$concurrency')");
	return;
}
$node->sql("ALTER SERVER tenant OPTIONS (ADD max_concurrency '3')");

# The same rows as the truth has; returns how many lists were asked for.
sub agree
{
	my ($name, $where, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $all = 'SELECT t::text FROM %s t WHERE ' . $where;
	my ($ours, $true) = map { $all =~ s/%s/$_/r } 'mail.message_trace', 'truth';
	$service->clear_requests;
	is($node->sql("WITH ours AS MATERIALIZED ($ours), theirs AS MATERIALIZED ($true) SELECT (SELECT count(*) FROM ours) || ' of ' || (SELECT count(*) FROM theirs),"
		  . ' (SELECT count(*) FROM (TABLE ours EXCEPT ALL TABLE theirs) x), (SELECT count(*) FROM (TABLE theirs EXCEPT ALL TABLE ours) x)', %how),
		do { my $n = $node->sql("SELECT count(*) FROM truth WHERE $where"); "$n of $n|0|0" }, $name);
	my $asked = () = $service->list_requests;
	return $asked;
}

# ---- the rows, and for how many requests --------------------------------------------

for my $shuffle (0, 1)
{
	$service->settings(shuffle => $shuffle);
	for my $concurrency (1, 2, 3, 10)
	{
		with_concurrency($concurrency);
		my $asked = agree("max_concurrency $concurrency" . ($shuffle ? ', rows in no order' : ''), $days);
		cmp_ok($asked, '<=', $pages * 1.8, "… for $asked requests");
		my $tokens = () = $service->token_requests;
		cmp_ok($tokens, '<=', 1, '… and one token at most');
		agree('… those of a few senders', "$days AND sender_address IN ($senders)");
		agree('… of conditions that overlap', "$days AND (status = 'failed' OR recipient_address LIKE 'a%' OR received >= '2026-05-08Z')");
	}
}
$service->settings(shuffle => 0);
with_concurrency(3);

# Two queries of ranges that have nothing in common, one of which has a hole.
agree('ranges apart', "(received >= '2026-05-05T01:00:00Z' AND received < '2026-05-05T03:00:00Z') OR (received >= '2026-05-09T00:00:00Z' AND received < '2026-05-09T02:30:00Z')");
agree('a row that two queries bring, once', "$days AND (sender_address IN ($senders) OR status = 'failed')");

# ---- in flight, and no more -----------------------------------------------------------

# Ask with all but the first so many answers hanging, until as many hang as shall.
sub hanging
{
	my ($name, $query, $answers, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $waiting = $node->session;
	my $asked = 0;
	$service->clear_requests;
	$service->fault({ on => 'list', fault => 'hang', skip => $answers, count => 100 });
	$waiting->send($query);
	wait_for('requests in flight', 60, sub { ($asked = () = $service->list_requests) >= $answers + $expected });
	$waiting->cancel;
	is(MsgTrace::Cluster::parse_error($waiting->receive)->{sqlstate}, '57014', "$name: cancelled while $expected are in flight");
	$asked = () = $service->list_requests;
	is($asked, $answers + $expected, '… and no more were');
	$service->clear_faults;
	is($waiting->sql("SELECT count(*) FROM mail.message_trace WHERE $days"), $rows, '… after which the session reads all');
	$waiting->quit;
	return;
}

for my $concurrency (1, 3, 5, 10)
{
	with_concurrency($concurrency);
	hanging("max_concurrency $concurrency", "SELECT count(*) FROM mail.message_trace WHERE $days", 1, $concurrency);
}
with_concurrency(3);
hanging('one of several queries', "SELECT count(*) FROM mail.message_trace WHERE $days AND sender_address IN ('a\@contoso.com', 'b\@contoso.com', 'c\@contoso.com', 'd\@contoso.com')", 0, 3);

# ---- who stops early ---------------------------------------------------------------

for my $concurrency (1, 3, 6)
{
	with_concurrency($concurrency);
	for my $limit (30, 150, 450, 1500)
	{
		$service->clear_requests;
		is($node->sql("SELECT count(*) FROM (SELECT 1 FROM mail.message_trace WHERE $days LIMIT $limit) x"), $limit, "LIMIT $limit at $concurrency");
		my ($asked, $sent) = (0, 0);
		++$asked and $sent += $_->{rows} // 0 for $service->list_requests;
		cmp_ok($sent, '<=', $limit + $page * ($concurrency + 1), "… of $sent that $asked requests brought: the page that it stops in, and those in flight");
	}
	$service->clear_requests;
	is($node->sql("BEGIN; DECLARE c CURSOR FOR SELECT received FROM mail.message_trace WHERE $days; MOVE 250 FROM c; SELECT 1; COMMIT"), '1', "a cursor that is left at $concurrency");
	my $asked = () = $service->list_requests;
	cmp_ok($asked, '<=', 3 + $concurrency, "… for $asked requests");
}
with_concurrency(3);

# What is asked for ahead takes no request that the query needs. (Of so few it asks as one at a time does.)
for my $query ([ '', 450 ], [ '', 1500 ], [ '', 3000 ], [ 'AND size % 10 = 3', 300 ], [ 'AND size % 10 = 3', 60, 'ORDER BY received' ],
	map { [ '', 450, $_ ], [ '', 1500, $_ ] } 'ORDER BY received', 'ORDER BY received DESC')
{
	my ($condition, $limit, $order) = (@$query, '');
	my $sql = "SELECT count(*) FROM (SELECT received FROM mail.message_trace WHERE $days $condition $order LIMIT $limit) x";
	with_concurrency(1);
	$service->clear_requests;
	my $found = $node->sql($sql);
	my $needed = () = $service->list_requests;
	for my $concurrency (3, 10)
	{
		with_concurrency($concurrency);
		is(eval { $node->sql($sql, set => { 'o365_msgtrace.max_requests_per_query' => $needed }) } // $@, $found,
			"LIMIT $limit $condition $order at $concurrency, with the $needed requests that it needs");
	}
}
with_concurrency(3);

# A small page first, where it is probably enough; full ones after it, and where it is not.
for my $limit ([ 10, 22, 'true', 1 ], [ 40, 58, 'true', 1 ], [ 90, $page, 'true', 1 ], [ 10, 46, 'size < (SELECT min(size) FROM truth)', 60 ])
{
	my ($wanted, $small, $condition, $at_least) = @$limit;
	$service->clear_requests;
	is($node->sql("SELECT count(*) FROM (SELECT 1 FROM mail.message_trace WHERE $days AND $condition LIMIT $wanted) x"),
		$node->sql("SELECT count(*) FROM (SELECT 1 FROM truth WHERE $days AND $condition LIMIT $wanted) x"), "LIMIT $wanted where $condition");
	my @sizes = map { $_->{parameters}{'$top'} } $service->list_requests;
	is(shift @sizes, $small, "… has a first page of $small rows");
	is(join(' ', grep { $_ != $page } @sizes), '', '… and then full ones');
	cmp_ok(1 + @sizes, '>=', $at_least, "… at least $at_least pages in all");
}

# ---- in order ------------------------------------------------------------------------

for my $direction ('DESC', 'ASC')
{
	my $list = "SELECT received, message_trace_id, recipient_address FROM %s WHERE $days ORDER BY received $direction, 2, 3";
	$service->fault({ on => 'list', fault => 'delay', ms => 500, skip => 2 }, { on => 'list', fault => 'delay', ms => 300, skip => 7 });
	is($node->sql(sprintf('SELECT md5(string_agg(x::text, %s)) FROM (%s) x', "','", sprintf $list, 'mail.message_trace'), set => { enable_sort => 'off' }),
		$node->sql(sprintf 'SELECT md5(string_agg(x::text, %s)) FROM (%s) x', "','", sprintf $list, 'truth'), "received $direction, though earlier answers come late");
	$service->clear_faults;
}

# ---- what fails on the way --------------------------------------------------------------

for my $fault (
	[ 'a 503', { fault => 'status', status => 503, skip => 5 } ],
	[ 'two 429s', { fault => 'status', status => 429, retry_after => 0, skip => 4, count => 2 } ],
	[ 'an answer that is cut off', { fault => 'cut', skip => 6 } ],
	[ 'a token that is over', { fault => 'expire_token', skip => 5 } ],
	[ 'a link that is refused', { fault => 'poisoned_link', kind => 'encoded_twice', skip => 6, count => 3 } ],
	[ 'a link that leads back', { fault => 'looping_link', skip => 4, count => 2 } ],
	[ 'rows that come twice', { fault => 'repeat_row', skip => 3, count => 6 } ],
	[ 'empty pages', { fault => 'empty_page_with_link', skip => 3, count => 3 } ])
{
	$service->fault({ on => 'list', %{ $fault->[1] } });
	agree($fault->[0], $days);
	my $left = () = $service->faults_left;
	is($left, 0, '… which happened');
	$service->clear_faults;
}
for my $failure ([ 'a body that is no list', { fault => 'html' }, '08P01' ], [ 'a link to elsewhere', { fault => 'foreign_link', url => 'https://evil.example/x' }, '08P01' ])
{
	$service->fault({ on => 'list', skip => 6, %{ $failure->[1] } });
	is(($node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $days") // {})->{sqlstate}, $failure->[2], "$failure->[0] ends the query");
	$service->clear_faults;
	agree('… and the next one has its rows', $days);
}

# Where the reader may stop, a failure ahead of it waits for its turn, and is then of the request that failed.
{
	my $dense = "received >= '2026-05-08T17:00:00Z' AND received < '2026-05-10T11:00:00Z'";
	my @others;
	for my $skip (36 .. 42)
	{
		$service->clear_requests;
		$service->fault({ on => 'list', fault => 'delay', ms => 200, skip => $skip }, { on => 'list', fault => 'status', status => 400, skip => $skip });
		my $text = ($node->sql_error("BEGIN; DECLARE c CURSOR FOR SELECT received FROM mail.message_trace WHERE $dense; MOVE ALL FROM c") // {})->{text} // '';
		my %failed = map { $_->{client_request_id} => 1 } grep { ($_->{status} // 0) == 400 } $service->list_requests;
		push @others, $skip if $text =~ /client-request-id ([0-9a-f-]+)/ && !$failed{$1};
		$service->clear_faults;
	}
	is("@others", '', 'a failure that has waited for its turn tells which request it was');
}

# ---- the budget -----------------------------------------------------------------------

$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '20', ADD quota_window '1s')");
agree('a budget that is too small for all at once', "received >= '2026-05-07T06:00:00Z' AND received < '2026-05-07T12:00:00Z'");
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '100', SET quota_window '1h')");
hanging('with a budget', "SELECT count(*) FROM mail.message_trace WHERE $days", 1, 3) if $pages < 90;
is($node->sql('SELECT coalesce(sum(in_flight), 0) FROM o365_msgtrace.quota'), '0', 'no slot is held');
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '0', DROP quota_window)");

# ---- a reader that takes its time --------------------------------------------------------

# A cursor with one of the requests ahead of its reader met by a fault, unnoticed.
sub cursor_ahead_of
{
	my ($fault) = @_;
	my $reader = $node->session;
	$reader->sql("BEGIN; DECLARE c CURSOR FOR SELECT received FROM mail.message_trace WHERE $days; MOVE 410 FROM c");
	$service->fault({ on => 'list', %$fault });
	$reader->sql('MOVE 10 FROM c') while $service->faults_left;
	return $reader;
}

$node->sql("ALTER SERVER tenant OPTIONS (ADD request_timeout '1s', ADD max_retries '0')");
my $reader = cursor_ahead_of({ fault => 'hang' });
$reader->sql('SELECT pg_sleep(1.5)');
is($reader->sql('MOVE ALL FROM c; SELECT 1'), '1', 'what times out while nobody waits for it is asked for again');
$reader->quit;
$service->fault({ on => 'list', fault => 'hang' });
is($node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $days")->{sqlstate}, '08006', '… and what does so while it is waited for is an error');
$node->sql("ALTER SERVER tenant OPTIONS (DROP request_timeout, DROP max_retries)");

$reader = cursor_ahead_of({ fault => 'status', status => 401 });
$service->fault({ on => 'list', fault => 'status', status => 401 });
$service->clear_requests;
is($reader->sql("SELECT count(*) >= 0 FROM mail.message_trace WHERE received >= '2026-05-07T06:00:00Z' AND received < '2026-05-07T06:01:00Z'"), 't', 'a token that is refused is renewed');
is($reader->sql('MOVE ALL FROM c; SELECT 1'), '1', '… for what was refused before, too');
is(scalar $service->token_requests, 2, '… by one sign-in, beside the one that tells each query the time');
$reader->quit;

# An error in which this server has no part: nobody will go on with the cursor.
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '100', ADD quota_window '1h')");
$reader = $node->session;
$reader->sql("CREATE TEMP SEQUENCE n; BEGIN; DECLARE c CURSOR FOR SELECT 1 / (nextval('n') - 1000) FROM mail.message_trace WHERE $days; MOVE 410 FROM c; SAVEPOINT s");
$service->fault({ on => 'list', fault => 'hang' });
$reader->sql('MOVE 10 FROM c') while $service->faults_left;
my $held = 'SELECT coalesce(sum(in_flight), 0) FROM o365_msgtrace.quota';
cmp_ok($reader->sql($held), '>', 0, 'a cursor has slots in flight');
$reader->sql("SELECT setval('n', 999)");
is($reader->sql_error('MOVE 1 FROM c')->{sqlstate}, '22012', '… and fails in a subtransaction');
$reader->sql('ROLLBACK TO s');
is($reader->sql($held), 0, '… after which it holds none');
$reader->quit;
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '0', DROP quota_window)");

# ---- what is held afterwards ------------------------------------------------------------

with_concurrency(4);
my $session = $node->session;
my $count = "SELECT count(*) FROM mail.message_trace WHERE $days";
$session->sql($count) for 1 .. 2;
my $files = $node->backend_files($session->pid);
# (Of each lane there may be a connection with its event loop now, five descriptors, that was not there before.)
$session->sql($count) for 1 .. 25;
cmp_ok($node->backend_files($session->pid), '<', $files + 20, 'more scans hold no more descriptors, but for those of the lanes');
$session->sql("SELECT 1 FROM mail.message_trace WHERE $days LIMIT 300") for 1 .. 25;
cmp_ok($node->backend_files($session->pid), '<', $files + 20, '… nor do those that stop early');
$session->sql($count);
is($session->sql('SELECT complete, rows FROM o365_msgtrace.last_scan()'), "t|$rows", 'last_scan() is about all of the lanes');
$session->quit;

done_testing();
