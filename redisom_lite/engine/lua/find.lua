-- find: the one script that answers queries. It writes nothing.
--
-- KEYS  1 the model's registry (routes the call; every other key shares its hash tag)
-- ARGV  base reader accepted int_keys | mode most limit offset budget ms | order: kind field descending
--       | keys wanted: n (kind field)... | ties verify
--       | after: present score member | resume: strategy path read examined score member scan
--       | n field... | clauses: n program... | paths: n (ordered each distinct valued | covers: n clause... | reads: program)...
--   reader, accepted  the declaration's fingerprint and the index state its process knows ('' all ready)
--   mode     rows (at most `most` in one call, or what is found in one run) | few (rows if they are at most `most`, else
--            members without rows) | keys | count | tally (how often each combination of wanted keys occurs) | plan (only
--            say what rows, or with ties keys, would do)
--   limit    0 for all, streamed in the driver's order; otherwise the first `limit` in order after skipping `offset`
--   order    n none, k by key, z by number, l by text; records whose number or text is None are left out (the caller asks
--            for them next)
--   wanted   z a score, `=exact` behind it where it is inexact; l a text; t the tokens of a tag, (length:token)...
--   ties     keys mode: do not stop between equal scores
--   verify   see whether each record is still there; those that are not come back in `doubtful`
--   path     an access path: index reads whose union holds every answer of the clauses it covers. `ordered`: walking its
--            one read gives the order; `each`: each of its reads does; `distinct`: no record is in two of them
-- reply {'K'}   the order has values that doubles do not tell apart: ask for keys
--       {'M', state}   the declaration is not registered, or its indexes are not as accepted: see declare.lua
--       {'G', path}    best gathered from this path, which one call cannot: ask for keys
--       {'P', strategy, path, total, overdue, sizes}   plan
--       {'R', head, members, keys, rows, doubtful}
--   head  strategy path examined skipped more score member read scan overdue tail found total
--         more: 1 when the budget ended the call (2: only the last tie is unfinished); then score, member, read, scan
--         say where to resume. found: matches, those in `members` included
--   keys  with rows, ordered: each member's score or text entry; keys mode: one entry for each wanted key (false: None);
--         tally: a count and one entry for each wanted key, and in `members` and `rows` those it could not count yet,
--         because they may come up again in a later call or are doubtful
--@function no-writes
--@include reading.lua
--@include match.lua

-- What a call asks, made anew by `ask`: functions outlive the call.
local base, reader, accepted, int_keys
local mode, most, limit, offset, budget, budget_ms, with_rows
local order, wanted, ties, verify, after, resume, fields, clauses, paths
local registry, due, needed, for_keys
-- What it meets and finds.
local started, now, now_text, overdue, total, seen
local strategy, chosen, path, going_on
local members_out, keys_out, rows_out, doubtful
local examined, skipped, more, found
local at_score, at_member, at_read, at_scan
--@include sources.lua

local function ask(args)
  begin(args)
  forget_keys()
  base, reader, accepted, int_keys = take(), take(), take(), take() == '1'
  mode, most, limit, offset = take(), take_number(), take_number(), take_number()
  budget, budget_ms = take_number(), take_number()
  with_rows = mode == 'rows' or mode == 'few'
  order = { kind = take(), field = take(), descending = take() == '1' }
  wanted = {}
  for n = 1, take_number() do wanted[n] = { kind = take(), field = take() } end
  ties, verify = take() == '1', take() == '1'
  after = take() == '1' and {} or nil
  if after then after.score, after.member = take(), take() end
  resume = { strategy = take(), path = take_number(), read = take_number(), examined = take_number(),
    score = take(), member = take(), scan = take() }
  registry, due = base .. ':k', base .. ':due'
  needed = limit + offset
  for_keys = mode == 'keys' or (mode == 'plan' and ties)
end
local function ask_of_records()
  fields = take_list()
  clauses = {}
  for n = 1, take_number() do clauses[n] = parse_program(base) end
  paths = {}
  for n = 1, take_number() do
    local one = { ordered = take() == '1', each = take() == '1', distinct = take() == '1', valued = take() == '1', covers = {} }
    for _ = 1, take_number() do one.covers[take_number()] = true end
    one.reads = parse_program(base, clauses)
    paths[n] = one
  end
end

-- Milliseconds: os.clock where the server has it, else TIME, which moves during a script on just those servers.
local has_clock, processor = pcall(function() return os.clock end)
has_clock = has_clock and processor
local function start()
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + floor(clock[2] / 1000)
  now_text = format('%.0f', now)
  overdue = redis.call('ZCOUNT', due, '-inf', '(' .. now_text)
  started = has_clock and processor() * 1000 or clock[1] % 100000 * 1000 + clock[2] / 1000
  total, seen = redis.call('ZCARD', registry), {}
  members_out, keys_out, rows_out, doubtful = {}, {}, {}, {}
  examined, skipped, more, found = 0, 0, 0, 0
  at_score, at_member, at_read, at_scan = '', '', 1, ''
end
local function spent()
  if has_clock then return processor() * 1000 - started end
  local t = redis.call('TIME')
  return t[1] % 100000 * 1000 + t[2] / 1000 - started
end
local function out_of_time() return spent() > budget_ms end

local function size_of(one)
  if not one.size then
    one.size = 0
    for _, read in ipairs(one.reads) do
      read.size = size[read.op](read)
      one.size = one.size + read.size
    end
  end
  return one.size
end

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
local function admit_some(path, op, members, scores)
  if #members > 0 and not path.distinct then members, scores = compact(members, scores, unseen(members)) end
  if #members > 0 and overdue > 0 then members, scores = compact(members, scores, not_overdue(members)) end
  if #members > 0 and (op == 'K' or op == 'U') then members, scores = compact(members, scores, registered(members)) end
  for c = 1, #clauses do
    if #members == 0 then break end
    if not path.covers[c] then
      members, scores = compact(members, scores, evaluate(clauses[c], members, base, int_keys))
    end
  end
  return members, scores
end
local function in_runs(list, longest, run)
  for from = 1, #list, longest do run(from, math.min(from + longest - 1, #list)) end
end
local function admit(path, read, members, scores)
  local op = path.reads[read].op
  if #members <= 1000 then return admit_some(path, op, members, scores) end
  local all, all_scores = {}, scores and {} or nil
  in_runs(members, 1000, function(from, to)
    local some, own = admit_some(path, op, { unpack(members, from, to) }, scores and { unpack(scores, from, to) })
    for m = 1, #some do
      all[#all + 1] = some[m]
      if scores then all_scores[#all_scores + 1] = own[m] end
    end
  end)
  return all, all_scores
end

-- Choosing. Microseconds measured on 100,000 records; what matters is where the lines cross.
local GATHERED = 100 -- sorting here more than this is slower than sending keys
local function selectivity(path)
  local share = 1
  for _, other in ipairs(paths) do
    local adds = false
    for c in pairs(other.covers) do adds = adds or not path.covers[c] end
    if adds and total > 0 then share = math.min(share, size_of(other) / total) end
  end
  return math.max(share, 1 / (total + 1))
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

-- Answering.
local function emit_row(member, key)
  members_out[#members_out + 1] = member
  keys_out[#members_out] = key or ''
end
local function read_rows()
  if mode == 'few' and #members_out > most then return end
  for m = 1, #members_out do
    local row = redis.call('HMGET', record_key(base, int_keys, members_out[m]), unpack(fields))
    if order.field == '@due' then row[#row + 1] = redis.call('ZSCORE', due, members_out[m]) end
    rows_out[m] = row
  end
end

local function read_scores()
  local key = number_key(base, order.field)
  in_runs(members_out, 1000, function(from, to)
    local scores = redis.call('ZMSCORE', key, unpack(members_out, from, to))
    for m = from, to do keys_out[m] = scores[m - from + 1] end
  end)
end

local function answer()
  local tail = 0
  if with_rows then read_rows() end
  if with_rows and strategy == 'W' and order.kind == 'z' then read_scores() end
  if (order.kind == 'z' or order.kind == 'l') and (strategy ~= 'S' or path.valued) then
    tail = order.field == '@due' and size.A() - redis.call('ZCARD', due)
      or redis.call('SCARD', base .. ':t:' .. order.field .. ':%')
  end
  local head = { strategy, chosen, examined, skipped, more, at_score, at_member, at_read, at_scan, overdue, tail, found, total }
  return { 'R', head, members_out, keys_out, rows_out, doubtful }
end

local function check_there(members)
  local gone = {}
  for m = 1, #members do
    if redis.call('EXISTS', record_key(base, int_keys, members[m])) == 0 then
      doubtful[#doubtful + 1] = members[m]
      gone[members[m]] = true
    end
  end
  return gone
end
-- The wanted keys of a run of members: a list for each wanted key.
local wanted_of = {}
function wanted_of.z(field, members)
  local scores = redis.call('ZMSCORE', number_key(base, field), unpack(members))
  if exists(base .. ':x:' .. field) then
    local exact = redis.call('HMGET', base .. ':x:' .. field, unpack(members))
    for m = 1, #members do
      if exact[m] and scores[m] then scores[m] = scores[m] .. '=' .. exact[m] end
    end
  end
  return scores
end
function wanted_of.l(field, members)
  local texts = {}
  for m = 1, #members do texts[m] = redis.call('HGET', record_key(base, int_keys, members[m]), field) end
  return texts
end
function wanted_of.t(field, members)
  local sections = {}
  for m = 1, #members do sections[m] = index_section(base, int_keys, members[m], 't' .. field) or false end
  return sections
end
local function wanted_keys(members)
  local columns = {}
  for w = 1, #wanted do columns[w] = wanted_of[wanted[w].kind](wanted[w].field, members) end
  return columns
end
local function emit_keys(members)
  in_runs(members, 1000, function(from, to)
    local run = (from == 1 and to == #members) and members or { unpack(members, from, to) }
    local columns = wanted_keys(run)
    if verify then check_there(run) end
    for m = 1, #run do
      members_out[#members_out + 1] = run[m]
      for w = 1, #wanted do keys_out[#keys_out + 1] = columns[w][m] end
    end
  end)
end

-- Tallies: a table from one list of keys, made once for each combination, to its count.
local combinations, tallies, repeating
local function tally_of(keys)
  local level = combinations
  for w = 1, #keys do
    local key = keys[w]
    if w == #keys then
      if not level[key] then level[key] = keys end
      return level[key]
    end
    if not level[key] then level[key] = {} end
    level = level[key]
  end
end
-- Members of a source that may give one again in a later call are counted by the caller, who remembers them.
local function start_tally()
  combinations, tallies, repeating = {}, {}, not path.distinct
  for _, read in ipairs(path.reads) do repeating = repeating or read.op == 'S' end
end
local function tally(members)
  in_runs(members, 1000, function(from, to)
    local run = (from == 1 and to == #members) and members or { unpack(members, from, to) }
    local columns, gone = wanted_keys(run), verify and check_there(run) or {}
    for m = 1, #run do
      local keys = {}
      for w = 1, #wanted do keys[w] = columns[w][m] end
      if repeating or gone[run[m]] then
        members_out[#members_out + 1] = run[m]
        rows_out[#rows_out + 1] = keys
      else
        keys = tally_of(keys)
        tallies[keys] = (tallies[keys] or 0) + 1
      end
    end
  end)
end

local function add_tallies()
  for keys, count in pairs(tallies) do
    keys_out[#keys_out + 1] = count
    for w = 1, #wanted do keys_out[#keys_out + 1] = keys[w] end
  end
end

-- Counting by cardinalities alone, where one path covers every clause: its entries less those overdue, and at a bound
-- that needs the real value less the ties that are beyond it. nil where that would take long.
local TIES = 500
local function direct_size(read)
  if one_size[read.op] then
    local distinct = read.op ~= 'N' or #score_list(read) == read.count
    if read.count > TIES or not distinct or read.inexact or (read.op == 'N' and exists(read.exact_key)) then return nil end
    local sum = 0
    for n = 1, read.count do sum = sum + one_size[read.op](read, n) end
    return sum
  end
  if read.op ~= 'Z' and read.op ~= 'C' or not needs_test(read) then return size[read.op](read) end
  local count = redis.call('ZCOUNT', read.key, '(' .. read.low_text, '(' .. read.high_text)
  local edges = { read.low_text, read.high_text ~= read.low_text and read.high_text or nil }
  for e = 1, #edges do
    local tied = redis.call('ZRANGEBYSCORE', read.key, edges[e], edges[e], 'LIMIT', 0, TIES + 1)
    if #tied > TIES then return nil end
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
  local sum = 0
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

-- How many entries to read next: no more than the time left is enough for, by what those before took; 0 at the end.
-- No call ends with nearly nothing done, however long it took to begin.
local LEAST = 64
local function fitting(run)
  if examined >= budget then return 0 end
  if examined < LEAST then return run end
  local took = spent()
  local fit = took > 0 and floor((budget_ms - took) / took * examined) or run
  return fit < 16 and 0 or math.min(run, fit)
end

-- Stream: everything, in whatever order the driver gives it.
local function stream()
  local read, score, member, scan = 1, '', '', ''
  if going_on then read, score, member, scan = resume.read, resume.score, resume.member, resume.scan end
  local run = math.min(budget, LEAST)
  while read <= #path.reads do
    local next_members, position = open_read[path.reads[read].op](path.reads[read], false, score, member, scan)
    while true do
      local members, scores, entries = next_members(run)
      if not members then break end
      examined = examined + entries
      members = admit(path, read, members, scores)
      found = found + #members
      if with_rows then
        for m = 1, #members do emit_row(members[m]) end
      elseif mode == 'keys' then
        emit_keys(members)
      elseif mode == 'tally' then
        tally(members)
      else
        if verify then check_there(members) end
        if repeating then
          for m = 1, #members do members_out[#members_out + 1] = members[m] end
        end
      end
      if order.kind == 'n' and limit > 0 and found >= limit then return end
      run = fitting(math.min(budget, 250))
      if run == 0 or (mode == 'rows' and found >= most) then
        more = 1
        at_score, at_member, at_scan = position()
        at_read = read
        return
      end
    end
    read, score, member, scan = read + 1, '', '', ''
  end
  if mode == 'count' and not going_on then members_out = {} end
end

-- Walk: the order itself, as far as the limit.
local function walk()
  local score, member = '', ''
  if going_on then score, member = resume.score, resume.member elseif after then score, member = after.score, after.member end
  local bare = with_rows and order.kind == 'z'
  local next_members, position = open_read[path.reads[1].op](path.reads[1], order.descending, score, member, '', bare)
  local run = going_on and LEAST or 1.3 * needed / selectivity(path) + 8
  run = math.min(budget, 250, math.max(needed, math.ceil(run)))
  local last_score
  local function tie_of(key)
    return order.kind == 'l' and sub(key, 1, find(key, '\0\0', 1, true)) or key
  end
  while true do
    local members, scores, entries = next_members(run)
    if not members then return end
    examined = examined + entries
    members, scores = admit(path, 1, members, scores)
    local batch, full = {}, false
    for m = 1, #members do
      if found >= limit and not (ties and scores and tie_of(scores[m]) == last_score) then
        full = true
        break
      end
      if skipped < offset then
        skipped = skipped + 1
      else
        found = found + 1
        if with_rows then emit_row(members[m], scores and scores[m]) else batch[#batch + 1] = members[m] end
        last_score = scores and tie_of(scores[m])
      end
    end
    if mode == 'keys' then emit_keys(batch) end
    if full or (found >= limit and not (ties and scores)) then return end
    local had, next_run = found + skipped, run * 2
    if had > 0 and had < needed then next_run = math.ceil(1.3 * (needed - had) * examined / had) + 8 end
    run = fitting(math.min(budget, 250, next_run))
    if run == 0 or (mode == 'rows' and found >= most) then
      more = found >= limit and 2 or 1
      at_score, at_member = position()
      return
    end
  end
end

-- Gather: read a whole path (of one whose reads come in order, only the first of each), and keep the first in order.
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
local function gather_sorted()
  local best, full = {}, false
  local function prune()
    table.sort(best, before)
    for n = #best, needed + 1, -1 do best[n] = nil end
    full = #best == needed
  end
  local function consider(members)
    local keys = {}
    if order.kind == 'z' then
      keys = redis.call('ZMSCORE', number_key(base, order.field), unpack(members))
    elseif order.kind == 'l' then
      keys = wanted_of.l(order.field, members)
      for m = 1, #members do keys[m] = keys[m] and text_form(keys[m]) .. members[m] end
    end
    for m = 1, #members do
      local entry = (order.kind == 'k' or keys[m]) and place(members[m], keys[m])
      if entry and (not threshold or before(threshold, entry)) and (not full or before(entry, best[needed])) then
        best[#best + 1] = entry
        if #best >= 2 * needed + 64 then prune() end
      end
    end
  end
  for read = 1, #path.reads do
    local next_members = open_read[path.reads[read].op](path.reads[read], false, '', '', '')
    while true do
      local members, _, entries = next_members(math.min(budget, 500))
      if not members then break end
      examined = examined + entries
      members = admit(path, read, members)
      in_runs(members, 1000, function(from, to) consider({ unpack(members, from, to) }) end)
    end
  end
  prune()
  return best
end
-- The first of each read, merged; nil when that takes too long. A member of two reads has one place in the order.
local MERGED = 300 -- rows of one call
local function gather_merged(from, wanted_now)
  local runs = {}
  for read = 1, #path.reads do
    local next_members = open_read[path.reads[read].op](path.reads[read], order.descending,
      from and from.score or '', from and from.member or '', '')
    local run, at_most = {}, math.min(budget, 250, math.max(wanted_now, 32))
    while #run < wanted_now do
      local members, scores, entries = next_members(at_most)
      if not members then break end
      examined = examined + entries
      members, scores = admit(path, read, members, scores)
      for m = 1, #members do run[#run + 1] = place(members[m], scores and scores[m] or '') end
      if examined > 2 * budget or out_of_time() then return nil end
    end
    runs[#runs + 1] = { list = run, at = 1 }
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
  end
  return best
end
local function gather()
  local from, best, wanted_now = set_threshold(), nil, needed
  if path.each then
    wanted_now = math.min(needed, offset + MERGED)
    best = gather_merged(from, wanted_now)
  elseif size_of(path) <= budget and needed <= GATHERED then
    best = gather_sorted()
  end
  if not best then return { 'G', chosen } end
  for n = offset + 1, #best do emit_row(best[n].member, best[n].text) end
  if wanted_now < needed and #best == wanted_now then
    more, at_score, at_member = 1, best[#best].text, best[#best].member
    if order.kind == 'l' then at_score, at_member = '', at_score end
  end
  skipped, found = math.min(offset, #best), math.max(#best - offset, 0)
  return answer()
end

local function run()
  local state = redis.call('HGET', base .. ':meta', 'd:' .. reader)
  if state ~= accepted and accepted ~= '*' then
    if state or redis.call('EXISTS', registry) == 1 then return { 'M', state } end
  end
  if with_rows and limit > 0 and order.kind == 'z' and exists(base .. ':x:' .. order.field) then return { 'K' } end
  ask_of_records()
  start()
  if mode == 'count' and resume.strategy == '' and count_directly() then return answer() end
  if resume.strategy == '' then set_out(choose()) else set_out(choose_again()) end
  if mode == 'plan' then
    local sizes = {}
    for n = 1, #paths do sizes[n] = size_of(paths[n]) end
    return { 'P', strategy, chosen, total, overdue, sizes }
  end
  if strategy == 'G' then return gather() end
  if strategy == 'W' and mode ~= 'count' and mode ~= 'tally' then
    walk()
  else
    start_tally()
    stream()
    add_tallies()
  end
  return answer()
end
local function main(_, args)
  ask(args)
  local reply = run()
  begin(nil)
  clauses, paths, path, seen, combinations, tallies = nil -- a large answer is not kept till the next
  members_out, keys_out, rows_out, doubtful, resume, after, threshold = nil
  return reply
end
