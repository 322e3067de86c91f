-- What goes into the reply: rows, keys, tallies. Included by find.lua, after choice.lua.

local function emit_row(member, key)
  members_out[#members_out + 1] = member
  keys_out[#members_out] = key or ''
end
-- A row of short texts travels as one word, for what a reply costs is its elements: the texts apart by a SEPARATOR, which
-- no UTF-8 has. A row with gaps travels as a list, and so does one so long that to join and to part it takes longer.
local SEPARATOR, SHORT, GAPS = '\255\0', 64, 2
local function is_there(row)
  for f = 1, #row do
    if row[f] then return true end
  end
  return false
end
-- `_null` says nothing of a row without gaps: as long as rows are joined, it is read of the others only. Rows that take too
-- long are left for the caller to read. Whether all records are there.
local function read_few()
  if #members_out > most then return false end
  local null, names = fields[#fields] == '_null' and #fields or #fields - 1, { unpack(fields) }
  table.remove(names, null)
  local there, joins, gaps = true, true, 0
  for m = 1, #members_out do
    local key, row, whole, text = record_key(base, int_keys, members_out[m])
    if joins then
      row = redis.call('HMGET', key, unpack(names))
      row[#fields] = row[null]
      row[null] = ''
      whole, text = pcall(concat, row, SEPARATOR)
      if whole then
        joins = #text <= SHORT * #fields
      else
        row[null], gaps = redis.call('HGET', key, '_null'), gaps + 1
        joins = gaps < GAPS
      end
    else
      row, whole = redis.call('HMGET', key, unpack(fields)), false
    end
    there = there and (whole or is_there(row))
    rows_out[m] = whole and joins and text or row
    if m % 32 == 0 and overtime() then
      rows_out = {}
      return false
    end
  end
  return there
end
local function read_rows()
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
  local tail, there = 0, false
  if mode == 'few' then there = read_few() elseif with_rows then read_rows() end
  local scored = with_rows and strategy == 'W' and order.kind == 'z'
  if there and #members_out > 0 then -- of keys only where to go on is asked
    local last = members_out[#members_out]
    keys_out = { scored and redis.call('ZSCORE', path.reads[1].key, last) or keys_out[#keys_out] }
  elseif scored then
    read_scores()
  end
  local full = with_rows and limit > 0 and found >= limit
  if not full and (order.kind == 'z' or order.kind == 'l') and (strategy ~= 'S' or path.valued) then
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
        if not tallies[keys] then tallies[keys], tallied = 0, tallied + 1 end
        tallies[keys] = tallies[keys] + 1
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
