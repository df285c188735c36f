# tests/t/074_expressions.t
#
# What an input may hold of its owner's own SQL: a filter, fields, a pipeline. What
# they leave in the target is compared with the same expressions over the truth;
# what is wrong is refused when it is said; nobody gains rights by them.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 20000, quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_other LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail TO regress_owner, regress_other;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_owner, regress_other;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA mine AUTHORIZATION regress_owner;
CREATE SCHEMA theirs AUTHORIZATION regress_other;
GRANT USAGE ON SCHEMA theirs TO regress_owner;
SQL
my %owner = (user => 'regress_owner');
my ($from, $to) = ('2026-05-10T09:00:00Z', '2026-05-10T11:59:00Z');
$node->load_truth($service, 'truth', $from, $to);
my @range = (date_range_start => "'-3h'", date_range_end => "'-1m'");

sub settings { my (%set) = @_; return join '', map { ", $_ => $set{$_}" } sort keys %set }

# An input of this name, run once; the filters that it asked for.
sub ingest
{
	my ($name, %set) = @_;
	$node->sql("SELECT o365_msgtrace.create_input('$name', 'mail.message_trace', 'archive.$name'" . settings(@range, %set) . ')', %owner);
	$service->clear_requests;
	$node->sql("CALL o365_msgtrace.run('$name')", %owner);
	return map { $_->{parameters}{'$filter'} } $service->list_requests;
}

sub refused
{
	my ($name, $sqlstate, $words, %set) = @_;
	my $error = $node->sql_error("SELECT o365_msgtrace.create_input('refused', 'mail.message_trace', 'archive.refused'" . settings(%set) . ')', %owner);
	is($error ? $error->{sqlstate} : 'none', $sqlstate, $name) || diag(explain($error));
	like($error->{text}, $words, '… saying why');
	return;
}

my $all = 'message_trace_id, received, sender_address, recipient_address, subject, status, size';

# ---- filter --------------------------------------------------------------------------------

ingest('whole');
my @asked = ingest('failed', filter => "'status = ''failed'''");
$node->same_rows('a filter', "SELECT $all FROM archive.failed", "SELECT $all FROM truth WHERE status = 'failed'");
is(join(' | ', grep { !/\bstatus eq 'failed'/ } @asked), '', '… is asked of the service');
cmp_ok(scalar @asked, '>', 0, '… by all requests');
is($node->sql("SELECT missing, covered = wanted FROM o365_msgtrace.coverage WHERE input_id = 'failed'", %owner), '{}|t', '… and all is covered');

# What it says of `received` decides on rows, and not on what was read.
ingest('times', filter => "'received < ''2026-05-10T10:00:00Z'' OR length(subject) > 30 -- mornings'");
$node->same_rows('a filter by time, with a comment', "SELECT $all FROM archive.times", "SELECT $all FROM truth WHERE received < '2026-05-10T10:00:00Z' OR length(subject) > 30");
is($node->sql("SELECT missing FROM o365_msgtrace.coverage WHERE input_id = 'times'", %owner), '{}', '… narrows nothing of what is covered');
$service->clear_requests;
$node->sql("CALL o365_msgtrace.run('times')", %owner);
is($node->sql("SELECT rows_new + rows_changed FROM o365_msgtrace.run_log WHERE input_id = 'times' ORDER BY run_id DESC LIMIT 1", %owner), 0, '… a second run writes nothing');

$node->sql("CREATE TABLE mine.watched AS SELECT DISTINCT sender_address AS mail FROM mail.message_trace WHERE received >= '$from' AND received < '$to' ORDER BY 1 LIMIT 5", %owner);
$node->sql("SET search_path = mine; SELECT o365_msgtrace.create_input('watched', 'mail.message_trace', 'archive.watched', filter => 'sender_address IN (SELECT mail FROM watched)'" . settings(@range) . ')', %owner);
$node->sql("CALL o365_msgtrace.run('watched')", %owner);
$node->same_rows('a filter by a table on the search_path of then', "SELECT $all FROM archive.watched", "SELECT $all FROM truth WHERE sender_address IN (SELECT mail FROM mine.watched)");

refused('a filter that is no SQL', '42601', qr/invalid filter: syntax error/, filter => "'status ='");
refused('a filter of no such column', '42703', qr/invalid filter: column "nothing" does not exist.*DETAIL:.*nothing = 1/s, filter => "'nothing = 1'");
refused('a filter that is no condition', '42804', qr/invalid filter: .*boolean/, filter => "'subject'");
refused('a filter of an aggregate', '42803', qr/invalid filter: aggregate/, filter => "'count(*) > 1'");
$node->sql('CREATE TABLE theirs.secret (mail text)', user => 'regress_other');
refused('a filter over a table of others', '42501', qr/permission denied for table secret/, filter => "'sender_address IN (SELECT mail FROM theirs.secret)'");

# ---- fields --------------------------------------------------------------------------------

ingest('fields', fields => q('{"domain": "split_part(sender_address, ''@'', 2)", "subject": "NULL", "site": "''Berlin''", "big": "size > 100000"}'));
$node->same_rows('fields',
	'SELECT message_trace_id, recipient_address, domain, subject, site, big FROM archive.fields',
	"SELECT message_trace_id, recipient_address, split_part(sender_address, '\@', 2) AS domain, NULL::text AS subject, 'Berlin' AS site, size > 100000 AS big FROM truth");
is($node->sql("SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'archive.fields'::regclass AND attname IN ('domain', 'big', 'subject')"),
	'boolean text text', '… have the types of their expressions');
refused('a field of the key', '22023', qr/invalid fields: "received"/, fields => q('{"received": "now()"}'));
refused("a field of the ingest's own", '22023', qr/invalid fields: "run_id"/, fields => q('{"run_id": "1"}'));
refused('a field that is no text', '22023', qr/invalid fields: "a": 1.*as a JSON string/s, fields => q('{"a": 1}'));
refused('a field of no such column', '42703', qr/invalid field "a": column "nothing" does not exist/, fields => q('{"a": "nothing"}'));
refused('a field that is an aggregate', '42803', qr/GROUP BY|aggregate/, fields => q('{"a": "count(*)"}'));
refused('a field that its column cannot hold', '42804', qr/column "size" is of type bigint but expression is of type/, fields => q('{"size": "subject"}'));
{
	my $error = $node->sql_error("SELECT o365_msgtrace.alter_input('whole', fields => '{\"domain\": \"split_part(sender_address, ''\@'', 2)\"}')", %owner);
	is($error->{sqlstate}, '42703', 'a field that the target lacks');
	like($error->{text}, qr/lacks columns: "domain"/, '… is named');
	$node->sql('ALTER TABLE archive.whole ADD COLUMN domain text', %owner);
	like($node->messages("SELECT o365_msgtrace.alter_input('whole', fields => '{\"domain\": \"split_part(sender_address, ''\@'', 2)\"}')", %owner), qr/coverage of input "whole" was reset/, 'with that column the input can have it');
	$node->sql("CALL o365_msgtrace.run('whole')", %owner);
	$node->same_rows('… and fills it for all rows', 'SELECT message_trace_id, recipient_address, domain FROM archive.whole', "SELECT message_trace_id, recipient_address, split_part(sender_address, '\@', 2) FROM truth");
}

# ---- pipeline ------------------------------------------------------------------------------

$node->sql(<<'SQL', %owner);
CREATE FUNCTION mine.mask(t o365_msgtrace.trace_row) RETURNS SETOF o365_msgtrace.trace_row LANGUAGE plpgsql AS $$
BEGIN
    IF t.status <> 'pending' THEN
        t.subject := left(t.subject, 3);
        RETURN NEXT t;
    END IF;
END $$;
CREATE FUNCTION mine.breaks(t o365_msgtrace.trace_row) RETURNS SETOF o365_msgtrace.trace_row LANGUAGE plpgsql AS $$
BEGIN
    t.recipient_address := 'somebody@example.com';
    RETURN NEXT t;
END $$;
CREATE FUNCTION mine.one(t o365_msgtrace.trace_row) RETURNS o365_msgtrace.trace_row LANGUAGE sql AS 'SELECT t';
SQL
ingest('masked', pipeline => "'mine.mask'", filter => "'size > 1000'", fields => q('{"start": "upper(subject)"}'));
$node->same_rows('a pipeline changes rows and leaves some out; fields see what it returns', "SELECT message_trace_id, recipient_address, status, subject, start, from_ip, to_ip FROM archive.masked",
	"SELECT message_trace_id, recipient_address, status, left(subject, 3), upper(left(subject, 3)), from_ip, to_ip FROM truth WHERE status <> 'pending' AND size > 1000");
{
	$node->sql("SELECT o365_msgtrace.create_input('broken', 'mail.message_trace', 'archive.broken', pipeline => 'mine.breaks')", %owner);
	my $error = $node->sql_error("CALL o365_msgtrace.run('broken')", %owner);
	is($error->{sqlstate}, '27000', 'a pipeline that changes the key');
	like($error->{text}, qr/the pipeline changed the key of a row.*somebody\@example\.com/s, '… is an error');
	is($node->sql('SELECT count(*) FROM archive.broken', %owner), 0, '… and nothing is written');
}
refused('a pipeline that is not there', '42883', qr/There is no function of this name/, pipeline => "'mine.nothing'");
refused('a pipeline that returns one row', '42P13', qr/does not return SETOF/, pipeline => "'mine.one'");
$node->sql('CREATE FUNCTION theirs.mask(t o365_msgtrace.trace_row) RETURNS SETOF o365_msgtrace.trace_row LANGUAGE sql AS $$ SELECT t.* $$', user => 'regress_other');
refused('a pipeline of another role', '42501', qr/belongs to role "regress_other".*ALTER FUNCTION .* OWNER TO regress_owner/s, pipeline => "'theirs.mask'");

# It is looked at again by each run.
$node->sql('ALTER FUNCTION mine.mask(o365_msgtrace.trace_row) OWNER TO regress_other');
is($node->sql_error("CALL o365_msgtrace.run('masked')", %owner)->{sqlstate}, '42501', 'a pipeline that became another role\'s is called no more');

# Nobody runs it with another's rights, a superuser neither.
is($node->sql_error("CALL o365_msgtrace.run('masked')")->{sqlstate}, '42501', 'a superuser does not run it for its owner');

# ---- dump and restore ----------------------------------------------------------------------

is($node->sql("SELECT filter, fields, pipeline FROM o365_msgtrace.input WHERE input_id = 'masked'", %owner), 'size > 1000|{"start": "upper(subject)"}|mine.mask', 'a pipeline is kept as a name, which pg_upgrade takes');

done_testing;
