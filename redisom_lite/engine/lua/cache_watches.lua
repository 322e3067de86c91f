-- Shared by apply.lua and the cache's scripts: what caches depend on, kept in the field `caches` of a model's `:meta`.
-- Included, never run alone.
--
-- A watch is `size:` and `digest mark ends kind ` and the words of a condition program (match.lua), each `size:word`. The
-- answer of a loader is good for as long as the watches it was loaded under are there with the same marks: a write
-- takes away those it concerns, and the next load sets them anew, with a mark never used before.
--   ends  when nothing depends on it any more, ms
--   kind  'r' if the program reads the records themselves, 'i' if only indexes
local function read_watches(text)
  local list, pos = {}, 1
  while pos <= #text do
    local _, colon, size = string.find(text, '^(%d+):', pos)
    local last = colon + tonumber(size)
    local _, head, digest, mark, ends, kind = string.find(text, '^(%S+) (%S+) (%d+) (%l) ', colon + 1)
    list[#list + 1] = { digest = digest, mark = mark, ends = tonumber(ends), kind = kind,
      program = string.sub(text, head + 1, last), text = string.sub(text, pos, last) }
    pos = last + 1
  end
  return list
end
