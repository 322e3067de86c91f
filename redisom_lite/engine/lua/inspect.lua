-- inspect: what is stored and indexed about some records, each seen at one instant. Writes nothing.
--
-- KEYS  record keys
-- ARGV  base | n number-field... | n (tag range)... | member (one for each key)... | field...
-- reply for each key {row, _ix, due in ms, remaining ms, registered, memo, scores, exacts, missing}
--       row: the fields' values; due, remaining: how far off the deadline queue and the key itself say the end is (false
--       and -1 when it has none); scores, exacts: one for each number field; missing: entries the record claims and an
--       index does not have, as `index field`
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end
local base, numbers, composites = take(), {}, {}
for n = 1, tonumber(take()) do numbers[n] = take() end
for n = 1, tonumber(take()) do composites[n] = { tag = take(), range = take() } end
local members = {}
for n = 1, #KEYS do members[n] = take() end
local first_field = at + 1

local function look_up(key, member, index, missing)
  local kind, name = string.sub(index.id, 1, 1), string.sub(index.id, 2)
  for _, payload in ipairs(index.payloads) do
    local there
    if kind == 't' then
      there = redis.call('SISMEMBER', base .. ':t:' .. name .. ':' .. payload, member) == 1
      if payload ~= '%' and redis.call('HEXISTS', base .. ':v:' .. name, payload) == 0 then
        missing[#missing + 1] = 'listing ' .. name
      end
      for _, composite in ipairs(composites) do
        if composite.tag == name then
          local score = redis.call('ZSCORE', base .. ':i:' .. composite.range, member)
          local own = redis.call('ZSCORE', base .. ':c:' .. name .. ':' .. composite.range .. ':' .. payload, member)
          if score ~= own then missing[#missing + 1] = 'composite ' .. name .. '+' .. composite.range end
        end
      end
    elseif kind == 'l' then
      there = redis.call('ZSCORE', base .. ':i:' .. name, payload .. '\0\0' .. member) ~= false
    else
      there = redis.call('HGET', base .. ':u:' .. name, payload) == member
    end
    if not there then missing[#missing + 1] = (kind == 'l' and 'text ' or kind == 't' and 'tag ' or 'unique ') .. name end
  end
end

local function parse(text)
  local found, pos = {}, 1
  while pos <= #text do
    local _, last, id = string.find(text, '^([^=]+)=', pos)
    if not last then break end -- not of the library's making; the caller reads it too, and tells
    local payloads = {}
    pos = last + 1
    while string.sub(text, pos, pos) ~= ';' do
      local _, colon, size = string.find(text, '^(%d+):', pos)
      if not colon then return found end
      payloads[#payloads + 1] = string.sub(text, colon + 1, colon + tonumber(size))
      pos = colon + tonumber(size) + 1
    end
    pos = pos + 1
    found[#found + 1] = { id = id, payloads = payloads }
  end
  return found
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local out = {}
for n = 1, #KEYS do
  local key, member, missing, scores, exacts = KEYS[n], members[n], {}, {}, {}
  local deadline = redis.call('ZSCORE', base .. ':due', member)
  local row = redis.call('HMGET', key, unpack(ARGV, first_field))
  local index = redis.call('HGET', key, '_ix')
  if index then
    for _, entry in ipairs(parse(index)) do look_up(key, member, entry, missing) end
  end
  for m = 1, #numbers do
    scores[m] = redis.call('ZSCORE', base .. ':i:' .. numbers[m], member)
    exacts[m] = redis.call('HGET', base .. ':x:' .. numbers[m], member)
  end
  out[n] = { row, index, deadline and tonumber(deadline) - now, redis.call('PTTL', key),
    redis.call('ZSCORE', base .. ':k', member) and 1 or 0, redis.call('HGET', base .. ':memo', member),
    scores, exacts, missing }
end
return out
