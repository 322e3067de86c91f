-- Included: where characters begin in UTF-8 text. Positions count from 0; bytes 128 to 191 continue a character.
--
-- In text of ASCII alone a position is a byte; else the text is walked, about 10 ms a million characters.
local function is_ascii(text) return not string.find(text, '[\128-\255]') end
local function characters(text)
  if is_ascii(text) then return #text end
  local _, continued = string.gsub(text, '[\128-\191]', '')
  return #text - continued
end
-- The byte (from 1) where a character begins; one behind the last byte for any position behind the last character.
local function byte_of(text, position)
  if is_ascii(text) then return math.min(position, #text) + 1 end
  local at = 1
  for _ = 1, position do
    if at > #text then break end
    at = string.find(text, '[^\128-\191]', at + 1) or #text + 1
  end
  return at
end
