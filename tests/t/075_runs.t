# tests/t/075_runs.t
#
# What bounds a run, and what it tells: the job timeout, wherever the run waits;
# messages and progress; runs that fill what was asked for by hand; and failures
# that back off.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

my $service = MsgTrace::Service->start(
	now => '2026-05-20T12:00:00Z',
	rows_per_day => 8000,
	quota => 0);
my $node = MsgTrace::Cluster->start(preload => 'o365_msgtrace');
$node->create_server($service, page_size => 200);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA truth;
SQL
my %owner = (user => 'regress_owner');
my $run = "CALL o365_msgtrace.run('contoso')";
my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';
$node->sql("SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso', poll_interval => 60)", %owner);

sub last_run
{
	my ($expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.run_log ORDER BY run_id DESC LIMIT 1", %owner);
}

sub coverage
{
	my ($expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.coverage WHERE input_id = 'contoso'", %owner);
}

sub alter
{
	my ($settings) = @_;
	$node->sql("SELECT o365_msgtrace.alter_input('contoso', $settings)", %owner);
	return;
}

# Nothing is settled for good and all, and nothing was read.
sub forget
{
	my ($wanted) = @_;
	$node->sql(<<"SQL");
TRUNCATE archive.contoso;
UPDATE o365_msgtrace.ledger
   SET wanted = '$wanted', covered = '{}', settled = '{}', absent_once = '{}', absent_twice = '{}', flagged = '{}'
SQL
	return;
}

# ---- the job timeout ---------------------------------------------------------------------

# A run ends by its timeout, and says so in its record and to its caller.
sub ends_in_time
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $session = $node->session(%owner);
	my $error = $session->sql_error($run);
	is($error->{sqlstate}, '57014', "$name: the run is ended");
	like($error->{message}, qr/^the run of input "contoso" took longer than its job_timeout, 00:00:01/, 'by its job_timeout');
	like($error->{detail}, qr/Run \d+ of input "contoso" failed/, 'it has a record');
	is(last_run('state, sqlstate, finished_at IS NOT NULL'), 'failed|57014|t', 'that says failed');
	is($session->sql('SELECT pg_sleep(1.2)'), '', 'the session goes on, and no timer with it');
	$session->quit;
	return;
}

alter("job_timeout => '1s'");
$service->fault({ on => 'list', fault => 'hang', where => 'headers', count => 50 });
ends_in_time('a service that does not answer');
$service->clear_faults;

{
	my $session = $node->session;
	$session->sql('BEGIN; LOCK TABLE archive.contoso');
	ends_in_time('a lock on the target');
	$session->sql('ROLLBACK; BEGIN; LOCK TABLE o365_msgtrace.ledger');
	ends_in_time('a lock on the ledger');
	$session->sql('ROLLBACK; BEGIN; LOCK TABLE o365_msgtrace.run_record');
	my $error = $node->sql_error($run, %owner);
	is($error->{sqlstate}, '57014', 'a run that waits before it has a record is ended');
	like($error->{message}, qr/took longer than its job_timeout/, 'by its job_timeout, too');
	unlike($error->{detail}, qr/Run/, 'and names none');
	$session->sql('ROLLBACK');
	$session->quit;
}

$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '1', ADD quota_window '1h')");
ends_in_time('a budget that is used up');
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '0', DROP quota_window)");

$node->sql(<<'SQL', %owner);
CREATE FUNCTION archive.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(100); RETURN NULL; END $$;
CREATE TRIGGER dawdle AFTER INSERT ON archive.contoso EXECUTE FUNCTION archive.dawdle();
SQL
ends_in_time('a trigger that dawdles');
$node->sql(<<'SQL', %owner);
CREATE OR REPLACE FUNCTION archive.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(100);
    RETURN NULL;
EXCEPTION WHEN query_canceled THEN
    RETURN NULL;
END
$$;
SQL
ends_in_time('a trigger that takes the cancel for its own');
$node->sql(<<'SQL', %owner);
DROP TRIGGER dawdle ON archive.contoso;
CREATE OR REPLACE FUNCTION archive.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(100); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON archive.contoso DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION archive.dawdle();
SQL
forget('{[2026-05-20 11:00Z, 2026-05-20 11:30Z)}');
ends_in_time('a trigger that would have waited for COMMIT');
is($node->sql('SELECT count(*) FROM archive.contoso'), '0', 'and nothing of that window stays');
$node->sql('DROP TRIGGER dawdle ON archive.contoso', %owner);

# A user's cancel is a user's cancel, and a run in time knows nothing of a timer.
alter("job_timeout => '1h'");
$service->fault({ on => 'list', fault => 'hang', where => 'headers', count => 50 });
{
	my $session = $node->session(%owner);
	$session->send($run);
	$session->cancel;
	like($session->receive, qr/57014: canceling statement due to user request/, 'a cancel by hand is told from it');
	$session->quit;
}
$service->clear_faults;
alter("job_timeout => '0'");
$node->sql($run, %owner);
is(last_run('state'), 'succeeded', 'without a timeout a run goes to its end');
is(coverage('isempty(missing)'), 't', 'and leaves nothing out');

# ---- messages ----------------------------------------------------------------------------------

sub said
{
	my ($expression, $where) = @_;
	return $node->sql(
		"SELECT $expression FROM o365_msgtrace.run_message m WHERE run_id = (SELECT max(run_id) FROM o365_msgtrace.run_log) AND $where",
		%owner);
}

forget('{[2026-05-18 00:00Z, 2026-05-20 11:00Z)}');
my $notices = $node->messages($run, %owner);
my @of_windows = $notices =~ /NOTICE:  \w+: input "contoso": (?:poll|gap|settle) window from 2026-05-\d\d [\d:]+ to 2026-05-\d\d [\d:]+ UTC: \d+ rows \(\d+ new, 0 changed\), \d+ requests/g;
cmp_ok(scalar @of_windows, '>', 3, 'a run by hand tells of windows');
is(scalar @of_windows, last_run('windows'), 'of each one');
like($notices, qr/input "contoso": read \d+ rows in \d+ windows.*\z/s, 'and at the end of all');
is(said("string_agg(level || ' ' || split_part(message, ' ', 1), ', ' ORDER BY message_id)", 'true'), 'info began, info succeeded:', 'begin and end are kept');

alter("log_level => 'debug'");
forget('{[2026-05-18 00:00Z, 2026-05-20 11:00Z)}');
$notices = $node->messages("CALL o365_msgtrace.run('contoso', scheduled => true)", %owner);
is(scalar(() = $notices =~ /window from/g), 0, 'a scheduled run does not');
like($notices, qr/read \d+ rows/, 'but of its end');
is(said('count(*)', "level = 'debug' AND window_start < window_end"), last_run('windows'), 'log_level debug keeps each window');
is(said('count(*)', "message = 'began as scheduled'"), '1', 'how it began is told');

# A window that fails, and the rest that does not.
forget('{[2026-05-18 00:00Z, 2026-05-20 11:00Z)}');
alter("log_level => 'warn'");
$node->sql("ALTER SERVER tenant OPTIONS (ADD max_retries '0')");
$service->fault({ on => 'list', fault => 'cut', after => 100, count => 1 });
$notices = $node->messages($run, %owner);
$service->clear_faults;
$node->sql('ALTER SERVER tenant OPTIONS (DROP max_retries)');
like($notices, qr/NOTICE:  \w+: input "contoso": poll window from [^\n]+ UTC failed: /, 'a window that failed is told of while the run goes on');
is(said("string_agg(level, ' ')", 'true'), 'error', 'log_level warn keeps that only');
is(
	$node->sql(
		'SELECT m.message = r.message AND m.sqlstate = r.sqlstate AND m.window_end > m.window_start'
		  . ' FROM o365_msgtrace.run_message m JOIN o365_msgtrace.run_log r USING (run_id) ORDER BY message_id DESC LIMIT 1',
		%owner),
	't', 'with its code and its window');
alter("log_level => 'error'");
$node->sql($run, %owner);
is(said('count(*)', 'true'), '0', 'log_level error keeps nothing of a run that succeeds');


$node->sql("ALTER SERVER tenant OPTIONS (ADD on_bad_row 'reject')");
alter("log_level => 'warn'");
$service->fault({ on => 'list', fault => 'bad_row', kind => 'garbage_time', count => 1 });
$node->sql($run, %owner);
like(said("string_agg(level || ' ' || message, ',')", 'true'), qr/^warn 1 records could not be read/, 'records that could not be read are a warning');
$node->sql('ALTER SERVER tenant OPTIONS (DROP on_bad_row)');

alter("log_level => 'info'");
$node->sql(<<'SQL', %owner);
INSERT INTO o365_msgtrace.run_message (input_id, run_id, level, message)
SELECT 'contoso', (SELECT max(run_id) FROM o365_msgtrace.run_record), 'info', 'old' FROM generate_series(1, 10500)
SQL
$node->sql($run, %owner);
is($node->sql('SELECT count(*) FROM o365_msgtrace.run_message', %owner), '10000', 'the latest ten thousand are kept');
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_message WHERE message <> 'old'", %owner), '2', 'and not the oldest');
$node->sql('CREATE ROLE regress_other LOGIN; GRANT USAGE ON SCHEMA o365_msgtrace TO regress_other');
is($node->sql('SELECT count(*) FROM o365_msgtrace.run_message', user => 'regress_other'), '0', 'others see none of them');

# ---- progress ------------------------------------------------------------------------------------

# Waits until a run of this session has committed so many windows.
sub begin_run
{
	my ($windows, $statement) = @_;
	my $session = $node->session(%owner);
	$session->send($statement // $run);
	$node->wait_until(
		"SELECT EXISTS (SELECT FROM o365_msgtrace.run_record WHERE pid = $session->{pid} AND windows >= $windows)");
	return $session;
}

sub progress
{
	my ($expression, %how) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.run_progress", %owner, %how);
}

is(progress('count(*)'), '0', 'no run is at work');
forget('{[2026-05-06 00:00Z, 2026-05-20 11:00Z)}');
$service->settings(page_delay => 20);
{
	my $session = begin_run(2);
	my $first = progress("windows >= 2 AND windows_left > 5 AND rows_in > 0 AND requests > 0 AND rows_per_second > 0"
		  . " AND estimated_end > now() AND running_for > '0' AND times_out_at IS NULL AND input_id = 'contoso' AND pid = $session->{pid}");
	is($first, 't', 'a run at work tells what it has done and what it has left');
	is(progress('count(*)', user => 'regress_other'), '0', 'to its owner only');
	# An input is not read on by settings that it has no longer.
	$node->sql("UPDATE o365_msgtrace.input SET tags = '{changed}'");
	like($session->receive, qr/it was changed: this run ends, and the next one goes on/, 'a run of an input that was changed ends');
	is(last_run('state'), 'succeeded', 'in good order');
	is(coverage('isempty(missing)'), 'f', 'before it has read all');
	$session->quit;
}
$service->settings(page_delay => 0);
$node->sql($run, %owner);
is(coverage('isempty(missing)'), 't', 'the next run has read the rest');
is(
	$node->sql('SELECT windows_left FROM o365_msgtrace.run_record ORDER BY run_id DESC LIMIT 1'),
	'0', 'a run that has read all has nothing left');
is(progress('count(*)'), '0', 'and is in progress no more');

# ---- backfill --------------------------------------------------------------------------------------

# The target holds what the ledger says is covered, and no row beside.
sub ledger_is_true
{
	my ($name) = @_;
	my $covered = coverage('covered');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $node->same_rows(
		$name,
		"SELECT $columns FROM archive.contoso",
		"SELECT $columns FROM truth.rows WHERE '$covered'::tstzmultirange @> received");
}

$node->load_truth($service, 'truth.rows', '2026-02-19T00:00:00Z', '2026-05-20T12:00:00Z');
forget('{}');
$node->sql('UPDATE o365_msgtrace.ledger SET density = NULL');
$notices = $node->messages("CALL o365_msgtrace.backfill('contoso', '2026-05-16 00:00Z', '2026-05-17 00:00Z')", %owner);
like($notices, qr/input "contoso": all from 2026-05-16 00:00:00 to 2026-05-17 00:00:00 UTC has been read/, 'a backfill says when all is read');
is(
	coverage("wanted = '{[2026-05-16 00:00Z, 2026-05-17 00:00Z), [2026-05-20 11:00Z, 2026-05-20 11:59:59Z)}' AND covered = wanted"),
	't', 'that, the poll window and nothing between is wanted and covered');
ledger_is_true('and it is there');

$service->clear_requests;
$node->sql("CALL o365_msgtrace.backfill('contoso', '2026-05-16 06:00Z', '2026-05-16 12:00Z')", %owner);
is(scalar(grep { $_->{query} =~ /2026-05-16/ } $service->list_requests), 0, 'what was read is not read again');

# Longer than one interval: run after run, each of which polls.
alter("poll_interval => 1");
$service->settings(page_delay => 20);
{
	my $session = begin_run(3, "CALL o365_msgtrace.backfill('contoso', '2026-05-06 00:00Z', '2026-05-16 00:00Z')");
	$session->cancel;
	like($session->receive, qr/57014/, 'a backfill can be cancelled');
	$session->quit;
	ledger_is_true('with a ledger that is true');
	is(coverage("wanted @> tstzrange('2026-05-06 00:00Z', '2026-05-17 00:00Z')"), 't', 'what it was for stays wanted');
	is(coverage('isempty(missing)'), 'f', 'and is not all there');
}
$service->settings(page_delay => 0);
alter("max_requests => 12");
$notices = $node->messages("CALL o365_msgtrace.backfill('contoso', '2026-05-06 00:00Z', '2026-05-16 00:00Z')", %owner);
like($notices, qr/not all of the backfill has been read yet/, 'it heeds max_requests and says that it is not done');
alter("max_requests => 0");
$node->sql($run, %owner);
is(coverage('isempty(missing)'), 't', 'a run goes on where it ended');
ledger_is_true('exactly');

# In the order of expiry, and not beyond what the service has.
$service->clear_requests;
$notices = $node->messages("CALL o365_msgtrace.backfill('contoso', '2026-01-01 00:00Z', '2026-02-20 00:00Z')", %owner);
like($notices, qr/WARNING:  \w+: mail received before 2026-02-19 00:00:00 UTC can no longer be had/, 'what is gone is said');
is(coverage('isempty(expired)'), 't', 'and not wanted');
is(coverage("covered @> tstzrange('2026-02-19 00:00Z', '2026-02-20 00:00Z')"), 't', 'the rest is read');
ledger_is_true('that is there');
my $error = $node->sql_error("CALL o365_msgtrace.backfill('contoso', '2026-05-16', '2026-05-15')", %owner);
is($error->{sqlstate}, '22023', 'since is before until');
$error = $node->sql_error("BEGIN; CALL o365_msgtrace.backfill('contoso', '2026-05-16')", %owner);
like($error->{message}, qr/CALL o365_msgtrace.backfill\(\) cannot run inside a transaction block/, 'a backfill commits');
is($node->sql_error("CALL o365_msgtrace.backfill('contoso', '2026-05-16')")->{sqlstate}, '42501', 'it is its owner\'s');
$service->fault({ on => 'list', fault => 'status', status => 403, count => 50 });
$error = $node->sql_error("CALL o365_msgtrace.backfill('contoso', '2026-03-01', '2026-03-02')", %owner);
like($error->{detail}, qr/Run \d+ of input "contoso" failed/, 'an error ends it and is raised');
$service->clear_faults;
$node->sql($run, %owner);

# A run that is as old as poll_interval leaves the rest to the next one, which polls first.
$node->sql("ALTER TABLE o365_msgtrace.run_record ALTER started_at SET DEFAULT clock_timestamp() - interval '61 seconds'");
my $runs_before = $node->sql('SELECT count(*) FROM o365_msgtrace.run_record');
$node->sql("CALL o365_msgtrace.backfill('contoso', '2026-04-01 00:00Z', '2026-04-03 00:00Z')", %owner);
$node->sql('ALTER TABLE o365_msgtrace.run_record ALTER started_at SET DEFAULT clock_timestamp()');
cmp_ok($node->sql('SELECT count(*) FROM o365_msgtrace.run_record') - $runs_before, '>', 3, 'a long backfill is several runs');
is(coverage("covered @> tstzrange('2026-04-01 00:00Z', '2026-04-03 00:00Z')"), 't', 'until all is read');

# ---- to read again -------------------------------------------------------------------------------------

$node->sql("DELETE FROM archive.contoso WHERE received >= '2026-05-16 03:00Z' AND received < '2026-05-16 04:00Z'", %owner);
is(
	$node->sql("SELECT o365_msgtrace.reset_coverage('contoso', '[2026-05-16 03:00Z, 2026-05-16 04:00Z)') = '{[2026-05-16 03:00Z, 2026-05-16 04:00Z)}'", %owner),
	't', 'what is to be read again is returned');
is(coverage("missing = '{[2026-05-16 03:00Z, 2026-05-16 04:00Z)}' AND NOT settled @> '2026-05-16 03:30Z'::timestamptz"), 't', 'that is missing now');
$node->sql($run, %owner);
is(coverage('isempty(missing)'), 't', 'the next run reads it');
ledger_is_true('and all is there again');
is($node->sql_error("SELECT o365_msgtrace.reset_coverage('contoso')")->{sqlstate}, '42501', 'only the owner may');
$node->sql("SELECT o365_msgtrace.reset_coverage('contoso')", %owner);
is(coverage('isempty(covered) AND isempty(settled) AND missing = wanted'), 't', 'without a range it is all');
$service->set_clock(now => '2026-05-22T12:00:00Z');
$node->sql($run, %owner);
$service->set_clock(now => '2026-08-18T12:00:00Z');
$node->sql($run, %owner);
my $lost = coverage('expired');
like($node->messages("SELECT o365_msgtrace.reset_coverage('contoso')", %owner), qr/was reset as far as it can be read again/, 'what is no longer held');
is(coverage('expired'), $lost, 'counts as read for ever');

# ---- back-off --------------------------------------------------------------------------------------------

my $scheduled = "CALL o365_msgtrace.run('contoso', scheduled => true)";

# As if all runs so far had been so much earlier.
sub minutes_pass
{
	my ($minutes) = @_;
	$node->sql("UPDATE o365_msgtrace.run_record SET started_at = started_at - interval '$minutes minutes'");
	return;
}

alter("poll_interval => 15, log_level => 'info'");
$node->sql($run, %owner);
is(last_run('state'), 'succeeded', 'all is well');
$service->fault({ on => 'list', fault => 'status', status => 403, count => 10000 });
$node->sql_error($scheduled, %owner);
minutes_pass(15);
$node->sql_error($scheduled, %owner);
is(last_run('state'), 'failed', 'after one failure the next run is on time');
minutes_pass(15);
like($node->messages($scheduled, %owner), qr/was skipped: it has failed 2 times in a row/, 'after two one run is left out');
like(last_run("state || ' ' || message"), qr/^skipped it has failed 2 times in a row, and is tried again after [-\d]+ [\d:]+ UTC$/, 'which its record says');
is(said("string_agg(level || ' ' || message, ',')", 'true'), 'info skipped: ' . last_run('message'), 'and run_message, too');
minutes_pass(14.8);
$node->sql_error($scheduled, %owner);
is(last_run('state'), 'failed', 'but not the one after that, though it be early by seconds');
minutes_pass(45);
$node->sql($scheduled, %owner);
is(last_run('state'), 'skipped', 'after three failures it takes four intervals');
my $by_hand = $node->sql_error($run, %owner);
like($by_hand->{message}, qr/./, 'a run by hand takes place at once');
is(last_run('state'), 'failed', 'and fails for itself');
minutes_pass(60);
$node->sql_error($scheduled, %owner);
is(last_run('state'), 'failed', 'it never takes longer than an hour');
$service->clear_faults;
$node->sql($scheduled, %owner);
is(last_run('state'), 'skipped', 'what a scheduled run does not find out');
$node->sql($run, %owner);
is(last_run('state'), 'succeeded', 'a run by hand does');
$node->sql($scheduled, %owner);
is(last_run('state'), 'succeeded', 'and ends the back-off');

# One window that cannot be read keeps nothing else from being read in time.
$node->sql("ALTER SERVER tenant OPTIONS (ADD max_retries '0')");
for my $time (1 .. 3)
{
	$node->sql("UPDATE o365_msgtrace.ledger SET covered = covered - '{[2026-08-18 01:00Z, 2026-08-18 02:00Z)}'::tstzmultirange");
	$service->fault({ on => 'list', fault => 'cut', after => 100, count => 1 });
	$node->sql_error($scheduled, %owner);
	is(last_run('state, windows > 0'), 'failed|t', "a run that reads something is no reason to back off, $time");
	$service->clear_faults;
}
is(
	$node->sql(
		"SELECT string_agg(date_part('epoch', o365_msgtrace._back_off(f, p))::text, ' ' ORDER BY p, f)"
		  . ' FROM unnest(ARRAY[1, 30, 60]) p, unnest(ARRAY[0, 1, 2, 3, 8, 100000]) f'),
	'0 0 90 210 3570 3570 0 0 3570 3570 3570 3570 0 0 3570 3570 3570 3570',
	'the length of a back-off');

done_testing();
