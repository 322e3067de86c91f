--@rows
-- Walk the delays, test membership in bulk, stop at the limit. ARGV: command, from, to (ZRANGE has neither), where to start,
-- limit, whether members are wanted (1) or the others (0); the sets. Returns where to go on, and the rows.
local index = KEYS[1] .. ':i:dep_delay'
local start, limit, wanted = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local taken = {}
local chunk = 8 * limit
while #taken < limit do
    local pks
    if ARGV[1] == 'ZRANGE' then -- by rank: it finds the start without walking there
        pks = redis.call('ZRANGE', index, start, start + chunk - 1)
    else
        pks = redis.call(ARGV[1], index, ARGV[2], ARGV[3], 'LIMIT', start, chunk)
    end
    if #pks == 0 then
        break
    end
    local hits = redis.call('SMISMEMBER', KEYS[1] .. ARGV[7], unpack(pks))
    for set = 8, #ARGV do
        local more = redis.call('SMISMEMBER', KEYS[1] .. ARGV[set], unpack(pks))
        for i = 1, #pks do
            hits[i] = hits[i] + more[i]
        end
    end
    local i = 0
    while i < #pks and #taken < limit do
        i = i + 1
        if hits[i] == wanted then
            taken[#taken + 1] = pks[i]
        end
    end
    start = start + i
    chunk = math.min(chunk * 2, 2000)
end
return {start, rows(taken)}
