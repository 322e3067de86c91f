-- Phase 2 of a step: write what was decided. Included by apply.lua, after mutations.lua. Everything here can only succeed.

local function in_chunks(command, key, list)
  local size, done = #list, 0
  if size <= 4000 then return call(command, key, unpack(list)) end
  for first = 1, size, 4000 do
    done = done + call(command, key, unpack(list, first, math.min(first + 3999, size)))
  end
  return done
end
local function store_whole(record)
  local from, to = record.fields_from, record.fields_to
  local last = math.min(to, from + 3999)
  if record.nulls ~= '' then
    call('HSET', record.key, '_ix', record.whole, '_null', record.nulls, unpack(ARGV, from, last))
  else
    call('HSET', record.key, '_ix', record.whole, unpack(ARGV, from, last))
  end
  for first = last + 1, to, 4000 do call('HSET', record.key, unpack(ARGV, first, math.min(first + 3999, to))) end
end
local function surplus(record)
  local keep, gone = { _ix = true, _null = record.nulls ~= '', _v = record.model.versioned }, {}
  for n = record.fields_from, record.fields_to, 2 do keep[ARGV[n]] = true end
  for name, text in pairs(record.fields) do keep[name] = text and true end
  for _, name in ipairs(call('HKEYS', record.key)) do if not keep[name] then gone[#gone + 1] = name end end
  return gone
end
local function set_end(key, deadline)
  if deadline then
    call('PEXPIREAT', key, deadline)
  else
    call('PERSIST', key)
  end
end
local function store_fields(record)
  local texts, gone = {}, nil
  for name, text in pairs(record.fields) do
    if text then
      texts[#texts + 1] = name
      texts[#texts + 1] = text
    else
      gone = gone or {}
      gone[#gone + 1] = name
    end
  end
  if texts[1] then in_chunks('HSET', record.key, texts) end
  if gone then record.gone = gone end
end
local function take_away(record)
  if record.live then
    if record.whole and record.stored then record.gone = surplus(record) end
    if record.gone and record.gone[1] then in_chunks('HDEL', record.key, record.gone) end
    if record.deadline_changed then
      set_end(record.key, record.deadline_text)
      for _, key in ipairs(parts_of(record)) do set_end(key, record.deadline_text) end
    end
  elseif record.removed then
    call('DEL', record.key)
  end
  if record.parts_go then call('UNLINK', unpack(record.parts)) end -- they may be large
end
local function renew_fading(record)
  local written = record.fields
  if record.whole then
    written = {}
    for n = record.fields_from, record.fields_to, 2 do written[ARGV[n]] = true end
    for name, text in pairs(record.fields) do written[name] = text end
  end
  for _, field in ipairs(record.model.fading) do
    if written[field.name] then call('HPEXPIRE', record.key, field.ms, 'FIELDS', 1, field.name) end
  end
end
local function write_records()
  for n = 1, #opened do
    local record = opened[n]
    if record.changed and record.live then
      if record.whole then store_whole(record) end
      if next(record.fields) then store_fields(record) end
    end
  end
  for n = 1, #opened do
    local record = opened[n]
    if record.changed then
      take_away(record)
      if record.live and record.model.fades then renew_fading(record) end
    end
  end
  for n = 1, #swept do call('DEL', swept[n].key) end
end

-- The only change of a key, as most have one: it needs no lists.
local function single(changes)
  local member, value = next(changes)
  if member ~= nil and next(changes, member) == nil then return member, value end
end
-- What a key's changes add, as the words of its command, and what they take away.
local function sides(changes, scored)
  local adds, drops, a, d = {}, {}, 0, 0
  for member, value in pairs(changes) do
    if not value then
      d = d + 1
      drops[d] = member
    elseif scored then
      adds[a + 1], adds[a + 2], a = value, member, a + 2
    elseif value == true then
      a = a + 1
      adds[a] = member
    else
      adds[a + 1], adds[a + 2], a = member, value, a + 2
    end
  end
  return adds, drops
end
local function write_sorted(key, changes)
  local member, score = single(changes)
  if score then return call('ZADD', key, score, member) end
  if member then return sizes[key] > 0 and call('ZREM', key, member) end
  local adds, drops = sides(changes, true)
  if drops[1] and sizes[key] > 0 then in_chunks('ZREM', key, drops) end
  if adds[1] then in_chunks('ZADD', key, adds) end
end
-- How many members the set has then.
local function write_set(key, changes)
  local left, member, stays = sizes[key], single(changes)
  if stays then return left + call('SADD', key, member) end
  if member then return left - call('SREM', key, member) end
  local adds, drops = sides(changes)
  if adds[1] then left = left + in_chunks('SADD', key, adds) end
  if drops[1] and sizes[key] > 0 then left = left - in_chunks('SREM', key, drops) end
  return left
end
local function write_indexes(written)
  for key, changes in pairs(sorted) do if key ~= written then write_sorted(key, changes) end end
  for key, changes in pairs(sets) do
    local left, listing = write_set(key, changes), listings[key]
    if listing[2] ~= '%' then
      if left == 0 then
        call('HDEL', listing[1], listing[2])
      elseif sizes[key] == 0 or listing[4] then
        hash(listing[1])[listing[2]] = listing[3]
      end
    end
  end
  for key, changes in pairs(hashes) do
    local adds, drops = sides(changes)
    if drops[1] and sizes[key] > 0 then in_chunks('HDEL', key, drops) end
    if adds[1] then in_chunks('HSET', key, adds) end
  end
end

-- Every key a step writes is asked for its size before the first write: that proves its type, and that it is here. The
-- listing of a tag may change with its first and its last member. Where a record is stored, which begins with what needs
-- memory, one key that only gains need not be asked: the key returned is to be written first.
local function prove(stores)
  local first
  for key, changes in pairs(sorted) do
    if stores and not (sizes[key] or first) then
      first = key
      for _, score in pairs(changes) do if not score then first = nil end end
    end
    if key ~= first then size_of(key, 'ZCARD') end
  end
  for key in pairs(hashes) do size_of(key, 'HLEN') end
  for key, changes in pairs(sets) do
    local drops, size = 0, size_of(key, 'SCARD')
    for _, stays in pairs(changes) do if not stays then drops = drops + 1 end end
    if drops >= size or listings[key][4] then size_of(listings[key][1], 'HLEN') end
  end
  return first
end

-- Nothing from here on can fail.
local function write()
  local first = prove(#opened == 1 and next(opened[1].fields) ~= nil)
  if first then write_sorted(first, sorted[first]) end
  write_records()
  write_indexes(first)
end
