-- window: count events of the last while, once. A hash: number of a span of time -> events in it.
--
-- KEYS, ARGV  as in once.lua, then span (ms) spans by at_most ('' for none)
-- reply       {1, events in the present span and the `spans` before it} | {0, 'bound'} it would be more than at_most
--@include once.lua

local span, spans, by, at_most = take_number(), take_number(), take_number(), take()
local clock = redis.call('TIME')
local present = math.floor((clock[1] * 1000 + math.floor(clock[2] / 1000)) / span)
local total, old = 0, {}
local flat = redis.call('HGETALL', KEYS[2])
for n = 1, #flat, 2 do
  if tonumber(flat[n]) < present - spans then
    old[#old + 1] = flat[n]
  else
    total = total + tonumber(flat[n + 1])
  end
end
if at_most ~= '' and total + by > tonumber(at_most) then return { 0, 'bound' } end
redis.call('HINCRBY', KEYS[2], string.format('%.0f', present), by)
if #old > 0 then redis.call('HDEL', KEYS[2], unpack(old)) end
redis.call('PEXPIRE', KEYS[2], span * (spans + 1))
return finish(total + by)
