-- The token of a step: a retry of what was applied before returns the first answer. Included by apply.lua.
--
-- Behind the operation's id stands its answer: nothing for {'O'}, `!` for {'A'} (see recall.lua), else lists `[`, texts `=`
-- and integers `#`, each with its length.
local function openings(form) -- `[2:` and the like: to make these words takes a while, so short ones are remembered
  local function open(known, size)
    local word = format(form, size)
    if size <= 32 then known[size] = word end
    return word
  end
  return setmetatable({}, { __index = open })
end
local lists, texts, integers = openings('[%d:'), openings('=%d:'), openings('#%d:')
local pieces, count = {}, 0
local function add_piece(piece)
  count = count + 1
  pieces[count] = piece
end
local function pack(value)
  if value == 1 then return add_piece('#1:1') end
  local kind = type(value)
  if kind == 'table' then
    add_piece(lists[#value])
    for n = 1, #value do pack(value[n]) end
    return
  end
  if kind == 'number' then value = format('%d', value) end
  add_piece((kind == 'number' and integers or texts)[#value])
  add_piece(value)
end
-- The reply {'O', results, failures} as it is kept.
local function pack_reply()
  count = 0
  add_piece('[3:=1:O')
  pack(results)
  pack(failures)
  local text = concat(pieces, '', 1, count)
  if count > 32 then pieces = {} end
  return text
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

-- `stored`: whether the step has stored anything.
local function remember(reply, stored)
  if acknowledged_from <= acknowledged_to then
    call('ZREM', operations, unpack(ARGV, acknowledged_from, acknowledged_to))
  end
  if stamp == '' then return end
  if clock % 16 == 0 then -- now and then is soon enough
    call('ZREMRANGEBYSCORE', operations, '-inf', '(' .. format('%d', clock - window))
  end
  -- a step that only deletes stores its token last; on a full server that alone may be refused, and is not missed
  if not stored then return end
  local kept = ''
  if reply[2] then
    kept = pack_reply()
    reply[4] = kept -- whoever reads the reply acknowledges it so
  end
  redis.pcall('ZADD', operations, stamp, operation .. kept)
end
