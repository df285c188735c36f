# tests/lib/MsgTrace/Service.pm
#
# The simulated service (tests/service) for one test file, over HTTPS on a free
# port of 127.0.0.1. It ends with the test. Its options are those of the
# program with _ for -; flags take 1.
#
#   my $service = MsgTrace::Service->start(
#       now => '2026-05-10T12:00:00Z', rows_per_day => 5000, seed => 7, shuffle => 1);
#
#   $service->origin, ->report_url   https://localhost:PORT, the list's URL
#   $service->{tenant}, {client_id}, {client_secret}, {ca_file}, {port}
#
#   $service->fault({ on => 'list', fault => 'status', status => 503 }, …)
#   $service->faults_left            a list of what has not happened yet
#   $service->clear_faults
#   $service->requests               what was asked since clear_requests: a list of
#                                    { method, path, query, status, rows, … }
#   $service->list_requests          those for the list only
#   $service->clear_requests
#   $service->now                    its clock
#   $service->set_clock(now => …) or (advance => seconds) or (run => 1)
#   $service->add_rows({ … }, …), ->clear_rows
#   $service->settings(page_delay => 100, …)
#   $service->reset
#   $service->truth($from, $to[, $as_of])   CSV text; save_truth($file, …) to a file
#   $service->get($path)             any other GET: the body
#   $service->stop, ->log

package MsgTrace::Service;

use strict;
use warnings;

use JSON::PP;

use MsgTrace::Process qw(folder root wait_for);

my $count = 0;
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# A folder with ca.pem, server.pem and server.key.
sub certificates
{
	my $certs = $ENV{MSGTRACE_RUN} ? "$ENV{MSGTRACE_RUN}/certs" : folder() . '/certs';
	if (!-s "$certs/server.pem")
	{
		system('bash', root() . '/tests/run/certificates', $certs) == 0
		  or die "no certificates\n";
	}
	return $certs;
}

sub start
{
	my ($class, %options) = @_;
	my $certs = certificates();
	my $self = bless {
		tenant => $options{tenant} // '11111111-2222-3333-4444-555555555555',
		client_id => $options{client_id} // 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
		client_secret => $options{client_secret} // 'demo~secret.of-the-simulated-service',
		ca_file => "$certs/ca.pem",
		log_file => folder() . '/service' . ++$count . '.log',
	}, $class;

	my @command = (
		root() . '/tests/service/msgtrace-service',
		'--tls-cert', "$certs/server.pem", '--tls-key', "$certs/server.key");
	for my $name (sort keys %options)
	{
		my $value = $options{$name};
		next if !defined $value;
		push @command, '--' . ($name =~ tr/_/-/r);
		push @command, $value if $name !~ /^(?:shuffle|log_requests)$/;
	}
	my $process = MsgTrace::Process::start(
		command => \@command,
		pipe => 1,
		stderr => $self->{log_file});
	MsgTrace::Process::show_on_failure($self->{log_file});
	$self->{pid} = $process->{pid};
	my $line = MsgTrace::Process::read_line($process->{out}, 30) // '';
	$line =~ /^listening (\d+)$/ or die "the simulated service does not start: '$line'\n";
	$self->{port} = $1;
	$self->{out} = $process->{out};    # closing it would end the service's stdout
	return $self;
}

sub origin
{
	my ($self) = @_;
	return "https://localhost:$self->{port}";
}

sub report_url
{
	my ($self) = @_;
	return $self->origin . '/v1.0/admin/exchange/tracing/messageTraces';
}

sub stop
{
	my ($self) = @_;
	MsgTrace::Process::stop($self->{pid});
	return;
}

sub log
{
	my ($self) = @_;
	local $/;
	open my $file, '<', $self->{log_file} or return '';
	return <$file>;
}

# ---- asking it -------------------------------------------------------------------

# curl comes with the packages; Perl's own HTTP client cannot do TLS without
# more of them. The body goes through a file, since it may be large.
sub _curl
{
	my ($self, $method, $path, $body, $out) = @_;
	my $name = folder() . '/curl' . ++$count;
	my @command = (
		qw(curl -sS -q --noproxy * --max-time 120 --cacert),
		$self->{ca_file}, '-X', $method, '-o', $out // "$name.out", '-w', '%{http_code}');

	if (defined $body)
	{
		open my $file, '>:raw', "$name.in" or die "$name.in: $!";
		print $file $body;
		close $file;
		push @command, '-H', 'Content-Type: application/json', '--data-binary', "\@$name.in";
	}
	open my $pipe, '-|', @command, $self->origin . $path or die "curl: $!";
	my $status = <$pipe> // 0;
	close $pipe;
	local $/;
	my $text = '';
	if (!defined $out && open my $file, '<:raw', "$name.out")
	{
		$text = <$file> // '';
	}
	unlink "$name.in", "$name.out";
	die "$method $path gave $status: $text\n" if $status !~ /^2/;
	return $text;
}

sub get
{
	my ($self, $path) = @_;
	return $self->_curl('GET', $path);
}

sub _control
{
	my ($self, $method, $what, $value) = @_;
	my $text =
	  $self->_curl($method, "/control/$what", defined $value ? $json->encode($value) : undef);
	return $text =~ /^\s*[\[{]/ ? $json->decode($text) : $text;
}

sub fault
{
	my ($self, @faults) = @_;
	$self->_control('POST', 'faults', \@faults);
	return;
}

sub faults_left
{
	my ($self) = @_;
	return @{ $self->_control('GET', 'faults') };
}

sub clear_faults
{
	my ($self) = @_;
	$self->_control('DELETE', 'faults');
	return;
}

sub requests
{
	my ($self) = @_;
	return @{ $self->_control('GET', 'log') };
}

sub list_requests
{
	my ($self) = @_;
	return grep { $_->{path} =~ m{/messageTraces$} } $self->requests;
}

sub clear_requests
{
	my ($self) = @_;
	$self->_control('DELETE', 'log');
	return;
}

sub now
{
	my ($self) = @_;
	return $self->_control('GET', 'clock')->{now};
}

# JSON knows numbers and truth values, Perl does not: say which is meant.
sub set_clock
{
	my ($self, %change) = @_;
	$change{advance} += 0 if defined $change{advance};
	$change{run} = $change{run} ? JSON::PP::true : JSON::PP::false if defined $change{run};
	$self->_control('POST', 'clock', \%change);
	return;
}

sub settings
{
	my ($self, %change) = @_;
	for my $name (keys %change)
	{
		$change{$name} =
		  $name eq 'shuffle'
		  ? ($change{$name} ? JSON::PP::true : JSON::PP::false)
		  : $change{$name} + 0;
	}
	$self->_control('POST', 'settings', \%change);
	return;
}

sub add_rows
{
	my ($self, @rows) = @_;
	$self->_control('POST', 'rows', \@rows);
	return;
}

sub clear_rows
{
	my ($self) = @_;
	$self->_control('DELETE', 'rows');
	return;
}

sub reset
{
	my ($self) = @_;
	$self->_control('POST', 'reset', {});
	return;
}

sub _truth_path
{
	my ($from, $to, $as_of) = @_;
	my $path = '/control/truth?from=' . _escape($from) . '&to=' . _escape($to);
	$path .= '&as_of=' . _escape($as_of) if defined $as_of;
	return $path;
}

sub _escape
{
	my ($text) = @_;
	return $text =~ s/([^A-Za-z0-9.:_-])/sprintf '%%%02X', ord $1/ger;
}

sub truth
{
	my ($self, @range) = @_;
	return $self->get(_truth_path(@range));
}

sub save_truth
{
	my ($self, $file, @range) = @_;
	$self->_curl('GET', _truth_path(@range), undef, $file);
	return $file;
}

1;
