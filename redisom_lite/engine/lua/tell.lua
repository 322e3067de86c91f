-- tell: how many entries some index keys hold, when that is the whole answer. Writes nothing.
--
-- A count that one access path covers exactly needs no walk, and find.lua's many parts cost more than the counting: this
-- script is those few reads alone. What makes it less than simple is left to find.lua.
--
-- KEYS  1 the model's registry
-- ARGV  base reader accepted | n key-of-inexact-values... | n (z key low high | s key | l key min max | k)...
-- reply the number, or false: records are overdue, an index has inexact values, or is not in the accepted state
local base, at = ARGV[1], 4
if redis.call('HGET', base .. ':meta', 'd:' .. ARGV[2]) ~= ARGV[3] then return false end
for _ = 1, tonumber(ARGV[4]) do
  at = at + 1
  if redis.call('EXISTS', base .. ARGV[at]) == 1 then return false end
end
if redis.call('EXISTS', base .. ':due') == 1 then
  local t = redis.call('TIME')
  local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
  if redis.call('ZCOUNT', base .. ':due', '-inf', '(' .. now) > 0 then return false end
end
local total = 0
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  local op = ARGV[at + 1]
  if op == 'z' then
    total = total + redis.call('ZCOUNT', base .. ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
    at = at + 4
  elseif op == 's' then
    total = total + redis.call('SCARD', base .. ARGV[at + 2])
    at = at + 2
  elseif op == 'l' then
    total = total + redis.call('ZLEXCOUNT', base .. ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
    at = at + 4
  else
    total = total + redis.call('ZCARD', base .. ':k')
    at = at + 1
  end
end
return total
