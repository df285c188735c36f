# tests/t/010_service.t
#
# The simulated service keeps to the rules it stands for: windows, filters,
# paging, tokens, quota, and every fault that a test may order. What pages give
# and what the truth says is compared here by a third reading of both.

use strict;
use warnings;
use utf8;

use Encode qw(decode encode);
use File::Temp qw(tempdir);
use FindBin;
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64 encode_base64url);
use Socket qw(AF_INET AF_INET6 inet_ntop inet_pton);
use Test::More;
use Time::HiRes qw(sleep time);

my $binary = $ENV{MSGTRACE_SERVICE} // "$FindBin::Bin/../service/msgtrace-service";
my $now = '2026-11-20T12:00:00Z';	# a Friday
my $list_path = '/v1.0/admin/exchange/tracing/messageTraces';
my $report_path = '/ecp/reportingwebservice/reporting.svc/MessageTrace';
my %client = (
	grant_type => 'client_credentials',
	client_id => 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
	client_secret => 'demo~secret.of-the-simulated-service',
	scope => 'https://graph.microsoft.com/.default');

my $http = HTTP::Tiny->new(timeout => 20);
my ($pid, $output, $root, $token);

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

# ---- the process ----

sub start_service
{
	my @options = @_;
	$pid = open $output, '-|', $binary, '--now', $now, '--rows-per-day', 20000, '--quota', 0, @options;
	die "cannot start $binary: $!" unless $pid;
	my $line = <$output> // '';
	my ($port) = $line =~ /^listening (\d+)$/ or die "no port from $binary: $line";
	$root = "http://127.0.0.1:$port";
	return;
}

sub stop_service
{
	my $begin = time;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	my $took = time - $begin;
	my $status = $?;
	$pid = undef;
	close $output;
	$? = $status;
	return $took;
}

END
{
	if ($pid)
	{
		local $?;
		kill 'KILL', $pid;
		waitpid $pid, 0;
	}
}

# ---- requests ----

sub encode_url
{
	my ($text) = @_;
	utf8::encode($text) if utf8::is_utf8($text);
	$text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
	return $text;
}

sub query_string
{
	my %parameters = @_;
	return join '&', map { "$_=" . encode_url($parameters{$_}) } sort keys %parameters;
}

sub json_of
{
	my ($response) = @_;
	return eval { JSON::PP->new->utf8->decode($response->{content}) };
}

sub control
{
	my ($method, $path, $document) = @_;
	my %options;
	$options{content} = ref $document ? JSON::PP->new->utf8->encode($document) : $document if defined $document;
	return $http->request($method, "$root/control/$path", \%options);
}

sub order { my @faults = @_; is(control(POST => 'faults', \@faults)->{status}, 200, 'fault ordered'); return; }
sub set_clock { my ($time) = @_; control(POST => 'clock', { now => $time }); return; }
sub settings { my %settings = @_; control(POST => 'settings', \%settings); return; }

sub get_token
{
	my ($path, %form) = @_;
	return $http->post_form("$root/$path", \%form);
}

sub claims_of
{
	my ($jwt) = @_;
	return JSON::PP->new->utf8->decode(decode_base64url((split /\./, $jwt)[1]));
}

sub sign_in
{
	my ($scope, %change) = @_;
	my $tenant = delete $change{tenant} // 'contoso.onmicrosoft.com';
	$token = token_of(json_of(get_token("$tenant/oauth2/v2.0/token", %client, scope => ($scope // $root) . '/.default', %change)));
	return;
}

sub token_of { my ($answer) = @_; return $answer->{access_token} // 'none'; }

# A refusal in Entra's form.
sub refused
{
	my ($response, $status, $error, $code, $name) = @_;
	my $document = json_of($response);
	my @got = ($response->{status}, $document->{error}, @{ $document->{error_codes} // [] });
	is("@got", "$status $error $code", $name // "$code");
	like($document->{error_description} // '', qr/^AADSTS$code: .*\r\nTrace ID: /s, '  with words');
	return;
}

sub get_url
{
	my ($url, %headers) = @_;
	return $http->get($url, { headers => { Authorization => "Bearer $token", %headers } });
}

sub list
{
	my ($filter, %more) = @_;
	my %headers = %{ delete $more{headers} // {} };
	my %parameters = map { ("\$$_" => $more{$_}) } keys %more;
	$parameters{'$filter'} = $filter if defined $filter;
	return get_url("$root$list_path?" . query_string(%parameters), Prefer => 'include-unknown-enum-members', %headers);
}

sub report
{
	my ($filter, %more) = @_;
	my %headers = %{ delete $more{headers} // {} };
	my %parameters = map { ("\$$_" => $more{$_}) } keys %more;
	$parameters{'$filter'} = $filter if defined $filter;
	return get_url("$root$report_path?" . query_string(%parameters), %headers);
}

sub window { my ($from, $to) = @_; return "receivedDateTime ge $from and receivedDateTime le $to"; }
sub rows_of { my ($response) = @_; return @{ json_of($response)->{value} // [] }; }

# All pages: rows in order, number of pages.
sub all_rows
{
	my ($filter, %more) = @_;
	my $page = json_of(list($filter, top => 5000, %more));
	my @rows = @{ $page->{value} };
	my $pages = 1;
	while (my $link = $page->{'@odata.nextLink'})
	{
		$page = json_of(get_url($link, Prefer => 'include-unknown-enum-members'));
		push @rows, @{ $page->{value} };
		die 'too many pages' if ++$pages > 3000;
	}
	return (\@rows, $pages);
}

# ---- the normal form, once more ----

sub lower { my ($text) = @_; $text =~ tr/A-Z/a-z/ if defined $text; return $text; }

sub normal_ip
{
	my ($ip) = @_;
	return '' unless defined $ip && length $ip;
	$ip =~ s/^\[(.*)\]$/$1/;
	$ip =~ s/^(\d+\.\d+\.\d+\.\d+):\d+$/$1/;
	my $family = $ip =~ /:/ ? AF_INET6 : AF_INET;
	return inet_ntop($family, inet_pton($family, $ip));
}

sub normal_time
{
	my ($time) = @_;
	my ($date, $clock, $fraction) = $time =~ /^(\S{10})T(\S{8})(?:\.(\d+))?Z?$/ or return "bad time $time";
	return sprintf '%s %s.%s+00', $date, $clock, substr(($fraction // '') . '0' x 6, 0, 6);
}

sub normal_row
{
	my ($row) = @_;
	my $status = lcfirst($row->{status} // '');
	return join '|', lower($row->{id}), $row->{messageId} // '', normal_time($row->{receivedDateTime}),
		lower($row->{senderAddress} // ''), lower($row->{recipientAddress}), $row->{subject} // '', $status,
		$row->{size}, normal_ip($row->{fromIP}), normal_ip($row->{toIP});
}

sub truth
{
	my ($from, $to, $as_of, $tenant) = @_;
	my $url = "$root/control/truth?from=" . encode_url($from) . '&to=' . encode_url($to);
	$url .= '&as_of=' . encode_url($as_of) if $as_of;
	$url .= "&tenant=$tenant" if $tenant;
	my $csv = decode('UTF-8', $http->get($url)->{content});
	my @lines;
	while ($csv =~ /\G((?:"(?:[^"]|"")*"|[^,"\n]*)(?:,(?:"(?:[^"]|"")*"|[^,"\n]*))*)\n/g)
	{
		push @lines, join '|', map { s/^"(.*)"$/$1/s ? s/""/"/gr : $_ } $1 =~ /\G(?:^|,)((?:"(?:[^"]|"")*"|[^,"\n]*))/g;
	}
	shift @lines;
	return @lines;
}

# The difference of two sets of lines, for the diagnostics.
sub same_sets
{
	my ($got, $expected, $name) = @_;
	my (%got, %expected);
	$got{$_}++ for @$got;
	$expected{$_}++ for @$expected;
	my @more = grep { !$expected{$_} } sort keys %got;
	my @less = grep { !$got{$_} } sort keys %expected;
	my $good = ok(!@more && !@less && @$got == @$expected && keys %got == @$got, "$name (" . @$got . ' rows)');
	diag "got only: $_" for splice @more, 0, 3;
	diag "missing: $_" for splice @less, 0, 3;
	return $good;
}

# A page's key and time columns without a slow JSON reader.
sub quick_keys
{
	my ($response) = @_;
	my @keys;
	for my $row ($response->{content} =~ /\{[^{}]*\}/g)
	{
		my ($id) = $row =~ /"id":"([^"]+)"/ or next;
		my ($recipient) = $row =~ /"recipientAddress":"([^"]+)"/;
		$recipient =~ s/\\u([0-9a-f]{4})/my $c = chr hex $1; utf8::encode($c); $c/ge;
		push @keys, "$id " . lower($recipient);
	}
	return @keys;
}

sub next_link { my ($response) = @_; return json_of($response)->{'@odata.nextLink'}; }

sub quick_link
{
	my ($response) = @_;
	my ($link) = $response->{content} =~ /"\@odata\.nextLink":"([^"]+)"/;
	return $link;
}

# ---- the stories ----

die "no program at $binary: make -C tests/service\n" unless -x $binary;

subtest 'command line' => sub {
	like(`$binary --help`, qr/--rows-per-day N.*--token-lifetime/s, 'help lists the options');
	for my $wrong ('--nonsense', '--port x', '--port', '--rows-per-day 99', '--now yesterday', '--tls-cert x', '--shuffle=1')
	{
		my $text = `$binary $wrong 2>&1`;
		is($? >> 8, 2, "$wrong ends with 2");
		like($text, qr/^msgtrace-service: --\S+.*: \S/, "$wrong is explained");
	}
};

start_service();

subtest 'sign-in' => sub {
	my $tenant = '11111111-2222-3333-4444-555555555555';
	my $path = "$tenant/oauth2/v2.0/token";
	my $answer = json_of(get_token($path, %client));
	is($answer->{token_type}, 'Bearer', 'a bearer token');
	is($answer->{expires_in}, 3599, 'its life as a number');
	ok(length((split /\./, $answer->{access_token})[2]) > 100, 'three parts');
	my $claims = claims_of($answer->{access_token});
	is($claims->{tid}, $tenant, 'tid names the tenant');
	is($claims->{aud}, 'https://graph.microsoft.com', 'aud names the resource');
	is($claims->{exp} - $claims->{iat}, 3599, 'exp follows the lifetime');
	is_deeply($claims->{roles}, ['ExchangeMessageTrace.Read.All'], 'roles');
	is(json_of(get_token('contoso.onmicrosoft.com/oauth2/token', %client, resource => 'https://graph.microsoft.com'))->{expires_in},
		'3599', 'the older endpoint gives text');

	my @wrong = (
		[ 'nobody.example/oauth2/v2.0/token', {}, 400, 90002, 'invalid_request' ],
		[ $path, { client_id => 'x' }, 400, 700016, 'unauthorized_client' ],
		[ $path, { client_secret => 'x' }, 401, 7000215, 'invalid_client' ],
		[ $path, { scope => 'mail' }, 400, 70011, 'invalid_scope' ],
		[ $path, { scope => 'https://graph.microsoft.com/Mail.Read' }, 400, 70011, 'invalid_scope' ],
		[ $path, { grant_type => 'password' }, 400, 70003, 'unsupported_grant_type' ]);
	for my $case (@wrong)
	{
		my ($where, $change, $status, $code, $error) = @$case;
		my $response = get_token($where, %client, %$change);
		my $document = json_of($response);
		is($response->{status}, $status, "$code: status");
		is($document->{error}, $error, "$code: error");
		is_deeply($document->{error_codes}, [$code], "$code: code");
		like($document->{error_description}, qr/^AADSTS$code: .*\r\nTrace ID: /, "$code: description");
	}
	is($http->get("$root/$path")->{status}, 405, 'GET is refused');
};

sign_in();

subtest 'what a token says' => sub {
	my %role = (
		'https://graph.microsoft.com' => 'ExchangeMessageTrace.Read.All',
		'https://outlook.office365.com' => 'ReportingWebService.Read.All',
		'https://outlook.office365.us' => 'ReportingWebService.Read.All');
	my %right = map { ($_ => $role{$_} =~ /^Exchange/ ? '200 401' : '401 200') } keys %role;
	my $both = sub { return join ' ', list(undef, top => 1)->{status}, report(undef, top => 1)->{status}; };
	for my $resource (sort keys %role)
	{
		sign_in($resource);
		my $claims = claims_of($token);
		is_deeply($claims->{roles}, [ $role{$resource} ], "the role for $resource");
		is($claims->{aud}, $resource, 'its audience');
		is($both->(), $right{$resource}, 'and good for this alone');
	}
	sign_in();
	is(@{ claims_of($token)->{roles} }, 2, "the service's own address stands for both");
	is($both->(), '200 200', 'good for both');

	for my $case ([ none => sub { !exists $_[0]{roles} && !exists $_[0]{scp} } ],
		[ delegated => sub { !exists $_[0]{roles} && $_[0]{scp} =~ /^ExchangeMessageTrace\.Read\.All / } ],
		[ other => sub { $_[0]{roles}[0] eq 'User.Read.All' } ])
	{
		settings(roles => $case->[0]);
		sign_in();
		ok($case->[1]->(claims_of($token)), "roles: $case->[0]");
		is($both->(), '403 403', 'of no use');
	}
	like(json_of(list(undef))->{error}{message}, qr/ExchangeMessageTrace\.Read\.All/, 'Graph names the permission');
	like(json_of(report(undef))->{Message}, qr/^No permission to access the report/, 'Reporting has its own words');
	settings(roles => 'granted', token_form => 'opaque');
	sign_in();
	unlike($token, qr/\./, 'a token that is no JWT');
	is($both->(), '200 200', 'is good, too');
	settings(token_form => 'jwt', service_principal => JSON::PP::false);
	is($both->(), '401 200', 'Graph misses the service principal');
	like(json_of(list(undef))->{error}{message},
		qr/^Service principal-less authentication failed.*8bd644d1-64a1-4d4b-ae52-2e0cbf64e373/, 'and says so');
	control(POST => 'reset');
};

subtest 'who is known' => sub {
	my $path = '11111111-2222-3333-4444-555555555555/oauth2/v2.0/token';
	my $try = sub { my ($where, %form) = @_; return get_token("$where/oauth2/v2.0/token", %client, %form); };
	my $known = sub { my ($what, %of) = @_; is(control(POST => $what, \%of)->{status}, 200, "$what posted"); };

	$known->(clients => id => 'old', secret => 'new~one', expired_secret => 'old~one');
	refused($try->('contoso.onmicrosoft.com', client_id => 'old', client_secret => 'old~one'), 401, 'invalid_client', 7000222, 'a secret that is over');
	is($try->('contoso.onmicrosoft.com', client_id => 'old', client_secret => 'new~one')->{status}, 200, 'its successor');
	$known->(clients => id => 'new', secret => 's', consent => JSON::PP::false);
	refused($try->('contoso.onmicrosoft.com', client_id => 'new', client_secret => 's'), 400, 'invalid_grant', 65001, 'no consent');
	$known->(clients => id => 'new', secret => 's', blocked => JSON::PP::true);
	refused($try->('contoso.onmicrosoft.com', client_id => 'new', client_secret => 's'), 400, 'access_denied', 53003, 'conditional access');
	$known->(clients => id => 'new', secret => 's', roles => 'none');
	is($try->('contoso.onmicrosoft.com', client_id => 'new', client_secret => 's')->{status}, 200, 'posted again: as it is now');

	my $other = '99999999-0000-0000-0000-000000000000';
	$known->(tenants => id => $other, domain => 'fabrikam.example');
	is(json_of(control(GET => 'tenants'))->[1]{domain}, 'fabrikam.example', 'tenants can be seen');
	my $answer = json_of($try->('fabrikam.example', scope => "$root/.default"));
	is(claims_of($answer->{access_token})->{tid}, $other, 'another tenant, by its domain');
	$known->(clients => id => 'theirs', secret => 's', tenant => $other);
	refused($try->('contoso.onmicrosoft.com', client_id => 'theirs', client_secret => 's'), 400, 'unauthorized_client', 700016,
		'an application of the other tenant');
	is($try->('fabrikam.example', client_id => 'theirs', client_secret => 's')->{status}, 200, 'is known there');

	my $hour = window('2026-11-20T10:00:00Z', '2026-11-20T10:30:00Z');
	sign_in();
	my ($ours) = all_rows($hour);
	$token = $answer->{access_token};
	my ($theirs) = all_rows($hour);
	my %id = map { ($_->{id} => 1) } @$ours;
	ok(@$theirs > 10 && !grep({ $id{ $_->{id} } } @$theirs), 'and has rows of its own');
	same_sets([ map { normal_row($_) } @$theirs ], [ truth('2026-11-20T10:00:00Z', '2026-11-20T10:30:00Z', undef, 'fabrikam.example') ],
		'which the truth knows');
	is(json_of(report(undef, top => 1))->{value}[0]{Organization}, 'fabrikam.example', 'the organization is its domain');
	$known->(tenants => id => $other, domain => 'fabrikam.example', service_principal => JSON::PP::false);
	is(list(undef, top => 1)->{status}, 401, 'a service principal that misses there');
	sign_in();
	is(list(undef, top => 1)->{status}, 200, 'and only there');
	for my $wrong ([ clients => '{}' ], [ clients => '{"id":"x","colour":1}' ], [ clients => '{"id":"x","roles":"all"}' ],
		[ tenants => '[]' ], [ users => '{"name":"x"}' ], [ users => '{' ], [ certificates => '{"certificate":"x"}' ])
	{
		is(control(POST => @$wrong)->{status}, 400, "refused: @$wrong");
	}
	control(POST => 'reset');
	refused($try->('fabrikam.example'), 400, 'invalid_request', 90002, 'gone after a reset');
	refused($try->('contoso.onmicrosoft.com', scope => 'https://vault.azure.net/.default'), 400, 'invalid_resource', 500011, 'a resource nobody knows');
};

# ---- certificates: signed by another implementation than the one that verifies ----

my $folder = tempdir(CLEANUP => 1);

sub run_openssl
{
	my @command = @_;
	system("openssl @command >$folder/said 2>&1") == 0 or die "openssl @command: " . `cat $folder/said`;
	return;
}

sub new_certificate
{
	my ($name, @more) = @_;
	run_openssl("req -x509 -newkey rsa:2048 -nodes -subj /CN=$name -keyout $folder/$name.key -out $folder/$name.pem", @more);
	return;
}

sub slurp { my ($file) = @_; local $/; open my $in, '<:raw', $file or die "$file: $!"; return <$in>; }

# {name, header => {…}, claims => {…}, padding} over what would be right.
sub assertion
{
	my (%change) = @_;
	my $name = $change{name} // 'client';
	my $begin = 1795176000;	# the service's now
	run_openssl("x509 -in $folder/$name.pem -outform DER -out $folder/der");
	run_openssl("dgst -sha256 -binary -out $folder/thumb $folder/der");
	my %header = (alg => 'PS256', typ => 'JWT', 'x5t#S256' => encode_base64url(slurp("$folder/thumb")), %{ $change{header} // {} });
	my %claims = (
		aud => "$root/contoso.onmicrosoft.com/oauth2/v2.0/token", iss => $client{client_id}, sub => $client{client_id},
		jti => sprintf('%08x-0000-4000-8000-%012x', $$, ++$change{serial} + int rand 1e9), nbf => $begin, iat => $begin, exp => $begin + 600,
		%{ $change{claims} // {} });
	my $text = join '.', map { encode_base64url(JSON::PP->new->utf8->encode($_)) } \%header, \%claims;
	open my $out, '>:raw', "$folder/text" or die $!;
	print $out $text;
	close $out;
	my $padding = $change{padding} // '-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32';
	run_openssl("dgst -sha256 -sign $folder/$name.key $padding -out $folder/signature $folder/text");
	return $text . '.' . encode_base64url(slurp("$folder/signature"));
}

subtest 'client certificates' => sub {
	my %form = map { ($_ => $client{$_}) } qw(grant_type client_id scope);
	$form{client_assertion_type} = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
	my $try = sub {
		my ($assertion, %change) = @_;
		return get_token('contoso.onmicrosoft.com/oauth2/v2.0/token', %form, client_assertion => $assertion, %change);
	};
	new_certificate($_) for qw(client stranger);
	my $register = sub { control(POST => 'certificates', { certificate => slurp("$folder/$_[0].pem"), registered => $_[1] // JSON::PP::true }) };

	refused($try->(assertion()), 401, 'invalid_client', 700027, 'a certificate that is not registered');
	is($register->('client')->{status}, 200, 'registered');
	is($try->(assertion())->{status}, 200, 'PS256 with x5t#S256');
	run_openssl("dgst -sha1 -binary -out $folder/thumb1 $folder/der");
	my $sha1 = encode_base64url(slurp("$folder/thumb1"));
	my %old = (padding => '', header => { alg => 'RS256', 'x5t#S256' => undef, x5t => $sha1 });
	is($try->(assertion(%old))->{status}, 200, 'RS256 with x5t');
	is($try->(assertion(padding => '', header => { alg => 'RS256' }))->{status}, 200, 'RS256 with x5t#S256');

	my %not = (
		'PS256 with x5t' => { header => $old{header} && { 'x5t#S256' => undef, x5t => $sha1 } },
		'no thumbprint' => { header => { 'x5t#S256' => undef } },
		'signed the old way, said to be PS256' => { padding => '' },
		'a salt of another length' => { padding => '-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20' },
		"a stranger's certificate" => { name => 'stranger' });
	refused($try->(assertion(%{ $not{$_} })), 401, 'invalid_client', 700027, $_) for sort keys %not;
	my $good = assertion();
	refused($try->($good =~ s/\.([^.]*)\./'.' . encode_base64url(decode_base64url($1) =~ s{"iat"}{"IAT"}r) . '.'/er),
		401, 'invalid_client', 700027, 'claims changed after the signature');
	is($try->($good)->{status}, 200, 'as they were');
	refused($try->($good), 401, 'invalid_client', 700027, 'a second time');

	my $now_seconds = 1795176000;
	my @claims = (
		[ 'another audience', { aud => 'https://login.microsoftonline.com/x' }, 700023 ],
		[ 'almost the audience', { aud => "$root/contoso.onmicrosoft.com/oauth2/v2.0/token/" }, 700023 ],
		[ 'another issuer', { iss => 'x' }, 700021 ], [ 'another subject', { sub => 'x' }, 700021 ],
		[ 'over', { nbf => $now_seconds - 1200, exp => $now_seconds - 600 }, 700024 ],
		[ 'not yet', { nbf => $now_seconds + 600, exp => $now_seconds + 1200 }, 700024 ],
		[ 'too long a life', { exp => $now_seconds + 3600 }, 700024 ], [ 'too short a life', { exp => $now_seconds + 60 }, 700024 ],
		[ 'no end', { exp => undef }, 700024 ]);
	refused($try->(assertion(claims => $_->[1])), 401, 'invalid_client', $_->[2], $_->[0]) for @claims;
	refused($try->(assertion(claims => { jti => 'x' })), 400, 'invalid_request', 50027, 'a jti that is no GUID');
	refused($try->(assertion(header => { alg => 'none' })), 400, 'invalid_request', 50027, 'another algorithm');
	refused($try->($_), 400, 'invalid_request', 50027, "malformed: $_") for 'x', 'a.b.c', 'e30.e30.', '..';

	refused($try->(assertion(), client_secret => 'x'), 400, 'invalid_request', 90023, 'both a secret and an assertion');
	refused(get_token('contoso.onmicrosoft.com/oauth2/v2.0/token', %form), 401, 'invalid_client', 7000216, 'neither');
	refused($try->(assertion(), client_assertion_type => 'jwt'), 400, 'invalid_request', 90023, 'another type');
	delete local $form{client_assertion_type};
	refused($try->(assertion()), 400, 'invalid_request', 900144, 'no type');
	$form{client_assertion_type} = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

	new_certificate('short', '-days 1');
	$register->('short');
	set_clock('2099-01-01T00:00:00Z');
	refused($try->(assertion(name => 'short')), 401, 'invalid_client', 700027, 'a certificate that is over');
	set_clock($now);
	is($try->(assertion(name => 'short'))->{status}, 200, 'while it was good');
	$register->('short', JSON::PP::false);
	refused($try->(assertion(name => 'short')), 401, 'invalid_client', 700027, 'unregistered');
	is($try->(assertion())->{status}, 200, 'the other one stays');
	control(DELETE => 'certificates');
	refused($try->(assertion()), 401, 'invalid_client', 700027, 'all gone');
	control(POST => 'reset');
};

subtest 'names and passwords' => sub {
	my $ask = sub {
		my ($path, $name, $password) = @_;
		return $http->get("$root$path?\$top=1", { headers => { Authorization => 'Basic ' . encode_base64("$name:$password", '') } });
	};
	is($ask->($report_path, 'svc@contoso.com', 'pass')->{status}, 401, 'nobody is known');
	control(POST => 'users', { name => 'svc@contoso.com', password => 'pa:ss wörd' });
	is($ask->($report_path, 'svc@contoso.com', encode('UTF-8', 'pa:ss wörd'))->{status}, 200, 'a good password');
	my $refused = $ask->($report_path, 'svc@contoso.com', 'pass');
	is($refused->{status}, 401, 'a wrong one');
	like($refused->{content}, qr/<html>/, 'gets a page');
	is($ask->($list_path, 'svc@contoso.com', encode('UTF-8', 'pa:ss wörd'))->{status}, 401, 'Graph takes no passwords');
	control(POST => 'users', { name => 'svc@contoso.com', password => 'x', role => JSON::PP::false });
	my $response = $ask->($report_path, 'svc@contoso.com', 'x');
	is($response->{status}, 403, 'without the role');
	is($response->{content}, '{"ErrorCode":"","Message":"No permission to access the report for the organization ."}', 'in its words');
	control(POST => 'reset');
	is($ask->($report_path, 'svc@contoso.com', 'x')->{status}, 401, 'gone');
};

sign_in();

subtest 'who may ask' => sub {
	my $url = "$root$list_path";
	for my $case ([ 'no token', {} ], [ 'a made-up one', { Authorization => 'Bearer x.y.z' } ])
	{
		my $response = $http->get($url, { headers => { %{ $case->[1] }, 'client-request-id' => 'mine' } });
		is($response->{status}, 401, $case->[0]);
		my $error = json_of($response)->{error};
		is($error->{code}, 'InvalidAuthenticationToken', 'code');
		is($error->{innerError}{'client-request-id'}, 'mine', 'client-request-id comes back');
		like($error->{innerError}{'request-id'}, qr/^[0-9a-f-]{36}$/, 'request-id');
	}
	settings(token_lifetime => 60);
	sign_in();
	is(list(undef, top => 1)->{status}, 200, 'a young token is good');
	control(POST => 'clock', { advance => 61 });
	is(list(undef, top => 1)->{status}, 401, 'an old one is not');
	control(POST => 'reset');
	sign_in();
	order({ fault => 'expire_token', on => 'list' });
	is(list(undef, top => 1)->{status}, 401, 'expired by order');
	is(list(undef, top => 1)->{status}, 401, 'and stays so');
	sign_in();
	is(list(undef, top => 1)->{status}, 200, 'a new one is good');
	is($http->get("$root/nowhere")->{status}, 404, 'an unknown path');
};

subtest 'window' => sub {
	my %status = (
		'receivedDateTime ge 2026-11-20T08:00:00Z' => 400,
		'receivedDateTime le 2026-11-20T08:00:00Z' => 400,
		window('2026-11-10T12:00:00Z', '2026-11-20T12:00:00Z') => 200,
		window('2026-11-10T11:59:59Z', '2026-11-20T12:00:00Z') => 400,
		window('2026-08-22T00:00:00Z', '2026-08-22T01:00:00Z') => 200,
		window('2026-08-21T23:59:59Z', '2026-08-22T01:00:00Z') => 400,
		window('2026-11-20T11:00:00Z', '2026-11-20T12:00:01Z') => 400,
		window('2026-11-20T11:00:00Z', '2026-11-20T10:00:00Z') => 400,
		window('2026-11-20T11:00:00', '2026-11-20T11:30:00Z') => 400,
		window('2026-11-20T13:00:00.1234567+02:00', '2026-11-20T11:30:00.5Z') => 200,
		'receivedDateTime gt 2026-11-20T10:00:00Z and receivedDateTime lt 2026-11-20T11:00:00Z' => 200,
		'receivedDateTime ge 2026-11-20T10:00:00Z and' => 400,
		q{senderAddress eq 'open} => 400,
		q{colour eq 'red'} => 400,
		q{(status eq 'failed'} => 400);
	is(list($_, top => 1)->{status}, $status{$_}, "$_: $status{$_}") for sort keys %status;
	like(json_of(list('receivedDateTime ge 2026-11-20T08:00:00Z'))->{error}{message}, qr/\S/, 'a 400 says why');

	my ($rows) = all_rows(undef);
	same_sets([ map { normal_row($_) } @$rows ], [ truth('2026-11-18T12:00:00Z', '2026-11-20T12:00:00Z') ],
		'no window: the last 48 hours');
};

subtest 'page size' => sub {
	my %status = (0 => 400, 1 => 200, 5000 => 200, 5001 => 400, x => 400, -1 => 400);
	is(list(undef, top => $_)->{status}, $status{$_}, "\$top=$_: $status{$_}") for sort keys %status;
	is(scalar(quick_keys(list(undef))), 1000, '1000 rows by default');
	is(list(undef, top => 2, select => 'id', orderby => 'subject', count => 'true')->{status}, 200, 'others are ignored');
};

my $morning = window('2026-11-20T10:00:00Z', '2026-11-20T10:59:59.9999999Z');
my ($morning_rows) = all_rows($morning);

sub filtered
{
	my ($condition) = @_;
	my ($rows) = all_rows("$morning and $condition");
	return @$rows;
}

subtest 'filters' => sub {
	my %count;
	$count{ lower($_->{recipientAddress}) }++ for @$morning_rows;
	my ($recipient) = sort { $count{$b} <=> $count{$a} || $a cmp $b } grep { /'/ } keys %count;
	my $quoted = $recipient =~ s/'/''/gr;
	my $sample = $morning_rows->[10];
	my $all = @$morning_rows;

	is(filtered("recipientAddress eq '$quoted'"), $count{$recipient}, "one recipient: $recipient");
	is(filtered("recipientAddress eq '\U$quoted\E'"), $count{$recipient}, 'without case');
	is(filtered("recipientAddress eq 'x' or recipientAddress eq '$quoted'"), $count{$recipient}, 'or: the last value counts');
	is(filtered("recipientAddress eq '$quoted' or recipientAddress eq 'x'"), 0, 'or: the first does not');
	is(filtered("recipientAddress in ('x','y')"), $all, 'in is ignored');
	is(filtered("recipientAddress ne '$quoted'"), $all, 'ne is ignored');
	is(filtered("not (recipientAddress eq 'x')"), $all, 'not is ignored');
	is(filtered("contains(recipientAddress,'x')"), $all, 'a function on an address is ignored');
	is(filtered("startsWith(senderAddress,'x') and size gt 3"), $all, 'and so is an odd property');

	my @domain = grep { lower($_->{senderAddress}) =~ /\@fabrikam\.com$/ } @$morning_rows;
	is(filtered("senderAddress eq '*\@FABRIKAM.com'"), @domain, 'a domain of senders');
	is(filtered("senderAddress eq 'a*'"), 0, 'no other wildcard');
	is(filtered("recipientAddress eq '*\@contoso.com'"), 0, 'nor one for recipients');

	my @failed = grep { $_->{status} eq 'failed' } @$morning_rows;
	is(filtered("status eq 'FAILED'"), @failed, 'status');
	is(filtered("status eq 'failed' and status eq 'failed' and senderAddress eq '*\@fabrikam.com'"),
		(grep { lower($_->{senderAddress}) =~ /\@fabrikam\.com$/ } @failed), 'and');
	my @same_id = grep { $_->{id} eq $sample->{id} } @$morning_rows;
	is(filtered("id eq '$sample->{id}'"), @same_id, 'id in quotes');
	is(filtered("id eq \U$sample->{id}\E"), @same_id, 'id without, in capitals');
	my ($with_message_id) = grep { $_->{messageId} } @$morning_rows;
	is(filtered("messageId eq '$with_message_id->{messageId}'"),
		(grep { ($_->{messageId} // '') eq $with_message_id->{messageId} } @$morning_rows), 'messageId');
	my ($with_ip) = grep { $_->{fromIP} && $_->{toIP} } @$morning_rows;
	for my $side (qw(fromIP toIP))
	{
		is(filtered("$side eq '$with_ip->{$side}'"),
			(grep { ($_->{$side} // '') eq $with_ip->{$side} } @$morning_rows), $side);
	}
	is(filtered("contains(subject,'GRÜSSE') or contains(subject,'grüße')"),
		(grep { lc $_->{subject} =~ /grüße/i } @$morning_rows), 'subject contains, non-ASCII');
	is(filtered("startswith(subject,'re: ')"), (grep { $_->{subject} =~ /^RE: / } @$morning_rows), 'subject starts');
	is(filtered("endsWith(subject,'FAILED')"), (grep { $_->{subject} =~ /failed$/i } @$morning_rows), 'subject ends');
	is(filtered("contains(subject,'o''reilly')"), (grep { $_->{subject} =~ /o'reilly/i } @$morning_rows), 'a doubled quote');
};

subtest 'order and paging' => sub {
	my @times = map { normal_time($_->{receivedDateTime}) } @$morning_rows;
	is_deeply(\@times, [ reverse sort @times ], 'newest first');
	my %keys;
	$keys{"$_->{id} " . lower($_->{recipientAddress})}++ for @$morning_rows;
	is(keys %keys, @$morning_rows, 'each key once');
	for my $top (1000, 37, 1)
	{
		my $filter = $top == 1 ? window('2026-11-20T10:00:00Z', '2026-11-20T10:03:00Z') : $morning;
		my ($rows, $pages) = all_rows($filter, top => $top);
		my ($whole) = $top == 1 ? all_rows($filter) : $morning_rows;
		is_deeply([ map { normal_row($_) } @$rows ], [ map { normal_row($_) } @$whole ],
			"pages of $top give the same ($pages)");
		is($pages, int((@$whole + $top - 1) / $top), 'no page more than needed');
	}
	my $response = list($morning, top => 10);
	my $link = next_link($response);
	like($link, qr/^\Q$root$list_path\E\?\$filter=.*&\$top=10&\$skiptoken=/, 'the link is absolute and keeps the query');
	is(get_url($link =~ s/skiptoken=.*/skiptoken=abc/r)->{status}, 400, 'a bad $skiptoken is refused');
	is($response->{content}, list($morning, top => 10)->{content}, 'the same question, the same answer');
};

# Nothing here, but for spelling, is left to the page writer.
subtest 'truth' => sub {
	my @windows = (
		[ '2026-11-20T10:00:00Z', '2026-11-20T11:00:00Z', $now ],
		[ '2026-11-15T00:00:00Z', '2026-11-15T06:00:00Z', $now ],	# a Sunday, all settled
		[ '2026-08-22T00:00:00Z', '2026-08-22T03:00:00Z', $now ],	# the oldest there is
		[ '2026-11-20T08:00:00Z', '2026-11-20T09:00:00Z', '2026-11-20T09:00:00Z' ],	# much still on its way
		[ '2026-11-20T08:00:00Z', '2026-11-20T09:00:00Z', '2026-11-20T09:20:00Z' ],
		[ '2026-11-18T23:59:00Z', '2026-11-19T00:01:00Z', '2026-11-19T12:00:00Z' ]);
	for my $case (@windows)
	{
		my ($from, $to, $at) = @$case;
		set_clock($at);
		sign_in();
		my ($rows) = all_rows(window($from, $to));
		# truth is half-open, a page is not
		@$rows = grep { normal_time($_->{receivedDateTime}) lt normal_time($to) } @$rows;
		same_sets([ map { normal_row($_) } @$rows ], [ truth($from, $to) ], "$from to $to at $at");
	}
	set_clock($now);
	sign_in();
	same_sets([ truth('2026-11-20T08:00:00Z', '2026-11-20T08:30:00Z'), truth('2026-11-20T08:30:00Z', '2026-11-20T09:00:00Z') ],
		[ truth('2026-11-20T08:00:00Z', '2026-11-20T09:00:00Z') ], 'two halves are the whole');
	is($http->get("$root/control/truth?from=x&to=y")->{status}, 400, 'wrong times are refused');
};

subtest 'late rows and changing statuses' => sub {
	my @span = ('2026-11-17T10:00:00Z', '2026-11-17T11:00:00Z');
	my %counts;
	my %early;
	for my $minutes (0, 5, 60, 720, 1440, 2880)
	{
		my $hour = 11 + int($minutes / 60);
		my $at = sprintf '2026-11-%02dT%02d:%02d:00Z', 17 + int($hour / 24), $hour % 24, $minutes % 60;
		my @rows = truth(@span, $at);
		$counts{$minutes} = @rows;
		%early = map { join('|', (split /\|/)[0, 4]) => (split /\|/)[6] } @rows if $minutes == 0;
		if ($minutes == 1440)
		{
			my %late = map { join('|', (split /\|/)[0, 4]) => (split /\|/)[6] } @rows;
			my $changed = grep { $late{$_} ne $early{$_} } keys %early;
			ok($changed > 10, "$changed statuses changed within a day");
			is((grep { !defined $late{$_} } keys %early), 0, 'no row went away');
			is((grep { /pending|gettingStatus/ } values %late), 0, 'after a day all are final');
			ok((grep { /pending/ } values %early) && (grep { /gettingStatus/ } values %early), 'both ways of not being final');
		}
	}
	ok($counts{0} < $counts{5} && $counts{5} < $counts{60} && $counts{60} < $counts{720}, 'rows appear late');
	is($counts{1440}, $counts{2880}, 'but within a day');
	ok($counts{60} > 0.9 * $counts{1440}, 'most of them within an hour');
	is(truth(@span, '2026-11-17T10:00:00Z'), 0, 'and none before its time');
};

subtest 'variety' => sub {
	my $text = join '', map { list(window("2026-11-${_}T00:00:00Z", "2026-11-${_}T23:59:59Z"), top => 5000)->{content} } 16 .. 19;
	my %wanted = (
		'no fraction' => qr/T\d\d:\d\d:\d\dZ?"/, '3 digits' => qr/\.\d{3}Z"/, '7 digits' => qr/\.\d{7}Z"/,
		'without Z' => qr/"receivedDateTime":"[^"Z]+"/, 'almost the next second' => qr/\.9999996/,
		'null messageId' => qr/"messageId":null/, 'escaped brackets' => qr/"messageId":"\\u003c/,
		'plain brackets' => qr/"messageId":"</, 'null IP' => qr/"toIP":null/, 'empty IP' => qr/"toIP":""/,
		'IPv6' => qr/"fromIP":"2001:db8:[^"]+"/, 'IPv4' => qr/"fromIP":"\d+\.\d+\.\d+\.\d+"/,
		'IPv4 with port' => qr/"(?:from|to)IP":"\d+\.\d+\.\d+\.\d+:\d+"/, 'IPv6 in brackets' => qr/IP":"\[2001:/,
		'capital status' => qr/"status":"Delivered"/, 'apostrophe' => qr/Address":"[^"]*'/,
		'escaped apostrophe' => qr/Address":"[^"]*\\u0027/, 'plus' => qr/Address":"[^"]*\+/,
		'non-ASCII address' => qr/Address":"[^"]*[\xc3-\xc5]/, 'escaped non-ASCII' => qr/Address":"[^"]*\\u00f[cC]/,
		'surrogate pair' => qr/\\ud83c\\udf/, 'quote in subject' => qr/"subject":"[^"]*\\"/,
		'backslash in subject' => qr/"subject":"[^"]*\\\\/, 'tab in subject' => qr/"subject":"[^"]*\\t/,
		'an unknown member' => qr/"\@odata\.type"/, 'another order of members' => qr/\{"status":/,
		'capitals in an address' => qr/Address":"[A-Z]/, 'over an Int32' => qr/"size":30\d{8}/);
	ok($text =~ $wanted{$_}, $_) for sort keys %wanted;
	for my $status (qw(delivered failed filteredAsSpam quarantined expanded recalled resolved none))
	{
		ok($text =~ /"status":"$status"/, "status $status");
	}
	my $plain = join '', map { list(window("2026-11-${_}T00:00:00Z", "2026-11-${_}T23:59:59Z"), top => 5000, headers => { Prefer => '' })->{content} } 16 .. 17;
	ok($plain !~ /"recalled"/ && $plain =~ /"unknownFutureValue"/, 'recalled is hidden without the Prefer header');
};

subtest 'a message for 6000' => sub {
	my $filter = window('2026-11-18T10:30:00.1234567Z', '2026-11-18T10:30:00.1234567Z');
	my $response = list($filter, top => 2500);
	my (%keys, %ids);
	my $pages = 1;
	while (1)
	{
		for my $key (quick_keys($response))
		{
			$keys{$key}++;
			$ids{ (split ' ', $key)[0] }++;
		}
		my $link = quick_link($response) or last;
		$response = get_url($link);
		$pages++;
	}
	my ($most) = sort { $b <=> $a } values %ids;
	is($most, 6000, '6000 recipients');
	is(keys %keys, 6000, 'each once');
	is($pages, 3, 'over three pages of one moment');
};

subtest 'shuffled' => sub {
	settings(shuffle => JSON::PP::true);
	my ($rows, $pages) = all_rows($morning, top => 100);
	my @first = sort map { normal_time($_->{receivedDateTime}) }
		rows_of(list(window('2026-11-19T00:00:00Z', '2026-11-19T23:59:59Z'), top => 1000));
	settings(shuffle => JSON::PP::false);
	same_sets([ map { normal_row($_) } @$rows ], [ map { normal_row($_) } @$morning_rows ], "the same rows over $pages pages");
	my @times = map { normal_time($_->{receivedDateTime}) } @$rows;
	isnt("@times", join(' ', reverse sort @times), 'in another order');
	ok($first[0] lt '2026-11-19 09' && $first[-1] gt '2026-11-19 15', 'a page has rows of the whole window');
};

subtest 'quota' => sub {
	control(POST => 'reset');
	settings(quota => 3, quota_window => 300);
	is(list(undef, top => 1)->{status}, 200, "request $_ passes") for 1 .. 3;
	my $response = list(undef, top => 1);
	is($response->{status}, 429, 'the fourth does not');
	ok($response->{headers}{'retry-after'} > 290 && $response->{headers}{'retry-after'} <= 300, 'Retry-After');
	like(json_of($response)->{error}{message}, qr/surpassed the permitted limit/, 'in the known words');
	is(get_url("$root$list_path/x/getDetailsByRecipient(recipientAddress='a')")->{status}, 429, 'details share the budget');
	is(report(undef, top => 1)->{status}, 200, 'the other API has its own');
	is(get_token('contoso.onmicrosoft.com/oauth2/v2.0/token', %client)->{status}, 200, 'tokens are not counted');
	control(POST => 'clock', { advance => 301 });
	is(list(undef, top => 1)->{status}, 200, 'after the window it goes on');
	my $seen = json_of(control(GET => 'quota'));
	is_deeply($seen->[0], { tenant => '11111111-2222-3333-4444-555555555555', api => 'graph', requests => 'all', highest => 5, allowed => 4, refused => 2 },
		'what was seen: how many at most in a window');
	is("@{ $seen->[1] }{qw(api highest refused)}", 'reporting 1 0', 'of each interface');

	control(POST => 'reset');
	sign_in();
	settings(quota => 1, detail_quota => 'separate');
	is(list(undef, top => 1)->{status}, 200, 'a list');
	my $detail = "$root$list_path/x/getDetailsByRecipient(recipientAddress='a')";
	is(get_url($detail)->{status}, 200, 'details have their own budget when it is separate');
	is(list(undef, top => 1)->{status} . ' ' . get_url($detail)->{status}, '429 429', 'and both end');
	control(POST => 'tenants', { id => '99999999-0000-0000-0000-000000000000', domain => 'fabrikam.example' });
	sign_in(undef, tenant => 'fabrikam.example');
	is(list(undef, top => 1)->{status}, 200, 'another tenant has its own');
	control(DELETE => 'quota');
	is_deeply(json_of(control(GET => 'quota')), [], 'forgotten');

	settings(quota => 1, detail_quota => 'shared', retry_after => 'date');
	list(undef, top => 1);
	like(list(undef, top => 1)->{headers}{'retry-after'}, qr/^Fri, 20 Nov 2026 12:0[45]:\d\d GMT$/, "Retry-After as a date of the service's clock");
	settings(retry_after => 'none');
	ok(!exists list(undef, top => 1)->{headers}{'retry-after'}, 'or not at all');
	control(DELETE => 'quota');
	settings(quota => 2, quota_counts_refused => JSON::PP::true);
	list(undef, top => 1) for 1 .. 3;
	control(POST => 'clock', { advance => 200 });
	list(undef, top => 1) for 1 .. 2;
	control(POST => 'clock', { advance => 101 });
	is(list(undef, top => 1)->{status}, 429, 'refused requests may keep a window full');
	control(POST => 'reset');
	sign_in();
	settings(quota => 0);
};

subtest 'details' => sub {
	my ($row) = grep { $_->{recipientAddress} =~ /'/ && $_->{status} eq 'delivered' } @$morning_rows;
	my $address = $row->{recipientAddress} =~ s/'/''/gr;
	my $detail = sub {
		my ($id, $recipient) = @_;
		return json_of(get_url("$root$list_path/$id/getDetailsByRecipient(recipientAddress='" . encode_url($recipient) . q{')}))->{value};
	};
	my $events = $detail->($row->{id}, $address);
	ok(@$events >= 3, 'events of a delivery');
	is_deeply([ sort keys %{ $events->[0] } ], [qw(action data dateTime description event id messageId)], 'their members');
	like($events->[0]{dateTime}, qr/^2026-11-20T10:\d\d:\d\dZ$/, 'whole seconds');
	like($events->[0]{data}, qr/^<root><MEP Name=/, 'data');
	is_deeply($detail->($row->{id}, uc($address)), $events, 'address without case') if $address =~ /^[ -~]+$/;
	is_deeply($detail->($row->{id}, 'nobody@contoso.com'), [], 'another recipient: none');
	is_deeply($detail->('00000000-0000-0000-0000-000000000000', $address), [], 'an unknown id: none');
	is(get_url("$root$list_path/$row->{id}/getDetailsByRecipient(recipientAddress='a)")->{status}, 400, 'a broken argument');
};

sub report_window { my ($from, $to) = @_; return "StartDate eq datetime'$from' and EndDate eq datetime'$to'"; }

subtest 'Reporting web service' => sub {
	my $filter = report_window('2026-11-20T10:00:00Z', '2026-11-20T10:59:59.9999999Z');
	my ($page, @rows);
	my $response = report($filter, headers => { Accept => 'application/json' });
	my $pages = 0;
	while (1)
	{
		$page = json_of($response);
		push @rows, @{ $page->{value} };
		$pages++;
		my $link = $page->{'odata.nextLink'} // $page->{'@odata.nextLink'} // last;
		like($link, qr{^\.\./\.\./reportingwebservice/reporting\.svc/MessageTrace\?}, 'a relative link');
		$link =~ s{^\.\./\.\./}{$root/ecp/};
		$response = get_url($link, Accept => 'application/json');
	}
	is(@rows, @$morning_rows, "as many rows as the other API, $pages pages");
	like($rows[0]{Received}, qr/^2026-11-20T10:\d\d:\d\d\.\d{7}$/, '7 digits, no Z');
	like($rows[0]{Status}, qr/^[A-Z]/, 'a status with a capital');
	my %by_key = map { ("$_->{MessageTraceId} " . lower($_->{RecipientAddress}) => $_) } @rows;
	my @same = grep {
		my $other = $by_key{"$_->{id} " . lower($_->{recipientAddress})};
		$other && $other->{Size} == $_->{size} && lcfirst $other->{Status} eq lcfirst $_->{status} && $other->{Subject} eq $_->{subject}
	} @$morning_rows;
	is(@same, @$morning_rows, 'and the same');

	my %status = (
		report_window('2026-11-10T12:00:00Z', '2026-11-10T13:00:00Z') => 200,
		report_window('2026-11-10T11:59:59Z', '2026-11-10T13:00:00Z') => 400,
		"StartDate eq datetime'2026-11-20T08:00:00Z'" => 400,
		report_window('2026-11-20T08:00:00Z', '2026-11-20T07:00:00Z') => 400);
	is(report($_, top => 1)->{status}, $status{$_}, "$_: $status{$_}") for sort keys %status;
	like(json_of(report("StartDate eq datetime'2026-11-20T08:00:00Z'"))->{'odata.error'}{message}{value}, qr/\S/, 'the error body');
	is(report($filter, skiptoken => 999999)->{status}, 500, '$skiptoken=999999');
	is(report($filter, skiptoken => 999998)->{status}, 200, 'one before it');
	is_deeply(json_of(report($filter, skiptoken => 500000))->{value}, [], 'an empty page');
	is(scalar @{ json_of(report("$filter and Status eq 'failed' and MessageTraceId eq guid'$rows[0]{MessageTraceId}'"))->{value} },
		(grep { $_->{MessageTraceId} eq $rows[0]{MessageTraceId} && $_->{Status} eq 'Failed' } @rows), 'filters');

	like(report($filter, format => 'json')->{content}, qr/^\{"d":\{"results":\[\{.*"Received":"\\\/Date\(\d+\)\\\/"/, 'the verbose shape');
	like(report($filter, format => 'json', top => 2)->{content}, qr/^\{"d":\[\{/, 'the bare array');
	my $refused = $http->get("$root$report_path");
	is($refused->{status}, 401, 'no token');
	like($refused->{content}, qr/<html>/, 'as a page');

	my $detail = json_of(get_url("$root${report_path}Detail?" . query_string('$filter' =>
		"MessageTraceId eq guid'$rows[0]{MessageTraceId}' and RecipientAddress eq '" . ($rows[0]{RecipientAddress} =~ s/'/''/gr) . q{'})));
	ok(@{ $detail->{value} } >= 3, 'details');
	ok(exists $detail->{value}[0]{$_}, $_) for qw(Date Event Action Detail Data);

	my $link_of = sub { my $document = json_of($_[0]); return $document->{'odata.nextLink'} // $document->{'@odata.nextLink'}; };
	my %first = (top => 10);
	order({ fault => 'foreign_link', on => 'list', url => 'http://evil.example/x' });
	like($link_of->(report($filter, %first)), qr{^http://evil\.example/x\?}, 'a foreign link');
	order({ fault => 'poisoned_link', on => 'list' });
	my $poisoned = $link_of->(report($filter, %first)) =~ s{^\.\./\.\./}{$root/ecp/}r;
	is(get_url($poisoned)->{status}, 400, 'a poisoned link');
	order({ fault => 'repeat_row', on => 'list' });
	like($link_of->(report($filter, %first)), qr/skiptoken=8$/, 'a repeated row');
	order({ fault => 'looping_link', on => 'list' });
	like($link_of->(report($filter, %first, skiptoken => 9)), qr/skiptoken=9$/, 'a looping link');
	order({ fault => 'nul_escape', on => 'list' });
	like(report($filter, %first)->{content}, qr/\\u0000"/, 'a NUL');
};

# Whatever page it is, its rows and its link.
sub read_report
{
	my ($response) = @_;
	my $document = json_of($response) or return;
	my $d = $document->{d};
	return ($document->{value}, $document->{'odata.nextLink'} // $document->{'@odata.nextLink'}) if !$d;
	return ref $d eq 'ARRAY' ? ($d) : ($d->{results}, $d->{__next});
}

subtest 'shapes of the Reporting web service' => sub {
	my $filter = report_window('2026-11-20T10:00:00Z', '2026-11-20T10:59:59Z');
	my ($plain) = read_report(report($filter, top => 50));
	for my $shape (qw(light verbose))
	{
		settings(reporting_json => $shape);
		my $response = report($filter, top => 20);
		my @rows;
		for my $page (1 .. 3)
		{
			my ($more, $link) = read_report($response);
			push @rows, @$more;
			$response = get_url($link =~ s{^\.\./\.\./}{$root/ecp/}r) if $link;
		}
		is_deeply([ map { $_->{MessageTraceId} } @rows[ 0 .. 49 ] ], [ map { $_->{MessageTraceId} } @$plain ], "$shape, whatever is asked");
		my $date = $shape eq 'light' ? qr/^2026-11-20T10:\d\d:\d\d\.\d{7}$/ : qr{^/Date\(17951\d{8}\)/$};
		is((grep { $_->{Received} =~ $date } @rows), 60, 'its dates');
	}
	settings(reporting_json => 'bare');
	my $page = report($filter, top => 20);
	my ($rows, $link) = read_report($page);
	is(@$rows . ($link // ' without a link'), '20 without a link', 'the bare one has no link');
	like($page->{content}, qr/^\{"d":\[\{.*\}\]\}$/, 'and no other member');
	order({ fault => 'empty_page_with_link', on => 'list' });
	is(scalar @{ (read_report(report($filter, top => 20)))[0] }, 20, 'so that it is not made empty either');
	is((read_report(report($filter, top => 20, skiptoken => 19)))[0][0]{MessageTraceId}, $plain->[20]{MessageTraceId}, '$skiptoken goes on');

	settings(reporting_json => 'verbose', reporting_link => 'absolute');
	like((read_report(report($filter, top => 2)))[1], qr/^\Q$root$report_path\E\?/, 'an absolute link, __next');
	settings(reporting_json => 'light', reporting_link => 'relative');
	for my $name ('odata.nextLink', '@odata.nextLink')
	{
		settings(reporting_link_name => $name);
		ok(exists json_of(report($filter, top => 2))->{$name}, "a link named $name");
	}
	is(control(POST => 'settings', { reporting_json => 'round' })->{status}, 400, 'no other shape');
	like(control(GET => 'settings')->{content}, qr/"reporting_json":"light"/, 'settings can be seen');
	settings(reporting_json => 'asked', reporting_link_name => 'either');

	for my $kind (qw(no_received no_id no_recipient number_subject garbage_time long_key))
	{
		order({ fault => 'bad_row', on => 'list', kind => $kind });
		my ($damaged) = read_report(report($filter, top => 10));
		my ($bad) = grep { $_->{SenderAddress} eq 'bad@fabrikam.com' } @$damaged;
		ok(@$damaged == 11 && $bad, "$kind: a row more");
		my %member = (no_received => 'Received', no_id => 'MessageTraceId', no_recipient => 'RecipientAddress');
		ok(!exists $bad->{ $member{$kind} }, "without $member{$kind}") if $member{$kind};
		is($bad->{Subject}, 12345, 'a number') if $kind eq 'number_subject';
		unlike($bad->{Received}, qr/2026/, 'no time') if $kind eq 'garbage_time';
		ok(length $bad->{RecipientAddress} > 1000, 'a long key') if $kind eq 'long_key';
	}
	order({ fault => 'bad_row', on => 'list', row => 5 });
	my ($fifth) = read_report(report($filter, top => 10));
	is($fifth->[5]{SenderAddress}, 'bad@fabrikam.com', 'at the row ordered');
	order(map { { fault => $_, on => 'list', row => 2 } } qw(lone_surrogate invalid_utf8));
	like(report($filter, top => 10)->{content}, qr/\\ud800"/, 'a lone surrogate');
	like(report($filter, top => 10)->{content}, qr/\xff"/, 'a byte that is no UTF-8');
	order({ fault => 'empty_page_with_link', on => 'list' });
	($rows, $link) = read_report(report($filter, top => 10, skiptoken => 9));
	is(@$rows . ' ' . ($link =~ /skiptoken=(\d+)/)[0], '0 9', 'an empty page with a link');
};

subtest 'truth for details' => sub {
	my @some = grep { $_->{recipientAddress} =~ /^[ -~]+$/ } @$morning_rows[ 0 .. 20 ];
	my @asked = map { { id => $_->{id}, recipient => $_->{recipientAddress} } } @some[ 0 .. 4 ];
	is(control(POST => 'truth/details', [ @asked, { id => $some[0]{id} } ])->{status}, 400, 'a wrong list');
	my $csv = control(POST => 'truth/details', [ @asked, { id => $some[0]{id}, recipient => 'nobody@contoso.com' } ]);
	my @lines = split /\n/, $csv->{content};
	is(shift @lines, 'message_trace_id,recipient_address,message_id,event_time,event,action,detail,data', 'header');
	my @expected;
	for my $row (@some[ 0 .. 4 ])
	{
		my $address = encode_url($row->{recipientAddress} =~ s/'/''/gr);
		my $events = json_of(get_url("$root$list_path/$row->{id}/getDetailsByRecipient(recipientAddress='$address')"))->{value};
		push @expected, map { join '|', $row->{id}, lower($row->{recipientAddress}), ($row->{messageId} // ''), $_->{dateTime} =~ s/T/ /r =~ s/Z/+00/r, $_->{event} } @$events;
	}
	my @got = map { join '|', (split /,/)[ 0 .. 4 ] } @lines;
	is_deeply([ sort @got ], [ sort @expected ], 'the events of five deliveries (' . @got . ')');
	like($csv->{content}, qr/,"<root><MEP Name=""/, 'data');
};

subtest 'clock' => sub {
	my $date = sub { return list(undef, top => 1)->{headers}{date}; };
	is($date->(), 'Fri, 20 Nov 2026 12:00:00 GMT', 'the Date header follows it');
	is(list(undef, top => 0)->{headers}{date}, 'Fri, 20 Nov 2026 12:00:00 GMT', 'on errors too');
	control(POST => 'clock', { advance => 3600 });
	is(json_of(control(GET => 'clock'))->{now}, '2026-11-20T13:00:00.0000000Z', 'advance');
	control(POST => 'clock', { run => JSON::PP::true });
	sleep 0.1;
	isnt(json_of(control(GET => 'clock'))->{now}, '2026-11-20T13:00:00.0000000Z', 'run');
	control(POST => 'clock', { run => JSON::PP::false });
	is(json_of(control(GET => 'clock'))->{now}, json_of(control(GET => 'clock'))->{now}, 'stand still');
	control(POST => 'reset');
	order({ fault => 'clock_skew', on => 'list', seconds => 86400 });
	is($date->(), 'Sat, 21 Nov 2026 12:00:00 GMT', 'skewed by order');
	is($date->(), 'Fri, 20 Nov 2026 12:00:00 GMT', 'once');
};

subtest 'posted rows' => sub {
	my %row = (
		id => '99999999-0000-0000-0000-000000000001', recipientAddress => q{Given@Contoso.com}, senderAddress => 'a@b.example',
		messageId => undef, receivedDateTime => '2026-11-20T10:30:00.9999996', subject => qq{a "b", c\nd}, size => 5,
		fromIP => '', toIP => '[2001:DB8::0:1]', status => 'Delivered', shape => 'round');
	is(control(POST => 'rows', [ \%row, { %row, recipientAddress => 'late@contoso.com', visibleAfter => '2026-11-20T12:00:01Z' } ])->{status},
		200, 'posted');
	my @found = filtered("id eq '$row{id}'");
	is(@found, 1, 'one is visible');
	is_deeply($found[0], { map { $_ => $row{$_} } keys %row }, 'as it was posted, further members too');
	is((grep { /given\@contoso\.com\|a "b", c\nd\|delivered\|5\|\|2001:(db8|DB8)::/ } truth('2026-11-20T10:30:00Z', '2026-11-20T10:31:00Z')),
		1, 'in the truth in its normal form');
	is(grep({ /99999999-0000/ } truth('2026-11-20T10:30:00.999999Z', '2026-11-20T10:30:01Z')), 1, 'cut, not rounded');
	is(grep({ /99999999-0000/ } truth('2026-11-20T10:30:01Z', '2026-11-20T10:31:00Z')), 0, 'cut, not rounded');
	control(POST => 'clock', { advance => 1 });
	is(filtered("id eq '$row{id}'"), 2, 'the other one later');
	control(POST => 'rows', [ { %row, status => 'failed' } ]);
	is_deeply([ sort map { $_->{status} } filtered("id eq '$row{id}'") ], [qw(Delivered failed)], 'a row posted again replaces itself');
	my ($rows, $pages) = all_rows($morning, top => 100);
	is(@$rows, @$morning_rows + 2, 'paging goes over them');
	control(POST => 'rows', [ { %row, subject => '', senderAddress => undef } ]);
	like($http->get("$root/control/truth?from=2026-11-20T10:30:00Z&to=2026-11-20T10:31:00Z")->{content},
		qr/\.999999\+00,,given\@contoso\.com,"",/, 'null and empty text are told apart');
	is(control(DELETE => 'rows')->{status}, 200, 'deleted');
	is(filtered("id eq '$row{id}'"), 0, 'gone');
	set_clock($now);
	for my $wrong ('{}', '[1]', '[{"id":"x"}]', '[', JSON::PP->new->encode([ { %row, receivedDateTime => 'x' } ]))
	{
		my $response = control(POST => 'rows', $wrong);
		is($response->{status}, 400, "refused: $wrong");
		ok(length(json_of($response)->{error}), 'with a reason');
	}
};

# ---- faults ----

subtest 'faults instead of an answer' => sub {
	order({ fault => 'status', on => 'list', status => 503, retry_after => 7, body => '<html>busy</html>' },
		{ fault => 'status', on => 'list', status => 429 },
		{ fault => 'html', on => 'list' });
	my $response = list(undef, top => 1);
	is($response->{status}, 503, 'status');
	is($response->{headers}{'retry-after'}, 7, 'Retry-After');
	is($response->{content}, '<html>busy</html>', 'body');
	$response = list(undef, top => 1);
	is($response->{status}, 429, 'the next in the queue');
	ok(!exists $response->{headers}{'retry-after'}, 'no Retry-After unless ordered');
	like(list(undef, top => 1)->{content}, qr/<html>.*Sign in/s, 'html');
	is(list(undef, top => 1)->{status}, 200, 'then all is well');

	order({ fault => 'status', on => 'token', status => 500 });
	is(list(undef, top => 1)->{status}, 200, 'a fault for the token endpoint spares the list');
	is(get_token('contoso.onmicrosoft.com/oauth2/v2.0/token', %client)->{status}, 500, 'and hits its own');

	order({ fault => 'status', on => 'list', skip => 2, count => 2 });
	is(join(' ', map { list(undef, top => 1)->{status} } 1 .. 5), '200 200 503 503 200', 'skip and count');

	order({ fault => 'status', on => 'detail', status => 502 });
	is(list(undef, top => 1)->{status}, 200, 'a fault for details spares the list');
	is(json_of(control(GET => 'faults'))->[0]{count}, 1, 'what is left can be seen');
	is(control(PUT => 'faults', [ { fault => 'html', on => 'token' } ])->{status}, 200, 'replaced');
	is(join(' ', map { $_->{fault} } @{ json_of(control(GET => 'faults')) }), 'html', 'by others alone');
	control(DELETE => 'faults');
	is_deeply(json_of(control(GET => 'faults')), [], 'and deleted');

	for my $wrong ('{"fault":"nonsense"}', '[{"fault":"cut","count":0}]', '[{"fault":"cut","on":"moon"}]', '[{"fault":"bad_row","kind":"x"}]',
		'[{"fault":"cut","colour":1}]', '[3]', '}')
	{
		my $refused = control(POST => 'faults', $wrong);
		is($refused->{status}, 400, "refused: $wrong");
		ok(length(json_of($refused)->{error}), 'with a reason');
	}
};

# The bytes that come within some seconds, and whether the connection ended.
sub raw_get
{
	my ($path, $seconds, $most) = @_;
	my ($port) = $root =~ /:(\d+)$/;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die $!;
	print $socket "GET $path HTTP/1.1\r\nHost: 127.0.0.1:$port\r\nAuthorization: Bearer $token\r\nConnection: close\r\n\r\n";
	my $select = IO::Select->new($socket);
	my $end = time + $seconds;
	my $text = '';
	while ((my $left = $end - time) > 0 && length($text) < ($most // 1e9))
	{
		next unless $select->can_read($left);
		my $got = sysread $socket, $text, 65536, length $text;
		return ($text, defined $got ? 'closed' : 'reset') unless $got;
	}
	return ($text, 'open');
}

sub body_of { my ($text) = @_; return $text =~ /\r\n\r\n(.*)/s ? $1 : ''; }

subtest 'faults of the connection' => sub {
	my $path = "$list_path?\$top=50";
	my ($whole) = raw_get($path, 5);
	order({ fault => 'cut', on => 'list', after => 1000 });
	my ($text, $end) = raw_get($path, 5);
	is(length(body_of($text)), 1000, 'cut after 1000 bytes');
	like($text, qr/Content-Length: @{[ length body_of($whole) ]}\r/, 'of a longer body');
	isnt($end, 'open', 'and closed');

	order({ fault => 'endless', on => 'list' });
	($text, $end) = raw_get($path, 10, 3_000_000);
	ok(length $text >= 3_000_000 && $end eq 'open', 'endless spaces');
	order({ fault => 'endless', on => 'list', what => 'rows' });
	($text, $end) = raw_get($path, 10, 3_000_000);
	ok(length $text >= 3_000_000 && $text =~ /"subject":"endless"/, 'endless rows');

	order({ fault => 'hang', on => 'list' }, { fault => 'hang', on => 'list', where => 'body' });
	($text, $end) = raw_get($path, 0.5);
	is("$end $text", 'open ', 'hang before the headers');
	my $begin = time;
	($text, $end) = raw_get($path, 0.5);
	is($end, 'open', 'hang in the body');
	is(length(body_of($text)), int(length(body_of($whole)) / 2), 'after half of it');

	order({ fault => 'drip', on => 'list', bytes_per_second => 2000 });
	($text, $end) = raw_get($path, 1);
	ok(length(body_of($text)) > 500 && length(body_of($text)) < 3000, 'drip: ' . length(body_of($text)) . ' bytes in a second');

	order({ fault => 'delay', on => 'list', ms => 300 });
	$begin = time;
	is(list(undef, top => 1)->{status}, 200, 'delay');
	ok(time - $begin > 0.29, 'for as long as ordered');

	order({ fault => 'reset', on => 'list' });
	($text, $end) = raw_get($path, 5);
	is("$end $text", 'reset ', 'reset');

	settings(page_delay => 200);
	$begin = time;
	list(undef, top => 1);
	ok(time - $begin > 0.19, 'page delay');
	settings(page_delay => 0);
};

subtest 'faults of the link' => sub {
	order({ fault => 'poisoned_link', on => 'list' });
	my $response = get_url(next_link(list($morning, top => 10)));
	is($response->{status}, 400, 'poisoned: refused by the service itself');
	order({ fault => 'poisoned_link', on => 'list', kind => 'recipient' });
	$response = get_url(next_link(list($morning, top => 10)));
	is($response->{status}, 400, 'poisoned recipient');
	is(json_of($response)->{error}{message}, '|System.ArgumentException|Invalid starting recipient address', 'in its words');

	order({ fault => 'foreign_link', on => 'list', url => 'https://evil.example/x' });
	like(next_link(list($morning, top => 10)), qr{^https://evil\.example/x\?}, 'a link to another host');

	order({ fault => 'looping_link', on => 'list', count => 2 });
	my $first = list($morning, top => 10);
	my $second = get_url(next_link($first));
	is(next_link($second), next_link($first), 'a link that repeats');
	isnt(next_link(get_url(next_link($second))), next_link($second), 'for as often as ordered');

	order({ fault => 'empty_page_with_link', on => 'list', skip => 1 }, { fault => 'empty_page_with_link', on => 'list', skip => 2 });
	my ($rows, $pages) = all_rows($morning, top => 200);
	is_deeply([ map { normal_row($_) } @$rows ], [ map { normal_row($_) } @$morning_rows ], "empty pages lose nothing ($pages)");

	order({ fault => 'empty_page_with_link', on => 'list' });
	$first = json_of(list($morning, top => 200));
	is_deeply($first->{value}, [], 'the first page too');
	is(scalar(rows_of(get_url($first->{'@odata.nextLink'}))), 200, 'and it goes on');

	order({ fault => 'repeat_row', on => 'list' });
	my $page = json_of(list($morning, top => 10));
	my $after = json_of(get_url($page->{'@odata.nextLink'}));
	is_deeply($after->{value}[0], $page->{value}[9], 'a row repeated over two pages');
	is_deeply($after->{value}[1], $morning_rows->[10], 'and none lost');
	is_deeply(json_of(control(GET => 'faults')), [], 'all were taken');
};

subtest 'faults of a row' => sub {
	my @good = quick_keys(list($morning, top => 10));
	for my $kind (qw(no_received no_id no_recipient number_subject garbage_time long_key))
	{
		order({ fault => 'bad_row', on => 'list', kind => $kind });
		my @rows = rows_of(list($morning, top => 10));
		is(@rows, 11, "$kind: a row more");
		my ($bad) = grep { $_->{senderAddress} eq 'bad@fabrikam.com' } @rows;
		ok($bad, 'which is the bad one');
		ok(!exists $bad->{receivedDateTime}, 'without a time') if $kind eq 'no_received';
		ok(!exists $bad->{id}, 'without an id') if $kind eq 'no_id';
		ok(!exists $bad->{recipientAddress}, 'without a recipient') if $kind eq 'no_recipient';
		is($bad->{subject}, 12345, 'a number') if $kind eq 'number_subject';
		ok(length $bad->{recipientAddress} > 1000, 'a long key') if $kind eq 'long_key';
	}
	for my $case ([ nul_escape => qr/\\u0000"/ ], [ lone_surrogate => qr/\\ud800"/ ], [ invalid_utf8 => qr/\xff"/ ])
	{
		my ($fault, $pattern) = @$case;
		order({ fault => $fault, on => 'list' });
		my $response = list($morning, top => 10);
		like($response->{content}, $pattern, $fault);
		is_deeply([ quick_keys($response) ], \@good, 'no row more or less');
	}
	for my $case ([ '2026-11-20T09:00:00Z' ], [ '2026-11-20T08:00:00Z', seconds => -7200 ], [ '2026-11-20T11:30:00Z', seconds => 5400 ])
	{
		my ($time, @seconds) = @$case;
		my ($expected) = rows_of(list(window('2026-11-19T12:00:00Z', $time), top => 1));
		order({ fault => 'outside_row', on => 'list', @seconds });
		is_deeply([ rows_of(list($morning, top => 10)) ], [ @$morning_rows[ 0 .. 9 ], $expected ], "a row more, from $time or before");
		order({ fault => 'outside_row', on => 'list', @seconds });
		my @reported = @{ (read_report(report(report_window('2026-11-20T10:00:00Z', '2026-11-20T10:59:59Z'), top => 10)))[0] };
		is($reported[10]{MessageTraceId}, $expected->{id}, 'the same by the Reporting web service');
	}
	order({ fault => 'outside_row', on => 'list' });
	my @failed = rows_of(list("$morning and status eq 'failed'"));
	is((grep { $_->{status} eq 'failed' } @failed) . ' ' . ($failed[-1]{receivedDateTime} lt '2026-11-20T09:00'), @failed . ' 1', 'other conditions hold for it');
	order({ fault => 'nul_escape', on => 'list', row => 3 });
	like((list($morning, top => 10)->{content} =~ /(\{"[^{}]*\})/g)[3], qr/\\u0000"/, 'at the row ordered');
};

subtest 'request log' => sub {
	control(DELETE => 'log');
	list("senderAddress eq 'müller\@x.example'", top => 3);
	order({ fault => 'status', on => 'list' });
	$http->get("$root$list_path?\$top=4");
	get_token('contoso.onmicrosoft.com/oauth2/v2.0/token', %client);
	my $log = json_of(control(GET => 'log'));
	is(@$log, 3, 'three requests, control is not counted');
	is($log->[0]{parameters}{'$filter'}, "senderAddress eq 'müller\@x.example'", 'decoded parameters');
	like($log->[0]{query}, qr/\$top=3/, 'and as text');
	is_deeply([ @{ $log->[0] }{qw(method path status rows at)} ], [ 'GET', $list_path, 200, 0, '2026-11-20T12:00:00.0000000Z' ], 'the rest');
	ok($log->[0]{authorization} && !$log->[1]{authorization}, 'authorization');
	is("$log->[0]{scheme} " . ($log->[1]{scheme} // 'none'), 'Bearer none', 'its scheme');
	is($log->[0]{prefer}, 'include-unknown-enum-members', 'Prefer');
	is($log->[0]{accept}, undef, 'Accept');
	ok($log->[0]{port} > 1023, "the client's port");
	is($log->[1]{fault}, 'status', 'the fault');
	is("$log->[1]{status} $log->[2]{method}", '503 POST', 'the others');
	unlike(control(GET => 'log')->{content}, qr/demo~secret/, 'no secret in it');
	is($http->request('PUT', "$root/control/log")->{status}, 405, 'a wrong method');
	is(control(GET => 'nonsense')->{status}, 404, 'a wrong path');
	is(control(POST => 'settings', $_)->{status}, 400, "settings refused: $_") for '{"rows_per_day":3}', '{"x":1}', '[]';
	is(control(POST => 'clock', $_)->{status}, 400, "clock refused: $_") for '{"now":"x"}', '{"tick":1}', 'x';
};

subtest 'names of requests' => sub {
	control(DELETE => 'log');
	my $response = list('x', headers => { 'client-request-id' => 'mine-1' });
	my $inner = json_of($response)->{error}{innerError};
	is($inner->{'client-request-id'}, 'mine-1', "the client's name comes back in an error");
	is($inner->{'request-id'}, $response->{headers}{'request-id'}, "and the service's is that of the header");
	like(list(undef, top => 1)->{headers}{'request-id'}, qr/^[0-9a-f-]{36}$/, 'which good answers have, too');
	my $log = json_of(control(GET => 'log'));
	is("$log->[0]{client_request_id} $log->[0]{request_id}", "mine-1 $inner->{'request-id'}", 'both are in the log');
	is($log->[1]{client_request_id}, undef, 'if given');
	order({ fault => 'status', status => 429, on => 'list', retry_after_date => 90 }, { fault => 'status', status => 429, retry_after => 99999 },
		{ fault => 'status', status => 429, retry_after => 'soon' });
	is(list(undef)->{headers}{'retry-after'}, 'Fri, 20 Nov 2026 12:01:30 GMT', 'a Retry-After by date');
	is(list(undef)->{headers}{'retry-after'}, '99999', 'absurd');
	is(list(undef)->{headers}{'retry-after'}, 'soon', 'malformed');
};

subtest 'another world' => sub {
	my @before = truth('2026-11-19T10:00:00Z', '2026-11-19T10:30:00Z');
	settings(rows_per_day => 100);
	my $few = () = truth('2026-11-09T00:00:00Z', '2026-11-16T00:00:00Z');
	ok($few > 450 && $few < 1000, "100 rows a day: $few in a week");
	settings(rows_per_day => 5000000);
	my $many = () = truth('2026-11-19T10:00:00Z', '2026-11-19T10:02:00Z');
	ok($many > 10000 && $many < 25000, "5 million a day: $many in two busy minutes");
	control(POST => 'reset');
	is_deeply([ truth('2026-11-19T10:00:00Z', '2026-11-19T10:30:00Z') ], \@before, 'and back');
	my $night = () = truth('2026-11-19T02:00:00Z', '2026-11-19T04:00:00Z');
	my $day = () = truth('2026-11-19T09:00:00Z', '2026-11-19T11:00:00Z');
	my $sunday = () = truth('2026-11-15T09:00:00Z', '2026-11-15T11:00:00Z');
	ok($day > 4 * $night && $day > 2 * $sunday, "a rhythm: $night at night, $day by day, $sunday on Sunday");
	stop_service();
	start_service('--seed', 2);
	isnt(join('', truth('2026-11-19T10:00:00Z', '2026-11-19T10:30:00Z')), join('', @before), 'another seed, other rows');
};

subtest 'end' => sub {
	sign_in();
	order({ fault => 'hang', on => 'list', count => 3 });
	my ($port) = $root =~ /:(\d+)$/;
	my @sockets = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) } 1 .. 3;
	print $_ "GET $list_path HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n\r\n" for @sockets;
	sleep 0.1 until @{ json_of(control(GET => 'log')) } >= 4;
	is(list(undef, top => 1)->{status}, 200, 'hanging requests do not hold up others');
	my $took = stop_service();
	ok($took < 2, sprintf 'the end does not wait for them (%.3f s)', $took);
	is($?, 0, 'exit status');
};

done_testing();
