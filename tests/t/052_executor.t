# tests/t/052_executor.t
#
# The foreign table in the executor: rescans, joins, several scans at a time,
# cursors, sub-transactions, prepared statements, EXPLAIN, last_scan(), and
# columns of other names and types.

use strict;
use warnings;
use utf8;

use JSON::PP ();
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-10T12:00:00Z',
	rows_per_day => 5000,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0, log_statement => 'none' });
$node->create_server($service, rows_per_day => 5000, page_size => 200, retry_initial_interval => '10ms', max_retries => 1);

# Rows with texts that a type may stumble on.
$service->add_rows(map { {
			id => sprintf('ABCDEF%02d-0000-4000-8000-0123456789AB', $_),
			receivedDateTime => "2026-05-09T10:00:0$_.9999996Z",
			senderAddress => 'Odd@Contoso.com', recipientAddress => "odd$_\@contoso.com",
			messageId => '<odd@contoso.com>', subject => "odd $_", status => 'Delivered', size => 3_000_000_000 + $_,
			fromIP => $_ == 1 ? '[2001:db8::1]:25' : $_ == 2 ? '192.0.2.1:25' : $_ == 3 ? '' : undef,
			toIP => undef, 'somethingNew' => "new $_" } } 1 .. 4);
$node->load_truth($service, 'truth', '2026-02-09T00:00:00Z', '2026-05-10T11:59:59Z');

my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';
my $day = "received >= '2026-05-08T00:00:00Z' AND received < '2026-05-09T00:00:00Z'";
my $hours = "received >= '2026-05-08T08:00:00Z' AND received < '2026-05-08T12:00:00Z'";

# The same query over the foreign table and over the truth (TRACE stands for it).
sub agree
{
	my ($name, $query, %how) = @_;
	$service->clear_requests;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $node->same_rows(
		$name,
		$query =~ s/TRACE/mail.message_trace/gr =~ s/_F_/_f/gr,
		$query =~ s/TRACE/truth/gr =~ s/_F_/_t/gr, %how);
}

$node->sql(<<"SQL");
CREATE TABLE spans AS SELECT i, '2026-05-08T00:00:00Z'::timestamptz + i * interval '37 min' AS since,
	(ARRAY[interval '20 min', '1 s', '0', NULL, '-5 min', '3 hours'])[i % 6 + 1] AS length FROM generate_series(1, 24) i;
CREATE TABLE people AS SELECT recipient_address AS mail, count(*) AS mails FROM truth WHERE $day GROUP BY 1 ORDER BY 2 DESC LIMIT 30;
INSERT INTO people VALUES ('nobody\@nowhere.example', 0), (NULL, 0);
ANALYZE spans; ANALYZE people;
SQL

# ---- rescans ------------------------------------------------------------------------

for my $material ('on', 'off')
{
	my $set = "SET LOCAL enable_material = $material; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_memoize = off";
	my $few = $hours =~ s/T12:00/T08:20/r;
	agree("the inner side of a nested loop, material $material",
		"SELECT p.mail, t.message_trace_id, t.received FROM people p JOIN TRACE t ON t.recipient_address = p.mail OR t.size < p.mails WHERE $few",
		before => $set);
	agree("… of a left join, material $material",
		"SELECT i, message_trace_id FROM spans LEFT JOIN TRACE t ON t.received >= since AND t.received < since + length AND $few WHERE i < 8",
		before => $set);
}
agree('LATERAL', "SELECT i, v.* FROM spans, LATERAL (SELECT $columns FROM TRACE WHERE received >= since AND received < since + length) v WHERE i < 10");
agree('LATERAL with LIMIT',
	'SELECT i, v.* FROM spans, LATERAL (SELECT received FROM TRACE WHERE received >= since AND received < since + length ORDER BY received DESC, message_trace_id LIMIT 3) v');
agree('LATERAL with an aggregate: an empty range, none, and a wrong one',
	'SELECT i, v.* FROM spans, LATERAL (SELECT count(*), max(size) FROM TRACE WHERE received >= since AND received < since + length) v', at_least => 24);
cmp_ok(scalar $service->list_requests, '<=', 40, '… ask for those ranges only');
agree('a correlated subquery',
	'SELECT i, (SELECT count(*) FROM TRACE WHERE received BETWEEN since AND since + length) FROM spans', at_least => 24);
agree('… on an address', "SELECT mail, (SELECT max(received) FROM TRACE t WHERE t.recipient_address = p.mail AND $hours) FROM people p", at_least => 32);
agree('EXISTS', "SELECT mail FROM people p WHERE EXISTS (SELECT FROM TRACE t WHERE t.recipient_address = p.mail AND $hours)");
agree('NOT EXISTS', "SELECT mail FROM people p WHERE NOT EXISTS (SELECT FROM TRACE t WHERE t.recipient_address = p.mail AND $hours)");
agree('NOT IN', "SELECT mail FROM people WHERE mail NOT IN (SELECT recipient_address FROM TRACE WHERE $hours)");
agree('a recursive query',
	"WITH RECURSIVE r(n, at) AS (SELECT 0, '2026-05-08T08:00:00Z'::timestamptz UNION ALL"
	  . ' SELECT n + 1, (SELECT min(received) FROM TRACE WHERE received > at AND received < at + interval \'30 min\') FROM r WHERE n < 12) SELECT * FROM r',
	at_least => 13);

# ---- joins, and several scans in one statement --------------------------------------------

for my $method ('hashjoin', 'mergejoin', 'nestloop')
{
	my $set = join ';', map { "SET LOCAL enable_$_ = " . ($_ eq $method ? 'on' : 'off') } 'hashjoin', 'mergejoin', 'nestloop';
	my $range = $method eq 'nestloop' ? $hours =~ s/T12:00/T08:30/r : $hours;
	agree("a join with a table by $method", "SELECT p.mails, t.* FROM (SELECT $columns FROM TRACE) t JOIN people p ON p.mail = t.recipient_address WHERE $range", before => $set);
	agree("a self join by $method",
		"SELECT a.message_trace_id, a.recipient_address, b.recipient_address AS b FROM TRACE a JOIN TRACE b USING (message_trace_id) WHERE "
		  . ($range =~ s/received/a.received/gr) . ' AND ' . ($range =~ s/received/b.received/gr) . ' AND a.recipient_address < b.recipient_address',
		before => $set);
}
agree('a full join', "SELECT t.recipient_address, t.received, p.* FROM (SELECT * FROM TRACE WHERE $hours) t FULL JOIN people p ON p.mail = t.recipient_address");
agree('UNION ALL of two ranges', "SELECT $columns FROM TRACE WHERE $hours UNION ALL SELECT $columns FROM TRACE WHERE received >= '2026-05-08T11:00:00Z' AND received < '2026-05-08T13:00:00Z'");
agree('several scans with different columns',
	"SELECT (SELECT count(*) FROM TRACE WHERE $hours) AS a, (SELECT max(subject) FROM TRACE WHERE $hours) AS b, t.status, count(*) FROM TRACE t WHERE $hours GROUP BY 3");
agree('grouping and windows', "SELECT status, date_trunc('hour', received), count(*), sum(size), sum(count(*)) OVER (PARTITION BY status) AS total FROM TRACE WHERE $day GROUP BY 1, 2");
agree('DISTINCT ON, ORDER BY, OFFSET', "SELECT * FROM (SELECT DISTINCT ON (sender_address) sender_address, received, recipient_address FROM TRACE WHERE $day ORDER BY 1, 2 DESC, 3) d ORDER BY 1 OFFSET 5 LIMIT 50");
agree('a CTE that is used twice', "WITH t AS MATERIALIZED (SELECT * FROM TRACE WHERE $hours) SELECT a.message_trace_id, b.n FROM t a, (SELECT count(*) AS n FROM t) b");
agree('a row lock in a join', "SELECT * FROM (SELECT t.message_trace_id, t.recipient_address FROM TRACE t JOIN people p ON p.mail = t.recipient_address WHERE $hours FOR UPDATE OF p) x");
agree('the whole row', "SELECT row_to_json(t)::text FROM (SELECT t FROM (SELECT $columns FROM TRACE) t WHERE $hours) x(t)");
agree('one column', "SELECT subject FROM TRACE WHERE $day");
is($node->sql("SELECT count(*) FROM mail.message_trace WHERE $day"), $node->sql("SELECT count(*) FROM truth WHERE $day"), 'count(*)');
is($node->sql("SELECT DISTINCT tableoid::regclass FROM mail.message_trace WHERE $hours"), 'mail.message_trace', 'tableoid');
is($node->sql("SELECT count(t) = count(*) AND bool_and((t).size = t.size) FROM mail.message_trace t WHERE $hours"), 't', 'a row as a value');

# Two tenants in one statement: each has its own host, token and rows.
my $second = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 4000, quota => 0, seed => 7,
	tenant => '22222222-2222-3333-4444-555555555555', client_secret => 'another~secret');
$node->create_server($second, name => 'second', schema => 'mail2', rows_per_day => 5000, page_size => 150);
$node->load_truth($second, 'truth2', '2026-05-08T00:00:00Z', '2026-05-09T00:00:00Z');
$node->same_rows('two tenants at once', "SELECT 1 AS n, $columns FROM mail.message_trace WHERE $hours UNION ALL SELECT 2, $columns FROM mail2.message_trace WHERE $hours",
	"SELECT 1 AS n, $columns FROM truth WHERE $hours UNION ALL SELECT 2, $columns FROM truth2 WHERE $hours");
$node->same_rows('… joined',
	'SELECT sender_address, count(*) FROM ' . join(' JOIN ', map { "(SELECT sender_address FROM $_.message_trace WHERE $hours) $_" } 'mail', 'mail2') . ' USING (sender_address) GROUP BY 1',
	'SELECT sender_address, count(*) FROM ' . join(' JOIN ', map { "(SELECT sender_address FROM $_ WHERE $hours) $_" } 'truth', 'truth2') . ' USING (sender_address) GROUP BY 1');
$second->stop;

# ---- writing what was read ------------------------------------------------------------------

$node->sql("CREATE TABLE kept AS SELECT * FROM mail.message_trace WHERE $hours");
$node->same_rows('CREATE TABLE AS', 'TABLE kept', "SELECT * FROM truth WHERE $hours");
$node->sql("INSERT INTO kept SELECT * FROM mail.message_trace WHERE received >= '2026-05-08T12:00:00Z' AND received < '2026-05-08T13:00:00Z'");
$node->same_rows('INSERT … SELECT', 'TABLE kept', "SELECT * FROM truth WHERE received >= '2026-05-08T08:00:00Z' AND received < '2026-05-08T13:00:00Z'");
$node->sql("UPDATE kept k SET subject = 'gone' FROM mail.message_trace t WHERE t.message_trace_id = k.message_trace_id AND t.recipient_address = k.recipient_address AND t.$hours" =~ s/AND received/AND t.received/r);
is($node->sql("SELECT count(*) FROM kept WHERE subject = 'gone'"), $node->sql("SELECT count(*) FROM truth WHERE $hours"), 'UPDATE … FROM');
$node->sql("DELETE FROM kept k USING mail.message_trace t WHERE t.message_trace_id = k.message_trace_id AND t.recipient_address = k.recipient_address AND t.$hours" =~ s/AND received/AND t.received/r);
is($node->sql("SELECT count(*) FROM kept"), $node->sql("SELECT count(*) FROM truth WHERE received >= '2026-05-08T12:00:00Z' AND received < '2026-05-08T13:00:00Z'"), 'DELETE … USING');
is($node->sql_error($_)->{sqlstate}, '0A000', (split ' ', $_)[0] . ' on the foreign table is refused') || 1
  for "INSERT INTO mail.message_trace (subject) VALUES ('x')", "UPDATE mail.message_trace SET subject = 'x'", 'DELETE FROM mail.message_trace';
my $copied = $node->sql("COPY (SELECT message_trace_id, recipient_address FROM mail.message_trace WHERE $hours) TO STDOUT");
is(scalar(split /\n/, $copied), $node->sql("SELECT count(*) FROM truth WHERE $hours"), 'COPY of a query');

# ---- cursors ------------------------------------------------------------------------------------

my $session = $node->session;
$session->sql(<<"SQL");
CREATE TEMP TABLE one (LIKE truth);
CREATE TEMP TABLE other (LIKE truth);
CREATE PROCEDURE pg_temp.interleave() LANGUAGE plpgsql AS \$\$
DECLARE
	a CURSOR FOR SELECT * FROM mail.message_trace WHERE $day;
	b CURSOR FOR SELECT * FROM mail.message_trace WHERE $day AND size > 20000;
	r truth;
	more boolean := true;
BEGIN
	OPEN a; OPEN b;
	WHILE more LOOP
		more := false;
		FOR i IN 1 .. 7 LOOP
			FETCH a INTO r;
			IF FOUND THEN more := true; INSERT INTO one SELECT r.*; END IF;
		END LOOP;
		FETCH b INTO r;
		IF FOUND THEN more := true; INSERT INTO other SELECT r.*; END IF;
	END LOOP;
	CLOSE a; CLOSE b;
END \$\$;
CALL pg_temp.interleave();
CREATE TABLE one_kept AS TABLE one;
CREATE TABLE other_kept AS TABLE other;
SQL
$node->same_rows('two cursors, read in turns: the first', 'TABLE one_kept', "SELECT * FROM truth WHERE $day");
$node->same_rows('… and the other', 'TABLE other_kept', "SELECT * FROM truth WHERE $day AND size > 20000");

my $all = $node->sql("SELECT count(*) FROM truth WHERE $day");
$session->sql("BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT * FROM mail.message_trace WHERE $day; DECLARE s SCROLL CURSOR FOR SELECT message_trace_id, recipient_address FROM mail.message_trace WHERE $hours");
my $first = $session->sql('FETCH 3 FROM s');
$session->sql('FETCH 250 FROM h; FETCH 300 FROM s');
is($session->sql('MOVE BACKWARD ALL FROM s; FETCH 3 FROM s'), $first, 'a scroll cursor goes back');
is($session->sql('MOVE ABSOLUTE 1 FROM s; FETCH RELATIVE 1 FROM s'), (split /\n/, $first)[1], '… and anywhere');
$session->sql('COMMIT');
is(scalar(split /\n/, $session->sql('FETCH ALL FROM h')), $all - 250, 'a cursor held over the commit has the rest');
$session->sql('CLOSE h');
$session->sql("BEGIN; DECLARE e CURSOR FOR SELECT * FROM mail.message_trace WHERE $hours; MOVE ALL FROM e");
is($session->sql('FETCH 1 FROM e; FETCH 1 FROM e; COMMIT'), '', 'after the last row there is none');

# ---- what fails and goes on -------------------------------------------------------------------------

my $count = "SELECT count(*) FROM mail.message_trace WHERE $hours";
my $wanted = $node->sql("SELECT count(*) FROM truth WHERE $hours");
$session->sql("BEGIN; DECLARE c CURSOR FOR SELECT * FROM mail.message_trace WHERE $day; MOVE 150 FROM c; SAVEPOINT s");
$service->fault({ on => 'list', fault => 'html' });
is($session->sql_error($count)->{sqlstate}, '08P01', 'a scan fails in a savepoint');
is($session->sql("ROLLBACK TO s; $count"), $wanted, '… another one after it does not');
is($session->sql('MOVE ALL FROM c'), '', '… and the cursor from before goes on');
is($session->sql('SELECT rows, complete FROM o365_msgtrace.last_scan(); COMMIT'), "$all|t", '… to its end: last_scan() is that of the scan that moved last');

$session->sql("BEGIN; DECLARE c CURSOR FOR SELECT * FROM mail.message_trace WHERE $day; MOVE 10 FROM c; SAVEPOINT s");
$service->fault({ on => 'list', fault => 'html' });
is($session->sql_error('MOVE ALL FROM c')->{sqlstate}, '08P01', 'a cursor fails in a savepoint');
is($session->sql_error('ROLLBACK TO s; FETCH 1 FROM c')->{sqlstate}, '55000', '… and is of no use any more');
is($session->sql("ROLLBACK; $count"), $wanted, '… but the session is');

# Forty rounds of failures in sub-transactions of one function, while a scan around them goes on. (That one is of another
# service, which has no faults: who of both asks first is not known.)
my $faulty = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 5000, quota => 0);
$node->create_server($faulty, name => 'faulty', schema => 'faulty', rows_per_day => 5000, page_size => 200, retry_initial_interval => '10ms', max_retries => 1);
$session->sql(<<"SQL");
CREATE FUNCTION pg_temp.attempts(OUT good int, OUT bad int, OUT seen bigint) LANGUAGE plpgsql AS \$\$
DECLARE
	r record;
	n bigint;
BEGIN
	good := 0; bad := 0; seen := 0;
	FOR r IN SELECT size FROM mail.message_trace WHERE $hours LOOP
		seen := seen + 1;
		CONTINUE WHEN seen > 40;
		BEGIN
			SELECT count(*) INTO STRICT n FROM faulty.message_trace WHERE received > '2026-05-10T11:00:00Z' AND 1 / (seen % 3) >= 0;
			good := good + 1;
		EXCEPTION
			WHEN division_by_zero OR connection_exception OR fdw_error THEN bad := bad + 1;
		END;
	END LOOP;
END \$\$
SQL
$faulty->fault({ on => 'list', fault => 'status', status => 500, skip => 10, count => 3 });
my @attempts = split /\|/, $session->sql('SELECT * FROM pg_temp.attempts()');
is($attempts[2], $wanted, 'a loop over a scan, in which others fail, sees all its rows');
is($attempts[0] + $attempts[1], 40, '… and all attempts are made');
cmp_ok($attempts[1], '>=', 13, '… some in vain');
is(scalar $faulty->faults_left, 0, '… the service being to blame for some');
my $files = $node->backend_files($session->pid);
$session->sql('SELECT * FROM pg_temp.attempts()') for 1 .. 5;
# (Two hundred scans; four of them may have left a connection each for the next one, with its event loop: five descriptors.)
cmp_ok($node->backend_files($session->pid), '<=', $files + 20, '… which leaves no descriptors');
$session->quit;

# ---- prepared statements over changes -------------------------------------------------------------------

$session = $node->session;
$session->sql("PREPARE p AS $count; PREPARE q AS SELECT max(size)::text FROM mail.message_trace WHERE $hours; SET plan_cache_mode = force_generic_plan");
is($session->sql('EXECUTE p'), $wanted, 'a prepared statement');
$node->sql("ALTER SERVER tenant OPTIONS (SET page_size '1000')");
$service->clear_requests;
is($session->sql('EXECUTE p'), $wanted, '… after the server was altered');
my ($asked) = $service->list_requests;
like($asked->{query}, qr/\$top=1000/, '… by the new options');
$node->sql("ALTER SERVER tenant OPTIONS (SET page_size '200'); ALTER SERVER tenant OPTIONS (SET tenant_id '99999999-0000-0000-0000-000000000000')");
is($session->sql_error('EXECUTE p')->{sqlstate}, '08004', '… wrong ones included');
$node->sql("ALTER SERVER tenant OPTIONS (SET tenant_id '$service->{tenant}')");
is($session->sql('EXECUTE p'), $wanted, '… and right again');
$node->sql('ALTER FOREIGN TABLE mail.message_trace DROP COLUMN size; ALTER FOREIGN TABLE mail.message_trace ADD COLUMN size numeric');
is($session->sql('EXECUTE p'), $wanted, '… after a column was dropped');
is($session->sql('EXECUTE q'), $node->sql("SELECT max(size) FROM truth WHERE $hours"), '… and added with another type');
$session->quit;
$node->sql('ALTER FOREIGN TABLE mail.message_trace DROP COLUMN size; ALTER FOREIGN TABLE mail.message_trace ADD COLUMN size bigint');
agree('a table with dropped columns', "SELECT $columns FROM TRACE WHERE $hours");
$node->same_rows('… and its whole rows', "SELECT (t).subject, (t).size FROM (SELECT t FROM mail.message_trace t WHERE $hours) x",
	"SELECT subject, size FROM truth WHERE $hours");

# ---- EXPLAIN and last_scan() ------------------------------------------------------------------------------

$service->clear_requests;
my $plan = $node->explain("SELECT subject FROM mail.message_trace WHERE $hours AND recipient_address = 'x\@y.example'");
like($plan, qr/Remote Filter: .*receivedDateTime >= .*receivedDateTime < .*recipientAddress = /, 'EXPLAIN VERBOSE shows the remote filter');
$node->explain("SELECT * FROM mail.message_trace t JOIN people p ON p.mail = t.recipient_address", $_) for 'ANALYZE OFF', 'FORMAT JSON', 'VERBOSE, FORMAT YAML', 'COSTS OFF';
$node->sql("PREPARE p(timestamptz) AS SELECT * FROM mail.message_trace WHERE received > \$1; EXPLAIN EXECUTE p(now()); CREATE VIEW v AS SELECT * FROM mail.message_trace");
is(scalar $service->requests, 0, 'EXPLAIN, PREPARE and CREATE VIEW ask nothing of the network');
$plan = $node->explain("SELECT subject FROM mail.message_trace WHERE $hours", 'ANALYZE, VERBOSE');
my @asked = $service->list_requests;
for my $line ([ 'Slices', qr/[1-9]\d*/ ], [ 'Requests', scalar @asked ], [ 'Retries', 0 ], [ 'Pages', scalar @asked ],
	[ 'Rows Received', qr/[1-9]\d*/ ], [ 'Bytes Received', qr/[1-9]\d{4,}/ ], [ 'Time Waited', qr/\d+\.\d+ ms/ ])
{
	like($plan, qr/^\s*$line->[0]: $line->[1]$/m, "EXPLAIN ANALYZE shows: $line->[0]");
}
like($plan, qr/Foreign Scan.*rows=$wanted(?:\.00)? loops=1/, '… and the rows that came of it');
like($plan, qr/First Request: \Q${\$service->report_url}\E\?\$filter=receivedDateTime ge 2026-05-08T/, '… and, verbose, the first request');
is($node->sql("SELECT received_sum FROM (SELECT sum((r->>'rows')::int) AS received_sum FROM json_array_elements('"
		  . JSON::PP::encode_json([ map { { rows => $_->{rows} } } @asked ]) . "') r) s"),
	($plan =~ /Rows Received: (\d+)/)[0], '… which is what the service has sent');
$service->clear_requests;
like($node->explain("SELECT * FROM (SELECT 1 WHERE now() < '2000-01-01') x, mail.message_trace", 'ANALYZE, VERBOSE'), qr/never executed/, 'a scan that is never executed is shown');
is(scalar $service->requests, 0, '… and asks nothing');
unlike($node->explain("SELECT * FROM mail.message_trace WHERE $hours", 'ANALYZE, TIMING OFF'), qr/Time Waited|First Request/, 'TIMING OFF shows no times, and no request unless verbose');

$session = $node->session;
is($session->sql('SELECT * FROM o365_msgtrace.last_scan()'), '||||||||||', 'last_scan() before the first one');
$session->sql($count);
is($session->sql("SELECT asked_from = '2026-05-08T08:00:00Z', asked_to = '2026-05-08T12:00:00Z', complete, service_time_at_start,"
		  . " requests = pages, retries, rows, rejected, bytes > 300 * rows, waited > '0' FROM o365_msgtrace.last_scan()"),
	"t|t|t|2026-05-10 12:00:00+00|t|0|$wanted|0|t|t", 'last_scan() of a whole scan');
$session->sql('SELECT * FROM mail.message_trace LIMIT 5');
is($session->sql('SELECT asked_from, asked_to, complete FROM o365_msgtrace.last_scan()'), '2026-02-09 00:00:00+00|2026-05-10 11:59:59+00|f', '… of one that stopped early');
$service->fault({ on => 'list', fault => 'html', skip => 1 });
$session->sql_error($count);
is($session->sql('SELECT complete FROM o365_msgtrace.last_scan()'), 'f', '… of one that failed');
$session->sql("SELECT count(*) FROM mail.message_trace WHERE received > now() AND received < '2020-01-01'");
is($session->sql('SELECT asked_from, asked_to, requests, rows FROM o365_msgtrace.last_scan()'), '||0|0', '… of one that had nothing to ask');
$service->fault({ on => 'list', fault => 'status', status => 503 });
$session->sql($count);
is($session->sql('SELECT retries, requests - pages, complete, rows FROM o365_msgtrace.last_scan()'), "1|1|t|$wanted", '… of one with a retry');
$session->quit;

# ---- columns --------------------------------------------------------------------------------------------------

$node->sql(<<'SQL');
CREATE FOREIGN TABLE mail.other (
	"when" timestamptz OPTIONS (field 'receivedDateTime'),
	whom varchar(100) OPTIONS (field 'recipientAddress'),
	gone int,
	tenant text,
	who text OPTIONS (field 'senderAddress'),
	id text OPTIONS (field 'id'),
	bytes numeric OPTIONS (field 'size'),
	kilobytes text OPTIONS (field 'size'),
	from_text text OPTIONS (field 'fromIP'),
	from_cidr inet OPTIONS (field 'fromIP'),
	at_text text OPTIONS (field 'receivedDateTime'),
	at_timestamp timestamp OPTIONS (field 'receivedDateTime'),
	at_date date OPTIONS (field 'receivedDateTime'),
	news text OPTIONS (field 'somethingNew'),
	state varchar(40) OPTIONS (field 'status')
) SERVER tenant OPTIONS (page_size '1000');
ALTER FOREIGN TABLE mail.other DROP COLUMN gone;
SQL
my $names = '"when" AS received, whom, who, id::uuid, bytes, kilobytes, host(from_cidr) AS ip, state';
my $true_names = 'received, recipient_address, sender_address, message_trace_id, size, size::text AS kilobytes, host(from_ip), status';
$node->same_rows('columns of other names and types', "SELECT $names FROM mail.other WHERE " . ($hours =~ s/received/"when"/gr), "SELECT $true_names FROM truth WHERE $hours");
$service->clear_requests;
$node->same_rows('… are pushed down, too', qq(SELECT $names FROM mail.other WHERE whom = 'odd2\@contoso.com' AND "when" > '2026-05-09Z'),
	"SELECT $true_names FROM truth WHERE recipient_address = 'odd2\@contoso.com' AND received > '2026-05-09Z'");
($asked) = $service->list_requests;
like($asked->{query}, qr/ge 2026-05-09T00:00:00Z .*recipientAddress eq 'odd2\@contoso\.com'/, '… as the request shows');
my $odd = q("when" > '2026-05-09T10:00:00Z' AND "when" < '2026-05-09T10:00:06Z' AND who = 'odd@contoso.com');
is($node->sql("SELECT whom, tenant, host(from_cidr), news, bytes FROM mail.other WHERE $odd ORDER BY 1"),
	"odd1\@contoso.com|tenant|2001:db8::1|new 1|3000000001\nodd2\@contoso.com|tenant|192.0.2.1|new 2|3000000002\n"
	  . "odd3\@contoso.com|tenant||new 3|3000000003\nodd4\@contoso.com|tenant||new 4|3000000004",
	'odd addresses, a member that is new, a large size, and the tenant');
for my $zone ('UTC', 'Asia/Kathmandu', 'America/St_Johns')
{
	is($node->sql("SELECT at_timestamp, at_date, at_text FROM mail.other WHERE $odd AND whom = 'odd1\@contoso.com'", set => { timezone => $zone }),
		'2026-05-09 10:00:01.999999|2026-05-09|2026-05-09T10:00:01.9999996Z',
		"a time as a timestamp, a date and a text is UTC and cut, in $zone");
}
$node->sql("ALTER SERVER tenant OPTIONS (ADD tenant_label 'Contoso')");
is($node->sql("SELECT DISTINCT tenant FROM mail.other WHERE $odd AND tenant = 'Contoso'"), 'Contoso', "a tenant's label");
is($node->sql(qq(SELECT id FROM mail.other WHERE $odd AND whom = 'odd1\@contoso.com')), 'ABCDEF01-0000-4000-8000-0123456789AB', 'an id as text is as it was sent');

# A value that its column cannot hold is an error that names it, not another value.
for my $type ([ 'int', 'size', 'bytes' ], [ 'varchar(5)', 'recipientAddress', 'whom' ], [ 'boolean', 'status', 'state' ])
{
	$node->sql(qq(DROP FOREIGN TABLE IF EXISTS mail.narrow; CREATE FOREIGN TABLE mail.narrow (received timestamptz, $type->[2] $type->[0] OPTIONS (field '$type->[1]')) SERVER tenant));
	my $error = $node->sql_error("SELECT * FROM mail.narrow WHERE received > '2026-05-09T10:00:00Z' AND received < '2026-05-09T10:00:06Z'");
	ok($error, "a $type->[1] that is no $type->[0] is an error");
	like($error->{text} // '', qr/\b$type->[2]\b|\b$type->[1]\b/, '… that names the column');
}
my $error = $node->sql_error('CREATE FOREIGN TABLE mail.unknown (subjet text) SERVER tenant; SELECT * FROM mail.unknown');
is($error->{sqlstate}, 'HV005', 'a column that is no field is an error');
like($error->{hint}, qr/subject/, '… with a hint');

# Text is UTF-8, and another encoding could not hold it.
$node->sql("CREATE DATABASE regress_latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
$node->sql(<<'SQL', dbname => 'regress_latin');
CREATE EXTENSION o365_msgtrace;
CREATE SERVER tenant FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com');
CREATE USER MAPPING FOR PUBLIC SERVER tenant OPTIONS (client_id 'x', client_secret 'y');
IMPORT FOREIGN SCHEMA exchange FROM SERVER tenant INTO public;
SQL
$error = $node->sql_error('SELECT * FROM message_trace', dbname => 'regress_latin');
is($error->{sqlstate}, '0A000', 'a database of another encoding is refused');

# Inheritance and partitions: the foreign table as one part of several.
$node->sql(<<"SQL");
CREATE TABLE parts (LIKE truth) PARTITION BY RANGE (received);
CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2026-05-08T10:00:00Z');
INSERT INTO parts SELECT * FROM truth WHERE received < '2026-05-08T10:00:00Z';
CREATE FOREIGN TABLE parts_new PARTITION OF parts FOR VALUES FROM ('2026-05-08T10:00:00Z') TO (MAXVALUE) SERVER tenant;
SQL
my $later = $hours =~ s/T08/T10/r;
$node->same_rows('the foreign table as a partition', "SELECT * FROM parts WHERE $later AND size > 1000", "SELECT * FROM truth WHERE $later AND size > 1000");
$service->clear_requests;
$node->same_rows('… that is not touched where it is not needed', "SELECT * FROM parts WHERE received < '2026-05-08T09:00:00Z' AND received > '2026-05-08Z'",
	"SELECT * FROM truth WHERE received < '2026-05-08T09:00:00Z' AND received > '2026-05-08Z'");
is(scalar $service->requests, 0, '… by a request');

# One property in several columns: each shows all of it, whatever its type.
$node->sql(<<'SQL');
CREATE FOREIGN TABLE mail.twice (
	received timestamptz,
	from_ip inet,
	as_text text OPTIONS (field 'fromIP'),
	one text OPTIONS (field 'somethingNew'),
	other text OPTIONS (field 'somethingNew')
) SERVER tenant;
SQL
is($node->sql("SELECT from_ip, as_text, one, other FROM mail.twice WHERE received > '2026-05-09T10:00:01Z' AND received < '2026-05-09T10:00:02Z' AND one IS NOT NULL"),
	'2001:db8::1|[2001:db8::1]:25|new 1|new 1', 'two columns of one property');

# last_scan() is about the scan that the rows came from, not about one that a
# trigger makes meanwhile, and it knows of a scan that was cancelled.
$node->sql(<<"SQL");
CREATE TABLE copied (LIKE truth);
CREATE FUNCTION peek() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM FROM mail.message_trace WHERE received < '2026-04-01Z' LIMIT 1;
	RETURN NEW;
END \$\$;
CREATE TRIGGER peek BEFORE INSERT ON copied FOR EACH ROW EXECUTE FUNCTION peek();
SQL
my $few = "received >= '2026-05-09T10:00:00Z' AND received < '2026-05-09T10:00:06Z'";
is($node->sql("INSERT INTO copied ($columns) SELECT $columns FROM mail.message_trace WHERE $few; SELECT asked_from, asked_to, complete FROM o365_msgtrace.last_scan()", set => { timezone => 'UTC' }),
	'2026-05-09 10:00:00+00|2026-05-09 10:00:06+00|t', "last_scan() beside a trigger's scan");
$service->fault({ on => 'list', fault => 'hang' });
$session = $node->session;
$session->sql("SET statement_timeout = '300ms'");
is($session->sql_error("SELECT count(*) FROM mail.message_trace WHERE $few")->{sqlstate}, '57014', 'a scan that hangs is cancelled');
is($session->sql('SELECT complete, requests FROM o365_msgtrace.last_scan()'), 'f|1', '… and last_scan() has its request');
$session->quit;
$service->clear_faults;

done_testing();
