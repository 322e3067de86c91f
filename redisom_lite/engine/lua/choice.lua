-- Which access path to drive from, and how. Included by find.lua, after admission.lua.
--
-- Microseconds measured on 100,000 records; what matters is where the lines cross.
local GATHERED = 100 -- sorting here more than this is slower than sending keys
local function selectivity(path)
  if path.share then return path.share end
  local share = 1
  for _, other in ipairs(paths) do
    local adds = other ~= path and next(other.covers) == nil -- what a clause cannot match, or every record
    for c in pairs(other.covers) do adds = adds or not path.covers[c] end
    if adds and total > 0 then share = math.min(share, size_of(other) / total) end
  end
  path.share = math.max(share, 1 / (total + 1))
  return path.share
end
-- Whether what a path reads is tested by a clause.
local function tests(path)
  for c = 1, #clauses do
    if not path.covers[c] then return true end
  end
  return false
end
local function walk_cost(path, entries)
  return 200 + 0.42 * math.min(entries, 1.3 * needed / selectivity(path) + 20)
end
local function gather_cost(path)
  if path.each and limit > 0 and not for_keys then
    local sum = 0
    size_of(path)
    for _, read in ipairs(path.reads) do sum = sum + walk_cost(path, read.size) end
    return sum
  end
  local price = 400
  size_of(path)
  for _, read in ipairs(path.reads) do price = price + (read.op == 'S' and 0.6 or 0.45) * read.size end
  if limit > 0 and not for_keys and (path.size > budget or needed > GATHERED) then price = price * 2 end
  return price
end
local function cheapest(costs)
  local best, price
  for n, path in ipairs(paths) do
    local c = costs(path)
    if c and (not price or c < price) then best, price = n, c end
  end
  return best, price
end
local function choose()
  if #paths == 1 then
    if limit == 0 or order.kind == 'n' then return 'S', 1 end
    if paths[1].ordered then return 'W', 1 end
    return for_keys and 'S' or 'G', 1
  end
  local gather, gather_price = cheapest(gather_cost)
  if limit == 0 or order.kind == 'n' then return 'S', gather end
  local walk, walk_price = cheapest(function(path) return path.ordered and walk_cost(path, size_of(path)) end)
  if walk and (walk_price <= gather_price or paths[gather].ordered) then return 'W', walk end
  return for_keys and 'S' or 'G', gather
end
-- A walk that finds too little: whatever is still to come may be cheaper from another path.
local function choose_again()
  if resume.strategy == 'W' and #paths > 1 then
    local gather, price = cheapest(gather_cost)
    if not paths[gather].ordered and resume.examined * 0.42 > price + 400 then
      return for_keys and 'S' or 'G', gather
    end
  end
  return resume.strategy, resume.path
end

local function set_out(by, from)
  strategy, chosen = by, from
  path = paths[chosen]
  going_on = resume.strategy == strategy and resume.path == chosen
end
