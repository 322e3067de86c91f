-- lease: take the first item of a queue for a while. What nobody acknowledged in time is handed out again, first.
--
-- KEYS  1 answers | 2 the list of items waiting | 3 hash: id -> attempt ':' item | 4 zset: id -> end of its lease, ms
-- ARGV  as in once.lua, then id (for a new job) lease (ms)
-- reply {1, {id, attempt, item}} | {1, {ms until the next lease ends}}, -1 when there is none: nothing was written
--@include once.lua

local id, lease = take(), take_number()
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local first = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local attempt, item = 1, nil
local overdue = first[1] and tonumber(first[2]) <= now
local job = overdue and redis.call('HGET', KEYS[3], first[1])
if job then
  id = first[1]
  local _, last, number = string.find(job, '^(%d+):')
  attempt, item = tonumber(number) + 1, string.sub(job, last + 1)
else
  item = redis.call('LPOP', KEYS[2])
  if not item then return { 1, { first[2] and math.max(0, tonumber(first[2]) - now) or -1 } } end
end
redis.call('HSET', KEYS[3], id, attempt .. ':' .. item)
redis.call('ZADD', KEYS[4], string.format('%.0f', now + lease), id)
return finish({ id, attempt, item })
