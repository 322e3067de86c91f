-- Included by apply.lua as the body of a function: takes away the watches (cache_watches.lua) that a step concerns, those
-- whose condition a changed record satisfies before the step or after it. Returns what is to be called after it.
--
-- Conditions are judged by the indexes. Where these cannot tell (records they do not list, records that have gone while a
-- condition reads their text, a program that fails) the watch goes: a load too many, never an outdated answer.
--@include cache_watches.lua

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

-- The members that the registry lists, in runs, and all their `_ix`; whether there is a record it does not list, and one
-- it lists that has gone.
local function candidates_of(model, records)
  local runs, indexes, unlisted, gone = {}, {}, false, false
  for first = 1, #records, 1000 do
    local members, run = {}, {}
    for n = first, math.min(first + 999, #records) do members[#members + 1] = records[n].member end
    local listed = call('ZMSCORE', model.registry, unpack(members))
    for n = 1, #members do
      local key = records[first + n - 1].key
      local index = call('HGET', key, '_ix')
      if listed[n] then
        run[#run + 1] = members[n]
        gone = gone or not index
        indexes[#indexes + 1] = index or ''
      else
        unlisted = unlisted or index or call('EXISTS', key) == 1
      end
    end
    if run[1] then runs[#runs + 1] = run end
  end
  return runs, concat(indexes), unlisted, gone
end

-- Whether one of a watch's tokens is anywhere in these `_ix`; true if it has none.
local function may_match(watch, indexes)
  local kind, pos = watch.kind, 2
  while pos <= #kind do
    local _, colon, size = find(kind, '^(%d+):', pos)
    local last = colon + tonumber(size)
    if find(indexes, sub(kind, pos, last), 1, true) then return true end
    pos = last + 1
  end
  return pos == 2
end
local function add_words(words, watch, text)
  local pos = watch.program
  while pos <= watch.last do
    local _, colon, size = find(text, '^(%d+):', pos)
    local last = colon + tonumber(size)
    words[#words + 1] = sub(text, colon + 1, last)
    pos = last + 1
  end
end

local function judge(part)
  local model, asked, words = part.model, {}, {}
  local runs, indexes, unlisted, gone = candidates_of(model, part.records)
  for _, watch in ipairs(part.watches) do
    watch.dropped = watch.dropped or unlisted or (gone and sub(watch.kind, 1, 1) == 'r')
    if not watch.dropped and runs[1] and (gone or may_match(watch, indexes)) then
      asked[#asked + 1] = watch
      add_words(words, watch, model.caches)
    end
  end
  if not asked[1] then return true end
  return library().judge(words, function(parse, evaluate)
    for n = 1, #asked do
      local program = parse(model.base)
      for r = 1, #runs do
        local found = evaluate(program, runs[r], model.base, model.int_keys)
        for f = 1, #found do asked[n].dropped = asked[n].dropped or found[f] end
      end
    end
  end)
end
local function judge_all()
  for n = 1, #concerned do concerned[n].unknown = concerned[n].unknown or not judge(concerned[n]) end
end

judge_all()
return function()
  judge_all()
  for n = 1, #concerned do
    local part, kept = concerned[n], {}
    for _, watch in ipairs(part.watches) do
      if not (part.unknown or watch.dropped or watch.ends < now) then kept[#kept + 1] = text_of(watch, part.model.caches) end
    end
    local meta = part.model.meta
    if not kept[1] then
      call('HDEL', meta, 'caches')
    elseif #kept < #part.watches then
      local done = redis.pcall('HSET', meta, 'caches', concat(kept))
      if type(done) == 'table' and done.err then call('HDEL', meta, 'caches') end
    end
  end
end
