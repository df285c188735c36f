# tests/t/079_moved.t
#
# Inputs in mid-life that move to another server: by pg_dump and pg_restore, with
# their target's rows and without, by pg_upgrade, and by a standby that is promoted.
# What they are survives, a run goes on where it was, without reading anew what was
# read, and in the end the target is the truth.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-19T12:00:00Z',
	rows_per_day => 2000,
	quota => 0);
my %owner = (user => 'regress_owner');
my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject, status, size, from_ip, to_ip';
my $run = "CALL o365_msgtrace.run('contoso')";

# A server with an empty database of this name. No job of pg_cron ever runs: it
# finds no server at its host.
sub make_server
{
	my ($make_database) = @_;
	my $node = MsgTrace::Cluster->start(
		preload => 'pg_cron, o365_msgtrace',
		conf => {
			'cron.database_name' => 'mailing', 'cron.host' => '/nowhere',
			wal_level => 'replica', max_wal_senders => 4, hot_standby => 'on'
		});
	$node->use_database('mailing') if $make_database;
	$node->{dbname} = 'mailing';
	return $node;
}

my $old = make_server(1);
plan skip_all => 'pg_cron is not installed' if !$old->cron_available;
$old->create_server($service, page_size => 100, mapping => { auth => 'oauth_secret', client_secret => undef, secret_name => 'app' });
$old->sql(<<'SQL');
CREATE EXTENSION pg_cron;
CREATE ROLE regress_owner LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, cron TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA truth;
SELECT o365_msgtrace.create_secret_key();
SQL
$old->sql("COPY o365_msgtrace.secret_input (name, value, hosts) FROM STDIN;\napp\t$service->{client_secret}\tlocalhost\n\\.\n");
$old->sql("SELECT o365_msgtrace.grant_secret('app', 'regress_owner')");

# One input that has read a part of what it wants, and one that has all that one can have.
$old->sql(<<'SQL', %owner);
CREATE FUNCTION archive.mask(t o365_msgtrace.trace_row) RETURNS SETOF o365_msgtrace.trace_row LANGUAGE plpgsql AS $$
BEGIN
    t.subject := left(t.subject, 3);
    RETURN NEXT t;
END $$;
CREATE TABLE archive.robots AS SELECT 'nobody@contoso.com' AS mail;
SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso', max_requests => 20);
SELECT o365_msgtrace.create_input('rich', 'mail.message_trace', 'archive.rich', poll_interval => 5, settle_after => '2 days',
    filter => 'sender_address NOT IN (SELECT mail FROM archive.robots)', fields => '{"domain": "split_part(sender_address, ''@'', 2)"}',
    pipeline => 'archive.mask', disable_time_filter => true, tags => ARRAY['eu', 'gold'], log_level => 'debug', job_timeout => '10m',
    retention => '400 days');
SELECT o365_msgtrace.schedule('contoso'), o365_msgtrace.schedule('rich');
SQL
$old->sql($run, %owner);
$old->sql("CALL o365_msgtrace.run('rich')", %owner);
$old->sql("CALL o365_msgtrace.backfill('contoso', '2026-05-10', '2026-05-19 11:00Z')", %owner);
is($old->sql("SELECT isempty(missing), isempty(settled) FROM o365_msgtrace.coverage WHERE input_id = 'contoso'"), 'f|f', 'an input in mid-life');

# What has to survive, as text.
sub state_of
{
	my ($node) = @_;
	return $node->sql(<<'SQL', set => { timezone => 'UTC', intervalstyle => 'postgres' });
SELECT to_jsonb(i), i.source::text FROM o365_msgtrace.input i ORDER BY input_number;
SELECT l FROM o365_msgtrace.ledger l ORDER BY input_number;
SELECT r FROM o365_msgtrace.run_record r ORDER BY run_id;
SELECT count(*), max(message_id) FROM o365_msgtrace.run_message;
SELECT s FROM o365_msgtrace.secret_store s;
SELECT input_id, schedule, active, next_run IS NOT NULL FROM o365_msgtrace.job ORDER BY 1;
SELECT count(*), md5(string_agg(t::text, '' ORDER BY received, message_trace_id, recipient_address)) FROM archive.contoso t;
SELECT count(*), md5(string_agg(t::text, '' ORDER BY received, message_trace_id, recipient_address)) FROM archive.rich t;
SQL
}

sub sequences
{
	my ($node) = @_;
	return $node->sql('SELECT r.last_value, i.last_value, m.last_value FROM o365_msgtrace.run_id_seq r, o365_msgtrace.input_number_seq i, o365_msgtrace.run_message_id_seq m');
}

# Line by line, for whoever has to find the difference.
sub same_state
{
	my ($node, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is_deeply([ split /\n/, state_of($node) ], [ split /\n/, $expected ], $name);
}

sub last_run
{
	my ($node, $expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.run_log WHERE input_id = 'contoso' ORDER BY run_id DESC LIMIT 1", %owner);
}

# Runs until nothing is missing. Rows that came twice are those of the poll windows.
sub goes_on
{
	my ($name, $node) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $missing = $node->sql("SELECT missing FROM o365_msgtrace.coverage WHERE input_id = 'contoso'");
	my $former_run = $node->sql('SELECT max(run_id) FROM o365_msgtrace.run_record');
	$node->sql("SELECT o365_msgtrace.alter_input('contoso', max_requests => 0)", %owner);
	$node->sql($run, %owner) for 1 .. 2;
	is($node->sql("SELECT missing FROM o365_msgtrace.coverage WHERE input_id = 'contoso'"), '{}', "$name: what was missing is read");
	is($node->sql("SELECT min(run_id) > $former_run FROM o365_msgtrace.run_log WHERE started_at >= (SELECT max(started_at) FROM o365_msgtrace.run_log WHERE run_id = $former_run) AND run_id <> $former_run"), 't', '… by runs with new numbers');
	$node->load_truth($service, 'truth.rows', '2026-05-09T00:00:00Z', $service->now);
	$node->same_rows('… and the target is the truth', "SELECT $columns FROM archive.contoso",
		"SELECT $columns FROM truth.rows WHERE received >= '2026-05-10' AND received < (SELECT upper(covered) FROM o365_msgtrace.ledger WHERE input_number = 1)", at_least => 5000);
	my $expected = $node->sql("SELECT count(*) FROM truth.rows WHERE '$missing'::tstzmultirange @> received");
	my $polled = $node->sql("SELECT 2 * count(*) FROM truth.rows WHERE received >= '" . $service->now . "'::timestamptz - interval '3 hours'");
	my $read = $node->sql("SELECT sum(rows_in) FROM o365_msgtrace.run_log WHERE input_id = 'contoso' AND run_id > $former_run");
	cmp_ok($read, '<=', $expected + $polled, '… nothing else was read anew');
	return;
}

my $dump = folder() . '/dump';
sub copy_key
{
	my ($from, $to) = @_;
	system('cp', '-p', "$from->{data}/o365_msgtrace.key", "$to->{data}/o365_msgtrace.key") == 0 or die;
	return;
}

# ---- dump and restore -------------------------------------------------------------------

my ($before, $numbers) = (state_of($old), sequences($old));
$old->program('pg_dump', '-h', $old->{folder}, '-U', 'postgres', '-Fc', '-f', $dump, 'mailing');
$old->program('pg_dump', '-h', $old->{folder}, '-U', 'postgres', '-Fc', '--exclude-table-data=archive.contoso', '-f', "$dump.partial", 'mailing');
{
	my $node = make_server(0);
	$node->sql('CREATE ROLE regress_owner LOGIN; CREATE DATABASE another', dbname => 'postgres');
	$node->sql('CREATE DATABASE mailing', dbname => 'postgres');
	isnt($node->sql("SELECT oid FROM pg_database WHERE datname = 'mailing'"), $old->sql("SELECT oid FROM pg_database WHERE datname = 'mailing'"), 'another database');
	$node->program('pg_restore', '-h', $node->{folder}, '-U', 'postgres', '-d', 'mailing', '--exit-on-error', $dump);
	same_state($node, $before, 'pg_dump and pg_restore: inputs, ledger, records, secrets, schedules and rows are the same');
	is(sequences($node), $numbers, '… and so are the sequences');

	my $error = $node->sql_error($run, %owner);
	is("$error->{sqlstate} $error->{message}" =~ s/[0-9a-f]{16,}/KEY/gr, q{55000 stored secret "app" needs key KEY, this server's key file is missing}, 'without the key file a run fails');
	is(last_run($node, 'state, sqlstate'), 'failed|55000', '… and has recorded it');
	copy_key($old, $node);
	goes_on('restored', $node);
	$node->sql("CALL o365_msgtrace.run('rich')", %owner);
	is($node->sql("SELECT count(*) > 0, bool_and(length(subject) <= 3 AND domain = split_part(sender_address, '\@', 2)) FROM archive.rich"), 't|t', 'the other one runs with its pipeline and fields');

	my $jobs = $node->sql('SELECT jobid, jobname FROM cron.job ORDER BY 1');
	$node->sql("SELECT o365_msgtrace.schedule('contoso')", %owner);
	is($node->sql('SELECT jobid, jobname FROM cron.job ORDER BY 1'), $jobs, 'scheduling again makes no second job');
	$node->sql("SELECT o365_msgtrace.unschedule('contoso')", %owner);
	is($node->sql('SELECT count(*) FROM cron.job'), 1, '… and a restored one can be unscheduled');
	$node->sql("SELECT o365_msgtrace.drop_input('rich')", %owner);
	is($node->sql('SELECT count(*) FROM cron.job'), 0, '… or dropped with its input');
	$node->sql("SELECT o365_msgtrace.create_input('third', 'mail.message_trace', 'archive.third')", %owner);
	is($node->sql("SELECT input_number FROM o365_msgtrace.input WHERE input_id = 'third'"), 3, 'a new input has a number of its own');

	# Without the target's rows: the ledger says more than there is, until it is told. (And
	# without pg_cron, which can be in one database only.)
	$node->sql('CREATE DATABASE partial', dbname => 'postgres');
	$node->{dbname} = 'partial';
	$node->program('pg_restore', '-l', '-f', "$dump.list", "$dump.partial");
	system('sed', '-i', '/ cron /d; / pg_cron/d', "$dump.list") == 0 or die;
	$node->program('pg_restore', '-h', $node->{folder}, '-U', 'postgres', '-d', 'partial', '--exit-on-error', '-L', "$dump.list", "$dump.partial");
	is($node->sql("SELECT count(*), (SELECT isempty(covered) FROM o365_msgtrace.ledger WHERE input_number = 1) FROM archive.contoso"), '0|f', 'restored without rows: the ledger believes in them');
	is($node->sql("SELECT NOT isempty(o365_msgtrace.reset_coverage('contoso'))", %owner), 't', 'reset_coverage() mends that');
	goes_on('restored without rows', $node);
	$node->stop;
}

# ---- pg_upgrade -------------------------------------------------------------------------

my $new = make_server(0);
{
	$old->upgrade_to($new);
	same_state($new, $before, 'pg_upgrade: inputs, ledger, records, secrets, schedules and rows are the same');
	is(sequences($new), $numbers, '… and so are the sequences');
	copy_key($old, $new);
	$new->sql($run, %owner);
	is(last_run($new, 'state, windows > 0'), 'succeeded|t', '… and a run goes on');
	isnt($new->sql("SELECT missing FROM o365_msgtrace.coverage WHERE input_id = 'contoso'"), '{}', '… within its max_requests');
}

# ---- a standby that is promoted ------------------------------------------------------------

{
	$service->set_clock(advance => 3600);
	my $standby = $new->standby;
	$new->sql($run, %owner);
	$standby->catch_up($new);
	like($standby->messages($run, %owner), qr/WARNING:  .*input "contoso" was not run: the server is in recovery/, 'a run on a standby says so');
	is($standby->sql_error($run, %owner), undef, '… and is no error');
	is($standby->sql('SELECT count(*) FROM o365_msgtrace.coverage', %owner), 2, '… where coverage can be seen');
	my $before_failover = state_of($new);
	$new->kill9;
	$standby->promote;
	same_state($standby, $before_failover, 'promoted: inputs, ledger, records, secrets, schedules and rows are the same');
	goes_on('promoted', $standby);
}

done_testing();
