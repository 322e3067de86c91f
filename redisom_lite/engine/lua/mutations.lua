-- The mutations of a step, by name: each reads its words and decides; nothing is written here. Included by apply.lua, after
-- entries.lua.
--@include sums.lua

local mutate = {}

-- put model record condition ttl nulls _ix | claims: n word... | fields: n word... | items: n word...
-- condition 'absent' or ''. The record becomes exactly this, whatever had the key.
function mutate.put(model, position)
  local condition, ttl, nulls, text = take(), take(), take(), take()
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
  if ttl ~= '' or deadline_of(record) then apply_lifetime(record, ttl) end
  record.fields, record.fields_from, record.fields_to, record.nulls = {}, fields_from, fields_to, nulls
  local version = next_version(record)
  if not (record.indexed or record.registered or record.changed or record.stored) then
    if each_new_entry(model, record.member, claims_from, claims_to, from, to, note) then has_from_now(model, 'inexact') end
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
  if record.read[name] ~= nil then return record.read[name] end
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
local NULLS = { '_null' }
local function write_fields(model, position, name, text)
  local version, ttl = take(), take()
  local guard_from, guard_to = take_guard()
  local claims_from, claims_to = take_words()
  local fields_from, fields_to = take_words()
  local nulls_from, nulls_to = take_words()
  local from, to = take_words()
  local record = open_record(model, position, false, name and { '_null', name } or NULLS)
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
  if #unset > 0 or nulls_of(record) ~= '' then set_nulls(record, unset, set) end
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

mutate.set = write_fields
function mutate.swap(model, position) return write_fields(model, position, take(), take()) end

-- inc model record version ttl | n (name kind index delta default | n (op bound)...)...
-- kind i (int), d (Decimal), f (float); index: z a number, t a tag, u a unique value, '' none; default: the text that stands
-- in for an absent field, '' for None.
local LONGEST_TOKEN = 256 -- of a longer text it is a digest
function mutate.inc(model, position)
  local version, ttl = take(), take()
  local steps, fields = {}, {}
  for n = 1, take_number() do
    local step = { name = take(), kind = take(), index = take(), delta = take(), default = take(), exact = '' }
    step.bounds = EMPTY
    for b = 1, take_number() do
      if b == 1 then step.bounds = {} end
      step.bounds[b] = { op = take(), text = take() }
    end
    steps[n], fields[n] = step, step.name
  end
  local record = open_record(model, position, false, fields)
  if not record.live then return nil, { 'missing' } end
  if version ~= '' and tonumber(version) ~= record.version then return nil, { 'version' } end
  local results, names = {}, {}
  for n, step in ipairs(steps) do
    local old = field_of(record, step.name)
    if not old then
      if step.default == '' or find(',' .. nulls_of(record) .. ',', ',' .. step.name .. ',', 1, true) then
        return nil, { 'none', step.name }
      end
      old = step.default
    end
    results[n], step.exact = add(step.kind, old, step.delta, step.bounds)
    if not results[n] then return nil, { step.exact, step.name } end
    if (step.index == 't' or step.index == 'u') and #results[n] > LONGEST_TOKEN then return nil, { 'long', step.name } end
    local conflict = step.index == 'u' and claim(record, step.name, results[n])
    if conflict then return nil, conflict end
    names[step.name] = true
  end
  if ttl ~= '' then apply_lifetime(record, ttl) end
  local before = record.indexed and joins(model, names) and composite_tokens(record)
  for n, step in ipairs(steps) do
    local text = results[n]
    record.fields[step.name] = text
    if record.indexed then
      if step.index == 'z' then
        set_number(record, step.name, score_text(step.kind, text), step.exact)
      elseif step.index ~= '' then
        reindex_only(record, step.index, step.name, { text }, { text })
      end
    end
  end
  if before then recompose(record, before, names) end
  results[#results + 1] = next_version(record)
  if record.indexed then finish(record) end
  record.changed = true
  return results
end

-- del model record version | guard; result 1 if there was a live record
function mutate.del(model, position)
  local version = take()
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
function mutate.life(model, position)
  local ttl = take()
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
  return deadline_of(record) and record.deadline - now or -1
end

-- look model record | n tag-field... | claims it is known to hold: n word...
-- A record that an index lists but a reader found missing; 1 if it was cleaned.
function mutate.look(model, position)
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
function mutate.mend(model, position)
  local absent_from, absent_to = take_words()
  local unset_from, unset_to = take_words()
  local claims_from, claims_to = take_words()
  local fields_from, fields_to = take_words()
  local nulls_from, nulls_to = take_words()
  local from, to = take_words()
  look_for_more(model)
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
    if deadline_of(record) then set_deadline(record, false) end
  elseif not deadline_of(record) or math.abs(record.deadline - now - left) > 1000 then
    set_deadline(record, now + left)
  end
  mending = true
  apply_items(record, claims_from, claims_to, from, to)
  mending, record.reindexed = false, true
  finish(record)
  return 1
end
