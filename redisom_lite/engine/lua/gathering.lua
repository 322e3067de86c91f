-- Included by find.lua, after answer.lua.
--
-- Gather: read a whole path (of one whose reads come in order, only the first of each), and keep the first in order;
-- nil where that would take too long, which shows early.
local function before(a, b)
  if a.key ~= b.key then
    if order.kind == 'l' then return less(a.key, b.key) ~= order.descending end
    return (a.key < b.key) ~= order.descending
  end
  if a.member == b.member then return false end
  return less(a.member, b.member) ~= order.descending
end
local function place(member, key)
  if order.kind == 'z' then return { member = member, key = number(key), text = key } end
  if order.kind == 'l' then
    local _, last = find(key, '\0\0', 1, true)
    return { member = member, key = sub(key, 1, last), text = key }
  end
  return { member = member, key = 0, text = '' }
end
local threshold
local function set_threshold()
  threshold = nil
  local from = after
  if resume.strategy ~= '' then from = { score = resume.score, member = resume.member } end
  if not from then return end
  if order.kind == 'l' then
    local _, last = find(from.member, '\0\0', 1, true)
    threshold = { key = sub(from.member, 1, last), member = sub(from.member, last + 1) }
  else
    threshold = { member = from.member, key = order.kind == 'z' and number(from.score) or 0 }
  end
  return from
end
-- The key of the order's scores, if a clause asks for those, too: then they are read once, before the clauses are tested.
local function tested_order()
  if order.kind ~= 'z' then return nil end
  local key = number_key(base, order.field)
  for c = 1, #clauses do
    for _, i in ipairs(path.covers[c] and {} or clauses[c]) do
      if i.key == key then return key end
    end
  end
end
local function gather_sorted()
  local best, tested = {}, tested_order() -- in order, and no more than are needed
  local function insert(entry)
    local low, high = 1, #best
    while low <= high do
      local middle = floor((low + high) / 2)
      if before(best[middle], entry) then low = middle + 1 else high = middle - 1 end
    end
    table.insert(best, low, entry)
    best[needed + 1] = nil
  end
  local function consider(members, scores)
    local keys = scores or {}
    if order.kind == 'z' and not scores then
      keys = redis.call('ZMSCORE', number_key(base, order.field), unpack(members))
    elseif order.kind == 'l' then
      keys = wanted_of.l(order.field, members)
      for m = 1, #members do keys[m] = keys[m] and text_form(keys[m]) .. members[m] end
    end
    for m = 1, #members do
      local entry = (order.kind == 'k' or keys[m]) and place(members[m], keys[m])
      if entry and (not threshold or before(threshold, entry)) and (not best[needed] or before(entry, best[needed])) then
        insert(entry)
      end
    end
  end
  for read = 1, #path.reads do
    local next_members = open_read[path.reads[read].op](path.reads[read], false, '', '', '')
    while true do
      local members, _, entries = next_members(4 * longest)
      if not members then break end
      examined = examined + entries
      in_runs(members, 1000, function(from, to)
        local run = (from == 1 and to == #members) and members or { unpack(members, from, to) }
        local scores = tested and redis.call('ZMSCORE', tested, unpack(run))
        run, scores = admit(path, read, run, scores, tested)
        if #run > 0 then consider(run, scores) end
      end)
      if overtime(math.min(1, examined / size_of(path))) then return nil end
    end
  end
  return best
end
-- The first of each read, merged as far as time allows; nil when it does not even allow to begin. Of each read no more
-- is read than its share, and more when that is used up. A member of two reads has one place in the order.
local MERGED = 300 -- rows of one call
local function refill(run)
  run.list, run.at = {}, 1
  while run.next_members and not run.list[1] do
    if examined > 2 * budget or out_of_time() then return false end
    local members, scores, entries = run.next_members(run.size)
    if members then
      examined = examined + entries
      members, scores = admit(path, run.read, members, scores)
      for m = 1, #members do run.list[m] = place(members[m], scores and scores[m] or '') end
      run.size = math.min(longest, run.size * 2)
    else
      run.next_members = nil
    end
  end
  return true
end
local function gather_merged(from, wanted_now)
  local runs, size = {}, math.min(longest, math.max(4, math.ceil(2 * wanted_now / #path.reads)))
  for read = 1, #path.reads do
    local next_members = open_read[path.reads[read].op](path.reads[read], order.descending,
      from and from.score or '', from and from.member or '', '')
    runs[read] = { read = read, size = size, next_members = next_members }
    if not refill(runs[read]) then return nil end
  end
  local best = {}
  while #best < wanted_now do
    local first
    for _, run in ipairs(runs) do
      local entry = run.list[run.at]
      if entry and (not first or before(entry, first.list[first.at])) then first = run end
    end
    if not first then break end
    best[#best + 1] = first.list[first.at]
    first.at = first.at + 1
    if (not first.list[first.at] and not refill(first)) or (#best % 16 == 0 and out_of_time()) then
      return best, true
    end
  end
  return best
end
local function gather()
  local from, best, wanted_now, cut = set_threshold(), nil, needed, false
  if path.each then
    wanted_now = math.min(needed, offset + MERGED)
    best, cut = gather_merged(from, wanted_now)
  elseif size_of(path) <= budget and needed <= GATHERED then
    best = gather_sorted()
  end
  if not best then return { 'G', chosen } end
  for n = offset + 1, #best do emit_row(best[n].member, best[n].text) end
  if #best < needed and (cut or #best == wanted_now) then
    more, at_score, at_member = 1, best[#best].text, best[#best].member
    if order.kind == 'l' then at_score, at_member = '', at_score end
  end
  skipped, found = math.min(offset, #best), math.max(#best - offset, 0)
  return answer()
end
