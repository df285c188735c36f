# tests/t/062_secret_standby.t
#
# Stored secrets on a standby: made by pg_basebackup, it reads them with the key
# that came along, follows a rotation once the key file is copied to it, says what
# is wrong when it has no key or an old one, and goes on with them when promoted.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(now => '2026-11-20T12:00:00Z', rows_per_day => 2000, quota => 0);
my $node = MsgTrace::Cluster->start(
	conf => {
		wal_level => 'replica',
		max_wal_senders => 4,
		hot_standby => 'on',
		max_standby_streaming_delay => '-1'
	});
$node->create_server($service, mapping => { auth => 'oauth_secret', client_secret => undef, secret_name => 'app' });
my $query = q{SELECT count(*) > 100 FROM mail.message_trace WHERE received > '2026-11-19' AND received < '2026-11-20'};
my (undef, $key) = split /\|/, $node->sql('SELECT * FROM o365_msgtrace.create_secret_key()');
$node->sql("COPY o365_msgtrace.secret_input (name, value, hosts) FROM STDIN;\napp\t$service->{client_secret}\tlocalhost\n\\.\n");
is($node->sql($query), 't', 'the primary queries with a stored secret');

# A standby is a cluster of its own: made like the others, then given the
# primary's data in the place of its own.
chomp(my $programs = qx{"@{[ $ENV{PG_CONFIG} || 'pg_config' ]}" --bindir});

sub make_standby
{
	my ($name) = @_;
	my $standby = MsgTrace::Cluster->start;
	my $data = $standby->{data};
	$standby->stop;
	system("rm -rf '$data'") == 0 or die;
	system("$programs/pg_basebackup -h $node->{folder} -U postgres -D $data -R -c fast > $data.log 2>&1") == 0
	  or die "pg_basebackup: " . `cat $data.log`;
	open my $file, '>>', "$data/postgresql.conf" or die;
	print $file "unix_socket_directories = '$standby->{folder}'\n";
	close $file;
	$standby->restart;
	is($standby->sql('SELECT pg_is_in_recovery()'), 't', "$name is one");
	return $standby;
}

sub caught_up
{
	my ($standby) = @_;
	my $position = $node->sql('SELECT pg_current_wal_insert_lsn()');
	$standby->wait_until("SELECT pg_last_wal_replay_lsn() >= '$position'::pg_lsn");
	return;
}

sub key_file { return "$_[0]->{data}/o365_msgtrace.key" }

sub copy_key
{
	my ($from, $to) = map { key_file($_) } @_;
	system('cp', '-p', $from, "$to.copy") == 0 && rename("$to.copy", $to) or die "$from: $!";
	return;
}

my $with = make_standby('a standby');
is($with->sql($query), 't', 'pg_basebackup has brought the key: the standby reads the secret');
is($with->sql("BEGIN; DECLARE c CURSOR FOR $query; FETCH c"), 't', '… through a cursor, too');
is($with->sql('SELECT name, key_fingerprint FROM o365_msgtrace.secret'), "app|$key", '… and shows it');
for my $command ('create_secret_key()', 'rotate_secret_key()', "drop_secret_key('$key')", q{create_secret('x', 'y')}, q{drop_secret('app')}, q{grant_secret('app', 'public')})
{
	is($with->sql_error("SELECT o365_msgtrace.$command")->{sqlstate}, '25006', "$command is the primary's");
}
is($with->sql($query), 't', '… and does no harm');

my $without = make_standby('another standby');
unlink key_file($without) or die;
my $error = $without->sql_error($query);
is($error->{sqlstate}, '55000', 'without the key a standby does not read it');
like($error->{message}, qr/^stored secret "app" needs key $key, this server's key file is missing$/, '… and says which it needs');
like($error->{hint}, qr/Copy the key file from the server where the secret was stored/, '… and what to do');

# ---- a rotation ---------------------------------------------------------------------------

# What was sealed with the old key comes to the standby before or after the key
# file is copied: the file has both.
my $session = $node->session;
my ($new_key) = split /\|/, $session->sql('BEGIN; SELECT * FROM o365_msgtrace.rotate_secret_key()');
copy_key($node, $with);
is($with->sql($query), 't', 'the key file copied before the rotation commits');
$session->sql('COMMIT');
$session->quit;
caught_up($_) for $with, $without;
is($with->sql('SELECT key_fingerprint FROM o365_msgtrace.secret'), $new_key, 'the rotation arrives');
is($with->sql($query), 't', '… and the standby reads on');

my $late = make_standby('a third standby');
my ($newest) = split /\|/, $node->sql('SELECT * FROM o365_msgtrace.rotate_secret_key()');
caught_up($_) for $with, $without, $late;
$error = $late->sql_error($query);
like($error->{message}, qr/^stored secret "app" needs key $newest, this server's file has $new_key, $key$/, 'a key file that was not copied: both are named');
copy_key($node, $late);
is($late->sql($query), 't', '… until it is');

# ---- promotion ------------------------------------------------------------------------------

copy_key($node, $with);
$node->sql("COPY o365_msgtrace.secret_input (name, value) FROM STDIN;\nlast\tvalue\n\\.\n");
caught_up($_) for $with, $without, $late;
$node->kill9;
for my $standby ($with, $without)
{
	$standby->sql('SELECT pg_promote()');
	$standby->wait_until('SELECT NOT pg_is_in_recovery()');
}
is($with->sql($query), 't', 'promoted with the key: it goes on');
is($with->sql('SELECT string_agg(name, \',\' ORDER BY name) FROM o365_msgtrace.secret'), 'app,last', '… with every secret');
like($with->sql('SELECT * FROM o365_msgtrace.rotate_secret_key()'), qr/\|2$/, '… and rotates their key');
is($with->sql($query), 't', '… by itself');

like($without->sql_error($query)->{message}, qr/needs key $newest, this server's key file is missing/, 'promoted without it: the error stays');
like($without->sql_error('SELECT o365_msgtrace.create_secret_key()')->{message}, qr/there are secrets of another key/, '… no new key hides that');
is($without->sql_error("COPY o365_msgtrace.secret_input (name, value) FROM STDIN;\napp\tx\n\\.\n")->{sqlstate}, '55000', '… nothing is stored without a key');
copy_key($late, $without);
is($without->sql($query), 't', '… until the file is found');
unlink key_file($without) or die;
$without->sql(q{SELECT o365_msgtrace.drop_secret(name) FROM o365_msgtrace.secret});
$without->sql('SELECT o365_msgtrace.create_secret_key()');
$without->sql("COPY o365_msgtrace.secret_input (name, value, hosts) FROM STDIN;\napp\t$service->{client_secret}\tlocalhost\n\\.\n");
is($without->sql($query), 't', '… or, where it is lost, the secrets are stored anew');

done_testing();
