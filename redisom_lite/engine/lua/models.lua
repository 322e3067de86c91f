-- The models of a step. What a class declares travels as one word, the same with every call, and is read once: functions
-- outlive the call. Included by apply.lua.
--
-- A declaration has lines: base | writer | int_keys evictable versioned, a digit each | number fields |
--   composites, tag+range each | fading fields, name+ms each: every write of one renews its own expiry (HPEXPIRE).
--   Lists have a comma behind each.
--
-- `:meta` tells what few models have, so that others need not ask: `parts` (see once.lua), `caches` (cache_watches.lua),
-- `ends` once a record had an end or a memo, `inexact` once a number had an exact form. The last two stay.
local declarations, room = {}, 64
local function read_declaration(word)
  local _, _, base, writer, ints, evictable, versioned, numbers, composites, fading =
    find(word, '^(.-)\n(.-)\n(%d)(%d)(%d)\n(.-)\n(.-)\n(.-)$')
  local model = { base = base, writer = 'w:' .. writer, int_keys = ints == '1', evictable = evictable == '1',
    versioned = versioned == '1', registry = base .. ':k', due = base .. ':due', memo = base .. ':memo',
    meta = base .. ':meta', operations = base .. ':op', names = {}, numbers = {}, composites = {}, fading = {} }
  for name in string.gmatch(numbers, '([^,]+),') do model.numbers[#model.numbers + 1] = name end
  for tag, range in string.gmatch(composites, '([^+]+)+([^,]+),') do
    local stem = base .. ':c:' .. tag .. ':' .. range .. ':'
    model.composites[#model.composites + 1] = { tag = tag, range = range, stem = stem }
  end
  for name, ms in string.gmatch(fading, '([^+]+)+([^,]+),') do
    model.fading[#model.fading + 1] = { name = name, ms = ms }
  end
  model.fades = model.fading[1] ~= nil
  return { __index = model }
end
-- What is known of a model in this step; what its class declares shows through.
local function take_model(first, count)
  local word = take()
  local declared = declarations[word]
  if not declared then
    if room == 0 then declarations, room = {}, 64 end
    declared = read_declaration(word)
    declarations[word], room = declared, room - 1
  end
  return setmetatable({ first = first, count = count, sweep = take(), parts = false, caches = false, ends = false,
    inexact = false, overdue = false, late = false }, declared)
end

local function undeclared()
  for n = 1, #models do
    local model = models[n]
    local known = call('HMGET', model.meta, model.writer, 'parts', 'caches', 'ends', 'inexact')
    if not known[1] then return { 'M', n } end
    model.parts, model.caches, model.ends, model.inexact = known[2], known[3], known[4], known[5]
  end
end
-- From now on the model has what it never had, `ends` or `inexact`.
local function has_from_now(model, what)
  if model[what] then return end
  model[what] = '1'
  hash(model.meta)[what] = '1'
  sizes[model.meta] = 1 -- it has been read
end
local function memos(model) return model.ends and size_of(model.memo, 'HLEN') or 0 end
-- For a repair, which trusts nothing: whatever is there counts.
local function look_for_more(model)
  if model.looked then return end
  model.looked = true
  local exact = {}
  for n = 1, #model.numbers do exact[n] = model.base .. ':x:' .. model.numbers[n] end
  if exact[1] and call('EXISTS', unpack(exact)) > 0 then has_from_now(model, 'inexact') end
  if call('EXISTS', model.due, model.memo) > 0 then has_from_now(model, 'ends') end
end
