# tests/t/089_differential.t
#
# Random queries, each over a foreign table and over a plain table with the same
# rows: the results are equal, row by row. Whatever is pushed, asked in parts,
# ordered, kept or stopped early, nothing may show but in the time it takes.
#
# Each run has another seed, which it prints; a query that fails is made smaller
# as long as it fails, and shown. So many of them, or those of a seed again:
#
#   COUNT=2000 SEED=12345 tests/run/check tests/t/089_differential.t

use strict;
use warnings;
use utf8;

use Test::More;
use Time::Local qw(timegm);

use MsgTrace::Cluster;
use MsgTrace::Generator;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

use constant QUERIES_OF_A_SESSION => 20;
use constant SHOWN => 3;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $count = $ENV{COUNT} || 300;
my $seed = $ENV{SEED} || int(rand 1e9);
srand $seed;
note("seed $seed: SEED=$seed COUNT=$count repeats this run");

my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 300, quota => 0);
my $node = MsgTrace::Cluster->start(
	conf => { 'o365_msgtrace.max_requests_per_query' => 0, log_statement => 'none', jit => 'off' });

# ---- the world ------------------------------------------------------------------------

# Rows with texts that a filter, a pattern or a locale may stumble on.
my @odd = (
	'100% sure', 'a_b', 'back\\slash', '*star*', 'İnvoice', "\x{212A}elvin kilo", 'KILO kilo', ' leading', 'trailing ', "O'Neil's", '100%_\\',
	'Rechnung für Jürgen', 'ÄÖÜ äöü ß', 'ı dotless', "half \x{FFFD} here", 'x' x 400, "tab\there", 'invoice', 'INVOICE', 'InVoice 7', '', 'é', '日本語の件名');
my $n = 0;
$service->add_rows(map {
	my $subject = $_;
	map { {
		id => sprintf('0dd00000-0000-4000-8000-%012d', ++$n),
		receivedDateTime => sprintf('2026-05-%02dT%02d:00:%02d.%sZ', 3 + $n % 6, $n % 24, $n % 60, ('9999996', '000', '1234567')[$n % 3]),
		senderAddress => ('odd@contoso.com', "o'dd\@contoso.com", 'ODD@Contoso.com', '*@contoso.com', 'jürgen@contoso.com', '')[$n % 6],
		recipientAddress => ("r$n\@contoso.com", 'Ünal@contoso.com', 'kilo@contoso.com')[$n % 3],
		messageId => ('<odd@contoso.com>', undef, '<ODD@contoso.com>')[$n % 3],
		subject => $subject, status => ('Delivered', 'failed', 'pending', 'resolved')[$n % 4], size => 3_000_000_000 + $n,
		fromIP => ('192.0.2.77', '2001:db8::1', undef)[$n % 3], toIP => '' } } 1, 2 } @odd);

# Both interfaces; pages of all sizes; one request at a time and several; wrong beliefs about the density.
$node->create_server($service, rows_per_day => 300);
$node->create_server($service, name => 'reporting', schema => 'reporting', api => 'reporting', report_url => $service->report_url('reporting'),
	rows_per_day => 100_000);
my $fields = $node->sql("SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) FROM pg_attribute"
	  . " WHERE attrelid = 'mail.message_trace'::regclass AND attnum > 0");
# Citext ignores case, and ICU knows that of the dotted capital I and of the Kelvin sign, which the locale C does not.
(my $citext = $fields) =~ s/_address text/_address citext/g;
$citext =~ s/subject text/subject text COLLATE "und-x-icu"/;
$node->sql(<<"SQL");
CREATE EXTENSION citext;
CREATE FOREIGN TABLE small ($fields) SERVER tenant OPTIONS (table 'message_trace', page_size '150', rows_per_day '100000');
CREATE FOREIGN TABLE single ($fields) SERVER tenant OPTIONS (table 'message_trace', page_size '400', max_concurrency '1', rows_per_day '10');
CREATE FOREIGN TABLE folded ($citext) SERVER tenant OPTIONS (table 'message_trace', page_size '1000', max_concurrency '8');
CREATE FOREIGN TABLE plain ($fields) SERVER tenant OPTIONS (table 'message_trace', page_size '700', normalize 'false');
CREATE FOREIGN TABLE as_sent ($fields, raw json) SERVER tenant OPTIONS (table 'message_trace');
CREATE FOREIGN TABLE sent (from_ip text, to_ip text) SERVER tenant OPTIONS (table 'message_trace');
SQL
$node->load_truth($service, 'truth', '2026-02-09T00:00:00Z', '2026-05-10T11:59:59Z');
# In the normal form an empty text is NULL.
$node->sql("UPDATE truth SET sender_address = NULLIF(sender_address, ''), subject = NULLIF(subject, ''), message_id = NULLIF(message_id, '')");
$node->sql(<<"SQL");
CREATE TABLE truth_reporting AS SELECT * FROM truth WHERE received >= '2026-04-30T12:02:00Z';
CREATE TABLE truth_folded ($citext);
INSERT INTO truth_folded SELECT * FROM truth;
-- In no normal form all texts are as they were sent.
CREATE TABLE truth_plain AS SELECT t.message_trace_id, raw ->> 'messageId' AS message_id, t.received, raw ->> 'senderAddress' AS sender_address,
	raw ->> 'recipientAddress' AS recipient_address, raw ->> 'subject' AS subject, raw ->> 'status' AS status, t.size, t.from_ip, t.to_ip
	FROM as_sent s JOIN truth t USING (message_trace_id, recipient_address);
CREATE TABLE few AS SELECT recipient_address AS mail FROM truth GROUP BY 1 ORDER BY md5(recipient_address) LIMIT 6;
INSERT INTO few VALUES ('nobody\@nowhere.example'), (NULL), ('ada.lovelace\@contoso.com'), ('ada.lovelace\@contoso.com');
CREATE TABLE many AS SELECT DISTINCT recipient_address AS mail FROM truth ORDER BY 1 LIMIT 300;
ANALYZE truth_reporting; ANALYZE truth_folded; ANALYZE truth_plain; ANALYZE few; ANALYZE many;
SQL
my %truth = (
	'mail.message_trace' => 'truth', small => 'truth', single => 'truth',
	folded => 'truth_folded', plain => 'truth_plain', 'reporting.message_trace' => 'truth_reporting');
my @tables = sort keys %truth;
is($node->sql('SELECT count(*) FROM truth_plain'), $node->sql('SELECT count(*) FROM truth'), 'all rows as they were sent');
cmp_ok($node->sql('SELECT count(*) FROM truth_plain JOIN truth t USING (message_trace_id, received, size) WHERE truth_plain.sender_address <> t.sender_address'), '>', 10,
	'… which differ from the normal form');

# The events of all deliveries of the days that are asked for.
my @deliveries = map { [ split /\|/ ] } split /\n/,
  $node->sql("SELECT message_trace_id, recipient_address FROM truth WHERE received >= '2026-05-01T00:00:00Z'");
my $file = $service->save_detail_truth(folder() . '/details.csv', @deliveries);
$node->sql(<<"SQL");
CREATE TABLE truth_detail (message_trace_id uuid, recipient_address text, message_id text, event_time timestamptz,
	event text, action text, detail text, data text);
\\copy truth_detail FROM '$file' (FORMAT csv, HEADER)
CREATE INDEX ON truth_detail (message_trace_id);
ANALYZE truth_detail;
SQL

my @names = qw(message_trace_id message_id received sender_address recipient_address subject status size);
my @samples = map { my %row; @row{@names} = map { $_ eq "\x01" ? undef : $_ } split /\x02/, $_, -1; \%row }
  split /\x03\n?/, $node->sql('SELECT ' . join(" || e'\\x02' || ", map { "coalesce($_\::text, e'\\x01')" } @names)
	  . " || e'\\x03' FROM (SELECT *, row_number() OVER (ORDER BY md5(message_trace_id::text || recipient_address)) FROM (TABLE truth UNION SELECT * FROM truth_plain WHERE message_trace_id::text LIKE '0dd%') y) x"
	  . " WHERE row_number <= 400 OR message_trace_id::text LIKE '0dd%'");

# An address of which the service holds some with a port or in brackets is not found whole by "=" (README).
my @ips = split /\n/, $node->sql(
	"SELECT DISTINCT from_ip FROM sent WHERE from_ip ~ '^[0-9.]+\$|^[0-9a-f:]+::?[0-9a-f:]+\$' AND from_ip NOT IN"
	  . " (SELECT regexp_replace(trim(LEADING '[' FROM ip), '[]:][^.]*\$', '') FROM (SELECT from_ip FROM sent UNION SELECT to_ip FROM sent) x (ip)"
	  . " WHERE ip ~ '[0-9.]+:[0-9]+\$|\\[' AND ip IS NOT NULL) ORDER BY 1 LIMIT 60");
cmp_ok(scalar @samples, '>', 400, 'constants of rows'); cmp_ok(scalar @ips, '>', 20, '… and of addresses');

my $generator = MsgTrace::Generator->new(
	samples => \@samples, ips => \@ips,
	from => timegm(0, 0, 0, 1, 4, 2026), to => timegm(0, 0, 12, 10, 4, 2026));

# ---- one query ---------------------------------------------------------------------------

my ($session, $used) = (undef, 0);

sub session
{
	if (!$session || $used++ >= QUERIES_OF_A_SESSION)
	{
		$session->quit if $session;
		($session, $used) = ($node->session, 1);
		$session->sql("SET client_min_messages = error; SET statement_timeout = '60s'");
	}
	return $session;
}

# The switches of a query: they must not matter.
sub switches
{
	my @zones = ('UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'America/St_Johns');
	my @set = ("SET TimeZone = '$zones[rand @zones]'");
	for my $switch (qw(nestloop hashjoin mergejoin material memoize incremental_sort sort hashagg async_append))
	{
		push @set, "SET enable_$switch = " . (rand() < 0.2 ? 'off' : 'on');
	}
	return join '; ', @set;
}

# The query's SQL over a foreign table, or over its truth.
sub asked_of
{
	my ($query, $name, $table) = @_;
	my $detail = $name eq 'wanted' ? 'truth_detail' : $table =~ /\Areporting/ ? 'reporting.message_trace_detail' : 'mail.message_trace_detail';
	my $trace = $name eq 'wanted' ? $truth{$table} : $table;
	return MsgTrace::Generator::sql($query, $name) =~ s/\bTRACE\b/$trace/gr =~ s/\bDETAIL\b/$detail/gr;
}

# What is wrong with a query's result: nothing, or words. $rows is set.
sub difference
{
	my ($query, $table, $set, $rows) = @_;
	my ($sql, $wanted) = map { asked_of($query, $_, $table) } 'given', 'wanted';
	my $out = eval {
		my $asked = session();
		$asked->sql("DROP TABLE IF EXISTS given, wanted; RESET ALL; SET client_min_messages = error; SET statement_timeout = '60s'; $set; $wanted");
		$asked->sql($sql);
		$asked->sql('SELECT (SELECT count(*) FROM wanted), (SELECT count(*) FROM (TABLE given EXCEPT ALL TABLE wanted) x),'
			  . ' (SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE given) x)');
	};
	if (!defined $out)
	{
		my $error = $@;
		$session = undef;
		return "error: $error";
	}
	my ($all, $much, $missing) = split /\|/, $out;
	$$rows = $all if $rows;
	return if $much == 0 && $missing == 0;
	return "$much rows too many, $missing missing, of $all";
}

# The smallest query that still fails.
sub shrunk
{
	my ($query, $table, $set) = @_;
	my $tries = 0;
	my $smaller = 1;
	while ($smaller)
	{
		$smaller = 0;
		for my $candidate (MsgTrace::Generator::smaller($query))
		{
			last if $tries++ > 200;
			next if !defined difference($candidate, $table, $set);
			($query, $smaller) = ($candidate, 1);
			last;
		}
	}
	return $query;
}

sub show
{
	my ($query, $table, $set) = @_;
	my $small = shrunk($query, $table, $set);
	my $problem = difference($small, $table, $set) // 'passes now';
	my $sql = asked_of($small, 'given', $table);
	diag("$problem\n$set;\n$sql;\nthe truth is in $truth{$table}");
	if ($sql =~ /\ACREATE TEMP TABLE given AS (.*)/s)
	{
		diag(eval { $node->sql("$set; EXPLAIN (VERBOSE, COSTS OFF) $1") } // $@);
	}
	return;
}

# ---- all of them -----------------------------------------------------------------------------

my (%shapes, %hows);
my ($with_rows, $compared, $wrong) = (0, 0, 0);
$service->clear_requests;
for my $number (1 .. $count)
{
	$service->settings(shuffle => int rand 2) if $number % 25 == 1;
	my $query = $generator->query;
	# (Details are shown in the normal form.)
	my @fitting = grep { $_ ne 'plain' || $query->{shape} !~ /details/ } @tables;
	my $table = $fitting[ rand @fitting ];
	my $set = switches();
	my $rows = 0;

	$shapes{ $query->{shape} }++;
	$hows{ $query->{how} }++;
	my $problem = difference($query, $table, $set, \$rows);
	$with_rows++ if $rows > 0;
	$compared += $rows;
	next if !defined $problem;
	fail("query $number of seed $seed, over $table");
	diag($problem);
	show($query, $table, $set) if $wrong < SHOWN;
	last if ++$wrong >= 20;
}
my $requests = $service->list_requests;
is($wrong, 0, "$count queries have the rows that the same queries have over a plain table");
cmp_ok($with_rows, '>', $count / 3, 'many of them have rows');
diag(sprintf 'seed %d: %d queries, %d of them with rows, %d rows compared, %d requests; %s; %s', $seed, $count, $with_rows, $compared, $requests,
	join(', ', map { "$_ $shapes{$_}" } sort keys %shapes), join(', ', map { "$_ $hows{$_}" } sort keys %hows));

done_testing();
