--@rows
-- ARGV: index, low, high, limit.
return rows(redis.call('ZRANGEBYSCORE', KEYS[1] .. ARGV[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4]))
