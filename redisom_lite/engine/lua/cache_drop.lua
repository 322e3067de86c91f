-- Included by apply.lua as the body of a function: takes away the watches (cache_watches.lua) that a step concerns, those
-- whose condition a changed record satisfies before the step or after it. Returns what is to be called after it.
--
-- Conditions are judged by the indexes. Where these cannot tell (records they do not list, records that have gone while a
-- condition reads their text, a program that fails) the watch goes: a load too many, never an outdated answer.
--@include cache_watches.lua

local function words_of(watches)
  local words = {}
  for n = 1, #watches do
    local text, pos = watches[n].program, 1
    while pos <= #text do
      local _, colon, size = find(text, '^(%d+):', pos)
      local last = colon + tonumber(size)
      words[#words + 1] = sub(text, colon + 1, last)
      pos = last + 1
    end
  end
  return words
end

local concerned = {} -- {model, watches, records}
for m = 1, #models do
  local model, records = models[m], {}
  if model.caches then
    for n = 1, #opened do
      if opened[n].model == model and opened[n].changed then records[#records + 1] = opened[n] end
    end
    for n = 1, #swept do
      if swept[n].model == model then records[#records + 1] = swept[n] end
    end
    if records[1] then
      concerned[#concerned + 1] = { model = model, watches = read_watches(model.caches), records = records }
    end
  end
end

-- The members that the registry lists; whether there is a record it does not list, and one it lists that has gone.
local function candidates_of(model, records)
  local runs, unlisted, gone = {}, false, false
  for first = 1, #records, 1000 do
    local members, run = {}, {}
    for n = first, math.min(first + 999, #records) do members[#members + 1] = records[n].member end
    local listed = call('ZMSCORE', model.registry, unpack(members))
    for n = 1, #members do
      local stored = call('EXISTS', records[first + n - 1].key) == 1
      if listed[n] then
        run[#run + 1] = members[n]
        gone = gone or not stored
      else
        unlisted = unlisted or stored
      end
    end
    if run[1] then runs[#runs + 1] = run end
  end
  return runs, unlisted, gone
end

local function judge(part)
  local model, watches = part.model, part.watches
  local runs, unlisted, gone = candidates_of(model, part.records)
  local matching = library(words_of(watches))
  for n = 1, #watches do
    local watch, program = watches[n], matching.parse_program(model.base)
    local dropped = watch.dropped or unlisted or (gone and watch.kind == 'r')
    for r = 1, dropped and 0 or #runs do
      local found = matching.evaluate(program, runs[r], model.base, model.int_keys)
      for f = 1, #found do dropped = dropped or found[f] end
    end
    watch.dropped = dropped
  end
end
local function judge_all()
  for n = 1, #concerned do
    if not pcall(judge, concerned[n]) then concerned[n].unknown = true end
  end
end

judge_all()
return function()
  judge_all()
  for n = 1, #concerned do
    local part, kept = concerned[n], {}
    for _, watch in ipairs(part.watches) do
      if not (part.unknown or watch.dropped or watch.ends < now) then kept[#kept + 1] = watch.text end
    end
    local meta = part.model.base .. ':meta'
    if not kept[1] then
      call('HDEL', meta, 'caches')
    elseif #kept < #part.watches then
      local done = redis.pcall('HSET', meta, 'caches', concat(kept))
      if type(done) == 'table' and done.err then call('HDEL', meta, 'caches') end
    end
  end
end
