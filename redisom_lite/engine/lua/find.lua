-- find: the one script that answers queries. It writes nothing.
--
-- KEYS  1 the model's registry (routes the call; every other key shares its hash tag)
-- ARGV  statement accepted limit offset ms | after: present (score member)
--       | resume: strategy (path read examined score member scan) | operand...
--   statement  what does not differ between calls of one shape, as one word: see statements.lua. It has
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
--         tail: how many records have no value to be ordered by; of a full page not told
--         more: 1 when the budget ended the call (2: only the last tie is unfinished); then score, member, read, scan
--         say where to resume. found: matches, those in `members` included
--   rows  a list each; mode few: many as one word, see answer.lua
--   keys  with rows, in order: each member's score or text entry, of few that are all there just the last one's
--         keys mode: one entry for each wanted key (false: None)
--         tally: a count and one entry for each wanted key, and in `members` and `rows` those it could not count yet,
--         because they may come up again in a later call or are doubtful
--@function no-writes
--@include reading.lua
--@include match.lua
local concat = table.concat

-- What a call asks, made anew by `ask`: functions outlive the call.
local statement, base, accepted, int_keys
local mode, most, limit, offset, budget, budget_ms, with_rows
local order, wanted, ties, verify, after, resume, fields, clauses, paths
local registry, due, needed, for_keys
-- What it meets and finds.
local started, now, now_text, overdue, total, seen, longest
local strategy, chosen, path, going_on
local members_out, keys_out, rows_out, doubtful
local examined, skipped, more, found, tallied
local at_score, at_member, at_read, at_scan
--@include sources.lua
--@include statements.lua

local function ask(args)
  statement = statement_of(args[1])
  begin(args)
  cursor = 1
  forget_keys()
  accepted, limit, offset, budget_ms = take(), take_number(), take_number(), take_number()
  after = take() == '1' and { score = take(), member = take() } or nil
  resume = { strategy = take() }
  if resume.strategy ~= '' then
    resume.path, resume.read, resume.examined = take_number(), take_number(), take_number()
    resume.score, resume.member, resume.scan = take(), take(), take()
  end
  base, int_keys, mode, most = statement.base, statement.int_keys, statement.mode, statement.most
  order, wanted, ties, verify = statement.order, statement.wanted, statement.ties, statement.verify
  fields, budget = statement.fields, statement.budget
  with_rows = mode == 'rows' or mode == 'few'
  registry, due = base .. ':k', base .. ':due'
  needed = limit + offset
  for_keys = mode == 'keys' or (mode == 'plan' and ties)
end
local function ask_of_records()
  local plan = plan_of(statement)
  clauses, paths = plan.clauses, plan.paths
  -- a run of entries is tested whole, before anything asks how long it took
  longest = math.min(budget, 250, math.max(4, floor(10000 / price(clauses))))
end

-- Milliseconds: os.clock where the server has it, else TIME, which moves during a script on just those servers.
local has_clock, processor = pcall(function() return os.clock end)
has_clock = has_clock and processor
local function start()
  local clock = redis.call('TIME')
  now_text = clock[1] .. sub('00000' .. clock[2], -6, -4)
  now = tonumber(now_text)
  overdue = redis.call('ZCOUNT', due, '-inf', '(' .. now_text)
  started = has_clock and processor() * 1000 or clock[1] % 100000 * 1000 + clock[2] / 1000
  total, seen = redis.call('ZCARD', registry), {}
  members_out, keys_out, rows_out, doubtful = {}, {}, {}, {}
  examined, skipped, more, found, tallied = 0, 0, 0, 0, 0
  at_score, at_member, at_read, at_scan = '', '', 1, ''
end
-- What this call has taken, and what it will take to send what it has found.
local SENT = 0.0004
local function spent()
  local reply = (#members_out + #keys_out + (2 + #fields / 4) * #rows_out + 4 * tallied) * SENT
  if has_clock then return processor() * 1000 - started + reply end
  local t = redis.call('TIME')
  return t[1] % 100000 * 1000 + t[2] / 1000 - started + reply
end
local function out_of_time() return spent() > budget_ms end
-- What cannot be left unfinished may take somewhat longer.
local function overtime(share) return spent() > 1.4 * budget_ms * (share or 1) end

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

--@include admission.lua
--@include choice.lua
--@include answer.lua
--@include counting.lua
--@include walking.lua
--@include gathering.lua

local function run()
  local state = redis.call('HGET', base .. ':meta', 'd:' .. statement.reader)
  if state ~= accepted and accepted ~= '*' then
    if state or redis.call('EXISTS', registry) == 1 then return { 'M', state } end
  end
  if with_rows and limit > 0 and order.kind == 'z' and exists(base .. ':x:' .. order.field) then return { 'K' } end
  start()
  ask_of_records()
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
  statement, clauses, paths, path, seen, combinations, tallies = nil -- a large answer is not kept till the next
  members_out, keys_out, rows_out, doubtful, resume, after, threshold = nil
  return reply
end
