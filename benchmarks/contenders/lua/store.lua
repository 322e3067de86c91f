-- Store flights. ARGV, for each: pk, carrier, origin, dest, dep_delay, arr_delay, time, tailnum ('' for none), lifetime in
-- seconds (0 for none), number of words of the hash, those words.
local p = KEYS[1]
local at = 1
while at <= #ARGV do
    local pk, carrier, origin, dest, dep, arr, time, tail, ttl, words = unpack(ARGV, at, at + 9)
    local key = p .. ':r:' .. pk
    redis.call('HSET', key, unpack(ARGV, at + 10, at + 9 + words))
    redis.call('ZADD', p .. ':k', 0, pk)
    redis.call('SADD', p .. ':t:carrier:' .. carrier, pk)
    redis.call('SADD', p .. ':t:origin:' .. origin, pk)
    redis.call('SADD', p .. ':t:dest:' .. dest, pk)
    redis.call('ZADD', p .. ':i:time_hour', time, pk)
    if dep ~= '' then
        redis.call('ZADD', p .. ':i:dep_delay', dep, pk)
    end
    if arr ~= '' then
        redis.call('ZADD', p .. ':i:arr_delay', arr, pk)
        redis.call('ZADD', p .. ':c:dest:arr_delay:' .. dest, arr, pk)
    end
    if tail ~= '' then
        redis.call('ZADD', p .. ':i:tailnum', 0, tail .. '\0' .. pk)
    end
    if ttl ~= '0' then
        redis.call('EXPIRE', key, ttl)
    end
    at = at + 10 + words
end
