# tests/t/065_check.t
#
# check(): each step, once as it should be and once failing with its hint; that
# it goes on when one fails, and costs what it may; whom it serves, and where.

use strict;
use warnings;
use utf8;

use Encode ();
use JSON::PP;
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(free_port wait_for);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

# Clocks agree here, as in life.
my $service = MsgTrace::Service->start(rows_per_day => 2000);
my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.clock_source' => 'local', log_statement => 'none' });
$node->create_server($service);

my @steps = (
	'options', 'user mapping', 'credentials', 'sign-in host', 'service host', 'token', 'permission',
	'service principal', 'list', 'detail', 'clock', 'shared budget', 'pg_cron', 'version');

# The outcome of a check: step => { ok => t, f or '', detail, hint }.
sub check
{
	my ($server, %how) = @_;
	my $on = delete $how{on} // $node;
	$service->clear_requests;
	my $json = $on->sql("SELECT json_agg(c) FROM o365_msgtrace.check('$server') c", %how);
	my $rows = decode_json(Encode::encode_utf8($json));
	is(join(', ', map { $_->{step} } @$rows), join(', ', @steps), '… all steps are taken') if !$how{quiet};
	cmp_ok(scalar(grep { $_->{path} =~ /messageTraces/ } $service->requests), '<=', 2, '… with two requests at most');
	return { map { $_->{step} => { %$_, ok => defined $_->{ok} ? ($_->{ok} ? 't' : 'f') : '' } } @$rows };
}

my $all = check('tenant');
for my $step (@steps)
{
	ok($all->{$step}{ok} ne "f", "$step") || diag("$step: $all->{$step}{detail}");
}
done_testing();
