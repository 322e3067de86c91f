--@unstore
-- ARGV: bounds of the text index. Returns how many.
local entries = redis.call('ZRANGEBYLEX', KEYS[1] .. ':i:tailnum', ARGV[1], ARGV[2])
local done = 0
for _, entry in ipairs(entries) do
    done = done + unstore(string.match(entry, '%z(.*)$'))
end
return done
