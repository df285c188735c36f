# tests/t/065_check.t
#
# check(): each step, once as it should be and once failing with its hint; that
# it goes on when one fails, and costs what it may; whom it serves, and where:
# on a standby, and in a transaction that writes nothing.

use strict;
use warnings;
use utf8;

use Encode ();
use IO::Socket::INET;
use JSON::PP;
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder free_port wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my @steps = (
	'options', 'user mapping', 'credentials', 'expiry', 'sign-in host', 'service host', 'token', 'permission',
	'service principal', 'list', 'detail', 'clock', 'shared budget', 'pg_cron', 'version');
my $secret = q{p@ss w+rd/100%&=~'quote"x};
my $principal = '8bd644d1-64a1-4d4b-ae52-2e0cbf64e373';

# Clocks agree here, as in life.
my $service = MsgTrace::Service->start(rows_per_day => 2000, quota => 0, client_secret => $secret);
my $node = MsgTrace::Cluster->start(
	preload => 'pg_cron, o365_msgtrace',
	conf => {
		'o365_msgtrace.clock_source' => 'local',
		'cron.use_background_workers' => 'on',
		log_statement => 'none'
	});
my $has_cron = $node->cron_available;
$node->create_server($service, quota_requests => 90);
$node->sql('CREATE EXTENSION pg_cron') if $has_cron;
my $said = '';    # all that a check has ever shown

# The outcome of a check: step => { ok => t, f or '', detail, hint }.
sub check
{
	my ($server, %how) = @_;
	my $on = delete $how{on} // $node;
	my $before = delete $how{before} // '';
	$service->clear_requests;
	my $json = $on->sql("$before; SELECT json_agg(c) FROM o365_msgtrace.check('$server') c", %how);
	$json =~ s/\A.*?(?=\[)//s;
	$said .= $json;
	my $rows = decode_json(Encode::encode_utf8($json));
	my @costly = grep { $_->{path} =~ m{/messageTraces|/MessageTrace} } $service->requests;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(', ', map { $_->{step} } @$rows), join(', ', @steps), 'all steps are taken');
	cmp_ok(scalar @costly, '<=', 2, '… with two requests at most');
	return { map { $_->{step} => { %$_, ok => defined $_->{ok} ? ($_->{ok} ? 't' : 'f') : '' } } @$rows };
}

# All steps as one text, in their order.
sub verdicts
{
	my ($all) = @_;
	return join ' ', map { $all->{$_}{ok} || '-' } @steps;
}

# A step fails with this detail and hint; the verdicts of all are these.
sub fails
{
	my ($name, $all, $step, $detail, $hint, $verdicts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($all->{$step}{ok}, 'f', "$name: the step \"$step\" fails");
	like($all->{$step}{detail}, $detail, '… with its detail');
	like($all->{$step}{hint} // '', $hint, '… and its hint');
	is(verdicts($all), $verdicts, '… and of the other steps those that can are taken') if $verdicts;
	return;
}

sub graph_error
{
	my ($code, $message) = @_;
	return encode_json({ error => { code => $code, message => $message, innerError => { 'request-id' => 'request-of-it' } } });
}

# ---- all is well ---------------------------------------------------------------------

my $cron = $has_cron ? 't' : '-';
my $all = check('tenant');
is(verdicts($all), "t t t - t t t t t t t t t $cron t", 'all is well');
my %expected = (
	options => qr{^api graph at https://localhost:\d+/v1\.0/\S+, sign-in at https://localhost:\d+$},
	'user mapping' => qr/^for PUBLIC$/,
	credentials => qr/^client $service->{client_id}, its secret from the user mapping$/,
	'sign-in host' => qr{^https://localhost:\d+/ is reached, its certificate is trusted, issued by .*CN ?= ?\w},
	'service host' => qr{^https://localhost:\d+/ is reached, its certificate is trusted},
	token => qr{^for https://localhost:\d+, of tenant $service->{tenant}$},
	permission => qr/^the token carries ExchangeMessageTrace\.Read\.All$/,
	list => qr/^a row of the last 7 days$/,
	detail => qr/^\d+ bytes about that row$/,
	clock => qr/^the service's clock is \d+ seconds (?:ahead of|behind) this machine's$/,
	'shared budget' => qr/^90 requests in 300 s, all sessions together$/,
	version => qr/^library (\S+), SQL \1$/);
like($all->{$_}{detail}, $expected{$_}, "what \"$_\" says") for grep { $expected{$_} } @steps;
ok(!grep({ defined $_->{hint} } grep { $_->{ok} eq 't' } values %$all), 'what is well needs no hint');
my @requests = $service->requests;
is(scalar(grep { $_->{path} =~ /messageTraces$/ } @requests), 1, 'it costs a list');
is((grep { $_->{path} =~ /messageTraces$/ } @requests)[0]{parameters}{'$top'}, 1, '… of one row');
is(scalar(grep { $_->{path} =~ /getDetailsByRecipient/ } @requests), 1, '… and a detail');
is(scalar(grep { $_->{path} =~ /token$/ } @requests), 1, '… and a token');

my $host = q{SELECT detail FROM o365_msgtrace.check('tenant') WHERE step = 'service host';};
is(scalar(() = $node->sql($host x 2) =~ /issued by/g), 2, 'a second check in a session looks at the certificate again');

# ---- each step fails, once ---------------------------------------------------------------

# What the validator would never let through.
sub with_options
{
	my ($change, $code) = @_;
	my $was = $node->sql("SELECT quote_nullable(srvoptions::text) FROM pg_foreign_server WHERE srvname = 'tenant'");
	$node->sql("UPDATE pg_foreign_server SET srvoptions = srvoptions || '{$change}' WHERE srvname = 'tenant'");
	$code->();
	$node->sql("UPDATE pg_foreign_server SET srvoptions = $was WHERE srvname = 'tenant'");
	return;
}

with_options('plan=gcc_low', sub { fails('an option of no known value', check('tenant'), 'options', qr/gcc_low|plan/, qr//) });
with_options(
	'api=reporting,page_size=3000',
	sub { fails('options that do not fit together', check('tenant'), 'options', qr/page_size.*3000/, qr/at most 2000/, "f t - - f - - - - - - f f $cron t") });

$node->sql(<<'SQL');
CREATE ROLE regress_checker LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace TO regress_checker;
SQL
$node->create_server($service, name => 'mapped', schema => 'mapped', user => 'postgres');
$node->sql('GRANT USAGE ON FOREIGN SERVER mapped TO regress_checker');
fails(
	'no user mapping', check('mapped', user => 'regress_checker'), 'user mapping',
	qr/role "regress_checker" has none, nor is there one for PUBLIC/,
	qr/^CREATE USER MAPPING FOR regress_checker SERVER mapped OPTIONS/,
	't f - - t t - - - - - t - - t');

$node->sql("CREATE USER MAPPING FOR regress_checker SERVER mapped OPTIONS (auth 'basic', username 'a', password 'b')");
fails(
	'a sign-in that the API does not take', check('mapped', user => 'regress_checker'), 'credentials',
	qr/basic sign-in does not go with the api "graph"/, qr/option auth/);

my $closed = free_port();
my %wrong = (
	no_host => { authority_url => 'https://no.such.host.invalid' },
	no_service => { report_url => "https://localhost:$closed/v1.0/admin/exchange/tracing/messageTraces" },
	untrusted => { ca_file => undef });
$node->create_server($service, name => $_, schema => $_, %{ $wrong{$_} }) for keys %wrong;
fails('no such host', check('no_host'), 'sign-in host', qr/could not resolve/, qr/name/, "t t t - f t f - - - - t - $cron t");
fails('a closed port', check('no_service'), 'service host', qr/could not connect.*localhost:$closed/, qr/firewall/, "t t t - t f t t - f - t - $cron t");
fails('an unknown authority', check('untrusted'), 'service host', qr/trusted TLS.*\bCN\b/s, qr/ca_file/, "t t t - f f f - - - - - - $cron t");

$node->create_server($service, name => 'wrong_secret', schema => 'wrong_secret', mapping => { client_secret => 'wrong~one' });
fails('a wrong secret', check('wrong_secret'), 'token', qr/AADSTS7000215/, qr/value, not its id/, "t t t - t t f - - - - t - $cron t");

for my $roles ('none', 'delegated')
{
	$service->settings(roles => $roles);
	fails(
		"a token with the roles \"$roles\"", check('tenant'), 'permission', qr/carries no role/,
		qr/delegated instead of application permission, or consent missing.*ExchangeMessageTrace\.Read\.All/,
		"t t t - t t t f - f - t t $cron t");
}
$service->settings(roles => 'other');
$all = check('tenant');
fails('a token with another role', $all, 'permission', qr/but not ExchangeMessageTrace\.Read\.All/, qr/Grant the application permission/);
fails('… whose list', $all, 'list', qr/HTTP 403/, qr/Grant the application permission/);
$service->settings(roles => 'granted');

$service->settings(service_principal => 0);
$all = check('tenant');
fails('a missing service principal', $all, 'service principal', qr/$principal/, qr/az ad sp create --id $principal\b.*hours/, "t t t - t t t t f f - t t $cron t");
like($all->{list}{hint}, qr/az ad sp create/, 'the list says the same');
$service->settings(service_principal => 1);

my %faults = (
	'HTTP 500' => [ { fault => 'status', status => 500 }, qr/HTTP 500/, qr/Try again/ ],
	'a 429' => [ { fault => 'status', status => 429, retry_after => 0 }, qr/HTTP 429/, qr/requests/ ],
	'a 400' => [ { fault => 'status', status => 400, body => graph_error('BadRequest', 'No.') }, qr/HTTP 400 BadRequest: No\..*request-of-it/, qr/report_url/ ],
	'a sign-in page' => [ { fault => 'html' }, qr/not what the service should send/, qr/proxy/ ],
	'a connection that breaks off' => [ { fault => 'cut', after => 5 }, qr/broke off/, qr/again/ ]);
for my $name (sort keys %faults)
{
	my ($fault, $detail, $hint) = @{ $faults{$name} };
	$service->clear_faults;
	# the first two are those to the hosts' roots
	$service->fault({ on => 'list', skip => 2, count => 5, %$fault });
	fails("$name for the list", check('tenant'), 'list', $detail, $hint, "t t t - t t t t - f - t t $cron t");
	$service->clear_faults;
	next if $name eq 'a sign-in page';
	$service->fault({ on => 'detail', count => 5, %$fault });
	fails("$name for the detail", check('tenant'), 'detail', $detail, $hint, "t t t - t t t t t t f t t $cron t");
}
$service->clear_faults;

$service->fault({ on => 'any', fault => 'clock_skew', seconds => 1000, count => 20 });
fails('a clock ahead', check('tenant'), 'clock', qr/clock is (?:9\d\d|100\d) seconds ahead of/, qr/Set the clock/);
$service->clear_faults;

$node->sql("UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'o365_msgtrace'");
fails('an old SQL part', check('tenant'), 'version', qr/library \S+, SQL 0\.9/, qr/ALTER EXTENSION o365_msgtrace UPDATE/);
$node->sql("UPDATE pg_extension SET extversion = default_version FROM pg_available_extensions WHERE extname = 'o365_msgtrace' AND name = extname");

SKIP:
{
	skip 'pg_cron is not installed', 1 if !$has_cron;
	my $barred = check('mapped', user => 'regress_checker')->{pg_cron};
	is($barred->{ok}, '', 'pg_cron that the role may not use is no fault of a role that only asks queries');
	like("$barred->{detail} $barred->{hint}", qr/may not use it .*GRANT USAGE ON SCHEMA cron TO regress_checker/, '… but is told');
	$node->sql('GRANT USAGE ON SCHEMA cron TO regress_checker');
	is(check('mapped', user => 'regress_checker')->{pg_cron}{ok}, '', 'what the role may not know is not known');
	$node->sql(q{INSERT INTO cron.job_run_details (runid, database, username, status, return_message)
		VALUES (1, 'postgres', 'regress_checker', 'failed', 'connection failed'), (2, 'elsewhere', 'regress_checker', 'succeeded', '')});
	fails('pg_cron that gets no connection', check('mapped', user => 'regress_checker'), 'pg_cron', qr/did not get a connection/, qr/use_background_workers.*pg_hba\.conf/);
	$node->sql(q{INSERT INTO cron.job_run_details (runid, database, username, status, return_message)
		VALUES (3, 'postgres', 'regress_checker', 'succeeded', '1 row')});
	is(check('mapped', user => 'regress_checker')->{pg_cron}{ok}, 't', 'and gets one later');
	like($all->{pg_cron}{detail}, qr/background workers/, 'background workers need none');
	$node->sql('CREATE DATABASE other');
	$node->sql('CREATE EXTENSION o365_msgtrace', dbname => 'other');
	is($node->sql("SELECT ok, detail FROM o365_msgtrace._check_cron(0, true)", dbname => 'other'), '|it is in database "postgres", not in this one', 'pg_cron in another database is said to be there');
}

# ---- certificates ----------------------------------------------------------------------------

my $keys = folder() . '/keys';
mkdir $keys or die "$keys: $!";

# With the validity of so many days; registered with the application.
sub certificate
{
	my ($name, $days) = @_;
	system("openssl req -x509 -newkey rsa:2048 -nodes -keyout $keys/$name.key -out $keys/$name.pem"
		  . " -days $days -subj /CN=$name >>$keys/log 2>&1") == 0 or die "openssl\n";
	$service->register_certificate("$keys/$name.pem");
	$node->create_server(
		$service,
		name => $name,
		schema => $name,
		mapping => {
			auth => 'oauth_certificate',
			client_secret => undef,
			certificate_file => "$keys/$name.pem",
			private_key_file => "$keys/$name.key"
		});
	return;
}

certificate('years', 1000);
$all = check('years');
is(verdicts($all), "t t t t t t t t t t t t - $cron t", 'a certificate');
like($all->{expiry}{detail}, qr/^the certificate ends in 999 days, at \d{4}-\d\d-\d\d/, 'its end');
like($all->{credentials}{detail}, qr{^client \S+, its certificate from $keys/years\.pem$}, 'where it is from');
certificate('weeks', 20);
fails('a certificate that will end soon', check('weeks'), 'expiry', qr/ends in 19 days/, qr/new one.*before/, "t t t f t t t t t t t t - $cron t");
unlink "$keys/weeks.key";
fails('a key that is not there', check('weeks'), 'credentials', qr/weeks\.key/, qr/\w/, "t t f - t t - - - - - t - $cron t");

# ---- stored secrets -----------------------------------------------------------------------------------

$node->sql('SELECT o365_msgtrace.create_secret_key()');
my $quoted = $secret =~ s/'/''/gr;
$node->sql("SELECT o365_msgtrace.create_secret('app', '$quoted', hosts => '{localhost}', expires_at => now() + interval '90.5 days')");
$node->create_server($service, name => 'stored', schema => 'stored', user => 'postgres', mapping => { auth => 'oauth_secret', client_secret => undef, secret_name => 'app' });
$all = check('stored');
is(verdicts($all), "t t t t t t t t t t t t - $cron t", 'a stored secret');
is($all->{credentials}{detail}, qq{client $service->{client_id}, its secret from stored secret "app"}, 'where it is from');
like($all->{expiry}{detail}, qr/^the stored secret ends in 90 days, at /, 'its end');
$node->sql("SELECT o365_msgtrace.alter_secret('app', expires_at => now() + interval '29.5 days')");
fails('a stored secret that will end soon', check('stored'), 'expiry', qr/ends in 29 days/, qr/new one.*before/, "t t t f t t t t t t t t - $cron t");
$node->sql("SELECT o365_msgtrace.alter_secret('app', expires_at => now() - interval '1 day')");
fails('a stored secret that has ended', check('stored'), 'credentials', qr/"app".*expired/, qr/\w/, "t t f - t t - - - - - t - $cron t");
$node->sql("SELECT o365_msgtrace.alter_secret('app', expires_at => 'infinity')");
is(check('stored')->{expiry}{ok}, '', 'a stored secret without an end');
$node->sql("GRANT USAGE ON FOREIGN SERVER stored TO regress_checker;
	CREATE USER MAPPING FOR regress_checker SERVER stored OPTIONS (auth 'oauth_secret', client_id 'a', secret_name 'app')");
fails('a stored secret of another role', check('stored', user => 'regress_checker'), 'credentials', qr/"app"/, qr/grant_secret/);
rename "$node->{data}/$_", "$node->{data}/$_.away" for map { s{.*/}{}r } glob "$node->{data}/*.key";
fails('a key file that is not there', check('stored'), 'credentials', qr/secret "app" needs key/, qr/secret_key_file/, "t t f - t t - - - - - t - $cron t");
rename $_, $_ =~ s/\.away$//r for glob "$node->{data}/*.key.away";
is(check('stored')->{credentials}{ok}, 't', '… and is there again');

# ---- the Reporting web service, with a token and with a password ------------------------------------

my %reporting = (api => 'reporting', report_url => $service->report_url('reporting'));
$node->create_server($service, name => 'older', schema => 'older', %reporting);
$all = check('older');
is(verdicts($all), "t t t - t t t t - t t t - $cron t", 'the Reporting web service');
like($all->{permission}{detail}, qr/carries ReportingWebService\.Read\.All/, 'its permission');
like($all->{'service principal'}{detail}, qr/only Microsoft Graph/, 'it needs no service principal');
is(scalar(grep { $_->{path} =~ m{/MessageTraceDetail$} } $service->requests), 1, 'its detail');
$service->settings(roles => 'none');
fails('a token without roles', check('older'), 'permission', qr/carries no role/, qr/ReportingWebService\.Read\.All of Office 365 Exchange Online/, "t t t - t t t f - f - t - $cron t");
$service->settings(roles => 'granted');

$service->add_user(name => 'reports@contoso.com', password => $secret);
my %basic = (auth => 'basic', username => 'reports@contoso.com', client_id => undef, client_secret => undef);
$node->create_server($service, name => 'basic', schema => 'basic', %reporting, mapping => { %basic, password => $secret });
$all = check('basic');
is(verdicts($all), "t t t - - t - - - t t t - $cron t", 'basic sign-in');
is(scalar(grep { $_->{path} =~ /token/ } $service->requests), 0, '… asks for no token');
$node->create_server($service, name => 'basic_wrong', schema => 'basic_wrong', %reporting, mapping => { %basic, password => 'wrong' });
fails('a wrong password', check('basic_wrong'), 'list', qr/HTTP 401/, qr/username and password/, "t t t - - t - - - f - t - $cron t");

# ---- less than two requests, or none ------------------------------------------------------------

$service->fault({ on => 'list', fault => 'expire_token', skip => 2 });
$all = check('tenant');
is("$all->{list}{ok} $all->{detail}{detail}", 't the list took two requests', 'a token that is refused costs the detail');
$service->clear_faults;

my $quiet = MsgTrace::Service->start(rows_per_day => 100, quota => 0, now => '2001-01-01T00:00:00Z', client_secret => $secret);
$node->create_server($quiet, name => 'quiet', schema => 'quiet');
{
	my $found = $node->sql("SET o365_msgtrace.clock_source = service; SELECT ok, detail FROM o365_msgtrace.check('quiet') WHERE step = 'clock'");
	like($found, qr/^f\|the service's clock is \d+ seconds behind/, 'clocks that are years apart');
}

# ---- whom it serves, and where --------------------------------------------------------------------

my $error = $node->sql_error("SELECT * FROM o365_msgtrace.check('contoso')");
is($error->{sqlstate}, '42704', 'a server that is not there');
like($error->{hint}, qr/^Servers of o365_msgtrace: .*"mapped", .*"tenant"/, '… and those that are');
$node->sql('CREATE FOREIGN DATA WRAPPER regress_wrapper; CREATE SERVER regress_other FOREIGN DATA WRAPPER regress_wrapper');
$error = $node->sql_error("SELECT * FROM o365_msgtrace.check('regress_other')");
is($error->{sqlstate}, '42809', 'a server of another wrapper');
# Nobody has checked these options: a step that took them would be led astray, or crash.
$node->sql(<<'SQL');
CREATE EXTENSION file_fdw;
CREATE FOREIGN DATA WRAPPER regress_trap HANDLER file_fdw_handler;
CREATE SERVER regress_trap FOREIGN DATA WRAPPER regress_trap OPTIONS (tenant_id 'x', authority_url 'https://localhost:1');
GRANT USAGE ON FOREIGN SERVER regress_trap TO regress_checker;
CREATE USER MAPPING FOR regress_checker SERVER regress_trap OPTIONS ("user" 'x');
SQL
is($node->sql_error("SELECT * FROM o365_msgtrace._check_$_((SELECT oid FROM pg_foreign_server WHERE srvname = 'regress_trap'), true)", user => 'regress_checker')->{sqlstate}, '42809', "… nor by way of _check_$_")
  for qw(options credentials hosts requests clock budget);
$error = $node->sql_error("SELECT * FROM o365_msgtrace.check('tenant')", user => 'regress_checker');
is($error->{sqlstate}, '42501', 'a server that the role may not use');
is($error->{hint}, 'GRANT USAGE ON FOREIGN SERVER tenant TO regress_checker;', '… and what to do');
my $oid = $node->sql("SELECT oid FROM pg_foreign_server WHERE srvname = 'tenant'");
is($node->sql_error("SELECT * FROM o365_msgtrace._check_$_($oid, false)", user => 'regress_checker')->{sqlstate}, '42501', "nor by way of _check_$_")
  for qw(options credentials hosts requests clock budget);

is(verdicts(check('tenant', before => 'SET default_transaction_read_only = on')), "t t t - t t t t t t t t t $cron t", 'in a read-only transaction');

$service->fault({ on => 'list', fault => 'hang', where => 'headers', skip => 2 });
my $session = $node->session;
$session->send("SELECT * FROM o365_msgtrace.check('tenant')");
wait_for('the list request', 60, sub { !$service->faults_left });
$session->cancel;
like($session->receive, qr/^.*ERROR:  57014/s, 'a cancel ends it');
$session->quit;

# The strictest server of a tenant decides: from here on none has a slot.
$node->create_server($service, name => 'poor', schema => 'poor', quota_requests => 2, quota_window => '1h');
$all = check('poor');
is($all->{list}{ok}, '', 'a budget that is used up is not waited for');
like("$all->{list}{detail} $all->{list}{hint}", qr/no free slot.*o365_msgtrace\.quota/, '… but said');
is(scalar(grep { $_->{path} =~ /messageTraces/ } $service->requests), 0, '… and costs nothing');

# Not preloaded, each session counts for itself.
my $plain = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.clock_source' => 'local' });
$plain->create_server($service, quota_requests => 90);
$all = check('tenant', on => $plain);
if ($plain->sql('SHOW server_version_num') < 170000)
{
	fails('a library that is not preloaded', $all, 'shared budget', qr/each session counts for itself/, qr/shared_preload_libraries/);
}
else
{
	is($all->{'shared budget'}{ok}, 't', 'newer servers share without preloading');
}

my $standby = $plain->standby;
is($standby->sql('SELECT pg_is_in_recovery()'), 't', 'a standby');
is(verdicts(check('tenant', on => $standby)), verdicts($all) =~ s/.\z/t/r, '… serves as well as its primary');

ok(index($said, $secret) < 0 && $said !~ /eyJ[\w-]{10,}/, 'no check has shown a secret or a token');

done_testing();
