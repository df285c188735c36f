# tests/t/078_month.t
#
# Days of two tenants' mail, as an ingest lives through them: the clocks go on,
# rows arrive late, statuses change, polls are skipped for hours; the service
# fails in every way it knows, is refused, dies and comes back; backends, the
# server and the service are killed in the middle of runs. After every run the ledger
# and the target are compared with the truth (see MsgTrace::Watched), and the
# requests are counted against the least that would do: for each part of time
# that was read, as many as it has full pages, and at least one.
#
# One tenant is polled through Graph several times an hour, the other through the
# Reporting web service every hour, with records that cannot be read set aside; both
# are copied into one table.
#
# In "make check" it is three days and more, until each kind of trouble has
# happened; with LONG=1, as in "make check-long", a month with less of it, for
# several seeds. Each run has another seed, which it prints. The same again, but
# for what depends on the machine's speed:
#
#   SEED=12345 tests/run/check tests/t/078_month.t
#
# Not among the troubles is a service whose clock is wrong: what it says of the
# time is all there is to know.

use strict;
use warnings;
use utf8;

use List::Util qw(shuffle sum0);
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(sleep time);

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;
use MsgTrace::Watched;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $long = $ENV{LONG};
my $seed = $ENV{SEED} || int(rand 1e9);
my @seeds = $long && !$ENV{SEED} ? ($seed, $seed + 1) : ($seed);
my ($first_day, $last_day) = ('2026-05-04', $long ? '2026-06-03' : '2026-05-07');
note("seed @seeds: SEED=$seeds[0] repeats this run");

my %owner = (user => 'regress_owner');
my %graph = (input => 'contoso', minutes => $long ? 30 : 15, rows_per_day => 5000, page_size => 250);
my %reporting = (input => 'fabrikam', minutes => 60, rows_per_day => 2000, page_size => 200);
my ($node, @tenants, $clock_at, @troubles, @deck, %met, %requests);

# ---- chance ------------------------------------------------------------------------------

sub one_of { return $_[ int rand @_ ]; }
sub whole { my ($least, $most) = @_; return $least + int rand($most - $least + 1); }
sub sometimes { my ($chance) = @_; return rand() < $chance; }

# ---- time --------------------------------------------------------------------------------

sub iso
{
	my ($at) = @_;
	return strftime('%Y-%m-%dT%H:%M:%S', gmtime int $at) . sprintf('.%03dZ', ($at - int $at) * 1000);
}

# The services' clocks go on by themselves, and this one with them. $slack seconds:
# they were not set at exactly the same moment.
sub service_time
{
	my ($slack) = @_;
	return iso($clock_at + time + ($slack // 0));
}

sub start_clocks
{
	my ($at) = @_;
	$clock_at = $at - time;
	$_->{service}->set_clock(now => service_time(), run => 1) for @tenants;
	return;
}

# Hours that the machine has lived through, too: so its clock went on as well. If
# it did not, a run has to find out.
sub let_pass
{
	my ($seconds, $unnoticed) = @_;
	$clock_at += $seconds;
	for my $tenant (@tenants)
	{
		$tenant->{service}->set_clock(advance => $seconds);
		$tenant->{watched}->sql("UPDATE o365_msgtrace.ledger SET clock_offset = clock_offset + interval '$seconds seconds'"
			  . " WHERE input_number = (SELECT input_number FROM o365_msgtrace.input WHERE input_id = '$tenant->{input}')")
		  if !$unnoticed;
		$tenant->{due} -= $seconds;
	}
	return;
}

# ---- the beginning ---------------------------------------------------------------------------

sub begin
{
	srand $_[0];
	@tenants = (\%graph, \%reporting);
	$node = MsgTrace::Cluster->start(preload => 'o365_msgtrace', conf => { log_statement => 'none' });
	for my $tenant (@tenants)
	{
		$tenant->{service} = MsgTrace::Service->start(
			now => "${first_day}T06:00:00Z",
			rows_per_day => $tenant->{rows_per_day},
			seed => 1 + $_[0] % 1000,
			quota => 0,
			shuffle => $_[0] % 2);
		my $api = $tenant == \%graph ? 'graph' : 'reporting';
		$node->create_server(
			$tenant->{service},
			name => $tenant->{input},
			schema => $tenant->{input},
			api => $api,
			report_url => $tenant->{service}->report_url($api),
			rows_per_day => $tenant->{rows_per_day},
			page_size => $tenant->{page_size},
			on_bad_row => $tenant == \%graph ? 'error' : 'reject',
			request_timeout => '60s',
			max_response_size => '8MB',
			retry_initial_interval => '5ms',
			max_retries => $tenant == \%graph ? 1 : 3,
			max_retry_after => '1s',
			quota_window => '1s');
	}
	$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, contoso, fabrikam TO regress_owner;
GRANT SELECT ON contoso.message_trace, fabrikam.message_trace TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
SQL
	for my $tenant (@tenants)
	{
		$node->sql("SELECT o365_msgtrace.create_input('$tenant->{input}', '$tenant->{input}.message_trace', 'archive.traces',"
			  . " poll_interval => $tenant->{minutes}, date_range_start => '-"
			  . ($tenant == \%graph ? '1h' : '2h')
			  . "', log_level => 'debug')", %owner);
		$tenant->{watched} = MsgTrace::Watched->new(
			$node, $tenant->{service},
			input => $tenant->{input},
			target => 'archive.traces',
			tenant => $tenant->{input},
			page_size => $tenant->{page_size});
		$tenant->{due} = 0;
	}
	start_clocks(1777874400 + rand);    # the first day, 06:00
	$node->sql("UPDATE o365_msgtrace.ledger SET clock_offset = '" . service_time() . "'::timestamptz - clock_timestamp()");
	%met = ();
	@deck = shuffle(@troubles);
	%requests = map { $_ => { used => 0, least => 0, runs => 0, rows => 0 } } qw(calm all);
	return;
}

# Records without a recipient, in each day of the second tenant.
sub give_bad_rows
{
	my ($first) = $first_day =~ /-(\d+)$/;
	$reporting{service}->add_rows(
		map {
			{
				id => sprintf('badbad00-0000-4000-8000-%012d', $_),
				messageId => undef, subject => 'bad', status => 'delivered', size => 1, fromIP => '', toIP => '',
				senderAddress => 'bad@contoso.com', recipientAddress => '',
				receivedDateTime => iso(1777852800 + 7 * 3600 + $_ * 40000)
			}
		} 0 .. 70);
	return;
}

# ---- what goes wrong: each returns how it went, and undef for a run that took place -----------

my @faults = (
	(map { { fault => 'status', status => $_ } } 400, 403, 404, 500, 502, 503, 504),
	{ fault => 'status', status => 429, retry_after => 1 },
	{ fault => 'status', status => 401 },
	{ fault => 'status', status => 204 },
	{ fault => 'status', status => 302 },
	{ fault => 'html' },
	{ fault => 'cut' },
	{ fault => 'cut', after => 200 },
	{ fault => 'endless', what => 'spaces' },
	{ fault => 'hang', where => 'headers' },
	{ fault => 'hang', where => 'body' },
	{ fault => 'drip', bytes_per_second => 200_000 },
	{ fault => 'delay', ms => 300 },
	{ fault => 'reset' },
	{ fault => 'expire_token' },
	{ fault => 'poisoned_link', kind => 'encoded_twice' },
	{ fault => 'poisoned_link', kind => 'recipient' },
	{ fault => 'foreign_link', url => 'https://evil.example/x' },
	{ fault => 'looping_link', count => 3 },
	{ fault => 'empty_page_with_link' },
	{ fault => 'repeat_row' },
	(map { { fault => 'bad_row', kind => $_ } } qw(no_received no_id no_recipient garbage_time long_key)),
	{ fault => 'invalid_utf8' },
	{ fault => 'status', status => 500, on => 'token' },
	{ fault => 'html', on => 'token' });

sub name_of
{
	my ($fault) = @_;
	return join ' ', map { $fault->{$_} // () } qw(fault on status where kind after);
}

sub order_fault
{
	my ($tenant, $fault) = @_;
	my %order = (on => 'list', skip => $fault->{on} ? 0 : whole(0, 1), count => sometimes(0.7) ? 1 : whole(2, 4), %$fault);
	wait_for_answers($tenant, '1s') if $fault->{fault} =~ /hang|endless/;
	$tenant->{service}->fault(\%order);
	return;
}

# Long enough for a slow machine, but where no answer will come.
sub wait_for_answers
{
	my ($tenant, $timeout) = @_;
	$tenant->{watched}->sql("ALTER SERVER $tenant->{input} OPTIONS (SET request_timeout '$timeout')");
	return;
}

# Start a run and wait until it has made some requests, or has ended by itself.
sub start_run
{
	my ($tenant) = @_;
	my $session = $node->session(%owner);
	my $requests = whole(1, 6);
	$tenant->{service}->settings(page_delay => 30);
	$session->send("CALL o365_msgtrace.run('$tenant->{input}')");
	wait_for("$requests requests", 60, sub { return $tenant->{service}->list_requests >= $requests || !$session->busy });
	sleep rand 0.05;
	return $session;
}

sub end_session
{
	my ($session) = @_;
	$node->wait_until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $session->{pid})");
	$session->quit;
	return;
}

sub server_is_back
{
	wait_for('the server to take connections again', 60, sub { return eval { $node->sql('SELECT true') } });
	$_->{watched}->has_restarted for @tenants;
	return;
}

sub revive
{
	my ($tenant) = @_;
	$tenant->{service}->restart(now => service_time());
	$tenant->{service}->set_clock(now => service_time(), run => 1);
	give_bad_rows() if $tenant == \%reporting;
	return;
}

my %deaths = (
	'backend terminated' => sub {
		my ($tenant) = @_;
		my $session = start_run($tenant);
		$node->sql("SELECT pg_terminate_backend($session->{pid})");
		end_session($session);
	},
	'run cancelled' => sub {
		my ($tenant) = @_;
		my $session = start_run($tenant);
		$node->sql("SELECT pg_cancel_backend($session->{pid})");
		$session->receive;
		$session->quit;
	},
	'backend killed' => sub {
		my ($tenant) = @_;
		my $session = start_run($tenant);
		kill 'KILL', $session->{pid};
		$session->receive;
		$session->quit;
		server_is_back();
	},
	'server killed' => sub {
		start_run($_[0]);
		$node->kill9;
		$node->restart;
		server_is_back();
	},
	'server restarted' => sub {
		start_run($_[0]);
		$node->restart(one_of('fast', 'immediate'));
		server_is_back();
	},
	'service killed' => sub {
		my ($tenant) = @_;
		my $session = start_run($tenant);
		$tenant->{service}->kill9;
		sleep rand 0.05;
		revive($tenant);
		$session->receive;
		$session->quit;
	},
	'service away' => sub {
		my ($tenant) = @_;
		$tenant->{service}->kill9;
		$node->sql_error("CALL o365_msgtrace.run('$tenant->{input}')", %owner);
		revive($tenant);
	},
	'time passes in a run' => sub {
		my ($tenant) = @_;
		my $session = start_run($tenant);
		let_pass(whole(5, 4000), sometimes(0.5));
		$session->receive;
		$session->quit;
	},
	'two runs at once' => sub {
		my ($tenant) = @_;
		my $session = start_run($tenant);
		$node->sql("CALL o365_msgtrace.run('$tenant->{input}')", %owner);
		$session->receive;
		$session->quit;
	},
	'quota exhausted' => sub {
		my ($tenant) = @_;
		$tenant->{service}->settings(quota => 2, quota_window => 1);
		$node->sql_error("CALL o365_msgtrace.run('$tenant->{input}')", %owner);
		$tenant->{service}->settings(quota => 0);
	});

# Each kind of trouble once, in an order of chance; then any.
@troubles = (
	(map { { name => name_of($_), fault => $_ } } @faults),
	(map { { name => $_, death => $deaths{$_} } } sort keys %deaths));

sub trouble
{
	my ($tenant) = @_;
	my $trouble = shift(@deck) // one_of(@troubles);
	return $trouble if $trouble->{name} ne 'invalid_utf8' || $tenant == \%graph;
	push @deck, $trouble if !$met{ $trouble->{name} };    # a row that is true would be set aside
	return;
}

# ---- one run ---------------------------------------------------------------------------------

sub last_state
{
	my ($tenant) = @_;
	return $node->sql("SELECT state, requests FROM o365_msgtrace.run_log WHERE input_id = '$tenant->{input}' AND state <> 'skipped' ORDER BY run_id DESC LIMIT 1");
}

sub some_run
{
	my ($tenant, $trouble, $calm) = @_;
	my $began = service_time(-0.1);
	my $error;

	$tenant->{service}->clear_requests;
	order_fault($tenant, $trouble->{fault}) if $trouble && $trouble->{fault};
	if ($trouble && $trouble->{death})
	{
		$trouble->{death}->($tenant);
		$met{ $trouble->{name} }++;
		$tenant->{service}->settings(page_delay => 0);
	}
	else
	{
		$error = $node->sql_error("CALL o365_msgtrace.run('$tenant->{input}')", %owner);
	}
	my @asked = $tenant->{service}->list_requests;
	if ($trouble && $trouble->{fault})
	{
		$met{ $trouble->{name} }++ if grep { $_->{fault} } $tenant->{service}->requests;
		$tenant->{service}->clear_faults;
		wait_for_answers($tenant, '60s') if $trouble->{fault}{fault} =~ /hang|endless/;
	}
	my $ended = service_time(0.1);
	my $found = $tenant->{watched}->look($began, $ended);
	my $name = "$tenant->{input}, $ended" . ($trouble ? ", $trouble->{name}" : '');
	is($found->{wrong}, '', "$name: all that is claimed is true") if $found->{wrong} ne '' || $trouble;
	count_requests($tenant, $calm, scalar(@asked), $found);
	is_well($tenant, $name, $began, scalar @asked) if $calm;
	return;
}

# A run that nothing disturbed leaves nothing out. What it polls ends a second before
# it began, and what two clocks may differ by.
sub is_well
{
	my ($tenant, $name, $began, $asked) = @_;
	my $state = last_state($tenant);
	my $wants = $tenant->{watched}->wants("isempty(missing), covered @> '$began'::timestamptz - interval '6 seconds',"
		  . " isempty(wanted * tstzmultirange(tstzrange(NULL, '$began'::timestamptz - interval '1 day 10 seconds')) - settled)");
	return if $state eq "succeeded|$asked" && $wants eq 't|t|t';
	is("$state|$wants", "succeeded|$asked|t|t|t", "$name: succeeded, nothing missing, up to date, the old settled");
	return;
}

sub count_requests
{
	my ($tenant, $calm, $asked, $found) = @_;
	for my $sum ($requests{all}, $calm ? $requests{calm} : ())
	{
		$sum->{used} += $asked;
		$sum->{least} += $found->{least};
		$sum->{rows} += $found->{rows};
		$sum->{runs}++;
	}
	note("$tenant->{input}: $asked requests, least $found->{least}, for $found->{rows} rows, $found->{read}\n"
		  . $tenant->{watched}->sql("SELECT string_agg(message, E'\n') FROM o365_msgtrace.run_message WHERE run_id = (SELECT max(run_id) FROM o365_msgtrace.run_log WHERE input_id = '$tenant->{input}')"))
	  if $ENV{VERBOSE} && $calm && $asked > $found->{least};
	return;
}

# ---- the days ----------------------------------------------------------------------------------

sub live
{
	my $troubled = 0;    # after trouble a run or two may have to make up for it
	my $day = $first_day;

	while (service_time() lt $last_day || @deck)
	{
		let_pass(sometimes($long ? 0.02 : 0.1) ? whole(1800, 36000) : 60 * $graph{minutes}, sometimes(0.02));
		for my $tenant (grep { $_->{due} <= 0 } @tenants)
		{
			my $trouble = sometimes($long ? 0.03 : 0.3) ? trouble($tenant) : undef;
			some_run($tenant, $trouble, !$trouble && !$tenant->{troubled});
			$tenant->{troubled} = !!$trouble;
			$tenant->{due} = 60 * $tenant->{minutes};
			push @deck, $trouble if $trouble && !$met{ $trouble->{name} };
		}
		next if substr(service_time(), 0, 10) eq $day;
		$day = substr service_time(), 0, 10;
		is($_->{watched}->look_at_all(service_time(0.1)), '', "$_->{input}: on the morning of $day all is as it should be") for @tenants;
	}
	return;
}

sub finish
{
	let_pass(25 * 3600);
	for my $tenant (@tenants)
	{
		some_run($tenant, undef, 0) for 1 .. 2;
		some_run($tenant, undef, 1);
		is($tenant->{watched}->look_at_all(service_time(0.1)), '', "$tenant->{input}: in the end target and truth are the same");
	}
	return;
}

for my $one (@seeds)
{
	begin($one);
	give_bad_rows();
	live();
	finish();
	is(join(', ', grep { !$met{$_} } map { $_->{name} } @troubles), '', 'each kind of trouble has happened');
	note("seed $one: " . join ', ', map { "$met{$_} $_" } sort keys %met);
	note($node->sql('SELECT input_id, state, count(*), sum(requests), sum(windows) FROM o365_msgtrace.run_log GROUP BY 1, 2 ORDER BY 1, 2'));
	for my $kind (sort keys %requests)
	{
		my $sum = $requests{$kind};
		note(sprintf '%s: %d runs, %d rows, %d requests, least %d, times %.3f', $kind, @$sum{qw(runs rows used least)}, $sum->{used} / $sum->{least});
	}
	cmp_ok($requests{calm}{used}, '<=', 1.3 * $requests{calm}{least}, 'undisturbed runs have made few more requests than the least');
	cmp_ok($requests{all}{used}, '<=', 1.3 * $requests{all}{least}, '… and so have all together') if $long;
	$node->stop;
	$_->{service}->stop for @tenants;
}

done_testing();
