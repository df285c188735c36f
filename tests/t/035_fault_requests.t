# tests/t/035_fault_requests.t
#
# What each fault of the service costs, on both APIs: the outcome (all rows, or
# an error with its SQLSTATE) and the exact number of list requests, beside those
# that the same query makes on a good day.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

my $service = MsgTrace::Service->start(now => '2026-05-13T12:00:00Z', rows_per_day => 5000, quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0 });
my %usual = (
	max_concurrency => 1,    # faults meet requests one after the other
	page_size => 300,
	rows_per_day => 1,    # the whole range is one slice
	retry_initial_interval => '0',
	max_retries => 2,
	request_timeout => '1s',
	max_response_size => '2MB');
$node->create_server($service, %usual, name => 'graph', schema => 'graph');
$node->create_server($service, %usual, name => 'reporting', schema => 'reporting',
	api => 'reporting', report_url => $service->report_url('reporting'));
for my $server (qw(graph reporting))
{
	$node->sql("IMPORT FOREIGN SCHEMA exchange LIMIT TO (message_trace) FROM SERVER $server INTO public;"
		  . "ALTER FOREIGN TABLE public.message_trace RENAME TO ${server}_reject;"
		  . "ALTER FOREIGN TABLE ${server}_reject OPTIONS (ADD on_bad_row 'reject')");
}

my ($from, $to) = ('2026-05-12T08:00:00Z', '2026-05-12T12:00:00Z');
$node->load_truth($service, 'truth', $from, $to);
my $range = "received >= '$from' AND received < '$to'";
my $columns = 'message_trace_id, recipient_address, received, status, size';

sub pages_of
{
	my ($from, $to) = @_;
	my $rows = $node->sql("SELECT count(*) FROM truth WHERE received >= '$from' AND received < '$to'");
	return int(($rows + 299) / 300);
}

my $pages = pages_of($from, $to);
cmp_ok($pages, '>=', 4, "the range has $pages pages");

# What the range costs in two halves.
my $middle = '2026-05-12T10:00:00Z';
my $halves = pages_of($from, $middle) + pages_of($middle, $to);

# The fault, and what becomes of the query: 'rows' and how many requests more, or
# a SQLSTATE and how many requests in all. "reject" reads with on_bad_row 'reject'.
my @cases = (
	[ 'no fault', [], rows => 0 ],

	# what passes is asked again
	[ 'a 503', [ { fault => 'status', status => 503 } ], rows => 1 ],
	[ 'a 503 on a later page', [ { fault => 'status', status => 503, skip => 2 } ], rows => 1 ],
	[ 'a 503 on two pages', [ { fault => 'status', status => 503 }, { fault => 'status', status => 503, skip => 1 } ], rows => 2 ],
	[ 'a 503 too often', [ { fault => 'status', status => 503, count => 3 } ], '08006' => 3 ],
	[ 'a 429', [ { fault => 'status', status => 429, retry_after => 0 } ], rows => 1 ],
	[ 'a body cut short', [ { fault => 'cut', after => 1000 } ], rows => 1 ],
	[ 'a body cut short too often', [ { fault => 'cut', after => 1000, count => 3 } ], '08006' => 3 ],
	[ 'silence before the headers', [ { fault => 'hang', where => 'headers' } ], rows => 1 ],
	[ 'silence in the body', [ { fault => 'hang', where => 'body' } ], rows => 1 ],
	[ 'a slow answer', [ { fault => 'delay', ms => 300 } ], rows => 0 ],
	[ 'a token that is over', [ { fault => 'expire_token' } ], rows => 1 ],
	[ 'a token that is over in mid-scan', [ { fault => 'expire_token', skip => 2 } ], rows => 1 ],

	# what does not pass is said at once
	[ 'a 400', [ { fault => 'status', status => 400 } ], HV000 => 1 ],
	[ 'a 403', [ { fault => 'status', status => 403 } ], '08004' => 1 ],
	[ 'a 404', [ { fault => 'status', status => 404 } ], HV000 => 1 ],
	[ 'a 500', [ { fault => 'status', status => 500 } ], '08006' => 1 ],
	[ 'a 401 twice', [ { fault => 'status', status => 401, count => 2 } ], '08004' => 2 ],
	[ 'a redirection', [ { fault => 'status', status => 302 } ], HV000 => 1 ],
	[ 'a sign-in page', [ { fault => 'html' } ], '08P01' => 1 ],
	[ 'a sign-in page later', [ { fault => 'html', skip => 1 } ], '08P01' => 2 ],
	[ 'a body without end', [ { fault => 'endless', what => 'rows' } ], HV000 => 1 ],
	[ 'a link to another host', [ { fault => 'foreign_link', url => 'https://evil.example/x' } ], '08P01' => 1 ],

	# links: the part at hand is read again in two halves
	# the empty page's link leads to the page that it stands for: to itself
	[ 'an empty page with a link', [ { fault => 'empty_page_with_link', skip => 1 } ], rows => 2 + $halves - $pages ],
	[ 'a link to the page itself', [ { fault => 'looping_link' } ], rows => 1 + $halves - $pages ],
	(map { [ "a poisoned link ($_)", [ { fault => 'poisoned_link', kind => $_ } ], rows => 2 + $halves - $pages ] }
		  qw(encoded_twice recipient)),
	[ 'the same row twice', [ { fault => 'repeat_row' } ], rows => 0 ],

	# records
	[ 'a NUL', [ { fault => 'nul_escape' } ], rows => 0 ],
	[ 'a lone surrogate', [ { fault => 'lone_surrogate' } ], rows => 0 ],
	[ 'a byte that is no UTF-8', [ { fault => 'invalid_utf8' } ], HV004 => 1 ],
	(map { [ "a bad row ($_)", [ { fault => 'bad_row', kind => $_ } ], HV004 => 1 ] }
		  qw(no_received no_id no_recipient garbage_time long_key)),
	(map { [ "a bad row ($_) set aside", [ { fault => 'bad_row', kind => $_ } ], reject => 0 ] }
		  qw(no_received no_id no_recipient garbage_time long_key)));

sub expect_rows
{
	my ($name, $table, $more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->same_rows("$name: all rows", "SELECT $columns FROM $table WHERE $range", "SELECT $columns FROM truth");
	is(scalar $service->list_requests, $pages + $more, "$name: " . ($more ? "$more more than" : 'no more requests than') . " $pages pages");
	return;
}

sub expect_error
{
	my ($name, $table, $sqlstate, $requests) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $error = $node->sql_error("SELECT count(*) FROM $table WHERE $range");
	is($error && $error->{sqlstate}, $sqlstate, "$name: $sqlstate") || diag($error ? $error->{text} : 'no error');
	is(scalar $service->list_requests, $requests, "$name: $requests requests");
	return;
}

for my $api (qw(graph reporting))
{
	for my $case (@cases)
	{
		my ($what, $faults, $outcome, $requests) = @$case;
		my $name = "$api, $what";
		$service->clear_requests;
		$service->faults_instead(map { { on => 'list', %$_ } } @$faults);
		if ($outcome eq 'rows') { expect_rows($name, "$api.message_trace", $requests) }
		elsif ($outcome eq 'reject') { expect_rows($name, "${api}_reject", $requests) }
		else { expect_error($name, "$api.message_trace", $outcome, $requests) }
		is(scalar $service->faults_left, 0, "$name: it happened");
	}
}

done_testing();
