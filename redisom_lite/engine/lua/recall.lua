-- recall: what became of a step whose answer was lost. If it was applied, its answer; if not, it never will be.
--
-- KEYS  1 the registry of the step's first model
-- ARGV  base stamp id
-- reply the packed answer, or false: the token is taken, and the step, should it still arrive, is answered {'A'}
local operations = ARGV[1] .. ':op'
for _, seen in ipairs(redis.call('ZRANGEBYSCORE', operations, ARGV[2], ARGV[2])) do
  if string.sub(seen, 1, #ARGV[3]) == ARGV[3] then
    local answer = string.sub(seen, #ARGV[3] + 1)
    return answer ~= '!' and answer
  end
end
redis.call('ZADD', operations, ARGV[2], ARGV[3] .. '!')
return false
