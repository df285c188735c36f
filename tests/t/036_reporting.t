# tests/t/036_reporting.t
#
# The Reporting web service gives the rows that Microsoft Graph gives, by the
# same SQL: in each of its shapes, with its relative links, in whatever order,
# over pages of 2000 rows, as far back as its ten days go.

use strict;
use warnings;
use utf8;

use JSON::PP ();
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

# A day of 50 000 rows has a message with 6000 recipients, at 10:30:00.1234567.
my $service = MsgTrace::Service->start(
	now => '2026-05-13T12:00:00Z',
	rows_per_day => 50000,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0, work_mem => '64MB' });
my %reporting = (api => 'reporting', report_url => $service->report_url('reporting'));
$node->create_server($service, %reporting, rows_per_day => 50000, retry_initial_interval => '10ms');
$node->create_server($service, name => 'graph', schema => 'graph', rows_per_day => 50000);
$node->sql('ALTER FOREIGN TABLE mail.message_trace ADD organization text, ADD tenant text, ADD raw json');
$node->sql('ALTER FOREIGN TABLE graph.message_trace ADD organization text, ADD tenant text, ADD raw json');

# Held: ten days to the second, of which we leave two minutes.
my ($earliest, $now) = ('2026-05-03T12:02:00Z', '2026-05-13T11:59:59Z');
$node->load_truth($service, 'truth', $earliest, $now);

my @columns = qw(message_trace_id message_id received sender_address recipient_address subject status size from_ip to_ip);
my $columns = join ', ', @columns;

# Where times come in milliseconds, they are cut once more.
my $cut = $columns =~ s/received/date_trunc('milliseconds', received) AS received/r;
$node->sql("CREATE VIEW truth_ms AS SELECT $cut FROM truth");

sub agree
{
	my ($name, $where, %how) = @_;
	my $truth = delete $how{truth} // 'truth';
	my $table = delete $how{table} // 'mail.message_trace';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	$node->same_rows($name, "SELECT $columns FROM $table WHERE $where", "SELECT $columns FROM $truth WHERE $where", %how);
	return $service->list_requests;
}

# ---- all that is held ---------------------------------------------------------------

my @asked = agree('all ten days', 'true');
my @pages = grep { $_->{status} == 200 } @asked;
cmp_ok(scalar @pages, '>', 200, 'in some hundred pages');
is((grep { ($_->{parameters}{'$top'} // 0) != 2000 } @pages), 0, 'of 2000 rows at most');
is((grep { $_->{status} == 400 } @asked), 0, 'nothing was asked for that is no longer held');
like($asked[0]{query}, qr/StartDate eq datetime'2026-\d\d-\d\dT\d\d:\d\d:\d\dZ' and EndDate eq datetime'2026-05-13T11:59:59Z'/,
	'the range as it wants it');
is($asked[0]{accept} . '/' . ($asked[0]{prefer} // 'no Prefer'), 'application/json/no Prefer', 'the headers');
ok((grep { ($_->{parameters}{'$skiptoken'} // '') eq '1999' } @asked), 'links were followed');
my $range = $node->sql("SELECT count(*) FROM mail.message_trace WHERE received < '2026-05-03 12:10Z';"
	  . 'SELECT asked_from, complete, rejected FROM o365_msgtrace.last_scan()', set => { timezone => 'UTC' });
like($range, qr/2026-05-03 12:02:00\+00\|t\|0/, 'the oldest instant that is asked for');
is($node->sql("SELECT count(*) FROM mail.message_trace WHERE received < '2026-05-03 12:00Z'"), '0', 'nothing before');
$service->clear_requests;
$node->sql("SELECT count(*) FROM mail.message_trace WHERE received < '2026-05-03 12:00Z'");
is(scalar $service->list_requests, 0, 'and nothing is asked');

# ---- each of its shapes --------------------------------------------------------------

my $day = "received >= '2026-05-12 00:00Z' AND received < '2026-05-13 00:00Z'";
my $hour = "received >= '2026-05-12 10:00Z' AND received < '2026-05-12 11:00Z'";

for my $shape (qw(light verbose bare))
{
	my $truth = $shape eq 'light' ? 'truth' : 'truth_ms';
	for my $link ($shape eq 'bare' ? 'none' : ('relative', 'absolute'))
	{
		$service->settings(reporting_json => $shape, $link eq 'none' ? () : (reporting_link => $link));
		for my $shuffle (0, 1)
		{
			$service->settings(shuffle => $shuffle ? JSON::PP::true() : JSON::PP::false());
			agree("$shape, link $link" . ($shuffle ? ', in no order' : ''), $day, truth => $truth);
		}
	}
	agree("$shape: the second with 6000 rows", "received >= '2026-05-12 10:30:00Z' AND received < '2026-05-12 10:30:01Z'",
		truth => $truth, at_least => 6000);
	$service->settings(shuffle => JSON::PP::false());
	agree("$shape: a range without rows", "received = '2026-05-12 10:30:00.5555Z'", truth => $truth, at_least => 0);
	like(($service->list_requests)[0]{query}, qr/StartDate eq datetime'2026-05-12T10:30:00Z' and EndDate eq datetime'2026-05-12T10:30:01Z'/,
		'asked for in whole seconds');
}
$service->reset;
for my $name ('odata.nextLink', '@odata.nextLink')
{
	$service->settings(reporting_link_name => $name);
	agree("a link named $name", $hour);
}
$service->reset;

# ---- conditions -----------------------------------------------------------------------

my $person = 'ada.lovelace@contoso.com';
my @filtered = agree('a recipient', "$day AND recipient_address = '$person'");
like($filtered[0]{query}, qr/ and RecipientAddress eq 'ada\.lovelace\@contoso\.com'/, 'is asked for');
cmp_ok(scalar @filtered, '<=', 2, 'and costs no more than that');
@filtered = agree('a sender with an apostrophe', "$day AND sender_address = 'miles.o''brien\@contoso.com'");
like($filtered[0]{query}, qr/SenderAddress eq 'miles\.o''brien\@contoso\.com'/, 'is asked for');
agree('a sender beyond ASCII', "$day AND sender_address = 'jürgen.müller\@contoso.com'");
agree('both', "$day AND sender_address = 'miles.o''brien\@contoso.com' AND recipient_address LIKE 'a%'", at_least => 0);
@filtered = agree('a status', "$hour AND status = 'failed'");
is((grep { $_->{query} =~ /Status/ } @filtered), 0, 'is never asked for: its rows would move under the index');
agree('a size, an address, a subject', "$hour AND size > 100000 AND from_ip << '0.0.0.0/0' AND subject IS NOT NULL");
agree('two people', "$day AND recipient_address IN ('$person', 'grace.hopper+lists\@contoso.com')");

$service->clear_requests;
is($node->sql("SELECT count(*) FROM (SELECT * FROM mail.message_trace LIMIT 10) t"), '10', 'LIMIT');
is(scalar $service->list_requests, 1, 'costs one request');
is(
	$node->sql("SET plan_cache_mode = force_generic_plan; PREPARE p(timestamptz, text) AS SELECT count(*) FROM mail.message_trace"
		  . " WHERE received >= \$1 AND received < \$1 + interval '1 day' AND recipient_address = \$2;"
		  . "EXECUTE p('2026-05-12', '$person'); EXECUTE p('2026-05-11', '$person')", set => { timezone => 'UTC' }),
	$node->sql("SELECT count(*) FROM truth WHERE $day AND recipient_address = '$person';"
		  . "SELECT count(*) FROM truth WHERE received >= '2026-05-11 00:00Z' AND received < '2026-05-12 00:00Z' AND recipient_address = '$person'"),
	'a prepared statement');
like($node->explain("SELECT * FROM mail.message_trace WHERE $hour AND recipient_address = '$person'"),
	qr/Remote Filter: Received >= .* AND RecipientAddress = /, 'EXPLAIN shows its properties');

# ---- columns --------------------------------------------------------------------------

is($node->sql("SELECT DISTINCT organization, tenant FROM mail.message_trace WHERE $hour"), 'contoso.onmicrosoft.com|tenant', 'organization and tenant');
is($node->sql("SELECT DISTINCT organization, tenant FROM graph.message_trace WHERE $hour"), '|graph', 'Graph does not tell the organization');
for my $table ('mail', 'graph')
{
	my ($id, $recipient) = $table eq 'mail' ? ('MessageTraceId', 'RecipientAddress') : ('id', 'recipientAddress');
	is(
		$node->sql("SELECT count(*), count(*) FILTER (WHERE (raw ->> '$id')::uuid = message_trace_id"
			  . " AND lower(raw ->> '$recipient' COLLATE \"C\") = recipient_address) FROM $table.message_trace WHERE $hour")
		  =~ /^(\d+)\|(\d+)$/ && $1 == $2 && $1 > 100,
		1, "$table: the raw record is the row's own");
}
is(
	$node->sql("CREATE FOREIGN TABLE mail.named (id uuid OPTIONS (field 'MessageTraceId'), at timestamptz OPTIONS (field 'Received'),"
		  . " rcpt text OPTIONS (field 'recipientAddress'), org text OPTIONS (field 'Organization'), place int OPTIONS (field 'Index'),"
		  . " from_date timestamptz OPTIONS (field 'StartDate')) SERVER tenant;"
		  . "SELECT count(*) = (SELECT count(*) FROM truth WHERE $hour), min(org), min(place), min(from_date) FROM mail.named"
		  . " WHERE at >= '2026-05-12 10:00Z' AND at < '2026-05-12 11:00Z'", set => { timezone => 'UTC' }),
	't|contoso.onmicrosoft.com|0|2026-05-12 10:00:00+00', 'columns named by either API\'s names, and by others of its own');

# ---- links and refusals ---------------------------------------------------------------

for my $fault ('empty_page_with_link', 'looping_link', 'repeat_row', 'poisoned_link')
{
	$service->fault({ on => 'list', fault => $fault, skip => 1 });
	agree($fault, $hour);
	is(scalar($service->faults_left), 0, 'it happened');
}
for my $url ("https://evil.example/ecp/reportingwebservice/reporting.svc/MessageTrace", "//evil.example/x", "http://localhost/x",
	"https://localhost:1/ecp/x", "https://localhost\@evil.example/x")
{
	$service->fault({ on => 'list', fault => 'foreign_link', url => $url });
	$service->clear_requests;
	my $error = $node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $hour");
	is($error->{sqlstate}, '08P01', "a link to $url");
	is(scalar $service->list_requests, 1, 'is not followed');
	$service->clear_faults;
}
for my $path ('../../reportingwebservice/reporting.svc/MessageTrace', 'MessageTrace', './MessageTrace', '/ecp/reportingwebservice/reporting.svc/MessageTrace',
	'../reporting.svc/MessageTrace')
{
	$service->fault({ on => 'list', fault => 'foreign_link', url => $path });
	agree("a link $path", $hour);
}

my %refusals = (
	'400 of OData' => [ { status => 400, body => '{"odata.error":{"code":"BadFilter","message":{"lang":"en-US","value":"no such thing"}}}' }, 'HV000', qr/BadFilter.*no such thing/ ],
	'400 in the verbose shape' => [ { status => 400, body => '{"error":{"code":"BadFilter","message":{"lang":"en-US","value":"no such thing"}}}' }, 'HV000', qr/BadFilter.*no such thing/ ],
	'403 of its own' => [ { status => 403, body => '{"ErrorCode":"","Message":"No permission to access the report for the organization ."}' }, '08004', qr/No permission/ ],
	'401 with a page of HTML' => [ { status => 401, body => '<html><head><style>b {}</style><title>Sign in</title></head><body><b>no</b></body></html>', count => 2 }, '08004', qr{401: Sign in no(?: |$)} ],
	'500 UnknownError' => [ { status => 500, body => 'UnknownError', count => 9 }, '08006', qr/UnknownError/ ],
	'200 with HTML' => [ { fault => 'html' }, '08P01', qr/./ ],
	'd without an array' => [ { status => 200, body => '{"d":{"__count":5}}' }, '08P01', qr/no array/ ],
	'a body cut short' => [ { status => 200, body => '{"d":{"results":[{"MessageTraceId":"00' }, '08P01', qr/./ ]);
for my $name (sort keys %refusals)
{
	my ($fault, $state, $words) = @{ $refusals{$name} };
	$service->fault({ on => 'list', fault => 'status', %$fault });
	my $error = $node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $hour");
	is($error->{sqlstate}, $state, $name);
	like($error->{detail}, $words, 'in its own words');
	$service->clear_faults;
}

# ---- the index of a row ---------------------------------------------------------------

# The service gives up at row 999999 of a window. A slice that has more than 20 pages and
# 40 000 rows is parted, however wrong the estimate is and in whatever order rows come. Here
# pages have 100 rows.
my $dense = "received >= '2026-05-12 11:00Z' AND received < '2026-05-13 10:00Z'";
$node->sql("ALTER SERVER tenant OPTIONS (SET rows_per_day '1', ADD page_size '100', ADD max_concurrency '1')");
for my $concurrency (1, 3)
{
	$node->sql("ALTER SERVER tenant OPTIONS (SET max_concurrency '$concurrency')");
	for my $order ('newest first', 'in no order', 'in no order, without links')
	{
		$service->settings(shuffle => $order =~ /no order/ ? JSON::PP::true() : JSON::PP::false(),
			reporting_json => $order =~ /without/ ? 'bare' : 'light');
		my @parts = agree("a day that is taken for empty, $order, $concurrency in flight", $dense,
			at_least => 30_000, truth => $order =~ /without/ ? 'truth_ms' : 'truth');
		my ($last) = sort { $b <=> $a } map { $_->{parameters}{'$skiptoken'} // 0 } @parts;
		cmp_ok($last, '>', 100, '… is read by the index of its rows');
		cmp_ok($last, '<', 40_000, '… of forty thousand rows at most');
	}
}
$service->reset;
$node->sql("ALTER SERVER tenant OPTIONS (SET rows_per_day '50000', DROP page_size, DROP max_concurrency)");

# ---- the ingest -----------------------------------------------------------------------

$node->sql("CREATE SCHEMA archive; SELECT o365_msgtrace.create_input('old', 'mail.message_trace', 'archive.old');"
	  . "CALL o365_msgtrace.run('old')");
$service->set_clock(advance => 1800);
$node->sql("CALL o365_msgtrace.run('old')");
$node->load_truth($service, 'later', '2026-05-13T11:00:00Z', '2026-05-13T12:29:58Z');
$node->same_rows('an ingest from a Reporting source', "SELECT $columns FROM archive.old WHERE received < '2026-05-13 12:29:58Z'",
	"SELECT $columns FROM later WHERE received >= '2026-05-13 11:00Z'");
is($node->sql("SELECT count(*) FROM archive.old WHERE raw IS NULL OR organization <> 'contoso.onmicrosoft.com'"), '0', 'with its optional columns');
$service->set_clock(advance => 9 * 86400 + 82800);
$node->sql("CALL o365_msgtrace.run('old')");
is(
	$node->sql("SELECT isempty(missing), isempty(expired) FROM o365_msgtrace.coverage"), 't|t',
	'ten days later its gaps are read just in time');
$service->set_clock(advance => 11 * 86400);
$node->sql("CALL o365_msgtrace.run('old')");
is(
	$node->sql("SELECT isempty(missing), upper(expired) BETWEEN '2026-05-24 11:30Z' AND '2026-05-24 11:40Z' FROM o365_msgtrace.coverage"),
	't|t', 'what is older is known to be lost');

done_testing();
