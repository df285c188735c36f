# tests/lib/MsgTrace/Process.pm
#
# The processes and the folder of one test file: nothing that a test starts
# outlives it, however it ends, and nothing is ended but by its own id.
#
#   folder()             the test's folder, made on first use, removed when the
#                        test has passed
#   start(%how)          starts a program: command => [...], stdout, stderr =>
#                        file names, pipe => 1 for a handle on its output, feed
#                        => 1 for one on its input, merge => 1 for messages
#                        among the output; returns { pid, in, out }
#   finish($pid, $seconds)   waits for its end: the status, undef when too late
#   read_line($handle, $seconds)   a line of a pipe, undef when none comes
#   stop($pid[, $signal, $seconds])   ends it and waits
#   guard($pid)          ends $pid, too, when the test ends (a daemon's)
#   wait_for($what, $seconds, $code)  until $code is true; dies after $seconds
#   children($pid)       the ids of its children
#   free_port()          a TCP port that is free on 127.0.0.1

package MsgTrace::Process;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(basename dirname);
use File::Path qw(make_path remove_tree);
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(folder start stop guard wait_for free_port root);

my $owner = $$;    # END runs in forked children, too
my $folder;
my %guarded;       # pid => signal that ends it
my @last_words;    # code that shows logs when the test has failed

$SIG{$_} = sub { exit 1 } for qw(TERM INT HUP);
$SIG{PIPE} = 'IGNORE';

# The top of the tree that this library stands in.
sub root
{
	return abs_path(dirname(__FILE__) . '/../../..');
}

sub folder
{
	if (!defined $folder)
	{
		my $base = $ENV{MSGTRACE_RUN} || '/var/tmp';
		$folder = "$base/t/" . basename($0, '.t') . "-$$";
		make_path($folder, { mode => 0700 });
	}
	return $folder;
}

sub start
{
	my (%how) = @_;
	my ($out, $child_out, $in, $child_in);

	if ($how{pipe})
	{
		pipe($out, $child_out) or die "pipe: $!";
	}
	if ($how{feed})
	{
		pipe($child_in, $in) or die "pipe: $!";
	}
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		if ($how{feed})
		{
			open STDIN, '<&', $child_in;
		}
		else
		{
			open STDIN, '<', '/dev/null';
		}
		if ($how{pipe})
		{
			open STDOUT, '>&', $child_out;
		}
		elsif ($how{stdout})
		{
			open STDOUT, '>', $how{stdout};
		}
		open STDERR, '>>', $how{stderr} if $how{stderr};
		open STDERR, '>&', \*STDOUT if $how{merge};
		{
			no warnings 'exec';
			exec { $how{command}[0] } @{ $how{command} };
		}
		print STDERR "cannot start $how{command}[0]: $!\n";
		POSIX::_exit(127);
	}
	close $child_out if $how{pipe};
	close $child_in if $how{feed};
	$guarded{$pid} = 'TERM';
	return { pid => $pid, in => $in, out => $out };
}

sub finish
{
	my ($pid, $seconds) = @_;
	my $until = time + $seconds;
	my $pause = 0.001;

	while (waitpid($pid, POSIX::WNOHANG()) != $pid)
	{
		if (time > $until)
		{
			stop($pid);
			return;
		}
		sleep $pause;
		$pause *= 1.5 if $pause < 0.05;
	}
	delete $guarded{$pid};
	return $?;
}

sub read_line
{
	my ($handle, $seconds) = @_;
	my $until = time + $seconds;
	my $line = '';

	while ($line !~ /\n/ && time < $until)
	{
		next if !IO::Select->new($handle)->can_read(0.2);
		sysread($handle, $line, 1, length $line) or return;
	}
	return $line =~ s/\n\z//r;
}

sub guard
{
	my ($pid, $signal) = @_;
	$guarded{$pid} = $signal // 'TERM';
	return $pid;
}

sub children
{
	my ($parent) = @_;
	my @children;
	for my $file (glob '/proc/[0-9]*/stat')
	{
		open my $stat, '<', $file or next;
		push @children, $1 if (<$stat> // '') =~ /^(\d+) \(.*\) \w $parent /;
	}
	return @children;
}

sub running
{
	my ($pid) = @_;
	waitpid($pid, POSIX::WNOHANG());
	return 0 if !kill(0, $pid);
	open my $stat, '<', "/proc/$pid/stat" or return 0;
	return (<$stat> // '') !~ /\) Z /;
}

sub stop
{
	my ($pid, $signal, $seconds) = @_;
	my $until = time + ($seconds // 10);

	delete $guarded{$pid};
	kill $signal // 'TERM', $pid;
	while (running($pid))
	{
		if (time > $until)
		{
			kill 'KILL', $pid;
			$until += 5;
		}
		sleep 0.02;
	}
	return;
}

sub wait_for
{
	my ($what, $seconds, $code) = @_;
	my $until = time + $seconds;
	while (1)
	{
		my $result = $code->();
		return $result if $result;
		die "waited $seconds seconds in vain: $what\n" if time > $until;
		sleep 0.05;
	}
	return;
}

sub free_port
{
	my $socket = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		LocalPort => 0,
		Proto => 'tcp',
		Listen => 1) or die "no free port: $!";
	return $socket->sockport;
}

# Registers a log whose end is shown when the test has failed.
sub show_on_failure
{
	my ($file) = @_;
	push @last_words, $file;
	return;
}

END
{
	if ($$ == $owner)
	{
		my $status = $?;
		my $failed = $status != 0 || !Test::More->builder->is_passing;

		stop($_, $guarded{$_}, 5) for keys %guarded;
		if ($failed)
		{
			for my $file (grep { -s } @last_words)
			{
				diag("the last lines of $file:");
				diag(scalar `tail -n 30 '$file'`);
			}
		}
		elsif (defined $folder)
		{
			remove_tree($folder);
		}
		$? = $status;
	}
}

1;
