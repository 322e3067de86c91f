-- cache_store: store an entry, by its loader or unasked, and count. May run twice: the second stores nothing new.
--
-- KEYS  1 the lock | 2 the entry | 3 the counts | the marks of its tags...
-- ARGV  token fresh(ms) grace(ms) lifetime of the marks (ms) | tag... (one for each mark) | n (field value)... |
--       n (count number)...
--   token  the loader's, which must have the lock still; '' stores in any case, and refuses loads under way
-- reply 1 stored | 0 the lock was lost: invalidated meanwhile, or too late
--
-- A loader's fields bring the marks of its tags from before the load. The first write needs memory, so a full server
-- refuses the whole.
local token, fresh, grace, marked = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
if token ~= '' and redis.call('GET', KEYS[1]) ~= token then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local cursor = 4 + #KEYS - 3
local function take()
  cursor = cursor + 1
  return ARGV[cursor]
end
local fields = {}
for n = 1, 2 * tonumber(take()) do fields[n] = take() end
redis.call('HSET', KEYS[2], 'id', '')
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'until', string.format('%.0f', now + fresh), unpack(fields))
for n = 4, #KEYS do
  local mark = redis.call('GET', KEYS[n])
  if token == '' then
    mark = mark or redis.call('HGET', KEYS[2], 'id')
    redis.call('HSET', KEYS[2], 't:' .. ARGV[1 + n], mark)
  end
  if mark and redis.call('PTTL', KEYS[n]) < tonumber(marked) then redis.call('SET', KEYS[n], mark, 'PX', marked) end
end
redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', now + fresh + grace))
redis.call('DEL', KEYS[1])
for _ = 1, tonumber(take()) do redis.call('HINCRBY', KEYS[3], take(), take()) end
return 1
