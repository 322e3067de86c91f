-- The index entries of a record: made what its new values say, from what they were. Included by apply.lua, after record.lua.

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
  for n = 1, #model.numbers do if model.numbers[n] == name then return true end end
end
local function set_number(record, name, score, exact)
  local model = record.model
  zset(number_key(model, name))[record.member] = score
  if exact ~= '' then has_from_now(model, 'inexact') end
  if not model.inexact then return end
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

-- Take every entry about the record out of every index, and the record out of the registry.
local function erase(record)
  local model, member = record.model, record.member
  record.parts_go = parts_of(record)[1] ~= nil
  local index, before, names = index_of(record), composite_tokens(record), {}
  for _, composite in ipairs(model.composites) do names[composite.tag] = true end
  local ids = {}
  for id in pairs(index) do ids[#ids + 1] = id end
  for n = 1, #ids do reindex_field(record, sub(ids[n], 1, 1), sub(ids[n], 2), nil) end
  for n = 1, #model.numbers do set_number(record, model.numbers[n], false, '') end
  recompose(record, before, names)
  zset(model.registry)[member] = false
  if deadline_of(record) then set_deadline(record, false) end
  if memos(model) > 0 or hashes[model.memo] then hash(model.memo)[member] = false end
  record.live, record.registered, record.fields, record.nulls, record.version = false, false, {}, '', 0
  record.whole, record.index, record.order, record.before = nil, {}, {}, ''
  record.deadline, record.removed, record.changed = false, record.stored, true
end

-- Items are the index entries of a put or a set, as words:
--   z name score | x name score exact | l name text | = name token | t name n (token text)... | 0 name
-- `=` is a tag whose only token is its text
-- and claims those of unique fields: name token.
-- Nil, or why the record cannot have this unique value; a step of all or nothing tells at its end.
local function claim(record, name, token)
  if all then
    claims[#claims + 1] = { record = record, name = name, token = token, position = current }
    return nil
  end
  local owner = owner_of(record.model.base .. ':u:' .. name, token)
  if owner and owner ~= record.member and owner_lives(record.model, owner) then return { 'unique', name, owner, token } end
end
local function claim_conflict(record, from, to)
  for n = from, to, 2 do
    local conflict = claim(record, ARGV[n], ARGV[n + 1])
    if conflict then return conflict end
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
local LENGTHS = { z = 3, x = 4, l = 3, ['='] = 3, ['0'] = 2 }
local function behind(pos) return pos + (LENGTHS[ARGV[pos]] or 3 + 2 * count_of(ARGV[pos + 2])) end
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
    if kind == 'z' or kind == 'x' then
      set_number(record, name, ARGV[pos + 2], kind == 'x' and ARGV[pos + 3] or '')
      if not numbers_only and may_list(record, name) then reindex_only(record, nil, name) end
    elseif kind == '=' then
      if not numbers_only then reindex_only(record, 't', name, { ARGV[pos + 2] }, { ARGV[pos + 2] }) end
    elseif kind == 't' then
      local tokens, texts = {}, {}
      for t = 1, count_of(ARGV[pos + 2]) do tokens[t], texts[t] = ARGV[pos + 1 + 2 * t], ARGV[pos + 2 + 2 * t] end
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

-- The entries of a record of which nothing is stored and no entry is left, each given to one of `to_do`:
--   score(key, member, score) | tag(model, name, token, text, member) | field(key, name, text)
-- Returns whether a number is inexact.
local function each_new_entry(model, member, claims_from, claims_to, from, to, to_do)
  local score_to, tag_to, field_to = to_do.score, to_do.tag, to_do.field
  local scores, tags, inexact, pos = {}, {}, false, from
  for n = claims_from, claims_to, 2 do field_to(model.base .. ':u:' .. ARGV[n], ARGV[n + 1], member) end
  while pos <= to do
    local kind, name = ARGV[pos], ARGV[pos + 1]
    if kind == 'z' or kind == 'x' then
      local score = ARGV[pos + 2]
      score_to(number_key(model, name), member, score)
      scores[name] = score
      if kind == 'x' then
        field_to(model.base .. ':x:' .. name, member, ARGV[pos + 3])
        inexact, pos = true, pos + 1
      end
      pos = pos + 3
    elseif kind == '=' then
      local token = ARGV[pos + 2]
      tag_to(model, name, token, token, member)
      tags[name] = token
      pos = pos + 3
    elseif kind == 't' then
      local last = pos + 1 + 2 * count_of(ARGV[pos + 2])
      for t = pos + 3, last, 2 do tag_to(model, name, ARGV[t], ARGV[t + 1], member) end
      tags[name] = pos
      pos = last + 2
    elseif kind == 'l' then
      score_to(number_key(model, name), ARGV[pos + 2] .. '\0\0' .. member, '0')
      pos = pos + 3
    else
      tag_to(model, name, '%', '', member)
      scores[name], tags[name] = false, '%'
      pos = pos + 2
    end
  end
  for c = 1, #model.composites do
    local composite = model.composites[c]
    local score, tag = scores[composite.range], tags[composite.tag] -- a token, or where several stand
    if score and type(tag) == 'string' then
      score_to(composite.stem .. tag, member, score)
    elseif score then
      for t = tag + 3, tag + 1 + 2 * count_of(ARGV[tag + 2]), 2 do score_to(composite.stem .. ARGV[t], member, score) end
    end
  end
  return inexact
end
-- Written down, for the end of the step.
local note = {
  score = function(key, member, score) zset(key)[member] = score end,
  tag = function(model, name, token, text, member) tag_set(model, name, token, text)[member] = true end,
  field = function(key, name, text) hash(key)[name] = text end,
}

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
