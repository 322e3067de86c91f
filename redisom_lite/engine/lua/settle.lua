-- settle: end or prolong a lease that lease.lua gave, if it is still the one.
--
-- KEYS  1 answers | 2 the list | 3 the jobs | 4 the leases
-- ARGV  as in once.lua, then id attempt ms ('' for done: the job is gone; else its lease ends in that many ms)
-- reply {1, 1}, or {1, 0}: the lease had ended and the job was handed to another
--@include once.lua

local id, attempt, ms = take(), take(), take()
local job = redis.call('HGET', KEYS[3], id)
if not job or string.sub(job, 1, #attempt + 1) ~= attempt .. ':' then return { 1, 0 } end
if ms == '' then
  redis.call('HDEL', KEYS[3], id)
  redis.call('ZREM', KEYS[4], id)
else
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  redis.call('ZADD', KEYS[4], string.format('%.0f', now + tonumber(ms)), id)
end
return finish(1)
