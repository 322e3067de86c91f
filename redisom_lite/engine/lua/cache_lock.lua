-- cache_lock: become the one that loads an entry. May run twice: the owner of the lock gets it again.
--
-- KEYS  1 the lock | 2 the entry | the marks of its tags...
-- ARGV  token lifetime(ms) lifetime of the marks (ms)
--   token  also the mark of tags that have none
-- reply {1, the entry's id or '', mark...} | {0, ms until the lock ends}: another has it
if redis.call('GET', KEYS[1]) ~= ARGV[1] and not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return { 0, redis.call('PTTL', KEYS[1]) }
end
local reply = { 1, redis.call('HGET', KEYS[2], 'id') or '' }
for n = 3, #KEYS do
  local mark = redis.call('GET', KEYS[n])
  if not mark then
    redis.call('SET', KEYS[n], ARGV[1], 'PX', ARGV[3])
  elseif redis.call('PTTL', KEYS[n]) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[n], ARGV[3])
  end
  reply[n] = mark or ARGV[1]
end
return reply
