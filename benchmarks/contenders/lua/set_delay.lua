-- Set departure delays if all are still what they were. ARGV, for each: pk, old, new. Returns 1, or 0 if one differs.
local p = KEYS[1]
for at = 1, #ARGV, 3 do
    if redis.call('HGET', p .. ':r:' .. ARGV[at], 'dep_delay') ~= ARGV[at + 1] then
        return 0
    end
end
for at = 1, #ARGV, 3 do
    redis.call('HSET', p .. ':r:' .. ARGV[at], 'dep_delay', ARGV[at + 2])
    redis.call('ZADD', p .. ':i:dep_delay', ARGV[at + 2], ARGV[at])
end
return 1
