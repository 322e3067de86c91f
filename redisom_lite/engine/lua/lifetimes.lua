-- lifetimes: look at the remaining lifetimes of plain keys, and change them in the same step. Never for keys of models.
--
-- KEYS  the keys
-- ARGV  operation ms
--   look     change nothing
--   set      ms from now
--   extend   ms more than what remains; a key without an end keeps having none. Not to be sent twice
--   persist  take the end away
-- reply for each key what remained before: ms, -1 without an end, -2 for no such key
local operation, ms = ARGV[1], tonumber(ARGV[2])
local before = {}
for n = 1, #KEYS do
  local key = KEYS[n]
  local left = redis.call('PTTL', key)
  before[n] = left
  if operation == 'set' and left ~= -2 then
    redis.call('PEXPIRE', key, string.format('%.0f', ms))
  elseif operation == 'extend' and left >= 0 then
    redis.call('PEXPIRE', key, string.format('%.0f', left + ms))
  elseif operation == 'persist' and left >= 0 then
    redis.call('PERSIST', key)
  end
end
return before
