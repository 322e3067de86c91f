-- The token of a step: a retry of what was applied before returns the first answer. Included by apply.lua.
local function pack_reply(value)
  if type(value) ~= 'table' then
    local kind = type(value) == 'number' and 'i' or 's'
    local text = kind == 'i' and format('%d', value) or value
    return kind .. #text .. ':' .. text
  end
  local parts = {}
  for n = 1, #value do parts[n] = pack_reply(value[n]) end
  return 'l' .. #value .. ':' .. concat(parts)
end
local function unpack_reply(text, pos)
  local _, last, kind, size = find(text, '^(.)(%d+):', pos)
  if kind == 'l' then
    local list, after = {}, last + 1
    for n = 1, tonumber(size) do list[n], after = unpack_reply(text, after) end
    return list, after
  end
  local value = sub(text, last + 1, last + tonumber(size))
  return kind == 'i' and tonumber(value) or value, last + tonumber(size) + 1
end
local function answered()
  for _, seen in ipairs(call('ZRANGEBYSCORE', operations, stamp, stamp)) do
    if sub(seen, 1, #operation) == operation then return (unpack_reply(seen, #operation + 1)) end
  end
  -- half the window: while a token is young enough to be accepted, a retry of it cannot yet have been forgotten
  if math.abs(clock - tonumber(stamp)) > window / 2 then return { 'X', clock } end
end

local function remember(reply)
  if acknowledged_from <= acknowledged_to then
    call('ZREM', operations, unpack(ARGV, acknowledged_from, acknowledged_to))
  end
  if stamp == '' then return end
  if clock % 16 == 0 then -- now and then is soon enough
    call('ZREMRANGEBYSCORE', operations, '-inf', '(' .. format('%d', clock - window))
  end
  local done = false
  for n = 1, #opened do done = done or opened[n].changed end
  -- a step that only deletes stores its token last; on a full server that alone may be refused, and is not missed
  if done then redis.pcall('ZADD', operations, stamp, operation .. (reply[2] and pack_reply(reply) or 'l1:s1:O')) end
end
