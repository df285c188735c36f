# tests/t/085_details.t
#
# The details of a delivery: each event that the service tells of it, whichever
# way its key comes: constants, parameters, lists, joins. One request for each
# delivery (with Reporting one more, for its row), none where there can be no such
# delivery, an error where the plan cannot know which deliveries are meant.

use strict;
use warnings;
use utf8;

use JSON::PP ();
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $service = MsgTrace::Service->start(
	now => '2026-05-13T12:00:00Z',
	rows_per_day => 1000,
	quota => 0);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.max_requests_per_query' => 0, log_statement => 'none' });
my %reporting = (api => 'reporting', report_url => $service->report_url('reporting'));
$node->create_server($service, rows_per_day => 1000, retry_initial_interval => '10ms', max_retries => 2);
$node->create_server($service, name => 'older', schema => 'older', %reporting, rows_per_day => 1000, retry_initial_interval => '10ms');

# What is there: the trace of two hours, and the events of all its deliveries.
my ($from, $to) = ('2026-05-12T08:00:00Z', '2026-05-12T09:00:00Z');
my $hour = "received >= '$from' AND received < '$to'";
$node->load_truth($service, 'truth', $from, $to);
my @deliveries = map { [ split /\|/ ] } split /\n/,
  $node->sql('SELECT message_trace_id, recipient_address FROM truth ORDER BY received, 1, 2');
cmp_ok(scalar @deliveries, '>', 50, 'there are deliveries');
my $columns = 'message_trace_id, recipient_address, message_id, event_time, event, action, detail, data';
$node->sql('CREATE TABLE detail_truth (message_trace_id uuid, recipient_address text, message_id text, event_time timestamptz,'
	  . ' event text, action text, detail text, data text)');
load_details();

sub load_details
{
	my $csv = $service->detail_truth(@deliveries);
	open my $file, '>:encoding(UTF-8)', MsgTrace::Process::folder() . '/details.csv' or die "details.csv: $!";
	print $file $csv;
	close $file;
	$node->sql('TRUNCATE detail_truth; COPY detail_truth FROM ' . "'" . MsgTrace::Process::folder() . "/details.csv' (FORMAT csv, HEADER)");
	return;
}

# The same query over the foreign tables and over the truth; returns the requests.
sub agree
{
	my ($name, $query, %how) = @_;
	my $schema = delete $how{schema} // 'mail';
	my $requests = delete $how{requests};
	my $details = delete $how{details};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$service->clear_requests;
	$node->same_rows($name,
		$query =~ s/TRACE/$schema.message_trace/gr =~ s/DETAIL/$schema.message_trace_detail/gr,
		$query =~ s/TRACE/truth/gr =~ s/DETAIL/detail_truth/gr, %how);
	is(scalar $service->detail_requests, $details, "… with $details requests for details") if defined $details;
	is($service->list_requests + $service->detail_requests, $requests, "… with $requests requests") if defined $requests;
	return;
}

my ($id, $recipient) = @{ $deliveries[10] };
agree("a delivery, $_", "SELECT $columns FROM DETAIL WHERE message_trace_id = '$id' AND recipient_address = '$recipient'",
	schema => $_, details => 1, requests => $_ eq 'mail' ? 1 : 2)
  for 'mail', 'older';

done_testing();
