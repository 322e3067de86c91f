-- facets: how many records each value of a tag has, of all records. Writes nothing.
--
-- KEYS  1 the model's registry
-- ARGV  base reader field most
-- reply token, text, count... ('%' with no text for None); or false: records are overdue, there are more than `most`
--       values, or the declaration is not known to be ready
local base, field = ARGV[1], ARGV[3]
if redis.call('HGET', base .. ':meta', 'd:' .. ARGV[2]) ~= '' then return false end
local listing = base .. ':v:' .. field
if redis.call('HLEN', listing) > tonumber(ARGV[4]) then return false end
if redis.call('EXISTS', base .. ':due') == 1 then
  local t = redis.call('TIME')
  local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
  if redis.call('ZCOUNT', base .. ':due', '-inf', '(' .. now) > 0 then return false end
end
local flat, out = redis.call('HGETALL', listing), {}
for n = 1, #flat, 2 do
  out[#out + 1] = flat[n]
  out[#out + 1] = flat[n + 1]
  out[#out + 1] = redis.call('SCARD', base .. ':t:' .. field .. ':' .. flat[n])
end
out[#out + 1] = '%'
out[#out + 1] = ''
out[#out + 1] = redis.call('SCARD', base .. ':t:' .. field .. ':%')
return out
