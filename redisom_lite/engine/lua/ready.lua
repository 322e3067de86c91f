-- ready: the indexes of a declaration have been built. Says so, unless a writer that does not know them came by.
--
-- KEYS  1 the model's registry
-- ARGV  base begin(1|0) fingerprint | n (index definition)...
--   begin  1: mark what is not ready as building, and ask every writer to declare itself anew
--          0: mark what is still building, as this declaration defines it, as ready
-- reply the names of the declared indexes that are not ready
--
-- The cursor of an earlier run stays only while nothing but that run can have been at work: an index that has become
-- dirty misses records from before the cursor too, and with every index ready the run is a new one.
local base, begin, fingerprint = ARGV[1], ARGV[2] == '1', ARGV[3]
local meta = base .. ':meta'
local waiting, changes, dirty = {}, {}, false
for n = 1, tonumber(ARGV[4]) do
  local name, definition = ARGV[3 + 2 * n], ARGV[4 + 2 * n]
  local stored = redis.call('HGET', meta, 'i:' .. name)
  local state, defined = string.match(stored or 'building|', '^([^|]*)|(.*)$')
  if state ~= 'ready' or defined ~= definition then
    dirty = dirty or state == 'dirty'
    if begin then
      state = 'building'
    elseif defined ~= definition then
      state = 'dirty'
    elseif state == 'building' then
      state = 'ready'
    end
    if begin or state == 'ready' then
      changes[#changes + 1] = 'i:' .. name
      changes[#changes + 1] = state .. '|' .. definition
    end
  end
  if state ~= 'ready' then waiting[#waiting + 1] = name end
end
if not begin or dirty or #changes == 0 then redis.call('HDEL', meta, 'cursor') end
if #changes > 0 then
  local gone = {}
  for _, field in ipairs(redis.call('HKEYS', meta)) do
    local kind = string.sub(field, 1, 2)
    if kind == 'd:' or (kind == 'w:' and field ~= 'w:' .. fingerprint) then gone[#gone + 1] = field end
  end
  if #gone > 0 then redis.call('HDEL', meta, unpack(gone)) end
  redis.call('HSET', meta, unpack(changes))
end
return waiting
