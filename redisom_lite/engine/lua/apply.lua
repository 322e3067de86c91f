-- apply: the one script that writes records. Check everything, then write everything.
--
-- KEYS  the key of every record a mutation names, by model (so that a moving cluster slot answers TRYAGAIN, never
--       "missing")
-- ARGV  stamp id window mode | acknowledged: n member... | models: n model... | the member of each key | n mutation...
--   stamp, id    the operation token: estimated server time in us, and a client's own id; '' for none
--   window       us a token is remembered
--   mode         'all': one failure and nothing is written; 'each': failing mutations are left out and reported
--   acknowledged members of :op whose answers have arrived: forgotten
--   model        keys base writer int_keys evictable versioned sweep | n number-field... | n (tag range)...
--                | n (fading-field ms)...: every write of one renews its own expiry (HPEXPIRE)
--   mutation     operation model record ...: put | set | swap | inc | del | life | look, as read below; `record` counts from 1
--                among the keys of its model
-- reply {'O', results}            every mutation's result (absent: all 1)
--       {'O', results, failures}  mode 'each', some failed
--       {'F', failures}           mode 'all', nothing written; a failure is {position from 1, code, detail...}
--       {'M', model}              the writer's declaration is not registered (declare.lua), nothing written
--       {'X', server time in us}  the stamp is too far off to tell a retry by: nothing written
--
-- Invariants: index entries are removed by what the record itself says (`_ix`, or the memo when the record is gone);
-- every check comes before the first write; the first write needs memory when the step stores anything (so that a
-- full server refuses the whole step); nothing is judged missing on an undeclared key.
--
-- For speed: what a step reads of the registry it reads at once; entries are gathered by key, so that each key is
-- written once; a record of which nothing was stored has nothing to compare with (`put_new`); parts that few steps
-- need are made when one does (`library`).
--@function

local call = redis.call
local find, sub, format, concat = string.find, string.sub, string.format, table.concat

-- What a call works on, made anew by `begin`: functions outlive the call.
local KEYS, ARGV, at
local clock, now, stamp, operation, window, all
local acknowledged_from, acknowledged_to
local models, members_at, operations
-- What the step will do, by key: the last word on a member wins. Reading a key's size before the first write proves
-- its type, and that it is here.
local sorted, sets, hashes  -- key -> member -> score|false, true|false, value|false
local sizes, listings       -- key -> entries before the step; tag key -> {:v: key, token, text}
local records, opened, owners, swept -- by KEYS position; in order; by model base and member; overdue ones, in order
local mending               -- whether the listings of tags cannot be trusted
local guarded_from, guarded_to -- where the last guard stands
local claims, current       -- unique values wanted, judged at the end; the mutation at work
local results, failures, refused, plain

local function take()
  at = at + 1
  return ARGV[at]
end
local function take_number()
  at = at + 1
  return tonumber(ARGV[at])
end
-- Where n words begin and end; they are passed over.
local function take_words()
  local from = at + 2
  at = at + 1 + ARGV[at + 1]
  return from, at
end

-- Conditions, decimals and key names: see reading.lua, match.lua and decimal.lua.
local shared
local function library()
  if shared then return shared end
  --[[ the included files declare an ARGV of their own, and `cursor` ]]
--@include reading.lua
--@include match.lua
--@include decimal.lua
  shared = {
    -- programs that stand in `words`; judged by what the indexes hold now
    judge = function(words, ask)
      begin(words)
      forget_keys()
      return pcall(ask, parse_program, evaluate)
    end,
    -- the guard of a mutation, which begins at word `from`
    satisfied = function(words, model, member, from)
      if ARGV ~= words then forget_keys() end
      begin(words)
      local guard = model.guards[from]
      if not guard then
        cursor = from - 1
        guard = parse_program(model.base)
        model.guards[from] = guard
      end
      return evaluate(guard, { member }, model.base, model.int_keys)[1]
    end,
    record_key = record_key, number = number,
    decimal_sum = decimal_sum, decimal_bound = decimal_bound, decimal_form = decimal_form,
  }
  return shared
end

local function take_model(first, count)
  local base = take()
  local model = { base = base, writer = take(), int_keys = take() == '1', evictable = take() == '1',
    versioned = take() == '1', sweep = take_number(), first = first, count = count, composites = {},
    registry = base .. ':k', due = base .. ':due', memo = base .. ':memo', names = {}, scores = {}, tags = {}, fading = {}, guards = {} }
  model.numbers_from, model.numbers_to = take_words()
  for c = 1, take_number() do
    local composite = { tag = take(), range = take() }
    composite.stem = base .. ':c:' .. composite.tag .. ':' .. composite.range .. ':'
    model.composites[c] = composite
  end
  for f = 1, take_number() do model.fading[f] = { name = take(), ms = take() } end
  model.fades = model.fading[1] ~= nil
  return model
end
local function begin(keys, args)
  KEYS, ARGV, at = keys, args, 0
  clock = call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  stamp, operation, window, all = take(), take(), take_number(), take() == 'all'
  acknowledged_from, acknowledged_to = take_words()
  models = {}
  local declared = 0
  for n = 1, take_number() do
    local count = take_number()
    models[n] = take_model(declared, count)
    declared = declared + count
  end
  members_at = at
  at = at + declared
  guarded_from, guarded_to = 1, 0
  operations = models[1].base .. ':op'
  sorted, sets, hashes, sizes, listings = {}, {}, {}, {}, {}
  records, opened, owners, swept = {}, {}, {}, {}
  mending, claims, current = false, {}, 0
  results, failures, refused, plain = {}, {}, {}, true
end

-- A retry of what was applied before returns the first answer.
local function pack_reply(value)
  if type(value) ~= 'table' then
    local kind = type(value) == 'number' and 'i' or 's'
    local text = kind == 'i' and format('%.0f', value) or value
    return kind .. #text .. ':' .. text
  end
  local parts = {}
  for n = 1, #value do parts[n] = pack_reply(value[n]) end
  return 'l' .. #value .. ':' .. concat(parts)
end
local function unpack_reply(text, pos)
  local _, last, kind, size = find(text, '^(.)(%d+):', pos)
  if kind == 'l' then
    local list, after = {}, last + 1
    for n = 1, tonumber(size) do list[n], after = unpack_reply(text, after) end
    return list, after
  end
  local value = sub(text, last + 1, last + tonumber(size))
  return kind == 'i' and tonumber(value) or value, last + tonumber(size) + 1
end
local function answered()
  for _, seen in ipairs(call('ZRANGEBYSCORE', operations, stamp, stamp)) do
    if sub(seen, 1, #operation) == operation then return (unpack_reply(seen, #operation + 1)) end
  end
  -- half the window: while a token is young enough to be accepted, a retry of it cannot yet have been forgotten
  local server_us = clock[1] * 1000000 + clock[2]
  if math.abs(server_us - tonumber(stamp)) > window / 2 then return { 'X', server_us } end
end
local function undeclared()
  for n = 1, #models do
    local known = call('HMGET', models[n].base .. ':meta', 'w:' .. models[n].writer, 'parts', 'caches')
    if not known[1] then return { 'M', n } end
    models[n].parts = known[2] -- the suffixes of parts in use, a comma list (see once.lua), or false
    models[n].caches = known[3] -- what caches depend on (see cache_watches.lua), or false
  end
end

local function size_of(key, command)
  local size = sizes[key]
  if not size then
    size = call(command, key)
    sizes[key] = size
  end
  return size
end
local function zset(key)
  local changes = sorted[key]
  if not changes then
    size_of(key, 'ZCARD')
    changes = {}
    sorted[key] = changes
  end
  return changes
end
local function hash(key)
  local changes = hashes[key]
  if not changes then
    size_of(key, 'HLEN')
    changes = {}
    hashes[key] = changes
  end
  return changes
end
local function tag_set(model, name, token, text)
  local key = model.base .. ':t:' .. name .. ':' .. token
  local changes = sets[key]
  if not changes then
    changes = {}
    sets[key] = changes
    size_of(key, 'SCARD')
    local listing = model.base .. ':v:' .. name
    size_of(listing, 'HLEN')
    listings[key] = { listing, token, text, mending and text }
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
  if count == 1 then return { call('ZSCORE', key, ARGV[from + 1]) } end
  if count <= 4000 then return call('ZMSCORE', key, unpack(ARGV, from + 1, from + count)) end
  local scores = {}
  for first = 1, count, 4000 do
    local part = call('ZMSCORE', key, unpack(ARGV, from + first, from + math.min(first + 3999, count)))
    for n = 1, #part do scores[first + n - 1] = part[n] end
  end
  return scores
end
local function none_stored(model)
  if model.fresh == nil then
    local first, last, found = model.first + 1, model.first + model.count, 0
    for n = first, last, 4000 do found = found + call('EXISTS', unpack(KEYS, n, math.min(n + 3999, last))) end
    model.fresh = found == 0
  end
  return model.fresh
end

-- What is known of a record: `stored` there is a hash; `live` and not overdue; `indexed` its entries are known, by
-- `before`, its `_ix` as it was; `index` the same parsed, and as it will be, once something asks for it.
local function open_record(model, position, writes_whole)
  local slot = model.first + position
  local record = records[slot]
  if record then return record end
  local member = ARGV[members_at + slot]
  record = { model = model, key = KEYS[slot], member = member, fields = {}, version = 0, nulls = '', before = '' }
  if not model.known then
    model.known = scores_of(model, model.registry)
    model.deadlines = scores_of(model, model.due)
  end
  local deadline, memo = model.deadlines[position], nil
  record.registered = (model.known[position] or false) ~= false
  record.deadline = deadline and tonumber(deadline) or nil
  record.stored = false
  if not (writes_whole and none_stored(model)) then
    local stored = call('HMGET', record.key, '_ix', '_null', '_v')
    memo = stored[1]
    record.stored = memo ~= false or call('EXISTS', record.key) == 1
    record.overdue = record.deadline ~= nil and record.deadline < now
    record.live = record.stored and not record.overdue
    if record.live then
      record.nulls = stored[2] or ''
      record.version = tonumber(stored[3] or 0)
    end
  end
  if not record.stored and (deadline or record.registered) and size_of(model.memo, 'HLEN') > 0 then
    memo = call('HGET', model.memo, member)
  end
  record.indexed = (memo or false) ~= false
  record.before = memo or ''
  records[slot] = record
  opened[#opened + 1] = record
  local by_member = owners[model.base]
  if not by_member then
    by_member = {}
    owners[model.base] = by_member
  end
  by_member[member] = record
  return record
end

-- _ix: for each field `kind name = (length : payload)... ;` with kind t (tag tokens, '%' for None), l (text) or u.
local function parse_index(record)
  local text, index, order, pos = record.before, {}, {}, 1
  record.index, record.order = index, order
  while pos <= #text do
    local _, last, id = find(text, '^([^=]+)=', pos)
    if not last then return index end -- not of our making: check() tells
    local list = {}
    pos = last + 1
    while sub(text, pos, pos) ~= ';' do
      local _, colon, size = find(text, '^(%d+):', pos)
      if not colon then return index end
      list[#list + 1] = sub(text, colon + 1, colon + size)
      pos = colon + size + 1
    end
    pos = pos + 1
    index[id] = list
    order[#order + 1] = id
  end
  return index
end
local function index_of(record) return record.index or parse_index(record) end
local function render_index(record)
  local out, seen = {}, {}
  for _, id in ipairs(record.order) do
    local list = record.index[id]
    if list and not seen[id] then
      seen[id] = true
      out[#out + 1] = id .. '='
      for n = 1, #list do out[#out + 1] = #list[n] .. ':' .. list[n] end
      out[#out + 1] = ';'
    end
  end
  return concat(out)
end

local function owner_of(key, token)
  local changes = hashes[key]
  if changes and changes[token] ~= nil then return changes[token] end
  return size_of(key, 'HLEN') > 0 and call('HGET', key, token)
end
local function owner_lives(model, owner)
  local deadline = size_of(model.due, 'ZCARD') > 0 and score_of(model.due, owner)
  return not deadline or tonumber(deadline) >= now
end

-- Make the record's entries under one id what `new` says (a list of payloads, or nil for none).
local function reindex_field(record, kind, name, new, texts)
  local id, model, member = kind .. name, record.model, record.member
  local index = index_of(record)
  local old, keep, changed = index[id], {}, false
  if new then for n = 1, #new do keep[new[n]] = true end end
  if old then
    for n = 1, #old do
      local payload = old[n]
      if keep[payload] then
        keep[payload] = nil
      else
        changed = true
        if kind == 't' then
          tag_set(model, name, payload)[member] = false
        elseif kind == 'l' then
          zset(number_key(model, name))[payload .. '\0\0' .. member] = false
        else
          local key = model.base .. ':u:' .. name
          if owner_of(key, payload) == member then hash(key)[payload] = false end
        end
      end
    end
  end
  if new then
    for n = 1, #new do
      local payload = new[n]
      if keep[payload] then
        changed = true
        if kind == 't' then
          tag_set(model, name, payload, texts and texts[n] or '')[member] = true
        elseif kind == 'l' then
          zset(number_key(model, name))[payload .. '\0\0' .. member] = '0'
        end
      end
      if kind == 'u' then hash(model.base .. ':u:' .. name)[payload] = member end
    end
    if not old then record.order[#record.order + 1] = id end
  end
  if changed or (old == nil) ~= (new == nil) then
    index[id] = new
    record.reindexed = true
  end
end

local function is_number(model, name)
  for n = model.numbers_from, model.numbers_to do if ARGV[n] == name then return true end end
end
local function set_number(record, name, score, exact)
  local model = record.model
  zset(number_key(model, name))[record.member] = score
  local key = model.base .. ':x:' .. name
  if exact ~= '' then
    hash(key)[record.member] = exact
  elseif size_of(key, 'HLEN') > 0 or hashes[key] then
    hash(key)[record.member] = false
  end
end

-- One sorted set per tag token, holding the range's score; `before` has the tag's tokens as they were.
local function recompose(record, before, names)
  local model, member = record.model, record.member
  for _, composite in ipairs(model.composites) do
    if names[composite.tag] or names[composite.range] then
      local tokens, keep = record.index['t' .. composite.tag] or {}, {}
      local score = score_of(number_key(model, composite.range), member)
      for n = 1, #tokens do keep[tokens[n]] = true end
      for _, token in ipairs(before[composite.tag] or {}) do
        if not keep[token] then zset(composite.stem .. token)[member] = false end
      end
      for n = 1, #tokens do zset(composite.stem .. tokens[n])[member] = score end
    end
  end
end
local function joins(model, names)
  for c = 1, #model.composites do
    if names[model.composites[c].tag] or names[model.composites[c].range] then return true end
  end
end
local function composite_tokens(record)
  local before = {}
  if record.model.composites[1] then
    local index = index_of(record)
    for _, composite in ipairs(record.model.composites) do before[composite.tag] = index['t' .. composite.tag] end
  end
  return before
end

-- The keys of a record's parts (containers that live and die with it), of those that hold something.
local NONE_THERE = {}
local function parts_of(record)
  local model = record.model
  if not (model.parts and record.key) then return NONE_THERE end
  if not record.parts then
    record.parts = {}
    local stem = model.base .. ':p' .. sub(record.key, #model.base + 3) .. ':'
    for name in string.gmatch(model.parts, '[^,]+') do
      if call('EXISTS', stem .. name) == 1 then record.parts[#record.parts + 1] = stem .. name end
    end
  end
  return record.parts
end

local function set_deadline(record, deadline)
  local due = record.model.due
  record.deadline, record.deadline_changed = deadline, true
  parts_of(record)
  if deadline then
    zset(due)[record.member] = format('%.0f', deadline)
  elseif size_of(due, 'ZCARD') > 0 or sorted[due] then
    zset(due)[record.member] = false
  end
end

-- Take every entry about the record out of every index, and the record out of the registry.
local function erase(record)
  local model, member = record.model, record.member
  record.parts_go = parts_of(record)[1] ~= nil
  local index, before, names = index_of(record), composite_tokens(record), {}
  for _, composite in ipairs(model.composites) do names[composite.tag] = true end
  local ids = {}
  for id in pairs(index) do ids[#ids + 1] = id end
  for n = 1, #ids do reindex_field(record, sub(ids[n], 1, 1), sub(ids[n], 2), nil) end
  for n = model.numbers_from, model.numbers_to do set_number(record, ARGV[n], false, '') end
  recompose(record, before, names)
  zset(model.registry)[member] = false
  if record.deadline then set_deadline(record, nil) end
  if size_of(model.memo, 'HLEN') > 0 or hashes[model.memo] then hash(model.memo)[member] = false end
  record.live, record.registered, record.fields, record.nulls, record.version = false, false, {}, '', 0
  record.whole, record.index, record.order, record.before = nil, {}, {}, ''
  record.deadline, record.removed, record.changed = nil, record.stored, true
end

-- Items are the index entries of a put or a set, as words:
--   z name score exact | l name text | t name n (token text)... | 0 name
-- and claims those of unique fields: name token.
local function claim_conflict(record, from, to)
  local model = record.model
  for n = from, to, 2 do
    local name, token = ARGV[n], ARGV[n + 1]
    if all then
      claims[#claims + 1] = { record = record, name = name, token = token, position = current }
    else
      local owner = owner_of(model.base .. ':u:' .. name, token)
      if owner and owner ~= record.member and owner_lives(model, owner) then return { 'unique', name, owner, token } end
    end
  end
end
local NONE = { '%' }
-- Make a field's entries of one kind what `new` says, and leave none of another kind.
local function reindex_only(record, kind, name, new, texts)
  local index = index_of(record)
  if kind ~= 't' and index['t' .. name] then reindex_field(record, 't', name, nil) end
  if kind ~= 'l' and index['l' .. name] then reindex_field(record, 'l', name, nil) end
  if kind ~= 'u' and index['u' .. name] then reindex_field(record, 'u', name, nil) end
  if kind then reindex_field(record, kind, name, new, texts) end
end
-- Where the item at `pos` ends.
local function behind(pos)
  local kind = ARGV[pos]
  return pos + (kind == 'z' and 4 or kind == 't' and 3 + 2 * ARGV[pos + 2] or kind == 'l' and 3 or 2)
end
-- False only if the record surely has no entry but a number's under this name: most often told without parsing.
local function may_list(record, name)
  return record.index or find(record.before, name .. '=', 1, true)
end
-- `numbers_only`: the other entries are known to be as they should.
local function apply_items(record, claims_from, claims_to, from, to, numbers_only)
  local model = record.model
  local before, names, pos = nil, {}, from
  while pos <= to do
    names[ARGV[pos + 1]] = true
    pos = behind(pos)
  end
  if joins(model, names) then before = composite_tokens(record) end
  if not numbers_only then
    for n = claims_from, claims_to, 2 do reindex_only(record, 'u', ARGV[n], { ARGV[n + 1] }) end
  end
  pos = from
  while pos <= to do
    local kind, name = ARGV[pos], ARGV[pos + 1]
    if kind == 'z' then
      set_number(record, name, ARGV[pos + 2], ARGV[pos + 3])
      if not numbers_only and may_list(record, name) then reindex_only(record, nil, name) end
    elseif kind == 't' then
      local tokens, texts = {}, {}
      for t = 1, tonumber(ARGV[pos + 2]) do tokens[t], texts[t] = ARGV[pos + 1 + 2 * t], ARGV[pos + 2 + 2 * t] end
      if not numbers_only then reindex_only(record, 't', name, tokens[1] and tokens, texts) end
    elseif kind == 'l' then
      if not numbers_only then reindex_only(record, 'l', name, { ARGV[pos + 2] }) end
    else
      if is_number(model, name) then set_number(record, name, false, '') end
      if not numbers_only then reindex_only(record, 't', name, NONE) end
    end
    pos = behind(pos)
  end
  if before then recompose(record, before, names) end
end

-- The entries of a record of which nothing is stored and no entry is left: nothing to compare with.
local function put_new(record, claims_from, claims_to, from, to)
  local model, member, pos = record.model, record.member, from
  local scores, tags = model.scores, model.tags
  for n = claims_from, claims_to, 2 do hash(model.base .. ':u:' .. ARGV[n])[ARGV[n + 1]] = member end
  while pos <= to do
    local kind, name = ARGV[pos], ARGV[pos + 1]
    if kind == 'z' then
      local score, exact = ARGV[pos + 2], ARGV[pos + 3]
      zset(number_key(model, name))[member] = score
      if exact ~= '' then hash(model.base .. ':x:' .. name)[member] = exact end
      scores[name] = score
      pos = pos + 4
    elseif kind == 't' then
      local last = pos + 1 + 2 * ARGV[pos + 2]
      for t = pos + 3, last, 2 do tag_set(model, name, ARGV[t], ARGV[t + 1])[member] = true end
      tags[name] = pos
      pos = last + 2
    elseif kind == 'l' then
      zset(number_key(model, name))[ARGV[pos + 2] .. '\0\0' .. member] = '0'
      pos = pos + 3
    else
      tag_set(model, name, '%', '')[member] = true
      scores[name], tags[name] = false, 0
      pos = pos + 2
    end
  end
  for c = 1, #model.composites do
    local composite = model.composites[c]
    local score, tag = scores[composite.range], tags[composite.tag]
    if score and tag == 0 then
      zset(composite.stem .. '%')[member] = score
    elseif score then
      for t = tag + 3, tag + 1 + 2 * ARGV[tag + 2], 2 do zset(composite.stem .. ARGV[t])[member] = score end
    end
  end
end

-- Entries of fields that a whole record, as these items say, does not have.
local function drop_others(record, claims_from, claims_to, from, to)
  local named, ids, names, pos = {}, {}, {}, from
  for n = claims_from, claims_to, 2 do named[ARGV[n]] = true end
  while pos <= to do
    named[ARGV[pos + 1]] = true
    pos = behind(pos)
  end
  for id in pairs(index_of(record)) do if not named[sub(id, 2)] then ids[#ids + 1] = id end end
  if #ids == 0 then return end
  local before = composite_tokens(record)
  for n = 1, #ids do
    names[sub(ids[n], 2)] = true
    reindex_field(record, sub(ids[n], 1, 1), sub(ids[n], 2), nil)
  end
  recompose(record, before, names)
end

-- `_null` is a comma list of the fields whose value is None.
local function set_nulls(record, added, removed)
  local nulls, list = {}, {}
  for name in string.gmatch(record.nulls, '[^,]+') do nulls[name] = true end
  for n = 1, #removed do nulls[removed[n]] = nil end
  for n = 1, #added do nulls[added[n]] = true end
  for name in pairs(nulls) do list[#list + 1] = name end
  table.sort(list)
  local text = concat(list, ',')
  if text ~= record.nulls then record.fields._null = text ~= '' and text or false end
  record.nulls = text
end

-- ttl: '' keep, '-' none, '=ms' from now, '?ms' from now if the record is new, '+ms' longer than it has
local function apply_lifetime(record, ttl)
  local kind, ms = sub(ttl, 1, 1), tonumber(sub(ttl, 2))
  if kind == '=' or (kind == '?' and not record.live) then
    set_deadline(record, now + ms)
  elseif kind == '+' then
    if record.deadline then set_deadline(record, record.deadline + ms) end
  elseif kind == '-' or not record.live then
    if record.deadline then set_deadline(record, nil) end
  end
end

-- List the record; keep the memo what its entries are.
local function register(record, reindexed)
  local model = record.model
  if not record.registered then zset(model.registry)[record.member] = '0' end
  if record.deadline or model.evictable then
    if reindexed or record.deadline_changed then hash(model.memo)[record.member] = record.before end
  elseif (record.deadline_changed or not record.live) and size_of(model.memo, 'HLEN') > 0 then
    hash(model.memo)[record.member] = false
  end
  record.registered, record.indexed, record.live, record.changed, record.removed = true, true, true, true, false
end
local function finish(record)
  local reindexed = record.reindexed
  if reindexed then
    record.before, record.reindexed = render_index(record), false
    record.fields._ix = record.before
  end
  register(record, reindexed)
end
local function next_version(record)
  if not record.model.versioned then return 1 end
  -- a new record starts from the clock, so that what was read of an earlier one with its key is outdated
  record.version = (record.live and record.version or clock[1] * 1000000 + clock[2]) + 1
  record.fields._v = format('%.0f', record.version)
  return record.version
end

local mutate = {}

-- put model record condition ttl nulls _ix | claims: n word... | fields: n word... | items: n word...
-- condition 'absent' or ''. The record becomes exactly this, whatever had the key.
function mutate.put(model)
  local position, condition, ttl, nulls, text = take_number(), take(), take(), take(), take()
  local claims_from, claims_to = take_words()
  local fields_from, fields_to = take_words()
  local from, to = take_words()
  local record = open_record(model, position, true)
  if condition == 'absent' and record.live then return nil, { 'exists' } end
  if claims_from <= claims_to then
    local conflict = claim_conflict(record, claims_from, claims_to)
    if conflict then return nil, conflict end
  end
  if model.parts and not record.live then record.parts_go = parts_of(record)[1] ~= nil end
  if ttl ~= '' or record.deadline then apply_lifetime(record, ttl) end
  record.fields, record.fields_from, record.fields_to, record.nulls = {}, fields_from, fields_to, nulls
  local version = next_version(record)
  if not (record.indexed or record.registered or record.changed or record.stored) then
    put_new(record, claims_from, claims_to, from, to)
  else
    if record.before ~= text then drop_others(record, claims_from, claims_to, from, to) end
    apply_items(record, claims_from, claims_to, from, to, record.before == text)
  end
  record.whole, record.before, record.index, record.reindexed = text, text, nil, false
  register(record, true)
  return version
end

local function field_of(record, name)
  local text = record.fields[name]
  if text ~= nil then return text end
  if record.whole then
    for n = record.fields_from, record.fields_to, 2 do if ARGV[n] == name then return ARGV[n + 1] end end
    return false
  end
  return call('HGET', record.key, name)
end
-- A guard is a program, or the word `=`: that of the mutation before, which it is parsed for once.
local function take_guard()
  local from, to = take_words()
  if from ~= to or ARGV[from] ~= '=' then guarded_from, guarded_to = from, to end
  return guarded_from, guarded_to
end

-- set model record version ttl | guard: n word... | claims | fields | nulls: n name... | items
-- version '' or the one the writer read; guard: no words, or what the record must satisfy (else result 0).
-- swap model record name text | as in set, of which it is one that also requires that the field's text is still this
-- ('' for none): else result -1, and 0 for a record that is gone.
local function write_fields(model, position, name, text)
  local version, ttl = take(), take()
  local guard_from, guard_to = take_guard()
  local claims_from, claims_to = take_words()
  local fields_from, fields_to = take_words()
  local nulls_from, nulls_to = take_words()
  local from, to = take_words()
  local record = open_record(model, position)
  if not record.live then
    if name or guard_from <= guard_to then return 0 end
    return nil, { 'missing' }
  end
  if version ~= '' and tonumber(version) ~= record.version then return nil, { 'version' } end
  if guard_from <= guard_to and not library().satisfied(ARGV, model, record.member, guard_from) then return 0 end
  if name and (field_of(record, name) or '') ~= text then return -1 end
  local conflict = claim_conflict(record, claims_from, claims_to)
  if conflict then return nil, conflict end
  if ttl ~= '' then apply_lifetime(record, ttl) end
  local fields, set, unset = record.fields, {}, {}
  for n = fields_from, fields_to, 2 do
    fields[ARGV[n]] = ARGV[n + 1]
    set[#set + 1] = ARGV[n]
  end
  for n = nulls_from, nulls_to do
    fields[ARGV[n]] = false
    unset[#unset + 1] = ARGV[n]
  end
  if #unset > 0 or record.nulls ~= '' then set_nulls(record, unset, set) end
  local result = model.versioned and record.version or 1
  if #set + #unset > 0 then result = next_version(record) end
  if record.indexed then
    if from <= to or claims_from <= claims_to then apply_items(record, claims_from, claims_to, from, to) end
    finish(record)
  end
  -- a hash without `_ix` is another program's: it stays out of every index until `reindex`
  record.changed = true
  return result
end

function mutate.set(model) return write_fields(model, take_number()) end
function mutate.swap(model) return write_fields(model, take_number(), take(), take()) end

local function breaks(op, order)
  return op == 'ge' and order < 0 or op == 'gt' and order <= 0 or op == 'le' and order > 0 or op == 'lt' and order >= 0
end
local function shortest(value)
  for digits = 15, 17 do
    local text = format('%.' .. digits .. 'g', value)
    if tonumber(text) == value then return text end
  end
end
local function float_sum(old, delta, bounds)
  local number = library().number
  local first, step = number(old), number(delta)
  if not first then return nil, 'number' end
  local sum = first + step
  if sum ~= sum then return nil, 'nan' end
  for _, bound in ipairs(bounds) do
    local limit = number(bound.text)
    if breaks(bound.op, sum < limit and -1 or sum > limit and 1 or 0) then return nil, 'bound' end
  end
  if sum == math.huge or sum == -math.huge then return sum > 0 and 'inf' or '-inf', '' end
  return shortest(sum == 0 and 0 or sum), ''
end
-- Integers whose sum a double holds exactly need no decimal arithmetic.
local function small_sum(old, delta, bounds)
  if #old > 15 or #delta > 15 or not find(old, '^%-?%d+$') or not find(delta, '^%-?%d+$') then return nil end
  local sum = tonumber(old) + tonumber(delta)
  for _, bound in ipairs(bounds) do
    if #bound.text > 15 or not find(bound.text, '^%-?%d+$') then return nil end
    local limit = tonumber(bound.text)
    if breaks(bound.op, sum < limit and -1 or sum > limit and 1 or 0) then return nil, 'bound' end
  end
  return format('%.0f', sum), ''
end
-- The new text of a number and its exact form ('' when its double gives it back); nil and why when it cannot be.
local function add(kind, old, delta, bounds)
  if kind == 'f' then return float_sum(old, delta, bounds) end
  if kind == 'i' then
    local text, exact = small_sum(old, delta, bounds)
    if text or exact then return text, exact end
    if not find(old, '^%-?%d+$') then return nil, 'number' end
  end
  local sum, text, form = library().decimal_sum(old, delta)
  if not sum then return nil, text end
  for _, bound in ipairs(bounds) do
    if breaks(bound.op, library().decimal_bound(sum, bound.text)) then return nil, 'bound' end
  end
  if #text <= 15 and not find(text, 'E', 1, true) then return text, '' end -- a double gives 15 digits back
  local double = tonumber(text)
  if kind == 'i' then return text, format('%.0f', double) == text and '' or form end
  local gives_back = double ~= math.huge and double ~= -math.huge and library().decimal_form(shortest(double)) == form
  return text, gives_back and '' or form
end
local function score_text(text)
  local double = tonumber(text)
  if not double then return text end -- a float's infinity
  if double == math.huge then return 'inf' end
  if double == -math.huge then return '-inf' end
  if double == 0 then return '0' end -- text that stands for less than the least double is refused as a score
  return #text > 15 and shortest(double) or text
end

-- inc model record version ttl | n (name kind indexed delta default | n (op bound)...)...
-- kind i (int), d (Decimal), f (float); default: the text that stands in for an absent field, '' for None.
function mutate.inc(model)
  local position, version, ttl = take_number(), take(), take()
  local steps = {}
  for n = 1, take_number() do
    local step = { name = take(), kind = take(), indexed = take() == '1', delta = take(), default = take(), bounds = {} }
    for b = 1, take_number() do step.bounds[b] = { op = take(), text = take() } end
    steps[n] = step
  end
  local record = open_record(model, position)
  if not record.live then return nil, { 'missing' } end
  if version ~= '' and tonumber(version) ~= record.version then return nil, { 'version' } end
  local results, exacts, names = {}, {}, {}
  for n, step in ipairs(steps) do
    local old = field_of(record, step.name)
    if not old then
      if step.default == '' or find(',' .. record.nulls .. ',', ',' .. step.name .. ',', 1, true) then
        return nil, { 'none', step.name }
      end
      old = step.default
    end
    results[n], exacts[n] = add(step.kind, old, step.delta, step.bounds)
    if not results[n] then return nil, { exacts[n], step.name } end
  end
  if ttl ~= '' then apply_lifetime(record, ttl) end
  for n, step in ipairs(steps) do
    record.fields[step.name] = results[n]
    if step.indexed and record.indexed then
      set_number(record, step.name, score_text(results[n]), exacts[n])
      names[step.name] = true
    end
  end
  if record.indexed and joins(model, names) then recompose(record, composite_tokens(record), names) end
  results[#results + 1] = next_version(record)
  if record.indexed then finish(record) end
  record.changed = true
  return results
end

-- del model record version | guard; result 1 if there was a live record
function mutate.del(model)
  local position, version = take_number(), take()
  local guard_from, guard_to = take_guard()
  local record = open_record(model, position)
  if not record.live and not record.registered and not record.stored then
    if parts_of(record)[1] then erase(record) end -- what is left of a record that another program deleted
    return 0
  end
  if guard_from <= guard_to and not (record.live and library().satisfied(ARGV, model, record.member, guard_from)) then return 0 end
  if version ~= '' and record.live and tonumber(version) ~= record.version then return nil, { 'version' } end
  local lived = record.live
  erase(record)
  return lived and 1 or 0
end

-- life model record ttl | guard; result: the deadline's distance in ms, -1 for none
function mutate.life(model)
  local position, ttl = take_number(), take()
  local guard_from, guard_to = take_guard()
  local record = open_record(model, position)
  if not record.live then
    if guard_from <= guard_to then return -2 end
    return nil, { 'missing' }
  end
  if guard_from <= guard_to and not library().satisfied(ARGV, model, record.member, guard_from) then return -2 end
  apply_lifetime(record, ttl)
  if record.deadline_changed then
    if record.indexed then finish(record) end
    record.changed = true
  end
  return record.deadline and record.deadline - now or -1
end

-- look model record | n tag-field... | claims it is known to hold: n word...
-- A record that an index lists but a reader found missing; 1 if it was cleaned.
function mutate.look(model)
  local position = take_number()
  local from, to = take_words()
  local claims_from, claims_to = take_words()
  local record = open_record(model, position)
  if record.stored or not record.registered then return 0 end
  if not record.indexed then
    -- gone without a memo: its tokens are not known, so every token of a moderate listing is asked
    local index = index_of(record)
    for n = from, to do
      local listing = model.base .. ':v:' .. ARGV[n]
      local tokens = call('HLEN', listing) <= 1000 and call('HKEYS', listing) or {}
      tokens[#tokens + 1] = '%'
      index['t' .. ARGV[n]] = tokens
    end
    for n = claims_from, claims_to, 2 do index['u' .. ARGV[n]] = { ARGV[n + 1] } end
  end
  erase(record)
  return 1
end

-- mend model record | absent: n word... | unset: n name... | claims | fields | nulls: n name... | items
-- Index a stored record anew from its values, which the caller read: 0 if they are not what is stored any more. Every
-- entry is written again, known or not, the deadline follows the key's own expiry, and absent fields get their default.
function mutate.mend(model)
  local position = take_number()
  local absent_from, absent_to = take_words()
  local unset_from, unset_to = take_words()
  local claims_from, claims_to = take_words()
  local fields_from, fields_to = take_words()
  local nulls_from, nulls_to = take_words()
  local from, to = take_words()
  local record = open_record(model, position)
  if not record.stored then return 0 end
  record.nulls = call('HGET', record.key, '_null') or ''
  local none, unset = ',' .. record.nulls .. ',', {}
  for n = fields_from, fields_to, 2 do if call('HGET', record.key, ARGV[n]) ~= ARGV[n + 1] then return 0 end end
  for n = nulls_from, nulls_to do if not find(none, ',' .. ARGV[n] .. ',', 1, true) then return 0 end end
  for n = absent_from, absent_to, 2 do if call('HEXISTS', record.key, ARGV[n]) == 1 then return 0 end end
  for n = unset_from, unset_to do
    if call('HEXISTS', record.key, ARGV[n]) == 1 then return 0 end
    unset[#unset + 1] = ARGV[n]
  end
  local conflict = claim_conflict(record, claims_from, claims_to)
  if conflict then return nil, conflict end
  for n = absent_from, absent_to, 2 do record.fields[ARGV[n]] = ARGV[n + 1] end
  if #unset > 0 then set_nulls(record, unset, {}) end
  if model.versioned and record.version == 0 then next_version(record) end
  local before, ids = composite_tokens(record), {}
  for _, composite in ipairs(model.composites) do
    for _, token in ipairs(before[composite.tag] or {}) do zset(composite.stem .. token)[record.member] = false end
  end
  for id in pairs(index_of(record)) do ids[#ids + 1] = id end
  for n = 1, #ids do reindex_field(record, sub(ids[n], 1, 1), sub(ids[n], 2), nil) end
  record.index, record.order, record.live, record.registered = {}, {}, true, false
  local left = call('PTTL', record.key)
  if left < 0 then
    if record.deadline then set_deadline(record, nil) end
  elseif not record.deadline or math.abs(record.deadline - now - left) > 1000 then
    set_deadline(record, now + left)
  end
  mending = true
  apply_items(record, claims_from, claims_to, from, to)
  mending, record.reindexed = false, true
  finish(record)
  return 1
end

-- Whether the server has no expiry of hash fields: no step that writes one can be made.
local function lacks_fading(model)
  if model.lacks == nil then
    local known = redis.pcall('HPTTL', KEYS[model.first + 1], 'FIELDS', 1, model.fading[1].name)
    model.lacks = type(known) == 'table' and known.err ~= nil
  end
  return model.lacks
end

-- Phase 1: decide.
local function decide()
  for n = 1, take_number() do
    current = n
    local name = take()
    local model = models[take_number()]
    if model.fades and name ~= 'del' and name ~= 'life' and name ~= 'look' and lacks_fading(model) then
      refused[#refused + 1] = { n, 'fading', model.fading[1].name }
    end
    local result, failure = mutate[name](model)
    results[n] = result or 0
    if failure then failures[#failures + 1] = { n, unpack(failure) } end
    if result ~= 1 then plain = false end
  end
end
-- Of a whole step, a unique value may pass from one record to another in any order.
local function judge_claim(claim)
  local record = claim.record
  local model, member = record.model, record.member
  local key = model.base .. ':u:' .. claim.name
  local ours, owner = hashes[key] and hashes[key][claim.token], nil
  if ours and ours ~= member then
    owner = ours
  elseif ours then
    local stored = call('HGET', key, claim.token)
    if stored and stored ~= member then
      local other = owners[model.base][stored]
      if other then
        local list = other.live and index_of(other)['u' .. claim.name]
        if list and list[1] == claim.token then owner = stored end
      elseif owner_lives(model, stored) then
        owner = stored
      end
    end
  end
  if owner then failures[#failures + 1] = { claim.position, 'unique', claim.name, owner, claim.token } end
end

-- Sweep a bounded number of overdue records by what their memos say.
local function sweep(model)
  local overdue = call('ZRANGEBYSCORE', model.due, '-inf', '(' .. format('%.0f', now), 'LIMIT', 0, model.sweep)
  for _, member in ipairs(overdue) do
    if not sorted[model.due] or sorted[model.due][member] == nil then
      local memo = size_of(model.memo, 'HLEN') > 0 and call('HGET', model.memo, member)
      local record = { model = model, member = member, deadline = 0, stored = false, fields = {}, before = memo or '' }
      erase(record)
      record.key = library().record_key(model.base, model.int_keys, member)
      swept[#swept + 1] = record
    end
  end
end

-- What caches depend on (cache_drop.lua): judged by the records as they are, and once more as they will be.
local function watched()
--@include cache_drop.lua
end
local function watch_caches()
  for n = 1, #models do
    if models[n].caches then return watched() end
  end
end

-- Phase 2: act. Everything below can only succeed.
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
    call('PEXPIREAT', key, format('%.0f', deadline))
  else
    call('PERSIST', key)
  end
end
local function store_fields(record)
  local texts, gone = {}, {}
  for name, text in pairs(record.fields) do
    if text then
      texts[#texts + 1] = name
      texts[#texts + 1] = text
    else
      gone[#gone + 1] = name
    end
  end
  if texts[1] then in_chunks('HSET', record.key, texts) end
  record.gone = gone
end
local function take_away(record)
  if record.live then
    if record.whole and record.stored then record.gone = surplus(record) end
    if record.gone and record.gone[1] then in_chunks('HDEL', record.key, record.gone) end
    if record.deadline_changed or (record.overdue and record.stored) then
      set_end(record.key, record.deadline)
      for _, key in ipairs(parts_of(record)) do set_end(key, record.deadline) end
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
local function write_indexes()
  for key, changes in pairs(sorted) do
    local adds, drops = sides(changes, true)
    if drops[1] and sizes[key] > 0 then in_chunks('ZREM', key, drops) end
    if adds[1] then in_chunks('ZADD', key, adds) end
  end
  for key, changes in pairs(sets) do
    local adds, drops = sides(changes)
    local left = sizes[key]
    if adds[1] then left = left + in_chunks('SADD', key, adds) end
    if drops[1] and sizes[key] > 0 then left = left - in_chunks('SREM', key, drops) end
    local listing = listings[key]
    if listing and listing[2] ~= '%' then
      -- kept with the set's first and last member
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

local function answer()
  if #results == 0 then
    -- a step without mutations only sweeps, and says how much
    plain, results = false, { #swept }
  end
  if #failures > 0 then return { 'O', results, failures } end
  return plain and { 'O' } or { 'O', results }
end
local function remember(reply)
  if acknowledged_from <= acknowledged_to then
    call('ZREM', operations, unpack(ARGV, acknowledged_from, acknowledged_to))
  end
  if stamp == '' then return end
  call('ZREMRANGEBYSCORE', operations, '-inf', '(' .. format('%.0f', clock[1] * 1000000 + clock[2] - window))
  local done = false
  for n = 1, #opened do done = done or opened[n].changed end
  -- a step that only deletes stores its token last; on a full server that alone may be refused, and is not missed
  if done then redis.pcall('ZADD', operations, stamp, operation .. pack_reply(reply)) end
end

local function run()
  local refusal = stamp ~= '' and answered() or undeclared()
  if refusal then return refusal end
  decide()
  for n = 1, #claims do judge_claim(claims[n]) end
  if refused[1] then return { 'F', refused } end
  if all and #failures > 0 then return { 'F', failures } end
  for n = 1, #models do
    if models[n].sweep > 0 and size_of(models[n].due, 'ZCARD') > 0 then sweep(models[n]) end
  end
  local drop_watches = watch_caches()
  write_records()
  write_indexes()
  if drop_watches then drop_watches() end
  local reply = answer()
  remember(reply)
  return reply
end
local function main(keys, args)
  begin(keys, args)
  local reply = run()
  KEYS, ARGV, models, sorted, sets, hashes, records, opened, owners = nil -- a large step is not kept till the next
  return reply
end
