# tests/lib/MsgTrace/Service.pm
#
# The simulated service (tests/service) for one test file, over HTTPS on a free
# port of 127.0.0.1. It ends with the test. Its options are those of the
# program with _ for -; flags take 1.
#
#   my $service = MsgTrace::Service->start(
#       now => '2026-05-10T12:00:00Z', rows_per_day => 5000, seed => 7, shuffle => 1);
#
#   $service->origin, ->report_url   https://localhost:PORT, Graph's list
#   $service->report_url('reporting')   the Reporting web service's
#   $service->{tenant}, {client_id}, {client_secret}, {ca_file}, {port}
#
#   $service->fault({ on => 'list', fault => 'status', status => 503 }, …)
#   $service->faults_instead(…)      the same in place of what is left
#   $service->faults_left            a list of what has not happened yet
#   $service->clear_faults
#   $service->requests               what was asked since clear_requests: a list of
#                                    { method, path, query, status, rows, … }
#   $service->list_requests          those for a list only, of either interface
#   $service->detail_requests, ->token_requests
#   $service->clear_requests
#   $service->now                    its clock
#   $service->set_clock(now => …) or (advance => seconds) or (run => 1)
#   $service->add_rows({ … }, …), ->clear_rows
#   $service->settings(page_delay => 100, roles => 'none', …)
#   $service->add_tenant(id => …, domain => …)    one more, or changed: see the
#   $service->add_client(id => …, secret => …, …) README of the service for what
#   $service->add_user(name => …, password => …)  else can be said
#   $service->register_certificate($pem_file[, $client]), ->unregister_certificate
#   $service->quota                  a list of { tenant, api, requests, highest,
#                                    allowed, refused }; ->clear_quota
#   $service->reset
#   $service->truth($from, $to[, $as_of[, $tenant]])   CSV text; save_truth($file, …)
#                                    to a file
#   $service->detail_truth([$id, $recipient], …)   CSV text of their events, as
#                                    columns of message_trace_detail; save_detail_truth($file, …)
#   $service->get($path)             any other GET: the body
#   $service->stop, ->log
#   $service->kill9              as a power cut would have it; what it was told is lost
#   $service->restart(%options)  after either: at the same port, with the options of
#                                start and these (the clock: now => …)

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
		options => {
			%options,
			tls_cert => "$certs/server.pem",
			tls_key => "$certs/server.key"
		},
	}, $class;

	MsgTrace::Process::show_on_failure($self->{log_file});
	$self->_start;
	return $self;
}

sub _start
{
	my ($self) = @_;
	my %options = %{ $self->{options} };
	my @command = (root() . '/tests/service/msgtrace-service');

	for my $name (sort keys %options)
	{
		my $value = $options{$name};
		next if !defined $value;
		push @command, '--' . ($name =~ tr/_/-/r);
		push @command, $value if $name !~ /^(?:shuffle|log_requests|quota_counts_refused)$/;
	}
	my $process = MsgTrace::Process::start(
		command => \@command,
		pipe => 1,
		stderr => $self->{log_file});
	$self->{pid} = $process->{pid};
	my $line = MsgTrace::Process::read_line($process->{out}, 30) // '';
	$line =~ /^listening (\d+)$/ or die "the simulated service does not start: '$line'\n";
	$self->{port} = $1;
	$self->{out} = $process->{out};    # closing it would end the service's stdout
	return;
}

sub kill9
{
	my ($self) = @_;
	MsgTrace::Process::stop($self->{pid}, 'KILL');
	return;
}

sub restart
{
	my ($self, %options) = @_;
	$self->stop if MsgTrace::Process::running($self->{pid});
	$self->{options} = { %{ $self->{options} }, port => $self->{port}, %options };
	$self->_start;
	return;
}

sub origin
{
	my ($self) = @_;
	return "https://localhost:$self->{port}";
}

sub report_url
{
	my ($self, $api) = @_;
	return $self->origin
	  . (($api // 'graph') eq 'reporting'
		? '/ecp/reportingwebservice/reporting.svc/MessageTrace'
		: '/v1.0/admin/exchange/tracing/messageTraces');
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

sub faults_instead
{
	my ($self, @faults) = @_;
	$self->_control('PUT', 'faults', \@faults);
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
	return grep { $_->{path} =~ m{/(?:messageTraces|MessageTrace)$} } $self->requests;
}

sub detail_requests
{
	my ($self) = @_;
	return grep { $_->{path} =~ m{/getDetailsByRecipient\(|/MessageTraceDetail$} } $self->requests;
}

sub token_requests
{
	my ($self) = @_;
	return grep { $_->{path} =~ m{/token$} } $self->requests;
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
	_truths(\%change, qw(shuffle service_principal quota_counts_refused));
	for my $value (values %change)
	{
		$value += 0 if !ref $value && $value =~ /^-?\d+$/;
	}
	$self->_control('POST', 'settings', \%change);
	return;
}

# Makes JSON's truth values of those members that are there.
sub _truths
{
	my ($document, @names) = @_;
	for my $name (grep { exists $document->{$_} } @names)
	{
		$document->{$name} = $document->{$name} ? JSON::PP::true : JSON::PP::false;
	}
	return;
}

sub add_tenant
{
	my ($self, %of) = @_;
	_truths(\%of, 'service_principal');
	$self->_control('POST', 'tenants', \%of);
	return;
}

sub add_client
{
	my ($self, %of) = @_;
	_truths(\%of, qw(consent blocked));
	$self->_control('POST', 'clients', \%of);
	return;
}

sub add_user
{
	my ($self, %of) = @_;
	_truths(\%of, 'role');
	$self->_control('POST', 'users', \%of);
	return;
}

sub register_certificate
{
	my ($self, $file, $client, $registered) = @_;
	local $/;
	open my $in, '<', $file or die "$file: $!";
	my %of = (certificate => scalar <$in>, registered => $registered // 1);
	$of{client} = $client if defined $client;
	_truths(\%of, 'registered');
	$self->_control('POST', 'certificates', \%of);
	return;
}

sub unregister_certificate
{
	my ($self, $file, $client) = @_;
	return $self->register_certificate($file, $client, 0);
}

sub quota
{
	my ($self) = @_;
	return @{ $self->_control('GET', 'quota') };
}

sub clear_quota
{
	my ($self) = @_;
	$self->_control('DELETE', 'quota');
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
	my ($from, $to, $as_of, $tenant) = @_;
	my $path = '/control/truth?from=' . _escape($from) . '&to=' . _escape($to);
	$path .= '&as_of=' . _escape($as_of) if defined $as_of;
	$path .= '&tenant=' . _escape($tenant) if defined $tenant;
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

sub _detail_body
{
	my (@deliveries) = @_;
	return $json->encode([ map { { id => $_->[0], recipient => $_->[1] } } @deliveries ]);
}

sub detail_truth
{
	my ($self, @deliveries) = @_;
	return $self->_curl('POST', '/control/truth/details', _detail_body(@deliveries));
}

sub save_detail_truth
{
	my ($self, $file, @deliveries) = @_;
	$self->_curl('POST', '/control/truth/details', _detail_body(@deliveries), $file);
	return $file;
}

sub save_truth
{
	my ($self, $file, @range) = @_;
	$self->_curl('GET', _truth_path(@range), undef, $file);
	return $file;
}

1;
