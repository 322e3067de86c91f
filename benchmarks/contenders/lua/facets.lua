-- ARGV: the values of the tag.
local counts = {}
for i = 1, #ARGV do
    counts[i] = redis.call('SCARD', KEYS[1] .. ':t:carrier:' .. ARGV[i])
end
return counts
