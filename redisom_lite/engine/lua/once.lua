-- Included first by every script that writes a structure: the write happens once, though the script is sent twice.
--
-- KEYS  1 the answers of the calling process | the structure's own keys | other keys... |
--       of a part: its record, its model's `:meta`
-- ARGV  slot sequence window lifetime own | what the script takes
--   slot, sequence  the caller's token: a slot has one call under way at a time, so that a later sequence in it says
--                   that the answer to the earlier has arrived; the hash of answers needs no more than one per slot
--   window          ms the answers outlive the last write
--   lifetime        '' as it is | '?ms' from now if there is none yet | '=ms' from now | '@name' that of the record of which it is this part
--   own             how many keys the structure has, from KEYS[2]
-- reply {1, value}, or {0, reason}: nothing was written
--@include reply.lua

local slot, sequence, window, lifetime, own = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local cursor = 5
local function take()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function take_number() return tonumber(take()) end
local function take_list()
  local list = {}
  for n = 1, take_number() do list[n] = take() end
  return list
end

local function answered()
  local seen = redis.call('HGET', KEYS[1], slot)
  if not seen then return nil end
  local _, last, number = string.find(seen, '^(%d+) ')
  return number == sequence and (unpack_reply(seen, last + 1)) or nil
end
local part, record, meta = string.sub(lifetime, 1, 1) == '@', KEYS[#KEYS - 1], KEYS[#KEYS]
local function refused()
  if part and redis.call('EXISTS', record) == 0 then return { 0, 'missing' } end
end

local function any_there()
  for n = 2, own + 1 do
    if redis.call('EXISTS', KEYS[n]) == 1 then return true end
  end
  return false
end
local there = string.sub(lifetime, 1, 1) ~= '?' or any_there()

-- When a key ends, in ms since 1970; nil for never.
local function end_of(key)
  local left = redis.call('PTTL', key)
  if left < 0 then return nil end
  local exact = redis.pcall('PEXPIRETIME', key) -- Redis 7
  if type(exact) == 'number' then return string.format('%.0f', exact) end
  local clock = redis.call('TIME')
  return string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + left)
end
-- A part ends when its record does. The model lists the parts in use, so that apply.lua finds them when a record goes.
local function follow_record()
  local ends, name = end_of(record), string.sub(lifetime, 2)
  local parts = redis.call('HGET', meta, 'parts') or ''
  local known = parts
  for n = 2, own + 1 do
    if ends then redis.call('PEXPIREAT', KEYS[n], ends) else redis.call('PERSIST', KEYS[n]) end
    local suffix = name .. string.sub(KEYS[n], #KEYS[2] + 1)
    if not string.find(',' .. parts .. ',', ',' .. suffix .. ',', 1, true) then
      parts = parts == '' and suffix or parts .. ',' .. suffix
    end
  end
  if parts ~= known then redis.call('HSET', meta, 'parts', parts) end
end

local function finish(value)
  if part then
    follow_record()
  elseif lifetime ~= '' and (string.sub(lifetime, 1, 1) == '=' or not there) then
    for n = 2, own + 1 do redis.call('PEXPIRE', KEYS[n], string.sub(lifetime, 2)) end
  end
  local reply = { 1, value }
  -- on a full server a step that only removes may be refused this, and the removal stands
  redis.pcall('HSET', KEYS[1], slot, sequence .. ' ' .. pack_reply(reply))
  redis.call('PEXPIRE', KEYS[1], window)
  return reply
end

local before = answered() or refused()
if before then return before end
