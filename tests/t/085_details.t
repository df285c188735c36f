# tests/t/085_details.t
#
# The details of a delivery: each event that the service tells of it, whichever
# way its key comes: constants, parameters, lists, joins. One request for each
# delivery (with Reporting one more, for its row), none where there can be no such
# delivery, an error where the plan cannot know which deliveries are meant.
#
# A message trace joined with its details is one scan: details are asked for of
# those rows only that the trace's own conditions leave.

use strict;
use warnings;
use utf8;

use JSON::PP ();
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-13T12:00:00Z',
	rows_per_day => 1000,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0, log_statement => 'none' });
my %options = (rows_per_day => 1000, retry_initial_interval => '10ms', max_retries => 2);
my %schema = (graph => 'mail', reporting => 'older');
$node->create_server($service, %options);
$node->create_server($service, name => 'older', schema => 'older', api => 'reporting', report_url => $service->report_url('reporting'), %options);

# What is there: the trace of some hours, and the events of all its deliveries.
my ($from, $to) = ('2026-05-12T08:00:00Z', '2026-05-12T11:00:00Z');
my $hours = "received >= '$from' AND received < '$to'";
$node->load_truth($service, 'truth', $from, $to);
my @deliveries = map { [ split /\|/ ] } split /\n/,
  $node->sql('SELECT message_trace_id, recipient_address FROM truth ORDER BY received, 1, 2');
my $columns = 'message_trace_id, recipient_address, message_id, event_time, event, action, detail, data';
my $file = $service->save_detail_truth(folder() . '/details.csv', @deliveries);
$node->sql(<<"SQL");
CREATE TABLE detail_truth (message_trace_id uuid, recipient_address text, message_id text, event_time timestamptz,
	event text, action text, detail text, data text);
\\copy detail_truth FROM '$file' (FORMAT csv, HEADER)
ANALYZE detail_truth;
SQL
cmp_ok(scalar @deliveries, '>', 200, 'there are deliveries');
is($node->sql('SELECT count(DISTINCT (message_trace_id, recipient_address)) FROM detail_truth'), scalar @deliveries, '… each with events');
for my $odd (q(%''%), '%+%', '%[^[:ascii:]]%')
{
	my $operator = $odd =~ /\[/ ? "~ '[^[:ascii:]]'" : "LIKE '$odd'";
	isnt($node->sql("SELECT count(*) FROM truth WHERE recipient_address $operator"), '0', "… also to addresses $operator");
}

# The same query over the foreign tables (TRACE, DETAIL) and over the truth. %how takes, beside those of
# same_rows, api, and details => the requests for details, lists => those for lists.
sub agree
{
	my ($name, $query, %how) = @_;
	my $schema = $schema{ delete $how{api} // 'graph' };
	my ($details, $lists) = delete @how{qw(details lists)};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	$node->same_rows($name,
		$query =~ s/TRACE/$schema.message_trace/gr =~ s/DETAIL/$schema.message_trace_detail/gr,
		$query =~ s/TRACE/truth/gr =~ s/DETAIL/detail_truth/gr, %how);
	is(scalar(my @asked = $service->detail_requests), $details, '… in so many requests for details') if defined $details;
	is(scalar(@asked = $service->list_requests), $lists, '… and for lists') if defined $lists;
	return;
}

my ($id, $recipient) = @{ $deliveries[10] };
my ($other_id, $other_recipient) = @{ $deliveries[20] };
my $one = "message_trace_id = '$id' AND recipient_address = '$recipient'";

# ---- keys of all kinds -------------------------------------------------------------

for my $api (sort keys %schema)
{
	my $lists = $api eq 'graph' ? 0 : 1;
	agree("$api: a delivery", "SELECT $columns FROM DETAIL WHERE $one", api => $api, details => 1, lists => $lists);
	agree("$api: all of some hours, one after the other",
		"SELECT d.*, t.subject FROM truth t JOIN DETAIL d USING (message_trace_id, recipient_address)",
		api => $api, details => scalar @deliveries, lists => $lists * @deliveries);
}
agree('a list of recipients, one of them twice, and nobody',
	"SELECT $columns FROM DETAIL WHERE message_trace_id = '$id' AND recipient_address IN ('$recipient', '$recipient', 'nobody\@nowhere.example', NULL)", details => 2);
agree('lists in which NULL comes before others',
	"SELECT $columns FROM DETAIL WHERE message_trace_id = ANY (ARRAY[NULL, '$id', '$other_id']::uuid[]) AND recipient_address IN (NULL, '$recipient')", details => 2);
agree('lists of both: each with each',
	"SELECT $columns FROM DETAIL WHERE message_trace_id IN ('$id', '$other_id') AND recipient_address = ANY (ARRAY['$recipient', '$other_recipient'])", details => 4);
agree('pairs', "SELECT $columns FROM DETAIL WHERE (message_trace_id, recipient_address) IN (('$id', '$recipient'), ('$other_id', '$other_recipient'))", details => 2);
agree('OR of recipients', "SELECT $columns FROM DETAIL WHERE message_trace_id = '$id' AND (recipient_address = '$recipient' OR recipient_address = 'x\@y.example')", details => 2);
agree('a uuid as text', "SELECT $columns FROM DETAIL WHERE message_trace_id::text = '$id' AND recipient_address = '$recipient'::varchar", details => 1);
agree('conditions that are checked here', "SELECT $columns FROM DETAIL WHERE $one AND event <> 'Submit' AND event_time > '$from' AND data LIKE '%Long%'", details => 1);
agree('two values of one part', "SELECT $columns FROM DETAIL WHERE $one AND message_trace_id = '$other_id'", at_least => 0, details => 0);
agree('results of subqueries', "SELECT $columns FROM DETAIL WHERE message_trace_id = (SELECT '$id'::uuid) AND recipient_address = (SELECT lower('$recipient'))", details => 1);
agree('EXISTS', "SELECT $columns FROM DETAIL d WHERE EXISTS (SELECT FROM truth t WHERE t.message_trace_id = d.message_trace_id AND t.recipient_address = d.recipient_address AND size > 1000000)");
agree('IN of a subquery', "SELECT $columns FROM DETAIL WHERE (message_trace_id, recipient_address) IN (SELECT message_trace_id, recipient_address FROM truth WHERE size > 1000000)");
agree('a correlated subquery',
	"SELECT subject, (SELECT string_agg(event, ',' ORDER BY event_time, event) FROM DETAIL d WHERE d.message_trace_id = t.message_trace_id AND d.recipient_address = t.recipient_address) FROM truth t WHERE size > 500000");
agree('LATERAL', "SELECT t.message_trace_id, d.* FROM truth t, LATERAL (SELECT event, event_time FROM DETAIL x WHERE x.message_trace_id = t.message_trace_id AND x.recipient_address = t.recipient_address ORDER BY event_time DESC, event LIMIT 1) d WHERE size > 500000");
agree('a left join', "SELECT m.mail, d.event FROM (VALUES ('$id'::uuid, '$recipient'), ('$id', 'nobody\@nowhere.example'), (NULL, '$recipient')) m (id, mail) LEFT JOIN DETAIL d ON d.message_trace_id = m.id AND d.recipient_address = m.mail", details => 2);
agree('arrays of another table', "SELECT d.* FROM (SELECT message_trace_id AS id, array_agg(recipient_address) AS mails FROM truth WHERE size > 500000 GROUP BY 1) m JOIN DETAIL d ON d.message_trace_id = m.id AND d.recipient_address = ANY (m.mails)");
agree('no nested loops', "SELECT d.* FROM truth t JOIN DETAIL d USING (message_trace_id, recipient_address) WHERE size > 1000000", before => 'SET LOCAL enable_nestloop = off');

# Loops that ask what others have asked; little memory keeps less, and is right all the same.
my $repeated = '(SELECT t.*, i FROM generate_series(1, 3) i, (SELECT * FROM truth ORDER BY received, message_trace_id, recipient_address LIMIT 20) t) m';
for my $memory ('4MB', '64kB')
{
	my @count = $memory eq '4MB' ? (details => 20) : ();
	my $set = "SET LOCAL work_mem = '$memory'; SET LOCAL enable_memoize = off";
	agree("a subquery for each of repeated rows, work_mem $memory",
		"SELECT i, (SELECT string_agg(event, ',' ORDER BY event_time, event) FROM DETAIL d WHERE d.message_trace_id = m.message_trace_id AND d.recipient_address = m.recipient_address) FROM $repeated", before => $set, @count);
	agree("… a join with them", "SELECT i, d.* FROM $repeated JOIN DETAIL d USING (message_trace_id, recipient_address)", before => $set, @count);
	agree("… of which each takes one", "SELECT i, d.n FROM $repeated, LATERAL (SELECT 1 AS n FROM DETAIL d WHERE d.message_trace_id = m.message_trace_id AND d.recipient_address IN (m.recipient_address, 'x\@y.example', 'z\@y.example') LIMIT 1) d", before => $set);
}
agree('nothing changes from loop to loop', "SELECT i, x.event FROM generate_series(1, 4) i LEFT JOIN LATERAL (SELECT event FROM DETAIL WHERE $one AND i > 0 OFFSET 0) x ON true",
	before => 'SET LOCAL enable_material = off; SET LOCAL enable_memoize = off', details => 1);
for my $mode ('force_custom_plan', 'force_generic_plan')
{
	$service->clear_requests;
	is(
		$node->sql("SET plan_cache_mode = $mode; PREPARE p(uuid[], text) AS SELECT count(*) FROM mail.message_trace_detail WHERE message_trace_id = ANY (\$1) AND recipient_address = \$2;"
			  . "EXECUTE p('{$id,$id}', '$recipient'); EXECUTE p('{}', '$recipient'); EXECUTE p(NULL, '$recipient'); EXECUTE p('{$other_id}', NULL)"),
		$node->sql("SELECT count(*) FROM detail_truth WHERE $one") . "\n0\n0\n0", "a prepared statement, $mode");
	is(scalar(my @asked = $service->detail_requests), 1, '… asks where there is something to ask');
}

# ---- deliveries that there are none of -------------------------------------------------

for my $api (sort keys %schema)
{
	my $table = "$schema{$api}.message_trace_detail";
	my $unknown = "SELECT count(*) FROM $table WHERE message_trace_id = '00000000-0000-4000-8000-000000000000' AND recipient_address = '$recipient'";
	$service->clear_requests;
	is($node->sql($unknown), '0', "$api: an id that the service does not know");
	is(scalar(my @asked = $service->requests) - $service->token_requests, 1, '… costs a request');
	$service->fault({ on => 'detail', fault => 'status', status => 404, body => '{"error":{"code":"NotFound","message":"no such message"}}' });
	is($node->sql("SELECT count(*) FROM $table WHERE $one"), '0', "$api: 404 in the service's own words");
	$service->fault({ on => 'detail', fault => 'status', status => 404, body => '<html>not here</html>' });
	is($node->sql_error("SELECT count(*) FROM $table WHERE $one")->{sqlstate}, 'HV000', '… and in somebody else\'s');
}
for my $where ("message_trace_id = '$id' AND recipient_address = ''", "message_trace_id = '$id' AND recipient_address = '*\@contoso.com'", "message_trace_id::text = 'none' AND recipient_address = '$recipient'",
	"message_trace_id = '$id' AND recipient_address = repeat('a', 1100)", "message_trace_id = NULL AND recipient_address = '$recipient'")
{
	$service->clear_requests;
	is($node->sql("SELECT count(*) FROM mail.message_trace_detail WHERE $where"), '0', "no delivery: $where");
	is(scalar(my @asked = $service->requests), 0, '… no request');
}
for my $query ('mail.message_trace_detail', "mail.message_trace_detail WHERE message_trace_id = '$id'", "mail.message_trace_detail WHERE $one OR event = 'Fail'",
	'mail.message_trace_detail d FULL JOIN truth t ON d.message_trace_id = t.message_trace_id AND d.recipient_address = t.recipient_address',
	'mail.message_trace t FULL JOIN mail.message_trace_detail d USING (message_trace_id, recipient_address)')
{
	$service->clear_requests;
	my $error = $node->sql_error("SELECT count(*) FROM $query");
	is("$error->{sqlstate} " . ($error->{hint} =~ /JOIN message_trace_detail d USING/ ? 'an example' : $error->{text}), 'HV00L an example', "no keys: $query");
	is(scalar(my @asked = $service->requests), 0, '… no request');
}

# ---- what an answer may look like ------------------------------------------------------

$service->settings(reporting_json => $_), agree("Reporting's shape $_", "SELECT $columns FROM DETAIL WHERE $one", api => 'reporting') for qw(light verbose bare);
$service->reset;

$node->sql(<<'SQL');
ALTER FOREIGN TABLE mail.message_trace_detail ADD raw json, ADD tenant text;
CREATE FOREIGN TABLE mail.odd (id text OPTIONS (field 'id'), message_trace_id text, recipient_address text, "when" text OPTIONS (field 'dateTime'),
	event_time timestamptz, words text OPTIONS (field 'description'), action text, extra text OPTIONS (field 'somethingNew'))
	SERVER tenant OPTIONS ("table" 'message_trace_detail', normalize 'false');
SQL
my $detail = "SELECT event_time, event, action, detail, data, message_id FROM mail.message_trace_detail WHERE $one";

# Answers of our own: the next requests for details get these documents.
sub answers
{
	$service->faults_instead(map { { on => 'detail', fault => 'status', status => 200, body => $_ } } @_);
	return;
}

sub page
{
	return '{"value":[' . join(',', @_) . ']}';
}

answers(page('{"dateTime":"2026-05-12T10:00:00.1234567Z","event":"Fail","action":"","description":"a\u0000b","data":null,"@odata.type":"#x","id":{"a":[1]}}',
		'{"event":null,"dateTime":"\/Date(1658751973240)\/","messageId":"<a@b>"}'));
is($node->sql("SET client_min_messages = error; $detail"), "2026-05-12 10:00:00.123456+00|Fail||a\x{FFFD}b||\n2022-07-25 12:26:13.24+00|||||<a\@b>", 'odd values');
answers(page('{"dateTime":"2026-05-12T10:00:00","event":"Fail\u0000"}'));
like($node->messages($detail), qr/WARNING:.*1 character that text cannot hold was replaced/, 'a character that text cannot hold is told of');
answers(page('{"id":"x-1","dateTime":"2026-05-12T10:00:00.9999999","description":"","action":"none","somethingNew":"new"}'));
is($node->sql("SELECT *, words IS NULL FROM mail.odd WHERE message_trace_id = upper('$id') AND recipient_address = '$recipient'"),
	'x-1|' . uc($id) . "|$recipient|2026-05-12T10:00:00.9999999|2026-05-12 10:00:00.999999+00||none|new|f",
	'columns by the service\'s names, the key as asked for, all as sent');
is($node->sql("SELECT tenant || (raw ->> 'id') = 'tenant' || message_trace_id, count(*) FROM mail.message_trace_detail WHERE $one GROUP BY 1"),
	't|' . $node->sql("SELECT count(*) FROM detail_truth WHERE $one"), 'raw and tenant');
answers('{"@odata.nextLink":"' . $service->report_url . "/$id/getDetailsByRecipient(recipientAddress='$recipient')\",\"value\":[]}");
agree('a page that leads to another', "SELECT $columns FROM DETAIL WHERE $one", details => 2);

my %broken = (
	'a link to another host' => [ '{"value":[],"@odata.nextLink":"https://evil.example/x"}', '08P01' ],
	'no page' => [ '<html>sign in</html>', '08P01' ],
	'an error in a page' => [ '{"value":[],"error":{"code":"x"}}', '08P01' ],
	'an event without time' => [ page('{"event":"Fail"}'), 'HV004' ],
	'a time that is none' => [ page('{"event":"Fail","dateTime":"today"}'), 'HV004' ],
	'an event that is no text' => [ page('{"event":["Fail"],"dateTime":"2026-05-12T10:00:00Z"}'), 'HV004' ],
	'half a page' => [ '{"value":[{"event":"Fail","dateTime":"2026-05-12T10:00:00Z"}', '08P01' ]);
for my $what (sort keys %broken)
{
	answers($broken{$what}[0]);
	my $error = $node->sql_error($detail);
	is($error->{sqlstate}, $broken{$what}[1], "$what is an error");
	like($error->{detail}, qr/^Record $id, field \w+: .*; on page 1 of the details of that delivery\.$/, '… that names the delivery') if $broken{$what}[1] eq 'HV004';
}
answers(page('{"event":"Fail"}', '{"event":"Fail"}', '{"event":"Drop"}', '{"event":"Deliver","dateTime":"2026-05-12T10:00:00Z"}', '{"event":"Bad","dateTime":"2026-05-12T10:00:00Z",}'));
is($node->sql("SET client_min_messages = error; SET o365_msgtrace.on_bad_row = reject; $detail"), '2026-05-12 10:00:00+00|Deliver||||', 'with reject the others come');
answers(page('{"event":"Fail"}', '{"event":"Fail"}', '{"event":"Drop"}', '{"event":"Deliver","dateTime":"2026-05-12T10:00:00Z"}', '{"event":"Bad","dateTime":"2026-05-12T10:00:00Z",}'));
like($node->messages("SET o365_msgtrace.on_bad_row = reject; $detail"), qr/3 records that cannot be read were set aside.*The first is record $id, field dateTime/s, '… and those are counted, each once');
$service->clear_faults;

# ---- faults, limits, cancel ---------------------------------------------------------------

for my $api (sort keys %schema)
{
	for my $fault (
		{ fault => 'status', status => 503 }, { fault => 'status', status => 429, retry_after => 0 }, { fault => 'cut' }, { fault => 'reset' }, { fault => 'expire_token' })
	{
		$service->fault({ on => 'detail', %$fault });
		agree("$api, after $fault->{fault} " . ($fault->{status} // ''), "SELECT $columns FROM DETAIL WHERE message_trace_id IN ('$id', '$other_id') AND recipient_address IN ('$recipient', '$other_recipient')", api => $api);
		is(scalar(my @left = $service->faults_left), 0, '… which did happen');
	}
}
$service->fault({ on => 'detail', fault => 'status', status => 500, count => 5 });
my $failed = $node->sql_error($detail);
is($failed->{sqlstate}, '08006', 'a service that fails') or diag($failed->{text});
like($failed->{message}, qr/details of a delivery/, '… says at what');
$service->clear_faults;
my $limited = $node->sql_error('SELECT * FROM truth t JOIN mail.message_trace_detail d USING (message_trace_id, recipient_address)', set => { 'o365_msgtrace.max_requests_per_query' => 7 });
is($limited->{sqlstate}, '54000', 'a query has no more requests than it may');

my $session = $node->session;
$service->fault({ on => 'detail', fault => 'hang' });
$session->send($detail);
wait_for('the request to hang', 60, sub { !$service->faults_left });
$session->cancel;
is(MsgTrace::Cluster::parse_error($session->receive)->{sqlstate}, '57014', 'a cancel ends the wait');
is($session->sql($detail), $node->sql($detail), '… and the session goes on');
$service->clear_faults;
$service->fault({ on => 'detail', fault => 'hang' });
is($session->sql_error("SET statement_timeout = '200ms'; $detail")->{sqlstate}, '57014', 'a timeout does');
$session->quit;
$service->clear_faults;

# A budget of two lists and a detail: shared, the second detail waits. Each in a tenant of its own, since
# all sessions may have one budget: from PostgreSQL 17 on, which takes half of it to have been used before.
my $used_before = $node->sql('SHOW server_version_num') >= 170000 ? 3 : 0;
for my $quota ('shared', 'separate')
{
	my $tenant = sprintf '99999999-0000-4000-8000-%012d', length $quota;
	$service->add_tenant(id => $tenant, domain => "$quota.example");
	$node->create_server($service, name => $quota, schema => $quota, tenant_id => $tenant, quota_requests => 3 + $used_before, quota_window => '1h', detail_quota => $quota);
	my $asking = $node->session;
	my $list = "SELECT FROM $quota.message_trace WHERE $hours LIMIT 1";
	# (what needs no slot may take its time)
	my $timeout = $quota eq 'shared' ? '2s' : '0';
	my $error = $asking->sql_error("SET statement_timeout = '$timeout'; $list; $list; SELECT count(*) FROM $quota.message_trace_detail"
		  . " WHERE message_trace_id IN ('$id', '$other_id') AND recipient_address IN ('$recipient')");
	is($error ? $error->{sqlstate} : 'none', $quota eq 'shared' ? '57014' : 'none', "detail_quota $quota");
	is($asking->sql("SELECT api, used - $used_before FROM o365_msgtrace.quota WHERE tenant = '$tenant' ORDER BY 1"), "graph|2\ngraph:detail|2", '… as view quota shows')
	  if $quota eq 'separate';
	$asking->quit;
}

# ---- several in flight -------------------------------------------------------------------

my @some = @deliveries[0 .. 8];
my $pairs = join ', ', map { my ($of, $to_whom) = @$_; "('$of', '" . ($to_whom =~ s/'/''/gr) . "')" } @some;
my $many = "(message_trace_id, recipient_address) IN ($pairs)";
for my $concurrency (1, 3, 5)
{
	$node->sql("ALTER FOREIGN TABLE mail.message_trace_detail OPTIONS (ADD max_concurrency '$concurrency')");
	agree("max_concurrency $concurrency", "SELECT $columns FROM DETAIL WHERE $many", details => 9);
	# None is answered: as many are asked for as may be in flight, in a join, too.
	for my $query ("SELECT * FROM mail.message_trace_detail WHERE $many", "SELECT t.subject, d.event FROM mail.message_trace t JOIN mail.message_trace_detail d USING (message_trace_id, recipient_address) WHERE $hours")
	{
		$service->clear_requests;
		$service->fault({ on => 'detail', fault => 'hang', count => 9 });
		my $waiting = $node->session;
		$waiting->send($query);
		wait_for("$concurrency requests", 60, sub { (my @asked = $service->detail_requests) == $concurrency });
		$waiting->cancel;
		is(MsgTrace::Cluster::parse_error($waiting->receive)->{sqlstate}, '57014', "… $concurrency in flight, and cancelled");
		is(scalar(my @asked = $service->detail_requests), $concurrency, '… and no more');
		$waiting->quit;
		$service->clear_faults;
	}
	# Neither waits for the other: the trace is read on, here row by row, while details hang.
	$node->sql("ALTER FOREIGN TABLE mail.message_trace OPTIONS (ADD page_size '1')");
	$service->clear_requests;
	$service->fault({ on => 'detail', fault => 'hang', count => 9 });
	my $joined = $node->session;
	$joined->send("SELECT t.subject, d.event FROM mail.message_trace t JOIN mail.message_trace_detail d USING (message_trace_id, recipient_address) WHERE $hours");
	wait_for("$concurrency requests, of rows of as many pages", 60, sub { (my @asked = $service->detail_requests) == $concurrency });
	$joined->cancel;
	is(MsgTrace::Cluster::parse_error($joined->receive)->{sqlstate}, '57014', "… $concurrency in flight, of a trace that is read on meanwhile");
	$joined->quit;
	$service->clear_faults;
	$node->sql('ALTER FOREIGN TABLE mail.message_trace OPTIONS (DROP page_size)');
	$service->clear_requests;
	$service->fault({ on => 'detail', fault => 'hang' });
	$node->sql_error("SELECT * FROM mail.message_trace_detail WHERE $many", set => { statement_timeout => '500ms' });
	# whichever of the first ones comes first at the service hangs, and those before it are delivered
	my $all = my @asked = $service->detail_requests;
	ok($concurrency <= $all && $all < 2 * $concurrency, "… and $all when only one waits for its answer");
	$node->sql('ALTER FOREIGN TABLE mail.message_trace_detail OPTIONS (DROP max_concurrency)');
}
$service->fault({ on => 'detail', fault => 'delay', ms => 400 });
is($node->sql("SELECT string_agg(DISTINCT n || ':' || message_trace_id, ' ') FROM (SELECT message_trace_id, dense_rank() OVER (ORDER BY first) - 1 AS n FROM (SELECT message_trace_id, min(n) AS first FROM (SELECT message_trace_id, recipient_address, row_number() OVER () AS n FROM mail.message_trace_detail WHERE $many) a GROUP BY message_trace_id, recipient_address) b) c"),
	join(' ', map { "$_:$some[$_][0]" } 0 .. 8), 'rows come in the order of the keys, though the first answer came last');
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '2', ADD quota_window '1s')");
agree('in flight under a budget that is too small for them', "SELECT $columns FROM DETAIL WHERE $many", details => 9);
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '0', DROP quota_window)");
$service->fault({ on => 'detail', fault => 'status', status => 429, retry_after => 0, count => 2 }, { on => 'detail', fault => 'cut' }, { on => 'detail', fault => 'delay', ms => 100, skip => 1 });
agree('faults of some of them', "SELECT $columns FROM DETAIL WHERE $many");
$service->fault({ on => 'detail', fault => 'html', skip => 4 });
is($node->sql_error("SELECT $columns FROM mail.message_trace_detail WHERE $many")->{sqlstate}, '08P01', 'the failure of one is that of all');
$service->clear_faults;

# ---- what is told of a scan -----------------------------------------------------------------

# (All sessions may be counted together.)
my $counted = "SELECT coalesce(sum(requests), 0), coalesce(sum(pages), 0), coalesce(sum(rows), 0) FROM o365_msgtrace.server_stats WHERE server = 'tenant'";
my ($before, @rest) = map { [ split /\|/ ] } grep { /^\d+\|\d+\|\d+$/ } split /\n/, $node->sql("$counted; $detail; $counted");
is(join('|', map { $rest[-1][$_] - $before->[$_] } 0 .. 2), '1|1|' . $node->sql("SELECT count(*) FROM detail_truth WHERE $one"), 'view server_stats');
is($node->sql("$detail; SELECT asked_from, complete, requests, pages, rows FROM o365_msgtrace.last_scan()") =~ s/.*\n//sr, '|t|1|1|' . $node->sql("SELECT count(*) FROM detail_truth WHERE $one"), 'last_scan()');
like(
	$node->explain("SELECT * FROM mail.message_trace_detail WHERE message_trace_id IN ('$id', '$other_id') AND recipient_address = '$recipient'", 'VERBOSE, ANALYZE, COSTS OFF'),
	qr/Deliveries: message_trace_id = ANY .*First Request: \S+getDetailsByRecipient\(recipientAddress='\Q$recipient\E'\)\n\s*Deliveries Asked For: 2\n\s*Requests: 2\n/s, 'EXPLAIN ANALYZE');
like(
	$node->sql("SET o365_msgtrace.log_scans = on; SET client_min_messages = log; $detail") . $node->log,
	qr/scan by role "postgres".* of mail\.message_trace_detail on server "tenant", filter message_trace_id = '$id' AND recipient_address = '\Q$recipient\E': \d+ rows, complete/, 'the audit has the deliveries');

# ---- a message trace joined with its details -------------------------------------------------

my ($many_id, $of_many) = split /\|/, $node->sql('SELECT message_trace_id, min(recipient_address) FROM truth GROUP BY 1 HAVING count(*) > 1 ORDER BY count(*), 1 LIMIT 1');
my $using = 'USING (message_trace_id, recipient_address)';
my $shown = 't.received, t.subject, t.status, message_trace_id, recipient_address, d.event_time, d.event, d.action, d.detail, d.data, d.message_id';

sub rows_where
{
	return $node->sql("SELECT count(*) FROM truth WHERE $hours AND ($_[0])");
}

for my $api (sort keys %schema)
{
	for my $where ("status = 'failed'", 'size > 300000', "subject LIKE '%re%' AND size < 20000")
	{
		agree("$api: the details of those $where", "SELECT $shown FROM TRACE t JOIN DETAIL d $using WHERE $hours AND $where", api => $api, details => rows_where($where), lists => 1);
	}
	agree("$api: and conditions on them", "SELECT $shown FROM TRACE t JOIN DETAIL d $using WHERE $hours AND size > 100000 AND event IN ('Fail', 'Deliver') AND d.event_time > t.received AND d.detail <> t.subject", api => $api, details => rows_where('size > 100000'));
}
agree('one recipient', "SELECT $shown FROM TRACE t JOIN DETAIL d $using WHERE $hours AND recipient_address = '$recipient'", details => rows_where("recipient_address = '$recipient'"));
agree('one delivery, named on either side', "SELECT t.size, d.event FROM TRACE t JOIN DETAIL d $using WHERE $hours AND t.message_trace_id = '$id' AND d.recipient_address = '$recipient'", details => 1);
agree('the keys compared one by one, and no column but a count', "SELECT count(*) FROM DETAIL d, TRACE t WHERE $hours AND d.recipient_address = t.recipient_address AND t.message_trace_id = d.message_trace_id AND t.size > 100000");
agree('… of what is above, grouped', "SELECT t.status, d.event, count(*), max(d.event_time - t.received) FROM TRACE t JOIN DETAIL d $using WHERE $hours AND t.size > 100000 GROUP BY 1, 2");
agree('joined by one part only', "SELECT t.recipient_address AS r, t.received, d.event, d.event_time FROM TRACE t JOIN DETAIL d ON d.message_trace_id = t.message_trace_id AND d.recipient_address = '$of_many' WHERE $hours AND t.message_trace_id = '$many_id'", at_least => 2, details => 1);
agree('joined crosswise', "SELECT t.subject, d.event FROM TRACE t JOIN DETAIL d ON d.message_trace_id = t.message_trace_id AND d.recipient_address = t.sender_address WHERE $hours AND t.size > 500000", at_least => 0);
agree('three of them', "SELECT t.subject, d.event, e.event AS after FROM TRACE t JOIN DETAIL d $using JOIN DETAIL e $using WHERE $hours AND t.size > 1000000 AND d.event_time < e.event_time");
is(
	$node->sql("SELECT count(*) FROM mail.message_trace t JOIN older.message_trace_detail d $using WHERE $hours AND t.size > 1000000"),
	$node->sql("SELECT count(*) FROM truth t JOIN detail_truth d $using WHERE $hours AND t.size > 1000000"), 'of two servers');
$node->sql('CREATE FOREIGN TABLE mail.as_text (message_trace_id text, recipient_address varchar, event text) SERVER tenant OPTIONS ("table" \'message_trace_detail\')');
is(
	$node->sql("SELECT count(*) FROM mail.message_trace t JOIN mail.as_text d ON d.message_trace_id = t.message_trace_id::text AND d.recipient_address = t.recipient_address WHERE $hours AND t.size > 1000000"),
	$node->sql("SELECT count(*) FROM truth t JOIN detail_truth d $using WHERE $hours AND t.size > 1000000"), 'columns of other types');
agree('no row of the trace', "SELECT $shown FROM TRACE t JOIN DETAIL d $using WHERE $hours AND subject = 'no such subject'", at_least => 0, details => 0, lists => 1);
agree('beside another table', "SELECT m.n, $shown FROM TRACE t JOIN DETAIL d $using JOIN (SELECT recipient_address AS mail, count(*) AS n FROM truth GROUP BY 1) m ON m.mail = recipient_address WHERE $hours AND t.size > 300000");
agree('within a left join', "SELECT m.id, x.event FROM (VALUES ('$id'::uuid), (gen_random_uuid())) m (id) LEFT JOIN (SELECT message_trace_id, d.event FROM TRACE t JOIN DETAIL d $using WHERE $hours AND t.size > 100000) x ON x.message_trace_id = m.id" =~ s/gen_random_uuid\(\)/'$other_id'/r);
agree('read again by a nested loop', "SELECT m.i, x.* FROM generate_series(1, 3) m (i), LATERAL (SELECT t.subject, d.event FROM TRACE t JOIN DETAIL d $using WHERE $hours AND t.size > 500000 AND m.i > 1 OFFSET 0) x", before => 'SET LOCAL enable_memoize = off', details => rows_where('size > 500000'));
agree('a correlated subquery among the conditions on the trace', "SELECT t.subject, d.event FROM TRACE t JOIN DETAIL d $using WHERE $hours AND t.size > (SELECT avg(size) FROM truth x WHERE x.recipient_address <> t.recipient_address)", at_least => 1);
agree('a left join with details', "SELECT t.subject, d.event FROM TRACE t LEFT JOIN DETAIL d $using WHERE $hours AND t.size > 500000", details => rows_where('size > 500000'));
agree('a lock on another table', "SELECT * FROM (SELECT t.subject, d.event FROM truth m JOIN TRACE t $using JOIN DETAIL d $using WHERE t.received >= '$from' AND t.received < '$to' AND t.size > 500000 FOR UPDATE OF m) x");
agree('whole rows', "SELECT row_to_json(t)::text, d.event FROM (SELECT message_trace_id, recipient_address, size, received FROM TRACE) t JOIN DETAIL d $using WHERE $hours AND t.size > 500000");
is($node->sql("SELECT count(*) > 0 AND bool_and(d.tableoid = 'mail.message_trace_detail'::regclass AND d IS NOT NULL = (d.message_id IS NOT NULL AND d.action IS NOT NULL)) FROM mail.message_trace t JOIN mail.message_trace_detail d $using WHERE $hours AND t.size > 500000"), 't', 'system columns and rows as values');

my $join = "SELECT t.subject, d.event FROM mail.message_trace t JOIN mail.message_trace_detail d $using WHERE $hours AND t.size > 500000";
like($node->explain("$join AND d.event <> 'Submit'", 'VERBOSE, COSTS OFF'),
	qr/Foreign Scan\n.*Filter: .*event <> .*Relations: message_trace, with message_trace_detail of each row\n.*Remote Filter: receivedDateTime >= .*\n.*Filter Before Details: .*t\.size > 500000/s, 'EXPLAIN shows one scan');
like($node->explain($join, 'ANALYZE, COSTS OFF'), qr/Deliveries Asked For: (\d+)\n\s*Requests: (\d+)\n(?(?{ $1 + 1 == $2 })|(?!))/, '… and ANALYZE what it asked');
my ($scan) = $node->sql("$join; SELECT asked_from, asked_to, complete, requests FROM o365_msgtrace.last_scan()", set => { timezone => 'UTC' }) =~ /([^\n]*)\z/;
is($scan, '2026-05-12 08:00:00+00|2026-05-12 11:00:00+00|t|' . (1 + rows_where('size > 500000')), 'last_scan() is of both');
$service->clear_requests;
$node->sql("SELECT t.subject, d.event FROM mail.message_trace t JOIN mail.message_trace_detail d $using WHERE $hours LIMIT 1");
cmp_ok(scalar(my @asked = $service->detail_requests), '<=', 3, 'LIMIT wastes no more than is in flight');
is($node->sql_error($join, set => { 'o365_msgtrace.max_requests_per_query' => 3 })->{sqlstate}, '54000', 'both draw on one allowance');
$service->fault({ on => 'detail', fault => 'status', status => 503, skip => 1 }, { on => 'list', fault => 'cut' });
agree('faults of both', "SELECT $shown FROM TRACE t JOIN DETAIL d $using WHERE $hours AND size > 300000");

# ---- whose mapping -------------------------------------------------------------------------------

$node->sql(<<"SQL");
CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_owner LOGIN;
DROP USER MAPPING FOR PUBLIC SERVER tenant;
CREATE USER MAPPING FOR regress_owner SERVER tenant OPTIONS (client_id '$service->{client_id}', client_secret '$service->{client_secret}');
GRANT USAGE ON SCHEMA mail, o365_msgtrace TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO PUBLIC;
CREATE VIEW mail.owned AS SELECT * FROM mail.message_trace_detail;
CREATE VIEW mail.owned_join AS $join;
CREATE VIEW mail.owned_with_barrier WITH (security_barrier) AS $join;
ALTER VIEW mail.owned OWNER TO regress_owner;
ALTER VIEW mail.owned_join OWNER TO regress_owner;
ALTER VIEW mail.owned_with_barrier OWNER TO regress_owner;
GRANT SELECT ON mail.owned, mail.owned_join, mail.owned_with_barrier TO regress_reader;
SQL
for my $query ("mail.owned WHERE $one", 'mail.owned_join', 'mail.owned_with_barrier')
{
	cmp_ok($node->sql("SELECT count(*) FROM $query", user => 'regress_reader'), '>', 0, "a view reads as its owner: $query");
}
is($node->sql_error("SELECT count(*) FROM mail.message_trace_detail WHERE $one", user => 'regress_reader')->{sqlstate}, '42704', '… who has the mapping');
is($node->sql_error("SELECT count(*) FROM ($join) x", user => 'regress_reader')->{sqlstate}, '42704', '… for joins, too');

done_testing();
