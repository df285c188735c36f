# tests/t/076_schedule.t
#
# When inputs run: what run_due() finds due and what keeps it from nothing, the
# choice of minutes, what the view job says, and how much is kept of all that.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

my $service = MsgTrace::Service->start(
	now => '2026-05-20T12:00:00Z',
	rows_per_day => 2000,
	quota => 0);
my $node = MsgTrace::Cluster->start(preload => 'pg_cron, o365_msgtrace');
plan skip_all => 'pg_cron is not installed' if !$node->cron_available;

$node->create_server($service, request_timeout => '3s');
$node->create_server($service, name => 'broken', schema => 'broken', mapping => { client_secret => 'wrong' });
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_other LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, broken TO regress_owner, regress_other;
GRANT SELECT ON ALL TABLES IN SCHEMA mail, broken TO regress_owner, regress_other;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA other AUTHORIZATION regress_other;
SQL
my %owner = (user => 'regress_owner');
my $run_due = 'CALL o365_msgtrace.run_due()';

# Inputs are due by the clock of the machine. So the hourly ones of this test have
# names from which their minute follows, half an hour from now: none becomes due
# while it runs but where it moves what was before.
my @names = sort split /\n/, $node->sql(<<'SQL');
SELECT name FROM (SELECT 'input ' || n AS name FROM generate_series(1, 2000) n) c
 WHERE o365_msgtrace._tick(o365_msgtrace._cron_schedule(name, 60), now(), 1) BETWEEN now() + interval '27 min' AND now() + interval '33 min'
 LIMIT 5
SQL
my ($first, $second, $broken, $off, $theirs) = @names;

sub create
{
	my ($name, $settings, %how) = @_;
	my ($schema, $archive) = (delete $how{schema} // 'mail', delete $how{archive} // 'archive');
	$node->sql(
		"SELECT o365_msgtrace.create_input('$name', '$schema.message_trace', '$archive.message_trace', poll_interval => 60, $settings)",
		%owner, %how);
	return;
}
create($first, "tags => '{a}'");
create($broken, "tags => '{b}'", schema => 'broken');
create($second, "tags => '{c}'");
create($off, 'enabled => false');
create('production', "environment => 'production'");
create($theirs, "tags => '{d}'", user => 'regress_other', archive => 'other');

# The runs since the last call, as "tag state", in their order.
my $seen = 0;

sub runs
{
	my $runs = $node->sql(
		"SELECT string_agg(concat_ws(' ', coalesce(i.tags[1], i.input_id), r.state), ', ' ORDER BY r.run_id)"
		  . " FROM o365_msgtrace.run_record r JOIN o365_msgtrace.input i USING (input_number) WHERE r.run_id > $seen");
	$seen = $node->sql('SELECT coalesce(max(run_id), 0) FROM o365_msgtrace.run_record');
	return $runs;
}

sub minutes_pass
{
	my ($minutes) = @_;
	$node->sql("UPDATE o365_msgtrace.run_record SET started_at = started_at - interval '$minutes minutes'");
	return;
}

# ---- what is due ---------------------------------------------------------------------

my $error = $node->sql_error($run_due, %owner);
is(runs(), 'a succeeded, b failed, c succeeded', 'what never ran is due; one that fails stops no other; nothing else is run or recorded');
is($error->{message}, qq(1 of 3 inputs failed: "$broken"), 'the error names the input that failed');
is($error->{sqlstate}, '08004', 'with its code');
like($error->{detail}, qr/^"\Q$broken\E": .*refused/, 'and its message');
$node->sql($run_due, %owner);
is(runs(), '', 'nothing is due before the next moment of its schedule');
minutes_pass(20);
$node->sql($run_due, %owner);
is(runs(), '', 'time alone makes nothing due');
minutes_pass(20);
$node->sql("UPDATE o365_msgtrace.run_record SET started_at = started_at + interval '30 minutes'"
	  . " WHERE input_number = (SELECT input_number FROM o365_msgtrace.input WHERE tags = '{c}')");
$error = $node->sql_error($run_due, %owner);
is(runs(), 'a succeeded, b failed', 'but a moment of the schedule that has passed since the last run');
minutes_pass(40);
$node->sql($run_due, %owner);
is(runs(), 'c succeeded, a succeeded, b skipped', 'the longest idle comes first; one that backs off is skipped, without an error');
$node->sql($run_due, %owner);
is(runs(), '', 'once, not each minute');
minutes_pass(61);
$node->sql("SELECT o365_msgtrace.drop_input('$broken')", %owner);

is(
	$node->sql("SELECT bool_and(o365_msgtrace._is_due(i, m.tick) AND NOT o365_msgtrace._is_due(i, m.tick - interval '1 ms')), count(*)"
		  . ' FROM o365_msgtrace.input i JOIN (SELECT DISTINCT ON (input_number) input_number, started_at FROM o365_msgtrace.run_record ORDER BY 1, run_id DESC) r'
		  . ' USING (input_number), LATERAL (SELECT o365_msgtrace._tick(o365_msgtrace._cron_schedule(i.input_id, 60), r.started_at, 1) AS tick) m'),
	't|2', 'to the moment');
is(
	$node->sql("SELECT bool_and(o365_msgtrace._is_due(i, r.started_at - interval '1 hour')) FROM o365_msgtrace.input i JOIN o365_msgtrace.run_record r USING (input_number)"),
	't', 'a run from the future keeps no input from running');

$node->sql($run_due);
is(runs(), '', 'a superuser runs his own inputs, which are none');
$node->sql($run_due, user => 'regress_other');
is(runs(), 'd succeeded', 'as everybody does');
$error = $node->sql_error("BEGIN; $run_due", %owner);
is($error->{sqlstate}, '25001', 'not in a transaction block');
like($error->{message}, qr/^CALL o365_msgtrace\.run_due\(\) cannot run inside a transaction block/, 'which is said');
is(runs(), '', 'and nothing was run');

# ---- what keeps it from nothing ------------------------------------------------------------

# Two at once: the first one is at an input that takes its time.
minutes_pass(61);
$service->fault({ on => 'list', fault => 'hang', where => 'headers', count => 1 });
{
	my $session = $node->session(%owner);
	$session->send($run_due);
	$node->wait_until("SELECT EXISTS (SELECT FROM o365_msgtrace.run_record WHERE pid = $session->{pid} AND state = 'running')");
	$node->sql($run_due, %owner);
	ok($session->busy, 'a second call does not wait for the first');
	is($node->sql("SELECT count(*) FROM o365_msgtrace.run_record WHERE run_id > $seen"), '2', 'it runs the other input');
	unlike($session->receive, qr/ERROR/, 'the first one ends well');
	$session->quit;
	is(join(', ', sort split /, /, runs()), 'a succeeded, c succeeded', 'no input was run twice');
}

# Locked by who is just beginning a run, or changes the input.
minutes_pass(61);
{
	my $session = $node->session(%owner);
	$session->sql("BEGIN; SELECT o365_msgtrace.alter_input('$second', tags => '{c}')");
	$node->sql($run_due, %owner);
	is(runs(), 'a succeeded', 'an input that is being changed waits for the next call');
	$session->sql('COMMIT');
	$session->quit;
	$node->sql($run_due, %owner);
	is(runs(), 'c succeeded', 'and is run then');
}

# The timeout of one, the cancel of all.
minutes_pass(61);
$node->sql("SELECT o365_msgtrace.alter_input('$first', job_timeout => '1s')", %owner);
$service->fault({ on => 'list', fault => 'hang', where => 'headers', count => 1 });
$error = $node->sql_error($run_due, %owner);
is(runs(), 'a failed, c succeeded', 'the job_timeout of an input ends its run only');
like($error->{detail}, qr/^"\Q$first\E": .*took longer than its job_timeout/, 'as is said');
minutes_pass(61);
$node->sql("SELECT o365_msgtrace.alter_input('$first', job_timeout => '0')", %owner);
$service->fault({ on => 'list', fault => 'hang', where => 'headers', count => 1 });
{
	my $session = $node->session(%owner);
	$session->send($run_due);
	$node->wait_until("SELECT EXISTS (SELECT FROM o365_msgtrace.run_record WHERE pid = $session->{pid} AND state = 'running')");
	$session->cancel;
	like($session->receive, qr/57014: canceling statement due to user request/, 'a cancel');
	$session->quit;
	is(runs(), 'a failed', 'ends all of it');
}
$service->clear_faults;

# A run that cannot even be recorded.
minutes_pass(61);
$node->sql(<<"SQL");
CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE 'spoiled'; END \$\$;
CREATE TRIGGER spoil BEFORE INSERT ON o365_msgtrace.run_record FOR EACH ROW
    WHEN (NEW.input_number = 1) EXECUTE FUNCTION public.spoil();
SQL
$error = $node->sql_error($run_due, %owner);
is("$error->{message} $error->{detail}", qq(1 of 2 inputs failed: "$first" "$first": spoiled), 'a run that cannot begin is named');
is(runs(), 'c succeeded', 'and stops no other');
$node->sql('DROP FUNCTION public.spoil CASCADE');

# A run that has done its work, and waits for a lock to say so.
$node->sql("SELECT o365_msgtrace.alter_input('$second', job_timeout => '1s', log_level => 'error')", %owner);
{
	my $session = $node->session;
	$session->sql('BEGIN; LOCK TABLE o365_msgtrace.run_message');
	my $late = $node->sql_error("CALL o365_msgtrace.run('$second')", %owner);
	$session->sql('ROLLBACK');
	$session->quit;
	like($late->{message}, qr/took longer than its job_timeout/, 'the job_timeout ends a run at its end, too');
	is(runs(), 'c failed', 'which its record says');
}
$node->sql("SELECT o365_msgtrace.alter_input('$second', job_timeout => '0', log_level => 'info')", %owner);

# ---- pg_cron: the choice of minutes ----------------------------------------------------------

$node->sql('CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO regress_owner');

sub job
{
	my ($expression, %how) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.job WHERE input_id = '$first'", %owner, %how);
}

is(job('schedule IS NULL AND active IS NULL AND next_run IS NULL'), 't', 'no job, no next run');
is(job("due_at = o365_msgtrace._tick(o365_msgtrace._cron_schedule(input_id, 60), last_started_at, 1) AND due_at < now()"), 't', 'but run_due() would run it');
my $scheduled = $node->sql("SELECT o365_msgtrace.schedule('$first')", %owner);
like($scheduled, qr/^\d+ \* \* \* \*$/, 'staggered');
is(job("schedule || ' ' || active::text"), "$scheduled true", 'it has a job');
is(job("next_run BETWEEN now() AND now() + interval '35 min' AND date_part('minute', next_run AT TIME ZONE 'UTC') = split_part(schedule, ' ', 1)::integer"), 't', 'and a next run');
my $jobid = job('jobid');
is($node->sql("SELECT o365_msgtrace.schedule('$first', stagger => false)", %owner), '0 * * * *', 'on the full hour');
is(job("date_part('minute', next_run), jobid"), "0|$jobid", 'by the same job');
$node->sql("SELECT cron.alter_job($jobid, active => false)");
is(job('active, next_run IS NULL'), 'f|t', 'an inactive job has no next run');
$node->sql("SELECT o365_msgtrace.alter_input('$first', poll_interval => 15)", %owner);
is(job('schedule, active, jobid'), "*/15 * * * *|f|$jobid", 'a change of the interval keeps the choice, and the job as it is');
$node->sql("SELECT o365_msgtrace.alter_input('$first', poll_interval => 1)", %owner);
is(job('schedule'), '* * * * *', 'each minute is each minute');
$node->sql("SELECT o365_msgtrace.alter_input('$first', poll_interval => 60)", %owner);
is(job('schedule'), '0 * * * *', 'there and back');
is(job("date_part('minute', due_at)"), '0', 'run_due() goes by it, too');
$node->sql("SELECT cron.alter_job($jobid, active => true, schedule => '0 5 * * *')");
is(job('schedule, next_run IS NULL'), '0 5 * * *|t', 'of a schedule that somebody else has made nothing is said');
$node->sql("SELECT o365_msgtrace.schedule('$first', stagger => NULL)", %owner);
is(job('schedule'), $scheduled, 'NULL is the default');
$node->sql("SELECT o365_msgtrace.alter_input('$first', enabled => false)", %owner);
is(job('active, next_run IS NULL, due_at IS NULL'), 't|t|t', 'a disabled input does not run next');
$node->sql("SELECT o365_msgtrace.alter_input('$first', enabled => true)", %owner);

# ---- what the view says of runs ------------------------------------------------------------------

$node->sql("CALL o365_msgtrace.run('$first')", %owner);
is(job('last_result, last_finished_at >= last_started_at, running_since IS NULL, consecutive_failures'), 'succeeded|t|t|0', 'a run that succeeded');
$service->fault({ on => 'list', fault => 'hang', where => 'headers', count => 1 });
{
	my $session = $node->session(%owner);
	$session->send("CALL o365_msgtrace.run('$first')");
	$node->wait_until("SELECT EXISTS (SELECT FROM o365_msgtrace.run_record WHERE pid = $session->{pid} AND state = 'running')");
	is(job('last_result, running_since = last_started_at, last_finished_at IS NULL'), 'running|t|t', 'one that is at work');
	$node->sql("CALL o365_msgtrace.run('$first', scheduled => true)", %owner);
	is(job('last_result'), 'running', 'those that are skipped meanwhile hide it not');
	$node->sql("SELECT pg_terminate_backend($session->{pid})");
	$node->wait_until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $session->{pid})");
	is(job('last_result, running_since IS NULL, consecutive_failures'), 'lost|t|1', 'and one whose backend is gone');
	$session->quit;
}
$service->clear_faults;
$node->sql("CALL o365_msgtrace.run('$first')", %owner);
is($node->sql('SELECT count(*) FROM o365_msgtrace.job', user => 'regress_other'), '1', 'to each his own');

# ---- how much is kept ------------------------------------------------------------------------------

$seen = $node->sql('SELECT max(run_id) FROM o365_msgtrace.run_record');
my $number = $node->sql("SELECT input_number FROM o365_msgtrace.input WHERE input_id = '$first'");
$node->sql(<<"SQL");
INSERT INTO o365_msgtrace.run_record (input_number, state, started_at) SELECT $number, 'skipped', now() - interval '2 hours' FROM generate_series(1, 10050);
INSERT INTO o365_msgtrace.run_message (input_id, run_id, level, message)
SELECT '$first', (SELECT min(run_id) FROM o365_msgtrace.run_record WHERE input_number = $number), 'info', 'of the oldest run';
INSERT INTO cron.job_run_details (jobid, database, username, command, status)
SELECT 1000 + n % 2, current_database(), u, c, 'succeeded' FROM generate_series(1, 1020) n,
       unnest(ARRAY['regress_owner', 'regress_other']) u,
       unnest(ARRAY['CALL o365_msgtrace.run(''$first'', scheduled => true)', 'CALL o365_msgtrace.run(''$second'', scheduled => true)', 'CALL o365_msgtrace.run_due()', 'SELECT 1']) c;
INSERT INTO cron.job_run_details (jobid, database, username, command, status)
SELECT 1002, 'elsewhere', 'regress_owner', 'CALL o365_msgtrace.run(''$first'', scheduled => true)', 'succeeded' FROM generate_series(1, 1010) n;
SQL
my $newest = $node->sql('SELECT max(runid) FROM cron.job_run_details');

sub cron_runs
{
	return $node->sql(
		"SELECT string_agg(n::text, ' ' ORDER BY username, command) FROM (SELECT username, command, count(*) AS n"
		  . " FROM cron.job_run_details WHERE database = 'postgres' GROUP BY 1, 2) s");
}

# Somebody else is at pg_cron's table: that is no concern of a run's.
{
	my $session = $node->session;
	$session->sql('BEGIN; LOCK TABLE cron.job_run_details');
	$node->sql("SELECT o365_msgtrace.alter_input('$first', enabled => false)", %owner);
	$node->sql("CALL o365_msgtrace.run('$first')", %owner);
	$session->sql('ROLLBACK');
	$session->quit;
}
is(runs() =~ /^(?:a skipped(?:, )?)+$/ ? 'skipped' : 'not', 'skipped', 'an input that is skipped all the time');
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_record WHERE input_number = $number"), '10001', 'keeps the latest ten thousand');
is(job('last_result'), 'succeeded', 'and its last run that was not');
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_message WHERE message = 'of the oldest run'"), '0', 'messages go with their run');
is($node->sql("SELECT count(*) > 0 FROM o365_msgtrace.run_record WHERE input_number <> $number"), 't', 'other inputs keep theirs');
is(cron_runs(), '1020 1020 1020 1020 1020 1020 1020 1020', 'what is locked in pg_cron waits');

minutes_pass(61);
$node->sql("SELECT o365_msgtrace.alter_input('$first', enabled => true)", %owner);
$node->sql("CALL o365_msgtrace.run('$first')", %owner);
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_record WHERE input_number = $number"), '10000', 'a run that does something trims, too');
is(
	cron_runs(),
	'1020 1020 1020 1020 1000 1020 1000 1020',
	"pg_cron keeps a thousand of the input's runs and of run_due()'s, and all that is not ours");
is($node->sql("SELECT count(*) FROM cron.job_run_details WHERE database = 'elsewhere'"), '1010', 'nor of this database');
is($node->sql("SELECT max(runid) FROM cron.job_run_details WHERE runid <= $newest"), $newest, 'the latest');
$node->sql("CALL o365_msgtrace.run('$second')", %owner);
is(cron_runs(), '1020 1020 1020 1020 1000 1000 1000 1020', 'so does another input');
$node->sql("SELECT o365_msgtrace.drop_input('$first')", %owner);
is(cron_runs(), '1020 1020 1020 1020 1000 1000 1020', 'of an input that is dropped none are kept');
is($node->sql('SELECT count(*) FROM cron.job'), '0', 'nor is its job');

# ---- a standby ----------------------------------------------------------------------------------------

{
	my $standby = $node->standby;
	minutes_pass(61);
	$standby->catch_up($node);
	my $said = $standby->messages($run_due, %owner);
	like($said, qr/WARNING:  \w+: no input was run: the server is in recovery/, 'on a standby run_due() says so');
	unlike($said, qr/ERROR/, 'and that is no error');
	is($standby->sql("SELECT due_at < now() FROM o365_msgtrace.job WHERE input_id = '$second'", %owner), 't', 'the views can be read there');
	$standby->stop('immediate');
}

done_testing();
