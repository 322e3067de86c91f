-- apply: the one script that writes records. Check everything, then write everything.
--
-- KEYS  the key of every record a mutation names, by model (so that a moving cluster slot answers TRYAGAIN, never
--       "missing")
-- ARGV  stamp id window mode | acknowledged: n member... | models: n model... | the member of each key | n mutation...
--       mode 'one', for all or nothing of one mutation: ... | declaration sweep | member | operation ...
--   stamp, id    the operation token: estimated server time in us, and a client's own id; '' for none
--   window       us a token is remembered
--   mode         'all': one failure and nothing is written; 'each': failing mutations are left out and reported
--   acknowledged members of :op whose answers have arrived: forgotten
--   model        keys declaration sweep: see models.lua; `sweep` overdue records are cleaned up in passing
--   mutation     operation model record ...: put | set | swap | inc | del | life | look, as read below; `record` counts from 1
--                among the keys of its model
-- reply {'O'}                     every mutation's result is 1
--       {'O', results, failures, kept}  else; `failures` nil, or in mode 'each' what failed; `kept` as the reply stands behind
--                                 its token (retry.lua), or nil
--       {'F', failures}           mode 'all', nothing written; a failure is {position from 1, code, detail...}
--       {'M', model}              the writer's declaration is not registered (declare.lua), nothing written
--       {'X', server time in us}  the stamp is too far off to tell a retry by: nothing written
--
-- Invariants: index entries are removed by what the record itself says (`_ix`, or the memo when the record is gone);
-- every check comes before the first write, or what was written is taken back (writing.lua); the first write needs memory
-- when the step stores anything (so that a full server refuses the whole step); nothing is judged missing on an undeclared
-- key.
--
-- For speed, as a command from Lua takes longer than anything else here: what a step reads of the registry it reads at
-- once, and of deadlines only if a model has any; entries are gathered by key, so that each key is written once; a record
-- of which nothing was stored has nothing to compare with; a step of one mutation is not written down first, if it is of
-- those that `alone.lua` knows. Parts that few steps need are made when one does
-- (`library`).
--@function

local call = redis.call
local find, sub, format, concat = string.find, string.sub, string.format, table.concat

-- What a call works on, made anew for each: functions outlive the call.
local KEYS, ARGV, at
local clock, now            -- the server's time in us and in ms
local stamp, operation, window, all, alone
local acknowledged_from, acknowledged_to
local models, members_at, operations
-- What the step will do, by key: the last word on a member wins.
local sorted, sets, hashes = {}, {}, {} -- key -> member -> score|false, true|false, value|false
local sizes, listings = {}, {} -- key -> entries before the step; tag key -> {:v: key, token, text}
local records, opened, owners = {}, {}, nil -- by KEYS position; in order; by model base and member
local swept = {}            -- overdue records, in order
local mending               -- whether the listings of tags cannot be trusted
local guarded_from, guarded_to, guards = 1, 0, {} -- where the last guard stands; parsed, by where they stand
local claims, current = {}, 0 -- unique values wanted, judged at the end; the mutation at work
local results, failures, refused, plain = nil, {}, {}, true

local function take()
  at = at + 1
  return ARGV[at]
end
-- Counts and positions are the same few words again and again, and reading a number takes longer than finding it.
local counts, room = {}, 256
local function count_of(word)
  local count = counts[word]
  if not count then
    count = tonumber(word)
    if room > 0 then counts[word], room = count, room - 1 end
  end
  return count
end
local function take_number()
  at = at + 1
  return count_of(ARGV[at])
end
-- Where n words begin and end; they are passed over.
local function take_words()
  local from = at + 2
  at = at + 1 + count_of(ARGV[at + 1])
  return from, at
end

-- Conditions, decimals and key names: see reading.lua, match.lua and decimal.lua.
local shared
local function library()
  if shared then return shared end
  --[[ the included files declare an ARGV of their own, and `cursor` ]]
--@include reading.lua
--@include match.lua
--@include decimal.lua
  shared = {
    -- programs that stand in `words`; judged by what the indexes hold now
    judge = function(words, ask)
      begin(words)
      forget_keys()
      return pcall(ask, parse_program, evaluate)
    end,
    -- the guard of a mutation, which begins at word `from`
    satisfied = function(words, model, member, from)
      if ARGV ~= words then forget_keys() end
      begin(words)
      local guard = guards[from]
      if not guard then
        cursor = from - 1
        guard = parse_program(model.base)
        guards[from] = guard
      end
      return evaluate(guard, { member }, model.base, model.int_keys)[1]
    end,
    let_go = function() begin(nil) end,
    record_key = record_key, number = number,
    decimal_sum = decimal_sum, decimal_bound = decimal_bound, decimal_form = decimal_form,
  }
  return shared
end

--@include changes.lua
--@include models.lua

-- Nothing is kept till the next call; what has stayed empty serves again.
local cleared = false
local function clear()
  cleared = true
  KEYS, ARGV, models, owners, results = nil, nil, nil, nil, {}
  if next(sorted) then sorted = {} end
  if next(sizes) then sizes = {} end
  if opened[1] then records, opened = {}, {} end
  if next(sets) then sets, listings = {}, {} end
  if next(hashes) then hashes = {} end
  if next(guards) then guards = {} end
  if swept[1] then swept = {} end
  if claims[1] then claims = {} end
  if failures[1] then failures = {} end
  if refused[1] then refused = {} end
  if shared then shared.let_go() end
end
local function begin(keys, args)
  if not cleared then clear() end -- the call before was broken off
  cleared = false
  KEYS, ARGV, at = keys, args, 4
  local time = call('TIME')
  clock = time[1] * 1000000 + time[2]
  now = (clock - clock % 1000) / 1000
  stamp, operation, window = args[1], args[2], count_of(args[3])
  all, alone = args[4] ~= 'each', args[4] == 'one'
  acknowledged_from, acknowledged_to = take_words()
  local declared = 1
  if alone then
    models = { take_model(0, 1) }
  else
    models, declared = {}, 0
    for n = 1, take_number() do
      local count = take_number()
      models[n] = take_model(declared, count)
      declared = declared + count
    end
  end
  members_at = at
  at = at + declared
  operations = models[1].operations
  mending, plain = false, true
  guarded_from, guarded_to = 1, 0
end
--@include retry.lua
--@include record.lua
--@include entries.lua
--@include mutations.lua

-- Whether the server has no expiry of hash fields: no step that writes one can be made.
local function lacks_fading(model)
  if model.lacks == nil then
    local known = redis.pcall('HPTTL', KEYS[model.first + 1], 'FIELDS', 1, model.fading[1].name)
    model.lacks = type(known) == 'table' and known.err ~= nil
  end
  return model.lacks
end

-- Phase 1: decide.
local function decide()
  for n = 1, alone and 1 or take_number() do
    current = n
    local name, model, position = take(), models[1], 1
    if not alone then model, position = models[take_number()], take_number() end
    if model.fades and name ~= 'del' and name ~= 'life' and name ~= 'look' and lacks_fading(model) then
      refused[#refused + 1] = { n, 'fading', model.fading[1].name }
    end
    local result, failure = mutate[name](model, position)
    results[n] = result or 0
    if failure then failures[#failures + 1] = { n, unpack(failure) } end
    if result ~= 1 then plain = false end
  end
end
-- The record of this step with that key, if any.
local function record_of(model, member)
  if not owners then
    owners = {}
    for n = 1, #opened do
      local record = opened[n]
      local base = record.model.base
      owners[base] = owners[base] or {}
      owners[base][record.member] = record
    end
  end
  return owners[model.base][member]
end
-- Of a whole step, a unique value may pass from one record to another in any order.
local function judge_claim(claim)
  local record = claim.record
  local model, member = record.model, record.member
  local key = model.base .. ':u:' .. claim.name
  local ours, owner = hashes[key] and hashes[key][claim.token], nil
  if ours and ours ~= member then
    owner = ours
  elseif ours ~= nil then
    local stored = call('HGET', key, claim.token)
    if stored and stored ~= member then
      local other = record_of(model, stored)
      if other then
        local list = other.live and index_of(other)['u' .. claim.name]
        if list and list[1] == claim.token then owner = stored end
      elseif owner_lives(model, stored) then
        owner = stored
      end
    end
  end
  if owner and not ours then
    hashes[key][claim.token] = nil -- claimed and given up again: it stays its owner's
    return
  end
  if owner then failures[#failures + 1] = { claim.position, 'unique', claim.name, owner, claim.token } end
end

-- Sweep a bounded number of overdue records by what their memos say: fewer where these are long.
local SWEPT = 10000 -- bytes
local function sweep(model)
  local size = 0
  for _, member in ipairs(overdue_of(model)) do
    if size > SWEPT then return end
    if not sorted[model.due] or sorted[model.due][member] == nil then
      local memo = size_of(model.memo, 'HLEN') > 0 and call('HGET', model.memo, member)
      local record = { model = model, member = member, deadline = 0, stored = false, fields = {}, before = memo or '' }
      size = size + #record.before
      erase(record)
      record.key = library().record_key(model.base, model.int_keys, member)
      swept[#swept + 1] = record
    end
  end
end

-- What caches depend on (cache_drop.lua): judged by the records as they are, and once more as they will be.
local function watched()
--@include cache_drop.lua
end
local function watch_caches()
  for n = 1, #models do
    if models[n].caches then return watched() end
  end
end

--@include writing.lua
--@include alone.lua

local function answer()
  if #results == 0 then
    -- a step without mutations only sweeps, and says how much
    plain, results = false, { #swept }
  end
  local failed = #failures > 0
  if plain and not failed then return { 'O' } end
  return { 'O', results, failed and failures, false }
end

local function run()
  local refusal = stamp ~= '' and answered() or undeclared()
  if refusal then return refusal end
  local done, failed = done_alone()
  if failed then return failed end
  if done then
    local reply = answer()
    remember(reply, true)
    return reply
  end
  decide()
  for n = 1, #claims do judge_claim(claims[n]) end
  if refused[1] then return { 'F', refused } end
  if all and #failures > 0 then return { 'F', failures } end
  for n = 1, #models do
    if models[n].ends then sweep(models[n]) end
  end
  local drop_watches = watch_caches()
  write()
  if drop_watches then drop_watches() end
  local reply, stored = answer(), false
  for n = 1, #opened do stored = stored or opened[n].changed end
  remember(reply, stored)
  return reply
end
local function main(keys, args)
  begin(keys, args)
  local reply = run()
  clear()
  return reply
end
