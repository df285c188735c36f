# tests/t/086_append.t
#
# Several tenants under one Append: as a UNION ALL and as partitions they are
# asked at once, their rows are those of the truth, and what ends the query ends
# it for all of them at once. Those that can have no row are not asked.
#
# That all are in flight is seen where nothing is ever answered: one after the
# other would never get to ask the second.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $MANY = 50;
my $TENANTS = 5;
my ($from, $to) = ('2026-05-09T00:00:00Z', '2026-05-10T00:00:00Z');
my $day = "received >= '$from' AND received < '$to'";

my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 1000, quota => 0, shuffle => 1);
my $node = MsgTrace::Cluster->start(
	preload => 'o365_msgtrace',
	conf => {
		'o365_msgtrace.max_requests_per_query' => 0,
		'o365_msgtrace.clock_source' => 'service',
		log_statement => 'none' });
my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';

$node->sql('CREATE TABLE truth (tenant text, message_trace_id uuid, message_id text, received timestamptz, sender_address text,'
	  . ' recipient_address text, subject text, status text, size bigint, from_ip inet, to_ip inet)');
for my $i (1 .. $MANY)
{
	my $id = sprintf '%08d-2222-3333-4444-555555555555', $i;

	$service->add_tenant(id => $id, domain => "t$i.example.com");
	$node->create_server(
		$service,
		name => "t$i",
		schema => "t$i",
		tenant_id => $id,
		rows_per_day => 1000,
		page_size => 300,
		retry_initial_interval => '10ms',
		max_retries => 1);
	next if $i > $TENANTS;
	my $file = $service->save_truth(folder() . "/truth$i.csv", $from, $to, undef, $id);
	$node->sql("CREATE TEMP TABLE one (LIKE truth); ALTER TABLE one DROP COLUMN tenant;\n\\copy one FROM '$file' (FORMAT csv, HEADER)\n"
		  . "INSERT INTO truth SELECT 't$i', * FROM one");
}
$node->sql('CREATE VIEW everybody AS '
	  . join(' UNION ALL ', map { "SELECT 't$_'::text AS tenant, $columns FROM t$_.message_trace" } 1 .. $TENANTS));
$node->sql('CREATE TABLE trace (tenant text, message_trace_id uuid, message_id text, received timestamptz, sender_address text,'
	  . ' recipient_address text, subject text, status text, size bigint, from_ip inet, to_ip inet) PARTITION BY LIST (tenant);'
	  . join('', map { "CREATE FOREIGN TABLE part$_ PARTITION OF trace FOR VALUES IN ('t$_') SERVER t$_;" } 1 .. $TENANTS));
$node->sql("CREATE VIEW many AS "
	  . join(' UNION ALL ', map { "SELECT received, message_trace_id FROM t$_.message_trace" } 1 .. $MANY));
$node->sql('CREATE TABLE people AS SELECT DISTINCT sender_address AS mail FROM (SELECT sender_address FROM truth LIMIT 40) t; ANALYZE people');

sub agree
{
	my ($name, $query, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	for my $table (qw(everybody trace))
	{
		$node->same_rows("$name: $table", $query =~ s/TRACE/$table/gr, $query =~ s/TRACE/truth/gr, %how);
	}
	return;
}

sub asked { return scalar $service->list_requests }

# ---- rows ---------------------------------------------------------------------------

like($node->explain("SELECT * FROM trace WHERE $day"), qr/Append.*Async Foreign Scan on public\.part1.*Async Foreign Scan on public\.part5/s,
	'partitions are scanned at once');
like($node->explain("SELECT * FROM everybody WHERE $day"), qr/Async Foreign Scan on t5\.message_trace/, 'so are the parts of a UNION ALL');

agree('all rows of all tenants', "SELECT * FROM TRACE WHERE $day", at_least => 1000);
agree('a condition that is checked here', "SELECT tenant, received FROM TRACE WHERE $day AND size % 7 = 3");
agree('columns that are computed', "SELECT upper(subject), size + 1 FROM TRACE WHERE $day");
agree('an aggregate', "SELECT count(*), min(received), sum(size) FROM TRACE WHERE $day");
agree('in order, with LIMIT', "SELECT received FROM TRACE WHERE $day ORDER BY received DESC LIMIT 20");
agree('an anti-join', "SELECT count(*) FROM TRACE t WHERE $day AND NOT EXISTS (SELECT 1 FROM people WHERE mail = t.sender_address)");
agree('joined with a table', "SELECT t.tenant, t.message_trace_id FROM people p JOIN TRACE t ON t.sender_address = p.mail WHERE $day");
agree('rescans', "SELECT i, v.* FROM generate_series(1, 3) i, LATERAL (SELECT tenant, size FROM TRACE WHERE $day AND size % 3 = i) v",
	before => 'SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off');
agree('LATERAL with other ranges each time',
	"SELECT i, v.* FROM generate_series(1, 3) i, LATERAL (SELECT tenant, message_trace_id FROM TRACE WHERE received >= '$from'::timestamptz"
	  . " + i * interval '1 h' AND received < '$from'::timestamptz + i * interval '2 h') v");
agree('mixed with a local table',
	"SELECT tenant, received FROM TRACE WHERE $day UNION ALL SELECT mail, NULL FROM people");
is($node->sql("SELECT count(*) FROM (SELECT 1 FROM everybody WHERE $day LIMIT 7) l"), 7, 'a LIMIT above has enough early');
is($node->sql("BEGIN; DECLARE c CURSOR FOR SELECT tenant FROM everybody WHERE $day; MOVE 10 IN c; CLOSE c; COMMIT; SELECT 1"), 1,
	'a cursor is closed early');

my $plan = $node->explain("SELECT * FROM everybody WHERE $day", 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF');
is(() = ($plan =~ /Requests: [1-9]/g), $TENANTS, 'EXPLAIN ANALYZE counts the requests of each') or diag($plan);
my $rows = 0;
$rows += $1 while $plan =~ /Async Foreign Scan.*?rows=(\d+)/g;
is($rows, $node->sql('SELECT count(*) FROM truth'), '… and its rows');

# ---- tenants that cannot have a row ------------------------------------------------------

# The tables' own column has the label; the view says nothing of which table has which.
$node->sql("CREATE SCHEMA l$_; IMPORT FOREIGN SCHEMA exchange LIMIT TO (message_trace) FROM SERVER t$_ INTO l$_ OPTIONS (tenant 'true')")
  for 1 .. $TENANTS;
$node->sql('CREATE VIEW labelled AS '
	  . join(' UNION ALL ', map { "SELECT tenant, $columns FROM l$_.message_trace" } 1 .. $TENANTS));

# A constraint says it, too, of a table that inherits; and the column may be a varchar.
my $typed = 'tenant text, message_trace_id uuid, message_id text, received timestamptz, sender_address text, recipient_address text, subject text,'
  . ' status text, size bigint, from_ip inet, to_ip inet';
$node->sql("CREATE TABLE checked ($typed);"
	  . join('', map { "CREATE FOREIGN TABLE checked$_ (CHECK (tenant = 't$_')) INHERITS (checked) SERVER t$_ OPTIONS (table 'message_trace');" } 1 .. $TENANTS));
$node->sql(join('', map { 'CREATE FOREIGN TABLE varying' . $_ . ' (' . ($typed =~ s/tenant text/tenant varchar/r) . ") SERVER t$_ OPTIONS (table 'message_trace');" } 1 .. $TENANTS)
	  . 'CREATE VIEW "varying" AS ' . join(' UNION ALL ', map { "SELECT * FROM varying$_" } 1 .. $TENANTS));

# For each table as many requests as tenants can have a row, a page holds all of an hour.
sub prunes
{
	my ($name, $condition, $tenants, %how) = @_;
	my $hour = "received >= '2026-05-09T08:00:00Z' AND received < '2026-05-09T09:00:00Z'";
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $table (qw(everybody trace labelled checked), '"varying"')
	{
		$service->clear_requests;
		$node->same_rows("$name: $table", "SELECT * FROM $table WHERE $hour AND ($condition)",
			"SELECT * FROM truth WHERE $hour AND ($condition)", at_least => $tenants ? 1 : 0, %how);
		is(asked(), $tenants, "… with $tenants requests");
	}
	return;
}

my ($someone, $theirs) = split /\|/, $node->sql("SELECT recipient_address, tenant FROM truth WHERE received >= '2026-05-09T08:00:00Z'"
	  . " AND received < '2026-05-09T09:00:00Z' AND tenant = 't4' LIMIT 1");
prunes('one tenant', "tenant = 't2'", 1);
prunes('the same, turned round', "'t2' = tenant", 1);
prunes('a list', "tenant IN ('t1', 't3', 'unknown')", 2);
prunes('all but a list', "tenant NOT IN ('t1', 't3')", 3);
prunes('LIKE', "tenant LIKE 't_' AND tenant > 't3'", 2);
prunes('OR', "tenant = 't2' OR tenant = 't5'", 2);
prunes('OR with other conditions', "tenant = 't2' OR tenant = 't4' AND recipient_address = '$someone'", 2);
prunes('an expression', "upper(tenant) = 'T3'", 1);
prunes('nobody', "tenant = 'nobody'", 0);
prunes('NULL', 'tenant IS NULL', 0);
prunes('not NULL', 'tenant IS NOT NULL', 5);
for my $mode ('custom', 'generic')
{
	for my $table (qw(everybody trace labelled))
	{
		my $session = $node->session;
		$session->sql("SET plan_cache_mode = force_${mode}_plan; PREPARE q (text, text[]) AS SELECT count(*) FROM $table"
			  . " WHERE received >= '2026-05-09T08:00:00Z' AND received < '2026-05-09T09:00:00Z' AND (tenant = \$1 OR tenant = ANY (\$2))");
		$service->clear_requests;
		$session->sql("EXECUTE q ('t2', '{t4,t5}')");
		is(asked(), 3, "parameters of a $mode plan of $table ask three tenants");
		$service->clear_requests;
		$session->sql('EXECUTE q (NULL, NULL)');
		is(asked(), 0, '… and NULL none');
		$session->quit;
	}
}
$service->clear_requests;
$node->sql("SELECT count(*) FROM labelled WHERE received >= '2026-05-09T08:00:00Z' AND received < '2026-05-09T09:00:00Z' AND tenant = (SELECT 't' || 3)");
is(asked(), 1, 'the result of a subquery asks one');
$node->sql("ALTER SERVER t3 OPTIONS (ADD tenant_label 'Third')");
$service->clear_requests;
is($node->sql("SELECT DISTINCT tenant FROM labelled WHERE received >= '2026-05-09T08:00:00Z' AND received < '2026-05-09T09:00:00Z' AND tenant = 'Third'"), 'Third',
	'another label is known by its name');
is(asked(), 1, '… with one request');
$node->sql('ALTER SERVER t3 OPTIONS (DROP tenant_label)');

# A condition on a parameter alone opens or closes what stands beside it.
{
	my $session = $node->session;
	$session->sql("SET plan_cache_mode = force_generic_plan; PREPARE maybe (text) AS SELECT count(*) FROM l4.message_trace"
		  . " WHERE received >= '$from' AND received < '$to' AND (\$1 IS NULL OR recipient_address = \$1)");
	$service->clear_requests;
	is($session->sql("EXECUTE maybe ('$someone')"), $node->sql("SELECT count(*) FROM truth WHERE tenant = 't4' AND recipient_address = '$someone'"),
		'"$1 IS NULL OR recipient_address = $1" finds its rows');
	is(asked(), 1, '… and asks for that recipient alone');
	is($session->sql('EXECUTE maybe (NULL)'), $node->sql("SELECT count(*) FROM truth WHERE tenant = 't4'"), '… and for all where it is NULL');
	$session->sql("PREPARE fails (int) AS SELECT count(*) FROM l4.message_trace WHERE received >= '$from' AND received < '$to' AND (\$1 = 0 OR 7 / \$1 = 2)");
	is($session->sql('EXECUTE fails (0)'), $node->sql("SELECT count(*) FROM truth WHERE tenant = 't4'"), 'what could fail is not looked at before its turn');
	$session->quit;
}

# ---- more than may be in flight --------------------------------------------------------

$service->clear_requests;
$node->sql("SELECT count(*) FROM many WHERE received >= '2026-05-09T00:00:00Z' AND received < '2026-05-09T01:00:00Z'");
is(asked(), $MANY, "$MANY tenants take a request each");

# ---- all at once ---------------------------------------------------------------------

# A query that waits for every one of them.
sub hanging
{
	my ($query, $count, %how) = @_;
	my $session = $node->session(%how);
	$service->clear_requests;
	$service->faults_instead({ on => 'list', fault => 'hang', count => 1000 });
	$session->send($query);
	wait_for("$count tenants to be asked", 60, sub { asked() >= $count });
	return $session;
}

# ... whose wait has a name, from PostgreSQL 17 on.
my $named_waits = $node->sql('SHOW server_version_num') >= 170000;

sub waits_for
{
	my ($session, $name) = @_;
	my $event = $named_waits ? "O365Msgtrace$name" : 'Extension';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->wait_until("SELECT wait_event = '$event' FROM pg_stat_activity WHERE pid = " . $session->pid);
	pass("… a wait that is called $event");
	return;
}

for my $table (qw(everybody trace))
{
	my $session = hanging("SELECT count(*) FROM $table WHERE $day", $TENANTS);
	is(asked(), $TENANTS, "all tenants of $table are asked before one has answered");
	waits_for($session, 'Page');
	$session->cancel;
	like($session->receive, qr/canceling statement due to user request/, '… and a cancel ends that');
	$service->clear_faults;
	is($session->sql("SELECT count(*) FROM $table WHERE $day"), $node->sql('SELECT count(*) FROM truth'), '… after which the session goes on');
	$session->quit;
}
{
	my $session = $node->session;
	$service->faults_instead({ on => 'token', fault => 'hang', count => 1000 });
	$session->send("SELECT count(*) FROM trace WHERE $day");
	waits_for($session, 'SignIn');
	$session->cancel;
	like($session->receive, qr/canceling statement due to user request/, '… and ends by a cancel');
	$session->quit;
	$service->clear_faults;
}
{
	my $session = hanging("SELECT count(*) FROM many WHERE $day", 32);
	is(asked(), 32, "of $MANY tenants 32 are asked at once");
	$session->cancel;
	like($session->receive, qr/canceling statement due to user request/, '… and a cancel ends that');
	$session->quit;
}
{
	my $session = $node->session;
	$service->faults_instead({ on => 'list', fault => 'hang', count => 1000 });
	like($session->sql_error("SET statement_timeout = '500ms'; SELECT count(*) FROM trace WHERE $day")->{text}, qr/statement timeout/,
		'statement_timeout ends the wait');
	$session->quit;
	$session = hanging("SELECT count(*) FROM trace WHERE $day", $TENANTS);
	my $pid = $session->pid;
	$node->sql("SELECT pg_terminate_backend($pid)");
	$node->wait_until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	pass('pg_terminate_backend ends it');
}
$service->clear_faults;

# ---- one that fails ---------------------------------------------------------------------

$service->clear_requests;
$service->faults_instead(
	{ on => 'list', fault => 'hang', count => 1, skip => 0 },
	{ on => 'list', fault => 'hang', count => 1, skip => 0 },
	{ on => 'list', fault => 'status', status => 404, body => '{"error":{"code":"x","message":"gone fishing"}}', count => 1 });
like($node->sql_error("SELECT count(*) FROM trace WHERE $day")->{text}, qr/gone fishing/, 'what one tenant refuses ends the query, whatever the others do');
$service->clear_faults;
is($node->sql("SELECT count(*) FROM trace WHERE $day"), $node->sql('SELECT count(*) FROM truth'), '… and the next one is answered');

# ---- budgets ---------------------------------------------------------------------------

$node->sql("ALTER SERVER t$_ OPTIONS (SET quota_requests '2', ADD quota_window '2s')") for 1 .. $TENANTS;
agree('budgets that are waited for', "SELECT tenant, received FROM TRACE WHERE $day", at_least => 1000);
$node->sql("ALTER SERVER t$_ OPTIONS (SET quota_requests '1', SET quota_window '1h')") for 1 .. $TENANTS;
{
	my $session = $node->session;
	$session->send("SELECT count(*) FROM trace WHERE $day");
	wait_for('the budget to be waited for', 60, sub { $node->sql('SELECT coalesce(sum(waiting), 0) FROM o365_msgtrace.quota') >= $TENANTS });
	pass('all tenants wait for their budgets');
	waits_for($session, 'Budget');
	$session->cancel;
	like($session->receive, qr/canceling statement due to user request/, '… and a cancel ends that');
	is($node->sql('SELECT coalesce(sum(waiting), 0) FROM o365_msgtrace.quota'), 0, '… with the places in the queues given up');
}

done_testing();
