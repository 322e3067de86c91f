--@rows
-- Take the members of a set, sort those with a greater delay. ARGV: set, above, limit.
local pks = redis.call('SMEMBERS', KEYS[1] .. ARGV[1])
local above, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local late, delay = {}, {}
for first = 1, #pks, 4000 do
    local last = math.min(first + 3999, #pks)
    local scores = redis.call('ZMSCORE', KEYS[1] .. ':i:dep_delay', unpack(pks, first, last))
    for i = 1, #scores do
        local score = scores[i] and tonumber(scores[i])
        if score and score > above then
            local pk = pks[first + i - 1]
            late[#late + 1] = pk
            delay[pk] = score
        end
    end
end
table.sort(late, function(a, b)
    return delay[a] < delay[b]
end)
for i = #late, limit + 1, -1 do
    late[i] = nil
end
return rows(late)
