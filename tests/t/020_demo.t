# tests/t/020_demo.t
#
# The demonstration as a newcomer gets it, from a clone of its own (the copy of
# the tree that this test runs in) and without waiting for pg_cron: it shows
# what it promises, fits a terminal, can be started over, and leaves nothing.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Process qw(folder root);

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output);

# Not in folder(): a socket's path would be too long.
my $base = $ENV{MSGTRACE_RUN} // plan skip_all => 'run by tests/run/check';
local $ENV{O365_MSGTRACE_PRIVATE} = $base;
local $ENV{DEMO_FAST} = 1;
my $root = root();
my $private;

# Runs a script of tests/run; returns its exit status and what it said.
sub script
{
	my ($name) = @_;
	my $log = folder() . "/$name.log";
	my $process = MsgTrace::Process::start(
		command => [ 'bash', "$root/tests/run/$name" ],
		stdout => $log,
		merge => 1);
	my $status = MsgTrace::Process::finish($process->{pid}, 300) // 'too slow';
	local $/;
	open my $file, '<:encoding(UTF-8)', $log or die "$log: $!";
	return ($status, <$file> // '');
}

# The processes whose program lies in the demonstration's folder.
sub processes
{
	return grep { (readlink("$_/exe") // '') =~ m{^\Q$private\E/} } glob '/proc/[0-9]*';
}

my ($status, $text) = script('demo');
is($status, 0, 'the demonstration runs') || diag($text);
($private) = grep { -d } glob "$base/o365_msgtrace-*";

for my $caption (
	'A tenant: server, user mapping, and its traces as a table',
	'Is all as it should be?',
	'The newest messages',
	"One person's failed mail of the last day",
	'Traces beside a table of our own: mail by department',
	'The newest three of all, with few requests',
	'A join with a small table asks for its rows alone',
	'Why a delivery failed',
	'What a query asks of the service',
	"What is left of the tenant's budget of requests",
	'A local copy, kept by pg_cron',
	'Is the copy well, and what has it?',
	'Mail flow by hour',
	'Go on')
{
	like($text, qr/^-- \Q$caption\E -+$/m, "it has the caption: $caption");
}

# What a caption is followed by, up to the next one.
sub chapter
{
	my ($caption) = @_;
	my ($chapter) = $text =~ /^-- \Q$caption\E[^\n]*\n(.*?)(?=^-- \S[^\n]*-----|\z)/ms;
	return $chapter // '';
}

like(chapter('Is all'), qr/^ list +\| t /m, 'check() says yes');
unlike(chapter('Is all'), qr/\| f /, '… and nowhere no');
like(chapter('The newest'), qr/\(8 rows\)/, 'eight newest messages');
like(chapter("One person's"), qr/\([1-6] rows?\)/, 'failed mail of one person');
like(chapter('Traces beside'), qr/Finance.*\(4 rows\)/s, 'four departments');
like(chapter('The newest three'), qr/\(3 rows\).*^ +[1-5] \| +\d+$/ms, 'the newest with few requests');
like(chapter('A join with'), qr/^ *Requests: [1-3]$/m, 'a join with a request for each row');
like(chapter('Why a'), qr/\| Fail .*^ +1 \| +\d+$/ms, 'the details of a failed delivery');
like(chapter('What a query'), qr/Foreign Scan on mail\.message_trace.*rows=/s, 'a plan that ran');
like(chapter('What a query'), qr/recipientAddress eq/, 'with the request that was made');
like(chapter('What is left'), qr/graph \| +90 \| 00:05:00 .*\(1 row\)/s, 'a budget that is shared');
like(chapter('Is the copy'), qr/status .*\(1 row\).*covered_until.*\(1 row\)/s, 'health and coverage of the copy');
my @bars = chapter('Mail flow') =~ /\| █+ *$/mg;
cmp_ok(scalar @bars, '>=', 12, 'a bar for each of twelve hours');
like($text, qr/psql -U postgres -d demo/, 'how to go on');
like($text, qr/make demo-stop/, 'how to stop');

# The paths of this nested private folder are longer than anybody else's.
my @wide = grep { length > 80 && !/\Q$private\E/ } split /\n/, $text;
is(scalar @wide, 0, 'no line is wider than 80 characters') || diag(join "\n", @wide);

SKIP:
{
	skip 'the demonstration did not run', 4 if $status ne '0';
	ok(processes() > 2, 'its servers go on running');

	# As after a crash of everything, and while the rest still runs.
	my ($postmaster) = do { open my $f, '<', "$private/demo/data/postmaster.pid"; <$f> };
	kill 'KILL', $postmaster;
	($status, my $again) = script('demo');
	is($status, 0, 'a second demonstration runs after a crash') || diag($again);

	($status, my $end) = script('demo-stop');
	is($status, 0, 'demo-stop ends it') || diag($end);
	is(scalar processes(), 0, 'and leaves no process');
}

script('clean');
ok(!defined $private || !-e $private, 'clean removes the private folder');

done_testing();
