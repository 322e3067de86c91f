-- Included first by every script that writes a structure: the write happens once, though the script is sent twice.
--
-- KEYS  1 the answers of the calling process | the structure's own keys | other keys... | the record it is part of
-- ARGV  slot sequence window lifetime own | what the script takes
--   slot, sequence  the caller's token: a slot has one call under way at a time, so that a later sequence in it says
--                   that the answer to the earlier has arrived; the hash of answers needs no more than one per slot
--   window          ms the answers outlive the last write
--   lifetime        '' as it is | '?ms' from now if there is none yet | '=ms' from now | '@name' that of the record
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
local part = string.sub(lifetime, 1, 1) == '@'
local function refused()
  if part and redis.call('EXISTS', KEYS[#KEYS]) == 0 then return { 0, 'missing' } end
end

local function any_there()
  for n = 2, own + 1 do
    if redis.call('EXISTS', KEYS[n]) == 1 then return true end
  end
  return false
end
local there = string.sub(lifetime, 1, 1) ~= '?' or any_there()

-- The record lists the parts it has, so that they go when it goes.
local function follow_record()
  local record, name = KEYS[#KEYS], string.sub(lifetime, 2)
  local left = redis.call('PTTL', record)
  for n = 2, own + 1 do
    if left >= 0 then redis.call('PEXPIRE', KEYS[n], left) else redis.call('PERSIST', KEYS[n]) end
  end
  local parts = redis.call('HGET', record, '_parts') or ''
  if any_there() and not string.find(',' .. parts .. ',', ',' .. name .. ',', 1, true) then
    redis.call('HSET', record, '_parts', parts == '' and name or parts .. ',' .. name)
  end
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
