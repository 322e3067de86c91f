-- Shared by apply.lua and the cache's scripts: what caches depend on, kept in the field `caches` of a model's `:meta`.
-- Included, never run alone.
--
-- A watch is `size:` and `digest mark ends kind ` and the words of a condition program (match.lua), each `size:word`. The
-- answer of a loader is good for as long as the watches it was loaded under are there with the same marks: a write
-- takes away those it concerns, and the next load sets them anew, with a mark never used before.
--   ends  when nothing depends on it any more, ms
--   kind  'r' if the program reads the records themselves, 'i' if only indexes; then tokens, each `size:token`, of which
--         a record that satisfies it has at least one; none: nothing is known of its tokens
local function text_of(watch, text) return watch.text or string.sub(text, watch.first, watch.last) end
local function read_watches(text)
  local list, pos = {}, 1
  while pos <= #text do
    local _, colon, size = string.find(text, '^(%d+):', pos)
    local last = colon + tonumber(size)
    local _, head, digest, mark, ends, kind = string.find(text, '^(%S+) (%S+) (%d+) (%S+) ', colon + 1)
    list[#list + 1] = { digest = digest, mark = mark, ends = tonumber(ends), kind = kind,
      program = head + 1, first = pos, last = last }
    pos = last + 1
  end
  return list
end
