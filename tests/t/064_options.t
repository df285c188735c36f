# tests/t/064_options.t
#
# Every option, of option_list() and one by one: it works, which is seen in what
# the service was asked or in the result, and a wrong one is refused when it is
# set, with a hint. An option without both tests fails the last one of this file.

use strict;
use warnings;
use utf8;

use IO::Socket::INET;
use MIME::Base64;
use POSIX ();
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder free_port guard);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

# The service's clock stands, an hour ahead: certificates are made by this machine's.
my $now = time + 3600;
my ($from, $to) = map { POSIX::strftime('%Y-%m-%d', gmtime($now - $_ * 86400)) } 9, 7;
my $service = MsgTrace::Service->start(
	now => POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $now),
	rows_per_day => 2000,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { log_statement => 'none' });
my $day = "received >= '$from' AND received < '$to'";    # two days: one may be a Sunday
my $closed = free_port();
my (%works, %refused);

# Names the option that the tests after it are about.
my $option;
sub option
{
	($option) = @_;
	return;
}

# What an option does.
sub works
{
	my ($good, $name) = @_;
	$works{$option} = 1;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($good, "$option: $name");
}

# A server of its own schema, which has its name; less retries than usual, and
# shorter ones.
my $servers = 0;
sub server
{
	my (%options) = @_;
	my $name = 's' . ++$servers;
	my %table = %{ delete $options{table_options} // {} };
	$node->create_server($service, retry_initial_interval => '40ms', max_retries => 1, name => $name, schema => $name, %options);
	for my $place (sort keys %table)
	{
		(my $value = $table{$place}) =~ s/'/''/g;
		$node->sql("ALTER FOREIGN TABLE $name.message_trace OPTIONS (ADD $place '$value')");
	}
	return $name;
}

my %reporting = (api => 'reporting', report_url => $service->report_url('reporting'));

sub count_of
{
	my ($name, %how) = @_;
	$service->clear_requests;
	return $node->sql("SELECT count(*) FROM $name.message_trace WHERE $day", %how);
}

# The error of a query, or an empty one.
sub error_of
{
	my ($name, @faults) = @_;
	$service->clear_requests;
	$service->clear_faults;
	$service->fault(map { { on => 'list', %$_ } } @faults) if @faults;
	my $error = $node->sql_error("SELECT count(*) FROM $name.message_trace WHERE $day");
	$service->clear_faults;
	return $error // { sqlstate => '00000', map { $_ => '' } qw(message detail hint) };
}

# The pauses in ms that retries were said to take, and what a client was told.
sub pauses
{
	my ($name, @faults) = @_;
	$service->clear_requests;
	$service->clear_faults;
	$service->fault(map { { on => 'list', fault => 'status', %$_ } } @faults);
	my $before = length $node->log;
	my $said = $node->messages("SELECT count(*) FROM $name.message_trace WHERE $day");
	$service->clear_faults;
	my @pauses = substr($node->log, $before) =~ /message trace of server "$name": list, .* again in (\d+) ms/g;
	return ($said, @pauses);
}

# With the jitter of a computed pause.
sub about
{
	my ($pause, $ms) = @_;
	return defined $pause && $pause >= $ms && $pause <= $ms * 1.25 + 1;
}

my $count = count_of(server());
cmp_ok($count, '>', 500, 'a day');

# ---- refusals --------------------------------------------------------------------

my %places = (
	server => "CREATE SERVER regress_refused FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (%s)",
	'user mapping' => "CREATE USER MAPPING FOR postgres SERVER s1 OPTIONS (%s)",
	'foreign table' => "CREATE FOREIGN TABLE regress_refused (subject text) SERVER s1 OPTIONS (%s)",
	column => "CREATE FOREIGN TABLE regress_refused (subject text OPTIONS (%s)) SERVER s1");

# This value is refused where it belongs. Beside the option others may be needed.
sub refused
{
	my ($value, $hint, %how) = @_;
	my ($place, $name) = $option =~ /^(.*) (\S+)$/;
	my %options = (($place eq 'server' ? (tenant_id => 'contoso.com') : ()), %{ $how{with} // {} }, $name => $value);
	my $list = join ', ', map { "$_ '" . ($options{$_} =~ s/'/''/gr) . "'" } sort grep { defined $options{$_} } keys %options;
	my $statement = sprintf($places{ $how{place} // $place }, $list) =~ s/ OPTIONS \(\)//r;
	my $error = $node->sql_error($statement) // {};
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($error->{sqlstate} // 'none', $how{sqlstate} // 'HV024', "$option: '" . ($value // 'missing') . "' is refused");
	like(join(' ', map { $error->{$_} // '' } qw(message detail hint)), $hint, '… and what is right is said');
	$refused{$option} = 1;
	return;
}

# Where no value is wrong: the wrong place is.
sub refused_elsewhere
{
	my ($place) = @_;
	my ($right) = $option =~ /^(.*) \S+$/;
	refused('x', qr/It is an option of a $right/, place => $place, sqlstate => 'HV00D');
	return;
}

my %secret = (client_id => 'a', client_secret => 'b');

# ---- a server's options -------------------------------------------------------------

# What check() would say of the options, which asks nothing of the network.
sub options_of
{
	my ($list) = @_;
	$node->sql("DROP SERVER IF EXISTS regress_planned; CREATE SERVER regress_planned FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com', $list)");
	return $node->sql("SELECT detail FROM o365_msgtrace._check_options((SELECT oid FROM pg_foreign_server WHERE srvname = 'regress_planned'), false)");
}

option('server api');
my $older = server(%reporting);
works(count_of($older) == $count, 'reporting serves the same rows');
works(!grep({ $_->{path} !~ m{/reporting\.svc/MessageTrace$} } $service->list_requests), '… from its own list');
refused('exchange', qr/"graph", "reporting"/);
refused('graph', qr/Leave the option api out/, with => { plan => 'gcc_high' });

option('server plan');
works(options_of("plan 'gcc_high'") =~ m{^api reporting at https://outlook\.office365\.us/ecp/\S+, sign-in at https://login\.microsoftonline\.us$}, 'gcc_high has its hosts');
works(options_of("plan 'gcc'") =~ m{^api graph at https://graph\.microsoft\.com/\S+, sign-in at https://login\.microsoftonline\.com$}, '… and gcc the usual ones');
refused('gcc_low', qr/"enterprise", "gcc", "gcc_high", "dod"/);
refused('dod', qr/report_url/, sqlstate => 'HV00J');

option('server tenant_id');
count_of(server(tenant_id => 'contoso.onmicrosoft.com'));
works(($service->token_requests)[0]{path} =~ m{^/contoso\.onmicrosoft\.com/oauth2/v2\.0/token$}, 'the sign-in is for that tenant');
refused('common', qr/one tenant/);
refused('a/b', qr/directory id/);
refused(undef, qr/required/, sqlstate => 'HV00J');

option('server tenant_label');
my $labelled = server(tenant_label => 'Contoso Ltd.');
$node->sql("ALTER FOREIGN TABLE $labelled.message_trace ADD tenant text");
works($node->sql("SELECT DISTINCT tenant FROM $labelled.message_trace WHERE $day") eq 'Contoso Ltd.', 'the column tenant shows it');
refused('', qr/cannot be empty/);

option('server report_url');
my $error = error_of(server(report_url => $service->origin . '/v1.0/elsewhere/messageTraces'));
works($error->{detail} =~ m{/v1\.0/elsewhere/messageTraces answered HTTP 404}, 'it is where the list is asked for');
refused('http://graph.microsoft.com/x', qr/https/);
refused('https://graph.microsoft.com/x?a=b', qr/nothing after/);
refused($service->report_url('reporting'), qr/api to reporting/);

option('server authority_url');
$error = error_of(server(authority_url => $service->origin . '/elsewhere'));
works($error->{detail} =~ m{/elsewhere/$service->{tenant}/oauth2/v2\.0/token answered HTTP}, 'it is where the sign-in goes');
refused('login.microsoftonline.com', qr/Give scheme, host/);

option('server resource');
works(count_of(server(resource => 'https://graph.microsoft.com')) == $count, 'a token for it is asked for');
works(error_of(server(resource => 'https://outlook.office365.com'))->{sqlstate} eq '08004', '… which another API does not take');
refused('graph', qr/Give scheme, host/);

option('server request_timeout');
$error = error_of(server(request_timeout => '300ms', max_retries => 0), { fault => 'hang', where => 'headers' });
works("$error->{sqlstate} $error->{hint}" =~ /^08006 .*request_timeout/, 'an answer that does not come ends there');
refused('300', qr/ms, s, min, h/);
refused('25h', qr/from 0s to 24h/);

option('server connect_timeout');
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "no socket: $!";
$error = error_of(server(connect_timeout => '300ms', authority_url => 'https://127.0.0.1:' . $silent->sockport, max_retries => 0));
works("$error->{sqlstate} $error->{hint}" =~ /^08006 .*connect_timeout/, 'a handshake that does not come about ends there');
refused('0', qr/from 1ms to 1h/);

my ($said, @pauses);
option('server retry_type');
(undef, @pauses) = pauses(server(retry_type => 'disabled', max_retries => 5), { status => 503 });
works(@pauses == 0 && $service->list_requests == 1, 'disabled: no retry');
(undef, @pauses) = pauses(server(retry_type => 'static', max_retries => 3), { status => 503, count => 3 });
works(@pauses == 3 && !grep({ !about($_, 40) } @pauses), "static: pauses alike (@pauses ms)");
(undef, @pauses) = pauses(server(retry_type => 'backoff', max_retries => 3), { status => 503, count => 3 });
works(about($pauses[0], 40) && about($pauses[1], 80) && about($pauses[2], 160), "backoff: pauses that double (@pauses ms)");
refused('fibonacci', qr/"backoff", "static", "disabled"/);

option('server retry_initial_interval');
(undef, @pauses) = pauses(server(retry_initial_interval => '70ms'), { status => 503 });
works(about($pauses[0], 70), "it is the first pause (@pauses ms)");
(undef, @pauses) = pauses(server(retry_initial_interval => '0'), { status => 503 });
works("@pauses" eq '0', '0 is at once');
refused('21s', qr/from 0s to 20s/);

option('server max_retries');
$error = error_of(server(max_retries => 2, retry_initial_interval => 0), { fault => 'status', status => 503, count => 10 });
works($error->{sqlstate} eq '08006' && $service->list_requests == 3, 'a request is made once more often than that');
refused('21', qr/from 0 to 20/);

option('server retry_multiplier');
(undef, @pauses) = pauses(server(retry_multiplier => 3, max_retries => 2), { status => 503, count => 2 });
works(about($pauses[0], 40) && about($pauses[1], 120), "a pause is so often the last one (@pauses ms)");
refused('0.5', qr/from 1 to 20/);

option('server retry_max_interval');
(undef, @pauses) = pauses(server(retry_max_interval => '60ms', max_retries => 3), { status => 503, count => 3 });
works(about($pauses[1], 60) && about($pauses[2], 60), "none is longer (@pauses ms)");
refused('60', qr/ms, s, min, h/);

option('server retry_http_codes');
my $codes = server(retry_http_codes => '500, 502');
(undef, @pauses) = pauses($codes, { status => 500 });
works(@pauses == 1, 'a code that is named is retried');
works(error_of($codes, { fault => 'status', status => 503 })->{sqlstate} eq '08006', '… and another is not');
refused('200', qr/400 to 599/);
refused('429,', qr/parted by commas/);

option('server honor_retry_after');
(undef, @pauses) = pauses(server(honor_retry_after => 'true'), { status => 503, retry_after => 1 });
works($pauses[0] >= 1000 && $pauses[0] <= 1100, "true: as long as it says (@pauses ms)");
(undef, @pauses) = pauses(server(honor_retry_after => 'false'), { status => 503, retry_after => 1 });
works(about($pauses[0], 40), "false: as if it said nothing (@pauses ms)");
refused('maybe', qr/true or false/);

option('server max_retry_after');
($said, @pauses) = pauses(server(max_retry_after => '2s'), { status => 503, retry_after => 1000 });
works(about($pauses[0], 40), "a longer one is ignored (@pauses ms)");
works($said =~ /WARNING:.*1000/s, '… with a warning that gives it');
refused('2d', qr/from 0s to 24h/);

option('server proxy');
$error = error_of(server(proxy => "http://127.0.0.1:$closed", max_retries => 0));
works($error->{sqlstate} eq '08001' && $error->{detail} =~ /$closed/, 'it is where requests go');
works(count_of(server(proxy => '')) == $count, '… and empty is none');
refused('ftp://proxy.example', qr/http/);

option('server no_proxy');
works(count_of(server(proxy => "http://127.0.0.1:$closed", no_proxy => 'other.example,localhost')) == $count, 'these hosts are asked without it');
refused_elsewhere('foreign table');

option('server ca_file');
works(error_of(server(ca_file => undef))->{sqlstate} eq '08001', 'without it the service is not trusted');
refused('ca.pem', qr/absolute path/);

option('server page_size');
count_of(server(page_size => 123));
works(!grep({ $_->{parameters}{'$top'} != 123 } $service->list_requests), 'so many rows are asked for');
refused('5001', qr/from 1 to 5000/);
refused('2001', qr/at most 2000/, with => { api => 'reporting' });

# What view quota shows in the session that asked. Where budgets are shared without
# preloading (17 and later) it is the strictest server's of the tenant.
sub quota_of
{
	my ($name, $column, $query) = @_;
	return (split /\n/, $node->sql(($query // "SELECT count(*) FROM $name.message_trace WHERE $day") . "; SELECT string_agg($column, ' ' ORDER BY api) FROM o365_msgtrace.quota"))[-1];
}

option('server quota_requests');
works(quota_of(server(quota_requests => 77), 'quota_requests::text') eq '77', 'the budget has so many');
refused('4097', qr/from 0 to 4096/);

option('server quota_window');
works(quota_of(server(quota_requests => 60, quota_window => '90s'), 'quota_window::text') eq '00:01:30', 'in so much time');
refused('300', qr/ms, s, min, h/);

option('server detail_quota');
for my $way ([ 'shared', 'graph' ], [ 'separate', 'graph graph:detail' ])
{
	my $name = server(quota_requests => 77, detail_quota => $way->[0]);
	works(quota_of($name, 'api', "SELECT count(*) FROM o365_msgtrace.check('$name')") eq $way->[1], "$way->[0]: $way->[1]");
}
refused('none', qr/"shared", "separate"/);

# How many details are asked for while none is answered.
sub in_flight
{
	my ($name) = @_;
	my $keys = join ', ', map { "('00000000-0000-4000-8000-00000000000$_', 'ada\@contoso.com')" } 1 .. 9;
	$service->clear_requests;
	$service->fault({ on => 'detail', fault => 'hang', count => 9 });
	$node->sql_error("SELECT count(*) FROM $name.message_trace_detail WHERE (message_trace_id, recipient_address) IN ($keys)", set => { statement_timeout => '500ms' });
	$service->clear_faults;
	return scalar(my @asked = $service->detail_requests);
}

option('server max_concurrency');
works(in_flight(server()) == 3 && in_flight(server(max_concurrency => 5)) == 5 && in_flight(server(max_concurrency => 1)) == 1, 'so many requests are in flight');
refused('11', qr/from 1 to 10/);

option('server max_response_size');
$error = error_of(server(max_response_size => '2kB'));
works($error->{sqlstate} eq 'HV000' && $error->{message} =~ /larger than max_response_size/, 'a longer body is an error');
refused('1000', qr/from 1kB to 512MB/);

my $capitals = "SELECT count(*) > 0 FROM %s.message_trace WHERE $day AND sender_address <> lower(sender_address)";
option('server normalize');
works($node->sql(sprintf $capitals, server(normalize => 'false')) eq 't', 'false: as it was sent');
works($node->sql(sprintf $capitals, server(normalize => 'true')) eq 'f', 'true: in lower case');
refused('perhaps', qr/true or false/);

# Whether a bad row ends the query, and what is said of it otherwise.
sub bad_row_of
{
	my ($name) = @_;
	$service->clear_faults;
	$service->fault({ on => 'list', fault => 'bad_row', kind => 'no_id' });
	my $said = $node->messages("SELECT count(*) FROM $name.message_trace WHERE $day");
	$service->clear_faults;
	return $said =~ /(ERROR):  (\w+)|(WARNING):  \w+: .*\b1 record/ ? join ' ', grep { defined } $1, $2, $3 : $said;
}

option('server on_bad_row');
works(bad_row_of(server(on_bad_row => 'error')) eq 'ERROR HV004', 'error: a row that cannot be read ends the query');
works(bad_row_of(server(on_bad_row => 'reject')) =~ /^WARNING/, 'reject: it is set aside, with a warning');
refused('ignore', qr/"error", "reject"/);

sub logged
{
	my ($name) = @_;
	my $before = length $node->log;
	count_of($name);
	return join ' ', substr($node->log, $before) =~ /message trace of server "$name": (\S+), /g;
}

option('server log_level');
works(logged(server(log_level => 'debug')) =~ /^sign-in list/, 'debug: requests are in the log');
works(logged(server(log_level => 'warn')) eq '', 'warn: they are not');
refused('trace', qr/"error", "warn", "info", "debug"/);

sub estimate
{
	my ($name) = @_;
	return $node->explain("SELECT * FROM $name.message_trace WHERE $day", 'COSTS') =~ /rows=(\d+)/ ? $1 : 0;
}

option('server rows_per_day');
works(estimate(server(rows_per_day => 1000000)) > 100 * estimate(server(rows_per_day => 1000)), 'the planner believes it');
refused('0', qr/from 1 to 1000000000/);

# ---- a user mapping's options ----------------------------------------------------------

my $keys = folder() . '/keys';
mkdir $keys or die "$keys: $!";
$service->register_certificate(certificate('plain', '-nodes'));
$service->register_certificate(certificate('locked', q{-passout 'pass:open sesame'}));
$service->add_user(name => 'reports@contoso.com', password => 'pass:word');
$node->sql('SELECT o365_msgtrace.create_secret_key()');
store('the_secret', $service->{client_secret});
store('the_password', 'pass:word', 'reports@contoso.com');
store('the_certificate', slurp("$keys/plain.pem"));
store('the_key', slurp("$keys/plain.key"));
store('the_locked_key', slurp("$keys/locked.key"));
store('the_locked_certificate', slurp("$keys/locked.pem"));
store('the_passphrase', 'open sesame');

sub certificate
{
	my ($name, $how) = @_;
	system("openssl req -x509 -newkey rsa:2048 $how -keyout $keys/$name.key -out $keys/$name.pem -days 30 -subj /CN=$name >>$keys/log 2>&1") == 0
	  or die "openssl\n";
	return "$keys/$name.pem";
}

sub slurp
{
	my ($name) = @_;
	local $/;
	open my $file, '<', $name or die "$name: $!";
	return <$file>;
}

sub store
{
	my ($name, $value, $user) = @_;
	my $user_name = defined $user ? "'$user'" : 'NULL';
	$node->sql("SELECT o365_msgtrace.create_secret('$name', '" . ($value =~ s/'/''/gr) . "', $user_name, ARRAY['localhost'])");
	return;
}

# The SQLSTATE of a count as a mapping has it; 00000 when it has the right rows.
sub signs_in
{
	my ($mapping, %server) = @_;
	my $name = server(%server, mapping => { client_secret => undef, %$mapping });
	my $error = error_of($name);
	return $error->{sqlstate} ne '00000' ? $error->{sqlstate} : count_of($name) == $count ? '00000' : 'other rows';
}

my %basic = (client_id => undef);
my %stored = (auth => 'oauth_secret', secret_name => 'the_secret');
my %certificate = (auth => 'oauth_certificate', certificate_file => "$keys/plain.pem", private_key_file => "$keys/plain.key");
my %in_secrets = (auth => 'oauth_certificate', certificate_secret => 'the_certificate', private_key_secret => 'the_key');
my %locked = (auth => 'oauth_certificate', certificate_file => "$keys/locked.pem", private_key_file => "$keys/locked.key");

option('user mapping auth');
works(signs_in({ auth => 'oauth', client_secret => $service->{client_secret} }) eq '00000', 'oauth');
works(signs_in(\%stored) eq '00000', 'oauth_secret');
works(signs_in(\%certificate) eq '00000', 'oauth_certificate');
works(signs_in({ %basic, auth => 'basic', username => 'reports@contoso.com', password => 'pass:word' }, %reporting) eq '00000', 'basic');
works(signs_in({ %basic, auth => 'basic_secret', secret_name => 'the_password' }, %reporting) eq '00000', 'basic_secret');
refused('kerberos', qr/"oauth", "oauth_secret", "oauth_certificate", "basic", "basic_secret"/, with => \%secret);
refused('basic', qr/does not go with auth "basic"/, with => \%secret, sqlstate => 'HV00D');

option('user mapping client_id');
$service->add_client(id => 'bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee', secret => 'another~secret');
works(signs_in({ client_id => 'bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee', client_secret => 'another~secret' }) eq '00000', 'it says who signs in');
$error = error_of(server(mapping => { client_id => 'unknown' }));
works("$error->{sqlstate} $error->{detail}" =~ /^08004 .*AADSTS700016/, '… and nobody else is known');
refused('', qr/cannot be empty/, with => { client_secret => 'x' });
refused(undef, qr/required/, with => { client_secret => 'x' }, sqlstate => 'HV00J');

option('user mapping client_secret');
$error = error_of(server(mapping => { client_secret => 'wrong~one' }));
works("$error->{sqlstate} $error->{detail}" =~ /^08004 .*AADSTS7000215/, 'a wrong one does not sign in');
refused('', qr/cannot be empty/, with => { client_id => 'x' });
refused('x', qr/does not go with auth "oauth_secret"/, with => { client_id => 'x', %stored }, sqlstate => 'HV00D');

option('user mapping secret_name');
works(signs_in({ auth => 'oauth_secret', secret_name => 'the_key' }) eq '08004', 'it says which secret');
works(signs_in({ auth => 'oauth_secret', secret_name => 'nothing' }) eq '42704', '… which must be there');
refused('', qr/cannot be empty/, with => { auth => 'oauth_secret', client_id => 'x' });
refused(undef, qr/required/, with => { auth => 'basic_secret' }, sqlstate => 'HV00J');

option('user mapping certificate_file');
works(signs_in({ %certificate, certificate_file => "$keys/locked.pem" }) eq '08004', 'it is the certificate that is shown');
refused('client.pem', qr/absolute path/, with => { auth => 'oauth_certificate', client_id => 'x' });
refused('/x', qr/exclude each other/, with => { auth => 'oauth_certificate', client_id => 'x', certificate_secret => 'y' }, sqlstate => 'HV00D');

option('user mapping private_key_file');
works(signs_in({ %certificate, private_key_file => "$keys/nothing" }) eq '08004', 'it is the key that signs');
refused('client.key', qr/absolute path/, with => { auth => 'oauth_certificate', client_id => 'x', certificate_file => '/x' });

option('user mapping certificate_secret');
works(signs_in(\%in_secrets) eq '00000', 'the certificate of a stored secret');
refused('', qr/cannot be empty/, with => { auth => 'oauth_certificate', client_id => 'x' });

option('user mapping private_key_secret');
works(signs_in({ %in_secrets, private_key_secret => 'the_secret' }) eq '08004', 'the key of a stored secret, if it is one');
refused('x', qr/exclude each other/, with => { auth => 'oauth_certificate', client_id => 'x', certificate_secret => 'y', private_key_file => '/x' }, sqlstate => 'HV00D');

option('user mapping passphrase');
works(signs_in({ %locked, passphrase => 'open sesame' }) eq '00000', 'it opens the key');
works(signs_in({ %locked, passphrase => 'open barley' }) eq '08004', '… and a wrong one does not');
refused('x', qr/does not go with auth "oauth"/, with => \%secret, sqlstate => 'HV00D');

option('user mapping passphrase_secret');
works(
	signs_in({ auth => 'oauth_certificate', certificate_secret => 'the_locked_certificate', private_key_secret => 'the_locked_key', passphrase_secret => 'the_passphrase' }) eq '00000',
	'it opens the key');
refused('x', qr/exclude each other/, with => { auth => 'oauth_certificate', client_id => 'x', certificate_file => '/x', passphrase => 'y' }, sqlstate => 'HV00D');

option('user mapping username');
works(signs_in({ %basic, auth => 'basic', username => 'nobody@contoso.com', password => 'pass:word' }, %reporting) eq '08004', 'it says who signs in');
refused('a:b', qr/colon/, with => { auth => 'basic', password => 'x' });

option('user mapping password');
works(signs_in({ %basic, auth => 'basic', username => 'reports@contoso.com', password => 'word' }, %reporting) eq '08004', 'a wrong one does not sign in');
refused(undef, qr/required/, with => { auth => 'basic', username => 'x' }, sqlstate => 'HV00J');

# A proxy that asks for name and password and then never lets anything through; it
# writes down what it was asked.
sub asking_proxy
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20) or die "no socket: $!";
	my $file = folder() . '/proxy';
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		local $SIG{TERM} = sub { POSIX::_exit(0) };
		while (my $client = $socket->accept)
		{
			my $head = '';
			while ($head !~ /\r\n\r\n/ && sysread($client, $head, 4096, length $head)) { }
			open my $out, '>>', $file or POSIX::_exit(1);
			print $out $head;
			close $out;
			syswrite $client, "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
			close $client;
		}
		POSIX::_exit(0);
	}
	guard($pid);
	return ('http://127.0.0.1:' . $socket->sockport, $file);
}

my ($proxy, $proxy_file) = asking_proxy();
error_of(server(proxy => $proxy, max_retries => 0, mapping => { proxy_username => 'ada', proxy_password => 'pass:word' }));
my ($credentials) = slurp($proxy_file) =~ /^Proxy-Authorization: Basic (\S+)/m;
my ($proxy_user, $proxy_password) = split /:/, decode_base64($credentials // ''), 2;
option('user mapping proxy_username');
works(($proxy_user // '') eq 'ada', 'the proxy is told it');
refused('a:b', qr/colon/, with => \%secret);
option('user mapping proxy_password');
works(($proxy_password // '') eq 'pass:word', 'the proxy is told it');
refused_elsewhere('server');

# ---- a table's options, which go before its server's ---------------------------------------

option('foreign table page_size');
count_of(server(page_size => 123, table_options => { page_size => 77 }));
works(!grep({ $_->{parameters}{'$top'} != 77 } $service->list_requests), "the table's goes first");
refused('0', qr/from 1 to 5000/);

option('foreign table normalize');
works($node->sql(sprintf $capitals, server(normalize => 'true', table_options => { normalize => 'false' })) eq 't', "the table's goes first");
refused('', qr/true or false/);

option('foreign table on_bad_row');
works(bad_row_of(server(on_bad_row => 'error', table_options => { on_bad_row => 'reject' })) =~ /^WARNING/, "the table's goes first");
refused('warn', qr/"error", "reject"/);

option('foreign table rows_per_day');
works(estimate(server(rows_per_day => 1000, table_options => { rows_per_day => 1000000 })) > 100 * estimate(server(rows_per_day => 1000)), "the table's goes first");
refused('many', qr/whole number/);

option('foreign table max_concurrency');
my $limited = server(max_concurrency => 4);
$node->sql("ALTER FOREIGN TABLE $limited.message_trace_detail OPTIONS (ADD max_concurrency '2')");
works(in_flight($limited) == 2, "the table's goes first");
refused('0', qr/from 1 to 10/);

option('foreign table table');
$node->sql("CREATE FOREIGN TABLE s1.named (received timestamptz, sender_address text) SERVER s1 OPTIONS (\"table\" 'message_trace')");
works($node->sql("SELECT count(*) FROM s1.named WHERE $day") == $count, 'message_trace is the list');
$node->sql("CREATE FOREIGN TABLE s1.told (message_trace_id uuid, recipient_address text) SERVER s1 OPTIONS (\"table\" 'message_trace_detail')");
$service->clear_requests;
$node->sql("SELECT count(*) FROM s1.told WHERE message_trace_id = '00000000-0000-4000-8000-000000000000' AND recipient_address = 'x'");
works((my @details = $service->detail_requests) == 1, 'message_trace_detail is what happened to a delivery');
refused('mail', qr/"message_trace", "message_trace_detail"/);

option('column field');
$node->sql("CREATE FOREIGN TABLE s1.other_names (at timestamptz OPTIONS (field 'receivedDateTime'), von text OPTIONS (field 'senderAddress')) SERVER s1");
works($node->sql("SELECT count(von) FROM s1.other_names WHERE " . ($day =~ s/received/at/gr)) == $count, 'it says which property a column shows');
refused('', qr/cannot be empty/);

# ---- none is left out --------------------------------------------------------------------------

my @all = split /\n/, $node->sql("SELECT place || ' ' || name FROM o365_msgtrace.option_list()");
cmp_ok(scalar @all, '>', 40, 'there are options');
is(join(', ', grep { !$works{$_} } @all), '', 'each option is tested to work');
is(join(', ', grep { !$refused{$_} } @all), '', 'each option is tested to be refused when it is wrong');
my %there = map { $_ => 1 } @all;
is(join(', ', grep { !$there{$_} } sort keys %works, sort keys %refused), '', 'no test is of an option that is not there');

done_testing();
