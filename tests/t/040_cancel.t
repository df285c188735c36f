# tests/t/040_cancel.t
#
# Wherever a scan waits, a cancel, statement_timeout and pg_terminate_backend
# end it at once and with the right SQLSTATE, and the session goes on as before.
# A thousand cancelled scans leave neither descriptors nor memory behind.
#
# Nothing here ever answers, or only after minutes, so that a scan that ends has
# been ended; the times it took are shown, not judged.

use strict;
use warnings;
use utf8;

use Errno qw(EINPROGRESS);
use IO::Socket::INET;
use POSIX qw(strftime);
use Socket;
use Test::More;
use Time::HiRes qw(time);

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

# ---- places to wait in ------------------------------------------------------------

# Name resolution that hangs as long as a file exists, for one host.
my $resolver = folder() . '/resolver';
my $hanging = folder() . '/hanging';
open my $source, '>', "$resolver.c" or die "$resolver.c: $!";
print $source <<"C";
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	int			(*real) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

	while (node && strcmp(node, "hangs.example.com") == 0 && access("$hanging", F_OK) == 0)
		usleep(10000);
	*(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, result);
}
C
close $source;
my $compiler = MsgTrace::Process::start(
	command => [ 'cc', '-shared', '-fPIC', '-o', "$resolver.so", "$resolver.c", '-ldl' ],
	stdout => "$resolver.log",
	merge => 1);
is(MsgTrace::Process::finish($compiler->{pid}, 60), 0, 'a name resolution that hangs')
  || BAIL_OUT(scalar `cat $resolver.log`);

sub touch
{
	open my $file, '>', $_[0] or die "$_[0]: $!";
	return;
}
touch($hanging);

# A host whose queue of connections is full, so that it does not answer.
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "no socket: $!";
my @in_the_queue;
while (@in_the_queue < 16)
{
	my $client = IO::Socket::INET->new(Proto => 'tcp', Blocking => 0) or die "no socket: $!";
	connect($client, pack_sockaddr_in($full->sockport, inet_aton('127.0.0.1')));
	push @in_the_queue, $client;
	last if !IO::Select->new($client)->can_write(0.3);
}
cmp_ok(scalar @in_the_queue, '<', 16, 'a host that does not answer');

# A host that takes connections and says nothing.
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 100) or die "no socket: $!";

my $service = MsgTrace::Service->start(rows_per_day => 20000, quota => 0);
my $node;
{
	local $ENV{LD_PRELOAD} = "$resolver.so";
	$node = MsgTrace::Cluster->start(
		conf => {
			'o365_msgtrace.clock_source' => 'local',
			'o365_msgtrace.max_requests_per_query' => 0,
			log_statement => 'none'
		});
}
my %patient = (connect_timeout => '1h', request_timeout => '0', page_size => 500, max_response_size => '512MB');
$node->create_server($service, %patient);
$node->create_server($service, %patient, name => 'unresolved', schema => 'unresolved', authority_url => 'https://hangs.example.com');
$node->create_server($service, %patient, name => 'unanswered', schema => 'unanswered', authority_url => 'https://127.0.0.1:' . $full->sockport);
$node->create_server($service, %patient, name => 'mute', schema => 'mute', authority_url => 'https://127.0.0.1:' . $mute->sockport);

my ($from, $to) = map { strftime('%Y-%m-%dT12:00:00Z', gmtime(time - $_ * 86400)) } 20, 19.9;
my $range = "received >= '$from' AND received < timestamptz '$from' + interval '2 hours'";
my $good = "SELECT count(*) FROM mail.message_trace WHERE $range";
my $count = $node->sql($good);
cmp_ok($count, '>', 1000, 'two hours have several pages');

sub fault
{
	my ($name, %more) = @_;
	return { on => 'list', fault => $name, count => 100, %more };
}
# Each: where a scan waits, what its wait is called, a schema, what the service does.
my @places = (
	[ 'name resolution', 'SignIn', 'unresolved' ],
	[ 'connect', 'SignIn', 'unanswered' ],
	[ 'the TLS handshake', 'SignIn', 'mute' ],
	[ 'the token', 'SignIn', 'mail', fault('hang', on => 'token') ],
	[ "a token's body", 'SignIn', 'mail', fault('hang', on => 'token', where => 'body') ],
	[ "a page's head", 'Page', 'mail', fault('hang') ],
	[ "a page's body", 'Page', 'mail', fault('hang', where => 'body') ],
	[ 'a later page', 'Page', 'mail', fault('hang', skip => 2) ],
	[ 'a slow drip', 'Page', 'mail', fault('drip', bytes_per_second => 10) ],
	[ 'Retry-After of a 503', 'Retry', 'mail', fault('status', status => 503, retry_after => 300) ],
	[ 'Retry-After of a 429', 'Retry', 'mail', fault('status', status => 429, retry_after => 300) ],
	[ 'a 429 without Retry-After', 'Retry', 'mail', fault('status', status => 429) ],
	[ 'a token that is to be retried', 'Retry', 'mail', fault('status', on => 'token', status => 503, retry_after => 300) ]);

my $admin = $node->session;
my %slowest;

# Waits until the backend waits, which PostgreSQL 17 has a name for, and the service has met its fault.
my $named_waits = $node->sql('SHOW server_version_num') >= 170000;

sub wait_in_place
{
	my ($session, $place) = @_;
	my (undef, $wait, undef, $fault) = @$place;
	my $event = $named_waits ? "O365Msgtrace$wait" : 'Extension';
	if ($fault)
	{
		wait_for('the fault to be met', 30, sub { grep { $_->{fault} } $service->requests });
	}
	wait_for("the scan to wait, and call it $event", 30, sub {
		$admin->sql("SELECT wait_event_type = 'Extension' AND wait_event = '$event' FROM pg_stat_activity WHERE pid = " . $session->pid) eq 't' });
	return;
}

sub begin_scan
{
	my ($session, $place) = @_;
	my (undef, undef, $schema, $fault) = @$place;
	$service->clear_faults;
	$service->clear_requests;
	$service->fault($fault) if $fault;
	$session->send("SELECT count(*) FROM $schema.message_trace WHERE $range");
	return;
}

sub note_time
{
	my ($how, $began) = @_;
	my $ms = (time - $began) * 1000;
	$slowest{$how} = $ms if $ms > ($slowest{$how} // 0);
	return $ms;
}

for my $place (@places)
{
	my ($what) = @$place;
	my $session = $node->session;

	begin_scan($session, $place);
	wait_in_place($session, $place);
	my $began = time;
	$admin->sql('SELECT pg_cancel_backend(' . $session->pid . ')');
	my $text = $session->receive(60);
	my $cancelled = note_time('pg_cancel_backend', $began);
	like($text, qr/ERROR:  57014: canceling statement due to user request/, "$what: pg_cancel_backend");

	$session->sql("SET statement_timeout = '400ms'");
	begin_scan($session, $place);
	$began = time;
	$text = $session->receive(60);
	my $timed_out = note_time('statement_timeout of 400 ms', $began);
	like($text, qr/ERROR:  57014: canceling statement due to statement timeout/, '… statement_timeout');
	$session->sql('RESET statement_timeout');

	$service->clear_faults;
	is($session->sql($good), $count, '… and the session goes on');

	# (another session, which has no token yet)
	$session->quit;
	$session = $node->session;
	begin_scan($session, $place);
	wait_in_place($session, $place);
	$began = time;
	$admin->sql('SELECT pg_terminate_backend(' . $session->pid . ')');
	$text = $session->receive(60);
	my $terminated = note_time('pg_terminate_backend', $began);
	like($text, qr/FATAL:  57P01: terminating connection/, '… pg_terminate_backend');
	wait_for('the backend to be gone', 60, sub { !-d '/proc/' . $session->pid });
	note(sprintf '%-30s cancel %4d ms, timeout of 400 ms %4d ms, terminate %4d ms', $what, $cancelled, $timed_out, $terminated);
}
$service->clear_faults;

# What comes faster than it can be read.
my $session = $node->session(set => { statement_timeout => '100ms' });
$service->fault(fault('endless'));
my $began = time;
is($session->sql_error($good)->{sqlstate}, '57014', 'an endless body: statement_timeout');
note(sprintf 'endless body: timeout of 100 ms after %d ms', note_time('statement_timeout of 100 ms', $began));
$service->clear_faults;
$service->settings(rows_per_day => 10_000_000);
$began = time;
is($session->sql_error('SELECT count(*) FROM mail.message_trace')->{sqlstate}, '57014', 'pages that never end: statement_timeout');
note(sprintf 'pages that never end: timeout of 100 ms after %d ms', note_time('statement_timeout of 100 ms', $began));
$service->settings(rows_per_day => 20000);
$session->sql('RESET statement_timeout; SET statement_timeout = 0');
is($session->sql($good), $count, '… and the session goes on');

# Caught and gone on with, in one transaction.
$service->fault(fault('hang', skip => 1));
$session->sql('BEGIN; SAVEPOINT s; SET LOCAL statement_timeout = \'300ms\'');
is($session->sql_error($good)->{sqlstate}, '57014', 'cancelled in a subtransaction');
$service->clear_faults;
is($session->sql("ROLLBACK TO s; $good; COMMIT"), $count, '… that is rolled back, and the transaction goes on');

$service->fault(fault('hang', skip => 1));
$session->sql("BEGIN; DECLARE c CURSOR FOR SELECT * FROM mail.message_trace WHERE $range; MOVE 10 FROM c; SET LOCAL statement_timeout = '300ms'");
is($session->sql_error('MOVE ALL FROM c')->{sqlstate}, '57014', 'a cursor cancelled on its second page');
$service->clear_faults;
is($session->sql("ROLLBACK; $good"), $count, '… and the session goes on');
$session->quit;

# ---- a thousand of them ----------------------------------------------------------------

# In one backend, where they happen to be after a few milliseconds.
$session = $node->session;
my $pid = $session->pid;
is($session->sql($good), $count, 'a backend for a thousand cancelled scans');
my $files_at_rest = $node->backend_files($pid);

sub cancelled_scans
{
	my ($scans) = @_;
	$service->clear_faults;
	$service->fault(map { fault($_, count => int($scans / 3) + 1) } 'hang', 'drip', 'hang');
	my $ended = 0;
	for my $part (1 .. $scans / 50)
	{
		# (no more at a time than a pipe holds)
		my $sql = join "\n", map { "SET statement_timeout = '" . (4 + $_ % 9) . "ms';\n$good;" } 1 .. 50;
		$session->send("$sql\nSET statement_timeout = 0");
		$ended += () = $session->receive(60) =~ /57014/g;
	}
	return $ended;
}
my $ended = cancelled_scans(100);
my ($files, $memory) = ($node->backend_files($pid), $node->backend_memory($pid));
$ended += cancelled_scans(900);
my ($files_after, $memory_after) = ($node->backend_files($pid), $node->backend_memory($pid));
cmp_ok($ended, '>=', 950, 'a thousand scans were cancelled');
cmp_ok($files_after, '<=', $files + 1, 'they leave no descriptors');
cmp_ok($memory_after, '<', $memory + 2048, '… and no memory');
diag("1000 cancelled scans ($ended of them): descriptors after 100: $files, after 1000: $files_after;"
	  . " private memory after 100: $memory kB, after 1000: $memory_after kB");
$service->clear_faults;
is($session->sql($good), $count, '… and the session goes on');

# A resolver that comes back when nobody waits any more.
my $unresolved = $good =~ s/mail/unresolved/r;
my $threads = sub { scalar(() = glob "/proc/$pid/task/*") };
$session->send(join "\n", (map { "SET statement_timeout = '5ms';\n$unresolved;" } 1 .. 30), 'SET statement_timeout = 0');
is(scalar(() = $session->receive(60) =~ /57014/g), 30, '30 scans cancelled in name resolution');
cmp_ok($threads->(), '>', 1, '(its threads still hang)');
unlink $hanging;
wait_for('the threads to end', 30, sub { $threads->() == 1 });
is($session->sql($good), $count, '… which does no harm when they end');
# (A scan keeps up to three connections for the next one, each with its event loop: five descriptors.)
cmp_ok($node->backend_files($pid), '<', $files_at_rest + 15, '… and leaves no descriptors of the 30');
$session->quit;

for my $how (sort keys %slowest)
{
	diag(sprintf 'slowest end of a scan by %s: %d ms', $how, $slowest{$how});
}

done_testing();
