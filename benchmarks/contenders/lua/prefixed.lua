--@rows
-- ARGV: bounds of the text index.
local pks = redis.call('ZRANGEBYLEX', KEYS[1] .. ':i:tailnum', ARGV[1], ARGV[2])
for i = 1, #pks do
    pks[i] = string.match(pks[i], '%z(.*)$')
end
return rows(pks)
