# tests/t/030_exact.t
#
# Whatever the WHERE clause, a foreign table gives the rows that a plain table
# with everything the service holds would give: no more, none missing, each with
# the same values. And it asks the service for what the clause needs: nothing
# where no row can match, one range and one address where these are given, all
# that is held where there is no range.
#
# The service's clock stands at the time the test began, so that now() means
# about the same on both sides while the rows stay as they are.

use strict;
use warnings;
use utf8;

use POSIX qw(strftime);
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $rows_per_day = 1000;
my $now = time;
my $service = MsgTrace::Service->start(
	now => at(0),
	rows_per_day => $rows_per_day,
	quota => 0);
my $node = MsgTrace::Cluster->start(
	conf => { 'o365_msgtrace.max_requests_per_query' => 0, work_mem => '64MB' });
$node->create_server($service, rows_per_day => $rows_per_day);

# Hours before the service's now, as a time.
sub at
{
	my ($hours) = @_;
	return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($now - int($hours * 3600)));
}

# What is held: 90 days, counted from midnight UTC, up to a second before now.
my $earliest = strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($now - $now % 86400 - 90 * 86400));
$node->load_truth($service, 'truth', $earliest, at(1 / 3600));

my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';

# A table like the imported one, with options of its own.
sub create_table
{
	my ($name, $options) = @_;
	$node->sql("CREATE FOREIGN TABLE mail.$name (message_trace_id uuid, message_id text, received timestamptz,"
		  . ' sender_address text, recipient_address text, subject text, status text, size bigint,'
		  . " from_ip inet, to_ip inet) SERVER tenant OPTIONS ($options)");
	return;
}

$node->sql(<<'SQL');
CREATE FUNCTION public.hours_ago(hours int) RETURNS timestamptz LANGUAGE plpgsql STABLE
	AS $$ BEGIN RETURN date_trunc('minute', now()) - make_interval(hours => hours); END $$;
CREATE FUNCTION public.fixed_time() RETURNS timestamptz LANGUAGE plpgsql VOLATILE
	AS $$ BEGIN RETURN date_trunc('day', now()) - interval '80 days'; END $$;
SQL

# The list requests of one comparison: %how takes, beside those of same_rows,
# most => how many there may be, and asks => what the first must have asked for.
sub agree
{
	my ($where, %how) = @_;
	my $name = delete $how{name} // $where;
	my $most = delete $how{most};
	my $asks = delete $how{asks};
	my $table = delete $how{table} // 'mail.message_trace';
	my $from = delete $how{from} // '';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	$node->same_rows(
		$name,
		"SELECT $columns FROM $table $from WHERE $where",
		"SELECT $columns FROM truth $from WHERE $where", %how);
	my @asked = $service->list_requests;
	cmp_ok(scalar @asked, '<=', $most, "… with at most $most requests") if defined $most;
	like(@asked ? $asked[0]{query} : '', $asks, '… and asks for that') if defined $asks;
	return @asked;
}

# No row, and no list request either.
sub agree_on_nothing
{
	my ($where, %how) = @_;
	my @asked = agree($where, at_least => 0, %how);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(scalar @asked, 0, '… without a request');
	return;
}

# A value of the truth, as a literal.
sub some
{
	my ($expression, $where) = @_;
	return $node->sql(
		"SELECT quote_literal($expression) FROM truth WHERE $where ORDER BY received DESC LIMIT 1");
}

# ---- ranges of constants ---------------------------------------------------------

# (long enough for nights and weekends)
my ($t1, $t2, $t6, $t48, $t60) = map { "'" . at($_) . "'" } 1, 2, 6, 48, 60;
my $row = some('received', "received < $t48 AND extract(microseconds FROM received)::int % 1000 <> 0");
my $whole = some('received', "received < $t48 AND received = date_trunc('second', received)");

# A range of hours is asked for in a few requests: the first is about a page.
agree("received > $t6", most => 2, asks => qr/receivedDateTime ge/);
agree("received >= $t6", most => 2);
agree("received >= $t60 AND received < $t48", most => 2);
agree("received BETWEEN $t60 AND $t48", most => 2);
agree("$t60 <= received AND $t48 > received", most => 2, name => 'the column on the right');
agree("received BETWEEN SYMMETRIC $t48 AND $t60", name => 'BETWEEN SYMMETRIC');
agree("received > $t60 AND received > '" . at(12) . "' AND received < $t1 AND received <= $t2", most => 2,
	name => 'several bounds: the narrowest count');
for my $edge ($row, $whole)
{
	agree("received = $edge", most => 1);
	agree("received >= $edge AND received < $t48", most => 2);
	agree("received > $edge AND received < $t48", most => 2, at_least => 0);
	agree("received <= $edge AND received > $t60", most => 2);
	agree("received < $edge AND received > $t60", most => 2);
}

# ---- ranges that are known when the query runs -------------------------------------

agree("received > now() - interval '5 hours'", most => 2);
agree("received > current_timestamp - interval '1 day' AND received <= now() - interval '12 hours'", most => 2);
agree('received >= current_date - 1 AND received < current_date', most => 2);
agree("received >= 'yesterday' AND received < 'today'", most => 2);
agree("received >= date_trunc('hour', now()) - interval '7 h'", most => 2);
agree('received > hours_ago(4)', most => 2, name => 'a stable function of ours');
agree("received > to_timestamp($now - 9000)", most => 2);
agree("received > (SELECT max(received) - interval '3 hours' FROM truth)", most => 2, name => 'a subselect');
agree("received > (SELECT max(received) - interval '3 hours' FROM mail.message_trace WHERE received > $t6)",
	most => 5, name => 'a subselect on the foreign table itself');
agree("received >= ALL (SELECT ${t2}::timestamptz)", name => '>= ALL of a subselect');

# ---- types, time zones, date styles --------------------------------------------------

for my $zone ('UTC', 'America/St_Johns', 'Asia/Kathmandu', 'Pacific/Kiritimati')
{
	my %zone = (set => { timezone => $zone });
	agree("received >= current_date - 1 AND received < current_date::timestamp",
		most => 2, name => "date and timestamp in $zone", %zone);
	agree("received > '" . substr(at(30), 0, 10) . "' AND received <= '" . substr(at(30), 0, 10) . " 17:45'",
		most => 3, at_least => 0, name => "constants without a zone in $zone", %zone);
	agree("received > localtimestamp - interval '6 hours'", most => 2, name => "localtimestamp in $zone", %zone);
	agree("received::date = current_date - 1 AND received > now() - interval '3 days'",
		most => 3, name => "a cast of the column in $zone", %zone);
}
my ($year, $month, $day) = at(72) =~ /^(\d+)-(\d+)-(\d+)/;
for my $style ([ 'SQL, DMY', "$day/$month/$year" ], [ 'German', "$day.$month.$year" ], [ 'Postgres, MDY', "$month-$day-$year" ])
{
	agree("received >= '$style->[1] 08:00+02' AND received < '$style->[1] 12:00:00.5+02'",
		most => 2, at_least => 1, name => "DateStyle $style->[0]", set => { datestyle => $style->[0] });
}

# ---- addresses ------------------------------------------------------------------------

my $recent = "received > now() - interval '9 days'";
for my $kind (
	[ 'an apostrophe', "recipient_address LIKE '%''%'" ],
	[ 'a plus', "recipient_address LIKE '%+%'" ],
	[ 'a letter beyond ASCII', "recipient_address ~ '[^[:ascii:]]'" ],
	[ 'nothing special', "recipient_address ~ '^[a-z.]+\@contoso.com\$'" ])
{
	my ($what, $condition) = @$kind;
	my $recipient = some('recipient_address', "$recent AND $condition");
	ok($recipient, "there is a recipient with $what") || next;
	agree("recipient_address = $recipient AND $recent", most => 2,
		asks => qr/recipientAddress eq \Q$recipient\E/, name => "a recipient with $what");
	agree("recipient_address = $recipient", most => 24, name => '… and without a range');
}
my $sender = some('sender_address', "$recent AND sender_address ~ '^[a-z.]+\@'");
my $recipient = some('recipient_address', "$recent AND sender_address = $sender");
agree("sender_address = $sender AND $recent", most => 2, asks => qr/senderAddress eq \Q$sender\E/);
agree("$sender = sender_address AND recipient_address = $recipient AND $recent",
	most => 2, asks => qr/senderAddress eq .* and recipientAddress eq /);
agree("sender_address = $sender\::varchar AND $recent", most => 2, name => 'a varchar');
agree("sender_address IN ($sender) AND $recent", most => 2, name => 'IN with one value');
agree("sender_address = ANY (ARRAY[$sender, $recipient]) AND $recent", name => 'ANY of an array');
agree("sender_address IN ($sender, 'nobody\@nowhere.example') AND $recent", name => 'IN with two');
agree("(sender_address = $sender OR recipient_address = $recipient) AND $recent", name => 'OR of addresses');
agree("sender_address <> $sender AND $recent", name => '<> an address');
agree("sender_address LIKE '%\@contoso.com' AND $recent", name => 'LIKE');
agree("lower(sender_address) = $sender AND $recent", name => 'lower()');
agree("sender_address = recipient_address OR sender_address < 'c'", name => 'an address against another');
agree("sender_address COLLATE \"C\" = $sender AND $recent", name => 'a collation');
agree("sender_address = $sender AND sender_address = $sender AND $recent", name => 'a condition twice');
agree("(subject = 'x' OR sender_address = $sender) AND $recent", name => 'OR with something local');
agree("recipient_address = 'nobody\@nowhere.example' AND $recent", at_least => 0, name => 'somebody unknown');
agree("sender_address = '*\@contoso.com' AND $recent", at_least => 0, name => 'a star is no wildcard');
agree("sender_address = '' AND $recent", at_least => 0, name => 'the empty address');
agree("sender_address = $sender || ' ' AND $recent", at_least => 0, name => 'a blank at the end counts');

# ---- what is compared here alone -------------------------------------------------------

my $day_range = "received >= $t60 AND received < $t2";
my $id = some('message_trace_id', "received < $t48");
for my $where (
	"status = 'failed'", "status <> 'delivered'", "status IN ('pending', 'gettingStatus', 'quarantined')",
	"NOT (status = 'delivered' AND size > 50000)", 'size > 1000000', 'size BETWEEN 10000 AND 10500',
	"from_ip << '0.0.0.0/1'", 'from_ip IS NULL', 'family(from_ip) = 6', 'from_ip IS NOT NULL AND to_ip IS NULL',
	'subject IS NULL', "subject ~ '[^[:ascii:]]'", "subject ILIKE '%re%'", 'message_id IS NULL',
	"message_trace_id = $id", "extract(hour FROM received AT TIME ZONE 'Asia/Tokyo') = 3",
	"received IN ($row, $whole)", "received <> $row", "received > $t48 OR size > 100000",
	"NOT received < $t6", "coalesce(subject, '') = ''", "(received, sender_address) > ($t6, 'm')",
	"CASE WHEN size > 5000 THEN received > $t6 ELSE status = 'failed' END")
{
	my $bounded = $where =~ /received|message_trace_id/ ? $where : "$where AND $day_range";
	agree($bounded, at_least => $where =~ /IS NULL|subject|IN \('p/ ? 0 : 1);
}

# ---- no range: everything that is held ---------------------------------------------------

# About as many pages as the rows fill, and no slice longer than ten days.
my $held = $node->sql('SELECT count(*) FROM truth');
agree('true', at_least => 80 * $rows_per_day, most => int($held / 5000) + 18, name => 'no condition at all');
agree('received > fixed_time()', at_least => 70 * $rows_per_day, name => 'a volatile function');
agree("received >= '-infinity' AND received <= 'infinity'", at_least => 80 * $rows_per_day, name => 'infinite bounds');
agree("received < '9999-12-31'::date AND received > '4713-01-01 BC'::date",
	at_least => 80 * $rows_per_day, name => 'dates far away');
agree("received < '5874897-12-31'::date AND received > '-infinity'::timestamp",
	at_least => 80 * $rows_per_day, name => 'a date that no timestamp can hold');
agree("received >= now() - interval '91 days' AND received < now() - interval '85 days'",
	name => 'a range that begins before what is held');
agree("received >= now() - interval '1 hour' AND received < now() + interval '1 day'",
	at_least => 0, name => 'a range that ends in the future');

# ---- no row can match: no request --------------------------------------------------------

agree_on_nothing("received > $t2 AND received < $t6");
agree_on_nothing("received > $row AND received < $row");
agree_on_nothing("received = $t2 AND received = $t6");
agree_on_nothing('recipient_address = NULL');
agree_on_nothing("sender_address = NULL::text AND $recent");
agree_on_nothing('received > NULL::timestamptz');
agree_on_nothing("received BETWEEN NULL AND now()");
agree_on_nothing("received > 'infinity'");
agree_on_nothing("received = 'infinity'");
agree_on_nothing("received < '-infinity'::date");
agree_on_nothing("received > '5874897-12-31'::date");
agree_on_nothing("received > now() + interval '1 year'");
agree_on_nothing("received < now() - interval '1 year'");
agree_on_nothing('false');
agree("sender_address = $sender AND sender_address = $recipient AND $recent", at_least => 0,
	name => 'two values of one property');

# The service ignores case, SQL does not: the constant's spelling is what is wrong.
$service->clear_requests;
my $messages = $node->messages("SELECT FROM mail.message_trace WHERE recipient_address = 'Ada\@Contoso.com'");
like($messages, qr/WARNING:.*"Ada\@Contoso\.com".*HINT:.*ada\@contoso\.com/s, 'a spelling that cannot match: a warning');
is(scalar $service->requests, 0, '… and nothing is asked, not even for a token');
$messages = $node->messages("PREPARE p(text) AS SELECT FROM mail.message_trace WHERE sender_address = \$1;"
	  . "SET plan_cache_mode = force_generic_plan; EXECUTE p('Bob\@Contoso.com')");
like($messages, qr/WARNING:.*bob\@contoso\.com/s, 'the same for a parameter');

# As the service spells it, with another option: case counts then.
create_table('as_sent', "normalize 'false'");
my $spelled = $node->sql("SELECT quote_literal(sender_address) FROM mail.as_sent WHERE $recent AND sender_address ~ '[A-Z]' LIMIT 1");
ok($spelled, 'without normal form there are capitals');
is(
	$node->sql("SELECT count(*) > 0 AND bool_and(sender_address = $spelled) FROM mail.as_sent WHERE sender_address = $spelled AND $recent"),
	't', '… which an equality finds');
$node->same_rows(
	'… and but for spelling the rows are the same',
	"SELECT message_trace_id, received, lower(sender_address COLLATE \"C\") AS sender_address,"
	  . " lower(recipient_address COLLATE \"C\") AS recipient_address, size FROM mail.as_sent WHERE $recent",
	"SELECT message_trace_id, received, sender_address, recipient_address, size FROM truth WHERE $recent");

# ---- parameters --------------------------------------------------------------------------

my %prepared = (
	timestamptz => [ 'received > $1 AND received <= $1 + $2', 'timestamptz, interval',
		sub { sprintf "'%s', '2 hours'", at(20 + $_[0]) } ],
	date => [ 'received >= $1 AND received < $1 + 1', 'date',
		sub { sprintf "'%s'", substr at(24 * (2 + $_[0])), 0, 10 } ],
	timestamp => [ 'received BETWEEN $1 AND $2', 'timestamp, timestamp',
		sub { sprintf("'%s', '%s'", at(30 + $_[0]), at(28)) =~ s/Z//gr } ],
	text => [ 'recipient_address = $1 AND received > $2::timestamptz', 'text, text',
		sub { "$recipient, '" . at(24 * 9 + $_[0]) . "'" } ],
	int => [ "received > now() - \$1 * interval '1 hour'", 'int', sub { 5 + $_[0] } ]);
for my $type (sort keys %prepared)
{
	my ($where, $types, $values) = @{ $prepared{$type} };
	for my $mode ('auto', 'force_generic_plan', 'force_custom_plan')
	{
		my $times = $mode eq 'auto' ? 7 : 2;
		my $before = join ';', "SET LOCAL plan_cache_mode = $mode", "SET LOCAL timezone = 'Asia/Kolkata'",
		  "PREPARE f($types) AS SELECT $columns FROM mail.message_trace WHERE $where",
		  "PREPARE t($types) AS SELECT $columns FROM truth WHERE $where",
		  map { "CREATE TEMP TABLE f$_ AS EXECUTE f(" . $values->($_) . "); CREATE TEMP TABLE t$_ AS EXECUTE t(" . $values->($_) . ')' }
		  1 .. $times;
		$service->clear_requests;
		$node->same_rows(
			"$times executions with a parameter of type $type, $mode",
			join(' UNION ALL ', map { "SELECT $_ AS n, * FROM f$_" } 1 .. $times),
			join(' UNION ALL ', map { "SELECT $_ AS n, * FROM t$_" } 1 .. $times),
			before => $before, at_least => $times);
		cmp_ok(scalar $service->list_requests, '<=', 3 * $times, '… each with a few requests');
	}
}
agree_on_nothing('received > p AND recipient_address = q',
	from => ', (SELECT NULL::timestamptz AS p, NULL::text AS q) v', name => 'parameters that are NULL');
$service->clear_requests;
$node->same_rows('a prepared statement with a NULL', 'EXECUTE f(NULL)', 'EXECUTE t(NULL)', at_least => 0,
	before => "SET LOCAL plan_cache_mode = force_generic_plan;"
	  . "PREPARE f(timestamptz) AS SELECT $columns FROM mail.message_trace WHERE received > \$1;"
	  . "PREPARE t(timestamptz) AS SELECT $columns FROM truth WHERE received > \$1");
is(scalar $service->requests, 0, '… asks nothing');

# PL/pgSQL: the same statement run often enough for a generic plan.
my $function = <<"SQL";
CREATE FUNCTION public.by_hour_TABLE() RETURNS SETOF truth LANGUAGE plpgsql AS \$\$
DECLARE
	since timestamptz := date_trunc('hour', now()) - interval '50 hours';
BEGIN
	FOR i IN 1 .. 8 LOOP
		RETURN QUERY SELECT $columns FROM TABLE
			WHERE received >= since AND received < since + make_interval(hours => i) AND size > i * 1000;
		since := since + interval '1 hour';
	END LOOP;
END \$\$
SQL
$node->sql($function =~ s/_TABLE/_f/r =~ s/TABLE/mail.message_trace/r);
$node->sql($function =~ s/_TABLE/_t/r =~ s/TABLE/truth/r);
$service->clear_requests;
$node->same_rows('PL/pgSQL variables', 'SELECT * FROM by_hour_f()', 'SELECT * FROM by_hour_t()', at_least => 20);
cmp_ok(scalar $service->list_requests, '<=', 16, '… each range with a request or two');

# ---- other orders, other pages -----------------------------------------------------------

create_table("size_$_", "page_size '$_'") for 7, 100, 5000;
for my $shuffle (0, 1)
{
	$service->settings(shuffle => $shuffle);
	for my $size (7, 100, 5000)
	{
		my $how = "pages of $size" . ($shuffle ? ' in no order' : '');
		my %how = (table => "mail.size_$size");
		agree("received > $t6", %how, name => "$how: the last hours");
		agree("received >= $row AND received <= $t2 AND size > 20000", %how, name => "$how: two days and a filter");
		agree("sender_address = $sender AND $recent", %how, name => "$how: one sender");
		agree("received > now() - interval '8 days' AND received < now() - interval '5 days'", %how, name => "$how: three days of a week ago");
	}
	agree('true', at_least => 80 * $rows_per_day, name => 'everything' . ($shuffle ? ', in no order' : ', again'));
}

is($node->sql('SELECT count(*) > 80 * 1000 AND count(*) = count(DISTINCT (message_trace_id, recipient_address)) FROM truth'),
	't', 'the truth holds each key once');

done_testing();
