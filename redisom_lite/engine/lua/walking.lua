-- Reading one path in its own order. Included by find.lua, after answer.lua.

-- How many entries to read next: no more than the time left is enough for, by what those before took; 0 at the end.
-- What the first take says too much of how long it took to begin.
local LEAST = 64
local function fitting(run)
  run = math.min(run, longest)
  if examined >= budget then return 0 end
  local took = spent()
  if examined < math.min(LEAST, longest) then return took > budget_ms and 0 or run end
  local fit = took > 0 and floor((budget_ms - took) / took * examined) or run
  return fit < math.min(16, longest) and 0 or math.min(run, fit)
end

-- Stream: everything, in whatever order the driver gives it.
local function stream()
  local read, score, member, scan = 1, '', '', ''
  if going_on then read, score, member, scan = resume.read, resume.score, resume.member, resume.scan end
  local run = math.min(longest, LEAST)
  while read <= #path.reads do
    local next_members, position = open_read[path.reads[read].op](path.reads[read], false, score, member, scan, true)
    while true do
      local members, scores, entries = next_members(run)
      if not members then break end
      examined = examined + entries
      members = admit(path, read, members, scores)
      found = found + #members
      if with_rows then
        for m = 1, #members do members_out[#members_out + 1] = members[m] end
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
      run = fitting(longest)
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
  -- no more at first than should do: to read on costs less than to read too much with every call
  local run = going_on and LEAST or math.ceil(needed / selectivity(path)) + (tests(path) and 8 or 0)
  run = math.min(longest, math.max(needed, run))
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
    run = fitting(next_run)
    if run == 0 or (mode == 'rows' and found >= most) then
      more = found >= limit and 2 or 1
      at_score, at_member = position()
      return
    end
  end
end
