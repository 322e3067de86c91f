-- cache_watch: watch conditions of a model; the marks to load under. May run twice.
--
-- KEYS  1 the model's registry
-- ARGV  base fingerprint mark lifetime(ms) most | n (digest kind program)...
--   mark  what new watches are told apart by: never used before
--   most  watches of a model; where there is no room, none is set
-- reply {state, newest overdue deadline or '', now, mark or ''...}
--   state  of the declared indexes (declare.lua); nil when the declaration is not registered: nothing was set
--@include cache_watches.lua

local base, fingerprint, mark, lifetime, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local meta = base .. ':meta'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local known = redis.call('HMGET', meta, 'd:' .. fingerprint, 'caches')
if not known[1] then return { false } end

local watches, by_digest, changed = {}, {}, false
local before = known[2] or ''
for _, watch in ipairs(read_watches(before)) do
  if watch.ends >= now then
    watches[#watches + 1] = watch
    by_digest[watch.digest] = watch
  else
    changed = true
  end
end
local ends = now + lifetime
local overdue = redis.call('ZREVRANGEBYSCORE', base .. ':due', '(' .. string.format('%.0f', now), '-inf',
  'WITHSCORES', 'LIMIT', 0, 1)
local reply = { known[1], overdue[2] or '', string.format('%.0f', now) }
for n = 1, tonumber(ARGV[6]) do
  local digest, kind, program = ARGV[4 + 3 * n], ARGV[5 + 3 * n], ARGV[6 + 3 * n]
  local watch = by_digest[digest]
  if not watch and #watches < most then
    watch = { digest = digest, kind = kind, program = program, mark = mark, ends = 0 }
    watches[#watches + 1] = watch
    by_digest[digest] = watch
  end
  if watch and watch.ends < ends then
    watch.ends, changed = ends, true
    local body = table.concat({ digest, watch.mark, string.format('%.0f', ends), kind, program }, ' ')
    watch.text = #body .. ':' .. body
  end
  reply[3 + n] = watch and watch.mark or ''
end
if changed then
  local texts = {}
  for n = 1, #watches do texts[n] = text_of(watches[n], before) end
  redis.call('HSET', meta, 'caches', table.concat(texts))
end
return reply
