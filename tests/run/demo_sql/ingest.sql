\o /dev/null
SELECT o365_msgtrace.create_input(
    'demo', 'mail.message_trace', 'mail.trace',
    poll_interval => 1, date_range_start => '-1h');
\o
SELECT o365_msgtrace.schedule('demo');
