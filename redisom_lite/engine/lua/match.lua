-- Shared by find.lua and apply.lua: condition programs. Included after reading.lua, never run alone.
--
-- A program is a run of instructions in ARGV, postfix: leaves push one boolean per candidate, `&`, `|` (with a count)
-- and `!` combine them. It is data, interpreted here; nothing is ever generated as Lua.
--
--   Z field low high low_open high_open low_decimal high_decimal low_lean high_lean   number within bounds
--   L field min max                                   text within lexicographic bounds (ZRANGEBYLEX notation)
--   N field n score[=decimal]...                      number is one of these, ascending
--   M field n text...                                 text is one of these, escaped, ascending
--   S n token... field                                tag holds any token (`%` is None)
--   U n token... field                                unique value is any token
--   K n member...                                     primary key is any member
--   R min max                                         primary key within lexicographic bounds
--   A | O                                             always | never
--   = program                                         the one instruction of an earlier program, sent once
--
-- `*_decimal` is the bound in decimal sort form, `*_lean` the sign of (bound - its double): -1, 0 or 1. Members whose
-- value its double does not give back are in the hash `:x:<field>` with their exact sort form; only ties need it. `=`
-- follows the score of such a value, too.

-- Decimal sort form: '0', or sign exponent ':' digits for sign 0.digits x 10^exponent. Digits carry no zeros at the
-- ends, so plain comparison of the digits is comparison of the fractions.
local function decimal_parts(form)
  if form == '0' then return 0 end
  local _, _, exponent, digits = find(form, '^(%-?%d+):(%d+)$', 2)
  return sub(form, 1, 1) == '-' and -1 or 1, tonumber(exponent), digits
end
local function decimal_compare(a, b)
  if a == b then return 0 end
  local sa, ea, da = decimal_parts(a)
  local sb, eb, db = decimal_parts(b)
  if sa ~= sb then return sa < sb and -1 or 1 end
  if ea ~= eb then return (ea < eb) and -sa or sa end
  return less(da, db) and -sa or sa
end

-- Instructions, parsed once per call.
-- '@due' is no field but the deadlines; their bounds may be relative to now, as '+ms'.
local function number_key(base, field) return base .. (field == '@due' and ':due' or ':i:' .. field) end
local function from_now(text)
  local t = redis.call('TIME')
  return format('%.0f', t[1] * 1000 + floor(t[2] / 1000) + tonumber(text))
end
-- A list stays where it is in ARGV, for it may be long and never be needed whole: `count` values from behind `from`.
local function pass_list(i)
  i.count, i.from = take_number(), cursor
  cursor = cursor + i.count
end
local function list_of(i)
  if not i.list then
    i.list = {}
    for n = 1, i.count do i.list[n] = ARGV[i.from + n] end
  end
  return i.list
end
-- A value of N: its score, and its exact form where the double does not give it back.
local function score_at(i, n)
  local word = ARGV[i.from + n]
  local equals = find(word, '=', 1, true)
  if not equals then return word end
  return sub(word, 1, equals - 1), sub(word, equals + 1)
end
-- The scores, ascending, each once; whether one is not what its double stands for.
local function score_list(i)
  if not i.list then
    i.list, i.inexact = {}, false
    for n = 1, i.count do
      local text, exact = score_at(i, n)
      if text ~= i.list[#i.list] then i.list[#i.list + 1] = text end
      i.inexact = i.inexact or exact ~= nil
    end
  end
  return i.list
end
local function parse_instruction(base, programs)
  local op = take()
  if op == 'Z' then
    local i = { op = op, field = take(), low_text = take(), high_text = take() }
    i.key = number_key(base, i.field)
    if sub(i.high_text, 1, 1) == '+' then i.high_text = from_now(i.high_text) end
    i.low, i.high = number(i.low_text), number(i.high_text)
    i.low_open, i.high_open = take() == '1', take() == '1'
    i.low_decimal, i.high_decimal = take(), take()
    i.low_lean, i.high_lean = take_number(), take_number()
    i.exact_key = base .. ':x:' .. i.field
    return i
  elseif op == 'C' then
    -- a composite's sorted set of one tag token, bounds as in Z
    local i = { op = op, field = take(), token_key = take(), low_text = take(), high_text = take() }
    i.key = base .. i.token_key
    i.low, i.high = number(i.low_text), number(i.high_text)
    i.low_open, i.high_open = take() == '1', take() == '1'
    i.low_decimal, i.high_decimal = take(), take()
    i.low_lean, i.high_lean = take_number(), take_number()
    i.exact_key = base .. ':x:' .. i.field
    return i
  elseif op == 'L' then
    local i = { op = op, field = take(), min = take(), max = take() }
    i.key = base .. ':i:' .. i.field
    return i
  elseif op == 'N' then
    local i = { op = op, field = take() }
    i.key, i.exact_key = number_key(base, i.field), base .. ':x:' .. i.field
    pass_list(i)
    return i
  elseif op == 'M' then
    local i = { op = op, field = take() }
    i.key = base .. ':i:' .. i.field
    pass_list(i)
    return i
  elseif op == 'S' or op == 'U' then
    local i = { op = op }
    pass_list(i)
    i.field = take()
    i.key = base .. (op == 'S' and ':t:' or ':u:') .. i.field
    return i
  elseif op == 'K' then
    local i = { op = op }
    pass_list(i)
    return i
  elseif op == 'R' then
    return { op = op, min = take(), max = take() }
  elseif op == '&' or op == '|' then
    return { op = op, n = take_number() }
  elseif op == '=' then
    return programs[take_number()][1]
  end
  return { op = op }
end
local function parse_program(base, programs)
  local program = {}
  for i = 1, take_number() do program[i] = parse_instruction(base, programs) end
  return program
end

-- What testing one entry takes, roughly in steps of 0.15 us.
local MANY = 24
local LISTED = 1000
local RECORD = 8 -- to ask the record itself
local function price(programs)
  local sum = 1
  for _, program in ipairs(programs) do
    for _, i in ipairs(program) do
      local each = (i.op == 'L' or i.op == 'M') and RECORD or 1
      if i.op == 'S' then each = math.min(i.count, MANY) end
      sum = sum + each
    end
  end
  return sum
end

local exists_cache
local function forget_keys() exists_cache = {} end
local function exists(key)
  local known = exists_cache[key]
  if known == nil then
    known = redis.call('EXISTS', key) == 1
    exists_cache[key] = known
  end
  return known
end

-- Whether `score` is on the right side of a bound; `exact` is the member's decimal form where its double is not exact.
local function beyond(score, exact, bound, decimal, lean, open, sign)
  if score ~= bound then return (score - bound) * sign > 0 end
  local c
  if exact then c = decimal_compare(exact, decimal) else c = -lean end
  c = c * sign
  return c > 0 or (c == 0 and not open)
end
local function in_bounds(i, member, score)
  local exact = false
  if (score == i.low or score == i.high) and exists(i.exact_key) then
    exact = redis.call('HGET', i.exact_key, member)
  end
  return beyond(score, exact, i.low, i.low_decimal, i.low_lean, i.low_open, 1)
    and beyond(score, exact, i.high, i.high_decimal, i.high_lean, i.high_open, -1)
end
-- Whether a member at this score has one of the values of a list. Of these a set is made: by exact forms, and by scores,
-- each with whether the double itself is listed.
local function is_one_of(i, member, score)
  if not i.set then
    i.set = {}
    for n = 1, i.count do
      local text, exact = score_at(i, n)
      local at = number(text)
      if exact then i.set[exact] = true end
      i.set[at] = i.set[at] or not exact
    end
  end
  local plain = i.set[score]
  if plain == nil then return false end
  local exact = exists(i.exact_key) and redis.call('HGET', i.exact_key, member)
  if exact then return i.set[exact] or false end
  return plain
end
local function in_lex_bounds(i, form)
  if i.min ~= '-' then
    local edge = sub(i.min, 2)
    if sub(i.min, 1, 1) == '[' then
      if less(form, edge) then return false end
    elseif not less(edge, form) then
      return false
    end
  end
  if i.max ~= '+' then
    local edge = sub(i.max, 2)
    if sub(i.max, 1, 1) == '[' then
      if less(edge, form) then return false end
    elseif not less(form, edge) then
      return false
    end
  end
  return true
end

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

-- Each leaf answers for a run of members; `memo` keeps what was read for this run (many bounds on one field).
local leaf = {}
local function scores_of(i, members, memo)
  local scores = memo[i.key]
  if not scores then
    scores = redis.call('ZMSCORE', i.key, unpack(members))
    for n = 1, #members do scores[n] = scores[n] and number(scores[n]) end
    memo[i.key] = scores
  end
  return scores
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
  local out = {}
  for t = 1, i.count do
    local hits = redis.call('SMISMEMBER', i.key .. ':' .. ARGV[i.from + t], unpack(members))
    for n = 1, #members do out[n] = out[n] or hits[n] == 1 end
  end
  return out
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
  local out = {}
  for n = 1, #members do out[n] = i.set[members[n]] or false end
  return out
end
function leaf.K(i, members)
  i.set = i.set or set_of(ARGV, i.from, i.count)
  local out = {}
  for n = 1, #members do out[n] = i.set[members[n]] or false end
  return out
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

-- One boolean per member (at most 1000 members).
local function evaluate(program, members, base, int_keys)
  local stack, top, memo = {}, 0, {}
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
