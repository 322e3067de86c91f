-- apply: the one script that writes records. Check everything, then write everything.
--
-- KEYS  the key of every record a mutation names (so that a moving cluster slot answers TRYAGAIN, never "missing")
-- ARGV  stamp id window mode | acknowledged: n member... | models: n model... | n mutation...
--   stamp, id    the operation token: estimated server time in us, and a client's own id; '' for none
--   window       us a token is remembered
--   mode         'all': one failure and nothing is written; 'each': failing mutations are left out and reported
--   acknowledged members of :op whose answers have arrived: forgotten
--   model        base writer int_keys evictable versioned sweep | n number-field... | n (tag range)...
--   mutation     put | set | inc | del | life | look, as read below
-- reply {'O', results}            every mutation's result (absent: all 1)
--       {'O', results, failures}  mode 'each', some failed
--       {'F', failures}           mode 'all', nothing written; a failure is {position from 1, code, detail...}
--       {'M', model}              the writer's declaration is not registered (declare.lua), nothing written
--       {'X', server time in us}  the stamp is too far off to tell a retry by: nothing written
--
-- Invariants: index entries are removed by what the record itself says (`_ix`, or the memo when the record is gone);
-- every check comes before the first write; the first write needs memory when the step stores anything (so that a
-- full server refuses the whole step); nothing is judged missing on an undeclared key.
--@include reading.lua

local clock = redis.call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)

-- Index keys by field name, each made once.
local function keys_of(base, kind)
  return setmetatable({}, { __index = function(known, name)
    local key = base .. kind .. name
    known[name] = key
    return key
  end })
end
local stamp, operation, window, all = take(), take(), take_number(), take() == 'all'
local acknowledged = take_list()
local models = {}
for n = 1, take_number() do
  local model = { base = take(), writer = take(), int_keys = take() == '1', evictable = take() == '1',
    versioned = take() == '1', sweep = take_number(), numbers = take_list(), composites = {} }
  for c = 1, take_number() do model.composites[c] = { tag = take(), range = take() } end
  model.ranges, model.exacts = keys_of(model.base, ':i:'), keys_of(model.base, ':x:')
  model.sets = setmetatable({}, { __index = function(known, name)
    local stem = model.base .. ':t:' .. name .. ':'
    known[name] = stem
    return stem
  end })
  models[n] = model
end

-- Conditions and arithmetic are needed by few steps: their functions are made when a mutation asks for them.
local parse_program, evaluate
local function guarded(base)
  if not parse_program then
    parse_program, evaluate = (function()
--@include match.lua
      return parse_program, evaluate
    end)()
  end
  return parse_program(base)
end
local function take_guard(base)
  if ARGV[cursor + 1] == '0' then
    cursor = cursor + 1
    return {}
  end
  return guarded(base)
end

-- A retry of what was applied before returns the first answer.
local function pack_reply(value)
  if type(value) ~= 'table' then
    local text = tostring(value)
    return (type(value) == 'number' and 'i' or 's') .. #text .. ':' .. text
  end
  local parts = {}
  for n = 1, #value do parts[n] = pack_reply(value[n]) end
  return 'l' .. #value .. ':' .. table.concat(parts)
end
local function unpack_reply(text, at)
  local _, last, kind, size = find(text, '^(.)(%d+):', at)
  if kind == 'l' then
    local list, pos = {}, last + 1
    for n = 1, tonumber(size) do list[n], pos = unpack_reply(text, pos) end
    return list, pos
  end
  local value = sub(text, last + 1, last + tonumber(size))
  return kind == 'i' and tonumber(value) or value, last + tonumber(size) + 1
end
local operations = models[1].base .. ':op'
if stamp ~= '' then
  for _, seen in ipairs(redis.call('ZRANGEBYSCORE', operations, stamp, stamp)) do
    if sub(seen, 1, #operation) == operation then return (unpack_reply(seen, #operation + 1)) end
  end
  -- half the window: while a token is young enough to be accepted, a retry of it cannot yet have been forgotten
  local server_us = clock[1] * 1000000 + clock[2]
  if math.abs(server_us - tonumber(stamp)) > window / 2 then return { 'X', server_us } end
end
for n = 1, #models do
  if redis.call('HEXISTS', models[n].base .. ':meta', 'w:' .. models[n].writer) == 0 then return { 'M', n } end
end

-- What the step will do, by key: the last word on a member wins. Reads of what the step itself changed look here first.
local sorted, sets, hashes, texts = {}, {}, {}, {} -- key -> member -> score|false, true|false, value|false, token text
local records = {}                                 -- by KEYS position
local claims, current = {}, 0                      -- unique values wanted, judged at the end; the mutation at work

local TYPES = { r = 'hash', k = 'zset', i = 'zset', c = 'zset', d = 'zset', t = 'set', u = 'hash', v = 'hash', x = 'hash', m = 'hash' }
local touched = {}
local function touch(key, kind)
  local found = touched[key]
  if not found then
    found = redis.call('TYPE', key).ok
    if found ~= 'none' and found ~= TYPES[kind] then
      error('WRONGTYPE a key of this model does not hold a ' .. TYPES[kind])
    end
    touched[key] = found
  end
  return found ~= 'none'
end
local function put_in(store, key, kind, member, value)
  local changes = store[key]
  if not changes then
    touch(key, kind)
    changes = {}
    store[key] = changes
  end
  changes[member] = value
end
local function score_of(key, member)
  local changes = sorted[key]
  if changes and changes[member] ~= nil then return changes[member] end
  return redis.call('ZSCORE', key, member)
end

-- _ix: for each field `kind name = (length : payload)... ;` with kind t (tag tokens, '%' for None), l (text) or u.
local function parse_index(text)
  local index, order, pos = {}, {}, 1
  while pos <= #text do
    local _, last, id = find(text, '^([^=]+)=', pos)
    if not last then break end -- not of our making: check() tells
    local list = {}
    pos = last + 1
    while sub(text, pos, pos) ~= ';' do
      local _, colon, size = find(text, '^(%d+):', pos)
      if not colon then return index, order end
      list[#list + 1] = sub(text, colon + 1, colon + tonumber(size))
      pos = colon + tonumber(size) + 1
    end
    pos = pos + 1
    index[id] = list
    order[#order + 1] = id
  end
  return index, order
end
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
  return table.concat(out)
end

local function open_record(model, position, member)
  local record = records[position]
  if record then return record end
  local base = model.base
  record = { model = model, key = KEYS[position], member = member, fields = {}, changed = false }
  local there = touch(record.key, 'r')
  local stored = there and redis.call('HMGET', record.key, '_ix', '_v', '_null') or { false, false, false }
  local deadline = touch(base .. ':due', 'd') and redis.call('ZSCORE', base .. ':due', member)
  record.deadline = deadline and tonumber(deadline) or nil
  record.had_deadline = record.deadline ~= nil
  record.stored = there
  record.overdue = record.deadline ~= nil and record.deadline < now
  record.live = there and not record.overdue
  local memo = stored[1]
  if not there and (deadline or model.evictable) and touch(base .. ':memo', 'm') then
    memo = redis.call('HGET', base .. ':memo', member)
  end
  record.indexed = memo ~= false and memo ~= nil
  -- a record with an index is registered; of others only who needs to know asks
  record.registered = there and record.indexed
  record.before = memo or ''
  record.index, record.order = parse_index(record.before)
  record.version = record.live and tonumber(stored[2] or 0) or 0
  record.nulls = record.live and stored[3] or ''
  records[position] = record
  return record
end
local function is_registered(record)
  local registry = record.model.base .. ':k'
  return record.registered or (touch(registry, 'k') and redis.call('ZSCORE', registry, record.member) ~= false)
end

local function owner_of(key, token)
  local changes = hashes[key]
  if changes and changes[token] ~= nil then return changes[token] end
  return redis.call('HGET', key, token)
end
local function owner_lives(base, owner)
  local deadline = touch(base .. ':due', 'd') and score_of(base .. ':due', owner)
  return not deadline or tonumber(deadline) >= now
end
local function taken_by_another(base, name, token, member)
  local key = base .. ':u:' .. name
  touch(key, 'u')
  local owner = owner_of(key, token)
  if owner and owner ~= member and owner_lives(base, owner) then return owner end
end

-- Make the record's entries under one id what `new` says (a list of payloads, or nil for none).
local function reindex_field(record, kind, name, new)
  local id, base, member = kind .. name, record.model.base, record.member
  local old, keep = record.index[id], {}
  if old and new then for n = 1, #new do keep[new[n]] = true end end
  for n = 1, old and #old or 0 do
    local payload = old[n]
    if not keep[payload] then
      if kind == 't' then
        put_in(sets, base .. ':t:' .. name .. ':' .. payload, 't', member, false)
      elseif kind == 'l' then
        put_in(sorted, base .. ':i:' .. name, 'i', payload .. '\0\0' .. member, false)
      else
        local key = base .. ':u:' .. name
        touch(key, 'u')
        if owner_of(key, payload) == member then put_in(hashes, key, 'u', payload, false) end
      end
    end
  end
  if new then
    for n = 1, #new do
      local payload = new[n]
      if kind == 't' then
        put_in(sets, record.model.sets[name] .. payload, 't', member, true)
      elseif kind == 'l' then
        put_in(sorted, record.model.ranges[name], 'i', payload .. '\0\0' .. member, '0')
      else
        put_in(hashes, base .. ':u:' .. name, 'u', payload, member)
      end
    end
    if not record.index[id] then record.order[#record.order + 1] = id end
  end
  record.index[id] = new
end

local function set_number(record, name, score, exact)
  local model, member = record.model, record.member
  put_in(sorted, model.ranges[name], 'i', member, score)
  local exacts = model.exacts[name]
  if exact ~= '' or touch(exacts, 'x') then
    put_in(hashes, exacts, 'x', member, exact ~= '' and exact)
  end
end

-- One sorted set per tag token, holding the range's score; `before` has the tag's tokens as they were.
local function recompose(record, before, names)
  if #record.model.composites == 0 then return end
  local base, member = record.model.base, record.member
  for _, composite in ipairs(record.model.composites) do
    if names[composite.tag] or names[composite.range] then
      local tokens, score = record.index['t' .. composite.tag] or {}, nil
      local stem = base .. ':c:' .. composite.tag .. ':' .. composite.range .. ':'
      if record.live or names[composite.range] then score = score_of(base .. ':i:' .. composite.range, member) end
      local keep = {}
      for n = 1, #tokens do keep[tokens[n]] = true end
      for _, token in ipairs(before[composite.tag] or {}) do
        if not keep[token] then put_in(sorted, stem .. token, 'c', member, false) end
      end
      for n = 1, #tokens do put_in(sorted, stem .. tokens[n], 'c', member, score or false) end
    end
  end
end
local function composite_tokens(record)
  local before = {}
  for _, composite in ipairs(record.model.composites) do before[composite.tag] = record.index['t' .. composite.tag] end
  return before
end

local function set_deadline(record, deadline)
  local due = record.model.base .. ':due'
  record.deadline, record.deadline_changed = deadline, true
  if deadline then
    put_in(sorted, due, 'd', record.member, format('%.0f', deadline))
  elseif touch(due, 'd') or sorted[due] then
    put_in(sorted, due, 'd', record.member, false)
  end
end

-- Take every entry about the record out of every index, and the record out of the registry.
local function erase(record)
  local base, member, model = record.model.base, record.member, record.model
  local before, names = composite_tokens(record), {}
  for _, composite in ipairs(model.composites) do names[composite.tag] = true end
  for id in pairs(record.index) do reindex_field(record, sub(id, 1, 1), sub(id, 2), nil) end
  record.order = {}
  for _, name in ipairs(model.numbers) do set_number(record, name, false, '') end
  recompose(record, before, names)
  put_in(sorted, base .. ':k', 'k', member, false)
  if record.deadline then set_deadline(record, nil) end
  if touch(base .. ':memo', 'm') or hashes[base .. ':memo'] then put_in(hashes, base .. ':memo', 'm', member, false) end
  record.live, record.registered, record.fields, record.nulls, record.version = false, false, {}, '', 0
  record.span = nil
  record.deadline, record.removed, record.changed = nil, record.stored, true
end

-- The index items of a put or a set; checked first (uniques), then applied.
--   z name score exact | l name text | t name n (token text)... | u name token | 0 name
local function take_items()
  local items, c = {}, cursor + 1
  for n = 1, tonumber(ARGV[c]) do
    local kind = ARGV[c + 1]
    local item = { kind = kind, name = ARGV[c + 2] }
    c = c + 2
    if kind == 'z' then
      item.score, item.exact = ARGV[c + 1], ARGV[c + 2]
      c = c + 2
    elseif kind == 't' then
      local count = tonumber(ARGV[c + 1])
      local tokens, token_texts = {}, {}
      for t = 1, count do tokens[t], token_texts[t] = ARGV[c + 2 * t], ARGV[c + 2 * t + 1] end
      item.tokens, item.texts = tokens, token_texts
      c = c + 1 + 2 * count
    elseif kind ~= '0' then
      item.payload = ARGV[c + 1]
      c = c + 1
    end
    items[n] = item
  end
  cursor = c
  return items
end
local function claim_conflict(record, items)
  local base = record.model.base
  for n = 1, #items do
    local item = items[n]
    if item.kind == 'u' then
      if all then
        claims[#claims + 1] = { base = base, name = item.name, token = item.payload, record = record, position = current }
      else
        local owner = taken_by_another(base, item.name, item.payload, record.member)
        if owner then return { 'unique', item.name, owner } end
      end
    end
  end
end
local NONE = { '%' }
local function apply_items(record, items)
  if #items == 0 then return end
  local before, names = composite_tokens(record), {}
  for n = 1, #items do
    local item, name = items[n], items[n].name
    names[name] = true
    if item.kind == 'z' then
      set_number(record, name, item.score, item.exact)
      if record.index['t' .. name] then reindex_field(record, 't', name, nil) end
    elseif item.kind == 't' then
      reindex_field(record, 't', name, #item.tokens > 0 and item.tokens or nil)
      for t = 1, #item.tokens do
        local set = record.model.base .. ':t:' .. name .. ':' .. item.tokens[t]
        if item.tokens[t] ~= '%' and touched[set] == 'none' then put_in(texts, record.model.base .. ':v:' .. name, 'v', item.tokens[t], item.texts[t]) end
      end
    elseif item.kind == '0' then
      for _, number_field in ipairs(record.model.numbers) do
        if number_field == name then set_number(record, name, false, '') end
      end
      if record.index['l' .. name] then reindex_field(record, 'l', name, nil) end
      if record.index['u' .. name] then reindex_field(record, 'u', name, nil) end
      reindex_field(record, 't', name, NONE)
    else
      reindex_field(record, item.kind, name, { item.payload })
      if record.index['t' .. name] then reindex_field(record, 't', name, nil) end
    end
  end
  recompose(record, before, names)
end

-- `_null` is a comma list of the fields whose value is None.
local function set_nulls(record, names, value)
  local nulls = {}
  for name in string.gmatch(record.nulls, '[^,]+') do nulls[name] = true end
  for n = 1, #names do nulls[names[n]] = value or nil end
  local list = {}
  for name in pairs(nulls) do list[#list + 1] = name end
  table.sort(list)
  local text = table.concat(list, ',')
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

-- Fields stay in ARGV, as the span of their (name text) pairs, until they are written or must be looked at.
local function take_fields()
  local n = take_number()
  local span = { first = cursor + 1, last = cursor + 2 * n }
  cursor = span.last
  return span
end
local function spread(record)
  local span = record.span
  if not span then return end
  for n = span.first, span.last, 2 do
    if record.fields[ARGV[n]] == nil then record.fields[ARGV[n]] = ARGV[n + 1] end
  end
  record.span = nil
end
local function names_of(span)
  local names, n = {}, 0
  for at = span.first, span.last, 2 do
    n = n + 1
    names[n] = ARGV[at]
  end
  return names
end
local function finish(record)
  local text = render_index(record)
  if text ~= record.before or not record.indexed or record.whole then record.fields._ix = text end
  if not record.registered then
    put_in(sorted, record.model.base .. ':k', 'k', record.member, '0')
    record.registered = true
  end
  local memo = record.model.base .. ':memo'
  if record.deadline or record.model.evictable then
    put_in(hashes, memo, 'm', record.member, text)
  elseif record.had_deadline then
    put_in(hashes, memo, 'm', record.member, false)
  end
  record.before, record.indexed, record.live, record.changed = text, true, true, true
  record.removed = false
end
local function next_version(record)
  if not record.model.versioned then return 1 end
  record.version = record.version + 1
  record.fields._v = tostring(record.version)
  return record.version
end

local mutate = {}

-- put model key member condition ttl | n (name text)... | nulls: n name... | items
-- condition 'absent' or ''. The record becomes exactly this, whatever had the key.
function mutate.put(model)
  local position, member, condition, ttl = take_number(), take(), take(), take()
  local fields, nulls, items = take_fields(), take_list(), take_items()
  local record = open_record(model, position, member)
  if condition == 'absent' and record.live then return nil, { 'exists' } end
  local conflict = claim_conflict(record, items)
  if conflict then return nil, conflict end
  apply_lifetime(record, ttl)
  record.whole = true
  record.fields, record.span = {}, fields
  record.nulls = ''
  if #nulls > 0 then set_nulls(record, nulls, true) end
  if next(record.index) then
    local named = {}
    for n = 1, #items do named[items[n].name] = true end
    for id in pairs(record.index) do
      if not named[sub(id, 2)] then reindex_field(record, sub(id, 1, 1), sub(id, 2), nil) end
    end
  end
  apply_items(record, items)
  local version = next_version(record)
  finish(record)
  return version
end

-- set model key member version guard ttl | n (name text)... | nulls: n name... | items
-- version '' or the one the writer read; guard 0 or a program the record must satisfy (else result 0).
function mutate.set(model)
  local position, member, version, ttl = take_number(), take(), take(), take()
  local guard = take_guard(model.base)
  local fields, nulls, items = take_fields(), take_list(), take_items()
  local record = open_record(model, position, member)
  if not record.live then
    if #guard > 0 then return 0 end
    return nil, { 'missing' }
  end
  if version ~= '' and tonumber(version) ~= record.version then return nil, { 'version' } end
  if #guard > 0 and not evaluate(guard, { member }, model.base, model.int_keys)[1] then return 0 end
  local conflict = claim_conflict(record, items)
  if conflict then return nil, conflict end
  apply_lifetime(record, ttl)
  if record.span or next(record.fields) then
    -- an earlier mutation of this step has something to say about the record
    spread(record)
    for n = fields.first, fields.last, 2 do record.fields[ARGV[n]] = ARGV[n + 1] end
  elseif fields.last > fields.first then
    record.span = fields
  end
  if record.nulls ~= '' then set_nulls(record, names_of(fields), false) end
  if #nulls > 0 then
    spread(record)
    set_nulls(record, nulls, true)
    for n = 1, #nulls do record.fields[nulls[n]] = false end
  end
  apply_items(record, items)
  if fields.last < fields.first and #nulls == 0 then
    finish(record)
    return model.versioned and record.version or 1
  end
  local result = next_version(record)
  finish(record)
  return result
end

-- The new text of a number and its exact form; nil and why when it cannot be.
local add
local function adder()
  return (function()
--@include decimal.lua
local function breaks(op, order)
  return op == 'ge' and order < 0 or op == 'gt' and order <= 0 or op == 'le' and order > 0 or op == 'lt' and order >= 0
end
local function shortest(number_value)
  for digits = 15, 17 do
    local text = format('%.' .. digits .. 'g', number_value)
    if tonumber(text) == number_value then return text end
  end
end
local function add(kind, old, delta, bounds)
  if kind == 'f' then
    local sum = number(old) + number(delta)
    if sum ~= sum then return nil, 'nan' end
    for _, bound in ipairs(bounds) do
      local limit = number(bound.text)
      if breaks(bound.op, sum < limit and -1 or sum > limit and 1 or 0) then return nil, 'bound' end
    end
    if sum == math.huge or sum == -math.huge then return sum > 0 and 'inf' or '-inf', '' end
    if sum == 0 then sum = 0 end
    return shortest(sum), ''
  end
  local value, step = decimal_parse(old), decimal_parse(delta)
  if not value or not step then return nil, 'number' end
  local sum = decimal_add(value, step)
  if not sum then return nil, 'wide' end
  for _, bound in ipairs(bounds) do
    if breaks(bound.op, decimal_order(sum, decimal_parse(bound.text))) then return nil, 'bound' end
  end
  local form = decimal_form(sum)
  local _, _, digits = find(form, ':(%d+)$')
  -- up to 15 significant digits a double always gives the number back; more may, and are simply kept exactly too
  return decimal_text(sum), digits and #digits > 15 and form or ''
end
    return add
  end)()
end
local function score_text(text)
  local double = tonumber(text)
  if double == math.huge then return 'inf' end
  if double == -math.huge then return '-inf' end
  return text
end

-- inc model key member version ttl | n (name kind indexed delta default | n (op bound)...)...
-- kind i (int), d (Decimal), f (float); default: the text that stands in for an absent field, '' for None.
function mutate.inc(model)
  local position, member, version, ttl = take_number(), take(), take(), take()
  local steps = {}
  for n = 1, take_number() do
    local step = { name = take(), kind = take(), indexed = take() == '1', delta = take(), default = take(), bounds = {} }
    for b = 1, take_number() do step.bounds[b] = { op = take(), text = take() } end
    steps[n] = step
  end
  local record = open_record(model, position, member)
  if not record.live then return nil, { 'missing' } end
  if version ~= '' and tonumber(version) ~= record.version then return nil, { 'version' } end
  spread(record)
  local results, items = {}, {}
  for n, step in ipairs(steps) do
    local old = record.fields[step.name]
    if old == nil then old = redis.call('HGET', record.key, step.name) end
    if not old then
      if find(',' .. record.nulls .. ',', ',' .. step.name .. ',', 1, true) or step.default == '' then
        return nil, { 'none', step.name }
      end
      old = step.default
    end
    add = add or adder()
    local text, exact = add(step.kind, old, step.delta, step.bounds)
    if not text then return nil, { exact, step.name } end
    results[n] = text
    if step.indexed then items[#items + 1] = { kind = 'z', name = step.name, score = score_text(text), exact = exact } end
  end
  for n, step in ipairs(steps) do record.fields[step.name] = results[n] end
  apply_lifetime(record, ttl)
  apply_items(record, items)
  results[#results + 1] = next_version(record)
  finish(record)
  return results
end

-- del model key member guard; result 1 if there was a live record
function mutate.del(model)
  local position, member, version = take_number(), take(), take()
  local guard = take_guard(model.base)
  local record = open_record(model, position, member)
  if not record.live and not record.stored and not is_registered(record) then return 0 end
  if #guard > 0 and (not record.live or not evaluate(guard, { member }, model.base, model.int_keys)[1]) then return 0 end
  if version ~= '' and record.live and tonumber(version) ~= record.version then return nil, { 'version' } end
  local lived = record.live
  erase(record)
  return lived and 1 or 0
end

-- life model key member ttl guard; result: the deadline's distance in ms, -1 for none
function mutate.life(model)
  local position, member, ttl = take_number(), take(), take()
  local guard = take_guard(model.base)
  local record = open_record(model, position, member)
  if not record.live then
    if #guard > 0 then return -2 end
    return nil, { 'missing' }
  end
  if #guard > 0 and not evaluate(guard, { member }, model.base, model.int_keys)[1] then return -2 end
  apply_lifetime(record, ttl)
  if record.deadline_changed then
    if record.indexed then finish(record) end
    record.changed = true
  end
  return record.deadline and record.deadline - now or -1
end

-- look model key member | n tag-field...: a record that an index lists but a reader found missing; 1 if it was cleaned
function mutate.look(model)
  local position, member, tag_fields = take_number(), take(), take_list()
  local record = open_record(model, position, member)
  if record.stored or not is_registered(record) then return 0 end
  if not record.indexed then
    -- gone without a memo: its tokens are not known, so every token of a moderate listing is asked
    for _, name in ipairs(tag_fields) do
      local listing = model.base .. ':v:' .. name
      local tokens = redis.call('HLEN', listing) <= 1000 and redis.call('HKEYS', listing) or {}
      tokens[#tokens + 1] = '%'
      record.index['t' .. name] = tokens
    end
  end
  erase(record)
  return 1
end

-- mend model key member | n (name text)... | nulls: n name... | absent: n (name text)... | items
-- Index a stored record anew from its values, which the caller read: 0 if they are not what is stored any more. Every
-- entry is written again, known or not, the deadline follows the key's own expiry, and absent fields get their default.
function mutate.mend(model)
  local position, member = take_number(), take()
  local fields, nulls, absent, items = take_fields(), take_list(), take_fields(), take_items()
  local record = open_record(model, position, member)
  if not record.stored then return 0 end
  local null_names = ',' .. (redis.call('HGET', record.key, '_null') or '') .. ','
  for n = fields.first, fields.last, 2 do
    if redis.call('HGET', record.key, ARGV[n]) ~= ARGV[n + 1] then return 0 end
  end
  for n = 1, #nulls do
    if not find(null_names, ',' .. nulls[n] .. ',', 1, true) then return 0 end
  end
  local conflict = claim_conflict(record, items)
  if conflict then return nil, conflict end
  for n = absent.first, absent.last, 2 do
    if redis.call('HEXISTS', record.key, ARGV[n]) == 1 then return 0 end
    record.fields[ARGV[n]] = ARGV[n + 1]
  end
  local before = composite_tokens(record)
  for _, composite in ipairs(model.composites) do
    for _, token in ipairs(before[composite.tag] or {}) do
      put_in(sorted, model.base .. ':c:' .. composite.tag .. ':' .. composite.range .. ':' .. token, 'c', member, false)
    end
  end
  for id in pairs(record.index) do reindex_field(record, sub(id, 1, 1), sub(id, 2), nil) end
  record.index, record.order, record.live, record.indexed, record.registered = {}, {}, true, false, false
  local left = redis.call('PTTL', record.key)
  if left < 0 then
    if record.deadline then set_deadline(record, nil) end
  elseif not record.deadline or math.abs(record.deadline - now - left) > 1000 then
    set_deadline(record, now + left)
  end
  apply_items(record, items)
  finish(record)
  return 1
end

-- Phase 1: decide.
local results, failures, plain = {}, {}, true
for n = 1, take_number() do
  current = n
  local operation_name = take()
  local result, failure = mutate[operation_name](models[take_number()])
  results[n] = result or 0
  if failure then failures[#failures + 1] = { n, unpack(failure) } end
  if result ~= 1 then plain = false end
end
for _, claim in ipairs(claims) do
  local key = claim.base .. ':u:' .. claim.name
  local changes = hashes[key]
  -- what the step itself gives away is free; what it gives to another is not
  local ours = changes and changes[claim.token]
  local stored = redis.call('HGET', key, claim.token)
  local freed = false
  if stored and stored ~= claim.record.member then
    for _, record in pairs(records) do
      if record.member == stored and record.model.base == claim.base then
        local list = record.index['u' .. claim.name]
        freed = not record.live or not list or list[1] ~= claim.token
      end
    end
  end
  local owner
  if ours and ours ~= claim.record.member then
    owner = ours
  elseif stored and stored ~= claim.record.member and not freed and owner_lives(claim.base, stored) then
    owner = stored
  end
  local list = claim.record.index['u' .. claim.name]
  if owner and list and list[1] == claim.token then failures[#failures + 1] = { claim.position, 'unique', claim.name, owner } end
end
if all and #failures > 0 then return { 'F', failures } end

-- Sweep a bounded number of overdue records by what their memos say.
local swept = {}
for _, model in ipairs(models) do
  local base = model.base
  if model.sweep > 0 and touch(base .. ':due', 'd') then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', base .. ':due', '-inf', '(' .. format('%.0f', now), 'LIMIT', 0, model.sweep)) do
      local changes = sorted[base .. ':due']
      if not changes or changes[member] == nil then
        local memo = touch(base .. ':memo', 'm') and redis.call('HGET', base .. ':memo', member) or ''
        local record = { model = model, member = member, deadline = 0, stored = false, fields = {} }
        record.index, record.order = parse_index(memo or '')
        erase(record)
        swept[#swept + 1] = record_key(base, model.int_keys, member)
      end
    end
  end
end

-- Phase 2: act. Everything below can only succeed.
local function in_chunks(command, key, list)
  for first = 1, #list, 4000 do redis.call(command, key, unpack(list, first, math.min(first + 3999, #list))) end
end
for _, record in pairs(records) do
  if record.changed and record.live then
    local span = record.span
    local list, n, gone = {}, 0, {}
    if span and span.last - span.first < 3000 then
      list, n = { unpack(ARGV, span.first, span.last) }, span.last - span.first + 1
    else
      spread(record)
    end
    for name, text in pairs(record.fields) do
      if text then
        list[n + 1], list[n + 2] = name, text
        n = n + 2
      else
        gone[#gone + 1] = name
      end
    end
    if record.whole and record.stored then
      spread(record)
      for _, name in ipairs(redis.call('HKEYS', record.key)) do
        if record.fields[name] == nil then gone[#gone + 1] = name end
      end
    end
    if n > 0 then in_chunks('HSET', record.key, list) end
    record.gone = gone
  end
end
local removed = {}
for _, record in pairs(records) do
  if record.changed then
    if record.live then
      if #record.gone > 0 then in_chunks('HDEL', record.key, record.gone) end
      if record.deadline_changed or (record.overdue and record.stored) then
        if record.deadline then
          redis.call('PEXPIREAT', record.key, format('%.0f', record.deadline))
        else
          redis.call('PERSIST', record.key)
        end
      end
    elseif record.removed then
      removed[#removed + 1] = record.key
    end
  end
end
for n = 1, #removed do redis.call('DEL', removed[n]) end
for n = 1, #swept do redis.call('DEL', swept[n]) end
for key, changes in pairs(sorted) do
  local adds, drops, n = {}, {}, 0
  for member, score in pairs(changes) do
    if score then
      adds[n + 1], adds[n + 2] = score, member
      n = n + 2
    else
      drops[#drops + 1] = member
    end
  end
  if #drops > 0 and touched[key] ~= 'none' then in_chunks('ZREM', key, drops) end
  if n > 0 then in_chunks('ZADD', key, adds) end
end
for key, changes in pairs(hashes) do
  local adds, drops = {}, {}
  for member, value in pairs(changes) do
    if value then
      adds[#adds + 1] = member
      adds[#adds + 1] = value
    else
      drops[#drops + 1] = member
    end
  end
  if #drops > 0 and touched[key] ~= 'none' then in_chunks('HDEL', key, drops) end
  if #adds > 0 then in_chunks('HSET', key, adds) end
end
for key, changes in pairs(texts) do
  for token, text in pairs(changes) do redis.call('HSETNX', key, token, text) end
end
for key, changes in pairs(sets) do
  local adds, drops = {}, {}
  for member, present in pairs(changes) do
    local list = present and adds or drops
    list[#list + 1] = member
  end
  if #adds > 0 then in_chunks('SADD', key, adds) end
  if #drops > 0 then
    if touched[key] ~= 'none' then in_chunks('SREM', key, drops) end
    if #adds == 0 and redis.call('EXISTS', key) == 0 then
      local _, _, base, name, token = find(key, '^(.*):t:([^:]+):([^:]*)$')
      redis.call('HDEL', base .. ':v:' .. name, token)
    end
  end
end

if #results == 0 then
  -- a step without mutations only sweeps, and says how much
  plain, results = false, { #swept }
end
local reply = plain and { 'O' } or { 'O', results }
if #failures > 0 then
  reply = { 'O', results, failures }
end
for n = 1, #acknowledged do redis.call('ZREM', operations, acknowledged[n]) end
if stamp ~= '' then
  local done = false
  for _, record in pairs(records) do done = done or record.changed end
  -- what a client acknowledges goes at once; the rest, of clients that ended, now and then
  if clock[2] % 16 == 0 then redis.call('ZREMRANGEBYSCORE', operations, '-inf', '(' .. format('%.0f', clock[1] * 1000000 + clock[2] - window)) end
  if done then
    -- a step that only deletes stores its token last; on a full server that alone may be refused, and is not missed
    redis.pcall('ZADD', operations, stamp, operation .. pack_reply(reply))
  end
end
return reply
