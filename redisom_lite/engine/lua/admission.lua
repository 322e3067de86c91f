-- Included by find.lua, after sources.lua.
--
-- Admission: of the candidates of a read, those that are live, registered where the read cannot tell, and pass the
-- clauses that the path does not cover. Of a path that is not distinct each member once.
local function compact(members, scores, ok)
  local kept, kept_scores, n = {}, scores and {} or nil, 0
  for m = 1, #members do
    if ok[m] then
      n = n + 1
      kept[n] = members[m]
      if scores then kept_scores[n] = scores[m] end
    end
  end
  return kept, kept_scores
end
local function unseen(members)
  local ok = {}
  for m = 1, #members do
    ok[m] = not seen[members[m]]
    seen[members[m]] = true
  end
  return ok
end
local function not_overdue(members)
  local deadlines, ok = redis.call('ZMSCORE', due, unpack(members)), {}
  for m = 1, #members do ok[m] = not deadlines[m] or tonumber(deadlines[m]) >= now end
  return ok
end
local function registered(members)
  local known, ok = redis.call('ZMSCORE', registry, unpack(members)), {}
  for m = 1, #members do ok[m] = known[m] ~= false end
  return ok
end
local function admit_some(path, op, members, scores, key)
  if #members > 0 and not path.distinct then members, scores = compact(members, scores, unseen(members)) end
  if #members > 0 and overdue > 0 then members, scores = compact(members, scores, not_overdue(members)) end
  if #members > 0 and (op == 'K' or op == 'U') then members, scores = compact(members, scores, registered(members)) end
  for c = 1, #clauses do
    if #members == 0 then break end
    if not path.covers[c] then
      members, scores = compact(members, scores, evaluate(clauses[c], members, base, int_keys, key, scores))
    end
  end
  return members, scores
end
local function in_runs(list, longest, run)
  for from = 1, #list, longest do run(from, math.min(from + longest - 1, #list)) end
end
-- Of members with their scores in `key`, the clauses about it need not ask again.
local function admit(path, read, members, scores, key)
  local op = path.reads[read].op
  if #members <= 1000 then return admit_some(path, op, members, scores, key) end
  local all, all_scores = {}, scores and {} or nil
  in_runs(members, 1000, function(from, to)
    local some, own = admit_some(path, op, { unpack(members, from, to) }, scores and { unpack(scores, from, to) }, key)
    for m = 1, #some do
      all[#all + 1] = some[m]
      if scores then all_scores[#all_scores + 1] = own[m] end
    end
  end)
  return all, all_scores
end
