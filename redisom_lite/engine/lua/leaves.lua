-- What a condition program says of candidates: each leaf of a run of members. Included by match.lua.

-- What the record itself says of its tokens: the text of one section of `_ix`, (length : token)..., or nil.
local function index_section(base, int_keys, member, id)
  local text = redis.call('HGET', record_key(base, int_keys, member), '_ix')
  local pos = 1
  while text and pos <= #text do
    local equals = find(text, '=', pos, true)
    local name, from = sub(text, pos, equals - 1), equals + 1
    pos = from
    while byte(text, pos) ~= 59 do -- ';'
      local colon = find(text, ':', pos, true)
      pos = colon + 1 + tonumber(sub(text, pos, colon - 1))
    end
    if name == id then return sub(text, from, pos - 1) end
    pos = pos + 1
  end
end
local function section_has(section, tokens)
  local pos = 1
  while pos <= #section do
    local colon = find(section, ':', pos, true)
    local last = colon + tonumber(sub(section, pos, colon - 1))
    if tokens[sub(section, colon + 1, last)] then return true end
    pos = last + 1
  end
  return false
end
local function set_of(list, before, count)
  local set = {}
  for n = before + 1, before + count do set[list[n]] = true end
  return set
end
local function each_in(set, members)
  local out = {}
  for n = 1, #members do out[n] = set[members[n]] or false end
  return out
end

-- Each leaf answers for a run of members; `memo` keeps what was read for this run (many bounds on one field).
local leaf = {}
local function numbers_of(texts)
  local scores, tonumber = {}, tonumber
  for n = 1, #texts do
    local text = texts[n]
    scores[n] = text and (tonumber(text) or number(text))
  end
  return scores
end
local function scores_of(i, members, memo)
  if not memo[i.key] then memo[i.key] = numbers_of(redis.call('ZMSCORE', i.key, unpack(members))) end
  return memo[i.key]
end
function leaf.Z(i, members, _, _, memo)
  local scores = scores_of(i, members, memo)
  local out, low, high = {}, i.low, i.high
  for n = 1, #members do
    local score = scores[n]
    if not score or score < low or score > high then
      out[n] = false
    else
      out[n] = (score > low and score < high) or in_bounds(i, members[n], score)
    end
  end
  return out
end
leaf.C = leaf.Z
function leaf.N(i, members, _, _, memo)
  local scores, out = scores_of(i, members, memo), {}
  for n = 1, #members do out[n] = scores[n] and is_one_of(i, members[n], scores[n]) or false end
  return out
end
local function forms_of(i, members, base, int_keys, memo)
  local forms = memo[i.key]
  if not forms then
    forms = {}
    for n = 1, #members do
      local value = redis.call('HGET', record_key(base, int_keys, members[n]), i.field)
      forms[n] = value and text_form(value) .. members[n]
    end
    memo[i.key] = forms
  end
  return forms
end
function leaf.L(i, members, base, int_keys, memo)
  local forms = forms_of(i, members, base, int_keys, memo)
  local out = {}
  for n = 1, #members do out[n] = forms[n] and in_lex_bounds(i, forms[n]) or false end
  return out
end
function leaf.M(i, members, base, int_keys, memo)
  local forms, out = forms_of(i, members, base, int_keys, memo), {}
  i.set = i.set or set_of(ARGV, i.from, i.count)
  for n = 1, #members do
    local form = forms[n]
    out[n] = form and i.set[sub(form, 1, find(form, '\0\0', 1, true) - 1)] or false
  end
  return out
end
-- Asking the record is cheaper than asking many sets, or for the owners of very many values.
local function by_record(i, members, base, int_keys, id)
  local out = {}
  i.set = i.set or set_of(ARGV, i.from, i.count)
  for n = 1, #members do
    local section = index_section(base, int_keys, members[n], id)
    out[n] = section ~= nil and section_has(section, i.set)
  end
  return out
end
function leaf.S(i, members, base, int_keys)
  if i.count > MANY then return by_record(i, members, base, int_keys, 't' .. i.field) end
  local out
  for t = 1, i.count do
    local hits = redis.call('SMISMEMBER', i.key .. ':' .. ARGV[i.from + t], unpack(members))
    out = out or hits
    for n = 1, #members do out[n] = out[n] == true or hits[n] == 1 end
  end
  return out or each_in({}, members)
end
local function owners_of(i)
  if not i.owners then
    i.owners = {}
    for t = 1, i.count, 1000 do
      local owners = redis.call('HMGET', i.key, unpack(ARGV, i.from + t, i.from + math.min(t + 999, i.count)))
      for n = 1, #owners do
        if owners[n] then i.owners[#i.owners + 1] = owners[n] end
      end
    end
  end
  return i.owners
end
function leaf.U(i, members, base, int_keys)
  if i.count > LISTED then return by_record(i, members, base, int_keys, 'u' .. i.field) end
  i.set = i.set or set_of(owners_of(i), 0, #owners_of(i))
  return each_in(i.set, members)
end
function leaf.K(i, members)
  i.set = i.set or set_of(ARGV, i.from, i.count)
  return each_in(i.set, members)
end
function leaf.R(i, members)
  local out = {}
  for n = 1, #members do out[n] = in_lex_bounds(i, members[n]) end
  return out
end
function leaf.A(_, members)
  local out = {}
  for n = 1, #members do out[n] = true end
  return out
end
function leaf.O(_, members)
  local out = {}
  for n = 1, #members do out[n] = false end
  return out
end

-- One boolean per member (at most 1000 members). `texts` are their scores in `key`, where the caller has read them.
local function evaluate(program, members, base, int_keys, key, texts)
  local stack, top, memo = {}, 0, {}
  if key then memo[key] = numbers_of(texts) end
  for p = 1, #program do
    local i = program[p]
    if i.op == '!' then
      local a = stack[top]
      for n = 1, #members do a[n] = not a[n] end
    elseif i.op == '&' or i.op == '|' then
      local all = i.op == '&'
      for _ = 2, i.n do
        local b, a = stack[top], stack[top - 1]
        top = top - 1
        for n = 1, #members do
          if all then a[n] = a[n] and b[n] else a[n] = a[n] or b[n] end
        end
      end
    else
      top = top + 1
      stack[top] = leaf[i.op](i, members, base, int_keys, memo)
    end
  end
  return stack[1]
end
