# tests/t/060_sign_in.t
#
# Every way of signing in works against a service that verifies it with another
# implementation, and is refused, with a hint of its own, when it is wrong:
# client secrets, certificates from files (renewed, expired, locked, missing),
# user name and password. A long job with short-lived tokens gets its rows.

use strict;
use warnings;
use utf8;

use MIME::Base64 qw(encode_base64);
use POSIX qw(strftime);
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $keys = folder() . '/keys';
mkdir $keys or die "$keys: $!";
$ENV{O365_TEST_KEYS} = $keys;    # the server process inherits it

# Certificates are made by this machine's time, an hour before the service's clock,
# which stands. $days[n] is midnight n days earlier.
my $hour = time + 3600;
my $now = strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $hour);
my @days = map { strftime('%Y-%m-%dT00:00:00Z', gmtime($hour - $_ * 86400)) } 0 .. 60;
my $service = MsgTrace::Service->start(now => $now, rows_per_day => 2000, quota => 0);
my $node = MsgTrace::Cluster->start(
	conf => {
		'o365_msgtrace.max_requests_per_query' => 0,
		log_min_messages => 'debug5',
		log_statement => 'none',
		log_min_error_statement => 'panic'
	});
$node->create_server($service, page_size => 300, max_concurrency => 1, retry_initial_interval => '10ms', max_retries => 2);
my $day = "received >= '$days[22]' AND received < '$days[20]'";
$node->load_truth($service, 'truth', $days[22], $days[20]);
my $said = '';

# ---- helpers -----------------------------------------------------------------------

sub openssl
{
	my (@arguments) = @_;
	system("openssl @arguments >>$keys/openssl.log 2>&1") == 0 or die "openssl @arguments\n";
	return;
}

# NAME.pem and NAME.key; the key may be locked by a passphrase.
sub make_certificate
{
	my ($name, %how) = @_;
	my $days = $how{days} // 365;
	my $kind = $how{kind} // '-algorithm RSA -pkeyopt rsa_keygen_bits:2048';
	openssl("genpkey $kind -out $keys/$name.key");
	openssl("req -x509 -new -key $keys/$name.key -days $days -subj /CN=$name -out $keys/$name.pem");
	openssl("pkey -in $keys/$name.key -aes256 -passout 'pass:$how{passphrase}' -out $keys/$name.locked")
	  if $how{passphrase};
	return "$keys/$name.pem";
}

sub copy_file
{
	my ($from, $to) = @_;
	system('cp', $from, "$to.new") == 0 && rename("$to.new", $to) or die "$from: $!";
	return;
}

# A mapping with these options in the place of the one that is there.
sub map_by
{
	my (%options) = @_;
	my $list = MsgTrace::Cluster::_options(client_id => $service->{client_id}, %options);
	$node->sql("DROP USER MAPPING IF EXISTS FOR PUBLIC SERVER tenant; CREATE USER MAPPING FOR PUBLIC SERVER tenant$list");
	return;
}

# The rows of a day are the true ones.
sub serves
{
	my ($name, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $node->same_rows($name, "SELECT message_trace_id, recipient_address, received FROM mail.message_trace WHERE $day",
		'SELECT message_trace_id, recipient_address, received FROM truth', at_least => 900, %how);
}

# No rows but an error: SQLSTATE, and patterns of message, detail and hint.
sub refused
{
	my ($name, $sqlstate, $message, $detail, $hint, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	my $error = $node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $day", %how) // {};
	$said .= $error->{text} // '';
	is($error->{sqlstate}, $sqlstate, "$name: SQLSTATE") or diag($error->{text} // 'no error');
	like($error->{message}, $message, '… message');
	like($error->{detail}, $detail, '… detail');
	like($error->{hint}, $hint, '… hint');
	is(scalar $service->list_requests, 0, '… and the list is not asked');
	return;
}

# ---- client secrets ------------------------------------------------------------------

serves('a client secret');
my $sign_in = qr/^sign-in was refused$/;
map_by(client_secret => 'not~this.one');
refused('a wrong secret', '08004', $sign_in, qr/HTTP 401 invalid_client: AADSTS7000215.*request-id/, qr/its value, not its id/);
$service->add_client(id => $service->{client_id}, secret => $service->{client_secret}, expired_secret => 'old~secret');
map_by(client_secret => 'old~secret');
refused('a secret that is over', '08004', $sign_in, qr/AADSTS7000222/, qr/has expired: make a new one/);
map_by(client_id => 'bbbbbbbb-0000-0000-0000-000000000000', client_secret => 'x');
refused('an application that is not there', '08004', $sign_in, qr/AADSTS700016/, qr/not in this tenant/);
$service->add_client(id => 'cccccccc-0000-0000-0000-000000000000', secret => 'c', consent => 0);
map_by(client_id => 'cccccccc-0000-0000-0000-000000000000', client_secret => 'c');
refused('one without consent', '08004', $sign_in, qr/AADSTS65001/, qr/grant admin consent/);
$service->add_client(id => 'dddddddd-0000-0000-0000-000000000000', secret => 'd', blocked => 1);
map_by(client_id => 'dddddddd-0000-0000-0000-000000000000', client_secret => 'd');
refused('one that conditional access blocks', '08004', $sign_in, qr/AADSTS53003/, qr/conditional access policy/);
map_by(client_secret => $service->{client_secret});
$node->sql("ALTER SERVER tenant OPTIONS (SET tenant_id 'nobody.example')");
refused('a tenant that is not there', '08004', $sign_in, qr/AADSTS90002/, qr/no such tenant/);
$node->sql("ALTER SERVER tenant OPTIONS (SET tenant_id '$service->{tenant}')");
$service->fault({ on => 'token', fault => 'status', status => 400, body =>
	'{"error":"invalid_scope","error_description":"AADSTS70011: The scope is not valid.","error_codes":[70011]}' });
refused('a wrong scope', '08004', $sign_in, qr/AADSTS70011/, qr/server option resource/);
serves('the right secret again');

# ---- certificates from files ---------------------------------------------------------

my $good = make_certificate('good', passphrase => 'open~sesame+1');
my $other = make_certificate('other');
$service->register_certificate($good);
map_by(auth => 'oauth_certificate', certificate_file => $good, private_key_file => "$keys/good.key");
serves('a certificate and its key');
is((grep { ($_->{status} // 0) == 200 } $service->token_requests) > 0, 1, 'by a token of its own');

system("cat $keys/good.key $keys/good.pem > $keys/both.pem") == 0 or die;
map_by(auth => 'oauth_certificate', certificate_file => "$keys/both.pem");
serves('both in one file');
map_by(auth => 'oauth_certificate', certificate_file => '$O365_TEST_KEYS/good.pem', private_key_file => '${O365_TEST_KEYS}/good.key');
serves('files named with a variable of the environment');
map_by(auth => 'oauth_certificate', certificate_file => $good, private_key_file => "$keys/good.locked", passphrase => 'open~sesame+1');
serves('a key that a passphrase opens');

my $local = qr/for sign-in|that sign-in needs/;
my @pair = (auth => 'oauth_certificate', certificate_file => $good);
map_by(@pair, private_key_file => "$keys/good.locked");
refused('no passphrase', '08004', $local, qr/encrypted, and no passphrase is given/, qr/passphrase_secret/);
map_by(@pair, private_key_file => "$keys/good.locked", passphrase => 'open~sesame+2');
refused('a wrong passphrase', '08004', $local, qr/does not open the private key/, qr/passphrase_secret/);
map_by(@pair, private_key_file => "$keys/other.key");
refused("another certificate's key", '08004', $local, qr/is not the certificate's/, qr/a certificate and its RSA key/);
map_by(@pair, private_key_file => $good);
refused('no key in the file', '08004', $local, qr/no private key in PEM form/, qr/PEM form/);
map_by(auth => 'oauth_certificate', certificate_file => "$keys/good.key");
refused('no certificate in the file', '08004', $local, qr/no certificate in PEM form/, qr/PEM form/);
map_by(@pair, private_key_file => "$keys/missing.key");
refused('a file that is not there', '08004', $local, qr{^$keys/missing\.key: No such file or directory\.$}, qr/account of the database server/);
map_by(@pair, private_key_file => '/dev/zero');
refused('no regular file', '08004', $local, qr{^/dev/zero: not a regular file}, qr/private_key_file/);
map_by(@pair, private_key_file => '$O365_NO_SUCH/key.pem');
refused('an unknown variable', '08004', $local, qr{^\$O365_NO_SUCH/key\.pem: .*environment has no variable O365_NO_SUCH}, qr/private_key_file/);
make_certificate('ec', kind => '-algorithm EC -pkeyopt ec_paramgen_curve:P-256');
map_by(auth => 'oauth_certificate', certificate_file => "$keys/ec.pem", private_key_file => "$keys/ec.key");
refused('a key that is not RSA', '08004', $local, qr/not an RSA key/, qr/its RSA key/);
is(scalar $service->token_requests, 0, '… none of which is sent anywhere');

map_by(auth => 'oauth_certificate', certificate_file => $other, private_key_file => "$keys/other.key");
refused('a certificate that is not registered', '08004', $sign_in, qr/AADSTS700027/, qr/upload the certificate/);

# The same backend, and the files change under it.
copy_file("$keys/other.$_", "$keys/live.$_") for qw(pem key);
map_by(auth => 'oauth_certificate', certificate_file => "$keys/live.pem", private_key_file => "$keys/live.key");
my $session = $node->session;
is($session->sql_error("SELECT count(*) FROM mail.message_trace WHERE $day")->{sqlstate}, '08004', 'a session with an old certificate');
copy_file("$keys/good.$_", "$keys/live.$_") for qw(pem key);
my $count = $node->sql('SELECT count(*) FROM truth');
is($session->sql("SELECT count(*) FROM mail.message_trace WHERE $day"), $count, '… takes up the renewed one');
$session->quit;

# A certificate's time goes by the clock of whom it is shown to.
make_certificate('short', days => 30);
$service->register_certificate("$keys/short.pem");
map_by(auth => 'oauth_certificate', certificate_file => "$keys/short.pem", private_key_file => "$keys/short.key");
serves('a certificate of thirty days');
my $out_of_time = qr/^the certificate for sign-in is outside of its time$/;
$service->set_clock(advance => 40 * 86400);
refused('… ten days after its end', '08004', $out_of_time, qr/^The certificate expired at \S+ \S+\.$/, qr/Make a new certificate.*files are read again/);
$service->set_clock(now => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($hour - 7200)));
refused('… and before it was made', '08004', $out_of_time, qr/^The certificate is not good before /, qr/Make a new certificate/);
$service->set_clock(now => $now);

# A Date that lies: the assertion is out of its time, and tried no third time.
$service->fault({ on => 'token', fault => 'clock_skew', seconds => -1800, count => 9 });
map_by(auth => 'oauth_certificate', certificate_file => $good, private_key_file => "$keys/good.key");
refused('a clock that is off', '08004', $sign_in, qr/AADSTS700024/, qr/set the clock of this machine/);
is(scalar $service->token_requests, 2, '… is tried once more, by the time that the answer gave');
$service->clear_faults;
serves('… which serves when it is right');

# ---- long jobs -----------------------------------------------------------------------

# Tokens live as long as two pages take; each is renewed before it ends.
$service->settings(token_lifetime => 1, page_delay => 300);
for my $auth ([ client_secret => $service->{client_secret} ],
	[ auth => 'oauth_certificate', certificate_file => $good, private_key_file => "$keys/good.key" ])
{
	map_by(@$auth);
	$service->clear_requests;
	serves("a job longer than its tokens live, by $auth->[0]");
	my @tokens = $service->token_requests;
	cmp_ok(scalar @tokens, '>=', 2, '… signs in as often as it must');
	is(scalar(grep { $_->{status} == 401 } $service->list_requests), 0, '… ahead of each end: no page is refused');
}
$service->settings(token_lifetime => 3599, page_delay => 0);
# Three hours pass between the pages: each finds its token over, and gets another one.
$service->fault(map { { on => 'list', fault => 'expire_token', skip => $_ } } 1 .. 3);
serves('tokens that end in the middle of a scan');
is(scalar $service->faults_left, 0, '… three times');

# ---- user name and password -------------------------------------------------------------

$service->add_user(name => 'trace@contoso.com', password => 'p:ss wörd');
map_by(client_id => undef, auth => 'basic', username => 'trace@contoso.com', password => 'p:ss wörd');
like($node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $day")->{message}, qr/basic sign-in does not go with the api "graph"/, 'Graph takes no passwords');
$node->sql("ALTER SERVER tenant OPTIONS (ADD api 'reporting', DROP tenant_id, SET report_url '" . $service->report_url('reporting') . "')");
$service->clear_requests;
my $recent = "received >= '$days[6]' AND received < '$days[4]'";
$node->load_truth($service, 'recent', $days[6], $days[4]);
$node->same_rows('user name and password', "SELECT message_trace_id, recipient_address, received FROM mail.message_trace WHERE $recent",
	'SELECT message_trace_id, recipient_address, received FROM recent', at_least => 900);
is(scalar $service->token_requests, 0, '… without a token');
is_deeply([ grep { ($_->{scheme} // '') ne 'Basic' } $service->list_requests ], [], '… in every request for the list');
is_deeply([ grep { $_->{authorization} && $_->{path} !~ /MessageTrace$/ } $service->requests ], [], '… and in no other');
$service->clear_requests;
$service->fault({ on => 'any', fault => 'status', status => 503 });
$node->sql("SELECT count(*) FROM mail.message_trace WHERE $recent");
is(join(' ', map { $_->{status} } grep { $_->{path} eq '/' } $service->requests), 503, '… whose host is asked for its time once, whatever it answers');
$day = $recent;
map_by(client_id => undef, auth => 'basic', username => 'trace@contoso.com', password => 'p:ss word');
my $error = $node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $day");
$said .= $error->{text};
is($error->{sqlstate}, '08004', 'a wrong password');
like($error->{message}, qr/did not accept the user name and password/, '… is said to be one');
like($error->{hint}, qr/Check username and password/, '… with a hint');

# An answer that repeats what it was sent does not make us show it.
my $password = 'p:ss wörd';
utf8::encode(my $bytes = "trace\@contoso.com:$password");
my $encoded = encode_base64($bytes, '');
map_by(client_id => undef, auth => 'basic', username => 'trace@contoso.com', password => $password);
# The first request asks for the time, without the password.
$service->fault({ on => 'list', skip => 1, fault => 'status', status => 403, body => qq({"error":{"code":"no","message":"You sent $password as Basic $encoded, which is not enough."}}) });
$error = $node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $day");
$said .= $error->{text};
like($error->{detail}, qr/You sent \*+ as Basic \*+, which is not enough/, 'a password that comes back is not shown');

# ---- what is shown -----------------------------------------------------------------------

my $seen = $said . $node->log;
for my $secret ($service->{client_secret}, 'old~secret', 'not~this.one', 'open~sesame', 'p:ss w', 'cDpzcyB3', 'dHJhY2VAY29udG9zby5jb206', 'client_assertion=',
	'eyJhbGciOiJQUzI1NiI')
{
	unlike($seen, qr/\Q$secret\E/, "neither client nor log at debug5 shows $secret");
}

done_testing();
