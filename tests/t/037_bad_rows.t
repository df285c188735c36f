# tests/t/037_bad_rows.t
#
# Every odd record and page, and what becomes of it, on both APIs: shown as the
# table below says, or a bad row. A bad row ends the query with an error that
# names slice, page, record, field and reason; with on_bad_row 'reject' it is set
# aside and its neighbours come, and an ingest keeps it with its raw text. What is
# broken outside of the records stays an error in any case.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(now => '2026-05-13T12:00:00Z', rows_per_day => 1000, quota => 0);
my $node = MsgTrace::Cluster->start;
my %api = (
	graph => {},
	reporting => { api => 'reporting', report_url => $service->report_url('reporting') });
for my $api (sort keys %api)
{
	$node->create_server($service, name => $api, schema => $api, max_retries => 0, %{ $api{$api} });
	$node->sql("ALTER FOREIGN TABLE $api.message_trace ADD raw json");
}

# ---- the records -----------------------------------------------------------------------

# Members under Graph's names, as JSON; written under Reporting's names, too.
my %reporting_name = (id => 'MessageTraceId', receivedDateTime => 'Received', messageId => 'MessageId', fromIP => 'FromIP', toIP => 'ToIP',
	map { $_ => ucfirst $_ } qw(senderAddress recipientAddress subject status size));
my $time = '2026-05-12T10:00:00';
my $where = "received >= '2026-05-12 10:00:00Z' AND received < '2026-05-12 10:00:01Z'";
my @members = qw(id receivedDateTime recipientAddress subject size fromIP toIP);
my $id = '00000000-0000-4000-8000-000000000002';

# A record in the API's words. %changed: member => its JSON; undef leaves it out; rest => JSON behind the last one.
sub record
{
	my ($api, $number, %changed) = @_;
	my %json = (
		id => qq("00000000-0000-4000-8000-00000000000$number"),
		receivedDateTime => qq("$time"),
		recipientAddress => qq("r$number\@b.example"),
		subject => qq("row $number"),
		size => 7, fromIP => '"192.0.2.1"', toIP => '""', %changed);
	my @texts = map { sprintf '"%s":%s', $api eq 'reporting' ? $reporting_name{$_} : $_, $json{$_} }
	  grep { defined $json{$_} } @members;
	return '{' . join(',', $api eq 'reporting' ? '"StartDate":"2026-05-12T10:00:00Z"' : (), @texts) . ($changed{rest} // '') . '}';
}

sub page
{
	my ($api, $odd) = @_;
	return '{"value":[' . join(',', record($api, 1), $odd, record($api, 3)) . ']}';
}

# What the query shows of the odd record, as "received|recipient|subject|size|from_ip|to_ip" …
my $usual = '10:00:00|r2@b.example|row 2|7|192.0.2.1|';
my %shown = (
	'an apostrophe' => [ { recipientAddress => q("o'neil@b.example") }, q(10:00:00|o'neil@b.example|row 2|7|192.0.2.1|) ],
	'a plus' => [ { recipientAddress => '"r+2@b.example"' }, '10:00:00|r+2@b.example|row 2|7|192.0.2.1|' ],
	'an address beyond ASCII' => [ { recipientAddress => '"JÜRGEN@b.example"' }, '10:00:00|jÜrgen@b.example|row 2|7|192.0.2.1|' ],
	'no address of a machine: null' => [ { fromIP => 'null' }, '10:00:00|r2@b.example|row 2|7||' ],
	'no address of a machine: empty' => [ { fromIP => '""' }, '10:00:00|r2@b.example|row 2|7||' ],
	'no address of a machine: no member' => [ { fromIP => undef }, '10:00:00|r2@b.example|row 2|7||' ],
	'IPv6' => [ { toIP => '"2001:db8::1"' }, '10:00:00|r2@b.example|row 2|7|192.0.2.1|2001:db8::1' ],
	'a port' => [ { fromIP => '"192.0.2.9:25"' }, '10:00:00|r2@b.example|row 2|7|192.0.2.9|' ],
	'brackets and a port' => [ { fromIP => '"[2001:db8::1]:25"' }, '10:00:00|r2@b.example|row 2|7|2001:db8::1|' ],
	'a zone' => [ { fromIP => '"fe80::1%eth0"' }, '10:00:00|r2@b.example|row 2|7|fe80::1|' ],
	'no fraction, Z' => [ { receivedDateTime => qq("${time}Z") }, $usual ],
	'3 digits' => [ { receivedDateTime => qq("$time.123") }, '10:00:00.123|r2@b.example|row 2|7|192.0.2.1|' ],
	'3 digits, Z' => [ { receivedDateTime => qq("$time.123Z") }, '10:00:00.123|r2@b.example|row 2|7|192.0.2.1|' ],
	'7 digits' => [ { receivedDateTime => qq("$time.9999999") }, '10:00:00.999999|r2@b.example|row 2|7|192.0.2.1|' ],
	'7 digits, Z' => [ { receivedDateTime => qq("$time.1234567Z") }, '10:00:00.123456|r2@b.example|row 2|7|192.0.2.1|' ],
	'UTC with digits' => [ { receivedDateTime => qq("$time+00:00") }, $usual ],
	'milliseconds' => [ { receivedDateTime => '"\/Date(1778580000500)\/"' }, '10:00:00.5|r2@b.example|row 2|7|192.0.2.1|' ],
	'milliseconds with a zone' => [ { receivedDateTime => '"/Date(1778580000500+0200)/"' }, '10:00:00.5|r2@b.example|row 2|7|192.0.2.1|' ],
	'a number where a text belongs' => [ { subject => '12345' }, '10:00:00|r2@b.example|12345|7|192.0.2.1|' ],
	'a truth value where a text belongs' => [ { subject => 'true' }, '10:00:00|r2@b.example|true|7|192.0.2.1|' ],
	'a text where a number belongs' => [ { size => '"8"' }, '10:00:00|r2@b.example|row 2|8|192.0.2.1|' ],
	'a number of 64 bits' => [ { size => '9223372036854775807' }, '10:00:00|r2@b.example|row 2|9223372036854775807|192.0.2.1|' ],
	'a null where a number belongs' => [ { size => 'null' }, '10:00:00|r2@b.example|row 2||192.0.2.1|' ],
	'NUL' => [ { subject => '"a\u0000b"' }, "10:00:00|r2\@b.example|a\x{FFFD}b|7|192.0.2.1|" ],
	'a lone high surrogate' => [ { subject => '"a\ud800b"' }, "10:00:00|r2\@b.example|a\x{FFFD}b|7|192.0.2.1|" ],
	'a lone low surrogate' => [ { subject => '"\uDC00"' }, "10:00:00|r2\@b.example|\x{FFFD}|7|192.0.2.1|" ],
	'surrogates the wrong way round' => [ { subject => '"\udc00\ud83d"' }, "10:00:00|r2\@b.example|\x{FFFD}\x{FFFD}|7|192.0.2.1|" ],
	'a pair' => [ { subject => '"\ud83d\ude00"' }, "10:00:00|r2\@b.example|\x{1F600}|7|192.0.2.1|" ],
	'a backslash before u0000' => [ { subject => '"\\\\u0000"' }, '10:00:00|r2@b.example|\u0000|7|192.0.2.1|' ],
	'an unknown member' => [ { rest => ',"@odata.type":"#x","more":{"subject":"no","deep":[[{}]]}' }, $usual ],
	'a member twice' => [ { rest => ',"Subject":"last","subject":"last"' }, '10:00:00|r2@b.example|last|7|192.0.2.1|' ],
	'an id in upper case' => [ { id => '"ABCDEF00-0000-4000-8000-000000000002"' }, $usual ]);

# … or: the member at fault ('' = all of the record), the reason, and whether the id can be read.
my %bad = (
	'no id' => [ { id => undef }, 'id', qr/is missing/, 0 ],
	'a null id' => [ { id => 'null' }, 'id', qr/is missing/, 0 ],
	'an id that is a number' => [ { id => '5' }, 'id', qr/no uuid: "5"/, '5' ],
	'an id that is too short' => [ { id => '"00000000-0000-4000-8000-00000000000"' }, 'id', qr/no uuid/, '00000000-0000-4000-8000-00000000000' ],
	'an id that is an object' => [ { id => '{"a":1}' }, 'id', qr/object or array/, 0 ],
	'no time' => [ { receivedDateTime => undef }, 'receivedDateTime', qr/is missing/, 1 ],
	'a time that is garbage' => [ { receivedDateTime => '"yesterday"' }, 'receivedDateTime', qr/no time: "yesterday"/, 1 ],
	'a time that is a number' => [ { receivedDateTime => '1778580000' }, 'receivedDateTime', qr/no time/, 1 ],
	'a day that is none' => [ { receivedDateTime => '"2026-02-30T00:00:00Z"' }, 'receivedDateTime', qr/no time/, 1 ],
	'a time zone that is not UTC' => [ { receivedDateTime => qq("$time+02:00") }, 'receivedDateTime', qr/no time/, 1 ],
	'milliseconds without an end' => [ { receivedDateTime => '"/Date(1778580000500"' }, 'receivedDateTime', qr/no time/, 1 ],
	'milliseconds beyond all years' => [ { receivedDateTime => '"/Date(99999999999999999)/"' }, 'receivedDateTime', qr/no time/, 1 ],
	'milliseconds without digits' => [ { receivedDateTime => '"/Date()/"' }, 'receivedDateTime', qr/no time/, 1 ],
	'no recipient' => [ { recipientAddress => undef }, 'recipientAddress', qr/is missing/, 1 ],
	'an empty recipient' => [ { recipientAddress => '""' }, 'recipientAddress', qr/is missing/, 1 ],
	'a recipient that is an array' => [ { recipientAddress => '["a"]' }, 'recipientAddress', qr/object or array/, 1 ],
	'a recipient too long for a key' => [ { recipientAddress => '"' . 'ä' x 501 . '"' }, 'recipientAddress', qr/1002 bytes, more than 1000/, 1 ],
	'a subject that is an object' => [ { subject => '{}' }, 'subject', qr/object or array/, 1 ],
	'a size that is a word' => [ { size => '"big"' }, 'size', qr/no bigint: "big"/, 1 ],
	'a size that is a fraction' => [ { size => '1.5' }, 'size', qr/no bigint/, 1 ],
	'a size beyond 64 bits' => [ { size => '9223372036854775808' }, 'size', qr/no bigint/, 1 ],
	'an address of a machine that is none' => [ { fromIP => '"somewhere"' }, 'from_ip', qr/inet: "somewhere"/, 1 ],
	'an empty record' => [ '{}', 'id', qr/is missing/, 0 ],
	'a bare word' => [ { size => 'NaN' }, '', qr/not JSON: .*NaN/, 1 ],
	'a control character' => [ { subject => "\"a\x{01}b\"" }, '', qr/not JSON: .*must be escaped/, 1 ],
	'a line end in a text' => [ { subject => "\"a\nb\"" }, '', qr/not JSON: .*must be escaped/, 1 ],
	'an escape that is none' => [ { subject => '"a\qb"' }, '', qr/not JSON: .*Escape sequence/, 1 ],
	'an escape without its digits' => [ { subject => '"a\u12"' }, '', qr/not JSON: .*four hexadecimal/, 1 ],
	'quotes in a text' => [ { subject => '"so "called" text"' }, '', qr/not JSON/, 1 ],
	'a comma too many' => [ { rest => ',' }, '', qr/not JSON/, 1 ],
	'no colon' => [ { rest => ',"x" 5' }, '', qr/not JSON/, 1 ],
	'a bad escape in an unknown member' => [ { rest => ',"x":"\z"' }, '', qr/not JSON/, 1 ],
	'a bad escape beside one that is mended' => [ { subject => '"\u0000\q"' }, '', qr/not JSON/, 1 ]);

my $query = "SELECT to_char(received AT TIME ZONE 'UTC', 'HH24:MI:SS') || rtrim(rtrim(to_char(received AT TIME ZONE 'UTC', '.US'), '0'), '.'),"
  . " recipient_address, subject, size, from_ip, to_ip FROM %s.message_trace WHERE $where ORDER BY message_trace_id";

# The first answer is this page.
sub order_page
{
	my ($body, %how) = @_;
	$service->clear_faults;
	$service->fault({ on => 'list', fault => 'status', status => 200, body => $body, %how });
	return;
}

my $reject = { 'o365_msgtrace.on_bad_row' => 'reject' };

for my $api (sort keys %api)
{
	my $q = sprintf $query, $api;
	for my $name (sort keys %shown)
	{
		my ($members, $expected) = @{ $shown{$name} };
		my %members = %$members;
		delete $members{rest} && ($members{rest} = $members->{rest} =~ s/,"subject":"last"//r) if $api eq 'reporting' && $members{rest};
		order_page(page($api, record($api, 2, %members)));
		my @rows = split /\n/, $node->sql($q);
		my ($row) = grep { !/\|row [13]\|/ } @rows;
		is(scalar(@rows) . ": $row", "3: $expected", "$api: $name");
	}
	for my $name (sort keys %bad)
	{
		my ($members, $field, $reason, $has_id) = @{ $bad{$name} };
		my $odd = ref $members ? record($api, 2, %$members) : $members;
		my $named = $field eq '' ? '' : ', field ' . ($api eq 'reporting' ? $reporting_name{$field} // $field : $field);
		$named = ', field ' . $field if $field =~ /^(?:subject|size)$/;    # our columns
		my $which = $has_id eq '1' ? $id : $has_id || 'without id';

		order_page(page($api, $odd));
		my $error = $node->sql_error($q);
		ok( $error && $error->{sqlstate} eq 'HV004'
			  && $error->{detail} =~ /^Record \Q$which$named\E: .*; on page 1 of the slice from 2026-05-12 10:00:00\S* to 2026-05-12 10:00:01/
			  && $error->{detail} =~ $reason && $error->{hint} =~ /on_bad_row/,
			"$api: $name: an error") or diag($error ? $error->{text} : 'none');

		order_page(page($api, $odd));
		my $said = $node->messages("CREATE TEMP TABLE taken AS $q; CREATE TEMP TABLE kept AS SELECT * FROM o365_msgtrace._last_rejected();"
			  . " DO \$\$ DECLARE r record; BEGIN SELECT (SELECT string_agg(subject, ',' ORDER BY subject) FROM taken) AS rows,"
			  . " (SELECT rejected FROM o365_msgtrace.last_scan()) AS count, (SELECT string_agg(coalesce(message_trace_id, '-') || ' ' || raw, '#') FROM kept) AS raw INTO r;"
			  . " RAISE NOTICE '%', r; END \$\$", set => $reject);
		ok( $said =~ /WARNING:.* 1 record that cannot be read was set aside\nDETAIL:  The first is record \Q$which$named\E: / && $said =~ $reason,
			"$api: $name: set aside, with a warning") or diag($said);
		my ($kept) = $said =~ /NOTICE:  (?:00000: )?\("row 1,row 3",1,(.*)\)\n/s;
		$kept = '' unless defined $kept;
		$kept =~ s/^"(.*)"$/$1/s;
		$kept =~ s/""/"/g;
		$kept =~ s/\\\\/\\/g;
		is($kept, ($has_id eq '1' ? $id : $has_id || '-') . ' ' . $odd, "$api: $name: its neighbours come, its text is kept");
	}

	# A byte that is no UTF-8 is named by its place, and kept as \xNN.
	$service->clear_faults;
	my $hour = "received >= '2026-05-12 10:00Z' AND received < '2026-05-12 11:00Z'";
	my $all = $node->sql("SELECT count(*) FROM $api.message_trace WHERE $hour");
	$service->fault({ on => 'list', fault => 'invalid_utf8', row => 1 });
	my $error = $node->sql_error("SELECT count(*) FROM $api.message_trace WHERE $hour");
	is($error->{sqlstate}, 'HV004', "$api: invalid UTF-8: an error");
	like($error->{detail}, qr/^Record [0-9a-f-]{36}: byte \d+ of the record is not valid UTF-8/, 'that names the record');
	$service->fault({ on => 'list', fault => 'invalid_utf8', row => 1 });
	is(
		$node->sql("SELECT count(*) FROM $api.message_trace WHERE $hour; SELECT count(*) FILTER (WHERE raw LIKE '%\\\\xff\"%')"
			  . ' FROM o365_msgtrace._last_rejected()', set => { %$reject, client_min_messages => 'error' }) =~ s/\n/ /r,
		($all - 1) . ' 1', 'set aside, the others come');

	# ---- what stays an error ---------------------------------------------------------

	my ($one, $three) = (record($api, 1), record($api, 3));
	my %broken = (
		'a byte beyond the records' => qq({"value":[$one],"x":"\x{01}"}),
		'a record without an end' => qq({"value":[$one,{"id":"00),
		'a text without an end' => qq({"value":[$one,{"subject":"x},$three]}),
		'a comma between records missing' => qq({"value":[$one $three]}),
		'a bad record and a broken page' => qq({"value":[$one,{"subject":"\\q"},$three]),
		'a number among the records' => qq({"value":[$one,5,$three]}),
		'records within records' => qq({"value":[[$one],$three]}),
		'no records' => '{"values":[]}',
		'an empty body' => '',
		'a page of HTML' => '<html>Sign in</html>',
		'a deep nest' => '{"value":' . '[' x 3000);
	for my $name (sort keys %broken)
	{
		order_page($broken{$name});
		is($node->sql_error($q, set => $reject)->{sqlstate}, '08P01', "$api: $name is an error, whatever on_bad_row says");
	}
	$service->clear_faults;
}
is($node->sql("SELECT count(*) FROM o365_msgtrace._last_rejected()"), '0', 'another session has none');

# ---- the raw record ---------------------------------------------------------------------

{
	my $odd = record('graph', 2, subject => '"\u0000 \ud800 \/ é"', rest => ', "more" : [1, 1.50] ,"subject":"\u0041"');
	order_page(page('graph', $odd));
	is($node->sql("SELECT raw FROM graph.message_trace WHERE $where AND message_trace_id = '$id'"), $odd, 'raw is the record exactly as sent');
	$node->sql('ALTER FOREIGN TABLE graph.message_trace ALTER raw TYPE text');
	order_page(page('graph', $odd));
	is($node->sql("SELECT raw FROM graph.message_trace WHERE $where AND message_trace_id = '$id'"), $odd, 'also as a text');
	$node->sql('ALTER FOREIGN TABLE graph.message_trace ALTER raw TYPE jsonb');
	order_page(page('graph', $odd));
	like($node->sql_error("SELECT raw FROM graph.message_trace WHERE $where")->{detail}, qr/field raw: unsupported Unicode/, 'jsonb cannot hold it');
	$node->sql('ALTER FOREIGN TABLE graph.message_trace ALTER raw TYPE json');
}

# ---- where the choice comes from ---------------------------------------------------------

sub outcome
{
	my (%set) = @_;
	order_page(page('graph', '{}'));
	return $node->sql_error(sprintf($query, 'graph'), set => \%set) ? 'error' : 'rejected';
}
is(outcome(), 'error', 'error is the default');
$node->sql("ALTER SERVER graph OPTIONS (ADD on_bad_row 'reject')");
is(outcome(), 'rejected', 'the option of the server');
is(outcome('o365_msgtrace.on_bad_row' => 'error'), 'error', 'the setting goes before it');
$node->sql("ALTER FOREIGN TABLE graph.message_trace OPTIONS (ADD on_bad_row 'error')");
is(outcome(), 'error', 'the option of the table goes before that of the server');
is(outcome('o365_msgtrace.on_bad_row' => 'reject'), 'rejected', 'the setting goes before both');
$node->sql('ALTER FOREIGN TABLE graph.message_trace OPTIONS (DROP on_bad_row)');

# A type of one's own, whose input function raises errors: a domain on 15.
$node->sql("CREATE DOMAIN public.small AS int CHECK (VALUE < 100); CREATE FOREIGN TABLE graph.checked"
	  . " (message_trace_id uuid, received timestamptz, recipient_address text, size public.small) SERVER graph");
order_page(page('graph', record('graph', 2, size => 500)));
my $soft = $node->sql('SHOW server_version_num') >= 160000;
my $own = $node->sql_error("CREATE TEMP TABLE t AS SELECT * FROM graph.checked WHERE $where");
is($own ? $own->{sqlstate} . ' ' . ($own->{detail} =~ /field size: value for domain/ ? 'named' : '') : 'none', $soft ? 'none' : 'HV004 named',
	'a type of one\'s own is set aside only where its input function can say so');
order_page(page('graph', record('graph', 2, size => 500)));
like($node->messages("SELECT count(*) FROM graph.checked WHERE $where"), qr/^$/, 'a column that is not asked for is not looked at');

# Domains: over inet they take what inet takes, and where they want a value a NULL is none.
$node->sql("CREATE DOMAIN public.machine AS inet; CREATE DOMAIN public.present AS text NOT NULL; CREATE FOREIGN TABLE graph.domains"
	  . " (received timestamptz, subject public.present, from_ip public.machine, to_ip cidr) SERVER graph");
my $of_domains = "SELECT subject, from_ip, to_ip FROM graph.domains WHERE $where AND from_ip <> '192.0.2.1'";
order_page(page('graph', record('graph', 2, fromIP => '"[2001:db8::1]:25"', toIP => '"192.0.2.2:25"')));
is($node->sql($of_domains), 'row 2|2001:db8::1|192.0.2.2/32', 'a port does not matter to a domain over inet, nor to cidr');
order_page(page('graph', record('graph', 2, subject => 'null')));
my $absent = $node->sql_error($of_domains, set => { 'o365_msgtrace.on_bad_row' => 'error' });
is(($absent->{sqlstate} // '') . ' ' . (($absent->{detail} // '') =~ /^Record \Q$id\E, field subject: domain present does not allow null/ ? 'named' : ''), 'HV004 named',
	'a NULL where a domain allows none is a value that cannot be read');

# ---- how many ------------------------------------------------------------------------------

# Rows of one's own, at an hour that has no others to speak of.
my $quiet = "received >= '2026-05-12 02:00:00Z' AND received < '2026-05-12 02:00:01Z'";

sub posted
{
	my ($number, %members) = @_;
	return {
		id => sprintf('%08x-0000-4000-8000-0123456789ab', $number), receivedDateTime => '2026-05-12T02:00:00Z',
		senderAddress => 'a@contoso.com', recipientAddress => 'b@fabrikam.com', status => 'delivered', size => 1, fromIP => 'nowhere', %members };
}
$service->clear_faults;
my $others = $node->sql("SELECT count(*) FROM graph.message_trace WHERE $quiet");
$service->add_rows(map { posted($_) } 1 .. 1000);
like($node->messages("SELECT from_ip FROM graph.message_trace WHERE $quiet"), qr/1000 records that cannot be read were set aside/, 'up to a thousand');
is($node->sql("SELECT count(*) FROM graph.message_trace WHERE $quiet"), 1000 + $others, 'which can all be read where the column is not asked for');
$service->add_rows(posted(1001));
my $many = $node->sql_error("SELECT from_ip FROM graph.message_trace WHERE $quiet");
is($many->{sqlstate}, 'HV004', 'more is an error');
like($many->{detail}, qr/More than 1000 were set aside/, 'that says so');
$service->clear_rows;
$service->add_rows(posted(1, long => 'é' x 40000));
is($node->sql("SELECT count(from_ip) IS NOT NULL FROM graph.message_trace WHERE $quiet; SELECT octet_length(raw) BETWEEN 65530 AND 65536, reason ~ 'of its \\d+ bytes the first 65536 are kept'"
		. ' FROM o365_msgtrace._last_rejected()', set => { client_min_messages => 'error' }), "t\nt|t", 'a long one is cut, with a note');
$service->clear_rows;
# A second cannot be halved: it is read again in smaller pages.
$service->add_rows(map { posted($_) } 1 .. 60);
$node->sql("ALTER FOREIGN TABLE graph.message_trace OPTIONS (ADD page_size '40')");
$service->fault({ on => 'list', fault => 'poisoned_link' });
is($node->sql("SELECT count(from_ip) IS NOT NULL FROM graph.message_trace WHERE $quiet; SELECT pages > 3, rejected FROM o365_msgtrace.last_scan()",
		set => { client_min_messages => 'error' }), "t\nt|60", 'records that come again are counted once');
$node->sql('ALTER FOREIGN TABLE graph.message_trace OPTIONS (DROP page_size)');
$service->clear_rows;

# Times are asked for in whole seconds; what came for that alone is nobody's business.
for my $outside ('0', '6')
{
	order_page(page('graph', record('graph', 2, receivedDateTime => qq("$time.$outside"), size => '"big"')));
	is($node->sql_error("SELECT size FROM graph.message_trace WHERE received >= '2026-05-12 10:00:00.1Z' AND received < '2026-05-12 10:00:00.6Z'",
			set => { 'o365_msgtrace.on_bad_row' => 'error' }), undef, "a bad row at .$outside is not met between .1 and .6");
}

$service->clear_faults;
$service->fault({ on => 'list', fault => 'bad_row', kind => 'no_id', count => 3 });
is($node->sql("SELECT count(*) FROM (SELECT FROM graph.message_trace LIMIT 5) t; SELECT count(*) FROM o365_msgtrace._last_rejected()",
		set => { client_min_messages => 'error' }), "5\n0", 'a scan that LIMIT ended keeps none');
$service->clear_faults;
$service->fault({ on => 'list', fault => 'bad_row', kind => 'no_id', count => 3 });
like($node->messages('SELECT FROM graph.message_trace LIMIT 5'), qr/1 record that/, 'but warns of it');

# ---- the ingest -----------------------------------------------------------------------------

$service->clear_faults;
$node->sql(<<'SQL');
CREATE ROLE regress_owner LOGIN; CREATE ROLE regress_other LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, graph, reporting TO regress_owner, regress_other;
GRANT SELECT ON ALL TABLES IN SCHEMA graph, reporting TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
ALTER SERVER reporting OPTIONS (ADD on_bad_row 'reject');
SQL
for my $api (sort keys %api)
{
	my %owner = (user => 'regress_owner');
	$node->sql("SELECT o365_msgtrace.create_input('$api', '$api.message_trace', 'archive.$api')", %owner);
	$service->fault({ on => 'list', fault => 'bad_row', kind => $_, count => 1 }) for qw(no_received garbage_time no_id);
	my $said = $node->messages("CALL o365_msgtrace.run('$api')", %owner);
	my $left = $service->faults_left;
	$service->clear_faults;
	my $records = $node->sql("SELECT message_trace_id, recipient_address, field, reason, run_id IS NOT NULL, raw LIKE '{%bad\@fabrikam.com%}'"
		  . " FROM o365_msgtrace.rejected_record WHERE input_id = '$api' ORDER BY field, reason", %owner);
	my ($field) = $api eq 'graph' ? 'receivedDateTime' : 'Received';
	like($records, qr/^badbadba-dbad-badb-adba-dbadbadbadba\|[^|]*\|$field\|it is missing\|t\|t$/m, "$api: a rejected record is kept with its reason and text");
	is(
		$node->sql("SELECT (SELECT count(*) FROM o365_msgtrace.rejected_record WHERE input_id = '$api') BETWEEN 1 AND rows_rejected, state, rows_rejected > 0"
			  . " FROM o365_msgtrace.run_log WHERE input_id = '$api'", %owner),
		't|succeeded|t', 'the run succeeds, and counts');
	is($node->sql("SELECT isempty(missing) FROM o365_msgtrace.coverage WHERE input_id = '$api'", %owner), 't', 'its time is covered');
	is($node->sql("SELECT count(*) FROM archive.$api WHERE sender_address = 'bad\@fabrikam.com'"), '0', 'it is not in the target');

	my $count = $node->sql("SELECT count(*) FROM o365_msgtrace.rejected_record WHERE input_id = '$api'");
	$service->fault({ on => 'list', fault => 'bad_row', kind => $_, count => 1 }) for qw(no_received garbage_time no_id);
	$node->sql("CALL o365_msgtrace.run('$api')", %owner);
	is($node->sql("SELECT count(*) FROM o365_msgtrace.rejected_record WHERE input_id = '$api'"), $count, 'the same record is kept once');
	$service->clear_faults;
	is($node->sql('SELECT count(*) FROM o365_msgtrace.rejected_record', user => 'regress_other'), '0', 'others do not see it');
	is($node->sql("SELECT o365_msgtrace.drop_input('$api'); SELECT count(*) FROM o365_msgtrace.rejected_record WHERE input_id = '$api'", %owner) =~ s/^\s+//r,
		'0', 'it goes with its input');
}

# With error a bad row fails its window, as ever, and nothing of it is kept.
$node->sql("ALTER SERVER graph OPTIONS (SET on_bad_row 'error'); SELECT o365_msgtrace.create_input('strict', 'graph.message_trace', 'archive.strict')");
$service->fault({ on => 'list', fault => 'bad_row', kind => 'no_id' });
is($node->sql_error("CALL o365_msgtrace.run('strict')")->{sqlstate}, 'HV004', 'with error the run fails');
is($node->sql("SELECT count(*) FROM o365_msgtrace.rejected_record"), '0', 'and keeps nothing');

# Another role of the session does not see what one's scan set aside.
order_page(page('graph', '{}'));
is(
	$node->sql("SET o365_msgtrace.on_bad_row = reject; SET client_min_messages = error; SELECT count(*) FROM graph.message_trace WHERE $where;"
		  . 'SELECT count(*) FROM o365_msgtrace._last_rejected(); SET ROLE regress_other; SELECT count(*) FROM o365_msgtrace._last_rejected()')
	  =~ s/\n/ /gr, '2 1 0', 'and none is shown to another role');

# Nor to one who may not read all of the table: only some columns, or what a policy of the partitioned table leaves.
$node->sql(<<'SQL');
CREATE ROLE regress_some LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, graph TO regress_some;
GRANT SELECT (message_trace_id, received, size) ON graph.message_trace TO regress_some;
CREATE TABLE graph.parted (LIKE graph.message_trace) PARTITION BY RANGE (received);
CREATE FOREIGN TABLE graph.part PARTITION OF graph.parted DEFAULT SERVER graph;
ALTER TABLE graph.parted ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON graph.parted TO regress_some USING (size < 0);
GRANT SELECT ON graph.parted TO regress_some;
SQL
for my $table (qw(message_trace parted))
{
	for my $user (qw(postgres regress_some))
	{
		order_page(page('graph', record('graph', 2, size => '"big"')));
		my ($rows, $records) = split /\n/, $node->sql("SELECT count(size) FROM graph.$table WHERE $where; SELECT count(*) FROM o365_msgtrace._last_rejected()",
			user => $user, set => { %$reject, client_min_messages => 'error' });
		is($records, $user eq 'postgres' ? 1 : 0, "what $user read of $table tells " . ($user eq 'postgres' ? 'the record' : 'nothing of what is hidden'));
	}
}

done_testing();
