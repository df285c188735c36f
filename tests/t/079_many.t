# tests/t/079_many.t
#
# Fifty inputs of fifty tenants, whose jobs pg_cron begins all in the same minute,
# some of which get no connection; and fifty more that one job runs by run_due().
# What was dropped is made up for, and each target is its tenant's truth.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $tenants = 50;
my $service = MsgTrace::Service->start(
	now => '2026-05-19T12:00:00Z',
	rows_per_day => 2000,
	quota => 0);
my $node = MsgTrace::Cluster->start(
	preload => 'pg_cron, o365_msgtrace',
	conf => { max_connections => 100, log_statement => 'none', 'o365_msgtrace.log_level' => 'warn' });
plan skip_all => 'pg_cron is not installed' if !$node->cron_available;

# Those of the first role have all connections that they want; the second has a few;
# the third has its inputs run by one job.
my @owners = qw(regress_owner regress_tight regress_due);

sub id_of { return sprintf '%08d-5555-4666-8777-999999999999', $_[0] }

$node->sql('CREATE EXTENSION o365_msgtrace; CREATE EXTENSION pg_cron; CREATE SCHEMA truth; CREATE TABLE truth.rows (tenant text,'
	  . ' message_trace_id uuid, message_id text, received timestamptz, sender_address text, recipient_address text, subject text,'
	  . ' status text, size bigint, from_ip inet, to_ip inet); CREATE TABLE truth.raw AS SELECT * FROM truth.rows WITH NO DATA;'
	  . ' ALTER TABLE truth.raw DROP COLUMN tenant;'
	  . join ' ', map { "CREATE ROLE $_ LOGIN; GRANT USAGE ON SCHEMA o365_msgtrace, cron TO $_; CREATE SCHEMA $_ AUTHORIZATION $_;" } @owners);
my $load = '';
for my $i (1 .. $tenants)
{
	$service->add_tenant(id => id_of($i), domain => "tenant$i.example");
	my $file = $service->save_truth(folder() . "/truth$i.csv", '2026-05-19T10:00:00Z', '2026-05-19T12:00:00Z', undef, id_of($i));
	$load .= "\\copy truth.raw FROM '$file' (FORMAT csv, HEADER)\nINSERT INTO truth.rows SELECT 't$i', * FROM truth.raw; TRUNCATE truth.raw;\n";
}
$node->sql($load);
my ($url, $origin) = ($service->report_url, $service->origin);
$node->sql(<<"SQL");
DO \$do\$
BEGIN
    FOR i IN 1 .. $tenants LOOP
        EXECUTE format('CREATE SERVER t%s FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id %L, report_url %L, authority_url %L,'
            ' resource %L, ca_file %L, quota_requests ''0'')', i, to_char(i, 'FM00000000') || '-5555-4666-8777-999999999999', '$url', '$origin',
            '$origin', '$service->{ca_file}');
        EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER t%s OPTIONS (client_id %L, client_secret %L)', i, '$service->{client_id}', '$service->{client_secret}');
        EXECUTE format('CREATE SCHEMA t%1\$s; IMPORT FOREIGN SCHEMA exchange FROM SERVER t%1\$s INTO t%1\$s', i);
        EXECUTE format('GRANT USAGE ON SCHEMA t%1\$s TO PUBLIC; GRANT SELECT ON t%1\$s.message_trace TO PUBLIC', i);
    END LOOP;
END \$do\$;
SQL

sub create_inputs
{
	my ($owner, $first, $last, $scheduled) = @_;
	my $schedule = $scheduled ? ", o365_msgtrace.schedule('$owner t' || i)" : '';
	$node->sql("SELECT o365_msgtrace.create_input('$owner t' || i, ('t' || i || '.message_trace')::regclass, '$owner.t' || i, poll_interval => 1)$schedule"
		  . " FROM generate_series($first, $last) i", user => $owner);
	return;
}

my $half = $tenants / 2;
create_inputs('regress_due', 1, $tenants, 0);
$node->sql('ALTER ROLE regress_tight CONNECTION LIMIT 3');
$node->sql("SELECT cron.schedule('due', '* * * * *', 'CALL o365_msgtrace.run_due()')", user => 'regress_due');
# All of them in one minute: not so late in it that some would begin in the next one.
$node->wait_until('SELECT extract(second FROM clock_timestamp()) < 45', 90);
create_inputs('regress_owner', 1, $half, 1);
create_inputs('regress_tight', $half + 1, $tenants, 1);
is($node->sql('SELECT count(*) FROM cron.job WHERE schedule = $$* * * * *$$'), $tenants + 1, "$tenants jobs of each minute, and one more");

# Once each has begun, none shall begin again. (A job that is made inactive, or taken
# away, pg_cron cancels.)
$node->wait_until("SELECT count(DISTINCT jobid) = $tenants + 1 FROM cron.job_run_details", 240);
$node->sql('UPDATE cron.job SET schedule = $$0 0 1 1 *$$');
$node->wait_until("SELECT bool_and(status IN ('succeeded', 'failed')) FROM cron.job_run_details", 240);

sub runs
{
	my ($owner, $expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.input i LEFT JOIN o365_msgtrace.run_log l USING (input_id) WHERE i.owner = '$owner'");
}

# What each target has of what its input's ledger calls covered is its tenant's truth.
sub holds_truth
{
	my ($name, $owner, $numbers, $at_least) = @_;
	my $columns = 'tenant, message_trace_id, message_id, received, sender_address, recipient_address, subject, status, size, from_ip, to_ip';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->same_rows(
		$name,
		(join ' UNION ALL ', map { "SELECT $columns FROM $owner.t$_" } @$numbers),
		"SELECT t.$columns FROM truth.rows t JOIN o365_msgtrace.input i ON i.input_id = '$owner ' || t.tenant JOIN o365_msgtrace.ledger l USING (input_number)"
		  . ' WHERE l.covered @> t.received', at_least => $at_least);
	return;
}

my $covers = "count(*) FILTER (WHERE covered @> '[2026-05-19 11:00:05Z,2026-05-19 11:59:50Z)'::tstzrange)";
sub covered
{
	my ($owner) = @_;
	return $node->sql("SELECT $covers FROM o365_msgtrace.input JOIN o365_msgtrace.ledger USING (input_number) WHERE owner = '$owner'");
}

note($node->sql("SELECT username, status, CASE status WHEN 'failed' THEN left(return_message, 100) END, count(*) FROM cron.job_run_details GROUP BY 1, 2, 3 ORDER BY 1, 2"));
cmp_ok($node->sql("SELECT count(*) FROM cron.job_run_details WHERE status = 'failed' AND username = 'regress_tight'"), '>', 0, 'pg_cron dropped jobs of the role with few connections');
cmp_ok(covered('regress_tight'), '<', $tenants - $half, '… whose inputs did not run');
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_log WHERE state = 'failed'"), 0, 'no run failed');
is(runs('regress_due', 'count(DISTINCT input_id) FILTER (WHERE l.state = $$succeeded$$)'), $tenants, 'run_due() ran all that one job had to');
is(covered('regress_due'), $tenants, '… to their end');
holds_truth('… and each target is the truth', 'regress_due', [ 1 .. $tenants ], 100 * $tenants);
holds_truth('what ran of the others is', 'regress_owner', [ 1 .. $half ], 1);
holds_truth('… and what ran of those with few connections', 'regress_tight', [ $half + 1 .. $tenants ], 0);

# ---- what was dropped ------------------------------------------------------------------

$node->sql('ALTER ROLE regress_tight CONNECTION LIMIT -1');
$node->sql('CALL o365_msgtrace.run_due()', user => $_) for qw(regress_owner regress_tight);
is(covered('regress_owner') + covered('regress_tight'), $tenants, 'what was dropped is made up for');
holds_truth("all targets of the first role are the truth", 'regress_owner', [ 1 .. $half ], 100 * $half);
holds_truth("… and so are those of the second", 'regress_tight', [ $half + 1 .. $tenants ], 100 * $half);
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_log WHERE state IN ('failed', 'lost')"), 0, 'no run failed or was lost');

done_testing();
