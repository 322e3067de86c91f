-- What a step will do, by key: every part of it writes down here, and writing.lua writes once. Included by apply.lua.

local EMPTY = {} -- never written to
local function size_of(key, command)
  local size = sizes[key]
  if not size then
    size = call(command, key)
    sizes[key] = size
  end
  return size
end
local function changes_of(keys, key)
  local changes = keys[key]
  if not changes then
    changes = {}
    keys[key] = changes
  end
  return changes
end
local function zset(key) return changes_of(sorted, key) end
local function hash(key) return changes_of(hashes, key) end
local function tag_set(model, name, token, text)
  local key = model.base .. ':t:' .. name .. ':' .. token
  local changes = sets[key]
  if not changes then
    changes = {}
    sets[key] = changes
    listings[key] = { model.base .. ':v:' .. name, token, text, mending and text }
  elseif text then
    listings[key][3], listings[key][4] = text, mending
  end
  return changes
end
local function number_key(model, name)
  local key = model.names[name]
  if not key then
    key = model.base .. ':i:' .. name
    model.names[name] = key
  end
  return key
end
local function score_of(key, member)
  local changes = sorted[key]
  if changes and changes[member] ~= nil then return changes[member] end
  return call('ZSCORE', key, member)
end

-- One answer for each record of the model in this step.
local function scores_of(model, key)
  local from, count = members_at + model.first, model.count
  if size_of(key, 'ZCARD') == 0 then return {} end
  if count <= 4000 then return call('ZMSCORE', key, unpack(ARGV, from + 1, from + count)) end
  local scores = {}
  for first = 1, count, 4000 do
    local part = call('ZMSCORE', key, unpack(ARGV, from + first, from + math.min(first + 3999, count)))
    for n = 1, #part do scores[first + n - 1] = part[n] end
  end
  return scores
end
-- The score of one of these records; those of all are asked at once, and kept in `list`.
local function score_at(model, list, key, position)
  if model.count == 1 then
    sizes[key] = sizes[key] or 1 -- or none: a score proves the type too
    return call('ZSCORE', key, ARGV[members_at + model.first + 1])
  end
  if not model[list] then model[list] = scores_of(model, key) end
  return model[list][position]
end
local function none_stored(model)
  if model.fresh == nil then
    local first, last, found = model.first + 1, model.first + model.count, 0
    for n = first, last, 4000 do found = found + call('EXISTS', unpack(KEYS, n, math.min(n + 3999, last))) end
    model.fresh = found == 0
  end
  return model.fresh
end
