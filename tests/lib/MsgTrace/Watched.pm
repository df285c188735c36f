# tests/lib/MsgTrace/Watched.pm
#
# An input that is watched: after each run, what its ledger claims and what its
# target holds are compared with the truth, in plain tables of the test's own.
#
#   my $watched = MsgTrace::Watched->new($node, $service,
#       input => 'contoso', target => 'archive.traces', tenant => 'tenant',
#       page_size => 100);
#   my $found = $watched->look($began, $ended);        after a run between these
#       two times of the service (ISO); { least, rows, read, wrong }: the least
#       number of requests for what the run has read, its rows, the parts of time
#       (a multirange), and a list of what is not as it should be
#   $watched->look_at_all($now)                        the same of all that was ever read
#   $watched->wants($expression)   of the row of o365_msgtrace.coverage
#   $watched->has_restarted        the server did: connect anew
#
# How it knows. A run tells (log_level "debug") each window that it has read, in
# the transaction that wrote its rows. For such a window the service is asked what
# it shows now: that, and nothing else, must be in the target there. While a run is at
# work the clock goes on, so rows may be as they were when it began; they are then
# compared with both. What the target has so becomes the book: what it must go on
# to have, row by row, until a later run tells that it has read that time again.
#
# Of the ledger it checks that
#   - nothing is covered or settled that was not read, and nothing is forgotten;
#   - nothing is settled that is younger than settle_after, or not covered;
#   - what is settled has each row of the end of all days, as it will be then;
#   - what is wanted is one range without holes, from the first poll on, and does
#     not reach into the future;
#   - the view calls missing what is wanted, not covered and held.
# A record that cannot be read is one with an empty recipient: it must be set aside.

package MsgTrace::Watched;

use strict;
use warnings;

my $definitions = <<'SQL';
CREATE SCHEMA __BOOK__;
CREATE TABLE __BOOK__.shown (
    message_trace_id uuid, message_id text, received timestamptz, sender_address text, recipient_address text,
    subject text, status text, size bigint, from_ip inet, to_ip inet);
CREATE TABLE __BOOK__.shown_before (LIKE __BOOK__.shown);
CREATE TABLE __BOOK__.expected (LIKE __BOOK__.shown);
CREATE INDEX ON __BOOK__.expected (received);
CREATE TABLE __BOOK__.former (
    wanted tstzmultirange, covered tstzmultirange, settled tstzmultirange, message bigint);
INSERT INTO __BOOK__.former VALUES ('{}', '{}', '{}', 0);

CREATE VIEW __BOOK__.has AS
    SELECT message_trace_id, message_id, received, sender_address, recipient_address, subject, status, size, from_ip, to_ip
      FROM __TARGET__ WHERE tenant = '__TENANT__';

CREATE FUNCTION __BOOK__.iso(at timestamptz) RETURNS text LANGUAGE sql AS
$$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

-- What the service shows of a part of time.
CREATE FUNCTION __BOOK__.load(destination text, part tstzrange, as_of timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COPY __BOOK__.%I FROM PROGRAM %L (FORMAT csv, HEADER)', destination,
        format('curl -sS -q --fail --max-time 120 --noproxy "*" --cacert __CA__ "__ORIGIN__/control/truth?from=%s&to=%s&as_of=%s"',
            __BOOK__.iso(lower(part)), __BOOK__.iso(upper(part)), __BOOK__.iso(as_of)));
END
$$;

CREATE FUNCTION __BOOK__.load_all(destination text, parts tstzmultirange, as_of timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part tstzrange;
BEGIN
    EXECUTE format('TRUNCATE __BOOK__.%I', destination);
    FOR part IN SELECT unnest(parts) LOOP
        PERFORM __BOOK__.load(destination, part, as_of);
    END LOOP;
END
$$;

-- One of the rows that one query has more than another; NULL if there are none.
CREATE FUNCTION __BOOK__.more_of(name text, this text, other text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    example text;
    rows bigint;
BEGIN
    EXECUTE format('SELECT count(*), min(d::text) FROM (%s EXCEPT ALL %s) d', this, other) INTO rows, example;
    RETURN CASE WHEN rows > 0 THEN format('%s: %s rows, as %s', name, rows, example) END;
END
$$;

-- Records that cannot be read are not rows; they must have been set aside, where they were read.
CREATE FUNCTION __BOOK__.set_aside(parts tstzmultirange) RETURNS text LANGUAGE sql AS $$
    WITH bad AS (DELETE FROM __BOOK__.shown WHERE coalesce(recipient_address, '') = '' RETURNING message_trace_id, received)
    SELECT format('not set aside: %s', string_agg(b.message_trace_id::text, ', ')) FROM bad b
     WHERE parts @> b.received
       AND NOT EXISTS (SELECT FROM o365_msgtrace.rejected_record r
                        WHERE r.input_id = '__INPUT__' AND r.message_trace_id = b.message_trace_id::text)
    HAVING count(*) > 0
$$;

-- Is what was read what the service showed, when the run ended or (where that moved) when it began?
CREATE FUNCTION __BOOK__.compare(parts tstzmultirange, began timestamptz) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    has text := format('SELECT * FROM __BOOK__.has WHERE %L::tstzmultirange @> received AND received >= %L AND received < %L',
                       parts, lower(parts), upper(parts));
    wrong text[];
BEGIN
    wrong := array_remove(ARRAY[
        __BOOK__.more_of('missing', 'SELECT * FROM __BOOK__.shown', has),
        __BOOK__.more_of('too many', has, 'SELECT * FROM __BOOK__.shown')], NULL);
    IF cardinality(wrong) = 0 THEN
        RETURN wrong;
    END IF;
    PERFORM __BOOK__.load_all('shown_before', parts, began);
    DELETE FROM __BOOK__.shown_before WHERE coalesce(recipient_address, '') = '';
    RETURN array_remove(ARRAY[
        __BOOK__.more_of('missing', 'SELECT message_trace_id, recipient_address, received FROM __BOOK__.shown_before',
                         format('SELECT message_trace_id, recipient_address, received FROM (%s) h', has)),
        __BOOK__.more_of('not as shown', has,
                         '(SELECT * FROM __BOOK__.shown UNION SELECT * FROM __BOOK__.shown_before)')], NULL);
END
$$;

-- Enter what was read into the book, and see that the rest is as it was.
CREATE FUNCTION __BOOK__.keep(parts tstzmultirange, since timestamptz) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM __BOOK__.expected WHERE parts @> received AND received >= lower(parts) AND received < upper(parts);
    INSERT INTO __BOOK__.expected
    SELECT * FROM __BOOK__.has WHERE parts @> received AND received >= lower(parts) AND received < upper(parts);
    RETURN array_remove(ARRAY[
        __BOOK__.more_of('lost', format('SELECT * FROM __BOOK__.expected WHERE received >= %L', since),
                         format('SELECT * FROM __BOOK__.has WHERE received >= %L', since)),
        __BOOK__.more_of('not told of', format('SELECT * FROM __BOOK__.has WHERE received >= %L', since),
                         format('SELECT * FROM __BOOK__.expected WHERE received >= %L', since))], NULL);
END
$$;

CREATE FUNCTION __BOOK__.claims(now_has o365_msgtrace.ledger, former __BOOK__.former, read tstzmultirange, ended timestamptz)
RETURNS text[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(format('%s: %s, ledger %s, before %s, read %s', c.claim, c.ranges, now_has, former, read)), '{}')
      FROM (VALUES
            ('covered, not read', now_has.covered - former.covered - read),
            ('covered no longer', former.covered - now_has.covered),
            ('settled, not read', now_has.settled - former.settled - read),
            ('settled no longer', former.settled - now_has.settled),
            ('settled, not covered', now_has.settled - now_has.covered),
            ('settled too early', now_has.settled * tstzmultirange(tstzrange(ended - interval '24 hours', NULL))),
            ('covered, not wanted', now_has.covered - now_has.wanted),
            ('wanted no longer', former.wanted - now_has.wanted),
            ('wanted of the future', now_has.wanted * tstzmultirange(tstzrange(ended, NULL))),
            ('wanted with holes', tstzmultirange(range_merge(now_has.wanted)) - now_has.wanted),
            ('flagged', now_has.flagged),
            ('missing in the view', (SELECT (v.missing - (now_has.wanted - now_has.covered))
                                            + ((now_has.wanted - now_has.covered) - v.missing - v.expired)
                                       FROM o365_msgtrace.coverage v WHERE v.input_id = '__INPUT__'))) c (claim, ranges)
     WHERE NOT isempty(c.ranges)
$$;

CREATE FUNCTION __BOOK__.look(began timestamptz, ended timestamptz,
    OUT fewest bigint, OUT rows_read bigint, OUT read tstzmultirange, OUT wrong text)
LANGUAGE plpgsql AS $$
DECLARE
    former __BOOK__.former;
    now_has o365_msgtrace.ledger;
    found text[];
BEGIN
    SELECT * INTO former FROM __BOOK__.former;
    SELECT l.* INTO now_has FROM o365_msgtrace.ledger l JOIN o365_msgtrace.input i USING (input_number)
     WHERE i.input_id = '__INPUT__';
    SELECT coalesce(range_agg(tstzrange(m.window_start, m.window_end)), '{}'), coalesce(max(m.message_id), former.message)
      INTO read, former.message FROM o365_msgtrace.run_message m
     WHERE m.input_id = '__INPUT__' AND m.message_id > former.message AND m.level = 'debug' AND m.window_start IS NOT NULL;

    PERFORM __BOOK__.load_all('shown', read, ended);
    SELECT coalesce(sum(greatest(1, ceil(p.rows / __PAGE__.0))), 0), coalesce(sum(p.rows), 0) INTO fewest, rows_read
      FROM (SELECT (SELECT count(*) FROM __BOOK__.shown s WHERE part @> s.received) AS rows FROM unnest(read) part) p;
    found := array_remove(ARRAY[__BOOK__.set_aside(read)], NULL)
        || __BOOK__.compare(read, began) || __BOOK__.keep(read, ended - interval '3 days')
        || __BOOK__.claims(now_has, former, read, ended);
    UPDATE __BOOK__.former f
       SET wanted = now_has.wanted, covered = now_has.covered, settled = now_has.settled, message = former.message;
    wrong := nullif(array_to_string(found, E'\n'), '');
END
$$;

-- All that was ever read: the book, the keys, and what is settled as it will be for ever.
CREATE FUNCTION __BOOK__.look_at_all(now timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    now_has o365_msgtrace.ledger;
    found text[];
    final text := 'SELECT s.* FROM __BOOK__.shown s, o365_msgtrace.coverage c WHERE c.input_id = ''__INPUT__'' AND c.settled @> s.received';
BEGIN
    SELECT l.* INTO now_has FROM o365_msgtrace.ledger l JOIN o365_msgtrace.input i USING (input_number)
     WHERE i.input_id = '__INPUT__';
    PERFORM __BOOK__.load_all('shown', now_has.wanted, now + interval '3 days');
    found := __BOOK__.keep('{}', '-infinity') || array_remove(ARRAY[__BOOK__.set_aside(now_has.covered),
        __BOOK__.more_of('never sent', 'SELECT message_trace_id, recipient_address, received FROM __BOOK__.has',
                         'SELECT message_trace_id, recipient_address, received FROM __BOOK__.shown'),
        __BOOK__.more_of('settled, but missing', final, replace(final, '.shown', '.has')),
        __BOOK__.more_of('settled, but not final', replace(final, '.shown', '.has'), final)], NULL);
    RETURN nullif(array_to_string(found, E'\n'), '');
END
$$;
SQL

sub new
{
	my ($class, $node, $service, %of) = @_;
	my $self = bless { node => $node, service => $service, %of, book => "book_$of{input}" }, $class;
	my %value = (
		BOOK => $self->{book},
		INPUT => $self->{input},
		TARGET => $self->{target},
		TENANT => $self->{tenant},
		PAGE => $self->{page_size},
		CA => $service->{ca_file},
		ORIGIN => $service->origin);

	$node->sql($definitions =~ s/__([A-Z]+)__/$value{$1}/gr);
	$self->has_restarted;
	return $self;
}

sub has_restarted
{
	my ($self) = @_;
	$self->{session}->quit if $self->{session};
	$self->{session} = $self->{node}->session;
	return;
}

sub sql
{
	my ($self, $sql) = @_;
	return $self->{session}->sql($sql);
}

sub wants
{
	my ($self, $expression) = @_;
	return $self->sql("SELECT $expression FROM o365_msgtrace.coverage WHERE input_id = '$self->{input}'");
}

sub look
{
	my ($self, $began, $ended) = @_;
	my ($least, $rows, $read, $wrong) =
	  split /\|/, $self->sql("SELECT * FROM $self->{book}.look('$began', '$ended')"), 4;
	return { least => $least, rows => $rows, read => $read, wrong => $wrong };
}

sub look_at_all
{
	my ($self, $now) = @_;
	return $self->sql("SELECT $self->{book}.look_at_all('$now')");
}

1;
