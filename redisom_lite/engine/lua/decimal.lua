-- Exact decimal arithmetic on text, for `inc`. Included, never run alone. No value passes through a double.

-- {negative, digits, exponent}: the value is digits x 10^exponent; digits carry no leading zeros ('0' for zero).
local function decimal_parse(text)
  local _, last, sign, whole, fraction = find(text, '^([+-]?)(%d*)%.?(%d*)')
  local _, _, exponent = find(text, '^[eE]([+-]?%d+)$', last + 1)
  if whole .. fraction == '' or (last < #text and not exponent) then return nil end
  local digits = gsub(whole .. fraction, '^0+(%d)', '%1')
  return { negative = sign == '-', digits = digits, exponent = (tonumber(exponent) or 0) - #fraction }
end

local function magnitude_compare(a, b)
  if #a ~= #b then return #a < #b and -1 or 1 end
  if a == b then return 0 end
  return less(a, b) and -1 or 1
end

-- Digit strings, in groups of 12 so that every partial sum is exact.
local GROUP, UNIT = 12, 1000000000000
local function groups(digits)
  local out = {}
  for last = #digits, 1, -GROUP do
    out[#out + 1] = tonumber(sub(digits, math.max(1, last - GROUP + 1), last))
  end
  return out
end
local function ungroup(list)
  local out = {}
  for n = #list, 1, -1 do out[#out + 1] = format(n == #list and '%.0f' or '%012.0f', list[n]) end
  return (gsub(table.concat(out), '^0+(%d)', '%1'))
end
local function magnitude_add(a, b, sign)
  local x, y, out, carry = groups(a), groups(b), {}, 0
  for n = 1, math.max(#x, #y) do
    local total = (x[n] or 0) + sign * (y[n] or 0) + carry
    carry = 0
    if total >= UNIT then total, carry = total - UNIT, 1 elseif total < 0 then total, carry = total + UNIT, -1 end
    out[n] = total
  end
  if carry == 1 then out[#out + 1] = 1 end
  return ungroup(out)
end

-- Numbers whose exponents lie further apart than this are refused: their sum would have more digits than the limit.
local WIDEST = 4300
local function align(a, b)
  local exponent = math.min(a.exponent, b.exponent)
  if math.max(#a.digits + a.exponent, #b.digits + b.exponent) - exponent > WIDEST then return nil end
  return a.digits .. string.rep('0', a.exponent - exponent), b.digits .. string.rep('0', b.exponent - exponent), exponent
end
local function trimmed(digits) return (gsub(digits, '^0+(%d)', '%1')) end

local function decimal_add(a, b)
  local x, y, exponent = align(a, b)
  if not x then return nil end
  x, y = trimmed(x), trimmed(y)
  if a.negative == b.negative then
    return { negative = a.negative, digits = magnitude_add(x, y, 1), exponent = exponent }
  end
  local order = magnitude_compare(x, y)
  if order == 0 then return { negative = false, digits = '0', exponent = exponent } end
  if order > 0 then return { negative = a.negative, digits = magnitude_add(x, y, -1), exponent = exponent } end
  return { negative = b.negative, digits = magnitude_add(y, x, -1), exponent = exponent }
end

-- As Python writes it for the exponents people use; always something Decimal() and float() read back.
local function decimal_text(a)
  local sign, digits, exponent = a.negative and a.digits ~= '0' and '-' or '', a.digits, a.exponent
  if exponent == 0 then return sign .. digits end
  if exponent > 0 then return format('%s%sE+%d', sign, digits, exponent) end
  local fraction = -exponent
  if #digits <= fraction then digits = string.rep('0', fraction - #digits + 1) .. digits end
  return sign .. sub(digits, 1, #digits - fraction) .. '.' .. sub(digits, #digits - fraction + 1)
end

-- The sort form of match.lua.
local function sort_form(a)
  if a.digits == '0' then return '0' end
  local digits = gsub(a.digits, '0+$', '')
  return format('%s%d:%s', a.negative and '-' or '+', #a.digits + a.exponent, digits)
end

-- -1, 0 or 1
local function decimal_order(a, b)
  local sign_a = a.digits == '0' and 0 or a.negative and -1 or 1
  local sign_b = b.digits == '0' and 0 or b.negative and -1 or 1
  if sign_a ~= sign_b then return sign_a < sign_b and -1 or 1 end
  if sign_a == 0 then return 0 end
  local x, y = align(a, b)
  if not x then return #a.digits + a.exponent < #b.digits + b.exponent and -sign_a or sign_a end
  return magnitude_compare(trimmed(x), trimmed(y)) * sign_a
end

-- For apply.lua. The sum of two texts: itself, its text and its sort form; nil and why when there is none.
local function decimal_sum(old, delta)
  local value, step = decimal_parse(old), decimal_parse(delta)
  if not value or not step then return nil, 'number' end
  local sum = decimal_add(value, step)
  if not sum then return nil, 'wide' end
  return sum, decimal_text(sum), sort_form(sum)
end
-- How a number compares with the one a text stands for: -1, 0 or 1.
local function decimal_bound(a, text) return decimal_order(a, decimal_parse(text)) end
local function decimal_form(text) return sort_form(decimal_parse(text)) end
