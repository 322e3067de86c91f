-- around: the neighbours of a member in a sorted set, from the highest score down. Writes nothing.
--
-- KEYS  1 the sorted set
-- ARGV  member above below
-- reply {rank of the first, member, score, member, score...}, or {-1} when it is no member
local rank = redis.call('ZREVRANK', KEYS[1], ARGV[1])
if not rank then return { -1 } end
local first = math.max(0, rank - tonumber(ARGV[2]))
return { first, unpack(redis.call('ZREVRANGE', KEYS[1], first, rank + tonumber(ARGV[3]), 'WITHSCORES')) }
