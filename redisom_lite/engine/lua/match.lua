-- Shared by find.lua and apply.lua: condition programs, parsed. Included after reading.lua, never run alone.
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
  if op == 'Z' or op == 'C' then
    -- C reads a composite's sorted set of one tag token
    local i = { op = op, field = take() }
    i.key = op == 'C' and base .. take() or number_key(base, i.field)
    i.low_text, i.high_text = take(), take()
    if sub(i.high_text, 1, 1) == '+' then i.high_text = from_now(i.high_text) end
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

--@include leaves.lua
