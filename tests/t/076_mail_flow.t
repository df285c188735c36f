# tests/t/076_mail_flow.t
#
# The mail flow views over a target, each compared with a query of its own over
# the truth; and that they take nobody's name.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 8000, quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service, tenant_label => 'contoso');
$node->create_server($service, name => 'second', schema => 'second', tenant_label => 'fabrikam');
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_reader LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, second TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail, second TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA "Mail Flow" AUTHORIZATION regress_owner;
CREATE SCHEMA truth;
SQL
my %owner = (user => 'regress_owner');

# A sender that is nobody, and addresses that are hardly any.
my %row = (
	id => '99999999-9999-4999-8999-999999999999', messageId => '<odd@contoso.com>', receivedDateTime => '2026-05-10T10:59:59.9999999Z',
	subject => 'odd', status => 'failed', size => 7, fromIP => '', toIP => '');
$service->add_rows(
	{ %row, senderAddress => undef, recipientAddress => 'nobody' },
	{ %row, senderAddress => undef, recipientAddress => '"a@b"@Odd.Example' });

$node->sql(<<'SQL', %owner);
SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso', date_range_start => '-30h', date_range_end => '-1m');
SELECT o365_msgtrace.create_input('fabrikam', 'second.message_trace', 'archive.contoso', date_range_start => '-5h', date_range_end => '-1m');
CALL o365_msgtrace.run('contoso');
CALL o365_msgtrace.run('fabrikam');
SQL
is(
	$node->sql("SELECT string_agg(name, ' ') FROM o365_msgtrace.create_mail_flow('archive.contoso') name", %owner),
	'archive.mail_flow_by_hour archive.mail_flow_by_domain archive.mail_flow_by_status archive.mail_flow_top_senders archive.mail_flow_failed',
	'the views are made, beside the target');

$node->load_truth($service, 'truth.rows', '2026-05-09T06:00:00Z', '2026-05-10T11:59:00Z');
$node->sql(<<'SQL');
CREATE TABLE truth.two AS
SELECT 'contoso' AS tenant, *, received AT TIME ZONE 'UTC' AS utc FROM truth.rows
UNION ALL SELECT 'fabrikam', *, received AT TIME ZONE 'UTC' FROM truth.rows WHERE received >= '2026-05-10T07:00Z';
SQL

# ---- what they show, in whatever time zone ------------------------------------------------

my %statuses = (
	delivered => "'delivered'", failed => "'failed'", quarantined => "'quarantined'", spam => "'filteredAsSpam'",
	pending => "'pending', 'gettingStatus'");
my $kinds = join ', ', map { "sum((d.status IN ($statuses{$_}))::integer)::bigint AS $_" } qw(delivered failed quarantined spam pending);

# The counts of a view by the expressions that it is grouped by.
sub same_as_counted
{
	my ($view, $columns, $results, @groups) = @_;
	my $keys = join ', ', @groups;
	my $n = 0;
	my $list = join ', ', map { "$_ AS g" . ++$n } @groups;
	for my $zone ('UTC', 'Asia/Kathmandu')
	{
		$node->same_rows(
			"$view in $zone",
			"SELECT tenant, $columns FROM archive.mail_flow_$view",
			"SELECT d.tenant, $list, count(*) AS deliveries, count(DISTINCT d.message_trace_id) AS messages"
			  . ($results ? ", $kinds" : '')
			  . ", sum(d.size)::bigint AS bytes FROM truth.two d GROUP BY d.tenant, $keys",
			set => { timezone => $zone });
	}
	return;
}

my $results = 'delivered, failed, quarantined, spam, pending';
my $hour = "date_trunc('hour', d.utc) AT TIME ZONE 'UTC'";
my $day = "date_trunc('day', d.utc) AT TIME ZONE 'UTC'";
my @domains = map { "substring(lower(d.${_}_address) from '@([^@]*)\$')" } qw(sender recipient);
same_as_counted('by_hour', "hour, deliveries, messages, $results, bytes", 1, $hour);
same_as_counted('by_domain', "day, sender_domain, recipient_domain, deliveries, messages, $results, bytes", 1, $day, @domains);
same_as_counted('by_status', 'hour, status, deliveries, messages, bytes', 0, $hour, 'd.status');
same_as_counted('top_senders', "day, sender_address, deliveries, messages, $results, bytes", 1, $day, 'd.sender_address');
my $by_sender = "(SELECT d.tenant, $day AS day, d.sender_address AS who, count(*) AS n, count(DISTINCT d.recipient_address) AS recipients"
  . ' FROM truth.two d GROUP BY 1, 2, 3)';
$node->same_rows(
	'top senders have their rank, by day and tenant',
	'SELECT tenant, day, rank, sender_address, recipients FROM archive.mail_flow_top_senders',
	"SELECT a.tenant, a.day, 1 + count(b.n), a.who, a.recipients FROM $by_sender a LEFT JOIN $by_sender b"
	  . ' ON b.tenant = a.tenant AND b.day = a.day AND b.n > a.n GROUP BY a.tenant, a.day, a.who, a.recipients');
$node->same_rows(
	'what failed or was quarantined',
	'SELECT tenant, received, status, sender_address, recipient_address, subject, size, message_trace_id FROM archive.mail_flow_failed',
	"SELECT tenant, received, status, sender_address, recipient_address, subject, size, message_trace_id FROM truth.two WHERE status IN ('failed', 'quarantined')",
	at_least => 20);
is(
	$node->sql("SELECT count(*) FILTER (WHERE sender_domain IS NULL AND recipient_domain IS NULL), count(*) FILTER (WHERE sender_domain IS NULL AND recipient_domain = 'odd.example') FROM archive.mail_flow_by_domain"),
	'2|2', 'odd addresses are there, too, with the domain that they have');
is($node->sql('SELECT count(DISTINCT tenant), count(DISTINCT hour) FROM archive.mail_flow_by_hour'), '2|30', 'of two tenants and thirty hours');

# ---- how they are read ------------------------------------------------------------------------

like(
	$node->explain("SELECT * FROM archive.mail_flow_failed WHERE received >= '2026-05-10 11:00Z'"),
	qr/received >= '2026-05-10 11:00:00\+00'/, 'a condition on received reaches the table');
$node->sql(<<'SQL', %owner);
CREATE INDEX contoso_hour ON archive.contoso (tenant, date_bin('1 hour', received, '2000-01-01 00:00:00+00'));
ANALYZE archive.contoso;
SQL
like(
	$node->explain("SELECT * FROM archive.mail_flow_by_hour WHERE tenant = 'contoso' AND hour >= '2026-05-10 11:00Z'"),
	qr/contoso_hour/, 'and one on the hour the index that README names');

is(
	$node->sql("SELECT count(*), bool_and(reloptions = '{security_invoker=true}'), bool_and(relowner = 'regress_owner'::regrole) FROM pg_class WHERE relname ~ '^mail_flow'"),
	'5|t|t', 'they are the caller\'s, and have the rights of who reads');
is(
	$node->sql("SELECT count(*) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
		  . " WHERE c.relname ~ '^mail_flow' AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)"),
	'0', 'each and its columns say what they are');
$node->sql('GRANT USAGE ON SCHEMA archive TO regress_reader; GRANT SELECT ON archive.mail_flow_by_hour TO regress_reader', user => 'regress_owner');
my %reader = (user => 'regress_reader');
is($node->sql_error('SELECT * FROM archive.mail_flow_by_hour', %reader)->{sqlstate}, '42501', 'who may not read the target reads nothing by them');
$node->sql('GRANT SELECT ON archive.contoso TO regress_reader', %owner);
is($node->sql('SELECT count(*) > 30 FROM archive.mail_flow_by_hour', %reader), 't', 'who may needs nothing else');

# ---- names -----------------------------------------------------------------------------------------

my $make = 'SELECT count(*) FROM o365_msgtrace.create_mail_flow';
is($node->sql("$make('archive.contoso')", %owner), '5', 'made anew they replace themselves');
is($node->sql('SELECT count(*) > 30 FROM archive.mail_flow_by_hour', %reader), 't', 'and keep their grants');
is($node->sql("$make('archive.contoso', 'Mail Flow', 'Contoso''s')", %owner), '5', 'another schema and other names will do');
is($node->sql(q{SELECT count(*) > 30 FROM "Mail Flow"."Contoso's_by_hour"}, %owner), 't', 'whatever they are');

$node->sql('CREATE TABLE archive.other (LIKE archive.contoso); CREATE TABLE archive.narrow (tenant text, received timestamptz);'
	  . 'CREATE VIEW archive.mine_by_status AS SELECT 1 AS x', %owner);
for my $case (
	[ '42P07', qr/relation archive\.mail_flow_by_hour already exists/, "'archive.other'", 'views of another target are left alone' ],
	[ '42P07', qr/relation archive\.mine_by_status already exists/, "'archive.contoso', prefix => 'mine'", 'so is a view of somebody' ],
	[ '42703', qr/lacks columns: "message_trace_id", .*"subject"/, "'archive.narrow'", 'a table without the columns is refused' ],
	[ '42809', qr/is not a table/, "'archive.mail_flow_by_hour'", 'so is a view' ],
	[ '42809', qr/is not a table/, "'mail.message_trace'", 'and the foreign table, which each look would ask' ],
	[ '3F000', qr/schema "none" does not exist/, "'archive.contoso', 'none'", 'and a schema that is not there' ],
	[ '42501', qr/permission denied for schema truth/, "'archive.contoso', 'truth'", 'and one where nothing may be made' ],
	[ '42602', qr/invalid prefix/, "'archive.contoso', prefix => ''", 'and a name that is none' ])
{
	my $error = $node->sql_error("$make($case->[2])", %owner);
	is($error->{sqlstate}, $case->[0], $case->[3]);
	like($error->{message}, $case->[1], '… saying why');
}
is($node->sql("SELECT count(*) FROM pg_views WHERE viewname ~ '^mine'"), '1', 'when one name is taken none is made');

done_testing();
