-- Index reads: how many entries one has, and its members a run at a time, from a place where an earlier call stopped.
-- Included by find.lua, after match.lua; needs `base`, `registry` and `total`.

-- Bounds whose ties need the real value are read closed and tested again.
local function needs_test(i)
  return i.low_lean ~= 0 or i.high_lean ~= 0 or (i.exact_key and exists(i.exact_key)) or false
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
-- The entries of one value of a list; of many values a sample is sized.
local one_size = {}
function one_size.N(i, n)
  local score = score_at(i, n)
  return redis.call('ZCOUNT', i.key, score, score)
end
function one_size.M(i, n)
  local text = ARGV[i.from + n]
  return redis.call('ZLEXCOUNT', i.key, '[' .. text, '(' .. text .. '\0\1')
end
function one_size.S(i, n) return redis.call('SCARD', i.key .. ':' .. ARGV[i.from + n]) end
local SAMPLED = 64
local function sampled(i)
  local step, sum, taken = math.max(1, i.count / SAMPLED), 0, 0
  for n = 1, i.count, step do
    sum = sum + one_size[i.op](i, floor(n))
    taken = taken + 1
  end
  return math.ceil(sum * i.count / taken)
end
size.N, size.M, size.S = sampled, sampled, sampled
function size.L(i) return redis.call('ZLEXCOUNT', i.key, i.min, i.max) end
function size.R(i) return redis.call('ZLEXCOUNT', registry, i.min, i.max) end
function size.U(i) return i.count end
function size.K(i) return i.count end
function size.A() return total end
function size.O() return 0 end

-- The number of entries at or before (score, member), and whether the member still is at that score. In a tie block a
-- binary search: 0.16 ms where an offset takes 2.2 at 300,000.
local function rank_after(key, score, member)
  local now_at = redis.call('ZSCORE', key, member)
  if now_at and number(now_at) == number(score) then return redis.call('ZRANK', key, member) + 1, true end
  local low, high = redis.call('ZCOUNT', key, '-inf', '(' .. score), redis.call('ZCOUNT', key, '-inf', score)
  while low < high do
    local middle = floor((low + high) / 2)
    if less(member, redis.call('ZRANGE', key, middle, middle)[1]) then high = middle else low = middle + 1 end
  end
  return low, false
end

-- A source is two functions. next(n): up to n members, their scores (or text entries) where the index has them, and how
-- many entries were examined; nothing at the end. position(): score, member, scan, from which a later call goes on.

-- `member` '' stands before, '\255' after every member of that score. A `bare` source gives no scores: texts made of
-- numbers are half of what it costs to read an entry.
local FAR = 1000 -- entries: to skip more, seeking is quicker
local function number_source(i, descending, score, member, bare)
  local low, high, closed = score_bounds(i)
  local stride = (closed or not bare) and 2 or 1
  local passed = not score and 0 -- entries read from the beginning
  local first, last -- ranks still to read, ascending; known once there is a place to go on from
  local function place()
    if member and not score then score = redis.call('ZSCORE', i.key, member) end
    return score or '', member or '', ''
  end
  local function seek()
    local rank, there = rank_after(i.key, place())
    first = redis.call('ZCARD', i.key) - redis.call('ZCOUNT', i.key, low, '+inf')
    last = redis.call('ZCOUNT', i.key, '-inf', high) - 1
    if descending then
      last = math.min(last, there and rank - 2 or rank - 1)
    else
      first = math.max(first, rank)
    end
  end
  local function read(n)
    if passed and passed <= FAR then
      local from = passed
      passed = from + n
      if descending then
        if stride == 1 then return redis.call('ZREVRANGEBYSCORE', i.key, high, low, 'LIMIT', from, n) end
        return redis.call('ZREVRANGEBYSCORE', i.key, high, low, 'WITHSCORES', 'LIMIT', from, n)
      end
      if stride == 1 then return redis.call('ZRANGEBYSCORE', i.key, low, high, 'LIMIT', from, n) end
      return redis.call('ZRANGEBYSCORE', i.key, low, high, 'WITHSCORES', 'LIMIT', from, n)
    end
    if not first then seek() end
    if first > last then return {} end
    local from, to, by_rank = first, math.min(first + n - 1, last), 'ZRANGE'
    if descending then
      local count = redis.call('ZCARD', i.key)
      from, to, by_rank = count - 1 - last, count - 1 - math.max(first, last - n + 1), 'ZREVRANGE'
      last = math.max(first, last - n + 1) - 1
    else
      first = to + 1
    end
    if stride == 1 then return redis.call(by_rank, i.key, from, to) end
    return redis.call(by_rank, i.key, from, to, 'WITHSCORES')
  end
  return function(n)
    local flat = read(n)
    if #flat == 0 then return nil end
    if stride == 1 then
      member, score = flat[#flat], nil
      return flat, nil, #flat
    end
    local members, scores, kept = {}, {}, 0
    member, score = flat[#flat - 1], flat[#flat]
    for f = 1, #flat, 2 do
      if not closed or in_bounds(i, flat[f], number(flat[f + 1])) then
        kept = kept + 1
        members[kept], scores[kept] = flat[f], flat[f + 1]
      end
    end
    return members, scores, #flat / 2
  end, place
end

local function lex_source(key, min, max, descending, form, plain)
  local from = form and '(' .. form
  if form and not descending and min ~= '-' and less(form, sub(min, 2)) then from = min end
  if form and descending and max ~= '+' and less(sub(max, 2), form) then from = max end
  return function(n)
    local forms
    if descending then
      forms = redis.call('ZREVRANGEBYLEX', key, from or max, min, 'LIMIT', 0, n)
    else
      forms = redis.call('ZRANGEBYLEX', key, from or min, max, 'LIMIT', 0, n)
    end
    if #forms == 0 then return nil end
    form = forms[#forms]
    from = '(' .. form
    if plain then return forms, nil, #forms end
    local members = {}
    for f = 1, #forms do
      local _, last = find(forms[f], '\0\0', 1, true)
      members[f] = sub(forms[f], last + 1)
    end
    return members, forms, #forms
  end, function() return '', form or '', '' end
end

-- The values of a list one after the other, each a short read of its own: `open(value, score, member)` opens one,
-- `ahead(value)` says whether anything of it lies ahead of the place to go on from, `past(value)` is the place behind it.
local function chained_source(list, descending, score, member, open, ahead, past)
  local n, last, step = 1, #list + 1, 1
  if descending then n, last, step = #list, 0, -1 end
  while (score or member) and n ~= last and not ahead(list[n]) do n = n + step end
  local next_members, position
  return function(count)
    if n == last then return nil end
    local all, all_scores, examined = {}, {}, 0
    while n ~= last and examined < count do
      if not next_members then next_members, position = open(list[n], score, member) end
      local wanted = count - examined
      local members, scores, entries = next_members(wanted)
      if members then
        for m = 1, #members do all[#all + 1], all_scores[#all_scores + 1] = members[m], scores[m] end
        score, member = position()
        examined = examined + entries
      end
      if not members or entries < wanted then -- that was all of it
        score, member = past(list[n])
        n, next_members, examined = n + step, nil, examined + 1
      end
    end
    return all, all_scores, examined
  end, function() return score or '', member or '', '' end
end
local function numbers_source(i, descending, score, member)
  local list, from = score_list(i), score and number(score)
  local tested = i.inexact or exists(i.exact_key)
  local function open(text, at_score, at_member)
    local one = { key = i.key, low_text = text, high_text = text, low_lean = 0, high_lean = 0 }
    local here = at_score and number(at_score) == number(text) and at_score or nil
    local next_members, position = number_source(one, descending, here, at_member)
    if not tested then return next_members, position end
    return function(n)
      local members, scores, entries = next_members(n)
      if not members then return nil end
      local kept, kept_scores = {}, {}
      for m = 1, #members do
        if is_one_of(i, members[m], number(scores[m])) then
          kept[#kept + 1] = members[m]
          kept_scores[#kept] = scores[m]
        end
      end
      return kept, kept_scores, entries
    end, position
  end
  local behind = descending and '' or '\255'
  local function ahead(text)
    local at = number(text)
    if at == from then return member ~= behind end
    return (at < from) == descending
  end
  return chained_source(list, descending, score, score and member, open, ahead, function(text) return text, behind end)
end
local function texts_source(i, descending, form)
  local function open(text, _, at_form)
    local here = at_form and sub(at_form, 1, #text + 2) == text .. '\0\0' and at_form or nil
    return lex_source(i.key, '[' .. text, '(' .. text .. '\0\1', descending, here)
  end
  local function ahead(text)
    if descending then return less(text .. '\0\0', form) end
    return less(form, text .. '\0\1')
  end
  return chained_source(list_of(i), descending, nil, form, open, ahead, function(text)
    return nil, text .. (descending and '\0\0' or '\0\1')
  end)
end

local function list_source(list, before, count, from)
  local at = from or 0
  return function(n)
    if at >= count then return nil end
    local members = {}
    for m = 1, math.min(n, count - at) do members[m] = list[before + at + m] end
    at = at + #members
    return members, nil, #members
  end, function() return '', '', tostring(at) end
end

local function set_source(i, scan)
  local _, _, token, at = find(scan, '^(%d+):(%d+)$')
  token, at = tonumber(token) or 1, at or '0'
  return function(n)
    if token > i.count then return nil end
    local key, members = i.key .. ':' .. ARGV[i.from + token], nil
    if at == '0' and redis.call('SCARD', key) <= n then -- a third of the time
      members = redis.call('SMEMBERS', key)
    else
      local page = redis.call('SSCAN', key, at, 'COUNT', n)
      at, members = page[1], page[2]
    end
    if at == '0' then token = token + 1 end
    return members, nil, #members + 1
  end, function() return '', '', token .. ':' .. at end
end

local open_read = {}
function open_read.Z(i, descending, score, member, _, bare)
  return number_source(i, descending, score ~= '' and score or nil, score ~= '' and member, bare)
end
open_read.C = open_read.Z
function open_read.N(i, descending, score, member)
  return numbers_source(i, descending, score ~= '' and score or nil, member)
end
function open_read.M(i, descending, _, form) return texts_source(i, descending, form ~= '' and form or nil) end
function open_read.L(i, descending, _, form) return lex_source(i.key, i.min, i.max, descending, form ~= '' and form or nil) end
function open_read.R(i, descending, _, member)
  return lex_source(registry, i.min, i.max, descending, member ~= '' and member or nil, true)
end
local every = { min = '-', max = '+' }
function open_read.A(_, ...) return open_read.R(every, ...) end
function open_read.S(i, _, _, _, scan) return set_source(i, scan) end
function open_read.U(i, _, _, _, scan) return list_source(owners_of(i), 0, #owners_of(i), tonumber(scan)) end
function open_read.K(i, _, _, _, scan) return list_source(ARGV, i.from, i.count, tonumber(scan)) end
function open_read.O() return list_source({}, 0, 0) end
