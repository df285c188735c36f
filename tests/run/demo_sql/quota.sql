-- For all sessions together; after a start half of it counts as used.
SELECT api, quota_requests, quota_window, used, remaining, waiting
  FROM o365_msgtrace.quota;
