# tests/t/082_joins.t
#
# Joins with a message trace: a few people are asked for one by one, many in one
# reading, and what was asked once is not asked again. Requests are counted.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-10T12:00:00Z',
	rows_per_day => 5000,
	quota => 0);

# Rows of which a part is the same, and some around whole seconds: at each, right before it and right after it.
my $n = 0;
my %plain = (subject => 'alike', senderAddress => 'from@alike.example', recipientAddress => 'to@alike.example', messageId => '<alike@x.example>', status => 'delivered', size => 1, fromIP => '', toIP => '');
my @alike = (
	{ subject => 'Kept first' }, ({ subject => 'last Kept' }) x 2, ({ subject => 'is Kept here' }) x 4, ({ subject => 'Left first' }) x 3,
	{ senderAddress => 'one@alike.example' }, ({ recipientAddress => 'one@alike.example' }) x 2, ({ senderAddress => 'two@alike.example' }) x 3,
	{ messageId => '<one@alike.example>' }, ({ messageId => '<two@alike.example>' }) x 2, { status => 'expanded' }, ({ status => 'recalled' }) x 2,
	{ fromIP => '100.64.9.1' }, ({ toIP => '100.64.9.1' }) x 2, ({ fromIP => '100.64.9.2' }) x 4);
$service->add_rows(map { $n++; +{ %plain, id => sprintf('0dd00000-0000-4000-8000-%012d', $n), receivedDateTime => sprintf('2026-05-09T06:00:00.%06dZ', $n), %$_ } } @alike);
$service->add_rows(map { $n++; +{
	%plain, id => sprintf('0dd00000-0000-4000-8000-%012d', $n), receivedDateTime => sprintf('2026-05-09T18:%02d:%02d.%06dZ', int($_ / 180), int($_ / 3) % 60, (0, 1, 999999)[$_ % 3]),
	senderAddress => 'clock@x.example', size => $n } } 0 .. 1079);
# ... and two messages to a hundred people.
$service->add_rows(map { $n++; +{
	%plain, id => sprintf('0dd00002-0000-4000-8000-%012d', $n % 2), receivedDateTime => sprintf('2026-05-09T20:0%d:00Z', $n % 2),
	senderAddress => 'many@x.example', recipientAddress => "many$n\@x.example" } } 0 .. 199);
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none' });
$node->create_server($service, rows_per_day => 5000, page_size => 250);
$node->load_truth($service, 'truth', '2026-05-08T00:00:00Z', '2026-05-10T00:00:00Z');
$node->sql('CREATE INDEX ON truth (sender_address); CREATE INDEX ON truth (recipient_address); CREATE INDEX ON truth (received)');

# A day is 20 pages of the service.
my $day = "t.received >= '2026-05-08T00:00:00Z' AND t.received < '2026-05-09T00:00:00Z'";

# people: each once, the first ones with mail of that day; callers: people over and over.
$node->sql(<<"SQL");
CREATE TABLE people AS
	SELECT row_number() OVER (ORDER BY count(*) DESC, sender_address) AS n, sender_address AS mail
	  FROM truth t WHERE $day GROUP BY sender_address;
INSERT INTO people VALUES (-1, 'nobody\@nowhere.example'), (-2, NULL);
CREATE TABLE callers AS SELECT i, mail FROM generate_series(1, 300) i JOIN people ON n = i % 4 + 1 ORDER BY i;
CREATE TABLE spans AS SELECT i, '2026-05-08T00:00:00Z'::timestamptz + i * interval '1 hour' AS since FROM generate_series(0, 23) i;
ANALYZE people; ANALYZE callers; ANALYZE spans;
SQL

# The same over the foreign table and over the truth; returns the number of requests.
sub agree
{
	my ($name, $query, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	$node->same_rows($name, $query =~ s/TRACE/mail.message_trace/gr, $query =~ s/TRACE/truth/gr, %how);
	return scalar $service->list_requests;
}

# ---- by cost -----------------------------------------------------------------------

my $join = "SELECT p.n, t.* FROM people p JOIN TRACE t ON t.sender_address = p.mail WHERE $day";
is(agree('three people', "$join AND p.n BETWEEN 1 AND 3"), 3, '… are asked for one by one');
is(agree('the other way round', "$join AND p.n BETWEEN 1 AND 3" =~ s/t\.sender_address = p\.mail/p.mail = t.sender_address/r), 3, '… likewise');
my $wide = agree('all people', $join);
cmp_ok($wide, '<=', 24, '… are asked for in one reading');
is(agree('a left join with three people', "SELECT p.n, t.* FROM people p LEFT JOIN TRACE t ON t.sender_address = p.mail AND $day WHERE p.n BETWEEN 1 AND 3"), 3, '… asks for them');
is(agree('people who do not exist', "$join AND p.n < 0", at_least => 0), 1, '… cost a request, and NULL none');
is(agree('what follows from two equalities', "SELECT p.n, c.i, t.* FROM people p JOIN callers c ON c.mail = p.mail JOIN TRACE t ON t.sender_address = c.mail WHERE $day AND p.n = 2 AND c.i < 9"), 1, '… is asked for, too');
is(agree('LATERAL', "SELECT p.n, v.* FROM people p, LATERAL (SELECT * FROM TRACE t WHERE t.sender_address = p.mail AND $day) v WHERE p.n IN (1, 5)"), 2, '… asks per person');
is(agree('LATERAL with LIMIT', "SELECT p.n, v.* FROM people p, LATERAL (SELECT * FROM TRACE t WHERE t.sender_address = p.mail AND $day ORDER BY received DESC, message_trace_id, recipient_address LIMIT 2) v WHERE p.n IN (1, 5)"), 2, '… too');
is(agree('ranges of another table', "SELECT s.i, t.message_trace_id FROM spans s JOIN TRACE t ON t.received >= s.since AND t.received < s.since + interval '1 hour' WHERE s.i IN (2, 3)"), 2, '… are asked for range by range');
is(agree('a semijoin', "SELECT p.n FROM people p WHERE p.n BETWEEN 1 AND 3 AND EXISTS (SELECT FROM TRACE t WHERE t.sender_address = p.mail AND $day)"), 3, '… asks per person');
is(agree('an antijoin', "SELECT p.n FROM people p WHERE p.n BETWEEN -2 AND 3 AND NOT EXISTS (SELECT FROM TRACE t WHERE t.sender_address = p.mail AND $day)"), 4, '… too');

# ---- the same question again ----------------------------------------------------------

my %loops = (set => { enable_hashjoin => 'off', enable_mergejoin => 'off', enable_memoize => 'off', enable_material => 'off', enable_hashagg => 'off', enable_sort => 'off' });
is(agree('300 callers, of four people', "SELECT c.i, t.* FROM callers c JOIN TRACE t ON t.sender_address = c.mail WHERE $day"), 4, '… are asked for four times');
is(agree('… in a SubPlan', "SELECT c.i, (SELECT count(*) FROM TRACE t WHERE t.sender_address = c.mail AND $day) FROM callers c"), 4, '… too');
is(agree('… in a SubPlan with an order', "SELECT c.i, (SELECT message_trace_id FROM TRACE t WHERE t.sender_address = c.mail AND $day ORDER BY received DESC, message_trace_id LIMIT 1) FROM callers c"), 4, '… too');
is(agree('… in LATERAL', "SELECT c.i, v.* FROM callers c, LATERAL (SELECT count(*), max(size) FROM TRACE t WHERE t.sender_address = c.mail AND $day) v"), 4, '… too');
is(agree('… in EXISTS', "SELECT c.i FROM callers c WHERE c.i < 0 OR EXISTS (SELECT FROM TRACE t WHERE t.sender_address = c.mail AND $day OFFSET 0)"), 4, '… too');
my $hour = "t.received >= '2026-05-08T08:00:00Z' AND t.received < '2026-05-08T09:00:00Z'";
my $pages = agree('an hour', "SELECT * FROM TRACE t WHERE $hour");
is(agree('a condition that is not pushed', "SELECT p.n, t.message_trace_id FROM people p JOIN TRACE t ON t.size % 40 = p.n WHERE $hour", %loops), $pages, '… asks once for all loops');
is(agree('… in a SubPlan', "SELECT p.n, (SELECT count(*) FROM TRACE t WHERE t.size % 40 = p.n AND $hour) FROM people p"), $pages, '… too');
is(agree('a join inside a SubPlan', "SELECT p.n, (SELECT count(*) FROM spans s JOIN TRACE t ON t.received >= s.since AND t.received < s.since + interval '1 hour' WHERE s.i = 8 AND t.size > p.n AND $hour) FROM people p WHERE p.n < 20"), $pages, '… asks once');
is(agree('a part of the rows, again and again', "SELECT p.n FROM people p WHERE EXISTS (SELECT FROM TRACE t WHERE t.size % 40 = p.n AND $hour OFFSET 0)"), $pages, '… asks for the rest when it is wanted');
is(agree('the first row, then more of them', "SELECT c.i, c.mail, EXISTS (SELECT FROM TRACE t WHERE t.sender_address = c.mail AND t.size % 3 <> c.i % 3 AND t.size % 60 < c.i AND $day OFFSET 0) FROM callers c"), 4, '… takes a request more per question at most');

# Each caller wants a row more than the one before of the same person: first rows are kept, the rest is read.
my $more = "SELECT c.i, v.* FROM callers c, LATERAL (SELECT count(*) AS rows, count(DISTINCT (y.message_trace_id, y.recipient_address)) AS keys, %s"
  . " FROM (SELECT * FROM TRACE t WHERE t.sender_address = c.mail AND $day %s LIMIT c.i / 4) y) v";
cmp_ok(agree('first rows, and more each time', sprintf($more, '0 AS sum', '')), '==', 4, '… take a request per question');
for my $direction ('DESC', 'ASC')
{
	cmp_ok(agree("… in order, $direction", sprintf($more, "sum(y.size), string_agg(y.received::text, ' ' ORDER BY y.received) AS times", "ORDER BY received $direction, message_trace_id, recipient_address")), '==', 4, '… likewise');
}

# The same of answers of several pages, of two ranges in turn: by keys, or by the order.
my $turns = "SELECT i, v.* FROM generate_series(1, 12) i, LATERAL (SELECT count(*) AS rows, count(DISTINCT (y.message_trace_id, y.recipient_address)) AS keys, %s"
  . " FROM (SELECT * FROM TRACE t WHERE t.received >= '2026-05-08T06:00:00Z'::timestamptz + i %% 2 * interval '6 hours' AND t.received < '2026-05-08T09:00:00Z'::timestamptz + i %% 2 * interval '6 hours' AND $day %s LIMIT i * %d) y) v";
cmp_ok(agree('several pages', sprintf($turns, '0 AS sum', '', 5)), '<=', 14, '… take about a request per loop');
cmp_ok(agree('… beyond what is known by keys', sprintf($turns, '0 AS sum', '', 40)), '<=', 55, '… take some more');
for my $direction ('DESC', 'ASC')
{
	cmp_ok(agree("… in order, $direction", sprintf($turns, "sum(y.size), string_agg(y.received::text, ' ' ORDER BY y.received) AS times", "ORDER BY received $direction, message_trace_id, recipient_address", 50)), '<=', 14, '… are read on from where they ended');
}

# What is kept in order ends at a row, and others may be an instant before or after it. (Two ranges in turn, so that one reading ends.)
$node->sql("CREATE FOREIGN TABLE seconds (message_trace_id uuid, received timestamptz, sender_address text, recipient_address text, size bigint) SERVER tenant OPTIONS (table 'message_trace', page_size '40', rows_per_day '200000')");
for my $direction ('DESC', 'ASC')
{
	my $ticks = "SELECT i, v.* FROM generate_series(1, 60) i, LATERAL (SELECT count(*) AS rows, count(DISTINCT y.message_trace_id) AS ids, string_agg(y.received::text, ' ' ORDER BY y.received) AS times FROM"
	  . " (SELECT * FROM %s t WHERE sender_address LIKE 'clock%%' AND received >= '2026-05-09T18:00:00Z'::timestamptz + i %% 2 * interval '3 min' AND received < '2026-05-09T18:03:00Z'::timestamptz + i %% 2 * interval '3 min'"
	  . " ORDER BY received $direction LIMIT i * 9) y) v";
	$node->same_rows("rows around the last one that is kept, $direction", sprintf($ticks, 'seconds'), sprintf($ticks, 'truth'), at_least => 60);
}

# The first rows are known by both parts of their key: others of the same message come with the rest.
my $recipients = "SELECT i, v.* FROM generate_series(1, 6) i, LATERAL (SELECT count(*) AS rows, count(DISTINCT (y.message_trace_id, y.recipient_address)) AS keys FROM (SELECT * FROM %s t WHERE sender_address LIKE 'many%%'"
  . " AND received >= '2026-05-09T20:00:00Z'::timestamptz + i %% 2 * interval '1 min' AND received < '2026-05-09T20:01:00Z'::timestamptz + i %% 2 * interval '1 min' LIMIT CASE WHEN i < 3 THEN 5 WHEN i < 5 THEN 50 ELSE 1000 END) y) v";
$node->same_rows('recipients of one message, in parts', sprintf($recipients, 'seconds'), sprintf($recipients, 'truth'), at_least => 6);

# ---- questions that differ in one thing -------------------------------------------------------

# What is kept for one is not another's. Each is asked twice, in turn.
for my $differ (
	[ 'a subject that begins', 't.subject LIKE s.a', "('Kept%', ''), ('Left%', '')" ],
	[ 'where the same is in a subject', 't.subject LIKE s.a', "('Kept%', ''), ('%Kept', ''), ('%Kept%', '')" ],
	[ 'a sender', 't.sender_address = s.a', "('one\@alike.example', ''), ('two\@alike.example', '')" ],
	[ 'a recipient beside a sender', 't.sender_address = s.a AND t.recipient_address = s.b', "('from\@alike.example', 'one\@alike.example'), ('from\@alike.example', 'to\@alike.example')" ],
	[ 'which address it is', '(s.a IS NULL OR t.sender_address = s.a) AND (s.b IS NULL OR t.recipient_address = s.b)', "('one\@alike.example', NULL), (NULL, 'one\@alike.example')" ],
	[ 'which IP it is', '(s.a IS NULL OR t.from_ip = s.a::inet) AND (s.b IS NULL OR t.to_ip = s.b::inet)', "('100.64.9.1', NULL), (NULL, '100.64.9.1'), ('100.64.9.2', NULL)" ],
	[ 'a message id', 't.message_id = s.a', "('<one\@alike.example>', ''), ('<two\@alike.example>', '')" ],
	[ 'a trace id', 't.message_trace_id = s.a::uuid', "('0dd00000-0000-4000-8000-000000000001', ''), ('0dd00001-0000-4000-8000-000000000001', '')" ],
	[ 'a status', 't.status = s.a', "('expanded', ''), ('recalled', '')" ],
	[ 'a beginning', "t.subject = 'Left first' AND t.received >= s.a::timestamptz", "('2026-05-09 06:00:00.000008Z', ''), ('2026-05-09 06:00:00.000009Z', ''), ('2026-05-09 06:00:00.00001Z', '')" ],
	[ 'an end', "t.subject = 'Left first' AND t.received < s.a::timestamptz", "('2026-05-09 06:00:00.000009Z', ''), ('2026-05-09 06:00:00.00001Z', ''), ('2026-05-09 06:00:00.000011Z', '')" ],
	[ 'one of two values', "t.sender_address = ANY (ARRAY['nobody\@alike.example', s.a])", "('one\@alike.example', ''), ('two\@alike.example', '')", 2 ])
{
	my ($what, $condition, $values, $each) = @$differ;
	my $twice = "SELECT i, s.a, s.b, (SELECT count(*) FROM TRACE t WHERE $condition AND t.received >= '2026-05-09T00:00:00Z' AND t.received < '2026-05-10T00:00:00Z')"
	  . " FROM generate_series(1, 2) i, (VALUES $values) s (a, b)";
	my $questions = () = $values =~ /\(/g;
	is(agree("$what is the difference", $twice, at_least => 4), $questions * ($each // 1), '… and a request for each');
	is($node->sql('SELECT count(DISTINCT n) FROM (' . ($twice =~ s/TRACE/truth/r) . ') x (i, a, b, n)'), $questions, '… with other numbers of rows')
	  or diag($node->sql($twice =~ s/TRACE/truth/r));
}

# ---- more loops than was thought -----------------------------------------------------------

# The planner is told that there are few people; a reading of all takes 20 requests.
my $people = $node->sql('SELECT count(*) FROM people');
cmp_ok($people, '>', 100, 'there are many people');
for my $work_mem ('4MB', '64kB')
{
	my %set = (set => { %{ $loops{set} }, work_mem => $work_mem });
	my $asked = agree("all of them in a loop, work_mem $work_mem", "SELECT p.n, t.* FROM people p LEFT JOIN TRACE t ON t.sender_address = p.mail AND $day", %set);
	cmp_ok($asked, '<=', 2 * $wide + 2, '… are asked for one by one, then in one reading');
	cmp_ok($asked, '>=', 36, '… when they have cost as much');
	cmp_ok(agree('… in a SubPlan', "SELECT p.n, (SELECT count(*) FROM TRACE t WHERE t.sender_address = p.mail AND $day) FROM people p", %set), '<=', 2 * $wide + 2, '… too');
	cmp_ok(agree('… with an order', "SELECT p.n, v.* FROM people p, LATERAL (SELECT t.received, t.message_trace_id FROM TRACE t WHERE t.sender_address = p.mail AND $day ORDER BY received DESC, message_trace_id LIMIT 3) v", %set), '<=', 2 * $wide + 6, '… too');
	cmp_ok(agree('… with the sides swapped', "SELECT p.n, (SELECT max(t.size) FROM TRACE t WHERE p.mail = t.recipient_address AND $day) FROM people p", %set, at_least => 100), '<=', 2 * $wide + 2, '… too');
	cmp_ok(agree('… by a range', "SELECT s.i, (SELECT count(*) FROM TRACE t WHERE t.received >= s.since AND t.received < s.since + interval '10 min' AND $day) FROM (SELECT i, '2026-05-08T00:00:00Z'::timestamptz + i * interval '15 min' AS since FROM generate_series(1, 90) i) s", %set),
		'<=', 2 * $wide + 2, '… too');
}
is(agree('a query that may not ask for both', "SELECT p.n, t.message_trace_id FROM (SELECT * FROM people WHERE n BETWEEN 1 AND 45) p LEFT JOIN TRACE t ON t.sender_address = p.mail AND $day" =~ s/2026-05-09T/2026-05-10T/r, set => { %{ $loops{set} }, 'o365_msgtrace.max_requests_per_query' => 60 }),
	45, '… goes on one by one');

# ---- rows that others change meanwhile -------------------------------------------------------

# What was locked late is checked again (EvalPlanQual), with the rows of the trace at hand.
$node->sql("CREATE TABLE locked AS SELECT * FROM people WHERE n BETWEEN 1 AND 3; ANALYZE locked");
my $expected = $node->sql("SELECT p.n + (p.n = 2)::int * 100, t.message_trace_id, t.recipient_address FROM locked p JOIN truth t ON t.sender_address = p.mail WHERE $day AND p.n <> 3 ORDER BY 1, 2, 3");
my ($one, $other) = map { $node->session } 1 .. 2;
$one->sql("BEGIN; UPDATE locked SET n = 102 WHERE n = 2; UPDATE locked SET mail = 'nobody\@nowhere.example' WHERE n = 3");
$other->send("SELECT n, message_trace_id, recipient_address FROM (SELECT p.n, t.message_trace_id, t.recipient_address FROM locked p JOIN mail.message_trace t ON t.sender_address = p.mail WHERE $day FOR UPDATE OF p) x ORDER BY 1, 2, 3");
$node->wait_until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = " . $other->pid . " AND wait_event_type = 'Lock')");
$one->sql('COMMIT');
is($other->receive =~ s/\n\z//r, $expected, 'a lock that waited sees the rows of the trace and those of others as they are now');
$_->quit for $one, $other;

# ---- what is kept is let go ---------------------------------------------------------------------

my $session = $node->session;
my $many = "SELECT sum((SELECT count(*) FROM mail.message_trace t WHERE t.received >= s.at AND t.received < s.at + interval '5 min')) FROM"
  . " (SELECT '2026-05-08T00:00:00Z'::timestamptz + i * interval '5 min' AS at FROM generate_series(1, %d) i) s";
$session->sql('SET o365_msgtrace.max_requests_per_query = 0');
$session->sql(sprintf $many, 150) for 1 .. 3;
my $before = $node->backend_memory($session->pid);
$session->sql(sprintf $many, 280) for 1 .. 5;
cmp_ok($node->backend_memory($session->pid) - $before, '<', 8000, 'kept rows do not add up from query to query (kB)');
$session->quit;

done_testing();
