# tests/t/039_lost_rows.t
#
# Rows that would be lost, or shown, without a word: a record so broken that it
# swallows others is no single bad record; a page that says it failed is no empty
# page; and what was set aside is shown to nobody who could not have read it as a row.

use strict;
use warnings;
use utf8;

use JSON::PP;
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(now => '2026-05-10T12:00:00Z', rows_per_day => 100, quota => 0);
my $node = MsgTrace::Cluster->start;
$node->create_server($service, on_bad_row => 'reject');

my $json = JSON::PP->new->canonical;
my $hour = "received >= '2026-05-09T10:00:00Z' AND received < '2026-05-09T11:00:00Z'";

sub record
{
	my ($n, %other) = @_;
	return $json->encode(
		{
			id => sprintf('00000000-0000-4000-8000-%012d', $n),
			receivedDateTime => '2026-05-09T10:30:00Z',
			senderAddress => 'ada@fabrikam.com',
			recipientAddress => "r$n\@contoso.com",
			subject => "subject $n",
			size => 1,
			status => 'delivered',
			%other
		});
}

# The only page of the next list.
sub page
{
	my (@records) = @_;
	$service->faults_instead({ on => 'list', fault => 'status', status => 200, body => '{"value":[' . join(',', @records) . ']}' });
	return;
}

# ---- records that run into one another ------------------------------------------------

(my $open = record(2)) =~ s/"subject 2"/"subject " 2"/;
(my $shut = record(4)) =~ s/"subject 4"/"subject " 4"/;

page(record(1), record(2) =~ s/"size":1/"size":1x/r, record(3));
is($node->sql("SELECT count(*) FROM mail.message_trace WHERE $hour"), 2, 'one record that is no JSON is set aside');

page(record(1), $open, record(3), $shut, record(5));
my $error = $node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $hour");
is($error->{sqlstate}, '08P01', 'two broken records do not take those between them along')
  || diag($node->messages("SELECT count(*) FROM mail.message_trace WHERE $hour"));
$service->clear_faults;

# ---- an error after the head was sent ---------------------------------------------------

for my $member ('"error":{"code":"ServerBusy","message":"try later"}', '"odata.error":{"code":""}')
{
	$service->faults_instead({ on => 'list', fault => 'status', status => 200, body => "{\"value\":[],$member}" });
	is(($node->sql_error("SELECT count(*) FROM mail.message_trace WHERE $hour") // {})->{sqlstate}, '08P01', 'a page with an error in it is no empty page');
}
$service->faults_instead({ on => 'list', fault => 'status', status => 200, body => '{"error":null,"value":[]}' });
is($node->sql("SELECT count(*) FROM mail.message_trace WHERE $hour"), 0, '… unless it says that there is none');

# ---- who sees what was set aside --------------------------------------------------------

$node->sql(<<'SQL');
CREATE ROLE regress_viewer LOGIN;
GRANT USAGE ON SCHEMA mail, o365_msgtrace TO regress_viewer;
CREATE VIEW mail.statistics AS SELECT received, size FROM mail.message_trace;
GRANT SELECT ON mail.statistics TO regress_viewer;
SQL
page(record(1), record(2, size => 'large', subject => 'for the board only'));
is($node->sql(<<"SQL", user => 'regress_viewer'), "1\n0", 'a view hides what was set aside, too');
SET client_min_messages = error;
SELECT count(size) FROM mail.statistics WHERE $hour;
SELECT count(*) FROM o365_msgtrace._last_rejected();
SQL
page(record(1), record(2, size => 'large'));
is($node->sql(<<"SQL"), "1\n1", 'whose scan it was sees it');
SET client_min_messages = error;
SELECT count(size) FROM mail.message_trace WHERE $hour;
SELECT count(*) FROM o365_msgtrace._last_rejected();
SQL

page(record(1, size => 'for the board only'));
my $session = $node->session(set => { 'o365_msgtrace.on_bad_row' => 'error' });
like($session->sql_error("SELECT count(size) FROM mail.message_trace WHERE $hour")->{detail}, qr/field size: .*for the board only/,
	'who may read the rows is shown the value that is wrong');
like($session->sql('SELECT last_error FROM o365_msgtrace.server_stats'), qr/field size; on page 1/, '… the statistics tell its field');
unlike($session->sql('SELECT last_error FROM o365_msgtrace.server_stats'), qr/board/, '… but not the value');
$session->quit;

done_testing();
