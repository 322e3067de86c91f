-- text_write: put text over the characters of another, once; what is missing before it becomes spaces.
--
-- KEYS, ARGV  as in once.lua, then start (a position of a character, from 0) text
-- reply       {1, characters of the whole text}
--@include once.lua
--@include characters.lua
local start, over = take_number(), take()
local text = redis.call('GET', KEYS[2]) or ''
local size = characters(text)
if size < start then text = text .. string.rep(' ', start - size) end
local from = byte_of(text, start)
local written = string.sub(text, 1, from - 1) .. over .. string.sub(text, byte_of(text, start + characters(over)))
redis.call('SET', KEYS[2], written, 'KEEPTTL')
return finish(characters(written))
