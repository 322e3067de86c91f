-- Short ways for what most steps are: one mutation alone, of an ordinary record. Included by apply.lua, after writing.lua.
--
-- They ask and write what the long way does. Left out is what several mutations in one step need, to write down first what
-- they will do to each key: a third of the server's work for such a step (instructions, by the long way and the short: inc
-- 275,000 and 185,000, set 234,000 and 154,000, put 457,000 and 363,000). Each way returns whether it is done; false, with
-- nothing written yet, for whatever is less simple and goes the long way.

-- `_ix` and these texts of the record, if it is listed, indexed and surely not overdue.
local function ordinary(model, name)
  if model.versioned or model.fades or model.caches then return nil end
  if not call('ZSCORE', model.registry, ARGV[members_at + 1]) then return nil end
  local texts = call('HMGET', KEYS[1], '_ix', name)
  if not texts[1] or (model.ends and call('ZCOUNT', model.due, '-inf', '(' .. format('%d', now)) > 0) then return nil end
  return texts
end
-- Whether a number stands in the sorted set of its field and nowhere else.
local function single_entry(model, name)
  if model.inexact then return false end
  for n = 1, #model.composites do
    if model.composites[n].range == name then return false end
  end
  return true
end

local short = {}

-- inc '' '' 1 name i index delta default bounds: n (op text)...
function short.inc(model)
  local name, index = ARGV[at + 5], ARGV[at + 7]
  if ARGV[at + 2] ~= '' or ARGV[at + 3] ~= '' or ARGV[at + 4] ~= '1' or ARGV[at + 6] ~= 'i' then return false end
  if index ~= '' and not (index == 'z' and single_entry(model, name)) then return false end
  local texts = ordinary(model, name)
  if not (texts and texts[2]) then return false end
  local bounds = EMPTY
  for n = 1, count_of(ARGV[at + 10]) do
    if n == 1 then bounds = {} end
    bounds[n] = { op = ARGV[at + 9 + 2 * n], text = ARGV[at + 10 + 2 * n] }
  end
  local text = small_sum(texts[2], ARGV[at + 8], bounds)
  if not text then return false end
  -- the record's type is known by now: first what may still be refused
  if index == 'z' then call('ZADD', number_key(model, name), text, ARGV[members_at + 1]) end
  call('HSET', KEYS[1], name, text)
  results[1], plain = { text, 1 }, false
  return true
end

-- set '' '' 0 0 | fields: n word... | 0 | items: n (z name score)...
function short.set(model)
  if ARGV[at + 2] ~= '' or ARGV[at + 3] ~= '' or ARGV[at + 4] ~= '0' or ARGV[at + 5] ~= '0' then return false end
  local from, to = at + 7, at + 6 + count_of(ARGV[at + 6])
  if ARGV[to + 1] ~= '0' or to < from or to - from > 4000 then return false end
  local first, last = to + 3, to + 2 + count_of(ARGV[to + 2])
  for n = first, last, 3 do
    if ARGV[n] ~= 'z' or not single_entry(model, ARGV[n + 1]) then return false end
  end
  local texts = ordinary(model, '_null')
  if not texts then return false end
  for n = from, texts[2] and to or 0, 2 do
    if find(',' .. texts[2] .. ',', ',' .. ARGV[n] .. ',', 1, true) then return false end -- it was None
  end
  for n = first, last, 3 do
    if find(texts[1], ARGV[n + 1] .. '=', 1, true) then return false end -- it has had an entry besides
    if n > first then call('ZCARD', number_key(model, ARGV[n + 1])) end -- to know its type
  end
  for n = first, last, 3 do call('ZADD', number_key(model, ARGV[n + 1]), ARGV[n + 2], ARGV[members_at + 1]) end
  call('HSET', KEYS[1], unpack(ARGV, from, to))
  results[1] = 1
  return true
end

-- What is added as it is met, and taken back if a key turns out to be of another type: so none need be asked before.
local tags_there = false -- whether all sets of the record's tags are, so that every token is listed
local add = {
  score = function(key, member, score) call('ZADD', key, score, member) end,
  tag = function(model, name, token, text, member)
    local key = model.base .. ':t:' .. name .. ':' .. token
    call('SADD', key, member)
    if not tags_there and token ~= '%' and call('SCARD', key) == 1 then
      call('HSET', model.base .. ':v:' .. name, token, text)
    end
  end,
  field = function(key, name, text) call('HSET', key, name, text) end,
}
local take_back = {
  score = function(key, member) redis.pcall('ZREM', key, member) end,
  tag = function(model, name, token, text, member)
    local key = model.base .. ':t:' .. name .. ':' .. token
    redis.pcall('SREM', key, member)
    if redis.pcall('EXISTS', key) == 0 then redis.pcall('HDEL', model.base .. ':v:' .. name, token) end
  end,
  field = function(key, name) redis.pcall('HDEL', key, name) end,
}

-- The keys of the listed tags of a new record, and whether a number is inexact.
local function look_through(model, from, to)
  local keys, inexact, pos = {}, false, from
  while pos <= to do
    local kind = ARGV[pos]
    if kind == '=' then
      keys[#keys + 1] = model.base .. ':t:' .. ARGV[pos + 1] .. ':' .. ARGV[pos + 2]
    elseif kind == 't' then
      for t = pos + 3, pos + 1 + 2 * count_of(ARGV[pos + 2]), 2 do
        keys[#keys + 1] = model.base .. ':t:' .. ARGV[pos + 1] .. ':' .. ARGV[t]
      end
    end
    inexact = inexact or kind == 'x'
    pos = behind(pos)
  end
  return keys, inexact
end
-- Whether nothing is there of the record, nor of the unique values it claims, and nothing is overdue.
local function is_new(model, member, claims_from, claims_to)
  if call('EXISTS', KEYS[1]) == 1 or call('ZSCORE', model.registry, member) then return false end
  if model.ends and (call('ZCOUNT', model.due, '-inf', '(' .. format('%d', now)) > 0 or call('ZSCORE', model.due, member)) then
    return false
  end
  for n = claims_from, claims_to, 2 do
    if call('HGET', model.base .. ':u:' .. ARGV[n], ARGV[n + 1]) then return false end
  end
  return true
end

-- put condition ttl nulls _ix | claims | fields | items, of a record that is not there
function short.put(model)
  local kind, ms, text = sub(ARGV[at + 3], 1, 1), tonumber(sub(ARGV[at + 3], 2)), ARGV[at + 5]
  local claims_from, claims_to = at + 7, at + 6 + count_of(ARGV[at + 6])
  local fields_from, fields_to = claims_to + 2, claims_to + 1 + count_of(ARGV[claims_to + 1])
  local from, to = fields_to + 2, fields_to + 1 + count_of(ARGV[fields_to + 1])
  local ends = kind == '=' or kind == '?'
  if model.fades or model.caches or model.parts or ((ends or model.evictable) and not model.ends) then return false end
  local tags, inexact = look_through(model, from, to)
  if (inexact and not model.inexact) or #tags > 4000 then return false end
  local member = ARGV[members_at + 1]
  if not is_new(model, member, claims_from, claims_to) then return false end
  tags_there = not tags[1] or call('EXISTS', unpack(tags)) == #tags

  local record = { model = model, key = KEYS[1], whole = text, nulls = ARGV[at + 4], live = false, fields = {},
    fields_from = fields_from, fields_to = fields_to }
  local deadline = ends and format('%d', now + ms)
  local done, failure = pcall(function()
    store_whole(record)
    results[1] = next_version(record)
    if model.versioned then call('HSET', KEYS[1], '_v', record.fields._v) end
    if deadline then
      call('PEXPIREAT', KEYS[1], deadline)
      call('ZADD', model.due, deadline, member)
    end
    if deadline or model.evictable then call('HSET', model.memo, member, text) end
    each_new_entry(model, member, claims_from, claims_to, from, to, add)
    call('ZADD', model.registry, '0', member)
  end)
  if done then
    plain = results[1] == 1
    return true
  end
  each_new_entry(model, member, claims_from, claims_to, from, to, take_back)
  redis.pcall('ZREM', model.registry, member)
  redis.pcall('ZREM', model.due, member)
  redis.pcall('HDEL', model.memo, member)
  redis.pcall('DEL', KEYS[1])
  return false, redis.error_reply(tostring(failure))
end

-- Whether the step is done; or why it was refused.
local function done_alone()
  local way = alone and short[ARGV[at + 1]]
  if way then return way(models[1]) end
end
