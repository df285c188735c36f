# tests/t/076_health.t
#
# health(): each thing that can be wrong with an input is made to happen, is said,
# and is said no more when it is mended. And the gaps of the ledger, one by one.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

my $service = MsgTrace::Service->start(
	now => '2026-05-20T12:00:00Z',
	rows_per_day => 2000,
	quota => 0);
my $node = MsgTrace::Cluster->start(preload => 'pg_cron, o365_msgtrace');
plan skip_all => 'pg_cron is not installed' if !$node->cron_available;

$node->create_server($service);
$node->sql(<<"SQL");
CREATE EXTENSION pg_cron;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_other LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail TO regress_owner, regress_other;
GRANT USAGE ON SCHEMA cron TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
SELECT o365_msgtrace.create_secret_key();
SELECT o365_msgtrace.create_secret('app', '$service->{client_secret}', hosts => ARRAY['localhost']);
SELECT o365_msgtrace.grant_secret('app', 'regress_owner');
CREATE USER MAPPING FOR regress_owner SERVER tenant OPTIONS (auth 'oauth_secret', client_id '$service->{client_id}', secret_name 'app');
SQL
my %owner = (user => 'regress_owner');

# Its minute is half an hour away: the job that it gets does not fire meanwhile.
my $input = $node->sql(<<'SQL');
SELECT name FROM (SELECT 'input ' || n AS name FROM generate_series(1, 2000) n) c
 WHERE o365_msgtrace._tick(o365_msgtrace._cron_schedule(name, 60), now(), 1) BETWEEN now() + interval '27 min' AND now() + interval '33 min'
 LIMIT 1
SQL
my $run = "CALL o365_msgtrace.run('$input')";

sub is_health
{
	my ($status, $message, $name, %how) = @_;
	my ($is_status, $is_message) = split /\|/, $node->sql("SELECT status, message FROM o365_msgtrace.health('$input')", %owner, %how), 2;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($is_status eq $status && $is_message =~ $message, $name) or diag("$is_status: $is_message");
	return $is_message;
}

sub is_well
{
	my ($name, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_health('ok', qr/^all that was received up to 2026-05-20 11:59:\d\d UTC has been read$/, $name, %how);
	return;
}

sub alter
{
	my ($settings) = @_;
	$node->sql("SELECT o365_msgtrace.alter_input('$input', $settings)", %owner);
	return;
}

sub ledger
{
	my ($changes) = @_;
	$node->sql("UPDATE o365_msgtrace.ledger SET $changes", %owner);
	return;
}

sub hours_pass
{
	my ($hours) = @_;
	$node->sql("UPDATE o365_msgtrace.run_record SET started_at = started_at - interval '$hours hours', finished_at = finished_at - interval '$hours hours'");
	return;
}

# ---- does it run? ------------------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.create_input('$input', 'mail.message_trace', 'archive.contoso', poll_interval => 60)", %owner);
is_health('warning', qr/^it is not scheduled, and nothing has ever run it: SELECT o365_msgtrace\.schedule\('$input'\), or/, 'an input that was just made');
# The first run learns the service's clock.
$node->sql($run, %owner);
$node->sql("CALL o365_msgtrace.backfill('$input', '2026-05-17')", %owner);
is_well('one that has been run');
hours_pass(5);
is_health('warning', qr/^it is not scheduled, and nothing has run it for 5 hours: /, 'but by nobody since');
$node->sql("SELECT cron.schedule('due', '0 0 1 1 *', 'CALL o365_msgtrace.run_due()')", %owner);
is_well('run_due() will');
$node->sql("SELECT cron.unschedule('due')", %owner);
$node->sql("SELECT o365_msgtrace.schedule('$input')", %owner);
is_well('or a job of its own');
my $job = $node->sql('SELECT jobid FROM cron.job');
$node->sql("SELECT cron.alter_job($job, active => false)");
is_health('warning', qr/^its job in pg_cron is not active: SELECT cron\.alter_job\($job, active => true\)$/, 'an inactive one will not');
$node->sql("SELECT cron.alter_job($job, active => true)");
$node->sql($run, %owner);
is_well('all is well');

alter('enabled => false');
my $message = is_health('warning', qr/^it is disabled: /, 'a disabled input');
alter("enabled => true, environment => 'production'");
is_health('ok', qr/^it is for environment "production", and this is none/, 'one that is meant for another environment is well');
alter("environment => ''");

# ---- how far has it read? ----------------------------------------------------------------------

my $all = $node->sql('SELECT covered FROM o365_msgtrace.ledger');
my $fill = sub { ledger("wanted = '$all', covered = '$all'"); return };

ledger("covered = covered * '{(,2026-05-20 08:00Z)}', wanted = wanted * '{(,2026-05-20 08:00Z)}'");
is_health('warning', qr/^it has read nothing that was received since 2026-05-20 08:00:00 UTC, 4 hours ago: its runs do not come so far, see/, 'what three polls should have read');
hours_pass(4);
is_health('warning', qr/UTC, 4 hours ago: nothing has run it since \S+ \S+ UTC, see o365_msgtrace\.job/, 'and why it has not been');
ledger("covered = covered * '{(,2026-05-19 08:00Z)}', wanted = wanted * '{(,2026-05-19 08:00Z)}'");
is_health('critical', qr/since 2026-05-19 08:00:00 UTC, 28 hours ago: /, 'what twelve should have');
alter("date_range_start => '-2d', date_range_end => '-1d'");
is_health('warning', qr/since 2026-05-19 08:00:00 UTC, 28 hours ago: /, 'it depends on where the polls end');
alter("date_range_start => '-1h', date_range_end => 'now'");
ledger("covered = '{}', wanted = '{}'");
$node->sql("UPDATE o365_msgtrace.input SET created_at = now() - interval '4 hours'");
is_health('warning', qr/^it has read nothing yet: nothing has run it since/, 'nothing at all');
$fill->();
$node->sql($run, %owner);
is_well('a run mends it');

sub gaps
{
	return $node->sql("SELECT string_agg(concat_ws(' ', gap, days_left), ', ' ORDER BY gap) FROM o365_msgtrace.coverage_gap WHERE input_id = '$input'", %owner);
}
is(gaps(), '', 'no gaps');
ledger("covered = covered - '{[2026-05-18 10:00Z, 2026-05-18 11:00Z)}' - '{[2026-05-19 10:00Z, 2026-05-19 11:00Z)}'");
is(
	gaps(),
	'["2026-05-18 10:00:00+00","2026-05-18 11:00:00+00") 88.5, ["2026-05-19 10:00:00+00","2026-05-19 11:00:00+00") 89.5',
	'each gap has its days: the service lets go of whole days');
is_health(
	'warning', qr/^mail received from 2026-05-18 10:00:00 to 2026-05-19 11:00:00 UTC \(2 gaps\) was not read yet, the oldest can be had for 88 days more: .* CALL o365_msgtrace\.run\('$input'\)/,
	'gaps that can be filled for long');
alter("retention => '3 days'");
is(gaps(), '["2026-05-18 10:00:00+00","2026-05-18 11:00:00+00") 0.9, ["2026-05-19 10:00:00+00","2026-05-19 11:00:00+00") 1.9', 'or until retention would drop it');
is_health('critical', qr/can be had for 2[12] hours more/, 'gaps that cannot');
alter("retention => '0'");
$node->sql($run, %owner);
is(gaps(), '', 'a run fills them');
is_well('and all is well');
ledger("wanted = wanted + '{[2026-02-18, 2026-02-21 12:00Z)}', covered = covered + '{[2026-02-18, 2026-02-21 06:00Z)}'");
is(gaps(), '["2026-02-21 06:00:00+00","2026-02-21 12:00:00+00") 2.5', 'a gap that the service will let go of');
is_health('critical', qr/can be had for 59 hours more|can be had for 2 days more/, 'is critical in time');
ledger("covered = covered - '{[2026-02-18 10:00Z, 2026-02-18 11:00Z)}' + '{[2026-02-21 06:00Z, 2026-02-21 12:00Z)}'");
is_health('critical', qr/^mail received from 2026-02-18 10:00:00 to 2026-02-18 11:00:00 UTC was never read, and the service no longer holds it/, 'what was lost is said');
is(gaps(), '', 'and is no gap to be filled');
alter("retention => '80 days'");
is_well('unless nobody would keep it');
alter("retention => '0'");
ledger("wanted = wanted + '{[2026-02-10, 2026-02-11)}', covered = covered + '{[2026-02-18, 2026-02-19)}'");
is_well('for a week');
$fill->();

ledger("flagged = '{[2026-05-18 10:00Z, 2026-05-18 11:00Z)}'");
$message = is_health('warning', qr/^the service no longer shows some rows that the target has, received from 2026-05-18 10:00:00 to 2026-05-18 11:00:00 UTC/, 'rows that the service lacks');
my ($statement) = $message =~ /(SELECT .*\))/;
$node->sql("$statement; $run", %owner);
is_well('the statement in the message has them read again');
ledger("flagged = '{[2026-02-10, 2026-02-11)}'");
is_well('as long as that can be done');
ledger("flagged = '{}'");

# ---- how do its runs go? --------------------------------------------------------------------------

$service->fault({ on => 'list', fault => 'status', status => 403, count => 1000 });
$node->sql_error($run, %owner);
is_well('one failure is none');
$node->sql_error($run, %owner);
is_health('warning', qr/^2 runs in a row have failed, the last one with: .*; /, 'two are one; what it was is said, and what to do');
$node->sql_error($run, %owner) for 1 .. 3;
is_health('critical', qr/^5 runs in a row have failed/, 'five are critical');
ledger("covered = covered * '{(,2026-05-20 08:00Z)}', wanted = wanted * '{(,2026-05-20 08:00Z)}'");
is_health('critical', qr/^5 runs in a row have failed/, 'and worse than what comes of it');
$service->clear_faults;
$node->sql($run, %owner);
is_well('until one succeeds');

{
	my $number = $node->sql('SELECT input_number FROM o365_msgtrace.input');
	my $session = $node->session;
	$session->sql("SELECT pg_advisory_lock(o365_msgtrace._lock_class(), $number)");
	$node->sql(<<"SQL");
INSERT INTO o365_msgtrace.run_record (input_number, state, pid, started_at, last_window_at, windows)
VALUES ($number, 'running', $session->{pid}, now() - interval '1 hour', now() - interval '20 min', 1)
SQL
	is_well('a run that has committed something lately is at work');
	$node->sql('UPDATE o365_msgtrace.input SET poll_interval = 5');
	is_health('warning', qr/^its run \d+ has committed nothing for 20 minutes.*: SELECT pg_terminate_backend\($session->{pid}\)/, 'for its interval: a run at a standstill');
	$node->sql("UPDATE o365_msgtrace.run_record SET last_window_at = NULL, started_at = now() - interval '4 hours' WHERE state = 'running'");
	is_health('critical', qr/^its run \d+ has committed nothing for 4 hours/, 'for hours');
	$session->quit;
	$node->sql('UPDATE o365_msgtrace.input SET poll_interval = 60');
	$node->wait_until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $session->{pid})");
	is_well('when its backend is gone it is one failure');
	$node->sql($run, %owner);
}

$node->sql("ALTER SERVER tenant OPTIONS (ADD on_bad_row 'reject')");
$service->fault({ on => 'list', fault => 'bad_row', kind => 'garbage_time', count => 1 });
$node->sql($run, %owner);
is_health('warning', qr/^a record could not be read in the last 24 hours, the latest because of: \S.*; see o365_msgtrace\.rejected_record/, 'records that were set aside');
$node->sql("UPDATE o365_msgtrace.rejected_record SET at = at - interval '25 hours'");
is_well('lately');

# ---- what it needs ------------------------------------------------------------------------------------

sub expires
{
	my ($when) = @_;
	$node->sql("SELECT o365_msgtrace.alter_secret('app', expires_at => now() + interval '$when')");
	return;
}
expires('31 days');
is_well('a secret that ends in a month');
expires('29 days 1 hour');
is_health('warning', qr/^the stored secret that it signs in with ends in 29 days, at 20\d\d-\S+ \S+ UTC: put a new one into its place/, 'in less');
expires('6 days 1 hour');
is_health('critical', qr/ends in 6 days/, 'in a week');
is_health('critical', qr/ends in 6 days/, 'a superuser is told of it', user => 'postgres');
expires('-1 hour');
is_health('critical', qr/^it cannot sign in: stored secret "app" expired at .*; Store its new value/, 'a secret that has ended');
$node->sql("SELECT o365_msgtrace.alter_secret('app', expires_at => 'infinity')");
is_well('that never ends');
$node->sql("SELECT o365_msgtrace.revoke_secret('app', 'regress_owner')");
is_health('critical', qr/^it cannot sign in: permission denied/, 'a secret that was taken back');
is_health('critical', qr/^it cannot sign in: permission denied/, 'which is asked for the owner', user => 'postgres');
$node->sql("SELECT o365_msgtrace.grant_secret('app', 'regress_owner')");
is($node->sql_error("SELECT o365_msgtrace._credentials_end('mail.message_trace', 'regress_owner')", user => 'regress_other')->{sqlstate}, '42501', 'nobody else may ask');
is($node->sql_error("SELECT o365_msgtrace._credentials_end('archive.contoso', 'regress_owner')", %owner)->{sqlstate} ne '', 1, 'nor of a table that is none of ours');

my $keys = folder();
for my $days (5, 20, 100)
{
	system("openssl req -x509 -newkey rsa:2048 -nodes -days $days -subj /CN=c$days -keyout $keys/c$days.key -out $keys/c$days.pem 2>/dev/null") == 0 or die "openssl\n";
	chmod 0644, "$keys/c$days.pem", "$keys/c$days.key";
	$node->sql("ALTER USER MAPPING FOR regress_owner SERVER tenant OPTIONS ("
		  . ($days == 5 ? "SET auth 'oauth_certificate', DROP secret_name, ADD certificate_file '$keys/c5.pem', ADD private_key_file '$keys/c5.key'"
			: "SET certificate_file '$keys/c$days.pem', SET private_key_file '$keys/c$days.key'") . ')');
	is_health('critical', qr/^the certificate that it signs in with ends in 4 days/, 'a certificate that ends soon') if $days == 5;
	is_health('warning', qr/^the certificate that it signs in with ends in 19 days/, 'not so soon') if $days == 20;
	is_well('late') if $days == 100;
}
unlink "$keys/c100.pem";
is_health('critical', qr/^it cannot sign in: /, 'a certificate that is gone');
$node->sql('DROP USER MAPPING FOR regress_owner SERVER tenant');
is_well('the mapping for PUBLIC will do');
$node->sql('DROP USER MAPPING FOR PUBLIC SERVER tenant');
is_health('critical', qr/^it cannot sign in: user mapping not found/, 'no mapping will not');
$node->sql("CREATE USER MAPPING FOR PUBLIC SERVER tenant OPTIONS (client_id '$service->{client_id}', client_secret '$service->{client_secret}')");

$node->sql('ALTER TABLE archive.contoso RENAME TO elsewhere', %owner);
is_health('critical', qr/^it cannot run: target table archive\.contoso does not exist; /, 'a target that is gone');
$node->sql(<<'SQL', %owner);
CREATE FUNCTION archive.trap() RETURNS SETOF archive.elsewhere LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE VIEW archive.contoso AS SELECT * FROM archive.trap();
SQL
is_health('critical', qr/^it cannot run: /, 'a view in its place');
is_well('is not looked into by a superuser', user => 'postgres');
$node->sql('DROP VIEW archive.contoso; ALTER TABLE archive.elsewhere RENAME TO contoso', %owner);
$node->sql('REVOKE SELECT ON mail.message_trace FROM regress_owner');
is_health('critical', qr/^it cannot run: permission denied for foreign table mail\.message_trace; GRANT SELECT ON/, 'a source that it may not read');
$node->sql('GRANT SELECT ON mail.message_trace TO regress_owner');

# As after a restore of all but the target's data.
$node->sql('CREATE TABLE archive.saved AS TABLE archive.contoso; TRUNCATE archive.contoso', %owner);
$message = is_health('critical', qr/^its target archive\.contoso has no row of all that the ledger has as read, as after a restore without its data: /, 'a ledger without its rows');
$node->sql("INSERT INTO archive.contoso SELECT * FROM archive.saved WHERE received < '2026-05-17 12:00Z' LIMIT 1", %owner);
is_well('a row is enough to know that it was not lost');
$node->sql("UPDATE archive.contoso SET tenant = 'another'", %owner);
is_health('critical', qr/has no row of all/, "but not another tenant's");
($statement) = $message =~ /(SELECT .*?\))/;
$node->sql("TRUNCATE archive.contoso; $statement; $run", %owner);
is_well('the statement in the message has it read again');
$node->same_rows(
	'which brings all of it back',
	'SELECT message_trace_id, recipient_address, received FROM archive.contoso',
	"SELECT message_trace_id, recipient_address, received FROM mail.message_trace WHERE received >= '2026-05-17' AND received < '2026-05-20 11:59:59Z'");

# ---- all together ---------------------------------------------------------------------------------------

$node->sql('REVOKE ALL ON o365_msgtrace.rejected_record FROM PUBLIC');
is_health('warning', qr/^its rejected could not be looked at: permission denied/, 'what cannot be looked at hides nothing else');
ledger("covered = covered - '{[2026-05-18 10:00Z, 2026-05-18 11:00Z)}'");
is_health('warning', qr/^mail received from 2026-05-18/, 'the first of two that are as bad');
alter("enabled => false, retention => '3 days'");
is_health('critical', qr/^mail received from 2026-05-18/, 'or the worst of several');
alter("enabled => true, retention => '0'");
$node->sql('GRANT ALL ON o365_msgtrace.rejected_record TO PUBLIC');
$service->clear_requests;
$node->sql("SELECT * FROM o365_msgtrace.health()", %owner);
is(scalar($service->requests), 0, 'nothing of it asks the service');
is($node->sql("BEGIN READ ONLY; SELECT count(*) FROM o365_msgtrace.health() WHERE status <> 'ok'", %owner), '1', 'or writes: a query for an alert');
is($node->sql('SELECT count(*) FROM o365_msgtrace.health()', user => 'regress_other'), '0', 'others see nothing');
is($node->sql_error("SELECT * FROM o365_msgtrace.health('$input')", user => 'regress_other')->{sqlstate}, '42704', 'and can ask for nothing');
is($node->sql('SELECT count(*) FROM o365_msgtrace.coverage_gap', user => 'regress_other'), '0', 'of gaps, either');
$node->sql("SELECT o365_msgtrace.create_input('a second', 'mail.message_trace', 'archive.contoso', poll_interval => 60); CALL o365_msgtrace.run('a second')", %owner);
alter("retention => '3 days'");
is($node->sql("SELECT string_agg(input_id || ' ' || status, ', ') FROM o365_msgtrace.health()"), "$input critical, a second ok", 'a superuser sees all, the worst first');

{
	my $standby = $node->standby;
	$standby->catch_up($node);
	is($standby->sql("SELECT string_agg(input_id || ' ' || status, ', ') FROM o365_msgtrace.health()", %owner), "$input critical, a second ok", 'so does a standby');
	$standby->stop('immediate');
}

done_testing();
