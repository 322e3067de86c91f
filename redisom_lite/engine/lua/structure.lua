-- structure: send commands to one structure, all or none, once.
--
-- KEYS, ARGV  as in once.lua, then | n of (n word...), whole commands
-- reply       {1, the commands' replies}
--
-- The first command decides: it fails on a key of another type before anything is written, the others follow it on keys
-- of the same structure.
--@include once.lua

local replies = {}
for n = 1, take_number() do
  local reply = redis.call(unpack(take_list()))
  replies[n] = type(reply) == 'table' and reply.ok and 1 or reply
end
return finish(replies)
