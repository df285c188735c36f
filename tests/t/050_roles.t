# tests/t/050_roles.t
#
# Who asks: the user mapping that counts is that of the role the scan is checked
# as, a view's owner included; what ordinary users may set; and what a change of
# options does to the scans that come after it.

use strict;
use warnings;
use utf8;

use POSIX ();
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-10T12:00:00Z',
	rows_per_day => 2000,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.clock_source' => 'local', log_statement => 'none' });

# Clocks agree here: the service's own is set to this machine's time.
$service->set_clock(run => 1);
$service->set_clock(now => POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime));

$node->sql(<<'SQL');
CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_wrong LOGIN;
CREATE ROLE regress_nobody LOGIN;
GRANT CREATE ON DATABASE postgres TO regress_owner;
SQL
$node->create_server($service, user => 'regress_owner');
$node->sql(<<'SQL');
GRANT USAGE ON SCHEMA mail, o365_msgtrace TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO PUBLIC;
GRANT CREATE ON SCHEMA mail TO regress_owner, regress_reader;
CREATE USER MAPPING FOR regress_wrong SERVER tenant OPTIONS (client_id 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', client_secret 'not~this.one');
SET ROLE regress_owner;
CREATE VIEW mail.owned AS SELECT * FROM mail.message_trace;
CREATE VIEW mail.owned_for_invoker WITH (security_invoker) AS SELECT * FROM mail.message_trace;
CREATE VIEW mail.owned_with_barrier WITH (security_barrier) AS SELECT * FROM mail.message_trace WHERE size > 1000;
CREATE VIEW mail.owned_twice AS SELECT * FROM mail.owned;
CREATE FUNCTION mail.as_definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER
	AS $$ SELECT count(*) FROM mail.message_trace WHERE received > now() - interval '1 day' $$;
CREATE FUNCTION mail.as_invoker() RETURNS bigint LANGUAGE sql
	AS $$ SELECT count(*) FROM mail.message_trace WHERE received > now() - interval '1 day' $$;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO PUBLIC;
SET ROLE regress_reader;
CREATE VIEW mail.readers AS SELECT * FROM mail.message_trace;
CREATE VIEW mail.readers_of_owned AS SELECT * FROM mail.owned;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO PUBLIC;
SQL
# Old enough for all its rows to have arrived.
my $day = sprintf "WHERE received > '%s' AND received < '%s'", map { POSIX::strftime('%Y-%m-%dT00:00:00Z', gmtime(time - $_ * 86400)) } 20, 19;

# The outcome of a count as a role: '' for success, else its SQLSTATE.
sub outcome
{
	my ($role, $relation, %how) = @_;
	my $error = $node->sql_error("SELECT count(*) FROM mail.$relation $day", user => $role, %how);
	return $error ? $error->{sqlstate} : '';
}

# ---- whose mapping ------------------------------------------------------------------

my %outcomes = (
	# role            message_trace owned invoker barrier twice readers readers_of_owned
	regress_owner => [ '', '', '', '', '', '42704', '' ],
	regress_reader => [ '42704', '', '42704', '', '', '42704', '' ],
	regress_wrong => [ '08004', '', '08004', '', '', '42704', '' ],
	regress_nobody => [ '42704', '', '42704', '', '', '42704', '' ],
	postgres => [ '42704', '', '42704', '', '', '42704', '' ]);
my @relations = qw(message_trace owned owned_for_invoker owned_with_barrier owned_twice readers readers_of_owned);
for my $role (sort keys %outcomes)
{
	is_deeply([ map { outcome($role, $_) } @relations ], $outcomes{$role}, "the mappings that count for $role");
}
for my $role ('regress_wrong', 'regress_nobody')
{
	is($node->sql_error('SELECT mail.as_definer()', user => $role), undef, "a function of its definer's, called by $role");
	isnt($node->sql_error('SELECT mail.as_invoker()', user => $role), undef, "a function of the invoker's, called by $role");
}
my $error = $node->sql_error("SELECT count(*) FROM mail.message_trace $day", user => 'regress_nobody');
like($error->{message}, qr/user mapping.*regress_nobody/, 'no mapping: the error names the role');

# A plan made for one role is not run with another's mapping.
my $session = $node->session;
$session->sql("PREPARE p AS SELECT count(*) FROM mail.message_trace $day; SET plan_cache_mode = force_generic_plan; SET ROLE regress_owner");
my $count = $session->sql('EXECUTE p');
cmp_ok($count, '>', 500, 'a prepared statement, as the role that has a mapping');
$session->sql('RESET ROLE; SET ROLE regress_wrong');
is($session->sql_error('EXECUTE p')->{sqlstate}, '08004', '… as one whose secret is wrong, though there is a good token');
$session->sql('RESET ROLE; SET ROLE regress_nobody');
is($session->sql_error('EXECUTE p')->{sqlstate}, '42704', '… as one without a mapping');
$session->sql('RESET ROLE; SET ROLE regress_owner');
is($session->sql('EXECUTE p'), $count, '… and as the first again');

# A cursor keeps the role that it was opened by.
$session->sql("BEGIN; DECLARE c CURSOR FOR SELECT * FROM mail.message_trace $day");
$session->sql('RESET ROLE; SET ROLE regress_nobody');
is($session->sql('MOVE ALL FROM c; SELECT rows FROM o365_msgtrace.last_scan()'), $count, 'a cursor is read as the role that opened it');
$session->sql('COMMIT; RESET ROLE; SET ROLE regress_reader');
is($session->sql("SELECT count(*) FROM mail.owned $day"), $count, "an owner's view gives all rows");
is($session->sql("SELECT count(*) FROM mail.owned_with_barrier $day AND size <= 1000"), '0', '… and behind a barrier what it lets through');
$session->quit;

# A join of two views with two owners signs in as both.
$node->sql('CREATE USER MAPPING FOR regress_reader SERVER tenant OPTIONS (client_id \'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee\', client_secret \'not~this.one\')');
is(outcome('regress_nobody', 'readers'), '08004', "another owner's view has his mapping");
is($node->sql_error("SELECT count(*) FROM mail.owned a JOIN mail.readers b USING (message_trace_id) $day" =~ s/received/a.received/gr,
		user => 'postgres')->{sqlstate}, '08004', '… so has a join of both');
$node->sql("ALTER USER MAPPING FOR regress_reader SERVER tenant OPTIONS (SET client_secret '$service->{client_secret}')");
is(outcome('regress_nobody', 'readers'), '', '… which is good once its secret is');

# PUBLIC's mapping is for those who have none of their own.
$node->sql("CREATE USER MAPPING FOR PUBLIC SERVER tenant OPTIONS (client_id '$service->{client_id}', client_secret '$service->{client_secret}')");
is(outcome('regress_nobody', 'message_trace'), '', 'the mapping of PUBLIC');
is(outcome('regress_wrong', 'message_trace'), '08004', "… is not for one who has his own");
$node->sql('DROP USER MAPPING FOR PUBLIC SERVER tenant');
is(outcome('regress_nobody', 'message_trace'), '42704', '… and gone when it is dropped');

# Nobody reads another's secret.
for my $catalog ('pg_user_mappings', 'information_schema.user_mapping_options')
{
	my $column = $catalog eq 'pg_user_mappings' ? 'umoptions::text' : 'option_value';
	is($node->sql("SELECT count(*) FROM $catalog WHERE $column LIKE '%~%'", user => 'regress_nobody'), '0', "$catalog shows others no secret");
}
is($node->sql("SELECT count(*) FROM pg_foreign_table t, pg_foreign_server s WHERE (ftoptions::text || srvoptions::text) LIKE '%~%'"),
	'0', 'nor is it in server or table');

# ---- what ordinary users may set -----------------------------------------------------------

$node->sql('GRANT USAGE ON FOREIGN DATA WRAPPER o365_msgtrace TO regress_owner');
my $create = "CREATE SERVER mine FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (tenant_id 'contoso.com'";
sub refused
{
	my ($name, $sql) = @_;
	my $refusal = $node->sql_error($sql, user => 'regress_owner');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($refusal ? $refusal->{sqlstate} : 'none', '42501', $name) || diag($refusal ? $refusal->{text} : 'it was allowed');
	return;
}
refused("a server with a $_ of one's own", "$create, $_ 'https://attacker.example/x')") for qw(report_url authority_url resource);
refused('… on loopback', "$create, report_url 'https://localhost:$service->{port}/x')");
refused('… that only looks like Microsoft\'s', "$create, report_url 'https://graph.microsoft.com.attacker.example/x')");
refused('… or has it as a user name', "$create, report_url 'https://graph.microsoft.com\@attacker.example/x')")
  if $node->sql_error("$create, report_url 'https://graph.microsoft.com\@attacker.example/x')", user => 'regress_owner')->{sqlstate} !~ /^HV/;
refused('… or another port', "$create, report_url 'https://graph.microsoft.com:8443/x')");
refused('a ca_file', "$create, ca_file '$service->{ca_file}')");
is($node->sql_error("$create, report_url 'https://graph.microsoft.com/v1.0/x', page_size '100')", user => 'regress_owner'),
	undef, "a server with Microsoft's host is everybody's");
refused('another host by ALTER', "ALTER SERVER mine OPTIONS (SET report_url 'https://attacker.example/x')");
refused('a ca_file by ALTER', "ALTER SERVER mine OPTIONS (ADD ca_file '$service->{ca_file}')");

# A server that a superuser made and gave away: its owner changes nothing of these,
# nor anything else while it stands on another host.
$node->sql("ALTER SERVER tenant OWNER TO regress_owner");
refused('another host in a server that was given away', "ALTER SERVER tenant OPTIONS (SET report_url 'https://attacker.example/x')");
refused('another authority', "ALTER SERVER tenant OPTIONS (SET authority_url 'https://attacker.example')");
refused('another ca_file', "ALTER SERVER tenant OPTIONS (SET ca_file '/etc/passwd')");
$node->sql('ALTER SERVER tenant OWNER TO postgres');
$node->sql('GRANT pg_read_server_files TO regress_owner');
is($node->sql_error("ALTER SERVER mine OPTIONS (ADD ca_file '$service->{ca_file}')", user => 'regress_owner'), undef,
	'a reader of server files may name a ca_file');
my $clock = "SET o365_msgtrace.clock_source = 'service'";
is($node->sql_error("LOAD 'o365_msgtrace'; SET ROLE regress_owner; $clock")->{sqlstate}, '42501', "the clock's source is a superuser's setting");
is($node->sql("$clock; SELECT FROM o365_msgtrace.last_scan(); SHOW o365_msgtrace.clock_source", user => 'regress_owner') =~ s/\s//gr,
	'local', '… before the library is loaded, too');

# ---- options that change ----------------------------------------------------------------------

sub tokens
{
	return scalar grep { $_->{path} =~ /token$/ } $service->requests;
}
$session = $node->session(user => 'regress_owner');
my $query = "SELECT count(*) FROM mail.message_trace $day";
$service->clear_requests;
is($session->sql($query), $count, 'a session …');
is($session->sql($query), $count, '… that asks twice');
is(tokens(), 1, '… signs in once');
$node->sql("ALTER USER MAPPING FOR regress_owner SERVER tenant OPTIONS (SET client_secret 'changed~it')");
is($session->sql_error($query)->{sqlstate}, '08004', 'another secret counts at once, whatever token there is');
$node->sql("ALTER USER MAPPING FOR regress_owner SERVER tenant OPTIONS (SET client_secret '$service->{client_secret}')");
is($session->sql($query), $count, 'the right one again');
$node->sql("ALTER SERVER tenant OPTIONS (SET tenant_id '99999999-0000-0000-0000-000000000000')");
is($session->sql_error($query)->{sqlstate}, '08004', 'another tenant has another token');
$node->sql("ALTER SERVER tenant OPTIONS (SET tenant_id 'contoso.onmicrosoft.com')");
is($session->sql($query), $count, 'a tenant by its domain');
$node->sql("ALTER SERVER tenant OPTIONS (ADD page_size '50')");
$service->clear_requests;
is($session->sql($query), $count, 'another page size');
cmp_ok(scalar $service->list_requests, '>', $count / 50, '… is what is asked for');
$node->sql("ALTER FOREIGN TABLE mail.message_trace OPTIONS (ADD page_size '1000')");
$service->clear_requests;
is($session->sql($query), $count, "the table's page size");
cmp_ok(scalar $service->list_requests, '<', $count / 50, "… counts more than the server's");
$node->sql('ALTER SERVER tenant OPTIONS (DROP ca_file)');
is($session->sql_error($query)->{sqlstate}, '08001', 'without its authority the service is trusted no more');
$node->sql('DROP USER MAPPING FOR regress_owner SERVER tenant');
is($session->sql_error($query)->{sqlstate}, '42704', 'without its mapping there is no scan');
$session->quit;

done_testing();
