# tests/t/038_random_faults.t
#
# Two hundred random scripts of faults, over some tens of thousands of rows, on
# both interfaces. However the faults come together, a query ends in one of two
# ways: with exactly the true rows, or with an error whose SQLSTATE says that the
# connection (08), the foreign side (HV), a limit (53) or the number of requests
# (54) is at fault. Nothing in between: no row is missing, none is there twice,
# none is made up; but for a row that could not be read and was set aside, which
# last_scan() then counts. And the session that met the error is as good as before.
#
# Each run has another seed, which it prints. The same scripts again:
#
#   SEED=12345 tests/run/check tests/t/038_random_faults.t

use strict;
use warnings;
use utf8;

use JSON::PP;
use POSIX qw(strftime);
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

use constant SCRIPTS => 200;
use constant SCRIPTS_OF_A_SESSION => 25;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $seed = $ENV{SEED} || int(rand 1e9);
srand $seed;
note("seed $seed: SEED=$seed repeats this run");

my $service = MsgTrace::Service->start(rows_per_day => 40_000, quota => 0);
my $node = MsgTrace::Cluster->start(
	conf => {
		'o365_msgtrace.clock_source' => 'local',
		log_statement => 'none'
	});

# Old enough not to change any more, young enough for the Reporting web service.
my ($first_day, $last_day) = map { int(time / 86400) - $_ } 6, 3;
my ($from, $to) = map { strftime('%Y-%m-%dT00:00:00Z', gmtime($_ * 86400)) } $first_day, $last_day;
my @columns = qw(message_trace_id message_id received sender_address recipient_address status size from_ip to_ip subject);

my @apis = ('graph', 'reporting');
for my $api (@apis)
{
	$node->create_server(
		$service,
		name => $api,
		schema => $api,
		api => $api,
		report_url => $service->report_url($api),
		rows_per_day => 40_000,
		page_size => 1000,
		on_bad_row => 'error',
		request_timeout => '1s',
		max_response_size => '8MB',
		retry_initial_interval => '5ms',
		max_retries => 3,
		max_retry_after => '1s',
		quota_window => '1s',    # 429s are waited out for twice as long
		retry_http_codes => '429,503');
}
$node->load_truth($service, 'truth', $from, $to);
$node->sql('CREATE INDEX ON truth (received)');
my $rows = $node->sql('SELECT count(*) FROM truth');
cmp_ok($rows, '>=', 50_000, "$rows rows in the range");
my @busy = split /\n/, $node->sql(
	'SELECT recipient_address FROM truth GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 5');

# ---- chance --------------------------------------------------------------------------

sub one_of { return $_[ int rand @_ ]; }
sub whole { my ($least, $most) = @_; return $least + int rand($most - $least + 1); }
sub sometimes { my ($chance) = @_; return rand() < $chance; }

sub random_retry_after
{
	return one_of(
		{}, { retry_after => 0 }, { retry_after => 'soon' }, { retry_after => 99999 },
		{ retry_after => -5 }, { retry_after => '0.5' }, { retry_after_date => whole(-60, 1) },
		{ retry_after_date => 999_999 });
}

sub random_status
{
	my $status = one_of((503) x 6, (429) x 2, 500, 502, 504, (401) x 2, 403, 400, 404, 418, 204, 302);
	my %fault = (fault => 'status', status => $status, %{ random_retry_after() });
	$fault{body} = one_of('', '<html>busy</html>', '{"error":{', '{"value":[]}') if sometimes(0.3);
	return \%fault;
}

sub random_link
{
	my $origin = $service->origin;
	return one_of(
		(map { { fault => 'poisoned_link', kind => $_ } } 'encoded_twice', 'recipient'),
		{ fault => 'looping_link', count => whole(1, 20) },
		{ fault => 'foreign_link', url => one_of('https://evil.example/x', $origin =~ s/https/http/r . '/x', 'https://localhost:1/x') },
		({ fault => 'empty_page_with_link', count => whole(1, 3) }) x 2,
		({ fault => 'repeat_row', count => whole(1, 4) }) x 2);
}

sub random_row
{
	my %where = sometimes(0.5) ? (row => whole(0, 40)) : ();
	return one_of(
		(map { { fault => 'bad_row', kind => $_, %where } } qw(no_received no_id no_recipient number_subject garbage_time long_key)),
		(map { { fault => $_, %where } } qw(nul_escape nul_escape lone_surrogate lone_surrogate invalid_utf8)));
}

sub random_body
{
	return one_of(
		({ fault => 'cut' }, { fault => 'cut', after => whole(0, 60_000) }, { fault => 'reset' }) x 2,
		{ fault => 'html' }, { fault => 'hang', where => one_of('headers', 'body') },
		{ fault => 'endless', what => one_of('spaces', 'rows') },
		{ fault => 'drip', bytes_per_second => whole(200_000, 900_000) },
		{ fault => 'delay', ms => whole(1, 200) });
}

sub random_clock
{
	return one_of(
		({ fault => 'expire_token' }) x 4,
		{ fault => 'clock_skew', seconds => whole(-900, 900), count => whole(1, 5) },
		{ fault => 'clock_skew', seconds => one_of(1, -1) * 200_000 });
}

sub random_fault
{
	my ($pages) = @_;
	my $fault = one_of(\&random_status, \&random_link, \&random_row, \&random_body, \&random_clock)->();
	my $of_a_list = $fault->{fault} =~ /link|row|escape|surrogate|utf8/;
	return {
		on => $of_a_list || sometimes(0.8) ? 'list' : one_of('token', 'any'),
		skip => sometimes(0.2) ? 0 : whole(0, $pages),
		count => sometimes(0.8) ? 1 : whole(2, 6),
		%$fault };
}

# What of the range is asked for: mostly some minutes, now and then all of it.
sub random_range
{
	return ($from, $to, $rows) if sometimes(0.015);
	my $begin = $first_day * 86400 + whole(0, 3 * 86400 - 7200);
	my ($a, $b) = map { strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $_) } $begin, $begin + whole(1, 7200);
	return ($a, $b, undef);
}

# ---- one script ----------------------------------------------------------------------

my %ended = (rows => 0);
my @unclean;
my $session;

sub random_script
{
	my ($a, $b, $count) = random_range();
	my %script = (
		api => one_of(@apis),
		where => "received >= '$a' AND received < '$b'",
		on_bad_row => one_of('error', 'reject'),
		codes => one_of('429,503', '429,500,502,503,504'),
		most_requests => sometimes(0.06) ? whole(1, 5) : 80,
		settings => { quota => sometimes(0.03) ? whole(2, 4) : 0, quota_window => 1 });

	$count //= $session->sql("SELECT count(*) FROM truth WHERE $script{where}");
	if (sometimes(0.15))
	{
		(my $address = one_of(@busy)) =~ s/'/''/g;
		$script{where} .= " AND recipient_address = '$address'";
	}
	$script{most_requests} = 0 if $count > 10_000;
	my $most = $script{api} eq 'graph' ? 5000 : 2000;
	my $pages = $count > 10_000 ? int($count / $most) + 1 : whole(1, 9);
	$script{page_size} = int($count / $pages) + whole(1, 3);
	$script{page_size} = $most if $script{page_size} > $most;
	$script{settings}{shuffle} = sometimes(0.3) ? 1 : 0;
	if ($script{api} eq 'reporting')
	{
		$script{settings}{reporting_json} = one_of('asked', 'light', 'verbose', 'bare');
		$script{settings}{reporting_link} = one_of('relative', 'absolute');
	}
	$script{faults} = [ map { random_fault($pages) } 1 .. one_of(1, 1, 2, 2, 3, 4) ];
	return \%script;
}

# Dates in milliseconds are what they are; a subject in which the service put what
# no text can hold is another; and a row more that can be read is one.
sub columns_of
{
	my ($script) = @_;
	my $damaged = grep { $_->{fault} =~ /nul_escape|lone_surrogate/ } @{ $script->{faults} };
	my $coarse = ($script->{settings}{reporting_json} // '') =~ /verbose|bare/;
	my @list = grep { !($damaged && $_ eq 'subject') } @columns;
	return join ', ', map { $coarse && $_ eq 'received' ? "date_trunc('milliseconds', received) AS received" : $_ } @list;
}

sub differences
{
	my ($script) = @_;
	my $columns = columns_of($script);
	my $given = "SELECT $columns FROM given WHERE message_trace_id <> 'badbadba-dbad-badb-adba-dbadbadbadba'";
	my $true = "SELECT $columns FROM truth WHERE $script->{where}";
	my $aside = set_aside($script);
	return $session->sql("SELECT 'too many', * FROM (($given) EXCEPT ALL ($true)) x LIMIT 3;"
		  . "SELECT 'missing', * FROM (($true) EXCEPT ALL ($given)) x OFFSET $aside LIMIT 3");
}

# How many of the true rows were set aside at most, and said to be: those in which
# the service put a byte that is no UTF-8.
sub set_aside
{
	my ($script) = @_;
	return 0 if $script->{on_bad_row} ne 'reject';
	my $ordered = 0;
	$ordered += $_->{count} for grep { $_->{fault} eq 'invalid_utf8' } @{ $script->{faults} };
	return 0 if !$ordered;
	my $rejected = $session->sql('SELECT rejected FROM o365_msgtrace.last_scan()');
	return $rejected < $ordered ? $rejected : $ordered;
}

# Asks, and returns what is wrong with the end of it; counts the ends.
sub outcome
{
	my ($script) = @_;
	my $error = $session->sql_error('DROP TABLE IF EXISTS given;'
		  . 'CREATE TEMP TABLE given AS SELECT ' . join(', ', @columns)
		  . " FROM $script->{api}.message_trace WHERE $script->{where}");
	if (!$error)
	{
		$ended{rows}++;
		return differences($script);
	}
	$ended{ $error->{sqlstate} // 'lost' }++;
	return '' if ($error->{sqlstate} // '') =~ /^(?:08|HV|53|54)/;
	return $error->{text};
}

sub alter
{
	my ($script) = @_;
	$session->sql("SET client_min_messages = error; SET o365_msgtrace.max_requests_per_query = $script->{most_requests};"
		  . "ALTER SERVER $script->{api} OPTIONS (SET retry_http_codes '$script->{codes}');"
		  . "ALTER FOREIGN TABLE $script->{api}.message_trace OPTIONS (SET page_size '$script->{page_size}', SET on_bad_row '$script->{on_bad_row}')");
	return;
}

sub run_script
{
	my ($number, $script) = @_;
	$service->settings(%{ $script->{settings} });
	$service->faults_instead(@{ $script->{faults} });
	alter($script);
	my $wrong = outcome($script);
	return if $wrong eq '';
	push @unclean, $number;
	diag("seed $seed, script $number: " . JSON::PP->new->canonical->encode($script) . "\n$wrong");
	return;
}

# Without faults, the same session gives the true rows, whatever it has met.
sub recovers
{
	my ($script) = @_;
	my %same = (%$script, faults => [], most_requests => 0);
	$service->faults_instead();
	$service->settings(quota => 0);
	alter(\%same);
	my $before = $ended{rows};
	my $wrong = outcome(\%same);
	ok($wrong eq '' && $ended{rows} > $before, 'the session is as good as before') || diag($wrong);
	$ended{rows} = $before;
	return;
}

for my $option ('page_size', 'on_bad_row')
{
	my $value = $option eq 'page_size' ? 1000 : 'error';
	$node->sql("ALTER FOREIGN TABLE $_.message_trace OPTIONS (ADD $option '$value')") for @apis;
}
my $number = 0;
while ($number < SCRIPTS)
{
	$session = $node->session;
	my $script;
	for (1 .. SCRIPTS_OF_A_SESSION)
	{
		$script = random_script();
		run_script(++$number, $script);
	}
	recovers($script);
	$session->quit;
}
is("@unclean", '', SCRIPTS . ' scripts end with the true rows or with a clean error');

# ---- what it shows -----------------------------------------------------------------------

my %met;
$met{ $_->{fault} // 'none' }++ for $service->requests;
note('ends: ' . join ', ', map { "$_ $ended{$_}" } sort keys %ended);
note('faults met: ' . join ', ', map { "$_ $met{$_}" } sort keys %met);
cmp_ok($ended{rows}, '>', SCRIPTS / 4, "$ended{rows} scripts ended with rows");
cmp_ok($ended{rows}, '<', SCRIPTS * 0.9, 'and the others with an error');
cmp_ok(scalar(keys %met), '>', 14, 'faults of all kinds were met');
is(index($node->log, 'terminated by signal'), -1, 'no backend crashed');

done_testing();
