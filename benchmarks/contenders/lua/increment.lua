-- ARGV: pk, by how much. Returns the new value.
local value = redis.call('HINCRBY', KEYS[1] .. ':r:' .. ARGV[1], 'dep_delay', ARGV[2])
redis.call('ZADD', KEYS[1] .. ':i:dep_delay', value, ARGV[1])
return value
