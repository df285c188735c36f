# tests/t/084_explain.t
#
# What EXPLAIN shows of a scan of a message trace: what is asked of the service,
# what stays here and why, what is expected, and with ANALYZE what happened; the
# same in text and JSON. EXPLAIN by itself asks nothing.

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
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none' });
$node->create_server($service, rows_per_day => 5000, page_size => 250);
$node->sql(<<'SQL');
CREATE TABLE people AS SELECT i AS n, 'user' || i || '@contoso.com' AS mail FROM generate_series(1, 500) i;
ANALYZE people;
SQL

my $day = "received >= '2026-05-08T00:00:00Z' AND received < '2026-05-09T00:00:00Z'";

sub foreign_scan
{
	my ($plan) = @_;
	return $plan if $plan->{'Node Type'} eq 'Foreign Scan';
	for my $below (@{ $plan->{Plans} // [] })
	{
		my $found = foreign_scan($below);
		return $found if $found;
	}
	return;
}

# The foreign scan's own properties by name.
sub shown
{
	my ($query, $options, %how) = @_;
	my $json = $node->sql("EXPLAIN ($options, FORMAT JSON) $query", %how);
	return foreign_scan(JSON::PP->new->decode($json)->[0]{Plan});
}

# ---- what is planned ---------------------------------------------------------------

my $query = "SELECT subject FROM mail.message_trace WHERE $day AND recipient_address = 'ada\@contoso.com' AND size > 1000";
my $scan = shown($query, 'VERBOSE');
like($scan->{'Remote Filter'}, qr/^receivedDateTime >= .* AND receivedDateTime < .* AND recipientAddress = 'ada\@contoso\.com'/, 'what the service is asked for');
is(scalar @{ $scan->{'Local Conditions'} }, 1, 'what it is not asked for');
like($scan->{'Local Conditions'}[0], qr/^\((?:message_trace\.)?size > 1000\): \w.* \w/, '… and why');
is($scan->{'Expected Requests'}, 1, 'requests expected');
is($scan->{'Expected Slices'}, 1, '… and slices');
is($scan->{'Expected Queries'}, 1, '… and queries');
cmp_ok($scan->{'Expected Rows'}, '<', 100, '… and rows of the service');
my $text = $node->explain($query, 'VERBOSE');
like($text, qr/^\s*\Q$_\E: \S/m, "the text has: $_") for grep { exists $scan->{$_} } 'Remote Filter', 'Local Conditions', map { "Expected $_" } qw(Queries Slices Requests Rows);
unlike($node->explain($query, 'VERBOSE, COSTS OFF'), qr/Expected/, '… nothing expected with COSTS OFF');
unlike($node->explain($query, 'COSTS OFF'), qr/Remote|Local Cond|Expected/, '… and none of it unless VERBOSE');

$scan = shown("SELECT subject FROM mail.message_trace WHERE $day", 'VERBOSE');
is($scan->{'Expected Requests'}, 20, 'requests for a day of 5000 rows by pages of 250');
cmp_ok(abs($scan->{'Plan Rows'} - 5000), '<=', 1, '… whose rows are estimated');
ok(!exists $scan->{'Local Conditions'}, '… with no conditions left here');
$scan = shown("SELECT subject FROM mail.message_trace WHERE $day AND status <> 'delivered' LIMIT 10", 'VERBOSE');
is($scan->{'Expected Requests'}, 1, 'requests for a LIMIT');
$scan = shown("SELECT subject FROM mail.message_trace WHERE $day ORDER BY received DESC LIMIT 10", 'VERBOSE');
is($scan->{Order}, 'newest first, slice by slice', 'the order');
is($scan->{'Expected Requests'}, 1, '… for one request');
is(shown("SELECT min(received) FROM mail.message_trace WHERE $day", 'VERBOSE')->{Order}, 'oldest first, slice by slice', '… of min');
ok(!exists shown("SELECT subject FROM mail.message_trace WHERE $day ORDER BY received DESC", 'VERBOSE')->{Order}, 'a sort of all is not ours');
is(shown('SELECT subject FROM mail.message_trace', 'VERBOSE')->{'Remote Filter'}, 'none: all that the service holds', 'no filter');
is(shown("SELECT subject FROM mail.message_trace WHERE received > '2026-05-08' AND received < '2026-05-07'", 'VERBOSE')->{'Expected Requests'}, 0, 'a contradiction expects no request');

my @mails = map { "'user$_\@contoso.com'" } 1 .. 60;
$scan = shown("SELECT subject FROM mail.message_trace WHERE $day AND sender_address IN ($mails[0], $mails[1], $mails[2])", 'VERBOSE');
is_deeply([ @{$scan}{ 'Expected Choice', 'Expected Queries', 'Expected Requests' } ], [ 'a query for each of several values', 3, 3 ], 'a short list is asked for value by value');
$scan = shown("SELECT subject FROM mail.message_trace WHERE $day AND sender_address IN (" . join(', ', @mails) . ')', 'VERBOSE');
is_deeply([ @{$scan}{ 'Expected Choice', 'Expected Queries', 'Expected Requests' } ], [ 'several values checked here, for fewer requests', 1, 20 ], 'a long one is not');

# ---- joins ---------------------------------------------------------------------------

my $join = "SELECT p.n, t.subject FROM people p JOIN mail.message_trace t ON t.sender_address = p.mail WHERE $day";
$scan = shown("$join AND p.n < 4", 'VERBOSE');
like($scan->{'Remote Filter'}, qr/senderAddress = /, 'a join with few asks for each');
unlike($scan->{'Remote Filter of All Loops'}, qr/senderAddress/, '… and for all at once when that turns out cheaper');
like($scan->{'Remote Filter of All Loops'}, qr/receivedDateTime >= .* AND receivedDateTime < /, '… within the same range');
unlike(shown($join, 'VERBOSE')->{'Remote Filter'}, qr/senderAddress/, 'a join with many does not');

# A local copy is preferred to the service where both have the row.
$node->sql("CREATE TABLE copy AS SELECT * FROM mail.message_trace WHERE $day; ALTER TABLE copy ADD PRIMARY KEY (message_trace_id, recipient_address); ANALYZE copy");
my $both = $node->explain("SELECT c.subject FROM copy c JOIN mail.message_trace t USING (message_trace_id, recipient_address) WHERE t.sender_address = 'user1\@contoso.com' AND t.$day" =~ s/AND received/AND t.received/r, 'COSTS OFF');
like($both, qr/Index Scan|Bitmap/, 'few rows of the service find those of a copy by its index');
cmp_ok(shown("SELECT * FROM mail.message_trace WHERE $day", 'COSTS ON')->{'Total Cost'}, '>',
	20 * $node->sql("SELECT 1") * JSON::PP->new->decode($node->sql('EXPLAIN (FORMAT JSON) SELECT * FROM copy'))->[0]{Plan}{'Total Cost'}, 'the copy is cheaper than the service by far');

# ---- nothing is asked -------------------------------------------------------------------

$service->clear_requests;
$node->explain("$join AND p.n < 4", $_) for 'VERBOSE', 'COSTS OFF', 'FORMAT JSON', 'VERBOSE, FORMAT YAML', 'VERBOSE, FORMAT XML';
$node->explain("SELECT (SELECT max(received) FROM mail.message_trace t WHERE t.sender_address = p.mail) FROM people p", 'VERBOSE');
is(scalar $service->requests, 0, 'EXPLAIN asks nothing, not even for a token');

# ---- what happened ------------------------------------------------------------------------

my @happened = ('Slices', 'Requests', 'Retries', 'Pages', 'Rows Received', 'Bytes Received');
$scan = shown("SELECT subject FROM mail.message_trace WHERE $day", 'ANALYZE, VERBOSE');
my $asked = $service->list_requests;
is($scan->{Requests}, $asked, 'ANALYZE shows the requests made');
cmp_ok($scan->{$_}, $_ eq 'Retries' ? '==' : '>', 0, "… $_") for @happened;
ok($scan->{'Time Waited'} > 0, '… and the time waited');
is($scan->{'Loops Without Requests'}, 0, '… and loops without requests');
ok(exists $scan->{'All Loops Read at Once'} && !$scan->{'All Loops Read at Once'}, '… none of them read at once');
like($scan->{'First Request'}, qr/\$filter=receivedDateTime ge 2026-05-08T/, '… and the first request');
$text = $node->explain("SELECT subject FROM mail.message_trace WHERE $day", 'ANALYZE');
like($text, qr/^\s*\Q$_\E: \d/m, "the text has: $_") for @happened, 'Time Waited';
unlike($text, qr/Loops|Expected|First Request/, '… and nothing that does not matter');

my %loops = (set => { enable_hashjoin => 'off', enable_mergejoin => 'off', enable_memoize => 'off', enable_material => 'off', enable_hashagg => 'off', enable_sort => 'off' });
my $repeated = 'SELECT i, (SELECT count(*) FROM mail.message_trace t WHERE t.sender_address = p.mail AND ' . ($day =~ s/received/t.received/gr) . ') FROM people p, generate_series(1, 3) i WHERE p.n < 3';
$scan = shown($repeated, 'ANALYZE, VERBOSE');
is($scan->{Requests}, 2, 'a SubPlan of six loops and two questions makes two requests');
is($scan->{'Loops Without Requests'}, 4, '… and four loops none');
like($node->explain($repeated, 'ANALYZE'), qr/Loops Without Requests: 4$/m, '… as the text says');
my $all = 'SELECT (SELECT count(*) FROM mail.message_trace t WHERE t.sender_address = p.mail AND ' . ($day =~ s/received/t.received/gr) . ') FROM people p';
$scan = shown($all, 'ANALYZE');
ok($scan->{'All Loops Read at Once'}, 'loops that were too many were read at once');
cmp_ok($scan->{Requests}, '<', 50, '… for fewer requests than loops');
like($node->explain($all, 'ANALYZE'), qr/All Loops Read at Once: true/, '… as the text says');

done_testing();
