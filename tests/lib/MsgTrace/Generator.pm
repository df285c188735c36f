# tests/lib/MsgTrace/Generator.pm
#
# Random queries over a message trace, with constants that occur in it.
#
#   my $generator = MsgTrace::Generator->new(samples => [ {column => value, …}, … ],
#       from => EPOCH, to => EPOCH, ips => [ … ], tables => { one => 1 });
#   my $query = $generator->query;       # a tree, see below
#   MsgTrace::Generator::sql($query, $name)   # SQL that makes the table $name; TRACE and
#                                        # DETAIL stand for the tables asked
#   MsgTrace::Generator::smaller($query) # simpler queries, simplest first
#
# A query: { shape => …, where => CONDITION, columns => …, limit, order, … }.
# A condition: a string, or [ 'AND' or 'OR', condition, … ], or [ 'NOT', condition ].

package MsgTrace::Generator;

use strict;
use warnings;
use utf8;

use POSIX qw(strftime);

my @columns = qw(message_trace_id message_id received sender_address recipient_address subject status size from_ip to_ip);
my $key = 'message_trace_id, recipient_address';

sub new
{
	my ($class, %world) = @_;
	my @odd = grep { $_->{message_trace_id} =~ /\A0dd/ } @{ $world{samples} };
	return bless { odd => @odd ? \@odd : $world{samples}, %world }, $class;
}

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }

# ---- constants ---------------------------------------------------------------------

sub quoted
{
	my ($value) = @_;
	return 'NULL' if !defined $value;
	return "'" . ($value =~ s/'/''/gr) . "'";
}

sub _value
{
	my ($self, $column) = @_;
	for (1 .. 20)
	{
		my $value = pick(@{ $self->{ chance(0.3) ? 'odd' : 'samples' } })->{$column};
		return $value if defined $value;
	}
	return 'none';
}

sub _utc { return strftime('%Y-%m-%d %H:%M:%S', gmtime $_[0]) }

# A time near that of a row, between two microseconds, or far away.
sub _time
{
	my ($self) = @_;
	my $row = $self->_value('received');
	my $near = $self->{from} + rand($self->{to} - $self->{from});
	return pick(
		"'$row'::timestamptz",
		"'$row'::timestamptz + interval '1 microsecond'",
		"'" . _utc($near) . "Z'::timestamptz",
		"'" . _utc($near) . ".9999996Z'::timestamptz",
		"'" . _utc($near) . "'::timestamp",
		"'" . strftime('%Y-%m-%d', gmtime $near) . "'::date");
}

# ---- conditions on one column ------------------------------------------------------

sub _range
{
	my ($self, $widest) = @_;
	my $length = pick(60, 3600, 86400, 5 * 86400, 20 * 86400);
	$length = $widest if $widest && $length > $widest;
	my $from = $self->{from} + rand($self->{to} - $self->{from});
	my $to = $from + $length;
	my ($low, $high) = map { "'" . _utc($_) . "Z'" } $from, $to;
	return pick(
		"received >= $low AND received < $high",
		"received > $low AND received <= $high",
		"received BETWEEN $low AND $high",
		"$low <= received AND received < $high");
}

sub _received
{
	my ($self) = @_;
	my $op = pick('<', '<=', '>', '>=', '=', '<>');
	my $other = pick('<', '>');
	return pick(
		"received $op " . $self->_time,
		"received $op " . $self->_time,
		$self->_range, $self->_range,
		$self->_time . " $other received",
		'received = ANY (ARRAY[' . join(', ', map { $self->_time =~ s/\A(.*)\z/($1)::timestamptz/sr } 1 .. 3) . '])',
		"received > 'infinity'", "received < '-infinity'", "received >= '2099-01-01'", "received::date = (" . $self->_time . ')::date');
}

# A pattern that matches the value, or nearly.
sub _pattern
{
	my ($self, $value) = @_;
	$value =~ tr/\x{130}\x{212A}/iK/ if chance(0.7);    # what ILIKE may take for the same
	my @letters = split //, $value;
	my $from = int rand @letters;
	my $to = $from + int rand(@letters - $from);
	my $piece = join '', map { /[%_\\]/ && chance(0.8) ? "\\$_" : $_ } @letters[ $from .. $to ];
	$piece =~ s/.\z/_/s if chance(0.1);
	$piece =~ s/\A(.+)(.)/$1%$2/s if chance(0.15);
	$piece = uc $piece if chance(0.2);
	my $pattern = pick("%$piece%", "%$piece%", ($from == 0 ? "$piece%" : "%$piece%"), "$piece%", "%$piece", $piece);
	$pattern =~ s/(?<!\\)((?:\\\\)*)\\\z/$1/;    # no escape at the end
	return $pattern;
}

sub _like
{
	my ($self, $column) = @_;
	my $value = $self->_value($column);
	my $pattern = $self->_pattern($value);
	my $op = pick('LIKE', 'LIKE', 'ILIKE', 'ILIKE', 'NOT LIKE', 'NOT ILIKE');
	return "starts_with($column, " . quoted(substr $value, 0, 1 + int rand 8) . ')' if chance(0.08);
	return "$column ^@ " . quoted(substr $value, 0, 1 + int rand 8) if chance(0.08);
	return "lower($column) LIKE " . quoted(lc $pattern) if chance(0.08);
	return "$column $op ANY (ARRAY[" . quoted($pattern) . ', ' . quoted($self->_pattern($self->_value($column))) . '])'
	  if chance(0.1);
	if (chance(0.15) && $pattern !~ /!/)
	{
		(my $other = $pattern) =~ s/\\/!/g;
		return "$column $op " . quoted($other) . " ESCAPE '!'";
	}
	return "$column $op " . quoted($pattern);
}

sub _list
{
	my ($self, $column, $type) = @_;
	my @values = map { quoted($self->_value($column)) . $type } 1 .. pick(1, 2, 3, 6, 25);
	push @values, $values[0] if chance(0.2);
	push @values, "NULL$type" if chance(0.15);
	my $list = join ', ', @values;
	return pick("$column IN ($list)", "$column IN ($list)", "$column = ANY (ARRAY[$list])", "$column NOT IN ($list)",
		"$column <> ALL (ARRAY[$list])");
}

sub _text
{
	my ($self, $column) = @_;
	my $value = quoted($self->_value($column));
	return $self->_list($column, '') if chance(0.3);
	return $self->_like($column) if chance($column eq 'subject' ? 0.8 : 0.15);
	return pick(
		"$column = $value", "$column = $value", "$column = $value", "$value = $column",
		"$column <> $value", "$column IS DISTINCT FROM $value", "$column > $value",
		"$column IS NULL", "$column IS NOT NULL", "$column = ''", "$column = NULL",
		"lower($column) = lower($value)", "upper($column) = upper($value)", "$column = upper($value)",
		"$column = 'nobody\@nowhere.example'", "$column = $value AND $column = " . quoted($self->_value($column)),
		"length($column) > 20", "($column = $value) IS NOT TRUE", "$column COLLATE \"C\" = $value");
}

my @statuses = qw(delivered failed pending gettingStatus expanded quarantined filteredAsSpam resolved Delivered nonsense);

sub _status
{
	my ($self) = @_;
	my $list = join ', ', map { quoted(pick(@statuses)) } 1 .. pick(1, 2, 3);
	return pick('status = ' . quoted(pick(@statuses)), 'status = ' . quoted(pick(@statuses)), "status IN ($list)",
		"status NOT IN ($list)", 'status <> ' . quoted(pick(@statuses)), 'lower(status) = ' . quoted(lc pick(@statuses)));
}

sub _ip
{
	my ($self, $column) = @_;
	my $ip = quoted(pick(@{ $self->{ips} }));
	return pick("$column = $ip", "$column = $ip", "$column IN ($ip, " . quoted(pick(@{ $self->{ips} })) . ')', "$column IS NULL",
		"$column <<= '10.0.0.0/8'", "$column <> $ip", "family($column) = 6", "host($column) = $ip");
}

sub _size
{
	my ($self) = @_;
	my $size = $self->_value('size');
	return pick("size > $size", "size = $size", "size BETWEEN $size AND $size + 10000", "size IS NULL");
}

sub _leaf
{
	my ($self) = @_;
	my $column = pick(@columns, qw(received sender_address recipient_address recipient_address subject));
	return $self->_received if $column eq 'received';
	return $self->_status if $column eq 'status';
	return $self->_size if $column eq 'size';
	return $self->_ip($column) if $column =~ /_ip\z/;
	if ($column eq 'message_trace_id')
	{
		my $id = quoted($self->_value($column));
		return pick("$column = $id", "$column = $id", $self->_list($column, '::uuid'), "$column\::text = $id", "$column > $id");
	}
	return $self->_text($column);
}

# ---- trees ----------------------------------------------------------------------------

sub _condition
{
	my ($self, $depth) = @_;
	return $self->_leaf if $depth <= 0 || chance(0.35);
	return [ 'NOT', $self->_condition($depth - 1) ] if chance(0.1);
	return [ pick('AND', 'AND', 'OR'), map { $self->_condition($depth - 1) } 1 .. pick(2, 2, 3) ];
}

sub condition_sql
{
	my ($condition) = @_;
	return "($condition)" if !ref $condition;
	my ($op, @parts) = @$condition;
	return 'NOT ' . condition_sql($parts[0]) if $op eq 'NOT';
	return '(' . join(" $op ", map { condition_sql($_) } @parts) . ')';
}

sub query
{
	my ($self) = @_;
	my %query = (
		shape => pick(
			qw(rows rows rows rows ordered ordered top top count extremes groups), 'join', 'left join', 'large join',
			'subplan', 'exists', 'not exists', 'lateral', 'union', 'self join', 'semijoin', 'details', 'first details', 'prefix'),
		where => $self->_condition(pick(0, 1, 2, 2, 3)),
		direction => pick('ASC', 'DESC'),
		limit => pick(1, 3, 10, 50, 700),
		offset => pick(0, 0, 0, 5),
		column => pick('sender_address', 'recipient_address'),
		range => $self->_range(3600),
		how => pick('plain', 'plain', 'generic', 'custom', 'initplan', 'variables', 'cursor'));
	if (chance(0.75) && $query{shape} ne 'self join')
	{
		$query{where} = [ 'AND', $self->_range, $query{where} ];
	}
	$query{where} = [ 'AND', $self->_range(86400), $query{where} ] if $query{shape} =~ /subplan|lateral|exists/;
	# Each delivery costs a request for its details.
	$query{where} = [ 'AND', $query{range}, $query{where} ] if $query{shape} =~ /details/;
	return \%query;
}

my %shapes = (
	'rows' => 'SELECT COLUMNS FROM TRACE t WHERE WHERE_',
	'ordered' => "SELECT row_number() OVER () AS nr, q.* FROM (SELECT COLUMNS FROM TRACE t WHERE WHERE_ ORDER BY received DIRECTION, $key LIMIT LIMIT_ OFFSET OFFSET_) q",
	'top' => 'SELECT row_number() OVER () AS nr, q.* FROM (SELECT received FROM TRACE t WHERE WHERE_ ORDER BY received DIRECTION LIMIT LIMIT_) q',
	'count' => 'SELECT count(*) FROM TRACE t WHERE WHERE_',
	'extremes' => 'SELECT min(received) AS first, max(received) AS last FROM TRACE t WHERE WHERE_',
	'groups' => 'SELECT status, count(*), max(size) FROM TRACE t WHERE WHERE_ GROUP BY status',
	'join' => 'SELECT p.mail, COLUMNS FROM few p JOIN TRACE t ON t.COLUMN = p.mail WHERE WHERE_',
	'left join' => 'SELECT p.mail, COLUMNS FROM few p LEFT JOIN TRACE t ON t.COLUMN = p.mail AND WHERE_',
	'large join' => 'SELECT p.mail, COLUMNS FROM many p JOIN TRACE t ON t.COLUMN = p.mail WHERE WHERE_',
	'subplan' => 'SELECT p.mail, (SELECT count(*) FROM TRACE t WHERE t.COLUMN = p.mail AND WHERE_) AS n FROM few p',
	'exists' => 'SELECT p.mail FROM few p WHERE EXISTS (SELECT FROM TRACE t WHERE t.COLUMN = p.mail AND WHERE_)',
	'not exists' => 'SELECT p.mail FROM few p WHERE NOT EXISTS (SELECT FROM TRACE t WHERE t.COLUMN = p.mail AND WHERE_)',
	'lateral' => "SELECT p.mail, v.* FROM few p, LATERAL (SELECT received, message_trace_id FROM TRACE t WHERE t.COLUMN = p.mail AND WHERE_ ORDER BY received DIRECTION, $key LIMIT 3) v",
	'union' => 'SELECT COLUMNS FROM TRACE t WHERE WHERE_ UNION ALL SELECT COLUMNS FROM TRACE t WHERE RANGE_',
	'self join' => 'SELECT COLUMNS, o.recipient_address AS other FROM TRACE t JOIN TRACE o USING (message_trace_id) WHERE WHERE_ AND o.RANGE_',
	'details' => 'SELECT COLUMNS, d.event, d.event_time, d.data FROM TRACE t JOIN DETAIL d ON d.message_trace_id = t.message_trace_id'
	  . ' AND d.recipient_address = t.recipient_address WHERE WHERE_',
	'first details' => 'SELECT COLUMNS, v.* FROM TRACE t, LATERAL (SELECT event, event_time FROM DETAIL d WHERE d.message_trace_id = t.message_trace_id'
	  . ' AND d.recipient_address = t.recipient_address ORDER BY event_time DIRECTION, event, data LIMIT 1) v WHERE WHERE_',
	'prefix' => 'SELECT row_number() OVER () AS nr, q.* FROM (SELECT received, size, status FROM TRACE t WHERE WHERE_ ORDER BY received DIRECTION, size, status LIMIT LIMIT_) q',
	'semijoin' => 'SELECT COLUMNS FROM TRACE t WHERE t.COLUMN IN (SELECT mail FROM few) AND WHERE_');

# ---- parameters -------------------------------------------------------------------------

# Constants of the condition as parameters, or as results of subqueries.
sub _lift
{
	my ($sql, $how) = @_;
	my (@types, @values);
	$sql =~ s{(\b(?:message_id|sender_address|recipient_address|status|subject|received)\ (?:=|<|>|<=|>=|LIKE|ILIKE)\ )('(?:[^']|'')*+')(?!::)(?!\ ESCAPE)}{
		my ($left, $value) = ($1, $2);
		my $type = $left =~ /\Areceived/ ? 'timestamptz' : 'text';
		if ($how eq 'initplan') { "$left(SELECT $value\::$type)" }
		else { push @types, $type; push @values, $value; $left . '$' . @values; }
	}gex;
	return ($sql, \@types, \@values);
}

# Row by row, as a program has it that may stop at any time.
sub _cursor
{
	my ($name, $sql) = @_;
	return "CREATE TEMP TABLE $name AS $sql WITH NO DATA; DO \$do\$ DECLARE c CURSOR FOR $sql; r $name%ROWTYPE; BEGIN OPEN c;"
	  . " LOOP FETCH c INTO r; EXIT WHEN NOT FOUND; INSERT INTO $name SELECT r.*; END LOOP; CLOSE c; END \$do\$";
}

# Constants as variables of PL/pgSQL.
sub _variables
{
	my ($name, $sql, $types, $values) = @_;
	my $i = 0;
	my $declared = join ' ', map { $i++; "v$i $_ := $values->[$i - 1];" } @$types;
	$sql =~ s/\$(\d+)/v$1/g;
	return "DO \$do\$ DECLARE $declared BEGIN CREATE TEMP TABLE $name AS $sql; END \$do\$";
}

# SQL that fills the temporary table NAME; TRACE stands for the table asked.
sub sql
{
	my ($query, $name) = @_;
	my $columns = $query->{shape} eq 'self join' ? 't.received, t.subject' : join ', ', map { "t.$_" } @columns;
	my $where = condition_sql($query->{where});
	my $sql = $shapes{ $query->{shape} };
	my ($types, $values) = ([], []);

	if ($query->{shape} =~ /details/)
	{
		my $names = join '|', @columns;
		s/\b($names)\b/t.$1/g for $where;
	}
	elsif ($query->{shape} eq 'self join')
	{
		my $names = join '|', @columns;
		s/\b($names)\b/t.$1/g for $where;
		(my $range = $query->{range}) =~ s/\breceived\b/o.received/g;
		$sql =~ s/o\.RANGE_/$range/;
		(my $own = $query->{range}) =~ s/\breceived\b/t.received/g;
		$where = "$own AND $where";
	}
	elsif ($query->{how} =~ /\A(?:generic|custom|initplan|variables)\z/)
	{
		($where, $types, $values) = _lift($where, $query->{how});
	}
	$sql =~ s/WHERE_/$where/g;
	$sql =~ s/RANGE_/$query->{range}/g;
	$sql =~ s/COLUMNS/$columns/g;
	$sql =~ s/COLUMN/$query->{column}/g;
	$sql =~ s/DIRECTION/$query->{direction}/g;
	$sql =~ s/LIMIT_/$query->{limit}/g;
	$sql =~ s/OFFSET_/$query->{offset}/g;
	return _cursor($name, $sql) if $query->{how} eq 'cursor';
	return "CREATE TEMP TABLE $name AS $sql" if !@$values;
	return _variables($name, $sql, $types, $values) if $query->{how} eq 'variables';
	return "PREPARE p_$name (" . join(', ', @$types) . ") AS $sql; SET plan_cache_mode = force_$query->{how}_plan;"
	  . "CREATE TEMP TABLE $name AS EXECUTE p_$name (" . join(', ', @$values) . "); RESET plan_cache_mode; DEALLOCATE p_$name";
}

# ---- shrinking ----------------------------------------------------------------------------

sub _smaller_conditions
{
	my ($condition) = @_;
	return () if !ref $condition;
	my ($op, @parts) = @$condition;
	my @smaller = @parts;
	for my $i (0 .. $#parts)
	{
		my @rest = @parts;
		splice @rest, $i, 1;
		push @smaller, [ $op, @rest ] if @rest > 1;
		for my $part (_smaller_conditions($parts[$i]))
		{
			my @changed = @parts;
			$changed[$i] = $part;
			push @smaller, [ $op, @changed ];
		}
	}
	return @smaller;
}

sub smaller
{
	my ($query) = @_;
	my @smaller;
	push @smaller, { %$query, shape => 'rows', how => 'plain' } if $query->{shape} ne 'rows';
	push @smaller, { %$query, how => 'plain' } if $query->{how} ne 'plain';
	push @smaller, map { { %$query, where => $_ } } _smaller_conditions($query->{where});
	return @smaller;
}

1;
