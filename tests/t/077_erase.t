# tests/t/077_erase.t
#
# A person is erased: the rows go from the target, everything else stays, and no
# run brings them back, however it comes by them and whatever it is doing when
# the erasure begins. The truth to compare with is the service's, less that
# person's rows.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(now => '2026-05-13T12:00:00Z', rows_per_day => 10000, quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service);
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_other LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail TO regress_owner, regress_other;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_owner, regress_other;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA archive TO regress_other;
CREATE SCHEMA truth;
SQL
# One message to Ada and somebody else.
my %row = (
	id => '88888888-8888-4888-8888-888888888888', messageId => '<both@contoso.com>', receivedDateTime => '2026-05-13T11:00:00Z',
	senderAddress => 'a@contoso.com', subject => 'both', status => 'delivered', size => 1, fromIP => '', toIP => '');
$service->add_rows(map { { %row, recipientAddress => $_ } } 'Ada.Lovelace@contoso.com', 'b@contoso.com');
my %owner = (user => 'regress_owner');
my $columns = 'message_trace_id, message_id, received, sender_address, recipient_address, subject,'
  . ' status, size, from_ip, to_ip';
my $run = "CALL o365_msgtrace.run('contoso')";
my ($ada, $grace, $juergen, $miles) = map { "$_\@contoso.com" } 'ada.lovelace', 'grace.hopper+lists', 'jürgen.müller', "miles.o''brien";
my $outsider = 'ada.lovelace@fabrikam.com';
my @erased;

# What an address is in the truth, which has the normal form.
sub is_of { my ($address) = @_; return "(sender_address IS NOT DISTINCT FROM '$address' OR recipient_address = '$address')" }

sub erase
{
	my ($address, $options) = @_;
	return "SELECT string_agg(concat_ws(' ', rows, kind, table_name), ', ' ORDER BY table_name) FROM o365_msgtrace.erase('$address'"
	  . ($options // '') . ') WHERE rows > 0';
}

# What the target has of [from, to) is what the service shows now, less those who were erased.
sub holds_the_others
{
	my ($name, $from, $to, $target) = @_;
	$target //= 'archive.contoso';
	$node->load_truth($service, 'truth.rows', $from, $to);
	my $range = "received >= '$from' AND received < '$to'";
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->same_rows($name, "SELECT $columns FROM $target WHERE $range",
		"SELECT $columns FROM truth.rows WHERE NOT (" . join(' OR ', 'false', map { is_of($_) } @erased) . ')');
	return;
}

sub of_person
{
	my ($table, $address) = @_;
	return $node->sql("SELECT count(*) FROM $table WHERE " . is_of($address));
}

sub coverage
{
	my ($expression) = @_;
	return $node->sql("SELECT $expression FROM o365_msgtrace.coverage WHERE input_id = 'contoso'", %owner);
}

# ---- the erasure itself --------------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.create_input('contoso', 'mail.message_trace', 'archive.contoso', date_range_start => '-12h')", %owner);
my $statement = "SELECT o365_msgtrace._upsert_statement(i, false) ~ 'erased' FROM o365_msgtrace.input i WHERE input_id = 'contoso'";
is($node->sql($statement), 'f', 'where nothing was erased, nothing is asked for each row');
$node->sql($run, %owner);
holds_the_others('a run has copied all', '2026-05-13T00:00:00Z', '2026-05-13T11:59:59Z');
my $adas = of_person('truth.rows', $ada);
cmp_ok($adas, '>', 3, 'there is mail of Ada');
cmp_ok($node->sql("SELECT count(*) FROM truth.rows WHERE recipient_address = '$ada'"), '>', 0, 'some of it to her');
cmp_ok($node->sql("SELECT count(*) FROM truth.rows a JOIN truth.rows b USING (message_trace_id) WHERE a.recipient_address = '$ada' AND b.recipient_address <> '$ada'"
	  . " AND b.sender_address <> '$ada'"), '>', 0, 'with others');

my $counts = "$adas target archive.contoso";
is($node->sql(erase($ada, ', dry_run => true'), %owner), $counts, 'a dry run counts her rows');
is(of_person('archive.contoso', $ada), $adas, 'and deletes none');
is($node->sql($statement), 'f', 'nor does it have runs leave any out');
is($node->sql(erase(' Ada.Lovelace@CONTOSO.com'), %owner), $counts, 'an erasure deletes as many, however the address is spelled');
push @erased, $ada;
holds_the_others('all others stay, recipients of the same mail too', '2026-05-13T00:00:00Z', '2026-05-13T11:59:59Z');
is($node->sql(erase($ada), %owner), '', 'a second erasure finds nothing');
is($node->sql('SELECT count(*), bool_and(erased_at > now() - interval \'1 hour\') FROM o365_msgtrace.erased_address', %owner), '1|t', 'it is kept once, with its time');
is($node->sql("SELECT count(*) FROM o365_msgtrace.erased_address WHERE digest IN (sha256('$ada'), '$ada')"), '0', 'neither as a text nor as a digest that can be looked up');
for my $table (qw(erased_address erasure_salt))
{
	is($node->sql("SELECT count(*) FROM o365_msgtrace.$table", user => 'regress_other'), '0', "others see nothing in $table");
}

# ---- what runs read again --------------------------------------------------------------------

$node->sql($run, %owner);
holds_the_others('a run that reads the same again brings none of her rows', '2026-05-13T00:00:00Z', '2026-05-13T11:59:59Z');
is($node->sql("SELECT rows_new + rows_changed FROM o365_msgtrace.run_log ORDER BY run_id DESC LIMIT 1", %owner), '0', 'and writes nothing');
is($node->sql($statement), 't', 'since it leaves them out');

%row = (
	%row, id => '99999999-9999-4999-8999-999999999999', messageId => '<late@contoso.com>', receivedDateTime => '2026-05-13T11:30:00Z',
	senderAddress => 'Ada.Lovelace@contoso.com', recipientAddress => 'b@contoso.com', subject => 'late', status => 'pending');
$service->add_rows(
	{ %row, visibleAfter => '2026-05-13T12:10:00Z' },
	{ %row, senderAddress => 'a@contoso.com', recipientAddress => 'ADA.Lovelace@contoso.com' },
	{ %row, senderAddress => 'a@contoso.com' },
	{ %row, senderAddress => undef, recipientAddress => 'c@contoso.com' });
$service->set_clock(advance => 1200);
$node->sql($run, %owner);
holds_the_others('no late row, and no other is taken for hers: with no sender neither', '2026-05-13T10:20:00Z', '2026-05-13T12:19:59Z');
$service->add_rows({ %row, senderAddress => 'a@contoso.com', recipientAddress => 'ADA.Lovelace@contoso.com', status => 'delivered' });
$node->sql($run, %owner);
is(of_person('archive.contoso', $ada), '0', 'nor one whose status has changed');

$node->sql("CALL o365_msgtrace.backfill('contoso', '2026-05-12 00:00Z', '2026-05-13 00:00Z')", %owner);
holds_the_others('nor does a backfill', '2026-05-12T00:00:00Z', '2026-05-13T00:00:00Z');

$service->set_clock(advance => 25 * 3600);
$node->sql($run, %owner);
is(coverage("settled @> tstzrange('2026-05-12 00:00Z', '2026-05-13 13:00Z') AND isempty(flagged) AND isempty(missing)"),
	't', 'time with erased rows is settled at once, and not flagged');
holds_the_others('exactly', '2026-05-12T00:00:00Z', '2026-05-13T13:00:00Z');
is($node->sql("SELECT count(*) FROM o365_msgtrace.run_message WHERE level <> 'info'", %owner), '0', 'there is nothing to complain of');

# ---- records that cannot be read -----------------------------------------------------------------

$node->sql("ALTER SERVER tenant OPTIONS (ADD on_bad_row 'reject')");
my $rejected = "SELECT count(*) FROM o365_msgtrace.rejected_record WHERE raw ~ 'bad.fabrikam'";
for my $kind (qw(garbage_time no_id))
{
	$service->fault({ on => 'list', fault => 'bad_row', kind => $kind, count => 1 });
	$node->sql($run, %owner);
}
is($node->sql($rejected), '2', 'records of somebody were set aside');
is($node->sql(erase('BAD@fabrikam.com'), %owner), '2 rejected records o365_msgtrace.rejected_record', 'they are erased');
push @erased, 'bad@fabrikam.com';
is($node->sql('SELECT count(*) FROM o365_msgtrace.rejected_record'), '0', 'and gone');
for my $kind (qw(garbage_time no_id))
{
	$service->fault({ on => 'list', fault => 'bad_row', kind => $kind, count => 1 });
	$node->sql($run, %owner);
}
is($node->sql('SELECT rows_rejected FROM o365_msgtrace.run_log ORDER BY run_id DESC LIMIT 1', %owner), '1', 'when they come again');
is($node->sql($rejected), '0', 'they are not set aside');
$node->sql('ALTER SERVER tenant OPTIONS (DROP on_bad_row)');
is($node->sql(<<'SQL'), q(c@d.e e@f.g h@i.j jürgen@x.com o'brien@x.com), 'addresses are found in whatever was sent');
SELECT string_agg(a, ' ' ORDER BY a)
  FROM o365_msgtrace._addresses_in('{"a":"O\u0027Brien@X.com","b":"re: <j\u00fcrgen@x.com>, ''c@d.e''","c":"\u0000e@f.g\ud800","d": "no address", "e":"h@i.j') a
SQL

$node->sql(<<"SQL", %owner);
INSERT INTO o365_msgtrace.run_message (input_id, run_id, level, message, detail)
SELECT 'contoso', max(run_id), 'error', 'something', 'it is about Grace.Hopper+lists\@contoso.com' FROM o365_msgtrace.run_record;
UPDATE o365_msgtrace.run_record SET message = 'something', detail = 'it is about $grace'
 WHERE run_id = (SELECT max(run_id) FROM o365_msgtrace.run_record);
SQL
$node->load_truth($service, 'truth.rows', '2026-05-12T00:00:00Z', '2026-05-14T13:20:00Z');
like($node->sql(erase($grace), %owner), qr/^\d+ target archive.contoso, 1 messages o365_msgtrace.run_log, 1 messages o365_msgtrace.run_message$/,
	'what runs said of her is counted');
push @erased, $grace;
is($node->sql("SELECT (SELECT count(*) FROM o365_msgtrace.run_message WHERE detail ~ 'Grace') + (SELECT count(*) FROM o365_msgtrace.run_log WHERE detail ~ 'grace')"),
	'0', 'and erased');

# ---- in the middle of a run ------------------------------------------------------------------------

sub waits
{
	my ($session, $class) = @_;
	$node->wait_until("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $session->{pid} AND NOT granted AND locktype = 'advisory'"
		  . " AND classid = $class)");
	return;
}
my $erasures = 'o365_msgtrace._erasure_lock_class()::bigint';

# A run of this input is held when it has written a window and not yet committed it.
$node->sql(<<'SQL', %owner);
CREATE TABLE archive.middle (LIKE archive.contoso INCLUDING ALL);
CREATE FUNCTION archive.pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1, 2) FROM written LIMIT 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER pause AFTER INSERT ON archive.middle REFERENCING NEW TABLE AS written EXECUTE FUNCTION archive.pause();
SELECT o365_msgtrace.create_input('middle', 'mail.message_trace', 'archive.middle', date_range_start => '-26h', date_range_end => '-2h');
SQL
$node->sql("ALTER SERVER tenant OPTIONS (ADD page_size '200')");
# Mail of hers in the first of them.
$service->add_rows({ %row, receivedDateTime => '2026-05-13T11:25:00Z', senderAddress => $outsider, recipientAddress => 'b@contoso.com' });
{
	my ($gate, $reader, $eraser) = ($node->session, $node->session(%owner), $node->session(%owner));
	$gate->sql('SELECT pg_advisory_lock(1, 2)');
	$reader->send("CALL o365_msgtrace.run('middle')");
	waits($reader, 1);
	$eraser->send(erase($outsider));
	waits($eraser, $erasures);
	$gate->sql('SELECT pg_advisory_unlock(1, 2)');
	like($eraser->receive, qr/\d+ target archive.middle/, 'an erasure waits for the window that a run has in hand, and finds its rows');
	$reader->receive;
	push @erased, $outsider;
	cmp_ok($node->sql("SELECT windows FROM o365_msgtrace.run_log WHERE input_id = 'middle' AND state = 'succeeded'"), '>', 2, 'the run has read more windows then');
	$_->quit for $gate, $reader, $eraser;
}
my ($from, $to) = ('2026-05-13T12:00:00Z', '2026-05-14T11:19:00Z');
holds_the_others('none of its windows has left a row, and no other row is missing', $from, $to, 'archive.middle');
cmp_ok(of_person('truth.rows', $outsider), '>', 0, 'there was mail of hers to come');
$node->sql('DROP TRIGGER pause ON archive.middle', %owner);

# A run begins while an erasure is not yet committed: of an input that was there, and of one that is made meanwhile.
for my $case ([ 'middle', '' ],
	[ 'new', "SELECT o365_msgtrace.create_input('new', 'mail.message_trace', 'archive.new', date_range_start => '-26h', date_range_end => '-2h');" ])
{
	my ($name, $before) = @$case;
	my $address = $name eq 'new' ? $miles : $juergen;
	my ($reader, $eraser) = ($node->session(%owner), $node->session(%owner));
	$eraser->sql("BEGIN; " . erase($address));
	$reader->send("$before CALL o365_msgtrace.run('$name')");
	waits($reader, $erasures);
	$eraser->sql('COMMIT');
	$reader->receive;
	push @erased, $address;
	is($node->sql("SELECT state FROM o365_msgtrace.run_log WHERE input_id = '$name' ORDER BY run_id DESC LIMIT 1"), 'succeeded', "a run of the input $name waits for an erasure");
	holds_the_others('and knows of it', $from, $to, "archive.$name");
	cmp_ok(of_person('truth.rows', $address), '>', 0, 'which makes a difference');
	$_->quit for $reader, $eraser;
}

# A table that has mail already becomes a target, with details to be read, in a transaction that is under way.
my $early = 'grace.hopper+lists@fabrikam.com';
$node->sql('CREATE TABLE archive.old (LIKE archive.middle INCLUDING ALL); INSERT INTO archive.old SELECT * FROM archive.middle', %owner);
cmp_ok(of_person('archive.old', $early), '>', 0, 'a table has mail');
{
	my ($maker, $eraser) = ($node->session(%owner), $node->session(%owner));
	$maker->sql(<<'SQL');
BEGIN;
SELECT o365_msgtrace.create_input('old', 'mail.message_trace', 'archive.old');
UPDATE o365_msgtrace.ledger l SET clock_offset = (SELECT min(m.clock_offset) FROM o365_msgtrace.ledger m)
  FROM o365_msgtrace.input i WHERE i.input_number = l.input_number AND i.input_id = 'old';
SELECT o365_msgtrace.alter_input('old', detail_filter => 'true', detail_target => 'archive.old_details');
SQL
	$eraser->send(erase($early));
	waits($eraser, $erasures);
	$maker->sql('COMMIT');
	like(
		$eraser->receive,
		qr/\d+ target archive\.old, \d+ details o365_msgtrace\.detail_record/,
		'an erasure waits until an input is made, and finds the mail in its target and what it would have read of it');
	push @erased, $early;
	is(
		of_person('archive.old', $early) + $node->sql("SELECT count(*) FROM o365_msgtrace.detail_record WHERE recipient_address = '$early'"),
		'0', 'and nothing stays');
	$_->quit for $maker, $eraser;
}
$node->sql("SELECT o365_msgtrace.drop_input('old')", %owner);

# ---- however the rows are written --------------------------------------------------------------------

$node->create_server($service, name => 'as_sent', schema => 'as_sent', normalize => 'false');
$node->sql('GRANT USAGE ON SCHEMA as_sent TO regress_owner; GRANT SELECT ON as_sent.message_trace TO regress_owner');
$node->sql("SELECT o365_msgtrace.create_input('as sent', 'as_sent.message_trace', 'archive.as_sent', date_range_start => '-26h', date_range_end => '-2h');"
	  . "CALL o365_msgtrace.run('as sent')", %owner);
$node->load_truth($service, 'truth.rows', $from, $to);
my $left = join ' OR ', map { is_of($_) =~ s/(sender|recipient)_address/lower($1_address COLLATE "C")/gr } @erased;
is($node->sql("SELECT count(*) FROM archive.as_sent WHERE $left"), '0', 'other spellings are known, where rows are kept as sent');
is(
	$node->sql("SELECT count(*) FROM archive.as_sent WHERE received >= '$from' AND received < '$to'"),
	$node->sql("SELECT count(*) FROM truth.rows WHERE NOT ($left)"),
	'and no row too many is left out');

# It is what the target would hold that counts.
$node->sql(<<"SQL", %owner);
SELECT o365_msgtrace.create_input('fields', 'mail.message_trace', 'archive.fields', date_range_start => '-4h', date_range_end => '-2h',
    fields => '{"sender_address": "CASE WHEN status = ''failed'' THEN ''Ada.Lovelace\@contoso.com'' ELSE ''x\@y.z'' END"}');
CALL o365_msgtrace.run('fields');
SQL
is($node->sql("SELECT string_agg(DISTINCT sender_address, ' '), bool_or(status = 'failed'), bool_or(recipient_address = '$ada') FROM archive.fields"),
	'x@y.z|f|f', 'what a field writes as the sender is looked at');

# ---- details ---------------------------------------------------------------------------------------------

# Of one message each that somebody has sent, that he got, and that he has nothing to do with.
my $bob = 'bob@contoso.com';
my $details = 1;
for my $mail ([ $bob, 'x@contoso.com' ], [ $bob, 'y@contoso.com' ], [ 'x@contoso.com', 'Bob@contoso.com' ], [ 'x@contoso.com', 'y@contoso.com' ])
{
	$service->add_rows({ %row, id => sprintf('77777777-7777-4777-8777-7777777777%02d', $details++), status => 'failed', subject => 'detailed',
		receivedDateTime => '2026-05-14T13:00:00Z', senderAddress => $mail->[0], recipientAddress => $mail->[1] });
}
$node->sql(<<'SQL', %owner);
SELECT o365_msgtrace.create_input('details', 'mail.message_trace', 'archive.traced', date_range_start => '-30m', date_range_end => '-10m',
    filter => $$subject = 'detailed'$$, detail_filter => $$status = 'failed'$$, detail_target => 'archive.details');
CALL o365_msgtrace.run('details');
SQL
my $traced = "SELECT (SELECT count(*) FROM archive.traced), (SELECT count(DISTINCT message_trace_id) FROM archive.details), (SELECT count(*) FROM o365_msgtrace.detail_record)";
is($node->sql($traced), '4|4|4', 'details are copied');
my $events = $node->sql("SELECT count(*) FROM archive.details WHERE message_trace_id <> '77777777-7777-4777-8777-777777777704'");
is($node->sql(erase('Bob@contoso.com'), %owner), "$events details archive.details, 3 target archive.traced, 3 details o365_msgtrace.detail_record",
	'details go with the rows, those of what he has sent, too');
is($node->sql($traced), '1|1|1', 'and no others');
$node->sql("SELECT o365_msgtrace.reset_coverage('details'); SELECT o365_msgtrace.reset_details('details'); CALL o365_msgtrace.run('details')", %owner);
is($node->sql($traced), '1|1|1', 'none is read again');

# ---- rights ------------------------------------------------------------------------------------------

my $error = $node->sql_error("SELECT * FROM o365_msgtrace.erase('x\@y.z')");
is($error->{sqlstate}, '42704', 'a superuser erases nothing in the name of others');
like($error->{detail}, qr/belong to "regress_owner"/, 'and learns whose it is');
is($node->sql_error("SELECT * FROM o365_msgtrace.erase('x\@y.z')", user => 'regress_other')->{sqlstate}, '42704', 'nor does a role without an input');
for my $wrong ([ 'NULL', '22023' ], [ "' '", '22023' ])
{
	is($node->sql_error("SELECT * FROM o365_msgtrace.erase($wrong->[0])", %owner)->{sqlstate}, $wrong->[1], "an address that is $wrong->[0] is refused");
}
is($node->sql_error("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM o365_msgtrace.erase('x\@y.z')", %owner)->{sqlstate}, '55000',
	'so is a transaction that would not see all');

# A target that he shares, and may not delete from.
$node->sql(<<'SQL');
GRANT SELECT, INSERT, UPDATE ON archive.fields TO regress_other;
CREATE SCHEMA own AUTHORIZATION regress_other;
SET ROLE regress_other;
SELECT o365_msgtrace.create_input('of other', 'mail.message_trace', 'own.rows', date_range_start => '-26h', date_range_end => '-2h');
SELECT o365_msgtrace.create_input('shared', 'mail.message_trace', 'archive.fields', date_range_start => '-5h', date_range_end => '-2h');
CALL o365_msgtrace.run('of other');
CALL o365_msgtrace.run('shared');
SQL
my %other = (user => 'regress_other');
my $before = of_person('own.rows', $ada);
cmp_ok($before, '>', 0, 'what one role has erased is another\'s to keep');
for my $dry (', dry_run => true', '')
{
	$error = $node->sql_error(erase($ada, $dry), %other);
	is($error->{sqlstate}, '42501', "a target without DELETE is an error$dry");
	is($error->{hint}, 'GRANT SELECT, DELETE ON archive.fields TO regress_other;', 'that has the GRANT');
}
is(of_person('own.rows', $ada), $before, 'and nothing is deleted before');
is($node->sql('SELECT count(*) FROM o365_msgtrace.erased_address WHERE owner = \'regress_other\''), '0', 'nor noted');
$node->sql('GRANT DELETE ON archive.fields TO regress_other');
my $warnings = $node->messages("SELECT * FROM o365_msgtrace.erase('$ada')", %owner);
like($warnings, qr/WARNING:  \w+: archive\.fields has rows of this address that were written by inputs which are not of role "regress_owner"/, 'rows of others in a shared target are told of');
like($warnings, qr/DETAIL:  They were written by "shared"/, 'with the input');
is(of_person('archive.fields', $ada), '0', 'and go');
$node->sql(erase($ada), %other);
$node->sql("CALL o365_msgtrace.run('shared')", %other);
is(of_person('archive.fields', $ada) + of_person('own.rows', $ada), '0', 'when their owner has erased them too, they stay away');

# What cannot be known is said.
$node->sql('ALTER TABLE own.rows ENABLE ROW LEVEL SECURITY; ALTER TABLE own.rows FORCE ROW LEVEL SECURITY; CREATE POLICY p ON own.rows USING (true)', %other);
$warnings = $node->messages("SELECT * FROM o365_msgtrace.erase('x\@y.z', dry_run => true)", %other);
like($warnings, qr/WARNING:  \w+: row security may hide rows of own\.rows/, 'that row security may hide rows');
$node->sql('ALTER TABLE own.rows RENAME TO renamed', %other);
$warnings = $node->messages("SELECT * FROM o365_msgtrace.erase('x\@y.z', dry_run => true)", %other);
like($warnings, qr/WARNING:  \w+: own\.rows of input "of other" does not exist/, 'and that a target is not where it was');
$node->sql('ALTER TABLE own.renamed RENAME TO rows; ALTER TABLE own.rows NO FORCE ROW LEVEL SECURITY', %other);

# ---- dump and restore -----------------------------------------------------------------------------------

my $dump = folder() . '/dump.sql';
system("$node->{bindir}/pg_dump -h $node->{folder} -U postgres -f $dump postgres") == 0 or die;
$node->sql('CREATE DATABASE restored');
system("$node->{bindir}/psql -X -q -v ON_ERROR_STOP=1 -h $node->{folder} -U postgres -d restored -f $dump > $dump.log 2>&1") == 0
  or diag(`cat $dump.log`);
my %restored = (user => 'regress_owner', dbname => 'restored');
$node->sql("TRUNCATE archive.middle; SELECT o365_msgtrace.reset_coverage('middle'); CALL o365_msgtrace.run('middle')", %restored);
is($node->sql('SELECT count(*) > 1000, count(*) FILTER (WHERE ' . join(' OR ', map { is_of($_) } @erased) . ') FROM archive.middle', %restored),
	't|0', 'a restored database knows whom it has erased');

# ---- a role of another name -------------------------------------------------------------------------------

$node->sql(<<'SQL', dbname => 'restored');
UPDATE o365_msgtrace.erasure_salt SET owner = 'regress_renamed' WHERE owner = 'regress_owner';
UPDATE o365_msgtrace.input SET owner = 'regress_renamed' WHERE owner = 'regress_owner';
ALTER ROLE regress_owner RENAME TO regress_renamed;
SQL
$restored{user} = 'regress_renamed';
$node->sql("TRUNCATE archive.middle; SELECT o365_msgtrace.reset_coverage('middle'); CALL o365_msgtrace.run('middle')", %restored);
is($node->sql('SELECT count(*) > 1000, count(*) FILTER (WHERE ' . join(' OR ', map { is_of($_) } @erased) . ') FROM archive.middle', %restored),
	't|0', 'erasures go with the owner\'s name');
$node->sql('ALTER ROLE regress_renamed RENAME TO regress_owner');

# ---- and back ------------------------------------------------------------------------------------------------

$node->sql("SELECT o365_msgtrace.forget_erasure('ADA.lovelace\@contoso.com')", %owner);
@erased = grep { $_ ne $ada } @erased;
$error = $node->sql_error("SELECT o365_msgtrace.forget_erasure('$ada')", %owner);
is($error->{sqlstate}, '42704', 'an address is forgotten once');
unlike($error->{message} . $error->{detail}, qr/ada/, 'and not named in the log');
$node->sql("SELECT o365_msgtrace.reset_coverage('middle'); CALL o365_msgtrace.run('middle')", %owner);
holds_the_others('mail of hers comes again, and nobody else\'s', $from, $to, 'archive.middle');
cmp_ok(of_person('archive.middle', $ada), '>', 0, 'which there is');
$node->sql('DELETE FROM o365_msgtrace.erased_address', %owner);
is($node->sql($statement), 'f', 'with nobody erased, runs ask no more');

done_testing();
