-- cache_lease: keep a lock longer, or give it back. May run twice.
--
-- KEYS  1 the lock
-- ARGV  token lifetime(ms): 0 gives it back
-- reply 1 | 0 another has it, or none
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
