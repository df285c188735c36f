# tests/t/047_server_stats.t
#
# View server_stats: what was asked of each server, by all sessions together, as
# the service's own log has it; also by transactions that were rolled back and
# queries that failed. Who sees it, who resets it, and what it never shows.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

my $service = MsgTrace::Service->start(now => '2026-05-12T12:00:00Z', rows_per_day => 20000, quota => 0);
my %conf = (log_statement => 'none');
my $node = MsgTrace::Cluster->start(preload => 'o365_msgtrace', conf => \%conf);
my $is_17 = $node->sql('SHOW server_version_num') >= 170000;
$node->create_server($service, page_size => 100, max_concurrency => 1, retry_initial_interval => '10ms');

my $query = "SELECT count(*) FROM mail.message_trace WHERE received >= '2026-05-09T08:00:00Z' AND received < '2026-05-09T09:00:00Z'";

sub stats
{
	my ($columns, $server, %how) = @_;
	return $node->sql("SELECT $columns FROM o365_msgtrace.server_stats WHERE server = '" . ($server // 'tenant') . "'", %how);
}

sub reset_stats
{
	$node->sql('SELECT o365_msgtrace.reset_server_stats()');
	$service->clear_requests;
	return;
}

# ---- what is counted --------------------------------------------------------------------

is($node->sql('SELECT count(*) FROM o365_msgtrace.server_stats'), 0, 'a server that was never asked has no statistics');
my $count = $node->sql($query);
my $pages = $service->list_requests;
cmp_ok($pages, '>', 3, "$count rows are several pages");
is(stats('requests, pages, rows, retries, throttled, waits, sign_ins, sharing'), "$pages|$pages|$count|0|0|0|1|preloaded", 'what a query did');
my $session = $node->session;
is($session->sql($query), $count, 'another session');
is(stats('requests, pages, rows, sign_ins'), join('|', map { 2 * $_ } $pages, $pages, $count, 1), '... adds to it');
is($session->sql("SELECT s.bytes = 2 * l.bytes, s.waited >= l.waited, l.waited > '0' FROM o365_msgtrace.last_scan() l, o365_msgtrace.server_stats s"),
	't|t|t', '... bytes and the time waited, too');
is(stats('last_error IS NULL, last_error_sqlstate IS NULL, last_error_at IS NULL, since < now()'), 't|t|t|t', 'there was no error');

$session->sql("BEGIN; $query; ROLLBACK");
is(stats('requests, rows'), join('|', map { 3 * $_ } $pages, $count), 'what was rolled back was asked all the same');
$session->sql("BEGIN; SAVEPOINT s; $query; ROLLBACK TO s; COMMIT");
is(stats('requests, rows'), join('|', map { 4 * $_ } $pages, $count), '... and so was what a savepoint took back');
$session->sql("BEGIN; DECLARE c CURSOR FOR SELECT * FROM mail.message_trace; FETCH 1 FROM c; ROLLBACK");
cmp_ok(stats('requests'), '>', 4 * $pages, '... and a cursor that was not read to its end');

reset_stats();
is(stats('requests, pages, rows, bytes, retries, waited, sign_ins'), '0|0|0|0|0|00:00:00|0', 'after a reset all is zero');
is(stats("since > now() - interval '1 minute'"), 't', '... since then');
$service->fault(
	{ on => 'list', fault => 'status', status => 503, retry_after => 0 },
	{ on => 'list', fault => 'cut', skip => 2 },
	{ on => 'list', fault => 'status', status => 429, retry_after => 1, skip => 3 });
is($session->sql($query), $count, 'a query with a 503, a broken connection and a 429');
is(stats('requests, pages, rows, retries, throttled'), join('|', $pages + 3, $pages, $count, 3, 1), '... makes so many requests and retries');
is(stats('requests'), scalar $service->list_requests, '... as the service has seen');

reset_stats();
$service->fault({ on => 'list', fault => 'hang', skip => 2 });
$session->send($query);
wait_for('the third page to hang', 30, sub { !$service->faults_left });
is(stats('requests, pages'), '3|2', 'while a query runs it is counted');
$session->cancel;
like($session->receive, qr/57014/, '... and when it was cancelled');
is(stats('requests, pages, last_error IS NULL'), '3|2|t', '... which is no error');

reset_stats();
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '2', ADD quota_window '1s')");
$node->wait_until("SELECT clock_timestamp() > pg_postmaster_start_time() + interval '1 second'");
is($session->sql($query), $count, 'a query that needs several windows of the budget');
cmp_ok(stats('waits'), '>=', 1, '... waits for it') || diag(stats('*'));
is(stats("waited >= interval '500 milliseconds'"), 't', '... and the time is counted');
$node->sql("ALTER SERVER tenant OPTIONS (SET quota_requests '0')");

# ---- the last error -----------------------------------------------------------------------

reset_stats();
my $secret = $service->{client_secret};
$service->fault({ on => 'list', fault => 'status', status => 400, body => qq({"error":{"code":"Odd","message":"do you know $secret?"}}) });
my $error = $session->sql_error($query);
is(stats('last_error_sqlstate'), $error->{sqlstate}, 'the SQLSTATE of the last error');
is(stats('last_error') =~ s/ \(.*//r, "$error->{message}: $error->{detail}" =~ s/ \(.*//r, '... its words');
like(stats('last_error'), qr/do you know/, '... with those of the service');
unlike(stats('last_error'), qr/\Q$secret\E/, '... but never a secret');
is(stats("last_error_at BETWEEN now() - interval '1 minute' AND now()"), 't', '... and its time');
$service->fault({ on => 'list', fault => 'status', status => 403 });
$session->sql("BEGIN; SAVEPOINT s");
is($session->sql_error($query)->{sqlstate}, '08004', 'another error');
$session->sql('ROLLBACK');
is(stats('last_error_sqlstate'), '08004', '... is not rolled back');
is($session->sql($query), $count, 'a good query');
is(stats('last_error_sqlstate'), '08004', '... does not make it forgotten');
$service->fault({ on => 'list', fault => 'status', status => 400, body => 'ä' x 1000 });
$session->sql_error($query);
is(stats('octet_length(last_error) BETWEEN 1000 AND 1023'), 't', 'a long one is cut between characters') || diag(stats('last_error'));
$session->quit;

# ---- who sees and resets it ------------------------------------------------------------------

$node->sql('CREATE ROLE regress_owner LOGIN; CREATE ROLE regress_member LOGIN IN ROLE regress_owner; CREATE ROLE regress_user LOGIN;'
	  . 'CREATE ROLE regress_reader LOGIN; GRANT pg_read_all_stats TO regress_reader; GRANT USAGE ON SCHEMA o365_msgtrace TO PUBLIC');
$node->create_server($service, name => 'second', schema => 'second');
$node->sql($query =~ s/mail/second/r);
$node->sql('ALTER SERVER tenant OWNER TO regress_owner; GRANT USAGE ON FOREIGN SERVER tenant TO regress_user');
my %seen = map {
	$_ => $node->sql("SELECT coalesce(string_agg(server, ' ' ORDER BY server), 'nothing') FROM o365_msgtrace.server_stats", user => $_)
} qw(postgres regress_owner regress_member regress_user regress_reader);
is($seen{postgres}, 'second tenant', 'a superuser sees all servers');
is($seen{regress_reader}, 'second tenant', '... and so does pg_read_all_stats');
is($seen{regress_owner}, 'tenant', "a server's owner sees it");
is($seen{regress_member}, 'tenant', '... and so do its members');
is($seen{regress_user}, 'nothing', '... who may only use it does not');

for my $role (qw(regress_user regress_reader))
{
	for my $sql ("reset_server_stats('tenant')", 'reset_server_stats()')
	{
		my $refusal = $node->sql_error("SELECT o365_msgtrace.$sql", user => $role);
		is($refusal->{sqlstate}, '42501', "$role: $sql is refused");
		like($refusal->{hint}, qr/owner and superusers/, '... with a hint');
	}
}
cmp_ok(stats('requests'), '>', 0, '... and changes nothing');
is($node->sql_error("SELECT o365_msgtrace.reset_server_stats('second')", user => 'regress_owner')->{sqlstate}, '42501', "another's server is refused");
is($node->sql_error("SELECT o365_msgtrace.reset_server_stats('nowhere')")->{sqlstate}, '42704', '... and so is one that is not there');
$node->sql("SELECT o365_msgtrace.reset_server_stats()", user => 'regress_owner');
is(stats('requests, last_error IS NULL'), '0|t', 'an owner resets its own');
cmp_ok(stats('requests', 'second'), '>', 0, '... and no other');
$node->sql("SELECT o365_msgtrace.reset_server_stats('second')");
is(stats('requests', 'second'), 0, 'a superuser resets any');

# ---- servers that go, and other databases -----------------------------------------------------

$node->sql('DROP SERVER second CASCADE');
is($node->sql('SELECT string_agg(server, \' \') FROM o365_msgtrace.server_stats'), 'tenant', 'a dropped server is gone');
$node->sql('CREATE DATABASE other');
$node->sql('CREATE EXTENSION o365_msgtrace', dbname => 'other');
is($node->sql('SELECT count(*) FROM o365_msgtrace.server_stats', dbname => 'other'), 0, 'another database sees nothing of it');
$node->restart;
is($node->sql('SELECT count(*) FROM o365_msgtrace.server_stats'), 0, 'a restart begins anew');
$node->stop;

# ---- without preloading --------------------------------------------------------------------------

$node = MsgTrace::Cluster->start(conf => \%conf);
$node->create_server($service, page_size => 100, max_concurrency => 1);
my @sessions = map { $node->session } 1 .. 2;
my $own = "SELECT requests, sharing FROM o365_msgtrace.server_stats";
$sessions[0]->sql($query);
is($sessions[0]->sql($own), "$pages|" . ($is_17 ? 'registered' : 'backend'), 'without preloading a session has its own statistics');
is($sessions[1]->sql($own), $is_17 ? "$pages|registered" : '', '... shared from PostgreSQL 17 on');
$_->quit for @sessions;

done_testing();
