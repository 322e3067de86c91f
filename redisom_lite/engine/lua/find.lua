-- find: the one script that answers queries. It writes nothing.
--
-- KEYS  1 the model's registry (routes the call; every other key shares its hash tag)
-- ARGV  base reader accepted int_keys | mode limit offset budget ms
--       | order: kind field descending | keys wanted: n (kind field)... | ties
--       | after: present score member | resume: strategy path read examined score member scan
--       | n field... | clauses: n program... | paths: n (ordered each distinct valued | covers: n clause... | reads: program)...
--   reader, accepted  the declaration's fingerprint and the index state its process knows ('' all ready)
--   mode     rows | keys | count
--   limit    0 for all, streamed in the driver's order; otherwise the first `limit` in order after skipping `offset`
--   order    k by key, z by number, l by text; records whose number is None are left out (the caller asks for them next)
--   ties     keys mode: do not stop between equal scores
--   path     an access path: index reads whose union holds every answer of the clauses it covers. `ordered`: walking its
--            one read gives the order; `each`: each of its reads does; `distinct`: no record is in two of them
-- reply {'K'}   the order has values that doubles do not tell apart: ask for keys
--       {'M', state}   the declaration is not registered, or its indexes are not as accepted: see declare.lua
--       {'G', path, size}  best gathered from this path, which one call cannot: ask for keys
--       {'R', head, members, keys, rows}
--   head  strategy path examined skipped more score member read scan overdue tail found sizes
--         more: 1 when the budget ended the call (2: only the last tie is unfinished); then score, member, read, scan
--         say where to resume
--   keys  rows mode, ordered: each member's score or text entry; keys mode: one entry for each wanted key (false: None)
--@include match.lua

local base, reader, accepted, int_keys = take(), take(), take(), take() == '1'
local mode, limit, offset, budget, budget_ms = take(), take_number(), take_number(), take_number(), take_number()
local order = { kind = take(), field = take(), descending = take() == '1' }
local wanted = {}
for n = 1, take_number() do wanted[n] = { kind = take(), field = take() } end
local ties = take() == '1'
local after = take() == '1' and {} or nil
if after then after.score, after.member = take(), take() end
local resume = { strategy = take(), path = take_number(), read = take_number(), examined = take_number(),
  score = take(), member = take(), scan = take() }

local state = redis.call('HGET', base .. ':meta', 'd:' .. reader)
if state ~= accepted and accepted ~= '*' then
  if state or redis.call('EXISTS', base .. ':k') == 1 then return { 'M', state } end
end

if mode == 'rows' and limit > 0 and order.kind == 'z' and exists(base .. ':x:' .. order.field) then return { 'K' } end

local fields = take_list()
local clauses = {}
for n = 1, take_number() do clauses[n] = parse_program(base) end
local paths = {}
for n = 1, take_number() do
  local path = { ordered = take() == '1', each = take() == '1', distinct = take() == '1', valued = take() == '1', covers = {}, index = n }
  for _ = 1, take_number() do path.covers[take_number()] = true end
  path.reads = parse_program(base)
  paths[n] = path
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)
local now_text = format('%.0f', now)
local registry, due = base .. ':k', base .. ':due'
local total = redis.call('ZCARD', registry)
local overdue = redis.call('ZCOUNT', due, '-inf', '(' .. now_text)
-- Milliseconds: os.clock where the server has it, else TIME, which moves during a script on just those servers.
local has_clock, processor = pcall(function() return os.clock end)
local function stopwatch()
  if has_clock and processor then return processor() * 1000 end
  local t = redis.call('TIME')
  return t[1] % 100000 * 1000 + t[2] / 1000
end
local started = stopwatch()
local function out_of_time() return stopwatch() - started > budget_ms end

-- Bounds whose ties need the real value are read closed and tested again.
local function needs_test(i)
  return i.low_lean ~= 0 or i.high_lean ~= 0 or exists(i.exact_key)
end
local function score_bounds(i)
  local closed = needs_test(i)
  return (i.low_open and not closed) and '(' .. i.low_text or i.low_text,
    (i.high_open and not closed) and '(' .. i.high_text or i.high_text, closed
end
local size = {}
function size.Z(i)
  local low, high = score_bounds(i)
  return redis.call('ZCOUNT', i.key, low, high)
end
size.C = size.Z
function size.L(i) return redis.call('ZLEXCOUNT', i.key, i.min, i.max) end
function size.S(i)
  local sum = 0
  for t = 1, #i.tokens do sum = sum + redis.call('SCARD', i.key .. ':' .. i.tokens[t]) end
  return sum
end
function size.U(i) return #i.tokens end
function size.K(i) return #i.members end
function size.A() return total end
function size.O() return 0 end
for _, path in ipairs(paths) do
  path.size = 0
  for _, read in ipairs(path.reads) do
    read.size = size[read.op](read)
    path.size = path.size + read.size
  end
end

-- Sources: next(n) gives up to n members (and their scores, or forms, where the index has them), or nothing at the end.
-- `position()` tells where a later call goes on.

-- The rank just after (score, member) ascending: the number of entries at or before it.
local function rank_after(key, score, member)
  if redis.call('ZSCORE', key, member) == score then return redis.call('ZRANK', key, member) + 1 end
  local low, high = redis.call('ZCOUNT', key, '-inf', '(' .. score), redis.call('ZCOUNT', key, '-inf', score)
  while low < high do
    local middle = floor((low + high) / 2)
    if less(member, redis.call('ZRANGE', key, middle, middle)[1]) then high = middle else low = middle + 1 end
  end
  return low
end
-- `member` '' stands before, '\255' after every member of that score.
local function number_source(i, descending, score, member)
  local low, high, closed = score_bounds(i)
  local count = redis.call('ZCOUNT', i.key, low, high)
  local cardinality = redis.call('ZCARD', i.key)
  local first = cardinality - redis.call('ZCOUNT', i.key, low, '+inf')
  local last = first + count - 1
  if score then
    local rank = rank_after(i.key, score, member)
    if not descending then
      first = math.max(first, rank)
    else
      if redis.call('ZSCORE', i.key, member) == score then rank = rank - 1 end
      last = math.min(last, rank - 1)
    end
  end
  local last_score, last_member = score, member
  return function(n)
    if first > last then return nil end
    local flat
    if descending then
      local from = cardinality - 1 - last
      flat = redis.call('ZREVRANGE', i.key, from, math.min(from + n - 1, cardinality - 1 - first), 'WITHSCORES')
      last = last - #flat / 2
    else
      flat = redis.call('ZRANGE', i.key, first, math.min(first + n - 1, last), 'WITHSCORES')
      first = first + #flat / 2
    end
    local members, scores, kept = {}, {}, 0
    last_member, last_score = flat[#flat - 1], flat[#flat]
    for f = 1, #flat, 2 do
      if not closed or in_bounds(i, flat[f], number(flat[f + 1])) then
        kept = kept + 1
        members[kept], scores[kept] = flat[f], flat[f + 1]
      end
    end
    return members, scores, #flat / 2
  end, function() return last_score or '', last_member or '', '' end
end
local function lex_source(key, min, max, descending, form, plain)
  local last_form = form
  return function(n)
    local forms
    if descending then
      forms = redis.call('ZREVRANGEBYLEX', key, last_form and '(' .. last_form or max, min, 'LIMIT', 0, n)
    else
      forms = redis.call('ZRANGEBYLEX', key, last_form and '(' .. last_form or min, max, 'LIMIT', 0, n)
    end
    if #forms == 0 then return nil end
    last_form = forms[#forms]
    if plain then return forms, nil, #forms end
    local members = {}
    for f = 1, #forms do
      local _, last = find(forms[f], '\0\0', 1, true)
      members[f] = sub(forms[f], last + 1)
    end
    return members, forms, #forms
  end, function() return '', last_form or '', '' end
end
local function list_source(list, from)
  local at = from or 0
  return function(n)
    if at >= #list then return nil end
    local members = {}
    for m = 1, math.min(n, #list - at) do members[m] = list[at + m] end
    at = at + #members
    return members, nil, #members
  end, function() return '', '', tostring(at) end
end
local function set_source(i, scan)
  local _, _, token, at = find(scan, '^(%d+):(%d+)$')
  token, at = tonumber(token) or 1, at or '0'
  return function()
    if token > #i.tokens then return nil end
    local page = redis.call('SSCAN', i.key .. ':' .. i.tokens[token], at, 'COUNT', 250)
    at = page[1]
    local members = page[2]
    if token > 1 and #members > 0 then
      -- what an earlier token of the same read has given already
      local earlier = { key = i.key, tokens = { unpack(i.tokens, 1, token - 1) } }
      local seen, fresh = {}, {}
      for from = 1, #members, 1000 do
        local part = { unpack(members, from, math.min(from + 999, #members)) }
        seen = leaf.S(earlier, part)
        for m = 1, #part do if not seen[m] then fresh[#fresh + 1] = part[m] end end
      end
      members = fresh
    end
    if at == '0' then token = token + 1 end
    return members, nil, #page[2]
  end, function() return '', '', token .. ':' .. at end
end
local open_read = {}
function open_read.Z(i, descending, score, member)
  return number_source(i, descending, score ~= '' and score or nil, member)
end
open_read.C = open_read.Z
function open_read.L(i, descending, _, form) return lex_source(i.key, i.min, i.max, descending, form ~= '' and form or nil) end
function open_read.A(_, descending, _, member)
  return lex_source(registry, '-', '+', descending, member ~= '' and member or nil, true)
end
function open_read.S(i, _, _, _, scan) return set_source(i, scan) end
function open_read.U(i, _, _, _, scan)
  local owners, known = {}, {}
  for t = 1, #i.tokens do
    local owner = redis.call('HGET', i.key, i.tokens[t])
    if owner and not known[owner] then
      known[owner] = true
      owners[#owners + 1] = owner
    end
  end
  return list_source(owners, tonumber(scan))
end
function open_read.K(i, _, _, _, scan) return list_source(i.members, tonumber(scan)) end
function open_read.O() return list_source({}) end

-- Keep the candidates that are live, registered where the read cannot tell, new to this union, and pass the clauses.
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
local function overdue_flags(members)
  local deadlines, ok = redis.call('ZMSCORE', due, unpack(members)), {}
  for m = 1, #members do ok[m] = not deadlines[m] or tonumber(deadlines[m]) >= now end
  return ok
end
local function admit_some(path, read, members, scores)
  if overdue > 0 then members, scores = compact(members, scores, overdue_flags(members)) end
  local op = path.reads[read].op
  if #members > 0 and (op == 'K' or op == 'U') then
    local known, ok = redis.call('ZMSCORE', registry, unpack(members)), {}
    for m = 1, #members do ok[m] = known[m] ~= false end
    members, scores = compact(members, scores, ok)
  end
  if not path.distinct then
    for earlier = 1, read - 1 do
      if #members == 0 then break end
      local ok = evaluate({ path.reads[earlier], { op = '!' } }, members, base, int_keys)
      members, scores = compact(members, scores, ok)
    end
  end
  for c = 1, #clauses do
    if #members == 0 then break end
    if not path.covers[c] then
      members, scores = compact(members, scores, evaluate(clauses[c], members, base, int_keys))
    end
  end
  return members, scores
end
local function admit(path, read, members, scores)
  if #members <= 1000 then return admit_some(path, read, members, scores) end
  local all, all_scores = {}, scores and {} or nil
  for from = 1, #members, 1000 do
    local to = math.min(from + 999, #members)
    local some, some_scores = admit_some(path, read, { unpack(members, from, to) }, scores and { unpack(scores, from, to) })
    for m = 1, #some do
      all[#all + 1] = some[m]
      if scores then all_scores[#all_scores + 1] = some_scores[m] end
    end
  end
  return all, all_scores
end

-- Choosing: microseconds measured on 100k records; what matters is where the lines cross.
local needed = limit + offset
local function selectivity(path)
  local share = 1
  for _, other in ipairs(paths) do
    local adds = false
    for c in pairs(other.covers) do adds = adds or not path.covers[c] end
    if adds and total > 0 then share = math.min(share, other.size / total) end
  end
  return math.max(share, 1 / (total + 1))
end
local function walk_cost(path, entries) return 200 + 0.42 * math.min(entries, 1.3 * needed / selectivity(path) + 20) end
local function gather_cost(path)
  if path.each and limit > 0 and mode == 'rows' then
    local sum = 0
    for _, read in ipairs(path.reads) do sum = sum + walk_cost(path, read.size) end
    return sum
  end
  local price = 400
  for _, read in ipairs(path.reads) do price = price + (read.op == 'S' and 0.6 or 0.45) * read.size end
  if mode == 'rows' and limit > 0 and path.size > budget then price = price * 2 end
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
local strategy, chosen = resume.strategy, resume.path
if strategy == '' or strategy == 'W' then
  local gather, gather_price = cheapest(gather_cost)
  if strategy == 'W' then
    -- the walk finds too little: whatever is still to come is cheaper from another path
    if mode == 'rows' and limit > 0 and not paths[gather].ordered and resume.examined * 0.42 > gather_price + 400 then
      strategy, chosen = 'G', gather
      after = { score = resume.score, member = resume.member }
    end
  elseif limit == 0 then
    strategy, chosen = 'S', gather
  else
    local walk, walk_price = cheapest(function(path) return path.ordered and walk_cost(path, path.size) end)
    if walk and (walk_price <= gather_price or paths[gather].ordered) then
      strategy, chosen = 'W', walk
    else
      strategy, chosen = mode == 'keys' and 'S' or 'G', gather
    end
  end
end
local path = paths[chosen]

local members_out, keys_out, rows_out = {}, {}, {}
local examined, skipped, more, found = 0, 0, 0, 0
local at_score, at_member, at_read, at_scan = '', '', 1, ''

local function head(tail)
  local sizes = {}
  for n = 1, #paths do sizes[n] = paths[n].size end
  return { strategy, chosen, examined, skipped, more, at_score, at_member, at_read, at_scan, overdue, tail, found, sizes }
end
local function answer()
  local tail = 0
  if order.kind ~= 'k' and mode ~= 'count' and (strategy ~= 'S' or path.valued) then
    tail = redis.call('SCARD', base .. ':t:' .. order.field .. ':%')
  end
  return { 'R', head(tail), members_out, keys_out, rows_out }
end
local function emit_row(member, key)
  members_out[#members_out + 1] = member
  keys_out[#members_out] = key or ''
  rows_out[#rows_out + 1] = redis.call('HMGET', record_key(base, int_keys, member), unpack(fields))
end
local function emit_keys(members)
  if #members == 0 then return end
  local columns = {}
  for w = 1, #wanted do
    local field = wanted[w].field
    if wanted[w].kind == 'z' then
      columns[w] = redis.call('ZMSCORE', base .. ':i:' .. field, unpack(members))
      if exists(base .. ':x:' .. field) then
        local exact = redis.call('HMGET', base .. ':x:' .. field, unpack(members))
        for m = 1, #members do if exact[m] then columns[w][m] = columns[w][m] .. '=' .. exact[m] end end
      end
    elseif wanted[w].kind == 'l' then
      columns[w] = {}
      for m = 1, #members do columns[w][m] = redis.call('HGET', record_key(base, int_keys, members[m]), field) end
    end
  end
  for m = 1, #members do
    members_out[#members_out + 1] = members[m]
    for w = 1, #wanted do
      if columns[w] then keys_out[#keys_out + 1] = columns[w][m] end
    end
  end
end

if mode == 'count' and strategy == 'S' and resume.scan == '' and resume.member == '' and overdue <= 1000 then
  -- cardinalities alone, when one path covers everything
  for n = 1, #paths do
    local p = paths[n]
    local direct = (#p.reads == 1 or p.distinct)
    for c = 1, #clauses do direct = direct and p.covers[c] or false end
    for _, read in ipairs(p.reads) do
      direct = direct and (read.op == 'Z' or read.op == 'C' or read.op == 'A' or read.op == 'O'
        or (read.op == 'S' and (#read.tokens == 1 or p.distinct)) or (read.op == 'L' and overdue == 0))
      if direct and (read.op == 'Z' or read.op == 'C') and needs_test(read) then direct = false end
    end
    if direct then
      found = p.size
      chosen = n
      if overdue > 0 then
        local gone = redis.call('ZRANGEBYSCORE', due, '-inf', '(' .. now_text)
        local program = {}
        for _, read in ipairs(p.reads) do program[#program + 1] = read end
        program[#program + 1] = { op = '|', n = #p.reads }
        local hits = evaluate(program, gone, base, int_keys)
        for m = 1, #gone do if hits[m] then found = found - 1 end end
      end
      examined = overdue
      return answer()
    end
  end
end

if strategy == 'S' or (strategy == 'W' and mode == 'count') then
  -- stream: everything, in whatever order the driver gives it
  local read = math.max(resume.read, 1)
  local score, member, scan = resume.score, resume.member, resume.scan
  while read <= #path.reads do
    local next_members, position = open_read[path.reads[read].op](path.reads[read], false, score, member, scan)
    while true do
      local members, scores, seen = next_members(mode == 'rows' and 100 or 500)
      if not members then break end
      examined = examined + seen
      members = admit(path, read, members, scores)
      found = found + #members
      if mode == 'rows' then
        for m = 1, #members do emit_row(members[m]) end
      elseif mode == 'keys' then
        for from = 1, #members, 1000 do emit_keys({ unpack(members, from, math.min(from + 999, #members)) }) end
      elseif mode == 'count' and path.reads[read].op == 'S' then
        -- SSCAN may repeat a member: the caller counts distinct ones
        for m = 1, #members do members_out[#members_out + 1] = members[m] end
      end
      if examined >= budget or out_of_time() then
        more = 1
        at_score, at_member, at_scan = position()
        at_read = read
        return answer()
      end
    end
    read, score, member, scan = read + 1, '', '', ''
  end
  return answer()
end

if strategy == 'W' then
  -- walk the order itself and stop at the limit
  local score, member = resume.score, resume.member
  if resume.strategy ~= 'W' and after then score, member = after.score, after.member end
  local next_members, position = open_read[path.reads[1].op](path.reads[1], order.descending, score, member, '')
  local chunk, last_score = math.max(32, math.min(500, 2 * needed)), nil
  local function tie(score)
    return order.kind == 'l' and sub(score, 1, find(score, '\0\0', 1, true)) or score
  end
  while true do
    local members, scores, seen = next_members(chunk)
    if not members then return answer() end
    examined = examined + seen
    members, scores = admit(path, 1, members, scores)
    local batch = {}
    for m = 1, #members do
      if found >= limit and not (ties and scores and tie(scores[m]) == last_score) then
        if mode == 'keys' then emit_keys(batch) end
        return answer()
      end
      if skipped < offset then
        skipped = skipped + 1
      else
        found = found + 1
        if mode == 'rows' then emit_row(members[m], scores and scores[m]) else batch[#batch + 1] = members[m] end
        last_score = scores and tie(scores[m])
      end
    end
    if mode == 'keys' then emit_keys(batch) end
    if found >= limit and not ties then return answer() end
    if examined >= budget or out_of_time() then
      more = 1
      at_score, at_member = position()
      if found >= limit and ties then more = 2 end
      return answer()
    end
    chunk = math.min(500, chunk * 2)
  end
end

-- gather: read the whole path (of ordered reads, only the first of each), sort, take what is wanted
if not path.each and path.size > budget then return { 'G', chosen, path.size } end
local function before(a, b)
  if a.key ~= b.key then
    if order.kind == 'l' then return less(a.key, b.key) ~= order.descending end
    return (a.key < b.key) ~= order.descending
  end
  if a.member == b.member then return false end
  return less(a.member, b.member) ~= order.descending
end
local threshold, best, full = nil, {}, false
if after then
  threshold = { member = after.member, key = order.kind == 'z' and number(after.score) or 0 }
  if order.kind == 'l' then
    local _, last = find(after.member, '\0\0', 1, true)
    threshold = { key = sub(after.member, 1, last), member = sub(after.member, last + 1) }
  end
end
local function prune()
  table.sort(best, before)
  for n = #best, needed + 1, -1 do best[n] = nil end
end
local function consider(members, scores)
  local keys = scores
  if order.kind == 'z' and not keys then
    keys = redis.call('ZMSCORE', base .. ':i:' .. order.field, unpack(members))
  end
  for m = 1, #members do
    local entry = { member = members[m], key = 0, text = '' }
    if order.kind == 'z' then
      entry.key, entry.text = keys[m] and number(keys[m]), keys[m]
    elseif order.kind == 'l' then
      local value = redis.call('HGET', record_key(base, int_keys, members[m]), order.field)
      entry.key = value and text_form(value)
      entry.text = value and entry.key .. members[m]
    end
    if entry.key and (not threshold or before(threshold, entry)) and (not full or before(entry, best[needed])) then
      best[#best + 1] = entry
      if #best >= 2 * needed + 64 then
        prune()
        full = true
      end
    end
  end
end
for read = 1, #path.reads do
  local instruction = path.reads[read]
  local by_order = path.each and after
  local next_members = open_read[instruction.op](instruction, path.each and order.descending or false,
    by_order and by_order.score or '', by_order and by_order.member or '', '')
  local matched = 0
  while true do
    local members, scores, seen = next_members(path.each and math.max(32, needed) or 500)
    if not members then break end
    examined = examined + seen
    members, scores = admit(path, read, members, scores)
    local own = path.each and scores or nil
    for from = 1, #members, 1000 do
      local to = math.min(from + 999, #members)
      consider({ unpack(members, from, to) }, own and { unpack(own, from, to) })
    end
    matched = matched + #members
    if path.each and matched >= needed then break end
    if path.each and examined > 3 * budget then return { 'G', chosen, path.size } end
  end
end
prune()
for n = offset + 1, #best do emit_row(best[n].member, best[n].text) end
skipped, found = math.min(offset, #best), math.max(#best - offset, 0)
return answer()
