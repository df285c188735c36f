# tests/t/087_questions.t
#
# What typical questions of a mail or security admin cost in requests. Each has
# the least number that would do, which is worked out here from the truth and
# from the service's rules alone: a page has at most 5000 rows, a request spans
# at most 10 days and one value for each property, the details of a delivery
# are one request. The requests that were made are counted at the service. The
# rows are those of the same statement on plain tables, and README's table of
# questions is the one that is held here.
#
# The tenant has 100 000 rows a day. Its time stands at noon of a Wednesday, for
# the statements too, so that the numbers are the same on each day: the schema
# "clock" has a now() of its own. Another search_path leads the same statement
# to the foreign tables or to the truth.

use strict;
use warnings;
use utf8;

use POSIX qw(ceil);
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my ($page, $window_days, $held_days) = (5000, 10, 90.5);
my $now = '2026-05-13T12:00:00Z';
my $other_tenant = '99999999-2222-3333-4444-555555555555';
my $service = MsgTrace::Service->start(now => $now, quota => 0);
$service->add_tenant(id => $other_tenant, domain => 'fabrikam.com');
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none' });
$node->create_server($service, name => 'contoso');
$node->create_server($service, name => 'fabrikam', schema => 'fabrikam', tenant_id => $other_tenant);

# ---- who and what the questions are about --------------------------------------------

my $ada = 'ada.lovelace@contoso.com';
my $grace = 'grace.hopper+lists@contoso.com';
my $mass_sender = 'karen.wood@contoso.com';
my $phish = 'Your mailbox will be closed today';
my $phisher_ip = '203.0.113.199';
my $supplier = 'sales@supplier.example';
my $supplier_first = '2026-03-05T09:00:00Z';
my $known_id = '<offer-8@supplier.example>';

# Rows of our own in a world that is made by chance: a phish that thirty-seven
# people got, and a supplier who writes once a week.
my @people = split /\n/, <<'END';
guido.van.rossum@contoso.com
barbara.liskov@contoso.com
alan.turing@contoso.com
chen.wei@contoso.com
frances.allen@contoso.com
ivan.sutherland@contoso.com
dennis.ritchie@contoso.com
katherine.johnson@contoso.com
edsger.dijkstra@contoso.com
miles.o'brien@contoso.com
josé.rose@contoso.com
yara.romano@contoso.com
chloë.rossi@contoso.com
guido.kovačič@contoso.com
katherine.laurent@contoso.com
hannah.clarke@contoso.com
chen.hopper@mail.contoso.co.uk
dieter.carlos@mail.contoso.co.uk
edsger.nuñez@contoso.de
nobody@contoso.com
END
my @got = (map { "user$_\@contoso.com" } 1 .. 30);
$service->add_rows(map { row('aaaaaaaa-0000-4000-8000-000000000001', '2026-05-12T08:15:30.5Z', $_,
	senderAddress => 'it-support@phish.example', subject => $phish, messageId => '<1@phish.example>', fromIP => $phisher_ip) }
	@got, @people[3 .. 9]);
my @weeks = map { POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', 0, 0, 9, 5 + 7 * $_, 2, 126) } 0 .. 9;
$service->add_rows(map { row("bbbbbbbb-0000-4000-8000-00000000000$_", $weeks[$_], $ada,
	senderAddress => $supplier, subject => "Offer $_ of the week", messageId => "<offer-$_\@supplier.example>", fromIP => '198.51.100.7') }
	0 .. 9);

sub row
{
	my ($id, $received, $recipient, %more) = @_;
	return { id => $id, receivedDateTime => $received, recipientAddress => $recipient, status => 'delivered', size => 12345, toIP => '', %more };
}

# ---- the truth -------------------------------------------------------------------------

$node->sql('CREATE SCHEMA truth; CREATE SCHEMA desk; CREATE SCHEMA clock;');
$node->load_truth($service, 'truth.message_trace', '2026-05-06T11:00:00Z', $now);

# Adds what the service's truth has for a tenant in a range.
sub add_truth
{
	my ($table, $from, $to, $tenant) = @_;
	my $file = $service->save_truth(folder() . '/more.csv', $from, $to, undef, $tenant);
	$node->sql("\\copy $table FROM '$file' (FORMAT csv, HEADER)");
	return;
}

# Of the weeks before, the supplier's mail: nobody else writes from there.
add_truth('truth.message_trace', $_, $_ =~ s/09:00:00/09:00:01/r) for grep { $_ lt '2026-05-06' } @weeks;
$node->sql("DELETE FROM truth.message_trace WHERE received < '2026-05-06Z' AND sender_address <> '$supplier'");
$node->sql('CREATE TABLE truth.other (LIKE truth.message_trace)');
add_truth('truth.other', '2026-05-13T00:00:00Z', $now, $other_tenant);

my $in_quotes = join ', ', map { "'" . s/'/''/gr . "'" } @people;
$node->sql(<<"SQL");
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE plpgsql STABLE AS \$\$ BEGIN RETURN timestamptz '$now'; END \$\$;
CREATE TABLE desk.employees (mail text PRIMARY KEY, name text, department text);
INSERT INTO desk.employees SELECT mail, initcap(split_part(mail, '.', 1)), CASE WHEN n <= 5 THEN 'legal' ELSE 'sales' END
	FROM unnest(ARRAY[$in_quotes]) WITH ORDINALITY p (mail, n);
INSERT INTO desk.employees SELECT recipient_address, 'x', 'works' FROM truth.message_trace WHERE recipient_address LIKE '%contoso.com'
	AND recipient_address NOT IN (SELECT mail FROM desk.employees) GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 800;
CREATE TABLE desk.partners (mail text NOT NULL);
INSERT INTO desk.partners SELECT DISTINCT sender_address FROM truth.message_trace WHERE sender_address < 'g' AND received > '2026-05-13T08:00Z';
CREATE TABLE desk.tickets (ticket int PRIMARY KEY, trace uuid, opened timestamptz);
INSERT INTO desk.tickets SELECT n, message_trace_id, received + interval '3 hours' FROM (
	SELECT 4700 + row_number() OVER (ORDER BY received DESC) AS n, message_trace_id, received FROM truth.message_trace
	 WHERE recipient_address = '$ada' AND received < '2026-05-13T06:00Z') t;
ANALYZE desk.employees; ANALYZE desk.partners; ANALYZE desk.tickets; ANALYZE truth.message_trace; ANALYZE truth.other;
CREATE TABLE mail.everybody (LIKE mail.message_trace, tenant text) PARTITION BY LIST (tenant);
CREATE FOREIGN TABLE mail.contoso PARTITION OF mail.everybody FOR VALUES IN ('contoso') SERVER contoso;
CREATE FOREIGN TABLE mail.fabrikam PARTITION OF mail.everybody FOR VALUES IN ('fabrikam') SERVER fabrikam;
CREATE VIEW truth.everybody AS SELECT *, 'contoso' AS tenant FROM truth.message_trace UNION ALL SELECT *, 'fabrikam' FROM truth.other;
CREATE FUNCTION clock.each_of(people text[]) RETURNS TABLE (mail text, mails bigint) LANGUAGE plpgsql AS \$\$
DECLARE
	one text;
BEGIN
	FOREACH one IN ARRAY \$1 LOOP
		RETURN QUERY SELECT one, count(*) FROM message_trace t WHERE t.sender_address = one AND t.received > now() - interval '7 days';
	END LOOP;
END \$\$;
SQL

# ---- the least number of requests --------------------------------------------------------

# For what one request can ask: rows that fit a condition, in the last so many hours.
sub pages
{
	my ($hours, $condition) = @_;
	return pages_between("now() - interval '$hours hours'", 'now()', $hours / 24, $condition);
}

sub pages_between
{
	my ($from, $to, $days, $condition) = @_;
	my $rows = truth("SELECT count(*) FROM message_trace WHERE received >= $from AND received < $to AND ($condition)");
	return most(1, ceil($rows / $page), ceil($days / $window_days));
}

sub truth
{
	my ($sql) = @_;
	return $node->sql($sql, set => { search_path => 'clock,desk,truth,pg_catalog' });
}

sub most { return (sort { $b <=> $a } @_)[0] }
sub least { return (sort { $a <=> $b } @_)[0] }

# Windows of ten days from an end of what is held to a time.
sub windows_back  { return ceil(truth("SELECT extract(epoch FROM now() - '$_[0]') / 86400") / $window_days) }
sub windows_ahead { return ceil(truth("SELECT extract(epoch FROM '$_[0]' - (now() - interval '$held_days days')) / 86400 + 1e-9") / $window_days) }

my $all_windows = ceil($held_days / $window_days);
my $recent = q{received > now() - interval '7 days'};
my $legal = truth("SELECT string_agg(quote_literal(mail), ', ') FROM employees WHERE department = 'legal'");
my $johnson = 'katherine.johnson@contoso.com';
my $customer = 'dennis.lamarr@libertysdelightfulsinfulbakery.com';
my $rossum = 'guido.van.rossum@contoso.com';
my $morning = q{received >= date_trunc('day', now())};

# Deliveries whose details are asked for.
my ($one, @failed) = map { [ split /\|/ ] } split /\n/, truth("(SELECT message_trace_id, recipient_address FROM message_trace"
	  . " WHERE recipient_address = '$ada' ORDER BY received DESC LIMIT 1) UNION ALL (SELECT message_trace_id, recipient_address"
	  . " FROM message_trace WHERE sender_address = '$rossum' AND status = 'failed' AND $morning)");
my $details = 'message_trace_id, recipient_address, message_id, event_time, event, action, detail, data';
my $detail_file = $service->save_detail_truth(folder() . '/details.csv', $one, @failed);
$node->sql("CREATE TABLE truth.message_trace_detail (message_trace_id uuid, recipient_address text, message_id text,"
	  . " event_time timestamptz, event text, action text, detail text, data text);\n"
	  . "\\copy truth.message_trace_detail FROM '$detail_file' (FORMAT csv, HEADER)");

# ---- the questions -------------------------------------------------------------------------

# Each: the question, its SQL in short for README, the SQL, the least number of
# requests; then, where more may be made, how many more and why.
my @questions = (
	[ 'What did Ada get in the last two hours?', "`recipient_address = …`",
		"SELECT * FROM message_trace WHERE recipient_address = '$ada' AND received > now() - interval '2 hours'",
		pages(2, "recipient_address = '$ada'") ],
	[ 'What did this sender send last week? (6000 mails)', "`sender_address = …`, 7 days",
		"SELECT received, recipient_address, subject FROM message_trace WHERE sender_address = '$mass_sender' AND $recent",
		pages(168, "sender_address = '$mass_sender'") ],
	[ '… in the last 30 days? (a few mails)', "`sender_address = …`, 30 days",
		"SELECT * FROM message_trace WHERE sender_address = '$supplier' AND received > now() - interval '30 days'",
		pages(720, "sender_address = '$supplier'") ],
	[ '… ever?', "`sender_address = …`",
		"SELECT * FROM message_trace WHERE sender_address = '$supplier'", $all_windows ],
	[ 'When did this supplier first write to us?', "`min(received)`, `sender_address = …`",
		"SELECT min(received) FROM message_trace WHERE sender_address = '$supplier'", windows_ahead($supplier_first), 3, 'ahead' ],
	[ 'Mail between two people, both ways', '`(sender_address = a AND recipient_address = b) OR (… b … a)`, 7 days',
		"SELECT * FROM message_trace WHERE $recent AND ((sender_address = '$customer' AND recipient_address = '$johnson')"
		  . " OR (sender_address = '$johnson' AND recipient_address = '$customer'))", 2, at_least => 2 ],
	[ 'All mail from or to Grace', '`sender_address = a OR recipient_address = a`, 7 days',
		"SELECT * FROM message_trace WHERE (sender_address = '$grace' OR recipient_address = '$grace') AND $recent", 2 ],
	[ "Ada's newest mail", '`recipient_address = … ORDER BY received DESC LIMIT 1`',
		"SELECT received, subject FROM message_trace WHERE recipient_address = '$ada' ORDER BY received DESC LIMIT 1", 1, 1, 'ahead' ],
	[ 'Is this Message-ID known? (it is, of 13 days ago)', '`EXISTS (… message_id = …)`',
		"SELECT EXISTS (SELECT FROM message_trace WHERE message_id = '$known_id') AS known", windows_back('2026-04-30T09:00:00Z'), 2, 'ahead' ],
	[ 'Who got the message with this trace id?', '`message_trace_id = …`, 7 days',
		"SELECT recipient_address, status FROM message_trace WHERE message_trace_id = 'aaaaaaaa-0000-4000-8000-000000000001' AND $recent", 1 ],
	[ 'Who got this phish?', '`subject = …`, 2 days',
		"SELECT recipient_address, status FROM message_trace WHERE subject = '$phish' AND received > now() - interval '2 days'",
		pages(48, "subject ILIKE '$phish%'") ],
	[ 'Which of these 20 people got it?', '`subject = … AND recipient_address IN (20)`, 7 days',
		"SELECT recipient_address FROM message_trace WHERE subject = '$phish' AND recipient_address IN ($in_quotes) AND $recent",
		least(scalar @people, pages(168, "subject ILIKE '$phish%'")) ],
	[ 'Which of these 20 people got mail in the last 15 minutes?', '`recipient_address IN (20)`, 15 minutes',
		"SELECT DISTINCT recipient_address FROM message_trace WHERE recipient_address = ANY (ARRAY[$in_quotes]) AND received > now() - interval '15 min'",
		least(scalar @people, pages(0.25, 'true')) ],
	[ '… since yesterday?', '`recipient_address = ANY ($1)`, 24 hours',
		"EXECUTE got (ARRAY[$in_quotes])", least(scalar @people, pages(24, 'true')),
		before => "PREPARE got (text[]) AS SELECT recipient_address, count(*) FROM message_trace"
		  . " WHERE recipient_address = ANY (\$1) AND received > now() - interval '24 hours' GROUP BY 1" ],
	[ 'Mail about expiring passwords', "`subject ILIKE '%password expires%'`, 6 hours",
		"SELECT subject, sender_address FROM message_trace WHERE subject ILIKE '%password expires%' AND received > now() - interval '6 hours'",
		pages(6, "subject ILIKE '%password exp%'") ],
	[ 'Mail whose subject ends in .pdf', "`subject LIKE '%.pdf'`, today",
		"SELECT subject, recipient_address FROM message_trace WHERE subject LIKE '%.pdf' AND $morning",
		pages(12, "subject ILIKE '%.pdf'") ],
	[ 'Invoices of yesterday', "`subject LIKE 'Invoice %'`, from midnight to midnight",
		"SELECT subject, recipient_address FROM message_trace WHERE subject LIKE 'Invoice %'"
		  . " AND received >= date_trunc('day', now()) - interval '1 day' AND received < date_trunc('day', now())",
		pages_between("date_trunc('day', now()) - interval '1 day'", "date_trunc('day', now())", 1, "subject ILIKE 'Invoice %'") ],
	[ 'All failed mail of today', "`status = 'failed'`",
		"SELECT * FROM message_trace WHERE status = 'failed' AND $morning", pages(12, "status = 'failed'") ],
	[ 'Failed or quarantined today', "`status IN ('failed', 'quarantined')`",
		"SELECT sender_address, status, count(*) FROM message_trace WHERE status IN ('failed', 'quarantined') AND $morning GROUP BY 1, 2",
		pages(12, "status = 'failed'") + pages(12, "status = 'quarantined'") ],
	[ 'Quarantined mail of these domains', "`status = 'quarantined' AND (sender_address LIKE '%\@a' OR … LIKE '%\@b')`, 7 days",
		"SELECT received, sender_address, subject FROM message_trace WHERE status = 'quarantined' AND $recent"
		  . " AND (sender_address LIKE '%\@adatum.com' OR sender_address LIKE '%\@proseware.com')",
		pages(168, "status = 'quarantined'"), 1, 'pages' ],
	[ 'Mail from this IP', '`from_ip = …`, 7 days',
		"SELECT * FROM message_trace WHERE from_ip = '$phisher_ip' AND $recent", pages(168, "from_ip = '$phisher_ip'") ],
	[ 'The largest mails of the last hour', '`ORDER BY size DESC LIMIT 10`',
		"SELECT size, sender_address FROM message_trace WHERE received > now() - interval '1 hour' ORDER BY size DESC, message_trace_id, recipient_address LIMIT 10",
		pages(1, 'true'), 1, 'pages' ],
	[ 'The newest ten', '`ORDER BY received DESC LIMIT 10`',
		'SELECT received FROM message_trace ORDER BY received DESC LIMIT 10', 1, 1, 'ahead' ],
	[ 'The newest ten that failed', "`status = 'failed' ORDER BY received DESC, … LIMIT 10`",
		"SELECT * FROM message_trace WHERE status = 'failed' ORDER BY received DESC, message_trace_id, recipient_address LIMIT 10", 1, 1, 'ahead' ],
	[ 'Up to when does the service know mail?', '`max(received)`',
		'SELECT max(received) FROM message_trace', 1, 1, 'ahead' ],
	[ 'How many mails an hour today?', "`count(*) … GROUP BY date_trunc('hour', received)`",
		"SELECT date_trunc('hour', received), count(*) FROM message_trace WHERE $morning GROUP BY 1", pages(12, 'true'), 5, 'pages' ],
	[ 'A panel of Grafana: mail of six hours by status in steps of 5 minutes', '`received BETWEEN … AND … GROUP BY date_bin(…), status`',
		"SELECT date_bin('5 min', received, '2000-01-01Z') AS time, status AS metric, count(*) AS value FROM message_trace"
		  . " WHERE received BETWEEN '2026-05-13T06:00:00Z' AND '2026-05-13T11:59:59.999Z' GROUP BY 1, 2 ORDER BY 1",
		pages(6, 'true'), 5, 'pages' ],
	[ 'Top senders of the last two hours', '`GROUP BY sender_address ORDER BY count(*) DESC LIMIT 10`',
		"SELECT sender_address, count(*), sum(size) FROM message_trace WHERE received > now() - interval '2 hours' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10",
		pages(2, 'true'), 1, 'pages' ],
	[ 'What did the five of the legal department send?', 'join with `employees`, 7 days',
		"SELECT e.name, t.received, t.subject FROM employees e JOIN message_trace t ON t.sender_address = e.mail WHERE e.department = 'legal' AND t.$recent", 5 ],
	[ 'What did all 820 employees send in the last half hour?', 'join with `employees`, 30 minutes',
		"SELECT e.department, count(*) FROM employees e JOIN message_trace t ON t.sender_address = e.mail WHERE t.received > now() - interval '30 min' GROUP BY 1",
		pages(0.5, 'true'), 1, 'pages' ],
	[ 'Who outside writes to the legal department?', '`recipient_address IN (SELECT …)`, 7 days',
		"SELECT DISTINCT sender_address FROM message_trace WHERE recipient_address IN (SELECT mail FROM employees WHERE department = 'legal') AND $recent", 5 ],
	[ 'The newest mail of each of these five', '`JOIN LATERAL (… ORDER BY received DESC LIMIT 1)`, 7 days',
		"SELECT e.name, n.received FROM employees e CROSS JOIN LATERAL (SELECT t.received FROM message_trace t WHERE t.recipient_address = e.mail"
		  . " AND t.$recent ORDER BY t.received DESC LIMIT 1) n WHERE e.department = 'legal'", 5 ],
	[ 'Who writes that is not on our list?', '`sender_address NOT IN (SELECT …)`, 10 minutes',
		"SELECT DISTINCT sender_address FROM message_trace WHERE received > now() - interval '10 min' AND sender_address NOT IN (SELECT mail FROM partners)",
		pages(1 / 6, 'true') ],
	[ "What became of this ticket's message?", 'join with `tickets` by `message_trace_id` and time',
		'SELECT k.ticket, t.recipient_address, t.status FROM tickets k JOIN message_trace t ON t.message_trace_id = k.trace'
		  . " AND t.received BETWEEN k.opened - interval '1 day' AND k.opened WHERE k.ticket = 4711", 1 ],
	[ 'How much did each of them send? (a loop in PL/pgSQL over five)', '`count(*) … sender_address = variable`, 7 days',
		"SELECT * FROM each_of(ARRAY[$legal])", 5 ],
	[ 'The details of one delivery', '`message_trace_detail`, both keys',
		"SELECT $details FROM message_trace_detail WHERE message_trace_id = '$one->[0]' AND recipient_address = '$one->[1]'", 1 ],
	[ 'Why did the mail of this sender fail today? (4 deliveries)', "join with `message_trace_detail`, `status = 'failed'`",
		"SELECT t.subject, d.recipient_address, d.event_time, d.event, d.detail FROM message_trace t JOIN message_trace_detail d"
		  . ' ON d.message_trace_id = t.message_trace_id AND d.recipient_address = t.recipient_address'
		  . " WHERE t.sender_address = '$rossum' AND t.status = 'failed' AND t.$morning", 1 + @failed ],
	[ 'The same sender in two tenants', 'partitions, `sender_address = …`, 12 hours',
		"SELECT tenant, count(*) FROM everybody WHERE sender_address = '$rossum' AND $morning GROUP BY 1", 2 ],
	[ '… in one of them', "partitions, `tenant = 'fabrikam'`",
		"SELECT received, subject FROM everybody WHERE tenant = 'fabrikam' AND sender_address = '$rossum' AND $morning", 1 ],
	[ 'A range that is none, the future, a spelling that no address has', "`received > a AND received < b`; `'Ada\@Contoso.com'`",
		"SELECT subject FROM message_trace WHERE (received > now() AND received < now() - interval '1 day')"
		  . " UNION ALL SELECT subject FROM message_trace WHERE received > now() + interval '1 hour'"
		  . " UNION ALL SELECT subject FROM message_trace WHERE sender_address = 'Ada.Lovelace\@Contoso.com'",
		0, at_least => 0 ]);
is(scalar @questions, 40, 'forty questions');

# ---- asking them -----------------------------------------------------------------------------

my %why = (
	pages => 'the last pages of slices, which are not full',
	ahead => 'what is in flight when the query stops');
my $session = $node->session(set => { client_min_messages => 'error' });

# The rows of a statement into a temporary table, on foreign tables or the truth.
sub keep
{
	my ($name, $schema, $sql, $before) = @_;
	$session->sql("SET search_path = clock, desk, $schema, pg_catalog; DEALLOCATE ALL");
	$session->sql($before) if defined $before;
	$service->clear_requests;
	$session->sql("CREATE TEMP TABLE $name AS $sql");
	return scalar(my @made = ($service->list_requests, $service->detail_requests));
}

# How many rows there are on both sides, and how many differ.
sub compare
{
	my ($given, $wanted, $different) = split /\|/, $session->sql(
		'SELECT (SELECT count(*) FROM given), (SELECT count(*) FROM wanted),'
		  . ' (SELECT count(*) FROM (TABLE given EXCEPT ALL TABLE wanted) a) + (SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE given) b)');
	$session->sql('DROP TABLE given; DROP TABLE wanted');
	return ($given, $wanted, $different);
}

my @table = ("| question | SQL | requests |\n", "|---|---|---|\n");
for my $question (@questions)
{
	my ($name, $short, $sql, $ideal, @more) = @$question;
	my ($surplus, $why) = @more && $more[0] =~ /^\d+$/ ? splice @more, 0, 2 : (0);
	my %how = (at_least => 1, @more);
	push @table, "| $name | $short | $ideal" . ($surplus ? " (+ $surplus)" : '') . " |\n";
	my $made = eval { keep('given', 'mail', $sql, $how{before}) };
	if (!defined $made)
	{
		fail($name);
		diag($@);
		$session->sql('DROP TABLE IF EXISTS given');
		next;
	}
	keep('wanted', 'truth', $sql, $how{before});
	my ($given, $wanted, $different) = compare();
	ok($different == 0 && $given == $wanted && $wanted >= $how{at_least}, "$name - $wanted rows")
	  or diag("$given rows, $different differ");
	my $most = $ideal + $surplus;
	ok($made >= $ideal && $made <= $most, "… with $made requests of $ideal" . ($surplus ? " to $most, for $why{$why}" : ''))
	  or diag($node->sql('SET search_path = clock, desk, mail, pg_catalog; ' . ($how{before} // '') . "; EXPLAIN (VERBOSE, COSTS OFF) $sql"));
}

# ---- README ----------------------------------------------------------------------------------

my $readme = do
{
	local $/;
	open my $file, '<:encoding(UTF-8)', MsgTrace::Process::root() . '/README.md' or die "README.md: $!";
	<$file>;
};
my $table = join '', @table;
ok(index($readme, $table) >= 0, "README's table of questions is this one") or diag("it should be:\n$table");

$session->quit;
done_testing();
