-- Adding to a number, for `inc`: the new text, its exact form, its score. Included by mutations.lua.

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
  return format('%d', sum), ''
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
local function score_text(kind, text)
  if kind == 'i' and #text <= 15 then return text end
  local double = tonumber(text)
  if not double then return text end -- a float's infinity
  if double == math.huge then return 'inf' end
  if double == -math.huge then return '-inf' end
  if double == 0 then return '0' end -- text that stands for less than the least double is refused as a score
  return #text > 15 and shortest(double) or text
end
