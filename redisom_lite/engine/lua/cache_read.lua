-- cache_read: an entry of a cache, and what has become of the watches it may depend on. Writes nothing.
--
-- KEYS  1 the entry's key, or any key of the slot | registries of models
-- ARGV  stem of the tags' marks, '' for no entry | n (base fingerprint n digest...)...
-- reply {now, entry: field value... or '', untouched(1|0), {state, newest overdue deadline or '', mark or ''...}...}
--   untouched  whether the marks of its tags are those it was stored with
--   state      of the declared indexes (declare.lua), nil when the declaration is not registered
--@include cache_watches.lua

local cursor = 1
local function take()
  cursor = cursor + 1
  return ARGV[cursor]
end
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local stem, entry, untouched = ARGV[1], '', 1
if stem ~= '' then
  entry = redis.call('HGETALL', KEYS[1])
  for n = 1, #entry, 2 do
    if string.sub(entry[n], 1, 2) == 't:' and redis.call('GET', stem .. string.sub(entry[n], 3)) ~= entry[n + 1] then
      untouched = 0
    end
  end
end

local reply = { now, entry, untouched }
for _ = 1, tonumber(take()) do
  local base, fingerprint = take(), take()
  local known = redis.call('HMGET', base .. ':meta', 'd:' .. fingerprint, 'caches')
  local marks = {}
  for _, watch in ipairs(read_watches(known[2] or '')) do marks[watch.digest] = watch.mark end
  local overdue = redis.call('ZREVRANGEBYSCORE', base .. ':due', '(' .. now, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local place = { known[1], overdue[2] or '' }
  for n = 1, tonumber(take()) do place[2 + n] = marks[take()] or '' end
  reply[#reply + 1] = place
end
return reply
