# tests/t/000_house.t
#
# The house rules that a machine can hold: which file may include what, which
# third-party library lives where, which calls are banned, what the library
# exports, that it compiles without a warning, and that documents and code say
# the same.

use strict;
use warnings;
use utf8;

use File::Basename;
use File::Find;
use Test::More;

use MsgTrace::Cluster;
use MsgTrace::Process qw(folder root);

my $root = root();
chdir $root or die "$root: $!";

# A file includes its own floor and those below.
my %floor = (fdw => 4, trace => 3, auth => 2, net => 1);

# Each library stays in one file.
my %library = (
	'curl/' => 'src/net/http.c',
	'jansson.h' => 'src/net/document.c',
	'openssl/' => 'src/net/crypto.c');

my $banned = join '|', qw(sprintf vsprintf strcpy strcat atoi strtok sleep usleep);

my @sources = sort map { glob "src/$_/*.c" } keys %floor;
my @headers = sort map { glob "src/$_/*.h" } keys %floor;
my %text = map { $_ => slurp($_) } @sources, @headers;
my %code = map { $_ => without_comments($text{$_}) } keys %text;

sub slurp
{
	my ($name) = @_;
	local $/;
	open my $file, '<:encoding(UTF-8)', $name or die "$name: $!";
	return <$file> // '';
}

# What the compiler sees, less strings: neither names functions.
sub without_comments
{
	my ($source) = @_;
	$source =~ s{/\*.*?\*/|//[^\n]*|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}{$1 // ' '}gse;
	return $source;
}

sub includes
{
	my ($name) = @_;
	return $code{$name} =~ /^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]/mg;
}

# One assertion for a rule; the diagnostics name each place that breaks it.
sub holds
{
	my ($rule, @broken) = @_;
	ok(!@broken, $rule);
	diag("  $_") for @broken;
	return;
}

ok(@sources > 0, 'there are sources');

# ---- floors ----------------------------------------------------------------------

{
	my @upward;
	my @foreign;
	for my $name (sort keys %text)
	{
		my ($own) = $name =~ m{^src/(\w+)/};
		for my $include (includes($name))
		{
			my ($other) = $include =~ m{^(fdw|trace|auth|net)/};
			if (!$other && -e "src/$own/$include")
			{
				push @foreign, "$name: \"$include\" is not written as $own/$include";
			}
			push @upward, "$name includes $include" if $other && $floor{$other} > $floor{$own};
		}
	}
	holds('the floors fdw, trace, auth, net include only downward', @upward);
	holds('our headers are included with their folder', @foreign);
}

{
	my $cycle = find_cycle();
	holds('the include graph has no circle', $cycle ? $cycle : ());
}

# Of the graph of .c/.h pairs: the pair that comes back to itself.
sub find_cycle
{
	my %uses;
	for my $name (keys %text)
	{
		(my $pair = $name) =~ s/\.[ch]$//;
		for my $include (grep { m{^(?:fdw|trace|auth|net)/} } includes($name))
		{
			(my $other = "src/$include") =~ s/\.h$//;
			$uses{$pair}{$other} = 1 if $other ne $pair && $name =~ /\.h$/;
		}
	}
	my %state;
	my $visit;
	$visit = sub {
		my ($pair, @way) = @_;
		return if ($state{$pair} // '') eq 'done';
		return join ' -> ', @way, $pair if ($state{$pair} // '') eq 'open';
		$state{$pair} = 'open';
		for my $other (sort keys %{ $uses{$pair} // {} })
		{
			my $found = $visit->($other, @way, $pair);
			return $found if $found;
		}
		$state{$pair} = 'done';
		return;
	};
	for my $pair (sort keys %uses)
	{
		my $found = $visit->($pair);
		return $found if $found;
	}
	return;
}

{
	my @without;
	for my $name (@sources)
	{
		(my $header = $name) =~ s/\.c$/.h/;
		next if $name eq 'src/fdw/module.c';    # only what the server calls by itself
		push @without, "$name has no $header" if !-e $header;
	}
	for my $name (@headers)
	{
		(my $source = $name) =~ s/\.h$/.c/;
		next if $name =~ m{/compat\.h$};        # differences between servers: macros
		push @without, "$name has no $source" if !-e $source;
	}
	holds('every .c has one header of its name, and the other way round', @without);
}

{
	my $objects = slurp('Makefile');
	my ($list) = $objects =~ /^OBJS = \\\n((?:\t\S+ ?\\?\n)+)/m;
	my %listed = map { $_ => 1 } ($list // '') =~ /(src\S+)\.o/g;
	my %there = map { s/\.c$//r => 1 } @sources;
	holds(
		"the Makefile's objects are the sources",
		(map { "$_.c is not listed" } grep { !$listed{$_} } sort keys %there),
		(map { "$_.o has no source" } grep { !$there{$_} } sort keys %listed));
}

# ---- third parties -----------------------------------------------------------------

for my $part (sort keys %library)
{
	my @wrong;
	for my $name (sort keys %text)
	{
		for my $include (grep { index($_, $part) == 0 } includes($name))
		{
			push @wrong, "$name includes $include" if $name ne $library{$part};
		}
	}
	holds("$part is included by $library{$part} only", @wrong);
}

{
	my @types;
	for my $name (@headers)
	{
		push @types, "$name: $1"
		  while $code{$name} =~
		  /\b(CURL\w*|curl_\w+|json_t|json_\w+_t|EVP_\w+|SSL\w*|X509\w*|BIO|EC_KEY|RSA)\b/g;
	}
	holds("no header shows a library's type", @types);
}

{
	my @below;
	for my $name (grep { !m{^src/fdw/} } sort keys %text)
	{
		push @below, map { "$name includes $_" }
		  grep { m{^(?:nodes|optimizer|catalog|executor|foreign|commands|parser)/} }
		  includes($name);
		push @below, "$name: $1" while $code{$name} =~ /\b(ereport|elog)\s*\(\s*(?:ERROR|FATAL|PANIC)\b/g;
	}
	holds('below fdw there is no planner node, catalog or slot, and no error is thrown', @below);
}

{
	my @calls;
	for my $name (sort keys %code)
	{
		(my $code = $code{$name}) =~ s/"(?:\\.|[^"\\\n])*"/""/g;
		push @calls, "$name calls $1" while $code =~ /(?<![\w.>])($banned)\s*\(/g;
	}
	holds("no call of $banned", @calls);
}

# ---- symbols -----------------------------------------------------------------------

{
	my @objects = map { s/\.c$/.o/r } @sources;
	my @foreign;
	my $seen = 0;
	for my $object (@objects, 'o365_msgtrace.so')
	{
		if (!-e $object)
		{
			push @foreign, "$object has not been built";
			next;
		}
		my @command = ('nm', $object =~ /\.so$/ ? '-D' : '-g', '--defined-only', $object);
		open my $pipe, '-|', @command or die "nm: $!";
		while (my $line = <$pipe>)
		{
			my ($symbol) = $line =~ /^[0-9a-f]+ \w (\S+)/ or next;
			$seen++;
			push @foreign, "$object: $symbol"
			  if $symbol !~
			  /^(?:msgtrace_|o365_msgtrace_|pg_finfo_o365_msgtrace_|_PG_init$|Pg_magic_func$)/;
		}
		close $pipe or push @foreign, "nm $object failed";
	}
	holds('every symbol that is not static carries our prefix', @foreign);
	ok($seen > 0, 'and there are some');
}

# ---- the compiler --------------------------------------------------------------------

# The objects of a check were built with -Werror; here each source is compiled
# again, with warnings that need no object, whatever became of those.
{
	my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
	chomp(my $server = `$pg_config --includedir-server`);
	chomp(my $libraries = `pkg-config --cflags libcurl jansson openssl`);
	my @warned;
	for my $name (@sources)
	{
		my $said = `gcc -std=gnu99 -O2 -Wall -Wextra -Werror -Isrc -isystem '$server' $libraries \\
			-D_GNU_SOURCE -c -o /dev/null '$name' 2>&1`;
		push @warned, "$name:\n$said" if $? != 0;
	}
	holds('every source compiles with -Wall -Wextra -Werror', @warned);
}

# ---- texts ---------------------------------------------------------------------------

# All files of the tree but what was built; the tree has no .git.
my @files;
find(
	{
		no_chdir => 1,
		wanted => sub {
			my $name = $File::Find::name =~ s{^\./}{}r;
			$File::Find::prune = 1 if $name =~ m{^(?:\.git|results|tmp_check|log)$};
			push @files, $name
			  if -f $name && $name ne '.git' && $name !~ /(?:\.[od]|\.so|\.bc|--[\d.]+\.sql|msgtrace-service)$/;
		}
	},
	'.');

{
	my (@outside, @machine, @marks);
	for my $name (sort @files)
	{
		next if $name eq 'tests/t/000_house.t';
		my $content = eval { slurp($name) } // next;
		push @outside, $name if $content =~ m{\.\./shared\b};
		push @machine, "$name: $1" while $content =~ m{(?<![\w.])(/(?:work|farm|home/\w+)/[\w/.-]*)}g;
		push @marks, "$name: $1" while $content =~ /\b(TODO|FIXME|XXX|HACK)\b/g;
	}
	holds('no file names what is outside of the repository', @outside);
	holds("no file has one machine's paths", @machine);
	holds('no mark of unfinished work', @marks);
}

# ---- format ------------------------------------------------------------------------------

# Other versions of clang-format have other opinions; this is Debian 12's.
SKIP:
{
	my $version = `clang-format --version 2>/dev/null` // '';
	skip 'no clang-format 14 here', 1 if $version !~ /version 14\./;
	my @c_files = (glob('src/*/*.[ch]'), glob('tests/service/*.[ch]'));
	my $complaints = `clang-format --dry-run @c_files 2>&1`;
	is($complaints, '', 'the C files are as make format leaves them');
}

# ---- versions and documents ------------------------------------------------------------

{
	my ($control) = slurp('o365_msgtrace.control') =~ /^default_version\s*=\s*'([^']+)'/m;
	my ($meta) = slurp('META.json') =~ /^\s{3}"version": "([^"]+)"/m;
	is($meta, "$control.0", 'META.json has the version of the control file');
	my ($library) = slurp('src/fdw/module.h') =~ /^#define MSGTRACE_VERSION "([^"]+)"/m;
	is($library, $control, 'and so has the library');
}

{
	my $node = MsgTrace::Cluster->start;
	$node->sql('CREATE EXTENSION o365_msgtrace');

	# README's table is the code's, row for row.
	my @offered = split /\n/, $node->sql(<<'SQL');
SELECT format('| %s | `%s` | %s | %s | %s |', place, name, type, default_value, description)
  FROM o365_msgtrace.option_list()
SQL
	my ($chapter) = slurp('README.md') =~ /^## Options\b(.*?)^##/ms;
	my @documented = grep { /^\| [\w ]+ \| `/ } split /\n/, $chapter // '';
	is_deeply(\@documented, \@offered, "README's table has the options of the code");

	my $without = $node->sql(<<'SQL');
SELECT string_agg(name, ' ') FROM o365_msgtrace.option_list() WHERE description IS NULL OR description = ''
SQL
	is($without, '', 'every option has a description');

	# README's table of errors has every SQLSTATE that is raised.
	my ($errors) = slurp('README.md') =~ /^### Errors\b(.*?)^###/ms;
	my %explained = map { $_ => 1 } map { /\b([0-9A-Z]{5})\b/g } ($errors // '') =~ /^\| ([^|]+) \|/mg;
	my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
	chomp(my $headers = `$pg_config --includedir-server`);
	my $codes = slurp("$headers/utils/errcodes.h");
	my %sqlstate;
	while ($codes =~ /^#define ERRCODE_(\w+) MAKE_SQLSTATE\(([^)]+)\)/mg)
	{
		my ($name, $letters) = ($1, $2);
		$sqlstate{ lc $name } = $letters =~ s/[', ]//gr;
	}
	my %raised;
	for my $name (grep { m{^src/fdw/} } @sources)
	{
		$raised{ lc $1 } = $name while $code{$name} =~ /(?:\berrcode\(|\{)\s*ERRCODE_(\w+)/g;
	}
	for my $name (glob 'src/schema/*.sql')
	{
		my $sql = slurp($name);
		$raised{$1} = $name while $sql =~ /\bERRCODE\s*=\s*'(\w+)'/g;
		$raised{$1} = $name while $sql =~ /\bERRCODE\s*=\s*CASE\b[^;]*?'([a-z_]{6,})'/g;
	}
	# what nobody meets who has not made a mistake in our code
	delete @raised{qw(internal_error e_r_i_e_trigger_protocol_violated)};
	ok(keys %raised > 20, 'there are SQLSTATEs');
	holds(
		"README's table explains each SQLSTATE",
		map { "$_ (" . ($sqlstate{$_} // 'unknown') . ") of $raised{$_}" }
		  grep { !$explained{ $sqlstate{$_} // '' } } sort keys %raised);

	# Everything that a user can see says what it is.
	my $silent = $node->sql(<<'SQL');
SELECT string_agg(pg_describe_object(classid, objid, 0), E'\n' ORDER BY 1)
  FROM pg_depend d
 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'o365_msgtrace')
   AND (classid = 'pg_proc'::regclass
        OR classid = 'pg_class'::regclass
           AND objid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'v')))
   AND obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)) IS NULL
SQL
	is($silent, '', 'every function, table and view has a comment');
}

done_testing();
