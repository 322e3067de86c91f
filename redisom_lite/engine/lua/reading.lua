-- What large scripts need: reading ARGV, numbers, byte order, the names of keys. Included by those that have a `main`.

local floor, find, sub, gsub, byte, format = math.floor, string.find, string.sub, string.gsub, string.byte, string.format

-- The words of a call, and how many have been taken: set anew by `begin`, for functions outlive the call.
local ARGV, cursor
local function begin(args) ARGV, cursor = args, 0 end
local function take()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function take_number() return tonumber(take()) end
local function take_list()
  local list = {}
  for i = 1, take_number() do list[i] = take() end
  return list
end

local function number(text)
  if text == 'inf' then return math.huge end
  if text == '-inf' then return -math.huge end
  return tonumber(text)
end

-- Lua compares strings by the server's collation; outside the C locale that is not byte order.
local bytewise = 'B' < 'a' and 'a' < '\195\132' and '\195\132' < '\195\164' and 'z' < '\127'
local function less(a, b)
  if bytewise then return a < b end
  local n = math.min(#a, #b)
  for i = 1, n do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Names of keys. A member is the primary key's sort form; record keys carry its readable, percent-encoded text.
local function escape_byte(c) return format('%%%02X', byte(c)) end
local function decode_int(member)
  local first = sub(member, 1, 1)
  if first == '-' then
    local digits = sub(member, sub(member, 2, 2) == '0' and 7 or 3)
    return '-' .. gsub(digits, '%d', function(d) return tostring(9 - tonumber(d)) end)
  end
  return sub(member, first == 'z' and 6 or 2)
end
local function record_key(base, int_keys, member)
  local text = int_keys and decode_int(member) or member
  if not find(text, '^[_-z+-9@-Z!-$&-);->|~]*$') then
    text = gsub(text, '[^!-$&-)+-9;->@-Z_-z|~]', escape_byte)
  end
  return base .. ':r:' .. text
end
local function text_form(value)
  if find(value, '\0', 1, true) then value = gsub(value, '%z', '\0\255') end
  return value .. '\0\0'
end
