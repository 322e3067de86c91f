-- window_sum: the events of the last while, as window.lua counts them. Writes nothing.
--
-- KEYS  1 the structure
-- ARGV  span (ms) spans
-- reply the sum
local span, spans = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local present = math.floor((clock[1] * 1000 + math.floor(clock[2] / 1000)) / span)
local total = 0
local flat = redis.call('HGETALL', KEYS[1])
for n = 1, #flat, 2 do
  if tonumber(flat[n]) >= present - spans then total = total + tonumber(flat[n + 1]) end
end
return total
