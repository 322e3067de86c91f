-- slide: read records and renew their lifetimes, in one step. May run twice: the second only sets a later deadline.
--
-- KEYS  record keys
-- ARGV  base ttl_ms member (one for each key)... field...
-- reply for each key the values of the fields, or false
local base, ttl = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local deadline = string.format('%.0f', now + ttl)
local meta = redis.call('HMGET', base .. ':meta', 'parts', 'ends')
local parts, ends = meta[1] or '', meta[2]
local rows = {}
for n = 1, #KEYS do
  local member = ARGV[2 + n]
  local due = redis.call('ZSCORE', base .. ':due', member)
  if redis.call('EXISTS', KEYS[n]) == 0 or (due and tonumber(due) < now) then
    rows[n] = false
  else
    rows[n] = redis.call('HMGET', KEYS[n], unpack(ARGV, 3 + #KEYS))
    -- an expiry needs no memory, so a full server lets the rest of the step run too
    redis.call('PEXPIREAT', KEYS[n], deadline)
    for name in string.gmatch(parts, '[^,]+') do
      redis.call('PEXPIREAT', base .. ':p' .. string.sub(KEYS[n], #base + 3) .. ':' .. name, deadline)
    end
    redis.call('ZADD', base .. ':due', deadline, member)
    if not ends then
      ends = '1' -- see models.lua
      redis.call('HSET', base .. ':meta', 'ends', ends)
    end
    if not due then
      local index = redis.call('HGET', KEYS[n], '_ix')
      if index then redis.call('HSET', base .. ':memo', member, index) end
    end
  end
end
return rows
