-- count: add to a number within bounds, once. The number is a string, or a field of a hash; absent counts as 0.
--
-- KEYS, ARGV  as in once.lua, then field ('' for a string) form ('i' integer, 'f' float) by at_least at_most ('' for none)
-- reply       {1, the new number as text} | {0, 'bound'} outside its bounds | {0, 'number'} no number, or too large
--@include once.lua

local field, form, by, at_least, at_most = take(), take(), take(), take(), take()
local hash = string.sub(field, 1, 1) == '.'
field = string.sub(field, 2)

local function stored()
  if hash then return redis.call('HGET', KEYS[2], field) end
  return redis.call('GET', KEYS[2])
end
local old = tonumber(stored() or '0')
if not old then return { 0, 'number' } end
local sum = old + tonumber(by)
if (at_least ~= '' and sum < tonumber(at_least)) or (at_most ~= '' and sum > tonumber(at_most)) then
  return { 0, 'bound' }
end
local done
if hash then
  done = redis.pcall(form == 'i' and 'HINCRBY' or 'HINCRBYFLOAT', KEYS[2], field, by)
else
  done = redis.pcall(form == 'i' and 'INCRBY' or 'INCRBYFLOAT', KEYS[2], by)
end
if type(done) == 'table' and done.err then
  if string.find(tostring(done.err), 'OOM', 1, true) then return done end
  return { 0, 'number' }
end
-- a reply that is an integer would pass through a Lua number, which is a double
return finish(stored())
