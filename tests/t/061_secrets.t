# tests/t/061_secrets.t
#
# The life of a stored secret: put in by COPY, used by those who may, sent to its
# hosts only, expired, given a new value, sealed with a new key, dumped and
# restored with the key and without. No role makes another's secret travel, and
# at no moment, crash or rollback does a log, a view or a message show a value.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $value = q{Xq8~marker.of-the_secret/+%25'};
my $service = MsgTrace::Service->start(now => '2026-11-20T12:00:00Z', rows_per_day => 2000, quota => 0, client_secret => $value);
my %conf = (log_min_messages => 'debug5', log_parameter_max_length => -1, log_duration => 'on');
my $node = MsgTrace::Cluster->start(conf => \%conf);
my $said = '';

$node->sql(<<'SQL');
CREATE EXTENSION o365_msgtrace;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_user LOGIN;
CREATE ROLE regress_group;
CREATE ROLE regress_member LOGIN IN ROLE regress_group;
CREATE ROLE regress_super LOGIN SUPERUSER;
GRANT USAGE ON SCHEMA o365_msgtrace TO PUBLIC;
SQL
$node->create_server($service, mapping => { auth => 'oauth_secret', client_secret => undef, secret_name => 'app' });
$node->sql('GRANT USAGE, CREATE ON SCHEMA mail TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA mail TO PUBLIC; GRANT USAGE ON FOREIGN SERVER tenant TO PUBLIC');
my $query = q{SELECT count(*) > 100 FROM mail.message_trace WHERE received > '2026-11-19' AND received < '2026-11-20'};

# ---- helpers -----------------------------------------------------------------------

# Stores secrets as a role does who wants no log to see them: lines of columns.
sub copy_in
{
	my ($columns, $line) = @_;
	my $text = join "\t", map { s/\\/\\\\/gr =~ s/\n/\\n/gr =~ s/\t/\\t/gr } @$line;
	return "COPY o365_msgtrace.secret_input ($columns) FROM STDIN;\n$text\n\\.\n";
}

sub put_secret
{
	my ($columns, $line, %how) = @_;
	my $sql = copy_in($columns, $line);
	return $node->sql($sql, %how);
}

sub error_of
{
	my ($sql, %how) = @_;
	my $error = $node->sql_error($sql, %how) // {};
	$said .= $error->{text} // '';
	return $error;
}

# An error with this SQLSTATE and message, and nothing sent anywhere.
sub refused
{
	my ($name, $sqlstate, $message, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	my $error = error_of($how{sql} // $query, user => $how{user} // 'regress_owner');
	is($error->{sqlstate}, $sqlstate, "$name: SQLSTATE") or diag($error->{text} // 'no error');
	like($error->{message}, $message, '… message');
	like($error->{hint}, $how{hint}, '… hint') if $how{hint};
	is(scalar $service->requests, 0, '… and nothing is sent') if !$how{sql};
	return $error;
}

sub serves
{
	my ($name, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(eval { $node->sql($how{sql} // $query, user => $how{user} // 'regress_owner') } // $@, 't', $name);
}

# ---- the key ------------------------------------------------------------------------

my $put_app = copy_in('name, value, hosts', [ 'app', $value, 'localhost' ]);
refused('no key yet', '55000', qr/no key file/, sql => $put_app, hint => qr/create_secret_key/);
refused('an ordinary role makes none', '42501', qr/permission denied/, sql => 'SELECT o365_msgtrace.create_secret_key()');
my ($path, $first_key) = split /\|/, $node->sql('SELECT * FROM o365_msgtrace.create_secret_key()');
is($path, "$node->{data}/o365_msgtrace.key", 'the key lies in the data directory');
like($first_key, qr/^[0-9a-f]{16}$/, '… and has a fingerprint');
is(sprintf('%o', (stat $path)[2] & 07777), '600', '… and is the account\'s alone');
refused('a second one', '58P02', qr/already exists/, sql => 'SELECT o365_msgtrace.create_secret_key()', user => 'postgres', hint => qr/rotate_secret_key/);

# ---- storing and using ----------------------------------------------------------------

$node->sql($put_app, user => 'regress_owner');
is($node->sql('SELECT name, owner, hosts, key_fingerprint, granted_to FROM o365_msgtrace.secret', user => 'regress_owner'), "app|regress_owner|{localhost}|$first_key|{}",
	'the owner sees all of it but the value');
is($node->sql('SELECT count(*) FROM o365_msgtrace.secret', user => 'regress_user'), '0', '… others nothing');
refused('the table itself', '42501', qr/permission denied/, sql => 'SELECT * FROM o365_msgtrace.secret_store');
serves('the owner queries with it');
serves('… in a read-only transaction', sql => "BEGIN READ ONLY; $query; COMMIT");
like($node->sql("EXPLAIN (VERBOSE, ANALYZE, COSTS OFF, TIMING OFF) $query", user => 'regress_owner'), qr/First Request/, '… and EXPLAIN runs');
is($node->sql("BEGIN; DECLARE c CURSOR FOR $query; FETCH c", user => 'regress_owner'), 't', '… through a cursor');

# ---- in memory ----------------------------------------------------------------------------

# How often a text stands in the memory that a process may write to; undef where
# the system does not let us look.
sub count_in_memory
{
	my ($pid, $text) = @_;
	no warnings 'portable';    # addresses have 64 bits
	my $found = 0;
	open my $maps, '<', "/proc/$pid/maps" or return;
	open my $memory, '<:raw', "/proc/$pid/mem" or return;
	while (my $line = <$maps>)
	{
		my ($from, $to) = $line =~ m{^([0-9a-f]+)-([0-9a-f]+) rw(?!.*/dev/)} or next;
		sysseek $memory, hex $from, 0;
		sysread $memory, my $bytes, hex($to) - hex($from);
		$found++ while ($bytes // '') =~ /\Q$text\E/g;
	}
	return $found;
}

SKIP:
{
	my $session = $node->session(user => 'regress_owner');
	my $pid = $session->sql('SELECT pg_backend_pid()');
	my $rows = q{SELECT * FROM mail.message_trace WHERE received > '2026-11-19'};
	$session->sql("BEGIN; DECLARE c CURSOR FOR $rows; MOVE 1 FROM c");
	my $during = count_in_memory($pid, $value);
	skip 'the memory of other processes cannot be read here', 5 if !defined $during;
	cmp_ok($during, '>', 0, 'while a scan is open its secret is in memory');
	$session->sql('COMMIT');
	is(count_in_memory($pid, $value), 0, '… and not any more when it has ended');
	isnt($session->sql_error("SELECT 1 / (size - size) FROM mail.message_trace WHERE received > '2026-11-19'"), undef, '… nor when a query ended with an error');
	is(count_in_memory($pid, $value), 0, '… in its scan');
	open my $file, '<', $path or die "$path: $!";
	my (undef, $digits) = <$file>;
	chomp $digits;
	is(count_in_memory($pid, $digits) + count_in_memory($pid, pack 'H*', $digits), 0, '… and the key in no form');
	$session->quit;
}

# ---- whose it is -----------------------------------------------------------------------

my $denied = qr/^permission denied for stored secret "app"$/;
refused("another role's scan", '42501', $denied, user => 'regress_user', hint => qr/grant_secret\('app', 'regress_user'\)/);
refused('a superuser\'s, too: a mapping made for them does not make it travel', '42501', $denied, user => 'regress_super');
$node->sql("SET ROLE regress_user; CREATE VIEW mail.theirs AS SELECT * FROM mail.message_trace; GRANT SELECT ON mail.theirs TO PUBLIC");
$node->sql("SET ROLE regress_owner; CREATE VIEW mail.ours AS SELECT * FROM mail.message_trace; GRANT SELECT ON mail.ours TO PUBLIC");
refused("the owner's query through another's view", '42501', qr/must|permission denied/, sql => $query =~ s/message_trace/theirs/r);
serves("another's query through the owner's view", sql => $query =~ s/message_trace/ours/r, user => 'regress_user');
for my $command (q{alter_secret('app', value => 'x')}, q{alter_secret('app', hosts => '{evil.example}')}, q{drop_secret('app')}, q{grant_secret('app', 'regress_user')}, q{revoke_secret('app', 'regress_owner')})
{
	refused("$command by another role", '42501', qr/^must be owner of stored secret "app"$/, sql => "SELECT o365_msgtrace.$command", user => 'regress_user');
}
refused('a COPY over it', '42501', qr/must be owner/, sql => $put_app, user => 'regress_user');
refused('a secret of the same name', '42710', qr/already exists/, sql => q{SELECT o365_msgtrace.create_secret('app', 'x')}, user => 'regress_user');
# Roles that may read and write all tables are not asked whose secrets these are.
$node->sql('CREATE ROLE regress_writer LOGIN IN ROLE pg_read_all_data, pg_write_all_data');
refused('a grant that a role of pg_write_all_data would give itself', '42501', qr/row-level security/, user => 'regress_writer',
	sql => q{INSERT INTO o365_msgtrace.secret_grant VALUES ('app', 'regress_writer')});
is($node->sql(q{UPDATE o365_msgtrace.secret_store SET owner = 'regress_writer' RETURNING name}, user => 'regress_writer'), '', '… nor does it become their owner');

# A definer function of the owner's does what the owner may.
$node->sql(q{SET ROLE regress_owner; CREATE FUNCTION mail.note() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ SELECT o365_msgtrace.alter_secret('app', username => '') $$});
is($node->sql_error('SELECT mail.note()', user => 'regress_user'), undef, "a function of the owner's acts as the owner");

$node->sql(q{SELECT o365_msgtrace.grant_secret('app', 'regress_user')}, user => 'regress_owner');
serves('a role that it was granted to', user => 'regress_user');
is($node->sql('SELECT name, granted_to FROM o365_msgtrace.secret', user => 'regress_user'), 'app|{regress_user}', '… sees that');
refused('… but does not grant it on', '42501', qr/must be owner/, sql => q{SELECT o365_msgtrace.grant_secret('app', 'regress_member')}, user => 'regress_user');
my $session = $node->session(user => 'regress_user');
is($session->sql("BEGIN ISOLATION LEVEL REPEATABLE READ; $query"), 't', 'a session with a token');
$node->sql(q{SELECT o365_msgtrace.revoke_secret('app', 'regress_user')}, user => 'regress_owner');
is($session->sql_error($query)->{sqlstate}, '42501', '… is refused once it was revoked, in a transaction that began before');
$session->quit;
$node->sql(q{SELECT o365_msgtrace.grant_secret('app', 'regress_group')});
serves('a member of a role that it was granted to', user => 'regress_member');
refused('a role that is none', '42501', $denied, user => 'regress_user');
$node->sql('CREATE ROLE regress_apart LOGIN NOINHERIT IN ROLE regress_group');
refused('a member that does not inherit', '42501', $denied, user => 'regress_apart');
is($node->sql('SELECT count(*) FROM o365_msgtrace.secret', user => 'regress_apart'), '0', '… nor sees it');
serves('… until it takes the role', sql => "SET ROLE regress_group; $query", user => 'regress_apart');
$node->sql(q{SELECT o365_msgtrace.revoke_secret('app', 'regress_group'), o365_msgtrace.grant_secret('app', 'public')});
serves('everybody', user => $_) for qw(regress_user regress_super);
$node->sql(q{SELECT o365_msgtrace.revoke_secret('app', 'public')});

# ---- where it may go, and until when ------------------------------------------------------

sub alter
{
	my ($what) = @_;
	$node->sql("SELECT o365_msgtrace.alter_secret('app', $what)", user => 'regress_owner');
	return;
}
alter("hosts => '{login.microsoftonline.com}'");
my $error = refused('another host', '42501', qr/^stored secret "app" is not for host "localhost:$service->{port}"$/, hint => qr/alter_secret\('app', hosts/);
like($error->{detail}, qr/no others than: login\.microsoftonline\.com\./, '… says which');
alter("hosts => '{localhost:1}'");
refused('another port', '42501', qr/is not for host/);
alter("hosts => '{LocalHost:$service->{port}}'");
serves('its host and port');
alter("expires_at => now() - interval '1 second'");
refused('an expired one', '08004', qr/^stored secret "app" expired at 20/, hint => qr/new value/);
alter("expires_at => now() + interval '1 hour'");
serves('one that expires later');
alter("expires_at => 'infinity', hosts => '{localhost}'");
is($node->sql('SELECT expires_at IS NULL FROM o365_msgtrace.secret'), 't', 'infinity is never');
$node->sql(q{ALTER USER MAPPING FOR PUBLIC SERVER tenant OPTIONS (SET secret_name 'nothing')});
refused('one that is not there', '42704', qr/^stored secret "nothing" does not exist$/, hint => qr/secret_input/);
$node->sql(q{ALTER USER MAPPING FOR PUBLIC SERVER tenant OPTIONS (SET secret_name 'app')});

# ---- a new value ---------------------------------------------------------------------------

$session = $node->session(user => 'regress_owner');
$session->sql($query);
put_secret('name, value', [ 'app', 'wrong~marker.value' ], user => 'regress_owner');
$error = $session->sql_error($query);
is($error->{sqlstate}, '08004', 'a changed value counts at once, though there is a good token');
like($error->{detail}, qr/AADSTS7000215/, '… being sent');
$said .= $error->{text};
put_secret('name, value', [ 'app', $value ], user => 'regress_owner');
is($session->sql($query), 't', '… and so does the right one');
$session->quit;

# ---- lines that are wrong ----------------------------------------------------------------

for my $case (
	[ 'a column too few', 'name, value, hosts', [ 'app', 'hide~marker.me' ], qr/missing data/ ],
	[ 'a column too many', 'name, value', [ 'app', 'hide~marker.me', 'more' ], qr/extra data/ ],
	[ 'columns in the wrong order', 'name, expires_at, value', [ 'app', 'hide~marker.me', 'now' ], qr/expires_at .* is not a time/ ],
	[ 'a host that is none', 'name, value, hosts', [ 'app', 'x', 'hide~marker.me' ], qr/invalid host/ ],
	[ 'an empty value', 'value, name', [ '', 'hide~marker.me' ], qr/invalid value/ ],
	[ 'a control character', 'name, value', [ "hide~marker.me\n", 'x' ], qr/invalid name/ ])
{
	my ($name, $columns, $line, $message) = @$case;
	my $sql = copy_in($columns, $line);
	like(error_of($sql, user => 'regress_owner')->{message}, $message, $name);
}

# ---- keys, rotated ---------------------------------------------------------------------------

sub keys_in_file
{
	open my $file, '<', $path or die "$path: $!";
	my @lines = <$file>;
	return @lines - 1;
}
$node->sql('CREATE DATABASE second; CREATE DATABASE third');
$node->sql("CREATE EXTENSION o365_msgtrace; COPY o365_msgtrace.secret_input (name, value) FROM STDIN;\nother\tvalue\n\\.\n", dbname => 'second');
my ($second_key, $sealed) = split /\|/, $node->sql('SELECT * FROM o365_msgtrace.rotate_secret_key()');
isnt($second_key, $first_key, 'a rotation makes a new key');
is($sealed, '1', '… and seals all with it');
is($node->sql('SELECT key_fingerprint FROM o365_msgtrace.secret'), $second_key, '… as the view says');
serves('… and the secret is readable');
is(keys_in_file(), 2, 'the old key stays');
like(error_of("SELECT o365_msgtrace.drop_secret_key('$first_key')", dbname => 'second')->{message}, qr/^stored secret "other" needs key $first_key$/, '… for another database needs it');
is($node->sql('SELECT * FROM o365_msgtrace.rotate_secret_key()', dbname => 'second'), "$second_key|1", '… which follows with the new key, not another one');
like(error_of("SELECT o365_msgtrace.drop_secret_key('$second_key')")->{message}, qr/newest/, 'the newest key stays');
like(error_of("BEGIN; CREATE TABLE x (); SELECT o365_msgtrace.drop_secret_key('$first_key')")->{message}, qr/cannot run in a transaction that has changed/,
	'a key is not dropped before all is committed');
$node->sql("SELECT o365_msgtrace.drop_secret_key('$first_key')");
is(keys_in_file(), 1, 'then the old key goes');
serves('… and is not missed');

$node->sql('BEGIN; SELECT o365_msgtrace.rotate_secret_key(); ROLLBACK');
serves('a rotation rolled back leaves it readable');
$session = $node->session;
$session->sql('BEGIN; SELECT o365_msgtrace.rotate_secret_key()');
$node->kill9;
open my $left, '>', "$path.new" or die;
print $left 'half of a key';
close $left;
$node->restart;
serves('so does a crash in a rotation');
is(scalar(split /\|/, $node->sql('SELECT * FROM o365_msgtrace.rotate_secret_key()')), 2, '… which is done again');
$node->kill9;
$node->restart;
serves('… and survives a crash just after it');
$node->sql('SELECT o365_msgtrace.rotate_secret_key()') while keys_in_file() < 8;
like(error_of('SELECT o365_msgtrace.rotate_secret_key()')->{hint}, qr/drop_secret_key/, 'a file full of keys: what to do');

# ---- a key file that is not right ---------------------------------------------------------------

my $current = $node->sql('SELECT key_fingerprint FROM o365_msgtrace.secret');
rename $path, "$path.kept" or die;
refused('the key file is missing', '55000', qr/^stored secret "app" needs key $current, this server's key file is missing$/, hint => qr/secret_key_file/);
refused('a new key beside old secrets', '55000', qr/there are secrets of another key/, sql => 'SELECT o365_msgtrace.create_secret_key()', user => 'postgres');
$node->sql('CREATE EXTENSION o365_msgtrace', dbname => 'third');
my $strange = $node->sql('SELECT fingerprint FROM o365_msgtrace.create_secret_key()', dbname => 'third');
refused('the file has another key', '55000', qr/^stored secret "app" needs key $current, this server's file has $strange$/);
chmod 0640, $path or die;
refused('the file is open to others', '55000', qr/not the server's alone/, hint => qr/chmod/);
chmod 0600, $path or die;
for my $case ([ 'empty', '' ], [ 'cut', substr(slurp($path), 0, -9) ], [ 'longer', slurp($path) . 'x' ], [ 'something else', "some text\n" ])
{
	my ($name, $text) = @$case;
	open my $file, '>', $path or die;
	print $file $text;
	close $file;
	refused("the file is $name", 'XX001', qr/is not one/);
}
unlink $path;
mkdir $path or die;
refused('the file is a folder', 'XX001', qr/is not one/);
rmdir $path;

# Elsewhere, by the setting.
my $elsewhere = folder() . '/elsewhere.key';
rename "$path.kept", $elsewhere or die;
$node->sql("LOAD 'o365_msgtrace'; ALTER SYSTEM SET o365_msgtrace.secret_key_file = '$elsewhere'");
$node->sql('SELECT pg_reload_conf()');
$node->wait_until("SELECT current_setting('o365_msgtrace.secret_key_file') = '$elsewhere'");
serves('the key lies where the setting says');
like(error_of("LOAD 'o365_msgtrace'; SHOW o365_msgtrace.secret_key_file", user => 'regress_user')->{sqlstate} // '', qr/^42501$/, '… which is not for everybody');
like(error_of("LOAD 'o365_msgtrace'; ALTER SYSTEM SET o365_msgtrace.secret_key_file = 'here.key'")->{detail}, qr/absolute path/, '… and an absolute path');

sub slurp
{
	my ($name) = @_;
	local $/;
	open my $file, '<', $name or die "$name: $!";
	return scalar <$file>;
}

# ---- sealed under its name -------------------------------------------------------------------------

put_secret('name, value, hosts', [ 'bait', 'bait~marker', 'localhost' ], user => 'regress_user');
$node->sql(q{UPDATE o365_msgtrace.secret_store SET sealed = (SELECT sealed FROM o365_msgtrace.secret_store WHERE name = 'app') WHERE name = 'bait'});
$node->sql(q{CREATE USER MAPPING FOR regress_user SERVER tenant OPTIONS (client_id 'x', auth 'oauth_secret', secret_name 'bait')});
refused('one secret moved under the name of another', 'XX001', qr/^stored secret "bait" is not what was sealed$/, user => 'regress_user');
$node->sql(q{DROP USER MAPPING FOR regress_user SERVER tenant});
$node->sql(q{SELECT o365_msgtrace.drop_secret('bait')}, user => 'regress_user');

# ---- certificates ----------------------------------------------------------------------------------

my $keys = folder() . '/keys';
mkdir $keys or die;
for my $command ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -aes256 -pass 'pass:lock~marker' -out $keys/key.pem",
	"req -x509 -new -key $keys/key.pem -passin 'pass:lock~marker' -days 3650 -subj /CN=stored -out $keys/certificate.pem")
{
	system("openssl $command 2>/dev/null") == 0 or die "openssl $command\n";
}
$service->register_certificate("$keys/certificate.pem");
$service->set_clock(run => 1);
$service->set_clock(now => $node->sql(q{SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')}));
put_secret('name, value, hosts', $_, user => 'regress_owner')
  for [ 'app certificate', slurp("$keys/certificate.pem"), 'localhost' ], [ 'app key', slurp("$keys/key.pem"), 'localhost' ], [ 'app passphrase', 'lock~marker', 'localhost' ];
$node->sql(q{CREATE USER MAPPING FOR regress_owner SERVER tenant OPTIONS (client_id 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', auth 'oauth_certificate',
	certificate_secret 'app certificate', private_key_secret 'app key', passphrase_secret 'app passphrase')});
my $recent = q{SELECT count(*) > 100 FROM mail.message_trace WHERE received > now() - interval '3 days' AND received < now() - interval '1 day'};
serves('a certificate, its key and passphrase, all stored', sql => $recent);
put_secret('name, value', [ 'app passphrase', 'wrong' ], user => 'regress_owner');
like(error_of($recent, user => 'regress_owner')->{detail}, qr/passphrase does not open/, '… and a wrong passphrase');
put_secret('name, value', [ 'app passphrase', 'lock~marker' ], user => 'regress_owner');
$node->sql(q{SELECT o365_msgtrace.alter_secret('app key', hosts => '{login.microsoftonline.com}')});
is(error_of($recent, user => 'regress_owner')->{sqlstate}, '42501', '… each for its hosts');
$node->sql(q{SELECT o365_msgtrace.alter_secret('app key', hosts => '{localhost}')});

# What was opened is wiped also when the next one is refused, and so is a certificate's text, which may have the key in it.
SKIP:
{
	system("openssl pkey -in $keys/key.pem -passin 'pass:lock~marker' -out $keys/open.pem 2>/dev/null") == 0 or die;
	put_secret('name, value, hosts', [ 'app both', slurp("$keys/certificate.pem") . slurp("$keys/open.pem"), 'localhost' ], user => 'regress_owner');
	my ($locked_line, $open_line) = map { (split /\n/, slurp("$keys/$_.pem"))[10] } qw(key open);
	my $in_memory = $node->session(user => 'regress_owner');
	my $pid = $in_memory->sql('SELECT pg_backend_pid()');
	skip 'the memory of other processes cannot be read here', 4 if !defined count_in_memory($pid, $open_line);
	$node->sql(q{SELECT o365_msgtrace.alter_secret('app passphrase', hosts => '{login.microsoftonline.com}')});
	is($in_memory->sql_error($recent)->{sqlstate}, '42501', 'a passphrase that is not for this host');
	is(count_in_memory($pid, $locked_line), 0, '… leaves nothing of the key in memory');
	$node->sql(q{SELECT o365_msgtrace.alter_secret('app passphrase', hosts => '{localhost}');
		ALTER USER MAPPING FOR regress_owner SERVER tenant OPTIONS (SET certificate_secret 'app both', DROP private_key_secret, DROP passphrase_secret)});
	is($in_memory->sql($recent), 't', 'certificate and key in one stored secret');
	is(count_in_memory($pid, $open_line), 0, '… leave nothing in memory either');
	$in_memory->quit;
	$node->sql(q{SELECT o365_msgtrace.drop_secret('app both');
		ALTER USER MAPPING FOR regress_owner SERVER tenant OPTIONS (SET certificate_secret 'app certificate', private_key_secret 'app key', passphrase_secret 'app passphrase')});
}

# ---- passwords --------------------------------------------------------------------------------------

$service->add_user(name => 'trace@contoso.com', password => 'basic~marker');
$node->create_server($service, name => 'older', schema => 'older', api => 'reporting', report_url => $service->report_url('reporting'),
	user => 'regress_owner', mapping => { client_id => undef, client_secret => undef, auth => 'basic_secret', secret_name => 'account' });
$node->sql('GRANT USAGE ON SCHEMA older TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA older TO PUBLIC');
my $older = $recent =~ s/mail/older/r;
put_secret('name, value', [ 'account', 'basic~marker' ], user => 'regress_owner');
like(error_of($older, user => 'regress_owner')->{message}, qr/^stored secret "account" is not for host "localhost:\d+"$/, "a password is not for Microsoft's sign-in host but for the list's");
$node->sql(q{SELECT o365_msgtrace.alter_secret('account', hosts => '{localhost}')}, user => 'regress_owner');
like(error_of($older, user => 'regress_owner')->{message}, qr/^no user name goes with the stored secret "account"$/, '… and needs a user name');
$node->sql(q{SELECT o365_msgtrace.alter_secret('account', username => 'trace@contoso.com')}, user => 'regress_owner');
serves('a stored password and its user name', sql => $older);
$node->sql(q{ALTER USER MAPPING FOR regress_owner SERVER older OPTIONS (ADD username 'somebody@contoso.com')});
is(error_of($older, user => 'regress_owner')->{sqlstate}, '08004', "the mapping's user name comes first");

# ---- dump and restore --------------------------------------------------------------------------------

$node->sql(q{SELECT o365_msgtrace.grant_secret('app', 'regress_group')});
my $dump = folder() . '/dump.sql';
system("$node->{bindir}/pg_dump -h $node->{folder} -U postgres -f $dump postgres") == 0 or die;
my $dumped = slurp($dump);
like($dumped, qr/COPY o365_msgtrace\.secret_store/, 'a dump holds the secrets');
unlike($dumped, qr/marker|PRIVATE KEY/, '… sealed');
my $other = MsgTrace::Cluster->start(conf => \%conf);
$other->sql("CREATE ROLE $_ LOGIN") for qw(regress_owner regress_user regress_group regress_member regress_super);
system("$other->{bindir}/psql -X -q -v ON_ERROR_STOP=1 -h $other->{folder} -U postgres -d postgres -f $dump > $dump.log 2>&1") == 0
  or diag(slurp("$dump.log"));
$error = $other->sql_error($recent, user => 'regress_owner');
like($error->{message}, qr/needs key $current, this server's key file is missing/, 'restored without the key: the error says so');
system("cp -p $elsewhere $other->{data}/o365_msgtrace.key") == 0 or die;
is($other->sql($recent, user => 'regress_owner'), 't', '… and with it all is as before');
is($other->sql('SELECT string_agg(name, \',\' ORDER BY name) FROM o365_msgtrace.secret', user => 'regress_owner'), 'account,app,app certificate,app key,app passphrase', '… the owners, too');

is($other->sql('SELECT owner, granted_to FROM o365_msgtrace.secret WHERE name = \'app\'', user => 'regress_owner'), 'regress_owner|{regress_group}', '… and the grants');

# ---- nobody has seen a value -----------------------------------------------------------------------------

my $seen = $said . $node->log . $other->log;
unlike($seen, qr/marker/, 'no value is in a log at debug5 or in an error');
unlike($seen, qr/PRIVATE KEY/, '… nor the key');
unlike($seen, qr/eyJhbGciOiJQUzI1NiI/, '… nor an assertion');
unlike($node->sql('SELECT string_agg(query, chr(10)) FROM pg_stat_activity'), qr/marker/, '… nor in pg_stat_activity');

done_testing();
