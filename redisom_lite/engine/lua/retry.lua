-- The token of a step: a retry of what was applied before returns the first answer. Included by apply.lua.
--
-- Behind the operation's id stands its answer: nothing for {'O'}, `!` for {'A'} (see recall.lua), else lists `[`, texts `=`
-- and integers `#`, each with its length.
local SIZES = {} -- small numbers as text, which take a while to make
for n = 0, 32 do SIZES[n] = format('%d:', n) end
local function sized(kind, size) return kind .. (SIZES[size] or format('%d:', size)) end
local function pack_reply(value)
  if value == 1 then return '#1:1' end
  if type(value) == 'number' then
    value = format('%d', value)
    return sized('#', #value) .. value
  end
  if type(value) == 'string' then return sized('=', #value) .. value end
  local text = sized('[', #value)
  if #value < 8 then
    for n = 1, #value do text = text .. pack_reply(value[n]) end
    return text
  end
  local parts = { text }
  for n = 1, #value do parts[n + 1] = pack_reply(value[n]) end
  return concat(parts)
end
local function unpack_reply(text, pos)
  local _, last, kind, size = find(text, '^(.)(%d+):', pos)
  if kind == '[' then
    local list, after = {}, last + 1
    for n = 1, tonumber(size) do list[n], after = unpack_reply(text, after) end
    return list, after
  end
  local value = sub(text, last + 1, last + tonumber(size))
  return kind == '#' and tonumber(value) or value, last + tonumber(size) + 1
end
local function answered()
  local tokens = call('ZCOUNT', operations, stamp, stamp) > 0 and call('ZRANGEBYSCORE', operations, stamp, stamp) or EMPTY
  for n = 1, #tokens do
    local seen = tokens[n]
    if sub(seen, 1, #operation) == operation then
      local kept = sub(seen, #operation + 1)
      if kept == '' then return { 'O' } end
      if kept == '!' then return { 'A' } end
      local reply = unpack_reply(kept, 1)
      reply[4] = kept
      return reply
    end
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
  if not done then return end
  local kept = ''
  if reply[2] then
    kept = '[3:=1:O' .. pack_reply(results) .. pack_reply(failures)
    reply[4] = kept -- whoever reads the reply acknowledges it so
  end
  redis.pcall('ZADD', operations, stamp, operation .. kept)
end
