# tests/t/079_two_runs.t
#
# Two sessions and one input, step by step: the isolation tests (tests/isolation)
# by the server's own pg_isolation_regress, on a private server and the simulated
# service, whose clock stands still so that the truth does.

use strict;
use warnings;
use utf8;

use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder root);
use MsgTrace::Service;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $pgxs = `$pg_config --pgxs`);
(my $tester = $pgxs) =~ s{makefiles/pgxs\.mk$}{test/isolation/pg_isolation_regress};
plan skip_all => 'this server comes without pg_isolation_regress' if !-x $tester;

my $service = MsgTrace::Service->start(
	now => '2026-05-19T12:00:00Z',
	rows_per_day => 8000,
	quota => 0);
# No job ever runs: pg_cron finds no server at its host.
my $node = MsgTrace::Cluster->start(
	preload => 'pg_cron, o365_msgtrace',
	conf => { 'cron.host' => '/nowhere' });
plan skip_all => 'pg_cron is not installed' if !$node->cron_available;
$node->create_server($service, page_size => 200);
$node->sql(<<'SQL');
CREATE EXTENSION pg_cron;
CREATE ROLE regress_owner LOGIN;
GRANT USAGE ON SCHEMA o365_msgtrace, mail, cron TO regress_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA mail TO regress_owner;
CREATE SCHEMA archive AUTHORIZATION regress_owner;
CREATE SCHEMA truth;
GRANT USAGE ON SCHEMA truth TO regress_owner;
SQL
$node->load_truth($service, 'truth.rows', '2026-05-18T00:00:00Z', '2026-05-19T12:00:00Z');
$node->sql('GRANT SELECT ON truth.rows TO regress_owner');

my $input = root() . '/tests/isolation';
my $output = folder() . '/isolation';
mkdir $output or die "$output: $!";
my @tests = sort map { m{([^/]+)\.spec$} } glob "$input/specs/*.spec";

open my $pipe, '-|', $tester, "--inputdir=$input", "--outputdir=$output",
  '--bindir=' . MsgTrace::Cluster::bindir(), '--user=postgres', '--use-existing',
  '--dbname=postgres', "--host=$node->{folder}", '--port=5432', @tests
  or die "$tester: $!";
my $text = do { local $/; <$pipe> };
close $pipe;

for my $test (@tests)
{
	my $passed = $text =~ /^test \Q$test\E\s+\.\.\. ok\b/m
	  || $text =~ /^ok \d+\s+[-+] \Q$test\E\s/m;
	ok($passed, "tests/isolation/specs/$test.spec");
}
if (!Test::More->builder->is_passing)
{
	diag($text);
	if (open my $diffs, '<:encoding(UTF-8)', "$output/regression.diffs")
	{
		local $/;
		diag(<$diffs>);
	}
}
done_testing();
