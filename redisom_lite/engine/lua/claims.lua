-- claims: which entries of an index key no record claims. With `drop` they are removed, as part of the same step.
--
-- KEYS  the record key of each entry's member (of a listing: its own key)
-- ARGV  base drop(1|0) kind name payload suffix | entry (one for each key)... | member (one for each key)...
--       kind: t tag, l text, u unique, z number or composite, x exact value, k registry, d deadline, m memo,
--       v listing of a tag's tokens: one is dangling when its set is gone
--       name, payload: what the record's _ix would claim; suffix: the index key after the base
-- reply {positions of dangling entries (no record), positions of stale ones (a record that does not claim them)}
local base, drop, kind, name, payload, suffix = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key = base .. suffix
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local count = #KEYS
local dangling, stale = {}, {}

local hash = kind == 'u' or kind == 'x' or kind == 'm' or kind == 'v'
local function stored(entry, member)
  if kind == 't' then return redis.call('SISMEMBER', key, entry) == 1 end
  if kind == 'u' then return redis.call('HGET', key, entry) == member end -- it may have another owner by now
  if hash then return redis.call('HEXISTS', key, entry) == 1 end
  return redis.call('ZSCORE', key, entry) ~= false
end
local function remove(entry)
  if kind == 't' then
    redis.call('SREM', key, entry)
    -- its listing goes with a set's last member
    if redis.call('EXISTS', key) == 0 then redis.call('HDEL', base .. ':v:' .. name, payload) end
  elseif hash then
    redis.call('HDEL', key, entry)
  else
    redis.call('ZREM', key, entry)
  end
end
local find, sub, byte = string.find, string.sub, string.byte
local function claimed(record, id, wanted)
  local index = redis.call('HGET', record, '_ix')
  if not index then return false end
  local pos = 1
  while pos <= #index do
    local equals = find(index, '=', pos, true)
    if not equals then return false end
    local ours = sub(index, pos, equals - 1) == id
    pos = equals + 1
    while byte(index, pos) ~= 59 do -- ';'
      local colon = find(index, ':', pos, true)
      local size = colon and tonumber(sub(index, pos, colon - 1)) or -1
      if size < 0 then return false end
      if ours and size == #wanted and sub(index, colon + 1, colon + size) == wanted then return true end
      pos = colon + size + 1
    end
    pos = pos + 1
  end
  return false
end

for n = 1, count do
  local entry, member = ARGV[6 + n], ARGV[6 + count + n]
  if kind == 'v' then
    if stored(entry) and redis.call('EXISTS', base .. ':t:' .. name .. ':' .. entry) == 0 then
      dangling[#dangling + 1] = n
      if drop then remove(entry) end
    end
  elseif stored(entry, member) then
    local due = redis.call('ZSCORE', base .. ':due', member)
    local waits = due and tonumber(due) < now -- overdue: the next sweep's business, and no finding
    if not waits then
      local verdict
      if redis.call('EXISTS', KEYS[n]) == 0 then
        verdict = dangling
      elseif kind == 't' or kind == 'u' then
        if not claimed(KEYS[n], kind .. name, kind == 'u' and entry or payload) then verdict = stale end
      elseif kind == 'l' then
        local _, last = string.find(entry, '%z%z')
        if not last or not claimed(KEYS[n], 'l' .. name, string.sub(entry, 1, last - 2)) then verdict = stale end
      elseif sub(suffix, 1, 3) == ':c:' then -- a composite; the token may be empty
        if not claimed(KEYS[n], 't' .. name, payload) then verdict = stale end
      end
      if verdict then
        verdict[#verdict + 1] = n
        if drop then remove(entry) end
      end
    end
  end
end
return { dangling, stale }
