# tests/lib/MsgTrace/Session.pm
#
# A psql that stays connected: for transactions over several calls, prepared
# statements, cursors, and statements that are to be cancelled while they run.
#
#   my $session = $node->session;            # options: as of $node->sql
#   $session->sql($sql[, $seconds])   runs it, returns the output; dies on an error
#   $session->sql_error($sql)         the error, as $node->sql_error
#   $session->send($sql)              starts it and returns at once
#   $session->receive([$seconds])     waits for its end (120 s): output and
#                                     messages as one text, errors included
#   $session->busy                    whether it still runs what was sent
#   $session->pid                     the backend's process id
#   $session->wait_active             until the server has begun what was sent
#   $session->cancel                  waits for that, then as pg_cancel_backend
#   $session->quit                    ends it (also done at the end of the test)

package MsgTrace::Session;

use strict;
use warnings;

use IO::Select;
use Time::HiRes qw(time);

use MsgTrace::Process ();

sub new
{
	my ($class, $node, %how) = @_;
	my $self = bless { node => $node, count => 0, buffer => '', sent => 0 }, $class;
	my $set = $how{set} // {};

	local $ENV{PGOPTIONS} = join ' ',
	  map { "-c $_=" . ($set->{$_} =~ s/([\\ ])/\\$1/gr) } sort keys %$set;
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	my @command = $node->psql_command(%how);
	my $process = MsgTrace::Process::start(
		command => [ @command, '-v', 'ON_ERROR_STOP=0', '-f', '-' ],
		pipe => 1,
		feed => 1,
		merge => 1);
	@$self{qw(psql in out)} = @$process{qw(pid in out)};
	binmode $self->{in}, ':encoding(UTF-8)';
	$self->{pid} = $self->sql('SELECT pg_backend_pid()');
	return $self;
}

sub pid
{
	my ($self) = @_;
	return $self->{pid};
}

# The end of a statement's output is a line that only this echo can have made.
sub send
{
	my ($self, $sql) = @_;
	die "the session still waits for another statement\n" if $self->{sent};
	$self->{mark} = sprintf '=== end of %d in %d ===', ++$self->{count}, $$;
	$self->{sent} = 1;
	my $in = $self->{in};
	print $in "$sql\n;\n\\echo '$self->{mark}'\n";
	$in->flush;
	return;
}

# Reads what there is; true when the statement has ended.
sub _read
{
	my ($self, $seconds) = @_;
	my $select = IO::Select->new($self->{out});

	if ($select->can_read($seconds))
	{
		my $bytes = sysread $self->{out}, $self->{buffer}, 65536, length $self->{buffer};
		if (!$bytes)
		{
			$self->{sent} = 0;
			$self->{ended} = 1;
			return 1;
		}
	}
	return index($self->{buffer}, "$self->{mark}\n") >= 0;
}

sub busy
{
	my ($self) = @_;
	return $self->{sent} && !$self->_read(0);
}

sub receive
{
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // 120);
	my $text;

	while (!$self->_read(0.2))
	{
		die "a statement still runs after its time; so far: $self->{buffer}\n" if time > $until;
	}
	if ($self->{ended})
	{
		($text, $self->{buffer}) = ($self->{buffer}, '');
	}
	else
	{
		my $end = index $self->{buffer}, "$self->{mark}\n";
		$text = substr $self->{buffer}, 0, $end;
		substr $self->{buffer}, 0, $end + length("$self->{mark}\n"), '';
	}
	$self->{sent} = 0;
	utf8::decode($text);
	$text =~ s/\n\z//;
	return $text;
}

sub sql
{
	my ($self, $sql, $seconds) = @_;
	$self->send($sql);
	my $text = $self->receive($seconds);
	die "SQL failed: $sql\n$text\n" if $self->{ended} || $text =~ /(?:ERROR|FATAL):  \w{5}: /;
	return $text;
}

sub sql_error
{
	my ($self, $sql, $seconds) = @_;
	$self->send($sql);
	my $text = $self->receive($seconds);
	return if $text !~ /(?:ERROR|FATAL):  \w{5}: /;
	return MsgTrace::Cluster::parse_error($text);
}

sub wait_active
{
	my ($self) = @_;
	$self->{node}->wait_until(
		"SELECT state = 'active' FROM pg_stat_activity WHERE pid = $self->{pid}");
	return;
}

# Not by psql's own Ctrl-C, after which it ends when it reads from a pipe.
sub cancel
{
	my ($self) = @_;
	$self->wait_active;
	kill 'INT', $self->{pid};
	return;
}

sub quit
{
	my ($self) = @_;
	close $self->{in};
	MsgTrace::Process::stop($self->{psql});
	return;
}

1;
