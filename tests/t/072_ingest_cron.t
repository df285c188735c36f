# tests/t/072_ingest_cron.t
#
# Inputs scheduled by pg_cron, really firing: an ordinary role's runs, one that
# succeeds and one that fails; one job for all that is due; and pg_cron in another
# database.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

my $service = MsgTrace::Service->start(rows_per_day => 20000, quota => 0);
my $node = MsgTrace::Cluster->start(preload => 'pg_cron, o365_msgtrace');
plan skip_all => 'pg_cron is not installed' if !$node->cron_available;

$node->create_server($service);
$node->create_server($service, name => 'broken', schema => 'broken', mapping => { client_secret => 'wrong' });
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, broken TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail, broken TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
SQL
my %owner = (user => 'regress_owner');
$node->sql(<<'SQL', %owner);
SELECT o365_msgtrace.create_input('it''s good', 'mail.message_trace', 'archive.good', poll_interval => 1);
SELECT o365_msgtrace.create_input('bad', 'broken.message_trace', 'archive.bad', poll_interval => 1);
SELECT o365_msgtrace.create_input('quarter', 'mail.message_trace', 'archive.good');
SELECT o365_msgtrace.create_input('hourly', 'mail.message_trace', 'archive.good', poll_interval => 60);
SQL

# ---- before there is a scheduler, and without the right to use it -------------------------

my $error = $node->sql_error("SELECT o365_msgtrace.schedule('quarter')", %owner);
is($error->{sqlstate}, '55000', 'pg_cron is missing');
like($error->{hint}, qr/CREATE EXTENSION pg_cron/, 'and how to have it is said');
is($node->sql('SELECT count(*), count(schedule) FROM o365_msgtrace.job', %owner), '4|0', 'job works without it');

$node->sql('CREATE EXTENSION pg_cron');
$error = $node->sql_error("SELECT o365_msgtrace.schedule('quarter')", %owner);
is("$error->{sqlstate} $error->{hint}", '42501 GRANT USAGE ON SCHEMA cron TO regress_owner;', 'the owner may not use it yet');
is($node->sql('SELECT count(*), count(schedule) FROM o365_msgtrace.job', %owner), '4|0', 'job works without that right');
$node->sql('GRANT USAGE ON SCHEMA cron TO regress_owner');

# ---- scheduling ------------------------------------------------------------------------------

is($node->sql("SELECT o365_msgtrace.schedule('it''s good')", %owner), '* * * * *', 'every minute');
is($node->sql("SELECT o365_msgtrace.schedule('bad')", %owner), '* * * * *', 'every minute, another');
like($node->sql("SELECT o365_msgtrace.schedule('quarter')", %owner), qr{^(?:\d|1[0-4])-59/15 \* \* \* \*$}, 'every quarter of an hour, from a minute of its own');
like($node->sql("SELECT o365_msgtrace.schedule('hourly')", %owner), qr{^[1-5]?\d \* \* \* \*$}, 'every hour');
is(
	$node->sql("SELECT jobname = 'o365:' || (SELECT oid FROM pg_database WHERE datname = current_database()) || ':1', command, database, username"
		  . " FROM cron.job WHERE jobid = (SELECT min(jobid) FROM cron.job)"),
	"t|CALL o365_msgtrace.run('it''s good', scheduled => true)|postgres|regress_owner",
	'the job is what it should be');
$node->sql("SELECT o365_msgtrace.schedule('quarter')", %owner);
is($node->sql('SELECT count(*) FROM cron.job'), '4', 'scheduling twice makes one job');
is($node->sql_error("SELECT o365_msgtrace.schedule('quarter')")->{sqlstate}, '42501', 'a superuser may not schedule the input of another role');

$node->sql("SELECT o365_msgtrace.unschedule('quarter')", %owner);
is($node->sql('SELECT count(*) FROM cron.job'), '3', 'unschedule');
is($node->sql_error("SELECT o365_msgtrace.unschedule('quarter')", %owner)->{sqlstate}, '42704', 'but not twice');
$node->sql("SELECT o365_msgtrace.drop_input('hourly')");
is($node->sql('SELECT count(*) FROM cron.job'), '2', 'dropping an input ends its schedule, a superuser dropping it, too');

# ---- firing --------------------------------------------------------------------------------------

$node->sql(<<'SQL');
CREATE ROLE regress_due LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, cron TO regress_due;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_due;
CREATE SCHEMA due AUTHORIZATION regress_due;
SQL
$node->sql(<<'SQL', user => 'regress_due');
SELECT o365_msgtrace.create_input('due 1', 'mail.message_trace', 'due.t', poll_interval => 30);
SELECT o365_msgtrace.create_input('due 2', 'mail.message_trace', 'due.t', poll_interval => 60);
SELECT cron.schedule('all that is due', '* * * * *', 'CALL o365_msgtrace.run_due()');
SQL

# The same on a server whose pg_cron has background workers in place of connections.
my $workers = MsgTrace::Cluster->start(
	preload => 'pg_cron, o365_msgtrace',
	conf => { 'cron.use_background_workers' => 'on', max_worker_processes => 16 });
$workers->create_server($service);
$workers->sql(<<'SQL');
CREATE EXTENSION pg_cron;
SELECT o365_msgtrace.create_input('by a worker', 'mail.message_trace', 'public.by_a_worker', poll_interval => 1);
SELECT o365_msgtrace.schedule('by a worker');
SQL

$node->wait_until(<<'SQL', 150);
SELECT count(DISTINCT input_id) = 2 FROM o365_msgtrace.run_log WHERE state IN ('succeeded', 'failed') AND input_id NOT LIKE 'due%'
SQL
is(
	$node->sql('SELECT DISTINCT state FROM o365_msgtrace.run_log WHERE input_id = $$it\'s good$$ AND finished_at IS NOT NULL', %owner),
	'succeeded', 'pg_cron runs an input');
cmp_ok($node->sql('SELECT count(*) FROM archive.good', %owner), '>', 0, 'its rows arrive');
$node->wait_until("SELECT EXISTS (SELECT FROM cron.job_run_details WHERE status = 'succeeded' AND command LIKE '%good%')");
pass('pg_cron knows that it succeeded');
$node->wait_until("SELECT EXISTS (SELECT FROM cron.job_run_details WHERE status = 'failed' AND command LIKE '%bad%')");
my $message = $node->sql("SELECT return_message FROM cron.job_run_details WHERE status = 'failed' ORDER BY runid LIMIT 1");
like($message, qr/refused/, 'and why another one failed');
is(
	$node->sql("SELECT schedule, active, last_result, consecutive_failures > 0, last_message IS NOT NULL FROM o365_msgtrace.job WHERE input_id = 'bad'", %owner),
	'* * * * *|t|failed|t|t', 'so does the view job');

$node->wait_until("SELECT EXISTS (SELECT FROM cron.job_run_details WHERE status = 'succeeded' AND command = 'CALL o365_msgtrace.run_due()')");
is(
	$node->sql('SELECT string_agg(DISTINCT input_id, $$, $$) FROM o365_msgtrace.run_log WHERE state = $$succeeded$$', user => 'regress_due'),
	'due 1, due 2', 'run_due() as one job runs all that is due');

$workers->wait_until("SELECT EXISTS (SELECT FROM cron.job_run_details WHERE status = 'succeeded')", 150);
is(
	$workers->sql('SELECT DISTINCT state FROM o365_msgtrace.run_log WHERE finished_at IS NOT NULL'),
	'succeeded', 'a background worker of pg_cron runs an input, commits and all');
cmp_ok($workers->sql('SELECT count(*) FROM public.by_a_worker'), '>', 0, '… whose rows arrive');

# ---- pg_cron in another database --------------------------------------------------------------------

$node->sql('CREATE DATABASE elsewhere');
my %elsewhere = (dbname => 'elsewhere');
$node->sql(<<'SQL', %elsewhere);
CREATE EXTENSION o365_msgtrace;
CREATE SERVER s FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.onmicrosoft.com');
CREATE SCHEMA mail;
IMPORT FOREIGN SCHEMA exchange FROM SERVER s INTO mail;
SELECT o365_msgtrace.create_input('far', 'mail.message_trace', 'far');
SQL
$error = $node->sql_error("SELECT o365_msgtrace.schedule('far')", %elsewhere);
like($error->{message}, qr/pg_cron is in database "postgres"/, 'pg_cron is in another database');
my ($statement) = $error->{hint} =~ /(SELECT cron\..*;)/;
$node->sql($statement);
is(
	$node->sql("SELECT database, username, command FROM cron.job WHERE database = 'elsewhere'"),
	"elsewhere|postgres|CALL o365_msgtrace.run('far', scheduled => true)",
	'the statement in the hint schedules it there');
($statement) = $node->sql_error("SELECT o365_msgtrace.schedule('far', stagger => false)", %elsewhere)->{hint} =~ /(SELECT cron\..*;)/;
$node->sql($statement);
is($node->sql("SELECT schedule FROM cron.job WHERE database = 'elsewhere'"), '*/15 * * * *', 'so it does from the full hour');
my $notice = $node->messages("SELECT o365_msgtrace.alter_input('far', poll_interval => 60)", %elsewhere);
($statement) = $notice =~ /(SELECT cron\..*;)/;
$node->sql($statement);
like($node->sql("SELECT schedule FROM cron.job WHERE database = 'elsewhere'"), qr/^\d+ \* \* \* \*$/, 'a change of the interval tells the statement for that');
$notice = $node->messages("SELECT o365_msgtrace.drop_input('far')", %elsewhere);
($statement) = $notice =~ /(SELECT cron\..*;)/;
$node->sql($statement);
is($node->sql("SELECT count(*) FROM cron.job WHERE database = 'elsewhere'"), '0', 'and so does a drop');

done_testing();
