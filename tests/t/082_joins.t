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
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none' });
$node->create_server($service, rows_per_day => 5000, page_size => 250);
$node->load_truth($service, 'truth', '2026-05-01T00:00:00Z', '2026-05-10T11:59:59Z');

# A day is 20 pages of the service.
my $day = "t.received >= '2026-05-08T00:00:00Z' AND t.received < '2026-05-09T00:00:00Z'";

# people: each once, the first ones with mail of that day; callers: people over and over.
$node->sql(<<"SQL");
CREATE TABLE people AS
	SELECT row_number() OVER (ORDER BY count(*) DESC, sender_address) AS n, sender_address AS mail
	  FROM truth t WHERE $day GROUP BY sender_address;
INSERT INTO people VALUES (-1, 'nobody\@nowhere.example'), (-2, NULL);
CREATE TABLE callers AS SELECT i, mail FROM generate_series(1, 300) i JOIN people ON n = i % 4 + 1;
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
cmp_ok(agree('what follows from two equalities', "SELECT p.n, c.i, t.* FROM people p JOIN callers c ON c.mail = p.mail JOIN TRACE t ON t.sender_address = c.mail WHERE $day AND p.n = 2 AND c.i < 9"), '<=', 2, '… is asked for, too');
is(agree('LATERAL', "SELECT p.n, v.* FROM people p, LATERAL (SELECT * FROM TRACE t WHERE t.sender_address = p.mail AND $day) v WHERE p.n IN (1, 5)"), 2, '… asks per person');
is(agree('LATERAL with LIMIT', "SELECT p.n, v.* FROM people p, LATERAL (SELECT * FROM TRACE t WHERE t.sender_address = p.mail AND $day ORDER BY received DESC, message_trace_id, recipient_address LIMIT 2) v WHERE p.n IN (1, 5)"), 2, '… too');
is(agree('ranges of another table', "SELECT s.i, t.message_trace_id FROM spans s JOIN TRACE t ON t.received >= s.since AND t.received < s.since + interval '1 hour' WHERE s.i IN (2, 3)"), 2, '… are asked for range by range');
is(agree('a semijoin', "SELECT p.n FROM people p WHERE p.n BETWEEN 1 AND 3 AND EXISTS (SELECT FROM TRACE t WHERE t.sender_address = p.mail AND $day)"), 3, '… asks per person');
is(agree('an antijoin', "SELECT p.n FROM people p WHERE p.n BETWEEN -2 AND 3 AND NOT EXISTS (SELECT FROM TRACE t WHERE t.sender_address = p.mail AND $day)"), 4, '… too');

done_testing();
