-- digest: what a range of a model's records holds, as digests to compare with another server's. Writes nothing.
--
-- KEYS  1 the registry (`:k`) of a partition
-- ARGV  base int_keys after last limit mode
--   after, last  bounds in ZRANGEBYLEX notation; at most `limit` members are looked at
--   mode         range | each
-- reply range {last member looked at or '', members looked at, live records, digest, mortal records, ms they have left}
--       each  {last member, members looked at, (member digest ms-left)...}
--
-- A digest covers the stored fields, `_null` with them and `_ix` and `_v` without: index bytes keep the order of their
-- history, and versions count each server's own writes. Whether a record has an end is covered, when it ends is not.
--@function no-writes
--@include reading.lua

local function main(keys, args)
  begin(args)
  local base, int_keys, after, last, limit, mode = take(), take() == '1', take(), take(), take(), take()
  -- where there is no sha1hex (in process) the text is its own digest
  local sha = redis.sha1hex or function(text) return text end

  local members = redis.call('ZRANGEBYLEX', keys[1], after, last, 'LIMIT', 0, limit)
  local each, parts, live, mortal, left_sum = {}, {}, 0, 0, 0
  for n = 1, #members do
    local member = members[n]
    local key = record_key(base, int_keys, member)
    local flat, names, values = redis.call('HGETALL', key), {}, {}
    for m = 1, #flat, 2 do
      local name = flat[m]
      if name ~= '_ix' and name ~= '_v' then
        names[#names + 1] = name
        values[name] = flat[m + 1]
      end
    end
    if #flat > 0 then
      table.sort(names)
      local words = {}
      for m = 1, #names do
        local value = values[names[m]]
        words[m] = #names[m] .. ':' .. names[m] .. #value .. ':' .. value
      end
      local left = redis.call('PTTL', key)
      local text = sha(table.concat(words) .. (left >= 0 and '+' or '-'))
      live = live + 1
      if left >= 0 then
        mortal = mortal + 1
        left_sum = left_sum + left
      end
      if mode == 'each' then
        each[#each + 1] = member
        each[#each + 1] = text
        each[#each + 1] = left
      else
        parts[live] = #member .. ':' .. member .. text
      end
    end
  end
  if mode == 'each' then return { members[#members] or '', #members, each } end
  return { members[#members] or '', #members, live, sha(table.concat(parts)), mortal, format('%.0f', left_sum) }
end
