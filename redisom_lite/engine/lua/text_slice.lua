-- text_slice: some characters of a text. Writes nothing.
--
-- KEYS  1 the text
-- ARGV  start stop ('' to the end), positions of characters, those below zero from the end
-- reply {characters in all, the slice}
--@include characters.lua
local text = redis.call('GET', KEYS[1]) or ''
local size = characters(text)
local function position(word)
  local at = word == '' and size or tonumber(word)
  return math.max(0, at < 0 and size + at or at)
end
local from, to = byte_of(text, position(ARGV[1])), byte_of(text, position(ARGV[2]))
return { size, string.sub(text, from, to - 1) }
