# tests/t/001_sql.t
#
# Runs the SQL tests (sql/, expected/) with pg_regress on a private server, each
# file an assertion here. MSGTRACE_SQL names some of them. No network.

use strict;
use warnings;

use File::Copy;
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder root);

my $root = root();
my @tests = split ' ', $ENV{MSGTRACE_SQL} // '';
@tests = sort map { m{([^/]+)\.sql$} } glob "$root/sql/*.sql" if !@tests;

my $node = MsgTrace::Cluster->start(conf => { 'o365_msgtrace.clock_source' => 'local' });
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $pgxs = `$pg_config --pgxs`);
(my $pg_regress = $pgxs) =~ s{makefiles/pgxs\.mk$}{test/regress/pg_regress};
my $output = folder() . '/regress';
mkdir $output;

my $text = '';
open my $pipe, '-|', $pg_regress, "--inputdir=$root", "--outputdir=$output",
  "--bindir=" . MsgTrace::Cluster::bindir(), '--encoding=UTF8', '--user=postgres',
  '--dbname=contrib_regression', "--host=$node->{folder}", '--port=5432', @tests
  or die "$pg_regress: $!";
$text .= $_ while <$pipe>;
close $pipe;

# PostgreSQL 15: "test import   ... ok"; since 16: "ok 1   - import   12 ms".
for my $test (@tests)
{
	my $passed = $text =~ /^test \Q$test\E\s+\.\.\. ok\b/m
	  || $text =~ /^ok \d+\s+[-+] \Q$test\E\s/m;
	ok($passed, "sql/$test.sql");
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
