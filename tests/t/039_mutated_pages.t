# tests/t/039_mutated_pages.t
#
# Pages with bytes changed at random, by a server of this test's own, which can
# send any byte. Whatever comes, the backend lives; and a change that leaves the
# quotes and braces of a page alone costs the one record that it is in at most:
# its neighbours come. MSGTRACE_FUZZ_PAGES=5000 makes more of it, and
# MSGTRACE_FUZZ_SEED repeats one.

use strict;
use warnings;
use utf8;

use IO::Socket::INET;
use POSIX qw(strftime);
use Test::More;

use MsgTrace::Cluster;

my $pages = $ENV{MSGTRACE_FUZZ_PAGES} || 600;
my $seed = $ENV{MSGTRACE_FUZZ_SEED} || time;
my $base = time - 86400;    # each page has a second of its own
my %paths = (graph => '/tracing/messageTraces', reporting => '/reporting.svc/MessageTrace');

# ---- the pages -----------------------------------------------------------------------

sub utc { return strftime('%Y-%m-%dT%H:%M:%S', gmtime shift) }

sub record
{
	my ($api, $shape, $second, $number) = @_;
	my $time = $shape eq 'light' ? utc($second) . '.5' . ($number % 2 ? 'Z' : '') : '\/Date(' . ($second * 1000 + 500) . '+0000)\/';
	my @names =
	  $api eq 'graph'
	  ? qw(id receivedDateTime senderAddress recipientAddress subject size fromIP)
	  : qw(MessageTraceId Received SenderAddress RecipientAddress Subject Size FromIP);
	my @values = (
		qq("00000000-0000-4000-8000-00000000000$number"), qq("$time"),
		qq("\\u00e9$number\@b.example"), '"' . (qw(zero one two three))[$number] . '@b.example"',
		qq("\xc3\xa9\\n \\ud83d\\ude00 \\"\\u0000 $number"), 1234, '"192.0.2.1"');
	return '{"@odata.type":"#x","x":{"y":[1,{"z":null}]},' . join(',', map { qq("$names[$_]":$values[$_]) } 0 .. $#names) . '}';
}

# Of a page its text, and whether the change is a tame one.
sub page
{
	my ($api, $second) = @_;
	srand($seed * 1000 + $second - $base);
	my $shape = $api eq 'graph' ? 'light' : (qw(light verbose bare))[ int rand 3 ];
	my ($before, $behind) = @{ { light => [ '{"value":[', ']}' ], verbose => [ '{"d":{"results":[', ']}}' ], bare => [ '{"d":[', ']}' ] }->{$shape} };
	my @records = map { record($api, $shape, $second, $_) } 1 .. 3;
	my $tame = int rand 2;
	if ($tame)
	{
		for (1 .. 1 + int rand 3)
		{
			my $at = 1 + int rand(length($records[1]) - 2);
			my $new = chr int rand 256;
			next if substr($records[1], $at, 1) =~ /["{}\[\]\\]/ || $new =~ /["{}\[\]\\]/;
			substr($records[1], $at, 1) = $new;
		}
		return ($before . join(',', @records) . $behind, 1, $shape);
	}
	my $text = $before . join(',', @records) . $behind;
	for (1 .. 1 + int rand 4)
	{
		my ($at, $long) = (int rand length $text, 1 + int rand 30);
		my $how = int rand 5;
		substr($text, $at, 1) = chr int rand 256 if $how == 0;
		substr($text, $at, $long) = '' if $how == 1;
		substr($text, $at, 0) = substr($text, int rand length $text, $long) if $how == 2;
		substr($text, $at, 1) = substr("{}[]\":,\\\0", int rand 9, 1) if $how == 3;
		$text = substr($text, 0, $at + 1) if $how == 4 && rand() < 0.3;
	}
	return ($text, 0, $shape);
}

# ---- the server ------------------------------------------------------------------------

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20, ReuseAddr => 1) or die $!;
my $origin = 'http://127.0.0.1:' . $listener->sockport;

sub answer
{
	my ($line) = @_;
	return '{"token_type":"Bearer","expires_in":3599,"access_token":"opaque"}' if $line =~ /^POST/;
	my $api = $line =~ /reporting/ ? 'reporting' : 'graph';
	return $api eq 'graph' ? '{"value":[]}' : '{"d":[]}' if $line =~ /skiptoken/;    # after a bare page
	my ($from) = $line =~ /(\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d)/;
	my $second = 0;
	require Time::Local;
	$second = Time::Local::timegm($6, $5, $4, $3, $2 - 1, $1) if $from =~ /(\d+)-(\d+)-(\d+)T(\d+)%3A(\d+)%3A(\d+)/;
	return (page($api, $second))[0];
}

my $server = fork // die $!;
if ($server == 0)
{
	$SIG{ALRM} = sub { POSIX::_exit(1) };
	alarm 600;
	while (my $client = $listener->accept)
	{
		my ($line, $length) = (scalar <$client>, 0);
		while (my $header = <$client>)
		{
			$length = $1 if $header =~ /^Content-Length: (\d+)/i;
			last if $header =~ /^\r?\n$/;
		}
		read $client, my $form, $length if $length;
		my $body = defined $line ? answer($line) : '';
		print $client "HTTP/1.1 200 OK\r\nDate: " . strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime) . "\r\nContent-Type: application/json\r\n"
		  . "Content-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
		close $client;
	}
	POSIX::_exit(0);
}
END { local $?; kill 'TERM', $server if $server; }

# ---- what comes of them ------------------------------------------------------------------

my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0 });
$node->sql('CREATE EXTENSION o365_msgtrace');
for my $api (sort keys %paths)
{
	$node->sql("CREATE SERVER $api FOREIGN DATA WRAPPER o365_msgtrace OPTIONS (api '$api', tenant_id 't.example', report_url '$origin$paths{$api}',"
		  . " authority_url '$origin', resource '$origin', quota_requests '0', max_retries '0', on_bad_row 'reject');"
		  . "CREATE USER MAPPING FOR PUBLIC SERVER $api OPTIONS (client_id 'c', client_secret 'secret~of~this~test');"
		  . "CREATE SCHEMA $api; IMPORT FOREIGN SCHEMA exchange FROM SERVER $api INTO $api OPTIONS (raw 'true', organization 'true')");
	my @lines = split /\n/, $node->sql(<<"SQL", seconds => 600, set => { client_min_messages => 'error' });
CREATE TEMP TABLE outcome (n int, rows bigint, rejected bigint, error text, words text);
DO \$\$
DECLARE state text; words text;
BEGIN
	FOR i IN 0 .. $pages - 1 LOOP
		BEGIN
			INSERT INTO outcome (n, rows)
			SELECT i, count(*) FILTER (WHERE recipient_address IN ('one\@b.example', 'three\@b.example'))
			  FROM (SELECT * FROM $api.message_trace
			         WHERE received >= to_timestamp($base + i) AND received < to_timestamp($base + i + 1) OFFSET 0) t
			 WHERE length(t::text) > 0;
			UPDATE outcome SET rejected = (SELECT rejected FROM o365_msgtrace.last_scan()) WHERE n = i;
			PERFORM length(l::text) FROM o365_msgtrace._last_rejected() l;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, words = PG_EXCEPTION_DETAIL;
			INSERT INTO outcome VALUES (i, NULL, NULL, state, words);
		END;
	END LOOP;
END \$\$;
SELECT n, coalesce(rows, 0), coalesce(rejected, 0), coalesce(error, ''), translate(coalesce(words, ''), E'\\n|', '  ') FROM outcome ORDER BY n;
SQL
	is(scalar @lines, $pages, "$api: each page has an outcome, and the backend lives");
	my (@lost, @strange);
	my %count = (tame => 0, shown => 0, rejected => 0, refused => 0);
	for my $line (@lines)
	{
		my ($n, $shown, $rejected, $error) = split /\|/, $line;
		my ($text, $tame, $shape) = page($api, $base + $n);
		$count{ $error ? 'refused' : $rejected ? 'rejected' : 'shown' }++;
		$count{tame}++ if $tame;
		push @lost, "$n ($shape): $line" if $tame && ($error || $shown != 2 || $rejected > 1);
		push @strange, "$n ($shape): $line" if $error && $error !~ /^(?:08P01|HV004)$/;
	}
	is("@lost[0 .. (@lost > 3 ? 2 : $#lost)]", '', "$api: a bad byte costs one record at most");
	is("@strange[0 .. (@strange > 3 ? 2 : $#strange)]", '', "$api: what is refused is refused as no page, or for its records");
	cmp_ok($count{$_}, '>', $pages / 50, "$api: $count{$_} $_") for sort keys %count;
}

diag("MSGTRACE_FUZZ_SEED=$seed MSGTRACE_FUZZ_PAGES=$pages") if !Test::More->builder->is_passing;
done_testing();
