-- Included: a reply as one text, and back. Numbers `i`, texts `s`, lists `l`, each with its length; `n` for nothing.
local function pack_reply(value)
  if type(value) == 'table' then
    local parts = {}
    for n = 1, #value do parts[n] = pack_reply(value[n]) end
    return 'l' .. #value .. ':' .. table.concat(parts)
  end
  if not value then return 'n0:' end
  local text = tostring(value)
  return (type(value) == 'number' and 'i' or 's') .. #text .. ':' .. text
end
local function unpack_reply(text, at)
  local _, last, kind, size = string.find(text, '^(.)(%d+):', at)
  if kind == 'l' then
    local list, pos = {}, last + 1
    for n = 1, tonumber(size) do list[n], pos = unpack_reply(text, pos) end
    return list, pos
  end
  local value = string.sub(text, last + 1, last + tonumber(size))
  if kind == 'n' then return false, last + 1 end
  return kind == 'i' and tonumber(value) or value, last + tonumber(size) + 1
end
