-- declare: register a process's declaration of a model, and say which of its indexes may be queried.
--
-- KEYS  1 the model's registry
-- ARGV  base writer(1|0) fingerprint partitions | n (index definition)...
-- reply {'O', state}      state: '' when every declared index is ready, else `index:state,...`
--       {'P', partitions} the data was written with another number of partitions
--
-- :meta holds `format`, `partitions`, `i:<index>` = state|definition, `d:<fingerprint>` = state for readers,
-- `w:<fingerprint>` for writers. An index new to a model with records is `building`; one that a writer does not know is
-- `dirty`, for that writer's records are not in it. Whatever changes a state sends every process here again, and a reindex
-- that had stopped half-way back to the start.
local base, writer, fingerprint, partitions = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4]
local meta = base .. ':meta'
local empty = redis.call('EXISTS', base .. ':k') == 0

local stored = redis.call('HGET', meta, 'partitions')
if stored and stored ~= partitions and not empty then return { 'P', stored } end

local known, registered = {}, {}
local flat = redis.call('HGETALL', meta)
for n = 1, #flat, 2 do
  local kind, name = string.sub(flat[n], 1, 2), string.sub(flat[n], 3)
  if kind == 'i:' then
    local _, _, state, definition = string.find(flat[n + 1], '^([^|]*)|(.*)$')
    known[name] = { state = state, definition = definition }
  elseif kind == 'd:' or kind == 'w:' then
    registered[#registered + 1] = flat[n]
  end
end

local changes, changed, declared, waiting = { 'format', '1', 'partitions', partitions }, false, {}, {}
local function set(name, state, definition)
  changed = true
  changes[#changes + 1] = 'i:' .. name
  changes[#changes + 1] = state .. '|' .. definition
end
for n = 1, tonumber(ARGV[5]) do
  local name, definition = ARGV[4 + 2 * n], ARGV[5 + 2 * n]
  local state
  declared[name] = true
  if known[name] and known[name].definition == definition and not (empty and known[name].state ~= 'ready') then
    state = known[name].state
  else
    state = empty and 'ready' or 'building'
    set(name, state, definition)
    if known[name] and not empty then
      -- entries of another form must not stand beside the new ones; those a record claims go when it is indexed anew
      redis.call('UNLINK', base .. ':i:' .. name, base .. ':x:' .. name)
    end
  end
  if state ~= 'ready' then waiting[#waiting + 1] = name .. ':' .. state end
end
local dropped = {}
if writer then
  for name, index in pairs(known) do
    if not declared[name] then
      if empty then
        dropped[#dropped + 1] = 'i:' .. name
        changed = true
      elseif index.state ~= 'dirty' then
        set(name, 'dirty', index.definition)
      end
    end
  end
end

local state = table.concat(waiting, ',')
if changed then redis.call('HDEL', meta, 'cursor', unpack(registered)) end
if #dropped > 0 then redis.call('HDEL', meta, unpack(dropped)) end
-- what models.lua keeps here, for records that are there already
if redis.call('EXISTS', base .. ':due', base .. ':memo') > 0 then
  changes[#changes + 1] = 'ends'
  changes[#changes + 1] = '1'
end
for name in pairs(declared) do
  if redis.call('EXISTS', base .. ':x:' .. name) == 1 then
    changes[#changes + 1] = 'inexact'
    changes[#changes + 1] = '1'
  end
end
changes[#changes + 1] = 'd:' .. fingerprint
changes[#changes + 1] = state
if writer then
  changes[#changes + 1] = 'w:' .. fingerprint
  changes[#changes + 1] = '1'
end
redis.call('HSET', meta, unpack(changes))
return { 'O', state }
