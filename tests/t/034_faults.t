# tests/t/034_faults.t
#
# What can go wrong between the server and the service: either the rows are the
# true ones after all, or the query ends with an error that has its SQLSTATE
# (class HV or 08), the service's words and a hint. No row is silently missing,
# and neither secret nor token is ever shown, at no log level.
#
# The service's clock runs here, and the server trusts its own, as in life: the
# rows compared are old enough not to change any more.

use strict;
use warnings;
use utf8;

use IO::Socket::INET;
use POSIX qw(strftime);
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(free_port);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $secret = q{p@ss w+rd/100%&=~'quote"x};
my $service = MsgTrace::Service->start(rows_per_day => 2000, quota => 0, client_secret => $secret);
my $node = MsgTrace::Cluster->start(
	conf => {
		'o365_msgtrace.clock_source' => 'local',
		'o365_msgtrace.max_requests_per_query' => 0,
		log_min_messages => 'debug5',
		log_error_verbosity => 'verbose',
		# statements hold the secret by their nature
		log_statement => 'none',
		log_min_error_statement => 'panic'
	});
# One request at a time: each fault meets the request that it is meant for.
my %usual = (
	max_concurrency => 1, rows_per_day => 2000, page_size => 300, retry_initial_interval => '10ms', max_retries => 3);
$node->create_server($service, %usual);

my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';
my ($from, $to) = map { strftime('%Y-%m-%dT12:00:00Z', gmtime(time - $_ * 86400)) } 20, 19;
my $day = "received >= '$from' AND received < '$to'";
$node->load_truth($service, 'truth', $from, $to);
my $count = $node->sql('SELECT count(*) FROM truth');
cmp_ok($count, '>', 1200, 'a day fills several pages');
my $said = '';    # all that a client has seen

sub orders
{
	my (@faults) = @_;
	$service->clear_faults;
	$service->fault(map { { on => 'list', %$_ } } @faults) if @faults;
	$service->clear_requests;
	return;
}

# The rows are the true ones in spite of the faults, all of which were met.
# (Replaced characters are another story: $but names a column not compared.)
sub survives
{
	my ($name, $faults, %how) = @_;
	my $schema = $how{schema} // 'mail';
	my $list = $how{but} ? $columns =~ s/ \Q$how{but}\E,//r : $columns;
	orders(@$faults);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->same_rows($name, "SELECT $list FROM $schema.message_trace WHERE $day", "SELECT $list FROM truth");
	is(scalar $service->faults_left, 0, '… and what was ordered happened');
	return;
}

# Errors with these properties, and no row.
sub fails
{
	my ($name, $faults, %expected) = @_;
	my $schema = $expected{schema} // 'mail';
	my $where = $expected{where} // $day;
	orders(@$faults);
	my $error = $node->sql_error(
		"CREATE TABLE taken AS SELECT * FROM $schema.message_trace WHERE $where",
		set => { client_min_messages => 'debug5' });
	$said .= $error ? $error->{text} : '';
	my @wrong;
	my $check = sub { push @wrong, $_[1] if !$_[0] };
	if ($error)
	{
		$check->(scalar($error->{sqlstate} =~ /^(?:HV|08|5)/), 'the class of SQLSTATE');
		$check->($error->{sqlstate} eq ($expected{sqlstate} // $error->{sqlstate}), 'the SQLSTATE');
		for my $part ('message', 'detail', 'hint')
		{
			$check->(scalar($error->{$part} =~ ($expected{$part} // qr/\w/)), "the $part");
		}
		$check->(scalar $service->list_requests <= $expected{most}, 'the number of list requests')
		  if defined $expected{most};
	}
	else
	{
		push @wrong, 'there is no error';
		$node->sql('DROP TABLE taken');
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!@wrong, $name) || diag("wrong: @wrong\n" . ($error ? $error->{text} =~ s/^.*DEBUG:.*\nLOCATION.*\n//mgr : ''));
	orders();
	return $error;
}

survives('without a fault', []);

# ---- the way there ------------------------------------------------------------------

my $closed = free_port();
my %wrong = (
	no_sign_in => [ { authority_url => "https://localhost:$closed" },
		sqlstate => '08001', message => qr/could not connect.*sign-in/, detail => qr/localhost:$closed/, hint => qr/firewall/ ],
	no_list => [ { report_url => "https://localhost:$closed/v1.0/messageTraces" },
		sqlstate => '08001', message => qr/could not connect.*message trace/, detail => qr/localhost:$closed/ ],
	no_host => [ { authority_url => 'https://no.such.host.invalid' },
		sqlstate => '08001', message => qr/could not resolve/, detail => qr/no\.such\.host\.invalid/, hint => qr/name/ ],
	no_list_host => [ { report_url => 'https://no.such.host.invalid/v1.0/messageTraces' },
		sqlstate => '08001', message => qr/could not resolve/, detail => qr/no\.such\.host\.invalid/ ],
	no_tls => [ { report_url => "http://localhost:$service->{port}/v1.0/admin/exchange/tracing/messageTraces" } ],
	untrusted => [ { ca_file => undef }, sqlstate => '08001', message => qr/TLS/, detail => qr/certificate/, hint => qr/ca_file/ ],
	wrong_secret => [ { mapping => { client_secret => 'not~this.one' } },
		sqlstate => '08004', message => qr/sign-in/, detail => qr/AADSTS7000215: Invalid client secret/, hint => qr/client_secret/ ],
	wrong_client => [ { mapping => { client_id => '00000000-0000-0000-0000-000000000000' } },
		sqlstate => '08004', detail => qr/AADSTS700016/, hint => qr/client_id/ ],
	wrong_tenant => [ { tenant_id => '99999999-9999-9999-9999-999999999999' },
		sqlstate => '08004', detail => qr/AADSTS90002: Tenant '9{8}-.*' not found/, hint => qr/tenant_id/ ],
	wrong_path => [ { report_url => $service->origin . '/v1.0/nothing/here' },
		sqlstate => 'HV000', detail => qr/404.*ResourceNotFound/, hint => qr/report_url/ ]);
for my $name (sort keys %wrong)
{
	my ($options, @expected) = @{ $wrong{$name} };
	$node->create_server($service, %usual, name => $name, schema => $name, %$options);
	fails($name, [], schema => $name, @expected);
}

# A connection that was trusted with the authority is not used without it.
my $session = $node->session;
is($session->sql("SELECT count(*) FROM mail.message_trace WHERE $day"), $count, 'a session with a good connection …');
is($session->sql_error("SELECT count(*) FROM untrusted.message_trace WHERE $day")->{sqlstate}, '08001', '… trusts nobody else with it');
is($session->sql("SELECT count(*) FROM mail.message_trace WHERE $day"), $count, '… and is still good');

# A certificate of a good authority, but another host's. (Resolved by curl itself.)
$node->create_server($service, %usual, name => 'other_name', schema => 'other_name',
	report_url => "https://other.localhost:$service->{port}/v1.0/admin/exchange/tracing/messageTraces");
fails('a certificate of another host', [], schema => 'other_name', sqlstate => '08001');

# ---- statuses -----------------------------------------------------------------------

sub status
{
	my ($status, %more) = @_;
	return { fault => 'status', status => $status, %more };
}
survives('401 once', [ status(401, skip => 2) ]);
is(scalar(grep { $_->{path} =~ /token$/ } $service->requests), 2, '… costs one more token');
fails('401 for ever', [ status(401, count => 50) ], sqlstate => '08004', detail => qr/401.*An error was ordered/, most => 2);
survives('a token that expires in the middle', [ { fault => 'expire_token', skip => 3 } ]);
fails('status 403', [ status(403) ], sqlstate => '08004', detail => qr/403.*An error was ordered/, hint => qr/ExchangeMessageTrace\.Read\.All/, most => 1);
fails('status 404', [ status(404) ], sqlstate => 'HV000', detail => qr/404/, most => 1);
fails('400 for an unknown reason', [ status(400) ], sqlstate => 'HV000', detail => qr/400.*An error was ordered/, most => 2);
fails('status 500', [ status(500, skip => 2) ], sqlstate => '08006', detail => qr/500.*An error was ordered/);
fails('502 with HTML', [ status(502, body => '<html><body>Bad Gateway</body></html>') ], sqlstate => '08006', detail => qr/502.*Bad Gateway/);
fails("$_ is no page", [ status($_, body => '{"value":[]}') ]) for 201, 204, 206, 302;
survives('503 and again', [ status(503, skip => 1, count => 3) ]);
survives('503 with Retry-After', [ status(503, retry_after => 1), status(503, retry_after => 0, skip => 4) ]);
fails('503 for ever', [ status(503, count => 50) ], sqlstate => '08006', detail => qr/503/, most => 4);
fails('503 for the token, for ever', [ status(503, on => 'token', count => 50) ], sqlstate => '08006', detail => qr/503/, most => 0);
survives('503 for the token', [ status(503, on => 'token', count => 2) ]);
survives('429 with Retry-After', [ status(429, retry_after => 1) ]);
is($session->sql("SELECT count(*) FROM mail.message_trace WHERE $day"), $count, 'the session goes on');
orders(status(429, retry_after => 1, skip => 1), status(429, retry_after => 0, skip => 3, count => 3));
is($session->sql("SELECT count(*) FROM mail.message_trace WHERE $day"), $count, 'six 429s leave out no row');
is($session->sql("SELECT retries, waited > '1s', complete FROM o365_msgtrace.last_scan()"), '4|t|t', '… and last_scan() tells of them');
survives('429 with a date', [ status(429, retry_after => strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 1))) ]);

# ---- connections -----------------------------------------------------------------------

survives('a connection that is reset', [ { fault => 'reset' }, { fault => 'reset', skip => 3, count => 2 } ]);
# (curl itself asks once more when a connection that it had kept is gone)
fails('… every time', [ { fault => 'reset', count => 50 } ], sqlstate => '08006', most => 5);
survives('a token request that is reset', [ { fault => 'reset', on => 'token' } ]);
survives('a body that is cut', [ { fault => 'cut' }, { fault => 'cut', after => 1, skip => 2 }, { fault => 'cut', after => 30000, skip => 4 } ]);
fails('… every time', [ { fault => 'cut', count => 50 } ], sqlstate => '08006', most => 4);
survives('a body that drips', [ { fault => 'drip', bytes_per_second => 400_000 } ]);
$node->create_server($service, %usual, name => 'impatient', schema => 'impatient', request_timeout => '300ms',
	max_response_size => '256kB', max_retries => 0);
fails('a body that drips for too long', [ { fault => 'drip', bytes_per_second => 1000, skip => 1 } ], schema => 'impatient',
	sqlstate => '08006', message => qr/timeout/, hint => qr/request_timeout/);
fails('headers that do not come', [ { fault => 'hang' } ], schema => 'impatient', sqlstate => '08006');
fails('a token that does not come', [ { fault => 'hang', on => 'token' } ], schema => 'impatient', sqlstate => '08006');
for my $what ('spaces', 'rows')
{
	fails("endless $what", [ { fault => 'endless', what => $what, skip => 1 } ], schema => 'impatient',
		sqlstate => 'HV000', message => qr/max_response_size/, detail => qr/\w/);
}
fails('an endless token', [ { fault => 'endless', on => 'token' } ], schema => 'impatient', sqlstate => 'HV000');

# ---- pages that are none ------------------------------------------------------------------

fails('HTML with 200', [ { fault => 'html' } ], sqlstate => '08P01', hint => qr/report_url/, most => 1);
fails('… in the middle', [ { fault => 'html', skip => 3 } ], sqlstate => '08P01', most => 4);
fails('HTML for the token', [ { fault => 'html', on => 'token' } ], sqlstate => '08P01', most => 0);
fails('invalid UTF-8', [ { fault => 'invalid_utf8', skip => 2 } ], detail => qr/UTF-8/);

my $time = $from =~ s/T12/T13/r;
my $good = qq({"id":"00000000-0000-4000-8000-000000000001","receivedDateTime":"$time","recipientAddress":"a\@b.example");
my %none = (
	'nothing' => '',
	'white space' => "  \n",
	'an empty object' => '{}',
	'an array' => '[]',
	'a null' => 'null',
	'value null' => '{"value":null}',
	'value an object' => '{"value":{}}',
	'value a text' => '{"value":"x"}',
	'a number among the records' => qq({"value":[$good},5]}),
	'a text among the records' => qq({"value":["x",$good}]}),
	'a null among the records' => qq({"value":[$good},null]}),
	'an array among the records' => qq({"value":[[$good}]]}),
	'an empty record' => '{"value":[{}]}',
	'an end that is missing' => qq({"value":[$good}]),
	'more after the end' => qq({"value":[$good}]} {"value":[]}),
	'a link that is a number' => qq({"value":[$good}],"\@odata.nextLink":5}),
	'a link that is an object' => qq({"value":[$good}],"\@odata.nextLink":{"a":1}}),
	'a link that is an array' => qq({"value":[$good}],"\@odata.nextLink":["https://localhost"]}),
	'an empty link' => qq({"value":[$good}],"\@odata.nextLink":""}),
	'an error with 200' => '{"error":{"code":"BadRequest","message":"nothing for you"}}',
	'a deep nest' => '[' x 4000,
	'a bare word' => qq({"value":[$good,"size":NaN}]}),
	'a comma too many' => qq({"value":[$good},]}),
	'an id that is no GUID' => qq({"value":[{"id":"5","receivedDateTime":"$time","recipientAddress":"a\@b.example"}]}),
	'an id that is an object' => qq({"value":[{"id":{"a":1},"receivedDateTime":"$time","recipientAddress":"a\@b.example"}]}),
	'a day that is none' => '{"value":[{"id":"00000000-0000-4000-8000-000000000001","receivedDateTime":"2026-02-30T00:00:00Z","recipientAddress":"a@b"}]}',
	'an empty recipient' => qq({"value":[{"id":"00000000-0000-4000-8000-000000000001","receivedDateTime":"$time","recipientAddress":""}]}),
	'a subject that is an object' => qq({"value":[$good,"subject":{"a":1}}]}),
	'a subject that is an array' => qq({"value":[$good,"subject":[]}]}),
	'a size that is a word' => qq({"value":[$good,"size":"big"}]}),
	'a size that is broken' => qq({"value":[$good,"size":1.5}]}),
	'a size beyond 64 bits' => qq({"value":[$good,"size":99999999999999999999}]}),
	'an address that is none' => qq({"value":[$good,"fromIP":"somewhere"}]}),
	'a BOM and garbage' => "\xEF\xBB\xBF{");
fails("a page with $_", [ status(200, body => $none{$_}) ], most => 1) for sort keys %none;

# A bad row takes the query along, and is named.
for my $kind (qw(no_received no_id no_recipient garbage_time long_key))
{
	my %field = (no_received => 'receivedDateTime', no_id => 'id', no_recipient => 'recipientAddress',
		garbage_time => 'receivedDateTime', long_key => 'recipientAddress');
	my $id = $kind eq 'no_id' ? 'without id' : 'badbadba-dbad';
	fails("a bad row: $kind", [ { fault => 'bad_row', kind => $kind, skip => 1 } ],
		message => qr/record/, detail => qr/$id.*$field{$kind}/, hint => qr/time range/, most => 2);
}
orders({ fault => 'bad_row', kind => 'number_subject' });
like($node->sql("SELECT coalesce(min(subject), 'none') FROM mail.message_trace WHERE $day AND message_trace_id::text = 'badbadba-dbad-badb-adba-dbadbadbadba'"),
	qr/^12345$/, 'a number where a text belongs is shown as text');

# ---- pages that are odd, but good --------------------------------------------------------------

my %odd = (
	'unknown members' => [ qq({"x":[{"value":[1]}],"value":[$good,"more":{"subject":"no","id":"no","l":[{"size":3}]},"subject":"yes","size":7}],"y":{"\@odata.nextLink":"https://no"}}), 'yes|7||' ],
	'nulls' => [ qq({"\@odata.nextLink":null,"value":[$good,"subject":null,"size":null,"fromIP":null,"toIP":null,"status":null,"messageId":null}]}), '|||' ],
	'empty texts' => [ qq({"value":[$good,"subject":"","fromIP":"","toIP":"","status":"","messageId":""}]}), '|||' ],
	'addresses with a port' => [ qq({"value":[$good,"fromIP":"192.0.2.7:25","toIP":"[2001:db8::7]:443"}]}), '||192.0.2.7|2001:db8::7' ],
	'a large size' => [ qq({"value":[$good,"size":9223372036854775807}]}), '|9223372036854775807||' ],
	'a size as text' => [ qq({"value":[$good,"size":"512"}]}), '|512||' ],
	'escapes' => [ qq({"value":[$good,"subject":"\\u003ca\\u003e \\\\u0000 \\ud83d\\ude00 \\/ \\"q\\""}]}), qq(<a> \\u0000 \x{1F600} / "q"|||) ],
	'a member twice' => [ qq({"value":[$good,"subject":"first","subject":"last"}]}), 'last|||' ],
	'upper case in the id' => [ qq({"value":[{"id":"ABCDEF00-0000-4000-8000-000000000001","receivedDateTime":"$time","recipientAddress":"A\@B.example","subject":"x"}]}), 'x|||' ]);
for my $name (sort keys %odd)
{
	my ($body, $expected) = @{ $odd{$name} };
	orders(status(200, body => $body));
	is($node->sql("SELECT subject, size, host(from_ip), host(to_ip) FROM mail.message_trace WHERE $day AND recipient_address = 'a\@b.example'"),
		$expected, "a page with $name");
}

for my $kind ('nul_escape', 'lone_surrogate')
{
	survives("$kind in a subject", [ { fault => $kind, skip => 1 } ], but => 'subject');
	orders({ fault => $kind, skip => 1 });
	my $text = $node->messages("CREATE TABLE replaced AS SELECT subject FROM mail.message_trace WHERE $day");
	like($text, qr/WARNING:.*U\+FFFD/, '… with a warning');
	is($node->sql("SELECT count(*) FROM replaced WHERE subject LIKE '%\x{FFFD}%'; DROP TABLE replaced"), '1', '… and one subject shows it');
}

# ---- tokens --------------------------------------------------------------------------------

my %token = (
	'no token in it' => '{"expires_in":3599}',
	'an empty token' => '{"access_token":"","expires_in":3599}',
	'a token that is a number' => '{"access_token":5,"expires_in":3599}',
	'a line end in the token' => '{"access_token":"abc\r\nX-Evil: yes","expires_in":3599}',
	'no lifetime' => '{"access_token":"abc"}',
	'no JSON' => 'abc');
fails("a sign-in with $_", [ status(200, on => 'token', body => $token{$_}) ], sqlstate => '08P01', most => 0) for sort keys %token;
survives('a lifetime in a text, and a token that is not accepted', [ status(200, on => 'token', body => '{"access_token":"known~token.value","expires_in":"3599"}') ]);

# Should the other side echo what it was sent, nobody gets to read it.
(my $quoted = $secret) =~ s/(["\\])/\\$1/g;
(my $encoded = $secret) =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
fails('a sign-in that echoes the secret', [ status(401, on => 'token',
		body => qq({"error":"invalid_client","error_description":"AADSTS7000215: wrong: $quoted"})) ], sqlstate => '08004');
fails('… as it was sent', [ status(400, on => 'token', body => "rejected: grant_type=x&client_secret=$encoded") ], sqlstate => '08004');
fails('a list that echoes the token', [ status(200, on => 'token', body => '{"access_token":"known~token.value","expires_in":3599}'),
		status(403, body => '{"error":{"code":"x","message":"you sent Authorization: Bearer known~token.value"}}') ], sqlstate => '08004');
fails('… in HTML', [ status(200, on => 'token', body => '{"access_token":"known~token.value","expires_in":3599}'),
		status(500, body => '<html>you sent Authorization: Bearer known~token.value</html>') ], sqlstate => '08006');

$node->create_server($service, %usual, name => 'star', schema => 'star', mapping => { client_secret => '*' });
fails('a secret that looks like what hides it', [ status(400, on => 'token', body => 'you sent * and **') ], schema => 'star', sqlstate => '08004');

# Renewed before it ends: no request is made with one that is over.
$service->settings(token_lifetime => 4, page_delay => 700);
survives('a token that lives shorter than the scan', []);
cmp_ok(scalar(grep { $_->{path} =~ /token$/ } $service->requests), '>=', 2, '… is renewed');
is(scalar(grep { $_->{status} == 401 } $service->requests), 0, '… in time');
$service->settings(token_lifetime => 3599, page_delay => 0);
$session->quit;
$session = $node->session;
orders();
$session->sql("SELECT count(*) FROM mail.message_trace WHERE $day") for 1 .. 3;
is(scalar(grep { $_->{path} =~ /token$/ } $service->requests), 1, 'one token serves the scans of a session');

# ---- clocks ------------------------------------------------------------------------------------

for my $skew (600, -600)
{
	survives("a clock that is $skew seconds off", [ { on => 'any', fault => 'clock_skew', seconds => $skew, count => 2 } ]);
	orders({ on => 'any', fault => 'clock_skew', seconds => $skew, count => 100 });
	my $text = $node->messages("SELECT count(*) FROM mail.message_trace WHERE $day; SELECT count(*) FROM mail.message_trace WHERE $day");
	is(scalar(() = $text =~ /WARNING:.*clock/g), 1, '… gives one warning in a session');
}
for my $skew (2 * 86400, -2 * 86400)
{
	fails("a clock that is $skew seconds off", [ { on => 'any', fault => 'clock_skew', seconds => $skew, count => 100 } ],
		sqlstate => 'HV000', message => qr/clock/, hint => qr/clock/, most => 0);
	fails("… of the list alone", [ { fault => 'clock_skew', seconds => $skew, count => 100 } ],
		sqlstate => 'HV000', message => qr/clock/, where => 'true');
}
orders();

# Clocks of several machines behind one name: the Date is ahead of what refuses the end.
orders({ on => 'token', fault => 'clock_skew', seconds => 6 });
is($node->sql_error('SELECT * FROM mail.message_trace LIMIT 1'), undef, 'a sign-in whose clock is 6 seconds ahead of the list');
orders({ on => 'any', fault => 'clock_skew', seconds => 6, count => 100 });
is($node->sql_error('SELECT * FROM mail.message_trace LIMIT 1'), undef, 'Date headers 6 seconds ahead of what the service takes for now');
orders();

# Service time is that of the answer's head: a body that takes its time makes no
# hole at the newest end of what is asked for next.
$session->quit;
$session = $node->session;
orders({ fault => 'drip', bytes_per_second => 16_000 });
$session->sql("SELECT count(*) FROM mail.message_trace WHERE received >= '$from' AND received < timestamptz '$from' + interval '45 minutes'");
my $asked_at = $session->sql('SELECT clock_timestamp()');
$session->sql('SELECT * FROM mail.message_trace LIMIT 1');
is($session->sql("SELECT service_time_at_start > timestamptz '$asked_at' - interval '3 s' FROM o365_msgtrace.last_scan()"),
	't', 'a slow body does not set the clock back');
$session->quit;

# The service comes and goes: connections and tokens that it forgot are made anew.
$session = $node->session;
orders();
is($session->sql("SELECT count(*) FROM mail.message_trace WHERE $day"), $count, 'a session with a connection and a token');
my $port = $service->{port};
$service->stop;
is($session->sql_error("SELECT count(*) FROM mail.message_trace WHERE $day")->{sqlstate}, '08001', '… when the service has gone: an error');
$service = MsgTrace::Service->start(rows_per_day => 2000, quota => 0, client_secret => $secret, port => $port);
is($session->sql("SELECT count(*) FROM mail.message_trace WHERE $day"), $count, '… when it is back, with neither: all rows');
$session->quit;

# ---- what nobody may read ----------------------------------------------------------------------

my $log = $node->log;
cmp_ok(length $log, '>', 100_000, 'the log has all that the server can tell');
for my $text ([ 'the log', $log ], [ 'no message', $said ])
{
	my ($where, $what) = @$text;
	is(index($what, $secret), -1, "$where: no secret");
	is(index($what, $encoded), -1, "$where: no encoded secret");
	is(index($what, 'known~token'), -1, "$where: no token that was echoed");
	ok($what !~ qr/eyJ[A-Za-z0-9_-]{8}/, "$where: no token");
}

done_testing();
