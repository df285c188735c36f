# tests/lib/MsgTrace/Cluster.pm
#
# A private PostgreSQL for one test file (texts in and out are characters: use
# utf8 where a test has any beyond ASCII): no TCP, a socket in the test's own
# folder, superuser "postgres", UTF8, locale C, no fsync. It ends with the test.
#
#   my $node = MsgTrace::Cluster->start(
#       preload => 'pg_cron, o365_msgtrace',   # shared_preload_libraries
#       conf    => { work_mem => '1MB' });     # other settings
#
#   $node->sql($sql, %how)       runs it, returns the output: unaligned, columns
#                                parted by |, no last newline; dies on an error
#   $node->sql_error($sql, %how) the error it gives: { sqlstate, message,
#                                detail, hint, text }, or undef when none
#   $node->messages($sql, %how)  what it says beside results (NOTICE, WARNING …)
#       %how: user, dbname, set => { timezone => … }, seconds (a limit, 120)
#   $node->explain($sql[, $options])  the plan as text (default: VERBOSE, COSTS OFF)
#   $node->wait_until($sql[, $seconds])  until it returns t (60 s)
#   $node->session(%how)         a psql that stays: see MsgTrace::Session
#   $node->use_database($name)   is where all of this takes place from now on, unless
#                                dbname says otherwise; it is made
#   $node->program($name, @arguments)   runs one of the server's own programs; dies
#                                with what it said when that fails
#
#   $node->create_server($service, %options)
#       Extension, server, mapping for PUBLIC, schema and the imported tables
#       for a MsgTrace::Service, without a budget of requests. Of the options these
#       are its own, all others are the server's: name (default "tenant"), schema ("mail"), mapping =>
#       { … }, user (of the mapping: PUBLIC). undef leaves an option out.
#   $node->load_truth($service, $table, $from, $to[, $as_of[, $tenant]])
#       Makes the plain table with what the service holds in [from, to).
#   $node->same_rows($name, $query, $truth_query, %how)
#       A test: both give the same rows, by EXCEPT ALL both ways, in one
#       transaction (so that now() is one time). %how: also before => statements
#       that come first, at_least => rows (1) without which the test shows nothing.
#
#   $node->stop($mode), ->restart($mode), ->kill9   'fast', 'immediate'; the
#                                last one kills the postmaster and all it started;
#                                restart works after each
#   $node->upgrade_to($other)    moves all that it holds into the other, empty one by
#                                pg_upgrade; this one is down then, the other runs
#   $node->standby               another cluster that follows this one by streaming
#                                replication, read-only (->promote ends that); this
#                                one is restarted for it; ->catch_up($node) waits
#                                until it has what the other has
#   $node->log                   the server's log so far
#   $node->backend_memory($pid), ->backend_files($pid)   kB resident and
#                                private; number of open file descriptors
#                                that are none of the data directory
#   $node->cron_available        whether pg_cron is installed
#
# Outside of the scripts of tests/run the programs are those of pg_config. To
# run one file in the right surroundings, rebuilding only what has changed, as
# root or not:
#
#   tests/run/check tests/t/030_exact.t
#
# and to see more of it: VERBOSE=1 tests/run/check … . Several people in one
# clone: O365_MSGTRACE_PRIVATE=/var/tmp/mine (an existing folder that the
# account of the servers may enter) gives a run that is apart from all others.

package MsgTrace::Cluster;

use strict;
use warnings;

use Test::More import => [qw(ok diag)];

use MsgTrace::Process qw(folder guard wait_for);
use MsgTrace::Session;

delete @ENV{ grep { /^PG/ && $_ ne 'PG_CONFIG' } keys %ENV };

my $count = 0;

sub bindir
{
	my $bindir = $ENV{MSGTRACE_BINDIR};
	if (!defined $bindir)
	{
		my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
		chomp($bindir = `$pg_config --bindir`);
	}
	return $bindir;
}

sub start
{
	my ($class, %how) = @_;
	my $folder = folder() . '/n' . ++$count;
	my $self = bless {
		folder => $folder,
		data => "$folder/data",
		log_file => "$folder/log",
		bindir => bindir(),
		dbname => 'postgres',
	}, $class;

	mkdir $folder or die "$folder: $!";
	$self->_initdb;
	$self->_configure(%how);
	MsgTrace::Process::show_on_failure($self->{log_file});
	$self->_start;
	return $self;
}

# A data directory takes a second or two to make, so that the check script makes
# one to be copied.
sub _initdb
{
	my ($self) = @_;
	my $template = ($ENV{MSGTRACE_RUN} // '') . '/template';
	my @command =
	  -f "$template/PG_VERSION"
	  ? ('cp', '-a', $template, $self->{data})
	  : (
		"$self->{bindir}/initdb", qw(-A trust -U postgres -E UTF8 --locale=C --no-sync -D),
		$self->{data});
	_run_quietly("$self->{folder}/initdb.log", @command);
	return;
}

sub _configure
{
	my ($self, %how) = @_;
	my %conf = (
		listen_addresses => '',
		unix_socket_directories => $self->{folder},
		shared_preload_libraries => $how{preload} // '',
		dynamic_shared_memory_type => 'mmap',    # leaves nothing in /dev/shm
		shared_buffers => '32MB',
		max_connections => 40,
		fsync => 'off',
		autovacuum => 'off',
		log_statement => 'all',
		log_line_prefix => '%m [%p] %q%u ',
		timezone => 'UTC',
		datestyle => 'ISO, MDY',
		lc_messages => 'C',
		jit => 'off',
		'o365_msgtrace.clock_source' => 'service',
		%{ $how{conf} // {} });

	if (($how{preload} // '') =~ /pg_cron/)
	{
		$conf{'cron.database_name'} //= 'postgres';
		$conf{'cron.host'} //= $self->{folder};
	}
	open my $file, '>>', "$self->{data}/postgresql.conf" or die "postgresql.conf: $!";
	for my $name (sort keys %conf)
	{
		(my $value = $conf{$name}) =~ s/'/''/g;
		print $file "$name = '$value'\n";
	}
	close $file or die "postgresql.conf: $!";
	return;
}

# The postmaster is a child of the test's, which can so wait for its end. The
# eighth line of its pid file tells when it takes connections.
sub _start
{
	my ($self) = @_;
	my $process = MsgTrace::Process::start(
		command => [ "$self->{bindir}/postgres", '-D', $self->{data} ],
		stdout => "$self->{folder}/stdout",
		stderr => $self->{log_file});
	$self->{pid} = guard($process->{pid}, 'QUIT');
	wait_for(
		'PostgreSQL to start',
		60,
		sub {
			my @lines = split /\n/, _slurp("$self->{data}/postmaster.pid");
			die "PostgreSQL does not start\n" if !MsgTrace::Process::running($self->{pid});
			return ($lines[0] // 0) == $self->{pid} && ($lines[7] // '') =~ /ready/;
		});
	return;
}

sub _run_quietly
{
	my ($log, @command) = @_;
	my $process = MsgTrace::Process::start(
		command => \@command,
		stdout => $log,
		stderr => $log);
	my $status = MsgTrace::Process::finish($process->{pid}, 120) // 'too slow';
	if ($status ne '0')
	{
		diag(scalar `cat '$log'`);
		die "$command[0] failed ($status)\n";
	}
	return;
}

sub stop
{
	my ($self, $mode) = @_;
	my %signal = (fast => 'INT', immediate => 'QUIT', smart => 'TERM');
	MsgTrace::Process::stop($self->{pid}, $signal{ $mode // 'fast' }, 60);
	return;
}

sub restart
{
	my ($self, $mode) = @_;
	$self->stop($mode) if MsgTrace::Process::running($self->{pid});
	$self->_start;
	return;
}

# As a power cut would have it. The server can be started again (restart).
sub kill9
{
	my ($self) = @_;
	my @children = MsgTrace::Process::children($self->{pid});
	kill 'KILL', $self->{pid}, @children;
	MsgTrace::Process::stop($self->{pid}, 'KILL');
	MsgTrace::Process::stop($_, 'KILL') for @children;
	return;
}

# A copy of the data directory of a server that is down is a base backup. The
# copy's configuration says the same again for its own folder: the last word counts.
sub standby
{
	my ($self) = @_;
	my $folder = folder() . '/n' . ++$count;
	my $standby = bless { %$self, folder => $folder, data => "$folder/data", log_file => "$folder/log" }, ref $self;

	$self->stop;
	mkdir $folder or die "$folder: $!";
	_run_quietly("$folder/copy.log", 'cp', '-a', $self->{data}, $standby->{data});
	$self->restart;
	unlink "$standby->{data}/postmaster.pid";
	open my $signal, '>', "$standby->{data}/standby.signal" or die "standby.signal: $!";
	open my $conf, '>>', "$standby->{data}/postgresql.conf" or die "postgresql.conf: $!";
	print $conf "unix_socket_directories = '$folder'\ncron.host = '$folder'\n",
	  "primary_conninfo = 'host=$self->{folder} user=postgres'\n";
	close $conf or die "postgresql.conf: $!";
	MsgTrace::Process::show_on_failure($standby->{log_file});
	$standby->_start;
	$self->wait_until("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')");
	return $standby;
}

# Both are down meanwhile. The other one keeps its own settings.
sub upgrade_to
{
	my ($self, $other) = @_;
	$_->stop for $self, $other;
	my $folder = folder() . '/u' . ++$count;
	mkdir $folder or die "$folder: $!";
	$other->program(
		'pg_upgrade', '-U', 'postgres', '-b', $self->{bindir}, '-B', $other->{bindir}, '-d', $self->{data}, '-D', $other->{data},
		'-s', $folder);
	$other->restart;
	return;
}

# Until the standby has all that its primary had when this was called.
sub catch_up
{
	my ($self, $primary) = @_;
	my $position = $primary->sql('SELECT pg_current_wal_flush_lsn()');
	$self->wait_until("SELECT pg_last_wal_replay_lsn() >= '$position'");
	return;
}

sub promote
{
	my ($self) = @_;
	$self->sql('SELECT pg_promote()');
	return;
}

sub use_database
{
	my ($self, $name) = @_;
	$self->sql("CREATE DATABASE $name");
	$self->{dbname} = $name;
	return;
}

# In a folder of its own, since some leave files where they run.
sub program
{
	my ($self, $name, @arguments) = @_;
	my $folder = folder() . '/p' . ++$count;
	mkdir $folder or die "$folder: $!";
	_run_quietly(
		"$folder/log", 'sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $folder, "$self->{bindir}/$name", @arguments);
	return;
}

sub log
{
	my ($self) = @_;
	local $/;
	open my $file, '<:encoding(UTF-8)', $self->{log_file} or return '';
	return <$file>;
}

# ---- SQL -----------------------------------------------------------------------

sub psql_command
{
	my ($self, %how) = @_;
	return (
		"$self->{bindir}/psql", qw(-X -q -A -t -v VERBOSITY=verbose -v ON_ERROR_STOP=1 -h),
		$self->{folder}, '-U', $how{user} // 'postgres', '-d', $how{dbname} // $self->{dbname});
}

# Runs psql on the statements; returns its exit status, output and messages.
sub _psql
{
	my ($self, $sql, %how) = @_;
	my $name = "$self->{folder}/psql" . ++$count;
	my $set = $how{set} // {};
	my $seconds = $how{seconds} // 120;
	my $options = join ' ', map { "-c $_=" . ($set->{$_} =~ s/([\\ ])/\\$1/gr) } sort keys %$set;

	open my $file, '>:encoding(UTF-8)', "$name.sql" or die "$name.sql: $!";
	print $file $sql;
	close $file;
	local $ENV{PGOPTIONS} = $options;
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	my $process = MsgTrace::Process::start(
		command => [ $self->psql_command(%how), '-f', "$name.sql" ],
		stdout => "$name.out",
		stderr => "$name.err");
	my $status = MsgTrace::Process::finish($process->{pid}, $seconds);
	my ($out, $err) = map { _slurp($_) } "$name.out", "$name.err";
	unlink "$name.sql", "$name.out", "$name.err";
	die "psql took more than $seconds seconds for: $sql\n" if !defined $status;
	$out =~ s/\n\z//;
	return ($status, $out, $err);
}

sub _slurp
{
	my ($name) = @_;
	local $/;
	open my $file, '<:encoding(UTF-8)', $name or return '';
	return <$file> // '';
}

sub sql
{
	my ($self, $sql, %how) = @_;
	my ($status, $out, $err) = $self->_psql($sql, %how);
	die "SQL failed: $sql\n$err" if $status != 0;
	return $out;
}

sub messages
{
	my ($self, $sql, %how) = @_;
	my (undef, undef, $err) = $self->_psql($sql, %how);
	return $err;
}

sub sql_error
{
	my ($self, $sql, %how) = @_;
	my ($status, undef, $err) = $self->_psql($sql, %how);
	return if $status == 0;
	return parse_error($err);
}

# The parts of the last error in what psql said with VERBOSITY verbose.
sub parse_error
{
	my ($text) = @_;
	my %error = (text => $text);
	if ($text =~ /.*(?:ERROR|FATAL|PANIC):  (\w{5}): (.*?)(?=\n[A-Z ]+: |\z)/s)
	{
		@error{qw(sqlstate message)} = ($1, $2);
		my $rest = substr $text, $+[0];
		for my $part (qw(DETAIL HINT CONTEXT))
		{
			$error{ lc $part } = $rest =~ /^$part:  (.*?)(?=\n[A-Z ]+: |\z)/ms ? $1 : '';
		}
	}
	s/\n\z// for grep { defined } values %error;
	return \%error;
}

sub explain
{
	my ($self, $sql, $options) = @_;
	return $self->sql('EXPLAIN (' . ($options // 'VERBOSE, COSTS OFF') . ") $sql");
}

sub wait_until
{
	my ($self, $sql, $seconds) = @_;
	wait_for($sql, $seconds // 60, sub { $self->sql($sql) eq 't' });
	return;
}

sub session
{
	my ($self, %how) = @_;
	return MsgTrace::Session->new($self, %how);
}

# ---- the foreign table and the truth -------------------------------------------

sub create_server
{
	my ($self, $service, %options) = @_;
	my $name = delete $options{name} // 'tenant';
	my $schema = delete $options{schema} // 'mail';
	my $user = delete $options{user} // 'PUBLIC';
	my %mapping = (
		client_id => $service->{client_id},
		client_secret => $service->{client_secret},
		%{ delete $options{mapping} // {} });
	my %server = (
		tenant_id => $service->{tenant},
		report_url => $service->report_url,
		authority_url => $service->origin,
		resource => $service->origin,
		ca_file => $service->{ca_file},
		quota_requests => 0,    # a test of the budget says so
		%options);

	$self->sql('CREATE EXTENSION IF NOT EXISTS o365_msgtrace;'
		  . "CREATE SERVER $name FOREIGN DATA WRAPPER o365_msgtrace"
		  . _options(%server)
		  . ";CREATE USER MAPPING FOR $user SERVER $name"
		  . _options(%mapping)
		  . ";CREATE SCHEMA IF NOT EXISTS $schema;"
		  . "IMPORT FOREIGN SCHEMA exchange FROM SERVER $name INTO $schema;");
	return;
}

sub _options
{
	my (%options) = @_;
	my @list;
	for my $name (sort grep { defined $options{$_} } keys %options)
	{
		(my $value = $options{$name}) =~ s/'/''/g;
		push @list, "$name '$value'";
	}
	return @list ? ' OPTIONS (' . join(', ', @list) . ')' : '';
}

my @columns = (
	'message_trace_id uuid',
	'message_id text',
	'received timestamptz',
	'sender_address text',
	'recipient_address text',
	'subject text',
	'status text',
	'size bigint',
	'from_ip inet',
	'to_ip inet');

sub load_truth
{
	my ($self, $service, $table, @range) = @_;
	my $file = $service->save_truth(folder() . '/truth' . ++$count . '.csv', @range);

	$self->sql("DROP TABLE IF EXISTS $table; CREATE TABLE $table ("
		  . join(', ', @columns)
		  . ");\n\\copy $table FROM '$file' (FORMAT csv, HEADER)\nANALYZE $table;");
	unlink $file;
	return;
}

sub same_rows
{
	my ($self, $name, $query, $truth, %how) = @_;
	my $before = delete $how{before} // '';
	my $at_least = delete $how{at_least} // 1;
	my $sql = sub {
		my ($sign, $left, $right) = @_;
		return "SELECT '$sign', * FROM ((SELECT * FROM ($left) l) EXCEPT ALL"
		  . " (SELECT * FROM ($right) r)) d";
	};
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $out, $err) = $self->_psql(
		"BEGIN; SET LOCAL client_min_messages = error; $before;"
		  . "CREATE TEMP TABLE given AS $query; CREATE TEMP TABLE truth_ AS $truth;"
		  . 'SELECT count(*) FROM given; SELECT count(*) FROM truth_;'
		  . $sql->('too many', 'SELECT * FROM given', 'SELECT * FROM truth_')
		  . ' LIMIT 5;'
		  . $sql->('missing', 'SELECT * FROM truth_', 'SELECT * FROM given')
		  . ' LIMIT 5; COMMIT',
		%how);
	my ($given, $wanted, $differences) = split /\n/, $out, 3;
	my $same = $status == 0 && $given == $wanted && !length($differences // '');
	my $ok = ok($same && $wanted >= $at_least, $name);
	if (!$ok)
	{
		diag(
			$status
			? $err
			: "$given rows instead of $wanted (at least $at_least); some that differ:\n"
			  . ($differences // ''));
	}
	return $ok;
}

# ---- looking at a backend --------------------------------------------------------

# Anonymous memory in kB: shared buffers that a backend has touched do not count.
sub backend_memory
{
	my ($self, $pid) = @_;
	my $status = _slurp("/proc/$pid/status");
	return $status =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die "no RssAnon for process $pid\n";
}

sub backend_files
{
	my ($self, $pid) = @_;
	# Those of relations come and go as the server's caches do.
	my @files = grep { index(readlink($_) // '', "$self->{data}/") != 0 } glob "/proc/$pid/fd/*";
	return scalar @files;
}

sub cron_available
{
	my ($self) = @_;
	return $self->sql("SELECT count(*) > 0 FROM pg_available_extensions WHERE name = 'pg_cron'") eq
	  't';
}

1;
