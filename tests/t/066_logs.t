# tests/t/066_logs.t
#
# What the server log tells: of requests as far as log_level lets it, of scans
# for audits, and never a secret. And what an error says of Entra's refusals and
# of tokens that are refused, each with its own hint.

use strict;
use warnings;
use utf8;

use JSON::PP;
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $secret = q{p@ss w+rd/100%&=~'quote"x};
my $now = '2026-05-10T12:00:00Z';
my $service = MsgTrace::Service->start(now => $now, rows_per_day => 2000, quota => 0, client_secret => $secret);
my $node = MsgTrace::Cluster->start(
	conf => {
		log_min_messages => 'debug5',
		# statements hold the secret by their nature
		log_statement => 'none',
		log_min_error_statement => 'panic'
	});
$node->create_server($service, page_size => 100, max_concurrency => 1, retry_initial_interval => '10ms', max_retries => 1);
my $day = "received >= '2026-05-01' AND received < '2026-05-02'";
my $count = "SELECT count(*) FROM mail.message_trace WHERE $day";
my $rows = $node->sql($count);
cmp_ok($rows, '>', 400, 'a query of several pages');

# The lines that match and were written while the code ran.
sub lines
{
	my ($pattern, $code) = @_;
	my $before = length $node->log;
	$code->();
	return grep { /$pattern/ } split /\n/, substr $node->log, $before;
}

# ---- requests ----------------------------------------------------------------------

my $of_requests = qr/LOG:  message trace of server "tenant": /;
my %expected = (
	error => [],
	warn => [ 'list 503 again' ],
	info => [ 'sign-in 200', 'list 503 again' ],
	debug => [ 'sign-in 200', 'list 503 again', ('list 200') x 3 ]);

# What a log line says, in short.
sub in_short
{
	my ($line) = @_;
	$line =~ m{: (sign-in|list), (?:GET|POST) https://\S+ (\d+) in \d+ ms, \d+ bytes(; again in \d+ ms)? \(client-request-id [-0-9a-f]{36}\)$}
	  or return "unknown: $line";
	return "$1 $2" . ($3 ? ' again' : '');
}

# More pages than three may be read: those behind the third are left out.
sub logged
{
	my ($set) = @_;
	$service->clear_faults;
	$service->fault({ on => 'list', fault => 'status', status => 503 });
	my @said = map { in_short($_) } lines($of_requests, sub { $node->sql($count, set => $set) });
	return [ @said > 5 ? @said[ 0 .. 4 ] : @said ];
}

is_deeply(logged({}), $expected{info}, 'log_level is info');
for my $level (qw(error warn info debug))
{
	$node->sql("ALTER SERVER tenant OPTIONS (ADD log_level '$level')");
	is_deeply(logged({}), $expected{$level}, "the option log_level $level");
	$node->sql('ALTER SERVER tenant OPTIONS (DROP log_level)');
	is_deeply(logged({ 'o365_msgtrace.log_level' => $level }), $expected{$level}, "the setting log_level $level");
}
$node->sql("ALTER SERVER tenant OPTIONS (ADD log_level 'debug')");
is_deeply(logged({ 'o365_msgtrace.log_level' => 'error' }), [], 'the setting goes before the option');
is_deeply(logged({ 'o365_msgtrace.log_level' => 'default' }), $expected{debug}, '"default" leaves it to the option');

my ($line) = lines(qr/$of_requests.*messageTraces/, sub { $node->sql($count) });
my $host = $service->origin;
like($line, qr{GET \Q$host\E/v1.0/admin/exchange/tracing/messageTraces\?\$filter=receivedDateTime%20ge%20\S+&\$top=100 200 in}, 'a request with its URL');
$service->fault({ on => 'list', fault => 'status', status => 503 });
($line) = lines(qr/$of_requests.*messageTraces/, sub { $node->sql($count, set => { 'o365_msgtrace.log_level' => 'warn' }) });
like($line, qr{GET \Q$host\E/v1.0/admin/exchange/tracing/messageTraces 503 in}, 'below debug without what names people');
my @links = lines(qr/${of_requests}list/, sub { $node->sql($count) });
ok(@links > 2 && !grep({ /skiptoken/i } @links), 'a link is shown without its token');


# ---- scans, for audits ---------------------------------------------------------------

my $of_scans = qr/LOG:  message trace scan by /;
$node->sql(<<'SQL');
CREATE ROLE regress_auditor LOGIN;
CREATE ROLE regress_reader LOGIN;
GRANT USAGE ON SCHEMA mail TO PUBLIC;
GRANT SELECT ON mail.message_trace TO regress_auditor;
GRANT CREATE ON SCHEMA mail TO regress_auditor;
SET ROLE regress_auditor;
CREATE VIEW mail.owned AS SELECT * FROM mail.message_trace;
GRANT SELECT ON mail.owned TO regress_reader;
SQL

sub scans
{
	my ($sql, %how) = @_;
	return map { s/^.*?LOG:  message trace scan by //r } lines($of_scans, sub { $node->sql_error($sql, %how) });
}

is_deeply([ scans($count) ], [], 'without the setting no scan is logged');
for my $setting ('log_scans = off', 'log_level = error')
{
	my $error = $node->sql_error("EXPLAIN SELECT * FROM mail.message_trace; SET o365_msgtrace.$setting", user => 'regress_auditor');
	is($error->{sqlstate}, '42501', "only superusers may SET o365_msgtrace.$setting");
}
$node->sql('ALTER DATABASE postgres SET o365_msgtrace.log_scans = on');

my $who = 'role "postgres" (session "postgres", application "psql") of mail.message_trace on server "tenant"';
my $range = "received >= '2026-05-01 00:00:00+00' AND received < '2026-05-02 00:00:00+00'";
is_deeply([ scans($count) ], ["$who, filter $range: $rows rows, complete"], 'a scan');
is_deeply(
	[ map { s/^.*LOG:  message trace (\w+).*/$1/r } lines(qr/LOG:|STATEMENT:/, sub { $node->sql($count, set => { log_min_messages => 'log', log_min_error_statement => 'debug5', 'o365_msgtrace.log_level' => 'info' }) }) ],
	[ 'of', 'scan' ],
	'neither it nor a request has the statement beside it');
is_deeply([ scans('SELECT count(*) FROM mail.message_trace WHERE false') ], [], 'what is not scanned is not logged');
is_deeply([ scans("EXPLAIN (VERBOSE) $count") ], [], 'nor is what is explained only');
is_deeply(
	[ scans("SELECT * FROM mail.message_trace WHERE $day LIMIT 3") ],
	["$who, filter $range: 3 rows, ended early"], 'LIMIT');
is_deeply(
	[ scans("SET application_name = 'mail report'; SELECT * FROM mail.owned WHERE $day AND sender_address = 'o''neil\@x.com'", user => 'regress_reader') ],
	[ qq{role "regress_auditor" (session "regress_reader", application "mail report") of mail.message_trace on server "tenant", filter $range AND sender_address = 'o''neil\@x.com': 0 rows, complete} ],
	'through a view, with its own filter: whose rights they are, and who asked');
is_deeply(
	[ scans("SELECT count(*) FROM (VALUES ('a\@x.com'), ('b\@x.com')) v (a), LATERAL (SELECT * FROM mail.message_trace WHERE recipient_address = a AND $day OFFSET 0) m") ],
	[ map { "$who, filter $range AND recipient_address = '$_\@x.com': 0 rows, complete" } qw(a b) ],
	'each value of a loop, since each is asked of the service');
is_deeply(
	[ scans("SELECT count(*) FROM mail.message_trace WHERE received > 'infinity'") ],
	["$who, filter none that the service could satisfy: 0 rows, complete"], 'what no row can satisfy');

$service->clear_faults;
$service->fault({ on => 'list', fault => 'status', status => 400, skip => 1, count => 50 });
my ($failed) = scans("SELECT * FROM mail.message_trace WHERE $day");
like($failed, qr/^\Q$who, filter $range\E: \d+ rows, broken off$/, 'a scan that fails');
$service->clear_faults;
like((scans("SELECT 1 / (size - size) FROM mail.message_trace WHERE $day"))[0], qr/: 1 rows, broken off$/, 'a query that fails beside the scan');

my @cancelled = lines(
	$of_scans,
	sub {
		my $session = $node->session;
		$service->fault({ on => 'list', fault => 'hang', where => 'headers', skip => 3 });
		$session->send($count);
		wait_for('a later page', 60, sub { !$service->faults_left });
		$session->cancel;
		like($session->receive, qr/canceling statement/, 'a scan is cancelled');
		$session->quit;
	});
is(scalar @cancelled, 1, 'it has its line');
like($cancelled[0], qr/\Q$who, filter $range\E: [1-9]\d* rows, broken off$/, 'with the rows that it had');

my @terminated = lines(
	$of_scans,
	sub {
		my $session = $node->session;
		$service->clear_faults;
		$service->fault({ on => 'list', fault => 'hang', where => 'headers' });
		$session->send($count);
		wait_for('the request', 60, sub { !$service->faults_left });
		$node->sql('SELECT pg_terminate_backend(' . $session->pid . ', 10000)');
		$session->quit;
	});
like($terminated[0] // '', qr/: 0 rows, broken off$/, 'so has one whose backend is terminated');

my $session = $node->session;
$service->clear_faults;
is_deeply(
	[
		map { s/^.* rows, //r } lines(
			$of_scans,
			sub {
				$session->sql("BEGIN; DECLARE c CURSOR FOR SELECT * FROM mail.message_trace WHERE $day; FETCH 5 FROM c; ROLLBACK;");
			})
	],
	['broken off'],
	'a cursor whose transaction is rolled back');
$session->quit;

# ---- what Entra refuses ------------------------------------------------------------------

sub refused
{
	my ($fault, $name, $hint, %more) = @_;
	$service->clear_faults;
	$service->fault({ count => 3, fault => 'status', %$fault, body => encode_json($fault->{body}) }) if $fault;
	my $error = $node->sql_error($count) // {};
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($error->{sqlstate}, '08004', "$name is an error of sign-in");
	like($error->{hint}, $hint, '… with its hint');
	like($error->{detail}, $more{detail}, '… and the words of the other side') if $more{detail};
	return $error;
}

my %hints = (
	700016 => qr/not in this tenant.*client_id.*tenant_id/,
	90002 => qr/no such tenant.*tenant_id/,
	700027 => qr/certificate is not registered.*certificate_file/,
	7000215 => qr/value, not its id.*client_secret/,
	7000222 => qr/has expired: make a new one/,
	700024 => qr/clock of this machine/,
	65001 => qr/consent/,
	70011 => qr/resource/,
	53003 => qr/conditional access/i,
	50001 => qr/Check the server options tenant_id and authority_url/);
my %seen;
for my $code (sort { $a <=> $b } keys %hints)
{
	my $error = refused(
		{ on => 'token', status => 400, body => { error => 'invalid_client', error_description => "AADSTS$code: Words of Entra.\r\nTrace ID: 1", trace_id => 'trace-of-it' } },
		"AADSTS$code", $hints{$code}, detail => qr/HTTP 400 invalid_client: AADSTS$code: Words of Entra\. .*request-id trace-of-it.*client-request-id [-0-9a-f]{36}/);
	ok(!$seen{ $error->{hint} }++, '… that no other code has');
}

# ---- tokens that the service refuses ---------------------------------------------------------

my $principal = '8bd644d1-64a1-4d4b-ae52-2e0cbf64e373';
my $create = qr/az ad sp create --id $principal\b.*hours/;

sub graph_error
{
	my ($code, $message) = @_;
	return { error => { code => $code, message => $message, innerError => { 'request-id' => 'request-of-it' } } };
}

for my $status (401, 403)
{
	refused(
		{ on => 'list', status => $status, body => graph_error('UnknownError', "Service principal-less authentication failed: the service principal for App ID $principal was not found.") },
		"a missing service principal ($status)", $create, detail => qr/HTTP $status UnknownError: Service principal-less.*request-id request-of-it.*client-request-id [-0-9a-f]{36}/);
}
refused({ on => 'list', status => 401, body => graph_error('InvalidAuthenticationToken', 'Wrong audience.') },
	'another 401', qr/tenant_id, resource and report_url/, detail => qr/Wrong audience/);
for my $roles ('none', 'delegated', 'other')
{
	my $hint = $roles eq 'other' ? qr/does not carry the permission/ : qr/carries no role: delegated instead of application permission, or consent missing/;
	$service->settings(roles => $roles);
	refused(
		undef, "a token with the roles \"$roles\"",
		qr/$hint.*ExchangeMessageTrace\.Read\.All of Microsoft Graph/, detail => qr/HTTP 403/);
}
$service->settings(roles => 'granted');
refused({ on => 'list', status => 403, body => graph_error('Forbidden', 'No.') },
	'a 403 with the permission in the token', qr/consent.*$principal.*hours/, detail => qr/Forbidden: No/);

# ---- nothing of it is a secret -----------------------------------------------------------------

$service->stop;
my @unanswered = lines($of_requests, sub { $node->sql_error($count) });
like($unanswered[0], qr/sign-in, POST \S+ gave no answer in \d+ ms: \w/, 'a request that had no answer is logged with the reason');

my $log = $node->log;
my $escaped = $secret =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger;
ok(index($log, $secret) < 0 && index($log, $escaped) < 0, 'no secret is in the log');
unlike($log, qr/eyJ[\w-]{10,}|[Bb]earer /, 'nor is a token');
unlike(join("\n", grep { /$of_scans|$of_requests/ } split /\n/, $log), qr/secret/, 'nor does a line of ours speak of one');

done_testing();
