-- The records a step works on: what is known of each, and what it will be. Included by apply.lua, after changes.lua.

-- The overdue members of a model that a step cleans up, and in `late` by member; if fewer than it would, these are all.
local function overdue_of(model)
  if not model.overdue then
    model.overdue, model.late = EMPTY, EMPTY
    if model.ends and model.sweep ~= '0' then
      local till = '(' .. format('%d', now)
      local late = call('ZCOUNT', model.due, '-inf', till)
      sizes[model.due] = sizes[model.due] or 1 -- or none: the type is proved
      if late > 0 then
        local overdue = call('ZRANGEBYSCORE', model.due, '-inf', till, 'LIMIT', '0', model.sweep)
        model.overdue, model.late = overdue, {}
        for n = 1, #overdue do model.late[overdue[n]] = true end
      end
    end
  end
  return model.overdue
end
-- When a record ends, in ms, or false: asked for once something needs it.
local function deadline_of(record)
  if record.deadline == nil then
    local model = record.model
    local deadline = model.ends and score_at(model, 'deadlines', model.due, record.position)
    record.deadline = deadline and tonumber(deadline) or false
  end
  return record.deadline
end
local function is_overdue(record)
  local model = record.model
  if not model.ends then return false end
  local overdue = overdue_of(model)
  if model.late[record.member] then return true end
  if #overdue < count_of(model.sweep) then return false end
  local deadline = deadline_of(record)
  return deadline and deadline < now
end

-- What is known of a record: `stored` there is a hash; `live` and not overdue; `indexed` its entries are known, by
-- `before`, its `_ix` as it was; `index` the same parsed, and as it will be, once something asks for it.
-- `names`: hash fields whose texts are wanted at once, into `read`: see `field_of`.
local function open_record(model, position, writes_whole, names)
  local slot = model.first + position
  local record = records[slot]
  if record then return record end
  local member = ARGV[members_at + slot]
  record = { model = model, position = position, key = KEYS[slot], member = member, fields = {}, read = {}, version = 0,
    nulls = '', before = '', stored = false, live = false, indexed = false, changed = false,
    registered = (score_at(model, 'known', model.registry, position) or false) ~= false }
  local memo = false
  if not (writes_whole and none_stored(model)) then
    names = names or EMPTY
    local stored = call('HMGET', record.key, '_ix', unpack(names))
    for n = 1, #names do record.read[names[n]] = stored[n + 1] end
    memo = stored[1]
    record.stored = memo ~= false or call('EXISTS', record.key) == 1
    record.live = record.stored and not is_overdue(record)
    if record.live then
      record.nulls = false
      if model.versioned then record.version = tonumber(call('HGET', record.key, '_v') or 0) end
    end
  end
  if not record.stored and (record.registered or deadline_of(record)) and memos(model) > 0 then
    memo = call('HGET', model.memo, member)
  end
  record.indexed = memo ~= false
  record.before = memo or ''
  records[slot] = record
  opened[#opened + 1] = record
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
  local deadline = model.ends and score_of(model.due, owner)
  return not deadline or tonumber(deadline) >= now
end

-- The keys of a record's parts (containers that live and die with it), of those that hold something.
local function parts_of(record)
  local model = record.model
  if not (model.parts and record.key) then return EMPTY end
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
  record.deadline, record.deadline_changed = deadline, true
  parts_of(record)
  if deadline then has_from_now(record.model, 'ends') end
  record.deadline_text = deadline and format('%d', deadline)
  zset(record.model.due)[record.member] = record.deadline_text
end

-- `_null` is a comma list of the fields whose value is None; asked for once something needs it.
local function nulls_of(record)
  if not record.nulls then
    local text = record.read._null
    if text == nil then text = call('HGET', record.key, '_null') end
    record.nulls = text or ''
  end
  return record.nulls
end
local function set_nulls(record, added, removed)
  local before, nulls, list = nulls_of(record), {}, {}
  for name in string.gmatch(before, '[^,]+') do nulls[name] = true end
  for n = 1, #removed do nulls[removed[n]] = nil end
  for n = 1, #added do nulls[added[n]] = true end
  for name in pairs(nulls) do list[#list + 1] = name end
  table.sort(list)
  local text = concat(list, ',')
  if text ~= before then record.fields._null = text ~= '' and text or false end
  record.nulls = text
end

-- ttl: '' keep, '-' none, '=ms' from now, '?ms' from now if the record is new, '+ms' longer than it has
local function apply_lifetime(record, ttl)
  local kind, ms = sub(ttl, 1, 1), tonumber(sub(ttl, 2))
  if kind == '=' or (kind == '?' and not record.live) then
    set_deadline(record, now + ms)
  elseif kind == '+' then
    if deadline_of(record) then set_deadline(record, record.deadline + ms) end
  elseif kind == '-' or not record.live then
    if deadline_of(record) then set_deadline(record, false) end
  end
end

-- List the record; keep the memo what its entries are.
local function register(record, reindexed)
  local model = record.model
  if not record.registered then zset(model.registry)[record.member] = '0' end
  local revived = not record.live and record.registered
  if reindexed or record.deadline_changed or revived then
    if model.evictable or deadline_of(record) then
      has_from_now(model, 'ends')
      hash(model.memo)[record.member] = record.before
    elseif (record.deadline_changed or revived) and memos(model) > 0 then
      hash(model.memo)[record.member] = false
    end
  end
  record.registered, record.indexed, record.live, record.changed = true, true, true, true
  if record.removed then record.removed = false end
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
  record.version = (record.live and record.version or clock) + 1
  record.fields._v = format('%d', record.version)
  return record.version
end
