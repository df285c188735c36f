# tests/t/046_budget.t
#
# The tenant's budget of requests: one rolling window for all sessions, servers
# and databases of a tenant. Held by eight backends at once to the last request,
# without one 429 of a service that enforces it; whoever waits does so in turn,
# visibly, and gives back what it has however it ends.
#
# Each story has a tenant of its own, as budgets are remembered. Where a story
# needs a budget that stays exhausted its window is an hour; where sessions are
# to wait in a certain order the slots are held by requests that hang.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(wait_for);
use MsgTrace::Service;

my $service = MsgTrace::Service->start(now => '2026-05-12T12:00:00Z', rows_per_day => 20000, quota => 0);
my %conf = (log_statement => 'none', 'o365_msgtrace.max_requests_per_query' => 0);
my $node = MsgTrace::Cluster->start(preload => 'o365_msgtrace', conf => \%conf);
my $named_waits = $node->sql('SHOW server_version_num') >= 170000;
$node->sql('CREATE EXTENSION o365_msgtrace; CREATE DATABASE other');

my $tenants = 0;

# A tenant, and a server and schema of this name for it; returns its id.
sub tenant
{
	my ($name, %options) = @_;
	my $id = sprintf '22222222-0000-0000-0000-%012d', ++$tenants;
	$service->add_tenant(id => $id, domain => "$name.example.com");
	server($name, tenant_id => $id, %options);
	return $id;
}

# One request at a time, so that it is known who waits for how many.
sub server
{
	my ($name, %options) = @_;
	$node->create_server($service, name => $name, schema => $name, page_size => 50, max_concurrency => 1, %options);
	return;
}

# A query of one request, which the service's log shows as of second $n ...
sub one
{
	my ($schema, $n) = @_;
	return "SELECT count(*) >= 0 FROM $schema.message_trace WHERE received >= '2026-05-09T10:00:0${n}Z'"
	  . " AND received < timestamptz '2026-05-09T10:00:0${n}Z' + interval '1 second'";
}

# ... and one of so many that it always waits.
sub many
{
	my ($schema) = @_;
	return "SELECT count(*) FROM $schema.message_trace WHERE received >= '2026-05-09T00:00:00Z' AND received < '2026-05-10T00:00:00Z'";
}

# The seconds that the log's requests are of, in their order.
sub seconds_asked
{
	return map { ($_->{query} =~ /10:00:0(\d)/)[0] // '?' } $service->list_requests;
}

sub quota
{
	my ($tenant, $columns, %how) = @_;
	return $node->sql("SELECT $columns FROM o365_msgtrace.quota WHERE tenant = '$tenant'", %how);
}

sub wait_for_quota
{
	my ($tenant, $condition) = @_;
	$node->wait_until("SELECT EXISTS (SELECT FROM o365_msgtrace.quota WHERE tenant = '$tenant' AND $condition)");
	return;
}

sub waiting_session
{
	my ($tenant, $waiting, $sql, %how) = @_;
	my $session = $node->session(%how);
	$session->send($sql);
	wait_for_quota($tenant, "waiting = $waiting");
	return $session;
}

# Ends what a session waits for, and it.
sub end_session
{
	my ($session) = @_;
	$session->cancel;
	$session->receive;
	$session->quit;
	return;
}

# Sessions whose requests hang, and so hold all slots of a tenant.
sub blockers
{
	my ($tenant, $count, $schema) = @_;
	my @sessions = map { $node->session } 1 .. $count;
	$service->fault({ on => 'list', fault => 'hang', count => $count });
	$_->send(one($schema, 0)) for @sessions;
	wait_for_quota($tenant, "in_flight = $count");
	wait_for('the requests to hang', 30, sub { !$service->faults_left });
	return @sessions;
}

# ---- a restart -------------------------------------------------------------------------

{
	my $id = tenant('fresh', quota_requests => 40, quota_window => '1h');
	my $session = waiting_session($id, 1, many('fresh'));
	is(scalar $service->list_requests, 20, 'after a restart half of the window is taken to be used');
	is(quota($id, 'quota_requests, quota_window, used, in_flight, remaining, waiting, waiting_batch, sharing'),
		'40|01:00:00|40|0|0|1|0|preloaded', '... as view quota shows');
	is(quota($id, "next_slot_at BETWEEN now() + interval '30 minutes' AND now() + interval '1 hour'"), 't', '... and when it ends');
	my $wait_event = $node->sql("SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity WHERE pid = " . $session->pid);
	is($wait_event, 'Extension ' . ($named_waits ? 'O365MsgtraceBudget' : 'Extension'), 'waiting for it is a wait event');
	$session->cancel;
	like($session->receive, qr/ERROR:  57014: canceling statement due to user request/, '... that a cancel ends');
	is(quota($id, 'waiting'), 0, '... and then nobody waits');
	$session->sql("SET statement_timeout = '300ms'");
	is($session->sql_error(one('fresh', 1))->{sqlstate}, '57014', '... and so does statement_timeout');
	is(scalar $service->list_requests, 20, 'nothing was asked in vain');
	$session->quit;

	$node->sql("ALTER SERVER fresh OPTIONS (SET quota_requests '0')");
	is($node->sql(one('fresh', 1)), 't', 'a budget of 0 is none');
}

# ---- eight backends ----------------------------------------------------------------------

$node->wait_until("SELECT clock_timestamp() > pg_postmaster_start_time() + interval '6 seconds'");
{
	my $id = tenant('eight', max_concurrency => 3, quota_requests => 40, quota_window => '5s');
	my $query = many('eight') =~ s/05-10T00/05-09T06/r;
	my $truth = $node->sql($query);
	$service->settings(quota => 40, quota_window => 5);
	$node->wait_until("SELECT NOT EXISTS (SELECT FROM o365_msgtrace.quota WHERE tenant = '$id' AND used > 0)");
	$service->clear_quota;
	my @sessions = map { $node->session } 1 .. 8;
	$_->send($query) for @sessions;
	my @counts = map { $_->receive } @sessions;
	my ($seen) = $service->quota;
	is("@counts", "@{[ ($truth) x 8 ]}", "eight backends count all $truth rows");
	cmp_ok($seen->{allowed}, '>=', 80, '... in more than two windows') || diag(explain($seen));
	is($seen->{refused}, 0, '... with not one 429');
	is($seen->{highest}, 40, '... and the window used to the full');
	diag("eight backends: $seen->{allowed} requests, at most $seen->{highest} in a window, $seen->{refused} refused");
	like($sessions[0]->sql('SELECT waited > interval \'0\' FROM o365_msgtrace.last_scan()'), qr/^t$/, 'last_scan() says how long it waited');
	$_->quit for @sessions;
	$service->settings(quota => 0, quota_window => 300);
}

# Where each is cancelled again and again, wherever it happens to be. (What was sent
# last may reach the service after its sender has gone, hence a little less.)
{
	my $id = tenant('chaos', max_concurrency => 3, quota_requests => 36, quota_window => '1s');
	$service->settings(quota => 40, quota_window => 1, page_delay => 20);
	$service->clear_quota;
	my @sessions = map { $node->session(set => { 'o365_msgtrace.request_class' => $_ % 2 ? 'batch' : 'interactive' }) } 1 .. 8;
	my $cancelled = 0;
	for my $round (1 .. 3)
	{
		$_->send(join "\n", map { "SET statement_timeout = '" . int(30 + rand 400) . "ms';\n" . many('chaos') . ';' } 1 .. 10) for @sessions;
		$cancelled += () = $_->receive =~ /57014/g for @sessions;
	}
	my ($seen) = $service->quota;
	is($seen->{refused}, 0, 'no 429 while eight backends are cancelled all the time') || diag(explain($seen));
	is($node->sql("SELECT count(*) FROM o365_msgtrace.quota WHERE tenant = '$id' AND (in_flight > 0 OR waiting > 0)"), 0,
		'... after which nobody holds or wants a slot');
	diag("$cancelled of 240 queries cancelled, $seen->{allowed} requests, at most $seen->{highest} in a window");
	cmp_ok($cancelled, '>', 200, '... nearly all');
	$_->quit for @sessions;
	$service->settings(quota => 0, quota_window => 300, page_delay => 0);
}

# ---- who goes first ------------------------------------------------------------------------

{
	my $id = tenant('turns', quota_requests => 2, quota_window => '1s');
	my @blockers = blockers($id, 2, 'turns');
	$service->clear_requests;
	my @sessions = map { waiting_session($id, $_, one('turns', $_) . ';' . one('turns', $_)) } 1 .. 4;
	is(scalar $service->list_requests, 0, 'with all slots in flight nobody asks');
	is(quota($id, 'used, in_flight, remaining, next_slot_at IS NULL'), '2|2|0|t', '... nor knows when');
	$_->cancel for @blockers;
	$_->receive for @blockers, @sessions;
	my @order = seconds_asked();
	is(join(' ', map { join '', sort @order[ $_ * 2, $_ * 2 + 1 ] } 0 .. 3), '12 34 12 34', 'sessions take turns') || diag("@order");
	$_->quit for @blockers, @sessions;
}
{
	my $id = tenant('greedy', max_concurrency => 3, quota_requests => 1, quota_window => '1s');
	server('modest', tenant_id => $id, quota_requests => 1, quota_window => '1s');
	my ($blocker) = blockers($id, 1, 'modest');
	$service->clear_requests;
	my $three = many('greedy') . ' AND sender_address IN (' . join(', ', map { "'$_\@example.org'" } qw(a b c)) . ')';
	my $greedy = waiting_session($id, 3, $three);
	my @modest = map { waiting_session($id, 3 + $_, one('modest', $_) . ';' . one('modest', $_)) } 1 .. 2;
	$blocker->cancel;
	$_->receive for $blocker, $greedy, @modest;
	like(join(' ', seconds_asked()), qr{^[?] 1 2 [?] 1 2( [?])+$}, 'who wants several slots at once has one turn like everybody');
	$_->quit for $blocker, $greedy, @modest;}
{
	my $id = tenant('classes', quota_requests => 1, quota_window => '1s');
	my ($blocker) = blockers($id, 1, 'classes');
	$service->clear_requests;
	my @batch = (set => { 'o365_msgtrace.request_class' => 'batch' });
	my @sessions = (
		waiting_session($id, 1, one('classes', 1), @batch),
		waiting_session($id, 2, one('classes', 2), @batch),
		waiting_session($id, 3, one('classes', 3)));
	is(quota($id, 'waiting, waiting_batch'), '3|2', 'two batch jobs wait, and an interactive query after them');
	$blocker->cancel;
	$_->receive for $blocker, @sessions;
	is(join(' ', seconds_asked()), '3 1 2', 'interactive queries go before batch');
	$_->quit for $blocker, @sessions;
}
{
	my $id = tenant('reserve', quota_requests => 10, quota_window => '1h');
	my @batch = (set => { 'o365_msgtrace.request_class' => 'batch' });
	end_session(waiting_session($id, 1, many('reserve')));
	$node->sql("ALTER SERVER reserve OPTIONS (SET quota_requests '30')");
	my $job = waiting_session($id, 1, many('reserve'), @batch);
	is(quota($id, 'remaining'), 3, 'a tenth is kept while interactive queries have had to wait');
	is($node->sql(one('reserve', 1)), 't', '... for them');
	is(quota($id, 'remaining, waiting_batch'), '2|1', '... while batch jobs wait');
	end_session($job);

	$id = tenant('unreserved', quota_requests => 30, quota_window => '1h');
	$job = waiting_session($id, 1, many('unreserved'), @batch);
	is(quota($id, 'remaining'), 0, 'else batch jobs have it all');
	end_session($job);
}

{
	my $id = tenant('narrow', quota_requests => 90, quota_window => '1h');
	server('narrower', tenant_id => $id, quota_requests => 4, quota_window => '1h');
	end_session(waiting_session($id, 1, many('narrower')));
	$node->sql("ALTER SERVER narrower OPTIONS (SET quota_requests '8')");
	is($node->sql(one('narrower', 1)), 't', 'a server with a small budget, of which an interactive query has had to wait');
	is($node->sql(one('narrow', 1), set => { 'o365_msgtrace.request_class' => 'batch', statement_timeout => '60s' }), 't',
		'... keeps nothing from a batch job on another');

	# The ingest is a batch job.
	$id = tenant('ingested', quota_requests => 2, quota_window => '1h');
	$node->sql("SELECT o365_msgtrace.create_input('ingested', 'ingested.message_trace', 'ingested.archive')");
	my $run = waiting_session($id, 1, "CALL o365_msgtrace.run('ingested')");
	is(quota($id, 'waiting, waiting_batch'), '1|1', 'the ingest is a batch job');
	end_session($run);
	$node->sql("SELECT o365_msgtrace.drop_input('ingested')");
}

# ---- who ends early --------------------------------------------------------------------------

{
	my $id = tenant('leaving', quota_requests => 1, quota_window => '1s');
	my ($blocker) = blockers($id, 1, 'leaving');
	$service->clear_requests;
	# (whoever is not woken looks again after ten seconds only)
	my @sessions = map { waiting_session($id, $_, one('leaving', $_), set => { statement_timeout => '9s' }) } 1 .. 4;
	$sessions[0]->cancel;
	$sessions[0]->receive;
	is(quota($id, 'waiting'), 3, 'a cancelled session leaves the queue');
	$node->sql('SELECT pg_terminate_backend(' . $sessions[1]->pid . ', 10000)');
	is(quota($id, 'waiting'), 2, '... and so does one that is terminated');
	$node->sql('SELECT pg_terminate_backend(' . $blocker->pid . ', 10000)');
	like($sessions[2]->receive, qr/^t$/, 'a terminated request gives its slot back');
	like($sessions[3]->receive, qr/^t$/, '... to one after the other');
	is(join(' ', seconds_asked()), '3 4', '... of those who are still there');
	$_->quit for @sessions[ 0, 2, 3 ];
}
{
	my $id = tenant('flight', quota_requests => 40, quota_window => '1h');
	my ($blocker) = blockers($id, 1, 'flight');
	is(quota($id, 'used, in_flight'), '21|1', 'a request in flight counts');
	$blocker->cancel;
	$blocker->receive;
	is(quota($id, 'used, in_flight'), '21|0', '... also when it was cancelled');
	$blocker->sql("BEGIN; SAVEPOINT s; SET LOCAL statement_timeout = '300ms'");
	$service->fault({ on => 'list', fault => 'hang' });
	is($blocker->sql_error(one('flight', 1))->{sqlstate}, '57014', '... in a subtransaction, too');
	is(quota($id, 'used, in_flight'), '22|0', '... that is not yet rolled back');
	$blocker->sql('ROLLBACK');
	is($blocker->sql(one('flight', 1)), 't', '... and the session goes on');
	is(quota($id, 'used, in_flight'), '23|0', '... and counts');
	$service->fault({ on => 'list', fault => 'hang' });
	$blocker->send('DO $$ BEGIN PERFORM (' . one('flight', 1) . '); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(600); END $$');
	wait_for_quota($id, 'in_flight = 1');
	$blocker->cancel;
	wait_for_quota($id, 'in_flight = 0');
	$blocker->cancel;
	like($blocker->receive, qr/pg_sleep/, 'one that is caught and gone on with in the same transaction is over, too');
	is(quota($id, 'used, in_flight'), '24|0', '... and counts');
	$service->fault({ on => 'list', fault => 'cut' });
	is($blocker->sql(one('flight', 1)), 't', 'a broken connection that is retried');
	is(quota($id, 'used, in_flight'), '26|0', '... counts twice');
	$blocker->sql('BEGIN; DECLARE c CURSOR FOR ' . many('flight') . '; SAVEPOINT s');
	$service->fault({ on => 'list', fault => 'hang' });
	$blocker->send('FETCH c');
	wait_for('the request to hang', 30, sub { !$service->faults_left });
	$blocker->cancel;
	$blocker->receive;
	$blocker->sql('ROLLBACK TO s');
	is(quota($id, 'used, in_flight'), '27|0', 'a cursor that failed holds no slot, though its transaction goes on');
	$blocker->quit;
}

# ---- servers and databases of one tenant --------------------------------------------------------

{
	my $id = tenant('byid', quota_requests => 40, quota_window => '1h');
	server('bydomain', tenant_id => 'ByID.example.com', quota_requests => 30, quota_window => '1h');
	$service->clear_requests;
	$node->sql(one('byid', $_)) for 1 .. 3;
	is(quota($id, 'quota_requests, used'), '40|23', 'a tenant by its id');
	is($node->sql(one('bydomain', 4)), 't', '... and by a domain');
	is($node->sql("SELECT count(*), min(quota_requests), min(used) FROM o365_msgtrace.quota WHERE tenant IN ('$id', 'byid.example.com')"),
		'1|30|24', '... is one tenant, with the lower limit');
	my $session = waiting_session($id, 1, many('byid'));
	is(quota($id, 'used, remaining'), '30|0', '... which binds the other server, too');
	is(scalar $service->list_requests, 10, '... by what the service saw');
	end_session($session);

	# The same tenant from another database, where a server may have the same oid.
	{
		my $server = $node->sql("SELECT format('CREATE SERVER byid FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (%s)',"
			  . " string_agg(format('%I %L', option_name, option_value), ', ')) FROM pg_foreign_server, pg_options_to_table(srvoptions)"
			  . " WHERE srvname = 'byid'");
		$node->sql("CREATE EXTENSION o365_msgtrace; $server; CREATE USER MAPPING FOR PUBLIC SERVER byid OPTIONS (client_id '$service->{client_id}',"
			  . " client_secret '$service->{client_secret}'); CREATE SCHEMA byid; IMPORT FOREIGN SCHEMA exchange FROM SERVER byid INTO byid;",
			dbname => 'other');
		my $elsewhere = waiting_session($id, 1, many('byid'), dbname => 'other');
		is(scalar $service->list_requests, 10, 'another database has no other budget');
		end_session($elsewhere);
	}

	# A limit that was used within its own short window only.
	$node->sql("ALTER SERVER byid OPTIONS (SET quota_requests '90')");
	$node->sql("ALTER SERVER bydomain OPTIONS (SET quota_requests '60')");
	$node->sql("ALTER SERVER bydomain OPTIONS (SET quota_window '1s')");
	is($node->sql(one('bydomain', 1)), 't', 'new terms count from the next use on');
	is($node->sql(one('bydomain', 1)), 't', '... and their server is soon forgotten');
	wait_for_quota($id, 'quota_requests <> 60');
	is(quota($id, 'quota_window'), '01:00:00', '... when it is not used within its window');
}

# ---- 429s ------------------------------------------------------------------------------------------

{
	my $id = tenant('throttled', quota_requests => 40, quota_window => '1h');
	$service->clear_requests;
	$service->fault({ on => 'list', fault => 'status', status => 429, retry_after => 200 });
	my $first = $node->session;
	$first->send(one('throttled', 1));
	wait_for_quota($id, 'throttled = 1');
	my $second = waiting_session($id, 1, one('throttled', 2));
	is(quota($id, "paused_until BETWEEN now() + interval '100 seconds' AND now() + interval '220 seconds', remaining, next_slot_at >= paused_until"),
		't|19|t', 'a 429 pauses all who share the tenant');
	is(scalar $service->list_requests, 1, '... who ask nothing');
	$_->cancel for $first, $second;
	$_->receive for $first, $second;
	is(quota($id, 'paused_until IS NOT NULL'), 't', '... also when it is cancelled where it came');

	$id = tenant('untold', quota_requests => 40, quota_window => '1h');
	$service->fault({ on => 'list', fault => 'status', status => 429 });
	$first->send(one('untold', 1));
	wait_for_quota($id, 'throttled = 1');
	is(quota($id, "paused_until BETWEEN now() + interval '10 seconds' AND now() + interval '40 seconds'"), 't', 'one without a time: for half a minute');
	$first->cancel;
	$first->receive;

	$id = tenant('final', quota_requests => 40, quota_window => '1h', retry_type => 'disabled');
	$service->fault({ on => 'list', fault => 'status', status => 429, retry_after => 100 });
	is($first->sql_error(one('final', 1))->{sqlstate}, '53400', 'one that is not waited for');
	is(quota($id, "paused_until BETWEEN now() + interval '50 seconds' AND now() + interval '110 seconds'"), 't', '... pauses the others all the same');

	$id = tenant('passing', quota_requests => 40, quota_window => '1h');
	$service->clear_requests;
	$service->fault({ on => 'list', fault => 'status', status => 429, retry_after => 1, count => 2 });
	is($first->sql(one('passing', 1)), 't', 'two 429s in a row are waited out');
	is(join(' ', map { $_->{status} } $service->list_requests), '429 429 200', '... each');
	is(quota($id, 'throttled, paused_until, used'), '0||23', '... and are over with the first answer');
	$_->quit for $first, $second;
}

# ---- APIs --------------------------------------------------------------------------------------------

{
	my $id = tenant('apis', quota_requests => 40, quota_window => '1h');
	server('reporting', tenant_id => $id, quota_requests => 40, quota_window => '1h', api => 'reporting',
		report_url => $service->report_url('reporting'));
	$node->sql(one('apis', 1));
	$node->sql(one('reporting', $_)) for 1 .. 2;
	is($node->sql("SELECT api, used FROM o365_msgtrace.quota WHERE tenant = '$id' ORDER BY api"), "graph|21\nreporting|22",
		'each interface has a budget of its own');

	# A user name tells no tenant that anybody has verified.
	$service->add_user(name => 'trace@contoso.com', password => 'right');
	server('account', tenant_id => $id, quota_requests => 1, quota_window => '1h', api => 'reporting',
		report_url => $service->report_url('reporting'),
		mapping => { auth => 'basic', client_id => undef, client_secret => undef, username => 'trace@contoso.com', password => 'right' });
	$node->sql(one('account', 1));
	is($node->sql("SELECT count(*) FROM o365_msgtrace.quota WHERE tenant = '$id' AND quota_requests = 1"), 0,
		'an account with a password has no say in the budget of a tenant');
	is($node->sql("SELECT used FROM o365_msgtrace.quota WHERE tenant LIKE 'user %'"), 1, '… but one of its own');
}

# ---- rights --------------------------------------------------------------------------------------------

{
	my $id = tenant('seen', quota_requests => 40, quota_window => '1h');
	$node->sql(one('seen', 1));
	$node->sql('CREATE ROLE regress_nobody LOGIN; CREATE ROLE regress_user LOGIN; CREATE ROLE regress_reader LOGIN; CREATE ROLE regress_owner LOGIN;'
		  . 'GRANT USAGE ON SCHEMA o365_msgtrace TO PUBLIC; GRANT USAGE ON FOREIGN SERVER seen TO regress_user; GRANT pg_read_all_stats TO regress_reader;'
		  . 'ALTER SERVER seen OWNER TO regress_owner');
	my %seen = map {
		my $role = $_;
		$role => $node->sql("SELECT coalesce(string_agg(tenant, ' '), 'nothing') FROM o365_msgtrace.quota", user => $role)
	} qw(regress_nobody regress_user regress_reader regress_owner);
	is($seen{regress_nobody}, 'nothing', 'a role without rights sees no budget');
	is($seen{regress_user}, $id, 'one that may use a server sees its own');
	is($seen{regress_owner}, $id, '... and so does its owner');
	cmp_ok(scalar(split / /, $seen{regress_reader}), '>', 3, '... pg_read_all_stats sees all');
	$node->sql('DROP SERVER seen CASCADE');
	is($node->sql("SELECT count(*) FROM o365_msgtrace.quota", user => 'regress_user'), 0, 'a dropped server gives no right');
	is(quota($id, 'used', user => 'regress_reader'), 21, '... while its requests still count');
}

# ---- a crash ------------------------------------------------------------------------------------------

{
	my $id = tenant('killed', quota_requests => 40, quota_window => '1h');
	$node->sql(one('killed', $_)) for 1 .. 5;
	my ($blocker) = blockers($id, 1, 'killed');
	is(quota($id, 'used, in_flight'), '26|1', 'a backend in flight');
	kill 'KILL', $blocker->pid;
	wait_for('the server to come back', 60, sub { eval { $node->sql('SELECT 1') eq '1' } });
	is(quota($id, 'used'), '', '... is killed, with all that was known');
	is($node->sql(one('killed', 1)), 't', 'the server is back');
	is(quota($id, 'used, in_flight'), '21|0', '... and takes half of the window to be used');
}

# ---- many tenants ---------------------------------------------------------------------------------------

# The book has room for 64 that are in use at a time.
{
	my @ids = map { sprintf '33333333-0000-0000-0000-%012d', $_ } 1 .. 65;
	$service->add_tenant(id => $_, domain => "t$_.example.com") for @ids;
	tenant('crowd', quota_requests => 40, quota_window => '1h');
	my $ask = sub {
		my ($tenant) = @_;
		return "ALTER SERVER crowd OPTIONS (SET tenant_id '$tenant'); " . one('crowd', 1);
	};
	my $session = $node->session;
	my $sharing = sub { $session->sql("SELECT used, sharing FROM o365_msgtrace.quota WHERE tenant = '$_[0]'") };
	$session->sql(join '; ', map { $ask->($_) } @ids);
	is($node->sql("SELECT count(*), count(DISTINCT sharing) FROM o365_msgtrace.quota"), '64|1', 'there is room for 64 tenants in use');
	is($sharing->($ids[64]), '1|backend', '... one more has a budget of the session alone');
	is(quota($ids[64], 'count(*)'), '0', '... which no other sees');
	$session->sql($ask->($ids[64]));
	is($sharing->($ids[64]), '2|backend', '... and that is kept');
	$session->quit;
}
$node->stop;

# ---- without preloading -----------------------------------------------------------------------------------

{
	$node = MsgTrace::Cluster->start(conf => \%conf);
	my $id = tenant('alone', quota_requests => 10, quota_window => '1h');
	my @sessions = map { $node->session } 1 .. 2;
	my $used = "SELECT used, sharing FROM o365_msgtrace.quota WHERE tenant = '$id'";
	$sessions[0]->sql(one('alone', 1));
	is($sessions[0]->sql($used), $named_waits ? '6|registered' : '1|backend', 'without preloading there is a budget');
	is($sessions[1]->sql($used), $named_waits ? '6|registered' : '', '... which is shared from PostgreSQL 17 on');
	$sessions[1]->sql("SET statement_timeout = '1s'");
	is($sessions[1]->sql_error(many('alone'))->{sqlstate}, '57014', '... and is held');
	is($sessions[1]->sql($used), $named_waits ? '10|registered' : '10|backend', '... to its end');
	$_->quit for @sessions;
}

done_testing();
