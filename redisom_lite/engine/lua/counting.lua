-- Included by find.lua, after answer.lua.
--
-- Counting by cardinalities alone, where one path covers every clause: its entries less those overdue, and at a bound
-- that needs the real value less the ties that are beyond it. nil where that would take long.
local TIES = 500
local ties_left
local function direct_size(read)
  if one_size[read.op] then
    if read.count > TIES then return nil end
    local distinct = read.op ~= 'N' or #score_list(read) == read.count
    if not distinct or read.inexact or (read.op == 'N' and exists(read.exact_key)) then return nil end
    local sum = 0
    for n = 1, read.count do sum = sum + one_size[read.op](read, n) end
    return sum
  end
  if read.op ~= 'Z' and read.op ~= 'C' or not needs_test(read) then return size[read.op](read) end
  local count = redis.call('ZCOUNT', read.key, '(' .. read.low_text, '(' .. read.high_text)
  local edges = { read.low_text, read.high_text ~= read.low_text and read.high_text or nil }
  for e = 1, #edges do
    local tied = redis.call('ZRANGEBYSCORE', read.key, edges[e], edges[e], 'LIMIT', 0, ties_left + 1)
    if #tied > ties_left then return nil end
    ties_left = ties_left - #tied
    local score = number(edges[e])
    for m = 1, #tied do
      if in_bounds(read, tied[m], score) then count = count + 1 end
    end
  end
  return count
end
local function direct_count(candidate)
  for c = 1, #clauses do
    if not candidate.covers[c] then return nil end
  end
  if not candidate.distinct or verify or overdue > 1000 then return nil end
  if overdue * price({ candidate.reads }) > 4000 then return nil end
  local sum = 0
  ties_left = TIES
  for _, read in ipairs(candidate.reads) do
    local count = read.op ~= 'K' and read.op ~= 'U' and direct_size(read)
    if not count then return nil end
    sum = sum + count
  end
  if overdue > 0 then
    local gone = redis.call('ZRANGEBYSCORE', due, '-inf', '(' .. now_text)
    local program = { unpack(candidate.reads) }
    program[#program + 1] = { op = '|', n = #candidate.reads }
    for _, read in ipairs(candidate.reads) do
      if read.op == 'L' or read.op == 'M' then return nil end -- the text of a record that is gone is not known
    end
    local hits = evaluate(program, gone, base, int_keys)
    for m = 1, #gone do if hits[m] then sum = sum - 1 end end
  end
  return sum
end
local function count_directly()
  for n = 1, #paths do
    found = direct_count(paths[n])
    if found then
      set_out('S', n)
      return true
    end
  end
  found = 0
end
