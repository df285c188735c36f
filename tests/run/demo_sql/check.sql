SELECT step, ok, left(detail, 52) AS detail
  FROM o365_msgtrace.check('tenant');
