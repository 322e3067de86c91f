-- Statements: what the calls of one shape have in common, as one word, parsed once. Included by find.lua, after match.lua.
--
-- Each of its words has '\1' behind it; '\2' and a number stand for an operand of the call, the first is 1:
--   base reader int_keys | mode most budget | order: kind field descending | keys wanted: n (kind field)... | ties verify
--   | n field... | clauses: n program... | paths: n (ordered each distinct valued | covers: n clause... | reads: program)...
-- Without clauses and paths these stand in the call itself, in place of operands. A function keeps what it parsed; a script,
-- which has no memory, parses it every time.

local KEPT = 128 -- of up to 10 KB; then all are forgotten
local statements, kept = {}, 0

local function parse_statement(text)
  local words, holes, n = {}, {}, 0
  for word in string.gmatch(text, '([^\1]*)\1') do
    n = n + 1
    words[n] = word
    if byte(word) == 2 then holes[n] = tonumber(sub(word, 2)) end
  end
  begin(words)
  local s = { words = words, holes = holes, base = take(), reader = take(), int_keys = take() == '1',
    mode = take(), most = take_number(), budget = take_number(),
    order = { kind = take(), field = take(), descending = take() == '1' }, wanted = {} }
  for w = 1, take_number() do s.wanted[w] = { kind = take(), field = take() } end
  s.ties, s.verify = take() == '1', take() == '1'
  s.fields = take_list()
  s.complete, s.at = cursor < n, cursor
  return s
end
local function statement_of(text)
  local s = statements[text]
  if s then return s end
  if kept == KEPT then statements, kept = {}, 0 end
  s = parse_statement(text)
  statements[text], kept = s, kept + 1
  return s
end

-- `again` notes which instructions have to be parsed with every call.
local function noted_program(plan, base, holes)
  local program = {}
  for p = 1, take_number() do
    local at = cursor
    program[p] = parse_instruction(base, plan.clauses)
    local varies = ARGV[at + 1] == '='
    for w = at + 1, cursor do varies = varies or holes[w] end
    if varies then plan.again[#plan.again + 1] = { program = program, place = p, at = at } end
  end
  return program
end
local function parse_plan(base, holes)
  local plan = { clauses = {}, paths = {}, again = {} }
  for n = 1, take_number() do plan.clauses[n] = noted_program(plan, base, holes) end
  for n = 1, take_number() do
    local one = { ordered = take() == '1', each = take() == '1', distinct = take() == '1', valued = take() == '1', covers = {} }
    for _ = 1, take_number() do one.covers[take_number()] = true end
    one.reads = noted_program(plan, base, holes)
    plan.paths[n] = one
  end
  return plan
end
-- Clauses and paths of this call, of which the rest of ARGV is the operands.
local function plan_of(s)
  if not s.complete then return parse_plan(s.base, s.holes) end
  local args, from = ARGV, cursor
  begin(s.words)
  for at, n in pairs(s.holes) do ARGV[at] = args[from + n] end
  local plan = s.plan
  if not plan then
    cursor = s.at
    s.plan = parse_plan(s.base, s.holes)
    return s.plan
  end
  for _, each in ipairs(plan.again) do
    cursor = each.at
    each.program[each.place] = parse_instruction(s.base, plan.clauses)
  end
  for _, one in ipairs(plan.paths) do
    one.size, one.share = nil
    for _, read in ipairs(one.reads) do read.size = nil end
  end
  return plan
end
