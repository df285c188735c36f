# tests/t/070_ingest.t
#
# The ingest against the simulated service, whose clock the test moves: what is
# in the target, what the ledger says of it, and what a run costs. The owner is
# an ordinary role.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

my $service = MsgTrace::Service->start(
	now => '2026-05-10T12:00:00Z',
	rows_per_day => 20000,
	quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_other LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail TO regress_owner, regress_other;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA truth;
SQL

my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';
my %owner = (user => 'regress_owner');
my $run = "CALL o365_msgtrace.run('contoso')";

# The value of an expression over the input's row of the view.
sub coverage
{
	my ($expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.coverage WHERE input_id = 'contoso'", %owner);
}

sub last_run
{
	my ($expression) = @_;
	return $node->sql(
		"SELECT $expression FROM o365_msgtrace.run_log WHERE input_id = 'contoso' ORDER BY run_id DESC LIMIT 1",
		%owner);
}

# What the target has of [from, to) is what the service shows now.
sub holds_truth
{
	my ($name, $from, $to) = @_;
	$node->load_truth($service, 'truth.rows', $from, $to);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->same_rows(
		$name,
		"SELECT $columns FROM archive.contoso WHERE received >= '$from' AND received < '$to'",
		"SELECT $columns FROM truth.rows");
	return $node->sql('SELECT count(*) FROM truth.rows');
}

# Where each row lies and who wrote it: changes when a row is written.
sub versions
{
	return $node->sql("SELECT md5(string_agg(ctid::text || xmin::text, ' ' ORDER BY ctid)) FROM archive.contoso");
}

# ---- the first run ------------------------------------------------------------------

like(
	$node->messages("SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso')", %owner),
	qr/created table archive\.contoso/,
	'the target is created');
is($node->sql("SELECT tableowner FROM pg_tables WHERE tablename = 'contoso'"), 'regress_owner', 'it belongs to the caller');

like($node->messages($run, %owner), qr/input "contoso": read \d+ rows in \d+ windows/, 'a run says what it did');
my $rows = holds_truth('the poll window is there', '2026-05-10T11:00:00Z', '2026-05-10T11:59:59Z');
cmp_ok($rows, '>', 100, 'and it is not empty');
is(last_run('state, rows_in, rows_new, rows_changed, sqlstate'), "succeeded|$rows|$rows|0|", 'the run log has its counts');
is(
	coverage("wanted = covered AND covered = tstzmultirange(tstzrange('2026-05-10 11:00Z', '2026-05-10 11:59:59Z'))"),
	't',
	'exactly that is covered');
is(coverage('isempty(settled) AND isempty(missing) AND missing_expires_in IS NULL'), 't', 'nothing is settled yet, or missing');
is(
	$node->sql('SELECT DISTINCT tenant, input_id, source, ingested_at = updated_at FROM archive.contoso'),
	'tenant|contoso|mail.message_trace|t',
	'rows say where they are from');

my $before = versions();
$service->clear_requests;
$node->sql($run, %owner);
is(versions(), $before, 'a run with nothing new writes no row');
is(last_run('rows_new + rows_changed'), '0', 'and says so');
is(scalar $service->list_requests, last_run('requests'), 'the log has its requests');

# ---- missed ticks, late rows, changed statuses ----------------------------------------

$service->set_clock(advance => 5 * 3600);
$node->sql($run, %owner);
is(coverage("wanted = tstzmultirange(tstzrange('2026-05-10 11:00Z', '2026-05-10 16:59:59Z'))"), 't', 'hours without a run are wanted');
is(coverage('isempty(missing) AND covered = wanted'), 't', 'and were read');
holds_truth('the poll window is exact', '2026-05-10T16:00:00Z', '2026-05-10T16:59:59Z');

$service->set_clock(advance => 26 * 3600);
$node->sql($run, %owner);
is(
	coverage("settled @> tstzrange('2026-05-10 11:00Z', '2026-05-10 18:59:50Z') AND upper(settled) <= '2026-05-10 19:00Z'"),
	't',
	'what is older than 24 hours was read again and is settled');
my $late = last_run('rows_new > 0 AND rows_changed > 0');
is($late, 't', 'late rows and changes came with that');
holds_truth('settled means settled', '2026-05-10T11:00:00Z', '2026-05-10T18:59:50Z');
is(
	$node->sql('SELECT bool_and(run_id > 1) FROM archive.contoso WHERE updated_at > ingested_at'),
	't', 'a changed row names the run that changed it');

$service->clear_requests;
$node->sql($run, %owner);
is(scalar(grep { $_->{query} =~ /2026-05-10/ } $service->list_requests), 0, 'what is settled is not read again');

# ---- gaps ---------------------------------------------------------------------------------

$node->sql("UPDATE o365_msgtrace.ledger SET wanted = wanted + tstzmultirange(tstzrange('2026-01-01', '2026-05-10 11:00Z'))");
is(coverage("lower(missing) = '2026-02-10'"), 't', 'what the service no longer holds is not missing');
is(coverage("lower(expired) = '2026-01-01' AND upper(expired) = '2026-02-10'"), 't', 'but lost');
cmp_ok(coverage("missing_expires_in BETWEEN '4 hours' AND '6 hours'"), 'eq', 't', 'the oldest of the rest has until midnight');
$node->sql("UPDATE o365_msgtrace.ledger SET wanted = wanted - tstzmultirange(tstzrange(NULL, '2026-05-03'))");
$node->sql($run, %owner);
is(coverage('isempty(missing)'), 't', 'a gap of a week is filled');
cmp_ok(last_run('windows'), '>', 2, 'in more than one transaction');
holds_truth('exactly', '2026-05-03T00:00:00Z', '2026-05-10T18:59:50Z');
is(coverage("settled @> tstzrange('2026-05-03', '2026-05-10 18:59:50Z')"), 't', 'old rows are settled by their first reading');

# ---- errors ---------------------------------------------------------------------------------

$service->set_clock(advance => 1800);
$before = coverage('covered');
$service->fault({ on => 'list', fault => 'status', status => 500, count => 50 });
$node->sql("ALTER SERVER tenant OPTIONS (ADD max_retries '0')");
my $error = $node->sql_error($run, %owner);
like($error->{sqlstate}, qr/^(?:HV|08)/, 'an error of the service is raised');
like($error->{detail}, qr/Run \d+ of input "contoso" failed/, 'it names the run');
is(last_run('state, sqlstate'), "failed|$error->{sqlstate}", 'it is in the run log');
is(last_run('message'), $error->{message}, 'with its message');
is(last_run('requests > 0 AND finished_at IS NOT NULL'), 't', 'with its requests');
is(coverage('covered'), $before, 'nothing is believed to be read');
is(
	$node->sql('SELECT last_result, consecutive_failures FROM o365_msgtrace.job', %owner),
	'failed|1', 'the view job shows it');
$service->clear_faults;
$node->sql($run, %owner);
is(last_run('state'), 'succeeded', 'the next run succeeds');
is(coverage('isempty(missing)'), 't', 'and leaves nothing out');
is($node->sql('SELECT last_result, consecutive_failures FROM o365_msgtrace.job', %owner), 'succeeded|0', 'failures count anew');

# One window fails; the others are read all the same.
$service->set_clock(advance => 1800);
$node->sql("UPDATE o365_msgtrace.ledger SET covered = covered - tstzmultirange(tstzrange('2026-05-04', '2026-05-04 02:00Z'))");
$service->fault({ on => 'list', fault => 'cut', after => 100, count => 1 });
$error = $node->sql_error($run, %owner);
ok($error, 'a window that fails makes the run fail');
cmp_ok(last_run('windows'), '>=', 1, 'but it goes on to other windows');
is(coverage("covered @> tstzrange('2026-05-04', '2026-05-04 02:00Z')"), 't', 'and keeps what it has read');
$node->sql($run, %owner);
is(coverage('isempty(missing)'), 't', 'the rest comes with the next');

# ---- rows that the service no longer sends ------------------------------------------------------

my $id = '99999999-9999-4999-8999-999999999999';
my ($day) = $service->now =~ /^(\S+)T/;
$service->set_clock(now => '2026-05-14T12:00:00Z');
$service->add_rows(
	{
		id => $id, messageId => '<gone@contoso.com>', receivedDateTime => '2026-05-14T11:30:00Z',
		senderAddress => 'a@contoso.com', recipientAddress => 'b@contoso.com', subject => 'gone',
		status => 'delivered', size => 1, fromIP => '', toIP => ''
	});
$node->sql($run, %owner);
my $gone = "SELECT count(*) FROM archive.contoso WHERE message_trace_id = '$id'";
my $gone_at = "'2026-05-14 11:30Z'::timestamptz";
is($node->sql($gone), '1', 'a row is read');
$service->clear_rows;
$service->set_clock(now => '2026-05-15T13:00:00Z');
$node->sql($run, %owner);
is(coverage("settled @> $gone_at"), 'f', 'a part of time that has lost rows is not settled');
$node->sql($run, %owner);
is(coverage("settled @> $gone_at OR flagged @> $gone_at"), 'f', 'not at the second reading');
$node->sql($run, %owner);
is(coverage("settled @> $gone_at AND flagged @> $gone_at"), 't', 'at the third it is, and flagged');
is($node->sql($gone), '1', 'the row is kept');
$service->clear_requests;
$node->sql($run, %owner);
is(
	scalar(grep { $_->{query} =~ /2026-05-14T11/ } $service->list_requests),
	0, 'and is not asked for again');

# ---- rights ----------------------------------------------------------------------------------------

$error = $node->sql_error($run);
is($error->{sqlstate}, '42501', 'a superuser may not run the input of another role');
like($error->{message}, qr/belongs to role "regress_owner"/, 'and learns whose it is');
$error = $node->sql_error($run, user => 'regress_other');
is($error->{sqlstate}, '42704', 'to another role it does not exist');
for my $table (qw(input ledger run_record run_log coverage job))
{
	is($node->sql("SELECT count(*) FROM o365_msgtrace.$table", user => 'regress_other'), '0', "others see nothing in $table");
}
is(
	$node->sql('WITH d AS (DELETE FROM o365_msgtrace.input RETURNING 1) SELECT count(*) FROM d', user => 'regress_other'),
	'0', 'nor can they delete any');

$error = $node->sql_error("BEGIN; $run", %owner);
is($error->{sqlstate}, '25001', 'a run needs to commit');
like($error->{message}, qr/cannot run inside a transaction block/, 'and says so');

# What a run sets for its transactions ends with them, whatever the session has.
{
	my $session = $node->session(%owner);
	$session->sql("SET search_path = archive, public; SET timezone = 'Asia/Kathmandu';"
		  . " SET default_transaction_isolation = 'serializable'; SET o365_msgtrace.max_requests_per_query = 7");
	$session->sql($run);
	is(
		$session->sql("SELECT current_setting('search_path'), current_setting('o365_msgtrace.max_requests_per_query')"),
		'archive, public|7', 'the session keeps its settings');
	is(last_run('state'), 'succeeded', 'none of which disturbs a run');
}

# ---- several inputs -----------------------------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.create_input('second', 'mail.message_trace', 'archive.contoso')", %owner);
$node->sql("CALL o365_msgtrace.run('second')", %owner);
is($node->sql("SELECT count(*) FROM archive.contoso WHERE input_id = 'second'"), '0', 'two inputs may share a target: what is there stays');

$node->sql(<<'SQL', %owner);
CREATE TABLE archive.parts (LIKE archive.contoso INCLUDING DEFAULTS, own text DEFAULT 'mine',
    PRIMARY KEY (tenant, received, message_trace_id, recipient_address)) PARTITION BY RANGE (received);
CREATE TABLE archive.parts_1 PARTITION OF archive.parts FOR VALUES FROM ('2026-05-15 00:00Z') TO ('2026-05-15 12:30Z');
CREATE TABLE archive.parts_2 PARTITION OF archive.parts FOR VALUES FROM ('2026-05-15 12:30Z') TO ('2026-05-16 00:00Z');
SELECT o365_msgtrace.create_input('parts', 'mail.message_trace', 'archive.parts');
CALL o365_msgtrace.run('parts');
SQL
$node->load_truth($service, 'truth.rows', '2026-05-15T12:00:00Z', '2026-05-15T12:59:59Z');
$node->same_rows('a partitioned table with a column more holds the same', "SELECT $columns FROM archive.parts", "SELECT $columns FROM truth.rows");
is(
	$node->sql("SELECT rows_new = rows_in AND rows_changed = 0 FROM o365_msgtrace.run_log WHERE input_id = 'parts'"),
	't', 'new rows count as new there');

# ---- spellings ------------------------------------------------------------------------------------------

# As sent, the service spells one recipient in two ways; it stays one delivery.
$node->create_server($service, name => 'as_sent', schema => 'as_sent', normalize => 'false');
$node->sql('GRANT USAGE ON SCHEMA as_sent TO regress_owner; GRANT SELECT ON as_sent.message_trace TO regress_owner');
$service->add_rows(
	map {
		{
			id => $id, messageId => '<twice@contoso.com>', receivedDateTime => '2026-05-15T12:30:00Z',
			senderAddress => 'Ada@contoso.com', recipientAddress => $_, subject => 'twice',
			status => 'delivered', size => 1, fromIP => '', toIP => ''
		}
	} 'Bob@contoso.com', 'bob@Contoso.com');
for my $name (qw(first again))
{
	$node->sql("SELECT o365_msgtrace.create_input('as sent', 'as_sent.message_trace', 'archive.as_sent')", %owner)
	  if $name eq 'first';
	$node->sql("CALL o365_msgtrace.run('as sent')", %owner);
	is(
		$node->sql("SELECT tenant, sender_address, recipient_address FROM archive.as_sent WHERE message_trace_id = '$id'"),
		'as_sent|Ada@contoso.com|bob@contoso.com', "two spellings of a recipient are one row, $name");
}
is($node->sql("SELECT rows_new + rows_changed FROM o365_msgtrace.run_log WHERE input_id = 'as sent' ORDER BY run_id DESC LIMIT 1"), '0', 'and no change');

# ---- the end --------------------------------------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.drop_input('contoso')", %owner);
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_log WHERE input_id = 'contoso'"), '0', 'an input goes with its log');
cmp_ok($node->sql('SELECT count(*) FROM archive.contoso'), '>', 0, 'its target stays');

done_testing();
