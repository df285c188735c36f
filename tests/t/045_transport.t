# tests/t/045_transport.t
#
# The way to the service: proxies (a real one, with CONNECT for https and
# without for http), certificates that are not to be trusted, answers that are
# too large or too slow, times that are limited or not. An error says whose fault
# it is, and no proxy is sent what is meant for the service.

use strict;
use warnings;
use utf8;

use IO::Socket::INET;
use MIME::Base64;
use POSIX qw(strftime);
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder free_port guard wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $list = '/v1.0/admin/exchange/tracing/messageTraces';
my $service = MsgTrace::Service->start(rows_per_day => 2000, quota => 0);
my $plain = other_service();
my $node = start_node();
my ($from, $to) = map { strftime('%Y-%m-%dT12:00:00Z', gmtime(time - $_ * 86400)) } 20, 19;
my $day = "received >= '$from' AND received < '$to'";
my %usual = (rows_per_day => 2000, page_size => 500, retry_initial_interval => '10ms', max_retries => 0);
$node->create_server($service, %usual, proxy => '');
my $count = $node->sql("SELECT count(*) FROM mail.message_trace WHERE $day");
cmp_ok($count, '>', 1000, 'a day fills several pages');

sub start_node
{
	my (%environment) = @_;
	local @ENV{ keys %environment } = values %environment;
	return MsgTrace::Cluster->start(
		conf => {
			'o365_msgtrace.clock_source' => 'local',
			log_statement => 'none',
			log_min_messages => 'debug1'
		});
}

# The same rows with another certificate, or without one: over HTTP without TLS,
# which is for loopback only.
my $others;
sub other_service
{
	my (@tls) = @_;
	my $process = MsgTrace::Process::start(
		command => [ MsgTrace::Process::root() . '/tests/service/msgtrace-service',
			'--rows-per-day', 2000, '--quota', 0, @tls ],
		pipe => 1,
		stderr => folder() . '/other' . ++$others . '.log');
	my $line = MsgTrace::Process::read_line($process->{out}, 30) // '';
	$line =~ /^listening (\d+)$/ or die "the other service does not start: '$line'\n";
	return { origin => (@tls ? 'https' : 'http') . "://localhost:$1", out => $process->{out} };
}

# A server of its own schema, which has its name.
my $servers = 0;
sub server
{
	my ($on, %options) = @_;
	my $name = 's' . ++$servers;
	$on->create_server($service, %usual, name => $name, schema => $name, %options);
	return $name;
}

sub at
{
	my ($other) = @_;
	return (
		report_url => "$other->{origin}$list",
		authority_url => $other->{origin},
		resource => $other->{origin});
}

sub answers
{
	my ($on, $name, $what) = @_;
	my $result = eval { $on->sql("SELECT count(*) FROM $name.message_trace WHERE $day") } // $@;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($result, $count, $what);
}

# Ends with an error of these properties.
sub fails
{
	my ($on, $name, $what, %expected) = @_;
	my $error = $on->sql_error("SELECT count(*) FROM $name.message_trace WHERE $day");
	my @wrong = $error ? grep { $error->{$_} !~ $expected{$_} } sort keys %expected : 'no error';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!@wrong, $what) || diag("wrong: @wrong\n" . ($error ? $error->{text} : ''));
	return $error;
}

# ---- proxies ------------------------------------------------------------------------

# tinyproxy, at a free port of loopback, ended by its id.
my $proxies = 0;
sub proxy
{
	my (@more) = @_;
	my $file = folder() . '/proxy' . ++$proxies;
	my $port = free_port();
	open my $conf, '>', "$file.conf" or die "$file.conf: $!";
	print $conf join "\n", "Port $port", 'Listen 127.0.0.1', 'Allow 127.0.0.1', 'Timeout 60',
	  'LogLevel Connect', "LogFile \"$file.log\"", @more, '';
	close $conf;
	MsgTrace::Process::start(
		command => [ 'tinyproxy', '-d', '-c', "$file.conf" ],
		stdout => "$file.out",
		merge => 1);
	wait_for('the proxy to listen', 30,
		sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) });
	return { url => "http://127.0.0.1:$port", port => $port, log => "$file.log", seen => 0 };
}

sub slurp
{
	my ($file) = @_;
	local $/;
	open my $handle, '<', $file or return '';
	return <$handle> // '';
}

# What the proxy was asked for since the last call: a list such as 'CONNECT host:port'.
sub asked
{
	my ($proxy) = @_;
	my @all = slurp($proxy->{log}) =~ /Request \(file descriptor \d+\): (\w+ \S+) HTTP/g;
	my @new = @all[ $proxy->{seen} .. $#all ];
	$proxy->{seen} = @all;
	return @new;
}

my $open = proxy();
my $closed = proxy('BasicAuth ada Pa55w0rd');
my $target = "localhost:$service->{port}";

my $through = server($node, proxy => $open->{url});
answers($node, $through, 'https through a proxy');
is_deeply([ sort { $a cmp $b } do { my %seen; grep { !$seen{$_}++ } asked($open) } ], ["CONNECT $target"],
	'… which is asked for tunnels and nothing else');
answers($node, server($node, at($plain), proxy => $open->{url}), 'http through a proxy');
my @gets = asked($open);
ok(@gets > 1 && !grep({ !/^(?:GET|POST) \Q$plain->{origin}\E/ } @gets), '… which makes the requests itself');
answers($node, server($node, proxy => $open->{url}, no_proxy => 'elsewhere.example, localhost'), 'a host in no_proxy');
is(scalar asked($open), 0, '… is reached without it');

my $named = server($node, proxy => $closed->{url},
	mapping => { proxy_username => 'ada', proxy_password => 'Pa55w0rd' });
answers($node, $named, 'a proxy with a user and a password');
cmp_ok(scalar asked($closed), '>', 0, '… is the way');
answers($node, server($node, at($plain), proxy => $closed->{url}, max_retries => 5,
		mapping => { proxy_username => 'ada', proxy_password => 'Pa55w0rd' }), '… also without CONNECT');

# A tunnel that a session keeps is for those who opened it.
my $keeping = $node->session;
my $keeps = sub { $keeping->send("SELECT count(*) FROM $_[0].message_trace WHERE $day"); $keeping->receive };
is($keeps->($named), $count, 'a session with a tunnel through it …');
like($keeps->(server($node, proxy => $closed->{url}, mapping => { proxy_username => 'ada', proxy_password => 'another1' })), qr/ERROR:  08001/,
	'… does not lend it to another password');
is($keeps->($named), $count, '… is good for it');
like($keeps->(server($node, proxy => $closed->{url})), qr/ERROR:  08001/, '… nor to none');
$keeping->quit;

my %refused = (sqlstate => qr/^08001$/, message => qr/^the proxy did not let sign-in through$/,
	detail => qr/gave no answer: the proxy of the server option answered HTTP 40[17]/, hint => qr/proxy_username/);
for my $mapping ({}, { proxy_username => 'ada', proxy_password => 'wr0ng~one' }, { proxy_username => 'ada' })
{
	my $how = join ', ', map { "$_ $mapping->{$_}" } sort keys %$mapping;
	$service->clear_requests;
	my $error = fails($node, server($node, proxy => $closed->{url}, mapping => $mapping),
		'the same proxy with ' . ($how || 'neither'), %refused);
	unlike($error->{text}, qr/wr0ng/, '… and no error shows a password');
	is(scalar $service->requests, 0, '… and nothing comes through');
}
fails($node, server($node, proxy => 'http://127.0.0.1:' . free_port()), 'a proxy that is not there',
	sqlstate => qr/^08001$/, message => qr/could not connect/, detail => qr/127\.0\.0\.1/, hint => qr/proxy/);
fails($node, server($node, proxy => 'http://no.such.proxy.invalid:3128'), 'a proxy without an address',
	sqlstate => qr/^08001$/, message => qr/could not resolve/, detail => qr/no\.such\.proxy\.invalid/);

# ---- servers of our own, to see what they are sent -------------------------------------

# Reads a request's head from each connection into a file, and gives the answer;
# without one it resets the connection when it has read so many bytes.
my $canned = 0;
sub canned
{
	my ($answer, $bytes) = @_;
	my $file = folder() . '/canned' . ++$canned;
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20) or die "no socket: $!";
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		local $SIG{TERM} = sub { POSIX::_exit(0) };
		while (my $client = $socket->accept)
		{
			my $head = '';
			my $whole = sub { defined $answer ? $head =~ /\r\n\r\n/ : length $head >= $bytes };
			while (!$whole->() && sysread($client, $head, 4096, length $head)) { }
			open my $out, '>>', $file or POSIX::_exit(1);
			print $out "$head=====\n";
			close $out;
			if (defined $answer)
			{
				syswrite $client, $answer;
			}
			else
			{
				setsockopt $client, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);    # a reset
			}
			close $client;
		}
		POSIX::_exit(0);
	}
	guard($pid);
	return { url => 'http://127.0.0.1:' . $socket->sockport, port => $socket->sockport, file => $file };
}

my $forbidding = canned("HTTP/1.1 403 Forbidden\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n"
	  . "Retry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
my $session = $node->session;
my $changing = server($node);
is($session->sql("SELECT count(*) FROM $changing.message_trace WHERE $day"), $count, 'a session has a token');
$node->sql("ALTER SERVER $changing OPTIONS (ADD proxy '$forbidding->{url}')");
my $error = $session->sql_error("SELECT count(*) FROM $changing.message_trace WHERE $day");
is($error->{sqlstate}, '08001', '… and a proxy that forbids everything');
like($error->{detail}, qr/$list gave no answer: the proxy of the server option answered HTTP 403/, '… for the list');
my $sent = slurp($forbidding->{file});
like($sent, qr/\ACONNECT \Q$target\E HTTP/, '… which was asked for the tunnel');
unlike($sent, qr/Authorization|Bearer|eyJ|client-request-id|messageTraces/i, '… and sent nothing that is meant for the service');
$session->quit;

my $asking = canned("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
fails($node, server($node, proxy => $asking->{url}, mapping => { proxy_username => 'ada@contoso.com', proxy_password => q{p@ss:w/rd%'"} }),
	'a proxy that asks again and again', %refused);
my ($credentials) = slurp($asking->{file}) =~ /^Proxy-Authorization: Basic (\S+)/m;
is(decode_base64($credentials // ''), q{ada@contoso.com:p@ss:w/rd%'"}, '… was told user and password as they are');

# ---- the environment's proxy -------------------------------------------------------------

my $inner = proxy();
my $there = start_node(https_proxy => $inner->{url}, http_proxy => $inner->{url});
answers($there, server($there), 'https_proxy of the environment');
is((asked($inner))[0], "CONNECT $target", '… is used');
answers($there, server($there, at($plain)), 'http_proxy of the environment');
like((asked($inner))[0], qr/^POST \Q$plain->{origin}\E/, '… is used');
answers($there, server($there, proxy => ''), "proxy ''");
is(scalar asked($inner), 0, '… goes without it');
answers($there, server($there, no_proxy => 'localhost'), 'no_proxy');
is(scalar asked($inner), 0, '… likewise');
answers($there, server($there, proxy => $open->{url}), 'another proxy');
is(scalar asked($inner), 0, '… takes its place');
cmp_ok(scalar asked($open), '>', 0, '… and is used');
$there->stop;

$there = start_node(https_proxy => 'http://ada:s3cr~t@127.0.0.1:99999', no_proxy => 'elsewhere.example');
$error = fails($there, server($there), 'a proxy of the environment that cannot be read', sqlstate => qr/^08001$/,
	message => qr/^the proxy/, detail => qr/the URL of the proxy of the environment/);
unlike($error->{text}, qr/s3cr/, '… shows no password');
unlike($there->log, qr/s3cr/, '… nor does the log');
$there->stop;
$there = start_node(https_proxy => $inner->{url}, no_proxy => 'localhost');
answers($there, server($there), 'no_proxy of the environment');
is(scalar asked($inner), 0, '… goes without the proxy');
answers($there, server($there, no_proxy => ''), "no_proxy ''");
cmp_ok(scalar asked($inner), '>', 0, '… goes by the proxy again');
$there->stop;

# ---- certificates ---------------------------------------------------------------------------

my $pki = folder() . '/pki';
mkdir $pki or die "$pki: $!";

sub openssl
{
	my (@arguments) = @_;
	my $process = MsgTrace::Process::start(command => [ 'openssl', @arguments ], stdout => "$pki/log", merge => 1);
	my $status = MsgTrace::Process::finish($process->{pid}, 60) // 'too slow';
	$status eq '0' or die "openssl @arguments ($status): " . slurp("$pki/log");
	return;
}

# An authority of our own, and certificates of it.
sub authority
{
	my ($name) = @_;
	openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', "$pki/$name.key");
	openssl('req', '-x509', '-new', '-key', "$pki/$name.key", '-days', 30, '-subj', "/O=Müller & Söhne/CN=$name", '-utf8',
		'-out', "$pki/$name.pem");
	return;
}

sub certificate
{
	my ($authority, $name, $host, %how) = @_;
	open my $conf, '>', "$pki/$name.conf" or die "$name.conf: $!";
	print $conf <<"CONF";
[ca]
default_ca = this
[this]
database = $pki/$name.index
serial = $pki/$name.serial
new_certs_dir = $pki
policy = any
default_md = sha256
unique_subject = no
x509_extensions = server
copy_extensions = none
[any]
commonName = supplied
[server]
subjectAltName = DNS:$host
CONF
	close $conf;
	open my $index, '>', "$pki/$name.index" or die $!;
	open my $serial, '>', "$pki/$name.serial" or die $!;
	print $serial "0$servers\n" =~ s/.*(..)\n/$1\n/r;
	close $serial;
	openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', "$pki/$name.key");
	openssl('req', '-new', '-key', "$pki/$name.key", '-subj', "/CN=$host", '-out', "$pki/$name.csr");
	openssl('ca', '-batch', '-notext', '-config', "$pki/$name.conf", '-cert', "$pki/$authority.pem",
		'-keyfile', "$pki/$authority.key", '-in', "$pki/$name.csr", '-out', "$pki/$name.pem",
		'-startdate', $how{from} // '20200101000000Z', '-enddate', $how{to} // '20400101000000Z');
	return;
}

authority('Inspecting Proxy CA');
certificate('Inspecting Proxy CA', 'good', 'localhost');
certificate('Inspecting Proxy CA', 'other', 'other.example');
certificate('Inspecting Proxy CA', 'expired', 'localhost', to => '20210101000000Z');
certificate('Inspecting Proxy CA', 'early', 'localhost', from => '20390101000000Z');

# openssl's own server: a handshake is all that it is asked for.
sub tls_server
{
	my ($certificate, @more) = @_;
	my $port = free_port();
	my $name = "$pki/server$port";
	MsgTrace::Process::start(
		command => [ qw(openssl s_server -www -naccept 1000 -accept), $port, '-cert', "$pki/$certificate.pem",
			'-key', "$pki/$certificate.key", @more ],
		stdout => "$name.log",
		merge => 1);
	wait_for('the TLS server', 30, sub { slurp("$name.log") =~ /ACCEPT/ });
	return "https://localhost:$port";
}

my $ca = "$pki/Inspecting Proxy CA.pem";
my $by = qr/issued by (?:O=Müller & Söhne, CN=|CN=)Inspecting Proxy CA/;
my $good = other_service('--tls-cert', "$pki/good.pem", '--tls-key', "$pki/good.key");
my %untrusted = (sqlstate => qr/^08001$/, message => qr/could not establish a trusted TLS connection for sign-in/, hint => qr/ca_file/);

sub signs_in_at
{
	my ($url, %options) = @_;
	return server($node, authority_url => $url, request_timeout => '20s', %options);
}
fails($node, server($node, at($good)), 'an authority that is not in ca_file', %untrusted,
	detail => qr/\(certificate of CN=localhost, $by\)/);
fails($node, server($node, at($good), ca_file => undef), '… nor the system knows', %untrusted, detail => $by);
answers($node, server($node, at($good), ca_file => $ca), '… and one that is');
fails($node, signs_in_at(tls_server('other'), ca_file => $ca), 'a certificate of another host', %untrusted,
	detail => qr/other\.example|localhost.*certificate of CN=other\.example, $by/);
fails($node, signs_in_at(tls_server('expired'), ca_file => $ca), 'a certificate that has expired', %untrusted,
	detail => qr/expired.*$by/);
fails($node, signs_in_at(tls_server('early'), ca_file => $ca), 'a certificate that is not valid yet', %untrusted,
	detail => qr/not yet valid.*$by/);
fails($node, server($node, ca_file => undef, proxy => $open->{url}), 'behind a proxy likewise', %untrusted,
	detail => qr/issued by CN=Simulated message trace service/);
fails($node, signs_in_at($plain->{origin} =~ s/http/https/r), 'a server without TLS', sqlstate => qr/^08/);

# ca_file comes beside the system's roots, it does not replace them.
mkdir "$pki/roots";
openssl('x509', '-in', $ca, '-out', "$pki/roots/ours.pem");
openssl('rehash', "$pki/roots");
$there = start_node(SSL_CERT_DIR => "$pki/roots");
answers($there, server($there, at($good)), "an authority of the system's, with another in ca_file");
answers($there, server($there), '… and the one in ca_file');
$there->stop;

# TLS before 1.2 is refused by us, also where the machine's OpenSSL would take it.
open my $lax, '>', "$pki/lax.cnf" or die $!;
print $lax <<'CONF';
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = lax
[lax]
MinProtocol = TLSv1
CipherString = DEFAULT:@SECLEVEL=0
CONF
close $lax;
SKIP:
{
	local $ENV{OPENSSL_CONF} = "$pki/lax.cnf";
	my $old = tls_server('good', '-tls1_1', '-cipher', 'DEFAULT:@SECLEVEL=0');
	my ($port) = $old =~ /(\d+)$/;
	my $spoken = `openssl s_client -connect localhost:$port -tls1_1 -cipher DEFAULT:\@SECLEVEL=0 </dev/null 2>&1`;
	skip 'this OpenSSL has no TLS 1.1', 2 if $spoken !~ /TLSv1\.1/ || $spoken =~ /Cipher is \(NONE\)/;
	$there = start_node();
	fails($there, server($there, authority_url => $old, ca_file => $ca, request_timeout => '20s'), 'a server that knows TLS 1.1 only', %untrusted,
		detail => qr/protocol/);
	answers($there, server($there, at($good), ca_file => $ca), '… and one that knows better');
	$there->stop;
}

# A handshake that is cut off says nothing of certificates: it is a connection that broke off.
for my $bytes (0, 1)
{
	my $resetting = canned(undef, $bytes);
	fails($node, signs_in_at("https://127.0.0.1:$resetting->{port}", max_retries => 2), "a reset after $bytes bytes of the TLS handshake",
		sqlstate => qr/^08006$/, message => qr/broke off/);
	is(scalar(() = slurp($resetting->{file}) =~ /=====/g), 3, '… is retried');
}

# ---- sizes and times --------------------------------------------------------------------------

sub orders
{
	$service->clear_faults;
	$service->clear_requests;
	$service->fault(map { { on => 'list', %$_ } } @_) if @_;
	return;
}

orders();
fails($node, server($node, max_response_size => '64kB', max_retries => 5), 'a page larger than max_response_size', sqlstate => qr/^HV000$/,
	message => qr/max_response_size/, detail => qr/more than 65536 bytes/, hint => qr/page_size/);
is(scalar $service->list_requests, 1, '… is asked for once');
answers($node, server($node, max_response_size => '64kB', page_size => 50), '… and smaller pages pass');

orders({ fault => 'delay', ms => 2500, count => 100 });
fails($node, server($node, request_timeout => '1s'), 'a page slower than request_timeout', sqlstate => qr/^08006$/, message => qr/timeout/,
	hint => qr/request_timeout/);
orders({ fault => 'delay', ms => 2500 });
answers($node, server($node, request_timeout => '0'), "request_timeout '0' waits");

# Slower than any service: two at once, since it takes its time to see.
my $slow = server($node, request_timeout => '0', connect_timeout => '1h');
my $patient = server($node, request_timeout => '0', max_retries => 1);
orders({ fault => 'drip', bytes_per_second => 20, skip => 1, count => 1 });
my ($one, $other) = map { $node->session } 1, 2;
$one->send("SELECT count(*) FROM $slow.message_trace WHERE $day");
wait_for('the drip', 30, sub { grep { $_->{fault} } $service->requests });
orders({ fault => 'drip', bytes_per_second => 20, skip => 1, count => 1 });
$other->send("SELECT count(*) FROM $patient.message_trace WHERE $day");
my $text = $one->receive(180);
like($text, qr/ERROR:  08006: the answer to the message trace came too slowly/, 'a body that drips');
like($text, qr/DETAIL: .*less than 2000 bytes came in 20 seconds/, '… is told of');
like($text, qr/HINT:  Try again/, '… with a hint');
is($other->receive(180), $count, '… and retried');
$_->quit for $one, $other;

# The service's thinking is no drip.
orders({ fault => 'delay', ms => 1000 });
answers($node, $slow, 'a page that takes its time');

done_testing();
