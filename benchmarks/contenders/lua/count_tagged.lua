-- ARGV: set, above.
local pks = redis.call('ZRANGEBYSCORE', KEYS[1] .. ':i:dep_delay', ARGV[2], '+inf')
local total = 0
for first = 1, #pks, 4000 do
    local last = math.min(first + 3999, #pks)
    local hits = redis.call('SMISMEMBER', KEYS[1] .. ARGV[1], unpack(pks, first, last))
    for i = 1, #hits do
        total = total + hits[i]
    end
end
return total
