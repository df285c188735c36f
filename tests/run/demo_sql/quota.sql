\echo '-- Kept for all sessions together. After a start of PostgreSQL half of it (45)'
\echo '-- counts as used for five minutes: nobody knows what was asked before.'
SELECT api, quota_requests, quota_window, used, remaining, waiting
  FROM o365_msgtrace.quota;
