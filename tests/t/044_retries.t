# tests/t/044_retries.t
#
# What passes is waited out as the server's options say, and what does not ends
# the query: never are there fewer rows for it. How often was asked is the
# service's word; how long a pause was to be is read in the server's log, where
# each retry stands with the pause that was chosen for it. Nothing is timed.
#
# Wrong values of these options are refused in 064_options.t.

use strict;
use warnings;
use utf8;

use IO::Socket::INET;
use POSIX qw(strftime);
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(rows_per_day => 2000, quota => 0);
my $node = MsgTrace::Cluster->start(
	conf => {
		'o365_msgtrace.clock_source' => 'local',
		log_statement => 'none'
	});
my ($from, $to) = map { strftime('%Y-%m-%dT12:00:00Z', gmtime(time - $_ * 86400)) } 20, 19;
my $day = "received >= '$from' AND received < '$to'";
# One request at a time: the service sees them in the order in which they are made.
my %usual = (rows_per_day => 2000, page_size => 500, max_concurrency => 1, log_level => 'warn');

# A server of its own schema, which has its name.
my $servers = 0;
sub server
{
	my (%options) = @_;
	my $name = 's' . ++$servers;
	$node->create_server($service, %usual, name => $name, schema => $name, %options);
	return $name;
}

my $plain = server();
my $count = $node->sql("SELECT count(*) FROM $plain.message_trace WHERE $day");
my $requests = $service->list_requests;
cmp_ok($count, '>', 1200, 'a day fills several pages');

sub status
{
	my ($status, %more) = @_;
	return { fault => 'status', status => $status, %more };
}

my $read_log = 0;
sub orders
{
	my (@faults) = @_;
	$service->clear_faults;
	$service->fault(map { { on => 'list', %$_ } } @faults) if @faults;
	$service->clear_requests;
	$read_log = length $node->log;
	return;
}

sub token_requests
{
	return grep { $_->{path} =~ /token$/ } $service->requests;
}

# The pauses chosen since the last orders, in milliseconds.
sub pauses
{
	return substr($node->log, $read_log) =~ /; again in (\d+) ms/g;
}

# A pause for each of these bounds, and none more. What is computed gets up to a
# quarter more by chance, what was told a tenth.
sub paused
{
	my ($what, @bounds) = @_;
	my @given = pauses();
	my @wrong = grep { !defined $given[$_] || $given[$_] < $bounds[$_][0] || $given[$_] > $bounds[$_][1] } 0 .. $#bounds;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(@given == @bounds && !@wrong, $what)
	  || diag("given: @given; expected: @{[map { qq($_->[0]-$_->[1]) } @bounds]}");
}

sub own
{
	return map { [ $_, $_ * 1.25 ] } @_;
}

sub told
{
	return map { [ $_, $_ * 1.1 ] } @_;
}

# All rows in spite of the faults, with so many requests more.
sub survives
{
	my ($server, $more, $what) = @_;
	my $given = eval { $node->sql("SELECT count(*) FROM $server.message_trace WHERE $day") } // $@;
	my $made = $service->list_requests;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($given eq $count && $made == $requests + $more, $what)
	  || diag("$given rows of $count, $made requests of $requests + $more");
}

# An error of these properties after so many list requests, and no row.
sub fails
{
	my ($server, $made, $what, %expected) = @_;
	my $error = $node->sql_error("CREATE TABLE taken AS SELECT * FROM $server.message_trace WHERE $day");
	my @wrong = $error ? grep { $error->{$_} !~ $expected{$_} } sort keys %expected : 'no error';
	my $given = $service->list_requests;
	push @wrong, "$given requests" if $given != $made;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!@wrong, $what) || diag("wrong: @wrong\n" . ($error ? $error->{text} : ''));
	return $error;
}

my %unavailable = (sqlstate => qr/^08006$/, message => qr/the service failed/, detail => qr/HTTP 50\d/, hint => qr/\w/);
my %throttled = (sqlstate => qr/^53400$/, message => qr/request limit/, detail => qr/HTTP 429/, hint => qr/\w/);
my %timeout = (sqlstate => qr/^08006$/, message => qr/timeout/, hint => qr/request_timeout/);

# ---- how long and how often ---------------------------------------------------------------

my $server = server(retry_initial_interval => '20ms', retry_multiplier => 3);
orders(status(503, skip => 1, count => 3));
survives($server, 3, 'retry_type backoff: a 503, three times');
paused('… each pause is retry_multiplier times the last', own(20, 60, 180));
orders(status(503, count => 1), status(503, skip => 1, count => 1));
survives($server, 2, '… on two pages');
paused('… where each begins with retry_initial_interval', own(20, 20));

$server = server(retry_initial_interval => '20ms', retry_multiplier => '1.5', retry_max_interval => '40ms');
orders(status(503, count => 4));
survives($server, 4, 'retry_max_interval');
paused('… is the longest', own(20, 30, 40, 40));

$server = server(retry_type => 'static', retry_initial_interval => '20ms', retry_multiplier => 3);
orders(status(503, count => 3));
survives($server, 3, 'retry_type static');
paused('… all pauses are alike', own(20, 20, 20));

$server = server(retry_initial_interval => '0');
orders(status(503, count => 4));
survives($server, 4, 'retry_initial_interval 0');
paused('… is at once', [ 0, 0 ], [ 0, 0 ], [ 0, 0 ], [ 0, 0 ]);

$server = server(retry_type => 'static', retry_initial_interval => '100ms', max_retries => 20);
orders(status(503, count => 20));
survives($server, 20, 'twenty 503s in a row');
paused('… with pauses up to a quarter longer', own((100) x 20));
my %different = map { $_ => 1 } pauses();
cmp_ok(scalar keys %different, '>', 3, '… which are not all the same');

my $hasty = server(retry_initial_interval => '1ms', max_retries => 2);
orders(status(503, count => 2));
survives($hasty, 2, 'max_retries 2');
orders(status(503, count => 3));
fails($hasty, 3, '… and one more', %unavailable);
orders(status(503, skip => 2, count => 50));
fails($hasty, 5, '… on a later page', %unavailable);
$server = server(max_retries => 0);
orders(status(503));
fails($server, 1, 'max_retries 0', %unavailable);
is(scalar(() = pauses()), 0, '… is no retry');

$server = server(retry_type => 'disabled', max_retries => 5, request_timeout => '400ms');
orders(status(503));
fails($server, 1, 'retry_type disabled: a 503', %unavailable);
orders(status(503, retry_after => 1));
fails($server, 1, '… with Retry-After', %unavailable);
orders(status(429, retry_after => 1));
fails($server, 1, '… a 429', %throttled);
orders({ fault => 'hang' });
fails($server, 1, '… a timeout', %timeout);
orders({ fault => 'cut' });
fails($server, 1, '… a body that is cut', sqlstate => qr/^08006$/, message => qr/broke off/);
is(scalar(() = pauses()), 0, '… is no retry');

# ---- which status codes --------------------------------------------------------------------

$server = server(retry_initial_interval => '1ms', retry_http_codes => '500,502');
orders(status(500, count => 2), status(502, skip => 1));
survives($server, 3, "retry_http_codes '500,502': both");
orders(status(503));
fails($server, 1, '… not 503', %unavailable);
orders(status(504));
fails($server, 1, '… not 504', %unavailable);
orders(status(429, retry_after => 1));
fails($server, 1, '… not 429', %throttled);
orders(status(500));
fails($plain, 1, 'without it a 500 is final', %unavailable, detail => qr/HTTP 500/);
$server = server(retry_initial_interval => '1ms', retry_http_codes => '404,408');
orders(status(404), status(408, skip => 1, count => 2));
survives($server, 3, "retry_http_codes '404,408'");
orders(status(400, count => 9));
is($node->sql_error("SELECT * FROM $server.message_trace WHERE $day")->{sqlstate}, 'HV000', '… not 400');

# ---- Retry-After ---------------------------------------------------------------------------

my $listening = server(retry_initial_interval => '3ms', retry_type => 'static', max_retries => 9);
my $date = sub { strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + $_[0])) };
orders(status(503, retry_after => 1));
survives($listening, 1, 'Retry-After in seconds');
paused('… is waited for, or a little longer', told(1000));
orders(status(503, retry_after => 0, count => 2));
survives($listening, 2, 'Retry-After 0');
paused('… is at once', [ 0, 0 ], [ 0, 0 ]);
for my $form ('%a, %d %b %Y %H:%M:%S GMT', '%A, %d-%b-%y %H:%M:%S GMT', '%a %b %e %H:%M:%S %Y')
{
	my ($ahead, $until) = (2);
	my $order = sub { orders(status(503, retry_after => strftime($form, gmtime($until = time + $ahead)))) };
	$order->();
	survives($listening, 1, "Retry-After as a date in the form $form");

	# (a slow machine may come to the answer when that date has passed)
	while (((pauses())[0] // 1) == 0 && $ahead < 60)
	{
		$ahead *= 4;
		$order->();
		$node->sql("SELECT count(*) FROM $listening.message_trace WHERE $day");
	}
	paused('… is waited for', [ 1, $ahead * 1100 ]);
	cmp_ok(($service->list_requests)[1]{at}, 'ge', strftime('%Y-%m-%dT%H:%M:%S', gmtime($until - 1)), '… and there is no request before it, but for a part of a second');
}
orders(status(503, retry_after => $date->(-3600)));
survives($listening, 1, '… that has passed');
paused('… is at once', [ 0, 0 ]);

for my $malformed ('soon', '-5', '1.5', '1e9', '5 minutes', '', 'Sun, 99 Nov 2026 00:00:00 GMT', 'Sun, 22 Nov 2026 25:00:00 GMT',
	'Sun, 22 Nov 2026 00:00:00 PST', 'Sun, 22 Brumaire 2026 00:00:00 GMT', '0x10', ' ')
{
	orders(status(503, retry_after => $malformed));
	survives($listening, 1, "Retry-After '$malformed' says nothing");
	paused('… and the pause is our own', own(3));
}
orders(status(503));
survives($listening, 1, 'no Retry-After');
paused('… likewise', own(3));

my $deaf = server(retry_initial_interval => '3ms', honor_retry_after => 'false');
orders(status(503, retry_after => 1), status(503, retry_after => 86400, skip => 1));
unlike($node->messages("SELECT count(*) FROM $deaf.message_trace WHERE $day"), qr/WARNING/, 'honor_retry_after false: no warning');
paused('… the pauses are our own', own(3, 3));

# Beyond max_retry_after it is ignored, and that is said, once in a scan.
my $warning = qr/WARNING:  HV000: the service asked to wait (\d+) seconds, which was ignored\nDETAIL: .*max_retry_after.*\nHINT:  \w/;
for my $absurd (301, 86400, 2147483647, '99999999999999999999')
{
	orders(status(503, retry_after => $absurd));
	my $text = $node->messages("SELECT count(*) FROM $listening.message_trace WHERE $day");
	like($text, $warning, "Retry-After $absurd: a warning");
	like($text, qr/wait ${\($absurd > 2147483647 ? 2147483647 : $absurd)} seconds/, '… that gives it');
	is(scalar $service->list_requests, $requests + 1, '… and all pages');
	paused('… after a pause of our own', own(3));
}
orders(status(503, retry_after => $date->(7200)), status(503, retry_after => 900, skip => 2, count => 2));
my $text = $node->messages("SELECT count(*) FROM $listening.message_trace WHERE $day");
is(scalar(() = $text =~ /WARNING/g), 1, 'three of them in a scan, one a date: one warning');
like($text, qr/wait 7(?:200|19\d) seconds/, '… of the first');
my $brief = server(retry_initial_interval => '3ms', max_retry_after => '1s', retry_type => 'static', max_retries => 1);
orders(status(503, retry_after => 1));
survives($brief, 1, "max_retry_after '1s': a second");
paused('… is waited for', told(1000));
orders(status(503, retry_after => 2));
like($node->messages("SELECT count(*) FROM $brief.message_trace WHERE $day"), $warning, '… two: a warning');
paused('… and a pause of our own', own(3));
orders(status(503, retry_after => 2, count => 9));
$text = $node->messages("SELECT count(*) FROM $brief.message_trace WHERE $day");
like($text, qr/WARNING.*ERROR:  08006/s, '… before an error, too');

# A user sees it while the query still waits for something else.
my $session = $node->session;
orders(status(503, retry_after => 86400), { fault => 'hang', skip => 1 });
$session->send("SELECT count(*) FROM $listening.message_trace WHERE $day");
wait_for('the second page to hang', 30, sub { grep { ($_->{fault} // '') eq 'hang' } $service->requests });
$session->cancel;
like($session->receive, $warning, 'the warning does not wait for the end');
$session->quit;

# ---- rate limits -----------------------------------------------------------------------------

$server = server(retry_initial_interval => '1ms', max_retries => 0);
orders(status(429, retry_after => 1, skip => 1));
survives($server, 1, 'a 429, with max_retries 0');
paused('… is waited for as the service says', told(1000));
orders(status(429, retry_after => 0, count => 2));
survives($server, 2, 'two that ask us back at once');
paused('… are not believed: at least 1 s, then 2 s', [ 1000, 1000 ], [ 2000, 2000 ]);
$server = server(quota_window => '1s', max_retries => 20);
orders(status(429, retry_after => 1, count => 99));
fails($server, 2, '429 for ever: an error after twice quota_window', %throttled);
paused('… and no result', told(1000));
orders(status(429, count => 99));
fails($server, 1, '429 without Retry-After, longer than that: at once', %throttled);
orders(status(429, skip => 2, count => 99));
fails($server, 3, '… on a later page', %throttled);
$session = $node->session;
for my $header (undef, 'soon', 86400)
{
	orders(status(429, defined $header ? (retry_after => $header) : ()));
	$session->send("SELECT count(*) FROM $plain.message_trace WHERE $day");
	wait_for('the pause', 30, sub { pauses() });
	$session->cancel;
	like($session->receive, qr/57014/, '429 with ' . ($header // 'no') . ' Retry-After: cancelled');
	paused('… in a pause of half a minute', own(30000));
}
orders(status(429));
$session->send("SELECT count(*) FROM $deaf.message_trace WHERE $day");
wait_for('the pause', 30, sub { pauses() });
$session->cancel;
$session->receive;
paused('… likewise with honor_retry_after false', own(30000));
$session->quit;

# ---- connections and timeouts ------------------------------------------------------------------

$server = server(retry_initial_interval => '2ms', retry_type => 'static', max_retries => 3, request_timeout => '700ms');
orders({ fault => 'hang' }, { fault => 'hang', where => 'body', skip => 2, count => 2 });
survives($server, 3, 'pages that do not come within request_timeout');
paused('… are asked for again', own(2, 2, 2));
orders({ fault => 'hang', count => 99 });
fails($server, 4, '… max_retries times', %timeout);
orders({ fault => 'cut' }, { fault => 'cut', after => 0, skip => 2, count => 2 });
survives($server, 3, 'connections that break off');
paused('… are made again', own(2, 2, 2));
orders({ fault => 'reset', skip => 1 }, { fault => 'reset', skip => 3 });
is($node->sql("SELECT count(*) FROM $server.message_trace WHERE $day"), $count, 'connections that are reset');
is(scalar $service->faults_left, 0, '… twice');
orders({ fault => 'reset', count => 99 });
is($node->sql_error("SELECT count(*) FROM $server.message_trace WHERE $day")->{sqlstate}, '08006', '… every time');
is(scalar(() = pauses()), 3, '… is retried max_retries times');

# A host that takes a connection and never speaks: connect_timeout, for each.
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20, Blocking => 0) or die "no socket: $!";
$server = server(authority_url => 'https://127.0.0.1:' . $mute->sockport, retry_initial_interval => '1ms', max_retries => 2,
	connect_timeout => '200ms');
orders();
fails($server, 0, 'a host that does not speak within connect_timeout', %timeout, hint => qr/connect_timeout/);
my $connections = 0;
$connections++ while $mute->accept;
is($connections, 3, '… is tried max_retries times more');
$server = server(authority_url => "https://127.0.0.1:1", max_retries => 5);
orders();
fails($server, 0, 'a host that is not there', sqlstate => qr/^08001$/);
is(scalar(() = pauses()), 0, '… is not tried again');

# ---- the sign-in ----------------------------------------------------------------------------------

my $signing = server(retry_initial_interval => '2ms', retry_type => 'static', max_retries => 3, request_timeout => '700ms',
	retry_http_codes => '429,500,503');
orders(status(503, on => 'token', count => 2), status(500, on => 'token'));
survives($signing, 0, 'a sign-in with 503, 503 and 500');
paused('… is retried', own(2, 2, 2));
is(scalar(() = token_requests()), 4, '… three times');
orders({ fault => 'hang', on => 'token' }, { fault => 'cut', on => 'token' });
survives($signing, 0, 'one that times out and then breaks off');
is(scalar(() = token_requests()), 3, '… is retried');
orders(status(429, on => 'token', retry_after => 1));
survives($signing, 0, 'one that is told to wait');
paused('… waits', told(1000));
orders(status(429, on => 'token', retry_after => 1, count => 99));
fails(server(quota_window => '1s'), 0, 'one that is told so for too long', sqlstate => qr/^53400$/, message => qr/sign-in/);
orders(status(503, on => 'token', count => 99));
fails($signing, 0, 'one that does not end', %unavailable, message => qr/sign-in/);
is(scalar(() = token_requests()), 4, '… is retried max_retries times');
orders(status(400, on => 'token', body => '{"error":"invalid_client","error_description":"AADSTS7000215: no"}', count => 99));
fails($signing, 0, 'one that is refused', sqlstate => qr/^08004$/);
is(scalar(() = token_requests()), 1, '… is not');

# ---- what tells of it --------------------------------------------------------------------------------

orders(status(503, count => 2), status(503, on => 'token'));
like($node->sql("SELECT count(*) FROM $hasty.message_trace WHERE $day; SELECT retries, requests FROM o365_msgtrace.last_scan()"),
	qr/^$count\n\d+\|${\($requests + 2)}$/, 'last_scan() counts the requests');

# Each request has an id of ours, and the error has that of the last one.
my $uuid = qr/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;
orders(status(503, skip => 1, count => 9));
my $error = fails($hasty, 4, 'a list that fails', %unavailable, detail => qr/client-request-id $uuid\)/);
my @ids = map { $_->{client_request_id} // 'none' } $service->requests;
is(scalar(grep { /^$uuid$/ } @ids), 5, 'each request carries a client-request-id, the sign-in, too');
my %ids = map { $_ => 1 } @ids;
is(scalar keys %ids, 5, '… another each time');
like($error->{detail}, qr/client-request-id $ids[-1]\)/, '… and the error has the last one');
my $last = ($service->list_requests)[-1];
like($error->{detail}, qr/request-id \Q$last->{request_id}\E/, "… and the service's own");
orders(status(400, on => 'token', body => 'no'));
$error = fails($hasty, 0, 'a sign-in that fails', detail => qr/client-request-id $uuid\)/);
($last) = token_requests();
like($error->{detail}, qr/client-request-id $last->{client_request_id}\)/, '… is told with its id');
orders({ fault => 'cut', count => 9 });
fails($hasty, 3, 'an answer that breaks off', detail => qr/client-request-id $uuid\)/);
orders({ fault => 'html' });
fails($hasty, 1, 'an answer that is no page', sqlstate => qr/^08P01$/, detail => qr/client-request-id $uuid\)/);

done_testing();
