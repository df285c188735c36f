# tests/t/032_paging.t
#
# Slices, pages and links: whatever the edges of a range, the density of the
# rows and the state of the service's links, each row comes once; and a query
# makes no request more than it should.

use strict;
use warnings;
use utf8;

use IO::Select;
use IO::Socket::INET;
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $earliest = '2026-02-09T00:00:00Z';    # 90 days before the day of now
my $service = MsgTrace::Service->start(
	now => '2026-05-10T12:00:00Z',
	rows_per_day => 100,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0 });
$node->create_server($service, rows_per_day => 100, max_concurrency => 1, retry_initial_interval => '10ms');

my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';

# A table like the imported one, with options of its own.
sub create_table
{
	my ($name, $options) = @_;
	$node->sql("CREATE FOREIGN TABLE mail.$name (message_trace_id uuid, message_id text, received timestamptz,"
		  . ' sender_address text, recipient_address text, subject text, status text, size bigint,'
		  . " from_ip inet, to_ip inet) SERVER tenant OPTIONS ($options)");
	return;
}

# The rows are the true ones; returns what was asked of the list.
sub agree
{
	my ($name, $where, %how) = @_;
	my $table = delete $how{table} // 'mail.message_trace';
	$service->clear_requests;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->same_rows($name, "SELECT $columns FROM $table WHERE $where",
		"SELECT $columns FROM truth WHERE $where", %how);
	return $service->list_requests;
}

my $row_number = 0;

sub row
{
	my (%members) = @_;
	$row_number++;
	return {
		id => sprintf('%08x-0000-4000-8000-0123456789ab', $row_number),
		receivedDateTime => '2026-05-09T10:00:00Z',
		senderAddress => 'Sender@Contoso.com',
		recipientAddress => "Person.$row_number\@fabrikam.com",
		messageId => "<$row_number\@mail.contoso.com>",
		subject => "row $row_number",
		status => 'Delivered',
		size => $row_number,
		fromIP => '192.0.2.1',
		toIP => '',
		%members
	};
}

# ---- edges: fractions of a second, cut to microseconds ---------------------------------

my @fractions = ('', '.0', '.000', '.0000000', '.0000004', '.0000005', '.000001', '.0000019', '.5', '.999',
	'.9999989', '.999999', '.9999994', '.9999995', '.9999996', '.9999999');
my @seconds = ('2026-05-09T09:59:59', '2026-05-09T10:00:00', '2026-05-09T10:00:01');
for my $second (@seconds)
{
	$service->add_rows(map { row(receivedDateTime => $second . $_ . (++$row_number % 2 ? 'Z' : '')) } @fractions);
}
$node->load_truth($service, 'truth', $earliest, '2026-05-10T11:59:59Z');

is(
	$node->sql("SELECT count(*), count(*) FILTER (WHERE extract(microseconds FROM received)::int % 1000000 = 999999)"
		  . " FROM mail.message_trace WHERE received >= '2026-05-09 10:00:00Z' AND received < '2026-05-09 10:00:01Z'"
		  . " AND sender_address = 'sender\@contoso.com'"),
	scalar(@fractions) . '|5',
	'time is cut: what is at .9999996 stays within its second');

# Narrow slices, so that each second has an edge of its own, too.
create_table('narrow', "page_size '5', rows_per_day '1000000000'");
my @edges = map { ("$_.000000Z", "$_.000001Z", "$_.5Z", "$_.999999Z") } @seconds;
for my $table ('mail.message_trace', 'mail.narrow')
{
	my ($conditions, $n) = ('', 0);
	for my $from (@edges)
	{
		my $to = $edges[ ($n * 5 + 3) % @edges ];
		for my $pair ([ '>=', '<' ], [ '>', '<=' ])
		{
			my $where = "received $pair->[0] '$from' AND received $pair->[1] '" . ($to gt $from ? $to : '2026-05-09T10:00:05Z') . "'";
			agree("$table: $where", $where, table => $table, at_least => 0);
		}
		$n++;
	}
	agree("$table: = an edge", "received = '2026-05-09T10:00:00.999999Z'", table => $table, at_least => 5);
	agree("$table: = a whole second", "received = '2026-05-09T10:00:00Z'", table => $table, at_least => 6);
	agree("$table: all of it", "received > '2026-05-09T09:59:50Z' AND received < '2026-05-09T10:00:10.5Z'",
		table => $table, at_least => 3 * @fractions);
}

# ---- more rows at one instant than a page holds ------------------------------------------

my $id = '12345678-1234-4234-8234-123456789abc';
$service->add_rows(map { row(id => $id, receivedDateTime => '2026-05-08T08:00:00.1234567Z',
		recipientAddress => sprintf('member%04d@contoso.com', $_)) } 1 .. 6000);
$node->load_truth($service, 'truth', $earliest, '2026-05-10T11:59:59Z');

my $around = "received > '2026-05-08T07:00:00Z' AND received < '2026-05-08T09:00:00Z'";
create_table("size_$_", "page_size '$_'") for 1, 5, 7, 50, 100, 3000;
for my $shuffle (0, 1)
{
	$service->settings(shuffle => $shuffle);
	my $how = $shuffle ? ', in no order' : '';
	agree("6000 recipients of one message, 5000 rows a page$how", $around, at_least => 6000);
	agree("… $_ rows a page$how", $around, table => "mail.size_$_", at_least => 6000) for 7, 100, 3000;
	my @asked = agree("… 50 rows a page$how", $around, table => 'mail.size_50', at_least => 6000);
	cmp_ok(scalar @asked, '<=', 1.1 * 6000 / 50, '… for little more requests than pages');
	agree("… at exactly this time$how", "received = '2026-05-08T08:00:00.123456Z'", at_least => 6000);
}
$service->settings(shuffle => 0);

# The instant alone has more pages than any slice should.
agree('… 5 rows a page', $around, table => 'mail.size_5', at_least => 6000);
agree('… 1 row a page', "received = '2026-05-08T08:00:00.123456Z' AND recipient_address < 'member1100'",
	table => 'mail.size_1', at_least => 1099);

# Who says how many rows there are gets slices of few last pages; who is wrong gets all rows, too.
create_table('lanes', "page_size '100', max_concurrency '3'");
my $in_it = $node->sql("SELECT count(*) FROM truth WHERE $around");
for my $expected (1, $in_it, 1_000_000)
{
	my @asked = agree("$expected rows are expected", $around, table => 'mail.lanes', at_least => 6000,
		before => "SET LOCAL o365_msgtrace.rows_expected = $expected");
	cmp_ok(scalar @asked, '<=', $in_it / 100 + 3, '… and few requests made for them');
}

# ---- links ---------------------------------------------------------------------------------

# About 250 rows, 6250 with the crowd: 63 pages of 100.
my $days = "received > '2026-05-07T12:00:00Z' AND received < '2026-05-10T00:00:00Z'";
for my $case (
	[ 'the last row of a page again on the next one', { fault => 'repeat_row', count => 30 } ],
	[ 'an empty page with a link', { fault => 'empty_page_with_link' } ],
	[ 'three of them', { fault => 'empty_page_with_link', count => 3, skip => 1 } ],
	[ 'a link that leads to its own page', { fault => 'looping_link' } ],
	[ '… on a later page, twice', { fault => 'looping_link', skip => 3, count => 2 } ],
	[ 'a link that the service refuses', { fault => 'poisoned_link' } ],
	[ '… on a later page', { fault => 'poisoned_link', skip => 4 } ],
	[ '… for another reason', { fault => 'poisoned_link', kind => 'recipient' } ],
	[ '… again and again', { fault => 'poisoned_link', count => 8 } ],
	[ 'everything at once', { fault => 'looping_link', skip => 2 }, { fault => 'repeat_row', skip => 2, count => 3 },
		{ fault => 'poisoned_link', skip => 3 }, { fault => 'empty_page_with_link', skip => 8, count => 2 } ])
{
	my ($what, @faults) = @$case;
	for my $size (100, 3000)
	{
		$service->clear_faults;
		for my $fault (@faults)
		{
			# large pages are few
			my $skip = $fault->{skip} // 0;
			$skip = 1 if $size == 3000 && $skip > 1;
			$service->fault({ on => 'list', %$fault, skip => $skip });
		}
		my @asked = agree("$what, pages of $size", $days, table => "mail.size_$size", at_least => 6000);
		my @met = grep { $_->{fault} } @asked;
		cmp_ok(scalar @met, '>', 0, '… was met');
		cmp_ok(scalar(grep { $_->{status} == 400 } @asked), '>=', 1, '… and the link was tried')
		  if $what =~ /refuses/;
	}
}
$service->clear_faults;

# Two seconds, halved where they meet: rows right before it and at it.
create_table('halved', "page_size '20', rows_per_day '1000'");
for my $count (1, 2)
{
	$service->fault({ on => 'list', fault => 'poisoned_link', count => $count });
	agree("two seconds in halves, $count links refused", "received >= '2026-05-09T09:59:59Z' AND received < '2026-05-09T10:00:01Z'", table => 'mail.halved', at_least => 2 * @fractions);
	is(scalar $service->faults_left, 0, '… which was met');
	$service->clear_faults;
}

# In the second of the crowd nothing can be halved but the page.
$service->fault({ on => 'list', fault => 'poisoned_link' });
agree('a link refused in a second that cannot be halved', "received = '2026-05-08T08:00:00.123456Z'", at_least => 6000);
$service->fault({ on => 'list', fault => 'poisoned_link', count => 500 });
my $error = $node->sql_error("SELECT FROM mail.message_trace WHERE received = '2026-05-08T08:00:00.123456Z'");
is($error->{sqlstate}, '08P01', 'links that are always refused there: an error') || diag($error->{text});
is($node->sql('SELECT complete FROM o365_msgtrace.last_scan()'), '', '(in that session alone)');
$service->clear_faults;

# ---- links to elsewhere -----------------------------------------------------------------

my $elsewhere = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "no socket: $!";
my $other_port = $elsewhere->sockport;
for my $url (
	"https://localhost:$other_port/v1.0/admin/exchange/tracing/messageTraces",
	"http://localhost:$service->{port}/v1.0/admin/exchange/tracing/messageTraces",
	"https://127.0.0.1:$service->{port}/v1.0/admin/exchange/tracing/messageTraces",
	"https://localhost:$service->{port}\@127.0.0.1:$other_port/messageTraces",
	"https://localhost.attacker.example:$service->{port}/messageTraces",
	"https://localhost:$service->{port}#\@127.0.0.1:$other_port/messageTraces",
	"file:///etc/passwd",
	"../messageTraces",
	"gibberish")
{
	$service->clear_requests;
	$service->fault({ on => 'list', fault => 'foreign_link', url => $url });
	my $text = $node->sql_error("CREATE TABLE taken AS SELECT * FROM mail.message_trace WHERE $days");
	if ($url =~ /#/)
	{
		# this one is the service's own, but for a fragment that is never sent
		ok(!$text || $text->{sqlstate} =~ /^(?:08|HV)/, "$url: not followed elsewhere");
	}
	else
	{
		is($text->{sqlstate}, '08P01', "$url: an error");
		is(scalar $service->list_requests, 1, '… and not followed');
	}
	$service->clear_faults;
}
ok(!IO::Select->new($elsewhere)->can_read(0), 'nobody else was connected to');

# ---- no more requests than needed ---------------------------------------------------------

sub requests_of
{
	my ($sql) = @_;
	$service->clear_requests;
	$node->sql($sql);
	return scalar $service->list_requests;
}
is(requests_of('SELECT * FROM mail.message_trace LIMIT 10'), 1, 'LIMIT 10 asks once');
is(requests_of("SELECT * FROM mail.size_100 WHERE received = '2026-05-08T08:00:00.123456Z' LIMIT 100"), 1,
	'LIMIT 100 of pages of 100 once, too');
is(requests_of('SELECT * FROM mail.message_trace LIMIT 0'), 0, 'LIMIT 0 never');
is(requests_of('SELECT EXISTS (SELECT FROM mail.message_trace)'), 1, 'EXISTS asks once');
is(requests_of("SELECT * FROM mail.size_100 WHERE received = '2026-05-08T08:00:00.123456Z' LIMIT 250"), 3,
	'LIMIT 250 thrice');
my $session = $node->session;
$service->clear_requests;
$session->sql("BEGIN; DECLARE c CURSOR FOR SELECT * FROM mail.size_100 WHERE received = '2026-05-08T08:00:00.123456Z'");
is(scalar $service->requests, 0, 'a cursor that was opened has asked nothing');
$session->sql('FETCH 100 FROM c');
is(scalar $service->list_requests, 1, 'its first 100 rows are a page');
$session->sql('FETCH 1 FROM c');
is(scalar $service->list_requests, 2, 'the next row is another');
$session->sql('CLOSE c; COMMIT');
is(scalar $service->list_requests, 2, 'closing it asks nothing');
is($session->sql('SELECT complete, rows, pages FROM o365_msgtrace.last_scan()'), 'f|200|2', 'and that scan is not complete');
$session->quit;

# ---- the bound on requests -----------------------------------------------------------------

my $crowd = "received = '2026-05-08T08:00:00.123456Z'";
sub bounded
{
	my ($bound, $sql) = @_;
	$service->clear_requests;
	return $node->sql_error($sql, set => { 'o365_msgtrace.max_requests_per_query' => $bound });
}
is(requests_of("SELECT count(*) FROM mail.size_100 WHERE $crowd"), 60, 'a query that takes 60 requests');
is(bounded(60, "CREATE TABLE kept AS SELECT * FROM mail.size_100 WHERE $crowd"), undef, '… may make 60');
is($node->sql('SELECT count(*) FROM kept'), '6000', '… and gives all rows');
$error = bounded(59, "INSERT INTO kept SELECT * FROM mail.size_100 WHERE $crowd");
is($error->{sqlstate}, '54000', 'with one request less: an error');
like($error->{detail}, qr/^59 requests were made, and \d+ rows read\. The next was to ask from 2026-05-08 08:00:00\S+ to /, '… that says how far it came');
like($error->{hint}, qr/received/, '… and what to do');
is(scalar $service->list_requests, 59, '… after the requests that were allowed');
is($node->sql('SELECT count(*) FROM kept'), '6000', '… and nothing is inserted');
is(bounded(3, "SELECT count(*) FROM mail.message_trace a, mail.message_trace b WHERE a.$crowd AND b.$crowd AND a.recipient_address = b.recipient_address")->{sqlstate},
	'54000', 'two scans of a statement share the bound');
is(bounded(2, "SELECT count(*) FROM mail.message_trace WHERE $crowd; SELECT count(*) FROM mail.message_trace WHERE $crowd"),
	undef, 'two statements do not');

# ---- what is held --------------------------------------------------------------------------

$service->add_rows(map { row(receivedDateTime => $_) } '2026-02-08T23:59:59.9999999Z', '2026-02-09T00:00:00Z',
	'2026-02-09T00:00:00.0000001Z', '2026-05-10T11:59:58.9999999Z', '2026-05-10T11:59:59Z', '2026-05-10T12:00:00Z',
	'2026-05-10T12:00:01Z');
$node->load_truth($service, 'truth', $earliest, '2026-05-10T11:59:59Z');
agree('rows that are older than 90 days are not asked for', "received < '2026-02-10Z'", at_least => 2);
agree('nor what comes after service time less a second', "received > '2026-05-10T11:59:58Z'", at_least => 1);
agree('everything', 'true', at_least => 9000);

# A range is computed, the clock goes on, and at midnight the service lets go of
# a day before the request comes.
$session = $node->session;
$service->set_clock(now => '2026-05-10T23:59:58Z');
$node->load_truth($service, 'truth', '2026-02-10T00:00:00Z', '2026-05-10T23:59:57Z');
$service->clear_requests;
$service->fault({ on => 'list', fault => 'status', status => 503, retry_after => 2 });
$session->send("CREATE TEMP TABLE given AS SELECT $columns FROM mail.message_trace WHERE received < '2026-02-10T06:00:00Z'");
wait_for('the first request', 30, sub { $service->list_requests });
$service->set_clock(now => '2026-05-11T00:00:05Z');
unlike($session->receive, qr/ERROR/, 'a range that midnight makes too old is clamped anew');
my @asked = $service->list_requests;
is($asked[0]{status}, 503, '(the pause in which the clock moved)');
is($asked[1]{status}, 400, '(the service refused the range)');
is($session->sql("SELECT count(*), count(*) FILTER (WHERE received < '2026-02-10Z') FROM given"),
	$node->sql("SELECT count(*), 0 FROM truth WHERE received < '2026-02-10T06:00:00Z'"), '… and all is there that is held');
is($session->sql('SELECT asked_from, complete FROM o365_msgtrace.last_scan()'), '2026-02-10 00:00:00+00|t',
	'… and last_scan() says from when on');

# The same between two slices: the oldest one is cut when its time comes.
$service->set_clock(now => '2026-05-11T23:59:58Z');
$node->load_truth($service, 'truth', '2026-02-11T00:00:00Z', '2026-05-11T23:59:57Z');
$session->sql("BEGIN; DECLARE c CURSOR FOR SELECT $columns FROM mail.message_trace; CREATE TEMP TABLE begun (LIKE truth)");
$session->sql('FETCH 1 FROM c');
$service->set_clock(now => '2026-05-12T00:00:05Z');
my $rest = $session->sql('MOVE FORWARD ALL FROM c; SELECT rows, asked_from, complete FROM o365_msgtrace.last_scan(); COMMIT');
is($rest, $node->sql('SELECT count(*) FROM truth') . '|2026-02-11 00:00:00+00|t', 'midnight between two slices');
$session->quit;

# A 400 that has another cause is an error; where it may be the end that is too
# new, it is at least not silent.
$service->fault({ on => 'list', fault => 'status', status => 400 });
is($node->sql_error("SELECT FROM mail.message_trace WHERE received < '2026-05-10Z' AND received > '2026-05-09Z'")->{sqlstate},
	'HV000', 'a 400 for another reason is an error');
$service->fault({ on => 'list', fault => 'status', status => 400 });
like($node->messages('SELECT FROM mail.message_trace'), qr/WARNING|ERROR/, '… and a result that lacks its newest rows says so');
$service->fault({ on => 'list', fault => 'status', status => 400, count => 2 });
is($node->sql_error('SELECT FROM mail.message_trace')->{sqlstate}, 'HV000', '… a second 400 is final');
$service->reset;

# ---- densities that nobody told -------------------------------------------------------------

my $minutes = "received >= '2026-05-10T10:20:00Z' AND received < '2026-05-10T11:00:00Z'";
$service->settings(rows_per_day => 5_000_000);
$node->load_truth($service, 'truth', '2026-05-10T10:20:00Z', '2026-05-10T11:00:00Z');
my $pages = int($node->sql('SELECT count(*) FROM truth') / 5000) + 1;
create_table('sparse', "rows_per_day '100'");
create_table('dense', "rows_per_day '5000000'");
for my $table ('sparse', 'message_trace', 'dense')
{
	my @requests = agree("5 million rows a day, table $table", $minutes, table => "mail.$table", at_least => 50000);
	cmp_ok(scalar @requests, '<=', $pages * 1.5 + 4, "… in about $pages requests");
}
$service->settings(shuffle => 1);
my @requests = agree('5 million rows a day, in no order and unexpected', $minutes, table => 'mail.sparse', at_least => 50000);
cmp_ok(scalar @requests, '<=', $pages * 4 + 40, "… in not too many requests for $pages pages");
diag(scalar(@requests) . " requests for $pages pages in no order");
$service->settings(shuffle => 0);

$service->settings(rows_per_day => 100);
$node->load_truth($service, 'truth', $earliest, '2026-05-10T11:59:59Z');
for my $table ('sparse', 'dense')
{
	@requests = agree("100 rows a day, table $table", 'true', table => "mail.$table", at_least => 7000);
	cmp_ok(scalar @requests, '<=', 24, '… in a few requests for 90 days');
}

done_testing();
