SELECT to_char(hour, 'HH24:MI') AS hour, mails,
       repeat('█', round(50.0 * mails / max(mails) OVER ())::int) AS flow
  FROM (SELECT date_trunc('hour', received) AS hour, count(*) AS mails
          FROM mail.message_trace
         WHERE received >= date_trunc('hour', now()) - interval '12 hours'
         GROUP BY 1) by_hour
 ORDER BY by_hour.hour;
